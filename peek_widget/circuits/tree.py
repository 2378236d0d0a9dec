"""The growing of the tree of a unit's strongest inputs, level by level; finished work is kept in a store."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from peek_widget._progress import duration, progress_bar
from peek_widget._schema import read_json
from peek_widget.ascent.recipe import as_recipe
from peek_widget.circuits.graph import CircuitEdge, CircuitGraph, CircuitNode, Key, name_of
from peek_widget.circuits.reads import reads_of
from peek_widget.circuits.shown import Examples, Shown
from peek_widget.errors import DatasetError, FileError
from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint
from peek_widget.sheet import ContactSheet, contact_sheet
from peek_widget.sheet.store import Store

if TYPE_CHECKING:
    from peek_widget.circuits.unit_circuit import Circuit

__all__ = ["Cost", "Plan", "cost_of", "grow", "layers_in"]

_CROP = 192  # longer side in pixels of a node's crop
_LONGEST = 10_000_000  # characters of a unit's circuit in a store
_AT_ONCE = 12  # layers that one pass may cover before it is known which of them are needed


@dataclass(frozen=True)
class Plan:
    """The options that a tree is grown with.

    Attributes:
        depth: number of levels, the unit's own included.
        width: number of inputs of each unit.
        k: number of crops.
        effects: number of contributions of each sign whose effect is measured.
        recipe: how pictures are drawn; None for ``"peek"``.
        pictures: whether they are drawn.
        store: folder or fsspec address where finished work is kept; None to keep none.
        progress: see :func:`~peek_widget.top_crops`.
        on: hash of the one image that everything is computed on; "" where each unit has its own crops, or picture.
    """

    depth: int
    width: int
    k: int
    effects: int | None
    recipe: Any = None
    pictures: bool = True
    store: str | Path | None = None
    progress: bool | None = None
    on: str = ""


@dataclass(frozen=True)
class Cost:
    """The largest cost of growing a tree, known before it starts.

    Attributes:
        units: number of units in the tree.
        images: number of images of the pass for the crops of lower layers; 0 where no pass is needed.
        pictures: number of pictures to draw.
        seconds: estimate, from the time of one forward just now.
    """

    units: int
    images: int
    pictures: int
    seconds: float

    def __str__(self) -> str:
        parts = [f"at most {self.units} units"]
        if self.images:
            parts.append(f"a pass over {self.images:,} images for the crops of the layers below")
        if self.pictures:
            parts.append(f"{self.pictures} pictures to draw")
        return f"The circuit has {', '.join(parts)}: {duration(self.seconds)}, by the time of one forward."


def cost_of(network: Network, layer: str, examples: Examples | None, plan: Plan) -> Cost:
    """Estimate what a tree of a layer's unit costs."""
    units = sum(plan.width**level for level in range(plan.depth))
    inner = sum(plan.width**level for level in range(plan.depth - 1))
    image = torch.full((1, network.channels, *network.size), 0.5, device=network.model_copy.device)
    with torch.no_grad():
        network.run(network.preprocess(image), [layer])
        began = time.perf_counter()
        network.run(network.preprocess(image), [layer])
    forward = time.perf_counter() - began
    photos = None if examples is None else examples.photos
    images = 0
    if examples is not None and photos is not None and not plan.on:
        lacking = any(name not in examples.layers for name in _layers_below(network, layer, plan))
        images = len(photos.source) if lacking else 0
    pictures = units if plan.pictures else 0
    # Each effect and crop takes about a tenth of a forward, and each step of a picture three forwards.
    effects = inner * 2 * (plan.effects or 200) * plan.k * 0.1
    forwards = images + inner * plan.k + effects + pictures * as_recipe(plan.recipe).steps * 3
    return Cost(units, images, pictures, forwards * forward)


def layers_in(network: Network, layer: str, plan: Plan) -> list[str]:
    """Return the layers that a pass for a tree covers: all that may be in it, if they are few; else its first."""
    below = _layers_below(network, layer, plan)
    return below if len(below) <= _AT_ONCE else [layer]


def _layers_below(network: Network, layer: str, plan: Plan) -> list[str]:
    """Return the layers that may be in a tree, in call order."""
    found, todo = {layer}, {layer}
    for _ in range(plan.depth - 1):
        todo = {str(read.layer) for name in todo for read in reads_of(network, name) if read.layer is not None}
        found |= todo
    return [one.name for one in network.layers if one.name in found]


def grow(
    network: Network,
    root: Circuit,
    examples: Examples | None,
    shown: Callable[[str, int], Shown],
    compute: Callable[[str, int, Examples | None, Shown], Circuit],
    plan: Plan,
) -> CircuitGraph:
    """Grow the tree of a unit's strongest inputs.

    Args:
        network: the model.
        root: the unit's own circuit.
        examples: dataset examples; those of lower layers are gathered by a pass where they are missing.
        shown: gives the images on which the circuit of a unit without crops is computed.
        compute: computes the circuit of a unit on what is shown.
        plan: the options.

    Raises:
        SheetStoreError: if the store can't be read or written, or holds the pictures of another model.
    """
    kept = _Kept(network, plan, examples)
    nodes = {(root.layer, root.unit): CircuitNode(root.layer, root.unit, 0, root.activation, root.correlation)}
    edges: dict[tuple[Key, Key], CircuitEdge] = {}
    remarks = list(root.remarks)
    level = [(root.layer, root.unit)]
    total = sum(plan.width**at for at in range(plan.depth - 1))
    with progress_bar(total, "Circuit", plan.progress, unit="unit") as bar:
        for depth in range(1, plan.depth):
            following: dict[Key, None] = {}
            for key in level:
                found = kept.read(key)
                if found is None:
                    if key == (root.layer, root.unit):
                        one = root
                    else:
                        own = None if examples is None or plan.on else examples.of(network, *key, plan.k)
                        one = compute(*key, examples, own or shown(*key))
                    found = kept.write(key, one, plan.width)
                nodes[key] = replace(nodes[key], activation=found.activation, correlation=found.correlation)
                for edge in found.edges:
                    edges[edge.lower, key] = edge
                    if edge.lower not in nodes:
                        nodes[edge.lower] = CircuitNode(*edge.lower, depth)
                        following[edge.lower] = None
                bar.update(1)
            level = list(following)
            if examples is not None and level and not plan.on:
                names = list(dict.fromkeys(layer for layer, _ in level))
                examples = examples.with_layers(network, names, plan.k, plan.progress)
    low = [name_of(key) for key, one in nodes.items() if one.correlation < 0.8]
    if low:
        remarks.append(f"Contribution and effect agree poorly for {', '.join(low[:6])}: go by the effects.")
    drawn = _pictures(network, nodes, plan, remarks) if plan.pictures else {}
    finished = {key: replace(one, picture=drawn.get(key), crop=_crop(examples, key)) for key, one in nodes.items()}
    return CircuitGraph(finished, tuple(edges.values()), tuple(dict.fromkeys(remarks)))


def _crop(examples: Examples | None, key: Key) -> Image.Image | None:
    evidence = None if examples is None else examples.layers.get(key[0])
    top = () if evidence is None else evidence[key[1]].top
    try:
        return top[0].resized(_CROP) if top else None
    except DatasetError:
        return None  # (the image is gone: the numbers stay)


def _pictures(network: Network, nodes: Iterable[Key], plan: Plan, remarks: list[str]) -> dict[Key, Image.Image]:
    """Draw the units, each layer's as a sheet of its own, which is kept in the store."""
    by_layer: dict[str, list[int]] = {}
    for layer, unit in nodes:
        by_layer.setdefault(layer, []).append(unit)
    found: dict[Key, Image.Image] = {}
    for layer, units in by_layer.items():
        store = None if plan.store is None else f"{str(plan.store).rstrip('/')}/{_file_name(layer)}"
        sheet: ContactSheet = contact_sheet(network, layer, as_recipe(plan.recipe), units=sorted(units), store=store)
        sheet.draw(plan.progress)
        found |= {(layer, unit): one.image for unit, one in sheet.done.items()}
        for unit, why in sheet.problems.items():
            where = name_of((layer, unit)) if isinstance(unit, int) else unit
            remarks.append(f"{where} has no picture: {why}")
    return found


def _file_name(layer: str) -> str:
    return re.sub(r"[^\w.-]+", "-", layer or "output")


@dataclass(frozen=True)
class _Found:
    """The part of a unit's circuit that is kept."""

    activation: float
    correlation: float
    edges: tuple[CircuitEdge, ...]


class _Kept:
    """The circuits of units in a store, each a file that is written when it is finished.

    A file is used again only for the same weights, options and images.
    """

    def __init__(self, network: Network, plan: Plan, examples: Examples | None) -> None:
        self._store = None if plan.store is None else Store(plan.store)
        photos = None if examples is None else examples.photos
        images = None if photos is None else (photos.source.described, len(photos.source))
        about = [fingerprint(network.model_copy.original), plan.width, plan.k, plan.effects, images, plan.on]
        self._about = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]

    def _name(self, key: Key) -> str:
        return f"circuit-{_file_name(key[0])}-{key[1]:05d}-{self._about}.json"

    def read(self, key: Key) -> _Found | None:
        """Read a unit's circuit; None where the store has none that can be read."""
        data = None if self._store is None else self._store.read(self._name(key))
        if data is None:
            return None
        try:
            found = read_json(data, "The circuit", _LONGEST)
            edges = tuple(
                CircuitEdge((str(one["layer"]), int(one["unit"])), key, *map(float, one["numbers"]))
                for one in found["edges"]
            )
            numbers = [
                math.nan if found[name] is None else float(found[name]) for name in ("activation", "correlation")
            ]
        except (FileError, ValueError, KeyError, TypeError, UnicodeDecodeError):
            return None  # damaged: it is computed again
        return _Found(numbers[0], numbers[1], edges)

    def write(self, key: Key, one: Circuit, width: int) -> _Found:
        """Write the strongest inputs of a unit."""
        edges = tuple(
            CircuitEdge((row.layer, int(row.unit)), key, float(row.weight), float(row.contribution), float(row.effect))
            for row in one.strongest(width).itertuples()
        )
        found = _Found(one.activation, one.correlation, edges)
        if self._store is not None:
            data = {
                "activation": found.activation,
                "correlation": found.correlation if math.isfinite(found.correlation) else None,
                "edges": [
                    {"layer": edge.lower[0], "unit": edge.lower[1]}
                    | {"numbers": [edge.weight, edge.contribution, edge.effect]}
                    for edge in edges
                ],
            }
            self._store.write(self._name(key), json.dumps(data).encode())
        return found
