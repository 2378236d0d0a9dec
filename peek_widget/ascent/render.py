"""Drawing in one call: ``ascend`` step by step, ``render`` to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from torch import nn

from peek_widget.ascent.arguments import AscentOptions, Objectives, with_options
from peek_widget.ascent.engine import Ascent
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.result import Result, Step
from peek_widget.network import ModelCopy, Network

__all__ = ["ascend", "render"]


@with_options
def ascend(
    model: nn.Module | ModelCopy | Network,
    objective: Objectives,
    recipe: Recipe | str | None = None,
    **options: Unpack[AscentOptions],
) -> Ascent:
    """Draw, one :class:`Step` after the other, each made when it is asked for; see :class:`Ascent`.

    What is wrong with the arguments is said at the call, not at the first step.

    Example:
        ``for step in ascend(model, Neuron("features.12", 10)): print(step.index, step.activation)``
    """
    return Ascent(model, objective, recipe, **options)


@with_options
def render(
    model: nn.Module | ModelCopy | Network,
    objective: Objectives,
    recipe: Recipe | str | None = None,
    *,
    callback: Callable[[Step], object] | None = None,
    progress: bool | None = None,
    **options: Unpack[AscentOptions],
) -> Result:
    """Draw to the end; see :class:`Ascent` for the other arguments and errors.

    Args:
        callback: called with each :class:`Step`; where it returns True, that step was the last.
        progress: whether to show a progress bar; None shows one where it takes more than two seconds.

    Returns:
        The result; after Ctrl-C what there is.

    Example:
        ``render(model, Logit(207)).save("golden.png")``
    """
    return Ascent(model, objective, recipe, **options).run(callback, progress)
