from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Logit, Neuron, Recipe, ascend, layers
from peek_widget.errors import LayerError, ModelError
from peek_widget.network import ModelCopy, read
from tests.networks import Tiny, assert_same, portrait, tiny


def test_the_users_model_is_untouched_before_during_and_after_an_ascent() -> None:
    model = tiny().train()
    model.forms.weight.requires_grad_(False)
    seen: list[tuple[int, ...]] = []
    model.edges.register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape)))
    before = portrait(model)
    layers(model)
    assert_same(before, portrait(model))
    for step in ascend(model, [Neuron("forms", 3), Logit(2)], seed=[1, 2], size=32):
        if step.index % 40 == 0:
            assert_same(before, portrait(model))
        if step.index == 80:
            break
    assert_same(before, portrait(model))
    assert seen == []  # the user's own hook was never called


def test_the_users_model_is_untouched_when_its_forward_raises() -> None:
    class Failing(Tiny):
        countdown = 40  # more than reading it takes

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.edges(x)
            type(self).countdown -= 1
            if type(self).countdown < 0:
                raise RuntimeError("the cat is on the keyboard")
            return self.forms(F.relu(x)).mean(dim=(2, 3))

    model = Failing()
    before = portrait(model)
    with pytest.raises(ModelError, match=r"RuntimeError.*the cat is on the keyboard") as caught:
        for _ in ascend(model, Logit(0), size=32, input_size=32):
            pass
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert_same(before, portrait(model))


def test_the_copy_shares_parameters_and_copies_buffers() -> None:
    model = tiny()
    model_copy = ModelCopy(model)
    for mine, theirs in zip(model_copy.module.parameters(), model.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()
        assert not mine.requires_grad
    assert theirs.requires_grad
    with torch.no_grad():
        model.edges.weight.fill_(2.0)
        model.norm.running_mean.fill_(7.0)
    assert bool((model_copy.module.edges.weight == 2.0).all())
    assert not bool((model_copy.module.norm.running_mean == 7.0).any())
    model_copy.refresh()
    assert bool((model_copy.module.norm.running_mean == 7.0).all())


def test_the_copy_is_stale_when_parameters_are_replaced() -> None:
    model = tiny()
    model_copy = ModelCopy(model)
    assert not model_copy.stale()
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    assert model_copy.stale()


def test_an_optimizer_may_step_while_an_ascent_runs() -> None:
    model = tiny().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    stop = threading.Event()
    failures: list[BaseException] = []

    def train() -> None:
        try:
            while not stop.is_set():
                optimizer.zero_grad()
                F.cross_entropy(model(torch.rand(4, 3, 16, 16)), torch.arange(4)).backward()
                optimizer.step()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        steps = list(ascend(model, Logit(1), size=32))
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert len(steps) == Recipe.preset("peek").steps


def test_outputs_are_before_an_inplace_relu_that_follows() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))
    image = torch.randn(1, 3, 12, 12)
    found = ModelCopy(model).run(image, ["0", "2"])
    assert torch.allclose(found["0"], model[0](image), atol=1e-6)
    assert bool((found["0"] < 0).any())


def test_nothing_past_the_layer_is_computed() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            raise AssertionError("past the layer")

    assert ModelCopy(Mine()).run(torch.rand(1, 3, 4, 4), ["first"])["first"].shape == (1, 2, 4, 4)


@pytest.mark.parametrize("norm", ["old_weight", "old_spectral", "new_weight", "pruned"])
def test_torchs_own_hooks_are_part_of_the_forward(norm: str) -> None:
    from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    make = {
        "old_weight": weight_norm,
        "old_spectral": spectral_norm,
        "new_weight": parametrizations.weight_norm,
        "pruned": lambda m: prune.random_unstructured(m, "weight", 0.5),
    }[norm]
    make(model[0])
    model.eval()
    image = torch.rand(1, 3, 16, 16)
    expected = model(image)
    assert torch.allclose(ModelCopy(model).run(image, [""])[""], expected, atol=1e-5)


class _TwoInputs(Tiny):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x * mask)


class _Uncopyable(Tiny):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: "squeeze", "The name 'squeeze' was given where a PyTorch model"),
        (lambda: Tiny, "is a class, not a model"),
        (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 1))), "TorchScript"),
        (lambda: nn.Sequential(nn.LazyConv2d(2, 1)), "lazy"),
        (lambda: _TwoInputs(), r"needs 2 inputs \(x, mask\)"),
        (lambda: _Uncopyable(), "can't be copied.*lock"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_what_cannot_be_read_is_refused_in_a_sentence(make: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        layers(make())


def test_a_layer_that_never_runs_is_named_in_the_error() -> None:
    network = read(tiny())
    with pytest.raises(LayerError, match=r"'unused' is in the model.*never runs it"):
        network.layer("unused")
    with pytest.raises(LayerError, match=r"no layer 'form'; near names: forms"):
        network.layer("form")
    with pytest.raises(LayerError, match="never ran"):
        network.model_copy.run(torch.rand(1, 3, 16, 16), ["unused"])
