"""Merging evidence gathered in parts, by several processes or jobs of a batch system."""

from __future__ import annotations

import glob
import itertools
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from peek_widget.errors import EvidenceStoreError, PeekError
from peek_widget.evidence.dataset import DatasetLike
from peek_widget.evidence.evidence import Evidence, LayerEvidence
from peek_widget.evidence.example_index import ExampleIndex
from peek_widget.evidence.shards import missing_shards
from peek_widget.evidence.store import index_bytes, index_of_bytes, read_index
from peek_widget.network import ModelCopy, Network

__all__ = ["Difference", "difference", "merge_evidence"]

_NAMED = 4


class Difference(NamedTuple):
    """A setting in which two pieces of evidence differ, and its values."""

    what: str
    was: Any
    now: Any


def difference(was: ExampleIndex, now: ExampleIndex) -> Difference | None:
    """Return the first setting in which two pieces of evidence differ; None if they can be merged."""
    if tuple(was.layers) != tuple(now.layers):
        return Difference("layers", ", ".join(was.layers), ", ".join(now.layers))
    for name, one in was.layers.items():
        other = now.layers[name]
        shapes = [(index.units, *index.size) for index in (one, other)]
        if shapes[0] != shapes[1]:
            return Difference(f"{name!r} of units and map", *shapes)
        kept = [(index.k, index.per_image) for index in (one, other)]
        if kept[0] != kept[1]:
            return Difference("k and per_image", *kept)
    inputs = [(p.channels, p.size.plain, p.resize, p.interpolation, p.prepared) for p in (was.preparer, now.preparer)]
    if inputs[0] != inputs[1]:
        return Difference("(channels, input size, resize, interpolation, prepared)", *inputs)
    ramps = [example_index.on_a_ramp for example_index in (was, now)]
    if all(ramps) and not _close(*ramps):
        shown = (", ".join(f"{mean:.3g} ({spread:.3g})" for mean, spread in ramp[:_NAMED]) for ramp in ramps)
        what = "a preprocessing that gives the channels of a test image the mean (and deviation)"
        return Difference(what, *shown)
    quick = [(one.preparer.decoding, one.precision) for one in (was, now)]
    if quick[0] != quick[1]:
        return Difference("(decoding, precision)", *quick)
    ranges = [example_index.preparer.ranges.given for example_index in (was, now)]
    if ranges[0] != ranges[1]:
        return Difference("value_range", *ranges)
    if was.grouping and now.grouping:
        groups = [one.names if one.named else "those of the labels" for one in (was.grouping, now.grouping)]
        if groups[0] != groups[1]:
            return Difference("groups", *groups)
        if was.grouping.named:
            for label in was.label_counts | now.label_counts:
                inside = [one.grouping.judged(label, label in one.label_counts) for one in (was, now) if one.grouping]
                if None not in inside and inside[0] != inside[1]:
                    said = (", ".join(map(repr, one or ())) or "none" for one in inside)
                    return Difference(f"groups of which the label {label!r} is in", *said)
    if None not in (was.fingerprint, now.fingerprint) and was.fingerprint != now.fingerprint:
        return Difference("the model of fingerprint", was.fingerprint, now.fingerprint)
    return None


def _close(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> bool:
    """Tell whether two preprocessings do the same, but for what processors round differently."""
    pairs = zip(itertools.chain(*one), itertools.chain(*other), strict=False)
    return len(one) == len(other) and all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in pairs)


def merge_evidence(
    parts: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Evidence | LayerEvidence],
    dataset: DatasetLike | None = None,
    *,
    model: nn.Module | ModelCopy | Network | None = None,
    incomplete: bool = False,
) -> Evidence:
    """Merge the evidence of several parts of a dataset into that of all of them.

    The result is that of one pass over all the images, bit for bit, however they were divided: in each job of a batch
    system ``top_crops(model, layers, "photos", shard=(job, jobs), store=f"parts/{job}.safetensors")``, then

    >>> crops = merge_evidence("parts/*.safetensors", "photos")["features.12"]

    Args:
        parts: the files, or a pattern of their names (where there is a file of this name, it is that one); or what
            :func:`~peek_widget.top_crops` returned.
        dataset: where the images are; without it there is everything but the images themselves.
        model: the model that they were gathered with; see :meth:`Evidence.attach`.
        incomplete: merge what there is, although parts that ``shard=`` divided the dataset into are missing, or were
            ended before their last image.

    Raises:
        EvidenceStoreError: if one can't be read, was gathered with another model, other layers or other settings than
            the first, or has images that another has too; or if a part is missing, or not complete.
        PeekError: if there is none.
    """
    named: list[tuple[str, ExampleIndex]] = [(_name(one, i), _index(one)) for i, one in enumerate(_listed(parts))]
    if not named:
        raise PeekError(f"There is nothing to merge in {parts!r}: give files that evidence.save(path) has written.")
    first, whole = named[0]
    if not incomplete:
        for name, part in named:
            _check_ended(name, part)
    # The given evidence stays unchanged.
    whole = index_of_bytes(index_bytes(whole))
    for name, part in named[1:]:
        _check(first, whole, name, part)
        whole.merge(part)
        whole.fingerprint = whole.fingerprint or part.fingerprint
        whole.class_names = whole.class_names or part.class_names
        whole.on_a_ramp = whole.on_a_ramp or part.on_a_ramp
    missing = missing_shards(whole.shards)
    if missing and not incomplete:
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        several = len({one[3:] for one in whole.shards}) > 1
        changed = " If all are to be of one dataset, images were added, taken away or renamed meanwhile." * several
        raise EvidenceStoreError(
            f"Parts of the dataset are missing among those that were given: {', '.join(missing[:_NAMED])}{more}. Run "
            f"top_crops with each, and give its file too; or merge what there is, with incomplete=True.{changed}"
        )
    return Evidence(whole).attach(dataset, model=model)


def _check_ended(name: str, part: ExampleIndex) -> None:
    """Raise EvidenceStoreError for a part whose pass was ended before its last image."""
    images = sum(one.images for one in part.shards)
    if len(part.processed) < images:
        which = ", ".join(map(str, part.shards))
        raise EvidenceStoreError(
            f"{name} has {len(part.processed):,} of the {images:,} images of its part of the dataset ({which}): its "
            "pass was ended before. The same call of top_crops goes on from the file; or merge what there is, with "
            "incomplete=True."
        )


def _check(first: str, whole: ExampleIndex, name: str, part: ExampleIndex) -> None:
    """Raise EvidenceStoreError for a part that can't be merged with those before it."""
    found = difference(whole, part)
    if found is None and whole.class_names and part.class_names and whole.class_names != part.class_names:
        found = Difference("the classes", len(whole.class_names), f"{len(part.class_names)}, or others")
    if found is None:
        found = _groups_of_one_alone(whole, part)
    if found is None:
        chosen, others = whole.preparer.ranges.chosen, part.preparer.ranges.chosen
        kind = next((kind for kind in chosen if others.get(kind, chosen[kind]) != chosen[kind]), None)
        if kind is not None:
            raise EvidenceStoreError(
                f"In {first} numbers of {kind} were taken to go from black to white from {chosen[kind][0]:g} to "
                f"{chosen[kind][1]:g}, in {name} from {others[kind][0]:g} to {others[kind][1]:g}: say in all passes "
                "which it is, with value_range=(black, white)."
            )
    if found is not None:
        raise EvidenceStoreError(
            f"{first} was gathered with {found.what} {found.was}, and {name} with {found.now}: only parts of one pass "
            "can be merged, of the same model with the same settings. Leave one of them out, or gather it again."
        )
    shared = whole.processed.common(part.processed)
    if shared is not None:
        raise EvidenceStoreError(
            f"{name} has images that are in the parts before it, too (image number {shared} is one): a part is given "
            "twice, or two passes have begun from the same images (shard=(number, count) gives each its own)."
        )


def _groups_of_one_alone(whole: ExampleIndex, part: ExampleIndex) -> Difference | None:
    """Return the difference if only one of the two has kept groups."""
    alone = (whole.grouping is None) != (part.grouping is None)
    given = whole.grouping or part.grouping
    if not alone or given is None or not given.named:
        return None
    return Difference("groups", *("none" if one.grouping is None else one.grouping.names for one in (whole, part)))


def _listed(parts: Any) -> list[Any]:
    if isinstance(parts, (str, os.PathLike)):
        pattern = os.fspath(parts)
        magic = glob.has_magic(pattern) and not os.path.exists(pattern)  # brackets in a name are not a pattern
        return sorted(glob.glob(pattern)) if magic else [pattern]
    if isinstance(parts, (Evidence, LayerEvidence)) or not isinstance(parts, Iterable):
        raise PeekError(
            f"merge_evidence takes several parts, a list of files or of what top_crops(...) returned; a "
            f"{type(parts).__name__} was given."
        )
    return list(parts)


def _name(part: Any, number: int) -> str:
    return repr(os.fspath(part)) if isinstance(part, (str, os.PathLike)) else f"part {number}"


def _index(part: Any) -> ExampleIndex:
    if isinstance(part, (str, os.PathLike)):
        return read_index(Path(part))
    if isinstance(part, LayerEvidence):
        part = part.evidence
    if isinstance(part, Evidence):
        return part.example_index
    raise PeekError(f"A part is a {type(part).__name__}: give a file, or what top_crops(...) returned.")
