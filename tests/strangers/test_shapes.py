"""Networks whose input is not square: people, spectrograms, lines of text, panoramas, strips of patches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from peek_widget import (
    Channel,
    Logit,
    Neuron,
    Recipe,
    UnitExplorer,
    activations,
    compare,
    contact_sheet,
    layers,
    load_recipe,
    look_at,
    render,
    save_animation,
    top_crops,
)
from peek_widget._size import Size
from peek_widget.ascent import Ascent, State
from peek_widget.ascent.still import STILL_VIEW, StillActivation
from peek_widget.ascent.views import ViewGeometry, ViewParameters, affine_draws, affine_views
from peek_widget.errors import ModelError, RecipeError, SizeError
from peek_widget.evidence import Evidence
from peek_widget.evidence.crops import activation_map
from peek_widget.evidence.prepare import Preparer, resize_of
from peek_widget.network import Preprocess, read
from peek_widget.network.receptive_field.field_map import field_map, share_inside
from peek_widget.sheet.poster import GAP, _caption, _grid

SHORT = Recipe.preset("peek").replace(steps=3, n_views=2)


def stem(channels: int, *strides: int) -> list[nn.Module]:
    parts: list[nn.Module] = []
    for number, stride in enumerate(strides):
        parts += [nn.Conv2d(channels if number == 0 else 6, 6, 3, stride, 1), nn.ReLU()]
    return parts


class Person(nn.Sequential):
    """Person re-identification: as high as two squares, with a linear layer that takes that size alone."""

    def __init__(self) -> None:
        super().__init__(*stem(3, 2, 2), nn.Flatten(), nn.Linear(6 * 16 * 8, 4))


class Spectrogram(nn.Module):
    """Sound: one band, frequencies down, time across, averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*stem(1, 2, 2))
        self.classes = nn.Linear(6 * 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.body(x).mean(dim=3).flatten(1))


class TextLine(nn.Module):
    """A line of text: the height is collapsed by strides that differ, the width is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, (2, 1), 1), nn.ReLU(), nn.MaxPool2d((2, 2), (2, 1), (0, 1)), nn.Conv2d(6, 6, (4, 2))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Panorama(nn.Sequential):
    """A panorama: circular across, a decoder that gives a map of the input's size."""

    def __init__(self) -> None:
        super().__init__(
            nn.CircularPad2d((1, 1, 0, 0)), nn.Conv2d(3, 6, 3, 2, (1, 0)), nn.ReLU(), nn.ConvTranspose2d(6, 2, 4, 2, 1)
        )


class Patches(nn.Module):
    """Tokens of patches, with positions for one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.places = nn.Parameter(0.02 * torch.randn(1, 3 * 6, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.classes = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.classes(self.block(tokens).mean(dim=1))


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], int]] = {
    "person": (Person, (64, 32), 3),
    "spectrogram": (Spectrogram, (16, 100), 1),
    "line of text": (TextLine, (16, 60), 1),
    "panorama": (Panorama, (24, 48), 3),
    "patches": (Patches, (24, 48), 3),
}


def network(kind: str) -> Any:
    torch.manual_seed(0)
    make, size, channels = KINDS[kind]
    return read(make().eval(), size, Preprocess(channels=channels if channels != 3 else "RGB"))


class Planted(nn.Module):
    """Finds the reddest spot of 4 x 4 px, of images of 32 x 16 px."""

    def __init__(self) -> None:
        super().__init__()
        self.spot = nn.Conv2d(3, 2, 4, 2)
        self.classes = nn.Linear(2 * 15 * 7, 2)
        with torch.no_grad():
            self.spot.weight.zero_()
            self.spot.bias.zero_()
            self.spot.weight[0, 0], self.spot.weight[0, 1:] = 1.0, -1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(torch.relu(self.spot(x)).flatten(1))


def photo(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    image.paste((255, 0, 0), box)
    return image


# How a size is given


@pytest.mark.parametrize("wrong", ["64x32", (3, 64, 32), (0, 32), 0, -4, 2.5, True, (64,), (64, None), 10**9])
def test_what_is_no_size_is_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(SizeError, match=r"give the side of a square.*or \(height, width\), e\.g\. \(256, 128\)"):
        read(Person(), wrong)
    with pytest.raises(RecipeError, match=r"size=.*from 8 to 2048.*or \(height, width\)"):
        render(Person(), Logit(0), SHORT, input_size=(64, 32), size=wrong)
    if wrong == (3, 64, 32):
        with pytest.raises(SizeError, match="Channels are not part of it"):
            read(Person(), wrong)


def test_one_number_is_a_square_and_is_given_back_as_one() -> None:
    for given in (32, (32, 32), [32, 32], torch.Size([32, 32]), np.int64(32)):
        square = read(nn.Sequential(*stem(3, 2, 2)), given)
        assert square.input_size == 32
        assert square.size == (32, 32)
    assert network("person").input_size == (64, 32)
    assert Recipe(size=[64, 32]).size == (64, 32)
    assert Recipe.from_json(Recipe(size=(64, 32)).to_json()).size == (64, 32)
    with pytest.raises(RecipeError, match="view_size"):
        Recipe(view_size=(64, 32))


def with_attributes(**attributes: Any) -> nn.Module:
    model = Person()
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


class Processor:
    """As an image processor of Hugging Face describes itself."""

    image_mean, image_std, do_normalize, do_resize = (0.5,) * 3, (0.5,) * 3, True, True

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


SAID: dict[str, tuple[nn.Module, Any]] = {
    "its input_size": (with_attributes(input_size=(64, 32)), None),
    "its input_size with channels": (with_attributes(input_size=(3, 64, 32)), None),
    "its input_size with a batch": (with_attributes(input_size=[1, 3, 64, 32]), None),
    "timm's pretrained_cfg": (with_attributes(pretrained_cfg={"input_size": (3, 64, 32)}), None),
    "our own resize": (Person(), Preprocess(resize=(64, 32))),
    "our own crop": (Person(), Preprocess(resize=80, crop=(64, 32))),
    "torchvision's Resize": (Person(), transforms.Compose([transforms.Resize((64, 32)), transforms.ToTensor()])),
    "torchvision's CenterCrop": (
        Person(),
        transforms.Compose([transforms.Resize(70), transforms.CenterCrop((64, 32)), transforms.ToTensor()]),
    ),
    "a processor's size": (Person(), Processor(size={"height": 64, "width": 32})),
    "a processor's crop": (
        Person(),
        Processor(size={"shortest_edge": 64}, do_center_crop=True, crop_size={"height": 64, "width": 32}),
    ),
}


@pytest.mark.parametrize("way", SAID)
def test_networks_say_their_size_in_many_ways(way: str) -> None:
    model, preprocess = SAID[way]
    assert read(model, None, preprocess).size == (64, 32)
    assert layers(model, None, preprocess)[-1].receptive_field == (64, 32)


def test_a_first_linear_layer_that_fits_no_square_says_which_sizes_fit() -> None:
    with pytest.raises(ModelError, match=r"images of 64 x 32 or 32 x 64 .*e\.g\. input_size=\(64, 32\)"):
        read(Person())
    read(Person(), (64, 32))

    class Viewed(Person):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in list(self)[:4]:
                x = layer(x)
            return self[5](x.view(-1, 6 * 16 * 8))

    with pytest.raises(ModelError, match=r"input_size=\(64, 32\)"):
        read(Viewed())
    # Of a square that is not among those that are tried, too.
    with pytest.raises(ModelError, match="input_size=176"):
        read(nn.Sequential(*stem(3, 2, 2, 4), nn.Flatten(), nn.Linear(6 * 11 * 11, 2)))


def test_a_size_that_a_network_cannot_take_is_refused_with_the_cause() -> None:
    with pytest.raises(ModelError, match=r"at 32 x 128 px.*cannot be multiplied.*input_size=\(64, 32\)"):
        read(Person(), (32, 128))
    with pytest.raises(ModelError, match=r"makes images of 64 x 32 px, and input_size=\(80, 32\) asks for more"):
        read(Person(), (80, 32), Preprocess(resize=(64, 32)))
    line = read(TextLine(), (16, 60), "none")
    with pytest.raises(SizeError, match=r"picture of 8 x 60 px is too small.*Give size=\(15, 56\) or more"):
        render(line, Channel("body.3", 0), Recipe(sampling="window", param="pixels", octaves=((2, 1.0),)), size=(8, 60))
    render(line, Channel("body.3", 0), Recipe(sampling="window", param="pixels", octaves=((2, 1.0),)), size=(15, 56))


# What units see


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_of_fields_hold_the_gradient(kind: str) -> None:
    known = network(kind)
    height, width = known.size
    for layer in known.layers:
        fields = field_map(known, layer)
        if not layer.spatial or fields.by_position:
            continue
        rows, columns = layer.size
        for place in ((0, 0), (rows - 1, columns - 1), (rows // 2, columns // 3)):
            left, top, right, bottom = fields.field_box(place[0] * columns + place[1]).box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            inside = share_inside(known, layer, place)
            assert inside >= 0.999 or np.isnan(inside), (layer.name, place)
        assert field_map(known, known.layers[-1]).whole.box == (0.0, 0.0, width, height)


def test_tokens_become_the_map_that_the_input_s_shape_has() -> None:
    known = network("patches")
    assert known.layer("block").size == (3, 6)
    values = activations(known, torch.rand(2, 3, 24, 48), "block")["block"]
    assert values.shape == (2, 8, 3, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_are_those_of_the_plain_forward(kind: str) -> None:
    known = network(kind)
    images = torch.rand(2, known.channels, *known.size, generator=torch.Generator().manual_seed(1))
    name = known.layers[0].name
    found = activations(known, images, [name])[name]
    seen: list[torch.Tensor] = []
    model = known.model_copy.original
    handle = model.get_submodule(name).register_forward_hook(lambda *given: seen.append(given[2].detach()))
    with torch.no_grad():
        model(images)
    handle.remove()
    torch.testing.assert_close(found, seen[0])


# Photos


PHOTOS = {"landscape": (90, 50), "portrait": (50, 90), "tall": (30, 90), "square": (60, 60)}


@pytest.mark.parametrize("shape", PHOTOS)
def test_pixels_are_torchvision_s(shape: str) -> None:
    width, height = PHOTOS[shape]
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    known = network("person")
    cover = max(64 / height, 32 / width)
    larger = [max(64, int(cover * height + 1e-6)), max(32, int(cover * width + 1e-6))]
    steps = transforms.Compose([transforms.Resize(larger), transforms.CenterCrop((64, 32)), transforms.PILToTensor()])
    pixels, size = Preparer(3, known.size, resize_of(known))(image)
    assert size == image.size
    assert torch.equal(pixels, steps(image))
    tensor, _ = Preparer(3, known.size, resize_of(known))(transforms.functional.pil_to_tensor(image))
    assert tensor.shape == pixels.shape
    squeezed = Preparer(3, known.size, (64, 32))(image)[0]
    assert torch.equal(squeezed, transforms.PILToTensor()(transforms.Resize((64, 32))(image)))


SPOTS = [
    ("landscape", (64, 40), (28, 16, 34, 22)),
    ("portrait", (40, 90), (6, 60, 12, 66)),
    ("square", (48, 48), (20, 36, 26, 42)),
    ("the input's own shape", (16, 32), (4, 20, 8, 24)),
]


@pytest.mark.parametrize("how", ["center", "squeezed"])
def test_crops_boxes_and_maps_lie_on_the_thing(how: str) -> None:
    images = [photo(*size, box) for _, size, box in SPOTS]
    preprocess = None if how == "center" else Preprocess(resize=(32, 16))
    model = Planted()
    crops = top_crops(model, "spot", images, 4, input_size=(32, 16), preprocess=preprocess, progress=False)
    assert len(crops[0].top) == len(SPOTS)
    known = read(model, (32, 16), preprocess)
    for crop in crops[0].top:
        spot = SPOTS[crop.index][2]
        left, top, right, bottom = crop.box
        middle = ((spot[0] + spot[2]) / 2, (spot[1] + spot[3]) / 2)
        assert left <= middle[0] <= right
        assert top <= middle[1] <= bottom
        # 4 x 4 px of the input, in pixels of the photo.
        placement = Preparer(3, Size(32, 16), None if how == "center" else (32, 16)).placement(crop.size)
        assert right - left == pytest.approx(4 * placement.scale[0], abs=2)
        assert bottom - top == pytest.approx(4 * placement.scale[1], abs=2)
        assert crop.image.size == (right - left, bottom - top)
        focus = crop.focus
        assert left <= focus[0] < focus[2] <= right
        values = activation_map(known, crop)
        row, column = divmod(int(values.argmax()), values.shape[1])
        x0, y0, x1, y1 = crop.map_box
        x = x0 + (column + 0.5) * (x1 - x0) / values.shape[1]
        y = y0 + (row + 0.5) * (y1 - y0) / values.shape[0]
        assert abs(x - middle[0]) <= 4 * placement.scale[0]
        assert abs(y - middle[1]) <= 4 * placement.scale[1]


def test_evidence_is_saved_and_read_with_its_shape(tmp_path: Path) -> None:
    images, model = [photo(*size, box) for _, size, box in SPOTS], Planted()
    crops = top_crops(model, ["spot", "classes"], images, 2, input_size=(32, 16), progress=False)
    crops.save(tmp_path / "found.safetensors")
    again = Evidence.load(tmp_path / "found.safetensors").attach(images, model=model)
    for name in ("spot", "classes"):
        for one, other in zip(crops[name][0].top, again[name][0].top, strict=True):
            assert one.box == other.box
    assert again.example_index.preparer.size == (32, 16)
    assert again.example_index.preparer.resize is None
    resumed = top_crops(model, ["spot", "classes"], images, 2, input_size=(32, 16), resume=crops, progress=False)
    assert resumed.example_index.count == crops.example_index.count == len(images)


def test_a_photo_is_looked_at() -> None:
    seen = look_at(Planted(), photo(64, 40, (28, 16, 34, 22)), ["spot"], input_size=(32, 16))
    assert tuple(seen.pixels.shape) == (3, 32, 16)
    left, top, right, bottom = seen.shown
    assert (right - left) / (bottom - top) == pytest.approx(16 / 32, abs=0.01)
    assert (left, right) == (pytest.approx(22.0, abs=1), pytest.approx(42.0, abs=1))


# Pictures


@pytest.mark.parametrize("recipe", ["peek", "oygard-2016", "lucid-2017", "maco-2023", "yosinski-2015-1"])
@pytest.mark.parametrize("kind", ["person", "spectrogram"])
def test_pictures_of_a_class_have_the_input_s_shape(kind: str, recipe: str) -> None:
    known = network(kind)
    short = Recipe.preset(recipe)
    short = short.replace(steps=len(short.octaves) + 1, n_views=min(2, short.n_views))
    ascent = Ascent(known, Logit(1), short)
    result = ascent.run(progress=False)
    height, width = result.images.shape[-2:]
    assert height / width == pytest.approx(known.size.height / known.size.width, rel=0.03)
    assert ascent.size == (height, width)
    if short.size is not None:
        assert height * width == pytest.approx(short.size**2, rel=0.02)
    view = ascent._evaluator.groups[0].view.size
    assert view.height / view.width == pytest.approx(known.size.height / known.size.width, rel=0.06)
    assert np.isfinite(result.activation)
    exact = render(known, Logit(1), short, size=(40, 56), progress=False)
    assert exact.images.shape[-2:] == (40, 56)
    assert render(known, Logit(1), short, size=48, progress=False).images.shape[-2:] == (48, 48)


def test_pictures_of_units_have_the_shape_of_what_they_see() -> None:
    known = network("spectrogram")
    # A unit of the first layers sees a square; one that sees more than the height of the input, all of its height.
    assert render(known, Neuron("body.0", 1), SHORT, progress=False).images.shape[-2:] == (192, 192)
    wide = read(nn.Sequential(nn.Conv2d(1, 4, 31, 1, 15), *stem(4, 1)), (16, 100), "none")
    height, width = render(wide, Neuron("0", 1), SHORT, progress=False).images.shape[-2:]
    assert height / width == pytest.approx(16 / 31, rel=0.02)
    assert render(known, Channel("body.2", 1), SHORT, progress=False).images.shape[-2:] == (77, 480)
    # Drawn together they have one shape.
    both = render(known, [Neuron("body.0", 1), Logit(1)], SHORT, progress=False).images
    assert both.shape[-2:] == (77, 480)


@pytest.mark.parametrize("picture", [(48, 96), (96, 48), (64, 64)])
@pytest.mark.parametrize("view", [(20, 40), (40, 20), (24, 24)])
@pytest.mark.parametrize("kind", ["crop", "field"])
def test_a_disc_is_a_disc_in_every_view(picture: tuple[int, int], view: tuple[int, int], kind: Any) -> None:
    rows, columns = (torch.arange(side) - (side - 1) / 2 for side in picture)
    disc = torch.sigmoid(8.0 - (rows[:, None].square() + columns.square()).sqrt())[None, None]
    seen = ViewGeometry(Size(*view), kind, 1.0, (0.0, 0.0) if kind == "field" else None)
    parameters, draws = ViewParameters(6, (1.0, 1.0), rotation=180.0, flip=0.5), torch.Generator().manual_seed(0)
    theta, coarser = affine_draws(Size(*picture), seen, parameters, [draws])
    shown = affine_views(disc, theta, coarser, seen.size, parameters.padding_mode)
    scale = min(picture[0] / view[0], picture[1] / view[1])
    seen_whole = 0
    for one in shown[:, 0]:
        if not 0.97 < one.sum() * scale**2 / disc.sum() < 1.03:
            continue  # cut by the border of the view, or mirrored at the picture's
        seen_whole += 1
        down, across = (torch.arange(side, dtype=torch.float32) for side in view)
        total = one.sum()
        y, x = (one.sum(1) * down).sum() / total, (one.sum(0) * across).sum() / total
        tall = ((one.sum(1) * (down - y).square()).sum() / total).sqrt()
        broad = ((one.sum(0) * (across - x).square()).sum() / total).sqrt()
        assert tall == pytest.approx(float(broad), rel=0.03)
        assert float(tall) == pytest.approx(4.3 / scale, rel=0.12)
    assert seen_whole > 0


def test_a_picture_is_measured_unstretched() -> None:
    known = network("person")
    for size in ((64, 64), (40, 90), (128, 64)):
        meter = StillActivation(known, Logit(1), SHORT, size)
        shown = meter.shown(torch.zeros(3, *size))
        height, width = shown.picture.shape[-2:]
        assert shown(STILL_VIEW).shape == (1, 3, 64, 32)
        assert height / width == pytest.approx(size[0] / size[1], rel=0.03)
        assert height >= 64
        assert width >= 32
    # A picture that has the input's size is given to the network as it is.
    picture = torch.rand(3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = float(known.model_copy.original(picture[None])[0, 1])
    assert StillActivation(known, Logit(1))(picture) == pytest.approx(expected, rel=1e-4)


def test_a_png_carries_its_shape_and_draws_the_same_again(tmp_path: Path) -> None:
    known = network("person")
    result = render(known, Logit(1), SHORT, seed=3, progress=False)
    result.save(tmp_path / "one.png")
    drawing = load_recipe(tmp_path / "one.png")
    assert drawing.size == tuple(result.images.shape[-2:])
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == drawing.size[::-1]
    again = render(known, drawing.objective, drawing.recipe, seed=drawing.seed, size=drawing.size, progress=False)
    assert torch.equal(again.images, result.images)


@pytest.mark.parametrize("recipe", ["peek", "oygard-2016"])
def test_a_run_is_saved_resumed_and_continued_with_another_objective(recipe: str, tmp_path: Path) -> None:
    known = network("spectrogram")
    short = Recipe.preset(recipe)
    short = short.replace(steps=len(short.octaves) + 3)
    run = Ascent(known, Logit(1), short)
    for _ in range(3):
        run.step()
    run.state().save(tmp_path / "state.safetensors")
    again = Ascent.resume(known, State.load(tmp_path / "state.safetensors"))
    for _ in range(2):
        assert torch.equal(again.step().images, run.step().images)
    run.change(objective=Neuron("body.0", 1))
    height, width = run.step().images.shape[-2:]
    assert width / height == pytest.approx(100 / 16, rel=0.03)
    later = Ascent.resume(known, run.state())
    assert torch.equal(later.step().images, run.step().images)


def test_an_animation_of_pictures_of_other_shapes_stretches_none(tmp_path: Path) -> None:
    tall = Image.new("RGB", (20, 40), "red")
    save_animation([tall, Image.new("RGB", (40, 40), "blue")], tmp_path / "both.gif")
    with Image.open(tmp_path / "both.gif") as animation:
        assert animation.size == (40, 40)
        first = np.asarray(animation.convert("RGB")).astype(int)
    red = (first[..., 0] > 200) & (first[..., 1] < 60)
    assert red.any(0).sum() == 20
    assert red.any(1).sum() == 40


# A whole layer, comparisons


def test_a_sheet_its_store_its_page_and_its_poster_keep_the_shape(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Person()
    options = {"input_size": (64, 32), "preprocess": Preprocess(), "size": (64, 32)}
    sheet = contact_sheet(model, "5", SHORT, store=tmp_path / "sheet", **options)
    sheet.draw(progress=False)
    assert sheet.size == (64, 32)
    assert {one.image.size for one in sheet.done.values()} == {(32, 64)}
    again = contact_sheet(model, "5", SHORT, store=tmp_path / "sheet", **options)
    assert len(again.done) == 4
    again.to_html(tmp_path / "sheet.html", picture=48)
    written = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    data = json.loads(written.split('id="sheet">')[1].split("</script>")[0])
    assert data["size"] == [64, 32]
    assert "64 × 32 px" in data["about"]
    for room in ((190, 259), (277, 172)):
        columns, width, _ = _grid(40, *room, 2.0)
        rows = -(-40 // columns)
        assert columns * (width + GAP) - GAP <= room[0] + 1e-6
        assert rows * (2.0 * width + _caption(width) + GAP) - GAP <= room[1] + 1e-6


def test_a_sheet_without_a_size_has_that_of_its_units() -> None:
    known = network("spectrogram")
    sheet = contact_sheet(known, "classes", SHORT, units=[0])
    sheet.draw(progress=False)
    assert sheet.size == (77, 480)
    assert sheet.done[0].image.size == (480, 77)
    assert contact_sheet(known, "body.0", SHORT).size == 192


def test_a_comparison_is_laid_out_in_its_pictures_shape() -> None:
    comparison = compare(network("spectrogram"), "classes", 1, seeds=[0, 1], recipe=SHORT)
    comparison.run(progress=False)
    assert all(image.shape[-2:] == (77, 480) for image in comparison.images)
    figure = comparison.figure(side=240)
    assert figure.width > 2 * 240
    assert figure.height < 200


# The explorer


def test_the_explorer_takes_and_gives_sizes_of_both_kinds() -> None:
    explorer = UnitExplorer(
        Person(), layer="5", unit=1, input_size=(64, 32), recipe=SHORT, playing=False, preprocess=Preprocess()
    )
    try:
        explorer.size = (48, 24)
        assert explorer.size == (48, 24)
        assert json.loads(explorer.state)["size"] == [48, 24]
        explorer.size = [40, 40]
        assert explorer.size == 40
        with pytest.raises(Exception, match=r"size=\(4, 24\): give the side of a square"):
            explorer.size = (4, 24)
        explorer.size = None
        assert explorer.size is None
    finally:
        explorer.close()
