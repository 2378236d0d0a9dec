"""Images from anywhere, brought to the network's input; and what can't be read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2 as transforms

from peek_widget.errors import DatasetError, DatasetWarning
from peek_widget.evidence import top_crops
from peek_widget.evidence.dataset import Folder, Items, UnreadableError, open_image, read_label, read_source
from peek_widget.evidence.loading import load_batches, load_one
from peek_widget.evidence.prepare import Preparer, to_picture
from peek_widget.network import Preprocess
from tests.networks import Planted

PREPARER = Preparer(3, 16, 16)


def picture(width: int = 24, height: int = 20, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(folder: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed=seed).save(path)
    return folder


def reason(item: object, preparer: Preparer = PREPARER) -> str:
    loaded = load_one(Items([item]), preparer, 0)
    assert loaded.pixels is None
    return loaded.reason


@given(st.integers(17, 90), st.integers(17, 90), st.sampled_from([(16, 16), (16, 20), (31, 40)]))
def test_resizing_and_cutting_are_torchvisions(width, height, sizes):
    side, shorter = sizes
    image = picture(width, height)
    theirs = transforms.Compose([transforms.Resize(shorter), transforms.CenterCrop(side)])
    preparer = Preparer(3, side, shorter)
    mine, size = preparer(image)
    assert size == (width, height)
    assert torch.equal(mine, transforms.functional.pil_to_tensor(theirs(image)))
    tensor = transforms.functional.pil_to_tensor(image)
    assert (preparer(tensor)[0].int() - theirs(tensor).int()).abs().max() <= 1  # bytes, rounded
    assert torch.allclose(preparer(tensor / 255)[0], theirs(tensor / 255), atol=1e-6)


@given(st.integers(16, 400), st.integers(16, 400), st.integers(0, 15), st.integers(0, 15), st.integers(16, 40))
def test_a_box_in_the_input_maps_to_the_right_pixels_of_the_image(width, height, x, y, shorter):
    """The middle of a pixel of the input lies in the box that its placement gives."""
    placement = Preparer(3, 16, shorter).placement((width, height))
    left, top, right, bottom = placement.box((x, y, x + 1, y + 1), (width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    middle = ((x + 0.5 + placement.left) * placement.scale[0], (y + 0.5 + placement.top) * placement.scale[1])
    assert left - 1e-6 <= middle[0] <= right + 1e-6
    assert top - 1e-6 <= middle[1] <= bottom + 1e-6
    assert right - left <= placement.scale[0] + 2


def test_an_image_of_the_networks_size_is_taken_pixel_by_pixel():
    image = picture(16, 16)
    assert torch.equal(PREPARER(image)[0].permute(1, 2, 0), torch.from_numpy(np.array(image)))
    assert PREPARER.placement((16, 16)).box((3, 4, 7, 9), (16, 16)) == (3, 4, 7, 9)


@pytest.mark.parametrize(
    "item",
    [
        picture(),
        picture().convert("L"),
        picture().convert("RGBA"),
        picture().convert("P"),
        picture().convert("CMYK"),
        np.array(picture()),
        np.array(picture().convert("L")),
        np.array(picture()).astype(np.float32) / 255,
        np.array(picture().convert("RGBA")),
        np.array(picture()).astype(np.int64),
        np.ones((20, 24), dtype=bool),
        torch.rand(3, 20, 24),
        torch.rand(1, 20, 24),
        torch.rand(20, 24),
        torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8),
        torch.rand(3, 20, 24).half(),
        torch.rand(3, 20, 24, requires_grad=True),
    ],
    # A tensor's mode is a method, whose text holds an address: no name for a test.
    ids=lambda i: f"{type(i).__name__}-{getattr(i, 'dtype', getattr(i, 'mode', ''))}",
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_is_taken(item, channels):
    loaded = load_one(Items([item]), Preparer(channels, 16, 16), 0)
    assert loaded.reason == ""
    assert loaded.pixels.shape == (channels, 16, 16)
    assert loaded.size == (24, 20)
    assert to_picture(item, Preparer(channels, 16, 16)).size == (24, 20)


def test_gray_of_a_tensor_is_the_gray_of_its_picture():
    image = picture()
    one, _ = Preparer(1, 16, 16)(image)
    other, _ = Preparer(1, 16, 16)(transforms.functional.pil_to_tensor(image))
    assert (one.int() - other.int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (torch.randn(3, 20, 24), "prepared=True"),
        (torch.full((3, 20, 24), torch.nan), "nan"),
        (torch.rand(5, 20, 24), "5 channels, the network takes 3"),
        (np.random.rand(5, 20, 24), r"5 channels, the network takes 3 \(it is a ndarray \[5, 20, 24\]"),
        (torch.rand(3, 0, 24), r"\[3, 0, 24\]"),
        (torch.rand(2, 3, 20, 24), "a batch or a stack of images"),
        (np.full((20, 24), 1 + 2j), "complex128; arrays are"),
        (np.array(["a"]), "arrays are"),
        ("nowhere.jpg", "FileNotFoundError"),
        (17, "not an image but of type int"),
        (None, "NoneType"),
        ({"x": 1}, "no 'image' but x"),
        (Image.new("RGB", (2000, 16)), "a line"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_what_is_no_image_is_skipped_with_a_reason(item, said):
    import re

    assert re.search(said, reason(item)), reason(item)


def test_prepared_tensors_are_taken_as_they_are_and_shown_as_they_were():
    normal = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    preparer = Preparer(3, 16, 16, True, normal)
    image = torch.rand(3, 16, 16)
    pixels, _ = preparer(normal(image[None])[0])
    assert torch.equal(pixels, normal(image[None])[0])
    shown = transforms.functional.pil_to_tensor(to_picture(pixels, preparer)) / 255
    assert torch.allclose(shown, image, atol=1 / 255)
    assert "shape (3, 16, 16)" in reason(torch.rand(3, 16, 17), preparer)
    assert "prepared=True needs float tensors" in reason(picture(), preparer)


def test_labels_come_from_items_lists_mappings_functions_and_folders(tmp_path):
    images = [picture(seed=i) for i in range(3)]
    assert [Items(images, [4, 5, "six"]).load(i)[2] for i in range(3)] == [4, 5, "six"]
    assert Items(list(zip(images, torch.tensor([7, 8, 9]), strict=True))).load(1)[2] == 8
    assert Items([{"image": images[0], "label": np.int64(3)}]).load(0)[2] == 3
    assert Items(images, lambda i: i * i).load(2)[2] == 4
    assert Items(images, {0: "zero"}).load(1)[2] is None
    folder = Folder(fill(tmp_path / "a", ["cats/2.png", "cats/1.png", "dogs/x/3.png"]))
    assert [folder.load(i)[2] for i in range(3)] == ["cats", "cats", "dogs"]
    assert folder.class_names == ("cats", "dogs")
    # One image beside the sub-folders, and they are no classes.
    mixed = Folder(fill(tmp_path / "b", ["cats/1.png", "2.png"]))
    assert [mixed.load(i)[2] for i in range(2)] == [None, None]
    assert Folder(tmp_path / "a", lambda name: name.rsplit("/")[-1][0]).load(2)[2] == "3"
    assert read_label(np.float32(3.0)) == (3, "")
    assert read_label(3.5) == (None, "a number with decimals")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: read_source([picture()] * 3, [0, 1]), "labels has 2 entries for 3 images"),
        (lambda folder: read_source([picture()], "cat"), "labels is a str"),
        (lambda folder: read_source([picture()], 7), "labels is a int"),
        (lambda folder: read_source(folder), "is empty"),
        (lambda folder: read_source(folder / "not there"), "is not there"),
        (lambda folder: read_source([]), "is empty"),
        (lambda folder: read_source({1, 2}), "no items by index"),
        (lambda folder: read_source({"a": picture()}), "give a folder, a torch Dataset or a list"),
        (lambda folder: read_source(picture()), r"dataset=\[image\]"),
        (lambda folder: read_source(torch.utils.data.DataLoader([picture()])), "of a DataLoader, its .dataset"),
        (lambda folder: read_source(None), "NoneType"),
    ],
)
def test_what_is_no_dataset_is_refused_in_a_sentence(make, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        make(tmp_path)


def test_broken_files_are_named_counted_and_skipped(tmp_path):
    fill(tmp_path, [f"{i}.jpg" for i in range(6)])
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("a,b\n")
    (tmp_path / ".hidden").write_text("not looked at")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.warns(DatasetWarning, match=r"3 of 9 images were skipped \(.*1 file of the folder was left out.*csv"):
        crops = top_crops(Planted(), "conv", tmp_path, k=2, input_size=16, progress=False)
    assert crops.images == 6
    assert crops.skipped_count == 3
    assert set(crops.skipped) == {"cut.jpg", "empty.png", "gone.jpg"}
    assert "truncated" in crops.skipped["cut.jpg"].lower()
    assert crops.skipped["empty.png"] == "it is empty: 0 bytes"


def test_a_folder_without_an_image_is_an_error_not_an_empty_answer(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DatasetError, match=r"holds no image: its 1 file \(notes.txt\) is something else"):
        top_crops(Planted(), "conv", tmp_path, input_size=16, progress=False)
    (tmp_path / "photo.jpg").write_text("no image")
    with pytest.raises(DatasetError, match=r"None of the 1 items .* \(photo.jpg\) because it is not an image"):
        top_crops(Planted(), "conv", tmp_path, input_size=16, progress=False)


def test_a_folder_that_links_to_itself_ends(tmp_path):
    fill(tmp_path, ["a/1.png", "b/2.png"])
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert len(Folder(tmp_path)) == 2


def test_a_huge_jpeg_is_decoded_small_and_a_huge_png_is_not_decoded(tmp_path, monkeypatch):
    Image.new("RGB", (4000, 3000), "red").save(tmp_path / "huge.jpg")
    image, full = open_image(tmp_path / "huge.jpg", 64)
    assert full == (4000, 3000)
    assert 64 <= min(image.size) <= 1000
    monkeypatch.setattr("peek_widget.evidence.files.MAX_PIXELS", 1_000_000)
    Image.new("RGB", (4000, 3000), "red").save(tmp_path / "huge.png")
    with pytest.raises(UnreadableError, match="4000 x 3000 px, more than 1 million pixels"):
        open_image(tmp_path / "huge.png", 64)
    assert open_image(tmp_path / "huge.jpg", 64)[0].size[0] <= 1000, "a JPEG is bounded by its reduction"


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    # A PNG that claims 100 000 x 100 000 px in a few hundred bytes.
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    with pytest.raises(UnreadableError, match=r"DecompressionBomb|more than"):
        open_image(io.BytesIO(bytes(data)))


def test_the_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (40, 20), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "side.jpg", exif=exif)
    turned, full = open_image(tmp_path / "side.jpg")
    assert turned.size == full == (20, 40)


def test_sixteen_bits_of_gray_are_not_all_white(tmp_path):
    Image.fromarray(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)).save(tmp_path / "deep.png")
    image, _ = open_image(tmp_path / "deep.png")
    assert PREPARER(image)[0].mean() == pytest.approx(0.5, abs=0.01)
    assert np.asarray(to_picture(image, PREPARER)).mean() == pytest.approx(127, abs=2)


@pytest.mark.parametrize(("workers", "processes"), [(0, 0), (1, 0), (3, 0), (None, 0), (None, 2)])
def test_loading_ahead_keeps_the_order(workers, processes):
    items = [picture(seed=i) for i in range(11)]
    items[4] = "nowhere.jpg"
    batches = list(load_batches(Items(items), PREPARER, range(11), 3, workers, processes))
    assert [[one.index for one in batch.items] for batch in batches] == [[0, 1, 2], [3, 5], [6, 7, 8], [9, 10]]
    assert [one.index for one in batches[1].skipped] == [4]
    assert torch.equal(batches[3].images[1], PREPARER(items[10])[0])


def test_a_custom_dataset_is_called_by_one_thread_at_a_time():
    import threading

    class Fragile(torch.utils.data.Dataset):
        inside = 0
        threads: set[int] = set()  # noqa: RUF012

        def __len__(self):
            return 40

        def __getitem__(self, index):
            assert self.inside == 0
            self.inside += 1
            self.threads.add(threading.get_ident())
            self.inside -= 1
            return picture(seed=index), 0

    batches = list(load_batches(Items(Fragile()), PREPARER, range(40), 4))
    assert sum(len(batch.items) for batch in batches) == 40
    assert len(Fragile.threads) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_in_a_folder_is_skipped(tmp_path):
    picture().save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    folder = Folder(tmp_path)
    assert load_one(folder, Preparer(3, 16, 16), 0).reason == ""
    assert "not a regular file" in load_one(folder, Preparer(3, 16, 16), 1).reason
