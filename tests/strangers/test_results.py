"""What a model may return: boxes of a detector, objects, maps whose places can't be followed. Its layers are read all
the same, and so is the result."""

from __future__ import annotations

import dataclasses
import types
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peek_widget import Logit, Neuron, Recipe, read, render
from peek_widget.errors import ModelError
from peek_widget.network.receptive_field.field_map import field_map, share_inside
from tests.networks import Tiny

SIDE = 32
SHORT = Recipe.preset("peek").replace(steps=2)


class Heads(nn.Module):
    """Two maps of a detector with 3 anchors of 5 numbers each, and what is made of them."""

    def __init__(self, made: Callable[[list[Tensor]], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fine, self.coarse = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 2, 1)
        self.heads = nn.ModuleList([nn.Conv2d(6, 15, 3, padding=1) for _ in range(2)])
        self.made = made

    def forward(self, x: Tensor) -> Any:
        fine = self.fine(x).relu()
        return self.made([head(maps) for head, maps in zip(self.heads, (fine, self.coarse(fine).relu()), strict=True)])


@dataclasses.dataclass
class Output:
    loss: Any
    scores: Tensor


class Slotted:
    __slots__ = ("scores",)

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores


def anchors(maps: Tensor) -> Tensor:
    """YOLO's: [N, 3, rows, columns, 5]."""
    return maps.unflatten(1, (3, 5)).permute(0, 1, 3, 4, 2)


def boxes(maps: list[Tensor]) -> Tensor:
    """SSD's: [N, boxes, 5]."""
    return torch.cat([one.permute(0, 2, 3, 1).reshape(len(one), -1, 5) for one in maps], 1)


def rearranged(x: Tensor) -> Tensor:
    """[N, C, H, W] by way of columns of patches."""
    return F.unfold(x, 3, padding=1).transpose(1, 2).cos().transpose(1, 2)[:, :8].unflatten(2, x.shape[2:])


# What is made of the maps; of the model's result, what the layer "" must be; and how its fields are known.
RESULTS: dict[str, tuple[Callable[[list[Tensor]], Any], Callable[[Any], Tensor], str]] = {
    "anchors": (lambda m: anchors(m[0]), lambda r: r.permute(0, 1, 4, 2, 3).flatten(1, 2), "exact"),
    "anchors of two maps": (
        lambda m: [anchors(one).contiguous() for one in m],
        lambda r: r[0].permute(0, 1, 4, 2, 3).flatten(1, 2),
        "exact",
    ),
    "places before anchors": (
        lambda m: m[0].unflatten(1, (3, 5)).permute(0, 3, 4, 1, 2),
        lambda r: r.permute(0, 3, 4, 1, 2).flatten(1, 2),
        "exact",
    ),
    "boxes": (boxes, lambda r: r.transpose(1, 2)[:, :, None], "measured"),
    "boxes and more": (
        lambda m: {"boxes": boxes(m), "maps": m},
        lambda r: r["boxes"].transpose(1, 2)[:, :, None],
        "measured",
    ),
    "a map rearranged": (lambda m: rearranged(m[0]), lambda r: r, "measured"),
    "six dimensions": (
        lambda m: m[0][:, :, :4, :4].reshape(len(m[0]), 3, 5, 2, 2, 4),
        lambda r: r.flatten(1),
        "whole",
    ),
    "a dataclass": (lambda m: Output(None, m[0].mean((2, 3))), lambda r: r.scores, "whole"),
    "a named tuple": (
        lambda m: namedtuple("Out", "loss scores")(None, m[0].mean((2, 3))),
        lambda r: r.scores,
        "whole",
    ),
    "an object": (lambda m: types.SimpleNamespace(scores=m[0].mean((2, 3))), lambda r: r.scores, "whole"),
    "an object with slots": (lambda m: Slotted(m[0].mean((2, 3))), lambda r: r.scores, "whole"),
    "probabilities in a dataclass": (
        lambda m: Output(None, m[0].mean((2, 3)).softmax(1)),
        lambda r: r.scores.log() - r.scores.log().mean(1, keepdim=True),
        "whole",
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_the_result_is_a_layer_with_the_models_own_values(name: str) -> None:
    made, expected, kind = RESULTS[name]
    model = Heads(made).eval()
    network = read(model, SIDE, "none")
    assert {"fine", "coarse", "heads.0", "heads.1"} <= {layer.name for layer in network.layers}
    result = network.layers[-1]
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        right = expected(model(images))
        values = network.run(images, [""])[""]
    if "probabilities" in name:
        assert "softmax" in result.squashed
        values = values - values.mean(1, keepdim=True)
    assert torch.allclose(values, right, atol=1e-5)
    assert (result.channels, *(result.size if result.spatial else ())) == right.shape[1:]
    fields = field_map(network, result)
    assert fields.kind == kind
    if result.spatial:
        for position in ((0, 0), (result.size[0] // 2, result.size[1] // 3)):
            assert share_inside(network, result, position) > 0.95
    objective = Neuron("", 1) if result.spatial else Logit(1)
    assert torch.isfinite(torch.tensor(render(network, objective, SHORT).activation))


class ByName(Tiny):
    def forward(self, *, pixel_values):
        return super().forward(pixel_values)


class ChannelsLast(Tiny):
    def forward(self, images):
        return super().forward(images.permute(0, 3, 1, 2))


class Bytes(Tiny):
    def forward(self, images):
        if images.dtype != torch.uint8:
            raise TypeError("images of uint8 are expected")
        return super().forward(images.float() / 255)


class Wrapped(nn.Module):
    def __init__(self, model: nn.Module, call: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, images):
        return self.call(self.model, images)


@pytest.mark.parametrize(
    ("kind", "words", "way_out"),
    [
        (
            ByName,
            r"takes its images by name.*self\.model\(pixel_values=images\)",
            lambda m: Wrapped(m, lambda model, images: model(pixel_values=images)),
        ),
        (
            ChannelsLast,
            r"channels last, \[N, H, W, C\].*self\.model\(images\.permute\(0, 2, 3, 1\)\)",
            lambda m: Wrapped(m, lambda model, images: model(images.permute(0, 2, 3, 1))),
        ),
        (
            Bytes,
            r"whole numbers from 0 to 255 \(uint8\), through which there is no gradient: take the check",
            lambda m: Wrapped(m, lambda model, images: Tiny.forward(model, images)),
        ),
    ],
)
def test_images_that_are_given_in_another_way(
    kind: type[Tiny], words: str, way_out: Callable[[Any], nn.Module]
) -> None:
    model = kind()
    with pytest.raises(ModelError, match=words):
        read(model)
    network = read(way_out(model), SIDE)
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(network.run(images, [""])[""], Tiny.forward(model.eval(), images), atol=1e-5)


class Unfinished(Tiny):
    def forward(self, images):
        return self.classify(super().forward(images))


def test_a_mistake_in_the_model_is_not_laid_to_the_size() -> None:
    with pytest.raises(
        ModelError, match=r"no attribute 'classify'.*If model\(images\) raises the same .*, the cause is in the model"
    ):
        read(Unfinished())


class Counted(Tiny):
    def forward(self, images):
        return super().forward(images).argmax(1, keepdim=True).float()


def test_a_result_without_gradient_is_said_to_have_none() -> None:
    assert "no gradient in the output" in str(read(Counted(), SIDE).findings)


class PerImage(Tiny):
    """Its head is written for one image, and mapped over the batch."""

    def forward(self, images):
        maps = F.relu(self.forms(F.relu(self.edges(images))))
        return torch.vmap(lambda one: self.classes(one.mean((1, 2))) + one.amax((1, 2)) @ self.mixing)(maps)

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.rand(8, 5))


def test_a_result_made_by_vmap() -> None:
    model = PerImage().eval()
    network = read(model, SIDE, "none")
    assert network.layers[-1].differentiable
    assert str(network.findings) == "nothing found"
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(network.run(images, [""])[""], model(images), atol=1e-5)
    assert torch.isfinite(torch.tensor(render(network, Logit(1), SHORT).activation))


def test_a_scripted_part_is_named() -> None:
    model = Tiny()
    plain, model.forms = model.forms, torch.jit.script(model.forms)
    with pytest.raises(ModelError, match=r"The part 'forms' .*TorchScript.*put the Python module"):
        read(model, SIDE)
    model.forms = plain
    assert read(model, SIDE).layers
