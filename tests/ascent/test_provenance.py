from __future__ import annotations

import copy
import io
import json
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import PngImagePlugin
from torch import nn

import peek_widget
from peek_widget import render
from peek_widget.ascent import KNOBS, Recipe
from peek_widget.ascent.direction import Direction
from peek_widget.ascent.objective import Channel, Logit, Neuron
from peek_widget.ascent.objective_base import Objective
from peek_widget.ascent.png import LARGEST_TEXT, MOST_CHUNKS
from peek_widget.ascent.provenance import KEYWORD, Drawing, fingerprint, load_recipe, save
from peek_widget.errors import FileError, ModelError, PeekError, RecipeError
from peek_widget.network import read
from tests.ascent.test_objective import described
from tests.networks import assert_same, portrait, tiny

MARK = "0123456789abcdef"
PLAIN = Drawing(2 * Channel("a", 1) - Neuron("bß", 2, at=(3, 4)), Recipe.preset("peek"), 7, 12, MARK)
IMAGE = torch.rand((3, 12, 12), generator=torch.Generator().manual_seed(0))


def written(drawing: Drawing = PLAIN) -> bytes:
    """A PNG as save writes it."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "x.png", IMAGE, drawing)
        return (Path(folder) / "x.png").read_bytes()


def loaded(content: bytes, tmp_path: Path) -> Drawing:
    (tmp_path / "y.png").write_bytes(content)
    return load_recipe(tmp_path / "y.png")


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
END = chunk(b"IEND", b"")
KEY = KEYWORD.encode() + b"\0"


def png(*chunks: bytes, start: bytes = b"\x89PNG\r\n\x1a\n", header: bytes = HEADER, end: bytes = END) -> bytes:
    return b"".join([start, header, *chunks, end])


def described_as(**changes: Any) -> bytes:
    """The JSON of a plain drawing with other values; ... takes a field out."""
    values = json.loads(text_of(written())) | changes
    return json.dumps({n: v for n, v in values.items() if v is not Ellipsis}).encode()


def text_of(content: bytes) -> str:
    with PILImage.open(io.BytesIO(content)) as image:
        return image.text[KEYWORD]


# There and back


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    changes = st.fixed_dictionaries({}, optional={n: st.floats(k.minimum, k.maximum) for n, k in KNOBS.items()})
    base = Recipe.preset(draw(st.sampled_from(Recipe.presets())))
    try:
        return base.replace(steps=draw(st.integers(10, 500)), **draw(changes))
    except RecipeError:  # two that can't be had together
        return base


drawings = st.builds(
    Drawing,
    described,
    recipes(),
    st.integers(0, 2**63 - 1),
    st.integers(1, 4096),
    st.text("0123456789abcdef", min_size=16, max_size=16),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawings)
def test_a_saved_drawing_is_read_back(tmp_path: Path, drawing: Drawing) -> None:
    save(tmp_path / "x.png", IMAGE, drawing)
    back = load_recipe(tmp_path / "x.png")
    assert back == drawing
    assert hash(back) == hash(drawing)
    assert back.words == drawing.objective.describe()
    assert back.version == peek_widget.__version__


def test_a_png_is_lossless(tmp_path: Path) -> None:
    levels = torch.arange(256).float().view(1, 16, 16)
    for channels in (1, 3):
        save(tmp_path / "x.png", levels.expand(channels, -1, -1) / 255.0, PLAIN)
        with PILImage.open(tmp_path / "x.png") as image:
            back = np.asarray(image).reshape(16, 16, channels)
        assert (back == levels.permute(1, 2, 0).numpy()).all()


def test_alpha_is_saved(tmp_path: Path) -> None:
    alpha = torch.linspace(0, 1, 144).view(1, 12, 12)
    save(tmp_path / "x.PNG", IMAGE, PLAIN, alpha)
    with PILImage.open(tmp_path / "x.PNG") as image:
        assert image.mode == "RGBA"
        assert (np.asarray(image)[:, :, 3] == (alpha[0] * 255).round().numpy()).all()
    assert load_recipe(tmp_path / "x.PNG") == PLAIN


def test_of_a_custom_objective_the_description_is_saved(tmp_path: Path) -> None:
    custom = Objective(lambda a: a["a"].mean(dim=(1, 2, 3)), ["a"], description="how bright it is")
    save(tmp_path / "x.png", IMAGE, Drawing(custom, Recipe(), 1, 12, MARK))
    back = load_recipe(tmp_path / "x.png")
    assert back.objective is None
    assert back.words == "how bright it is"
    save(tmp_path / "again.png", IMAGE, back)
    assert load_recipe(tmp_path / "again.png") == back
    assert load_recipe(tmp_path / "again.png").words == "how bright it is"


def test_the_description_in_a_file_does_not_replace_the_objectives_own(tmp_path: Path) -> None:
    content = png(chunk(b"tEXt", KEY + described_as(words="a harmless dog")))
    assert loaded(content, tmp_path).words == PLAIN.words


def test_other_formats_contain_only_the_picture(tmp_path: Path) -> None:
    for ending in ("jpg", "webp", "tif", "bmp"):
        save(tmp_path / f"x.{ending}", IMAGE, PLAIN)
        with PILImage.open(tmp_path / f"x.{ending}") as image:
            assert image.size == (12, 12)
        with pytest.raises(FileError, match="not a PNG"):
            load_recipe(tmp_path / f"x.{ending}")
    save(tmp_path / "x.png", IMAGE)
    with pytest.raises(FileError, match="contains no recipe"):
        load_recipe(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "alpha", "words"),
    [("x", None, "no ending"), ("x.xyz", None, "no ending"), ("x.jpg", torch.ones(1, 12, 12), "JPEG .*ends in .png")],
)
def test_impossible_saves_are_refused_in_a_sentence(
    tmp_path: Path, name: str, alpha: torch.Tensor | None, words: str
) -> None:
    with pytest.raises(FileError, match=words):
        save(tmp_path / name, IMAGE, PLAIN, alpha)
    assert not any(tmp_path.iterdir())


def test_a_drawing_too_large_to_be_read_is_not_written(tmp_path: Path) -> None:
    large = sum(Direction("a", [1 / 3] * 60_000) * w for w in (1, 2, 3))
    for drawing, words in (
        (Drawing(large, Recipe(), 0, 12, MARK), "characters"),
        (Drawing(Logit(1), Recipe(), -1, 12, MARK), "seed"),
        (Drawing(Logit(1), Recipe(), 0, 12, "nobody"), "fingerprint"),
        (Drawing(Channel("x" * 2000, 1), Recipe(), 0, 12, MARK), "2000 characters"),
    ):
        with pytest.raises(FileError, match=f"can't be saved in a PNG: .*{words}"):
            save(tmp_path / "x.png", IMAGE, drawing)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("preset", ["peek", "oygard-2016"])
def test_a_picture_is_reproduced_from_its_file(tmp_path: Path, preset: str) -> None:
    objectives = [Neuron("forms", 1), Channel("edges", 2) - 0.5 * Logit(1)]
    recipe = Recipe.preset(preset).replace(steps=10)
    render(tiny(), objectives, recipe, seed=[3, 4], size=32).save(tmp_path / "x.png", 1)
    drawing = load_recipe(tmp_path / "x.png")
    assert drawing == Drawing(objectives[1], recipe, 4, 32, fingerprint(tiny()))
    render(tiny(), drawing.objective, drawing.recipe, seed=drawing.seed, size=drawing.size).save(tmp_path / "y.png")
    render(tiny(), objectives[1], recipe, seed=4, size=32).save(tmp_path / "z.png")
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "z.png").read_bytes()


# Hostile files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" * 10, "not a PNG"),
        (png(start=b"\x89PNG\r\n\x1a\r"), "not a PNG"),
        (png()[:8], "cut off"),
        (png(end=b""), "cut off"),
        (png(header=b""), "damaged"),
        (png(HEADER), "damaged"),
        (png(), "contains no recipe"),
        (png(chunk(b"tEXt", b"peek_widgets\0{}")), "contains no recipe"),
        (png(chunk(b"tEXt", KEY + described_as()))[:-40], "cut off"),
        (png(chunk(b"tEXt", KEY + described_as(), checksum=1)), "checksum"),
        (png(*[chunk(b"tEXt", KEY + described_as())] * 2), "contains 2 recipes"),
        (png(chunk(b"tEXt", KEY + described_as()), chunk(b"iTXt", KEY + b"\0\0\0\0" + described_as())), "2 recipes"),
        (png(chunk(b"tEXt", KEY + b" " * (LARGEST_TEXT + 1))), "at most 2097152 are read"),
        (png(chunk(b"zTXt", KEY + b"\0" + zlib.compress(b" " * 10**8, 9))), "larger than 2097152"),
        (png(chunk(b"iTXt", KEY + b"\1\0\0\0" + zlib.compress(b" " * 10**8, 9))), "larger than 2097152"),
        (png(chunk(b"zTXt", KEY + b"\0" + b"no")), "can't be decompressed"),
        (png(*[chunk(b"tEXt", b"")] * MOST_CHUNKS), "more than 100000 chunks"),
        (png(struct.pack(">I", 2**32 - 1) + b"tEXt"), "damaged"),
        (png(struct.pack(">I", 2**31 - 1) + b"IDAT"), "cut off"),
        (png(chunk(b"tEXt", KEY)), "not: Expecting value"),
        (png(chunk(b"tEXt", KEY + b"\xff\xfe")), "not: 'utf-8'"),
        (png(chunk(b"tEXt", KEY + b"[" * 10**6)), "should be JSON"),
        (png(chunk(b"tEXt", KEY + b'{"a":' * 10**5 + b"1" + b"}" * 10**5)), "should be JSON"),
        (png(chunk(b"tEXt", KEY + b"[]")), "a list"),
        (png(chunk(b"tEXt", KEY + b"null")), "a NoneType"),
        (png(chunk(b"tEXt", KEY + b"{}")), "needs the field 'format'"),
        (png(chunk(b"tEXt", KEY + b'{"a": NaN}')), "number NaN"),
        (png(chunk(b"tEXt", KEY + b'{"a": -Infinity}')), "number -Infinity"),
        (png(chunk(b"tEXt", KEY + b'{"a": 1e999}')), "number 1e999"),
        (png(chunk(b"tEXt", KEY + b'{"a": 1' + b"0" * 10**5 + b"}")), "100001 digits"),
        (png(chunk(b"tEXt", KEY + b'{"a": 1' + b"0" * 29 + b"}")), "30 digits"),
        (png(chunk(b"tEXt", KEY + b'{"seed": 1, "seed": 2}')), "a field twice"),
        (png(chunk(b"tEXt", KEY + described_as(format=2))), "newer version of peek_widget"),
        (png(chunk(b"tEXt", KEY + described_as(format="1"))), "format is not 1"),
        (png(chunk(b"tEXt", KEY + described_as(code="rm"))), "no field 'code'"),
        (png(chunk(b"tEXt", KEY + described_as(seed=...))), "needs the field 'seed'"),
        (png(chunk(b"tEXt", KEY + described_as(seed=-1))), "seed is -1"),
        (png(chunk(b"tEXt", KEY + described_as(seed=True))), "seed is True"),
        (png(chunk(b"tEXt", KEY + described_as(seed=2**63))), "seed is 9223372036854775808"),
        (png(chunk(b"tEXt", KEY + described_as(size=1e5))), "size is 100000.0"),
        (png(chunk(b"tEXt", KEY + described_as(fingerprint="z" * 16))), "fingerprint"),
        (png(chunk(b"tEXt", KEY + described_as(fingerprint=5))), "fingerprint"),
        (png(chunk(b"tEXt", KEY + described_as(words=["a"]))), "words"),
        (png(chunk(b"tEXt", KEY + described_as(version="1" * 101))), "version"),
        (png(chunk(b"tEXt", KEY + described_as(recipe="peek"))), "a str"),
        (png(chunk(b"tEXt", KEY + described_as(recipe={"steps_": 1}))), "no field 'steps_'"),
        (png(chunk(b"tEXt", KEY + described_as(recipe={"n_views": 10**9}))), "n_views"),
        (png(chunk(b"tEXt", KEY + described_as(recipe={"octaves": [[1, 2, 3]]}))), "octaves"),
        (png(chunk(b"tEXt", KEY + described_as(objective={"kind": "pickle"}))), "kind 'pickle'"),
        (png(chunk(b"tEXt", KEY + described_as(objective="a"))), "a str"),
    ],
)
def test_a_hostile_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    start = time.perf_counter()
    with pytest.raises(PeekError, match=words) as caught:
        loaded(content, tmp_path)
    assert type(caught.value) is not PeekError
    assert len(str(caught.value)) < 700
    assert time.perf_counter() - start < 5.0


def test_a_compression_bomb_is_not_decompressed(tmp_path: Path) -> None:
    bomb = png(chunk(b"zTXt", KEY + b"\0" + zlib.compress(b" " * 10**8, 9)))
    pixels = png(chunk(b"IDAT", bytes(10**8)), chunk(b"tEXt", KEY + described_as()))
    (tmp_path / "x.png").write_bytes(bomb)
    (tmp_path / "y.png").write_bytes(pixels)
    tracemalloc.start()
    try:
        with pytest.raises(FileError):
            load_recipe(tmp_path / "x.png")
        assert load_recipe(tmp_path / "y.png") == PLAIN
        assert tracemalloc.get_traced_memory()[1] < 10 * LARGEST_TEXT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"packed iTXt"])
def test_a_text_chunk_rewritten_by_another_program_is_read(tmp_path: Path, kind: bytes) -> None:
    text = described_as()
    data = {
        b"tEXt": text,
        b"zTXt": b"\0" + zlib.compress(text),
        b"iTXt": b"\0\0en\0\0" + text,
        b"packed iTXt": b"\1\0\0\0" + zlib.compress(text),
    }[kind]
    pixels = chunk(b"IDAT", b"\0" * 100)
    assert loaded(png(pixels, chunk(kind[-4:], KEY + data)), tmp_path) == PLAIN


def test_pillow_can_copy_the_text_to_another_file(tmp_path: Path) -> None:
    save(tmp_path / "x.png", IMAGE, PLAIN)
    with PILImage.open(tmp_path / "x.png") as image:
        info = PngImagePlugin.PngInfo()
        info.add_itxt(KEYWORD, image.text[KEYWORD], zip=True)
        image.resize((6, 6)).save(tmp_path / "z.png", pnginfo=info)
    assert load_recipe(tmp_path / "z.png") == PLAIN


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "none.png")


GENUINE = written()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_a_drawing_or_a_named_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(GENUINE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    _named(bytes(content), tmp_path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), whole=st.booleans())
def test_random_bytes_give_a_named_error(tmp_path: Path, content: bytes, whole: bool) -> None:
    _named(png(chunk(b"tEXt", KEY + content)) if whole else content, tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_value_gives_a_drawing_or_a_named_error(tmp_path: Path, data: st.DataObject) -> None:
    values = json.loads(text_of(GENUINE))
    inside = data.draw(st.sampled_from([values, values["recipe"], values["recipe"], values["objective"]]))
    for _ in range(data.draw(st.integers(1, 3))):
        inside[data.draw(st.sampled_from([*inside, "new"]))] = data.draw(json_values)
    text = json.dumps(values).encode()
    _named(png(chunk(b"tEXt", KEY + text)), tmp_path)


def _named(content: bytes, tmp_path: Path) -> None:
    try:
        back = loaded(content, tmp_path)
    except PeekError as error:
        assert str(error)
        return
    assert isinstance(back, Drawing)
    hash(back)


# Fingerprints


def test_a_fingerprint_is_of_structure_and_weights() -> None:
    model = tiny()
    mark = fingerprint(model)
    assert len(mark) == 16
    assert mark == fingerprint(tiny()) == fingerprint(copy.deepcopy(model)) == fingerprint(read(model, 32))
    torch.manual_seed(1)
    others = [type(model)(), tiny(classes=6)]
    with torch.no_grad():
        for change in (
            lambda m: m.forms.weight[0, 0, 0, 0].add_(1e-6),
            lambda m: m.norm.running_mean[0].add_(1e-6),
            lambda m: m.norm.num_batches_tracked.add_(1),
        ):
            others.append(tiny())
            change(others[-1])
    renamed = tiny()
    renamed.shapes = renamed.forms
    del renamed.forms
    other_kind = tiny()
    other_kind.pool = nn.AvgPool2d(2)
    marks = [fingerprint(m) for m in (*others, renamed, other_kind)]
    assert len({mark, *marks}) == 1 + len(marks)


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = "from tests.networks import tiny; from peek_widget import fingerprint; print(fingerprint(tiny()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == fingerprint(tiny())


def test_a_fingerprint_ignores_wrappers_memory_format_and_training_mode() -> None:
    model = tiny()
    mark = fingerprint(model)
    assert fingerprint(nn.DataParallel(tiny())) == mark
    assert fingerprint(tiny().to(memory_format=torch.channels_last)) == mark
    assert fingerprint(tiny().train()) == fingerprint(tiny().eval()) == mark
    halved = tiny().half()
    assert fingerprint(halved) != mark
    assert fingerprint(copy.deepcopy(halved).float()) == fingerprint(halved)
    assert fingerprint(tiny().bfloat16()) == fingerprint(tiny().bfloat16().float())


def test_a_fingerprint_does_not_change_the_model() -> None:
    model = tiny()
    before = portrait(model)
    with torch.inference_mode():
        fingerprint(model)
    assert_same(before, portrait(model))


def test_a_fingerprint_is_quick() -> None:
    model = nn.Sequential(*(nn.Linear(4096, 4096) for _ in range(2)))  # 134 MB
    start = time.perf_counter()
    fingerprint(model)
    assert time.perf_counter() - start < 2.0


def test_a_model_without_values_has_no_fingerprint() -> None:
    with pytest.raises(ModelError, match="a PyTorch model"):
        fingerprint("squeezenet")
    for model in (nn.LazyConv2d(3, 1), nn.Conv2d(3, 3, 1, device="meta")):
        with pytest.raises(ModelError, match="holds no values"):
            fingerprint(model)
