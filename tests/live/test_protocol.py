"""The messages: what is accepted, and that nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peek_widget.live import protocol
from peek_widget.live.protocol import ProtocolError, parse

ACCEPTED = [
    ({"kind": "hello"}, protocol.Hello()),
    ({"kind": "ping"}, protocol.Ping()),
    ({"kind": "present"}, protocol.Present()),
    ({"kind": "play"}, protocol.Play()),
    ({"kind": "restart"}, protocol.Restart()),
    ({"kind": "step"}, protocol.StepOnce()),
    ({"kind": "ack", "n": 0, "at": 1}, protocol.Ack(0, 1)),
    ({"kind": "ack", "n": 2**53 - 1, "at": 0}, protocol.Ack(2**53 - 1, 0)),
    ({"kind": "visible", "on": False}, protocol.Visible(False)),
    ({"kind": "crop_view", "bottom": True, "view": "focus"}, protocol.SetCropView(True, "focus")),
    ({"kind": "open_crop", "id": 7}, protocol.OpenCrop(7)),
    ({"kind": "start_from_crop", "id": 0}, protocol.StartFromCrop(0)),
    ({"kind": "run_pass", "on": True}, protocol.RunPass(True)),
    ({"kind": "compare", "what": "seeds", "values": [0, 7]}, protocol.Compare("seeds", (0, 7))),
    ({"kind": "compare", "what": "recipes", "values": ["peek", "x"]}, protocol.Compare("recipes", ("peek", "x"))),
    ({"kind": "compare", "what": "units", "values": []}, protocol.Compare("units", ())),
    ({"kind": "compare_ack", "n": 3}, protocol.CompareAck(3)),
    ({"kind": "save", "what": "picture"}, protocol.Save("picture")),
    ({"kind": "seek", "step": 9}, protocol.Seek(9)),
    ({"kind": "resume", "step": 0}, protocol.Resume(0)),
    ({"kind": "load_module"}, protocol.LoadModule()),
    ({"kind": "sheet", "on": True}, protocol.SheetOpen(True)),
    ({"kind": "draw", "on": False}, protocol.SheetDraw(False)),
    ({"kind": "view", "units": [9, 0]}, protocol.SheetView((9, 0))),
    ({"kind": "sheetack", "n": 12}, protocol.SheetAck(12)),
    ({"kind": "similarity"}, protocol.SheetSimilarity()),
    ({"kind": "photo", "data": "AA=="}, protocol.SetPhoto("AA==")),
    (
        {"kind": "photo_edit", "how": "blur", "whole": False, "strokes": [0.5, 1, 0]},
        protocol.PhotoEdit("blur", False, (0.5, 1, 0)),
    ),
    ({"kind": "photo_place", "y": 0.25, "x": 1, "on": True}, protocol.PhotoPlace(0.25, 1, True)),
    ({"kind": "photo_sample"}, protocol.PhotoSample()),
    ({"kind": "photo_overview", "on": True}, protocol.PhotoOverview(True)),
    (
        {"kind": "photo_accentuate", "unit": 7, "less": True, "strength": 2.5, "on": True},
        protocol.PhotoAccentuate(7, True, 2.5, True),
    ),
    ({"kind": "photo_close"}, protocol.PhotoClose()),
    ({"kind": "circuit_open", "on": True}, protocol.CircuitOpen(True)),
    (
        {"kind": "circuit_get_crops", "layer": "conv2", "unit": 3, "find": True},
        protocol.GetCircuitCrops("conv2", 3, True),
    ),
    (
        {"kind": "circuit_set_without", "layer": "conv2", "unit": 3, "on": False},
        protocol.SetCircuitWithout("conv2", 3, False),
    ),
    (
        {"kind": "tag", "layer": "a", "units": [1, 2], "words": ["dog"], "on": True},
        protocol.Tag("a", (1, 2), ("dog",), True),
    ),
    ({"kind": "tag_reviewed", "layer": "", "units": [], "on": False}, protocol.TagReviewed("", (), False)),
    ({"kind": "undo", "again": False}, protocol.TagUndo(False)),
    ({"kind": "key", "key": "d", "word": "dog"}, protocol.TagKey("d", "dog")),
]


@pytest.mark.parametrize(("content", "message"), ACCEPTED)
def test_every_message_is_read(content, message):
    assert parse(content, []) == message


def test_every_kind_is_covered():
    assert {content["kind"] for content, _ in ACCEPTED} == set(protocol.INBOUND_KINDS)


@pytest.mark.parametrize(
    ("content", "buffers", "word"),
    [
        (None, None, "object"),
        ("hello", None, "object"),
        ({}, None, "kind"),
        ({"kind": "Hello"}, None, "kind"),
        ({"kind": ["ack"]}, None, "kind"),
        ({"kind": "hello"}, [b"x"], "buffers"),
        ({"kind": "hello", "n": 1}, None, "fields"),
        ({"kind": "ack"}, None, "fields"),
        ({"kind": "ack", "n": 1}, None, "fields"),
        ({"kind": "ack", "n": 1, "at": 0.5}, None, "at of ack is 0.5: a whole number from 0 to"),
        ({"kind": "ack", "n": True, "at": 0}, None, "whole number"),
        ({"kind": "ack", "n": 1.0, "at": 0}, None, "whole number"),
        ({"kind": "ack", "n": -1, "at": 0}, None, "whole number"),
        ({"kind": "ack", "n": 2**53, "at": 0}, None, "whole number"),
        ({"kind": "visible", "on": 1}, None, "true or false"),
        ({"kind": "run_pass", "on": None}, None, "true or false"),
        ({"kind": "crop_view", "bottom": True}, None, "fields"),
        ({"kind": "crop_view", "bottom": True, "view": "no"}, None, "whole, field, focus"),
        ({"kind": "open_crop", "id": -1}, None, "whole number"),
        ({"kind": "start_from_crop", "id": True}, None, "whole number"),
        ({"kind": "view", "units": 3}, None, "units"),
        ({"kind": "view", "units": [0.5]}, None, "whole number"),
        ({"kind": "view", "units": [0] * 65_537}, None, "0 to 65536 items"),
        ({"kind": "tag", "layer": "a", "units": [1], "words": "dog", "on": True}, None, "words"),
        ({"kind": "tag", "layer": "a", "units": [1], "words": [1], "on": True}, None, "a text of"),
        ({"kind": "tag", "layer": "a", "units": [1], "words": ["x" * 513], "on": True}, None, "512 characters"),
        ({"kind": "tag", "layer": 3, "units": [1], "words": ["x"], "on": True}, None, "a text of"),
        (
            {"kind": "tag", "layer": "a", "units": [1], "words": ["x"] * 1001, "on": True},
            None,
            "words of tag .* 0 to 1000 items",
        ),
        ({"kind": "tag_reviewed", "layer": "a", "units": [True], "on": True}, None, "whole number"),
        ({"kind": "key", "key": "D", "word": "dog"}, None, "letter"),
        ({"kind": "key", "key": "dd", "word": "dog"}, None, "letter"),
        ({"kind": "compare", "what": "models", "values": [0, 1]}, None, "must be one of recipes, seeds, units"),
        ({"kind": "compare", "what": "seeds", "values": ["a", "b"]}, None, "whole number"),
        ({"kind": "compare", "what": "recipes", "values": [1, 2]}, None, "text"),
        ({"kind": "compare", "what": "recipes", "values": ["x" * 201, "y"]}, None, "200 characters"),
        ({"kind": "compare", "what": "seeds", "values": [0] * 7}, None, "0 to 6 items"),
        ({"kind": "compare", "what": "seeds", "values": "01"}, None, "list"),
        ({"kind": "compare_ack", "n": -1}, None, "whole number"),
        ({"kind": "save", "what": ["picture"]}, None, "must be one of picture"),
        ({"kind": "seek", "step": -1}, None, "whole number"),
        ({"kind": "resume", "step": "1"}, None, "whole number"),
        ({"kind": "photo", "data": "A" * 700_001}, None, "at most 700000 characters"),
        ({"kind": "photo_edit", "how": "erase", "whole": True, "strokes": []}, None, "must be one of gray"),
        ({"kind": "photo_edit", "how": "gray", "whole": True, "strokes": [2]}, None, "from 0 to 1"),
        ({"kind": "photo_place", "y": -0.1, "x": 0, "on": True}, None, "from 0 to 1"),
    ],
)
def test_what_is_refused_is_refused_in_a_short_sentence(content, buffers, word):
    with pytest.raises(ProtocolError, match=word) as caught:
        parse(content, buffers)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 1000


def test_a_flood_does_not_reach_the_log():
    with pytest.raises(ProtocolError) as caught:
        parse({"kind": "x" * 10_000_000})
    assert len(str(caught.value)) < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
nearly = st.fixed_dictionaries(
    {"kind": st.sampled_from(protocol.INBOUND_KINDS) | json_values},
    optional=dict.fromkeys(
        (
            "n",
            "on",
            "id",
            "bottom",
            "view",
            "what",
            "values",
            "layer",
            "units",
            "words",
            "again",
            "key",
            "word",
            "other",
        ),
        json_values,
    ),
)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(json_values | nearly)
def test_anything_is_either_a_message_or_refused(content):
    try:
        message = parse(content, None)
    except ProtocolError:
        return
    # what was accepted says exactly what was sent
    assert isinstance(message, protocol.Message)
    sent = {key: value for key, value in content.items() if key != "kind"}
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in vars(message).items()} == sent
    assert all(type(value) in (int, bool, str, list) for value in sent.values())
