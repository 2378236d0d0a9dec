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
    """There is no such layer, or the model's forward never runs it."""


class UnitError(PeekError):
    """There is no such unit in the layer."""


class SizeError(PeekError):
    """The image is too small (or of a wrong size) for what was asked."""


class RecipeError(PeekError):
    """A recipe's name, field or value is not possible."""


class AscentError(PeekError):
    """The ascent cannot go on: no gradient at the start, or numbers that are not finite."""


class FileError(PeekError):
    """A file, or a description kept in one, can't be read back; or what is to be kept in it can't be written."""


class TagError(PeekError):
    """A tag, or a table of tags, is not possible or can't be read."""


class DatasetError(PeekError):
    """The dataset can't be read: no images, labels of another length, a kind of image that is not known."""


class PhotoError(PeekError):
    """The photo can't be looked at: no image, or none that the network can take; or no such place or part of it."""


class NotDrawnError(PeekError, KeyError):
    """A unit of a contact sheet has no picture yet, or can have none."""

    def __str__(self) -> str:  # a KeyError shows its argument quoted
        return str(self.args[0])


class StoreError(FileError):
    """A store can't be read or written, or belongs to something else."""


class SheetStoreError(StoreError):
    """A contact sheet's store can't be read or written, or belongs to another sheet."""


class EvidenceStoreError(StoreError):
    """A file of evidence can't be read, or belongs to another model, other layers or another k."""


class PeekWarning(UserWarning):
    """The base of every warning of this package: an answer may be another one than you expect, and why."""


class HookWarning(PeekWarning):
    """A hook of the model is left out, so that activations differ from those of the model's own forward."""


class BatchWarning(PeekWarning):
    """What the model makes of an image depends on the other images of its batch."""


class RandomWarning(PeekWarning):
    """What the model makes of an image differs from one forward to the next."""


class FieldWarning(PeekWarning):
    """A receptive field is not where the model's layers say."""


class OutputWarning(PeekWarning):
    """The model's result looks squashed by something that was not recognized, so that classes are read behind it."""


class PreprocessWarning(PeekWarning):
    """The preprocessing mixes pixels a little, or draws random numbers."""


class DatasetWarning(PeekWarning):
    """Images were skipped, labels are no classes, or what a dataset's numbers mean was assumed."""


class SurveyWarning(PeekWarning):
    """What units are about by their top images is not borne out by all images."""


def warn(message: str, kind: type[PeekWarning]) -> None:
    """Issue a warning at the line outside this package that led to it, so that Python shows it once for that line."""
    package = str(Path(__file__).parent)
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)
