"""Labels: by position where there are positions, and never a reason to lose an image."""

from __future__ import annotations

import enum
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from peek_widget import DatasetWarning, load_evidence, read, top_crops
from peek_widget.errors import DatasetError
from peek_widget.evidence.dataset import read_label, read_source
from tests.networks import Planted
from tests.strangers.images import colors

RED = [Image.new("RGB", (16, 16), (50 * number, 0, 0)) for number in range(1, 6)]


def labels_of(dataset, labels=None) -> list:
    source = read_source(dataset, labels)
    return [source.load(index)[2] for index in range(len(source))]


@functools.cache
def network():
    return read(Planted(), 16)


def found(dataset, **given):
    return top_crops(network(), "conv", dataset, 1, progress=False, **given)


# -- labels of pandas: by position


def shuffled() -> pd.DataFrame:
    frame = pd.DataFrame({"name": list("abcde"), "label": [10, 11, 12, 13, 14]})
    return frame.sample(frac=1, random_state=1)


@pytest.mark.parametrize(
    "labels",
    [
        shuffled()["label"],
        shuffled()[["label"]],
        shuffled()["label"].astype("category"),
        shuffled()["label"].astype("Int64"),
        pd.Series([4, 5, 6, 7, 8], index=list("vwxyz")),
        pd.Index([3, 1, 4, 1, 5]),
        pd.Series([1, 2, 3, 4, 5], index=[1, 2, 3, 4, 5]),
        pd.Categorical([2, 0, 1, 2, 2]),
        np.array([3, 1, 4, 1, 5]),
        torch.tensor([3, 1, 4, 1, 5]),
        (number * number for number in range(5)),
        {3: 1, 2: 5, 1: 7, 0: 3, 4: 3}.values(),
        map(int, "31415"),
        shuffled()["label"].to_dict().values(),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_are_taken_by_position(labels):
    labels = list(labels) if not hasattr(labels, "__len__") and not hasattr(labels, "iloc") else labels
    want = labels["label"] if isinstance(labels, pd.DataFrame) else labels
    assert labels_of(RED, labels) == [int(one) for one in want]


def test_labels_from_an_iterator_need_no_length():
    assert labels_of(RED, (number * number for number in range(5))) == [0, 1, 4, 9, 16]
    with pytest.raises(DatasetError, match="labels has more than 5 entries for 5 images"):
        read_source(RED, iter(int, 1))  # endless
    with pytest.raises(DatasetError, match="labels has 4 entries for 5 images"):
        read_source(RED, iter(range(4)))


def test_the_label_of_a_crop_is_that_of_its_image_after_a_shuffle():
    frame = shuffled()
    images = [RED["abcde".index(name)] for name in frame["name"]]
    crops = found(images, labels=frame["label"])
    assert crops[0].top[0].label == 14  # the reddest is "e"


def test_a_series_indexed_by_file_names_is_not_taken_in_another_order(tmp_path):
    for number, image in enumerate(RED):
        image.save(tmp_path / f"{number}.png")
    series = pd.Series({f"{number}.png": number for number in range(5)})
    assert labels_of(tmp_path, series) == list(range(5))
    other = series.sample(frac=1, random_state=3)
    with pytest.raises(DatasetError, match=r"index holds file names, in another order .*series.to_dict\(\)"):
        read_source(tmp_path, other)
    assert labels_of(tmp_path, other.to_dict()) == list(range(5))  # one way out
    assert labels_of(tmp_path, list(other)) == list(other)  # the other


def test_a_frame_of_several_columns_is_refused_by_name():
    with pytest.raises(DatasetError, match=r"the columns name, label: give one of them, e.g. labels=frame\['name'\]"):
        read_source(RED, shuffled())
    assert labels_of(RED, shuffled()["name"]) == list(shuffled()["name"])


# -- mappings


@pytest.mark.parametrize(
    "keys",
    [["0", "1", "2", "3", "4"], ["/data/0.png"], [0, 1, 2, 3, 4], ["0.PNG", "1.PNG"], ["0.png", "typo.png"]],
    ids=["stems", "full paths", "numbers", "capitals", "a typo"],
)
def test_keys_that_match_no_image_are_an_error(keys, tmp_path):
    for number, image in enumerate(RED):
        image.save(tmp_path / f"{number}.png")
    with pytest.raises(DatasetError, match=r"match(es)? no image.* such as '0.png': .*labels=mapping.get") as caught:
        read_source(tmp_path, dict.fromkeys(keys, 7))
    assert repr(next(key for key in keys if key != "0.png")) in str(caught.value)
    # the ways out
    assert labels_of(tmp_path, {f"{number}.png": number for number in range(5)}.get) == list(range(5))
    assert labels_of(tmp_path, lambda name: {"0": 3}.get(name.split(".")[0]))[0] == 3


def test_a_mapping_may_know_more_images_or_fewer(tmp_path):
    for number, image in enumerate(RED[:2]):
        image.save(tmp_path / f"{number}.png")
    assert labels_of(tmp_path, {f"{number}.png": number for number in range(5)}) == [0, 1]
    source = read_source(tmp_path, {"1.png": 1})
    assert source.remarks == ("1 of 2 images have no label in labels, such as '0.png'.",)
    with pytest.raises(DatasetError, match="1 key \\(17\\) that matches no image, and 4 images"):
        read_source(RED, {0: "a", 17: "b"})
    assert labels_of([str(tmp_path / "0.png")], {str(tmp_path / "0.png"): 5}) == [5]
    assert labels_of([tmp_path / "0.png"], {tmp_path / "0.png": 5}) == [5]


# -- what is no class


class Color(enum.Enum):
    RED = "r"


NO_CLASS = [
    ({"boxes": torch.zeros(2, 4), "labels": torch.tensor([1, 2])}, "a dict"),
    ([{"bbox": [1, 2, 3, 4], "category_id": 1}], "a list"),
    (["A man riding a wave.", "A surfer."], "a list"),
    (colors().convert("L"), "an Image"),
    (torch.zeros(16, 16, dtype=torch.long), "a Tensor"),
    (np.zeros((16, 16), np.uint8), "a ndarray"),
    (torch.tensor([0.0, 1.0, 0.0]), "a Tensor"),
    (np.array([1, 0, 1]), "a ndarray"),
    ([0, 1], "a list"),
    ((3, 4), "a tuple"),
    (0.73, "a number with decimals"),
    (np.float64(12.5), "a number with decimals"),
    (torch.tensor([36.6]), "a number with decimals"),
    ("A man riding a wave on top of a surfboard.", "a caption"),
    ("a dog runs along the beach", "a caption"),
    ({1, 2}, "a set"),
    (object(), "an object"),
]


@pytest.mark.parametrize(("label", "what"), NO_CLASS, ids=lambda one: one if isinstance(one, str) else None)
def test_what_is_no_class_costs_the_label_and_not_the_image(label, what):
    assert read_label(label) == (None, what)
    items = [(image, label) for image in RED]
    with pytest.warns(DatasetWarning, match=rf"5 of 5 images have no class as their label but {what}") as said:
        crops = found(items)
    assert len(said) == 1
    assert (crops.images, crops.skipped_count) == (5, 0)
    assert crops[0].top[0].index == 4
    assert crops[0].top[0].label is None
    assert crops.label_counts == {None: 5}
    with pytest.warns(DatasetWarning, match="5 of 5 images have no class"):
        assert found(RED, labels=[label] * 5)[0].top[0].label is None
    # the way out
    assert found(items, labels=[3, 4, 5, 6, 7])[0].top[0].label == 7


@pytest.mark.parametrize(
    ("label", "read"),
    [
        (7, 7), (np.int64(7), 7), (np.uint8(7), 7), (torch.tensor(7), 7), (torch.tensor([7]), 7), (np.array([[7]]), 7),
        (7.0, 7), (np.float32(7), 7), (True, 1), (np.bool_(True), 1), ("cat", "cat"), (np.str_("cat"), "cat"),
        (b"cat", "cat"), (b"7", 7), (Color.RED, "RED"), (None, None), (float("nan"), None), (pd.NA, None),
        (pd.NaT, None),
        ("great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias",) * 2,
        ("hen-of-the-woods, hen of the woods, Polyporus frondosus, Grifola frondosa",) * 2,
        ("St. Bernard",) * 2, ("a",) * 2, ("",) * 2,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_a_class_is_read(label, read):
    assert read_label(label) == (read, "")
    assert type(read_label(label)[0]) is type(read)


def test_some_labels_may_be_none_and_are_counted():
    items = [(RED[0], 3), (RED[1], {"boxes": []}), (RED[2], 0.5), (RED[3], None), (RED[4], "cat")]
    with pytest.warns(DatasetWarning, match="2 of 5 images have no class as their label but a dict, a number with"):
        crops = found(items)
    assert crops.label_counts == {3: 1, None: 3, "cat": 1}


def test_a_function_that_fails_for_an_image_does_not_cost_it():
    with pytest.warns(DatasetWarning, match=r"5 of 5 images have no class .* labels raised KeyError: 0"):
        crops = found(RED, labels={}.__getitem__)
    assert crops.images == 5


MEASURED = [0.0, 0.25, 0.5, 2.0, 1.0]


@pytest.mark.parametrize(
    ("dataset", "labels"),
    [
        (list(zip(RED, MEASURED, strict=True)), None),
        (list(zip(RED, torch.tensor(MEASURED), strict=True)), None),
        ([{"image": image, "label": np.float32(value)} for image, value in zip(RED, MEASURED, strict=True)], None),
        (RED, MEASURED),
        (RED, pd.Series(MEASURED)),
        (RED, torch.tensor(MEASURED)),
        (RED, dict(enumerate(MEASURED))),
        (pd.DataFrame({"image": RED, "label": MEASURED}), None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_whole_number_among_measurements_is_no_class_either(dataset, labels):
    assert labels_of(dataset, labels) == [None] * 5
    assert {read_source(dataset, labels).item(index).odd for index in range(5)} == {"a number with decimals"}


def test_whole_numbers_that_pandas_has_made_floating_are_classes():
    assert labels_of(RED, pd.Series([1, None, 3, 2, 2])) == [1, None, 3, 2, 2]
    assert labels_of([(image, 2.0) for image in RED]) == [2] * 5
    stream = read_source((image, value) for image, value in zip(RED, MEASURED, strict=True))
    assert [stream.load(index)[2] for index in range(5)] == [None] * 5


def test_a_number_too_large_for_a_class_is_none(tmp_path):
    with pytest.warns(DatasetWarning, match="2 of 5 images have no class as their label but a huge number"):
        crops = found(RED, labels=[1e25, 2**70, 3, 4, 2**62])
    crops.save(tmp_path / "e.safetensors")
    assert load_evidence(tmp_path / "e.safetensors")["conv"].label_counts == {None: 2, 3: 1, 4: 1, 2**62: 1}
