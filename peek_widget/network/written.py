"""What a forward writes into its own modules: restored before every forward, so that each begins as the user's would.

Spectral norm by hand improves its estimate in every forward, observers of quantization-aware training widen their
range, others count their calls. A copy that went on from forward to forward would drift away from the user's model, and
give other numbers for the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.network.preactivation import address_of, storage_of

__all__ = ["Written", "changed_parameters", "find_replaced", "find_written", "marks_of"]

_PLAIN = (int, float, bool, str, type(None))
_TORCHS = ("_parameters", "_buffers", "_modules", "training")

Pairs = Sequence[tuple[nn.Module, nn.Module]]
"""Pairs of the user's modules and their copies."""


@dataclass(frozen=True)
class Written:
    """A tensor or number of a module that the forward writes.

    Attributes:
        theirs: the user's module.
        ours: its copy.
        name: name of the attribute.
        table: ``"_buffers"``, ``"_parameters"``, or ``""`` for a plain attribute.
    """

    theirs: nn.Module
    ours: nn.Module
    name: str
    table: str = ""

    def put_back(self) -> None:
        """Restore the copy's value from the user's module."""
        theirs = vars(self.theirs)[self.table] if self.table else vars(self.theirs)
        ours = vars(self.ours)[self.table] if self.table else vars(self.ours)
        if self.name not in theirs:
            ours.pop(self.name, None)
            return
        value, mine = theirs[self.name], ours.get(self.name)
        if isinstance(value, Tensor):
            value = value.detach()
            if isinstance(mine, Tensor):
                value = value.to(mine.device)
            value = value.clone()  # the forward may write into it
            if self.table == "_parameters" and mine is not None:
                mine.data = value
                return
        ours[self.name] = value


_Mark = tuple[Any, int, int]


def marks_of(pairs: Pairs) -> dict[tuple[int, str, str], _Mark]:
    """Record the tensors and numbers of the copied modules, for :func:`find_written`."""
    found: dict[tuple[int, str, str], _Mark] = {}
    for number, (_, ours) in enumerate(pairs):
        for name, value in vars(ours).items():
            if name not in _TORCHS and isinstance(value, (Tensor, *_PLAIN)):
                found[number, "", name] = _mark(value)
        for name, value in ours._buffers.items():
            if value is not None:
                found[number, "_buffers", name] = _mark(value)
    return found


def find_written(pairs: Pairs, before: dict[tuple[int, str, str], _Mark]) -> list[Written]:
    """Return what was written into the copied modules since :func:`marks_of`."""
    now = marks_of(pairs)
    found = []
    differing = _differing(pairs)
    for key in dict.fromkeys((*before, *now)):
        number, table, name = key
        was, new = before.get(key), now.get(key)
        if was is not None and new is not None and _equal(was, new) and key not in differing:
            continue
        theirs, ours = pairs[number]
        found.append(Written(theirs, ours, name, table))
    return found


def find_replaced(pairs: Pairs, before: dict[tuple[int, str, str], _Mark], known: Sequence[Written]) -> list[Written]:
    """Return the attributes and buffers of our modules that are others than at :func:`marks_of`, less those known.

    What was written in place is left to :func:`find_written`: between two forwards buffers are refreshed in place.
    """
    skipped = {(id(one.ours), one.table, one.name) for one in known}
    now = marks_of(pairs)
    found = []
    for key in dict.fromkeys((*before, *now)):
        was, new = before.get(key), now.get(key)
        number, table, name = key
        theirs, ours = pairs[number]
        if (was is None or new is None or not _equal((was[0], 0, 0), (new[0], 0, 0))) and (
            id(ours),
            table,
            name,
        ) not in skipped:
            found.append(Written(theirs, ours, name, table))
    return found


def _differing(pairs: Pairs) -> set[tuple[int, str, str]]:
    """Return which copied tensors differ from the user's, since the version counter does not see every write."""
    found = set()
    for number, (theirs, ours) in enumerate(pairs):
        for table, mine, original in (("", vars(ours), vars(theirs)), ("_buffers", ours._buffers, theirs._buffers)):
            for name, value in mine.items():
                other = original.get(name)
                if not isinstance(value, Tensor) or not isinstance(other, Tensor) or value.device != other.device:
                    continue
                if value.shape != other.shape or not torch.equal(value.detach(), other.detach()):
                    found.add((number, table, name))
    return found


def _mark(value: Any) -> _Mark:
    if not isinstance(value, Tensor):
        return value, 0, 0
    return value, 0 if value.is_inference() else value._version, storage_of(value)


def _equal(one: _Mark, other: _Mark) -> bool:
    same = one[0] is other[0] if isinstance(one[0], Tensor) or isinstance(other[0], Tensor) else one[0] == other[0]
    return same and one[1:] == other[1:]


def changed_parameters(pairs: Pairs) -> list[Written]:
    """Return the copied parameters whose values differ from the user's; all others share their memory again."""
    found = []
    for theirs, ours in pairs:
        for name, parameter in theirs._parameters.items():
            mine = ours._parameters.get(name)
            if parameter is None or mine is None or address_of(mine) == address_of(parameter):
                continue
            if parameter.is_inference():
                continue  # the copy has a clone
            if mine.device == parameter.device and torch.equal(mine.data, parameter.data):
                mine.data = parameter.data
            elif mine.device == parameter.device:
                found.append(Written(theirs, ours, name, "_parameters"))
    return found
