"""Where a unit looks: boxes and crops of networks whose maps are enlarged, mirrored, bent and mixed.

What a box is held against is the gradient of the units at that position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DeformConv2d, deform_conv2d

from peek_widget import Preprocess, layers, top_crops
from peek_widget.evidence import load_evidence
from peek_widget.network import Network, read
from peek_widget.network.receptive_field.effective import gradient_energy
from peek_widget.network.receptive_field.field_map import field_map, gradient_support, share_inside

SIDE = 24


class Net(nn.Module):
    """A 3 x 3 convolution, what is done to its map, and a 1 x 1 convolution, which is the layer ``last``."""

    def __init__(self, between: Callable[..., Tensor], channels: int = 4, parts: dict[str, nn.Module] | None = None):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.parts = nn.ModuleDict(parts or {})
        self.between = between
        self.last = nn.Conv2d(channels, 2, 1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():  # weights that never cancel: a pixel that can reach a unit does reach it
            for parameter in self.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(self.between(x, *self.parts.values()))


def network(between: Callable[..., Tensor], channels: int = 4, **parts: nn.Module) -> Network:
    return read(Net(between, channels, parts).eval(), SIDE, "none")


def places(size: tuple[int, int]) -> list[tuple[int, int]]:
    """A corner, the center, a border and two positions that are neither."""
    height, width = size
    return [(0, 0), (height // 2, width // 2), (height - 1, width // 3), (height // 3, width // 4), (0, width - 2)]


def bounds(network: Network, name: str, position: tuple[int, int], probes: int = 2) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) of the pixels with any influence."""
    hit = gradient_support(network, network.layer(name), position, probes) > 0
    if not hit.any():
        return None
    rows, columns = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def views_to_depth(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def views_to_space(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


def up_and_join(x: Tensor, down: nn.Module, up: nn.Module) -> Tensor:
    """A U-Net of one level: what was made smaller and larger again beside what was not."""
    small = down(x)
    return torch.cat([x, up(small)[..., : x.shape[2], : x.shape[3]]], 1)


def resized_to(x: Tensor, down: nn.Module) -> Tensor:
    return x + F.interpolate(down(x), size=x.shape[2:], mode="bilinear", align_corners=False)


def transposed(kernel: int, stride: int = 2, **more: int) -> nn.Module:
    return nn.ConvTranspose2d(4, 4, kernel, stride, **more)


def conv(kernel: int = 3, stride: int = 1, channels: int = 4, **more: Any) -> nn.Module:
    return nn.Conv2d(channels, 4, kernel, stride, **more)


def resize(**how: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, **how)


# By name: what is done to the map, its channels afterwards, and the modules that it takes.
EXACT: dict[str, tuple[Callable[..., Tensor], int, dict[str, nn.Module]]] = {
    # maps larger than the image
    "sub-pixel x2": (lambda x: F.pixel_shuffle(x, 2), 1, {}),
    "sub-pixel x2, twice": (lambda x, a: F.pixel_shuffle(a(F.pixel_shuffle(x, 2)), 2), 1, {"a": conv(channels=1)}),
    "sub-pixel by views, and a convolution": (lambda x, a: a(views_to_space(x)), 4, {"a": conv(channels=1, padding=1)}),
    "nearest x2": (resize(scale_factor=2), 4, {}),
    "nearest x3, and a convolution": (lambda x, a: a(F.interpolate(x, scale_factor=3)), 4, {"a": conv(5, padding=2)}),
    "nearest-exact x1.5": (resize(scale_factor=1.5, mode="nearest-exact"), 4, {}),
    "bilinear x2": (resize(scale_factor=2, mode="bilinear"), 4, {}),
    "bilinear x2, corners aligned": (resize(scale_factor=2, mode="bilinear", align_corners=True), 4, {}),
    "bicubic x1.7": (resize(scale_factor=1.7, mode="bicubic"), 4, {}),
    "bilinear to 31 x 40": (resize(size=(31, 40), mode="bilinear"), 4, {}),
    "nearest upsampling module": (lambda x, a: a(x), 4, {"a": nn.Upsample(scale_factor=(2, 3))}),
    # transposed convolutions
    "transposed 2/2": (lambda x, a: a(x), 4, {"a": transposed(2)}),
    "transposed 3/2 with padding": (lambda x, a: a(x), 4, {"a": transposed(3, padding=1, output_padding=1)}),
    "transposed 4/2": (lambda x, a: a(x), 4, {"a": transposed(4, padding=1)}),
    "transposed 5/3": (lambda x, a: a(x), 4, {"a": transposed(5, 3, padding=2)}),
    "transposed 3/1, dilated": (lambda x, a: a(x), 4, {"a": transposed(3, 1, dilation=2)}),
    "transposed 7/4, twice": (lambda x, a, b: b(a(x)), 4, {"a": conv(3, 4), "b": transposed(7, 4, padding=1)}),
    # decoders
    "U-Net with transposed": (up_and_join, 8, {"down": conv(3, 2, padding=1), "up": transposed(2)}),
    "U-Net with bilinear": (
        up_and_join,
        8,
        {"down": nn.MaxPool2d(2), "up": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)},
    ),
    "to the size of a skip": (resized_to, 4, {"down": conv(3, 3)}),
    # poolings
    "area to half": (resize(scale_factor=0.5, mode="area"), 4, {}),
    "area to 7": (resize(size=7, mode="area"), 4, {}),
    "antialiased to 9": (resize(size=9, mode="bilinear", antialias=True), 4, {}),
    "adaptive to 5 x 7": (lambda x, a: a(x), 4, {"a": nn.AdaptiveAvgPool2d((5, 7))}),
    "power mean": (lambda x, a: a(x), 4, {"a": nn.LPPool2d(2, 3, 2)}),
    "average beyond the border": (lambda x, a: a(x), 4, {"a": nn.AvgPool2d(3, 2, 1, ceil_mode=True)}),
    # padding
    "reflected far, small kernel": (lambda x, a: a(F.pad(x, (5, 5, 5, 5), "reflect")), 4, {"a": conv()}),
    "circular": (lambda x, a: a(F.pad(x, (1, 1, 1, 1), "circular")), 4, {"a": conv()}),
    "replicated on one side": (lambda x, a: a(F.pad(x, (3, 0, 0, 2), "replicate")), 4, {"a": conv()}),
    # dimensions that are moved and joined
    "space to depth by slices": (
        lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1),
        16,
        {},
    ),
    "space to depth by views": (lambda x: views_to_depth(x), 16, {}),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x, 3), 36, {}),
    "branches with other padding": (
        lambda x, a, b: a(x) + b(x),
        4,
        {"a": conv(3, padding=1), "b": nn.Sequential(nn.ZeroPad2d((4, 0, 4, 0)), conv(5))},
    ),
    "3d convolution over the channels": (lambda x, a: a(x[:, None])[:, 0], 4, {"a": nn.Conv3d(1, 1, 3, padding=1)}),
    "channels reversed": (lambda x: x[:, [3, 2, 1, 0]], 4, {}),
    "channels flipped": (lambda x: x.flip(1).cumsum(1).softmax(1), 4, {}),
    "gate of the channels": (lambda x: F.glu(x, 1) * x.amax(1, keepdim=True).sigmoid(), 2, {}),
    "stacked": (lambda x: torch.stack([x, 2 * x], 1).mean(1), 4, {}),
    "channels last": (lambda x, a: a(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 4, {"a": nn.LayerNorm(4)}),
    "in place": (lambda x: x.clone().add_(F.max_pool2d(x, 3, 1, 1)).relu_(), 4, {}),
    "written channel by channel": (lambda x: _written(x), 4, {}),
    "one row": (lambda x, a: a(x.mean(2, keepdim=True)), 4, {"a": conv((1, 3))}),
}


def _written(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :2] = x[:, 2:]
    out[:, 2:] = x[:, :2] * 2
    return out


@pytest.mark.parametrize("name", EXACT)
def test_the_box_is_where_the_gradient_is(name: str) -> None:
    seen = network(*EXACT[name][:2], **EXACT[name][2])
    layer = seen.layer("last")
    fields = field_map(seen, layer)
    assert fields.kind == "exact"
    for row, column in places(layer.size):
        found = bounds(seen, "last", (row, column), 6 if "Pool" in repr(EXACT[name]) else 2)
        box = fields.field_box(row * layer.size[1] + column).box
        if found is None:  # a position that no pixel reaches
            continue
        for edge, (mine, theirs) in enumerate(zip(box, found, strict=True)):
            outside = theirs - mine if edge < 2 else mine - theirs
            assert outside >= 0, f"{(row, column)}: the gradient reaches {found}, the box is {box}"
            if min(row, column) > 3 and max(row, column) < min(layer.size) - 4:
                assert outside == 0, f"{(row, column)}: the gradient reaches only {found}, the box is {box}"


def test_the_stride_of_a_map_larger_than_the_image_is_a_fraction() -> None:
    names = ("sub-pixel x2", "sub-pixel x2, twice", "nearest upsampling module", "transposed 5/3")
    names += ("bilinear to 31 x 40", "U-Net with transposed")
    strides = {name: read(Net(*EXACT[name]), SIDE).layer("last").stride for name in names}
    assert strides["sub-pixel x2"] == (0.5, 0.5)
    assert strides["sub-pixel x2, twice"] == (0.25, 0.25)
    assert strides["nearest upsampling module"] == pytest.approx((1 / 2, 1 / 3))
    assert strides["transposed 5/3"] == pytest.approx((1 / 3, 1 / 3))
    assert strides["bilinear to 31 x 40"] == pytest.approx((24 / 31, 24 / 40))
    assert strides["U-Net with transposed"] == (1, 1)
    assert repr(layers(nn.Sequential(nn.Conv2d(3, 4, 3, 2)), 32)[0]).count("stride=(2, 2)") == 1


class Mirror(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy()[:, :, :, ::-1].copy())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.flip(3)


class Bent(nn.Module):
    """A deformable convolution whose offsets are far to one side, and depend on the image a little."""

    def __init__(self, far: float = 6.0) -> None:
        super().__init__()
        self.offsets, self.conv, self.far = nn.Conv2d(4, 18, 1), DeformConv2d(4, 4, 3, padding=1), far

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x, self.offsets(x).tanh() + self.far)


def turned(x: Tensor) -> Tensor:
    """What a spatial transformer does, with an angle that depends on the image."""
    angle = 1.0 + x.mean((1, 2, 3)).tanh()
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    matrix = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    return F.grid_sample(x, F.affine_grid(matrix, list(x.shape), align_corners=False), align_corners=False)


def shifted_by_writing(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :, 8:] = x[:, :, :-8]
    return out


def added_to_a_view(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :2].add_(x[:, 2:].flip(2))
    return x


def attention(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(tokens, tokens, tokens)
    return mixed.transpose(1, 2).unflatten(2, x.shape[2:])


MOVED: dict[str, tuple[Callable[..., Tensor], dict[str, nn.Module]]] = {
    "flip": (lambda x: x.flip(3), {}),
    "flip both": (lambda x: torch.flip(x, dims=(2, 3)), {}),
    "flip and itself": (lambda x: x + x.flip(2), {}),
    "rot90": (lambda x: torch.rot90(x, 1, (2, 3)), {}),
    "transposed map": (lambda x: x.transpose(2, 3) + x, {}),
    "roll": (lambda x: x.roll((7, -5), (2, 3)), {}),
    "cumsum": (lambda x: x.cumsum(2), {}),
    "cummax": (lambda x: x.cummax(3).values, {}),
    "sort": (lambda x: x.sort(dim=3).values, {}),
    "deformable": (lambda x, a: a(x), {"a": Bent()}),
    "deformable, and a convolution": (lambda x, a, b: b(a(x)), {"a": Bent(-5.0), "b": nn.Conv2d(4, 4, 3, padding=1)}),
    "spatial transformer": (turned, {}),
    "fixed grid": (
        lambda x: F.grid_sample(x, -F.affine_grid(torch.eye(2, 3)[None], list(x.shape), False), align_corners=False),
        {},
    ),
    "1d convolution over all positions": (
        lambda x, a: a(x.flatten(2)).unflatten(2, x.shape[2:]),
        {"a": nn.Conv1d(4, 4, 9, padding=4)},
    ),
    "softmax over the map": (lambda x: x.flatten(2).softmax(-1).view_as(x), {}),
    "normalized over the map": (lambda x: F.normalize(x.flatten(2), dim=-1).view_as(x), {}),
    "instance norm": (lambda x: F.instance_norm(x), {}),
    "less its mean": (lambda x: x - x.mean((2, 3), keepdim=True), {}),
    "fft": (lambda x: torch.fft.ifft2(torch.fft.fft2(x).conj()).real, {}),
    "own autograd function": (lambda x: Mirror.apply(x), {}),
    "positions by index": (lambda x: x[:, :, torch.arange(x.shape[2]).flip(0)], {}),
    "gather": (lambda x: x.gather(3, torch.arange(SIDE).flip(0).expand_as(x)), {}),
    "written elsewhere": (shifted_by_writing, {}),
    "written through a view": (added_to_a_view, {}),
    "unpooled": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 4, return_indices=True), 4), {}),
    "attention": (attention, {}),
    "mixed positions": (lambda x, a: a(x.flatten(2)).unflatten(2, x.shape[2:]), {"a": nn.Linear(SIDE**2, SIDE**2)}),
    "matrix from the left": (lambda x, a: a.weight[:SIDE, :SIDE].flip(0) @ x, {"a": nn.Linear(SIDE, SIDE)}),
    "einsum": (lambda x: torch.einsum("nchw,hk->nckw", x, torch.eye(SIDE).flip(0)), {}),
    "batch statistics": (lambda x, a: a(x), {"a": nn.BatchNorm2d(4, track_running_stats=False)}),
}


@pytest.mark.parametrize("name", MOVED)
def test_what_may_look_elsewhere_is_measured_at_its_place(name: str) -> None:
    between, parts = MOVED[name]
    seen = network(between, 4, **parts)
    layer = seen.layer("last")
    assert layer.global_field
    fields = field_map(seen, layer)
    assert fields.kind in ("measured", "whole")
    for position in places(layer.size)[::2] if fields.by_position else ():  # else a little is everywhere
        share = share_inside(seen, "last", position)
        assert math.isnan(share) or share > 0.9, (position, share)
    assert field_map(seen, layer, measure=False).kind == "whole"


class CrossCovariance(nn.Module):
    """XCiT's: channels attend to each other, each normalized over all positions; then what is next to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(4, 4, 3, padding=1, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        normal = F.normalize(flat, dim=-1)
        return self.near(((8 * normal @ normal.mT).softmax(-1) @ (flat - flat.mean(-1, keepdim=True))).view_as(x))


@pytest.mark.parametrize("between", ["cross-covariance", "instance norm", "less its mean", "a strong gate"])
def test_a_measured_box_holds_the_gradient_where_the_rest_of_the_image_has_much_of_it(between: str) -> None:
    made = {
        "cross-covariance": CrossCovariance(),
        "instance norm": nn.InstanceNorm2d(4),
        "less its mean": lambda x: x - 9 * x.mean((2, 3), keepdim=True),
        "a strong gate": lambda x: x * torch.exp(3 * x.mean((2, 3), keepdim=True)),
    }[between]
    seen = network(lambda x, a: a(x), 4, a=made) if isinstance(made, nn.Module) else network(made)
    layer = seen.layer("last")
    fields = field_map(seen, layer)
    assert fields.kind in ("measured", "whole")
    row, column = ((side - 1) // 2 for side in layer.size)
    squared = gradient_support(seen, layer, (row, column)).square()
    left, top, right, bottom = map(round, fields.field_box(row * layer.size[1] + column).box)
    assert float(squared[top:bottom, left:right].sum()) >= 0.95 * float(squared.sum())


class Vignette(nn.Module):
    """A map that is darker towards the border, and a gate of the whole image, which is all that is left at it."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (torch.hann_window(side + 2, periodic=False)[1:-1] for side in x.shape[2:])
        return x * rows[:, None] * columns + x.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("size", [24, 48])
def test_a_measured_box_holds_the_gradient_of_a_crop_at_the_border_of_a_smooth_image(size: int) -> None:
    seen = read(Net(lambda x, a: a(x), 4, {"a": Vignette()}).eval(), size, "none")
    draws = torch.Generator().manual_seed(0)
    images = [
        F.interpolate(torch.rand(1, 3, 3, 3, generator=draws), (size, size), mode="bicubic")[0].clamp(0, 1)
        for _ in range(3)
    ]
    crops = top_crops(seen, "last", images, k=3, progress=False, workers=0)
    for crop in (*crops[0].top, *crops[1].bottom):
        energy, _ = gradient_energy(seen, "last", crop.unit, crop.input(), crop.position)
        left, top, right, bottom = map(round, crop.input_box)
        assert float(energy[top:bottom, left:right].sum()) >= 0.95 * float(energy.sum())


def test_a_check_of_one_place_finds_a_wrong_box() -> None:
    seen = network(lambda x: x.flip(3))
    assert share_inside(seen, "first") == 1.0
    assert share_inside(seen, "last") > 0.94
    # the same as it would be if nobody knew that it is a flip
    wrong = replace(seen, layers=(seen.layer("first"), _as_if(seen)))
    assert share_inside(wrong, "last") == 0.0


def _as_if(seen: Network) -> Any:
    return replace(seen.layer("last"), traced=seen.layer("first").traced)


# -- crops: the thing that a unit was excited by is in them


class Red(nn.Module):
    """A unit that fires on red, at the place that ``between`` moves it to."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)
        self.between = between
        self.out = nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 3, 3) / 9)
            self.conv.bias.zero_()
            self.out.weight.fill_(1.0)
            self.out.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.between(self.conv(x)))


class Bender(nn.Module):
    """Looks by a deformable convolution where the image's left upper corner says: bright means far to the right."""

    def forward(self, x: Tensor) -> Tensor:
        far = -8.0 * torch.tanh(5 * x[:, :, :3, :3].abs().mean((1, 2, 3), keepdim=True))
        return deform_conv2d(x, far.expand(-1, 2, *x.shape[2:]), torch.ones(1, 1, 1, 1))


BETWEEN: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda x: x.flip(3),
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)),
    "sub-pixel x2": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "bicubic x2": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "deformable": Bender(),
    "spatial transformer": turned,
    "transposed 4/2": lambda x: F.conv_transpose2d(x, torch.ones(1, 1, 4, 4), stride=2, padding=1),
    "own autograd function": Mirror.apply,
    "gate": lambda x: x * (1 + x.mean((2, 3), keepdim=True)),
}


# They may look elsewhere or not, by the image.
FAR = ("deformable", "spatial transformer")


def photos(count: int = 4, side: int = 48) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Gray pictures with a red square of 4 px each, and the squares' left upper corners (x, y)."""
    draws = torch.Generator().manual_seed(1)
    images, corners = [], []
    for _ in range(count):
        image = torch.rand(1, 1, 1, generator=draws).expand(3, side, side).clone() * 0.3 + 0.3
        x, y = torch.randint(6, side - 10, (2,), generator=draws).tolist()
        image[:, y : y + 4, x : x + 4] = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        images.append(image)
        corners.append((x, y))
    return images, corners


@pytest.mark.parametrize("name", BETWEEN)
def test_crops_contain_the_thing(name: str) -> None:
    images, corners = photos()
    model = Red(BETWEEN[name])
    found = top_crops(model, "out", images, k=4, input_size=48, preprocess="none", progress=False, workers=0)
    top = found[0].top
    assert sorted(crop.index for crop in top) == [0, 1, 2, 3]
    for crop in top:
        left, top_edge, right, bottom = crop.box
        x, y = corners[crop.index or 0]
        middle = (x + 2, y + 2)
        assert left <= middle[0] <= right, (crop.box, middle, crop.field)
        assert top_edge <= middle[1] <= bottom, (crop.box, middle, crop.field)
        assert (right - left) * (bottom - top_edge) < 0.2 * 48 * 48, "a small part of the image"
        assert crop.in_place == (name not in ("flip", "rot90", "own autograd function")) or name in FAR


def test_measured_fields_of_a_file_need_the_model(tmp_path: Any) -> None:
    images, _ = photos(2)
    model = Red(BETWEEN["flip"])
    found = top_crops(model, "out", images, k=1, input_size=48, preprocess="none", progress=False, workers=0)
    found.save(tmp_path / "e.safetensors")
    lost = load_evidence(tmp_path / "e.safetensors", images)["out"][0].top[0]
    assert not lost.box_known
    assert lost.wide
    with pytest.warns(UserWarning, match="has to be measured on each image, which was not possible.*attach"):
        assert lost.box == (0, 0, 48, 48)
    again = load_evidence(tmp_path / "e.safetensors", images, model=read(model, 48, Preprocess()))["out"][0].top[0]
    assert again.box == found[0].top[0].box
    assert again.box_known


def test_fields_that_are_no_even_grid_are_kept_in_the_file(tmp_path: Any) -> None:
    images, _ = photos(2)
    model = Red(BETWEEN["bicubic x2"])
    found = top_crops(model, "out", images, k=1, input_size=48, preprocess="none", progress=False, workers=0)
    found.save(tmp_path / "e.safetensors")
    assert load_evidence(tmp_path / "e.safetensors")["out"][0].top[0].box == found[0].top[0].box
