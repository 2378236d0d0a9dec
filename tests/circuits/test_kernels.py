"""Kernels as pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from peek_widget import LayerError, Preprocess
from peek_widget.circuits import circuit, filters
from peek_widget.circuits.kernels import factorize, signed_image
from tests.circuits.networks import ACROSS, PICTURES, Stack, by_hand, lines


def test_a_first_layers_filters_are_color_pictures():
    conv = nn.Conv2d(3, 2, 2, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 0, 0], conv.weight.data[0, 2, 1, 1], conv.weight.data[1] = 1.0, -1.0, 0.5
    model = Stack(conv, nn.ReLU(), nn.Conv2d(2, 1, 1))
    one, other = filters(model, "0", 4, preprocess=Preprocess((0.5,) * 3, (0.25,) * 3))
    assert one.size == (4, 4)
    array = np.asarray(one)
    assert array[0, 0].tolist() == [255, 128, 128]
    assert array[3, 3].tolist() == [128, 128, 0]
    assert (np.asarray(other) == 255).all()
    with pytest.raises(LayerError, match="reads units of '0'"):
        filters(model, "2")


def test_the_weights_from_a_unit_are_a_signed_map_on_one_scale():
    second = nn.Conv2d(3, 1, 1)
    second.weight.data = torch.tensor([1.0, -1.0, 0.0])[None, :, None, None]
    got = circuit(Stack(lines(), nn.ReLU(), second), "2", 0, image=PICTURES[2])
    colors = [np.asarray(got.kernel_image("0", unit, 1))[0, 0] for unit in range(3)]
    assert colors[0][0] > colors[0][2]  # red
    assert colors[1][2] > colors[1][0]  # blue
    assert colors[2].min() > 240  # white
    with pytest.raises(LayerError, match="does not read 'x'"):
        got.kernel_image("x", 0)


def test_kernels_are_those_of_opened_nonlinearities():
    second, third = by_hand({0: {ACROSS: 2.0}}, 1, 3), nn.Conv2d(1, 1, 3, padding=1)
    model = Stack(lines(), nn.ReLU(), second, nn.ReLU(), third)
    got = circuit(model, "4", 0, image=PICTURES[0], below="0")
    assert torch.allclose(got.kernels["0"][ACROSS], 2.0 * third.weight.data[0, 0])


def test_few_patterns_are_found_as_such():
    torch.manual_seed(0)
    patterns, weights = torch.randn(2, 3, 3), torch.randn(2, 10)
    kernels = torch.einsum("nhw,nc->chw", patterns, weights)
    found = factorize(kernels)
    assert found is not None
    assert len(found.shares) <= 2
    assert float(found.shares.sum()) >= 0.9
    whole = factorize(kernels, share=1.0)
    assert whole is not None
    assert torch.allclose(torch.einsum("nhw,nc->chw", whole.maps, whole.units), kernels, atol=1e-5)
    assert factorize(torch.randn(40, 5, 5)) is None
    assert factorize(torch.zeros(4, 3, 3)) is None


def test_a_signed_map_is_symmetric():
    array = np.asarray(signed_image(torch.tensor([[-1.0, 0.0, 1.0]]), 1.0, 3))
    assert array[0, 1].tolist() == [247, 247, 247]
    assert array[0, 0].tolist() == [33, 102, 172]
    assert array[0, 2].tolist() == [178, 24, 43]
