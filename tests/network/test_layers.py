from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from peek_widget import Preprocess, layers
from peek_widget.errors import ModelError, SizeError, UnitError
from peek_widget.network import find_preprocess, read
from tests.networks import Fixed, tiny


def by_name(model: nn.Module, **kwargs: object) -> dict[str, object]:
    return {layer.name: layer for layer in layers(model, **kwargs)}


def test_layers_in_call_order_with_sizes() -> None:
    found = layers(tiny(), input_size=32)
    assert [(x.name, x.kind, x.channels, x.size) for x in found] == [
        ("edges", "Conv2d", 6, (32, 32)),
        ("pool", "MaxPool2d", 6, (16, 16)),
        ("forms", "Conv2d", 8, (16, 16)),
        ("norm", "BatchNorm2d", 8, (16, 16)),
        ("drop", "Dropout", 8, (16, 16)),
        ("classes", "Linear", 5, (1, 1)),
        ("", "Tiny", 5, (1, 1)),
    ]
    assert [x.name for x in found if x.primary] == ["edges", "forms", ""]
    rectified = {x.name: x.rectified for x in found}
    assert [name for name, is_rectified in rectified.items() if is_rectified] == ["pool", "drop"]
    assert [x.index for x in found] == list(range(7))


@pytest.mark.slow
def test_vgg16_receptive_fields_are_the_textbooks() -> None:
    found = by_name(torchvision.models.vgg16(weights=None))
    assert found["features.0"].receptive_field == (3, 3)
    assert found["features.28"].receptive_field == (196, 196)
    assert found["features.28"].stride == (16, 16)
    assert found["features.30"].receptive_field == (212, 212)
    assert found["features.30"].size == (7, 7)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_blocks_and_functional_relus() -> None:
    squeeze = by_name(torchvision.models.squeezenet1_0(weights=None))
    fire = squeeze["features.12"]
    assert (fire.kind, fire.channels, fire.rectified, fire.receptive_field) == ("Fire", 512, True, (155, 155))
    assert squeeze[""].rectified  # its last layer is a ReLU
    google = by_name(torchvision.models.googlenet(weights=None, init_weights=False))
    assert google["inception4c"].rectified  # through F.relu(inplace=True), which no module shows
    assert google["inception4c"].channels == 512


def test_the_field_behind_squeeze_and_excitation_is_the_whole_image() -> None:
    found = by_name(torchvision.models.mobilenet_v3_small(weights=None))
    assert not found["features.0.0"].global_field
    assert found["features.3"].global_field or found["features.12"].global_field


def _field_by_gradient(model: nn.Module, name: str, side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns (first, last) of the input on which the middle place of the map depends."""
    network = read(model, side, "none")
    image = torch.rand(1, network.channels, side, side, requires_grad=True)
    value = network.model_copy.run(image, [name])[name]
    _, _, height, width = value.shape
    value[0, :, (height - 1) // 2, (width - 1) // 2].sum().backward()
    hit = image.grad[0].abs().sum(0) > 0
    rows, columns = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))


def _stack(data: st.DataObject) -> nn.Sequential:
    """Convolutions, poolings and paddings, of which each lets something through from wherever it looks."""
    modules: list[nn.Module] = [nn.Conv2d(1, 1, 1)]
    channels = 1
    for _ in range(data.draw(st.integers(1, 4), label="depth")):
        kernel = data.draw(st.integers(1, 4))
        stride = data.draw(st.integers(1, 2))
        if data.draw(st.booleans()):
            dilation = data.draw(st.integers(1, 2))
            conv = nn.Conv2d(channels, 2, kernel, stride, data.draw(st.integers(0, kernel - 1)), dilation)
            nn.init.uniform_(conv.weight, 0.5, 1.0)  # no weight is 0 and none cancels another
            modules.append(conv)
            channels = 2
        else:
            modules.append(nn.AvgPool2d(kernel, stride, data.draw(st.integers(0, kernel // 2))))
        if data.draw(st.booleans()):
            modules.append(nn.ZeroPad2d((data.draw(st.integers(0, 2)), 1, data.draw(st.integers(0, 2)), 0)))
    nn.init.ones_(modules[0].weight)
    return nn.Sequential(*modules)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_fields_agree_with_gradients(data: st.DataObject) -> None:
    model = _stack(data)
    side, last = 96, ""  # the output, because a padding is no layer
    layer = read(model, side, "none").layer(last)
    places = [(n - 1) // 2 for n in layer.size]
    middle = [s + p * j for s, p, j in zip(layer.start, places, layer.stride, strict=True)]
    expected = tuple(
        (round(m - (f - 1) / 2), round(m + (f - 1) / 2)) for m, f in zip(middle, layer.receptive_field, strict=True)
    )
    if any(low < 0 or high >= side for low, high in expected):
        return  # clipped by the border, where padding takes the rest
    assert _field_by_gradient(model, last, side) == expected


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_middle_part_gives_the_same_value_and_gradient_as_the_whole_image(data: st.DataObject) -> None:
    model = _stack(data)
    kinds = [nn.Identity(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.InstanceNorm2d(2), nn.CircularPad2d(2)]
    model.append(data.draw(st.sampled_from(kinds), label="last"))
    side, last = data.draw(st.integers(70, 96), label="side"), ""  # the output, because a padding is no layer
    network = read(model, side, "none")
    part = network.middle_part(last, side)
    if part is None:
        return
    top, left, length, width = part
    assert length == width < side
    image = torch.rand(1, 1, side, side, requires_grad=True)
    value, alone = (
        network.run(one, [last])[last][0, 0] for one in (image, image[:, :, top : top + length, left : left + length])
    )
    value, alone = (one[(one.shape[0] - 1) // 2, (one.shape[1] - 1) // 2] for one in (value, alone))
    assert torch.allclose(value, alone, rtol=1e-4)
    (whole,) = torch.autograd.grad(value, image)
    (seen,) = torch.autograd.grad(alone, image)
    assert torch.allclose(whole, seen, rtol=1e-4, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.slow
def test_middle_part_is_found_where_there_is_one() -> None:
    network = read(torchvision.models.vgg11(weights=None), 224)
    top, left, side, _ = network.middle_part("features.6", 224) or (0, 0, 0, 0)
    field, stride = network.layer("features.6").receptive_field[0], network.layer("features.6").stride[0]
    assert (top, side) == (left, field + 2 * stride)
    assert top % stride == 0
    assert top <= 111 - field / 2
    assert network.middle_part("features.6", 28) is None  # nearly all
    assert network.middle_part("", 224) is None
    assert read(torchvision.models.mobilenet_v3_small(weights=None), 224).middle_part("features.5", 224) is None


def test_input_size_by_trial() -> None:
    assert read(Fixed()).input_size == 16
    assert read(Fixed()).fixed("")
    network = read(tiny())
    assert network.input_size == 32  # it sees 8 px at most: not made for 224
    assert not network.fixed("")
    assert read(torchvision.models.resnet18(weights=None)).input_size == 224
    with pytest.raises(SizeError, match="input_size=0"):
        read(tiny(), 0)
    with pytest.raises(ModelError, match=r"1-channel image at 20 px: RuntimeError"):
        read(Fixed(), 20)


def test_a_model_without_a_convolution_is_refused() -> None:
    with pytest.raises(ModelError, match="no convolution"):
        layers(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)))
    with pytest.raises(ModelError, match="no convolution"):
        layers(nn.Linear(3, 3))


def test_units_are_counted_from_zero() -> None:
    network = read(tiny())
    network.check_unit("forms", 7)
    for unit in (8, -1):
        with pytest.raises(UnitError, match=f"8 units, numbered 0 to 7; unit {unit}"):
            network.check_unit("forms", unit)
    with pytest.raises(UnitError, match="whole number"):
        network.check_unit("forms", 1.5)


def test_preprocess_is_found_in_the_documented_order() -> None:
    model = tiny()
    assert find_preprocess(model, 3).mean == (0.485, 0.456, 0.406)
    assert "assumed" in str(find_preprocess(model, 3))
    assert find_preprocess(model, 1).mean == ()
    model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    assert find_preprocess(model, 3).mean == (0.5, 0.5, 0.5)
    model.preprocess = Preprocess([0.1, 0.1, 0.1])
    assert find_preprocess(model, 3).mean == (0.1, 0.1, 0.1)
    assert "own" in find_preprocess(model, 3).source
    assert find_preprocess(model, 3, Preprocess((0.2,) * 3)).mean == (0.2,) * 3
    assert find_preprocess(model, 3, "none").mean == ()
    double = find_preprocess(model, 3, lambda x: x * 2)
    assert torch.equal(double(torch.ones(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 2.0))


@pytest.mark.parametrize(
    ("given_", "channels", "words"),
    [
        ("imagenet", 3, "takes is 'none'"),
        (17, 3, "preprocess is a int"),
    ],
)
def test_preprocess_that_does_not_fit_is_refused(given_: object, channels: int, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        find_preprocess(tiny(), channels, given_)


def test_preprocess_bgr_levels() -> None:
    caffe = Preprocess((104.0, 117.0, 123.0), scale=255.0, channels="BGR")
    image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    assert torch.allclose(caffe(image).flatten(), torch.tensor([0.0 - 104.0, 127.5 - 117.0, 255.0 - 123.0]))
    assert torch.allclose(caffe.neutral() * 255.0, torch.tensor([123.0, 117.0, 104.0]))
    with pytest.raises(ModelError, match="2 numbers for 3 channels"):
        Preprocess((0.1, 0.2))
    with pytest.raises(ModelError, match="above 0"):
        Preprocess((0.1,), (0.0,), channels=1)
