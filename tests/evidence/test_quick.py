"""Decoding as quickly as can be: nearly the same pixels, the same images, and nothing of it unless it is asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget.errors import EvidenceStoreError, PeekError
from peek_widget.evidence import EvidencePass, LoaderOptions, load_evidence, top_crops
from peek_widget.evidence.dataset import open_image, read_source
from peek_widget.evidence.files import decoding_quickly
from peek_widget.evidence.loading import load_one
from peek_widget.network.precision import has_bf16
from tests.networks import tiny


def photo(width: int, height: int, mode: str = "RGB", turned: int = 1) -> bytes:
    """Something smooth, as photographs are."""
    y, x = np.mgrid[:height, :width] / 40.0
    rgb = np.stack([np.sin(x + y), np.cos(x * 0.7), np.sin(y * 1.3)], axis=-1) * 100 + 128
    image = Image.fromarray(rgb.astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, exif=exif)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    files = {
        "a.jpg": photo(150, 100),
        "gray.jpg": photo(150, 100, "L"),
        "large.jpg": photo(500, 375),
        "turned.jpg": photo(150, 100, turned=6),
        "turned large.jpg": photo(500, 375, turned=8),
        "cmyk.jpg": photo(90, 90, "CMYK"),
        "cut.jpg": photo(150, 100)[:900],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    Image.new("RGB", (50, 60), "red").save(tmp_path / "b.png")
    return tmp_path


@pytest.mark.filterwarnings("ignore::peek_widget.errors.DatasetWarning")
def test_images_are_nearly_those_of_the_exact_path(folder):
    source = read_source(folder)
    exact, fast = (
        EvidencePass(tiny(), "edges", source, input_size=64, loader=LoaderOptions(decoding=how)).example_index.preparer
        for how in ("exact", "fast")
    )
    for index in range(len(source)):
        one, other = load_one(source, exact, index), load_one(source, fast, index)
        assert (one.name, one.size, one.reason) == (other.name, other.size, other.reason)
        if one.pixels is not None:
            assert one.pixels.shape == other.pixels.shape
            apart = (one.pixels.int() - other.pixels.int()).abs()
            assert float(apart.float().mean()) < 1.5, one.name
            assert float(apart.max()) < 25, one.name
    assert isinstance(open_image(folder / "a.jpg")[0], Image.Image), "no longer than it was asked for"
    with decoding_quickly():
        assert isinstance(open_image(folder / "a.jpg")[0], torch.Tensor)
        assert open_image(folder / "large.jpg", 64)[0].shape == (3, 94, 125)
        assert open_image(folder / "turned large.jpg", 64)[1] == (375, 500)


@pytest.mark.filterwarnings("ignore::peek_widget.errors.DatasetWarning")
def test_what_was_decoded_quickly_is_kept_apart(folder, tmp_path):
    store = tmp_path.parent / f"{tmp_path.name}.evidence"
    options = {"input_size": 64, "progress": False, "store": store}
    found = top_crops(tiny(), "edges", folder, decoding="fast", **options)
    assert load_evidence(store).example_index.preparer.decoding == "fast"
    with pytest.raises(EvidenceStoreError, match=r"\(decoding, precision\) \('fast', 'float32'\), now it is \('exact'"):
        top_crops(tiny(), "edges", folder, **options)
    assert found[0].top[0].image.size[0] > 0
    with pytest.raises(PeekError, match="decoding='quick': choose 'exact' or 'fast'"):
        LoaderOptions(decoding="quick")


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this CPU has no units for bfloat16")
@pytest.mark.filterwarnings("ignore::peek_widget.errors.DatasetWarning")
def test_in_bfloat16_activations_are_within_a_hundredth(folder):
    options = {"input_size": 64, "progress": False}
    found = [top_crops(tiny(), "forms", folder, precision=how, **options) for how in ("float32", "bf16")]
    exact, quick = (crops.tops()[:, :3] for crops in found)
    assert not torch.equal(exact, quick)
    assert float((exact - quick).abs().max()) < 0.02 * float(exact.abs().max())
    assert found[1].evidence.example_index.precision == "bf16"
