"""Which message of the front end is handled by whom."""

import logging

import pytest
from PIL import Image

from peek_widget.live import protocol
from peek_widget.live.router import Router

from .test_explorer import explore, recording

__all__ = ["explore", "recording"]  # fixtures


@pytest.mark.parametrize("dataset", [None, [Image.new("RGB", (16, 16))]], ids=["no dataset", "dataset"])
def test_every_message_of_the_front_end_has_a_handler(explore, dataset):
    explorer = explore(layer="conv2", dataset=dataset, playing=False)
    assert explorer._router.handled == set(protocol.TO_KERNEL.values())


def test_handlers_are_called_in_the_order_of_registration():
    router, called = Router(), []
    router.on(protocol.Seek, protocol.Resume, handler=lambda message: called.append(("first", message)))
    router.on(protocol.Seek, handler=lambda message: called.append(("second", message)))
    router.route({"kind": "seek", "step": 3}, [])
    router.route({"kind": "resume", "step": 4}, [])
    seek = protocol.Seek(3)
    assert called == [("first", seek), ("second", seek), ("first", protocol.Resume(4))]


def test_what_is_no_message_is_logged_and_reaches_nobody(caplog):
    router, called = Router(), []
    router.on(protocol.Seek, handler=called.append)
    with caplog.at_level(logging.WARNING):
        router.route({"kind": "seek", "step": -1}, [])
        router.route("seek", [])
    assert called == []
    assert len(caplog.messages) == 2
    assert all(message.endswith("Ignored.") for message in caplog.messages)
