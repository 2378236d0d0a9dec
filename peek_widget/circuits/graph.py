"""The tree of a unit's strongest inputs, several layers down, and its export to JSON, networkx, a figure and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from peek_widget._files import write_atomic
from peek_widget.errors import FileError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CircuitEdge", "CircuitGraph", "CircuitNode", "name_of"]

FORMAT = 1
Key = tuple[str, int]


def name_of(key: Key) -> str:
    """Return a unit as text, ``"layer3.1:7"``; for the output ``"output:7"``."""
    return f"{key[0] or 'output'}:{key[1]}"


@dataclass(frozen=True)
class CircuitNode:
    """A unit in the tree.

    Attributes:
        layer, unit: the unit.
        level: number of steps down from the root, the fewest.
        activation: its activation on the images that its own circuit was computed on; NaN at the lowest level.
        correlation: rank correlation of its inputs' contributions and effects; NaN at the lowest level.
        picture: its drawn picture; None where none was drawn.
        crop: the crop of a real image that excites it most; None without examples.
    """

    layer: str
    unit: int
    level: int
    activation: float = math.nan
    correlation: float = math.nan
    picture: Image.Image | None = field(default=None, repr=False, compare=False)
    crop: Image.Image | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> Key:
        """The unit's layer and number."""
        return self.layer, self.unit


@dataclass(frozen=True)
class CircuitEdge:
    """An edge of the tree: a unit that another one reads.

    Attributes:
        lower, upper: (layer, unit) of the two.
        weight, contribution, effect: see :class:`~peek_widget.Circuit`.
    """

    lower: Key
    upper: Key
    weight: float
    contribution: float
    effect: float


@dataclass(frozen=True)
class CircuitGraph:
    """The tree of strongest inputs of a unit. A unit that several others read is one node.

    Attributes:
        nodes: the units, by (layer, unit), the root first.
        edges: which unit reads which, strongest effect first.
        remarks: remarks on the result, as sentences.
    """

    nodes: Mapping[Key, CircuitNode]
    edges: tuple[CircuitEdge, ...]
    remarks: tuple[str, ...] = ()

    @property
    def root(self) -> CircuitNode:
        """The unit whose inputs the tree shows."""
        return next(iter(self.nodes.values()))

    def __repr__(self) -> str:
        return f"CircuitGraph({name_of(self.root.key)}: {len(self.nodes)} units, {len(self.edges)} edges)"

    def to_json(self) -> str:
        """Return the tree as JSON: nodes and edges with their numbers, without pictures."""
        nodes = [
            {"name": name_of(one.key), "layer": one.layer, "unit": one.unit, "level": one.level}
            | {"activation": _finite(one.activation), "correlation": _finite(one.correlation)}
            for one in self.nodes.values()
        ]
        edges = [
            asdict(one)
            | {"lower": name_of(one.lower), "upper": name_of(one.upper)}
            | {name: _finite(getattr(one, name)) for name in ("weight", "contribution", "effect")}
            for one in self.edges
        ]
        data = {"format": FORMAT, "root": name_of(self.root.key), "nodes": nodes, "edges": edges}
        return json.dumps(data | {"remarks": list(self.remarks)}, indent=1, allow_nan=False)

    def to_networkx(self) -> Any:
        """Return the tree as a networkx ``DiGraph``: edges lead from the unit that is read to the one that reads it.

        Nodes are named ``"layer3.1:7"``; they and the edges have the numbers as attributes. (torch itself requires
        networkx, so it needs no extra of this package.)
        """
        import networkx

        graph = networkx.DiGraph()
        for one in self.nodes.values():
            about = {"level": one.level, "activation": one.activation, "correlation": one.correlation}
            graph.add_node(name_of(one.key), layer=one.layer, unit=one.unit, **about)
        for edge in self.edges:
            numbers = {"weight": edge.weight, "contribution": edge.contribution, "effect": edge.effect}
            graph.add_edge(name_of(edge.lower), name_of(edge.upper), **numbers)
        return graph

    def figure(self, *, dark: bool = False) -> Figure:
        """Draw the tree with matplotlib: a row for each level, the root on top, edges with their measured effects.

        Each node has its picture and its best crop side by side. Red edges excite and blue ones inhibit; an edge's
        width shows its effect as a share of the largest into the same unit.

        Raises:
            PeekError: with the command that installs it, if matplotlib is not installed.
        """
        from peek_widget.circuits.figure import draw

        return draw(self, dark)

    def save(self, path: str | Path) -> Path:
        """Write the tree to a file; the extension determines the format.

        The formats are ``.svg``, ``.png``, ``.pdf``, ``.html`` and ``.json``. The page is one file with figure,
        pictures and numbers; it needs no kernel and no internet, and runs no script.

        Returns:
            The path.

        Raises:
            FileError: if the extension is another one, or the file can't be written.
            PeekError: if matplotlib is needed and not installed.
        """
        from peek_widget.circuits.figure import encode
        from peek_widget.circuits.page import page

        path = Path(path)
        kind = path.suffix.lower()
        if kind == ".json":
            data = self.to_json().encode()
        elif kind == ".html":
            data = page(self).encode("utf-8", "replace")
        elif kind in (".svg", ".png", ".pdf"):
            data = encode(self.figure(), kind[1:])
        else:
            raise FileError(f"{path.name!r}: a circuit is written as .svg, .png, .pdf, .html or .json.")
        try:
            write_atomic(path, data)
        except OSError as error:
            raise FileError(f"The circuit can't be written to {str(path)!r}: {error.strerror or error}.") from error
        return path


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
