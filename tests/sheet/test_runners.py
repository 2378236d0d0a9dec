"""Runners: threads, processes and Dask draw the same pictures, and lose none when a worker dies."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import torch

from peek_widget.errors import ModelError, PeekError
from peek_widget.network import read, serialize, workers
from tests.networks import tiny
from tests.sheet.helpers import QUICK, on_disk, pngs, sheet


@pytest.fixture(scope="module")
def right():
    return pngs(sheet().draw())


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(autouse=True)
def empty_worker_cache():
    """Forget the models that this process has loaded as a worker."""
    yield
    serialize._modules.clear()
    serialize._own.__dict__.clear()


class Elsewhere(Executor):
    """An executor whose worker is on another machine: all passes through pickle, and no file of ours is there."""

    def __init__(self) -> None:
        self.bytes: list[int] = []
        self.lost = 0

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        packed = pickle.dumps((fn, args, kwargs))
        self.bytes.append(len(packed))
        real = serialize.Path
        try:
            if self.lost:
                self.lost -= 1
                raise ConnectionError("the worker is gone")
            serialize.Path = lambda path: real("/nowhere") / "else"
            fn, args, kwargs = pickle.loads(packed)
            future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))
        except BaseException as error:
            future.set_exception(error)
        finally:
            serialize.Path = real
        return future


def test_threads_draw_the_same(right):
    with ThreadPoolExecutor(2) as pool:
        drawn = sheet(executor=pool).draw()
    assert pngs(drawn) == right
    assert not drawn.transfers  # nothing had to travel


@pytest.mark.slow
def test_processes_draw_the_same_and_get_the_model_once_each(right, processes, tmp_path):
    drawn = sheet(tmp_path, executor=processes, batch=1, recipe=QUICK)
    alone = pngs(sheet(batch=1).draw())
    assert {one.unit for one in drawn} == set(alone)
    assert pngs(drawn) == alone
    assert on_disk(tmp_path).keys() == {f"unit-{unit:05d}.png" for unit in range(8)}
    workers = [worker for worker, _ in drawn.transfers]
    assert len(workers) == len(set(workers)) <= 2
    again = sheet(executor=processes).draw()
    assert pngs(again) == right
    assert not again.transfers  # they know it


def test_a_worker_that_cannot_see_the_file_gets_the_bytes_once(right):
    there = Elsewhere()
    drawn = sheet(executor=there).draw()
    assert pngs(drawn) == right
    size = len(serialize.serialize(read(tiny())).data)
    assert [count for count in there.bytes if count > size // 2] == [max(there.bytes)]
    assert [count for _, count in drawn.transfers] == [size]


def test_a_lost_batch_is_dispatched_again(right, caplog):
    there = Elsewhere()
    there.lost = 2
    assert pngs(sheet(executor=there).draw()) == right
    assert "dispatched again" in caplog.text
    there.lost = 10**6
    with pytest.raises(PeekError, match=r"3 tries.*the worker is gone.*call draw\(\) again"):
        sheet(executor=there).draw()


class Slow(torch.nn.Module):
    """Long enough under way to be caught at it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return self.inner(x)


def shot(drawing, pool) -> None:
    """Go through a sheet, and kill all workers when the first unit is there."""
    for _ in drawing:
        for process in list(pool._processes.values()):
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_pictures_survive_an_executor_that_dies(right, tmp_path):
    torch.manual_seed(0)
    model = Slow()
    options = {"model": model, "layer": "inner.forms", "batch": 1, "recipe": QUICK.replace(steps=20)}
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    drawing = sheet(tmp_path, executor=pool, **options)
    with pytest.raises(PeekError, match=r"executor has died.*sheet.executor = .*draw\(\) again"):
        shot(drawing, pool)
    assert 0 < len(drawing.done) < 8
    before = on_disk(tmp_path)
    assert len(before) == len(drawing.done)
    with pytest.raises(PeekError, match=r"accepts no more tasks .*Make a new one"):
        drawing.draw()  # the same dead one
    drawing.executor = None
    drawing.draw()
    assert pngs(drawing) == pngs(sheet(**options).draw())
    assert before.items() <= on_disk(tmp_path).items()
    pool.shutdown()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_does_not_shut_the_executor_down(right):
    with ThreadPoolExecutor(1) as pool:
        drawing = sheet(executor=pool, batch=1, recipe=QUICK.replace(steps=150))

        def interrupt():
            while not drawing.done:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        drawing.draw()
        assert 0 < len(drawing.done) < 8
        assert pool.submit(sum, [1, 2]).result() == 3
        assert len(drawing.draw().done) == 8


@pytest.mark.parametrize(
    ("wrong", "words"), [("dask", "concurrent.futures.Executor"), (concurrent.futures, "concurrent.futures.Executor")]
)
def test_what_is_no_executor_is_refused(wrong, words):
    with pytest.raises(PeekError, match=words):
        sheet(executor=wrong).draw()


class Handle:
    """Can be copied, and not be sent."""

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("cannot pickle a handle to a camera")


def test_the_part_of_a_model_that_cannot_be_pickled_is_named(processes):
    model = tiny()
    model.norm.camera = Handle()
    with pytest.raises(ModelError, match=r"'camera' of the model's part 'norm' \(a Handle\).*take it out") as caught:
        sheet(model=model, executor=processes).draw()
    assert "ThreadPoolExecutor" in str(caught.value)
    assert len(sheet(model=model, units=[0]).draw().done) == 1  # here it goes


@pytest.mark.slow
def test_a_class_of_a_notebook_is_sent_with_the_model(processes):
    scope: dict = {"__name__": "__main__", "nn": torch.nn}
    exec("class Mine(nn.Conv2d):\n    def forward(self, x): return super().forward(x) * 2\n", scope)
    torch.manual_seed(0)
    model = scope["Mine"](3, 4, 3)
    options = {"model": model, "layer": "", "input_size": 32}
    assert pngs(sheet(executor=processes, **options).draw()) == pngs(sheet(**options).draw())


def test_without_cloudpickle_the_error_says_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    model = tiny()
    model.drop.schedule = lambda p: p
    with pytest.raises(ModelError, match=r"'schedule' of the model's part 'drop'.*pip install cloudpickle"):
        serialize.serialize(read(model))
    monkeypatch.undo()
    assert serialize.serialize(read(model)).data


def test_the_model_copy_is_sent_without_the_users_hooks():
    model = tiny()
    model.norm.register_forward_hook(Handle())
    assert serialize.serialize(read(model)).data


def test_a_worker_of_another_version_is_refused():
    job = workers.Job("k", sheet().batches[0], "0.0.1")
    with pytest.raises(PeekError, match=r"0.0.1.*install the same"):
        workers.work(print, job, None)


def test_a_worker_keeps_the_newest_models():
    keys = []
    for seed in range(4):
        torch.manual_seed(seed)
        payload = serialize.serialize(read(torch.nn.Conv2d(3, 2, 3), input_size=16))
        keys.append(payload.key)
        assert serialize.deserialize(payload.key, payload.data)[1]
    assert list(serialize._modules) == keys[-2:]
    assert serialize.deserialize(keys[0], None) == (None, False)


# -- Dask


@pytest.mark.slow
def test_on_a_dask_cluster_of_two_processes_one_of_which_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    model = Slow()
    options = {"model": model, "layer": "inner.forms", "batch": 1, "recipe": QUICK.replace(steps=30)}
    local = pngs(sheet(**options).draw())
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        drawing = sheet(tmp_path, executor=client.get_executor(), **options)
        killed = None
        for _ in drawing:
            if killed is None:
                killed = next(iter(client.run(os.getpid).values()))
                os.kill(killed, signal.SIGKILL)
        assert killed is not None
    assert pngs(drawing) == local
    assert on_disk(tmp_path) == {f"unit-{unit:05d}.png": png for unit, png in local.items()}
    workers = [worker for worker, _ in drawing.transfers]
    assert len(workers) == len(set(workers)) <= 3  # the two, and the one that took the dead one's place
