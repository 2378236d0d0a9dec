"""The layers of a model: found in one dry run of its copy, with units, feature map size and receptive field."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from peek_widget.errors import LayerError, ModelError
from peek_widget.network.model_copy import OUTPUT, ModelCopy, as_tensor
from peek_widget.network.padding import only_pads
from peek_widget.network.preactivation import ActivationTracker, PreActivation
from peek_widget.network.preprocess import Preprocess
from peek_widget.network.receptive_field.layout import Layout, layouts
from peek_widget.network.receptive_field.tracer import Field, FieldTracer

__all__ = ["Layer", "find_layers"]

# Autograd nodes whose output has new units, whatever the input.
_NEW_UNITS = ("Convolution", "MkldnnConvolution", "Addmm", "Mm", "Bmm", "Linear")
# And those that only shift and rescale the units of their input.
_NORMS = ("NativeBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "CudnnBatchNorm", "MiopenBatchNorm", "FusedRmsNorm")


@dataclass(frozen=True)
class Layer:
    """One layer that the model's forward runs and that has units.

    A module that only pads its input (``nn.ZeroPad2d``) is none: its map is that of the layer before it.

    Attributes:
        name: as in ``model.named_modules()``; ``""`` is the model itself, its output. The second call of a module in
            the same forward is a layer of its own, ``"name@2"``, and so on; where a module's output is a sequence of
            tokens, its name stands for the patches, and a class token is the vector layer ``"name@class"`` (further
            ones ``"name@token1"``...).
        kind: class name of the module, e.g. ``"Conv2d"``.
        channels: number of units.
        size: height and width of the feature map at the model's input size; (1, 1) for a vector.
        receptive_field: height and width, in input pixels, of the receptive field of one position; the whole input
            where it is global.
        stride: input pixels from one position of the map to the next, (down, across).
        start: center of the first position's receptive field, in input pixels (y, x).
        rectified: whether the module's output has gone through a ReLU; units are then drawn by their pre-activation.
        primary: whether the layer has units of its own (a convolution, a linear layer, a block that adds or
            concatenates). An activation, normalization, pooling or dropout has the units of the layer before it again.
        index: number of the layer in call order, from 0.
        call: number of the module's call in one forward, from 1.
        global_field: whether every unit depends on the whole image, whatever its size.
        output: name of the module output that the layer is, or is a part of (``name`` without the token).
        layout: how that output is brought to ``[N, C, H, W]``.
        preactivation: which ReLU calls of the forward that output comes from.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int]
    receptive_field: tuple[int, int]
    stride: tuple[int, int]
    rectified: bool
    primary: bool = True
    index: int = 0
    start: tuple[float, float] = (0.0, 0.0)
    global_field: bool = field(default=False, repr=False)
    call: int = 1
    output: str = field(default="", repr=False)
    layout: Layout = field(default=Layout((0, 1)), repr=False, compare=False)
    preactivation: PreActivation = field(default=PreActivation(), repr=False, compare=False)

    @property
    def spatial(self) -> bool:
        """Whether the feature map has more than one position."""
        return self.size != (1, 1)


class _DryRun(TorchFunctionMode):
    """A mode around one forward that records receptive fields, ReLU calls and the number of convolutions."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.fields = FieldTracer(image)
        self.activations = ActivationTracker()
        self.convolutions = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        self.activations.called(func, args, kwargs, output)
        self.convolutions += func in (torch.conv2d, F.conv2d)
        self.fields.called(func, args, kwargs, output)
        return output


@dataclass(frozen=True)
class _Output:
    """A module's output as it was when the module returned; a later function may write into the tensor.

    Attributes:
        name: name of the module, with ``@2`` for its second call, and so on.
        kind: class name of the module.
        shape: shape of the tensor.
        field: its receptive field; None if it does not depend on the image.
        made_by: the autograd node that made it.
        call: number of the module's call, from 1.
        preactivation: which ReLU calls it comes from.
        composite: whether the module has children or parameters; a bare activation or pooling has neither.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    field: Field | None
    made_by: Any
    call: int
    preactivation: PreActivation
    composite: bool


@torch.enable_grad()
def find_layers(
    model_copy: ModelCopy, channels: int, size: int, preprocess: Preprocess
) -> tuple[list[Layer], dict[str, str | None], int]:
    """Run the copy's forward once, on a gray image, and list its layers in call order.

    Args:
        model_copy: the model.
        channels: number of channels of the image.
        size: side of the image in pixels.
        preprocess: what the image goes through before it is given to the model.

    Returns:
        the layers, the last one the model's output; the modules that only pad their input, each with the name of the
        layer whose map that is, None for that of no listed layer; and the number of 2d convolutions in the forward.

    Raises:
        ModelError: if the forward's output does not depend on the image, or is not that of one image.
        Exception: whatever the model's forward raises.
    """
    image = torch.full((1, channels, size, size), 0.5, device=model_copy.device, dtype=torch.float32)
    # A clone, because a model may write into its input, and autograd forbids writing into a leaf.
    image = preprocess(image).to(model_copy.dtype).detach().requires_grad_().clone()
    run = _DryRun(image)
    outputs, padded = _run_forward(model_copy, image, run)
    final = outputs[-1] if outputs and outputs[-1].name == OUTPUT else None
    if final is None or final.field is None:
        raise ModelError("its forward returns no tensor that depends on the image")
    if final.shape[0] != 1:
        raise ModelError(f"of one image of {size} px it made a batch of {final.shape[0]}, so that is not its size")
    found = _list_layers(outputs, final, size, run.activations.rectifiers)
    listed = {layer.name for layer in found}
    paddings = {name: before if before in listed else None for name, before in padded.items()}
    return found, paddings, run.convolutions


def _run_forward(model_copy: ModelCopy, image: Tensor, run: _DryRun) -> tuple[list[_Output], dict[str, str | None]]:
    """Run the forward; return what its modules returned, and for those that only pad whose map they were given."""
    outputs: list[_Output] = []
    padded: dict[str, str | None] = {}
    names = {module: name for name, module in model_copy.module.named_modules()}
    calls: dict[str, int] = {}
    made: dict[Any, str | None] = {}  # by the autograd node that made a tensor, the module that returned it
    handles = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        name = names[module]
        calls[name] = call = calls.get(name, 0) + 1
        full_name = name if call == 1 else f"{name}@{call}"
        try:
            value = as_tensor(output, name)
        except LayerError:
            return  # it returns no tensor, so it has no units and is not listed
        source = only_pads(module, name, inputs, value) if name != OUTPUT else None
        if source is not None:
            padded[full_name] = made.get(source.grad_fn)
            made.setdefault(value.grad_fn, padded[full_name])
            return
        made[value.grad_fn] = full_name
        outputs.append(
            _Output(
                full_name,
                type(module).__name__,
                tuple(value.shape),
                run.fields.of(value),
                value.grad_fn,
                call,
                run.activations.of(value),
                any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False)),
            )
        )

    try:
        handles.extend(module.register_forward_hook(hook) for module in model_copy.module.modules())
        with run:
            model_copy.module(image)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, padded


def _list_layers(outputs: list[_Output], final: _Output, size: int, rectifiers: set[int]) -> list[Layer]:
    layers: list[Layer] = []
    # Of each autograd node that made a primary layer's output: the number of that layer if its module is a bare
    # activation or the like, so that the block around it can replace it; None if not.
    primary: dict[Any, int | None] = {}
    last_grid = (1, 1)
    for one in outputs:
        if one.field is None:  # it does not depend on the image, so there is nothing to draw
            continue
        parts = layouts(one.shape, one.field, last_grid)
        if not parts:
            continue
        # The model's output is always primary, under its own name. A container that only returns what a module within
        # it made is not, unless that module is a bare activation: the container is then primary in its place.
        activation = primary.get(one.made_by)
        if one is not final and one.composite and activation is not None:
            layers[activation] = replace(layers[activation], primary=False)
            new = True
        else:
            new = one is final or not (one.made_by is final.made_by or _repeats(one.made_by, primary))
            if new and one is not final and _kind(one.made_by) in _NORMS:
                new = False  # it normalizes a sum or a concatenation of primary layers
                primary[one.made_by] = None
        if new:
            primary[one.made_by] = None if one.composite else len(layers)
        for part, layout in parts.items():
            layer = _layer(one, part, layout, size, primary=new, index=len(layers), rectifiers=rectifiers)
            layers.append(layer)
            if layout.token is None and layer.spatial:
                last_grid = layer.size
    return layers


def _layer(
    output: _Output, part: str, layout: Layout, size: int, *, primary: bool, index: int, rectifiers: set[int]
) -> Layer:
    assert output.field is not None
    field = output.field
    channels, *positions = (output.shape[dim] for dim in layout.order[1:])
    mapped = len(positions) > 0 and layout.token is None
    height, width = (layout.grid or (positions[0], positions[1])) if mapped else (1, 1)
    whole = field.whole or not mapped
    receptive_field = (size, size) if whole else (math.ceil(field.size[0]), math.ceil(field.size[1]))
    stride = (size / height, size / width) if whole and field.axes is None else field.stride
    if whole and (height, width) == (1, 1):
        stride = (size, size)
    return Layer(
        f"{output.name}@{part}" if part else output.name,
        output.kind,
        channels,
        (height, width),
        receptive_field,
        (max(1, round(stride[0])), max(1, round(stride[1]))),
        rectified=bool(output.preactivation.last & rectifiers),
        primary=primary,
        index=index,
        start=field.start,
        global_field=whole,
        call=output.call,
        output=output.name,
        layout=layout,
        preactivation=output.preactivation,
    )


def _repeats(made_by: Any, primary: Container[Any]) -> bool:
    """Tell whether a tensor is a primary layer's output that was only rescaled, gated, cut, pooled or the like.

    Args:
        made_by: the autograd node that made the tensor.
        primary: the nodes that made the primary layers' outputs.
    """
    todo, visited = [made_by], set()
    while todo:
        node = todo.pop()
        if node in primary:
            return True
        if node is None or node in visited:
            continue
        visited.add(node)
        kind = _kind(node)
        inputs = [n for n, _ in node.next_functions if n is not None]
        # A product (squeeze-and-excitation) scales the units that are there, and makes no new ones.
        if kind not in _NEW_UNITS and (len(inputs) == 1 or kind == "Mul"):
            todo.extend(inputs)
    return False


def _kind(node: Any) -> str:
    return node.name().split("Backward")[0]
