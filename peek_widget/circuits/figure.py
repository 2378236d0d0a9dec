"""The figure of a circuit, drawn with matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from peek_widget._optional import optional_import

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peek_widget.circuits.graph import CircuitGraph, CircuitNode, Key

__all__ = ["draw", "encode"]

_WIDE, _HIGH, _GAP = 1.0, 1.0, 0.35  # size of a node and gap between nodes, in pictures
_ROW = 2.3  # from one level to the next
_INCH = 0.95
_LIGHT = {"paper": "#ffffff", "ink": "#1b1b1f", "soft": "#6a6a73", "more": "#b2182b", "less": "#2166ac"}
_DARK = {"paper": "#16161a", "ink": "#f0f0f3", "soft": "#a3a3ad", "more": "#f4847c", "less": "#7eb6f0"}


def draw(graph: CircuitGraph, dark: bool) -> Figure:
    """Draw a circuit, see :meth:`~peek_widget.circuits.CircuitGraph.figure`."""
    figures = optional_import("matplotlib.figure")
    colors = _DARK if dark else _LIGHT
    places, width, height = _places(graph)
    figure = figures.Figure(figsize=(width * _INCH, height * _INCH), facecolor=colors["paper"])
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)
    axes.axis("off")
    largest: dict[Key, float] = {}
    for edge in graph.edges:
        largest[edge.upper] = max(largest.get(edge.upper, 0.0), abs(edge.effect))
    order: dict[Key, int] = {}
    for edge in graph.edges:
        (x, y), (left, top) = places[edge.lower], places[edge.upper]
        share = abs(edge.effect) / (largest[edge.upper] or 1.0)
        color = colors["more"] if edge.effect > 0 else colors["less"]
        begin, end = (x, y - _HIGH / 2 - 0.02), (left, top + _HIGH / 2 + 0.42)
        axes.plot(*zip(begin, end, strict=True), color=color, linewidth=0.6 + 3.0 * share, alpha=0.75, zorder=1)
        number = order[edge.upper] = order.get(edge.upper, -1) + 1
        at = 0.22 + 0.16 * (number % 2)  # beside its lower end, in two rows
        middle = (begin[0] + at * (end[0] - begin[0]), begin[1] + at * (end[1] - begin[1]))
        box = {"facecolor": colors["paper"], "edgecolor": "none", "pad": 1.0}
        axes.text(*middle, f"{edge.effect:+.3g}", color=color, fontsize=7, ha="center", va="center", bbox=box, zorder=2)
    for key, node in graph.nodes.items():
        _node(axes, node, places[key], colors)
    return figure


def _places(graph: CircuitGraph) -> tuple[dict[Key, tuple[float, float]], float, float]:
    """Return the center of each node, and the width and height of the figure, in pictures."""
    levels: dict[int, list[CircuitNode]] = {}
    for node in graph.nodes.values():
        levels.setdefault(node.level, []).append(node)
    each = 2 * _WIDE + _GAP
    width = max(3, max(map(len, levels.values()))) * each + _GAP
    places: dict[Key, tuple[float, float]] = {}
    for level, nodes in sorted(levels.items()):
        if level > 0:  # below the middle of those that read them, so that few edges cross

            def middle(node: CircuitNode) -> float:
                above = [
                    places[edge.upper][0] for edge in graph.edges if edge.lower == node.key and edge.upper in places
                ]
                return sum(above) / max(1, len(above))

            nodes = sorted(nodes, key=middle)
        step = width / len(nodes)
        for number, node in enumerate(nodes):
            places[node.key] = ((number + 0.5) * step, 0.9 + level * _ROW)
    return places, width, 0.9 + max(levels) * _ROW + 1.1


def _node(axes: Any, node: CircuitNode, place: tuple[float, float], colors: dict[str, str]) -> None:
    x, y = place
    images = [one for one in (node.picture, node.crop) if one is not None]
    for number, image in enumerate(images):
        left = x - len(images) * _WIDE / 2 + number * _WIDE + 0.02
        scale = (_WIDE - 0.04) / max(image.size)
        w, h = image.width * scale, image.height * scale
        extent = (left + (_WIDE - 0.04 - w) / 2, left + (_WIDE - 0.04 + w) / 2, y + h / 2, y - h / 2)
        axes.imshow(image.convert("RGB"), extent=extent, aspect="equal", interpolation="lanczos", zorder=3)
    layer = node.layer or "output"
    axes.text(
        x, y + _HIGH / 2 + 0.14, f"{layer}:{node.unit}", color=colors["ink"], fontsize=7, ha="center", va="center"
    )
    if node.activation == node.activation:
        words = f"activation {node.activation:.3g}"
        axes.text(x, y + _HIGH / 2 + 0.31, words, color=colors["soft"], fontsize=6, ha="center", va="center")


def encode(figure: Figure, kind: str) -> bytes:
    """Encode a figure as a file, ``"svg"``, ``"png"`` or ``"pdf"``; the same figure gives the same bytes."""
    matplotlib = optional_import("matplotlib")
    into = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "peek_widget", "svg.fonttype": "none"}):
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        figure.savefig(into, format=kind, dpi=200, metadata=dates, facecolor=figure.get_facecolor())
    return into.getvalue()
