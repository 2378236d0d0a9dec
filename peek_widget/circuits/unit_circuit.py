"""A unit's circuit: the units of the layer below that it reads, with what each does for it."""

from __future__ import annotations

import functools
import math
from dataclasses import astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from peek_widget._optional import optional_import
from peek_widget.circuits.feeding import CircuitOutput, feeds
from peek_widget.circuits.graph import CircuitGraph
from peek_widget.circuits.held import held_at_median
from peek_widget.circuits.kernels import Factors, factorize, signed_image
from peek_widget.circuits.shown import Examples, Shown
from peek_widget.errors import LayerError, UnitError
from peek_widget.network import Network

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOW", "Circuit", "CircuitInput"]

LOW = 0.8
"""Rank correlation between contribution and effect below which contributions are said to mislead."""


@dataclass(frozen=True)
class CircuitInput:
    """A unit that is read, and what it does for the unit that reads it.

    Attributes:
        layer, unit: the lower unit.
        weight: the L2 norm of the kernel between the two, with the sign of its sum, times the standard deviation of the
            lower unit over positions of real images.
        contribution: on the images shown, the sum over positions of the lower unit's activation less its median times
            the gradient of the unit, mean over images.
        effect: the measured effect: the unit's activation less its activation with the lower unit held at its median,
            mean over images; NaN where it was not measured.
    """

    layer: str
    unit: int
    weight: float
    contribution: float
    effect: float


@dataclass(frozen=True)
class Circuit:
    """The units that one unit reads, and what each does for it.

    Attributes:
        layer, unit: the unit.
        inputs: the units that it reads, from the highest contribution to the lowest.
        activation: activation of the unit on the images shown, before its ReLU, mean.
        correlation: Spearman's rank correlation of contribution and effect, of the units whose effect was measured;
            NaN where there are fewer than two.
        shown: the images that it was computed on.
        remarks: remarks on the result, as sentences.
        kernels: by layer that is read, the expanded weights ``[C, h, w]``: the gradient of the unit with the
            nonlinearities open.
        graph: the tree of its strongest inputs, where a depth above 1 was asked for.
    """

    layer: str
    unit: int
    inputs: tuple[CircuitInput, ...]
    activation: float
    correlation: float
    shown: Shown = field(repr=False, compare=False)
    remarks: tuple[str, ...] = ()
    kernels: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    graph: CircuitGraph | None = field(default=None, repr=False, compare=False)
    _network: Any = field(default=None, repr=False, compare=False)
    _examples: Examples | None = field(default=None, repr=False, compare=False)

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """The inputs as a DataFrame, one row for each, with the attributes of :class:`CircuitInput` as columns.

        The columns are ``layer``, ``unit``, ``weight``, ``contribution`` and ``effect``.
        """
        columns = [one.name for one in fields(CircuitInput)]
        return optional_import("pandas").DataFrame([astuple(one) for one in self.inputs], columns=columns)

    def up(self, count: int = 12) -> pd.DataFrame:
        """Measure what this unit feeds: what the next layers and the classes lose when it is held at its median.

        Args:
            count: number of units of the next layers, and number of classes, that are listed.

        Returns:
            a DataFrame with the columns ``layer``, ``unit``, ``name`` (of a class, where the model has
            ``class_names``), ``effect`` (the activation less the one with this unit held, mean over the images shown,
            where that layer changes most) and ``guess`` (the same to first order); the next layers first.

        Raises:
            LayerError: if the layer is the model's output, or nothing reads it.
        """
        found = feeds(self._network, self.layer, self.unit, self.shown, self._examples, count)
        columns = [one.name for one in fields(CircuitOutput)]
        return optional_import("pandas").DataFrame([astuple(one) for one in found], columns=columns)

    def without(self, layer: str, unit: int) -> Network:
        """Return the network with a lower unit held at its median everywhere, to draw what excites this unit then.

        ``render(found.without("conv4", 69), Neuron(found.layer, found.unit))`` draws it.

        Args:
            layer, unit: the lower unit, as in the table.

        Raises:
            LayerError, UnitError: if there is no such unit.
        """
        return held_at_median(self._network, layer, unit, self._examples, self.shown)

    def kernel_image(self, layer: str, unit: int, size: int = 56) -> Image.Image:
        """Show the weights from a lower unit as a map: red excites, blue inhibits, on one scale for all units.

        Args:
            layer, unit: the lower unit, as in the table.
            size: side of the picture in pixels, at least.

        Raises:
            LayerError, UnitError: if the unit reads no such layer, or that layer has no such unit.
        """
        if layer not in self.kernels:
            raise LayerError(
                f"The unit does not read {layer!r}, but {', '.join(map(repr, self.kernels)) or 'nothing'}."
            )
        kernel = self.kernels[layer]
        if not 0 <= unit < len(kernel):
            raise UnitError(f"Layer {layer!r} has {len(kernel)} units, numbered 0 to {len(kernel) - 1}.")
        scale = max(float(one.abs().max()) for one in self.kernels.values())
        return signed_image(kernel[unit], scale, size)

    def factors(self, layer: str) -> Factors | None:
        """Factorize the weights to a lower layer; None where more than three components are needed for 90 % of them.

        See :func:`peek_widget.circuits.kernels.factorize`.
        """
        return factorize(self.kernels[layer])

    def excites(self, count: int = 8) -> pd.DataFrame:
        """Return the rows of the units that excite this unit most, by measured effect, strongest first."""
        measured = self.table[self.table.effect > 0]
        return measured.sort_values("effect", ascending=False, kind="stable").head(count)

    def inhibits(self, count: int = 8) -> pd.DataFrame:
        """Return the rows of the units that inhibit this unit most, by measured effect, strongest first."""
        measured = self.table[self.table.effect < 0]
        return measured.sort_values("effect", kind="stable").head(count)

    def strongest(self, count: int = 4) -> pd.DataFrame:
        """Return the rows with the largest measured effects, of either sign, strongest first."""
        order = self.table.effect.abs().sort_values(ascending=False, kind="stable").index
        measured = self.table.loc[order]
        return measured[measured.effect.abs() > 0].head(count)

    def __str__(self) -> str:
        where = f"Unit {self.unit} of {self.layer or 'the output'}"
        lines = [f"{where}: activation {self.activation:.4g} on {self.shown.kind}; it reads {len(self.table)} units."]
        if math.isfinite(self.correlation):
            lines.append(f"Rank correlation of contribution and effect: {self.correlation:.2f}.")
        for title, rows in (("excited by", self.excites()), ("inhibited by", self.inhibits())):
            if len(rows):
                parts = [f"{row.layer}:{row.unit} ({row.effect:+.3g})" for row in rows.itertuples()]
                lines.append(f"  {title} {', '.join(parts)}")
        return "\n".join([*lines, *self.remarks])
