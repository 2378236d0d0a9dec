"""Photos with networks whose units fire at known places: the right units, places, percentiles and classes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from peek_widget.errors import EvidenceStoreError, LayerError, PeekError, PhotoError, UnitError
from peek_widget.evidence import top_crops
from peek_widget.photo import look_at
from tests.networks import assert_same, portrait, tiny

RED, BLUE, BIAS = 0, 1, 2


class Colors(nn.Module):
    """Unit 0 fires on red, unit 1 on blue, unit 2 the same everywhere on every image; the classes are red and blue."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.head = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            colors = torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
            self.conv.weight.copy_(colors[:, :, None, None].expand(3, 3, 3, 3) / 9)
            self.conv.bias.copy_(torch.tensor([0.0, 0.0, 50.0]))
            self.head.weight.copy_(torch.tensor([[40.0, 0.0, 0.0], [0.0, 40.0, 0.0]])[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).relu()).relu().amax(dim=(2, 3))


def with_square(
    color: tuple[int, int, int], box: tuple[int, int, int, int], size: tuple[int, int] = (96, 64)
) -> Image.Image:
    image = Image.new("RGB", size, (128, 128, 128))
    image.paste(color, box)
    return image


def look_colors(image, **options):
    return look_at(Colors(), image, **{"input_size": 32, "preprocess": "none", **options})


def test_the_units_that_fire_come_first_and_the_one_that_always_fires_last():
    image = with_square((255, 0, 0), (40, 20, 56, 36))
    image.paste((0, 0, 255), (30, 40, 60, 60))
    found = look_colors(image).unusual("conv")
    assert [one.unit for one in found] == [RED, BLUE, BIAS]
    assert found[-1].activation == pytest.approx(50.0), "the strongest of all, and not unusual"
    assert {one.basis for one in found} == {"layer"}
    assert found[0].percentile == 100.0


def test_a_unit_that_does_not_fire_is_not_unusual():
    found = look_colors(with_square((255, 0, 0), (40, 20, 56, 36))).unusual("conv")
    assert [one.unit for one in found] == [RED, BIAS, BLUE]
    assert found[-1].activation < 0


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (64, 64), (200, 64)])
def test_a_unit_fires_where_its_color_is_on_the_photo_as_stored(size):
    width, height = size
    x, y = width // 2 + 8, height // 2 - 12
    look = look_colors(with_square((255, 0, 0), (x - 8, y - 8, x + 8, y + 8), size))
    found = look.firing("conv", RED)
    assert found.place == pytest.approx((y, x), abs=6)
    assert look.at("conv", y, x)[0].unit == RED
    left, top, right, bottom = look.box("conv", found.position)
    assert (left + right) / 2 == pytest.approx(x, abs=6)
    assert (top + bottom) / 2 == pytest.approx(y, abs=6)
    strength = look.map("conv", RED).strength(*size)
    rows, columns = np.nonzero(strength > 0.9)
    assert (rows.mean(), columns.mean()) == pytest.approx((y, x), abs=2)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 4, 0), (3, 2, 1), (3, 2, 8), (9, 1, 0), (9, 4, 0), (5, 3, 7)]
)
@pytest.mark.parametrize("at", [(20, 11), (31, 33)])
def test_a_map_lies_over_the_photo_from_the_centers_of_its_receptive_fields(kernel, stride, padding, at):
    """Also where these are beyond the border (much padding), and where the map ends within the photo (none)."""
    conv = nn.Conv2d(1, 1, kernel, stride=stride, padding=padding, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, kernel // 2, kernel // 2] = 1.0  # it sees the center of its field
    y, x = np.mgrid[0:48, 0:48]
    spot = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 20).astype(np.float32)
    look = look_at(nn.Sequential(conv, nn.Identity()), spot, "", input_size=48, preprocess="none")
    strength = look.map("", 0).strength(48, 48)
    center = [(strength * axis).sum() / strength.sum() for axis in (y, x)]
    assert center == pytest.approx(at, abs=0.75)


def test_percentiles_are_shares_of_the_real_images_with_a_lower_highest_activation():
    """Images 0 to 39 hold ever more red; one that is redder than 30 of them is at 75 %."""
    box, size = (8, 8, 24, 24), (32, 32)
    images = [with_square((135 + 3 * step, 60, 60), box, size) for step in range(40)]
    evidence = top_crops(Colors(), "conv", images, input_size=32, preprocess="none", progress=False)
    for redder, share in ((29, 75.0), (9, 25.0)):
        photo = with_square((135 + 3 * redder + 2, 60, 60), box, size)
        found = look_colors(photo, evidence=evidence).firing("conv", RED)
        assert found.basis == "evidence"
        assert found.percentile == pytest.approx(share, abs=6)  # the bins of the histogram are 6 % wide
    assert look_colors(with_square((255, 0, 0), box, size), evidence=evidence).firing("conv", RED).percentile == 100.0
    assert look_colors(Image.new("RGB", size, (0, 0, 255)), evidence=evidence).firing("conv", RED).percentile == 0.0


def test_at_a_place_percentiles_are_shares_of_places():
    images = [with_square((255, 0, 0), (0, 0, 8, 8), (32, 32)) for _ in range(8)]
    evidence = top_crops(Colors(), "conv", images, input_size=32, preprocess="none", progress=False)
    look = look_colors(with_square((255, 0, 0), (8, 8, 24, 24), (32, 32)), evidence=evidence)
    red, gray = (next(one for one in look.at("conv", y, x, None) if one.unit == RED) for y, x in ((16, 16), (28, 28)))
    # of 16 x 16 places 4 x 4 are red, at whose corners the field is half outside
    assert red.percentile > 90
    assert gray.percentile < 10


def test_many_shares_are_those_one_by_one():
    torch.manual_seed(0)
    images = [torch.rand(3, 16, 16) for _ in range(6)]
    found = top_crops(tiny(), "forms", images, input_size=16, progress=False)
    wanted = torch.linspace(-0.5, 0.5, len(found))
    one_by_one = [found[unit].share_below(float(value)) for unit, value in enumerate(wanted)]
    assert found.shares_below(wanted).tolist() == pytest.approx(one_by_one, abs=1e-9)
    assert found.shares_below(found.tops()[:, 0] + 1, "images").tolist() == [1.0] * len(found)


# The same pixels as in a pass


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


GIVEN = {
    "PIL": noise(50, 40),
    "gray": noise(50, 40).convert("L"),
    "CMYK": noise(50, 40).convert("CMYK"),
    "transparent": noise(50, 40).convert("RGBA"),
    "palette": noise(50, 40).convert("P"),
    "16 bit": Image.fromarray(np.random.default_rng(1).integers(0, 65535, (40, 50), np.uint16)),
    "array": np.asarray(noise(50, 40)),
    "tensor": torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0)),
    "JPEG, turned": turned(noise(50, 40)),
    "large JPEG": turned(noise(400, 300)),
}


@pytest.mark.filterwarnings("ignore::peek_widget.DatasetWarning")
@pytest.mark.parametrize("kind", GIVEN)
def test_a_photo_is_prepared_as_the_images_of_a_pass_bit_for_bit(kind, tmp_path):
    image = GIVEN[kind]
    crop = top_crops(tiny(), "edges", [image], input_size=16, progress=False)[2].top[0]
    look = look_at(tiny(), image, "edges", input_size=16)
    assert torch.equal(look.pixels, crop.input())
    assert look.size == crop.size
    assert look.firing("edges", 2).activation == crop.activation
    assert look.firing("edges", 2).position == crop.position
    assert look.box("edges", crop.position) == crop.box
    if isinstance(image, bytes):
        path = tmp_path / "photo.jpg"
        path.write_bytes(image)
        assert torch.equal(look_at(tiny(), path, "edges", input_size=16).pixels, look.pixels)


def test_with_evidence_a_photo_is_prepared_as_its_images_were():
    image = GIVEN["PIL"]
    evidence = top_crops(tiny(), "edges", [image], input_size=16, resize=24, progress=False)
    look = look_at(tiny(), image, evidence=evidence, input_size=16)
    assert torch.equal(look.pixels, evidence[0].top[0].input())
    assert look.layers == ("edges",)


def test_a_gif_gives_its_first_picture():
    first, second = (with_square(color, (20, 20, 40, 40)) for color in ((255, 0, 0), (0, 0, 255)))
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    assert look_colors(buffer.getvalue()).unusual("conv")[0].unit == RED


def test_what_is_cut_off_is_said_and_darkened():
    look = look_colors(Image.new("RGB", (96, 64), (255, 255, 255)))
    assert look.shown == pytest.approx((16, 0, 80, 64))
    row = np.asarray(look.picture)[100, :, 0]
    assert (row[0] < 100, row[256] == 255) == (True, True)
    with pytest.raises(PhotoError, match="not on the photo"):
        look.at("conv", 10, 97)


# What if


def test_what_is_covered_does_not_fire_any_more():
    look = look_colors(with_square((255, 0, 0), (40, 20, 56, 36)))
    assert look.predictions[0].unit == 0
    what_if = look.without((36, 16, 60, 40))
    assert what_if.difference("conv")[RED] < -0.5
    assert what_if.difference("conv")[BIAS] == pytest.approx(0.0)
    (before, after), *_ = what_if.classes
    assert before.unit == after.unit == 0
    assert before.score > 0.9 > after.score
    assert look.without((60, 40, 80, 60)).difference("conv")[RED] == pytest.approx(0.0), "elsewhere nothing changes"


def test_color_and_form_of_the_whole_photo_can_be_taken_away():
    look = look_colors(with_square((255, 0, 0), (20, 4, 76, 60)))
    assert look.without(how="grayscale").difference("conv")[RED] < -0.5
    blurred, shuffled = look.without(how="blur"), look.without(how="shuffle")
    assert 0 < float((blurred.after.pixels - look.pixels).abs().mean()) < 0.1
    assert torch.equal(shuffled.after.pixels.flatten(1).sort(1).values, look.pixels.flatten(1).sort(1).values)
    assert not torch.equal(shuffled.after.pixels, look.pixels)
    assert torch.equal(look.without(how="shuffle").after.pixels, shuffled.after.pixels), "the same way each time"


def test_a_mask_of_any_size_is_a_region():
    look = look_colors(with_square((255, 0, 0), (40, 20, 56, 36)))
    mask = np.zeros((64, 96), bool)
    mask[16:40, 36:60] = True
    small = np.asarray(Image.fromarray(mask).resize((48, 32)))
    by_box = look.without((36, 16, 60, 40)).after.pixels
    assert torch.equal(look.without(mask).after.pixels, by_box)
    assert torch.equal(look.without(torch.from_numpy(small.copy())).after.pixels, by_box)


@pytest.mark.parametrize(
    ("region", "how", "words"),
    [
        ((0, 0, 10, 64), "gray", "sees nothing of that region"),
        ((40, 20, 30, 30), "gray", "left, top, right, bottom"),
        ("corner", "gray", "left, top, right, bottom"),
        (np.zeros((2, 2, 2)), "gray", "mask"),
        ((40, 20, 44, 24), "shuffle", "too small to shuffle"),
        (None, "sharpen", "'gray', 'grayscale', 'blur', 'shuffle'"),
    ],
)
def test_an_impossible_region_is_refused_in_a_sentence(region, how, words):
    with pytest.raises(PhotoError, match=words):
        look_colors(Image.new("RGB", (96, 64))).without(region, how)


# Predictions


class Ending(nn.Module):
    def __init__(self, end) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.conv(x))


@pytest.mark.parametrize(
    ("end", "scores"),
    [
        (lambda x: x.mean((2, 3)), lambda out: out.softmax(1)),
        (lambda x: x.relu().mean((2, 3)), lambda out: out.softmax(1)),
        (lambda x: x.mean((2, 3)).softmax(1), lambda out: out),
        (lambda x: F.log_softmax(x.mean((2, 3)), 1), lambda out: out.exp()),
        (lambda x: x.mean((2, 3)).sigmoid(), lambda out: out),
    ],
    ids=["logits", "after a last ReLU", "softmax", "log_softmax", "sigmoid"],
)
def test_scores_are_the_models_own(end, scores):
    torch.manual_seed(0)
    model = Ending(end)
    image = torch.rand(3, 16, 16)
    look = look_at(model, image, "conv", preprocess="none", input_size=16)
    with torch.no_grad():
        wanted = scores(model(image[None]))[0]
    torch.testing.assert_close(look.predictions.scores, wanted)
    assert [one.unit for one in look.predictions] == wanted.argsort(descending=True)[:5].tolist()
    assert look.predictions[0].name.startswith("class ")


def test_classes_have_their_names():
    look = look_colors(with_square((0, 0, 255), (20, 4, 76, 60)), class_names=["red", "blue"])
    assert look.predictions[0].name == "blue"
    assert str(look.predictions).startswith("blue 100 %")
    with pytest.raises(PhotoError, match="1 names, and the model's output has 2"):
        look_colors(Image.new("RGB", (32, 32)), class_names=["red"])


@pytest.mark.parametrize(
    ("end", "words"),
    [(lambda x: x, "a map of 14 x 14 positions"), (lambda x: x.mean((1, 2, 3))[:, None], "gives one number")],
)
def test_a_model_without_classes_says_so(end, words):
    look = look_at(Ending(end), torch.rand(3, 16, 16), "conv", preprocess="none", input_size=16)
    assert len(look.predictions) == 0
    assert words in str(look.predictions)
    assert look.unusual("conv")
    assert len(look.without(how="blur").predictions) == 0


# What can't be looked at


def packed(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "NoneType"),
        (7, "of type int"),
        (b"", "empty: 0 bytes"),
        (b"hello", "not an image that can be read"),
        (HEIC, "pip install pillow-heif"),
        ("nowhere.jpg", "nowhere.jpg"),
        (packed(Image.new("RGB", (64, 64)), "JPEG")[:300], "Truncated"),
        (np.zeros((4, 4, 4, 3)), "a batch"),
        (np.full((8, 8, 3), np.nan), "not finite"),
        (torch.randn(3, 16, 16), "values go from"),
        (torch.rand(7, 16, 16), "7 channels"),
        (Image.new("L", (2000, 10)), "not a picture but a line"),
    ],
    ids=[
        "None",
        "number",
        "0 bytes",
        "text",
        "HEIC",
        "missing",
        "cut off",
        "batch",
        "NaN",
        "normalized",
        "bands",
        "line",
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence(image, words):
    with pytest.raises(PhotoError, match=words):
        look_at(tiny(), image, "edges", input_size=16)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_photo_of_100_megapixels_is_refused_before_it_is_decoded():
    huge = packed(Image.new("1", (10_000, 10_000)), "PNG")
    with pytest.raises(PhotoError, match="10000 x 10000 px, more than 64 million"):
        look_at(tiny(), huge, "edges", input_size=16)


def test_layers_units_and_evidence_that_do_not_fit_are_refused():
    look = look_at(tiny(), GIVEN["PIL"], "edges", input_size=16)
    with pytest.raises(LayerError, match="was not looked at"):
        look.map("forms", 0)
    with pytest.raises(UnitError):
        look.map("edges", 6)
    evidence = top_crops(tiny(), "edges", [GIVEN["PIL"]], input_size=16, progress=False)
    evidence._example_index.fingerprint = "0" * 16
    with pytest.raises(EvidenceStoreError, match="weights have changed"):
        look_at(tiny(), GIVEN["PIL"], evidence=evidence, input_size=16)
    evidence._example_index.fingerprint = None
    with pytest.raises(EvidenceStoreError, match="same input_size"):
        look_at(tiny(), GIVEN["PIL"], evidence=evidence, input_size=24)
    for given, kind in (("photos.evidence", "str"), (3, "int"), ({"edges": 3}, "dict")):
        with pytest.raises(PeekError, match=rf"evidence= is a {kind}: give what top_crops"):
            look_at(tiny(), GIVEN["PIL"], evidence=given, input_size=16)


# The guest, the table, the figure


def test_the_model_is_untouched_also_after_a_refusal():
    model = tiny().train()
    before, state = portrait(model), torch.get_rng_state()
    look_at(model, GIVEN["PIL"], input_size=16).without(how="shuffle")
    with pytest.raises(PhotoError):
        look_at(model, b"", input_size=16)
    assert_same(before, portrait(model))
    assert torch.equal(state, torch.get_rng_state())


def test_table_and_figure():
    pytest.importorskip("pandas", reason="pip install 'peek_widget[survey]'")
    pytest.importorskip("matplotlib", reason="pip install 'peek_widget[survey]'")
    image = with_square((255, 0, 0), (40, 20, 56, 36))
    evidence = top_crops(Colors(), "conv", [image], labels=["ball"], input_size=32, preprocess="none", progress=False)
    tags = {"conv": {"0": ["red"]}}
    look = look_colors(image, layers=["conv", ""], evidence=evidence, tags=tags, class_names=["red", "blue"])
    rows = look.table.set_index(["layer", "unit"])
    assert set(rows.index) == {("conv", 0), ("conv", 1), ("conv", 2), ("", 0), ("", 1)}
    assert rows.loc[("conv", 0), "tags"] == "red"
    assert rows.loc[("conv", 0), "label"] == "ball"
    assert rows.loc[("", 1), "label"] == "blue"
    assert rows["basis"].to_dict()[("", 0)] == "layer"
    assert rows["basis"].to_dict()[("conv", 0)] == "evidence"
    changed = look.without((36, 16, 60, 40)).table
    assert {"before", "after", "difference"} <= set(changed.columns)
    figure = look.figure("conv")
    assert figure.mode == "RGB"
    assert figure.width > 800
