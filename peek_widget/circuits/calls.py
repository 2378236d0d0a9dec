"""The graph of a model's forward as it really runs: which torch function computes which value from which."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.errors import LayerError, ModelError
from peek_widget.network import ModelCopy, Network
from peek_widget.network.context import Calls, call, undisturbed
from peek_widget.network.nested import tensors_in
from peek_widget.network.outputs import as_tensor, forward_raised
from peek_widget.network.preactivation import storage_of
from peek_widget.network.receptive_field.functions import name_of, writes
from peek_widget.network.rectifiers import Derived

__all__ = ["IMAGE", "NONLINEAR", "Call", "Numbered", "Stopped", "Wiring", "names", "run_forward", "wiring_of"]

IMAGE = -1
"""Number of the value that is the network's input."""


def names(words: str) -> frozenset[str]:
    """Return the words of a text as a set: names of functions, each of which has several spellings in torch."""
    return frozenset(words.split())


NONLINEAR = names(
    """
        relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign hardtanh hardswish hardsigmoid
        threshold prelu rrelu sigmoid tanh logsigmoid clamp clip clamp_min hardshrink softshrink tanhshrink
        """
)
"""Activation functions: after one a unit is still the same unit, at as many positions."""


@dataclass(frozen=True)
class Call:
    """One call of a torch function whose result depends on the image.

    Attributes:
        number: its index among all calls of the forward, from 0; also the number of its (first) result as a value.
        function: the function.
        name: its name, without the underscores of methods and of in-place variants.
        inputs: for each tensor among its arguments, the value that it holds; None for one that does not depend on the
            image (a weight).
        shapes: the shapes of these tensors.
        writes: whether it writes into its first argument.
        squash: its number among the calls that units may be read before, as a PreActivation counts them; None if it is
            not one of them.
        part: which of its results a value is; a call with several results is listed once for each.
        shape: shape of that result.
    """

    number: int
    function: Callable[..., Any]
    name: str
    inputs: tuple[int | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    writes: bool
    squash: int | None
    part: int = 0
    shape: tuple[int, ...] = ()

    @property
    def needed(self) -> tuple[int, ...]:
        """The values that the call is computed from."""
        return tuple(one for one in self.inputs if one is not None)


@dataclass
class Wiring:
    """The calls of a forward on one image, and which values its modules return.

    A value is named by ``number * 1000 + part`` of the call that made it, :data:`IMAGE` the network's input.

    Attributes:
        calls: by the value, the call that made it.
        outputs: by a module's name (``"name@2"`` for its second call) the value that it returned.
        problem: what can't be followed, as the end of a sentence; "" if everything can.
    """

    calls: dict[int, Call] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def check(self) -> None:
        """Raise ModelError if something in the forward can't be followed."""
        if self.problem:
            raise ModelError(
                f"Which units this model's layers read can't be followed: its forward {self.problem}. Pictures and "
                "dataset examples of its units work as ever; circuits do not."
            )


def wiring_of(network: Network) -> Wiring:
    """Return the wiring of a network, recorded by one forward on first use.

    Raises:
        ModelError: if something in the forward can't be followed.
    """
    known = _KNOWN.get(network.model_copy)
    if known is None:
        device = network.model_copy.device
        with undisturbed(device), torch.no_grad():
            gray = torch.full((1, network.channels, *network.size), 0.5, device=device, dtype=torch.float32)
            image = network.preprocess(gray)
            try:
                known = _record(network, image)
            except ModelError:
                network.run(image, [network.layers[-1].name])  # finds out whether it takes another memory format
                known = _record(network, image)
        _KNOWN[network.model_copy] = known
    known.check()
    return known


_KNOWN: weakref.WeakKeyDictionary[ModelCopy, Wiring] = weakref.WeakKeyDictionary()


class Stopped(BaseException):
    """A signal that ends a forward early; not an Exception, so that no ``except Exception`` catches it."""


class Numbered(Calls):
    """A mode that counts the calls of a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.count: int = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        number, self.count = self.count, self.count + 1
        return self.made(number, func, args, kwargs or {})

    def made(self, number: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call with that number, and return what it returns."""
        raise NotImplementedError


def run_forward(
    network: Network, mode: Numbered, images: Tensor, returned: Callable[[str, Any], None] | None = None
) -> None:
    """Run a forward of the copy in a mode, until it ends or the mode raises :class:`Stopped`.

    Args:
        network: the model.
        mode: intercepts the calls.
        images: the network's input, preprocessed.
        returned: called after each module, with its name as a layer's output and what it returned.

    Raises:
        ModelError: if the model's forward raised; the cause is chained.
    """
    model_copy = network.model_copy
    names = {module: name for name, module in model_copy.module.named_modules()}
    counts: dict[str, int] = {}
    handles = []

    def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
        name = names[module]
        counts[name] = count = counts.get(name, 0) + 1
        if returned is not None:
            returned(name if count == 1 else f"{name}@{count}", output)

    images = model_copy.as_input(images)
    try:
        if returned is not None:
            handles.extend(module.register_forward_hook(hook) for module in names)
        model_copy.forward(images, mode=mode)
    except Stopped:
        pass
    except ModelError:
        raise
    except Exception as error:
        raise forward_raised(error, images) from error
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(Numbered):
    """Records the calls of a forward.

    Args:
        image: the network's input.
        wiring: filled in.
    """

    def __init__(self, image: Tensor, wiring: Wiring) -> None:
        super().__init__()
        self._wiring = wiring
        # By the tensor's id. The tensor is kept as well, since the id of one that is garbage collected may be reused.
        self._values: dict[int, tuple[Tensor, int]] = {id(image): (image, IMAGE)}
        self._sharing: dict[int, list[Tensor]] = {storage_of(image): [image]}
        self._stale: set[int] = set()
        self._derived = Derived()
        self._squashes = 0

    def value(self, tensor: Tensor) -> int | None:
        """Return the value that a tensor now holds; None if it does not depend on the image."""
        entry = self._values.get(id(tensor))
        return None if entry is None else entry[1]

    def made(self, number: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        role = self._derived.role(func, args, kwargs)
        squash = None
        if role is not None:
            squash, self._squashes = self._squashes, self._squashes + 1
        given = list(tensors_in([args, kwargs]))
        inputs = tuple(self.value(one) for one in given)
        shapes = tuple(tuple(one.shape) for one in given)
        output = call(func, args, kwargs, self._inference)
        self._derived.called(func, args, kwargs, output, role)
        if all(one is None for one in inputs):
            return output
        name, writing = name_of(func), writes(func, kwargs)
        if self._stale & {one for one in inputs if one is not None} and not self._wiring.problem:
            self._wiring.problem = f"writes into a part of a map that it reads later (before {name!r})"
        made = args[0] if func is Tensor.__setitem__ else output
        for part, tensor in enumerate(tensors_in(made)):
            value = number * 1000 + part
            shape = tuple(tensor.shape)
            self._wiring.calls[value] = Call(number, func, name, inputs, shapes, writing, squash, part, shape)
            self._keep(tensor, value, writing)
        return output

    def _keep(self, tensor: Tensor, value: int, writing: bool) -> None:
        group = self._sharing.setdefault(storage_of(tensor), [])
        if writing:  # other tensors on the same memory no longer hold the values that they were made with
            self._stale |= {self._values[id(one)][1] for one in group if one is not tensor}
        if not any(one is tensor for one in group):
            group.append(tensor)
        self._values[id(tensor)] = tensor, value


def _record(network: Network, image: Tensor) -> Wiring:
    wiring = Wiring()
    model_copy = network.model_copy
    # in the form that the forward takes, so that it gets this very tensor
    images = model_copy.as_input(image.repeat(max(1, model_copy.least_images), 1, 1, 1))
    mode = _Recorder(images, wiring)

    def returned(name: str, output: Any) -> None:
        with contextlib.suppress(LayerError):  # calls no torch function, since those are counted
            value = mode.value(as_tensor(output, name))
            if value is not None:
                wiring.outputs[name] = value

    run_forward(network, mode, images, returned)
    return wiring
