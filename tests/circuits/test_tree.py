"""The tree of strongest inputs: its numbers, its files, and going on where it was stopped."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from torch import nn

from peek_widget import FileError, PeekError, Recipe
from peek_widget.circuits import circuit, trace
from peek_widget.circuits.shown import examples_of
from peek_widget.circuits.tree import Plan, cost_of
from peek_widget.network import read
from tests.circuits.networks import ACROSS, DOT, DOWN, PICTURES, Stack, by_hand, lines

RECIPE = Recipe.preset("peek-fast").replace(steps=3)


def three_levels() -> nn.Module:
    """A cross is made of two corners, and each corner of the same two lines."""
    corners = by_hand({0: {ACROSS: 1.0, DOWN: 0.5}, 1: {DOWN: 1.0, DOT: -0.25}}, 2, 3)
    return Stack(lines(), nn.ReLU(), corners, nn.ReLU(), by_hand({0: {0: 1.0, 1: 0.5}}, 1, 2))


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    found = circuit(three_levels(), "4", 0, PICTURES, k=2, depth=3, recipe=RECIPE, progress=False)
    assert found.graph is not None
    return found.graph


def test_each_unit_is_there_once_with_its_strongest_inputs(graph):
    assert [one.level for one in graph.nodes.values()] == [0, 1, 1, *[2] * (len(graph.nodes) - 3)]
    assert graph.root.key == ("4", 0)
    pairs = {(edge.lower, edge.upper) for edge in graph.edges}
    assert {(("2", 0), ("4", 0)), (("2", 1), ("4", 0)), (("0", ACROSS), ("2", 0)), (("0", DOWN), ("2", 1))} <= pairs
    assert all(edge.effect == pytest.approx(edge.contribution, abs=1e-5) for edge in graph.edges)


def test_each_unit_has_a_picture_and_a_crop(graph):
    assert all(one.crop is not None for one in graph.nodes.values())
    assert all(graph.nodes["0", unit].picture is not None for unit in (ACROSS, DOWN))
    # from a gray start nothing is above these units' ReLUs, which is said
    without = [key for key, one in graph.nodes.items() if one.picture is None]
    assert all(any(f"{layer}:{unit} has no picture" in one for one in graph.remarks) for layer, unit in without)


def test_as_json_and_networkx(graph):
    data = json.loads(graph.to_json())
    assert data["root"] == "4:0"
    assert len(data["nodes"]) == len(graph.nodes)
    made = graph.to_networkx()
    assert set(made) == {one["name"] for one in data["nodes"]}
    assert made.edges["0:0", "2:0"]["effect"] == pytest.approx(
        next(one["effect"] for one in data["edges"] if (one["lower"], one["upper"]) == ("0:0", "2:0"))
    )


def test_its_files(graph, tmp_path):
    assert graph.save(tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    svg = graph.save(tmp_path / "c.svg").read_text("utf-8")
    words = " ".join(ElementTree.fromstring(svg).itertext())
    assert "4:0" in words
    assert "activation" in words
    assert json.loads(graph.save(tmp_path / "c.json").read_text("utf-8"))["format"] == 1
    page = graph.save(tmp_path / "c.html").read_text("utf-8")
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    with pytest.raises(FileError, match=r"\.svg, \.png"):
        graph.save(tmp_path / "c.bmp")


def test_it_goes_on_from_its_store(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = three_levels()
    how = {"k": 2, "depth": 3, "recipe": RECIPE, "progress": False, "store": tmp_path}
    first = circuit(model, "4", 0, PICTURES, **how).graph
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert "unit-00000.png" in names
    assert sum(name.startswith("circuit-") for name in names) == 3
    (tmp_path / next(name for name in names if name.startswith("circuit-2-00001"))).write_bytes(b"damaged")
    calls = []
    real = trace.one_circuit
    monkeypatch.setattr(
        trace, "one_circuit", lambda network, asked: calls.append((asked.layer, asked.unit)) or real(network, asked)
    )
    again = circuit(model, "4", 0, PICTURES, **how).graph
    assert calls == [("4", 0), ("2", 1)]
    assert again.edges == first.edges
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == names


def test_on_one_image_no_pass_is_made():
    torch.manual_seed(0)
    found = circuit(three_levels(), "4", 0, image=PICTURES[2], depth=3, pictures=False, progress=False).graph
    assert found is not None
    assert {one.layer for one in found.nodes.values()} == {"0", "2", "4"}
    assert all(one.crop is None and one.picture is None for one in found.nodes.values())


def test_the_cost_is_stated_before_it_starts(capsys):
    model = three_levels()
    circuit(model, "4", 0, PICTURES, k=2, depth=2, pictures=False)
    assert "The circuit has at most 5 units, a pass over 6 images" in capsys.readouterr().out
    network = read(model)
    cost = cost_of(network, "4", examples_of(network, PICTURES), Plan(3, 4, 9, 12, RECIPE))
    assert (cost.units, cost.images, cost.pictures) == (21, 6, 21)
    assert cost.seconds > 0


def test_a_tree_goes_layer_by_layer():
    with pytest.raises(PeekError, match=r"below='0' and depth=2 can't be combined.*leave out below= or depth="):
        circuit(three_levels(), "4", 0, image=PICTURES[0], below="0", depth=2)
