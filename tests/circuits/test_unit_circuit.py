"""Circuits that are known, since they were set by hand: the right inputs, signs and order, and what is refused."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import (
    DatasetError,
    LayerError,
    ModelError,
    PeekError,
    Recipe,
    UnitError,
    activations,
    layers,
    read,
    render,
    top_crops,
)
from peek_widget.circuits import circuit
from peek_widget.circuits.held import held_at_median
from peek_widget.circuits.program import Part
from peek_widget.circuits.reads import reads_of
from peek_widget.circuits.shown import Shown
from tests.circuits.networks import (
    ACROSS,
    DOT,
    DOWN,
    PICTURES,
    SIDE,
    Bypass,
    Gated,
    Joined,
    Stack,
    Writes,
    by_hand,
    lines,
    picture,
)
from tests.networks import assert_same, portrait, tiny

FAST = Recipe.preset("peek-fast").replace(steps=3)


def found(table):
    """The table as {(layer, unit): (weight, contribution, effect)}."""
    return {(row.layer, row.unit): (row.weight, row.contribution, row.effect) for row in table.itertuples()}


def on(images):
    """These images, as a circuit is computed on them."""
    return Shown(torch.stack(list(images)), (None,) * len(images), (), "given images")


def assert_linear(table):
    assert table.effect.notna().all()
    scale = table.effect.abs().max()
    assert (table.contribution - table.effect).abs().max() <= 1e-5 * scale


def test_an_and_of_two_shapes():
    model = Stack(lines(), nn.ReLU(), by_hand({0: {ACROSS: 1.0, DOWN: 1.0}}, 2, 3, bias=-1.0), nn.ReLU())
    got = circuit(model, "2", 0, PICTURES, k=2)
    assert list(got.table.layer.unique()) == ["0"]
    assert set(got.table.unit) == {ACROSS, DOWN}  # the point has no weight, so it is not read
    assert (got.table.effect > 0).all()
    assert (got.table.weight > 0).all()
    assert_linear(got.table)
    # each line has an activation of 1 where they cross, less the other's, and a median of 0
    assert got.activation == pytest.approx(float(got.table.effect.sum()) - 1.0, abs=1e-5)


def test_a_curve_is_made_of_lines_each_in_its_place():
    second = nn.Conv2d(3, 1, 3, padding=1, bias=False)
    second.weight.data.zero_()
    second.weight.data[0, ACROSS, 0] = torch.tensor([1.0, 0.5, 0.0])
    second.weight.data[0, DOWN, :, 2] = torch.tensor([0.0, 0.25, 0.5])
    got = circuit(Stack(lines(), nn.ReLU(), second), "2", 0, PICTURES, k=3)
    assert torch.equal(got.kernels["0"], second.weight.data[0])
    assert [row.unit for row in got.strongest().itertuples()] == [ACROSS, DOWN]
    assert_linear(got.table)


def test_an_inhibition_and_its_order():
    rows = {0: {DOT: 2.0, ACROSS: -0.5, DOWN: -0.1}}
    got = circuit(Stack(lines(), nn.ReLU(), by_hand(rows, 1, 3)), "2", 0, image=picture("dot"))
    assert got.excites().unit.tolist() == [DOT]
    assert got.inhibits().unit.tolist() == [ACROSS, DOWN]
    assert [effect for *_, effect in found(got.table).values()] == pytest.approx([2.0, -0.1 / 3, -0.5 / 3], abs=1e-5)
    assert got.table.weight.gt(0).tolist() == [True, False, False]


def test_a_residual_bypass_reads_two_layers_and_says_so():
    got = circuit(Bypass(), "block", ACROSS, PICTURES, k=2)
    values = found(got.table)
    assert set(values) == {("first", ACROSS), ("block.inner", 0)}
    assert all(effect > 0 for *_, effect in values.values())
    assert "reads 2 layers (first, block.inner)" in " ".join(got.remarks)
    assert_linear(got.table)


def test_a_bypass_counts_whole_where_the_layer_below_is_named():
    got = circuit(Bypass(), "block", ACROSS, PICTURES, below="first", k=3)
    values = found(got.table)
    assert {unit for _, unit in values} == {ACROSS, DOWN}
    assert values["first", DOWN][2] > 0  # through the block alone


def test_a_layer_that_acts_only_through_another_one_that_is_named_is_said():
    model = Stack(lines(), nn.ReLU(), by_hand({0: {ACROSS: 1.0}}, 1, 3), nn.ReLU(), by_hand({0: {0: 1.0}}, 1, 1))
    got = circuit(model, "4", 0, PICTURES, below=["0", "2"], k=2)
    assert set(got.table.layer) == {"2"}
    assert "'0' acts on it only through '2'" in " ".join(got.remarks)


def test_sums_and_differences_of_layers_read_two():
    class Both(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.one, self.two, self.read = lines(), lines(), by_hand({0: {ACROSS: 1.0, DOT: 0.5}}, 1, 3)

        def forward(self, x):
            return self.read(F.relu(self.one(x)) + 0.25 * F.relu(self.two(x)) - F.relu(self.two(-x)))

    got = circuit(Both(), "read", 0, PICTURES, k=2)
    values = found(got.table)
    assert set(values) == {(layer, unit) for layer in ("one", "two", "two@2") for unit in (ACROSS, DOT)}
    assert values["one", ACROSS][2] > 0
    assert_linear(got.table)


def test_a_depthwise_unit_reads_one_and_a_grouped_one_its_group():
    torch.manual_seed(0)
    depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    grouped = nn.Conv2d(4, 4, 1, groups=2)
    model = Stack(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU6(), depthwise, nn.ReLU6(), grouped)
    assert set(found(circuit(model, "2", 3, PICTURES).table)) == {("0", 3)}
    assert set(found(circuit(model, "4", 3, PICTURES).table)) == {("2", 2), ("2", 3)}
    assert set(found(circuit(model, "4", 0, PICTURES).table)) == {("2", 0), ("2", 1)}


def test_through_a_depthwise_stage_signs_and_order_are_those_that_were_set():
    stage = nn.Conv2d(3, 3, 1, groups=3)
    stage.weight.data = torch.tensor([1.0, -2.0, 0.5])[:, None, None, None]
    stage.bias.data = torch.tensor([0.0, 3.0, 0.0])  # no ReLU of it is shut
    model = Stack(lines(), nn.ReLU(), stage, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    model[-1].weight.data = torch.tensor([[1.0, 1.0, 0.5]])
    image = picture("across", "down", "dot")
    assert set(circuit(model, "", 0, image=image).table.layer) == {"2"}
    got = circuit(model, "", 0, image=image, below="0")
    assert_linear(got.table)
    assert got.strongest().unit.tolist() == [DOWN, ACROSS, DOT]
    assert got.inhibits().unit.tolist() == [DOWN]
    lower = found(got.table)
    assert lower["0", DOWN][2] == pytest.approx(-2.0 * lower["0", ACROSS][2], rel=1e-4)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision(kind):
    model = Stack(lines(), nn.ReLU(), by_hand({0: {ACROSS: 1.0, DOWN: 0.75}}, 1, 3)).to(kind)
    got = circuit(model, "2", 0, image=picture("across", "down"))
    assert got.strongest().unit.tolist() == [ACROSS, DOWN]
    assert got.table.contribution.tolist() == pytest.approx(got.table.effect.tolist(), abs=0.02)
    assert {one.dtype for one in model.parameters()} == {kind}


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_whoever_calls_it_may_have_turned_gradients_off(around):
    model = Stack(lines(), nn.ReLU(), by_hand({0: {ACROSS: 1.0, DOWN: 0.5}}, 1, 3), nn.ReLU(), nn.Conv2d(1, 2, 1))
    with around():
        got = circuit(model, "2", 0, PICTURES, k=2)
        up = got.up()
    assert_linear(got.table)
    assert up.guess.notna().all()


def test_a_concatenation_is_looked_through_with_its_normalization_and_pooling():
    got = circuit(Joined(), "read", 0, PICTURES, k=4)
    values = found(got.table)
    assert set(values) == {("left", 1), ("right", 2)}
    assert values["left", 1][0] > 0 > values["right", 2][0]
    assert_linear(got.table)


def test_a_dead_input_has_no_effect():
    first = lines(4)  # its last unit is zero everywhere
    got = circuit(Stack(first, nn.ReLU(), by_hand({0: {ACROSS: 1.0, 3: 5.0}}, 1, 4)), "2", 0, PICTURES)
    assert found(got.table)["0", 3] == (0.0, 0.0, 0.0)


def test_a_gate_is_no_input_of_its_own():
    got = circuit(Gated(), "second", 0, PICTURES)
    assert set(got.table.layer) == {"first"}
    values = found(got.table)
    assert values["first", ACROSS][2] > 10 * abs(values["first", DOT][2])


def test_classes_are_read_before_a_softmax_and_through_an_average():
    model = Stack(lines(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Softmax(1))
    got = circuit(model, "", 2, PICTURES)
    assert set(got.table.layer) == {"0"}
    assert_linear(got.table)


def test_a_unit_of_a_concatenation_is_the_unit_that_was_joined():
    class Fire(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze, self.one, self.two = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 3, padding=1)

        def forward(self, x):
            x = F.relu(self.squeeze(x))
            return torch.cat([F.relu(self.one(x)), F.relu(self.two(x))], 1)

    torch.manual_seed(0)
    model = Stack(lines(), nn.ReLU(), Fire())
    one, other = circuit(model, "2", 4, image=PICTURES[4]), circuit(model, "2.two", 1, image=PICTURES[4])
    assert set(one.table.layer) == {"2.squeeze"}
    assert one.table.effect.tolist() == pytest.approx(other.table.effect.tolist())
    assert [read.layer for read in reads_of(read(model), "2.squeeze")] == ["0"]


@pytest.mark.parametrize("name", ["edges", "forms", "norm", "classes", ""])
def test_a_part_computed_again_is_the_forward(name):
    network = read(tiny())
    images = torch.rand(3, 3, 32, 32)
    part = Part(network, [one.value for one in reads_of(network, name)], [name])
    with torch.no_grad():
        assert torch.allclose(part.tape(images)({})[0], network.run(images, [name])[name], atol=1e-5)


def test_several_layers_are_each_computed_before_their_own_relu():
    network = read(Bypass())
    images = torch.rand(2, 1, SIDE, SIDE)
    (value,) = {one.value for one in reads_of(network, "block.inner")}
    part = Part(network, [value], ["block.inner", "block", "block.outer"])
    with torch.no_grad():
        for got, (name, wanted) in zip(
            part.tape(images)({}), network.run(images, ["block.inner", "block", "block.outer"]).items(), strict=True
        ):
            assert torch.allclose(got, wanted, atol=1e-6), name


def test_the_model_is_a_guest_also_after_an_exception():
    model = Bypass().train()
    before = portrait(model)
    circuit(model, "block", 0, image=PICTURES[4])
    assert_same(before, portrait(model))

    def fails(self, x):
        if broken is not None:
            raise RuntimeError("no such image")
        return Bypass.forward(self, x)

    broken = None
    fragile = type("Fails", (Bypass,), {"forward": fails})().train()
    network = read(fragile)
    broken = True
    before, state = portrait(fragile), torch.get_rng_state()
    with pytest.raises(ModelError, match="no such image"):
        circuit(network, "block", 0, image=PICTURES[4])
    assert_same(before, portrait(fragile))
    assert not any(one._forward_hooks for one in network.model_copy.module.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_a_forward_that_takes_views_of_its_maps():
    """It fails in the memory format that is quickest, and is run in the usual one."""

    class Views(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.first, self.last = lines(), nn.Linear(3 * SIDE * SIDE, 2)

        def forward(self, x):
            return self.last(F.relu(self.first(x)).view(len(x), -1))

    torch.manual_seed(0)
    got = circuit(Views(), "last", 1, PICTURES, k=2)
    assert {layer for layer, _ in found(got.table)} == {"first"}
    assert_linear(got.table)


def test_a_forward_without_gradients_has_circuits_all_the_same():
    class NoGradient(Stack):
        @torch.no_grad()
        def forward(self, x):
            return super().forward(x)

    rows = {0: {ACROSS: 1.0, DOWN: 0.5}}
    model = NoGradient(lines(), nn.ReLU(), by_hand(rows, 1, 3), nn.ReLU(), by_hand({0: {0: 1.0}}, 1, 1))
    got = circuit(model, "2", 0, PICTURES, k=2)
    assert set(got.table.unit) == {ACROSS, DOWN}
    assert_linear(got.table)


def test_any_image_will_do_a_crop_and_a_picture_too():
    model = Stack(lines(), nn.ReLU(), by_hand({0: {ACROSS: 1.0, DOWN: 0.5}}, 1, 3))
    crops = top_crops(model, "2", PICTURES, 2, progress=False)
    crop = crops[0].top[0]
    by_crop = circuit(model, "2", 0, image=crop)
    assert by_crop.activation == pytest.approx(crop.activation)
    by_photo = circuit(model, "2", 0, crops, image=crop.whole())
    assert by_photo.activation == pytest.approx(crop.activation, abs=0.02)
    assert by_photo.correlation == pytest.approx(1.0)
    picture = render(model, "2:0", FAST, progress=False)
    drawn = circuit(model, "2", 0, image=picture)
    assert drawn.activation == pytest.approx(picture.activation, rel=1e-4)
    assert "drawn picture" in str(drawn)


def test_without_examples_it_is_the_drawn_picture_and_says_so():
    got = circuit(Stack(lines(), by_hand({0: {ACROSS: 1.0}}, 1, 3)), "1", 0, recipe=FAST, progress=False)
    assert "no examples" in got.remarks[0]
    assert got.table.unit.tolist() == [ACROSS]


def test_the_first_layer_reads_colors():
    got = circuit(Stack(lines(), nn.ReLU(), nn.Conv2d(3, 2, 1)), "0", 1, PICTURES)
    assert len(got.table) == 0
    assert "channels are colors" in " ".join(got.remarks)


def test_a_dead_unit_and_one_that_reads_nothing():
    dead = by_hand({0: {ACROSS: 1.0}, 1: {ACROSS: -1.0}}, 3, 3, bias=-0.5)
    model = Stack(lines(), nn.ReLU(), dead, nn.ReLU(), nn.Conv2d(3, 2, 1))
    assert "it is dead on them" in " ".join(circuit(model, "2", 1, PICTURES).remarks)
    got = circuit(model, "2", 2, PICTURES)
    assert len(got.table) == 0
    assert "reads nothing" in " ".join(got.remarks)


def test_contribution_and_effect_that_disagree_are_said():
    """A step passes no gradient, so that nothing but holding the unit in front of it shows what it does."""

    class Step(nn.Module):
        def forward(self, x):
            return 0.1 * x + 5.0 * (x > 0.3)

    model = Stack(nn.Conv2d(1, 2, 1), nn.ReLU(), by_hand({0: {0: 1.0}, 1: {1: 1.0}}, 2, 2), Step())
    model.append(by_hand({0: {0: 1.0, 1: 20.0}}, 1, 2))
    model[0].weight.data = torch.tensor([0.6, 0.2])[:, None, None, None]
    model[0].bias.data.zero_()
    got = circuit(model, "4", 0, image=picture("across"), below="0")
    values = {unit: numbers[1:] for (_, unit), numbers in found(got.table).items()}
    assert values[0] == pytest.approx((0.06, 5.06), abs=1e-4)
    assert values[1] == pytest.approx((0.4, 0.4), abs=1e-4)
    assert got.correlation < 0.8
    assert "agree poorly" in " ".join(got.remarks)


def test_behind_nonlinear_parts_contributions_are_taken_on_the_way_to_the_median():
    """Squares, one for each input: the gradient at the image misses what holding does, the way to the median has it."""

    class Square(nn.Module):
        def forward(self, x):
            return -((x - 0.5) ** 2)

    model = Stack(nn.Conv2d(1, 2, 1), nn.ReLU(), by_hand({0: {0: 1.0}, 1: {1: 1.0}}, 2, 2), Square())
    model.append(by_hand({0: {0: 1.0, 1: 1.0}}, 1, 2))
    model[0].weight.data = torch.tensor([0.6, 0.2])[:, None, None, None]
    model[0].bias.data.zero_()
    got = circuit(model, "4", 0, image=picture("across"), below="0")
    table = got.table.sort_values("unit")
    assert table.effect.tolist() == pytest.approx([0.24, 0.16], abs=1e-4)
    assert table.contribution.tolist() == pytest.approx(table.effect.tolist(), abs=1e-4)


def test_what_is_refused():
    model = Stack(lines(), nn.ReLU(), by_hand({0: {ACROSS: 1.0}}, 1, 3))
    with pytest.raises(UnitError, match="numbered 0 to 0"):
        circuit(model, "2", 5, PICTURES)
    with pytest.raises(LayerError, match="does not read '2'"):
        circuit(model, "0", 0, PICTURES, below="2")
    with pytest.raises(PeekError, match="names no layer"):
        circuit(model, "2", 0, PICTURES, below=[])
    with pytest.raises(PeekError, match="k=0"):
        circuit(model, "2", 0, PICTURES, k=0)
    with pytest.raises(DatasetError, match="image= is a dict"):
        circuit(model, "2", 0, image={})
    with pytest.raises(ModelError, match="writes into a part of a map"):
        circuit(Writes(), "second", 0, image=PICTURES[0])
    with pytest.raises(ModelError, match="no circuit for '0': its output is the image itself"):
        circuit(Stack(nn.Identity(), by_hand({0: {0: 1.0}}, 1, 1)), "0", 0, image=PICTURES[0])
    bare = replace(top_crops(model, "2", PICTURES, 1, progress=False)[0], top=[])
    with pytest.raises(PeekError, match=r"the evidence of unit 0 of '2', which has no crop .*whole layer's evidence"):
        circuit(model, "2", 0, bare)


def test_tokens_are_refused_in_a_sentence():
    class Tokens(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.patches, self.mix = nn.Conv2d(1, 8, 4, 4), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x):
            return self.mix(self.patches(x).flatten(2).transpose(1, 2)).mean(1)

    model = Tokens()
    name = next(one.name for one in layers(model) if one.layout.grid is not None)
    with pytest.raises(LayerError, match="tokens"):
        circuit(model, name, 0, image=PICTURES[0])


class Frames(nn.Module):
    """A vector layer, frames of a 3D convolution whose units are channels and frames, and classes."""

    input_size = SIDE

    def __init__(self):
        super().__init__()
        self.first, self.frames, self.last = nn.Conv2d(1, 4, 1), nn.Conv3d(1, 5, (1, 3, 3)), nn.Linear(5, 2)

    def forward(self, x):
        return self.last(self.frames(self.first(x).relu()[:, None]).mean((2, 3, 4)))


def test_units_along_several_dimensions_are_refused_in_a_sentence_also_where_they_are_read():
    network = read(Frames())
    assert network.layer("frames").channels == 20
    with pytest.raises(LayerError, match="'frames' returns 5 dimensions, of which several together count"):
        circuit(network, "frames", 17, image=PICTURES[0])
    with pytest.raises(LayerError, match=r"'last' reads a layer whose units a circuit can't show.*below="):
        circuit(network, "last", 0, image=PICTURES[0])
    past = circuit(network, "last", 0, image=PICTURES[0], below="first", effects=0, progress=False)
    assert {one.layer for one in past.inputs} == {"first"}
    with pytest.raises(LayerError, match="several together count"):
        held_at_median(network, "frames", 17, None, on(PICTURES[:1]))
    with pytest.raises(LayerError, match="No layer reads 'first' that circuits are of"):
        circuit(network, "first", 0, PICTURES, effects=0, progress=False).up()


def test_boxes_are_refused_in_a_sentence():
    class Boxes(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 3)

        def forward(self, x):
            return self.conv(x).flatten(2).mT.sort(1).values

    with pytest.raises(LayerError, match="boxes"):
        circuit(Boxes(), "", 0, image=PICTURES[0])


def test_effects_are_measured_for_the_strongest_either_way():
    torch.manual_seed(0)
    model = Stack(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 1))
    got = circuit(model, "2", 0, PICTURES, effects=2)
    measured = got.table.effect.notna().tolist()
    assert measured == [True, True, *[False] * (len(measured) - 4), True, True]
    assert math.isfinite(got.correlation)


def test_where_no_gradient_comes_through_effects_are_measured_by_the_weights():
    """The unit is highest where what it is inhibited by is silent, so that its ReLU passes no gradient."""
    closed = by_hand({0: {ACROSS: -2.0, DOWN: 1.0}}, 1, 3, bias=-0.5)
    model = Stack(lines(), nn.ReLU(), closed, nn.ReLU(), by_hand({0: {0: -1.0}}, 1, 1, bias=1.0))
    got = circuit(model, "4", 0, image=picture("across"), below="0")
    assert "No gradient comes through" in " ".join(got.remarks)
    assert (got.table.contribution == 0).all()
    assert got.table.effect.notna().all()
    assert math.isnan(got.correlation)


def test_the_network_without_an_input_has_it_at_its_median_and_the_model_is_as_it_was():
    model = Stack(lines(), nn.ReLU(inplace=True), by_hand({0: {ACROSS: 1.0, DOWN: 1.0}}, 1, 3))
    network = read(model)
    got = circuit(network, "2", 0, PICTURES, progress=False)
    without = got.without("0", ACROSS)
    shown = got.shown.inputs
    before, after = (one.run(shown, ["2"])["2"][:, 0] for one in (network, without))
    lower = network.run(shown, ["0"])["0"][:, ACROSS].clamp(min=0)
    assert torch.allclose(before - lower, after, atol=1e-6)  # the median of a line is zero
    assert float(lower.max()) > 0.5
    assert not model[0]._forward_hooks
    # a copy of it would not be held
    with pytest.raises(PeekError, match="works only with render"):
        activations(without, shown, "2")
    with pytest.raises(UnitError, match="numbered 0 to 2"):
        got.without("0", 7)


class Pair(NamedTuple):
    """Two maps of a module, of which the second one is the layer."""

    aux: torch.Tensor
    out: torch.Tensor


@dataclass(frozen=True)
class Frozen:
    """The same as a frozen dataclass."""

    aux: torch.Tensor
    out: torch.Tensor


class Slots:
    """The same as an object whose attribute lies in a slot of a base class."""

    __slots__ = "out"

    def __init__(self, aux, out):
        self.out = out


class Derived(Slots):
    __slots__ = ()


class Mapped(OrderedDict):
    """The same as a mapping of its own class, whose values are attributes too."""

    def __init__(self, aux=None, out=None):
        super().__init__(aux=aux, out=out)

    @property
    def out(self):
        return self["out"]


@pytest.mark.parametrize("kind", [Pair, Frozen, Derived, Mapped])
def test_a_unit_is_held_in_what_its_module_returns_whatever_kind_that_is(kind):
    class Wraps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = lines()

        def forward(self, x):
            return kind(x, self.conv(x) + 0.0)

    class Model(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.both, self.last = Wraps(), by_hand({0: {ACROSS: 1.0, DOWN: 1.0}}, 1, 3)

        def forward(self, x):
            return self.last(self.both(x).out)

    network = read(Model())
    assert network.layer("both").channels == 3
    shown = torch.stack(PICTURES)
    without = held_at_median(network, "both", ACROSS, None, on(PICTURES[:1]))
    lower = network.run(shown, ["both"])["both"][:, ACROSS]
    before, after = (one.run(shown, ["last"])["last"][:, 0] for one in (network, without))
    median = lower[0].median()
    assert float((before - after).abs().max()) > 0.5
    assert torch.allclose(before - after, lower - median, atol=1e-6)


def test_a_result_of_which_no_copy_can_be_made_changed_is_said():
    class Fixed(Mapping):
        def __init__(self, out):
            self.held = (out,)

        def __getitem__(self, key):
            return {"out": self.held[0]}[key]

        def __iter__(self):
            return iter(["out"])

        def __len__(self):
            return 1

    class Model(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.both, self.last = nn.Sequential(lines(), Returns()), by_hand({0: {ACROSS: 1.0}}, 1, 3)

        def forward(self, x):
            return self.last(self.both(x)["out"])

    class Returns(nn.Module):
        def forward(self, x):
            return Fixed(x + 0.0)

    network = read(Model())
    without = held_at_median(network, "both", ACROSS, None, on(PICTURES[:1]))
    with pytest.raises(LayerError, match="can't be held: its module returns a Fixed"):
        without.run(PICTURES[0][None], ["last"])
