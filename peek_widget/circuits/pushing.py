"""The classes that units push: what each unit adds to every class on its own top crops, found by holding it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from peek_widget._optional import optional_import
from peek_widget._progress import progress_bar
from peek_widget._size import SizeLike
from peek_widget.circuits.feeding import class_name
from peek_widget.circuits.measure import hold, statistics_of
from peek_widget.circuits.program import Part
from peek_widget.circuits.reads import Read, activation_value, check_layer, readers_of
from peek_widget.circuits.shown import Examples, Shown, examples_of
from peek_widget.errors import PeekError
from peek_widget.evidence import LayerEvidence
from peek_widget.evidence.dataset import Label
from peek_widget.network import OUTPUT, ModelCopy, Network, Preprocess, PreprocessFunction, read
from peek_widget.network.context import undisturbed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pushed_classes"]

_LEAST_IMAGES = 8  # needed to tell whether labels are the numbers of the model's classes
_LEAST_SHARE = 0.2  # of these images that the model has to take for the class with the label's number


def pushed_classes(
    model: nn.Module | ModelCopy | Network,
    evidence: LayerEvidence,
    units: Iterable[int] | None = None,
    *,
    k: int = 3,
    count: int = 3,
    progress: bool | Callable[[int, int], object] | None = None,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """Measure which classes the units of a layer push up and down: a row for each unit and class.

    On a unit's top crops the classes (the model's output before a softmax) are computed as they are, and with the unit
    held at its median over real images; the difference is what the unit adds to each class there, on whatever path.
    This is a measurement, not a gradient: to first order a unit that saturates a later one would count for what it no
    longer changes. ``survey(crops, pushes=pushed_classes(model, crops))`` lists it beside what the unit is about.

    Args:
        model: the model that the evidence was gathered with.
        evidence: evidence of one layer, as ``top_crops(model, layer, dataset)`` returns it, with its dataset.
        units: numbers of the units; left out, all of the layer. Each costs a forward on its crops, and another one
            from the layer on.
        k: number of crops of each unit.
        count: number of classes that are listed of those pushed up, and of those pushed down.
        progress: None shows a progress bar for what takes more than two seconds, True at once, False never; or a
            function that is called with the number of units done and of all.
        input_size, preprocess, device: see :func:`~peek_widget.network.read`; as the pass had them.

    Returns:
        a DataFrame with the columns ``unit``, ``class`` (number), ``name`` (where the model has ``class_names``, or the
        dataset as many; else ""), ``push`` (in the units of the output, mean over the crops; largest first, below
        0 for a class that is pushed down) and ``crops`` (their number). A unit without a crop, and one that
        changes no class, have no row. Its ``attrs["numbered_alike"]`` is whether whole-number labels are the numbers of
        the model's classes, by whether it takes the images for the classes with their labels' numbers: a fifth of them
        at least, and twice as many as by chance; None where fewer than 8 images have such a label.

    Raises:
        PeekError: if the layer is the model's output, an option is not possible, or pandas is not installed.
        EvidenceStoreError: if the evidence was gathered with other weights.
        DatasetError: if the images are not available.
        LayerError, UnitError: if the layer has no circuit (see :func:`~peek_widget.circuits.circuit`), or no such unit.
    """
    pandas = optional_import("pandas")
    if not isinstance(evidence, LayerEvidence):
        raise PeekError(
            "pushed_classes takes the evidence of one layer, as top_crops(model, layer, dataset) returns it; a "
            f"{type(evidence).__name__} was given (of several layers take one: evidence[layer])."
        )
    for option, value in (("k", k), ("count", count)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise PeekError(f"{option}={value!r}: give a whole number from 1.")
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    layer = check_layer(network, evidence.name)
    if layer.name == OUTPUT:
        raise PeekError("The units of the output are the classes themselves: give the evidence of an earlier layer.")
    numbers = list(range(len(evidence)) if units is None else units)
    for unit in numbers:
        network.check_unit(layer.name, unit)
    examples = examples_of(network, evidence)
    assert examples is not None
    values = {value for _, value in readers_of(network, layer.name)}
    only = Read(layer.name, values.pop() if len(values) == 1 else activation_value(network, layer.name))
    part = Part(network, [only.value], [OUTPUT])
    names = evidence.class_names
    called = progress if callable(progress) else None
    rows = []
    taken_for: dict[int, tuple[Label, int]] = {}  # by image, its label and the class that the model takes it for
    classes = 0
    with progress_bar(len(numbers), "Classes", False if callable(progress) else progress, unit="unit") as bar:
        for done, unit in enumerate(numbers, 1):
            shown = examples.of(network, layer.name, unit, k)
            if shown is not None:
                change, taken = _change(network, part, only, unit, examples, shown)
                classes = len(change)
                taken_for.update({c.index: (c.label, one) for c, one in zip(shown.crops, taken, strict=True)})
                order = change.argsort(descending=True, stable=True).tolist()
                for one in dict.fromkeys([*order[:count], *order[-count:]]):
                    name = class_name(network, OUTPUT, one) or (names[one] if len(names) == len(change) else "")
                    if float(change[one]) != 0.0:
                        rows.append((unit, one, name, float(change[one]), len(shown.crops)))
            bar.update(1)
            if called is not None:
                called(done, len(numbers))
    found = pandas.DataFrame(rows, columns=["unit", "class", "name", "push", "crops"])
    found.attrs["layer"] = layer.name
    found.attrs["numbered_alike"] = _numbered_alike([*taken_for.values()], classes)
    return found


def _numbered_alike(taken_for: Sequence[tuple[Label, int]], classes: int) -> bool | None:
    """Return whether labels are the numbers of the model's classes; None where too few are numbers to tell.

    Args:
        taken_for: of each image, its label and the class that the model takes it for.
        classes: number of the model's classes.
    """
    right = [label == taken for label, taken in taken_for if isinstance(label, int)]
    if len(right) < _LEAST_IMAGES:
        return None
    return sum(right) >= max(_LEAST_SHARE, min(2.0 / classes, 0.75)) * len(right)


def _change(
    network: Network, part: Part, only: Read, unit: int, examples: Examples, shown: Shown
) -> tuple[Tensor, list[int]]:
    """Return what each class loses when the unit is held, and what the images are taken for.

    Returns:
        the losses, mean over the images, ``[classes]`` on the CPU; and of each image the highest class's number.
    """
    medians = statistics_of(network, [only], examples, shown)[only.value][0]
    found, taken = [], []
    for piece in shown.inputs.split(1) if network.one_at_a_time else (shown.inputs,):
        tape = part.tape(piece)
        held = hold(network, only, tape.kept[only.value], unit, medians)
        with undisturbed(network.model_copy.device), torch.no_grad():
            (before,), (after,) = tape({}), tape({only.value: held})
            before, after = (one.flatten(2).mean(2) if one.ndim > 2 else one for one in (before, after))
            found.append(before - after)
            taken += before.argmax(1).tolist()
    return torch.cat(found).float().mean(0).cpu(), taken
