"""Drawing in one call: ``ascend`` step by step, ``render`` to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from torch import nn

from peek_widget._threads import computing_on
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
    """Draw step by step: return a lazy iterator of :class:`Step`, see :class:`Ascent` for the arguments.

    Errors in the arguments are raised by this call, not by the first step.

    Example:
        ``for step in ascend(model, Neuron("features.12", 10)): print(step.index, step.activation)``
    """
    with computing_on(options["threads"]):
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
        callback: function that is called with each :class:`Step`; the run stops where it returns True.
        progress: whether to show a progress bar; None shows one after two seconds.

    Returns:
        The result; after Ctrl-C the result so far.

    Example:
        ``render(model, Logit(207)).save("golden.png")``
    """
    with computing_on(options["threads"]):
        return Ascent(model, objective, recipe, **options).run(callback, progress)
