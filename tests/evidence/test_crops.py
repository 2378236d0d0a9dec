"""A crop shows what the unit saw, cut from the image as it is stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget.errors import DatasetError
from peek_widget.evidence import load_evidence, top_crops
from peek_widget.evidence.synsets import synset_in
from peek_widget.network import Preprocess
from peek_widget.zoo import Images, bundled
from tests.networks import Planted


class RedSquare(nn.Module):
    """Looks for red with a 3 x 3 window, every other pixel: field 3, stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, stride=2, padding=1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 3, 3))
            self.conv.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu()


def with_a_red_square(width: int, height: int, x: int, y: int, side: int) -> Image.Image:
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    image[y : y + side, x : x + side] = (255, 0, 0)
    return Image.fromarray(image)


@pytest.mark.parametrize(
    ("size", "at", "resize"),
    [
        ((320, 320), (160, 80), None),
        ((640, 320), (400, 120), None),
        ((320, 640), (40, 300), None),
        ((500, 400), (250, 200), 40),
    ],
)
def test_the_crop_is_at_the_right_pixels_of_the_image_as_stored(size, at, resize):
    image = with_a_red_square(*size, *at, 40)
    crops = top_crops(RedSquare(), "conv", [image], input_size=32, resize=resize, preprocess="none", progress=False)
    crop = crops[0].top[0]
    assert crop.size == size
    assert crop.activation > 4
    red = np.asarray(crop.image).reshape(-1, 3)
    share = ((red[:, 0] > 200) & (red[:, 1] < 60)).mean()
    assert share > 0.7, f"{share:.0%} of {crop.box} is red; the square is at {at}"
    assert crop.whole().size == size
    assert not crop.clipped
    left, top, right, bottom = crop.box
    scale = min(size) / (resize or 32)
    assert right - left == pytest.approx(3 * scale, abs=2)
    assert crop.image.size == (right - left, bottom - top)


def test_a_field_past_the_border_is_clipped_and_marked():
    image = Image.new("RGB", (320, 320), (128, 128, 128))
    image.paste((255, 0, 0), (0, 100, 10, 140))
    crops = top_crops(RedSquare(), "conv", [image], input_size=32, preprocess="none", progress=False)
    crop = crops[0].top[0]
    assert crop.clipped
    assert crop.position[1] == 0
    assert crop.input_box[0] == 0.0
    assert crop.box[0] == 0
    assert crop.box[2] - crop.box[0] == 20, "two of its three columns"


def test_the_lowest_is_shown_too():
    image = with_a_red_square(64, 64, 0, 0, 64)
    image.paste((0, 255, 255), (32, 32, 40, 40))
    crop = top_crops(RedSquare(), "conv", [image], input_size=64, preprocess="none", progress=False)[0].bottom[0]
    assert crop.activation < -10
    assert np.asarray(crop.image).reshape(-1, 3).mean(axis=0).tolist() == [0, 255, 255]


def test_pictures_come_in_the_size_asked_for_and_small_ones_as_pixels():
    images = Images(12)
    crops = top_crops(bundled(), ["conv1", "conv6"], images, k=2, progress=False)
    small, large = crops["conv1"][3].top[0], crops["conv6"][3].top[0]
    assert max(small.image.size) <= 5
    shown = np.asarray(small.resized(50))
    assert max(shown.shape) == 50
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= 25, "enlarged without blur"
    assert max(large.resized(200).size) == 200
    boxed = large.boxed(128)
    assert boxed.size == (128, 128)
    plain = large.whole().resize((128, 128), Image.Resampling.BICUBIC)
    framed = np.abs(np.asarray(boxed, int) - np.asarray(plain, int)).sum(axis=2) > 0
    rows, columns = framed.any(axis=1).nonzero()[0], framed.any(axis=0).nonzero()[0]
    assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == [2 * v for v in large.box]


def test_a_crop_gives_the_networks_input_and_the_patch_as_tensors():
    images = Images(6)
    crop = top_crops(bundled(), "conv6", images, k=2, progress=False)[0].top[0]
    assert torch.equal(crop.input(), images[crop.index][0])
    assert crop.tensor.dtype is torch.float32
    assert torch.equal(crop.tensor.mul(255).round(), torch.from_numpy(np.array(crop.image)).permute(2, 0, 1).float())


def test_a_normalized_dataset_is_shown_as_it_looked():
    normal = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))

    class Normalized(Images):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return normal(image[None])[0], label

    with pytest.raises(DatasetError, match="prepared=True if they are already"):
        top_crops(bundled(), "conv4", Normalized(3), preprocess=normal, progress=False)
    crops = top_crops(bundled(), "conv4", Normalized(20), preprocess=normal, prepared=True, progress=False)
    plain = top_crops(bundled(), "conv4", Images(20), preprocess=normal, progress=False)
    for mine, theirs in zip(crops[7].top, plain[7].top, strict=True):
        assert (mine.index, mine.position) == (theirs.index, theirs.position)
        difference = np.abs(np.asarray(mine.image, int) - np.asarray(theirs.image, int))
        assert difference.max() <= 1


def test_gray_images_for_a_gray_network():
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    crop = top_crops(model, "0", list(torch.rand(4, 28, 28)), input_size=28, progress=False)[0].top[0]
    assert crop.image.mode == "L"
    assert crop.resized(60).size == (60, 60)


def test_labels_are_named_where_the_dataset_names_them(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        with_a_red_square(20, 20, 4, 4, 8).save(tmp_path / name / "1.png")
    crop = top_crops(Planted(), "conv", tmp_path, k=1, input_size=16, progress=False)[0].top[0]
    assert crop.label == crop.label_name in ("cat", "dog")
    assert crop.name == f"{crop.label}/1.png"


def test_an_image_that_was_deleted_is_named_in_the_error(tmp_path):
    with_a_red_square(20, 20, 4, 4, 8).save(tmp_path / "a.png")
    crops = top_crops(Planted(), "conv", tmp_path, input_size=16, progress=False)
    crops.save(tmp_path.parent / "kept.safetensors")
    loaded = load_evidence(tmp_path.parent / "kept.safetensors")
    with pytest.raises(DatasetError, match=r"which holds no images .it was the folder"):
        _ = loaded["conv"][0].top[0].image
    assert loaded.attach(tmp_path)["conv"][0].top[0].image.size == crops[0].top[0].image.size
    (tmp_path / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"'a.png' could be read during the pass, but no longer can"):
        _ = crops[0].top[0].image
    with_a_red_square(20, 20, 4, 4, 8).save(tmp_path / "b.png")
    with pytest.raises(DatasetError, match=r"'a.png' is not in the folder"):
        loaded.attach(tmp_path)["conv"][0].top[0].whole()


def test_the_share_below_an_activation_goes_with_the_quantiles():
    crops = top_crops(bundled(), "conv4", Images(60), progress=False)
    for unit in (3, 40, 80):
        one = crops[unit]
        for share, value in one.quantiles.items():
            assert one.share_below(value) == pytest.approx(share, abs=0.02)
        assert one.share_below(one.quantiles[1.0] + 1) == 1.0
        assert one.share_below(one.quantiles[0.0] - 1) == 0.0
        assert list(one.quantiles.values()) == sorted(one.quantiles.values())
        assert one.image_quantiles[0.5] > one.quantiles[0.5]
        assert one.image_quantiles[1.0] == one.quantiles[1.0] == one.top[0].activation


def test_wordnet_numbers_are_shown_as_the_names_of_their_classes(tmp_path):
    pytest.importorskip("torchvision")
    for folder in ("n02102318", "n99999999"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 40), "red").save(tmp_path / folder / "1.png")
    crops = top_crops(RedSquare(), "conv", tmp_path, k=2, input_size=32, preprocess="none", progress=False)[0].top
    assert {crop.label: crop.label_name for crop in crops} == {
        "n02102318": "cocker spaniel",
        "n99999999": "n99999999",  # of no class of ImageNet's
    }
    assert synset_in("val/0000_n01440764_tench.jpg") == "tench"
    assert synset_in("n01440764_10026.JPEG") == "tench"
    assert synset_in("IMG_20210102318.jpg") is None
    assert synset_in("plan02102318.jpg") is None
