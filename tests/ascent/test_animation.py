"""A run as an animation."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget import Channel, Recipe, ascend, compare, save_animation
from peek_widget.errors import FileError, PeekError

SHORT = Recipe.preset("peek").replace(steps=5, size=32, step_size=0.1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))


def shades(count, size=16):
    return [Image.new("RGB", (size, size), (10 * n, 0, 0)) for n in range(count)]


def frames(path):
    found = []
    with Image.open(path) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            found.append((np.asarray(picture.convert("RGB")), picture.info.get("duration")))
    return found


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_every_step_is_in_the_animation_in_order_and_the_last_is_held(model, tmp_path, ending):
    path = tmp_path / f"run.{ending}"
    pictures = []
    save_animation((pictures.append(step.tensor) or step for step in ascend(model, Channel("2", 1), SHORT)), path)
    found = frames(path)
    assert len(found) == 5
    for (picture, _), step in zip(found, pictures, strict=True):
        expected = 255.0 * step.permute(1, 2, 0).numpy()
        # a palette of 256 colors, or a lossy picture: near, and nearer than the neighbors in a run
        assert np.abs(picture - expected).mean() < 12
    assert found[0][1] == 50


def test_a_gif_holds_its_last_picture(tmp_path):
    save_animation(shades(4), tmp_path / "x.gif", hold=2.0)
    assert [time for _, time in frames(tmp_path / "x.gif")] == [50, 50, 50, 2000]


@pytest.mark.parametrize("count", [1, 2, 5, 7, 8, 9, 16, 17, 23])
def test_long_runs_are_thinned_out_evenly(tmp_path, count):
    save_animation(shades(count), tmp_path / "x.gif", most=8)
    reds = [int(picture[0, 0, 0]) // 10 for picture, _ in frames(tmp_path / "x.gif")]
    assert len(reds) <= 8
    assert (reds[0], reds[-1]) == (0, count - 1)
    gaps = np.diff(reds)
    # even, but for the last, which is always there
    assert len(set(gaps[:-1].tolist())) <= 1


def test_pictures_of_several_sizes_are_shown_at_the_largest(tmp_path):
    save_animation([*shades(2, 16), *shades(2, 24)], tmp_path / "x.gif")
    assert {picture.shape for picture, _ in frames(tmp_path / "x.gif")} == {(24, 24, 3)}


def test_a_comparison_can_be_animated(model, tmp_path):
    save_animation(compare(model, "2", 1, seeds=[0, 1], recipe=SHORT), tmp_path / "x.webp")
    found = frames(tmp_path / "x.webp")
    assert len(found) == 5
    assert found[0][0].shape[1] > 2 * 320


def test_an_mp4_contains_every_picture_and_holds_the_last(tmp_path):
    av = pytest.importorskip("av", reason="MP4 is offered only where PyAV is")
    save_animation(shades(6, 33), tmp_path / "x.mp4", hold=0.1)
    with av.open(str(tmp_path / "x.mp4")) as container:
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(found) == 6 + 2
    assert found[0].shape == (32, 32, 3)
    assert abs(int(found[-1][8, 8, 0]) - 50) < 8


def test_an_mp4_without_pyav_is_refused_with_an_alternative(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FileError, match=r"pip install av.*\.gif"):
        save_animation(shades(2), tmp_path / "x.mp4")
    assert not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(
    ("words", "steps", "name", "options"),
    [
        (r"\.gif, \.webp or \.mp4", shades(2), "x.avi", {}),
        ("no pictures", [], "x.gif", {}),
        ("neither a step", ["x"], "x.gif", {}),
        ("from 1 to 50", shades(2), "x.gif", {"rate": 0}),
        ("at least 2", shades(2), "x.gif", {"most": 1}),
        ("seconds from 0", shades(2), "x.gif", {"hold": -1}),
    ],
)
def test_impossible_arguments_are_refused_and_leave_no_file(tmp_path, words, steps, name, options):
    with pytest.raises(PeekError, match=words):
        save_animation(steps, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []
