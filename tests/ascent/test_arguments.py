"""The arguments of ascend, render and Ascent: one signature, objectives as strings."""

from __future__ import annotations

import inspect

import pytest

from peek_widget import Ascent, Channel, Logit, Neuron, Recipe, ascend, render
from peek_widget.ascent.arguments import AscentOptions, as_objectives
from peek_widget.errors import LayerError, PeekError, UnitError
from peek_widget.network import read
from tests.networks import tiny

NET = read(tiny())
SHORT = Recipe.preset("peek").replace(steps=1, size=24)


@pytest.mark.parametrize("function", [Ascent, ascend, render])
def test_the_signature_names_every_option(function: type) -> None:
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:3] == ["model", "objective", "recipe"]
    assert set(AscentOptions.__annotations__) == set(parameters) - {"model", "objective", "recipe"} - (
        {"callback", "progress"} if function is render else set()
    )
    assert parameters["seed"].default == 0
    assert parameters["size"].default is None


@pytest.mark.parametrize("function", [Ascent, ascend, render])
def test_an_unknown_option_is_refused(function: type) -> None:
    with pytest.raises(TypeError, match="'sede'"):
        function(NET, Logit(0), SHORT, sede=3)


def test_a_string_names_a_unit() -> None:
    assert as_objectives(NET, "forms:2") == (Neuron("forms", 2),)
    assert as_objectives(NET, ":3") == (Logit(3),)
    assert as_objectives(NET, ["forms:2", Channel("forms", 1)]) == (Neuron("forms", 2), Channel("forms", 1))
    assert ascend(NET, "forms:2", SHORT).objectives == (Neuron("forms", 2),)
    run = ascend(NET, "forms:2", SHORT)
    run.change(objective="forms:1")
    assert run.objectives == (Neuron("forms", 1),)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("forms", PeekError, "names no unit: give .layer:unit."),
        ("forms:", PeekError, "names no unit"),
        ("forms:-1", PeekError, "names no unit"),
        ("forms:x", PeekError, "names no unit"),
        ("form:1", LayerError, "form"),
        ("forms:99", UnitError, "99"),
        ([], PeekError, "is not an objective"),
        (3, PeekError, "is not an objective"),
    ],
)
def test_anything_but_an_objective_is_refused_in_a_sentence(text: object, error: type[PeekError], words: str) -> None:
    with pytest.raises(error, match=words):
        as_objectives(NET, text)


def test_a_wrong_keyword_names_the_function():
    with pytest.raises(TypeError, match=r"render\(\) got an unexpected keyword argument 'init'"):
        render(tiny(), "forms:1", init="noise")
