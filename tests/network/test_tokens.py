"""Rows and columns followed through reshapes, turns and cuts; tokens and channels-last maps as layers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.overrides import TorchFunctionMode

from peek_widget import Logit, Neuron, Recipe, layers, render
from peek_widget.network import read
from peek_widget.network.receptive_field.tracer import FieldTracer
from tests.networks import assert_same, portrait

SHORT = Recipe.preset("peek").replace(steps=4, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class _Tracing(TorchFunctionMode):
    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self.fields = FieldTracer(image)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        self.fields.called(func, args, kwargs or {}, output)
        return output


def _places(height: int, width: int) -> torch.Tensor:
    """A map ``[1, 2, H, W]`` of numbers that say where they are: 1000 times the unit, 10 times the row, the column."""
    unit, row, column = torch.meshgrid(torch.arange(2), torch.arange(height), torch.arange(width), indexing="ij")
    return (1000 * unit + 10 * row + column)[None]


def _are_maps(maps: torch.Tensor) -> bool:
    """Whether each of ``[N, H, W]`` is a part of one unit's map, or lies wholly beside it."""
    inside = maps[(maps >= 0).flatten(1).any(1)]
    units, rows, columns = inside // 1000, inside // 10 % 100, inside % 10
    return bool(
        (inside >= 0).all()
        and (units == units[:, :1, :1]).all()
        and (rows == rows[:, :, :1]).all()
        and (columns == columns[:, :1]).all()
        and (rows.diff(dim=1) > 0).all()
        and (columns.diff(dim=2) > 0).all()
    )


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_axes_describe_rows_and_columns_correctly(data: st.DataObject) -> None:
    height, width = data.draw(st.sampled_from([2, 4, 6])), data.draw(st.sampled_from([3, 4]))
    image = _places(height, width)
    with _Tracing(image) as mode:
        x = image
        for _ in range(data.draw(st.integers(1, 6))):
            match data.draw(st.sampled_from(["split", "join", "turn", "swap", "prefix", "cut", "add"])):
                case "split":
                    dim = data.draw(st.integers(0, x.ndim - 1))
                    part = data.draw(st.sampled_from(_divisors(x.shape[dim])))
                    x = x.reshape(*x.shape[:dim], part, x.shape[dim] // part, *x.shape[dim + 1 :])
                case "join" if x.ndim > 2:
                    x = x.flatten(*((d := data.draw(st.integers(0, x.ndim - 2))), d + 1))
                case "turn":
                    x = x.permute(data.draw(st.permutations(range(x.ndim))))
                case "swap":
                    x = x.transpose(data.draw(st.integers(0, x.ndim - 1)), data.draw(st.integers(-x.ndim, -1)))
                case "prefix":
                    dim = data.draw(st.integers(0, x.ndim - 1))
                    x = torch.cat([torch.full_like(x.select(dim, 0), -1).unsqueeze(dim), x], dim)
                case "cut" if x.shape[0] > 1:
                    x = x[1:] if data.draw(st.booleans()) else x[..., 0:1, :]
                case "add":
                    x = x + 0
        field = mode.fields.of(x)
    assert field is not None
    if field.axes is None:
        return
    assert tuple(axis.size for axis in field.axes) == tuple(x.shape)
    if field.dims is not None:
        others = [d for d in range(x.ndim) if d not in field.dims]
        assert _are_maps(x.permute(*others, *field.dims).reshape(-1, *(x.shape[d] for d in field.dims)))
    if field.tokens is not None:
        dim, grid = field.tokens
        axis = field.axes[dim]
        assert math.prod(grid) + axis.before + axis.after == x.shape[dim]
        others = [d for d in range(x.ndim) if d != dim]
        flat = x.permute(*others, dim).reshape(-1, x.shape[dim])
        assert _are_maps(flat[:, axis.before : x.shape[dim] - axis.after].unflatten(1, grid))
        assert bool((flat[:, : axis.before] < 0).all())


def test_windows_of_a_map_are_not_listed_and_the_map_is_again() -> None:
    image = torch.rand(1, 5, 8, 12)
    with _Tracing(image) as mode:
        windows = image.view(1, 5, 2, 4, 3, 4).permute(0, 2, 4, 3, 5, 1).reshape(6, 16, 5)
        inside = mode.fields.of(windows)
        back = windows.view(1, 2, 3, 4, 4, 5).permute(0, 1, 3, 2, 4, 5).reshape(1, 8, 12, 5)
        put_back = mode.fields.of(back)
    assert torch.equal(back.permute(0, 3, 1, 2), image)
    assert inside is not None
    assert (inside.dims, inside.tokens) == (None, None)
    assert put_back is not None
    assert put_back.dims == (1, 2)
    assert put_back.size == (1.0, 1.0)


def test_rows_in_another_order_are_not_taken_for_a_map() -> None:
    image = _places(8, 3)
    with _Tracing(image) as mode:
        mixed = image.view(1, 2, 2, 2, 2, 3).transpose(2, 3).reshape(1, 2, 8, 3)
        field = mode.fields.of(mixed)
    assert not _are_maps(mixed[0])
    assert field is not None
    assert field.dims is None


def test_slicing_moves_the_start_of_the_field() -> None:
    image = torch.rand(1, 3, 32, 32)
    with _Tracing(image) as mode:
        x = F.avg_pool2d(image, 4)
        field = mode.fields.of(x[:, :, 1:, 2::3])
    assert field is not None
    assert (field.start, field.stride, field.size) == ((5.5, 9.5), (4.0, 12.0), (4.0, 4.0))


@pytest.mark.parametrize("kind", ["module", "function"])
def test_the_field_behind_attention_is_the_whole_image(kind: str) -> None:
    attention = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    image = torch.rand(1, 4, 6, 6)
    with _Tracing(image) as mode:
        x = image.flatten(2).transpose(1, 2)
        y = attention(x, x, x)[0] if kind == "module" else F.scaled_dot_product_attention(x, x, x)
        fields = mode.fields.of(x), mode.fields.of(y)
    assert [f is not None and (f.whole, f.tokens) for f in fields] == [(False, (1, (6, 6))), (True, (1, (6, 6)))]


class Attention(nn.Module):
    """One head, written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.out((q @ k.transpose(-2, -1)).softmax(-1) @ v)


class Transformer(nn.Module):
    """A small ViT: patches of 4 px, a class token and a register behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.first = nn.Parameter(torch.randn(1, 2, 6))
        self.position = nn.Parameter(torch.randn(1, 2 + 15, 6))
        self.early = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.attention = Attention(6)
        self.late = nn.Linear(6, 7)
        self.head = nn.Linear(7, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x[..., :12, :20]).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = self.early(x)
        x = x + self.attention(self.norm(x))
        return self.head(self.late(x)[:, 0])


def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer()


def test_tokens_are_a_map_of_patches_and_vectors_beside_it() -> None:
    model = transformer()
    found = {layer.name: layer for layer in layers(model, 32)}
    assert [n for n, layer in found.items() if layer.primary] == [
        "patches",
        "early",
        "attention.qkv",
        "attention.out",
        "attention.out@class",
        "attention.out@token1",
        "late",
        "late@class",
        "late@token1",
        "",
    ]
    early, late = found["early"], found["late"]
    assert (early.channels, early.size, early.receptive_field, early.stride) == (6, (3, 5), (4, 4), (4, 4))
    assert not early.global_field
    assert "early@class" not in found  # before the attention, it knows nothing of the image
    assert (late.channels, late.size, late.global_field, late.spatial) == (7, (3, 5), True, True)
    assert (found["late@class"].size, found["late@class"].global_field) == ((1, 1), True)
    assert found["late@token1"].spatial is False

    network = read(model, 32, "none")
    image = torch.rand(2, 3, 32, 32)
    values = network.run(image, ["late", "late@class", "late@token1", "early", ""])
    x = model.patches(image[..., :12, :20]).flatten(2).transpose(1, 2)
    x = model.early(torch.cat([model.first.expand(2, -1, -1), x], 1) + model.position)
    assert torch.allclose(values["early"], x[:, 2:].transpose(1, 2).unflatten(2, (3, 5)), atol=1e-5)
    x = model.late(x + model.attention(model.norm(x)))
    assert torch.allclose(values["late"], x[:, 2:].transpose(1, 2).unflatten(2, (3, 5)), atol=1e-5)
    assert torch.allclose(values["late@class"], x[:, 0], atol=1e-5)
    assert torch.allclose(values["late@token1"], x[:, 1], atol=1e-5)
    assert torch.allclose(values[""], model.head(x[:, 0]), atol=1e-5)


def test_patches_and_tokens_can_be_drawn() -> None:
    model = transformer()
    before = portrait(model)
    for objective in (Neuron("late", 3), Neuron("late@class", 1), Logit(2)):
        history = render(model, objective, SHORT, size=32, input_size=32).history
        assert history[-1] > history[0]
    assert_same(before, portrait(model))


class ChannelsLast(nn.Module):
    """Swin's ways: channels last, four neighbors joined into one place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm, self.wide = nn.LayerNorm(4), nn.Linear(4, 8)
        self.reduce = nn.Linear(32, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.wide(self.norm(self.stem(x).permute(0, 2, 3, 1)))
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2, :], x[..., 1::2, 1::2, :]], -1)
        return self.head(self.reduce(x).mean((1, 2)))


def test_channels_last_maps_come_channels_first() -> None:
    torch.manual_seed(0)
    model = ChannelsLast()
    network = read(model, 32, "none")
    wide = network.layer("wide")
    assert (wide.channels, wide.size, wide.receptive_field, wide.stride) == (8, (16, 16), (3, 3), (2, 2))
    assert wide.start == (0.0, 0.0)
    reduced = network.layer("reduce")
    assert (reduced.channels, reduced.size, reduced.stride) == (6, (8, 8), (4, 4))
    image = torch.rand(2, 3, 40, 40)  # at another size than it was read with
    values = network.run(image, ["wide", "reduce"])
    expected = model.wide(model.norm(model.stem(image).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    assert torch.allclose(values["wide"], expected, atol=1e-5)
    assert values["reduce"].shape == (2, 6, 10, 10)
    history = render(model, Neuron("wide", 3), SHORT, size=32, input_size=32).history
    assert history[-1] > history[0]


class Shuffling(nn.Module):
    """Channels split, shuffled and joined, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
        self.join = nn.Identity()
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, x = self.stem(x).chunk(2, dim=1)
        n, _, h, w = x.shape
        x = (
            torch.cat([kept, F.relu(self.branch(x))], 1)
            .view(n, 2, 2, h, w)
            .transpose(1, 2)
            .contiguous()
            .view(n, 4, h, w)
        )
        return self.last(self.join(x)).mean((2, 3))


@pytest.mark.parametrize(("name", "field"), [("join", 7), ("last", 7), ("stem", 3)])
def test_a_channel_shuffle_keeps_receptive_fields(name: str, field: int) -> None:
    network = read(Shuffling(), 32, "none")
    layer = network.layer(name)
    assert (layer.receptive_field, layer.stride, layer.global_field) == ((field, field), (2, 2), False)
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    network.model_copy.run(image, [name])[name][0, :, 8, 8].sum().backward()
    rows = (image.grad[0].abs().sum((0, 2)) > 0).nonzero().flatten()
    middle = layer.start[0] + 8 * layer.stride[0]
    assert (int(rows[0]), int(rows[-1])) == (middle - field // 2, middle + field // 2)


def test_before_a_shuffle_all_relus_are_left_out() -> None:
    torch.manual_seed(0)
    model = Shuffling()
    network = read(model, 32, "none")
    assert network.layer("join").rectified
    image = torch.randn(1, 3, 32, 32)
    kept, x = model.stem(image).chunk(2, dim=1)
    expected = torch.cat([kept, model.branch(x)], 1)[:, [0, 2, 1, 3]]
    assert torch.allclose(network.run(image, ["join"])["join"], expected, atol=1e-5)
