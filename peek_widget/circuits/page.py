"""A circuit as one HTML file, which needs no kernel and no internet and runs no script."""

from __future__ import annotations

import base64
import hashlib
import html
import math
from typing import TYPE_CHECKING

from PIL import Image

from peek_widget._encode import webp_bytes
from peek_widget.circuits.figure import encode
from peek_widget.circuits.graph import name_of

if TYPE_CHECKING:
    from peek_widget.circuits.graph import CircuitGraph, CircuitNode, Key

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 72rem; margin: 0 auto; padding: 1rem; }
.figure { overflow-x: auto; background: #fff; border-radius: 6px; }
section { border-top: 1px solid #8886; padding: .6rem 0; }
section:target { outline: 2px solid #3567c9; outline-offset: 4px; }
h2 { font-size: 1.05rem; margin: .2rem 0 .5rem; }
img.unit { width: 128px; height: 128px; object-fit: contain; margin-right: .4rem; }
table { border-collapse: collapse; }
th, td { padding: .15rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.more { color: #b2182b; } .less { color: #2166ac; }
@media (prefers-color-scheme: dark) { .more { color: #f4847c; } .less { color: #7eb6f0; } a { color: #9cc0ff; } }
"""


def page(graph: CircuitGraph) -> str:
    """Write a circuit as a page: the figure, and for each unit its picture, its best crop and what it reads."""
    title = f"Circuit of {name_of(graph.root.key)}"
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    figure = base64.b64encode(encode(graph.figure(), "svg")).decode("ascii")
    described = f"The tree of the strongest inputs of {name_of(graph.root.key)}; the same numbers are in the tables."
    remarks = "".join(f"<p>{html.escape(one)}</p>\n" for one in graph.remarks)
    sections = "\n".join(_section(graph, node) for node in graph.nodes.values())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n"
        "<p>The effect of a unit on the one that reads it is measured: how much its activation falls, on real images "
        "that excite it, when the lower unit is held at its median. Positive ones excite, negative ones inhibit.</p>\n"
        f'<div class="figure"><img alt="{html.escape(described)}" src="data:image/svg+xml;base64,{figure}"></div>\n'
        f"{remarks}{sections}\n</body>\n</html>\n"
    )


def _section(graph: CircuitGraph, node: CircuitNode) -> str:
    name = html.escape(name_of(node.key))
    kinds = ((node.picture, "drawn picture"), (node.crop, "crop that excites it most"))
    images = "".join(_image(one, f"{name}: {words}") for one, words in kinds if one is not None)
    known = "" if math.isnan(node.activation) else f" <small>activation {node.activation:.3g}</small>"
    inputs = [edge for edge in graph.edges if edge.upper == node.key]
    rows = "".join(
        f"<tr><td>{_link(edge.lower)}</td><td>{edge.weight:.3g}</td><td>{edge.contribution:.3g}</td>"
        f'<td class="{"more" if edge.effect > 0 else "less"}">{edge.effect:+.3g}</td></tr>'
        for edge in inputs
    )
    head = "<tr><th>reads</th><th>weight</th><th>contribution</th><th>effect</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    return f'<section id="{_anchor(node.key)}"><h2>{name}{known}</h2>{images}{table}</section>'


def _link(key: Key) -> str:
    return f'<a href="#{_anchor(key)}">{html.escape(name_of(key))}</a>'


def _anchor(key: Key) -> str:
    return html.escape(f"u-{name_of(key)}".replace(" ", "-"))


def _image(image: Image.Image, words: str) -> str:
    data = base64.b64encode(webp_bytes(image.convert("RGB"), 88)).decode("ascii")
    return f'<img class="unit" alt="{words}" title="{words}" src="data:image/webp;base64,{data}">'
