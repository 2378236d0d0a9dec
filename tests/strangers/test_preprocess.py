"""``preprocess=`` that resizes and crops: a library's is recognized, what else is not pixel by pixel is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.transforms import v2

from peek_widget import Preprocess, activations, layers, top_crops
from peek_widget.errors import ModelError, PeekError
from peek_widget.evidence import load_evidence
from peek_widget.network import find_preprocess, read
from peek_widget.network.pixelwise import check_pixelwise

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def model(channels: int = 3) -> nn.Module:
    """A unit that fires on red (on bright, of one channel) by 3 x 3 pixels, and one that does not."""
    conv = nn.Conv2d(channels, 2, 3, padding=1)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0] = 1.0 / 9
        conv.weight[0, 1:] = -1.0 / 9
        conv.weight[1] = -conv.weight[0]
        conv.bias.zero_()
    return nn.Sequential(conv)


def photo(size: tuple[int, int], at: tuple[float, float], side: int = 12) -> tuple[Image.Image, tuple[float, float]]:
    """A textured picture with a red square at a share of its (width, height); and the square's center."""
    draws = np.random.default_rng(size[0])
    image = Image.fromarray(draws.integers(90, 150, (size[1], size[0], 3), dtype=np.uint8))
    x, y = size[0] * at[0], size[1] * at[1]
    ImageDraw.Draw(image).rectangle([x - side / 2, y - side / 2, x + side / 2, y + side / 2], fill=(255, 0, 0))
    return image, (x, y)


PHOTOS = [photo((160, 100), (0.42, 0.45)), photo((90, 150), (0.6, 0.55)), photo((120, 120), (0.35, 0.62))]


def _compose(*steps: Any) -> v1.Compose:
    return v1.Compose([*steps, v1.ToTensor(), v1.Normalize(MEAN, STD)])


def _preset(crop: int, resize: int, how: v1.InterpolationMode = v1.InterpolationMode.BILINEAR) -> Any:
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=crop, resize_size=resize, mean=MEAN, std=STD, interpolation=how)


BICUBIC = v1.InterpolationMode.BICUBIC

# By name: a preprocessing of images of any size, and what is resized to what.
LIBRARIES: dict[str, tuple[Any, Any, int | None]] = {
    "weights.transforms()": (_preset(48, 56), 56, 48),
    "weights.transforms(), bicubic": (_preset(48, 52, BICUBIC), 52, 48),
    "Resize and CenterCrop": (_compose(v1.Resize(60), v1.CenterCrop(48)), 60, 48),
    "Resize of both sides": (_compose(v1.Resize((48, 48))), (48, 48), None),
    "Resize of both sides, and CenterCrop": (_compose(v1.Resize((64, 56)), v1.CenterCrop(48)), (64, 56), 48),
    "to RGB first, bicubic": (
        _compose(v1.Lambda(lambda image: image.convert("RGB")), v1.Resize(50, BICUBIC), v1.CenterCrop((48, 48))),
        50,
        48,
    ),
    "v2": (
        v2.Compose(
            [
                v2.ToImage(),
                v2.Resize([54], antialias=True),
                v2.CenterCrop(48),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        ),
        54,
        48,
    ),
    "PIL to tensor, float, Sequential": (
        v1.Compose(
            [
                v1.Resize(55),
                v1.CenterCrop(48),
                v1.PILToTensor(),
                nn.Sequential(v1.ConvertImageDtype(torch.float), v1.Normalize(MEAN, STD)),
            ]
        ),
        55,
        48,
    ),
    "a function of pixels among the steps": (
        v1.Compose([v1.Resize(57), v1.CenterCrop(48), v1.ToTensor(), v1.Lambda(lambda x: x**0.5 * 2 - 1)]),
        57,
        48,
    ),
    "levels of gray": (
        v1.Compose(
            [
                v1.Resize(57),
                v1.CenterCrop(48),
                v1.PILToTensor(),
                v1.Lambda(lambda x: x.float()),
                v1.Normalize([104.0, 117.0, 123.0], [1.0] * 3),
            ]
        ),
        57,
        48,
    ),
    "colors before ToTensor": (
        _compose(v1.Resize(57), v1.CenterCrop(48), v1.Lambda(lambda x: v1.functional.adjust_brightness(x, 0.8))),
        57,
        48,
    ),
    "normalized before it is cropped": (
        v1.Compose([v1.Resize(52), v1.ToTensor(), v1.Normalize([0.5], [0.5]), v1.CenterCrop(48)]),
        52,
        48,
    ),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_resizing_and_cropping_of_a_library_is_done_here(name: str) -> None:
    given, resize, crop = LIBRARIES[name]
    network = read(model(), preprocess=given)
    assert (network.input_size, network.preprocess.resize, network.preprocess.crop) == (48, resize, crop)
    images = [image for image, _ in PHOTOS]
    found = top_crops(model(), "0", images, k=3, preprocess=given, workers=0, progress=False)
    top = {crop.index: crop for crop in found[0].top}
    for number, (image, (x, y)) in enumerate(PHOTOS):
        # the number that the network itself gives
        with torch.no_grad():
            truth = model()(given(image)[None])[0, 0]
        seen = top[number]
        assert seen.activation == pytest.approx(float(truth.max()), abs=0.02 if "colors" in name else 1e-3)
        assert float(truth[seen.position]) == pytest.approx(float(truth.max()), abs=0.05 if "colors" in name else 2e-3)
        # and the thing is in the crop, which is not larger than the field
        left, top_edge, right, bottom = seen.box
        # (the square is 13 px wide, and the unit is as active on all of it)
        assert x - 6 <= (left + right) / 2 <= x + 7, (seen.box, (x, y))
        assert y - 6 <= (top_edge + bottom) / 2 <= y + 7, (seen.box, (x, y))
        assert max(right - left, bottom - top_edge) < 16
    values = activations(model(), images, "0", preprocess=given, progress=False)["0"]
    with torch.no_grad():
        expected = torch.cat([model()(given(image)[None]) for image in images])
    assert float((values - expected).abs().max()) < (0.05 if name == "v2" or "colors" in name else 1e-3)


def test_what_was_recognized_is_said() -> None:
    said = str(read(model(), preprocess=_preset(48, 56)).preprocess)
    assert said == "RGB, mean 0.4 0.5 0.6, std 0.2 0.25 0.3, shorter side 56, center 48 (given: ImageClassification)"
    said = str(read(model(), preprocess=_compose(v1.Resize((48, 48), BICUBIC))).preprocess)
    assert "resized to 48 x 48 (bicubic) (given: Resize, ToTensor, Normalize)" in said
    assert read(model(), preprocess=Preprocess(MEAN, STD, resize=256, crop=224)).input_size == 224


def test_the_weights_themselves_and_their_transforms() -> None:
    weights = torchvision.models.EfficientNet_B1_Weights.IMAGENET1K_V2
    one, other = (find_preprocess(model(), 3, given) for given in (weights, weights.transforms()))
    assert one == other == find_preprocess(model(), 3, weights.transforms)
    assert (one.resize, one.crop, one.interpolation) == (255, 240, "bilinear")
    segmentation = torchvision.models.segmentation.FCN_ResNet50_Weights.DEFAULT.transforms()
    found = find_preprocess(model(), 3, segmentation)
    assert (found.resize, found.crop, found.mean) == (520, None, (0.485, 0.456, 0.406))
    detection = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.DEFAULT.transforms()
    assert find_preprocess(model(), 3, detection).function is None


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        (v1.ToTensor(), 1.0),
        (v1.PILToTensor(), 255.0),
        (v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]), 255.0),
        (v1.Compose([v1.PILToTensor(), v1.ConvertImageDtype(torch.float)]), 1.0),
    ],
)
def test_conversions_say_the_range(given: Any, scale: float) -> None:
    preprocess = read(model(), 48, given).preprocess
    assert (preprocess.scale, preprocess.mean, preprocess.function) == (scale, (), None)


def test_a_gray_network() -> None:
    given = v1.Compose([v1.Grayscale(), v1.Resize(36), v1.CenterCrop(32), v1.ToTensor(), v1.Normalize((0.5,), (0.25,))])
    network = read(model(1), preprocess=given)
    assert (network.channels, network.input_size) == (1, 32)
    assert network.preprocess.mean == (0.5,)
    values = activations(model(1), [image for image, _ in PHOTOS], "0", preprocess=given, progress=False)["0"]
    with torch.no_grad():
        expected = torch.cat([model(1)(given(image)[None]) for image, _ in PHOTOS])
    assert float((values - expected).abs().max()) < 0.04  # gray before it is resized, or after: a level of 255


class Processor(SimpleNamespace):
    """What Hugging Face's image processors say of themselves."""

    def __call__(self, images: Any) -> Any:
        raise TypeError("a processor takes PIL images")


@pytest.mark.parametrize(
    ("size", "more", "expected"),
    [
        ({"shortest_edge": 56}, {"do_center_crop": True, "crop_size": {"height": 48, "width": 48}}, (56, 48)),
        ({"height": 48, "width": 48}, {"do_center_crop": False}, ((48, 48), None)),
        ({"shortest_edge": 48}, {"crop_pct": 0.875}, (54, 48)),
    ],
)
def test_an_image_processor(size: Any, more: Any, expected: Any) -> None:
    processor = Processor(
        do_resize=True, size=size, resample=3, do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
        image_mean=MEAN, image_std=STD, **more,
    )  # fmt: skip
    network = read(model(), preprocess=processor)
    assert (network.preprocess.resize, network.preprocess.crop) == expected
    assert (network.input_size, network.preprocess.interpolation) == (48, "bicubic")
    assert (network.preprocess.mean, network.preprocess.scale) == (tuple(MEAN), 1.0)


def paler(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value // 2 + 64)


IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "of PIL images": (_compose(v1.Resize((48, 48)), paler), "paler changes PIL images.*after ToTensor"),
    "random crop": (_compose(v1.RandomResizedCrop(48)), "RandomResizedCrop is drawn again for each image.*evaluation"),
    "random flip": (_compose(v1.Resize((48, 48)), v1.RandomHorizontalFlip()), "RandomHorizontalFlip is drawn again"),
    "colors": (v2.Compose([v2.Resize((48, 48)), v2.ColorJitter(0.5), v2.ToImage()]), "ColorJitter is drawn again"),
    "five crops": (_compose(v1.Resize(60), v1.FiveCrop(48)), "FiveCrop changes the shape"),
    "cropped, never resized": (_compose(v1.CenterCrop(48)), "nothing resizes them first: put a Resize before it"),
    "cropped first": (_compose(v1.CenterCrop(48), v1.Resize(32)), "cropped before they are resized"),
    "twice": (_compose(v1.Resize(99), v1.Resize(48)), "resized before they are resized"),
    "too small": (_compose(v1.Resize(40), v1.CenterCrop(48)), "a larger Resize, or a smaller CenterCrop"),
    "longest side": (_compose(v1.Resize(48, max_size=60)), "max_size"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_steps_that_are_not_possible_are_named(name: str) -> None:
    given, words = IMPOSSIBLE[name]
    with pytest.raises(ModelError, match=words):
        read(model(), preprocess=given)


# -- functions of somebody's own, found by trial

MOVING: dict[str, Callable[[Tensor], Tensor]] = {
    "resizes to a size": lambda x: F.interpolate(x, size=(48, 48)),
    "resizes by a factor": lambda x: F.interpolate(x, scale_factor=0.5),
    "crops": lambda x: x[..., 2:-2, 2:-2],
    "crops and resizes back": lambda x: F.interpolate(x[..., 4:-4, 4:-4], size=x.shape[-2:], mode="bilinear"),
    "torchvision's functions": lambda x: v1.functional.center_crop(v1.functional.resize(x, [56]), [48, 48]),
    "pads": lambda x: F.pad(x, (2, 2, 2, 2)),
    "flips": lambda x: x.flip(3),
    "turns": lambda x: x.transpose(2, 3),
    "shifts": lambda x: x.roll(3, 2),
    "blurs": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "blurs a little": v1.GaussianBlur(3, 0.8),
    "sharpens": lambda x: 2 * x - F.avg_pool2d(x, 3, 1, 1),
    "flips at random": lambda x: x.flip(3) if torch.rand(()) < 0.5 else x,
    "crops at random": lambda x: x.roll(random.randrange(1, 8), 3),
    "edges": lambda x: x - x.roll(1, 3),
}


@pytest.mark.parametrize("name", MOVING)
def test_what_moves_or_blends_pixels_is_refused(name: str) -> None:
    words = r"preprocess (made|changed).*pixel by pixel.*\(\.\.\., resize=256\)"
    state, pythons, numpys = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(ModelError, match=words):
        check_pixelwise(MOVING[name], 3, 48, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == pythons
    assert np.random.get_state()[1].tolist() == numpys
    with pytest.raises(ModelError, match=words):
        read(model(), 48, MOVING[name])
    # what the sentence says to give instead
    assert layers(model(), preprocess=Preprocess(MEAN, STD, resize=256, crop=224))


PIXEL_BY_PIXEL: dict[str, Callable[[Tensor], Tensor]] = {
    "to [-1, 1]": lambda x: 2 * x - 1,
    "gamma": lambda x: x.clamp(min=1e-6) ** 2.2,
    "BGR, less a mean": lambda x: x.flip(1) * 255 - 117.0,
    "to YUV": lambda x: torch.einsum(
        "nchw,kc->nkhw", x, torch.tensor([[0.3, 0.6, 0.1], [-0.1, -0.3, 0.4], [0.6, -0.5, -0.1]])
    ),
    "standardized by itself": lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True),
    "to its own range": lambda x: (
        (x - x.amin((2, 3), keepdim=True)) / (x.amax((2, 3), keepdim=True) - x.amin((2, 3), keepdim=True))
    ),
    "less its median": lambda x: x - x.flatten(1).median(1).values[:, None, None, None],
    "some noise": lambda x: x + 0.01 * torch.randn_like(x),
    "Normalize": v1.Normalize(MEAN, STD),
    "whole numbers": lambda x: (x * 255).round(),
}


@pytest.mark.filterwarnings("ignore::peek_widget.PeekWarning")  # what a probe says of random ones: test_probe.py
@pytest.mark.parametrize("name", PIXEL_BY_PIXEL)
def test_what_goes_pixel_by_pixel_works(name: str) -> None:
    given = PIXEL_BY_PIXEL[name]
    seen = read(model(), 48, given)
    image = torch.rand(1, 3, 48, 48)
    assert torch.allclose(seen.preprocess(image), given(image), atol=0.1 if "noise" in name else 1e-6)
    assert seen.preprocess.resize is None


# -- resize= and crop= of our own


def test_a_preprocess_says_how_images_are_resized(tmp_path: Any) -> None:
    images = [image for image, _ in PHOTOS]
    ours = Preprocess(MEAN, STD, resize=(64, 56), crop=48)
    theirs = _compose(v1.Resize((64, 56)), v1.CenterCrop(48))
    one, other = (
        top_crops(model(), "0", images, k=2, preprocess=given, workers=0, progress=False) for given in (ours, theirs)
    )
    assert [crop.box for crop in one[0].top] == [crop.box for crop in other[0].top]
    one.save(tmp_path / "e.safetensors")
    again = load_evidence(tmp_path / "e.safetensors", images)["0"]
    assert [crop.box for crop in again[0].top] == [crop.box for crop in one[0].top]
    # what is said in a call holds
    plain = top_crops(model(), "0", images, k=2, preprocess=ours, resize=48, workers=0, progress=False)
    assert plain[0].top[0].box != one[0].top[0].box


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"resize": 0}, "resize=0"),
        ({"resize": (10, 10, 10)}, "shorter side or"),
        ({"crop": 2.5}, "crop=2.5"),
        ({"interpolation": "area"}, "choose one of bilinear"),
    ],
)
def test_impossible_sizes(wrong: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Preprocess(**wrong)


def test_sizes_that_do_not_fit_the_network() -> None:
    with pytest.raises(ModelError, match="input_size=64 asks for more: leave input_size out"):
        read(model(), 64, _preset(48, 56))
    assert read(model(), preprocess=_compose(v1.Resize((48, 64)))).input_size == (48, 64)
    with pytest.raises(PeekError, match=r"resize=40 of the preprocessing.*input size \(48\)"):
        top_crops(model(), "0", [PHOTOS[0][0]], input_size=48, preprocess=Preprocess(resize=40, crop=48))


def test_how_images_are_resized_is_kept_with_the_evidence(tmp_path: Any) -> None:
    images, path = [image for image, _ in PHOTOS], tmp_path / "e.safetensors"
    cubic = Preprocess(MEAN, STD, resize=64, crop=48, interpolation="bicubic")
    found = top_crops(model(), "0", images, k=2, preprocess=cubic, workers=0, progress=False)
    found.save(path)
    again = load_evidence(path, images)["0"]
    assert torch.equal(again[0].top[0].input(), found[0].top[0].input())
    options = {"k": 2, "store": path, "workers": 0, "progress": False}
    assert len(top_crops(model(), "0", images, preprocess=cubic, **options)[0].top) == 2
    with pytest.raises(PeekError, match=r"interpolation, prepared\) .*bicubic.*now.*bilinear"):
        top_crops(model(), "0", images, preprocess=Preprocess(MEAN, STD, resize=64, crop=48), **options)
