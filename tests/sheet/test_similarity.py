"""The order by similarity: pictures that look alike lie together."""

from __future__ import annotations

import builtins
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from peek_widget.errors import PeekError
from peek_widget.sheet.similarity import features, order

pytest.importorskip("scipy")


def planted(kind: int, rng: np.random.Generator, side: int = 64) -> np.ndarray:
    """One of twelve kinds: three colors by four textures, each with noise, another phase and a shifted color."""
    color = np.array([(0.8, 0.3, 0.2), (0.2, 0.6, 0.3), (0.3, 0.4, 0.8)][kind % 3]) + rng.normal(0, 0.04, 3)
    y, x = np.mgrid[:side, :side] / side
    phase = rng.uniform(0, 2 * np.pi)
    angle = {0: 0.0, 1: np.pi / 2, 2: np.pi / 4}.get(kind // 3)
    if angle is None:  # rings
        wave = np.sin(36 * np.hypot(x - 0.5, y - 0.5) + phase)
    else:
        wave = np.sin(36 * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    picture = color * (1 + 0.5 * wave[..., None]) + rng.normal(0, 0.08, (side, side, 3))
    return (picture.clip(0, 1) * 255).astype(np.uint8)


def test_planted_kinds_lie_together():
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat(np.arange(12), 8))
    found = kinds[order([planted(kind, rng) for kind in kinds])]
    assert sorted(found) == sorted(kinds)
    runs = 1 + int((found[1:] != found[:-1]).sum())
    assert runs == 12, found.tolist()


def test_a_picture_and_its_near_copy_are_neighbors():
    rng = np.random.default_rng(1)
    pictures = [rng.uniform(0, 1, (8, 8, 3)).repeat(8, 0).repeat(8, 1) for _ in range(40)]
    near = [(p + rng.normal(0, 0.02, p.shape)).clip(0, 1) for p in pictures]
    place = np.argsort(order(pictures + near))
    assert (np.abs(place[:40] - place[40:]) == 1).all()


@given(st.integers(0, 12), st.integers(0, 5))
def test_the_order_is_a_permutation_also_of_few_and_of_equal_pictures(many, flat):
    rng = np.random.default_rng(many)
    pictures = [rng.uniform(0, 1, (5, 7, 3)) for _ in range(many)] + [np.zeros((9, 9, 3))] * flat
    assert sorted(order(pictures)) == list(range(many + flat))
    assert order(pictures) == order(pictures)


def test_files_images_and_arrays_have_equal_features():
    array = planted(4, np.random.default_rng(2))
    image = Image.fromarray(array)
    file = io.BytesIO()
    image.save(file, "PNG")
    parts = features([array, image, file.getvalue(), array / 255.0, image.convert("RGBA"), planted(1, np.random)])
    assert np.ptp(parts[:5], axis=0).max() < 1e-5
    assert np.isfinite(features([array] * 3)).all()
    assert features([image.convert("L"), image]).shape[0] == 2


def test_without_scipy_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def none(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    import importlib

    monkeypatch.setattr(importlib, "import_module", lambda name: none(name))
    with pytest.raises(PeekError, match=r"pip install 'peek_widget\[survey\]'"):
        order([np.zeros((4, 4, 3))] * 3)
