"""The circuit of the unit shown on an explorer: what reaches the page, of networks whose circuits are set by hand."""

import io
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from peek_widget.circuits import circuit
from peek_widget.live import weights
from peek_widget.live.circuit import service
from peek_widget.live.circuit.crops import UnitCrops
from peek_widget.network import read
from tests.circuits.networks import ACROSS, DOT, DOWN, PICTURES, Stack, Writes, by_hand, lines

from .test_example_service import post, sent_messages, until_pass_done
from .test_explorer import eventually, explore, recording

__all__ = ["explore", "recording"]  # fixtures


def stack():
    """Unit 0 of "2" reads both lines, unit 1 is inhibited by light, and unit 2 reads nothing."""
    torch.manual_seed(0)
    middle = by_hand({0: {ACROSS: 1.0, DOWN: 0.5}, 1: {ACROSS: 1.0, DOT: -0.5}}, 3, 3)
    classes = nn.Linear(3, 2)
    classes.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return Stack(lines(), nn.ReLU(), middle, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), classes)


def opened(explore, model=None, **options):
    explorer = explore(stack() if model is None else model, **{"layer": "2", "playing": False, **options})
    explorer._parts.run.mark_active()
    post(explorer, "hello")
    post(explorer, "visible", on=True)
    if options.get("dataset") is not None:
        until_pass_done(explorer)
    post(explorer, "circuit_open", on=True)
    return explorer


def until(explorer, state="done", **fields):
    """Wait for a message of this state and with these fields to be the newest; return it with its buffers."""

    def there():
        explorer._parts.run.mark_active()
        said = sent_messages(explorer, "circuit")
        return said and said[-1][0]["state"] == state and all(said[-1][0][k] == v for k, v in fields.items())

    eventually(there, 60)
    return sent_messages(explorer, "circuit")[-1]


def test_what_excites_and_inhibits_with_the_numbers_of_the_script(explore):
    model = stack()
    explorer = opened(explore, model, unit=1, dataset=PICTURES)
    said, buffers = until(explorer, unit=1)
    table = circuit(model, "2", 1, PICTURES, progress=False).table.set_index("unit")
    assert [row["unit"] for row in said["inputs"]] == [ACROSS, DOT]
    for row in said["inputs"]:
        for number in ("weight", "contribution", "effect"):
            assert row[number] == pytest.approx(table.loc[row["unit"], number], abs=1e-5)
    assert said["inputs"][0]["effect"] > 0 > said["inputs"][1]["effect"]
    assert "its 6 top crops (activation" in said["text"]
    # its kernels: one of one weight above zero, red, and one below, blue
    red, blue = [Image.open(io.BytesIO(one)).convert("RGB").getpixel((0, 0)) for one in buffers]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert [row["unit"] for row in said["outputs"] if row["layer"] == ""] == [1]
    assert explorer.circuit.table.effect.notna().all()
    pictures = {(c["layer"], c["unit"]) for c, _ in sent_messages(explorer, "circuit_picture") if not c["draft"]}
    assert {("0", ACROSS), ("0", DOT), ("", 1)} <= pictures


@pytest.mark.slow
def test_it_follows_the_unit_and_the_first_layer_shows_its_filter(explore):
    explorer = opened(explore, dataset=PICTURES)
    until(explorer, unit=0)
    explorer.unit = 2
    said, _ = until(explorer, unit=2)
    assert said["inputs"] == []
    assert "reads nothing" in " ".join(said["remarks"])
    explorer.layer = "0"
    said, buffers = until(explorer, layer="0")
    assert said["inputs"] == []
    assert "channels are colors" in " ".join(said["remarks"])
    assert said["filter"]
    assert len(buffers) == 1
    explorer.layer = ""
    said, _ = until(explorer, layer="")
    assert "no layer is above it" in " ".join(said["remarks"])
    assert {row["layer"] for row in said["inputs"]} == {"2"}


def test_without_a_dataset_it_is_the_drawn_picture_and_says_so(explore):
    explorer = opened(explore)
    said, _ = until(explorer)
    assert "drawn picture alone" in said["remarks"][0]
    assert {row["unit"] for row in said["inputs"]} <= {ACROSS, DOWN}
    post(explorer, "circuit_get_crops", layer="0", unit=0, find=False)
    eventually(lambda: sent_messages(explorer, "circuit_crops"))
    assert sent_messages(explorer, "circuit_crops")[-1][0]["problem"] == "There are no real images."


def test_an_input_is_held_while_the_unit_is_drawn_and_another_unit_ends_that(explore):
    explorer = opened(explore, dataset=PICTURES)
    until(explorer)
    post(explorer, "circuit_set_without", layer="0", unit=ACROSS, on=True)

    def newest():
        return (sent_messages(explorer, "circuit_without") or [({"state": ""}, ())])[-1]

    def finished():
        explorer._parts.run.mark_active()
        return newest()[0]["state"] == "done"

    eventually(finished, 60)
    said, pictures = newest()
    assert (said["layer"], said["unit"]) == ("0", ACROSS)
    assert "held at its median" in said["text"]
    assert len(pictures) == 2
    assert pictures[0] != pictures[1]
    explorer.unit = 1
    until(explorer, unit=1)
    assert newest()[0]["state"] == ""


def test_crops_of_a_unit_come_where_there_are_some(explore):
    explorer = opened(explore, dataset=PICTURES, labels=list("abcdef"))
    until(explorer)
    post(explorer, "circuit_get_crops", layer="0", unit=DOWN, find=False)
    eventually(lambda: sent_messages(explorer, "circuit_crops"))
    said = sent_messages(explorer, "circuit_crops")[-1][0]
    assert "while it is shown" in said["problem"]
    assert said["can_find"]
    # where they are wanted, the images are looked at for that layer
    post(explorer, "circuit_get_crops", layer="0", unit=DOWN, find=True)

    def found():
        explorer._parts.run.mark_active()
        return sent_messages(explorer, "circuit_crops")[-1][0]["crops"]

    eventually(found, 60)
    said, pictures = sent_messages(explorer, "circuit_crops")[-1]
    assert (said["layer"], said["unit"], said["problem"], said["can_find"]) == ("0", DOWN, "", False)
    assert len(pictures) == len(said["crops"]) == 6
    assert {one["label"] for one in said["crops"][:4]} == {"b", "c", "e", "f"}  # those with a line down
    post(explorer, "circuit_get_crops", layer="2", unit=0, find=False)
    eventually(lambda: sent_messages(explorer, "circuit_crops")[-1][0]["layer"] == "2")
    said, pictures = sent_messages(explorer, "circuit_crops")[-1]
    assert {one["label"] for one in said["crops"][:3]} == {"a", "c", "e"}  # those with a line across
    assert len(pictures) == len(said["crops"]) == 6


def test_what_has_no_circuit_says_why_and_the_next_unit_has_one(explore):
    explorer = opened(explore, Writes(), layer="second")
    said, _ = until(explorer, "none")
    assert "writes into a part of a map" in said["problem"]
    assert explorer.status["state"] != "error"


def test_a_new_page_gets_everything_and_a_closed_panel_computes_nothing(explore):
    explorer = opened(explore, dataset=PICTURES)
    until(explorer)
    count = len(sent_messages(explorer, "circuit_picture"))
    post(explorer, "hello")
    eventually(lambda: len(sent_messages(explorer, "circuit_picture")) > count)
    post(explorer, "circuit_open", on=False)
    explorer.unit = 1
    assert explorer.circuit is None
    post(explorer, "circuit_open", on=True)
    until(explorer, unit=1)


def test_an_error_is_said_and_ends_nothing(explore, monkeypatch):
    def breaks(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(service, "examples_of", breaks)
    explorer = opened(explore, dataset=PICTURES)
    said, _ = until(explorer, "error")
    assert said["problem"] == "RuntimeError: broken"
    monkeypatch.undo()
    explorer.unit = 1
    until(explorer, unit=1)


@pytest.mark.parametrize("moves", [3])
def test_of_many_units_in_a_row_the_last_one_is_found(explore, moves):
    explorer = opened(explore, dataset=PICTURES)
    for number in range(moves * 3):
        explorer.unit = number % 3
    explorer.unit = 1
    assert until(explorer, unit=1)[0]["inputs"]


def test_it_follows_training(explore, monkeypatch):
    monkeypatch.setattr(weights, "REST", 0.3)
    model = stack()
    explorer = opened(explore, model, dataset=PICTURES)
    before, _ = until(explorer)
    with torch.no_grad():
        model[2].weight.mul_(2.0)

    def again():
        explorer._parts.run.mark_active()
        said = [content for content, _ in sent_messages(explorer, "circuit")]
        changed = [at for at, one in enumerate(said) if "weights have changed" in one["text"]]
        # what was known stays on the page until there is something new
        assert all(one["inputs"] for one in said[changed[0] :]) if changed else True
        return changed and said[-1]["state"] == "done"

    eventually(again, 60)
    after, _ = until(explorer)
    for one, other in zip(before["inputs"], after["inputs"], strict=True):
        assert other["effect"] == pytest.approx(2.0 * one["effect"], rel=1e-4)
    assert "with earlier weights" in " ".join(after["remarks"])


def test_weights_change_and_a_model_that_is_read_again_has_the_same():
    model, now = stack(), []
    now[:] = [read(model)]
    following = weights.Weights(lambda: now[0], time.monotonic)
    following.use()
    assert not following.changed()
    assert not following.read_again()
    now[:] = [read(model)]  # as for another device
    assert following.read_again()
    assert not following.changed()
    following.use()
    handle = model.register_forward_hook(lambda *_: None)
    assert following.read_again()
    assert not following.changed()
    handle.remove()
    with torch.no_grad():
        model[2].weight.mul_(2.0)
    assert following.changed()
    following.use()
    model[2].weight = nn.Parameter(model[2].weight.detach() * 2.0)
    assert following.changed()


def test_a_model_that_is_read_again_has_its_circuit_anew_and_no_weights_are_said_to_have_changed(explore):
    model = stack()
    explorer = opened(explore, model, dataset=PICTURES)
    until(explorer)
    before, count = explorer._parts.circuit._job, len(sent_messages(explorer, "circuit"))
    handle = model.register_forward_hook(lambda *_: None)
    eventually(lambda: explorer._parts.circuit._job is not before)
    handle.remove()
    eventually(lambda: len(sent_messages(explorer, "circuit")) > count)
    until(explorer)
    assert not any("weights" in one["text"] for one, _ in sent_messages(explorer, "circuit"))


def test_without_a_circuit_none_is_said_to_be_of_earlier_weights(explore):
    model = Writes()
    explorer = opened(explore, model, layer="second")
    until(explorer, "none")
    with torch.no_grad():
        model.second.weight.mul_(2.0)
    assert until(explorer, "reading")[0]["text"].startswith("The model's weights are changing: the circuit is found")


def test_crops_that_could_not_be_found_are_looked_for_again(explore):
    class Disk(Dataset):
        gone = False

        def __len__(self):
            return len(PICTURES)

        def __getitem__(self, index):
            if self.gone:
                raise OSError("the disk is gone")
            return PICTURES[index]

    disk = Disk()
    explorer = opened(explore, dataset=disk)
    until(explorer)
    sent = []
    front_end = SimpleNamespace(send=lambda message, _: sent.append(message))
    crops = UnitCrops(front_end, explorer._parts.examples)

    def looked(find=False):
        explorer._parts.run.mark_active()
        if find:
            crops.show("0", DOWN, True)
        crops.look()
        return sent[-1]

    disk.gone = True
    looked(find=True)
    eventually(lambda: "the disk is gone" in looked()["problem"], 30)
    assert sent[-1]["can_find"]
    assert not crops.grows
    disk.gone = False
    assert looked(find=True)["problem"] == "Looking at real images for 0 ..."
    eventually(lambda: looked()["crops"], 30)


def test_a_script_and_the_tab_use_networks_of_their_own(explore):
    explorer = opened(explore, dataset=PICTURES)
    until(explorer)
    mine = explorer.circuit
    assert mine is explorer.circuit
    assert mine._network.model_copy is not explorer._parts.circuit._job.network.model_copy
    wanted = mine.up()
    found, stop = [], threading.Event()

    def script():
        while not stop.is_set():
            found.append(mine.up())

    thread = threading.Thread(target=script)
    thread.start()
    for unit in (1, 0, 1):
        explorer.unit = unit
        until(explorer, unit=unit)
    stop.set()
    thread.join()
    assert found
    assert all(one.equals(wanted) for one in found)
    said, _ = until(explorer, unit=1)
    assert [row["unit"] for row in said["inputs"]] == [ACROSS, DOT]


def test_who_takes_pictures_is_there_long_after_the_last_frame(explore):
    explorer = opened(explore, unit=0, dataset=PICTURES)
    until(explorer)
    audience = explorer._parts.run._audience
    audience.pacer.mark_active(-1e6)  # nothing was heard of the page for a long time
    assert not audience.watched()
    for message in ({"kind": "present"}, {"kind": "circuit_get_crops", "layer": "0", "unit": 0, "find": False}):
        audience.pacer.mark_active(-1e6)
        post(explorer, message.pop("kind"), **message)
        assert audience.watched()
