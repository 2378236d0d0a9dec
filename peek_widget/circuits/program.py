"""A part of a forward, computed repeatedly: from the values that are read to the layers that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.circuits.calls import IMAGE, NONLINEAR, Call, Numbered, Stopped, Wiring, run_forward, wiring_of
from peek_widget.errors import ModelError
from peek_widget.network import Layer, Network
from peek_widget.network.context import call, undisturbed
from peek_widget.network.nested import map_tensors, tensors_in
from peek_widget.network.preactivation import is_carrier

__all__ = ["Part", "Tape", "values_on"]

_MAX_POOLS = frozenset(("max_pool2d", "max_pool2d_with_indices"))
_RESHAPING = frozenset(("view", "view_as", "reshape", "expand", "expand_as", "unsqueeze", "contiguous"))


_REAL = -1


class Part:
    """The calls between the values that are read and some layers, found once.

    A call is named by its value and the number of the layer for which it is made on its inputs' values before that
    layer's last ReLUs; -1 where it is made as the forward makes it.

    Args:
        network: the model.
        values: the values that are read. A layer's dependence on one ends at the others.
        layers: the layers that are computed, before their last ReLUs.

    Attributes:
        kept: the values of the forward that it begins with.
        steps: the calls, in the order in which they are made.
        numbers: their numbers.
        gates: numbers of activation functions whose result scales another value (squeeze-and-excitation, ``x *
            sigmoid(x)``): they stay as they are where nonlinearities are opened.
    """

    def __init__(self, network: Network, values: Iterable[int], layers: Iterable[str]) -> None:
        self.network: Network = network
        self.wiring: Wiring = wiring_of(network)
        self.values: tuple[int, ...] = tuple(dict.fromkeys(values))
        self.layers: tuple[Layer, ...] = tuple(network.layer(name) for name in dict.fromkeys(layers))
        self.kept: set[int] = set(self.values)
        self._depending: dict[int, bool] = dict.fromkeys(self.values, True) | {IMAGE: IMAGE in self.values}
        self._names: dict[tuple[int, int], tuple[int, int]] = {}
        self.steps: dict[tuple[int, int], Call] = {}
        self.results: list[tuple[int, int]] = [
            self._need(self.wiring.outputs[layer.output], number) for number, layer in enumerate(self.layers)
        ]
        self.numbers: frozenset[int] = frozenset(one.number for one in self.steps.values())
        self.gates: frozenset[int] = _gates(self.steps.values(), self.wiring)

    def _depends(self, value: int) -> bool:
        """Return whether a value depends on one of those that are read; computed in call order, without recursion."""
        todo = [value]
        while todo:
            at = todo[-1]
            if at in self._depending:
                todo.pop()
                continue
            needed = self.wiring.calls[at].needed
            unknown = [one for one in needed if one not in self._depending]
            if unknown:
                todo.extend(unknown)
                continue
            self._depending[at] = any(self._depending[one] for one in needed)
            todo.pop()
        return self._depending[value]

    def named(self, value: int, before: int) -> tuple[int, int]:
        """Return the name under which a value is computed: its own, or what it is before a layer's last ReLUs.

        Args:
            value: the value.
            before: number of that layer; -1 for none.
        """
        if before == _REAL:
            return value, _REAL
        if (value, before) not in self._names:
            known = self.layers[before].preactivation
            at, sources = value, dict(known.sources)
            while at != IMAGE and self.wiring.calls[at].squash in known.last:
                one = self.wiring.calls[at]
                number = sources.get(one.squash or 0, 0)
                if number >= len(one.inputs) or one.inputs[number] is None:
                    break
                at = one.inputs[number] or 0
            name = at, _REAL
            if at != IMAGE and is_carrier(self.wiring.calls[at].function):
                carried = any(self.named(one, before) != (one, _REAL) for one in self.wiring.calls[at].needed)
                name = at, before if carried else _REAL
            self._names[value, before] = name
        return self._names[value, before]

    def _need(self, value: int, before: int) -> tuple[int, int]:
        """Note all calls that a value needs, in order; return the name that it is computed under."""
        name = self.named(value, before)
        todo: list[tuple[tuple[int, int], bool]] = [(name, False)]
        while todo:
            step, ready = todo.pop()
            at, bypass = step
            if step in self.steps or at == IMAGE or (at in self.values and bypass == _REAL):
                continue
            if bypass == _REAL and not self._depends(at):
                self.kept.add(at)
                continue
            if ready:
                self.steps[step] = self.wiring.calls[at]
                continue
            todo.append((step, True))
            todo.extend((self.named(one, bypass), False) for one in self.wiring.calls[at].needed)
        return name

    def tape(self, images: Tensor) -> Tape:
        """Run the forward on images ``[N, C, H, W]``, preprocessed, and keep what this part of it begins with."""
        mode = _Keeper(self.wiring, self.kept, self.numbers)
        padded = _padded(self.network, images)
        with undisturbed(self.network.model_copy.device), torch.no_grad():
            run_forward(self.network, mode, padded)
            mode.kept[IMAGE] = self.network.model_copy.as_input(padded)
        return Tape(self, mode.made_calls, mode.kept, tuple(images.shape))


class Tape:
    """The part of one forward, which can be computed again with other values.

    Attributes:
        kept: by value, what the forward had: the values that are read, and whatever else the part needs.
    """

    def __init__(
        self, part: Part, calls: dict[int, tuple[Any, Any]], kept: dict[int, Tensor], shape: tuple[int, ...]
    ) -> None:
        self.part: Part = part
        self.kept: dict[int, Tensor] = kept
        self._calls = calls
        self._shape = shape

    def __call__(self, given: Mapping[int, Tensor], opened: bool = False) -> list[Tensor]:
        """Compute the layers with other values, before their last ReLUs.

        Args:
            given: replacements, by value; values left out are as the forward had them.
            opened: with the nonlinearities open: activation functions pass everything on, maximum pooling averages,
                gates stay as they are.

        Returns:
            for each layer of the part ``[N, C, H, W]`` (``[N, C]`` for a vector), float32.
        """
        made: dict[tuple[int, int], Tensor] = {}

        def find(name: tuple[int, int]) -> Tensor:
            return made[name] if name in made else given[name[0]] if name[0] in given else self.kept[name[0]]

        for (value, before), one in self.part.steps.items():
            if (value, before) in made:
                continue
            args, kwargs = self._calls[one.number]
            inputs = iter(one.inputs)

            def replaced(tensor: Tensor, inputs: Iterator[int | None] = inputs, before: int = before) -> Tensor:
                known = next(inputs)
                return tensor if known is None else find(self.part.named(known, before))

            args, kwargs = map_tensors(args, replaced), map_tensors(kwargs, replaced)
            if one.writes:  # which would change what another computation reads
                args = (args[0].clone(), *args[1:]) if args else args
                kwargs = kwargs if args else map_tensors(kwargs, Tensor.clone)
            gate = one.number in self.part.gates
            output = _opened(one, args, kwargs, gate) if opened else one.function(*args, **kwargs)
            output = args[0] if one.function is Tensor.__setitem__ else output
            for part, tensor in enumerate(tensors_in(output)):
                made[one.number * 1000 + part, before] = tensor
        return [
            layer.layout(find(name), self._shape)[: self._shape[0]].float()
            for layer, name in zip(self.part.layers, self.part.results, strict=True)
        ]


def _gates(calls: Iterable[Call], wiring: Wiring) -> frozenset[int]:
    """Return the numbers of the activation functions whose result multiplies another value of the forward."""
    found = set()
    for one in calls:
        if one.name not in ("mul", "imul") or len(one.needed) < 2:
            continue
        for value in one.needed:
            before = value
            while before in wiring.calls and wiring.calls[before].name in _RESHAPING:
                before = wiring.calls[before].needed[0]
            if before in wiring.calls and wiring.calls[before].name in NONLINEAR:
                found.add(wiring.calls[before].number)
                break
    return frozenset(found)


def _opened(one: Call, args: tuple[Any, ...], kwargs: dict[str, Any], gate: bool) -> Any:
    """Make a call with its nonlinearity open; a gate keeps its value, and passes no gradient on."""
    if gate:
        return one.function(*args, **kwargs).detach()
    if one.name in NONLINEAR:
        return args[0] if args else kwargs["input"]
    if one.name in _MAX_POOLS:
        names = ("input", "kernel_size", "stride", "padding")
        known = dict(zip(names, args, strict=False)) | {name: kwargs[name] for name in names if name in kwargs}
        dilation = args[4] if len(args) > 4 else kwargs.get("dilation", 1)
        if dilation in (1, (1, 1), [1, 1]):
            stride = known.get("stride") or known["kernel_size"]
            ceil = args[5] if len(args) > 5 else kwargs.get("ceil_mode", False)
            return F.avg_pool2d(known["input"], known["kernel_size"], stride, known.get("padding", 0), bool(ceil))
    if one.name in ("adaptive_max_pool2d", "adaptive_max_pool2d_with_indices"):
        return F.adaptive_avg_pool2d(*args[:2])
    return one.function(*args, **kwargs)


class _Keeper(Numbered):
    """Runs a forward and keeps some of its values, and the arguments of some of its calls.

    Args:
        wiring: the calls as they were recorded.
        values: the values to keep.
        numbers: the calls whose arguments are kept; of those that depend on the image only the shapes matter.
    """

    def __init__(self, wiring: Wiring, values: Iterable[int], numbers: frozenset[int]) -> None:
        super().__init__()
        self._by_number: dict[int, Call] = {one.number: one for one in wiring.calls.values()}
        self._values: dict[int, list[int]] = {}
        for value in values:
            if value != IMAGE:
                self._values.setdefault(value // 1000, []).append(value)
        self._numbers = numbers
        self._final = max([*self._values, *numbers], default=-1)
        self._stopped = False
        self.kept: dict[int, Tensor] = {}
        self.made_calls: dict[int, tuple[Any, Any]] = {}

    def made(self, number: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._stopped:  # called by a ``with`` block of the forward as it ends
            return call(func, args, kwargs, self._inference)
        one = self._by_number.get(number)
        if one is not None and one.function is not func:
            raise ModelError(
                "Which units this model's layers read can't be followed: its forward runs other functions for one "
                "image than for another."
            )
        if number in self._numbers and one is not None:
            inputs = iter(one.inputs)
            empty: dict[str, Any] = {"device": "cpu"}

            def without(tensor: Tensor) -> Tensor:
                return tensor if next(inputs) is None else torch.empty(0, **empty)

            with torch._C.DisableTorchFunction():
                self.made_calls[number] = map_tensors(args, without), map_tensors(kwargs, without)
        if number == self._final and not self._values.get(number):
            self._stopped = True
            raise Stopped
        output = call(func, args, kwargs, self._inference)
        if number in self._values:
            results = list(tensors_in(args[0] if func is Tensor.__setitem__ else output))
            with torch._C.DisableTorchFunction():
                for value in self._values[number]:
                    self.kept[value] = results[value % 1000].clone()
        if number == self._final:
            self._stopped = True
            raise Stopped
        return output


def _padded(network: Network, images: Tensor) -> Tensor:
    """Return images, repeated to the smallest number that the forward takes."""
    least = network.model_copy.least_images
    return images if len(images) >= least else images.repeat(least, 1, 1, 1)


def values_on(network: Network, images: Tensor, values: Sequence[int]) -> dict[int, Tensor]:
    """Compute values of the forward on images ``[N, C, H, W]``, preprocessed; nothing after the last is computed."""
    mode = _Keeper(wiring_of(network), values, frozenset())
    with undisturbed(network.model_copy.device), torch.no_grad():
        run_forward(network, mode, _padded(network, images))
    return {value: mode.kept[value][: len(images)] for value in values}
