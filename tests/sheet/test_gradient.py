"""A unit of an early layer is drawn by what it sees of the image, and that is all that its gradient knows of."""

from __future__ import annotations

import pytest
import torch

from peek_widget.ascent import unit_objective
from peek_widget.ascent.geometry import Geometry
from peek_widget.network import Network, read
from tests.networks import squeezenet, tiny
from tests.sheet.helpers import QUICK


def slope(network: Network, layer: str, unit: int, image: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The value of a unit in the middle of its map and its gradient by the image."""
    image = image.clone().requires_grad_()
    value = unit_objective(network, layer, unit)(network.run(network.preprocess(image[None]), [layer]))[0]
    value.backward()
    return float(value.detach()), image.grad


def check(network: Network, layer: str, units: range) -> None:
    size = network.input_size
    canvas = torch.rand(network.channels, size, size, generator=torch.Generator().manual_seed(0))
    # What the sheet gives the network: a square of the field and room round it.
    side = Geometry(network, QUICK.replace(size=size), None).view(unit_objective(network, layer, 0)).side
    assert side < size / 2
    found = network.layer(layer)

    def middle(px: int) -> int:
        """The first pixel of the middle place's stride, in an image of px."""
        with torch.no_grad():
            places = network.run(network.preprocess(torch.zeros(1, network.channels, px, px)), [layer])[layer].shape[2]
        return (places - 1) // 2 * found.stride[0]

    start = middle(size) - middle(side)
    crop = canvas[:, start : start + side, start : start + side]
    for unit in units:
        whole, gradient = slope(network, layer, unit, canvas)
        part, own = slope(network, layer, unit, crop)
        assert part == pytest.approx(whole, rel=1e-4, abs=1e-4 * float(gradient.abs().max()))
        laid = torch.zeros_like(gradient)
        laid[:, start : start + side, start : start + side] = own
        assert float((laid - gradient).abs().max()) <= 1e-4 * float(gradient.abs().max())


def test_of_a_small_network():
    check(read(tiny(), input_size=64), "forms", range(8))


def test_of_squeezenet():
    check(read(squeezenet()), "features.3", range(0, 128, 16))
