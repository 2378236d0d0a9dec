"""Example crops in the form that the page shows."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget.evidence import activation_map, top_crops
from peek_widget.live.examples import thumbnails
from peek_widget.network import read


def spot(width, height, x, y, side=8):
    """White with a red square."""
    picture = Image.new("RGB", (width, height), "white")
    picture.paste((255, 0, 0), (x, y, x + side, y + side))
    return picture


def red_model():
    model = nn.Sequential(nn.Conv2d(3, 2, 5, stride=2, padding=2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[:, 0] = 1.0
        model[0].weight[:, 1:] = -1.0
        model[0].bias.zero_()
    return model


@pytest.fixture(scope="module")
def found():
    network = read(red_model(), 64, "none")
    crops = top_crops(network, "0", [spot(200, 100, 120, 40), spot(64, 64, 4, 50)], progress=False)
    return network, {crop.index: crop for crop in crops[0].top}


def test_a_thumbnail_is_small_and_keeps_its_shape(found):
    _, crops = found
    whole = Image.open(io.BytesIO(thumbnails.thumbnail(crops[0], None)))
    assert (whole.format, whole.size) == ("JPEG", (128, 64))
    cut = Image.open(io.BytesIO(thumbnails.thumbnail(crops[0], crops[0].box)))
    assert max(cut.size) == 128
    red, green, _ = np.asarray(cut).reshape(-1, 3).mean(0)
    assert red > 240
    assert green < 110


def test_no_image_makes_a_large_message(found):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8))
    crop = top_crops(found[0], "0", [noise], progress=False)[0].top[0]
    assert len(thumbnails.thumbnail(crop, None)) < 20_000
    assert len(thumbnails.enlarged(crop)) < thumbnails._MOST_BYTES
    assert Image.open(io.BytesIO(thumbnails.enlarged(crop))).size == (448, 448)


@pytest.mark.parametrize("index", [0, 1])
def test_the_map_lies_over_the_pixels_that_excite_the_unit(found, index):
    network, crops = found
    crop = crops[index]
    data, (height, width) = thumbnails.map_levels(activation_map(network, crop))
    levels = np.frombuffer(data, np.uint8).reshape(height, width)
    left, top, right, bottom = thumbnails.map_box(crop)
    row, column = np.argwhere(levels == 255).mean(0)
    x = (left + (column + 0.5) / width * (right - left)) * crop.size[0]
    y = (top + (row + 0.5) / height * (bottom - top)) * crop.size[1]
    middle = [(124, 44), (8, 54)][index]
    assert abs(x - middle[0]) < 4
    assert abs(y - middle[1]) < 4


def test_map_levels_are_zero_at_zero_and_below():
    data, size = thumbnails.map_levels(torch.tensor([[-3.0, 0.0], [1.0, 2.0]]))
    assert (list(data), size) == ([0, 0, 128, 255], [2, 2])
    data, _ = thumbnails.map_levels(torch.tensor([[-3.0, -1.0], [-2.0, -3.0]]))
    assert list(data) == [0, 255, 128, 0]
    assert list(thumbnails.map_levels(torch.zeros(2, 2))[0]) == [0, 0, 0, 0]


def test_a_fine_map_is_max_pooled():
    found = torch.zeros(200, 300)
    found[101, 202] = 5.0
    data, (height, width) = thumbnails.map_levels(found)
    assert max(height, width) <= 128
    assert np.frombuffer(data, np.uint8).reshape(height, width)[101 // 3, 202 // 3] == 255


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_start_picture_has_the_networks_channels(found, channels, mode):
    assert thumbnails.start_picture(found[1][0], channels).mode == mode
