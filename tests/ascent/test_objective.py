from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage
from torch import Tensor, nn

from peek_widget import Recipe, ascend, render
from peek_widget._size import Size
from peek_widget.ascent.direction import Direction
from peek_widget.ascent.diversity import Diversity, gram
from peek_widget.ascent.evaluate import Evaluator
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.knobs import NUMBERS
from peek_widget.ascent.objective import Channel, Logit, Neuron, interpolate
from peek_widget.ascent.objective_base import Objective, Sum
from peek_widget.ascent.serialization import MOST_TERMS, objective_from_dict
from peek_widget.ascent.style import Style
from peek_widget.ascent.view_draws import ViewDraws
from peek_widget.errors import LayerError, PeekError, UnitError
from peek_widget.network import Network, read
from tests.networks import Fixed, squeezenet, tiny


@pytest.fixture(scope="module")
def network() -> Network:
    return read(tiny(), 32)


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(network: Network, pictures: Tensor, objective: Objective) -> dict[str, Tensor]:
    return network.run(network.preprocess(pictures), objective.layers)


def pictures(count: int, side: int = 32, seed: int = 0) -> Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(seed))


# The log-probability of a class


def gradient_of(network: Network, objective: Objective, picture: Tensor, **fields: float) -> tuple[Tensor, float]:
    """The evaluation's gradient and activation of one picture, which is shown as it is."""
    recipe = Recipe(param="pixels", sampling="window", **fields)
    geometry, device = Geometry(network, recipe, None), torch.device("cpu")
    numbers = {name: recipe.at(name, 0) for name in NUMBERS}
    draws = ViewDraws(recipe, geometry, [torch.Generator()], 3, device, lambda _step: numbers)
    evaluator = Evaluator(network, [objective], recipe, geometry)
    found = evaluator.evaluate(picture, 0, evaluator.draw(Size(*picture.shape[-2:]), 0, draws))
    return found.gradient, float(found.activations)


def test_the_log_probability_of_a_class_is_climbed_and_not_counted(network: Network) -> None:
    picture = pictures(1).requires_grad_()
    scores = network.run(network.preprocess(picture), [""])[""]
    (expected,) = torch.autograd.grad(scores[0, 3] + 2.5 * scores[0].log_softmax(0)[3], picture)
    gradient, activation = gradient_of(network, Logit(3), picture.detach(), log_probability=2.5)
    assert torch.allclose(gradient, expected, atol=1e-7)
    assert activation == pytest.approx(float(scores[0, 3]))


def test_the_strongest_other_classes_are_climbed_down_and_not_counted(network: Network) -> None:
    picture = pictures(1).requires_grad_()
    scores = network.run(network.preprocess(picture), [""])[""][0]
    strongest = [number for number in scores.argsort(descending=True).tolist() if number != 3][:2]
    (expected,) = torch.autograd.grad(scores[3] - 0.25 * scores[strongest].sum(), picture)
    gradient, activation = gradient_of(network, Logit(3), picture.detach(), rivals=0.5)
    assert torch.allclose(gradient, expected, atol=1e-7)
    assert activation == pytest.approx(float(scores[3]))


@pytest.mark.parametrize(("scores", "expected"), [([1.0, 5.0], 5.0), ([9.0, 2.0, 4.0, 1.0], 3.0), ([7.0], None)])
def test_rivals_of_a_class_among_few(scores: list[float], expected: float | None) -> None:
    found = Logit(0).rivals({"": torch.tensor([scores])})
    assert found is None if expected is None else found.tolist() == [expected]


@pytest.mark.parametrize("name", ["log_probability", "rivals"])
@pytest.mark.parametrize("one", [Neuron("forms", 1), Channel("forms", 1), Logit(1) + Logit(2)], ids=repr)
def test_what_is_no_class_alone_has_no_other_classes(network: Network, one: Objective, name: str) -> None:
    with_it, _ = gradient_of(network, one, pictures(1), **{name: 1.0})
    without, _ = gradient_of(network, one, pictures(1))
    assert torch.equal(with_it, without)


@pytest.mark.parametrize("name", ["log_probability", "rivals"])
@pytest.mark.parametrize(
    ("last", "exclusive"), [(nn.Softmax(1), True), (nn.LogSoftmax(1), True), (nn.Sigmoid(), False)], ids=repr
)
def test_other_classes_count_where_classes_exclude_each_other(last: nn.Module, exclusive: bool, name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    network = read(model, input_size=16)
    assert network.layers[-1].exclusive is exclusive
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with_it, _ = gradient_of(network, Logit(1), picture, **{name: 1.0})
    without, _ = gradient_of(network, Logit(1), picture)
    assert torch.equal(with_it, without) is not exclusive


class Residual(nn.Module):
    """A block with a shortcut, and classes or a map of them."""

    def __init__(self, classes: bool = True) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) if classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        return self.end(stem + self.block(stem).tanh())


@pytest.mark.parametrize(
    ("one", "classes", "changed"), [(Logit(1), True, True), (Neuron("block", 1), True, False), (Logit(1), False, False)]
)
def test_a_class_alone_has_less_gradient_through_residual_blocks(one: Objective, classes: bool, changed: bool) -> None:
    network = read(Residual(classes), input_size=16)
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    less, activation = gradient_of(network, one, picture, residual_gradient=0.5)
    whole, same = gradient_of(network, one, picture)
    assert activation == same
    assert torch.equal(less, whole) is not changed


@pytest.mark.parametrize(
    ("one", "model", "changed"),
    [
        (Logit(1), tiny(), True),
        (Neuron("forms", 1), tiny(), False),
        (Logit(1) + Channel("forms", 1), tiny(), False),
        (Logit(1), Residual(classes=False), False),
    ],
    ids=["a class", "a unit", "not a class alone", "a map"],
)
def test_a_class_alone_has_noise_on_the_weights(one: Objective, model: nn.Module, changed: bool) -> None:
    network = read(model, input_size=16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    noisy, activation = gradient_of(network, one, picture, weight_noise=0.2)
    plain, exact = gradient_of(network, one, picture)
    assert torch.equal(noisy, plain) is not changed
    assert (activation == exact) is not changed
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Rectified(nn.Module):
    """A convolution, a ReLU, max-pooling and another convolution; its output is a vector of scores, or a map."""

    def __init__(self, classes: bool = True) -> None:
        super().__init__()
        self.stem, self.forms = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) if classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.forms(F.max_pool2d(self.stem(images).relu(), 2)))


@pytest.mark.parametrize("name", ["relu_leak", "pool_spread"])
@pytest.mark.parametrize(
    ("one", "classes", "changed"),
    [(Logit(1), True, True), (Neuron("forms", 1), True, False), (Logit(1), False, False)],
)
def test_a_class_alone_has_another_gradient_through_relus_and_pooling(
    one: Objective, classes: bool, changed: bool, name: str
) -> None:
    network = read(Rectified(classes), input_size=16)
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    other, activation = gradient_of(network, one, picture, **{name: 0.5})
    plain, same = gradient_of(network, one, picture)
    assert activation == same
    assert torch.equal(other, plain) is not changed


class Rooted(Rectified):
    """The slope of a root is infinite where the ReLU before it is closed."""

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.forms(self.stem(images).relu().sqrt()))


def test_where_the_gradient_through_closed_relus_is_infinite_the_true_one_is_climbed() -> None:
    network = read(Rooted(), input_size=16)
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found, _ = gradient_of(network, Logit(1), picture, relu_leak=0.5)
    assert torch.isfinite(found).all()
    assert torch.equal(found, gradient_of(network, Logit(1), picture)[0])


def test_all_that_a_class_may_have_goes_together() -> None:
    network = read(Rectified(), input_size=16)
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    every = {"relu_leak": 0.2, "pool_spread": 0.5, "residual_gradient": 0.5, "weight_noise": 0.2}
    found, activation = gradient_of(network, Logit(3), picture, **every)
    for name in every:
        less, other = gradient_of(network, Logit(3), picture, **{key: every[key] for key in every if key != name})
        assert torch.equal(found, less) is (name == "residual_gradient")  # the network has no residual blocks
        assert (activation == other) is (name != "weight_noise")


def test_a_class_that_is_a_map_has_no_other_classes() -> None:
    maps = {"": torch.zeros(2, 3, 4, 4)}
    assert Logit(1).log_probability(maps) is None
    assert Logit(1).rivals(maps) is None


# Sums


def test_weights_are_exact_and_never_compound() -> None:
    a, b = Channel("a", 1), Neuron("b", 2)
    joint = 3 * (2 * a - b) + b / 4
    assert [(w, o) for _, w, o in joint.terms()] == [(6.0, a), (-3.0, b), (0.25, b)]
    assert (49 * a) / 49 == 1 * a  # 49 * (1 / 49) is not 1
    assert -(-1 * a) == 1 * a
    assert sum([a, b]) == a + b
    assert np.float32(2) * a == np.float64(2) * a == a * np.int64(2) == 2 * a


def test_a_sum_is_the_sum_of_its_terms() -> None:
    activations = {"a": maps(3, 4, 5, 6), "b": maps(3, 4, seed=1)}
    joint = 2 * Channel("a", 1) - Neuron("a", 2, at=(4, 5)) / 3 + Channel("b", 0)
    expected = 2 * activations["a"][:, 1].mean(dim=(1, 2)) - activations["a"][:, 2, 4, 5] / 3 + activations["b"][:, 0]
    assert torch.allclose(joint(activations), expected)
    by_terms = sum(weight * one(activations) for _, weight, one in joint.terms())
    assert torch.allclose(by_terms, expected)
    assert torch.allclose(joint.in_batch(activations, 1, 2), expected[2:])


def test_terms_of_one_objective_are_itself() -> None:
    one = Neuron("a", 3)
    assert one.terms() == (("unit 3 of a at the center", 1.0, one),)


def test_terms_have_different_names() -> None:
    first, second = (Objective(lambda a: a["x"].sum(1), ["x"]) for _ in range(2))
    names = [name for name, _, _ in (first + second + Channel("x", 1) + Neuron("x", 1)).terms()]
    assert names == ["a function of x", "a function of x (2)", "unit 1 of x", "unit 1 of x at the center"]


@pytest.mark.parametrize("number", [math.nan, math.inf, 10**400])
def test_a_weight_must_be_finite(number: float) -> None:
    with pytest.raises(PeekError, match="finite"):
        Channel("a", 0) * number
    with pytest.raises(PeekError, match="finite"):
        (1e308 * Channel("a", 0)) * 1e308


def test_anything_but_a_weight_or_objective_is_refused() -> None:
    with pytest.raises(PeekError, match="divided by 0"):
        Channel("a", 0) / 0
    for bad in ("2", None, [1]):
        with pytest.raises(TypeError):
            Channel("a", 0) * bad
        with pytest.raises(TypeError):
            Channel("a", 0) + bad


def test_objectives_are_equal_by_value_and_hashable() -> None:
    def all_kinds() -> list[Objective]:
        image = np.full((9, 8, 3), 7, np.uint8)
        return [
            Channel("a", 1),
            Neuron("a", 1),
            Neuron("a", 1, at=[2, 3]),
            Logit(1),
            Direction("a", [1, 2]),
            Direction("a", [1, 2], at="center"),
            Diversity("a"),
            Style(["a"], image),
            Channel("a", 1) - 2 * Logit(3),
        ]

    one, other = all_kinds(), all_kinds()
    assert one == other
    assert len(set(one) | set(other)) == len(one)
    assert all(isinstance(repr(o), str) for o in one)


# Words


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Channel("features.12", 10), "unit 10 of features.12"),
        (Neuron("features.12", 10), "unit 10 of features.12 at the center"),
        (Neuron("features.12", 10, at=(3, 4)), "unit 10 of features.12 at row 3, column 4"),
        (Channel("encoder.ln@class", 10), "unit 10 of encoder.ln@class"),
        (Channel("", 10), "unit 10 of the output"),
        (Logit(207), "class 207"),
        (-Channel("a", 1), "the negative of unit 1 of a"),
        (-2 * Channel("a", 1), "2 x the negative of unit 1 of a"),
        (-Neuron("a", 1, at=(0, 2)), "the negative of unit 1 of a at row 0, column 2"),
        (-Logit(3), "the negative of class 3"),
        (2 * Channel("a", 1) - Channel("a", 2), "2 x unit 1 of a, minus unit 2 of a"),
        (Channel("a", 1) + 0.5 * Channel("a", 2), "unit 1 of a, plus 0.5 x unit 2 of a"),
        (-Channel("a", 1) - 3 * Channel("a", 2), "minus unit 1 of a, minus 3 x unit 2 of a"),
        (Direction("a", [1.0, -0.25]), "the direction (1, -0.25) of a"),
        (Direction("a", [1] * 4, at="center"), "the direction (1, 1, 1, ...) of a at the center"),
        (-Direction("a", [1], at=(2, 3)), "the negative of the direction (1) of a at row 2, column 3"),
        (Channel("a", 1) + 0.5 * Diversity("a"), "unit 1 of a, plus 0.5 x dissimilarity to the others in a"),
        (Style(["a", "b"], PILImage.new("RGB", (8, 6))), "the style of an image of 8 x 6 px in a and b"),
        (Objective(gram, ["a", ""]), "gram of a and the output"),
        (-Objective(gram, ["a"], description="the texture"), "the negative of the texture"),
    ],
)
def test_describe(objective: Objective, words: str) -> None:
    assert objective.describe() == words


# Units on vectors and maps


def test_objectives_of_units_read_maps_and_vectors() -> None:
    activations = {"map": maps(2, 3, 4, 6), "ln@class": maps(2, 3), "": maps(2, 3, seed=1)}
    grid, vector = activations["map"], activations["ln@class"]
    assert torch.equal(Neuron("map", 1)(activations), grid[:, 1, 1, 2])
    assert torch.equal(Neuron("map", 1, at=(3, 5))(activations), grid[:, 1, 3, 5])
    assert torch.allclose(Channel("map", 1)(activations), grid[:, 1].mean(dim=(1, 2)))
    for one in (Neuron("ln@class", 2), Neuron("ln@class", 2, at=(0, 0)), Channel("ln@class", 2)):
        assert torch.equal(one(activations), vector[:, 2])
    assert torch.equal(Logit(2)(activations), activations[""][:, 2])


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ((99, 0), "16 rows and 16 columns"),
        ((0, -1), "16 rows"),
        ((0, 1, 2), "two whole numbers"),
        (3, "two whole numbers"),
        ((0.5, 1), "two whole numbers"),
        ((True, 1), "two whole numbers"),
    ],
)
def test_a_position_off_the_map_is_refused(network: Network, at: object, words: str) -> None:
    for one in (Neuron("forms", 1, at=at), Direction("forms", [1] * 8, at=at)):
        with pytest.raises(UnitError, match=words):
            one.check(network)


def test_whole_numbers_of_numpy_and_torch_are_accepted(network: Network) -> None:
    one = Neuron("forms", np.int64(1), at=(np.int64(2), torch.tensor(3)))
    one.check(network)
    assert one == Neuron("forms", 1, at=(2, 3))
    assert json.loads(json.dumps(one.to_dict())) == {"kind": "neuron", "layer": "forms", "unit": 1, "at": [2, 3]}


# Direction


def test_a_direction_is_a_dot_product_with_its_unit_vector() -> None:
    grid = maps(3, 4, 5, 6)
    vector = torch.tensor([3.0, 0.0, -4.0, 0.0])
    expected = 0.6 * grid[:, 0] - 0.8 * grid[:, 2]
    for given_as in (vector, vector.numpy(), vector.tolist(), 1e200 * vector.double(), 1e-200 * vector.double()):
        assert torch.allclose(Direction("a", given_as)({"a": grid}), expected.mean(dim=(1, 2)), atol=1e-6)
    assert torch.allclose(Direction("a", vector, at="center")({"a": grid}), expected[:, 2, 2], atol=1e-6)
    assert torch.allclose(Direction("a", vector, at=(4, 0))({"a": grid}), expected[:, 4, 0], atol=1e-6)
    assert torch.allclose(Direction("a", vector)({"a": grid[:, :, 0, 0]}), expected[:, 0, 0], atol=1e-6)


def test_the_cosine_of_the_power_is_at_least_a_tenth() -> None:
    grid = torch.tensor([[3.0, 4.0], [5.0, 0.0], [-3.0, 4.0]])  # cosines 0.6, 1 and -0.6
    values = Direction("a", [1.0, 0.0], power=2)({"a": grid})
    assert torch.allclose(values, torch.tensor([3 * 0.36, 5.0, -3 * 0.01]))


def test_a_direction_has_a_gradient_where_activations_are_zero() -> None:
    grid = torch.zeros(1, 2, 3, 3, requires_grad=True)
    Direction("a", [1.0, 2.0], power=2)({"a": grid}).sum().backward()
    assert torch.isfinite(grid.grad).all()
    assert grid.grad.abs().sum() > 0


def test_a_bound_direction_has_the_same_value(network: Network) -> None:
    one = Direction("forms", maps(8), power=1, at="center")
    with torch.inference_mode():
        ready = one.bind(network)
    assert one.centered_on == ready.centered_on == "forms"
    picture = pictures(2).requires_grad_()
    activations = seen(network, picture, one)
    assert torch.equal(ready(activations), one(activations))
    ready(activations).sum().backward()
    assert picture.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ([0.0, 0.0], "2 zeros"),
        ([], "empty vector"),
        ([1.0, math.nan], "NaN"),
        ([math.inf], "infinity"),
        ([10**400], "infinity"),
        ("12", "a str was given"),
        (3, "a int was given"),
        (maps(2, 2), "shape \\(2, 2\\)"),
        (np.zeros((1, 2)), "shape \\(1, 2\\)"),
        ([[1.0], [2.0]], "real numbers"),
        ([1j], "real numbers"),
        ([None], "real numbers"),
        (torch.tensor(1.0), "shape \\(\\)"),
    ],
)
def test_anything_but_a_direction_is_refused(vector: object, words: str) -> None:
    with pytest.raises(UnitError, match=words):
        Direction("a", vector)


def test_a_direction_of_the_wrong_length_is_refused(network: Network) -> None:
    with pytest.raises(UnitError, match="one number for each of its 8 units; 6 were given"):
        Direction("forms", [1.0] * 6).check(network)
    with pytest.raises(LayerError):
        Direction("nowhere", [1.0] * 6).check(network)
    for power in (-1, math.nan, 101, "2", True):
        with pytest.raises(PeekError, match="power"):
            Direction("a", [1.0], power=power)


# Diversity


def by_hand(grid: Tensor, index: int) -> float:
    def cosine(one: Tensor, other: Tensor) -> float:
        first, second = (x.flatten(1) @ x.flatten(1).T for x in (one, other))
        return float((first * second).sum() / (first.norm() * second.norm()))

    return -sum(cosine(grid[index], grid[j]) for j in range(len(grid)) if j != index) / (len(grid) - 1)


def test_diversity_is_the_mean_cosine_to_the_others(network: Network) -> None:
    grid = maps(4, 3, 5, 5)
    for one in (Diversity("a"), Diversity("a").bind(network)):
        for index in range(4):
            value = one.in_batch({"a": grid}, 1, index)
            assert value.shape == (1,)
            assert math.isclose(float(value), by_hand(grid, index), rel_tol=1e-5)


def test_equal_pictures_have_diversity_minus_one_and_a_single_one_zero() -> None:
    grid = maps(1, 3, 5, 5)
    same = grid.expand(6, -1, -1, -1)  # three pictures of two views
    assert torch.allclose(Diversity("a").in_batch({"a": same}, 2, 1), -torch.ones(2))
    assert torch.equal(Diversity("a")({"a": same}), torch.zeros(6))
    assert torch.equal(Diversity("a").in_batch({"a": same}, 6, 0), torch.zeros(6))
    apart = torch.eye(3)[:, :, None, None]  # each picture excites another unit
    assert torch.equal(Diversity("a").in_batch({"a": apart}, 1, 2), torch.zeros(1))
    assert Diversity("a").in_batch({"a": torch.zeros(2, 3, 4, 4)}, 1, 0).item() == 0.0


def test_a_picture_ascends_only_its_own_diversity() -> None:
    grid = maps(3, 4, 5, 5).requires_grad_()
    Diversity("a").in_batch({"a": grid}, 1, 1).sum().backward()
    moved = grid.grad.flatten(1).abs().sum(1)
    assert moved[1] > 0
    assert moved[0] == moved[2] == 0


def test_views_are_compared_with_the_others_mean_view() -> None:
    grid = maps(4, 3, 5, 5)  # two pictures of two views
    other = (gram(grid)[2] + gram(grid)[3]) / 2
    expected = [-(gram(grid)[v] * other).sum() / (gram(grid)[v].norm() * other.norm()) for v in (0, 1)]
    assert torch.allclose(Diversity("a").in_batch({"a": grid}, 2, 0), torch.stack(expected), atol=1e-6)


def test_a_bound_diversity_follows_every_step(network: Network) -> None:
    ready = Diversity("a").bind(network)
    for seed in range(5):
        grid = maps(3, 4, 5, 5, seed=seed)
        values = [ready.in_batch({"a": grid}, 1, i) for i in range(3)]
        assert torch.equal(torch.cat(values), torch.cat([Diversity("a").in_batch({"a": grid}, 1, i) for i in range(3)]))
    vectors = maps(2, 4)
    assert -1.0 <= float(ready.in_batch({"a": vectors}, 1, 0)) < 0.0


def test_a_sum_with_a_term_that_depends_on_the_batch_depends_on_it() -> None:
    joint = Channel("a", 1) + 0.5 * Diversity("a")
    assert joint.depends_on_batch
    assert not (Channel("a", 1) + Logit(0)).depends_on_batch
    grid = maps(3, 4, 5, 5)
    expected = grid[1:2, 1].mean(dim=(1, 2)) + 0.5 * by_hand(grid, 1)
    assert torch.allclose(joint.in_batch({"a": grid}, 1, 1), expected, atol=1e-6)


def test_ascending_diversity_makes_pictures_differ(network: Network) -> None:
    one = Diversity("forms").bind(network)
    batch = (0.5 + 0.05 * maps(3, 3, 32, 32)).requires_grad_()

    def values() -> Tensor:
        activations = seen(network, batch, one)
        return torch.cat([one.in_batch(activations, 1, i) for i in range(3)])

    before = values().detach()
    for _ in range(20):
        (slope,) = torch.autograd.grad(values().sum(), batch)
        with torch.no_grad():
            batch += 0.01 * slope / slope.abs().mean()
    assert (values() > before + 0.05).all()


# Interpolate


def test_interpolation_goes_from_one_to_the_other() -> None:
    a, b = Channel("a", 1), Logit(2)
    way = interpolate(a, b, 5)
    assert [[w for _, w, _ in one.terms()] for one in way] == [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]]
    activations = {"a": maps(2, 3, 4, 4), "": maps(2, 3)}
    assert torch.allclose(way[0](activations), a(activations))
    assert torch.allclose(way[-1](activations), b(activations))
    shares = [one(activations) for one in interpolate(a, b, 9)]
    steps = torch.stack([after - before for before, after in pairwise(shares)])
    assert torch.allclose(steps, steps[:1].expand_as(steps), atol=1e-6)


@pytest.mark.parametrize(
    "args", [(Logit(1), Logit(2), 1), (Logit(1), Logit(2), 2.5), (Logit(1), "a", 3), (1, Logit(2))]
)
def test_anything_but_two_objectives_and_a_count_is_refused(args: tuple) -> None:
    with pytest.raises(PeekError, match=r"objective|count="):
        interpolate(*args)


# Style


def test_style_is_zero_for_the_image_itself_and_below_elsewhere(network: Network) -> None:
    picture = pictures(1, seed=1)[0]
    one = Style(["edges", "forms"], picture)
    one.check(network)
    ready = one.bind(network)
    batch = torch.stack([picture, 1 - picture, torch.full_like(picture, 0.5)])
    values = ready(seen(network, batch, one))
    assert values.shape == (3,)
    assert abs(float(values[0])) < 1e-9
    assert (values[1:] < -1e-3).all()


def test_style_equals_its_definition(network: Network) -> None:
    picture, other = pictures(2, seed=2)
    one = Style(["edges", "forms"], picture)
    mine, theirs = (seen(network, p[None], one) for p in (other, picture))
    far = []
    for name in one.layers:
        flat, target = (a[name][0].flatten(1) for a in (mine, theirs))
        g, t = flat @ flat.T / flat.shape[1], target @ target.T / target.shape[1]
        far.append(float(((g - t) ** 2).sum() / (t**2).sum()))
    assert math.isclose(float(one.bind(network)(mine)), -sum(far) / 2, rel_tol=1e-4)
    # as far off as a picture without any activation is -1
    nothing = {name: torch.zeros_like(values) for name, values in mine.items()}
    assert math.isclose(float(one.bind(network)(nothing)), -1.0, rel_tol=1e-6)


def test_style_does_not_depend_on_size_or_position(network: Network) -> None:
    grain = (torch.arange(32) % 2).float().expand(3, 32, 32)  # stripes, which shift by 2 into themselves
    one = Style(["edges"], grain).bind(network)
    edges = network.run(network.preprocess(grain.roll(2, 2)[None]), ["edges"])
    assert abs(float(one(edges))) < 1e-6
    small = network.run(network.preprocess(grain[None, :, :16, :16]), ["edges"])
    assert -0.05 < float(one(small)) < 0.0  # padding weighs more in a small picture


def test_style_can_be_bound_in_any_context_and_on_several_networks(network: Network) -> None:
    picture = pictures(1)[0]
    one = Style(["forms"], picture)
    with torch.inference_mode():
        ready = one.bind(network)
    torch.manual_seed(5)
    other = one.bind(read(type(tiny())(), 32))
    again = one.bind(network)
    batch = pictures(2, seed=3).requires_grad_()
    activations = seen(network, batch, one)
    assert torch.equal(ready(activations), again(activations))
    assert not torch.allclose(ready(activations), other(activations))
    ready(activations).sum().backward()
    assert batch.grad.abs().sum() > 0


def test_style_accepts_every_kind_of_image() -> None:
    array = np.arange(16 * 16 * 3, dtype=np.uint32).reshape(16, 16, 3).astype(np.uint8)
    tensor = torch.from_numpy(array).permute(2, 0, 1).float() / 255.0
    assert Style(["a"], array) == Style(["a"], PILImage.fromarray(array)) == Style(["a"], tensor)
    assert Style(["a"], array) != Style(["b"], array)
    assert Style(["a"], array) != Style(["a"], array.transpose(1, 0, 2))
    assert len({Style(["a"], array), Style(["a"], tensor)}) == 1
    assert Style(["a"], array).centered_on is None


def test_a_style_has_its_own_copy_of_the_image() -> None:
    tensor = pictures(1)[0]
    one = Style(["a"], tensor)
    before = one._picture.clone()
    tensor.zero_()
    assert torch.equal(one._picture, before)


def test_style_converts_between_gray_and_color(network: Network) -> None:
    Style(["forms"], pictures(1)[0, :1]).bind(network)
    one_channel = read(Fixed(), 16, preprocess="none")
    Style(["conv"], pictures(1)[0]).bind(one_channel)
    with pytest.raises(PeekError, match="3 channels and this picture has 5"):
        Style(["forms"], torch.rand(5, 8, 8)).check(network)
    with pytest.raises(LayerError):
        Style(["nowhere"], pictures(1)[0]).check(network)


def test_anything_but_layers_and_an_image_is_refused(network: Network) -> None:
    for image in (None, "a.png", torch.rand(2, 3, 8, 8), torch.full((3, 8, 8), 2.0), torch.full((3, 8, 8), math.nan)):
        with pytest.raises(PeekError):
            Style(["a"], image)
    with pytest.raises(PeekError, match="names of the layers"):
        Style("a", pictures(1)[0])
    with pytest.raises(PeekError, match="bind"):
        Style(["a"], pictures(1)[0])({"a": maps(1, 2, 3, 3)})
    dead = nn.Conv2d(3, 2, 3)
    nn.init.zeros_(dead.weight)
    nn.init.zeros_(dead.bias)
    with pytest.raises(PeekError, match="all 0, so it has no texture"):
        Style(["0"], pictures(1)[0]).bind(read(nn.Sequential(dead), 32))


# Drawn


@pytest.mark.parametrize(
    "objective",
    [
        Direction("forms", [1.0, -1.0] * 4, power=1),
        Direction("forms", [1.0] * 8, at="center"),
        Style(["edges", "forms"], pictures(1, 24)[0]),
        Channel("forms", 1) - 0.5 * Style(["edges"], pictures(1, 24)[0]),
        interpolate(Neuron("forms", 1), Neuron("forms", 2), 3)[1],
    ],
    ids=repr,
)
def test_the_value_rises_during_an_ascent(objective: Objective) -> None:
    # without the floor, which wants contrast whatever the objective wants
    recipe = Recipe.preset("peek").replace(steps=30, contrast_floor=0.0)
    history = render(tiny(), objective, recipe, size=32).history[:, 0]
    assert history[-5:].mean() > history[:5].mean()


def test_diversity_makes_a_batch_differ_more() -> None:
    recipe = Recipe.preset("peek").replace(steps=40)

    def unlikeness(weight: float) -> float:
        batch = [Channel("forms", 1) + weight * Diversity("forms")] * 3
        *_, last = ascend(tiny(), batch, recipe, seed=[0, 1, 2], size=32)
        return sum(terms["dissimilarity to the others in forms"] for terms in last.terms) / 3

    assert unlikeness(5.0) > unlikeness(0.0) + 0.02


def test_on_a_real_network() -> None:
    network = read(squeezenet(), 64)
    one = Style(["features.0", "features.3"], pictures(1, 64)[0]) + 0.1 * Direction("features.3", [1.0] * 128, 2)
    one.check(network)
    ready = one.bind(network)
    batch = pictures(2, 64, seed=4).requires_grad_()
    values = ready(seen(network, batch, one))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(batch.grad).all()
    assert batch.grad.abs().sum() > 0


# As JSON and back


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=20)
whole = st.integers(0, 2**31 - 1)
places = st.none() | st.tuples(whole, whole)
singles = st.one_of(
    st.builds(Channel, names, whole),
    st.builds(Neuron, names, whole, places),
    st.builds(Logit, whole),
    st.builds(Diversity, names),
    st.builds(
        Direction,
        names,
        st.lists(finite, min_size=1, max_size=8).filter(any),
        st.floats(0, 100),
        places | st.just("center"),
    ),
)
described = singles | st.lists(st.tuples(finite, singles), min_size=1, max_size=5).map(lambda t: Sum(tuple(t)))


@given(described)
def test_every_objective_is_read_back_from_json(objective: Objective) -> None:
    back = objective_from_dict(json.loads(json.dumps(objective.to_dict())))
    assert back == objective
    assert hash(back) == hash(objective)
    assert back.describe() == objective.describe()


def test_objectives_that_json_cannot_contain_are_read_back_as_none() -> None:
    image = pictures(1)[0]
    for one in (Objective(gram, ["a"]), Style(["a"], image), Channel("a", 1) + Style(["a"], image)):
        assert objective_from_dict(json.loads(json.dumps(one.to_dict()))) is None
    assert Style(["a"], image).to_dict() == {"kind": "custom", "words": "the style of an image of 32 x 32 px in a"}
    endless = Objective(gram, ["a"], description="x" * 10**6)
    assert objective_from_dict(endless.to_dict()) is None


DEEP: dict = {"kind": "logit", "unit": 1}
for _ in range(5):
    DEEP = {"kind": "sum", "terms": [{"weight": 1.0, "objective": DEEP}]}


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        (None, "a NoneType"),
        ([], "a list"),
        ({}, "kind None"),
        ({"kind": "os.system"}, "kinds are channel, neuron"),
        ({"kind": ["channel"]}, "a list of 1"),
        ({"kind": "logit"}, "needs the field 'unit'"),
        ({"kind": "logit", "unit": 1, "__class__": "x"}, "no field '__class__'"),
        ({"kind": "logit", "unit": True}, "whole number"),
        ({"kind": "logit", "unit": -1}, "whole number"),
        ({"kind": "logit", "unit": 1.0}, "whole number"),
        ({"kind": "logit", "unit": 10**5000}, "a huge number"),
        ({"kind": "channel", "layer": 3, "unit": 1}, "a text"),
        ({"kind": "channel", "layer": "x" * 1001, "unit": 1}, "1001 characters"),
        ({"kind": "neuron", "layer": "a", "unit": 1, "at": [1]}, "a position"),
        ({"kind": "neuron", "layer": "a", "unit": 1, "at": "center"}, "a position"),
        ({"kind": "neuron", "layer": "a", "unit": 1, "at": [1, -1]}, "whole number"),
        ({"kind": "direction", "layer": "a", "vector": [0], "power": 0, "at": None}, "zeros"),
        ({"kind": "direction", "layer": "a", "vector": [], "power": 0, "at": None}, "a list of 1 to"),
        ({"kind": "direction", "layer": "a", "vector": [math.nan], "power": 0, "at": None}, "finite"),
        ({"kind": "direction", "layer": "a", "vector": [10**400], "power": 0, "at": None}, "finite"),
        ({"kind": "direction", "layer": "a", "vector": [1], "power": -1, "at": None}, "power"),
        ({"kind": "direction", "layer": "a", "vector": [1] * 65_537, "power": 0, "at": None}, "a list of 1 to 65536"),
        ({"kind": "sum", "terms": []}, "a list of 1 to"),
        ({"kind": "sum", "terms": [3]}, "a term of a sum"),
        ({"kind": "sum", "terms": [{"weight": 1}] * (MOST_TERMS + 1)}, "a list of 1 to"),
        ({"kind": "sum", "terms": [{"weight": math.inf, "objective": {"kind": "logit", "unit": 1}}]}, "finite"),
        ({"kind": "sum", "terms": [{"weight": "1", "objective": {"kind": "logit", "unit": 1}}]}, "finite"),
        (DEEP, "can't be of kind .sum. itself"),
    ],
)
def test_a_hostile_dict_is_refused_in_a_sentence(hostile: object, words: str) -> None:
    with pytest.raises(PeekError, match=f"(?i){words}") as caught:
        objective_from_dict(hostile)
    assert type(caught.value) is not PeekError
    assert len(str(caught.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(described, st.data())
def test_any_changed_dict_gives_an_objective_or_a_named_error(objective: Objective, data: st.DataObject) -> None:
    hostile = objective.to_dict()
    where = hostile
    if where["kind"] == "sum" and data.draw(st.booleans()):
        where = data.draw(st.sampled_from(where["terms"]))
        where = where["objective"] if data.draw(st.booleans()) else where
    where[data.draw(st.sampled_from([*where, "new"]))] = data.draw(json_values)
    try:
        back = objective_from_dict(hostile)
    except PeekError:
        return
    assert back is None or isinstance(back, Objective)


def test_a_direction_of_an_earlier_version_is_read() -> None:
    described = {"kind": "direction", "layer": "a", "vector": [1.0, 2.0], "power": 0.0, "at": "centre"}
    assert objective_from_dict(described) == Direction("a", [1.0, 2.0], at="center")
