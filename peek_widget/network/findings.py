"""Findings about a model that its user should know: shown in ``repr`` and in the widget's footer, and as warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peek_widget.errors import HookWarning, PeekWarning, warn
from peek_widget.network.hooks import Hooks, UserHook

__all__ = ["Finding", "Findings", "Known", "hook_findings"]


@dataclass(frozen=True)
class Finding:
    """One finding about a model.

    Attributes:
        text: a short phrase, for ``repr`` and the widget's footer.
        warning: the sentences of a warning; "" where the answers are those that one expects.
        kind: the kind of the warning.
        of_hook: whether it is about a hook of the model.
        of_forward: whether it was found in the dry run, which is made again whenever the model is read.
    """

    text: str
    warning: str = ""
    kind: type[PeekWarning] = PeekWarning
    of_hook: bool = False
    of_forward: bool = False

    def at(self, where: str) -> Finding:
        """Return the finding with the place filled in."""
        return Finding(self.text.format(where=where), self.warning.format(where=where), self.kind)


@dataclass(frozen=True)
class Findings:
    """The findings of a model's probe.

    Attributes:
        all: the findings, none where everything is as expected.
        probed: whether the model was probed.
        one_at_a_time: whether images have to be given to the model one at a time.
        measured_from: name of the first layer whose receptive fields are not where its layers say, so that they are
            measured from there on; None where there is none.
    """

    all: tuple[Finding, ...] = ()
    probed: bool = False
    one_at_a_time: bool = False
    measured_from: str | None = None

    def __str__(self) -> str:
        return "; ".join(one.text for one in self.all) or ("nothing found" if self.probed else "not probed")

    def warn(self) -> None:
        """Issue the warnings."""
        for one in self.all:
            if one.warning:
                warn(one.warning, one.kind)


@dataclass(frozen=True)
class Known:
    """What was found out about a model by trying, so that threads and other processes need not try it again.

    Attributes:
        hooks: its forward hooks.
        random: whether its forward draws random numbers.
        by_global_state: whether it draws them from a global state.
        writes_parameters: whether a hook writes into its parameters.
        structure: names and classes of its modules.
        findings: what the probe found.
    """

    hooks: tuple[UserHook, ...]
    random: bool
    by_global_state: bool
    writes_parameters: bool
    structure: tuple[Any, ...]
    findings: Findings


def hook_findings(hooks: Hooks) -> list[Finding]:
    """Return the findings about the model's own hooks."""
    found = []
    if hooks.kept:
        found.append(Finding(f"runs with the model's own {_counted(hooks.kept)}", of_hook=True))
    for one in hooks.left_out:
        found.append(
            Finding(
                f"without the hook {one}",
                f"The hook {one} is left out, because {one.problem}. If it changes what the module is given or what it "
                "returns, activations are not those of your model's own forward: write what it does into the forward, "
                "or remove the hook.",
                HookWarning,
                of_hook=True,
            )
        )
    if hooks.backward:
        found.append(Finding(f"without the backward hooks of {_names(hooks.backward)}", of_hook=True))
    return found


def _counted(hooks: list[UserHook]) -> str:
    return f"hook{'s' * (len(hooks) > 1)} {_names(list(map(str, hooks)))}"


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
