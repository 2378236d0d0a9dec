"""The initial controls of an explorer, from the arguments of its constructor or from a state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peek_widget.ascent import Objective
from peek_widget.errors import PeekError
from peek_widget.live.catalog import default_layer
from peek_widget.live.choices import Choices
from peek_widget.live.controls import Controls, read_state

__all__ = ["initial_controls"]


def initial_controls(
    given: Mapping[str, Any],
    state: str | Mapping[str, Any] | None,
    defaults: Mapping[str, Any],
    choices: Choices,
) -> Controls:
    """Return the initial controls of an explorer, checked.

    Args:
        given: the arguments for individual controls, by name.
        state: the argument for all controls; None if it was not given.
        defaults: the defaults of the arguments.
        choices: the possible values for the model.

    Raises:
        PeekError: for a control that is not possible, or one given together with a state.
    """
    wanted = given if state is None else _restored(state, given, defaults)
    wanted = {name: value for name, value in wanted.items() if value is not None}
    network = choices.network()
    if "layer" not in wanted:
        objective = wanted.get("objective")
        wanted["layer"] = objective.layers[0] if isinstance(objective, Objective) else default_layer(network)
    wanted = {"recipe": choices.recipes[0], "device": str(network.model_copy.device), **wanted}
    return Controls(**wanted).checked(choices)


def _restored(
    state: str | Mapping[str, Any], given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the controls of a state; PeekError if individual controls were given too."""
    restored = read_state(state)
    beside = sorted(name for name, value in given.items() if value is not None and value != defaults[name])
    if beside:
        raise PeekError(
            f"state= holds every control, and {', '.join(beside)} {'was' if len(beside) == 1 else 'were'} given "
            "beside it: leave the one or the other out, and set what is to differ afterwards."
        )
    return restored
