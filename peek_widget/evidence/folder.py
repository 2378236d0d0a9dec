"""A folder of images: which files are images, and which labels its sub-folders give."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peek_widget.errors import DatasetError
from peek_widget.evidence.files import is_other, open_image
from peek_widget.evidence.labels import LabelFunction, Labels, label_function
from peek_widget.evidence.source import Item, NoImageError, Source

__all__ = ["Folder"]

# Names of sub-folders that are splits of a dataset, not labels.
_SPLITS = re.compile(
    r"(train|training|val|valid|validation|eval|dev|test|testing|trainval|minival|unlabeled)[-_]?\d{0,4}"
)
_IMAGES = {
    "image", "images", "img", "imgs", "jpegimages", "leftimg8bit", "photos", "pictures", "jpg", "jpeg", "png",
    "data", "rgb",
}  # fmt: skip
# Names of sub-folders that hold annotations of the images beside them, as images.
_BESIDE = re.compile(r"(images?|imgs?|jpegimages|leftimg8bit|rgb|photos?|pictures?)([-_].*|\d*)")
_ANNOTATIONS = re.compile(
    r"(masks?|labels?|annots?|annotations?|seg|segs|segmentations?|segmentation(class|object)\w*|gt|gtfine|gtcoarse|"
    r"ground[-_ ]?truths?|trimaps?|depths?|semantic|instances?|panoptic)([-_].*|\d*)"
)
# `train` and `trainannot`, `train_masks`
_PAIRED = re.compile(r"(.+?)[-_ ]?(annot|annotations?|labels?|masks?|gt|seg)")
_NAMED = 4


class Folder(Source):
    """The images in a folder and its sub-folders, in the order of their names.

    Files whose name begins with a dot, those that are not images by their ending (tables, texts, archives), and images
    that annotate others (in ``masks`` beside ``images``, in ``SegmentationClass`` beside ``JPEGImages``) are left out;
    ``remarks`` says so.

    Without ``labels``, the label of an image is the name of its sub-folder if all images lie in sub-folders; folders
    that name a part of the dataset (``train``, ``val``) or hold all images (``images``) are not labels.

    Args:
        path: the folder.
        labels: labels by file name (relative to the folder, with ``/``), or in the order of the sorted file names.

    Raises:
        DatasetError: if there is no such folder, no image in it, or the labels do not fit.
    """

    def __init__(self, path: str | Path, labels: Labels = None) -> None:
        self.path: Path = Path(path).expanduser()
        if not self.path.is_dir():
            raise DatasetError(_no_folder(self.path, str(path)))
        self._list(str(path), f"the folder {self.path}", sorted(_walk(self.path)), labels)

    def _list(self, given: str, described: str, every: Sequence[str], labels: Labels) -> None:
        """Find the images among all files, and their labels."""
        files: list[str] = []
        others: list[str] = []
        for name in every:
            (others if is_other(name) else files).append(name)
        images, annotations = _annotated(every)
        self._files = [name for name in files if not annotations or _lies_in(name, annotations) is None] or files
        if not self._files:
            raise DatasetError(_no_image(given, others))
        self.described: str = described
        if labels is None:
            classes = _classes(self._files, images)
            self.class_names: tuple[str, ...] = tuple(sorted(set(classes)))
            self._label: LabelFunction = functools.partial(_class_of, classes)
            said: tuple[str, ...] = ()
        else:
            self._label, said = label_function(labels, self._files, "file name")
        self.remarks: tuple[str, ...] = (*_left_out(others, annotations, files, self._files), *said)
        self._by_identity: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self._files)

    def identity(self, index: int) -> int:
        """Return a hash of the file's name."""
        digest = hashlib.blake2b(self._files[index].encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def find(self, identity: int) -> int | None:
        """Return the index of the file with that hash."""
        if self._by_identity is None:
            self._by_identity = {self.identity(index): index for index in range(len(self))}
        return self._by_identity.get(identity)

    def name(self, index: int) -> str:
        """Return the file's name, relative to the folder."""
        return self._files[index]

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Any]:
        """Open the file; see :class:`Source`."""
        item = self.item(index, needed)
        return item.image, item.size, item.label

    def item(self, index: int, needed: int | None = None) -> Item:
        """Open the file, with what is said about its label."""
        path = self.path / self._files[index]
        if path.exists() and not path.is_file():
            raise NoImageError("it is not a regular file")  # reading a pipe would never end
        image, size = open_image(path, needed)
        return Item(image, size, *self._label(index))


def _class_of(classes: Sequence[str], index: int) -> tuple[str | None, str]:
    return (classes[index] if classes else None), ""


def _walk(root: Path) -> Iterator[str]:
    visited: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link to a parent folder
            below.clear()
            continue
        visited.add(real)
        below[:] = [name for name in below if not name.startswith(".") and name != "__MACOSX"]
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


def _folders(files: Sequence[str]) -> dict[str, set[str]]:
    """Return the sub-folders that hold files: of each folder (``""`` for the root) the names below it."""
    below: dict[str, set[str]] = {}
    for parents in {name.rpartition("/")[0] for name in files}:
        path = ""
        for part in filter(None, parents.split("/")):
            below.setdefault(path, set()).add(part)
            path = f"{path}/{part}".lstrip("/")
    return below


def _annotated(files: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the sub-folders of images that have annotations beside them, and the sub-folders of these annotations."""
    images, annotations = set(), set()
    for path, names in _folders(files).items():
        beside = {name for name in names if _BESIDE.fullmatch(name.lower())}
        with_them = {name for name in names if _ANNOTATIONS.fullmatch(name.lower())} - beside
        for name in names:
            paired = _PAIRED.fullmatch(name)
            if paired and paired[1] in names and _SPLITS.fullmatch(paired[1].lower()):
                beside.add(paired[1])
                with_them.add(name)
        if beside and with_them:
            images.update(f"{path}/{name}".lstrip("/") for name in beside)
            annotations.update(f"{path}/{name}".lstrip("/") for name in with_them)
    return frozenset(images), frozenset(annotations)


def _lies_in(name: str, folders: frozenset[str]) -> str | None:
    """Return the folder that contains a file; None if none does."""
    return next((path for parent in Path(name).parents if (path := parent.as_posix()) in folders), None)


def _classes(files: Sequence[str], images: frozenset[str]) -> list[str]:
    """Return the name of each file's sub-folder, beyond those that are not classes; [] if not every file has one.

    Args:
        files: the files of images.
        images: the sub-folders of images that have annotations beside them: what is above these is not a class.
    """
    within = [_lies_in(name, images) for name in files] if images else []
    if all(within) and within:
        files = [name[len(path or "") + 1 :] for name, path in zip(files, within, strict=True)]
    parts = [name.split("/")[:-1] for name in files]
    while all(parts):
        first = {path[0].lower() for path in parts}
        if not (all(map(_SPLITS.fullmatch, first)) or (len(first) == 1 and first <= _IMAGES)):
            # `images/train` and `train/images` are parts both, a class called `data` among others is none.
            return [path[0] for path in parts]
        parts = [path[1:] for path in parts]
    return []


def _left_out(others: Sequence[str], folders: frozenset[str], files: Sequence[str], kept: Sequence[str]) -> list[str]:
    said = []
    if others:
        endings = Counter(Path(name).suffix.lower() for name in others)
        named = ", ".join(ending for ending, _ in endings.most_common(_NAMED))
        said.append(
            f"{len(others):,} file{'s' * (len(others) != 1)} of the folder "
            f"{'were' if len(others) != 1 else 'was'} left out, since the name does not end as an image's ({named})."
        )
    if len(kept) < len(files):
        named = ", ".join(sorted(folders)[:_NAMED])
        said.append(
            f"{len(files) - len(kept):,} files in {named} annotate the images beside them and were left out (to look "
            "at those, give that folder itself)."
        )
    return said


def _no_folder(path: Path, given: str) -> str:
    if not path.exists() and any(mark in given for mark in "*?["):
        return (
            f"dataset={given!r} is a pattern, and a folder is needed: give the files that it stands for, "
            f"dataset=sorted(glob.glob({given!r}))."
        )
    if not path.exists():
        return f"dataset={given!r} is not there: give a folder of images, a torch Dataset or a list of images."
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".xlsx"):
        how = "a table is given as a frame, dataset=pandas.read_csv(path), with a column of file names"
    elif ending == ".npy":
        how = "its images are given as an array, dataset=numpy.load(path)"
    elif ending in (".tar", ".zip", ".gz", ".tgz", ".7z", ".rar"):
        how = "unpack it and give the folder (a plain .tar is read as it is: dataset='photos.tar')"
    elif not is_other(path.name):
        how = "a single image is given in a list, dataset=[path]"
    else:
        how = "give a folder of images, a torch Dataset or a list of images"
    return f"dataset={given!r} is a file: {how}."


def _no_image(given: str, others: Sequence[str]) -> str:
    if not others:
        return (
            f"The folder {given!r} is empty: there is no file in it or in its sub-folders. Give one that "
            "holds images (any that Pillow reads, such as JPEG, PNG or WebP)."
        )
    packed = " Unpack it first." if others[0].endswith((".zip", ".tar", ".gz", ".tgz")) else ""
    return (
        f"The folder {given!r} holds no image: its {len(others):,} file{'s' * (len(others) != 1)} ({others[0]}"
        f"{', ...' if len(others) > 1 else ''}) {'are' if len(others) != 1 else 'is'} something else by the ending. "
        f"Give one that holds images (any that Pillow reads, such as JPEG, PNG or WebP, or NumPy's .npy).{packed}"
    )
