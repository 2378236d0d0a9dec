"""Datasets as people have them: Hugging Face's, streams, frames, detection, segmentation, YOLO's and VOC's folders."""

from __future__ import annotations

import dataclasses
import functools
import gc
import io
import itertools
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torchvision import tv_tensors

from peek_widget import DatasetWarning, activations, load_evidence, read, survey, top_crops
from peek_widget.errors import DatasetError
from peek_widget.evidence import EvidencePass
from peek_widget.evidence.dataset import read_source
from tests.networks import Planted
from tests.strangers.images import colors, pixels

SIDE = 16
RED = [Image.new("RGB", (SIDE, SIDE), (50 * number, 0, 0)) for number in range(1, 6)]
"""The higher its number, the more an image excites unit 0 of ``Planted``."""


MODEL = Planted()


@functools.cache
def network():
    return read(MODEL, SIDE)


def found(dataset, **given):
    return top_crops(network(), "conv", dataset, 2, progress=False, **given)


def labels_of(dataset, labels=None) -> list:
    source = read_source(dataset, labels)
    return [source.load(index)[2] for index in range(len(source))]


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def fill(folder: Path, names: list[str], image: Image.Image | None = None) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg", ".jpeg", ".JPG"):
            (image or RED[number % len(RED)]).save(path, "PNG")
        else:
            path.write_text("something else")
    return folder


# -- Hugging Face: as the library's own objects are, with and without it


class Feature:
    def __init__(self, **given) -> None:
        vars(self).update(given)


def feature(kind: str, **given):
    return type(kind, (Feature,), {})(**given)


class LikeHuggingFace:
    """What peek_widget sees of ``datasets.Dataset``: rows as dicts, and the columns' types."""

    def __init__(self, rows: list[dict], features: dict) -> None:
        self.rows, self.features = rows, features

    column_names = property(lambda self: list(self.features))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        if isinstance(index, str):
            return [row[index] for row in self.rows]
        return self.rows[index]

    def __iter__(self):
        return iter(self.rows)


ROWS = [{"id": n, "photo": RED[n], "breed": [0, 1, 2, 1, -1][n], "mask": RED[0].convert("L")} for n in range(5)]
NAMES = ["corgi", "pug", "beagle"]
FEATURES = {
    "id": feature("Value", dtype="int64"),
    "photo": feature("Image"),
    "breed": feature("ClassLabel", names=NAMES),
    "mask": feature("Value"),
}


def hugging_face(decode: bool = True):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    types = {"photo": datasets.Image(decode=decode), "breed": datasets.ClassLabel(names=NAMES)}
    columns = {"photo": [row["photo"] for row in ROWS], "breed": [row["breed"] for row in ROWS]}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(types))


def check_breeds(dataset) -> None:
    """Columns by their types, names of the classes, and -1 for a class that is not known."""
    source = read_source(dataset)
    assert source.class_names == tuple(NAMES)
    assert [source.load(number)[2] for number in range(5)] == [0, 1, 2, 1, None]
    assert torch.equal(pixels(dataset, 3, index=2), pixels([RED[2]], 3))
    crops = found(dataset)
    assert [crop.index for crop in crops[0].top] == [4, 3]
    assert [crop.label_name for crop in crops[0].top] == [None, "pug"]


def test_the_columns_of_a_hugging_face_dataset_are_found_by_their_types():
    check_breeds(LikeHuggingFace(ROWS, FEATURES))
    check_breeds(torch.utils.data.Subset(LikeHuggingFace(ROWS, FEATURES), range(5)))
    raw = [{**row, "photo": {"bytes": png(row["photo"]), "path": None}} for row in ROWS]
    check_breeds(LikeHuggingFace(raw, FEATURES))
    arrays = [{**row, "photo": np.array(row["photo"]).tolist()} for row in ROWS]
    check_breeds(LikeHuggingFace(arrays, FEATURES))


def test_a_hugging_face_dataset_of_the_library():
    dataset = hugging_face()
    check_breeds(dataset)
    check_breeds(hugging_face(decode=False))
    check_breeds(dataset.with_format("torch"))
    check_breeds(dataset.with_format("numpy"))
    assert labels_of(RED, dataset["breed"]) == [0, 1, 2, 1, -1]  # a Column
    shuffled = dataset.shuffle(seed=1)
    order = [row["breed"] for row in shuffled]
    assert labels_of(shuffled) == [None if label == -1 else label for label in order]
    stream = dataset.to_iterable_dataset()
    assert read_source(stream).class_names == tuple(NAMES)
    crops = found(stream)
    assert [crop.label_name for crop in crops[0].top] == [None, "pug"]
    assert crops[0].top[0].whole().size == (SIDE, SIDE)
    splits = __import__("datasets").DatasetDict(train=dataset, test=dataset)
    with pytest.raises(DatasetError, match=r"of 'train', 'test': give one of them, dataset=datasets\['train'\]"):
        read_source(splits)
    assert found(splits["train"]).images == 5


def test_splits_are_refused_with_the_way_out():
    splits = {"train": LikeHuggingFace(ROWS, FEATURES), "test": LikeHuggingFace(ROWS, FEATURES)}
    with pytest.raises(DatasetError, match=r"give one of them, dataset=datasets\['train'\]"):
        read_source(splits)


def test_several_typed_columns_and_none():
    features = {"fine_label": feature("ClassLabel", names=["x"]), "coarse_label": feature("ClassLabel", names=["y"])}
    rows = [{"coarse_label": 0, "fine_label": 0, "img": image} for image in RED]
    dataset = LikeHuggingFace(rows, {**features, "img": feature("Image")})
    assert read_source(dataset).class_names == ("x",)
    # a transform has replaced the columns
    renamed = LikeHuggingFace([{"pixel_values": np.array(image), "label": 2} for image in RED], FEATURES)
    assert labels_of(renamed) == [2] * 5
    no_image = LikeHuggingFace([{"text": "a", "score": 1.0}], {"text": feature("Value"), "score": feature("Value")})
    with pytest.raises(DatasetError, match="its item has no 'image' but text, score"):
        found(no_image)


# -- names of classes


@pytest.mark.parametrize(
    "given",
    [
        {"classes": NAMES}, {"classes": tuple(NAMES)}, {"class_names": NAMES}, {"categories": NAMES},
        {"class_to_idx": {"pug": 1, "corgi": 0, "beagle": 2}}, {"classes": {0: "corgi", 1: "pug", 2: "beagle"}},
        {"classes": np.array(NAMES)}, {"classes": pd.Series(NAMES, index=[5, 6, 7])},
    ],
    ids=str,
)  # fmt: skip
def test_names_of_classes_are_taken_from_where_they_are(given):
    dataset = LikeHuggingFace([{"image": image, "label": 1} for image in RED], {})
    vars(dataset).update(given)
    assert read_source(dataset).class_names == tuple(NAMES)
    half = torch.utils.data.random_split(dataset, [2, 3])[0]
    assert read_source(half).class_names == tuple(NAMES)
    assert read_source(torch.utils.data.ConcatDataset([dataset, half])).class_names == tuple(NAMES)
    assert found(half)[0].top[0].label_name == "pug"


def test_synonyms_are_joined_as_imagenets_are():
    dataset = LikeHuggingFace([{"image": RED[0], "label": 0}], {})
    dataset.classes = [("tench", "Tinca tinca"), ("goldfish", "Carassius auratus")]
    assert read_source(dataset).class_names == ("tench, Tinca tinca", "goldfish, Carassius auratus")


# -- items


Pair = namedtuple("Pair", ["label", "image"])


@dataclasses.dataclass
class Sample:
    label: int
    image: Image.Image


@pytest.mark.parametrize(
    "item",
    [
        lambda n: (RED[n], n),
        lambda n: [RED[n], n],
        lambda n: (RED[n], n, {"camera": 1}),
        lambda n: (f"id-{n}", RED[n], n),
        lambda n: (17, RED[n], n),
        lambda n: (n, RED[n]),
        lambda n: Pair(n, RED[n]),
        lambda n: Sample(n, RED[n]),
        lambda n: {"image": RED[n], "label": n},
        lambda n: {"Image": RED[n], "Label": n},
        lambda n: {"img": np.array(RED[n]), "target": n},
        lambda n: {"file_name": "a/b.jpg", "image": torch.from_numpy(np.array(RED[n])), "category_id": n},
        lambda n: {"__key__": f"{n}", "cls": str(n).encode(), "png": png(RED[n]), "json": b"{}"},
        lambda n: {"left.png": png(RED[n]), "__key__": "k", "cls": n},
        lambda n: {"scene": np.array(RED[n]), "class": n},
        lambda n: {"pixel_values": torch.from_numpy(np.array(RED[n])).permute(2, 0, 1), "labels": torch.tensor(n)},
        lambda n: (png(RED[n]), n),
        lambda n: (io.BytesIO(png(RED[n])), n),
    ],
)
def test_image_and_label_of_an_item(item):
    items = [item(number) for number in range(5)]
    assert labels_of(items) == list(range(5))
    for number in (0, 4):
        assert (pixels(items, 3, index=number) - pixels([RED[number]], 3)).abs().max() < 0.01
    crops = found(items)
    assert [crop.label for crop in crops[0].top] == [4, 3]


def test_detection_and_segmentation_datasets(tmp_path):
    boxes = {"boxes": torch.zeros(1, 4), "labels": torch.tensor([1])}
    kinds = [
        [(image, boxes) for image in RED],  # torchvision's detection references
        [(image, [{"bbox": [0, 0, 1, 1], "category_id": 3}]) for image in RED],  # CocoDetection
        [(image, image.convert("L")) for image in RED],  # VOCSegmentation, SBD
        [(tv_tensors.Image(image), tv_tensors.Mask(image.convert("L"))) for image in RED],
        [{"image": image, "objects": {"bbox": [], "category": [1]}} for image in RED],  # Hugging Face's detection
        [{"pixel_values": image, "label": image.convert("L")} for image in RED],  # and segmentation
        [{"image": np.array(image), "mask": np.zeros((SIDE, SIDE))} for image in RED],  # albumentations, torchgeo
    ]
    for items in kinds:
        crops = found(items)
        assert (crops.images, crops.skipped_count) == (5, 0)
        assert [crop.index for crop in crops[0].top] == [4, 3]
        assert crops.label_counts == {None: 5}


def test_a_voc_dataset_of_torchvision(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    fill(root, [f"JPEGImages/{number}.jpg" for number in range(5)])
    fill(root, [f"SegmentationClass/{number}.png" for number in range(5)], Image.new("P", (SIDE, SIDE)))
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join("01234"))
    dataset = torchvision.datasets.VOCSegmentation(str(tmp_path), image_set="train")
    crops = found(dataset)
    assert (crops.images, crops[0].top[0].index, crops[0].top[0].label) == (5, 4, None)


# -- frames


def frame(folder: Path, **columns) -> pd.DataFrame:
    fill(folder, [f"{number}.png" for number in range(5)])
    return pd.DataFrame({"path": [str(folder / f"{number}.png") for number in range(5)], **columns})


def test_a_frame_of_paths_is_read_by_position(tmp_path):
    given = frame(tmp_path, label=[5, 6, 7, 8, 9], fold=[0, 0, 1, 1, 1]).sample(frac=1, random_state=2)
    crops = found(given)
    assert crops[0].top[0].label == 9
    assert crops[0].top[0].name == str(tmp_path / "4.png")
    assert [int(Path(name).stem) + 5 for name in given["path"]] == labels_of(given)
    assert labels_of(given, "fold") == list(given["fold"])
    assert labels_of(given["path"], given["label"]) == list(given["label"])
    assert labels_of(given, dict(zip(given["path"], given["label"], strict=True))) == list(given["label"])
    assert read_source(given).concurrent
    with pytest.raises(
        DatasetError, match="labels='breed' is not a column of the DataFrame: it has 'path', 'label', 'fold'"
    ):
        read_source(given, "breed")


@pytest.mark.parametrize(
    ("columns", "labels"),
    [
        ({"file_name": "path", "category": "label"}, [5, 6, 7, 8, 9]),
        ({"image_path": "path", "class": "label"}, [5, 6, 7, 8, 9]),
        ({"Filename": "path", "Label": "label"}, [5, 6, 7, 8, 9]),
        ({"whatever": "path", "score": "label"}, [None] * 5),
    ],
    ids=str,
)
def test_columns_are_found_by_name_or_by_what_they_hold(columns, labels, tmp_path):
    given = frame(tmp_path, label=[5, 6, 7, 8, 9])
    given = given.rename(columns={old: new for new, old in columns.items()}).assign(note="a text, e.g. of x.y")
    assert labels_of(given) == labels
    assert found(given).images == 5


def test_frames_of_images_and_of_texts(tmp_path):
    images = pd.DataFrame({"picture": RED, "label": list("abcde")})
    assert found(images)[0].top[0].label == "e"
    categories = pd.DataFrame({"image": RED, "label": pd.Categorical(["b", "a", "b", "a", "c"])})
    assert labels_of(categories) == ["b", "a", "b", "a", "c"]
    with pytest.raises(DatasetError, match=r"No column of the DataFrame holds images .* it has 'a', 'b'"):
        read_source(pd.DataFrame({"a": [1], "b": ["x"]}))
    two = frame(tmp_path).rename(columns={"path": "left"}).assign(right=lambda rows: rows["left"])
    with pytest.raises(DatasetError, match=r"several columns .*'left', 'right'.*dataset=frame\['left'\]"):
        read_source(two)
    assert found(two["left"]).images == 5  # the way out
    with pytest.raises(DatasetError, match="is empty"):
        read_source(images[:0])


def test_a_missing_path_costs_its_row_alone(tmp_path):
    given = frame(tmp_path, label=[5, 6, 7, 8, 9])
    given.loc[1, "path"] = None
    given.loc[2, "path"] = "nowhere/3.png"
    with pytest.warns(DatasetWarning, match="2 of 5 images were skipped"):
        crops = found(given)
    assert crops.images == 3
    assert any("names are looked up in" in reason for reason in crops.skipped.values())


def test_an_arrow_table_and_polars(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    given = frame(tmp_path, label=[5, 6, 7, 8, 9])
    assert labels_of(arrow.Table.from_pandas(given)) == [5, 6, 7, 8, 9]
    assert labels_of(RED, arrow.chunked_array([[1, 2], [3, 4, 5]])) == [1, 2, 3, 4, 5]
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert labels_of(polars.from_pandas(given)) == [5, 6, 7, 8, 9]


def test_a_table_file_is_refused_with_the_way_out(tmp_path):
    given = frame(tmp_path / "photos", label=[5, 6, 7, 8, 9])
    given.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DatasetError, match=r"is a file: .*dataset=pandas.read_csv\(path\)"):
        read_source(tmp_path / "labels.csv")
    assert labels_of(pd.read_csv(tmp_path / "labels.csv")) == [5, 6, 7, 8, 9]
    np.save(tmp_path / "x.npy", np.stack([np.array(image) for image in RED]))
    with pytest.raises(DatasetError, match=r"dataset=numpy.load\(path\)"):
        read_source(tmp_path / "x.npy")
    assert found(np.load(tmp_path / "x.npy")).images == 5
    with pytest.raises(DatasetError, match=r"dataset=\[path\]"):
        read_source(tmp_path / "photos" / "1.png")
    assert found([tmp_path / "photos" / "1.png"]).images == 1


# -- folders


MASKS = ("mask", "Segmentation", "annotations/", "gtFine", "annot/", "semantic")


def test_the_other_files_of_a_folder_never_end_a_pass(tmp_path):
    others = [f"notes/{number}.txt" for number in range(60)] + [
        "README.md",
        "labels.csv",
        "model.pth",
        "a.zip",
        "Thumbs.db",
    ]
    fill(tmp_path, [f"{number}.png" for number in range(5)] + others)
    fill(tmp_path, [f"m{number:03d}.unknown" for number in range(120)])
    fill(tmp_path, ["__MACOSX/x.png", ".cache/y.png", "z.png"])
    with pytest.warns(DatasetWarning, match=r"120 of 126 images were skipped .*65 files of the folder were left out"):
        crops = found(tmp_path, batch_size=4)
    assert (crops.images, crops.skipped_count) == (6, 120)
    assert "65 files of the folder were left out" in crops.remarks[0]
    # labels in the order of the images, whatever lies beside them
    fill(tmp_path / "b", ["1.png", "2.png", "notes.txt"])
    assert labels_of(tmp_path / "b", [3, 4]) == [3, 4]


def test_damaged_files_do_not_end_it_either(tmp_path):
    whole = png(colors(side=64))
    for number in range(80):
        (tmp_path / f"{number:03d}.png").write_bytes(whole if number in (0, 79) else whole[: len(whole) // 2])
    crops = found(tmp_path, batch_size=5)
    assert (crops.images, crops.skipped_count) == (2, 78)


def test_lost_files_do_end_it(tmp_path):
    fill(tmp_path, [f"{number:03d}.png" for number in range(80)])
    for number in range(10, 80):
        (tmp_path / f"{number:03d}.png").unlink()
        (tmp_path / f"{number:03d}.png").symlink_to(tmp_path / "gone")
    with pytest.raises(Exception, match="images in a row could not be read"):
        found(tmp_path, batch_size=5)


@pytest.mark.parametrize(
    "names",
    [
        ["images/train/{}.jpg", "labels/train/{}.txt", "images/val/v{}.jpg", "labels/val/v{}.txt", "data.yaml"],
        ["train/images/{}.jpg", "train/labels/{}.txt", "valid/images/v{}.jpg", "valid/labels/v{}.txt", "data.yaml"],
        ["VOC2012/JPEGImages/{}.jpg", "VOC2012/Annotations/{}.xml", "VOC2012/SegmentationClass/{}.png",
         "VOC2012/SegmentationObject/{}.png", "VOC2012/JPEGImages/v{}.jpg", "VOC2012/ImageSets/Main/train.txt"],
        ["images/{}.png", "masks/{}.png", "images/v{}.png"],
        ["images/training/{}.jpg", "annotations/training/{}.png", "images/validation/v{}.jpg"],
        ["train2017/{}.jpg", "val2017/v{}.jpg", "annotations/instances_val2017.json"],
        ["leftImg8bit/train/{}.png", "gtFine/train/{}.png", "leftImg8bit/val/v{}.png"],
        ["train/{}.png", "trainannot/{}.png", "val/v{}.png", "valannot/{}.png"],
        ["data/train/{}.jpg", "data/train_masks/{}_mask.png", "data/train/v{}.jpg"],
        ["image_2/{}.png", "semantic/{}.png", "semantic_rgb/{}.png", "image_2/v{}.png"],
        ["JPEGImages/{}.jpg", "SegmentationClassPNG/{}.png", "JPEGImages/v{}.jpg"],
    ],
    ids=["yolo", "roboflow", "voc", "masks", "ade20k", "coco", "cityscapes", "camvid", "carvana", "kitti", "labelme"],
)  # fmt: skip
def test_annotated_folders(names, tmp_path):
    every = [name.format(number) for name in names for number in range(5)]
    fill(tmp_path, every)
    for name in every:  # a mask is the brightest of all, and is no image
        if any(part in name for part in MASKS) and name.endswith(".png"):
            Image.new("RGB", (SIDE, SIDE), "red").save(tmp_path / name)
    source = read_source(tmp_path)
    assert len(source) == 10
    assert {source.load(index)[2] for index in range(10)} == {None}
    assert source.class_names == ()
    assert source.remarks or "coco" in str(tmp_path)
    crops = found(tmp_path)
    assert (crops.images, crops.skipped_count) == (10, 0)
    assert not any(part in crops[0].top[0].name for part in MASKS)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["train/cats/1.png", "train/dogs/2.png", "val/cats/3.png"], ["cats", "dogs", "cats"]),
        (["images/001.Albatross/1.png", "images/002.Auk/2.png"], ["001.Albatross", "002.Auk"]),
        (["train/images/cats/1.png", "test/images/dogs/2.png"], ["dogs", "cats"]),
        (["cats/1.png", "dogs/2.png", "README.md"], ["cats", "dogs"]),
        (["train/1.png", "test/2.png"], [None, None]),
        (["train/1.png", "car/2.png", "bus/3.png"], ["bus", "car", "train"]),
        (["masks/1.png", "faces/2.png"], ["faces", "masks"]),
        (["cats/1.png", "2.png"], [None, None]),
    ],
    ids=str,
)
def test_labels_of_sub_folders_are_the_classes_and_not_the_parts(names, labels, tmp_path):
    fill(tmp_path, names)
    assert labels_of(tmp_path) == labels


def test_the_values_of_a_dict_are_a_list():
    images = {f"{number}.png": image for number, image in enumerate(RED)}
    assert found(images.values(), labels=range(5))[0].top[0].label == 4
    with pytest.raises(DatasetError, match=r"dataset=list\(images.values\(\)\)"):
        read_source(images)


def test_files_that_need_another_library_are_named_with_it(tmp_path):
    fill(tmp_path, ["a.dcm", "b.heic", "c.svg", "d.png"])
    with pytest.warns(DatasetWarning, match="3 of 4 images were skipped"):
        crops = found(tmp_path)
    assert [crops.skipped[name].split(",")[0].split(":")[0] for name in ("a.dcm", "b.heic", "c.svg")] == [
        "it is a DICOM file", "it is a HEIF file", "it is a drawing in vectors"
    ]  # fmt: skip


# -- streams


class Endless(torch.utils.data.IterableDataset):
    """An IterableDataset of as many images as are asked for, one at a time."""

    def __init__(self, count: int | None = 5, side: int = SIDE) -> None:
        self.count, self.side, self.begun = count, side, 0

    def __iter__(self):
        self.begun += 1
        for number in itertools.count() if self.count is None else range(self.count):
            yield Image.new("RGB", (self.side, self.side), (50 * (number % 5 + 1), 0, 0)), number % 5


def webdataset(folder: Path, **given):
    library = pytest.importorskip("webdataset", reason="webdataset is not installed")
    with library.TarWriter(str(folder / "a.tar")) as tar:
        for number, image in enumerate(RED):
            tar.write({"__key__": f"key-{number}", "png": image, "cls": number, "json": {"a": 1}})
    return library.WebDataset(str(folder / "a.tar"), shardshuffle=False, **given)


STREAMS = {
    "IterableDataset": Endless,
    "generator": lambda: ((image, number) for number, image in enumerate(RED)),
    "iterator": lambda: iter(list(zip(RED, range(5), strict=True))),
    "map": lambda: map(lambda pair: {"image": pair[0], "label": pair[1]}, zip(RED, range(5), strict=True)),  # noqa: C417
    "islice": lambda: itertools.islice(iter(Endless(None)), 5),
    "webdataset, raw": lambda: ({"__key__": "k", "png": png(RED[n]), "cls": str(n).encode()} for n in range(5)),
    "arrays": lambda: ((np.array(image), number) for number, image in enumerate(RED)),
    "tensors": lambda: ((torch.from_numpy(np.array(i)).permute(2, 0, 1) / 255, n) for n, i in enumerate(RED)),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("workers", [0, None])
def test_a_stream_is_read_once_and_its_crops_can_be_seen(kind, workers):
    with pytest.warns(DatasetWarning, match=r"is a stream \(\w+\): it is read once, in order") as said:
        crops = found(STREAMS[kind](), batch_size=2, workers=workers)
    assert len(said) == 1
    assert (crops.images, crops.skipped_count) == (5, 0)
    assert [(crop.index, crop.label, crop.name[:7]) for crop in crops[0].top] == [(4, 4, "image 4"), (3, 3, "image 3")]
    for crop in crops[0].top:
        assert np.array_equal(np.asarray(crop.whole()), np.asarray(RED[crop.index]))
        assert crop.input().shape == (3, SIDE, SIDE)
        assert crop.size == (SIDE, SIDE)
    want = activations(Planted(), RED, "conv", input_size=SIDE)["conv"]
    assert torch.equal(activations(Planted(), STREAMS[kind](), "conv", input_size=SIDE)["conv"], want)


def test_webdataset_of_the_library(tmp_path):
    for dataset in (
        webdataset(tmp_path),
        webdataset(tmp_path).decode("pil"),
        webdataset(tmp_path).decode("pil").to_tuple("png", "cls"),
        webdataset(tmp_path).decode("torchrgb").to_tuple("png", "cls"),
    ):
        crops = found(dataset)
        assert [(crop.index, crop.label) for crop in crops[0].top] == [(4, 4), (3, 3)]
        assert np.array_equal(np.asarray(crops[0].top[0].whole()), np.asarray(RED[4]))
    with pytest.raises(DatasetError, match="a batch or a stack of images"):
        found(webdataset(tmp_path).decode("torchrgb").to_tuple("png", "cls").batched(5))


def test_a_stream_of_file_names_and_of_keys_has_them_in_its_names(tmp_path):
    fill(tmp_path, [f"{number}.png" for number in range(5)])
    names = sorted(tmp_path.glob("*.png"))
    assert found(tmp_path.glob("[4]*.png"))[0].top[0].name == f"image 0 ({names[4]})"
    keyed = ({"__key__": f"key-{number}", "png": png(image), "cls": 1} for number, image in enumerate(RED))
    crops = found(keyed)
    assert [crop.name for crop in crops[0].top] == ["image 4 (key-4)", "image 3 (key-3)"]
    with pytest.warns(DatasetWarning, match=r"image 0 \(nowhere.png\): FileNotFoundError"):
        found(iter(["nowhere.png", names[0]]))


def test_only_the_images_with_crops_are_kept():
    stream = Endless(200)
    crops = found(stream, batch_size=8)
    source = crops.evidence.source
    assert crops.images == 200
    kept = [index for index in range(200) if source.find(index) is not None]
    assert 1 <= len(kept) <= 4
    assert stream.begun == 1
    gone = next(index for index in range(50) if index not in kept)
    with pytest.raises(Exception, match="has gone by in the stream"):
        source.load(gone)


def test_the_kept_images_of_a_stream_go_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    crops = found(Endless(5))
    assert len(list(tmp_path.glob("peek-stream-*/*.png"))) >= 1
    del crops
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_large_image_of_a_stream_is_kept_smaller_and_its_boxes_fit():
    crops = found(Endless(3, side=200))
    crop = crops[0].top[0]
    assert crop.size == crop.whole().size == (2 * SIDE, 2 * SIDE)
    assert crop.box[2] <= 2 * SIDE
    assert crop.focus[2] <= 2 * SIDE


def test_an_endless_stream_can_be_stopped_and_continued():
    work = EvidencePass(Planted(), "conv", Endless(None), 2, input_size=SIDE)
    seen = []
    work.run(lambda progress: (seen.append(progress), work.stop()))
    assert seen[0].total is None
    assert seen[0].left is None
    assert str(seen[0]).startswith("32 images so far")
    work.run(lambda progress: work.stop() if progress.done >= 96 else None)
    assert work.progress.done == 96
    assert work.evidence["conv"].images == 96
    assert work.source.find(work.evidence["conv"][0].top[0].index) is not None


def test_a_stream_is_resumed_where_it_was_left(tmp_path):
    store = tmp_path / "e.safetensors"
    found(Endless(3), store=store)
    crops = found(Endless(5), store=store)
    assert (crops.images, crops[0].top[0].index) == (5, 4)
    assert load_evidence(store)["conv"][0].top[0].activation == crops[0].top[0].activation


def test_an_iterator_is_used_up_by_the_first_pass_and_an_iterable_dataset_is_not():
    source = read_source(iter(RED))
    assert found(source).images == 5
    with pytest.raises(
        DatasetError, match=r"(?s)another pass has read, .*a torch IterableDataset\), a list, or all layers"
    ):
        found(source)
    source = read_source(Endless())
    assert found(source).images == found(source).images == 5
    with pytest.raises(DatasetError, match="gave no image"):
        found(iter([]))
    with pytest.raises(DatasetError, match="gave no image"):
        activations(Planted(), iter([]), "conv", input_size=SIDE)


def test_labels_of_a_stream():
    assert found(iter(RED), labels=[5, 6, 7, 8, 9])[0].top[0].label == 9
    assert found(iter(RED), labels=itertools.count(5))[0].top[0].label == 9
    twice = read_source(Endless(), iter(range(5)))
    assert [found(twice)[0].top[0].label for _ in range(2)] == [4, 4]
    assert found(iter(RED), labels=lambda place: place * 2)[0].top[0].label == 8
    assert found(iter(RED), labels={4: "last"})[0].top[0].label == "last"
    with pytest.warns(
        DatasetWarning, match="3 of 5 images have no class as their label but nothing, as labels has ended"
    ):
        found(iter(RED), labels=[1, 2])
    assert found(iter(RED), labels=pd.Series(range(5), index=[4, 3, 2, 1, 0]))[0].top[0].label == 4
    with pytest.raises(DatasetError, match="for a stream give a function of the place"):
        read_source(iter(RED), "label")


def test_what_of_a_stream_can_not_be_read_is_skipped():
    items = [RED[0], 17, "nowhere.png", (colors(), {"boxes": 1}), RED[4]]
    with pytest.warns(DatasetWarning, match="2 of 5 images were skipped"):
        crops = found(iter(items))
    assert (crops.images, crops.skipped_count) == (3, 2)


def test_numbers_of_a_stream_get_one_range():
    dark = np.full((SIDE, SIDE, 3), 100, np.uint16)
    crops = found(iter([dark, dark * 600, dark]))
    assert crops[0].top[0].index in (0, 2)  # unit 0 dislikes white
    assert float(crops[0].top[0].input().max()) == pytest.approx(100 / 65535)
    assert "uint16 images were taken to go from 0, black, to 65535" in " ".join(crops.remarks)


def test_a_data_loader_is_refused_with_the_way_out():
    loader = torch.utils.data.DataLoader(Endless(), batch_size=2)
    with pytest.raises(DatasetError, match=r"which gives batches: .*its \.dataset"):
        found(loader)
    assert found(loader.dataset).images == 5


def test_the_survey_of_images_without_classes_says_so():
    pytest.importorskip("scipy", reason="scipy is not installed")
    crops = found([(image, {"boxes": []}) for image in RED])
    with pytest.raises(Exception, match="label"):
        survey(crops)
