"""The page and the poster of a sheet: what is in the files."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from peek_widget import Recipe, contact_sheet, survey, top_crops
from peek_widget.errors import FileError, PeekError
from peek_widget.sheet import SheetUnit, Tags
from peek_widget.sheet.page import to_html
from peek_widget.sheet.poster import PAPERS, _grid, _page, poster
from peek_widget.zoo import CLASS_NAMES, Images, bundled

HOSTILE = "</script><script>alert(1)</script><!--\u2028"


def sheet_of(count: int, side: int = 32, layer: str = "conv5") -> SimpleNamespace:
    """A sheet of noise."""
    rng = np.random.default_rng(0)
    done = {}
    for unit in range(count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(file, "PNG")
        done[unit] = SheetUnit(unit, file.getvalue(), float(unit % 7), random.Random(unit).randrange(2**31))
    return SimpleNamespace(
        layer=layer,
        units=tuple(range(count)),
        recipe=Recipe.preset("peek"),
        seed=0,
        size=side,
        model_name="Small",
        done=done,
        tags=Tags({layer: {"0": ["dog"], "1": []}}),
    )


def real_sheet(store=None, units=range(3)):
    """A sheet of the bundled network with the real images of a pass, in a few steps."""
    model = bundled()
    crops = top_crops(model, "conv3", Images(56), progress=False)
    recipe = Recipe.preset("peek-fast").replace(steps=4)
    return contact_sheet(
        model, "conv3", recipe, units=units, size=96, evidence=crops, store=store, threads=1
    ).draw(), crops


def data_in(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="sheet">(.*?)</script>', page, re.DOTALL)[1])


def test_text_of_users_never_becomes_markup(tmp_path):
    sheet = sheet_of(3, layer=HOSTILE)
    sheet.tags = Tags({HOSTILE: {"2": [HOSTILE]}})
    page = to_html(sheet, tmp_path / "a.html", title=HOSTILE).read_text("utf-8")
    assert len(re.findall("<script", page)) == 2
    assert "<!--" not in page
    data = data_in(page)
    assert data["title"] == HOSTILE
    assert data["units"][2]["t"] == [HOSTILE.strip()]
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_nothing_may_be_fetched_and_only_the_page_s_own_script_runs(tmp_path):
    page = to_html(sheet_of(3), tmp_path / "a.html").read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)


def test_the_page_has_counts_and_orders(tmp_path):
    sheet = sheet_of(5)
    data = data_in(to_html(sheet, tmp_path / "a.html").read_text("utf-8"))
    assert data["counts"][0]["text"].startswith("1 of 2, 50.0 % of those reviewed")
    assert (data["seen"], data["total"]) == (2, 5)
    assert sorted(data["likeness"]) == [0, 1, 2, 3, 4]
    assert [unit["l"] for unit in data["units"]] == [True, True, False, False, False]


@pytest.mark.slow
def test_512_units_stay_under_15_mb(tmp_path, record_property):
    """Of twelve drawn pictures of the bundled network, over and over: each is a file's bytes of its own on the page."""
    from peek_widget.evidence import LayerEvidence

    sheet = sheet_of(512, 4)
    drawn = contact_sheet(
        bundled(), "conv3", Recipe.preset("peek-fast").replace(steps=20), units=range(12), size=160
    ).draw()
    sheet.done = {unit: replace(drawn[unit % 12], unit=unit) for unit in sheet.units}
    size = to_html(sheet, tmp_path / "a.html").stat().st_size
    record_property("bytes", size)
    print(f"\n512 units at 160 px: {size / 1e6:.1f} MB")
    assert size < 15e6
    # And with nine dataset examples of each: those of the layer's 60 units, over and over.
    # In memory, because each of the 4,608 crops would otherwise have its image generated for it.
    images = Images(80)
    crops = top_crops(bundled(), "conv3", [images[index] for index in range(80)], progress=False)
    crops.__class__ = type("Repeated", (LayerEvidence,), {"__getitem__": lambda self, unit: self._unit(unit % 60)})
    sheet.layer = "conv3"
    size = to_html(sheet, tmp_path / "b.html", crops, examples=9).stat().st_size
    assert sum(len(unit["c"]) for unit in data_in((tmp_path / "b.html").read_text("utf-8"))["units"]) == 9 * 512
    record_property("bytes_with_crops", size)
    print(f"with nine dataset examples of each: {size / 1e6:.1f} MB")
    assert size < 15e6


def test_what_can_not_be_written_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(PeekError, match=r"call sheet\.draw"):
        to_html(SimpleNamespace(done={}), tmp_path / "a.html")
    with pytest.raises(FileError, match="can't be written"):
        to_html(sheet_of(3), tmp_path / "no" / "a.html")
    with pytest.raises(PeekError, match="evidence is a str"):
        to_html(sheet_of(3), tmp_path / "a.html", evidence="photos")
    with pytest.raises(FileError, match=r"\.pdf, a \.png or a \.svg"):
        poster(sheet_of(3), tmp_path / "a.doc")


@pytest.mark.parametrize("units", [1, 9, 100, 512, 2048])
@pytest.mark.parametrize("landscape", [False, True])
def test_a_poster_s_pictures_fit_on_its_paper(units, landscape):
    width, height, head = _page(None, landscape, units)
    room = (width - 20, height - 20 - head)
    columns, side, points = _grid(units, *room)
    rows = -(-units // columns)
    assert columns * (side + 1.6) - 1.6 <= room[0] + 1e-6
    assert rows * side <= room[1]
    assert points >= 5 or (width, height) in {PAPERS["A0"], PAPERS["A0"][::-1]}


@pytest.mark.slow
def test_posters_have_their_words_as_text(tmp_path):
    pytest.importorskip("matplotlib")
    sheet = sheet_of(9)
    sheet.tags.add("conv5", 4, "$x$ <b>")
    svg = poster(sheet, tmp_path / "a.svg").read_text("utf-8")
    assert "$x$ &lt;b&gt;" in svg
    with Image.open(poster(sheet, tmp_path / "a.png", dpi=50)) as image:
        assert image.size == (413, 584)


def test_a_poster_s_pdf_holds_its_words_and_one_jpeg_the_right_way_up(tmp_path):
    pytest.importorskip("matplotlib")
    pypdf = pytest.importorskip("pypdf")
    sheet = sheet_of(9)
    colors = [(230, 20, 20), *[(20, 20, 230)] * 8]
    for (unit, one), color in zip(sheet.done.items(), colors, strict=True):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), color).save(file, "PNG")
        sheet.done[unit] = replace(one, png=file.getvalue())
    sheet.tags.add("conv5", 4, "left eye of a dog with short brown fur, seen from the side")
    (page,) = pypdf.PdfReader(poster(sheet, tmp_path / "a.pdf", dpi=72)).pages
    words = page.extract_text()
    assert "conv5 of Small" in words
    assert all(re.search(rf"\b{unit}\b", words) for unit in range(9))
    assert "seen from the side" in words.replace("\n", " ")
    (image,) = page.images
    assert image.name.endswith(".jpg")
    # As placed: a negative height turns the image over.
    (height,) = re.findall(rb"([-\d.]+) [-\d.]+ [-\d.]+ cm\n/I\d+ Do", page.get_contents().get_data())
    picture = image.image if float(height) > 0 else image.image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    assert picture.size == (595, 841)
    red, _, blue = picture.getpixel((100, 150))
    assert red > 200 > 60 > blue
    assert picture.getpixel((100, 150 + 245))[2] > 200
    with Image.open(poster(sheet, tmp_path / "a.png", dpi=72)) as png:
        assert np.abs(np.asarray(png.convert("RGB"), float)[100:200, 40:180] - (230, 20, 20)).max() < 2


def test_nine_units_fill_their_page(tmp_path):
    pytest.importorskip("matplotlib")
    with Image.open(poster(sheet_of(9), tmp_path / "a.png", dpi=50)) as image:
        inked = np.flatnonzero((np.asarray(image.convert("L")) < 240).any(axis=1))
    assert inked[-1] > 0.87 * image.height


def test_a_drawn_sheet_writes_its_page_and_its_poster_with_dataset_examples(tmp_path):
    sheet, crops = real_sheet(tmp_path / "store")
    sheet.tags.add("conv3", 1, "stripes")
    data = data_in(sheet.to_html(tmp_path / "a.html", evidence=crops, examples=9).read_text("utf-8"))
    assert [unit["u"] for unit in data["units"]] == [0, 1, 2]
    assert "examples from 56 images" in data["about"]
    assert data["total"] == len(crops) == 60
    for unit in data["units"]:
        assert [crop["l"] for crop in unit["c"]] == [crop.label_name for crop in crops[unit["u"]].top]
        assert unit["g"] == pytest.approx(sheet[unit["u"]].gauge)
        with Image.open(io.BytesIO(base64.b64decode(unit["c"][0]["p"]))) as image:
            assert max(image.size) == 96
    # Crops that the sheet was made with need not be given again.
    again = data_in(sheet.to_html(tmp_path / "b.html").read_text("utf-8"))
    assert [len(unit["c"]) for unit in again["units"]] == [4, 4, 4]
    with Image.open(sheet.poster(tmp_path / "a.png", dpi=40)) as image:
        assert image.size == (330, 467)


def test_evidence_of_another_layer_is_refused(tmp_path):
    sheet, _ = real_sheet(units=[0])
    others = top_crops(bundled(), "conv1", Images(8), k=1, progress=False)
    with pytest.raises(PeekError, match="The evidence is of layer 'conv1', and the sheet is of 'conv3'"):
        sheet.to_html(tmp_path / "a.html", evidence=others)


@pytest.mark.slow
def test_the_survey_of_a_pass_suggests_the_classes_of_logits():
    """A logit's top images are of its class, so the survey of the output layer must say so."""
    pytest.importorskip("scipy")
    found = survey(top_crops(bundled(), "", Images(10 * len(CLASS_NAMES)), progress=False))
    tags = Tags()
    said = tags.suggest(found)
    firsts = {one.unit: one.word for one in reversed(said)}
    assert sum(word == CLASS_NAMES[unit] for unit, word in firsts.items()) > 0.8 * len(CLASS_NAMES)
    assert all(one.q <= found.level and one.count <= one.of == 9 for one in said)
    taken = said[0]
    tags.add(taken.layer, taken.unit, taken.word)
    assert tags.suggest(found) == said[1:]
