"""The dry run: one forward of a model's copy that records everything there is to know about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from peek_widget.errors import ModelError
from peek_widget.network.context import Calls, call
from peek_widget.network.gradients import GradientTracker, call_with_graph
from peek_widget.network.nested import tensors_in
from peek_widget.network.preactivation import ActivationTracker
from peek_widget.network.receptive_field.tracer import FieldTracer

__all__ = ["BadPreprocessError", "DryRun", "NothingReturnedError", "RefusalError", "Seen"]


class RefusalError(ModelError):
    """Raised for a model that can't be read at any size or number of channels, so no other is tried."""


class NothingReturnedError(ModelError):
    """Raised when a forward returned no tensor that depends on the image, which no other size would change."""


class BadPreprocessError(ModelError):
    """Raised when a preprocess function raises, or returns something other than images."""


@dataclass
class Seen:
    """What a dry run saw, even if the forward raised.

    Attributes:
        convolutions: number of convolutions that were computed.
        dimensions: of the last convolution that was begun, the number of dimensions that it slides over.
        lacking: for a convolution that raised, the number of channels that it takes and that it got.
        squeezed: whether ``squeeze()`` has removed the dimension of a single image.
        key: the key that the forward looked up in a tensor as if it were a dict.
        numpy: whether what depends on the image was converted to numpy.
        flat: number of values of a whole map that a linear layer (or a view) takes of each image, where it was given
            another; and the shape (channels, rows, columns) of the map that it was given.
    """

    convolutions: int = 0
    dimensions: int = 2
    lacking: tuple[int, int] | None = None
    squeezed: bool = False
    key: str | None = None
    numpy: bool = False
    flat: tuple[int, tuple[int, int, int]] | None = None


class DryRun(Calls):
    """A mode around one forward that records receptive fields, ReLU calls and cut gradients.

    Args:
        image: the network's input.
        original: the user's model, no tensor of which may be used.
        seen: filled in during the forward.
    """

    def __init__(self, image: Tensor, original: nn.Module, seen: Seen) -> None:
        super().__init__()
        self.fields: FieldTracer = FieldTracer(image)
        self.gradients: GradientTracker = GradientTracker(image)
        self.activations: ActivationTracker = ActivationTracker(lambda tensor: self.gradients.of(tensor)[0])
        self._seen = seen
        self._map: tuple[int, int, int] | None = None
        self._kind = type(original).__name__
        self._theirs = {id(one): name for name, one in (*original.named_parameters(), *original.named_buffers())}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = list(tensors_in([args, kwargs]))
        for tensor in given:
            if id(tensor) in self._theirs:
                raise RefusalError(_TIED.format(kind=self._kind, name=self._theirs[id(tensor)]))
        begun = self.activations.begin(func, args, kwargs)
        if "conv" in name:
            output = self._convolve(func, args, kwargs)
        else:
            self._look(name, args, kwargs)
            # Buffers that are written into stay detached.
            writes = name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
            depending = any(self.fields.of(tensor) is not None for tensor in given)
            depending = depending and (not writes or given[0].requires_grad)
            output = (call_with_graph if depending else _call)(func, args, kwargs)
            if depending and not any(self.gradients.of(tensor)[0] for tensor in given):
                output = _without_graph(output)
        if isinstance(output, Tensor) and output.ndim == 4:
            self._map = (output.shape[1], output.shape[2], output.shape[3])
        self.activations.called(func, args, kwargs, output, begun)
        self.fields.called(func, args, kwargs, output)
        self.gradients.called(func, args, kwargs, output)
        return output

    def _convolve(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        image = args[0] if args else kwargs.get("input")
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        known = isinstance(image, Tensor) and isinstance(weight, Tensor) and weight.ndim > 2
        if known:
            self._seen.dimensions = weight.ndim - 2
            if weight.ndim == 5 and image.ndim < 5 and self.fields.of(image) is not None:
                # torch would take the image for a single-channel volume.
                raise RefusalError(_VOLUMES.format(kind=self._kind))
        try:
            output = call_with_graph(func, args, kwargs) if known else _call(func, args, kwargs)
        except RuntimeError:
            if known and image.ndim == weight.ndim:
                groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
                takes = weight.shape[0] if "transpose" in func.__name__ else weight.shape[1] * int(groups)
                if takes != image.shape[1]:
                    self._seen.lacking = takes, image.shape[1]
            raise
        self._seen.convolutions += 1
        return output

    def _look(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record, before the call ``name``, what may explain a failure of the forward."""
        if name in ("squeeze", "squeeze_"):
            tensor = next(tensors_in([args, kwargs]))
            given = kwargs.get("dim", args[1] if len(args) == 2 else args[1:] or None)
            dims = range(tensor.ndim) if given is None else given if isinstance(given, (tuple, list)) else (given,)
            of_image = self.fields.of(tensor) is not None and tensor.ndim and tensor.shape[0] == 1
            self._seen.squeezed |= bool(of_image and any(dim in (0, -tensor.ndim) for dim in dims))
        elif name in ("numpy", "__array__", "tolist"):
            self._seen.numpy |= self.fields.of(args[0]) is not None
        elif name in ("linear", "view", "reshape") and self._map is not None and len(args) > 1:
            if name == "linear":
                taken, given = args[1].shape[-1], args[0].shape[-1]
            else:
                sizes = args[1] if isinstance(args[1], (tuple, list)) else args[1:]
                taken, given = sizes[-1], args[0][0].numel() if args[0].ndim == 4 and len(sizes) == 2 else sizes[-1]
            if isinstance(taken, int) and 1 < taken != given == math.prod(self._map):
                self._seen.flat = taken, self._map
        elif name in ("__getitem__", "__contains__") and len(args) > 1 and isinstance(args[1], str):
            self._seen.key = args[1]
            if name == "__getitem__":  # torch gives the same answer, with a deprecation warning
                raise TypeError("new(): invalid data type 'str'")


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return call(func, args, kwargs, inference=False)


def _without_graph(output: Any) -> Any:
    """Detach scalars that have no gradient in the model's own forward, so that torch converts them to plain numbers."""
    if isinstance(output, Tensor):
        return output.detach() if output.ndim == 0 and output.grad_fn is not None else output
    if isinstance(output, tuple):
        made = tuple(map(_without_graph, output))
        return made if type(output) is tuple else type(output)(made)
    return output


_TIED = (
    "The forward of a {kind} uses {name!r} of your own model, where the copy that runs should use its own: some "
    "function or object in it refers to the model itself (a global variable, say). Let it use the self or the module "
    "that it is given."
)

_VOLUMES = (
    "A {kind} takes volumes or videos [N, C, D, H, W] (its convolutions are 3-dimensional), but images [N, C, "
    "H, W] are drawn: wrap it in a Module whose forward makes a volume of each image, e.g. "
    "self.model(images.unsqueeze(2).expand(-1, -1, 16, -1, -1)) for a video of 16 equal frames."
)
