"""Views: pictures of known content, and where in the view it must come to lie by the same draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from peek_widget._size import Size
from peek_widget.ascent import views
from peek_widget.ascent.views import ViewGeometry, ViewParameters, shift_draws, shifted, view_noise, window


def ramps(side: int) -> Tensor:
    """Of each pixel its own place: channel 0 is x, channel 1 is y, from -1 to 1 over the picture's borders."""
    places = (torch.arange(side) + 0.5) / side * 2.0 - 1.0
    return torch.stack([places.expand(side, side), places[:, None].expand(side, side)])[None]


def affine_views(
    pictures: Tensor, frame: ViewGeometry, look: ViewParameters, generators: Sequence[Generator]
) -> Tensor:
    """Views of pictures ``[N, C, H, W]``, drawn and taken at once."""
    theta, coarser = views.affine_draws(Size(*pictures.shape[-2:]), frame, look, generators)
    return views.affine_views(pictures, theta, coarser, frame.size, look.padding_mode)


def shift(pictures: Tensor, share: float, generator: Generator) -> Tensor:
    """Pictures with jitter."""
    return shifted(pictures, shift_draws(tuple(pictures.shape[-2:]), share, generator))


def seed(number: int = 0) -> Generator:
    return Generator().manual_seed(number)


def seen(frame: ViewGeometry, look: ViewParameters, side: int = 64, number: int = 0, count: int = 1) -> Tensor:
    """Where in the picture each pixel of the views lies: ``[count * V, 2, frame.side, frame.side]``, x and y."""
    return affine_views(ramps(side).repeat(count, 1, 1, 1), frame, look, [seed(number + n) for n in range(count)])


def middle(view: Tensor) -> tuple[float, float]:
    """The place (x, y) at a view's middle."""
    x, y = view.mean(dim=(1, 2)).tolist()
    return x, y


def share(view: Tensor) -> float:
    """Side of what a view shows without a turn, as a share of the picture: by its slope at its middle."""
    half = view.shape[-1] // 2
    return float(view[0, half, half] - view[0, half, half - 1]) / 2.0 * view.shape[-1]


def test_a_view_of_the_whole_picture_equals_it() -> None:
    picture = torch.rand(1, 3, 20, 20)
    assert torch.allclose(
        affine_views(picture, ViewGeometry(20, "whole"), ViewParameters(1, (1.0, 1.0)), [seed()]), picture, atol=1e-5
    )


@pytest.mark.parametrize("side", [64, 128])
def test_crops_are_where_the_random_draws_put_them(side: int) -> None:
    frame, look = ViewGeometry(32, "crop"), ViewParameters(4, (0.25, 0.75))
    views = seen(frame, look, side, number=3)
    draws = torch.rand(4, 6, generator=seed(3))
    for view, draw in zip(views, draws, strict=True):
        expected = 0.25 + 0.5 * float(draw[0])
        assert share(view) == pytest.approx(expected, abs=0.01)
        room = 1.0 - expected
        assert middle(view) == pytest.approx([room * (2.0 * float(d) - 1.0) for d in draw[2:4]], abs=0.01)
        assert -1.0 <= float(view.min()) <= float(view.max()) <= 1.0


def test_shares_are_relative_to_the_size_of_the_picture() -> None:
    look = ViewParameters(3, (0.3, 1.2), rotation=20.0, jitter=0.1, scale_choices=(0.9, 1.1), flip=0.5)
    for cut in ("crop", "whole", "normal-crop"):
        frame: Any = ViewGeometry(40, cut)
        small, large = seen(frame, look, 80, number=1), seen(frame, look, 160, number=1)
        near = (small.abs() < 0.9) & (large.abs() < 0.9)  # past the border there is only a mirror image
        assert float((small - large)[near].abs().max()) < 0.03


def test_crops_larger_than_the_picture_are_centered_on_it() -> None:
    views = seen(ViewGeometry(32, "crop"), ViewParameters(3, (1.5, 1.5), padding_mode="constant"))
    for view in views:
        assert middle(view)[0] == pytest.approx(middle(view)[1], abs=1e-4)
    assert float(views[:, :, 0].min()) == 0.5  # nothing but gray past the border
    mirrored = seen(ViewGeometry(48, "whole"), ViewParameters(1, (1.5, 1.5)))[0, 0, 24]
    # A quarter of the picture beyond either border, mirrored.
    assert torch.allclose(mirrored[:8], mirrored[8:16].flip(0), atol=0.05)


def test_a_receptive_field_is_centered_on_the_picture() -> None:
    frame = ViewGeometry(21, "field", 1.0, (0.3, -0.5))
    views = seen(frame, ViewParameters(6, (0.2, 0.6), rotation=90.0, flip=0.5), 128)
    for view in views:
        # The picture's middle, (0, 0), comes to lie at y = 0.3, x = -0.5 of the view, whatever its size and turn.
        row, column = (0.3 + 1.0) / 2.0 * 21 - 0.5, (-0.5 + 1.0) / 2.0 * 21 - 0.5
        y, x = int(row), int(column)
        weights = torch.tensor([[1 - (row - y)], [row - y]]) * torch.tensor([[1 - (column - x), column - x]])
        found = (view[:, y : y + 2, x : x + 2] * weights).sum(dim=(1, 2))
        assert float(found.abs().max()) < 0.01


def test_a_view_is_rotated_by_at_most_the_rotation() -> None:
    frame = ViewGeometry(33, "whole")
    views = seen(frame, ViewParameters(300, (0.5, 0.5), rotation=30.0), 64)
    right = views[:, :, 16, -1] - views[:, :, 16, 0]
    angles = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0]))
    draws = torch.rand(300, 6, generator=seed())
    assert torch.allclose(angles, 30.0 * (2.0 * draws[:, 1] - 1.0), atol=0.1)
    assert -30.0 <= float(angles.min()) < -28.0 < 28.0 < float(angles.max()) <= 30.0


def test_rotations_and_scales_are_among_the_choices() -> None:
    views = seen(
        ViewGeometry(33, "whole"),
        ViewParameters(60, (0.5, 0.5), rotation_choices=(-90.0, 0.0, 45.0), scale_choices=(0.8, 1.25)),
        128,
    )
    right = views[:, :, 16, -1] - views[:, :, 16, 0]
    angles = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0])).round()
    assert set(angles.tolist()) == {-90.0, 0.0, 45.0}
    spans = (right.norm(dim=1) / 2.0 * 33 / 32 / 0.5).tolist()
    # A magnification of 1.25 shows 1 / 1.25 of it.
    assert {round(s, 2) for s in spans} == {1.25, 0.8}


def test_a_flipped_view_is_flipped_left_for_right() -> None:
    views = seen(ViewGeometry(32, "whole"), ViewParameters(400, (1.0, 1.0), flip=0.3))
    right = views[:, 0, 16, -1] > views[:, 0, 16, 0]
    down = views[:, 1, -1, 16] > views[:, 1, 0, 16]
    assert bool(down.all())
    assert 0.2 < float((~right).float().mean()) < 0.4
    always = seen(ViewGeometry(64, "whole"), ViewParameters(1, (1.0, 1.0), flip=1.0))
    assert torch.allclose(always, ramps(64).flip(3), atol=1e-5)


def test_jitter_shifts_by_at_most_its_share_of_the_side() -> None:
    views = seen(ViewGeometry(32, "whole"), ViewParameters(400, (0.5, 0.5), jitter=0.1), 100)
    middles = torch.tensor([middle(v) for v in views])
    draws = torch.rand(400, 6, generator=seed())
    assert torch.allclose(middles, 0.2 * (2.0 * draws[:, 4:6] - 1.0), atol=0.01)  # the picture is 2 wide
    assert 0.18 < float(middles.abs().max()) <= 0.201


def test_jitter2_is_after_scaling_and_stays_within_the_visible_part() -> None:
    views = seen(ViewGeometry(32, "whole"), ViewParameters(200, (1.0, 1.0), jitter2=0.1, scale_choices=(0.5, 2.0)), 128)
    inside = [(share(v), middle(v)) for v in views if share(v) < 0.9]
    assert 60 < len(inside) < 140
    for part, (x, y) in inside:
        assert part == pytest.approx(0.4, abs=0.01)  # (1 - 2 x 0.1) / 2
        assert max(abs(x), abs(y)) <= 0.1 + 0.01  # 0.1 of the side, halved by the scale, of a width of 2


def test_normal_crops_have_their_distribution_and_stay_in_the_picture() -> None:
    count = 3000
    views = seen(ViewGeometry(4, "normal-crop"), ViewParameters(count, (0.3, 0.05), center_std=0.1), 256)
    shares = torch.tensor([share(v) for v in views])
    assert float(shares.mean()) == pytest.approx(0.3, abs=0.01)
    assert float(shares.std()) == pytest.approx(0.05, abs=0.01)
    middles = torch.tensor([middle(v) for v in views]) / 2.0  # shares of the side, from the middle
    assert middles.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.01)
    assert middles.std(0).tolist() == pytest.approx([0.1, 0.1], abs=0.01)
    wide = seen(
        ViewGeometry(8, "normal-crop"), ViewParameters(500, (0.5, 0.5), center_std=1.0, padding_mode="constant"), 64
    )
    shares = torch.tensor([share(v) for v in wide])
    assert 0.045 < float(shares.min()) < 0.06 < 0.98 < float(shares.max()) < 1.01  # never below 5 %, never past all
    reach = wide[:, :, 4, 4].abs().amax(1) + shares - shares / 8  # the pixel beside the middle
    assert float(reach.max()) <= 1.02


def test_views_of_one_picture_are_adjacent() -> None:
    pictures = torch.stack([torch.full((1, 16, 16), level) for level in (0.1, 0.5, 0.9)])
    views = affine_views(pictures, ViewGeometry(8, "crop"), ViewParameters(4, (0.3, 0.9)), [seed(n) for n in range(3)])
    assert views.shape == (12, 1, 8, 8)
    assert views.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.1] * 4 + [0.5] * 4 + [0.9] * 4, abs=1e-5)


LOOK = ViewParameters(
    3, (0.4, 0.2), rotation=20.0, jitter=0.1, jitter2=0.05, scale_choices=(0.9, 1.1), center_std=0.2, flip=0.5
)


@pytest.mark.parametrize("cut", ["crop", "widest", "normal-crop", "whole", "field"])
def test_the_views_of_a_picture_do_not_depend_on_the_rest_of_the_batch(cut: Any) -> None:
    frame = ViewGeometry(16, cut, 1.0, (0.0, 0.1) if cut == "field" else None)
    pictures = torch.rand(4, 3, 32, 32, generator=seed(5))
    together = affine_views(pictures, frame, LOOK, [seed(n) for n in range(4)])
    for number in range(4):
        alone = affine_views(pictures[number : number + 1], frame, LOOK, [seed(number)])
        assert torch.equal(together[3 * number : 3 * number + 3], alone)


def test_only_the_given_generators_are_used() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, second = ([seed(4)], [seed(4)])
    outputs = []
    for generators in (first, second):
        shown = affine_views(ramps(32), ViewGeometry(16, "normal-crop"), LOOK, generators)
        shown = shown + view_noise(shown[:1].shape, 0.1, generators)
        outputs.append((shown, window(40, 20, generators[0]), shift(ramps(32), 0.2, generators[0])))
        torch.manual_seed(12)  # has no say
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert outputs[0][1] == outputs[1][1]
    assert torch.equal(outputs[0][2], outputs[1][2])
    torch.manual_seed(11)
    assert torch.equal(before, torch.get_rng_state())


def test_noise_is_the_sum_of_normal_and_uniform_noise() -> None:
    grain = view_noise((2, 3, 64, 64), 0.1, [seed(0), seed(1)])
    assert grain.shape == (4, 3, 64, 64)
    # Of N(0, 0.1) and U(-0.05, 0.05).
    assert float(grain.std()) == pytest.approx(math.sqrt(0.1**2 + 0.1**2 / 12), rel=0.02)
    assert float(grain.mean()) == pytest.approx(0.0, abs=0.002)
    assert torch.equal(grain[2:], view_noise((2, 3, 64, 64), 0.1, [seed(1)]))
    assert view_noise((2, 3, 64, 64), 0.0, [seed(0), seed(1)]) is None


def test_a_much_finer_picture_is_averaged_down() -> None:
    # A board of single black and white pixels: four of them are not enough, all together are gray.
    board = (torch.arange(256)[:, None] + torch.arange(256)).remainder(2)[None, None].float()
    view = affine_views(board, ViewGeometry(16, "whole"), ViewParameters(1, (1.0, 1.0)), [seed()])
    assert float((view - 0.5).abs().max()) < 0.01


@pytest.mark.parametrize("side", [1, 2, 8, 9])
def test_a_view_much_larger_than_the_picture_is_finite(side: int) -> None:
    view = affine_views(
        torch.ones(1, 1, side, side),
        ViewGeometry(3, "crop"),
        ViewParameters(2, (4.0, 4.0), scale_choices=(0.25,)),
        [seed()],
    )
    assert torch.allclose(view, torch.ones_like(view))


def test_windows_are_in_the_picture_and_near_its_center() -> None:
    found = [window(100, 60, seed(n)) for n in range(400)]
    tops = torch.tensor([[float(rows.start), float(columns.start)] for rows, columns in found])
    assert all(rows.stop - rows.start == columns.stop - columns.start == 60 for rows, columns in found)
    assert float(tops.min()) >= 0
    assert float(tops.max()) <= 40
    # N(20, 0.3 x 40), clipped to the room: of a deviation of 12, some 10 % lie past it.
    assert tops.mean(0).tolist() == pytest.approx([20.0, 20.0], abs=2.0)
    assert 10.0 < float(tops.std()) < 12.0
    assert window(60, 60, seed()) == (slice(None), slice(None))


def test_a_shift_moves_whole_pixels_and_reflects_the_border() -> None:
    picture = torch.zeros(1, 1, 21, 21)
    picture[0, 0, 10, 10] = 1.0
    places = set()
    for number in range(300):
        moved = shift(picture, 0.1, seed(number))
        assert float(moved.sum()) == 1.0
        y, x = divmod(int(moved.argmax()), 21)
        places.add((y - 10, x - 10))
    assert places == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}  # 0.1 of 21 px is 2
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    rows = {tuple(shift(ramp, 0.125, seed(n))[0, 0, 0].tolist()) for n in range(30)}
    assert rows == {
        tuple(map(float, r)) for r in ((0, 1, 2, 3, 4, 5, 6, 7), (1, 0, 1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6, 7, 6))
    }
    assert shift(ramp, 0.01, seed()) is ramp


def test_gradients_reach_only_the_visible_part() -> None:
    picture = torch.rand(1, 1, 64, 64, requires_grad=True)
    # A crop of a quarter of the side round a known place.
    view = affine_views(picture, ViewGeometry(16, "field", 1.0, (0.0, 0.0)), ViewParameters(1, (0.25, 0.25)), [seed()])
    view.sum().backward()
    assert picture.grad is not None
    inside = picture.grad[0, 0, 24:40, 24:40]
    assert float(inside.min()) > 0.5
    assert float(picture.grad.sum()) == pytest.approx(256.0, rel=1e-3)
    assert float(picture.grad[0, 0, :22].abs().max()) == 0.0


@pytest.mark.parametrize("side", [1, 7, 32, 112])
def test_the_grid_of_a_view_is_torchs(side: int) -> None:
    theta = torch.rand(3, 2, 3, generator=torch.Generator().manual_seed(side)) * 2.0 - 1.0
    expected = F.affine_grid(theta, [3, 1, side, side], align_corners=False)
    torch.testing.assert_close(views._grid(theta, Size(side, side)), expected, rtol=0.0, atol=2e-7)
