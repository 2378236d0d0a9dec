"""The focus of a crop: the part of its image that has influence on the unit."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget.errors import EvidenceStoreError, PeekError
from peek_widget.evidence import activations, find_focus, load_evidence, top_crops
from peek_widget.network import read
from peek_widget.zoo import Images, bundled
from peek_widget.zoo.drawing.pen import PAPER, Pen
from peek_widget.zoo.images import SUBJECTS
from tests.networks import assert_same, portrait, tiny


class RedAnywhere(nn.Module):
    """A unit with a field of 41 px that red pixels alone have influence on: what is not red is rectified away."""

    def __init__(self) -> None:
        super().__init__()
        self.red = nn.Conv2d(3, 1, 1)
        self.sum = nn.Conv2d(1, 1, 41, padding=20)
        with torch.no_grad():
            self.red.weight.copy_(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1))
            self.red.bias.zero_()
            self.sum.weight.fill_(1.0)
            self.sum.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.sum(self.red(x).relu())


def with_a_red_square(width: int, height: int, x: int, y: int, side: int) -> Image.Image:
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    image[y : y + side, x : x + side] = (255, 0, 0)
    return Image.fromarray(image)


@pytest.mark.parametrize(("size", "at"), [((320, 320), (160, 80)), ((640, 320), (400, 120)), ((320, 640), (40, 300))])
def test_the_focus_is_in_the_pixels_of_the_image_as_stored(size, at):
    model = RedAnywhere()
    photo = with_a_red_square(*size, *at, 40)
    crop = top_crops(model, "sum", [photo], input_size=32, preprocess="none", progress=False)[0].top[0]
    assert crop.wide
    left, top, right, bottom = crop.focus
    # a square of 4 x 4 px of the network's input, which is 10 times smaller
    assert (abs(left - at[0]) <= 10, abs(top - at[1]) <= 10) == (True, True)
    assert 30 <= right - left <= 50
    assert 30 <= bottom - top <= 50
    assert crop.box[2] - crop.box[0] > 200
    assert crop.focused().size == (right - left, bottom - top)
    assert max(crop.focused(100).size) == 100
    outlined = np.asarray(crop.boxed(box=crop.focus), int)
    changed = np.abs(outlined - np.asarray(photo, int)).sum(axis=2) > 0
    rows, columns = changed.any(axis=1).nonzero()[0], changed.any(axis=0).nonzero()[0]
    assert (columns[0], rows[0]) == (left, top)


def test_one_backward_for_each_crop_that_is_asked_for_and_none_in_the_pass():
    seen: list[bool] = []

    def counting(images: torch.Tensor) -> torch.Tensor:
        seen.append(torch.is_inference_mode_enabled())
        return images

    model = tiny()
    crops = top_crops(model, "forms", Images(6, size=32), k=3, input_size=32, preprocess=counting, progress=False)
    seen.clear()
    first, second = crops[2].top[:2]
    focus = first.focus
    reading = len(seen)  # the dry run of a network of its own, and one forward
    assert [first.focus, crops[2].top[0].focus] == [focus, focus]
    assert len(seen) == reading
    assert second.focus
    assert len(seen) == reading + 1


def test_a_script_with_a_network_of_its_own_finds_the_same():
    model = bundled()
    images = Images(28)
    one = top_crops(model, "conv6", images, k=1, progress=False)[5].top[0]
    other = top_crops(model, "conv6", images, k=1, progress=False)[5].top[0]
    field = find_focus(read(model), other)
    assert other.focus_of(field) == one.focus
    assert other.known_focus is field
    assert field.activation == pytest.approx(one.activation, rel=1e-3)


def test_prepared_tensors_have_a_focus():
    model = bundled()
    images = [model.preprocess(Images(12)[i][0][None])[0] for i in range(12)]
    plain = top_crops(model, "conv6", Images(12), k=1, progress=False)[5].top[0]
    crop = top_crops(model, "conv6", images, k=1, prepared=True, progress=False)[5].top[0]
    assert (crop.index, crop.position) == (plain.index, plain.position)
    assert crop.focus == plain.focus


def test_a_class_has_a_focus():
    model = bundled()
    crop = top_crops(model, "", Images(28), k=1, progress=False)[5].top[0]
    left, top, right, bottom = crop.focus
    assert 0 <= left < right <= 64
    assert 0 <= top < bottom <= 64


def test_a_unit_without_a_gradient_has_its_field_as_focus_and_says_so():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    crop = top_crops(model, "2", Images(3, size=32), k=1, input_size=32, progress=False)[1].top[0]
    with pytest.warns(UserWarning, match=r"no gradient at this position .* whole receptive field"):
        assert crop.focus == crop.box


def test_the_model_is_a_guest_and_not_kept_alive():
    model = tiny().train()
    before = portrait(model)
    crops = top_crops(model, "forms", Images(6, size=32), k=2, input_size=32, progress=False)
    crops[0].top[0].focus  # noqa: B018
    assert_same(before, portrait(model))
    # of a network that was never asked for a focus
    unused = top_crops(model, "forms", Images(6, size=32), k=2, input_size=32, progress=False)
    pointer = weakref.ref(model)
    del model, crops
    gc.collect()
    assert pointer() is None
    with pytest.raises(PeekError, match=r"is gone.*attach\(dataset, model=model\)"):
        unused[0].top[0].focus  # noqa: B018


def test_evidence_from_a_file_is_told_its_model(tmp_path):
    model, images = bundled(), Images(12)
    crops = top_crops(model, "conv6", images, k=1, progress=False)
    expected = crops[5].top[0].focus
    crops.save(tmp_path / "e.safetensors")
    alone = load_evidence(tmp_path / "e.safetensors", images)
    with pytest.raises(PeekError, match="loaded from a file, which holds no model"):
        alone["conv6"][5].top[0].focus  # noqa: B018
    assert alone.attach(model=model)["conv6"][5].top[0].focus == expected
    assert alone.attach(model=read(model))["conv6"][5].top[0].focus == expected
    loaded = load_evidence(tmp_path / "e.safetensors", images, model=model)
    assert loaded["conv6"][5].top[0].focus == expected
    other = bundled()
    with torch.no_grad():
        other.conv1.weight.mul_(1.5)
    with pytest.raises(EvidenceStoreError, match="another"):
        load_evidence(tmp_path / "e.safetensors", images, model=other)


def test_a_crop_of_another_network_is_refused():
    images = Images(12)
    crop = top_crops(bundled(), "conv6", images, k=1, progress=False)[5].top[0]
    other = bundled()
    with torch.no_grad():
        other.conv3.weight.neg_()
    with pytest.raises(EvidenceStoreError, match="another network, or its weights"):
        find_focus(read(other), crop)
    with pytest.raises(EvidenceStoreError, match=r"map of 8 x 8 positions; this one has 3 and 12 x 12"):
        find_focus(read(bundled(), 96), crop)
    with pytest.raises(PeekError, match="no layer 'conv6'"):
        find_focus(read(tiny(), 32), crop)
    assert crop.known_focus is None


def test_weights_that_changed_since_the_pass_are_noticed():
    model = bundled()
    crop = top_crops(model, "conv6", Images(12), k=1, progress=False)[5].top[0]
    with torch.no_grad():
        model.conv6.weight.mul_(2.0)
    with pytest.raises(EvidenceStoreError, match="its weights"):
        crop.focus  # noqa: B018


def planted(count: int) -> tuple[list[torch.Tensor], list[torch.Tensor], list[np.ndarray]]:
    """Draw one small object on plain paper, for each image; the same without it; and its pixels, ``[64, 64]`` bool."""
    rng = np.random.default_rng(0)
    subjects = [subject for subject in SUBJECTS.values() if subject.kind != "texture"]
    images, empty, masks = [], [], []
    for number in range(count):
        subject = subjects[number % len(subjects)]
        pen, radius = Pen(64), rng.uniform(0.3, 0.4)
        away = rng.uniform(-1.0, 1.0, 2) * (1.0 - 1.25 * radius)
        subject.draw(rng, str(rng.choice(subject.variants)), pen.moved(radius * np.eye(2), away))
        palette, noise = rng.uniform(0.2, 0.8, (7, 3)), 0.03 * rng.standard_normal((64, 64, 3))
        covered = 1.0 - pen.cover(PAPER)
        for shown, to in ((pen.colored(palette), images), (np.tile(palette[PAPER], (64, 64, 1)), empty)):
            to.append(torch.from_numpy((shown + noise).clip(0, 1).astype(np.float32).transpose(2, 0, 1)))
        masks.append(covered > 0.05)
    return images, empty, masks


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "small"), [("conv6", 0.95), ("", 0.9)])
def test_the_focus_contains_the_object_that_excites_the_unit_and_little_else(layer: str, small: float):
    """An object of a fifteenth of the image, in a field as large as the image: nine tenths of it lie in the focus."""
    model = bundled()
    images, empty, masks = planted(130)
    crops = top_crops(model, layer, images, k=1, progress=False)
    without = activations(model, torch.stack(empty), layer, progress=False)[layer]
    inside, area = [], []
    for unit in crops:
        crop = unit.top[0]
        if crop.activation < 2.0 * without[crop.index, unit.unit].max():
            continue  # the paper alone excites it
        assert crop.wide
        left, top, right, bottom = crop.focus
        mask = masks[crop.index]
        inside.append(mask[top:bottom, left:right].sum() / mask.sum())
        area.append((right - left) * (bottom - top) / 64**2)
    assert len(area) > 0.5 * len(crops)
    assert np.mean(np.array(inside) >= 0.9) >= 0.95
    assert np.mean(np.array(area) <= 0.25) >= small
    assert np.median(area) < 0.2
