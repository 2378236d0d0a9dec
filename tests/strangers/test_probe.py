"""The probe of a model: what it finds is in ``repr``, in the widget's footer and, where answers change, a warning."""

from __future__ import annotations

import random
import threading
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import peek_widget
from peek_widget import (
    BatchWarning,
    FieldWarning,
    HookWarning,
    Network,
    PeekWarning,
    Preprocess,
    PreprocessWarning,
    RandomWarning,
    UnitExplorer,
    read,
)
from peek_widget.network import probe
from peek_widget.network.receptive_field.field_map import field_map, gradient_support
from tests.networks import assert_same, portrait, squeezenet, tiny


class Counting(nn.Module):
    """Becomes another network with every forward, without a random number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.edges, self.forms = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(1)
        return self.forms(F.relu(self.edges(x)) * len(self.calls)).mean((2, 3))


class WithoutStatistics(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, track_running_stats=False), nn.Conv2d(6, 4, 3))


# -- what is found, and where it is said


def test_nothing_is_said_of_a_plain_network() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        network = read(tiny(), 32)
        explorer = UnitExplorer(tiny(), layer="forms", input_size=32, playing=False)
    assert network.findings.probed
    assert network.findings.all == ()
    assert "probe: nothing found" in repr(network)
    assert explorer._about["model"] == "Tiny"
    assert "probe" not in repr(explorer)
    explorer.close()


def test_each_finding_is_in_the_repr_and_in_the_footer() -> None:
    with pytest.warns(BatchWarning):
        explorer = UnitExplorer(WithoutStatistics(), layer="2", input_size=32, playing=False)
    said = "one image at a time, since results depend on the batch from '1' (BatchNorm2d) on"
    assert explorer._about["model"] == f"WithoutStatistics: {said}"
    assert said in repr(explorer)
    explorer.close()


def test_the_warning_is_shown_where_the_model_was_given() -> None:
    for call in (read, peek_widget.layers):
        with pytest.warns(BatchWarning) as found:
            call(WithoutStatistics())
        assert found[0].filename == __file__


def test_each_kind_of_warning_has_a_name() -> None:
    kinds = {BatchWarning, FieldWarning, HookWarning, PreprocessWarning, RandomWarning}
    assert all(issubclass(kind, PeekWarning) for kind in kinds)
    assert all(getattr(peek_widget, kind.__name__) is kind for kind in kinds)
    assert issubclass(PeekWarning, UserWarning)


# -- twice the same


def test_other_results_for_the_same_image_are_found() -> None:
    with pytest.warns(
        RandomWarning, match=r"other results when it is given the same image again, from 'forms' \(Conv2d\)"
    ):
        network = read(Counting(), 32, "none")
    assert "other results for the same image, from 'forms' (Conv2d) on" in repr(network)


@pytest.mark.parametrize("keeps", ["number", "buffer", "tensor", "first image"])
def test_what_a_forward_writes_is_put_back(keeps: str) -> None:
    class Writing(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.number = 1
            self.register_buffer("seen", torch.ones(1))
            self.tensor = torch.ones(1)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.edges(x))
            if keeps == "number":
                self.number += 1
                x = x * self.number
            elif keeps == "buffer":
                self.seen += 1.0
                x = x * self.seen
            elif keeps == "tensor":
                self.tensor.add_(x.abs().mean())
                x = x * self.tensor
            else:
                if not hasattr(self, "first"):
                    self.first = x.detach().mean()
                x = x + self.first
            return self.forms(x).mean((2, 3))

    model, image = Writing(), torch.rand(1, 3, 32, 32)
    before, number, tensor = portrait(model), model.number, model.tensor.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BatchWarning)  # of a range over the batch, rightly
        warnings.simplefilter("error", RandomWarning)
        network = read(model, 32, "none")
    ours = [network.run(image, [""])[""] for _ in range(3)]
    assert_same(before, portrait(model))
    assert (model.number, model.tensor) == (number, tensor)
    with torch.no_grad():
        theirs = model(image)  # its next forward
    for one in ours:
        assert torch.allclose(one, theirs, rtol=1e-5, atol=1e-6)


def test_a_training_step_meanwhile_is_no_finding() -> None:
    model = tiny()
    stopped, errors = threading.Event(), []

    def train() -> None:
        while not stopped.is_set():
            with torch.no_grad():
                model.edges.weight.add_(0.01)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PeekWarning)
            found = read(model, 32).findings
    finally:
        stopped.set()
        thread.join()
    assert (found.all, errors) == ((), [])


# -- the field of one position


def _shifted(network: Network, name: str, pixels: float) -> Network:
    """Return a network whose fields are so many pixels too far to the right from a layer on, as a wrong tracer's."""
    first = network.layer(name).index
    layers = []
    for layer in network.layers:
        if layer.index >= first and layer.spatial and layer.traced is not None and layer.traced.columns is not None:
            columns = replace(
                layer.traced.columns, low=layer.traced.columns.low + pixels, high=layer.traced.columns.high + pixels
            )
            layer = replace(layer, traced=replace(layer.traced, columns=columns))
        layers.append(layer)
    return replace(network, layers=tuple(layers))


@pytest.mark.parametrize(("first", "pixels"), [("0", 9.0), ("2", 9.0), ("4", -20.0)])
def test_a_field_that_is_beside_its_gradient_is_found_and_measured(first: str, pixels: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1),
    )
    right = read(model, 64, "none")
    found, where = probe._fields(_shifted(right, first, pixels))
    assert where == first
    assert found[0].kind is FieldWarning
    assert f"From the layer {first!r} on" in found[0].warning
    assert probe._fields(right) == ([], None)
    # measured from there on: the box holds the gradient, wherever it is
    known = replace(right.known, findings=replace(right.findings, all=tuple(found), measured_from=where))
    again = peek_widget.network.reading.read_again(known, model, 64, "none")
    layer = again.layer("4")
    left, top, right_edge, bottom = field_map(again, layer).field_box(10 * 64 + 50).box
    support = gradient_support(again, layer, (10, 50))
    held = support[int(top) : int(bottom), int(left) : int(right_edge)].sum()
    assert float(held) >= 0.95 * float(support.sum())
    assert (right_edge - left) < 16


def test_functions_that_move_places_need_no_warning_where_that_is_known() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edges, self.forms = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.forms(self.edges(x).rot90(1, (2, 3)))

    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        assert read(Turned(), 32, "none").findings.all == ()


# -- preprocessing


def whitened(images: Tensor) -> Tensor:
    return images - F.avg_pool2d(images, 9, 1, 4)


def standardized_around(images: Tensor) -> Tensor:
    mean = F.avg_pool2d(images, 11, 1, 5)
    return (images - mean) / (F.avg_pool2d((images - mean).square(), 11, 1, 5) + 1).sqrt()


# What moves pixels, or blends neighbors, is refused: test_preprocess.py.
@pytest.mark.parametrize("function", [whitened, standardized_around, lambda x: x + 0.01 * F.avg_pool2d(x, 5, 1, 2)])
def test_preprocessing_that_mixes_a_little_of_other_pixels_in(function) -> None:
    with pytest.warns(PreprocessWarning, match="mixes a little of the pixels around") as found:
        network = read(tiny(), 32, function)
    assert len(found) == 1
    assert "preprocessing that mixes a little of the pixels around into each" in repr(network)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x - 0.5) / 0.25,
        lambda x: x.flip(1) * 255.0,
        lambda x: x.pow(2.2),
        lambda x: torch.einsum("ij,njhw->nihw", torch.eye(3).roll(1, 0) + 0.1, x),
        lambda x: (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True),
        lambda x: x * torch.linspace(0.5, 1.0, x.shape[-1]),
        lambda x: x + torch.linspace(0.0, 1.0, x.shape[-2])[:, None],
        lambda x: (x * 255).round(),
        Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), channels="BGR"),
    ],
)
def test_preprocessing_pixel_by_pixel(function) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        read(tiny(), 32, function)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 0.1 * torch.randn_like(x),
        lambda x: x * torch.empty(3, 1, 1).uniform_(0.9, 1.1),
        lambda x: x + 0.1 * random.random(),
        lambda x: F.dropout(x, 0.2),
    ],
)
def test_preprocessing_that_draws_random_numbers(function) -> None:
    with pytest.warns(PreprocessWarning, match="draws random numbers") as found:
        network = read(tiny(), 32, function)
    assert len(found) == 1
    assert "mixes" not in str(found[0].message)
    image = torch.rand(2, 3, 32, 32)
    assert torch.equal(network.preprocess(image), network.preprocess(image))
    assert torch.equal(network.preprocess(image)[1:], network.preprocess(image[1:]))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / x.max(),
        lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: x.squeeze(0)[None] * 2.0 - 1.0,
    ],
)
def test_a_preprocess_that_depends_on_the_batch(function) -> None:
    with pytest.warns(PreprocessWarning, match="in a batch than for the image alone") as found:
        network = read(tiny(), 32, function)
    assert len(found) == 1
    images = torch.rand(3, 3, 32, 32) * torch.tensor([0.2, 0.6, 1.0])[:, None, None, None]
    assert torch.allclose(network.preprocess(images)[:1], function(images[:1]))
    # what the sentence advises
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        read(tiny(), 32, lambda x: x / x.amax((1, 2, 3), keepdim=True))


# -- when it is made


def forwards(model: nn.Module, monkeypatch) -> list[int]:
    counted = []
    real = probe.probe_anew
    monkeypatch.setattr(probe, "probe_anew", lambda network: counted.append(1) or real(network))
    return counted


def test_a_model_is_probed_once(monkeypatch) -> None:
    model = WithoutStatistics()
    counted = forwards(model, monkeypatch)
    for _ in range(3):
        with pytest.warns(BatchWarning):
            network = read(model, 32, "none")
        network.replica()
    assert len(counted) == 1
    with pytest.warns(BatchWarning):
        read(model, 48, "none")
    assert len(counted) == 2
    model[1] = nn.Identity()
    assert not read(model, 32, "none").one_at_a_time
    assert len(counted) == 3


def test_a_switch_of_the_model_is_noticed() -> None:
    class Switched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edges, self.forms, self.noisy = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3), False

        def forward(self, x: Tensor) -> Tensor:
            return self.forms(F.dropout(self.edges(x), 0.5, training=self.noisy))

    model = Switched()
    assert read(model, 32, "none").findings.all == ()
    model.noisy = True
    with pytest.warns(RandomWarning):
        read(model, 32, "none")


def test_it_can_be_switched_off(monkeypatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        assert "not probed" in repr(read(WithoutStatistics(), 32, "none", probe=False))
        UnitExplorer(WithoutStatistics(), layer="2", input_size=32, playing=False, probe=False).close()
        monkeypatch.setenv("PEEK_PROBE", "0")
        assert "not probed" in repr(read(WithoutStatistics(), 32, "none"))


def test_what_was_found_goes_along_where_it_is_read_again() -> None:
    model = WithoutStatistics()
    with pytest.warns(BatchWarning):
        explorer = UnitExplorer(model, layer="2", input_size=32, playing=False)
    source = explorer._parts.source
    model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        assert source.fresh().one_at_a_time
    assert not source.network.model_copy.stale()
    explorer.close()


def test_the_users_model_and_random_states_are_as_they_were() -> None:
    model = tiny().train()
    before, state = portrait(model), torch.get_rng_state()
    read(model, 32)
    assert_same(before, portrait(model))
    assert torch.equal(state, torch.get_rng_state())


def test_a_real_network_has_nothing_to_find() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        network = read(squeezenet())
    assert network.findings.all == ()
