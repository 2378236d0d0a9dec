"""A unit's PNG carries all that is known of it, and everything read from one is checked."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from peek_widget.ascent import Neuron, Recipe, load_recipe
from peek_widget.errors import FileError
from peek_widget.network import read
from peek_widget.sheet.batches import draw, finish, plan
from peek_widget.sheet.unit import from_png
from tests.networks import tiny


@pytest.fixture(scope="module")
def one():
    network = read(tiny(), input_size=32)
    (batch,) = plan(network, "forms", Recipe.preset("peek").replace(steps=4, size=32), [3])
    return finish(draw(network, batch, best={3: 0.5}))[0][0]


def test_the_png_holds_everything_about_the_unit(one, tmp_path):
    path = tmp_path / "any.png"
    path.write_bytes(one.png)
    drawing = load_recipe(path)
    assert (drawing.objective, drawing.seed, drawing.size) == (Neuron("forms", 3), one.seed, 32)
    assert from_png(one.png, "it") == (one, drawing)
    assert one.gauge == pytest.approx(one.activation / 0.5)
    assert one.image.size == (32, 32)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_corrupt_file_is_refused(one, data):
    if data.draw(st.booleans()):
        bad = one.png[: data.draw(st.integers(0, len(one.png) - 1))]
    else:
        place = data.draw(st.integers(0, len(one.png) - 1))
        bad = bytearray(one.png)
        bad[place] ^= 1 << data.draw(st.integers(0, 7))
        bad = bytes(bad)
    with pytest.raises(FileError):
        from_png(bad, "it")


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_anything_else_is_refused_in_a_sentence(data):
    with pytest.raises(FileError):
        from_png(data, "it")


def test_bytes_behind_the_end_are_refused(one):
    with pytest.raises(FileError, match="after the picture's end"):
        from_png(one.png + b"more", "it")


def test_a_picture_of_no_sheet_is_refused():
    buffer = io.BytesIO()
    PILImage.new("RGB", (32, 32)).save(buffer, "PNG")
    with pytest.raises(FileError, match="none of a contact sheet"):
        from_png(buffer.getvalue(), "it")
