"""What units are about: which group of images is over-represented among the top crops of each unit of a layer (label
enrichment), and how well the unit tells that group from all other images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peek_widget._optional import optional_import
from peek_widget._stats import adjust_p_values, enrichment_p_value
from peek_widget.errors import PeekError, SurveyWarning, warn
from peek_widget.evidence.dataset import Label
from peek_widget.evidence.evidence import LayerEvidence
from peek_widget.evidence.groups import Groups, is_member, name_of, read_groups

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Survey", "survey"]

_SCORES = ("auprc", "f1", "pearson", "base")

LEAST_GAIN = 0.1
"""Share of the way from chance (the group's share of all images) to 1 that the AUPRC of a unit has to come, so that
what its top images say about it is borne out by all images."""


@dataclass(frozen=True)
class Survey:
    """The answer to "how many units are about dogs?", with the tests behind it.

    Attributes:
        layer: name of the layer.
        images: number of images of the dataset.
        level: accepted false discovery rate within each group.
        every: table with a row for each unit and group: ``unit, group, count`` (number of the unit's top images that
            are in the group), ``of`` (number of its top images), ``expected`` (expectation of ``count`` for random
            images), ``p`` (hypergeometric p-value: probability of this count or a higher one by chance), ``q`` (the
            p-value corrected over the units by Benjamini and Hochberg); and how well the unit tells the group's images
            from all others, over all images: ``auprc`` (area under the curve of precision over recall), ``f1`` (the
            best F1 of any threshold), ``pearson`` (correlation of the unit's activation and of being in the group) and
            ``base`` (the group's share of all images, which is the AUPRC of a unit that knows nothing); NaN where the
            pass has kept no histogram of the group.
        table: table with a row for each unit: the group with the lowest p-value (``about``, None where its q is above
            ``level``) with its ``count, of, expected, p, q``, and ``best`` (the unit's highest activation),
            ``active_share``; and where ``pushes`` was given, ``pushes`` (the class that the unit adds most to on its
            top crops, by name or number; None where it adds to none), ``push`` (how much) and ``pushes_it`` (whether
            that class is in the group that the unit is about; None where that is not known, such as for labels that
            are not classes of the model, by their names or by what the model takes the images for).
        counts: table with a row for each group, most units first: ``group, units`` (number with q at most ``level``),
            ``of`` (number of units), ``share``, ``images`` (number in the group), ``least_p`` (lowest p-value that a
            unit can have for this group: if its top images are all in it, as far as there are enough), ``findable``
            (whether a single unit with that p-value would be counted; if not, only several together are).
    """

    layer: str
    images: int
    level: float
    every: pd.DataFrame
    table: pd.DataFrame
    counts: pd.DataFrame

    def units(self, group: str) -> list[int]:
        """Return the units that are about a group, lowest q first.

        Raises:
            PeekError: if there is no such group.
        """
        if group not in set(self.counts["group"]):
            raise PeekError(f"There is no group {group!r}: choose one of {', '.join(self.counts['group'])}.")
        rows = self.every[(self.every["group"] == group) & (self.every["q"] <= self.level)]
        return rows.sort_values(["q", "count", "unit"], ascending=[True, False, True])["unit"].tolist()

    def plot(self, ax: Axes | None = None, most: int = 20) -> Axes:
        """Draw a bar chart of the counts; groups without a unit are left out.

        Args:
            ax: matplotlib's Axes to draw into; left out, those of a new figure.
            most: largest number of groups, those with the most units.
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
        lines += self._over_all_images()
        if "pushes_it" in self.table:
            known = self.table["pushes_it"].dropna()
            if len(known):
                lines.append(
                    f"classes pushed: {int(known.sum())} of the {len(known)} units that are about a group add most to "
                    "a class of it"
                )
            elif (self.table["about"].notna() & self.table["pushes"].notna()).any():
                lines.append("classes pushed: not compared, for the labels are not known to be classes of the model")
        about = int(self.table["about"].notna().sum())
        lines.append(
            f"{total - about} of {total} units: no significant group in {self.images:,} images "
            f"(false discovery rate {self.level:.0%})"
        )
        hopeless = self.counts[~self.counts["findable"]]
        if len(hopeless):
            shown = ", ".join(map(str, hopeless["group"].head(5))) + (", ..." if len(hopeless) > 5 else "")
            lines.append(
                f"too few images to find a unit by itself: {len(hopeless)} of {len(self.counts)} groups ({shown})"
            )
        return "\n".join(lines)

    def _over_all_images(self) -> list[str]:
        said = self.table[self.table["about"].notna()]
        known = said[said["auprc"].notna()]
        if not len(said):
            return []
        if not len(known):
            return [
                "scores over all images: not kept (a pass keeps them for up to 64 labels, or for the groups that it is "
                "given: top_crops(..., groups=...))"
            ]
        medians = known[["auprc", "f1", "pearson", "base"]].median()
        lines = [
            f"over all images, median of these {len(known)} units: AUPRC {medians.auprc:.2f} (by chance "
            f"{medians.base:.2f}), best F1 {medians.f1:.2f}, Pearson {medians.pearson:.2f}"
        ]
        doubtful = self.doubtful
        if doubtful:
            shown = ", ".join(map(str, doubtful[:8])) + (", ..." if len(doubtful) > 8 else "")
            lines.append(f"not borne out by all images: {len(doubtful)} of these units ({shown})")
        return lines

    @property
    def doubtful(self) -> list[int]:
        """The units whose group is over-represented among their top images, and not borne out by all images."""
        return self.table.loc[self.table["borne_out"] == False, "unit"].tolist()  # noqa: E712  # None is neither


def survey(
    evidence: LayerEvidence, groups: Groups = None, *, level: float = 0.05, pushes: pd.DataFrame | None = None
) -> Survey:
    """Test which units are about which group of images, by the labels of their top crops (label enrichment).

    For each unit and group: are there more images of the group among the unit's top crops than among as many random
    images of the dataset? The test is hypergeometric; its p-values are corrected within each group over the units of
    the layer (Benjamini and Hochberg 1995), so that a share of about ``level`` of the units counted for a group are
    false. It does not tell the cause: "dogs" may be fur, grass or the center of the picture.

    Top images say nothing of all others: a unit whose top nine are dogs may miss most dogs, and fire on much else. So
    beside the enrichment stand scores over *all* images of the pass, which see false positives and misses alike
    (NeuronEval; Oikarinen et al., ICML 2025): AUPRC, best F1 and Pearson's correlation, from histograms of each image's
    highest activation that the pass has kept.

    Args:
        evidence: evidence of a layer, from a dataset with labels. With few top crops (k) only strong enrichment is
            significant: use 9 or more.
        groups: for each group's name the labels in it (numbers or names, any iterable), or a function of the label
            that tells whether it is; ``"imagenet"`` for :data:`~peek_widget.evidence.groups.IMAGENET_GROUPS`; left
            out, those that the pass was given, else each label is a group of its own.
        level: accepted false discovery rate.
        pushes: what ``pushed_classes(model, evidence)`` returned, to have beside what a unit is about the class that it
            adds most to: what the network uses it for. The two are compared where labels are the model's classes: by
            name, where at least half of the names on one side are on the other too; by number, where whole-number
            labels have no names.

    Raises:
        PeekError: if the evidence has no labels, no group has an image, ``pushes`` is of another layer, or scipy or
            pandas is not installed.

    Warns:
        SurveyWarning: of units whose top images say what all images do not bear out.
    """
    optional_import("scipy.stats")
    pandas = optional_import("pandas")
    if not isinstance(evidence, LayerEvidence):
        raise PeekError(
            f"survey takes the evidence of one layer, as top_crops(model, layer, dataset) returns it; a "
            f"{type(evidence).__name__} was given (of several layers take one: evidence[layer])."
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
    members = _members(groups, counted, evidence)
    scores = evidence.group_scores(members)
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
                    **(
                        {name: scores[group][place].numpy() for place, name in enumerate(_SCORES)}
                        if group in scores
                        else dict.fromkeys(_SCORES, np.nan)
                    ),
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
    table["borne_out"] = [
        None if about is None or np.isnan(auprc) else bool(auprc >= base + LEAST_GAIN * (1.0 - base))
        for about, auprc, base in zip(table["about"], table["auprc"], table["base"], strict=True)
    ]
    table["best"] = evidence.tops()[:, 0].numpy()
    table["active_share"] = evidence.active_shares().numpy()
    if pushes is not None:
        _add_pushes(table, pushes, members, evidence)
    summary = pandas.DataFrame(
        counts, columns=["group", "units", "of", "share", "images", "least_p", "findable"]
    ).sort_values(["units", "images"], ascending=False, kind="stable", ignore_index=True)
    found = Survey(evidence.name, images, level, every, table, summary)
    if found.doubtful:
        about = int(table["about"].notna().sum())
        warn(
            f"{len(found.doubtful)} of the {about} units that are about a group by their top images hardly tell it "
            f"from all other images (AUPRC near the group's share, such as unit {found.doubtful[0]}): look at .table, "
            "where borne_out is False, before you name them.",
            SurveyWarning,
        )
    return found


def _add_pushes(
    table: pd.DataFrame, pushes: pd.DataFrame, members: Mapping[str, set[Label]], evidence: LayerEvidence
) -> None:
    """Add to a survey's table the class that each unit adds most to, and whether the unit is about it."""
    pandas = optional_import("pandas")
    if not {"unit", "class", "name", "push"} <= set(getattr(pushes, "columns", ())):
        raise PeekError(
            f"pushes is a {type(pushes).__name__}: give what pushed_classes(model, evidence) returned, a table."
        )
    if pushes.attrs.get("layer", evidence.name) != evidence.name:
        raise PeekError(f"pushes is of layer {pushes.attrs['layer']!r}, and the evidence of {evidence.name!r}.")
    up = pushes[pushes["push"] > 0.0]
    most = up.loc[up.groupby("unit")["push"].idxmax()].set_index("unit")
    found = [most.loc[unit] if unit in most.index else None for unit in table["unit"]]
    names = evidence.class_names
    named = {*names, *(name_of(label, names) for label in evidence.label_counts if label is not None)}
    alike = _alike(named, set(pushes["name"]) - {""})
    numbered = bool(pushes.attrs.get("numbered_alike"))
    inside = [
        None
        if one is None or about is None
        else _is_of(int(one["class"]), one["name"], members[about], names, alike, numbered)
        for one, about in zip(found, table["about"], strict=True)
    ]
    # as objects, since pandas would turn None into NaN
    classes = [None if one is None else one["name"] or int(one["class"]) for one in found]
    table["pushes"] = pandas.Series(classes, table.index, object)
    table["push"] = [np.nan if one is None else one["push"] for one in found]
    table["pushes_it"] = pandas.Series(inside, table.index, object)


def _alike(labels: set[str], classes: set[str]) -> bool:
    """Return whether labels and classes share a vocabulary, by the overlap coefficient of their names.

    A single common name is not enough, since unrelated datasets may share one; and either may have more names.
    """
    return 2 * len(labels & classes) >= max(1, min(len(labels), len(classes)))


def _is_of(
    number: int, name: str, labels: set[Label], names: Sequence[str], alike: bool, numbered: bool
) -> bool | None:
    """Return whether a class of the model is among labels of the dataset; None where labels are not classes of it.

    Args:
        number: number of the class.
        name: its name, where it is known, else "".
        labels: the labels.
        names: names of the classes that whole-number labels stand for, where known.
        alike: whether labels and classes are named alike.
        numbered: whether whole-number labels are the numbers of the model's classes.
    """
    if name and any(name_of(label, names) == name for label in labels):
        return True
    if names or not any(isinstance(label, int) for label in labels):
        # A class without a name is not known to be one of those that have one.
        return False if name and alike else None
    return number in labels if numbered else None


def _members(groups: Groups, counted: Mapping[Label, int], evidence: LayerEvidence) -> dict[str, set[Label]]:
    """Return for each group which of the labels that occur are in it."""
    class_names = evidence.class_names
    wanted = read_groups(groups)
    kept = evidence.groups if wanted is None else None
    if wanted is None and kept is None:
        ordered = sorted(counted, key=lambda label: (str(type(label)), label))
        return {name_of(label, class_names): {label} for label in ordered}
    members = kept or {
        group: {label for label in counted if is_member(label, one, class_names)}
        for group, one in (wanted or {}).items()
    }
    if not any(members.values()):
        have = ", ".join(map(repr, list(counted)[:5]))
        raise PeekError(
            f"None of the groups has an image: the labels are {have}{', ...' * (len(counted) > 5)}; "
            "give groups of these labels."
        )
    return members
