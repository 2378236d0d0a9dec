"""Hooks that belong to the model (CASES.md A2): activations are those of the model's own forward, or it is said."""

from __future__ import annotations

import copy
import functools
import io
import threading
import warnings
from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from peek_widget import BatchWarning, HookWarning, Neuron, PeekWarning, Recipe, activations, read, render
from peek_widget.evidence.activations import run_batch
from peek_widget.network.serialize import deserialize, serialize
from tests.networks import assert_same, portrait

pytestmark = pytest.mark.filterwarnings("error::peek_widget.PeekWarning")

SHORT = Recipe.preset("peek-fast").replace(steps=3)
counted: list[Any] = []  # by a hook that uses a global name


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def same_as_its_own(model: nn.Module, layers: tuple[str, ...] = ("0", "2", "")) -> None:
    """Hold activations, as an image has them alone, against plain hooks on the model in a forward of its own."""
    before = portrait(model)
    network = read(model, 32, "none")
    for image in images().split(1):
        ours = network.run(image, layers)
        assert_same(before, portrait(model))
        theirs = own(model, image, layers)
        for name in layers:
            assert torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-5 * float(theirs[name].abs().max())), (
                name
            )
        before = portrait(model)  # its own forward may have changed it


def own(model: nn.Module, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _m, _i, output, name=name: found.update({name: output.clone()}))
        for name in layers
    ]
    training = model.training
    model.eval()
    with torch.no_grad():
        model(image)
    model.train(training)
    for handle in handles:
        handle.remove()
    return found


# -- hooks that set a weight


class EqualizedRate:
    """The equalized learning rate of StyleGAN in PyTorch: a pre-hook that sets ``weight`` from ``weight_orig``."""

    def compute(self, module: nn.Module) -> Tensor:
        weight = module.weight_orig
        return weight * sqrt(2 / weight[0].numel())

    def __call__(self, module: nn.Module, _inputs: Any) -> None:
        module.weight = self.compute(module)

    @classmethod
    def apply(cls, module: nn.Module) -> None:
        weight = module.weight
        del module._parameters["weight"]
        module.register_parameter("weight_orig", nn.Parameter(weight.data))
        module.register_forward_pre_hook(cls())


class OwnSpectralNorm:
    """Spectral norm by hand: its estimate becomes better in every forward, in eval mode too."""

    def __call__(self, module: nn.Module, _inputs: Any) -> None:
        weight = module.weight_orig
        matrix = weight.flatten(1)
        with torch.no_grad():
            v = nn.functional.normalize(matrix.T @ module.weight_u, dim=0)
            u = nn.functional.normalize(matrix @ v, dim=0)
        module.weight = weight / (u @ matrix @ v)
        module.weight_u = u

    @classmethod
    def apply(cls, module: nn.Module) -> None:
        weight = module.weight
        del module._parameters["weight"]
        module.register_parameter("weight_orig", nn.Parameter(weight.data))
        module.register_buffer("weight", weight)
        module.register_buffer("weight_u", torch.randn(len(weight)))
        module.register_forward_pre_hook(cls())


def standardized(module: nn.Module, _inputs: Any) -> None:
    """Weight standardization by a function that knows its module only by name."""
    weight = module.raw
    module.weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / weight.std((1, 2, 3), keepdim=True)


def standardize(module: nn.Module) -> None:
    weight = module.weight
    del module._parameters["weight"]
    module.raw = nn.Parameter(weight.data)
    module.register_forward_pre_hook(standardized)


@pytest.mark.parametrize("apply", [EqualizedRate.apply, OwnSpectralNorm.apply, standardize])
def test_a_weight_that_a_hook_sets(apply: Callable[[nn.Module], None]) -> None:
    model = plain()
    apply(model[0])
    apply(model[2])
    same_as_its_own(model)  # before its first forward, too
    state = {name: value * 1.7 for name, value in model.state_dict().items()}
    network = read(model, 32, "none")
    assert run_batch(network, images(), ["2"])["2"].is_inference()  # as a pass over a dataset runs it
    model.load_state_dict(state)
    network.model_copy.refresh()
    image = images(1)
    assert torch.allclose(network.run(image, [""])[""], own(model, image, ("",))[""], rtol=1e-4, atol=1e-6)
    assert render(network, Neuron("2", 1), SHORT, size=32).history.isfinite().all()


def test_a_hook_that_writes_into_weights_writes_into_none_of_the_users() -> None:
    model = plain()

    def limit(module: nn.Module, _inputs: Any) -> None:
        module.weight.data.clamp_(-0.05, 0.05)

    model[2].register_forward_pre_hook(limit)
    before = portrait(model)
    network = read(model, 32, "none")
    ours = network.run(images(1), ["2"])["2"]
    assert_same(before, portrait(model))
    assert torch.allclose(ours, own(copy.deepcopy(model), images(1), ("2",))["2"], atol=1e-6)
    with torch.no_grad():
        model[2].weight.zero_()  # the weights of the copy follow all the same
    assert torch.allclose(network.run(images(1), ["2"])["2"], model[2].bias[None, :, None, None], atol=1e-6)


# -- hooks that change what goes in or comes out


MEAN = torch.tensor([0.5, 0.4, 0.3])[:, None, None]


def normalized(_module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return ((inputs[0] - MEAN) / 0.2,)


def without_unit_3(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
    output[:, 3] = 0.0


class Steered:
    def __init__(self, direction: Tensor) -> None:
        self.direction = direction

    def add(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output + self.direction[:, None, None]


def scaled(factor: float, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output * factor


def with_keywords(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return (args[0] * 0.5,), kwargs


@pytest.mark.parametrize(
    "hook",
    [
        lambda m: m.register_forward_pre_hook(normalized),
        lambda m: m[1].register_forward_hook(without_unit_3),
        lambda m: m[0].register_forward_hook(Steered(torch.linspace(-1, 1, 6)).add),
        lambda m: m[2].register_forward_hook(functools.partial(scaled, 3.0)),
        lambda m: m[2].register_forward_pre_hook(with_keywords, with_kwargs=True),
        lambda m: m[0].register_forward_hook(lambda _m, _i, output: output.relu_()),
        lambda m: m.register_forward_hook(lambda _m, _i, output: output @ torch.ones(8, 8)),
        lambda m: m[2].register_forward_hook(lambda _m, _i, output: output + m[3](output), prepend=True),
    ],
)
def test_a_hook_that_changes_what_goes_in_or_comes_out(hook: Callable[[nn.Module], Any]) -> None:
    model = plain()
    hook(model)
    same_as_its_own(model, ("2", ""))
    assert "runs with the model's own hook" in repr(read(model, 32, "none"))
    assert render(model, Neuron("2", 1), SHORT, size=32, input_size=32).history.isfinite().all()


@pytest.mark.parametrize(
    "when",
    [
        lambda inputs: bool(inputs[0][0].std() > 0.05),
        lambda inputs: not torch.is_grad_enabled(),
    ],
)
def test_a_hook_that_changes_something_at_times(when: Callable[[tuple[Tensor]], bool]) -> None:
    model = plain()
    model[0].register_forward_hook(lambda _m, inputs, output: output * 2.0 if when(inputs) else None)
    for given in (images(1), images(3), torch.full((1, 3, 32, 32), 0.5)):
        expected = own(model, given, ("0",))["0"]
        with torch.no_grad():
            assert torch.allclose(read(model, 32, "none").run(given, ["0"])["0"], expected, atol=1e-5)


def test_a_hook_that_changes_batches_only_is_found_as_what_depends_on_the_batch() -> None:
    model = plain()
    model[0].register_forward_hook(lambda _m, _i, output: output * 2.0 if len(output) > 1 else None)
    with pytest.warns(BatchWarning, match=r"from '0' \(Conv2d\)"):
        network = read(model, 32, "none")
    alone = torch.cat([own(model, one, ("0",))["0"] for one in images(3).split(1)])
    assert torch.allclose(network.run(images(3), ["0"])["0"], alone, atol=1e-5)


def test_a_hook_that_runs_another_model() -> None:
    model, teacher = plain(), nn.Conv2d(3, 6, 3, padding=1)
    model[0].register_forward_hook(lambda _m, inputs, output: output + teacher(inputs[0]))
    network = read(model, 32, "none")
    for _ in range(2):
        assert torch.allclose(network.run(images(1), ["0"])["0"], own(model, images(1), ("0",))["0"], atol=1e-5)
        with torch.no_grad():
            teacher.weight.mul_(0.5)  # as it is now
    assert all(parameter.requires_grad and parameter.grad is None for parameter in teacher.parameters())


def test_hooks_around_a_wrapper_and_several_in_their_order() -> None:
    inner = plain()
    inner[0].register_forward_hook(lambda _m, _i, output: output + 1.0)
    inner[0].register_forward_hook(lambda _m, _i, output: output * 2.0)
    inner.register_forward_pre_hook(lambda _m, inputs: (inputs[0] - 0.5,))
    model = nn.DataParallel(inner)
    model.register_forward_pre_hook(normalized)
    image = images(1)
    expected = own(inner, normalized(inner, (image,))[0], ("0", ""))
    ours = read(model, 32, "none").run(image, ["0", ""])
    for name, value in expected.items():
        assert torch.allclose(ours[name], value, atol=1e-5)


@pytest.mark.parametrize("prepared", ["prepare_qat", "prepare", "own_observer"])
def test_quantization_aware_training(prepared: str) -> None:
    class Rounded(nn.Module):
        """An observer by hand: the range that it has seen until now, widened in every forward."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("largest", torch.tensor(0.5))

        def forward(self, x: Tensor) -> Tensor:
            self.largest.copy_(torch.maximum(self.largest, x.detach().abs().max()))
            step = self.largest / 7
            return x + ((x / step).round() * step - x).detach()

    model = plain()
    if prepared != "own_observer":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantization = torch.ao.quantization
            if prepared == "prepare_qat":
                model.qconfig = quantization.get_default_qat_qconfig("x86")
                model = quantization.prepare_qat(model.train())
            else:
                model.qconfig = quantization.get_default_qconfig("x86")
                model = quantization.prepare(
                    model
                )  # observers that only look, by hooks that return what they are given
            model(images(8))
    else:
        for number in (0, 2):
            model[number].observer = Rounded()
            model[number].register_forward_hook(lambda module, _i, output: module.observer(output))
    before = portrait(model.eval())
    with warnings.catch_warnings():
        if prepared == "prepare":
            network = read(model, 32, "none")
        else:
            with pytest.warns(BatchWarning, match="from '0.(activation_post_process|observer)'"):  # a batch's range
                network = read(model, 32, "none")
    assert_same(before, portrait(model))
    for image in images(3).split(1):
        state, before = copy.deepcopy(model.state_dict()), portrait(model)
        network.model_copy.refresh()
        ours = network.run(image, ["0", "2"])
        assert_same(before, portrait(model))
        theirs = own(model, image, ("0", "2"))
        for name, values in theirs.items():
            # By whole steps of the rounding where sums differ in the last bit: few, and no more than a step.
            assert float((ours[name] - values).norm()) < 1e-2 * float(values.norm())
        model.load_state_dict(state)
    if prepared == "own_observer":
        rough = plain()
        rough.load_state_dict(model.state_dict(), strict=False)
        assert float((own(rough, images(1), ("2",))["2"] - network.run(images(1), ["2"])["2"]).norm()) > 0.1


def test_what_a_hook_holds_is_as_it_is_now() -> None:
    model, mask = plain(), torch.ones(6)
    model[0].register_forward_hook(lambda _m, _i, output: output * mask[:, None, None])
    network = read(model, 32, "none")
    mask[2] = 0.0
    network.model_copy.refresh()
    assert float(network.run(images(1), ["0"])["0"][:, 2].abs().max()) == 0.0


class Centered:
    """Keeps a running mean, and goes on with it from forward to forward."""

    def __init__(self) -> None:
        self.mean = torch.zeros(6)

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        self.mean = 0.5 * self.mean + 0.5 * output.detach().mean((0, 2, 3))
        return output - self.mean[:, None, None]


def test_each_forward_begins_with_what_a_hook_holds_now() -> None:
    model, hook = plain(), Centered()
    model[0].register_forward_hook(hook)
    with pytest.warns(BatchWarning):  # the mean is the batch's
        network = read(model, 32, "none")
    for _ in range(2):
        ours = [network.run(images(1), ["0"])["0"] for _ in range(2)]
        theirs = own(model, images(1), ("0",))["0"]
        assert torch.equal(*ours)
        assert torch.allclose(ours[0], theirs, atol=1e-6)


def test_a_hook_that_comes_later_makes_the_copy_stale() -> None:
    model = plain()
    network = read(model, 32, "none")
    handle = model[2].register_forward_hook(lambda _m, _i, output: -output)
    assert network.model_copy.stale()
    again = network.replica()
    assert torch.allclose(again.run(images(1), ["2"])["2"], -network.run(images(1), ["2"])["2"])
    handle.remove()
    assert again.model_copy.stale()
    assert not network.model_copy.stale()


# -- hooks that only look


class Extractor:
    def __init__(self, model: nn.Module) -> None:
        self.model, self.features, self.handles = model, {}, []
        self.handles.append(model[1].register_forward_hook(self.save))

    def save(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.features["1"] = output
        self.calls = getattr(self, "calls", 0) + 1


def count_and_print(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
    counted.append(output.shape)
    print("called", output.shape)


def test_hooks_that_look_see_nothing_of_ours(capsys) -> None:
    model = plain()
    extractor, seen = Extractor(model), {}
    counted.clear()
    model[0].register_forward_hook(lambda _m, _i, output: seen.update({"0": output}))
    model[2].register_forward_hook(count_and_print)
    model.train()(images())  # seen and features have tensors with a graph
    capsys.readouterr()
    before, features, first = portrait(model), extractor.features["1"], seen["0"]
    network = read(model, 32, "none")
    render(network, Neuron("2", 1), SHORT, size=32)
    assert capsys.readouterr().out == ""
    assert seen["0"] is first
    assert extractor.features["1"] is features
    assert (extractor.calls, len(counted)) == (1, 1)
    assert_same(before, portrait(model))
    assert network.findings.all == ()
    handles = [handle for module in network.model_copy.module.modules() for handle in module._forward_hooks]
    assert handles == []


class Kept:
    """As fastai's hooks keep the output of a module, for a later one to read."""

    def __init__(self, module: nn.Module) -> None:
        self.stored: Tensor | None = None
        module.register_forward_hook(self.keep)

    def keep(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.stored = output


class Joined(nn.Module):
    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept
        self.conv = nn.Conv2d(14, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x, self.kept.stored], 1))


@pytest.mark.parametrize("ran", [False, True])
def test_a_decoder_reads_what_a_hook_has_kept(ran: bool) -> None:
    model = plain()[:3]
    model.append(Joined(Kept(model[0])))
    if ran:
        model(images())
    same_as_its_own(model, ("2", "3", ""))
    stored = model[3].kept.stored
    render(model, Neuron("3", 1), SHORT, size=32, input_size=32)
    assert model[3].kept.stored is stored


def test_a_hook_keeps_something_in_the_model_for_its_forward() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.first.register_forward_hook(lambda _m, _i, output: setattr(self, "skipped", output))
            self.second.register_forward_hook(self.scale)
            self.alpha = nn.Parameter(torch.tensor(0.7))

        def scale(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            return output * self.alpha

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).relu()) + self.skipped

    torch.manual_seed(0)
    same_as_its_own(Skipping().eval(), ("first", "second", ""))


# -- hooks of which it can't be known


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        with self.lock:
            return output * 2.0


class Once:
    """Fails in a copy: it counts by the identity of its module."""

    def __init__(self, module: nn.Module) -> None:
        self.known = id(module)

    def __call__(self, module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if id(module) != self.known:
            raise RuntimeError("not my module")
        return output * 2.0


@pytest.mark.parametrize(
    ("make", "why"), [(lambda m: Locked(), "can't be copied"), (Once, "its copy raised RuntimeError: not my module")]
)
def test_a_hook_that_cannot_be_copied_is_named(make: Callable[[nn.Module], Any], why: str) -> None:
    model = plain()
    hook = make(model[2])
    model[2].register_forward_hook(hook)
    with pytest.warns(
        HookWarning, match=rf"The hook {type(hook).__name__} of '2' is left out, because .*{why}"
    ) as found:
        network = read(model, 32, "none")
    assert [one.filename for one in found] == [__file__]
    assert f"without the hook {type(hook).__name__} of '2'" in repr(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        network.replica()  # it was said


def test_hooks_go_along_to_other_processes() -> None:
    model = plain()
    factor = 3.0
    model[2].register_forward_hook(lambda _m, _i, output: output * factor)
    network = read(model, 32, "none")
    payload = serialize(network)
    there, _ = deserialize(payload.key, payload.data)
    assert there is not None
    assert torch.allclose(there.network.run(images(1), ["2"])["2"], network.run(images(1), ["2"])["2"])


def test_a_model_with_hooks_can_be_saved_after_it_was_read() -> None:
    model = plain()
    model[2].register_forward_hook(without_unit_3)
    found = activations(model, images(), ["2"], preprocess="none", input_size=32)
    assert float(found["2"][:, 3].abs().max()) == 0.0
    torch.save(model, io.BytesIO())
