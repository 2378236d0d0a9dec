"""A run left and gone on with: the same pixels as if it had never been left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from peek_widget import Channel, Logit, Neuron, Objective, PeekError, Recipe, State, Style, measure_spectrum
from peek_widget.ascent import Ascent
from peek_widget.network import read
from tests.networks import Planted, tiny

NET = read(tiny(), 32)
SHORT = Recipe.preset("peek").replace(steps=10)
MACO = Recipe.preset("maco-2023").replace(steps=8, n_views=2)


def brief(name: str) -> Recipe:
    recipe = Recipe.preset(name)
    return recipe.replace(steps=10, n_views=min(recipe.n_views, 2))


def to_end(ascent: Ascent) -> tuple[torch.Tensor, ...]:
    result = ascent.run()
    alpha = torch.zeros(0) if result.alpha is None else result.alpha
    return result.images, result.history, alpha, ascent.images


def equal(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def through_file(state: State, path: Path) -> State:
    state.save(path / "run.state")
    return State.load(path / "run.state")


@pytest.mark.parametrize("name", Recipe.presets())
def test_any_preset_resumes_to_the_same_pixels(name: str, tmp_path: Path) -> None:
    objectives, recipe = [Neuron("forms", 2), Logit(1)], brief(name)
    whole = Ascent(NET, objectives, recipe, seed=[3, 4], size=24)
    states = []
    for index in range(10):
        if index in (0, 1, 3, 5, 8, 9):
            states.append(whole.state())
        whole.step()
    states.append(whole.state())
    end = (whole.best, whole.images)
    for state in states:
        for kept in (state, through_file(state, tmp_path)):
            again = Ascent.resume(NET, kept)
            assert again.index == state.index
            again.run()
            assert torch.equal(again.best, end[0])
            assert torch.equal(again.images, end[1])


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "plain"])
@pytest.mark.parametrize("param", ["pixels", "fourier"])
@pytest.mark.parametrize("grad_norm", ["first", "rms"])
def test_a_run_resumes_across_octaves(optimizer: str, param: str, grad_norm: str, tmp_path: Path) -> None:
    recipe = Recipe(
        octaves=((3, 1.0), (3, 1.3), (3, 1.2)),
        param=param,
        optimizer=optimizer,
        grad_norm=grad_norm,
        return_best=True,
        step_size=((0.5, 0.3), (0.3, 0.1), (0.1, 0.05)),
        alpha=True,
        noise=0.05,
        flip=0.5,
        jitter=0.1,
    )
    whole = Ascent(NET, Channel("forms", 1), recipe, size=31)
    states = []
    while not whole.done:
        states.append(whole.state())
        whole.step()
    end = (whole.best, whole.images, whole.alpha)
    for state in states:
        again = Ascent.resume(NET, through_file(state, tmp_path))
        again.run()
        assert equal((again.best, again.images, again.alpha), end), state.index


def test_a_state_can_be_resumed_repeatedly() -> None:
    for recipe in (SHORT, brief("yosinski-2015-1"), brief("maco-2023")):
        ascent = Ascent(NET, Logit(1), recipe, size=24)
        ascent.step()
        state = ascent.state()
        ends = [to_end(Ascent.resume(NET, state)) for _ in range(3)]
        assert equal(ends[0], ends[1])
        assert equal(ends[0], ends[2])
        assert equal(ends[0], to_end(ascent))


changes: dict[str, Callable[[Ascent], Any]] = {
    "override": lambda a: a.override(blur=1.0, step_size=0.2, jitter=0.2, noise=0.1),
    "given back": lambda a: (a.override(blur=1.0), a.override(blur=None)),
    "objective": lambda a: a.change(objective=Neuron("forms", 5)),
    "recipe": lambda a: a.change(recipe=SHORT.replace(optimizer="nadam", return_best=True, spectrum_power=1.0)),
    "to pixels": lambda a: a.change(recipe=brief("oygard-2016")),
    "to yosinski": lambda a: a.change(recipe=brief("yosinski-2015-4")),
    "to lucid": lambda a: a.change(recipe=brief("lucid-2017").replace(alpha=True)),
    "longer": lambda a: a.extend(4),
}


@pytest.mark.parametrize("base", ["peek", "oygard-2016"])
@pytest.mark.parametrize("name", changes)
@pytest.mark.parametrize("after", [0, 3])
def test_a_run_with_overrides_and_changes_resumes(base: str, name: str, after: int, tmp_path: Path) -> None:
    ascent = Ascent(NET, Channel("forms", 1), brief(base), size=28)
    for _ in range(4):
        ascent.step()
    changes[name](ascent)
    for _ in range(after):
        ascent.step()
    state = through_file(ascent.state(), tmp_path)
    assert equal(to_end(Ascent.resume(NET, state)), to_end(ascent))


def test_the_blur_of_maco_is_saved() -> None:
    ascent = Ascent(NET, Logit(1), MACO.replace(blur=1.0, blur_every=3), size=24)
    for _ in range(5):
        ascent.step()
    ascent.override(blur=3.0)  # from the next step on: the picture is still as it was
    again = Ascent.resume(NET, ascent.state())
    assert torch.equal(again.images, ascent.images)
    assert equal(to_end(again), to_end(ascent))


def test_a_measured_spectrum_is_saved(tmp_path: Path) -> None:
    spectrum = measure_spectrum([torch.rand(3, 20, 20)], 20)
    ascent = Ascent(NET, Logit(1), MACO, size=24, spectrum=spectrum)
    ascent.step()
    state = through_file(ascent.state(), tmp_path)
    spectrum.zero_()  # the caller's own
    assert equal(to_end(Ascent.resume(NET, state)), to_end(ascent))


@pytest.mark.parametrize("name", ["peek", "yosinski-2015-1", "maco-2023"])
def test_a_run_resumes_in_any_grad_mode(name: str) -> None:
    expected = to_end(Ascent(NET, Logit(1), brief(name), size=24))
    for here in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        with here():
            ascent = Ascent(NET, Logit(1), brief(name), size=24)
            for _ in range(3):
                ascent.step()
            state = ascent.state()
        for there in (torch.inference_mode, torch.enable_grad):
            with there():
                resumed = Ascent.resume(NET, state)
                resumed.step()
                resumed.change(recipe=resumed.recipe)
            assert resumed.images.shape == (1, 3, 24, 24)
            assert torch.equal(to_end(Ascent.resume(NET, state))[0], expected[0])


def test_an_objective_that_a_file_cannot_contain_is_given_again(tmp_path: Path) -> None:
    objective = Objective(lambda a: a["forms"][:, 1].mean(dim=(1, 2)), ["forms"]) + Style(
        ["edges"], torch.rand(3, 9, 9)
    )
    ascent = Ascent(NET, objective, SHORT, size=24)
    ascent.step()
    state = through_file(ascent.state(), tmp_path)
    assert state.objectives is None
    with pytest.raises(PeekError, match="give the same one again as objective="):
        Ascent.resume(NET, state)
    with pytest.raises(PeekError, match="has no objectives"):
        state.save(tmp_path / "again")
    assert equal(to_end(Ascent.resume(NET, state, objective=objective)), to_end(ascent))


def test_a_state_that_does_not_fit_the_model_is_refused() -> None:
    state = Ascent(NET, [Logit(1), Logit(2)], SHORT, size=24).state()
    with pytest.raises(PeekError, match=r"resume it with the same model.*input_size="):
        Ascent.resume(read(tiny(channels=1), 32), state)
    with pytest.raises(PeekError, match="2 seeds for 1 objectives"):
        Ascent.resume(NET, state, objective=Logit(1))
    grown = Ascent(NET, Logit(1), Recipe(octaves=((2, 1.0), (2, 1.5)))).state()
    with pytest.raises(PeekError, match="The state's pictures have 32 px"):
        Ascent.resume(read(Planted(), 16), grown, objective=Logit(1))


def kept(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a good file."""
    ascent = Ascent(
        NET,
        [Logit(1), Neuron("forms", 2)],
        brief("yosinski-2015-1").replace(optimizer="nadam", grad_norm="first", alpha=True),
        size=16,
    )
    ascent.step()
    ascent.override(blur=1.0)
    ascent.state().save(path)
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        ((kind, text),) = file.metadata().items()
    assert kind == "peek_widget state 1"
    return load_file(path), json.loads(text)


def write(path: Path, tensors: dict[str, torch.Tensor], header: Any) -> None:
    save_file(tensors, str(path), metadata={"peek_widget state 1": json.dumps(header)})


@pytest.mark.parametrize(
    "changed",
    [
        {"objectives": []},
        {"objectives": 3},
        {"objectives": [{"kind": "logit"}] * 2},
        {"objectives": [{}, {}]},
        {"objectives": [{"kind": "logit", "unit": -1}] * 2},
        {"recipe": {"blur": -1}},
        {"recipe": []},
        {"recipe": {"evil": 1}},
        {"seeds": [1]},
        {"seeds": [1, -2]},
        {"seeds": [1, True]},
        {"seeds": [1, 2**64]},
        {"seeds": "ab"},
        {"asked_size": 10**9},
        {"asked_size": "16"},
        {"side": 10**9},
        {"side": 0},
        {"side": 17},
        {"side": -16},
        {"side": 16.0},
        {"index": -1},
        {"index": 1.5},
        {"index": 10**30},
        {"steps": None},
        {"overrides": {"blur": 99.0}},
        {"overrides": {"evil": 1}},
        {"overrides": [1]},
        {"overrides": {"blur": "x"}},
        {"overrides": {"rotation": 5.0}},
        {"recipe": {"octaves": [[100000, 4.0]] * 50}},
    ],
)
def test_hostile_headers_are_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    tensors, header = kept(tmp_path / "good")
    write(tmp_path / "bad", tensors, {**header, **changed})
    with pytest.raises(PeekError):
        Ascent.resume(NET, State.load(tmp_path / "bad"))


def test_missing_headers_are_refused(tmp_path: Path) -> None:
    tensors, header = kept(tmp_path / "good")
    for name in header:
        write(tmp_path / "bad", tensors, {k: v for k, v in header.items() if k != name})
        with pytest.raises(PeekError, match="is a damaged state"):
            State.load(tmp_path / "bad")
    for text in ("[]", "{", "null", "1", "[" * 5000):
        save_file(tensors, str(tmp_path / "bad"), metadata={"peek_widget state 1": text})
        with pytest.raises(PeekError, match="is a damaged state"):
            State.load(tmp_path / "bad")
    save_file(tensors, str(tmp_path / "bad"), metadata={"of": "another"})
    with pytest.raises(PeekError, match="but not the state of an ascent"):
        State.load(tmp_path / "bad")


@pytest.mark.parametrize("how", ["missing", "longer", "whole", "nan", "type", "flat"])
def test_hostile_tensors_are_refused(how: str, tmp_path: Path) -> None:
    tensors, header = kept(tmp_path / "good")
    damage: dict[str, Callable[[torch.Tensor], torch.Tensor | None]] = {
        "missing": lambda t: None,
        "longer": lambda t: torch.cat([t.reshape(-1), t.reshape(-1)]),
        "whole": lambda t: t.long() if t.is_floating_point() else None,
        "nan": lambda t: torch.full_like(t, float("nan")) if t.is_floating_point() else torch.zeros_like(t),
        "type": lambda t: t.to(torch.complex64),
        "flat": lambda t: t.reshape(1, -1, 1),
    }
    # Without these it is the state of another run, just as possible.
    optional = {"first_grad_rms", "importance"}
    tried = 0
    for name, value in tensors.items():
        changed = damage[how](value)
        if (changed is None and name in optional) or (how == "flat" and name.startswith("generator.")):
            continue  # a generator's bytes are the same in any shape
        rest = {k: v for k, v in tensors.items() if k != name}
        write(tmp_path / "bad", rest if changed is None else {**rest, name: changed.contiguous()}, header)
        with pytest.raises(PeekError):
            Ascent.resume(NET, State.load(tmp_path / "bad"))
        tried += 1
    assert tried >= 8
    write(tmp_path / "bad", {**tensors, "evil": torch.zeros(1)}, header)
    with pytest.raises(PeekError, match="has a tensor 'evil'"):
        Ascent.resume(NET, State.load(tmp_path / "bad"))


def test_negative_squares_of_adam_are_refused(tmp_path: Path) -> None:
    tensors, header = kept(tmp_path / "good")
    for name in ("optimizer.step", "optimizer.mu_product", "optimizer.exp_avg_sq"):
        write(tmp_path / "bad", {**tensors, name: tensors[name] - 2.0}, header)
        with pytest.raises(PeekError, match="damaged or was edited"):
            Ascent.resume(NET, State.load(tmp_path / "bad"))


@settings(max_examples=60)
@given(data=st.data())
def test_truncated_and_overwritten_files(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "state-good"
    if not path.exists():
        kept(path)
    good = path.read_bytes()
    bad = bytearray(good[: data.draw(st.one_of(st.just(len(good)), st.integers(0, len(good) - 1)))])
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=5)):
        if place < len(bad):
            bad[place] = value
    broken = path.with_name("state-bad")
    broken.write_bytes(bad)
    try:
        ascent = Ascent.resume(NET, State.load(broken))
        ascent.step() if not ascent.done else None
    except PeekError as error:
        assert str(error)


def test_other_files_and_missing_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("picture.png", "empty", "."):
        with pytest.raises(PeekError, match="is not the state of an ascent"):
            State.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        State.load(tmp_path / "none")
    with pytest.raises(PeekError, match="can't be written"):
        Ascent(NET, Logit(1), SHORT, size=24).state().save(tmp_path / "no folder" / "x")
