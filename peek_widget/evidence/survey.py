"""What each unit of a layer is about, counted: which group of images its top crops come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peek_widget._optional import optional_import
from peek_widget._stats import adjust_p_values, enrichment_p_value
from peek_widget.errors import PeekError
from peek_widget.evidence.crops import LayerEvidence
from peek_widget.evidence.dataset import Label
from peek_widget.evidence.groups import IMAGENET_GROUPS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Survey", "survey"]

Groups = Mapping[str, Iterable[Any] | Callable[[Any], bool]] | str | None


@dataclass(frozen=True)
class Survey:
    """The answer to "how many units are about dogs?", with what it rests on.

    Attributes:
        layer: whose units.
        images: of the dataset.
        level: the false discovery rate that is accepted within each group.
        every: a row for each unit and group: ``unit, group, count`` (of the unit's top images, those in the
            group), ``of`` (its top images), ``expected`` (were they drawn blindly), ``p`` (hypergeometric:
            of so many or more by chance), ``q`` (the same, corrected over the units by Benjamini and Hochberg).
        table: a row for each unit: the group it is most surely about (``about``, None where no q is at most
            ``level``) with its ``count, of, expected, p, q``, and ``best`` (its highest activation),
            ``active_share``.
        counts: a row for each group, most units first: ``group, units`` (with q at most ``level``), ``of``
            (units), ``share``, ``images`` (of the group), ``least_p`` (of a unit whose top images are all of the
            group as far as its images go), ``findable`` (whether one such unit alone would be counted; else only
            many together are).
    """

    layer: str
    images: int
    level: float
    every: pd.DataFrame
    table: pd.DataFrame
    counts: pd.DataFrame

    def units(self, group: str) -> list[int]:
        """The units about a group, surest first."""
        if group not in set(self.counts["group"]):
            raise PeekError(f"There is no group {group!r}; there are: {', '.join(self.counts['group'])}.")
        rows = self.every[(self.every["group"] == group) & (self.every["q"] <= self.level)]
        return rows.sort_values(["q", "count", "unit"], ascending=[True, False, True])["unit"].tolist()

    def plot(self, ax: Axes | None = None, most: int = 20) -> Axes:
        """A bar chart of the counts, matplotlib's Axes; groups without a unit are left out.

        Args:
            ax: to draw into; left out, a new figure's.
            most: groups at most, those with the most units.
        """
        rows = self.counts[self.counts["units"] > 0].head(most)[::-1]
        if ax is None:
            figure = optional_import("matplotlib.figure").Figure(
                figsize=(6.4, 0.6 + 0.3 * max(len(rows), 2)), layout="tight"
            )
            ax = figure.subplots()
        bars = ax.barh(rows["group"].astype(str), rows["units"])
        ax.bar_label(bars, padding=3)
        total = int(self.counts["of"].max())
        ax.set_xlabel(f"of {total} units of {self.layer or 'the output'}, on {self.images:,} images")
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.1)
        return ax

    def __str__(self) -> str:
        total = int(self.counts["of"].max())
        lines = [f"{r.units} of {total} units: {r.group}" for r in self.counts.itertuples() if r.units]
        about = int(self.table["about"].notna().sum())
        lines.append(
            f"{total - about} of {total} units: nothing that can be told from {self.images:,} images "
            f"(false discovery rate {self.level:.0%})"
        )
        hopeless = self.counts[~self.counts["findable"]]
        if len(hopeless):
            shown = ", ".join(map(str, hopeless["group"].head(5))) + (", ..." if len(hopeless) > 5 else "")
            lines.append(
                f"too few images to find a unit by itself: {len(hopeless)} of {len(self.counts)} groups ({shown})"
            )
        return "\n".join(lines)


def survey(evidence: LayerEvidence, groups: Groups = None, *, level: float = 0.05) -> Survey:
    """Which units are about which group of images, by the labels of their top crops.

    For each unit and group: is the group more frequent among the images of the unit's top crops than a blind
    draw from the dataset would make it? The test is hypergeometric; its p-values are corrected within each
    group over the units of the layer (Benjamini and Hochberg 1995), so that of the units counted for a group
    about ``level`` are false. It is blind to why: "dogs" may be fur, grass or the middle of the picture.

    Args:
        evidence: of a layer, from a dataset with labels. With few top crops (k) only frequent coincidences
            can be told from chance: 9 or more are wanted.
        groups: by name, the labels that belong to it (numbers or names, any iterable) or a function of the label;
            ``"imagenet"`` for :data:`~peek_widget.evidence.groups.IMAGENET_GROUPS`; left out, each label is a
            group of its own.
        level: the accepted false discovery rate.

    Raises:
        PeekError: if the evidence has no labels, no group has an image, or scipy or pandas is not installed.
    """
    optional_import("scipy.stats")
    pandas = optional_import("pandas")
    if not isinstance(evidence, LayerEvidence):
        raise PeekError(
            f"survey takes the evidence of one layer, as top_crops(model, layer, dataset) returns it; a "
            f"{type(evidence).__name__} was given (of several layers take one: crops[layer])."
        )
    if not 0.0 < level < 1.0:
        raise PeekError(f"level={level!r}: give the accepted false discovery rate, between 0 and 1, e.g. 0.05.")
    counted = {label: count for label, count in evidence.label_counts.items() if label is not None}
    if not counted:
        raise PeekError(
            "The images have no labels, so nothing can be counted: make the pass with labels=, a list with one label "
            "for each image, or over a folder with one sub-folder for each class."
        )
    images, tops = evidence.images, evidence.top_labels()
    if all(not labels for labels in tops):
        raise PeekError("No unit has a top crop: its activations were not finite on any image.")
    members = _members(groups, counted, evidence.class_names)
    units = len(tops)
    of = np.array([len(labels) for labels in tops])
    tables = []
    counts = []
    for group, labels in members.items():
        inside = sum(counted[label] for label in labels)
        count = np.array([sum(label in labels for label in top) for top in tops])
        p = enrichment_p_value(count, of, inside, images)
        q = adjust_p_values(p)
        tables.append(
            pandas.DataFrame(
                {
                    "unit": np.arange(units),
                    "group": group,
                    "count": count,
                    "of": of,
                    "expected": of * inside / images,
                    "p": p,
                    "q": q,
                }
            )
        )
        most = int(of.max())
        least = float(enrichment_p_value(min(most, inside), most, inside, images)) if inside else 1.0
        found = int((q <= level).sum())
        counts.append((group, found, units, found / units, inside, least, least * units <= level))
    every = pandas.concat(tables, ignore_index=True)
    surest = every.loc[every.groupby("unit")["p"].idxmin()].sort_values("unit").reset_index(drop=True)
    table = surest.rename(columns={"group": "about"})
    table["about"] = table["about"].astype(object).where(table["q"] <= level, None)
    table["best"] = evidence.tops()[:, 0].numpy()
    table["active_share"] = evidence.active_shares().numpy()
    summary = pandas.DataFrame(
        counts, columns=["group", "units", "of", "share", "images", "least_p", "findable"]
    ).sort_values(["units", "images"], ascending=False, kind="stable", ignore_index=True)
    return Survey(evidence.name, images, level, every, table, summary)


def _members(groups: Groups, counted: Mapping[Label, int], class_names: tuple[str, ...]) -> dict[str, set[Label]]:
    """Which of the labels that occur belong to each group."""

    def named(label: Label) -> str:
        known = isinstance(label, int) and 0 <= label < len(class_names)
        return class_names[label] if known else str(label)

    if groups is None:
        return {named(label): {label} for label in sorted(counted, key=lambda label: (str(type(label)), label))}
    if isinstance(groups, str):
        if groups != "imagenet":
            raise PeekError(f"groups={groups!r}: as a word only 'imagenet' is possible; else a dict of labels by name.")
        groups = IMAGENET_GROUPS
    if not isinstance(groups, Mapping) or not groups:
        raise PeekError(
            "groups must name at least one group, a dict of labels by name, e.g. {'dogs': range(151, 269)}."
        )
    members: dict[str, set[Label]] = {}
    for group, wanted in groups.items():
        if callable(wanted):
            members[str(group)] = {label for label in counted if wanted(label)}
            continue
        if isinstance(wanted, (str, int)) or not isinstance(wanted, Iterable):
            wanted = [wanted]
        wanted = set(wanted)
        members[str(group)] = {label for label in counted if label in wanted or named(label) in wanted}
    if not any(members.values()):
        have = ", ".join(map(repr, list(counted)[:5]))
        raise PeekError(
            f"None of the groups has an image: the labels are {have}{', ...' * (len(counted) > 5)}; "
            "give groups of such."
        )
    return members
