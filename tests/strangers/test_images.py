"""Images of every mode of Pillow's and type of numpy's, against the truth: no white, no black, no lost ones."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from peek_widget import DatasetWarning, Preprocess, activations, load_evidence, top_crops
from peek_widget.ascent.pictures import as_picture
from peek_widget.errors import DatasetError, PeekError
from tests.networks import Planted, tiny
from tests.strangers.images import SIDE, TRUTH, colors, loaded, opened, pixels, ramp, shown

RGB = colors()


def lab() -> Image.Image:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return ImageCms.applyTransform(RGB, to_lab)


def sixteen(mode: str) -> Image.Image:
    order = ">u2" if mode == "I;16B" else "<u2"
    return Image.frombytes(mode, (SIDE, SIDE), ramp(0, 65535, np.uint16).astype(order).tobytes())


# -- numbers of more than 8 bits: white, black and what is between


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(ramp(0, 65535, np.uint16)),
        sixteen("I;16L"),
        sixteen("I;16B"),
        Image.fromarray(ramp(0, 65535, np.int32)),
        Image.fromarray(ramp(0, 255, np.int32)),
        Image.fromarray(ramp(0, 1, np.float32)),
        Image.fromarray(ramp(0, 255, np.float32)),
        Image.fromarray(ramp(0, 65535, np.float32)),
        Image.fromarray(ramp(0, 4095, np.uint16)),
        Image.fromarray(ramp(0, 1023, np.int32)),
        ramp(0, 255, np.uint8),
        ramp(0, 65535, np.uint16),
        ramp(0, 4095, np.uint16),
        ramp(0, 4095, np.int16),
        np.rint(ramp(0, 4095, np.float64)),
        ramp(0, 65535, ">u2"),
        ramp(0, 65535, np.int32),
        ramp(0, 65535, np.uint32),
        ramp(0, 2**31 - 1, np.int64),
        ramp(0, 255, np.int64),
        ramp(0, 255, np.uint16),
        ramp(-128, 127, np.int8),
        ramp(-1024, 3071, np.int16),
        ramp(0, 1, np.float16),
        ramp(0, 1, ">f4"),
        ramp(0, 1, np.float64),
        ramp(0, 255, np.float64),
        ramp(0, 65535, np.float64),
        ramp(0, 7.5, np.float32),
        torch.from_numpy(ramp(0, 65535, np.uint16)),
        torch.from_numpy(ramp(0, 65535, np.int32))[None],
        torch.from_numpy(ramp(0, 255, np.float32)),
        torch.from_numpy(ramp(0, 1, np.float32)).bfloat16(),
    ],
    ids=lambda image: f"{type(image).__name__}-{image.mode if isinstance(image, Image.Image) else image.dtype}",
)
def test_black_is_black_and_white_is_white(image):
    assert (pixels([image])[0] - TRUTH).abs().max() < 0.009
    assert (shown([image]) - TRUTH).abs().max() < 0.009
    assert torch.equal(pixels([image], 3), pixels([image]).expand(3, -1, -1))


def test_a_binary_image_is_black_and_white():
    mask = (ramp(0, 1, float) > 0.5).astype(np.int64)
    for image in (mask, mask.astype(bool), Image.fromarray(mask.astype(bool)), mask.astype(np.float32)):
        assert torch.equal(pixels([image])[0], torch.from_numpy(mask).float())


def test_one_range_holds_for_the_whole_dataset_and_is_said_once():
    dark, bright = ramp(0, 200, np.uint16), ramp(0, 60000, np.uint16)
    assert float(pixels([dark, bright]).max()) == pytest.approx(200 / 65535)
    assert float(pixels([bright, dark], index=1).max()) == pytest.approx(200 / 65535)
    assert float(pixels([Image.fromarray(dark), Image.fromarray(bright)]).max()) == pytest.approx(200 / 65535)
    with pytest.warns(DatasetWarning, match=r"uint16 images were taken to go from 0, black, to 65535, white") as said:
        crops = top_crops(tiny(channels=1), "edges", [dark, bright] * 9, input_size=SIDE, progress=False)
    assert len(said) == 1
    assert "the highest of those looked at is 60000" in crops.remarks[0]
    with pytest.warns(DatasetWarning, match="uint16 images were taken"):
        activations(tiny(channels=1), [dark], "edges", input_size=SIDE)


def test_the_user_may_say_the_range():
    x_ray = ramp(0, 10000, np.uint16)
    assert (pixels([x_ray])[0] - TRUTH * 10000 / 65535).abs().max() < 1e-3
    assert (pixels([x_ray], value_range=(0, 10000))[0] - TRUTH).abs().max() < 1e-3
    assert (pixels([Image.fromarray(x_ray)], value_range=(0, 10000))[0] - TRUTH).abs().max() < 1e-3
    window = pixels([ramp(-1000, 3000, np.int16)], value_range=(-1000, 1000))[0]
    assert torch.allclose(window, (TRUTH * 2).clamp(0, 1), atol=1e-3)
    assert (pixels([torch.from_numpy(ramp(-1, 1, np.float32))], value_range=(-1, 1))[0] - TRUTH).abs().max() < 1e-3
    for wrong in ((1, 0), "0 to 1", (0, 1, 2), (0, float("inf"))):
        with pytest.raises(PeekError, match="such as"):
            top_crops(tiny(channels=1), "edges", [x_ray], input_size=SIDE, value_range=wrong)


def test_the_range_is_kept_with_the_evidence(tmp_path):
    x_rays = [ramp(0, 4095, np.uint16), ramp(0, 2000, np.uint16)]
    model = tiny(channels=1)
    crops = top_crops(model, "edges", x_rays, 1, input_size=SIDE, value_range=(0, 4095), progress=False)
    crops.save(tmp_path / "e.safetensors")
    found = load_evidence(tmp_path / "e.safetensors", x_rays)["edges"]
    assert np.array_equal(np.asarray(found[0].top[0].whole()), np.asarray(crops[0].top[0].whole()))
    assert np.asarray(found[0].top[0].whole()).max() > 120
    with pytest.raises(PeekError, match=r"value_range \(0.0, 4095.0\), now it is None"):
        top_crops(model, "edges", x_rays, 1, input_size=SIDE, resume=found, progress=False)


def test_normalized_images_are_refused_and_both_ways_out_work():
    image = torch.from_numpy(ramp(-2, 2.5, np.float32))[None]
    reason = loaded([image]).reason
    assert "without the dataset's Normalize" in reason
    assert "prepared=True" in reason
    model = tiny(channels=1)
    for way in ({"prepared": True}, {"value_range": (-2, 2.5)}):
        assert top_crops(model, "edges", [image], 1, input_size=SIDE, progress=False, **way).images == 1


def test_what_a_sharp_resizing_adds_is_clipped_and_what_is_not_finite_is_named():
    image = torch.from_numpy(ramp(-0.08, 1.07, np.float32))
    assert (pixels([image])[0] - image.clamp(0, 1)).abs().max() < 1e-6
    hole = ramp(0, 1, np.float32)
    hole[0, :3] = np.nan
    reason = loaded([hole]).reason
    assert reason.startswith("3 of its 64 values are not finite")
    assert pixels([np.nan_to_num(hole)]).shape == (1, SIDE, SIDE)  # the way out
    assert "complex" in loaded([hole.astype(complex)]).reason


def test_an_image_beyond_the_others_is_skipped_with_the_numbers():
    many = [ramp(0, 1, np.float32)] * 9 + [ramp(0, 200, np.float32)]
    reason = loaded(many, index=9).reason
    assert "its values go from 0 to 200" in reason
    assert "value_range" in reason


# -- Pillow's modes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize(("channels", "target"), [(3, "RGB"), (1, "L")])
def test_every_mode_of_8_bits_is_what_pillow_makes_of_it(mode, channels, target):
    image = RGB.convert(mode)
    want = torch.from_numpy(np.array(image.convert(target))).float() / 255
    got = pixels([image], channels)
    assert torch.equal(got[0] if channels == 1 else got.permute(1, 2, 0), want)
    assert shown([image], channels).shape == (SIDE, SIDE)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("image", "plain"),
    [(lab(), RGB), (RGB.convert("LA").convert("La"), RGB.convert("L")), (RGB.convert("RGBA").convert("RGBa"), RGB)],
    ids=lambda image: image.mode,
)
def test_modes_that_pillow_converts_by_a_detour_only(image, plain, channels):
    tolerance = 0.15 if image.mode == "LAB" else 0.01  # colors beyond sRGB's are cut off
    assert (pixels([image], channels) - pixels([plain], channels)).abs().mean() < tolerance / 5
    assert (shown([image], channels) - shown([plain], channels)).abs().mean() < tolerance


def test_one_strange_file_does_not_end_a_pass(tmp_path):
    lab().save(tmp_path / "lab.tif")
    RGB.save(tmp_path / "plain.png")
    crops = top_crops(tiny(channels=1), "edges", tmp_path, 1, input_size=SIDE, progress=False)
    assert (crops.images, crops.skipped_count) == (2, 0)

    class Broken(np.ndarray):
        @property
        def ndim(self):
            raise RuntimeError("a library's own trouble")

    images = [RGB, ramp(0, 1, np.float32).view(Broken), RGB]
    with pytest.warns(DatasetWarning, match="RuntimeError: a library's own trouble"):
        crops = top_crops(tiny(channels=3), "edges", images, 1, input_size=SIDE, progress=False)
    assert crops.images == 2


# -- where the channels are


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_found_first_or_last(channels):
    array = np.array(RGB)
    want = pixels([RGB], channels)
    for image in (array, array.transpose(2, 0, 1), torch.from_numpy(array), torch.from_numpy(array).permute(2, 0, 1)):
        assert (pixels([image], channels) - want).abs().max() < 0.01
    assert torch.equal(pixels([ramp(0, 1, np.float32)[None]]), pixels([ramp(0, 1, np.float32)[..., None]]))


@pytest.mark.parametrize("first", [True, False])
def test_many_bands_are_found_first_or_last(first):
    bands = np.random.default_rng(0).integers(0, 10000, (13, SIDE, SIDE)).astype(np.uint16)
    image = bands if first else bands.transpose(1, 2, 0)
    got = pixels([image], 13)
    assert torch.allclose(got, torch.from_numpy(bands / 65535).float())
    assert "13 channels, the network takes 3" in loaded([image], 3).reason
    reason = loaded([np.zeros((32, 3, 8, 8), np.uint8)], 3).reason
    assert "a batch or a stack of images" in reason


# -- EXIF


def sideways(orientation: int = 6) -> tuple[bytes, Image.Image]:
    image = Image.fromarray(np.repeat(np.repeat(np.array(RGB)[:4], 4, 0), 4, 1))  # 32 wide, 16 high
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    return file.getvalue(), ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))).convert("RGB")


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
def test_exif_is_obeyed_wherever_an_image_comes_from(orientation, tmp_path):
    data, want = sideways(orientation)
    (tmp_path / "a.png").write_bytes(data)
    image = Image.open(io.BytesIO(data))

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Image.open(io.BytesIO(data)).convert("RGB"), 0

    truth = pixels([want], 3)
    datasets = (
        [image],
        [image.convert("RGB")],
        [image.copy()],
        tmp_path,
        [str(tmp_path / "a.png")],
        [data],
        [io.BytesIO(data)],
        [{"image": image, "label": 1}],
        [{"image": {"bytes": data, "path": None}}],
        Pairs(),
        iter([image]),
    )
    for dataset in datasets:
        assert torch.equal(pixels(dataset, 3), truth), type(dataset)
    crops = top_crops(Planted(), "conv", [image], 1, input_size=16, progress=False)
    assert crops[0].top[0].whole().size == crops[0].top[0].size == want.size
    assert torch.equal(as_picture(image), as_picture(want))


def test_a_large_photo_is_decoded_small_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 800), "red").save(tmp_path / "a.jpg", exif=exif)
    image, size = opened(tmp_path, 3)[0].load(0, SIDE)[:2]
    assert size == (800, 400)
    assert image.size[0] == 2 * image.size[1] < 800


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.uint8])
def test_a_tiff_is_upright_and_has_its_true_size(kind, tmp_path):
    image = Image.fromarray(np.repeat(ramp(0, 1 if kind == np.float32 else 200, kind), 2, axis=1))
    image.save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
    want = np.rot90(np.asarray(image), -1)
    for dataset in (tmp_path, [str(tmp_path / "a.tif")], [Image.open(tmp_path / "a.tif")]):
        source, _ = opened(dataset)
        found, size, _ = source.load(0)
        assert found.size == (size or found.size) == (SIDE, 2 * SIDE)
        assert np.array_equal(np.asarray(found), want)


def test_damaged_exif_does_not_cost_the_image():
    file = io.BytesIO()
    RGB.save(file, "PNG", exif=b"Exif\0\0MM\0*broken")
    assert torch.equal(pixels([file.getvalue()], 3), pixels([RGB], 3))


def test_a_start_picture_is_upright_and_has_its_true_levels():
    assert float((as_picture(Image.fromarray(ramp(0, 65535, np.uint16)))[0] - TRUTH).abs().max()) < 1e-3
    assert float((as_picture(Image.fromarray(ramp(0, 1, np.float32)))[0] - TRUTH).abs().max()) < 1e-3
    assert float((as_picture(Image.fromarray(ramp(0, 255, np.int32)))[0] - TRUTH).abs().max()) < 0.01


# -- files


@pytest.mark.parametrize("ending", ["png", "tif", "jp2", "pgm"])
def test_sixteen_bit_files(ending, tmp_path):
    Image.fromarray(ramp(0, 65535, np.uint16)).save(tmp_path / f"a.{ending}")
    assert (pixels(tmp_path)[0] - TRUTH).abs().max() < 0.01
    dark = Image.fromarray(ramp(0, 200, np.uint16))
    dark.save(tmp_path / f"b.{ending}")
    assert float(pixels(tmp_path, index=1).max()) == pytest.approx(200 / 65535, abs=1e-3)


def test_float_tiffs_of_a_folder(tmp_path):
    Image.fromarray(ramp(0, 1, np.float32)).save(tmp_path / "a.tif")
    Image.fromarray(ramp(0, 0.5, np.float32)).save(tmp_path / "b.tiff")
    assert (pixels(tmp_path)[0] - TRUTH).abs().max() < 1e-6
    assert (pixels(tmp_path, 3, index=1)[2] - TRUTH / 2).abs().max() < 1e-6
    assert (shown(tmp_path) - TRUTH).abs().max() < 0.005


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_npy_and_npz_files_are_read(dtype, tmp_path):
    most = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    np.save(tmp_path / "a.npy", ramp(0, most, dtype))
    np.savez(tmp_path / "b.npz", image=ramp(0, most, dtype), label=3)
    np.savez_compressed(tmp_path / "c.npz", ramp(0, most, dtype))
    for index in range(3):
        assert (pixels(tmp_path, index=index)[0] - TRUTH).abs().max() < 0.005
    assert (pixels([str(tmp_path / "a.npy")])[0] - TRUTH).abs().max() < 0.005


def test_npy_files_that_hold_no_image_are_named(tmp_path):
    np.save(tmp_path / "batch.npy", np.zeros((5, SIDE, SIDE, 3), np.uint8))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=ramp(0, 1, float), b=ramp(0, 1, float))
    RGB.save(tmp_path / "z.png")
    with pytest.warns(DatasetWarning):
        crops = top_crops(Planted(), "conv", tmp_path, 1, input_size=SIDE, progress=False)
    assert crops.images == 1
    assert "a batch or a stack of images" in crops.skipped["batch.npy"]
    assert "Python objects" in crops.skipped["objects.npy"]
    assert "the arrays a, b" in crops.skipped["two.npz"]
    # the way out of the first
    assert pixels(np.load(tmp_path / "batch.npy"), 3, index=4).shape == (3, SIDE, SIDE)


def test_a_tiff_stack_is_the_bands_of_an_image_or_its_first_page(tmp_path):
    pages = [Image.fromarray(ramp(0, 65535 - 3000 * number, np.uint16)) for number in range(5)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    got = pixels(tmp_path, 5)
    assert torch.allclose(got[4], TRUTH * (65535 - 12000) / 65535, atol=1e-3)
    assert (pixels(tmp_path, 1)[0] - TRUTH).abs().max() < 1e-3
    assert pixels(tmp_path, 3).shape == (3, SIDE, SIDE)
    with pytest.warns(DatasetWarning, match=r"1 images are files of several pages .* of which the first was read"):
        crops = top_crops(tiny(channels=1), "edges", tmp_path, 1, input_size=SIDE, progress=False)
    assert crops[0].top[0].whole().size == (SIDE, SIDE)
    crops = top_crops(
        tiny(channels=5),
        "edges",
        tmp_path,
        1,
        input_size=SIDE,
        progress=False,
        preprocess=Preprocess(channels=5, show=4),
    )
    assert any(
        "1 images are files of several pages (TIFF stacks), whose pages were taken as the bands" in r
        for r in crops.remarks
    )
    brightest = np.asarray(crops[0].top[0].whole()).max()
    assert brightest == round(255 * (65535 - 12000) / 65535)


def tiff(bands: np.ndarray) -> bytes:
    """A TIFF of many bands, by pixels, as GIS programs write it; Pillow reads none with more than four."""
    height, width, count = bands.shape
    form = {"u": 1, "i": 2, "f": 3}[bands.dtype.kind]
    data = bands.astype(bands.dtype.newbyteorder("<")).tobytes()
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8 * bands.itemsize), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, count), (278, 3, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1),
        (339, 3, 1, form),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + table + b"\0\0\0\0"


def test_a_tiff_of_many_bands_is_read_with_tifffile_or_named(tmp_path, monkeypatch):
    bands = np.random.default_rng(0).random((SIDE, SIDE, 13)).astype(np.float32)
    (tmp_path / "scene.tif").write_bytes(tiff(bands))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    reason = loaded(tmp_path, 13).reason
    assert "a TIFF of 13 bands of 32-bit floating-point numbers, which Pillow can't read" in reason
    assert "pip install tifffile" in reason
    np.save(tmp_path / "scene.npy", bands)  # the other way out
    assert torch.allclose(pixels(tmp_path, 13), torch.from_numpy(bands).permute(2, 0, 1))
    monkeypatch.undo()
    pytest.importorskip("tifffile", reason="tifffile reads TIFFs that Pillow can't, and is not installed")
    assert torch.allclose(pixels(tmp_path, 13, index=1), torch.from_numpy(bands).permute(2, 0, 1))


# -- bands


def sentinel() -> tuple[torch.nn.Module, np.ndarray]:
    return tiny(channels=13), np.random.default_rng(0).random((13, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("show", [(3, 2, 1), (12, 0, 5), 7, (7,), ()])
def test_the_bands_that_are_shown_are_those_that_were_asked_for(show, tmp_path):
    model, bands = sentinel()
    asked = (show,) if isinstance(show, int) else show or (0, 1, 2)
    preprocess = Preprocess(channels=13, show=show)
    crops = top_crops(model, "edges", [bands], 1, input_size=16, preprocess=preprocess, progress=False)
    want = np.rint(bands[list(asked)] * 255).astype(np.uint8)
    got = np.asarray(crops[0].top[0].whole())
    assert np.array_equal(got if got.ndim == 2 else got.transpose(2, 0, 1), want[0] if len(asked) == 1 else want)
    crops.save(tmp_path / "e.safetensors")
    again = load_evidence(tmp_path / "e.safetensors", [bands])["edges"]
    assert np.array_equal(np.asarray(again[0].top[0].whole()), got)


def test_drawn_pictures_show_the_same_bands(tmp_path):
    from peek_widget import Neuron, Recipe, ascend, compare, contact_sheet, render

    model, _ = sentinel()
    preprocess, recipe = Preprocess(channels=13, show=(3, 2, 1)), Recipe.preset("peek-fast").replace(steps=3)
    result = render(model, Neuron("edges", 0), recipe, size=16, preprocess=preprocess)
    want = np.rint(result.tensor[[3, 2, 1]].numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
    assert np.array_equal(np.asarray(result.pil()), want)
    result.save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), want)
    *_, step = ascend(model, Neuron("edges", 0), recipe, size=16, preprocess=preprocess)
    assert np.array_equal(np.asarray(step.image), np.rint(step.tensor[[3, 2, 1]].numpy() * 255).transpose(1, 2, 0))
    plain = Preprocess(channels=13)
    sheets = [contact_sheet(model, "edges", recipe, units=[0], size=16, preprocess=p) for p in (preprocess, plain)]
    one, other = (np.asarray(next(iter(sheet)).image.convert("RGB")) for sheet in sheets)
    assert not np.array_equal(one, other)
    figures = [
        compare(model, "edges", 0, seeds=[0, 1], recipe=recipe, size=16, preprocess=p) for p in (preprocess, plain)
    ]
    assert not np.array_equal(*(np.asarray(figure.figure()) for figure in figures))


@pytest.mark.parametrize("show", [(3, 2), (3, 2, 13), (-1, 0, 1), "rgb", (0.5, 1, 2)])
def test_bands_that_are_none_are_refused(show):
    with pytest.raises(PeekError, match=r"three of the 13 channels, 0 to 12, .* or of one"):
        Preprocess(channels=13, show=show)


def test_an_array_that_may_be_one_image_is_not_taken_for_many():
    image = np.array(RGB)
    for one, way in ((image, [image]), (torch.rand(3, 16, 16), torch.rand(3, 16, 16)[:, None])):
        with pytest.raises(DatasetError, match="may be one image"):
            opened(one)
        assert pixels(way, 3).shape == (3, SIDE, SIDE)
    assert pixels(np.stack([ramp(0, 1, np.float32)] * 20), index=19).shape == (1, SIDE, SIDE)
    assert pixels(np.stack([image] * 2), 3, index=1).shape == (3, SIDE, SIDE)
    assert pixels(np.stack([image] * 2).transpose(0, 3, 1, 2), 3, index=1).shape == (3, SIDE, SIDE)


def test_images_loaded_in_processes_get_the_same_range_and_it_is_said():
    images = [ramp(0, most, np.uint16) for most in (200, 60000, 3000)]
    with pytest.warns(DatasetWarning, match="uint16 images were taken to go from 0, black, to 65535"):
        crops = top_crops(tiny(channels=1), "edges", images, 1, input_size=SIDE, processes=1, progress=False)
    other = top_crops(tiny(channels=1), "edges", images, 1, input_size=SIDE, progress=False)
    assert [crops[0].top[0].activation] == [other[0].top[0].activation]
