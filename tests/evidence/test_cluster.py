"""A pass in several processes gives what one in this process gives, bit for bit, and loses nothing to a dead worker."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from peek_widget.errors import DatasetError, EvidenceStoreError, PeekError
from peek_widget.evidence import Evidence, EvidenceError, EvidencePass, load_evidence, merge_evidence, top_crops
from peek_widget.evidence.cluster import ClusterPass
from peek_widget.evidence.example_index import ExampleIndex, ImageSet
from peek_widget.evidence.layer_index import LayerIndex
from peek_widget.evidence.loading import Loaded, LoaderOptions
from peek_widget.evidence.shards import Shard, missing_shards, resumed_shards, split
from peek_widget.evidence.store import index_bytes, index_of_bytes
from peek_widget.network import Preprocess, workers
from tests.networks import tiny

LAYERS = ["edges", "forms"]
COUNT = 72
OPTIONS = {"input_size": 16, "batch_size": 4, "progress": False, "preprocess": "none"}


def pictures(count: int = COUNT) -> list[tuple[np.ndarray, int]]:
    """Random pictures of two kinds, one of which can't be read; equal ones among them."""
    chance = np.random.default_rng(0)
    found = [((chance.random((16, 16, 3)) * 255).astype(np.uint8), i % 3) for i in range(count)]
    found[7] = ("nowhere.png", 0)
    found[-1] = found[3]
    return found


def run(dataset=None, **options) -> Evidence:
    return top_crops(tiny(), LAYERS, pictures() if dataset is None else dataset, 4, **(OPTIONS | options))


def content(evidence: Evidence) -> bytes:
    return index_bytes(evidence.example_index)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "ignore")
        yield


@pytest.fixture(scope="module")
def serial() -> Evidence:
    return run()


pytestmark = pytest.mark.filterwarnings("ignore::peek_widget.errors.DatasetWarning")


class Elsewhere(Executor):
    """Workers that are other machines: all passes through pickle; some die of some images, and some answer late."""

    def __init__(self, fatal: set[int] = frozenset(), shuffled: bool = True) -> None:
        self.fatal, self.shuffled = set(fatal), shuffled
        self.jobs: list[workers.Job] = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        function, job, source = pickle.loads(pickle.dumps(args))
        self.jobs.append(job)
        alive = set(job.task.indices) - set(job.task.passed_over)
        try:
            if alive & self.fatal:
                raise ConnectionError("the worker is gone")
            found = pickle.loads(pickle.dumps(fn(function, job, source)))
        except BaseException as error:
            found = error
        if self.shuffled:
            threading.Timer(random.Random(len(self.jobs)).random() / 50, _answer, [future, found]).start()
        else:
            _answer(future, found)
        return future


def _answer(future: Future, found: object) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(found) if isinstance(found, BaseException) else future.set_result(found)


def test_threads_and_workers_elsewhere_find_the_same_bit_for_bit(serial):
    with ThreadPoolExecutor(2) as pool:
        assert content(run(executor=pool)) == content(serial)
    there = Elsewhere()
    assert content(run(executor=there)) == content(serial)
    assert len(there.jobs) > 10
    assert list(serial["edges"].skipped) == ["nowhere.png"]


def test_the_model_goes_to_a_worker_once(serial):
    work = ClusterPass(tiny(), LAYERS, pictures(), 4, input_size=16, executor=Elsewhere())
    work.run()
    assert len(work.transfers) == 1
    assert work.transfers[0][1] > 1000


def test_an_image_that_each_worker_dies_of_is_named_and_passed_over(serial):
    there = Elsewhere({41, 43})
    with pytest.warns(
        UserWarning, match=r"3 of 72 images were skipped .*image 41: it killed each worker that loaded it"
    ):
        found = run(executor=there)
    assert sorted(found["edges"].skipped) == ["image 41", "image 43", "nowhere.png"]
    assert "ConnectionError: the worker is gone" in found["edges"].skipped["image 41"]
    assert found["edges"].images == 69
    gone = [("nowhere", 0) if i in (41, 43) else one for i, one in enumerate(pictures())]
    assert list(found["forms"]) == list(run(gone)["forms"])


def test_a_batch_of_one_image_that_each_worker_dies_of_is_passed_over_too():
    images = pictures()[:13]
    there = Elsewhere({12})
    with pytest.warns(UserWarning, match="image 12: it killed each worker that loaded it"):
        found = run(images, executor=there)
    assert "image 12" in found["edges"].skipped


def test_workers_that_die_of_everything_end_the_pass_with_what_was_found():
    with pytest.raises(EvidenceError, match=r"each worker that was given .* was lost, the last by ConnectionError"):
        run(executor=Elsewhere(set(range(COUNT))))
    with pytest.raises(EvidenceError, match="the worker is gone") as caught:
        run(executor=Elsewhere(set(range(40, 44)), shuffled=False))
    found = caught.value.found
    assert 0 < found["edges"].images < COUNT
    assert content(run(resume=found)) == content(run(fingerprint=found.example_index.fingerprint))


class Broken(torch.nn.Module):
    """Raises at a picture that is all white."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x.amin(dim=(1, 2, 3)) == 1.0).any()):
            raise ArithmeticError("no more")
        return self.conv(x)


def test_a_model_that_breaks_in_a_worker_says_so_and_loses_nothing():
    images = [np.full((16, 16, 3), 255 if i == 30 else i, np.uint8) for i in range(60)]
    with pytest.raises(EvidenceError, match=r"of 60 images: ModelError: .*raised ArithmeticError") as caught:
        top_crops(Broken(), "conv", images, executor=Elsewhere(shuffled=False), **OPTIONS)
    assert caught.value.found["conv"].images >= 28


def test_what_a_store_has_is_not_gathered_again(serial, tmp_path):
    store = tmp_path / "evidence"
    first = Elsewhere(set(range(40, 44)), shuffled=False)
    with pytest.raises(EvidenceError):
        run(executor=first, store=store)
    done = load_evidence(store)["edges"].images
    assert done >= 36
    second = Elsewhere()
    run(executor=second, store=store)
    assert sum(len(job.task.indices) for job in second.jobs) == COUNT - done - 1  # and one that can't be read
    whole = load_evidence(store)
    assert content(whole) == content(run(fingerprint=whole.example_index.fingerprint))


def test_progress_is_that_of_all_workers():
    seen = []
    run(executor=Elsewhere(), progress=lambda progress: seen.append(progress))
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert (seen[-1].done, seen[-1].total, seen[-1].left) == (COUNT, COUNT, 0.0)
    assert 0 < seen[0].done < COUNT
    assert seen[0].left > 0


def test_an_interrupt_keeps_what_was_found():
    with ThreadPoolExecutor(1) as pool:
        work = ClusterPass(
            tiny(), LAYERS, pictures(), 4, input_size=16, loader=LoaderOptions(batch_size=4), executor=pool
        )
        several = threading.Event()
        work.start(lambda progress: several.set())
        assert several.wait(60)
        work.stop(wait=True)
        assert 0 < work.progress.done <= COUNT
        work.start().wait(60)
        assert work.error is None
        assert work.progress.done == COUNT
        assert pool.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize(
    ("dataset", "options", "error", "words"),
    [
        (pictures(8), {"executor": "dask"}, PeekError, "give a concurrent.futures.Executor"),
        (pictures(8), {"executor": Elsewhere}, PeekError, "the class Elsewhere itself: give an instance"),
        (iter(pictures(8)), {"executor": Elsewhere()}, DatasetError, "can't be divided among several processes"),
        (iter(pictures(8)), {"shard": (0, 2)}, DatasetError, "can't be divided among several processes"),
        (pictures(8), {"executor": Elsewhere(), "processes": 2}, PeekError, "give one of the two"),
        (pictures(8), {"shard": (2, 2)}, PeekError, r"shard=\(2, 2\): give \(number, count\)"),
        (pictures(8), {"shard": 3}, PeekError, "shard=3: give"),
    ],
)
def test_what_is_not_possible_is_refused_in_a_sentence(dataset, options, error, words):
    with pytest.raises(error, match=words):
        run(dataset, **options)


@given(*[st.tuples(st.integers(0, 6), st.sets(st.integers(0, 14)))] * 2)
def test_sets_of_images_are_merged_as_sets(one, other):
    sets = [ImageSet(upto, others) for upto, others in (one, other)]
    plain = [set(range(upto)) | others for upto, others in (one, other)]
    common = sets[0].common(sets[1])
    assert (common is None) == (not plain[0] & plain[1])
    assert common is None or common in plain[0] & plain[1]
    sets[0].merge(sets[1])
    assert len(sets[0]) == len(plain[0] | plain[1])
    assert all(image in sets[0] for image in plain[0] | plain[1])


# -- parts, as jobs of a batch system gather them


def test_parts_of_several_jobs_are_merged(serial, tmp_path):
    for job in np.array([2, 0, 1]):
        run(shard=(job, 3), store=tmp_path / f"{job}.safetensors", fingerprint="a")
    merged = merge_evidence(tmp_path / "*.safetensors", pictures())
    assert content(merged) == content(run(fingerprint="a"))
    crops = [found["edges"][2].top[0] for found in (merged, serial)]
    assert crops[0].image.tobytes() == crops[1].image.tobytes()
    assert sum(load_evidence(tmp_path / f"{job}.safetensors")["edges"].images for job in range(3)) == COUNT - 1
    assert content(merge_evidence([run(shard=(0, 2)), run(shard=(1, 2))["forms"]])) == content(serial)


@st.composite
def _divided(draw):
    """Activations of some images, with equal ones, labels and skipped ones; how they are divided, and merged."""
    count, k = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    values = torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    values = (values * 2).round() if draw(st.booleans()) else values
    parts = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return values, draw(st.sets(st.integers(0, count - 1))), parts, k, draw(st.randoms(use_true_random=False))


@pytest.mark.slow
@given(_divided(), st.booleans())
def test_any_parts_merged_in_any_order_give_the_whole(serial, divided, per_image):
    values, lost, parts, k, chance = divided
    of = serial.example_index

    def gathered(numbers: list[int]) -> ExampleIndex:
        found = ExampleIndex({"edges": LayerIndex(3, (2, 2), k, per_image)}, {"edges": of.fields["edges"]}, of.preparer)
        for number in (one for one in numbers if one in lost):
            found.add_skipped(Loaded(number, f"image {number}", reason="lost"), number)
        good = [one for one in numbers if one not in lost]
        chance.shuffle(good)
        cut = chance.randrange(len(good) + 1)
        for part in filter(None, (good[:cut], good[cut:])):
            items = [Loaded(one, f"image {one}", size=(9, 9), label=(one % 3, "b", None)[one % 3]) for one in part]
            found.add({"edges": values[part]}, items, part)
        return found

    trees = [gathered([one for one, part in enumerate(parts) if part == which]) for which in range(4)]
    while len(trees) > 1:
        one, other = (trees.pop(chance.randrange(len(trees))) for _ in range(2))
        one.merge(other)
        trees.append(index_of_bytes(index_bytes(one)))
    assert index_bytes(trees[0]) == index_bytes(gathered(list(range(len(values)))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 5}, r"k and per_image \(4, True\), and 'two' with \(5, True\)"),
        ({"layers": ["edges"]}, "layers edges, forms, and 'two' with edges"),
        ({"resize": 20}, "resize"),
        ({"fingerprint": "b"}, "model of fingerprint a, and 'two' with b"),
        ({"value_range": (0, 200)}, "value_range"),
        ({"preprocess": Preprocess(mean=(0.5,) * 3)}, r"mean \(and deviation\) 0\.166 .* with -0\.334"),
        ({"preprocess": lambda images: images.flip(1)}, r"a preprocessing that gives .* with 0\.834 \(.*\), 0\.5 "),
        ({"shard": (0, 3)}, r"'two' has images that are in the parts before it, too \(image number 0 is one\)"),
    ],
)
def test_parts_of_another_pass_are_refused_in_a_sentence(change, words, first, monkeypatch):
    monkeypatch.chdir(first)
    options = OPTIONS | {"k": 4, "fingerprint": "a", "shard": (2, 3)} | change
    top_crops(tiny(), options.pop("layers", LAYERS), pictures(), **options).save("two")
    with pytest.raises(EvidenceStoreError, match=words):
        merge_evidence(["one", "two"])


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    run(shard=(0, 3), fingerprint="a").save(folder / "one")
    return folder


def test_nothing_to_merge_is_refused_in_a_sentence(serial, tmp_path):
    with pytest.raises(PeekError, match="nothing to merge"):
        merge_evidence(f"{tmp_path}/*.safetensors")
    with pytest.raises(PeekError, match="takes several parts"):
        merge_evidence(serial)
    with pytest.raises(PeekError, match="A part is a int"):
        merge_evidence([1])
    with pytest.raises(EvidenceStoreError, match="There is no file"):
        merge_evidence("nowhere.safetensors")


def test_a_part_that_is_missing_or_was_ended_before_its_end_is_named(tmp_path):
    for job in (0, 1, 3):
        run(shard=(job, 4), store=tmp_path / f"{job}", fingerprint="a")
    with pytest.raises(EvidenceStoreError, match=r"missing among those that were given: shard=\(2, 4\)\. Run"):
        merge_evidence(tmp_path / "*")
    merged = merge_evidence(tmp_path / "*", incomplete=True)
    merged.save(tmp_path / "merged")
    with pytest.raises(EvidenceStoreError, match=r"shard=\(2, 4\)"):
        merge_evidence([tmp_path / "merged"])
    work = EvidencePass(tiny(), LAYERS, pictures(), 4, input_size=16, loader=LoaderOptions(batch_size=4), shard=(2, 4),
                        preprocess="none", store=tmp_path / "2", fingerprint="a")  # fmt: skip
    work.run(lambda _: work.stop())
    with pytest.raises(
        EvidenceStoreError, match=r"2' has 4 of the 16 images of its part of the dataset \(shard=\(2, 4\)"
    ):
        merge_evidence(tmp_path / "[0-3]")
    merge_evidence(tmp_path / "[0-3]", incomplete=True).save(tmp_path / "unfinished")
    with pytest.raises(EvidenceStoreError, match=r"unfinished' has 60 of the 72 images of its part of the dataset"):
        merge_evidence(tmp_path / "unfinished")
    run(shard=(2, 4), store=tmp_path / "2", fingerprint="a")
    whole = content(run(fingerprint="a"))
    assert content(merge_evidence(tmp_path / "[0-3]", pictures())) == whole
    assert content(merge_evidence([tmp_path / "2", tmp_path / "merged"])) == whole


def test_parts_of_other_counts_make_a_whole_too():
    parts = [Shard(1, 2, 9), Shard(0, 4, 4), Shard(1, 4, 4)]
    assert missing_shards([]) == missing_shards(parts) == []
    assert missing_shards(parts[:2]) == ["shard=(1, 4)"]
    assert missing_shards(parts[1:2]) == ["shard=(1, 4)", "shard=(2, 4)", "shard=(3, 4)"]


def test_a_part_that_was_gathered_as_a_smaller_one_before_is_complete(tmp_path):
    whole, other = content(run(fingerprint="a")), run(shard=(1, 2), fingerprint="a")
    for shard in ((0, 4), (0, 2), (1, 4)):  # of what is done a part adds nothing
        run(shard=shard, store=tmp_path / "store", fingerprint="a")
    assert content(merge_evidence([tmp_path / "store", other])) == whole
    with pytest.raises(
        EvidenceStoreError, match=r"is of shard=\(0, 2\), and shard=\(1, 3\) has some of these images and"
    ):
        run(shard=(1, 3), store=tmp_path / "store", fingerprint="a")
    of = {"total": 40, "digest": "a"}
    half, quarter, last = Shard(0, 2, 20, **of), Shard(0, 4, 10, **of), Shard(3, 4, 10, **of)
    assert resumed_shards([half, last], quarter, 30) == (half, last)
    assert resumed_shards([half, last], quarter, 29) == (quarter, last), "not all of the half is there"
    assert resumed_shards([half], quarter._replace(digest="b"), 20) == (quarter._replace(digest="b"),)
    assert resumed_shards([quarter, last], half, 20) == (half, last)


def test_parts_of_several_datasets_are_judged_for_each(tmp_path):
    def part(dataset: str, job: int) -> Evidence:
        return run(tmp_path / dataset, shard=(job, 2), fingerprint="a")

    for dataset in "ab":
        (tmp_path / dataset).mkdir()
        for number, (image, _) in enumerate(pictures()[8:16]):
            Image.fromarray(image).save(tmp_path / dataset / f"{dataset}{number}.png")
    one, other = ([part(dataset, job) for job in range(2)] for dataset in "ab")
    whole = content(merge_evidence([*one, *other]))
    assert content(merge_evidence([one[0], other[0], one[1], other[1]])) == whole
    assert index_of_bytes(content(one[0])).shards == one[0].example_index.shards
    with pytest.raises(
        EvidenceStoreError, match=r"shard=\(0, 2\) of the dataset of 8 images.*added, taken away or ren"
    ):
        merge_evidence([one[0], other[1]])
    (tmp_path / "a" / "a9.png").write_bytes((tmp_path / "a" / "a7.png").read_bytes())
    with pytest.raises(
        EvidenceStoreError, match=r"shard=\(1, 2\) of the dataset of 8 images, shard=\(0, 2\) of .* 9 im"
    ):
        merge_evidence([one[0], part("a", 1)])
    for found in (one[0], other[1]):  # as of an earlier version, which did not say of which dataset they are
        found.example_index.shards = tuple(Shard(*shard[:3]) for shard in found.example_index.shards)
        assert index_of_bytes(content(found)).shards == found.example_index.shards
    assert merge_evidence([one[0], other[1]])["edges"].images == 8


def test_parts_of_two_lists_of_one_length_are_told_apart(tmp_path):
    def written(folder: str, first: int) -> list[str]:
        (tmp_path / folder).mkdir()
        names = [tmp_path / folder / f"{number}.png" for number in range(8)]
        for number, name in enumerate(names, first):
            Image.fromarray(pictures()[number][0][: number + 1]).save(name)
        return list(map(str, names))

    def part(images, job: int) -> Evidence:
        return run(images, shard=(job, 2), fingerprint="a")

    one, elsewhere, other = written("a", 8), written("b", 8), written("c", 9)
    assert merge_evidence([part(one, 0), part(elsewhere, 1)])["edges"].images == 8, "a copy on another machine"
    arrays = [image for image, _ in pictures()]
    for mine, theirs in ((one, other), (one, arrays[8:16]), (arrays[8:16], arrays[16:24])):
        with pytest.raises(EvidenceStoreError, match=r"shard=\(\d, 2\) of the dataset of 8 images"):
            merge_evidence([part(mine, 0), part(theirs, 1)])


def test_evidence_of_a_list_is_not_taken_for_that_of_another(tmp_path):
    for number, (image, _) in enumerate(pictures()[8:18]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    names = [f"{tmp_path}/{number}.png" for number in range(10)]
    found = run(names[:8], store=tmp_path / "store", fingerprint="a")
    words = "its number 0 is '0.png', and that of the dataset is '9.png'"
    with pytest.raises(EvidenceStoreError, match=words):
        run(names[::-1], store=tmp_path / "store", fingerprint="a")
    with pytest.warns(UserWarning, match=words):
        load_evidence(tmp_path / "store", names[::-1])
    assert content(run(names, resume=found, fingerprint="a")) == content(run(names, fingerprint="a"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for images in (names, [image for image, _ in pictures()[8:16]], names[:1]):
            load_evidence(tmp_path / "store", images)


def test_a_job_without_an_image_writes_its_file_too(tmp_path):
    few = pictures(8)
    for job in range(4):
        run(few, shard=(job, 4), store=tmp_path / f"{job}", fingerprint="a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]
    assert content(merge_evidence(tmp_path / "*", few)) == content(run(few, fingerprint="a"))
    (tmp_path / "1").unlink()
    with pytest.raises(EvidenceStoreError, match=r"shard=\(1, 4\)"):
        merge_evidence(tmp_path / "*")


def test_a_name_with_brackets_is_a_name(serial, tmp_path):
    serial.save(tmp_path / "run[1].safetensors")
    assert content(merge_evidence(tmp_path / "run[1].safetensors")) == content(serial)


def test_groups_of_one_name_with_other_members_are_refused(tmp_path):
    def part(job: int, members, **options) -> Evidence:
        return run(shard=(job, 2), fingerprint="a", groups=members, **options)

    one = part(0, {"few": [0], "odd": [1]})
    with pytest.raises(
        EvidenceStoreError, match=r"groups of which the label 1 is in 'odd', and part 1 with 'few', 'odd'"
    ):
        merge_evidence([one, part(1, {"few": [0, 1], "odd": [1]})])
    with pytest.raises(EvidenceStoreError, match=r"groups of which the label 2 is in none, and part 1 with 'few'"):
        merge_evidence([one, part(1, {"few": lambda label: label in (0, 2), "odd": [1]})])
    other = part(1, {"few": [0, 99], "odd": [1]})  # no image has it
    assert merge_evidence([one, other])["edges"].groups == {"few": {0}, "odd": {1}}
    one.save(tmp_path / "store")
    with pytest.raises(EvidenceStoreError, match="to resume from was gathered with groups of which the label 1 is in"):
        part(0, {"few": [0, 1], "odd": [1]}, store=tmp_path / "store")
    part(0, {"few": range(1), "odd": {1}}, store=tmp_path / "store")
    many = run([(image, number) for number, (image, _) in enumerate(pictures())], shard=(1, 2), fingerprint="a")
    many.example_index.without_groups()
    with pytest.raises(EvidenceStoreError, match=r"groups \['few', 'odd'\], and part 1 with none"):
        merge_evidence([one, many])


def test_a_dataset_that_can_not_be_sent_is_what_the_error_is_about(monkeypatch):
    images = Calm(pictures())
    images.lock = threading.Lock()
    with pytest.raises(PeekError, match=r"^The dataset can't be sent to another process, because .*lock"):
        run(images, executor=Elsewhere())
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(PeekError, match=r"^The dataset can't be sent .*pip install cloudpickle"):
        run(images, executor=Elsewhere())


def test_indices_are_split_into_ranges_where_they_are_consecutive():
    assert list(split([0, 1, 2, 3, 4], 2)) == [range(0, 2), range(2, 4), range(4, 5)]
    assert list(split(iter([3, 5, 6]), 2)) == [(3, 5), range(6, 7)]


# -- real processes


class Calm(list):
    """Pictures that take their time."""

    def __getitem__(self, index):
        time.sleep(0.01)
        return super().__getitem__(index)


class Deadly(Calm):
    """Pictures one of which ends the worker that loads it."""

    def __getitem__(self, index):
        if index == 33 and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@pytest.mark.slow
def test_processes_find_the_same_and_a_dead_pool_is_said(serial):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        assert content(run(executor=pool)) == content(serial)
        with pytest.raises(EvidenceError, match="The executor has died"):
            run(Deadly(pictures()), executor=pool)


@pytest.mark.slow
def test_on_a_dask_cluster_of_two_processes_one_of_which_is_killed(serial, tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed: list[int] = []

        def kill(progress) -> None:
            if not killed and progress.done:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        found = run(Calm(pictures()), executor=client.get_executor(), progress=kill, store=tmp_path / "evidence")
        assert killed
        assert content(found) == content(run(Calm(pictures()), fingerprint=found.example_index.fingerprint))
        # What each worker dies of is not tried here: Dask blames all that a dying worker had (`Elsewhere` tests it).
