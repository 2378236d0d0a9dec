"""What can go wrong, as sentences a reader can act on.

Every message says what was given, what is possible and what to do.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

__all__ = [
    "AscentError",
    "BatchWarning",
    "DatasetError",
    "DatasetWarning",
    "EvidenceStoreError",
    "FieldWarning",
    "FileError",
    "HookWarning",
    "LayerError",
    "ModelError",
    "NotDrawnError",
    "OutputWarning",
    "PeekError",
    "PeekWarning",
    "PhotoError",
    "PreprocessWarning",
    "RandomWarning",
    "RecipeError",
    "SheetStoreError",
    "SizeError",
    "StoreError",
    "SurveyWarning",
    "TagError",
    "UnitError",
    "warn",
]


class PeekError(ValueError):
    """The base of every error that this package raises on purpose."""


class ModelError(PeekError):
    """The model cannot be looked into: not a Module, its forward fails, it cannot be copied."""


class LayerError(PeekError):
    """The model has no such layer, or its forward never runs it."""


class UnitError(PeekError):
    """The layer has no such unit."""


class SizeError(PeekError):
    """The image is too small (or of a wrong size) for what was asked."""


class RecipeError(PeekError):
    """A recipe has an unknown name or field, or an invalid value."""


class AscentError(PeekError):
    """The ascent cannot go on: no gradient at the start, or numbers that are not finite."""


class FileError(PeekError):
    """A file can't be read or written, or its content is invalid."""


class TagError(PeekError):
    """A tag is invalid, or a table of tags can't be read."""


class DatasetError(PeekError):
    """The dataset can't be read: no images, labels of another length, a kind of image that is not known."""


class PhotoError(PeekError):
    """The photo can't be looked at: it is not an image that the network can take, or has no such place or part."""


class NotDrawnError(PeekError, KeyError):
    """A unit of a contact sheet has no picture yet, or can have none."""

    def __str__(self) -> str:  # str() of a KeyError quotes its argument
        return str(self.args[0])


class StoreError(FileError):
    """A store can't be read or written, or belongs to something else."""


class SheetStoreError(StoreError):
    """A contact sheet's store can't be read or written, or belongs to another sheet."""


class EvidenceStoreError(StoreError):
    """A file of evidence can't be read, or belongs to another model, other layers or another k."""


class PeekWarning(UserWarning):
    """The base of every warning of this package: results may differ from what you expect, and why."""


class HookWarning(PeekWarning):
    """A hook of the model is left out, so activations may differ from those of the model's own forward."""


class BatchWarning(PeekWarning):
    """The model's output for an image depends on the other images of its batch."""


class RandomWarning(PeekWarning):
    """The model's output for an image differs from one forward to the next."""


class FieldWarning(PeekWarning):
    """A receptive field differs from what the model's layers imply."""


class OutputWarning(PeekWarning):
    """The model's output seems to have gone through an unrecognized squashing function: classes are read after it."""


class PreprocessWarning(PeekWarning):
    """The preprocessing mixes neighboring pixels a little, or draws random numbers."""


class DatasetWarning(PeekWarning):
    """Images were skipped, labels are not classes, or what a dataset's numbers mean was assumed."""


class SurveyWarning(PeekWarning):
    """All images don't bear out what units seem to be about by their top images."""


def warn(message: str, kind: type[PeekWarning]) -> None:
    """Issue a warning at the calling line outside this package, so that Python shows it once for that line."""
    package = str(Path(__file__).parent)
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)
