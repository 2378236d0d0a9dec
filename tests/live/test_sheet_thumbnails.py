"""Pictures of the contact sheet on their way to a page that acknowledges them, or doesn't."""

from types import SimpleNamespace

import pytest

from peek_widget.live.sheet_thumbnails import AT_ONCE, IN_FLIGHT, ThumbnailFeed

from .fakes import FakeFrontEnd


def cached_sheet(units=range(100), failed=(), length=1000):
    done = {unit: SimpleNamespace(activation=float(unit)) for unit in units if unit not in failed}
    return SimpleNamespace(
        number=3,
        sheet=Sheet(done),
        failed=dict.fromkeys(failed, "The gradient is zero."),
        thumbnail=lambda unit: (False, bytes(length)) if unit in done else None,
    )


class Sheet:
    def __init__(self, done):
        self.done, self.drafts = done, {}

    def __getitem__(self, unit):
        return self.done[unit]


@pytest.fixture
def page():
    return FakeFrontEnd()


def units_of(page):
    return [row[0] for message, _ in page.sent for row in message["units"]]


def send_all(feed):
    while feed.ready:
        feed.send_pictures()


def test_pictures_in_view_are_sent_first_and_a_few_at_a_time(page):
    feed = ThumbnailFeed(page)
    feed.view = (40, 7)
    feed.show(cached_sheet())
    feed.send_pictures()
    ((message, buffers),) = page.sent
    assert message["sheet"] == 3
    assert units_of(page)[:3] == [40, 7, 0]
    assert len(buffers) == len(message["units"]) == AT_ONCE


def test_no_more_is_in_flight_than_the_window(page):
    feed = ThumbnailFeed(page)
    feed.show(cached_sheet(length=20_000))
    send_all(feed)
    sent = sum(len(data) for _, buffers in page.sent for data in buffers)
    assert IN_FLIGHT <= sent < IN_FLIGHT + AT_ONCE * 20_000
    assert not feed.ready
    feed.ack(page.sent[-1][0]["n"])
    assert feed.ready


def test_every_picture_is_sent_once_until_it_is_new_or_the_page_is(page):
    feed = ThumbnailFeed(page)
    sheet = cached_sheet()
    feed.show(sheet)
    send_all(feed)
    assert sorted(units_of(page)) == list(range(100))
    page.sent.clear()
    feed.add([5])
    send_all(feed)
    assert units_of(page) == [5]
    page.sent.clear()
    feed.show(sheet)
    send_all(feed)
    assert sorted(units_of(page)) == list(range(100))


def test_a_unit_that_cannot_be_drawn_has_a_sentence_and_no_picture(page):
    feed = ThumbnailFeed(page)
    feed.show(cached_sheet(range(3), failed=[1]))
    send_all(feed)
    ((message, buffers),) = page.sent
    assert [1, None, False, "The gradient is zero."] in message["units"]
    assert len(buffers) == 2


def test_messages_are_numbered_in_the_order_of_sending(page):
    feed = ThumbnailFeed(page)
    words = {"state": "running", "text": "", "problem": ""}
    feed.send({"kind": "sheet", "sheet": 1, "layer": "conv", "total": 3, "open": True, **words})
    feed.show(cached_sheet())
    feed.send_pictures()
    assert [message["n"] for message, _ in page.sent] == [1, 2]
