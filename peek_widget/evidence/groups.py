"""Groups of images by their labels; and those of ImageNet's 1000 classes, by their numbers (sorted by WordNet id)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from peek_widget.errors import PeekError
from peek_widget.evidence.labels import Label

__all__ = ["IMAGENET_GROUPS", "MAX_GROUPS", "Grouping", "Groups", "is_member", "read_groups"]

Groups = Mapping[str, Iterable[Any] | Callable[[Any], bool]] | str | None
"""Groups of labels: for each name the labels in it (numbers or names), or a function of the label that tells whether it
is; ``"imagenet"`` for :data:`IMAGENET_GROUPS`; None for a group of each label."""

MAX_GROUPS = 64
"""Number of labels up to which a pass keeps a histogram of each: 16 kB for each unit."""

_MAX_NAMED = 1024


def _spans(*spans: tuple[int, int] | int) -> tuple[int, ...]:
    """Return all numbers of the spans, first and last included."""
    return tuple(
        number
        for span in spans
        for number in (range(span[0], span[1] + 1) if isinstance(span, tuple) else (span,))
    )  # fmt: skip


IMAGENET_GROUPS: dict[str, tuple[int, ...]] = {
    "dogs": _spans((151, 268)),
    "wild dogs": _spans((269, 275), (277, 280)),  # wolves, coyote, dingo, dhole; foxes. 276, a hyena, is none
    "cats": _spans((281, 285)),
    "wild cats": _spans((286, 293)),
    "bears": _spans((294, 297)),
    "hoofed animals": _spans((339, 355)),
    "primates": _spans((365, 384)),
    "rodents and rabbits": _spans((330, 333), (335, 338)),  # 334 is a porcupine
    "birds": _spans((7, 24), (80, 100), (127, 146)),
    "fish": _spans((0, 6), (389, 397)),
    "frogs and salamanders": _spans((25, 32)),
    "turtles": _spans((33, 37)),
    "lizards and crocodiles": _spans((38, 50)),
    "snakes": _spans((52, 68)),
    "spiders": _spans((72, 77)),
    "insects": _spans((300, 326)),
    "crabs and lobsters": _spans((118, 125)),
    "whales and seals": _spans((147, 150)),
    "cars and trucks": _spans(
        407, 436, 468, 511, 555, 569, 609, 627, 654, 656, 661, 675, 717, 734, 751, 757, 779, 803, 817, 864, 867, 874
    ),
    "trains": _spans(466, 547, 565, 705, 820, 829),
    "ships and boats": _spans(403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "aircraft": _spans(404, 405, 417, 895),
    "two wheels": _spans(444, 665, 670, 671),
    "musical instruments": _spans(
        401, 402, 420, 432, 486, 513, 541, 546, 558, 566, 577, 579, 593, 594, 641, 642, 683, 684, 687, 699, 776,
        822, 875, 881, 889
    ),
    "dishes": _spans((924, 935), 959, 960, (962, 965)),
    "fruit and vegetables": _spans((936, 946), (948, 957)),
    "mushrooms": _spans(947, (991, 997)),
    "flowers": _spans((984, 986)),
    "landscapes": _spans(970, 972, (974, 980)),
}  # fmt: skip
"""Class numbers (0 to 999) of each group, by its name. Groups do not overlap; not every class is in one."""


def read_groups(groups: Groups) -> Mapping[str, Any] | None:
    """Return groups as a mapping from their names.

    Raises:
        PeekError: if they are not groups.
    """
    if isinstance(groups, str):
        if groups != "imagenet":
            raise PeekError(f"groups={groups!r}: give 'imagenet' or a dict of labels by name.")
        groups = IMAGENET_GROUPS
    if groups is None:
        return None
    if not isinstance(groups, Mapping) or not groups:
        raise PeekError(
            "groups must name at least one group, a dict of labels by name, e.g. {'dogs': range(151, 269)}."
        )
    if len(groups) > _MAX_NAMED:
        raise PeekError(f"groups has {len(groups):,} groups: give at most {_MAX_NAMED:,}.")
    return {
        str(name): wanted
        if callable(wanted)
        else frozenset([wanted] if isinstance(wanted, (str, int)) or not isinstance(wanted, Iterable) else wanted)
        for name, wanted in groups.items()
    }


def is_member(label: Label, wanted: Any, class_names: Sequence[str]) -> bool:
    """Return whether a label is in a group of :func:`read_groups`, by itself or by its class's name."""
    if label is None:
        return False
    return bool(wanted(label)) if callable(wanted) else label in wanted or name_of(label, class_names) in wanted


def name_of(label: Label, class_names: Sequence[str]) -> str:
    """Return the name of the class that a label stands for, where it is known, else the label itself."""
    return class_names[label] if isinstance(label, int) and 0 <= label < len(class_names) else str(label)


class Grouping:
    """Which groups the images of a pass belong to: those that were named, or one for each label that occurs.

    Args:
        groups: what :func:`read_groups` has returned.
        class_names: names of the classes that whole-number labels stand for.

    Attributes:
        named: whether the groups were named.
        names: their names; or the labels, in the order in which they occurred.
        members: labels of each that occurred.
    """

    def __init__(self, groups: Mapping[str, Any] | None = None, class_names: Sequence[str] = ()) -> None:
        self._groups, self._class_names = groups, class_names
        self.named: bool = groups is not None
        self.names: list[Label] = list(groups or ())
        self.members: list[set[Label]] = [set() for _ in self.names]
        self._rows: dict[Label, tuple[int, ...]] = {None: ()}

    @classmethod
    def of(cls, named: bool, names: Iterable[Label], members: Iterable[Iterable[Label]]) -> Grouping:
        """Make the grouping of a file."""
        found = cls()
        found.named, found.names, found.members = named, list(names), [set(labels) for labels in members]
        for row, labels in enumerate(found.members):
            for label in labels:
                found._rows[label] = (*found._rows.get(label, ()), row)
        return found

    def use(self, other: Grouping) -> None:
        """Take over another grouping's groups of labels that have not occurred."""
        self._groups, self._class_names = other._groups, other._class_names
        for label in list(self._rows):
            if label is not None and not self._rows[label]:
                del self._rows[label]

    def rows(self, label: Label) -> tuple[int, ...]:
        """Return the numbers of the groups that an image with this label is in."""
        found = self._rows.get(label)
        if found is None:
            if self._groups is None:
                self.names.append(label)
                self.members.append({label})
                found = (len(self.names) - 1,)
            else:
                wanted = enumerate(self._groups.values())
                found = tuple(row for row, one in wanted if is_member(label, one, self._class_names))
                for row in found:
                    self.members[row].add(label)
            self._rows[label] = found
        return found

    def judged(self, label: Label, occurred: bool) -> list[str] | None:
        """Return the names of the groups that a label is in; None if unknown.

        Args:
            label: the label.
            occurred: whether it has occurred among the images, so that it is in no group where none has it.
        """
        rows = self._rows.get(label, () if occurred else None)
        if rows is None:
            if self._groups is None:
                return None
            return [str(name) for name, one in self._groups.items() if is_member(label, one, self._class_names)]
        return [str(self.names[row]) for row in sorted(rows)]

    @property
    def too_many(self) -> bool:
        """Whether more labels have occurred than histograms are kept of."""
        return not self.named and len(self.names) > MAX_GROUPS

    def merge(self, other: Grouping) -> list[int]:
        """Take in the groups of other images, and return the number that each of them has here."""
        if not self.named:
            return [self.rows(label)[0] for label in other.names]
        for row, labels in enumerate(other.members):
            for label in labels - self.members[row]:
                self.members[row].add(label)
                self._rows[label] = (*self._rows.get(label, ()), row)
        return list(range(len(self.names)))

    def rows_of(self, group: str, labels: set[Label]) -> list[int] | None:
        """Return the rows that, summed, are those of a group of labels; None where none was kept of it."""
        if not self.named:
            return [row for label in labels for row in self._rows.get(label, ())]
        known = [row for row, name in enumerate(self.names) if name == group and self.members[row] == labels]
        return known or None

    @property
    def order(self) -> list[int]:
        """The rows in an order that does not depend on that of the images."""
        rows = range(len(self.names))
        return list(rows) if self.named else sorted(rows, key=lambda row: (str(type(self.names[row])), self.names[row]))
