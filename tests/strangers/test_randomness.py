"""Random forwards (CASES.md A7): the same seed gives the same pixels, and the caller's random state is as it was."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from peek_widget import (
    EvidencePass,
    LoaderOptions,
    Neuron,
    RandomWarning,
    Recipe,
    UnitExplorer,
    activations,
    contact_sheet,
    read,
    render,
)
from peek_widget.ascent import Ascent
from peek_widget.network.draws import OwnDraws, mixed_seed
from tests.networks import tiny

SHORT = Recipe.preset("peek-fast").replace(steps=4)

pytestmark = pytest.mark.filterwarnings("ignore::peek_widget.PeekWarning")


class Noisy(nn.Module):
    """Two convolutions and something random between them."""

    def __init__(self, noise: Callable[[Tensor], Tensor] = lambda x: F.dropout(x, 0.5, training=True)) -> None:
        super().__init__()
        state = torch.get_rng_state()
        torch.manual_seed(0)
        self.edges, self.forms = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        torch.set_rng_state(state)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        return self.forms(self.noise(F.relu(self.edges(x)))).mean(dim=(2, 3))


class OwnGenerators(Noisy):
    """Draws from generators that it holds, which go on from forward to forward."""

    def __init__(self) -> None:
        super().__init__(self.draw)
        self.torchs = torch.Generator().manual_seed(1)
        self.numpys = np.random.default_rng(1)
        self.pythons = random.Random(1)

    def draw(self, x: Tensor) -> Tensor:
        factor = self.numpys.uniform(0.5, 1.5) * self.pythons.uniform(0.5, 1.5)
        return x * torch.rand(x.shape, generator=self.torchs) * factor


def seeding(x: Tensor) -> Tensor:
    torch.manual_seed(5)
    return x + torch.randn_like(x)


def distribution(x: Tensor) -> Tensor:
    return torch.distributions.Normal(x, 0.3).rsample()


def masked(x: Tensor) -> Tensor:
    return x * torch.from_numpy(np.random.rand(1, 6, 1, 1) > 0.5).float()


def stochastic_depth(x: Tensor) -> Tensor:
    return x if random.random() < 0.5 else x * 0.1


def dropped(x: Tensor) -> Tensor:
    return F.dropout(x, 0.3, training=True) ** 2


RANDOM: dict[str, Callable[[], nn.Module]] = {
    "mc dropout": Noisy,
    "dropout of channels": lambda: Noisy(lambda x: F.dropout2d(x, 0.4, training=True)),
    "alpha dropout": lambda: Noisy(lambda x: F.alpha_dropout(x, 0.2, training=True)),
    "noise": lambda: Noisy(lambda x: x + 0.3 * torch.randn(x.shape)),
    "noise in place": lambda: Noisy(lambda x: x + torch.empty_like(x).normal_(0.0, 0.3)),
    "gumbel": lambda: Noisy(lambda x: F.gumbel_softmax(x, dim=1)),
    "distribution": lambda: Noisy(distribution),
    "rrelu": lambda: Noisy(lambda x: F.rrelu(x - 0.5, training=True)),
    "shuffled": lambda: Noisy(lambda x: x[:, torch.randperm(6)]),
    "numpy": lambda: Noisy(masked),
    "python": lambda: Noisy(stochastic_depth),
    "own generators": OwnGenerators,
    "checkpointed": lambda: Noisy(lambda x: checkpoint(dropped, x, use_reentrant=False)),
    "checkpointed, reentrant": lambda: Noisy(lambda x: checkpoint(dropped, x, use_reentrant=True)),
}


def states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()


def image() -> Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", RANDOM)
def test_the_same_seed_gives_the_same_pixels_and_the_callers_state_stays(kind: str) -> None:
    model = RANDOM[kind]()
    before = states()
    with pytest.warns(RandomWarning, match="draws random numbers.*from '(forms|)'.*a seeded random state of its own"):
        network = read(model, 32, "none")
    first = render(network, Neuron("forms", 1), SHORT, size=32, seed=7)
    assert states() == before
    torch.manual_seed(1234)
    random.seed(99)
    np.random.seed(7)
    before = states()
    again = render(model, Neuron("forms", 1), SHORT, size=32, seed=7, preprocess="none", input_size=32)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.history, again.history)
    assert states() == before
    assert "random from 'forms'" in repr(network)


@pytest.mark.parametrize("kind", RANDOM)
def test_an_image_gives_the_same_in_every_batch_and_order(kind: str) -> None:
    images = torch.stack([image(), image() * 0.3, 1.0 - image()])
    network = read(RANDOM[kind](), 32, "none")
    expected = torch.cat([network.run(one[None], [""])[""] for one in images])
    assert torch.equal(network.run(images, [""])[""], expected)
    assert torch.equal(network.run(images.flip(0), [""])[""], expected.flip(0))
    found = activations(network, images, [""], batch_size=2)[""]
    assert torch.allclose(found, expected, atol=1e-5)


def test_seeds_steps_and_views_are_draws_of_their_own() -> None:
    network = read(Noisy(), 32, "none")
    picture = image()[None]
    assert torch.equal(network.run(picture, [""], [5])[""], network.run(picture, [""], [5])[""])
    assert not torch.allclose(network.run(picture, [""], [5])[""], network.run(picture, [""], [6])[""])
    both = network.run(picture.repeat(2, 1, 1, 1), [""], [5, 6])[""]
    assert torch.equal(both[1:], network.run(picture, [""], [6])[""])
    seeds = {mixed_seed(seed, step, view) for seed in range(10) for step in range(10) for view in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_run_that_is_resumed_draws_what_it_would_have_drawn() -> None:
    network = read(Noisy(), 32, "none")
    whole = render(network, Neuron("forms", 1), SHORT, size=32, seed=3)
    run = Ascent(network, Neuron("forms", 1), SHORT, size=32, seed=3)
    run.step()
    run.step()
    rest = Ascent.resume(network, run.state()).run()
    assert torch.equal(whole.images, rest.images)


def test_the_draws_are_those_of_the_distribution() -> None:
    drawn = torch.zeros(4, 6, 32, 32)
    for seed in range(4):
        with OwnDraws(seed):
            drawn[seed] = F.dropout(torch.ones(6, 32, 32), 0.3, training=True)
            assert 0.0 <= float(torch.rand_like(drawn[0]).min()) < float(torch.rand_like(drawn[0]).max()) < 1.0
            assert abs(float(torch.randn_like(drawn).std()) - 1.0) < 0.05
            assert set(torch.randint_like(drawn, 2, 5).unique().tolist()) == {2.0, 3.0, 4.0}
            assert sorted(torch.randperm(9).tolist()) == list(range(9))
    assert abs(float((drawn == 0).float().mean()) - 0.3) < 0.02
    assert torch.allclose(drawn[drawn > 0], torch.tensor(1.0 / 0.7))


def test_an_explorer_in_the_background_leaves_the_callers_draws_alone() -> None:
    torch.manual_seed(0)
    expected = [float(torch.rand(())) for _ in range(400)]
    explorer = UnitExplorer(Noisy(), layer="forms", size=32, input_size=32, preprocess="none", threads=1)
    drawing = threading.Event()
    explorer.observe(lambda _change: drawing.set(), "step")
    try:
        torch.manual_seed(0)
        found = []
        for number in range(400):
            found.append(float(torch.rand(())))
            if number in (100, 200, 300):
                drawing.clear()
                assert drawing.wait(60)
    finally:
        explorer.close()
    assert found == expected


def test_a_sheet_is_the_same_twice() -> None:
    network = read(Noisy(), 32, "none")
    one, two = (contact_sheet(network, "forms", SHORT, size=32, units=[0, 1]) for _ in range(2))
    first = {unit.unit: unit.png for unit in one}
    assert first == {unit.unit: unit.png for unit in two}


def test_a_forward_that_sets_the_seed_leaves_the_callers_state() -> None:
    before = states()
    network = read(Noisy(seeding), 32, "none")
    network.run(image()[None], [""])
    assert states() == before


def test_a_random_preprocess_draws_from_a_state_of_its_own() -> None:
    model, found = tiny(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = states()
        options = {"size": 32, "input_size": 32, "preprocess": lambda x: x + torch.randn_like(x)}
        found.append(render(model, Neuron("forms", 1), SHORT, **options).images)
        assert states() == before
    assert torch.equal(*found)


def test_the_bundled_network_and_processes_that_load_leave_the_callers_state() -> None:
    before = states()
    explorer = UnitExplorer(playing=False)
    assert states() == before
    explorer.close()
    model, loader = tiny(), LoaderOptions(batch_size=2, processes=1)
    before = states()
    EvidencePass(model, "forms", [image()] * 3, k=1, input_size=32, preprocess="none", loader=loader).run()
    assert states() == before


class Attending(nn.Module):
    """Operators that may draw random numbers, and do not: attention, and layers that are random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.edges, self.attention = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2, 0.4, batch_first=True)
        self.leaky, self.drop, self.forms = nn.RReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.leaky(self.edges(x))
        tokens = maps.flatten(2).transpose(1, 2)
        mixed = self.attention(tokens, tokens, tokens)[0] + F.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.forms(self.drop(mixed.transpose(1, 2).view_as(maps)))


@pytest.mark.filterwarnings("error::peek_widget.PeekWarning")
@pytest.mark.parametrize("model", [tiny(), Attending()])
def test_what_is_random_in_training_only_is_not_random(model: nn.Module) -> None:
    network = read(model.train(), 32)
    assert not network.model_copy.draws.random
    assert not network.one_at_a_time
    assert network.findings.all == ()
