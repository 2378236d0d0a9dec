"""What is given in place of a dataset: each refusal names what it is, and the way out that it names works."""

from __future__ import annotations

import functools
import glob
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from torch import nn
from torch.utils.data import Dataset

from peek_widget import read, top_crops
from peek_widget.errors import DatasetError
from peek_widget.evidence.loading import Loaded
from tests.strangers.images import TRUTH, colors, loaded, pixels, ramp

PICTURES = [colors(seed) for seed in range(4)]
X = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) / 255 for one in PICTURES])
Y = torch.arange(4)
NAMES = ["cat", "cat", "dog", "dog"]


class Mine(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int):
        return PICTURES[index], NAMES[index]


def pairs():
    yield from zip(PICTURES, NAMES, strict=True)


@functools.cache
def network():
    return read(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8)


def labels_of(dataset, labels=None) -> list:
    crops = top_crops(network(), "0", dataset, k=4, labels=labels, progress=False)[0].top
    return [crop.label for crop in sorted(crops, key=lambda crop: crop.index)]


GIVEN = {
    "a tuple of images and labels": ((X, Y), {"images": X, "labels": Y}, [0, 1, 2, 3]),
    "a list of images and labels": ([X, NAMES], {"images": X, "labels": NAMES}, NAMES),
    "columns": ({"images": X, "labels": Y}, {}, [0, 1, 2, 3]),
    "columns of lists": ({"img": PICTURES, "class": NAMES}, {}, NAMES),
    "a column": ({"photos": PICTURES}, {}, [None] * 4),
    "lists by class": ({"cat": PICTURES[:2], "dog": PICTURES[2:]}, {}, NAMES),
    "lists by class, one called as an image is": ({"photo": PICTURES[:2], "painting": PICTURES[2:]}, {}, None),
    "images by name": (dict(zip("abcd", PICTURES, strict=True)), {}, [None] * 4),
    "the class of a dataset": (Mine, {}, NAMES),
    "a generator's function": (pairs, {}, NAMES),
    "a lambda": (lambda: list(pairs()), {}, NAMES),
}


@pytest.mark.filterwarnings("ignore::peek_widget.DatasetWarning")
@pytest.mark.parametrize("what", GIVEN)
def test_what_is_no_dataset_is_named_with_a_way_out_that_works(what: str) -> None:
    given, variables, right = GIVEN[what]
    with pytest.raises(DatasetError) as caught:
        labels_of(given)
    said = str(caught.value).rstrip(".")
    if what == "the class of a dataset":
        assert "give an instance, Mine(...)" in said
        assert labels_of(Mine()) == right
        return
    scope = {"given": given, "images": given, "pairs": pairs, "dict": dict, **variables}
    advice = re.search(r"dataset=.*", said)
    assert advice is not None, said
    code = advice[0].removesuffix(", with their labels as labels=")
    found = labels_of(**eval(f"dict({code})", scope))
    assert found == (["photo", "photo", "painting", "painting"] if right is None else right)


def test_a_pattern(tmp_path: Path) -> None:
    for number, one in enumerate(PICTURES):
        one.save(tmp_path / f"{number}.png")
    with pytest.raises(DatasetError, match="is a pattern") as caught:
        labels_of(f"{tmp_path}/*.png")
    code = re.search(r"dataset=(sorted.*)\.$", str(caught.value))
    assert code is not None
    assert len(labels_of(eval(code[1], {"glob": glob, "sorted": sorted}))) == 4


@pytest.mark.parametrize(
    "image",
    [ramp(0, 1, np.longdouble), np.asmatrix(ramp(0, 1, np.float64)), ramp(0, 65535, ">u2"), ramp(-128, 127, np.int8)],
    ids=["long double", "matrix", "big-endian", "int8"],
)
def test_numbers_of_rare_types(image) -> None:
    assert torch.allclose(pixels([image])[0], TRUTH, atol=0.005)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (ramp(0, 255, np.uint8).astype(object), r"array\.astype\(float\)"),
        (ramp(0, 1, np.complex64), "absolute values"),
        (
            unstructured_to_structured(np.stack([ramp(0, 255, np.uint8)] * 3, -1)),
            r"structured_to_unstructured\(array\)",
        ),
    ],
)
def test_numbers_that_are_none_are_refused_with_a_way_out(image, words) -> None:
    found: Loaded = loaded([image])
    assert found.pixels is None
    assert re.search(words, found.reason)
    if image.dtype == object:
        assert torch.allclose(pixels([image.astype(float)])[0], TRUTH, atol=0.005)
    elif image.dtype.names:
        assert torch.allclose(pixels([structured_to_unstructured(image)])[0], TRUTH, atol=0.005)
