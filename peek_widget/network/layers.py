"""The layers of a model: found in one dry run of its copy, with units, feature map size and receptive field."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget._size import Size
from peek_widget.errors import LayerError, ModelError
from peek_widget.network.dry_run import BadPreprocessError, DryRun, NothingReturnedError, Seen
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.nested import map_tensors, tensors_in
from peek_widget.network.outputs import OUTPUT, as_tensor, parts_of
from peek_widget.network.padding import only_pads
from peek_widget.network.preactivation import ActivationTracker, PreActivation
from peek_widget.network.preprocess import Preprocess
from peek_widget.network.receptive_field.field import Field, without_order
from peek_widget.network.receptive_field.layout import Layout, layouts, unknown_layout

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
        stride: input pixels from one position of the map to the next, (down, across): below 1 where the map is larger
            than the image.
        start: center of the first position's receptive field, in input pixels (y, x).
        rectified: whether the module's output has gone through a ReLU; units are then drawn by their pre-activation.
        primary: whether the layer has units of its own (a convolution, a linear layer, a block that adds or
            concatenates). An activation, normalization, pooling or dropout has the units of the layer before it again.
        index: number of the layer in call order, from 0.
        call: number of the module's call in one forward, from 1.
        global_field: whether every unit depends on the whole image, whatever its size, or on an unknown part of it.
        differentiable: whether a gradient reaches the image from it. Where none does, its units can't be drawn.
        cuts: what in the forward cuts gradients between the image and some part of the layer, e.g.
            ``"torch.no_grad()"``, ``"detach()"``.
        squashed: names of the functions that saturate, or a softmax, that the module's output has gone through, e.g.
            ``"sigmoid"``; units are drawn and measured before them (the logits of a class). But for softmaxes, only of
            what the model returns.
        output: name of the module output that the layer is, or is a part of (``name`` without the token).
        layout: how that output is brought to ``[N, C, H, W]``.
        preactivation: which ReLU calls of the forward that output comes from.
        traced: the fields of its positions one by one, as far as they are known.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int]
    receptive_field: tuple[int, int]
    stride: tuple[float, float]
    rectified: bool
    primary: bool = True
    index: int = 0
    start: tuple[float, float] = (0.0, 0.0)
    global_field: bool = field(default=False, repr=False)
    call: int = 1
    output: str = field(default="", repr=False)
    layout: Layout = field(default=Layout((0, 1)), repr=False, compare=False)
    preactivation: PreActivation = field(default=PreActivation(), repr=False, compare=False)
    traced: Field | None = field(default=None, repr=False, compare=False)
    differentiable: bool = True
    cuts: tuple[str, ...] = ()
    squashed: tuple[str, ...] = ()

    @property
    def spatial(self) -> bool:
        """Whether the feature map has more than one position."""
        return self.size != (1, 1)

    @property
    def exclusive(self) -> bool:
        """Whether at most one class is meant to be active, as far as the forward tells: it has no sigmoid for each
        class.

        A model trained on several labels may also return plain scores, which can't be told from the model.
        """
        return all("softmax" in name for name in self.squashed)


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
        differentiable, cuts: see :class:`Layer`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    field: Field | None
    made_by: Any
    call: int
    preactivation: PreActivation
    composite: bool
    differentiable: bool
    cuts: tuple[str, ...]


@torch.enable_grad()
def find_layers(
    model_copy: ModelCopy, channels: int, size: Size, preprocess: Preprocess, seen: Seen, images: int = 1
) -> tuple[list[Layer], dict[str, str | None]]:
    """Run the copy's forward once, on a gray image, and list its layers in call order.

    Args:
        model_copy: the model.
        channels: number of channels of the image.
        size: size of the image in pixels.
        preprocess: what the image goes through before it is given to the model.
        seen: filled in, also where the forward raises.
        images: number of equal images that the model is given at once.

    Returns:
        the layers, the last one the model's output; and the modules that only pad their input, each with the name of
        the layer whose map that is, None for that of no listed layer.

    Raises:
        ModelError: if the forward's output does not depend on the image, or is not that of so many images; if the
            model, or preprocess, can't be used at all.
        Exception: whatever the model's forward raises.
    """
    image = torch.full((images, channels, *size), 0.5, device=model_copy.device, dtype=torch.float32)
    # A clone, because a model may write into its input, and autograd forbids writing into a leaf.
    image = _prepared(image, preprocess).to(model_copy.dtype).detach().requires_grad_().clone()
    run = DryRun(image, model_copy.original, seen)
    outputs, padded = _run_forward(model_copy, image, run)
    if model_copy.settle(image):  # without the hooks that only look, whose functions the run has seen
        run = DryRun(image, model_copy.original, seen)
        outputs, padded = _run_forward(model_copy, image, run)
    final = outputs[-1] if outputs and outputs[-1].name == OUTPUT else None
    if final is None or final.field is None:
        raise NothingReturnedError("its forward returns no tensor that depends on the image")
    if final.shape[:1] != (images,):
        if len(final.shape) < 2:
            raise ModelError(
                f"of {_counted(images)} it made a result of shape {list(final.shape)}, without a dimension for the "
                "images (by x[0], flatten() or squeeze() in its forward?), where [images, units] is needed"
            )
        made = f"a batch of {final.shape[0]}"
        raise ModelError(
            f"of {_counted(images)} of {size} px it made {made}: its forward probably reshapes to a fixed number of "
            "values (x.view(-1, ...)), which suits images of another size"
        )
    found = _list_layers(outputs, final, size, run.activations)
    listed = {layer.name for layer in found}
    if OUTPUT not in listed:
        raise NothingReturnedError("its output has no values")
    return found, {name: before if before in listed else None for name, before in padded.items()}


def _counted(images: int) -> str:
    return "one image" if images == 1 else f"{images} images"


def _prepared(image: Tensor, preprocess: Preprocess) -> Tensor:
    """Return the network's input for an image ``[N, C, H, W]`` in [0, 1]."""
    try:
        prepared = preprocess(image)
    except Exception as error:
        raise BadPreprocessError(
            f"preprocess raised {type(error).__name__}: {error}. It is called with a tensor of images [N, C, H, W] in "
            f"[0, 1], here of shape {tuple(image.shape)}: give a function of such tensors, a Preprocess(mean, std), or "
            "'none'."
        ) from error
    if not isinstance(prepared, Tensor) or prepared.ndim != 4:
        what = f"shape {tuple(prepared.shape)}" if isinstance(prepared, Tensor) else f"a {type(prepared).__name__}"
        raise BadPreprocessError(
            f"preprocess returned {what} for images of shape {tuple(image.shape)}: it must return a tensor "
            "[N, C, H, W]."
        )
    return prepared


def _run_forward(model_copy: ModelCopy, image: Tensor, run: DryRun) -> tuple[list[_Output], dict[str, str | None]]:
    """Run the forward; return the outputs of its modules, and for modules that only pad, whose map they got."""
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
            return  # without a tensor it has no units, and is not listed
        source = only_pads(module, name, inputs, value) if name != OUTPUT else None
        if name == OUTPUT:
            run.activations.returned = frozenset().union(
                *(run.activations.of(one).last for one in tensors_in(parts_of(output)))
            )
        if source is not None:
            padded[full_name] = made.get(source.grad_fn)
            made.setdefault(value.grad_fn, padded[full_name])
            return
        made[value.grad_fn] = full_name
        differentiable, cuts = run.gradients.of(value)
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
                differentiable,
                tuple(sorted(cuts)),
            )
        )

    try:
        handles.extend(module.register_forward_hook(hook) for module in model_copy.module.modules())
        model_copy.forward(image, mode=run)
    finally:
        for handle in handles:
            handle.remove()
        for module in names:
            _forget_graph(module)
    return outputs, padded


def _forget_graph(module: nn.Module) -> None:
    """Detach what modules keep of a forward in their attributes, since the next forward may use it."""
    for name, value in list(vars(module).items()):
        kept = [tensor for tensor in tensors_in(value) if tensor.grad_fn is not None]
        if any(tensor._is_view() for tensor in kept):
            vars(module)[name] = map_tensors(value, Tensor.detach)
            continue
        for tensor in kept:
            tensor.detach_()  # the same object, by which writes of the forward are recognized


def _list_layers(outputs: list[_Output], final: _Output, size: Size, activations: ActivationTracker) -> list[Layer]:
    layers: list[Layer] = []
    # Of each autograd node that made a primary layer's output: the number of that layer if its module is a bare
    # activation or the like, so that the block around it can replace it; None if not.
    primary: dict[Any, int | None] = {}
    last_grid = (1, 1)
    for one in outputs:
        if one.field is None:  # without dependence on the image there is nothing to draw
            continue
        # The dimension of images has one entry for each that was given; of any other number it is something else.
        shape = (1, *one.shape[1:]) if one.shape[:1] == final.shape[:1] else ()
        parts = layouts(shape, one.field, last_grid, size)
        if not parts and one is final and 0 not in shape:
            # The model's result is a layer, whatever it is: units in the usual place, and positions that are anywhere.
            parts = {"": unknown_layout(shape)}
            one = final = replace(one, field=without_order(one.field, None, "forward"))
        if not parts:
            continue
        # The model's output is always primary, under its own name. A container that only returns what a module within
        # it made is not, unless that module is a bare activation: the container is then primary in its place.
        activation = primary.get(one.made_by)
        if one is not final and one.composite and activation is not None:
            layers[activation] = replace(layers[activation], primary=False)
            new = True
        else:
            new = one is final or not (
                one.made_by is final.made_by or _repeats(one.made_by, primary, activations.same_units)
            )
            if new and one is not final and _kind(one.made_by) in _NORMS:
                new = False  # it normalizes a sum or a concatenation of primary layers
                primary[one.made_by] = None
        if new:
            primary[one.made_by] = None if one.composite else len(layers)
        for part, layout in parts.items():
            layer = _layer(one, part, layout, size, primary=new, index=len(layers), activations=activations)
            layers.append(layer)
            if layout.token is None and layer.spatial:
                last_grid = layer.size
    return layers


def _layer(
    output: _Output, part: str, layout: Layout, size: Size, *, primary: bool, index: int, activations: ActivationTracker
) -> Layer:
    before = activations.read_before(output.preactivation)
    assert output.field is not None
    field = output.field
    channels, *positions = layout.sizes(output.shape)
    mapped = len(positions) > 0 and layout.token is None
    height, width = (layout.grid or (positions[0], positions[1])) if mapped else (1, 1)
    whole = field.whole or not mapped
    receptive_field = (size.height, size.width) if whole else (math.ceil(field.size[0]), math.ceil(field.size[1]))
    stride = field.stride
    if stride is None or (whole and (height, width) == (1, 1)):
        stride = (size.height / height, size.width / width)
    return Layer(
        f"{output.name}@{part}" if part else output.name,
        output.kind,
        channels,
        (height, width),
        receptive_field,
        (_plain(stride[0]), _plain(stride[1])),
        rectified=bool(before.last & activations.rectifiers),
        primary=primary,
        index=index,
        start=field.start,
        global_field=whole,
        call=output.call,
        output=output.name,
        layout=layout,
        preactivation=before,
        traced=field if mapped else None,
        differentiable=output.differentiable,
        cuts=output.cuts,
        squashed=tuple(sorted({activations.squashes[number] for number in before.last & activations.squashes.keys()})),
    )


def _plain(number: float) -> float:
    """Return a whole number as an int, so that it prints without a decimal point."""
    return int(number) if number == int(number) else number


def _repeats(made_by: Any, primary: Container[Any], same_units: Mapping[Any, Any]) -> bool:
    """Return whether a tensor is a primary layer's output that was only rescaled, gated, cut, pooled or the like.

    Args:
        made_by: the autograd node that made the tensor.
        primary: the nodes that made the primary layers' outputs.
        same_units: of some nodes, another whose units they have.
    """
    todo, visited = [made_by], set()
    while todo:
        node = todo.pop()
        if node in primary:
            return True
        if node is None or node in visited:
            continue
        visited.add(node)
        if node in same_units:
            todo.append(same_units[node])
            continue
        kind = _kind(node)
        inputs = [n for n, _ in node.next_functions if n is not None]
        # A product (squeeze-and-excitation) rescales units, and makes no new ones.
        if kind not in _NEW_UNITS and (len(inputs) == 1 or kind == "Mul"):
            todo.extend(inputs)
    return False


def _kind(node: Any) -> str:
    return "" if node is None else node.name().split("Backward")[0]
