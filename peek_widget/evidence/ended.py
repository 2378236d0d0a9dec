"""How a pass that can't continue, or found nothing, says so: what happened, and what became of what it had found."""

from __future__ import annotations

from pathlib import Path

import torch

from peek_widget.errors import DatasetError
from peek_widget.evidence.evidence import Evidence, EvidenceError
from peek_widget.evidence.example_index import ExampleIndex
from peek_widget.evidence.source import Source
from peek_widget.network.memory import device_error

__all__ = ["check_found", "ended_early"]


def ended_early(
    cause: BaseException | str, found: Evidence, images: int | None, device: torch.device, store: Path | None
) -> EvidenceError:
    """Return the error of a pass that can't continue.

    Args:
        cause: the exception; or what happened, as the end of a sentence.
        found: what it had found.
        images: number of images that it was over; None for a stream.
        device: the network's device.
        store: file that it was saved to; None for none.
    """
    gone = None if isinstance(cause, str) else device_error(cause)
    text = cause if isinstance(cause, str) else f"{type(cause).__name__}: {cause}"
    if gone is not None:
        text = f"{device} does not answer any more ({gone.rstrip('.')})"
    of = "" if images is None else f" of {images:,}"
    ended = f"The pass ended after {found.example_index.count:,}{of} images: {text}."
    if gone is None:
        after = (
            "What it found in them is in the error's .found; resume=error.found lets another pass continue from there."
        )
    else:
        if store is None:
            kept = "but with store= it would be saved every minute, and another pass goes on from there"
        elif store.exists():
            kept = f"but what was saved is in {str(store)!r}, and another pass goes on from there"
        else:
            kept = f"and nothing had been saved in {str(store)!r} yet: another pass starts from the beginning"
        after = f"Restart Python. What it found is lost with the device, {kept}."
    return EvidenceError(f"{ended} {after}", found, ended, text)


def check_found(example_index: ExampleIndex, source: Source, ended: bool, stopped: bool) -> None:
    """Raise DatasetError if not one image could be read.

    Args:
        example_index: what the pass gathered.
        source: its dataset.
        ended: whether that is a stream that has ended.
        stopped: whether the pass was ended by its user.
    """
    if not example_index.count and ended and not example_index.skipped:
        raise DatasetError(f"The dataset is {source.described}, which gave no image: is it used up?")
    if not example_index.count and example_index.skipped and not stopped:
        name, reason = next(iter(example_index.reasons.items()))
        raise DatasetError(
            f"None of the {example_index.skipped:,} items of {source.described} could be read as an image; the "
            f"first ({name}) because {reason}."
        )
