"""The drawn images: the same ones every time, told apart by structure and by nothing else."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from peek_widget.errors import PeekError, SizeError
from peek_widget.zoo.drawing.pen import Pen
from peek_widget.zoo.drawing.scene import paint
from peek_widget.zoo.images import CLASS_NAMES, KINDS, SUBJECTS, Images, draw

CHANCE = 1 / len(CLASS_NAMES)


def drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = Images(count, seed=seed)
    pairs = [images[i] for i in range(count)]
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])


@pytest.fixture(scope="module")
def split():
    return *drawn(2240, 101), *drawn(1120, 202)


def probe(x, y, test_x, test_y, decay: float) -> float:
    """Share right of a linear classifier on new images."""
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    x, test_x = (x - mean) / deviation, (test_x - mean) / deviation
    weight = torch.zeros(x.shape[1], len(CLASS_NAMES), requires_grad=True)
    bias = torch.zeros(len(CLASS_NAMES), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=40, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(x @ weight + bias, y) + decay * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return ((test_x @ weight + bias).argmax(1) == test_y).float().mean().item()


def color(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1)


def test_there_are_three_kinds_and_enough_of_each():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) >= 24
    assert set(KINDS) == {"texture", "shape", "composed"}
    assert min(KINDS.count(kind) for kind in set(KINDS)) >= 8
    for named in ("stripes", "checks", "dots", "rings", "spiral", "bricks", "scales", "zigzag"):
        assert SUBJECTS[named].kind == "texture"
    for named in ("star", "heart", "crescent", "cross", "arrow"):
        assert SUBJECTS[named].kind == "shape"
    for named in ("eye", "face", "flower", "wheel", "house", "tree", "fish"):
        assert SUBJECTS[named].kind == "composed"


@pytest.mark.slow
def test_color_and_contrast_do_not_tell_the_class(split):
    x, y, test_x, test_y = split
    assert probe(color(x), y, color(test_x), test_y, 1e-4) < 2 * CHANCE
    # The same probe does find the class where there is something to find.
    tint = 0.2 * torch.randn(len(CLASS_NAMES), 3, 1, 1, generator=torch.Generator().manual_seed(0))
    assert probe(color(x + tint[y]), y, color(test_x + tint[test_y]), test_y, 1e-4) > 5 * CHANCE


@pytest.mark.slow
def test_raw_pixels_do_not_tell_the_class(split):
    x, y, test_x, test_y = split
    assert probe(x.flatten(1), y, test_x.flatten(1), test_y, 1e-2) < 0.4


@pytest.mark.slow
def test_raw_pixels_do_tell_what_stands_still(split):
    x, y, test_x, test_y = split
    # The same probe, where each class has a picture of its own that stays in its place.
    still = torch.stack([draw(name, seed=9) for name in CLASS_NAMES])
    mixed, test_mixed = 0.5 * x + 0.5 * still[y], 0.5 * test_x + 0.5 * still[test_y]
    assert probe(mixed.flatten(1), y, test_mixed.flatten(1), test_y, 1e-2) > 0.8


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    first, again, other = Images(60, seed=5), Images(1000, seed=5), Images(60, seed=6)
    # In another order, and from a dataset of another length.
    for i in (41, 3, 17):
        assert torch.equal(first[i][0], again[i][0])
        assert not torch.equal(first[i][0], other[i][0])
    assert torch.equal(first[17][0], draw(CLASS_NAMES[17], seed=5, index=17))


def test_an_image_is_what_it_is_today():
    """Whoever changes the generator has to train anew: the networks were trained on these images."""
    image = draw("boat", seed=3, index=8)
    small = functional.avg_pool2d(image[None], 16)[0]
    assert torch.allclose(small[:, 1, :], torch.tensor(BOAT), atol=2e-3), small[:, 1, :].tolist()


BOAT = [
    [0.4586, 0.3943, 0.3865, 0.4584],
    [0.6263, 0.8084, 0.3596, 0.5773],
    [0.5544, 0.4793, 0.4689, 0.5509],
]


@pytest.mark.parametrize("size", [32, 47, 64, 160, 256])
def test_any_size_in_range(size):
    for name in CLASS_NAMES:
        image = draw(name, size=size, seed=1)
        assert image.shape == (3, size, size)
        assert image.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert image.std() > 0.03


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_the_scene_is_the_same_at_every_size(name):
    small, large = draw(name, size=64, seed=4), draw(name, size=128, seed=4)
    halved = functional.avg_pool2d(large[None], 2)[0]
    unlike = draw(name, size=64, seed=5)
    both = torch.stack([small.flatten(), halved.flatten(), unlike.flatten()])
    alike = torch.corrcoef(both)
    assert alike[0, 1] > 0.85
    assert alike[0, 1] > alike[0, 2]


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_every_class_is_built_in_four_ways_or_more(name):
    subject = SUBJECTS[name]
    assert len(set(subject.variants)) == len(subject.variants) >= 4

    def form(variant: str) -> np.ndarray:
        """How often each ink lies at each place, over draws: without color, place, light or noise."""
        maps = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            if subject.kind == "texture":
                u, v = np.meshgrid(np.linspace(-2, 2, 64), np.linspace(-2, 2, 64))
                maps.append((subject.draw(rng, variant, u, v, 0.5) > 0)[None])
            else:
                pen = Pen(64)
                subject.draw(rng, variant, pen)
                maps.append(np.stack([pen.cover(ink) for ink in range(5)]))
        return np.mean(maps, axis=0)

    forms = {variant: form(variant) for variant in subject.variants}
    for one, other in itertools.combinations(subject.variants, 2):
        assert np.abs(forms[one] - forms[other]).sum(0).mean() > 0.02, (one, other)


def test_a_variant_can_be_asked_for():
    assert not torch.equal(draw("star", variant="four points"), draw("star", variant="eight points"))


def test_the_classes_take_turns():
    images = Images(3 * len(CLASS_NAMES))
    labels = [images[i][1] for i in range(len(images))]
    assert sorted(labels) == sorted(list(range(len(CLASS_NAMES))) * 3)
    assert images.class_names == CLASS_NAMES
    assert images.kinds == KINDS


def test_it_is_a_dataset():
    images = Images(10, size=32, classes=["fish", "tree"])
    assert len(images) == len(list(images)) == 10
    assert images.class_names == ("fish", "tree")
    assert torch.equal(images[-1][0], images[9][0])
    assert images[9][1] == 1
    with pytest.raises(IndexError, match="0 to 9"):
        images[10]
    batch, labels = next(iter(torch.utils.data.DataLoader(images, batch_size=4)))
    assert batch.shape == (4, 3, 32, 32)
    assert labels.tolist() == [0, 1, 0, 1]
    assert len(Images(10**9)) == 10**9


def test_fast_enough():
    images = Images(10**6, seed=77)
    images[0]
    # Processor time, not the clock: other work on the machine is no fault of ours.
    began = time.process_time()
    for i in range(280):
        images[i]
    assert 280 / (time.process_time() - began) >= 200


def test_light_and_noise_stay_within_the_image():
    for seed in range(40):
        image = paint(np.random.default_rng(seed), SUBJECTS["house"], "gable", 64)
        assert image.min() >= 0
        assert image.max() <= 1
        # Almost nothing is burnt out, or the contrast would tell how much ink there is.
        assert ((image <= 0) | (image >= 1)).mean() < 0.25


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: draw("hart"), PeekError, "'heart'"),
        (lambda: draw("submarine"), PeekError, "stripes, checks"),
        (lambda: draw("heart", variant="rond"), PeekError, "'round'"),
        (lambda: Images(10, classes=["fish", "tre"]), PeekError, "'tree'"),
        (lambda: Images(10, classes=[]), PeekError, "at least one"),
        (lambda: Images(10, size=31), SizeError, "32 to 256"),
        (lambda: draw("fish", size=257), SizeError, "32 to 256"),
        (lambda: Images(10, size="big"), SizeError, "whole number"),
        (lambda: Images(-1), PeekError, "0 or more"),
        (lambda: Images(2.5), PeekError, "whole number"),
        (lambda: Images(10, seed=-3), PeekError, "seed must be 0 or more"),
    ],
)
def test_bad_input_is_told_in_a_sentence(build, error, words):
    with pytest.raises(error, match=words):
        build()
