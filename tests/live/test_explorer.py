"""The widget in Python: a real small model, and a comm that only keeps what it is sent."""

import copy
import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import comm
import numpy as np
import pytest
import torch
import traitlets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from traitlets import TraitError

from peek_widget import Recipe, render
from peek_widget.ascent import Neuron
from peek_widget.errors import LayerError, ModelError, PeekError, RecipeError, SizeError, UnitError
from peek_widget.explorer import UnitExplorer
from peek_widget.live import protocol

from .conformity import check_message, check_update

ROOT = Path(__file__).parents[2]
SHORT = Recipe.preset("peek").replace(steps=12, size=32)
LONG = SHORT.replace(steps=100_000)


class RecordingComm(comm.base_comm.BaseComm):
    """Keeps what would go to the page, and checks it against the protocol."""

    def __init__(self, *args, **kwargs):
        self.sent = []
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        if msg_type == "comm_msg" and data["method"] == "custom":
            check_message(data["content"], buffers or ())
        elif msg_type in ("comm_open", "comm_msg") and "state" in data:
            check_update(data["state"])
        self.sent.append((msg_type, data, list(buffers or [])))

    def receive(self, data, buffers=()):
        """As if the page had sent it."""
        self.handle_msg({"content": {"data": data}, "buffers": list(buffers)})

    def updates(self):
        return [data["state"] for kind, data, _ in self.sent if kind == "comm_msg" and data["method"] == "update"]


@pytest.fixture(autouse=True)
def recording(monkeypatch):
    monkeypatch.setattr(comm, "create_comm", RecordingComm)


def tiny(channels=3):
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(channels, 8, 3))
    model.add_module("bn", nn.BatchNorm2d(8))
    model.add_module("relu", nn.ReLU(inplace=True))
    model.add_module("conv2", nn.Conv2d(8, 16, 3, stride=2))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("head", nn.Linear(16, 5))
    return model


def left_over():
    """Our threads that still run; those that load an image end after it."""
    return [t.name for t in threading.enumerate() if t.name.startswith(("peek_widget", "peek-evidence"))]


@pytest.fixture
def explore():
    made = []

    def make(model=None, **options):
        options = {"recipe": SHORT, "threads": 1, **options}
        made.append(UnitExplorer(tiny() if model is None else model, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
    assert left_over() == [], "a worker was left over"


def eventually(condition, seconds=10):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.005)


# -- drawing


def test_it_draws_and_shows_what_the_script_draws(explore):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, seed=5)
    assert explorer.wait(60) == "done"
    result = render(model, Neuron("conv2", 3), SHORT, seed=5)
    assert np.array_equal(np.asarray(explorer.image), np.asarray(result.pil()))
    assert explorer.step == explorer.status["step"] == 12
    assert explorer.history[-1].highest == pytest.approx(float(result.history[-1, 0]))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(explorer.frame))), np.asarray(explorer.image))


def test_the_guest_is_not_touched(explore):
    model = tiny().train()
    before = copy.deepcopy(model.state_dict())
    flags = [(name, p.requires_grad, p.grad) for name, p in model.named_parameters()]
    explorer = explore(model)
    explorer.wait(60)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert flags == [(name, p.requires_grad, p.grad) for name, p in model.named_parameters()]
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("channels", "mode", "words"), [(1, "L", ""), (2, "L", "mean of 2"), (5, "RGB", "first three")]
)
def test_other_numbers_of_channels(explore, channels, mode, words):
    explorer = explore(tiny(channels), preprocess="none")
    assert explorer.wait(60) == "done"
    assert explorer.image.mode == mode
    assert words in explorer._about["preprocess"]


@pytest.mark.parametrize("layer", ["conv1", "conv2", "head", ""])
def test_every_kind_of_layer(explore, layer):
    explorer = explore(layer=layer, unit=2)
    assert explorer.wait(60) == "done", explorer.status["text"]
    assert layer in [row["name"] for row in explorer._layer_list]


def test_a_layer_that_is_not_listed_is_listed_while_it_is_chosen(explore):
    explorer = explore(layer="conv2")
    assert "relu" not in [row["name"] for row in explorer._layer_list]
    explorer.layer = "relu"
    assert "relu" in [row["name"] for row in explorer._layer_list]


def test_it_begins_in_the_middle(explore):
    assert explore().layer == "conv2"


def test_play_pause_step_restart(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 3)
    explorer.pause()
    assert explorer.wait(10) == "paused"
    step = explorer.step
    explorer.step_once()
    explorer.wait(10)
    assert explorer.step == step + 1
    explorer.play()
    eventually(lambda: explorer.step > step + 3)
    run = explorer.status["run"]
    explorer.restart()
    eventually(lambda: explorer.status["run"] == run + 1)


def test_play_after_the_end_goes_on(explore):
    explorer = explore()
    explorer.wait(60)
    explorer.play()
    explorer.wait(60)
    assert explorer.step == 24


def test_the_front_ends_play_goes_on_past_the_end(explore):
    explorer = explore()
    explorer.wait(60)
    explorer._handle_custom_msg({"kind": "play"}, [])
    explorer.wait(60)
    assert explorer.step == 24


def test_not_playing_computes_nothing_until_asked(explore):
    explorer = explore(playing=False)
    assert not [t for t in threading.enumerate() if t.name == "peek_widget"]
    assert explorer.image is None
    explorer.step_once()
    explorer.wait(30)
    assert explorer.image is not None


def test_setting_the_unit_begins_again(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 2)
    explorer.unit = 7
    eventually(lambda: explorer.status["unit"] == 7 and explorer.status["state"] == "running")


def test_a_knob_changes_the_running_ascent(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 2)
    run = explorer.status["run"]
    explorer.blur = 2.5
    eventually(lambda: explorer.status["values"]["blur"] == 2.5)
    explorer.blur = None
    eventually(lambda: explorer.status["values"]["blur"] == 0.0)
    assert explorer.status["run"] == run


def test_a_smaller_layer_takes_the_unit_with_it(explore):
    explorer = explore(layer="conv2", unit=15, recipe=LONG)
    explorer.layer = "conv1"
    assert explorer.unit == 7
    eventually(lambda: (explorer.status["layer"], explorer.status["unit"]) == ("conv1", 7))


def test_recipes_by_name_and_by_hand(explore):
    explorer = explore(recipe="peek")
    own = SHORT.replace(name="mine")
    explorer.recipe = own
    assert explorer.recipe == own
    assert explorer.get_state("recipe") == {"recipe": "mine"}
    assert [row["name"] for row in explorer._recipe_list][-1] == "mine"
    # the page names it back
    explorer.set_state({"recipe": "mine"})
    assert explorer.recipe == own
    explorer.set_state({"recipe": "peek"})
    assert explorer.recipe == "peek"


# -- bad input


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"layer": "conv9"}, LayerError, "conv2"),
        ({"unit": 16}, UnitError, "0 to 15"),
        ({"unit": -1}, UnitError, "0 to 15"),
        ({"unit": 1.5}, UnitError, "whole number"),
        ({"seed": -1}, PeekError, "from 0"),
        ({"seed": 2**53}, PeekError, "2\\*\\*53 - 1"),
        ({"size": 2}, PeekError, "pixels"),
        ({"size": "large"}, PeekError, "pixels"),
        ({"blur": 99.0}, RecipeError, "0 to 5"),
        ({"blur": float("nan")}, RecipeError, "number"),
        ({"step_size": 0}, RecipeError, "0.001"),
        ({"recipe": "pek"}, RecipeError, "peek"),
        ({"recipe": 3}, RecipeError, "name of a preset"),
        ({"threads": 0}, PeekError, "threads"),
        ({"model": nn.AdaptiveAvgPool2d(1)}, ModelError, "convolution"),
        ({"model": 7}, ModelError, "Module"),
    ],
)
def test_the_constructor_refuses_in_a_sentence(options, kind, words):
    model = options.pop("model", None) or tiny()
    with pytest.raises(kind, match=words) as caught:
        UnitExplorer(model, **{"layer": "conv2" if isinstance(model, nn.Sequential) else None, **options})
    assert not [t for t in threading.enumerate() if t.name == "peek_widget"]
    assert str(caught.value).rstrip().endswith((".", "lists all 8."))


def test_a_size_below_what_the_layer_needs_is_refused_at_once():
    torch.manual_seed(0)
    deep = nn.Sequential(*[nn.Conv2d(3, 3, 3, stride=2) for _ in range(4)])
    with pytest.raises(SizeError, match="at least"):
        UnitExplorer(deep, layer="3", size=16, input_size=64)


def test_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("PEEK_THREADS", "many")
    with pytest.raises(PeekError, match="PEEK_THREADS"):
        UnitExplorer(tiny())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("layer", "conv9", "conv2"),
        ("unit", 16, "0 to 15"),
        ("unit", "a", "unit"),
        ("seed", -1, "from 0"),
        ("size", 2, "pixels"),
        ("blur", 99, "0 to 5"),
        ("jitter", float("inf"), "number"),
        ("recipe", "pek", "peek"),
        ("frame", b"x", "cannot be set"),
        ("status", {}, "cannot be set"),
    ],
)
def test_a_trait_refuses_the_same_and_keeps_its_value(explore, name, value, words):
    explorer = explore(layer="conv2")
    before = getattr(explorer, name) if name not in protocol.LIVE_TRAITS else None
    with pytest.raises(TraitError, match=words):
        setattr(explorer, name, value)
    if before is not None:
        assert getattr(explorer, name) == before
    assert explorer.wait(60) == "done"


def test_an_attribute_that_looks_like_a_control_is_refused_and_others_are_the_users(explore):
    explorer = explore(playing=False)
    for name, words in (
        ("unti", "did you mean 'unit'"),
        ("Layer", "did you mean 'layer'"),
        ("stepsize", "did you mean 'step_size'"),
        ("total_variaton", "did you mean 'total_variation'"),
        ("tag", "did you mean 'tags'"),
        ("dataset", r"UnitExplorer\(model, dataset=\.\.\.\)"),
        ("model", r"the model that it was made with: .*UnitExplorer\(model, \.\.\.\)"),
    ):
        with pytest.raises(AttributeError, match=words):
            setattr(explorer, name, 3)
    explorer.remark = "mine"
    explorer._private = 1
    explorer.layout = {"width": "900px"}
    assert explorer.remark == "mine"

    class Mine(UnitExplorer):
        units = 3

    mine = Mine(tiny(), playing=False)
    mine.units = 4
    mine.close()


# -- the page's side


def test_hello_brings_all_live_traits_in_one_message(explore):
    explorer = explore()
    explorer.wait(60)
    explorer.comm.sent.clear()
    explorer.comm.receive({"method": "custom", "content": {"kind": "hello"}})
    eventually(lambda: explorer.comm.sent)
    ((kind, data, buffers),) = explorer.comm.sent
    assert (kind, data["method"]) == ("comm_msg", "update")
    assert data["buffer_paths"] == [["_history"], ["frame"]] or data["buffer_paths"] == [
        ["frame"],
        ["_history"],
    ]
    assert {*data["state"], *(path[0] for path in data["buffer_paths"])} == set(protocol.LIVE_TRAITS)
    assert explorer.frame in buffers


def test_live_updates_are_one_message_each(explore):
    explorer = explore()
    explorer.wait(60)
    live = [state for state in explorer.comm.updates() if set(state) & set(protocol.LIVE_TRAITS)]
    assert all("status" in state for state in live)


def test_the_state_a_new_page_reads_has_the_newest_frame(explore):
    explorer = explore()
    explorer.wait(60)
    state = explorer.get_state()
    assert state["frame"] == explorer.frame
    assert state["status"]["state"] == "done"
    assert set(protocol.CONTROL_TRAITS + protocol.DESCRIPTION_TRAITS + protocol.LIVE_TRAITS) <= set(state)


def test_the_page_moves_controls(explore):
    explorer = explore(layer="conv2", recipe=LONG)
    explorer.comm.receive({"method": "update", "state": {"layer": "conv1", "unit": 6, "blur": 1}})
    assert (explorer.layer, explorer.unit, explorer.blur) == ("conv1", 6, 1.0)
    eventually(lambda: (explorer.status["layer"], explorer.status["unit"]) == ("conv1", 6))


def test_the_page_cannot_write_what_it_only_reads(explore, caplog):
    explorer = explore()
    explorer.wait(60)
    frame, about = explorer.frame, explorer._about
    state = {"status": {"n": 9}, "_about": {}, "_esm": "not ours", "nonsense": 1}
    explorer.comm.receive({"method": "update", "state": {**state, "frame": None}, "buffer_paths": [["frame"]]}, [b"x"])
    assert (explorer.frame, explorer._about) == (frame, about)
    assert explorer._esm != "not ours"
    assert "may not set" in caplog.text


def test_what_the_page_asks_in_vain_is_put_right_on_the_page(explore, caplog):
    explorer = explore(layer="conv2", unit=3)
    explorer.wait(60)
    explorer.comm.sent.clear()
    explorer.comm.receive({"method": "update", "state": {"unit": 999}})
    assert explorer.unit == 3
    assert {"unit": 3} in explorer.comm.updates()
    assert "0 to 15" in caplog.text


json_values = st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=5) | st.just([])


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.lists(
        st.dictionaries(st.sampled_from([*protocol.CONTROL_TRAITS, "status", "frame"]), json_values, max_size=3),
        max_size=3,
    ),
    content=st.dictionaries(
        st.sampled_from(["kind", "n", "on", "id", "bottom", "view"]),
        json_values | st.sampled_from(protocol.INBOUND_KINDS),
    ),
)
def test_any_messages_leave_a_possible_state(explore_once, states, content):
    explorer = explore_once
    for state in states:
        explorer.comm.receive({"method": "update", "state": state})
    explorer.comm.receive({"method": "custom", "content": content})
    network = explorer._parts.source.network
    assert 0 <= explorer.unit < network.layer(explorer.layer).channels
    assert 0 <= explorer.seed < 2**53
    assert isinstance(explorer.playing, bool)
    assert explorer._parts.run.alive


@pytest.fixture
def explore_once(explore):
    return explore(recipe=LONG)


# -- observers and threads


def test_live_traits_can_be_observed_and_linked(explore):
    explorer = explore(playing=False)
    seen, threads = [], set()

    def note(change):
        seen.append((change.name, change.new))
        threads.add(threading.current_thread().name)

    explorer.observe(note, ["frame", "activation"])
    explorer.play()
    explorer.wait(60)
    assert {name for name, _ in seen} == {"frame", "activation"}
    assert [value for name, value in seen if name == "frame"][-1] == explorer.frame
    assert threads == {"peek_widget"}


def test_an_observer_that_raises_is_shown_and_survived(explore, caplog):
    explorer = explore(playing=False, recipe=LONG)

    def bad(change):
        raise KeyError("my own mistake")

    explorer.observe(bad, "frame")
    explorer.play()
    assert explorer.wait(30) == "error"
    assert "my own mistake" in explorer.status["error"]
    assert "my own mistake" in caplog.text
    explorer.unobserve(bad, "frame")
    explorer.blur = 1.0
    eventually(lambda: explorer.status["state"] == "running")


def test_three_threads_at_once_lose_nothing(explore):
    """The worker publishes, one thread sets traits, another takes messages of the page."""
    explorer = explore(layer="conv2", recipe=LONG)
    eventually(lambda: explorer.step > 1)
    errors, echoes = [], []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def guard(work):
        def run():
            try:
                for i in range(400):
                    work(i)
            except Exception as error:
                errors.append(error)

        return threading.Thread(target=run)

    def python(i):
        explorer.seed = i
        assert explorer.seed == i
        explorer.decay = (i % 50) / 100
        assert explorer.decay == (i % 50) / 100

    def page(i):
        unit, blur = i % 16, (i % 50) / 10
        explorer.comm.receive({"method": "update", "state": {"unit": unit, "blur": blur}})
        echoes.append((explorer.unit, explorer.blur) == (unit, blur))

    threads = [guard(python), guard(page)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert all(echoes)
    assert "notify_change" not in vars(explorer), "traitlets left its own version behind"
    final = (explorer.seed, explorer.decay, explorer.unit, explorer.blur)
    assert final == (399, 0.49, 15, 4.9)
    # the page was told every value that Python set
    told = [state["seed"] for state in explorer.comm.updates() if "seed" in state]
    assert told[-1] == 399
    eventually(
        lambda: (
            explorer.status["unit"] == 15
            and explorer.status["values"].get("blur") == 4.9
            and explorer.status["values"]["decay"] == 0.49
        )
    )


# -- its end


def test_close_leaves_no_thread_and_is_harmless_twice(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 1)
    explorer.close()
    assert not [t for t in threading.enumerate() if t.name == "peek_widget"]
    explorer.close()
    assert explorer.status["state"] == explorer.wait(5) == "closed"
    with pytest.raises(TraitError, match="is closed: make a new one"):
        explorer.unit = 2
    for control in (explorer.play, explorer.pause, explorer.restart, explorer.step_once):
        with pytest.raises((PeekError, TraitError), match="is closed: make a new one"):
            control()
    assert not [t for t in threading.enumerate() if t.name == "peek_widget"]


def test_a_closed_comm_ends_nothing_but_the_sending(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 1)
    explorer.comm.close()
    step = explorer.step
    eventually(lambda: explorer.step > step)
    assert explorer.status["error"] is None


def test_two_explorers_of_one_model(explore):
    model = tiny()
    one, two = explore(model, unit=1, layer="conv2"), explore(model, unit=2, layer="conv2")
    assert one.wait(60) == two.wait(60) == "done"
    alone = explore(model, unit=1, layer="conv2")
    alone.wait(60)
    assert np.array_equal(np.asarray(one.image), np.asarray(alone.image))


def test_it_shows_a_picture_where_no_widget_can_be_shown(explore):
    explorer = explore()
    assert "image/png" not in explorer._repr_mimebundle_()[0] or explorer.image is not None
    explorer.wait(60)
    data, _ = explorer._repr_mimebundle_()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json", "image/png"}
    assert data["image/png"][:4] == b"\x89PNG"
    assert "conv2" in data["text/plain"]


def test_repr_says_what_it_draws(explore):
    text = repr(explore(layer="conv1", unit=4))
    for word in ("Sequential", "conv1", "unit=4", "peek", "ImageNet"):
        assert word in text


@pytest.mark.slow
def test_a_script_can_end_while_it_draws():
    program = """
import torch
import traitlets
from torch import nn
from peek_widget import UnitExplorer
explorer = UnitExplorer(nn.Conv2d(3, 8, 3), threads=1)
while explorer.step < 2:
    pass
print("drawn", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "drawn", "")


def test_a_live_trait_can_be_linked_to_another_object(explore):
    class Gauge(traitlets.HasTraits):
        value = traitlets.Float()

    explorer, gauge = explore(playing=False), Gauge()
    traitlets.dlink((explorer, "activation"), (gauge, "value"))
    explorer.play()
    explorer.wait(60)
    assert gauge.value == explorer.activation != 0.0


def test_of_a_block_and_its_convolutions_it_begins_with_the_block(explore):
    class Block(nn.Module):
        def __init__(self, before, after):
            super().__init__()
            self.one = nn.Conv2d(before, after, 3, padding=1)
            self.two = nn.Conv2d(after, after, 1)

        def forward(self, x):
            y = self.one(x).relu()
            return y + self.two(y)

    torch.manual_seed(0)
    model = nn.Sequential(*[Block(3 if i == 0 else 4, 4) for i in range(6)])
    explorer = explore(model, playing=False)
    assert explorer.layer in ("3", "4")


def test_one_step_of_a_fresh_paused_explorer_is_one_step(explore):
    explorer = explore(playing=False)
    explorer.step_once()
    assert explorer.wait(60) == "paused"
    assert explorer.step == 1


def test_an_observer_that_wants_to_leave_does_not_take_the_worker_along(explore):
    explorer = explore(playing=False)

    def leave(change):
        explorer.unobserve(leave, "step")
        raise SystemExit("bye")

    explorer.observe(leave, "step")
    explorer.play()
    assert explorer.wait(60) == "error"
    assert "SystemExit: bye" in explorer.status["error"]
    explorer.restart()
    assert explorer.wait(60) == "done"


def test_a_presets_name_brings_the_preset_back(explore):
    own = Recipe.preset("peek").replace(steps=7)
    explorer = explore(recipe=own)
    explorer.set_state({"recipe": "peek"})  # a front end that knows names only
    assert explorer.recipe == own
    explorer.recipe = "peek"
    assert explorer.recipe == "peek"


def test_it_gives_way_to_a_training_and_says_that_the_weights_have_changed(explore):
    model = tiny()
    explorer = explore(model, recipe=LONG)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images = torch.rand(2, 3, 32, 32)
    eventually(lambda: explorer.step > 5)
    assert "weights" not in explorer.status["text"]
    for _ in range(20):
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()
        time.sleep(0.005)
    eventually(lambda: "restart it to draw with the current ones" in explorer.status["text"])
    explorer.restart()
    eventually(lambda: explorer.step > 2 and "weights" not in explorer.status["text"])
    assert all(p.requires_grad for p in model.parameters())


def test_only_the_recipes_that_are_offered_can_be_chosen(explore):
    explorer = explore(recipe=None, recipes=["peek-fast", "oygard-2016"], playing=False)
    assert explorer.recipe == "peek-fast"
    assert [row["name"] for row in explorer._recipe_list] == ["peek-fast", "oygard-2016"]
    with pytest.raises(TraitError, match="not offered: choose one of peek-fast, oygard-2016"):
        explorer.recipe = "peek"
    explorer.comm.receive({"method": "update", "state": {"recipe": "maco-2023"}})
    assert explorer.recipe == "peek-fast"
    with pytest.raises(RecipeError, match="not offered"):
        UnitExplorer(tiny(), recipe="peek", recipes=["peek-fast"])
    with pytest.raises(RecipeError, match="empty"):
        UnitExplorer(tiny(), recipes=[])
    with pytest.raises(RecipeError, match="no recipe"):
        UnitExplorer(tiny(), recipes=["pek"])


def test_labels_without_a_dataset_are_refused(explore):
    # whoever gives names of classes so would lose them without a word
    with pytest.raises(PeekError, match="class_names="):
        explore(labels=["a", "b"])


def test_a_comparison_of_a_closed_explorer_does_not_wait_for_ever(explore):
    explorer = explore(playing=False)
    comparison = explorer.compare(seeds=[0, 1])
    explorer.close()
    comparison.wait(timeout=60)
    assert comparison.state == "closed"
    with pytest.raises(PeekError, match="closed"):
        explorer.compare(seeds=[0, 1])


def test_a_layout_is_taken_as_by_every_widget(explore):
    assert explore(layout={"width": "700px"}).layout.width == "700px"


def test_a_training_after_the_end_of_the_run_is_seen(explore):
    model = tiny()
    explorer = explore(model, recipe=SHORT, redraw=True)
    assert explorer.redraw
    explorer.comm.receive({"method": "custom", "content": {"kind": "visible", "on": True}})
    explorer.wait(30)
    first = explorer.status["run"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    eventually(lambda: explorer.status["run"] > first and explorer.status["state"] == "done")
