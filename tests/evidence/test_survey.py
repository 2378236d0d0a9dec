"""The survey finds what was planted, and nothing where there is nothing."""

from __future__ import annotations

import builtins
import random

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("scipy", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")
pandas = pytest.importorskip("pandas", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")

from peek_widget.errors import EvidenceStoreError, PeekError, SurveyWarning
from peek_widget.evidence import IMAGENET_GROUPS, LayerEvidence, survey, top_crops
from peek_widget.zoo import CLASS_NAMES, Images, bundled

#: What each planted unit looks for; two look for what is in any image, the last for nothing at all.
TRUTH = ["red", "green", "blue", "level stripes", "upright stripes", None, None, None]


class Meadow(nn.Module):
    """Eight units with hand-set weights: three colors, two directions of stripes, three of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, padding=2)
        weight = torch.zeros(8, 3, 5, 5)
        for color in range(3):
            weight[color] = -0.5
            weight[color, color] = 1.0
        waves = torch.tensor([1.0, -1.0, 0.0, -1.0, 1.0])
        weight[3] = waves[:, None].expand(5, 5)
        weight[4] = waves[None, :].expand(5, 5)
        for unit, missing in ((5, 1), (6, 0)):  # magenta, cyan: dots that are in any image
            weight[unit] = 1.0
            weight[unit, missing] = -2.0
        with torch.no_grad():
            self.conv.weight.copy_(weight)
            self.conv.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu()


def meadow(count: int) -> tuple[list[np.ndarray], list[str]]:
    """Gray noise with one thing in it, 32 x 32 px; every other image holds nothing but, as any may, dots below."""
    chance = np.random.default_rng(0)
    images, labels = [], []
    for i in range(count):
        image = np.repeat(chance.uniform(0.4, 0.6, (32, 32, 1)), 3, axis=2)
        label = (TRUTH[i // 2 % 5] or "") if i % 2 else "nothing"
        y, x = chance.integers(0, 12, 2)
        part = image[y : y + 12, x : x + 12]
        if label in TRUTH[:3]:
            part[:] = 0.1
            part[..., TRUTH.index(label)] = 0.9
        elif label != "nothing":
            stripes = 0.5 + 0.4 * np.sign(np.cos(2 * np.pi * (np.arange(12) + 0.5) / 4))
            part[:] = (stripes[:, None] if label == "level stripes" else stripes[None, :])[..., None]
        for color in (np.array([1, 0, 1]), np.array([0, 1, 1])):
            if chance.random() < 0.4:
                at = chance.integers(0, 27)
                image[27:, at : at + 5] = color * chance.uniform(0.9, 1.0)
        images.append(image.astype(np.float32))
        labels.append(label)
    return images, labels


@pytest.fixture(scope="module")
def planted() -> LayerEvidence:
    images, labels = meadow(200)
    return top_crops(Meadow(), "conv", images, labels=labels, input_size=32, preprocess="none", progress=False)


def test_it_finds_what_was_planted(planted):
    found = survey(planted)
    assert found.table["about"].tolist() == TRUTH
    assert found.table["of"].tolist() == [9] * 8
    assert found.table["count"].tolist()[:5] == [9] * 5
    assert found.units("red") == [0]
    assert str(found).splitlines()[-1].startswith("3 of 8 units: no significant group in 200 images")


def test_groups_are_given_as_labels_names_or_a_function(planted):
    found = survey(planted, {"colored": ["red", "green", "blue"], "striped": lambda label: "stripes" in label})
    assert found.counts[["group", "units", "of", "images"]].values.tolist() == [
        ["colored", 3, 8, 60],
        ["striped", 2, 8, 40],
    ]
    assert found.units("striped") == [3, 4]
    assert "3 of 8 units: colored" in str(found)


def test_the_test_is_hypergeometric_and_corrected_over_the_units(planted):
    from math import comb

    found = survey(planted, {"red": ["red"]})
    exact = sum(comb(20, i) * comb(180, 9 - i) for i in range(9, 10)) / comb(200, 9)
    row = found.every[found.every["unit"] == 0].iloc[0]
    assert row["p"] == pytest.approx(exact)
    assert row["expected"] == pytest.approx(9 * 20 / 200)
    # The smallest of eight p-values is multiplied by eight.
    assert row["q"] == pytest.approx(8 * exact)


def test_random_labels_are_enriched_in_no_unit():
    images, labels = meadow(200)
    of = []
    for seed in range(5):
        random.Random(seed).shuffle(labels)
        evidence = top_crops(Meadow(), "conv", images, labels=labels, input_size=32, preprocess="none", progress=False)
        of.append(int(survey(evidence).table["about"].notna().sum()))
    assert sum(of) <= 2, f"of 5 x 8 units with shuffled labels {of} were about something"


@pytest.mark.slow
def test_the_bundled_networks_classes_are_about_themselves():
    crops = top_crops(bundled(), ["classes", "conv1"], Images(420), progress=False)
    found = survey(crops["classes"])
    right = [about == CLASS_NAMES[unit] for unit, about in enumerate(found.table["about"])]
    assert sum(right) >= 27, f"{sum(right)} of 28 classes are about themselves"
    early = survey(crops["conv1"])
    assert early.table["about"].notna().mean() < 0.7, "an edge is in many classes"


def test_groups_with_too_few_images_are_reported(planted):
    found = survey(planted, {"red": ["red"], "ghosts": ["ghost"]})
    assert found.counts.set_index("group")["findable"].to_dict() == {"red": True, "ghosts": False}
    assert "too few images to find a unit by itself: 1 of 2 groups (ghosts)" in str(found)


def test_an_image_with_two_crops_is_counted_once():
    images, labels = meadow(200)
    evidence = top_crops(
        Meadow(), "conv", images, labels=labels, per_image=False, input_size=32, preprocess="none", progress=False
    )
    found = survey(evidence)
    assert found.table["of"].tolist()[:5] == [1] * 5, "neighboring places of one image are one"


class Bright(nn.Module):
    """Two units: how bright a picture is, and how dark."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.conv.weight[:] = torch.tensor([1.0, -1.0])[:, None, None, None] / 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_top_images_that_all_others_do_not_bear_out_are_warned_of():
    # The nine brightest are dogs, and all other dogs lie among the darker ones like anything; the darkest are all cats.
    labels = ["dog"] * 9 + ["dog" if i > 100 and i % 3 == 0 else "bird" for i in range(371)] + ["cat"] * 20
    images = [np.full((8, 8, 3), 1.0 - i / 500, np.float32) for i in range(400)]
    evidence = top_crops(Bright(), "conv", images, labels=labels, input_size=8, preprocess="none", progress=False)
    with pytest.warns(SurveyWarning, match=r"1 of the 2 units .* hardly tell it .* such as unit 0"):
        found = survey(evidence)
    rows = found.table.set_index("unit")
    assert rows["about"].tolist() == ["dog", "cat"]
    assert rows["borne_out"].tolist() == [False, True]
    assert found.doubtful == [0]
    exact = average_precision(-np.arange(400.0), np.array(labels) == "dog")
    assert rows.loc[0, "auprc"] == pytest.approx(exact, abs=0.02)
    assert rows.loc[1, "auprc"] > 0.9
    assert rows.loc[1, "f1"] > 0.9
    assert rows.loc[0, "base"] == labels.count("dog") / 400
    truth = np.corrcoef(-np.arange(400), np.array(labels) == "cat")[0, 1]
    every = found.every.set_index(["unit", "group"])
    assert every.loc[(0, "cat"), "pearson"] == pytest.approx(truth, abs=0.01)
    assert "not borne out by all images: 1 of these units (0)" in str(found)
    assert "AUPRC 0." in str(found)


def average_precision(values: np.ndarray, inside: np.ndarray) -> float:
    ordered = inside[np.argsort(-values)]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean())


def test_histograms_are_kept_of_the_groups_that_a_pass_is_given():
    images, labels = meadow(60)
    groups = {"colored": ["red", "green", "blue"], "striped": lambda label: "stripes" in label}
    options = {"labels": labels, "input_size": 32, "preprocess": "none", "progress": False}
    given = top_crops(Meadow(), "conv", images, groups=groups, **options)
    of_labels = top_crops(Meadow(), "conv", images, **options)
    one, other = survey(given), survey(of_labels, groups)
    assert one.counts["group"].tolist() == ["colored", "striped"]
    assert one.every["auprc"].notna().all()
    assert one.every[["auprc", "f1", "pearson"]].equals(other.every[["auprc", "f1", "pearson"]])
    assert survey(given, {"colored": ["red"]}).every["auprc"].isna().all(), "other labels under the same name"
    with pytest.raises(PeekError, match="give 'imagenet' or a dict"):
        top_crops(Meadow(), "conv", images, groups="animals", **options)


def test_of_many_labels_no_histogram_is_kept_and_the_survey_says_so():
    images, _ = meadow(80)
    labels = [0] * 10 + list(range(70))
    evidence = top_crops(Meadow(), "conv", images, labels=labels, input_size=32, preprocess="none", progress=False)
    assert evidence.evidence.example_index.grouping is None
    found = survey(evidence, level=0.99)
    assert found.every["auprc"].isna().all()
    assert not found.doubtful
    assert "scores over all images: not kept" in str(found)
    # and a pass that looks at none of them again would keep none either
    options = {"labels": labels, "input_size": 32, "preprocess": "none", "progress": False, "groups": {"one": [1]}}
    with pytest.raises(EvidenceStoreError, match="keeps nothing about groups"):
        top_crops(Meadow(), "conv", images, resume=evidence.evidence, **options)


def pushes(*rows: tuple[int, int, str], numbered_alike: bool | None = None):
    """What pushed_classes would return: the class that each unit adds to, by number and name."""
    found = pandas.DataFrame([(*row, 1.0) for row in rows], columns=["unit", "class", "name", "push"])
    found.attrs["numbered_alike"] = numbered_alike
    return found


def pushes_it(evidence: LayerEvidence, *rows: tuple[int, int, str], **options) -> list[bool | None]:
    return survey(evidence, pushes=pushes(*rows, **options)).table["pushes_it"].tolist()[: len(rows)]


def test_texts_are_compared_with_classes_of_the_same_names_alone(planted):
    named = [(0, 7, "red"), (1, 8, "blue"), (2, 9, "violet")]
    assert pushes_it(planted, *named) == [True, False, False]
    assert pushes_it(planted, (0, 7, "n02102040"), (1, 8, "n02123045"), (2, 9, "n02120079")) == [None] * 3
    assert pushes_it(planted, (0, 7, "red"), (1, 8, "tench"), (2, 9, "hen"), (3, 1, "cock")) == [True] + [None] * 3
    assert pushes_it(planted, (0, 7, ""), (1, 8, ""), (2, 9, "")) == [None] * 3
    found = survey(planted, pushes=pushes((0, 7, "n02102040")))
    assert "classes pushed: not compared, for the labels are not known to be classes of the model" in str(found)
    assert "classes pushed" not in str(survey(planted))
    assert "add most to a class of it" in str(survey(planted, pushes=pushes(*named)))


def test_numbers_are_compared_with_classes_that_the_model_takes_the_images_for():
    images, labels = meadow(200)
    order = ["red", "green", "blue", "level stripes", "upright stripes", "nothing"]
    numbers = [order.index(label) for label in labels]
    evidence = top_crops(Meadow(), "conv", images, labels=numbers, input_size=32, preprocess="none", progress=False)
    alike = {"numbered_alike": True}
    assert pushes_it(evidence, (0, 0, ""), (1, 2, ""), **alike) == [True, False]
    assert pushes_it(evidence, (0, 0, "tench"), (1, 2, "shark"), **alike) == [True, False]
    for other in (None, False):
        assert pushes_it(evidence, (0, 0, ""), (1, 2, ""), numbered_alike=other) == [None] * 2, (
            "numbers of something else"
        )
    evidence.evidence.example_index.class_names = tuple(order)
    assert pushes_it(evidence, (0, 3, "red"), (1, 2, "blue")) == [True, False], "by name, whatever the number"
    assert pushes_it(evidence, (0, 0, "tench"), (1, 2, "shark"), (2, 2, "hen")) == [None] * 3, "other classes"
    assert pushes_it(evidence, (0, 0, ""), (1, 2, "")) == [None] * 2, "a model with another number of classes"


def test_the_chart_shows_the_counts(planted):
    pytest.importorskip("matplotlib", reason="the survey's extra is not installed")
    ax = survey(planted).plot()
    assert sorted(t.get_text() for t in ax.get_yticklabels()) == sorted(t for t in TRUTH if t)
    assert [bar.get_width() for bar in ax.patches] == [1] * 5
    assert "of 8 units of conv, on 200 images" in ax.get_xlabel()


def test_imagenets_groups_are_what_they_say():
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    def named(group):
        return [_IMAGENET_CATEGORIES[i] for i in IMAGENET_GROUPS[group]]

    everything = [i for group in IMAGENET_GROUPS.values() for i in group]
    assert len(everything) == len(set(everything)), "groups don't overlap"
    assert set(everything) <= set(range(1000))
    ends = {
        "dogs": ("Chihuahua", "Mexican hairless", 118),
        "cats": ("tabby", "Egyptian cat", 5),
        "wild cats": ("cougar", "cheetah", 8),
        "birds": ("cock", "albatross", 59),
        "snakes": ("thunder snake", "sidewinder", 17),
        "fish": ("tench", "puffer", 16),
        "insects": ("tiger beetle", "lycaenid", 27),
        "bears": ("brown bear", "sloth bear", 4),
        "spiders": ("black and gold garden spider", "wolf spider", 6),
        "primates": ("orangutan", "indri", 20),
        "turtles": ("loggerhead", "box turtle", 5),
        "frogs and salamanders": ("European fire salamander", "tailed frog", 8),
        "lizards and crocodiles": ("banded gecko", "American alligator", 13),
        "wild dogs": ("timber wolf", "grey fox", 11),
        "hoofed animals": ("sorrel", "llama", 17),
        "crabs and lobsters": ("Dungeness crab", "hermit crab", 8),
        "whales and seals": ("grey whale", "sea lion", 4),
        "mushrooms": ("mushroom", "bolete", 8),
        "flowers": ("rapeseed", "yellow lady's slipper", 3),
        "landscapes": ("alp", "volcano", 9),
        "fruit and vegetables": ("head cabbage", "pomegranate", 21),
        "dishes": ("guacamole", "burrito", 18),
        "rodents and rabbits": ("wood rabbit", "guinea pig", 8),
    }
    for group, (first, last, count) in ends.items():
        assert (named(group)[0], named(group)[-1], len(named(group))) == (first, last, count), group
    assert {"ambulance", "cab", "jeep", "school bus", "sports car", "trolleybus"} <= set(named("cars and trucks"))
    assert named("trains") == [
        "bullet train",
        "electric locomotive",
        "freight car",
        "passenger car",
        "steam locomotive",
        "streetcar",
    ]
    assert named("aircraft") == ["airliner", "airship", "balloon", "warplane"]
    assert named("two wheels") == ["bicycle-built-for-two", "moped", "motor scooter", "mountain bike"]
    assert {"canoe", "schooner", "speedboat", "yawl", "aircraft carrier", "pirate"} <= set(named("ships and boats"))
    assert {"accordion", "banjo", "violin", "sax", "upright", "steel drum"} <= set(named("musical instruments"))
    assert "wreck" not in named("ships and boats")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": "animals"}, "give 'imagenet' or a dict"),
        ({"groups": {}}, "at least one group"),
        ({"groups": {"a": [1, 2]}}, "None of the groups has an image: the labels are 'nothing'"),
        ({"groups": "imagenet"}, "None of the groups has an image"),
        ({"level": 1.0}, "level=1.0"),
    ],
)
def test_what_can_not_be_counted_is_refused_in_a_sentence(planted, change, said):
    with pytest.raises(PeekError, match=said):
        survey(planted, **change)


def test_without_labels_or_with_several_layers_it_is_refused(planted):
    crops = top_crops(Meadow(), ["conv"], meadow(8)[0], input_size=32, progress=False)
    with pytest.raises(PeekError, match="have no labels"):
        survey(crops["conv"])
    with pytest.raises(PeekError, match=r"of several layers take one: evidence\[layer\]"):
        survey(crops)
    with pytest.raises(PeekError, match=r"There is no group 'pink': choose one of .*red"):
        survey(planted).units("pink")


def test_a_missing_library_is_named_in_the_error(planted, monkeypatch):
    real = builtins.__import__

    def lacking(name, *args, **kwargs):
        if name.split(".")[0] == "scipy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", lambda name: lacking(name))
    with pytest.raises(PeekError, match=r"needs scipy, which is not installed: pip install 'peek_widget\[survey\]'"):
        survey(planted)
