"""The thread with a mailbox that every background part of an explorer is built on."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from peek_widget.live.service import Mailbox, Service

ROOT = Path(__file__).parents[2]


@dataclass
class Requests:
    unit: int | None = None
    wake: bool = False


class Recorder(Service):
    """Records which requests it was handed; `every` is what `wait_time` returns."""

    def __init__(self):
        super().__init__("recorder", Requests)
        self.every = None
        self.handled = []
        self.failed = []
        self.events = []
        self.may_work = threading.Event()
        self.may_work.set()
        self.errors = []

    def enter(self):
        self.events.append(("enter", threading.current_thread().name))
        if self.errors and self.errors[0] == "enter":
            raise ValueError(self.errors.pop(0))

    def wait_time(self):
        return self.every

    def handle(self, requests):
        self.may_work.wait(5)
        self.handled.append(requests)
        if self.errors:
            raise self.errors.pop(0)

    def fail(self, error):
        super().fail(error)
        self.failed.append(error)

    def leave(self):
        self.events.append(("leave", threading.current_thread().name))

    def interrupt(self):
        self.events.append(("interrupt", threading.current_thread().name))
        self.may_work.set()


@pytest.fixture
def service():
    made = Recorder()
    yield made
    assert made.close()
    assert not made.alive


def eventually(condition, seconds=5.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


def test_the_first_request_starts_the_thread_and_a_newer_one_replaces_an_older(service):
    assert not service.alive
    service.may_work.clear()
    service.post(unit=1)
    eventually(lambda: service.alive and service._mailbox.empty)
    service.post(unit=2)
    service.post(unit=3)
    service.may_work.set()
    eventually(lambda: len(service.handled) == 2)
    assert [one.unit for one in service.handled] == [1, 3]


def test_a_request_that_must_not_start_the_thread_is_dropped_before_the_first(service):
    service.post(start=False, unit=1)
    assert not service.alive
    service.post(unit=2)
    eventually(lambda: service.handled)
    service.post(start=False, unit=3)
    eventually(lambda: len(service.handled) == 2)
    assert [one.unit for one in service.handled] == [2, 3]


def test_without_a_request_it_works_only_as_often_as_its_wait_time_says(service):
    service.post(unit=1)
    eventually(lambda: service.handled)
    time.sleep(0.05)
    service.wake()
    time.sleep(0.05)
    assert len(service.handled) == 1
    service.every = 0.01
    service.wake()
    eventually(lambda: len(service.handled) > 3)
    assert service.handled[1:] == [Requests()] * (len(service.handled) - 1)
    service.every = None


@pytest.mark.parametrize("error", [RuntimeError("broke"), SystemExit(1), KeyboardInterrupt()])
def test_an_error_is_reported_and_the_thread_goes_on(service, error, caplog):
    service.errors.append(error)
    service.post(unit=1)
    eventually(lambda: service.failed)
    assert service.failed == [error]
    assert "recorder failed" in caplog.text
    service.post(unit=2)
    eventually(lambda: len(service.handled) == 2)


def test_an_error_while_the_thread_is_prepared_is_reported_and_the_thread_goes_on(service):
    service.errors.append("enter")
    service.post(unit=1)
    eventually(lambda: service.handled)
    assert str(service.failed[0]) == "enter"


def test_closing_interrupts_the_work_and_cleans_up_in_the_thread(service):
    service.may_work.clear()
    service.post(unit=1)
    eventually(lambda: service.alive and service._mailbox.empty)
    assert service.close()
    assert service.closed
    assert service.events == [
        ("enter", "recorder"),
        ("interrupt", threading.current_thread().name),
        ("leave", "recorder"),
    ]
    service.post(unit=2)
    service.start()
    assert not service.alive
    assert len(service.handled) == 1


def test_closing_says_when_a_piece_of_work_takes_longer_than_the_time_allowed():
    service = Recorder()
    service.interrupt = lambda: None
    service.may_work.clear()
    service.post(unit=1)
    eventually(lambda: service.alive and service._mailbox.empty)
    assert not service.close(0.05)
    service.may_work.set()
    assert service.close()


def test_the_thread_may_close_its_own_service():
    service = Recorder()
    service.handle = lambda requests: service.close()
    service.post(unit=1)
    eventually(lambda: service.closed and not service.alive)


def test_a_service_that_was_never_started_closes_at_once():
    assert Recorder().close()


@pytest.mark.slow
def test_the_interpreter_ends_while_a_service_works():
    program = """
import time
from tests.live.test_service import Recorder
service = Recorder()
service.every = 0.0
service.post(unit=1)
while len(service.handled) < 3:
    time.sleep(0.01)
print(service.alive)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def test_a_mailbox_gives_each_request_once():
    mailbox = Mailbox(Requests)
    assert mailbox.empty
    mailbox.post(unit=1)
    mailbox.post(wake=True)
    assert not mailbox.empty
    assert mailbox.take() == Requests(1, True)
    assert mailbox.empty
    assert mailbox.take() == Requests()
