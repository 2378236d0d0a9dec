"""Models and arguments that are refused: the sentence names the cause, and the way out that it names works."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision import transforms

from peek_widget import Logit, Preprocess, Recipe, layers, render
from peek_widget.errors import ModelError
from peek_widget.network import read
from tests.networks import Tiny, tiny

SHORT = Recipe.preset("peek").replace(steps=3, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class Wrapped(nn.Module):
    """What the sentences advise: a forward that takes the image alone."""

    def __init__(self, model: nn.Module, call) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, images):
        return self.call(self.model, images)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def drawn(model: nn.Module, **kwargs) -> bool:
    history = render(model, Logit(1), SHORT, size=32, input_size=32, **kwargs).history
    return bool(history[-1] > history[0])


class Volumes(nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).mean((2, 3, 4)))


class PooledVolumes(Volumes):
    """An MRI network of one channel, which torch would let take an image for a volume of three slices."""

    def __init__(self) -> None:
        super().__init__(1)


class Clips(nn.Module):
    """Takes videos [N, T, C, H, W] apart into frames."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = tiny()

    def forward(self, x):
        count, times, *shape = x.shape
        x = x.view(count * times, *shape) if len(shape) == 3 else self.missing(x)
        return self.frames(x).view(count, times, -1).mean(1)

    def missing(self, x):
        raise ValueError(f"expected 5D input (got {x.dim()}D input)")


class TimeSecond(Clips):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 1, 3, 4))


class EightFrames(Clips):
    def forward(self, x):
        return super().forward(x) if x.dim() == 5 and x.shape[1] == 8 else self.missing(x)


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (Clips, "images.unsqueeze(1)"),
        (TimeSecond, "images.unsqueeze(2)"),
        (EightFrames, "images.unsqueeze(1).expand(-1, 8, -1, -1, -1)"),
    ],
)
def test_what_takes_five_dimensions_says_how_an_image_becomes_them(make, how: str) -> None:
    model = make()
    with pytest.raises(ModelError, match=r"5 dimensions.*self\.model\(") as caught:
        layers(model)
    assert f"self.model({how})." in str(caught.value)
    assert drawn(Wrapped(model, lambda m, images: m(eval(how))))


class Numpy(Tiny):
    """Goes on in numpy: torch loses the graph."""

    def forward(self, x):
        return torch.from_numpy(super().forward(x).detach().numpy() * 2)


class Lists(Tiny):
    def forward(self, x):
        return torch.tensor(super().forward(x).tolist())


@pytest.mark.parametrize("make", [Numpy, Lists])
def test_a_forward_that_goes_on_in_numpy(make) -> None:
    with pytest.raises(ModelError, match=r"converts its maps to numpy.*torch's functions"):
        layers(make(), 32)
    assert drawn(tiny())


@pytest.mark.parametrize("make", [Volumes, PooledVolumes, lambda: nn.Sequential(Volumes())])
def test_volumes_and_videos(make) -> None:
    model = make()
    with pytest.raises(ModelError, match=r"takes volumes or videos.*unsqueeze\(2\)\.expand\(-1, -1, 16, -1, -1\)"):
        layers(model)
    assert drawn(Wrapped(model, lambda m, images: m(images.unsqueeze(2).expand(-1, -1, 16, -1, -1))))


def test_sequences() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv1d(3, 6, 9, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 5)
    )
    with pytest.raises(ModelError, match=r"takes sequences \[N, C, L\].*images\.flatten\(2\)"):
        layers(model)
    assert drawn(Wrapped(model, lambda m, images: m(images.flatten(2))))


class Aten(nn.Module):
    """Calls a convolution by another name than conv2d."""

    def __init__(self, call) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, 3, 3))
        self.call = call

    def forward(self, x):
        return self.call(x, self.weight).mean((2, 3))


PLAIN = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: torch.ops.aten.convolution(x, w, *PLAIN),
        lambda x, w: torch.ops.aten.convolution.default(x, w, *PLAIN),
        lambda x, w: torch.ops.aten.conv2d(x, w, None, [1, 1], [1, 1]),
        lambda x, w: torch.convolution(x, w, *PLAIN),
        lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), padding=1),
    ],
)
def test_convolutions_by_other_names_are_convolutions(call) -> None:
    model = Aten(call)
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(read(model, 32).run(image, [""])[""], model(image), atol=1e-5)
    assert drawn(model)


def test_a_network_without_any_convolution_is_still_refused() -> None:
    with pytest.raises(ModelError, match="runs no convolution"):
        layers(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5)), 32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: retina_net(),
        lambda: Detector(),
        lambda: nn.ModuleDict({"model": Detector()})["model"],
    ],
)
def test_detectors(make) -> None:
    model = make()
    with pytest.raises(ModelError, match=r"returns no map.*give the part of it that takes images, model\.backbone"):
        layers(model)
    assert layers(model.backbone)


def retina_net() -> nn.Module:
    """One of torchvision's detectors, with a small backbone."""
    backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 8, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1))
    backbone.out_channels = 32
    anchors = torchvision.models.detection.anchor_utils.AnchorGenerator(((16,),), ((1.0,),))
    return torchvision.models.detection.RetinaNet(backbone, 2, min_size=64, max_size=64, anchor_generator=anchors)


class Detector(nn.Module):
    """Takes a batch apart, and returns boxes: what torchvision's detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.boxes = nn.Conv2d(8, 4, 1)

    def forward(self, images, targets=None):
        return [{"boxes": self.boxes(self.backbone(one[None])).flatten(2)[0].T, "labels": None} for one in images]


class Clip(nn.Module):
    """An image and a text encoder; ``forward`` of OpenAI's."""

    def __init__(self, name: str = "visual") -> None:
        super().__init__()
        self.text = nn.Linear(4, 5)
        setattr(self, name, tiny())
        self.name = name

    def forward(self, image, text):
        return getattr(self, self.name)(image) @ self.text(text).T


class HuggingFaceClip(Clip):
    def __init__(self) -> None:
        super().__init__("vision_model")

    def forward(self, input_ids=None, pixel_values=None):
        if input_ids is None or pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        return self.vision_model(pixel_values) @ self.text(input_ids).T


class Inside(nn.Module):
    """The encoder is one level down."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = nn.ModuleDict({"image_encoder": tiny(), "text": nn.Linear(4, 5)})

    def forward(self, image, text):
        return self.towers["image_encoder"](image) @ self.towers["text"](text).T


@pytest.mark.parametrize(
    ("make", "part"),
    [(Clip, "visual"), (HuggingFaceClip, "vision_model"), (Inside, "towers.image_encoder")],
)
def test_an_image_and_a_text(make, part: str) -> None:
    model = make()
    with pytest.raises(ModelError, match=rf"give the part of it that takes images, model\.{part}"):
        layers(model)
    assert drawn(model.get_submodule(part))


class OfDict(Tiny):
    def forward(self, batch):
        return super().forward(batch["image"])


class OfDictGet(Tiny):
    def forward(self, batch):
        return super().forward(batch.get("pixel_values"))


class OfDictItems(Tiny):
    def forward(self, batch):
        return super().forward(dict(batch.items())["image"])


class OfObject(Tiny):
    def forward(self, sample):
        return super().forward(sample.tensors)


class OfDictTested(Tiny):
    def forward(self, batch):
        return super().forward(batch["x"] if "x" in batch else batch["y"])


class OfList(Tiny):
    def forward(self, images):
        return super().forward(torch.stack(images))


@pytest.mark.parametrize(
    ("kind", "words", "call"),
    [
        (OfList, r"takes a list of images.*self\.model\(list\(images\)\)", lambda m, images: m(list(images))),
        (OfDict, r"looks up 'image'.*self\.model\(\{'image': images\}\)", lambda m, images: m({"image": images})),
        (OfDictTested, r"looks up 'x'.*self\.model\(\{'x': images\}\)", lambda m, images: m({"x": images})),
        (OfDictGet, r"reads the attribute \.get", lambda m, images: m({"pixel_values": images})),
        (OfDictItems, r"reads the attribute \.items", lambda m, images: m({"image": images})),
        (
            OfObject,
            r"reads the attribute \.tensors",
            lambda m, images: m(type("Sample", (), {"tensors": images})()),
        ),
    ],
)
def test_a_batch_that_is_no_tensor(kind, words: str, call) -> None:
    model = kind()
    with pytest.raises(ModelError, match=words):
        layers(model)
    assert drawn(Wrapped(model, call))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda image: image.convert("RGB"), r"raised AttributeError.*tensor of images \[N, C, H, W\]"),
        (lambda image: [image], "returned a list"),
        (lambda image: image[0], r"returned shape \(3, 32, 32\)"),
    ],
)
def test_a_preprocess_of_something_else_than_tensors(given, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        layers(tiny(), 32, given)
    assert layers(tiny(), 32, "none")
    assert layers(tiny(), 32, transforms.Compose([transforms.Normalize([0.5] * 3, [0.5] * 3)]))
    assert layers(tiny(), 32, Preprocess([0.5] * 3, [0.5] * 3))


class Detr(nn.Module):
    """Learned queries look at a map: what they find is nowhere in the image."""

    def __init__(self, attention: str, queries: int = 16) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 8, stride=8)
        self.queries = nn.Embedding(queries, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.classes = nn.Linear(8, 5)
        self.how = attention

    def forward(self, x):
        tokens = self.backbone(x).flatten(2).transpose(1, 2)
        queries = self.queries.weight.expand(len(x), -1, -1)
        if self.how == "module":
            found, _ = self.attention(queries, tokens, tokens, need_weights=False)
        elif self.how == "function":
            found = F.scaled_dot_product_attention(queries, tokens, tokens)
        else:
            found = (queries @ tokens.transpose(1, 2) / 8**0.5).softmax(-1) @ tokens
        return self.classes(F.layer_norm(found + queries, (8,)))


@pytest.mark.parametrize("attention", ["module", "function", "by hand"])
@pytest.mark.parametrize("queries", [16, 15, 100])
def test_queries_are_no_map_of_the_image(attention: str, queries: int) -> None:
    model = Detr(attention, queries).eval()
    network = read(model, 64)
    layer = network.layer("")
    assert (layer.channels, layer.size, layer.global_field) == (5, (1, queries), True)
    assert network.layer("backbone").size == (8, 8)
    image = torch.rand(2, 3, 64, 64)
    expected = model(image).transpose(1, 2)[:, :, None]
    assert torch.allclose(network.run(image, [""])[""], expected, atol=1e-5)
    wide = torch.rand(1, 3, 64, 128)
    assert network.run(wide, [""])[""].shape == (1, 5, 1, queries)
    assert drawn(model)
