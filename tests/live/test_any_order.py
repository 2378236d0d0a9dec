"""Actions in any order, from Python and the page, on a real small network: nothing breaks, and all agree at the end."""

import contextlib

import comm
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from traitlets import TraitError

from peek_widget import UnitExplorer, render
from peek_widget.errors import PeekError
from peek_widget.live import protocol

from .test_explorer import SHORT, RecordingComm, left_over, tiny

MODEL = tiny()


class AnyOrder(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.create, comm.create_comm = comm.create_comm, RecordingComm
        self.explorer = UnitExplorer(MODEL, recipe=SHORT, threads=1, layer="conv2")

    def send(self, **content):
        self.explorer.comm.receive({"method": "custom", "content": content})

    @rule(unit=st.integers(-1, 20))
    def choose_unit(self, unit):
        with contextlib.suppress(TraitError):
            self.explorer.unit = unit

    @rule(layer=st.sampled_from(["conv1", "conv2", "relu", "head", "", "nowhere"]))
    def choose_layer(self, layer):
        with contextlib.suppress(TraitError):
            self.explorer.layer = layer

    @rule(kind=st.sampled_from(["neuron", "channel", "class", "all"]), negative=st.booleans())
    def choose_objective(self, kind, negative):
        self.explorer.negative = negative
        with contextlib.suppress(TraitError):
            self.explorer.objective = kind

    @rule(at=st.none() | st.tuples(st.integers(-1, 8), st.integers(-1, 8)))
    def choose_position(self, at):
        with contextlib.suppress(TraitError):
            self.explorer.at = at

    @rule(
        state=st.fixed_dictionaries(
            {},
            optional={
                "unit": st.integers(0, 15),
                "layer": st.sampled_from(["conv1", "conv2", ""]),
                "at": st.just([1, 2]),
                "objective": st.sampled_from(["neuron", "class"]),
                "negative": st.booleans(),
                "seed": st.integers(0, 3),
                "blur": st.none() | st.floats(0, 2),
                "playing": st.booleans(),
            },
        )
    )
    def set_controls_on_the_page(self, state):
        # a page knows what it has said itself, and is told only what became something else
        self.explorer.comm.sent.append(("comm_msg", {"method": "update", "state": dict(state)}, []))
        self.explorer.comm.receive({"method": "update", "state": state})

    @rule(kind=st.sampled_from(["play", "restart", "step", "ping", "hello"]))
    def press_on_the_page(self, kind):
        self.send(kind=kind)

    @rule(kind=st.sampled_from(["seek", "resume"]), step=st.integers(0, 40))
    def seek_on_the_page(self, kind, step):
        self.send(kind=kind, step=step)

    @rule(step=st.integers(0, 40), back=st.booleans())
    def seek_or_resume(self, step, back):
        with contextlib.suppress(PeekError):
            (self.explorer.seek if back else self.explorer.resume_from)(step)

    @rule(size=st.sampled_from([None, 24, 32]))
    def choose_size(self, size):
        self.explorer.size = size

    @rule()
    def wait(self):
        assert self.explorer.wait(60) in ("done", "paused", "error")

    @invariant()
    def no_control_is_impossible(self):
        layer = next(row for row in self.explorer._layer_list if row["name"] == self.explorer.layer)
        assert 0 <= self.explorer.unit < layer["channels"]
        assert self.explorer.objective in layer["objectives"]
        assert self.explorer._parts.run.alive

    def teardown(self):
        explorer = self.explorer
        try:
            assert explorer.wait(60) in ("done", "paused", "error")
            status = explorer.status
            assert status["error"] is None or explorer.size is not None, status["error"]
            assert (status["layer"], status["unit"]) == (explorer.layer, explorer.unit)
            assert status["checkpoints"] == explorer.checkpoint_steps == sorted(set(explorer.checkpoint_steps))
            assert status["step"] == explorer.step
            assert explorer.playing or status["state"] != "running"
            # what the page was told last is what Python has
            told = {}
            for state in explorer.comm.updates():
                told.update(state)
            for name in ("status", "step", "activation"):
                assert told[name] == getattr(explorer, name)
            for name in protocol.CONTROL_TRAITS:
                shown = getattr(explorer, name)
                if name in told and name != "recipe":
                    assert told[name] == (list(shown) if isinstance(shown, tuple) else shown), name
            # and a run of these settings is the script's
            for name in protocol.KNOB_NAMES:
                setattr(explorer, name, None)
            explorer.size = 32
            explorer.restart()
            explorer.play()
            assert explorer.wait(60) == "done", explorer.status["text"]
            objective = explorer._parts.source.objective(explorer._sync.target())
            expected = render(MODEL, objective, SHORT, seed=explorer.seed, size=32)
            if explorer.step == 12:
                assert np.array_equal(np.asarray(explorer.image), np.asarray(expected.pil()))
        finally:
            explorer.close()
            comm.create_comm = self.create
            assert left_over() == []


AnyOrder.TestCase.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
test_any_order_of_actions_leaves_a_possible_explorer = AnyOrder.TestCase
