"""The arguments of an ascent: their names and types, and their conversion."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec, SupportsIndex, TypedDict, TypeVar, get_type_hints

import torch
from torch import Tensor

from peek_widget._size import SizeLike
from peek_widget.ascent.objective import Objective, unit_objective
from peek_widget.ascent.pictures import Picture
from peek_widget.errors import PeekError
from peek_widget.network import Network, Preprocess
from peek_widget.network.precision import Precision
from peek_widget.network.preprocess import PreprocessFunction

__all__ = ["AscentOptions", "Objectives", "as_objectives", "as_seeds", "named_unit", "with_options"]

Objectives = Objective | str | Sequence[Objective | str]
"""An objective, or ``"layer:unit"`` for a unit as in Lucid; a list draws a batch, one picture for each."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class AscentOptions(TypedDict, total=False):
    """The keyword arguments that ``ascend``, ``render`` and ``Ascent`` have in common."""

    seed: int | Sequence[int]
    """Seed of the initial noise and of the views; a list gives one to each picture."""

    size: SizeLike | None
    """Size of the pictures in pixels: the side of a square, or (height, width). Left out, the recipe's, else the
    model's input size, both in the shape of what the pictures stand for (see ``peek_widget.ascent.geometry``)."""

    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None
    """What turns an image in [0, 1] into the network's input; left out, the model's own, see
    ``peek_widget.network.find_preprocess``."""

    device: str | torch.device | None
    """Where to run; left out, the model's own device."""

    input_size: SizeLike | None
    """Size of the image that the model was made for: the side of a square in pixels, or (height, width); found by trial
    when left out."""

    precision: Precision | None
    """What the network computes in: ``"float32"``, its own, or ``"bf16"``, where the CPU or GPU has units for bfloat16:
    its convolutions and matrix products alone, while picture, spectrum, optimizer and measured activations remain in
    float32. PeekError where there are none. Left out, what suits the network and the machine, see
    ``peek_widget.network.chosen_precision``."""

    threads: int | None
    """Number of CPU threads that torch computes on; left out, ``PEEK_THREADS`` in the environment, or one less than
    there are cores: on cores that others keep busy, threads that wait for each other are many times slower than one."""

    start: Picture | None
    """A picture to begin from in place of the recipe's ``init``: a PIL image, an array ``[H, W, C]``, a tensor
    ``[C, H, W]`` or ``[N, C, H, W]`` in [0, 1]; the largest part of its center in the pictures' shape is taken."""

    spectrum: Tensor | None
    """Magnitudes ``[C, T, T // 2 + 1]`` for ``param="maco"``, as ``measure_spectrum`` gives them; left out, that of
    photographs, or a power law for pictures of one channel."""


_DEFAULTS: AscentOptions = {"seed": 0}  # None for all others


def with_options(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Spell out the ``**options: Unpack[AscentOptions]`` of a function: in its signature, and as defaults at a call.

    A type checker reads them from the ``TypedDict``; this is for ``help()``, completion and wrong names.
    """
    hints = get_type_hints(AscentOptions)
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=hint)
        for name, hint in hints.items()
    ]
    parameters = inspect.signature(function).parameters.values()
    first = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    last = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    signature = inspect.signature(function).replace(parameters=[*first, *options, *last])

    @functools.wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            # worded as Python does for a function without options
            raise TypeError(f"{function.__qualname__}() {error}") from None
        bound.apply_defaults()
        arguments: Any = bound
        return function(*arguments.args, **arguments.kwargs)

    vars(call)["__signature__"] = signature
    return call


def as_objectives(network: Network, objective: object) -> tuple[Objective, ...]:
    """Return one objective for each picture; ``"layer:unit"`` becomes the unit's default objective.

    Raises:
        PeekError: if it is anything else.
        LayerError, UnitError: if the network has no such layer or unit.
    """
    given = list(objective) if isinstance(objective, (list, tuple)) else [objective]
    found = [_unit(network, one) if isinstance(one, str) else one for one in given]
    if not found or not all(isinstance(one, Objective) for one in found):
        raise PeekError(
            f"{objective!r} is not an objective: give Channel(layer, unit), Neuron(layer, unit), Logit(unit), "
            '"layer:unit", or a list of such.'
        )
    return tuple(one.resolve(network) for one in found)


def _unit(network: Network, text: str) -> Objective:
    return unit_objective(network, *named_unit(network, text))


def named_unit(network: Network, text: str) -> tuple[str, int]:
    """Return the layer and the number of a unit given as ``"layer:unit"``.

    Raises:
        PeekError: if the text has another form.
        LayerError, UnitError: if the network has no such layer or unit.
    """
    layer, colon, unit = text.rpartition(":")
    if not colon or not (unit.isascii() and unit.isdigit()):
        raise PeekError(
            f'{text!r} names no unit: give "layer:unit", e.g. "features.12:10", or ":207" for a class; or an objective '
            "such as Channel(layer, unit)."
        )
    network.check_unit(layer, int(unit))
    return layer, int(unit)


def as_seeds(seed: object, count: int) -> tuple[int, ...]:
    """Return one seed for each of ``count`` pictures.

    Raises:
        PeekError: if it is neither a whole number from 0 to 2**63 - 1 nor a list with one for each picture.
    """
    seeds = tuple(seed) if isinstance(seed, (list, tuple)) else (seed,) * count
    if len(seeds) != count:
        raise PeekError(f"{len(seeds)} seeds for {count} objectives: give one number, or one for each.")
    for one in seeds:
        if isinstance(one, bool) or not isinstance(one, SupportsIndex) or not 0 <= int(one) < 2**63:
            raise PeekError(f"seed={one!r}: give a whole number from 0 to {2**63 - 1}.")
    return tuple(int(one) for one in seeds)
