"""Image files: any that Pillow reads, TIFF stacks and many-band TIFFs, NumPy's ``.npy`` and ``.npz``."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import io
import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
import numpy as np
import torch
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from peek_widget import _pillow
from peek_widget.evidence.source import NoImageError, UnreadableError

__all__ = ["ARRAYS", "MAX_PIXELS", "Pages", "decoding_quickly", "is_image", "is_other", "open_image"]

MAX_PIXELS = 64_000_000
"""An image file with more pixels than this is skipped, not decoded (a JPEG after it was reduced in size)."""

ARRAYS = (".npy", ".npz")
"""Endings of NumPy's files."""

_quick: contextvars.ContextVar[bool] = contextvars.ContextVar("peek_quick_decoding", default=False)

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SAMPLES = {1: "whole numbers", 2: "signed whole numbers", 3: "floating-point numbers"}

# Endings that Pillow lists as images but can't decode without another library.
_NO_PICTURES = (".pdf", ".h5", ".hdf", ".grib", ".bufr", ".mpg", ".mpeg", ".eps", ".ps", ".wmf", ".emf")
_OTHERS = {
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".geojson", ".xml", ".yaml", ".yml", ".toml", ".cfg",
    ".ini", ".md", ".rst", ".html", ".py", ".ipynb", ".sh", ".m", ".r", ".mat", ".pkl", ".pickle", ".joblib", ".pt",
    ".pth", ".ckpt", ".bin", ".onnx", ".safetensors", ".h5", ".hdf5", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz",
    ".7z", ".rar", ".db", ".log", ".parquet", ".arrow", ".feather", ".lock", ".cache", ".sqlite", ".xlsx", ".xls",
    ".doc", ".docx", ".pdf", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".wav", ".mp3", ".names", ".data", ".index",
    ".idx", ".lst", ".md5", ".sha256", ".xmp", ".aux", ".ovr", ".prj", ".tfw", ".jgw", ".pgw", ".wld",
}  # fmt: skip


_HINTS = {
    ".dcm": "it is a DICOM file, which Pillow can't read: give a torch Dataset that reads it (pydicom's pixel_array)",
    ".svg": "it is a drawing in vectors: save it as a PNG",
    **dict.fromkeys(
        (".heic", ".heif"), "it is a HEIF file: pip install pillow-heif, and pillow_heif.register_heif_opener()"
    ),
}


_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands of HEIF files


class Pages:
    """An image file of several pages: a TIFF stack.

    For a network of as many channels the pages are the bands of one image; for another, the first page is the image.

    Args:
        first: the first page.
        count: number of pages.
        path: the file.
    """

    def __init__(self, first: Image.Image, count: int, path: str | Path | IO[bytes]) -> None:
        self.first: Image.Image = first
        self.count: int = count
        self._path = path

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the first page."""
        return self.first.size

    def bands(self) -> np.ndarray[Any, Any]:
        """Read the pages as the bands of one image, ``[H, W, count]``.

        Raises:
            NoImageError: if they differ in size or kind.
            UnreadableError: if one of them can't be read.
        """
        arrays = [np.asarray(_pillow.unpacked(self.first))]
        if self.first.width * self.first.height * self.count > 16 * MAX_PIXELS:
            raise NoImageError(f"its {self.count} pages are larger than one image")
        try:
            with _opened(self._path) as file, Image.open(file) as image:
                for number in range(1, self.count):
                    image.seek(number)
                    image.load()
                    arrays.append(np.asarray(_pillow.unpacked(_pillow.upright(image))))
        except Exception as error:
            raise UnreadableError(f"{type(error).__name__}: {error}") from error
        if len({(array.shape, array.dtype) for array in arrays}) != 1 or arrays[0].ndim != 2:
            raise NoImageError(f"its {self.count} pages differ in size or kind, or are in color, so they are not bands")
        return np.stack(arrays, axis=2)


def open_image(
    path: str | Path | IO[bytes], needed: int | None = None, name: str = ""
) -> tuple[Any, tuple[int, int] | None]:
    """Open an image file, upright.

    Args:
        path: any file that Pillow reads, or NumPy's; of an animation the first picture is taken, and the orientation
            that a camera recorded is applied. Numbers of more than 8 bits stay as they are in the file.
        needed: number of pixels that the shorter side must keep. A JPEG at least four times as large is decoded at a
            reduced size (a half, a quarter, an eighth), which bounds time and memory.
        name: name of the file, of one that is given open.

    Returns:
        the image (PIL, :class:`Pages`, or an array), and the (width, height) that it has in full (None for an array).

    Raises:
        UnreadableError: if it is missing, truncated, no image, or has more than :data:`MAX_PIXELS`.
    """
    if _ending(name or path) in ARRAYS:
        return _open_array(path), None
    quick = _open_quickly(path, needed) if _quick.get() else None
    if quick is not None:
        return quick
    try:
        with _opened(path) as file, Image.open(file) as image:
            full = image.size
            if needed is not None and min(full) >= 4 * needed:
                image.draft(image.mode, (2 * needed, 2 * needed))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise NoImageError(f"it is {full[0]} x {full[1]} px, more than {MAX_PIXELS / 1e6:.0f} million pixels")
            drafted, sideways = (width, height) != full, _pillow.sideways(image)
            image.load()
            turned = _pillow.upright(image)
            if turned is image and getattr(image, "is_animated", False):
                turned = image.copy()  # the file of several pictures is read again, and is closed below
            if drafted:  # a JPEG; Pillow turns a TIFF when it is loaded
                return turned, full[::-1] if sideways else full
            count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            return Pages(turned, count, path) if count > 1 else turned, turned.size
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        return _open_tiff(path, name), None
    except FileNotFoundError as error:
        raise UnreadableError(_missing(path, error)) from error
    # Pillow's decoders raise nearly any exception on a broken file.
    except Exception as error:
        lost = isinstance(error, OSError) and error.errno is not None  # the system's; Pillow's have no number
        raise (UnreadableError if lost else NoImageError)(f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def decoding_quickly(quickly: bool = True) -> Iterator[None]:
    """Open JPEGs within the block, in this thread, so that they are brought to a size quickly, and not exactly.

    One at least twice as large as is needed is decoded at a half, a quarter or an eighth of its size; and they are
    given as tensors of bytes, which torch resizes in a quarter of the time that Pillow takes. Other files are read as
    they always are.
    """
    token = _quick.set(quickly)
    try:
        yield
    finally:
        _quick.reset(token)


def _open_quickly(path: Any, needed: int | None) -> tuple[Any, tuple[int, int] | None] | None:
    """Open a JPEG as :func:`open_image` does, quickly; None for another file, and for one that can't be read so."""
    try:
        with _opened(path) as file, Image.open(file) as image:
            full, sideways = image.size, _pillow.sideways(image)
            if image.format != "JPEG" or image.mode not in ("RGB", "L"):
                return None
            if needed is not None and min(full) >= 2 * needed:
                image.draft(image.mode, (needed, needed))
            if image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            array = np.array(_pillow.upright(image))
    # The exact path finds and reports the cause of any error.
    except Exception:
        return None
    pixels = torch.from_numpy(array[..., None] if array.ndim == 2 else array)
    return pixels.permute(2, 0, 1), full[::-1] if sideways else full


def _missing(path: Any, error: FileNotFoundError) -> str:
    text = f"{type(error).__name__}: {error}"
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if "://" in name:
        return f"there is nothing at the address {name!r}"
    return text if os.path.isabs(name) else f"{text} (relative names are looked up in {os.getcwd()!r}: give full paths)"


def _open_array(path: str | Path | IO[bytes]) -> np.ndarray[Any, Any]:
    """Read a NumPy file that holds one image."""
    try:
        if isinstance(path, (str, os.PathLike)) and "://" not in os.fspath(path):
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            with _opened(path) as file:
                found = np.load(io.BytesIO(file.read()), allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                names = list(found)
                named = [name for name in names if name.lower() in ("image", "img", "arr_0", "x", "data")]
                if not named and len(names) != 1:
                    raise NoImageError(f"it holds the arrays {', '.join(names[:6])}, and none is called 'image'")
                return found[(named or names)[0]]
        if found.size > 16 * MAX_PIXELS:
            raise NoImageError(f"it is an array of shape {list(found.shape)}, larger than one image")
        return np.array(found)
    except UnreadableError:
        raise
    except FileNotFoundError as error:
        raise UnreadableError(_missing(path, error)) from error
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _open_tiff(path: Any, name: str = "") -> np.ndarray[Any, Any]:
    """Read a TIFF that Pillow can't read with tifffile, if installed; NoImageError for any other file."""
    kind = _tiff_kind(path)
    if kind is None:
        raise NoImageError(_hint(path, name))
    try:
        tifffile = importlib.import_module("tifffile")
    except ImportError:
        raise NoImageError(
            f"it is a TIFF of {kind}, which Pillow can't read: pip install tifffile, or save it as an array (.npy)"
        ) from None
    try:
        with _opened(path) as file:
            return np.asarray(tifffile.imread(file))
    except Exception as error:
        raise UnreadableError(f"it is a TIFF of {kind}, and tifffile raised {type(error).__name__}: {error}") from error


def _hint(path: Any, name: str = "") -> str:
    """Describe a file that can't be read as an image, by its first bytes, else by its name."""
    with _opened(path) as file:
        head = file.read(12)
    if not head:
        return "it is empty: 0 bytes"
    if head[4:8] == b"ftyp" and head[8:] in _HEIF:
        return _HINTS[".heic"]
    return _HINTS.get(_ending(name or path), "it is not an image that can be read")


def _ending(path: Any) -> str:
    return os.path.splitext(path)[1].lower() if isinstance(path, (str, os.PathLike)) else ""


def _tiff_kind(path: Any) -> str | None:
    """Describe the content of a TIFF; None for any other file."""
    try:
        with _opened(path) as file:
            head = file.read(8)
            if head[:4] not in _TIFF:
                return None
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
            bits, samples = tags.get(258, (1,)), tags.get(277, 1)
            form = tags.get(339, (1,))
            what = _SAMPLES.get(form[0] if isinstance(form, tuple) else form, "numbers")
            return f"{samples} band{'s' * (samples != 1)} of {bits[0]}-bit {what}"
    except Exception:
        return "an unknown kind"


@contextlib.contextmanager
def _opened(path: str | Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """Open a file; an open file is rewound and stays open.

    Pillow is given the open file and not its name: it maps a named TIFF into memory, and then does not turn it.
    """
    if isinstance(path, str) and "://" in path:
        with fsspec.open(path, "rb") as file:
            content = file.read()  # in one request, where Pillow's small reads would take one each
        yield io.BytesIO(content)
    elif isinstance(path, (str, os.PathLike)):
        with open(path, "rb") as file:
            yield file
    else:
        path.seek(0)
        yield path


@functools.cache
def _images() -> frozenset[str]:
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return frozenset(endings.difference(_NO_PICTURES).union(ARRAYS))


@functools.cache
def _types() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes(filenames=())  # in the other byte order


@functools.cache
def _is_other_ending(ending: str) -> bool:
    if ending in _images():
        return False
    kind, packed = _types().guess_type(f"x{ending}")
    return ending in _OTHERS or packed is not None or (kind or "image/").split("/")[0] != "image"


def is_image(name: str) -> bool:
    """Return whether a file's name ends as that of an image."""
    return Path(name).suffix.lower() in _images()


def is_other(name: str) -> bool:
    """Return whether a file is not an image by its name: a table, a text, an archive. An unknown ending may be one."""
    ending = _ending(name)
    return bool(ending) and _is_other_ending(ending)
