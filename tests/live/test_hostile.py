"""What a page may send: anything. A widget in a shared notebook believes none of it."""

import random
import string

import comm
import pytest
import torch
from torch import nn

from peek_widget import Recipe
from peek_widget._schema import checks_of
from peek_widget.explorer import UnitExplorer
from peek_widget.live import protocol
from peek_widget.live.protocol import ProtocolError, parse

from .test_explorer import RecordingComm, left_over

MESSAGES = 10_000
TRAITS = (
    *protocol.CONTROL_TRAITS,
    *protocol.DESCRIPTION_TRAITS,
    *protocol.LIVE_TRAITS,
    *protocol.EVIDENCE_TRAITS,
    *protocol.TAG_TRAITS,
)
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def explorer(monkeypatch):
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2))
    made = UnitExplorer(model, recipe=Recipe.preset("peek").replace(steps=12, size=32), threads=1)
    made.wait(60)
    yield made
    made.close()
    assert left_over() == []


class Attacker:
    """Messages at random, most of them nearly right: those get furthest."""

    def __init__(self, seed, names, values=()):
        self.random = random.Random(seed)
        self.names, self.values = tuple(names), tuple(values)

    def value(self, depth=0):
        pick = self.random.randrange(13 if depth < 3 else 10)
        match pick:
            case 0:
                return None
            case 1:
                return self.random.random() < 0.5
            case 2:
                return self.random.choice([0, 1, -1, 2**31, 2**53, 2**53 - 1, -(2**63), 10**30])
            case 3:
                return self.random.choice([0.0, -0.0, 0.5, 1e308, -1e308, float("nan"), float("inf"), 1.0])
            case 4:
                return "".join(self.random.choices(string.printable + "\0é\ud800", k=self.random.randrange(9)))
            case 5:
                return self.random.choice([MARKUP, "../../etc/passwd", "peek", "features.0", "0", "x" * 10_000])
            case 6 | 7:
                return self.random.choice(self.names)
            case 8:
                return self.random.choice(self.values) if self.values else self.random.randrange(100)
            case 9:
                return b"bytes"
            case 10:
                return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
            case 11:
                return {self.name(): self.value(depth + 1) for _ in range(self.random.randrange(4))}
            case _:
                return [[[[[]]]]] * 50

    def name(self):
        return self.random.choice(self.names) if self.random.random() < 0.7 else str(self.value(9))[:50]

    def message(self):
        if self.random.random() < 0.2:
            return self.value()
        content = {self.name(): self.value() for _ in range(self.random.randrange(4))}
        if self.random.random() < 0.9:
            content["kind"] = self.random.choice(protocol.INBOUND_KINDS) if self.random.random() < 0.8 else self.value()
        return content


def refused(content, buffers):
    try:
        parse(content, buffers)
    except ProtocolError:
        return True
    return False


def everything(explorer):
    return {name: getattr(explorer, name) for name in TRAITS}


def test_ten_thousand_malformed_messages_change_nothing(explorer, caplog):
    caplog.set_level("CRITICAL", "peek_widget")
    names = {"kind"} | {field for message in protocol.TO_KERNEL.values() for field in checks_of(message)}
    attacker = Attacker(1, sorted(names))
    before, sent = everything(explorer), len(explorer.comm.sent)
    tried = 0
    while tried < MESSAGES:
        content = attacker.message()
        buffers = [memoryview(b"x")] * attacker.random.choice([0, 0, 0, 1, 3])
        if not refused(content, buffers):
            continue
        tried += 1
        explorer.comm.receive({"method": "custom", "content": content}, buffers)
    assert explorer.wait(10) == "done"
    assert everything(explorer) == before
    assert len(explorer.comm.sent) == sent
    # and it is as alive as before
    explorer.comm.receive({"method": "custom", "content": {"kind": "restart"}})
    assert explorer.wait(60) == "done"
    assert explorer.status["run"] == before["status"]["run"] + 1


@pytest.mark.slow
def test_ten_thousand_malformed_states_leave_only_what_python_would_take(explorer, caplog):
    caplog.set_level("CRITICAL", "peek_widget")
    attacker = Attacker(2, protocol.CONTROL_TRAITS, values=["0", "2", 3, 12.0, "peek-fast"])
    others = {name: value for name, value in everything(explorer).items() if name not in protocol.CONTROL_TRAITS}
    # the list of layers may grow by a hidden one that was asked for
    descriptions = {name: others[name] for name in protocol.DESCRIPTION_TRAITS if name != "_layer_list"}
    explorer.playing = False
    for _ in range(MESSAGES):
        state = {attacker.name(): attacker.value() for _ in range(attacker.random.randrange(4))}
        # of each trait that does exist, its wrong values are the interesting ones
        state |= {attacker.random.choice(list(others)): attacker.value()}
        explorer.comm.receive({"method": "update", "state": state})
        # the worker need not follow every one of them
        explorer.playing = False
    assert explorer.wait(60) in ("paused", "done", "error")
    assert {name: getattr(explorer, name) for name in descriptions} == descriptions
    # what is there now can be said to Python, and is what the worker has
    for name in protocol.CONTROL_TRAITS:
        setattr(explorer, name, getattr(explorer, name))
    row = next(row for row in explorer._layer_list if row["name"] == explorer.layer)
    assert 0 <= explorer.unit < row["channels"]
    explorer.layer, explorer.unit, explorer.size, explorer.recipe = "0", 2, None, "peek-fast"
    explorer.playing = True
    assert explorer.wait(120) == "done"
    assert (explorer.status["layer"], explorer.status["unit"]) == ("0", 2)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"method": None},
        {"method": "update"},
        {"method": "custom"},
        {"method": "update", "state": []},
        {"method": "update", "state": {"unit": 1}, "buffer_paths": [["unit"]]},
        {"method": "no_such"},
        {"method": "echo_update", "state": {"unit": 3}},
    ],
)
def test_a_broken_envelope_breaks_no_more_than_its_own_message(explorer, data):
    """These ipywidgets itself takes apart; whatever it raises ends in the kernel's log, and the widget lives on."""
    before = everything(explorer)
    try:
        explorer.comm.receive(data)
    except Exception as error:
        assert not isinstance(error, (MemoryError, RecursionError))
    after = everything(explorer)
    assert {n: v for n, v in after.items() if n != "unit"} == {n: v for n, v in before.items() if n != "unit"}
    explorer.unit = 1
    assert explorer.wait(60) == "done"
    assert explorer.status["unit"] == 1
