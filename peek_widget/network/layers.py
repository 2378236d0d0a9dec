"""Which layers a model runs, read off one dry run of its ghost."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, SupportsIndex

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from peek_widget.errors import LayerError, ModelError, PeekError, SizeError, UnitError
from peek_widget.network.forward import PreActivation, Squashers
from peek_widget.network.model_copy import OUTPUT, ModelCopy, as_tensor
from peek_widget.network.preprocess import Preprocess, find_preprocess
from peek_widget.network.published import torchvision_name
from peek_widget.network.receptive_field.layout import Layout, layouts
from peek_widget.network.receptive_field.tracer import Field, FieldTracer

__all__ = ["Layer", "Network", "layers", "read"]

# Tried in turn when nothing says which size a model takes; the first is what most ImageNet models were made for.
_SIZES = (224, 32, 28, 64, 96, 128, 227, 256, 299, 160, 192, 48, 40, 16, 20, 24, 8, 384, 512)

_NO_CONVOLUTION = (
    "A {kind} runs no convolution on its image, so it has no channels to look into: give a convolutional network."
)

_WORTH_CUTTING = 0.9  # of a side: a part that is larger is not worth cutting out

# Autograd nodes whose output has units of its own, whatever goes in.
_MAKERS = ("Convolution", "MkldnnConvolution", "Addmm", "Mm", "Bmm", "Linear")
# And those that only shift and rescale the units that went in.
_NORMS = ("NativeBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "CudnnBatchNorm", "MiopenBatchNorm", "FusedRmsNorm")


@dataclass(frozen=True)
class Layer:
    """One layer that the model's forward runs and that has units.

    Attributes:
        name: as in ``model.named_modules()``; ``""`` is the model itself, its output. A module that is called
            again in the same forward is a layer more, ``"name@2"`` and so on; where its output are tokens, the
            patches have its name, and a class token is the vector ``"name@class"`` (others ``"name@token1"``...).
        kind: class name of the module, e.g. ``"Conv2d"``.
        channels: number of units.
        size: height and width of its map for the model's input size; (1, 1) for a vector.
        receptive_field: height and width, in input pixels, of what one place of the map sees; the whole input
            where a unit sees all of it.
        stride: input pixels from one place of the map to the next, down and across.
        start: the middle of what the map's first place sees, in input pixels (y, x).
        rectified: whether its output has already gone through a ReLU; it is then drawn by what goes into it.
        shown: whether it has units of its own (a convolution, a linear layer, a block that joins or adds); an
            activation, normalization, pooling or dropout shows its predecessor's again.
        index: its place among the layers, from 0.
        call: which call of its module in one forward it is, from 1.
        sees_all: whether its units see the whole image, whatever its size.
        output: of which module output it is a part: its name without the token.
        layout: how that output is brought into its shape.
        lift: where its last ReLUs are in the forward.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int]
    receptive_field: tuple[int, int]
    stride: tuple[int, int]
    rectified: bool
    shown: bool = True
    index: int = 0
    start: tuple[float, float] = (0.0, 0.0)
    sees_all: bool = field(default=False, repr=False)
    call: int = 1
    output: str = field(default="", repr=False)
    layout: Layout = field(default=Layout((0, 1)), repr=False, compare=False)
    lift: PreActivation = field(default=PreActivation(), repr=False, compare=False)

    @property
    def spatial(self) -> bool:
        """Whether its units have more than one place."""
        return self.size != (1, 1)


@dataclass(frozen=True)
class Network:
    """A model as read: its ghost, its layers, and what it expects of an image.

    Attributes:
        ghost: the structural copy that is run.
        layers: in call order.
        channels: of the input image.
        input_size: side in pixels of the image that the model was read with, its own where that is known.
        preprocess: what its input goes through.
    """

    model_copy: ModelCopy
    layers: tuple[Layer, ...]
    channels: int
    input_size: int
    preprocess: Preprocess

    @functools.cached_property
    def _fixed(self) -> dict[int, bool]:
        return {}

    def run(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Activations of the named layers before their last ReLUs, for prepared ``images [N, C, H, W]``.

        Returns:
            for each name ``[N, C, H, W]`` (or ``[N, C]`` for a vector), float32; nothing past the last is computed.

        Raises:
            LayerError: if there is no such layer.
            ModelError: if the model's forward raised; the cause is chained.
        """
        found = {name: self.layer(name) for name in names}
        lifts = {layer.output: layer.lift for layer in found.values()}
        values = self.model_copy.run(images, lifts, lifts)
        return {name: layer.layout(values[layer.output], tuple(images.shape)) for name, layer in found.items()}

    def fixed(self, name: str) -> bool:
        """Whether the layer can only be computed from ``input_size`` px; found by trial at another size."""
        place = self.layer(name).index
        # What runs at another size shows that all before it does, and what does not, that none behind it does.
        for tried, is_fixed in self._fixed.items():
            if tried <= place if is_fixed else tried >= place:
                return is_fixed
        self._fixed[place] = not self.runs_at(name, self.input_size + 32)
        return self._fixed[place]

    def layer(self, name: str) -> Layer:
        """The layer of that name, as it is listed or as the module is called in the user's own model.

        GoogLeNet's published names (``inception_4c/output``) mean torchvision's layers.

        Raises:
            LayerError: if there is none, with near names; or if the forward never runs it.
        """
        if not isinstance(name, str):
            raise LayerError(f"A layer is named by a string, as in named_modules(); {type(name).__name__} was given.")
        by_name = self._by_name
        if name in by_name:
            return by_name[name]
        resolved = self.model_copy.resolve(name)
        if resolved is None and "inception3a" in by_name:
            resolved = torchvision_name(name)
        if resolved in by_name:
            return by_name[resolved]
        like = self.model_copy.without_wrappers(name)
        near = difflib.get_close_matches(like, by_name, n=4, cutoff=0.4) or [n for n in by_name if n][:4]
        hint = f"near names: {', '.join(near)}; layers(model) lists all {len(by_name)}."
        if resolved is not None and "@" not in resolved:
            raise LayerError(
                f"The layer {name!r} is in the model, but has no units that can be drawn: its forward never runs it, "
                f"or it returns no map and no vector. Possible are {hint}"
            )
        raise LayerError(f"The model has no layer {name!r}; {hint}")

    @functools.cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def check_unit(self, name: str, unit: int) -> None:
        """Refuse a unit that the layer does not have (UnitError)."""
        channels = self.layer(name).channels
        if isinstance(unit, bool) or not isinstance(unit, SupportsIndex):
            raise UnitError(f"A unit is a whole number from 0 to {channels - 1}; {unit!r} was given.")
        if not 0 <= unit < channels:
            where = f"Layer {name!r}" if name else "The model's output"
            raise UnitError(f"{where} has {channels} units, numbered 0 to {channels - 1}; unit {unit} was asked for.")

    def runs_at(self, name: str, size: int) -> bool:
        """Whether the layer can be computed from a square image of that side."""
        probe = torch.zeros(1, self.channels, size, size, device=self.model_copy.device, dtype=torch.float32)
        try:
            with torch.no_grad():
                value = self.run(self.preprocess(probe), [name])[name]
        except (PeekError, RuntimeError, ValueError):
            return False
        return value.numel() > 0

    def middle_part(self, name: str, size: int) -> tuple[int, int, int] | None:
        """Which part of a square image of that side decides alone about the units in the middle of a layer's map.

        As far as their field reaches, and room round it, so that no padding of the part's own comes into it; held
        against the whole image by trial.

        Returns:
            its first row, first column and side: the middle of its map is then the middle of the whole image's. None
            where it would be nearly all of the image, or the trial says that more of it has a say.
        """
        key = self.layer(name).name, size
        if key not in self._parts:
            self._parts[key] = self._find_part(self.layer(name), size)
        return self._parts[key]

    @functools.cached_property
    def _parts(self) -> dict[tuple[str, int], tuple[int, int, int] | None]:
        return {}

    def _find_part(self, layer: Layer, size: int) -> tuple[int, int, int] | None:
        side = max(layer.receptive_field) + 2 * max(layer.stride)
        if layer.sees_all or not layer.spatial or side > _WORTH_CUTTING * size:
            return None
        draws = torch.Generator().manual_seed(0)
        shape = (1, self.channels, size, size)
        image = torch.rand(shape, generator=draws, dtype=torch.float32, device="cpu").to(self.model_copy.device)

        def run(part: Tensor) -> Tensor:
            with torch.no_grad():
                return self.run(self.preprocess(part), [layer.name])[layer.name]

        try:
            whole, part = run(image), run(image[:, :, :side, :side])
            middles = [[(places - 1) // 2 for places in one.shape[2:]] for one in (whole, part)]
            top, left = ((a - b) * step for a, b, step in zip(*middles, layer.stride, strict=True))
            if not (0 <= top <= size - side and 0 <= left <= size - side):
                return None
            part = run(image[:, :, top : top + side, left : left + side])
        except (PeekError, RuntimeError, ValueError):
            return None
        ours, theirs = (one[0, :, y, x] for one, (y, x) in zip((part, whole), reversed(middles), strict=True))
        same = bool((ours - theirs).abs().max() <= 1e-4 * theirs.abs().max())
        return (top, left, side) if same else None

    def minimum(self, name: str) -> int:
        """The smallest side in pixels from which the layer can be computed (and from there to the input size)."""
        low, high = 1, self.input_size
        while low < high:
            middle = (low + high) // 2
            if self.runs_at(name, middle):
                high = middle
            else:
                low = middle + 1
        return high


def _kind(node: Any) -> str:
    return node.name().split("Backward")[0]


class _DryRun(TorchFunctionMode):
    """Round a forward: writes down fields, ReLUs and whether there was a convolution."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.fields = FieldTracer(image)
        self.squashers = Squashers()
        self.convolutions = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        self.squashers.called(func, args, kwargs, output)
        self.convolutions += func in (torch.conv2d, F.conv2d)
        self.fields.called(func, args, kwargs, output)
        return output

    def repeats(self, made_by: Any, shown: Container[Any]) -> bool:
        """Whether a tensor is a shown layer's output that was only rescaled, gated, cut off, pooled or the like."""
        todo, seen = [made_by], set()
        while todo:
            node = todo.pop()
            if node in shown:
                return True
            if node is None or node in seen:
                continue
            seen.add(node)
            kind = _kind(node)
            inputs = [n for n, _ in node.next_functions if n is not None]
            # A product (squeeze-and-excitation) makes units louder or softer, and no new ones.
            if kind not in _MAKERS and (len(inputs) == 1 or kind == "Mul"):
                todo.extend(inputs)
        return False


@dataclass(frozen=True)
class _Output:
    """A module's output as it was when the module returned: later functions may write into the tensor."""

    name: str
    kind: str
    shape: tuple[int, ...]
    field: Field | None
    made_by: Any
    call: int
    lift: PreActivation
    joins: bool  # a container, or a module with parameters


def _first_channels(model: nn.Module) -> int:
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not nn.parameter.is_lazy(module.weight):
            return module.in_channels
    return 3


def _own_size(model: nn.Module) -> int | None:
    size = getattr(model, "input_size", None)
    config = getattr(model, "pretrained_cfg", None)
    if size is None and isinstance(config, dict):
        size = config.get("input_size")
    if isinstance(size, (tuple, list)) and size:
        size = size[-1]
    return size if isinstance(size, int) and size > 0 else None


@torch.enable_grad()
def _dry_run(model_copy: ModelCopy, channels: int, size: int, preprocess: Preprocess) -> tuple[list[Layer], _DryRun]:
    image = torch.full((1, channels, size, size), 0.5, device=model_copy.device, dtype=torch.float32)
    # A clone, because a model may write into its input, and a leaf can't be written into.
    image = preprocess(image).to(model_copy.dtype).detach().requires_grad_().clone()
    mode = _DryRun(image)
    outputs: list[_Output] = []
    names = {module: name for name, module in model_copy.module.named_modules()}
    calls: dict[str, int] = {}
    handles = []

    def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
        name = names[module]
        calls[name] = call = calls.get(name, 0) + 1
        try:
            value = as_tensor(output, name)
        except LayerError:
            return  # returns no tensor: it has no units, and is not listed
        outputs.append(
            _Output(
                name if call == 1 else f"{name}@{call}",
                type(module).__name__,
                tuple(value.shape),
                mode.fields.of(value),
                value.grad_fn,
                call,
                mode.squashers.of(value),
                any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False)),
            )
        )

    try:
        handles.extend(module.register_forward_hook(hook) for module in model_copy.module.modules())
        with mode:
            model_copy.module(image)
    finally:
        for handle in handles:
            handle.remove()

    final = outputs[-1] if outputs and outputs[-1].name == OUTPUT else None
    if final is None or final.field is None:
        raise ModelError("its forward returns no tensor that depends on the image")
    if final.shape[0] != 1:
        raise ModelError(f"of one image of {size} px it made a batch of {final.shape[0]}, so that is not its size")
    found: list[Layer] = []
    shown: dict[Any, int | None] = {}
    last_grid = (1, 1)
    for one in outputs:
        if one.field is None:  # does not depend on the image: there is nothing to draw
            continue
        parts = layouts(one.shape, one.field, last_grid)
        if not parts:
            continue
        # The model's output is always shown, under its own name; a container that only hands a tensor on is not,
        # unless it was a bare activation that it got it from.
        activation = shown.get(one.made_by)
        if one is not final and one.joins and activation is not None:
            found[activation] = replace(found[activation], shown=False)
            new = True
        else:
            new = one is final or not (one.made_by is final.made_by or mode.repeats(one.made_by, shown))
            if new and one is not final and _kind(one.made_by) in _NORMS:
                new = False  # what it normalizes are sums and joins of what is shown
                shown[one.made_by] = None
        if new:
            shown[one.made_by] = None if one.joins else len(found)
        for part, layout in parts.items():
            channels, *places = (one.shape[dim] for dim in layout.order[1:])
            mapped = len(places) > 0 and layout.token is None
            height, width = (layout.grid or (places[0], places[1])) if mapped else (1, 1)
            if mapped and (height, width) != (1, 1):
                last_grid = (height, width)
            whole = one.field.whole or not mapped
            seen = (size, size) if whole else (math.ceil(one.field.size[0]), math.ceil(one.field.size[1]))
            stride = (size / height, size / width) if whole and one.field.axes is None else one.field.stride
            if whole and (height, width) == (1, 1):
                stride = (size, size)
            found.append(
                Layer(
                    f"{one.name}@{part}" if part else one.name,
                    one.kind,
                    channels,
                    (height, width),
                    seen,
                    (max(1, round(stride[0])), max(1, round(stride[1]))),
                    rectified=bool(one.lift.last & mode.squashers.rectifiers),
                    shown=new,
                    index=len(found),
                    start=one.field.start,
                    sees_all=whole,
                    call=one.call,
                    output=one.name,
                    layout=layout,
                    lift=one.lift,
                )
            )
    return found, mode


# What is made in inference mode can never be part of an ascent: neither the ghost's buffers nor the dry run's graph.
@torch.inference_mode(False)
def read(
    model: nn.Module | ModelCopy,
    input_size: int | None = None,
    preprocess: Any = None,
    device: str | torch.device | None = None,
) -> Network:
    """Read a model by one dry run of its ghost.

    Args:
        model: the user's model (or its ghost); it is neither run nor changed.
        input_size: side in pixels of the square image that it was made for. Left out, it is
            ``model.input_size`` or timm's ``pretrained_cfg``, else found by trial: 224 where that works, less
            where the deepest layer's receptive field is much smaller.
        preprocess: see :func:`~peek_widget.network.preprocess.find_preprocess`.
        device: where to run; left out, the model's own.

    Raises:
        ModelError: if it is no model of images that can be read, with the reason.
        SizeError: if ``input_size`` is impossible.
    """
    model_copy = model if isinstance(model, ModelCopy) else ModelCopy(model, device)
    channels = _first_channels(model_copy.module)
    found_preprocess = find_preprocess(model_copy.original, channels, preprocess)
    channels = found_preprocess.count if found_preprocess.function is None else channels
    if input_size is not None and (isinstance(input_size, bool) or not isinstance(input_size, int) or input_size < 1):
        raise SizeError(f"input_size={input_size!r}: give the side in pixels as a whole number above 0, e.g. 224.")
    own = _own_size(model_copy.original)
    told = input_size if input_size is not None else own

    first_error: Exception | None = None
    # What the user says holds; what an attribute says may mean something else, such as 784 for 28 x 28.
    for size in (told,) if input_size is not None else (own, *_SIZES) if own is not None else _SIZES:
        try:
            rows, run = _dry_run(model_copy, channels, size, found_preprocess)
            break
        except Exception as error:
            first_error = first_error or error
    else:
        if not any(isinstance(module, nn.Conv2d) for module in model_copy.module.modules()):
            raise ModelError(_NO_CONVOLUTION.format(kind=type(model_copy.original).__name__)) from first_error
        tried = f"at {told} px" if input_size is not None else f"at {_SIZES[0]} px (nor at any other size tried)"
        raise ModelError(
            f"The model's forward could not be run on a {channels}-channel image {tried}: "
            f"{type(first_error).__name__}: {first_error}. Say what it takes with input_size= (side in pixels) "
            "and preprocess=Preprocess(mean, std, channels=...)."
        ) from first_error
    if not run.convolutions:
        raise ModelError(_NO_CONVOLUTION.format(kind=type(model_copy.original).__name__))
    if told is None and size == _SIZES[0]:
        deepest = max(r.receptive_field[0] for r in rows if r.spatial or not r.sees_all)
        smaller = next((s for s in (32, 64, 96, 128) if deepest <= s), None)
        if smaller is not None:
            # A network that sees 20 px at most was not made for 224: drawn there, its units fill one in hundred.
            try:
                rows, run = _dry_run(model_copy, channels, smaller, found_preprocess)
                size = smaller
            except Exception:
                pass  # fixed at 224 by its last layers, which is an answer too
    return Network(model_copy, tuple(rows), channels, size, found_preprocess)


def layers(model: nn.Module | ModelCopy, input_size: int | None = None, preprocess: Any = None) -> list[Layer]:
    """The layers that a model runs and that have units, in call order.

    Found by one dry run of a structural copy: the model itself is neither run nor changed.

    Args:
        model: any convolutional ``torch.nn.Module`` with a forward of one image batch.
        input_size: side in pixels of the image that it was made for; found by trial when left out.
        preprocess: a :class:`Preprocess`, a function on images in [0, 1], or ``"none"``.

    Returns:
        one :class:`Layer` for each; the last is the model's output, named ``""``.

    Raises:
        ModelError: if the model can't be read, with the reason.
    """
    return list(read(model, input_size, preprocess).layers)
