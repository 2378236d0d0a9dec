"""Which classes units push, in a network whose weights are set by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("pandas", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")
pytest.importorskip("scipy", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")

from peek_widget import pushed_classes, survey, top_crops
from peek_widget.errors import DatasetError, PeekError
from peek_widget.evidence import LayerEvidence, merge_evidence

COLORS = ("red", "green", "blue")


class Colors(nn.Module):
    """A unit for each color, and one of all; red speaks for class 0 and against 1, green for 2, the others for none.

    What is above 1 is cut off, so that a gradient on a bright image sees nothing.
    """

    class_names = ("red", "green", "gras", "blue")

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.classes = nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            self.conv.weight[:] = torch.eye(4, 3)[:, :, None, None] * 4.0
            self.conv.weight[3] = 1.0
            self.classes.weight.zero_()
            self.classes.weight[0, 0], self.classes.weight[1, 0], self.classes.weight[2, 1] = 2.0, -1.0, 3.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.conv(x).relu().amax(dim=(2, 3)).clamp(max=1.0))


def photos(count: int = 60) -> tuple[list[np.ndarray], list[str]]:
    chance = np.random.default_rng(0)
    images, labels = [], []
    for number in range(count):
        image = np.zeros((8, 8, 3), np.float32)
        image[2:4, 2:4, number % 3] = chance.uniform(0.8, 1.0)
        images.append(image)
        labels.append(COLORS[number % 3])
    return images, labels


@pytest.fixture(scope="module")
def crops() -> LayerEvidence:
    images, labels = photos()
    return top_crops(Colors(), "conv", images, labels=labels, input_size=8, preprocess="none", progress=False)


def test_what_a_unit_adds_is_measured_on_its_crops(crops):
    counted: list[tuple[int, int]] = []
    found = pushed_classes(
        Colors(), crops, input_size=8, preprocess="none", progress=lambda done, of: counted.append((done, of))
    )
    rows = found[["unit", "class", "name"]].values.tolist()
    assert rows == [[0, 0, "red"], [0, 1, "green"], [1, 2, "gras"]], "of blue and the last nobody reads anything"
    # at its median, 0, the unit is silent; on its crops it is cut off at 1
    assert found["push"].tolist() == pytest.approx([2.0, -1.0, 3.0])
    assert found["crops"].tolist() == [3, 3, 3]
    assert counted == [(n, 4) for n in range(1, 5)]
    some = pushed_classes(Colors(), crops, [1], k=2, count=1, input_size=8, preprocess="none", progress=False)
    assert some[["unit", "class", "crops"]].values.tolist() == [[1, 2, 2]]


def test_the_survey_has_it_beside_what_a_unit_is_about(crops):
    pushes = pushed_classes(Colors(), crops, input_size=8, preprocess="none", progress=False)
    found = survey(crops, pushes=pushes)
    assert found.table["about"].tolist()[:3] == ["red", "green", "blue"]
    assert found.table["pushes"].tolist() == ["red", "gras", None, None]
    assert found.table["push"].tolist()[:2] == pytest.approx([2.0, 3.0])
    assert found.table["pushes_it"].tolist()[:3] == [True, False, None], "what is about green adds to gras"
    assert "classes pushed: 1 of the 2 units that are about a group add most to a class of it" in str(found)
    assert "pushes" not in survey(crops).table


def test_labels_that_are_numbers_are_the_classes_with_these_numbers():
    images, labels = photos()
    how = {"input_size": 8, "preprocess": "none", "progress": False}
    # What the model takes them for: 0, 2, and of blue, which nobody reads, the first. Then numbers of something else.
    for numbers, alike, of_it in (((0, 2, 3), True, [True, True]), ((2, 0, 1), False, [None, None])):
        crops = top_crops(Colors(), "conv", images, labels=[numbers[COLORS.index(one)] for one in labels], **how)
        pushes = pushed_classes(Colors(), crops, **how)
        assert pushes.attrs["numbered_alike"] is alike
        found = survey(crops, {"red": numbers[:1], "other": numbers[1:]}, pushes=pushes)
        assert found.table["about"].tolist()[:2] == ["red", "other"]
        assert found.table["pushes_it"].tolist()[:2] == of_it
    few = pushed_classes(Colors(), crops, [0, 1], **how)
    assert few.attrs["numbered_alike"] is None, "six images"


def test_what_is_not_possible_is_refused_in_a_sentence(crops):
    images, labels = photos(12)
    output = top_crops(Colors(), ["", "conv"], images, labels=labels, input_size=8, preprocess="none", progress=False)
    how = {"input_size": 8, "preprocess": "none", "progress": False}
    with pytest.raises(PeekError, match="classes themselves: give the evidence of an earlier layer"):
        pushed_classes(Colors(), output[""], **how)
    with pytest.raises(PeekError, match="takes the evidence of one layer"):
        pushed_classes(Colors(), output, **how)
    with pytest.raises(PeekError, match="k=0: give a whole number from 1"):
        pushed_classes(Colors(), crops, k=0, **how)
    with pytest.raises(DatasetError, match="holds no images"):
        pushed_classes(Colors(), merge_evidence([crops])["conv"], **how)
    pushes = pushed_classes(Colors(), crops, [0], **how)
    with pytest.raises(PeekError, match="pushes is of layer 'conv', and the evidence of ''"):
        survey(output[""], pushes=pushes)
    with pytest.raises(PeekError, match="pushes is a list: give what pushed_classes"):
        survey(crops, pushes=[1])
