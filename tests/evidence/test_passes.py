"""One pass over a dataset: what it finds, how it ends, and how it goes on."""

from __future__ import annotations

import _thread
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from peek_widget.errors import DatasetError, EvidenceStoreError, LayerError, PeekError, UnitError
from peek_widget.evidence import (
    Crop,
    Evidence,
    EvidenceError,
    EvidencePass,
    LoaderOptions,
    Progress,
    UnitEvidence,
    activation_map,
    top_crops,
)
from peek_widget.evidence import loading as loading_module
from peek_widget.evidence.dataset import Items
from peek_widget.evidence.ended import ended_early
from peek_widget.network import read
from peek_widget.zoo import Images, bundled
from tests.networks import Planted, assert_same, portrait, tiny


class Pictures(torch.utils.data.Dataset):
    """Random pictures in [0, 1] by number; slow, or broken from a number on, if asked to."""

    def __init__(self, count: int, broken: range = range(0), delay: float = 0.0) -> None:
        self.count, self.broken, self.delay = count, broken, delay

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        time.sleep(self.delay)
        if index in self.broken:
            raise OSError("the disk is gone")
        return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index)), index % 3


def brute(model: nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    """A layer's activations by a plain hook on the model itself."""
    found = []
    handle = dict(model.named_modules())[name].register_forward_hook(lambda m, i, o: found.append(o.clone()))
    with torch.no_grad():
        model(images)
    handle.remove()
    return found[0]


def said(value: object, number: Callable[[float], object]) -> object:
    """What evidence says, as plain values, its numbers as `number` gives them."""
    match value:
        case float():
            return number(value)
        case tuple():
            return tuple(said(each, number) for each in value)
        case Mapping():
            return {key: said(each, number) for key, each in value.items()}
        case Crop() | UnitEvidence():
            return {each.name: said(getattr(value, each.name), number) for each in fields(value) if each.compare}
    return value


def about(value: float) -> object:
    """The last digits of an activation depend on how many images went through the network together."""
    return pytest.approx(value, rel=1e-4, abs=1e-5)


def same(one: Evidence, other: Evidence) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name].images, one[name].label_counts) == (other[name].images, other[name].label_counts)
        for mine, theirs in zip(one[name], other[name], strict=True):
            assert said(mine, float) == said(theirs, about)


def run(dataset, layers=("edges", "forms"), k=4, **options) -> Evidence:
    options.setdefault("batch_size", 8)
    return top_crops(tiny(), list(layers), dataset, k, input_size=16, **({"progress": False} | options))


def test_the_crops_are_the_best_of_all_images():
    model, images = bundled(), Images(60)
    crops = top_crops(model, "conv4", images, k=3, batch_size=16, progress=False)
    pixels = torch.stack([images[i][0] for i in range(60)])
    values = brute(model, "conv4", model.preprocess(pixels))
    high, low = values.amax(dim=(2, 3)).sort(dim=0, descending=True), values.amin(dim=(2, 3)).sort(dim=0)
    assert len(crops) == 84
    for unit in range(84):
        one = crops[unit]
        assert [c.index for c in one.top] == high.indices[:3, unit].tolist()
        assert [c.index for c in one.bottom] == low.indices[:3, unit].tolist()
        assert torch.allclose(torch.tensor([c.activation for c in one.top]), high.values[:3, unit], atol=1e-4)
        for crop in one.top:
            row, column = crop.position
            assert values[crop.index, unit, row, column] == pytest.approx(crop.activation, abs=1e-4)
            assert crop.label == images[crop.index][1]
            assert crop.label_name == images.class_names[crop.label]
        assert one.active_share == pytest.approx(float((values[:, unit] > 0).double().mean()), abs=1e-3)
        exact = torch.quantile(values[:, unit].flatten(), 0.5)
        assert abs(one.quantiles[0.5] - exact) < 0.15 * values[:, unit].std()


def test_activations_are_those_before_the_relu():
    crops = top_crops(Planted(), "", Pictures(20), input_size=16, progress=False)
    assert crops[1].bottom[0].activation < 0


def test_several_layers_come_from_one_pass_as_from_one_each():
    several = run(Pictures(30))
    assert isinstance(several, dict)
    for name in several:
        alone = top_crops(tiny(), name, Pictures(30), 4, input_size=16, progress=False)
        assert list(alone) == list(several[name])
    with pytest.raises(PeekError, match="did not cover the layer 'pool'; it covered 'edges', 'forms'"):
        several["pool"]


def test_without_per_image_every_position_counts():
    model, images = tiny(), Pictures(5)
    crops = top_crops(model, "edges", images, k=12, per_image=False, input_size=16, preprocess="none", progress=False)
    values = brute(model, "edges", torch.stack([images[i][0] for i in range(5)]))
    for unit in range(6):
        exact = values[:, unit].flatten().sort(descending=True).values[:12]
        assert torch.allclose(torch.tensor([c.activation for c in crops[unit].top]), exact, atol=1e-5)


@pytest.mark.parametrize("options", [{"batch_size": 3}, {"workers": 3}, {"workers": 0}, {"processes": 2}, {"k": 2}])
def test_loader_options_do_not_change_the_result(options):
    k = options.get("k", 4)
    one, other = run(Pictures(20)), run(Pictures(20), **options)
    for name in one:
        for mine, theirs in zip(one[name], other[name], strict=True):
            assert [(c.index, c.position) for c in mine.top[:k]] == [(c.index, c.position) for c in theirs.top]
            assert mine.quantiles == pytest.approx(theirs.quantiles, rel=1e-4, abs=1e-5)


def test_the_users_model_is_untouched_even_within_inference_mode():
    model = tiny().train()
    before = portrait(model)
    with torch.inference_mode():
        top_crops(model, "forms", Pictures(10), input_size=16, progress=False)
    assert_same(before, portrait(model))


def test_resuming_with_more_images_equals_one_pass_over_all():
    first = run(Pictures(13))
    same(run(Pictures(30), resume=first), run(Pictures(30)))
    again = run(Pictures(30), resume=first)
    assert again["edges"].images == 30, "nothing is counted twice"


def test_files_added_to_a_folder_are_processed_and_the_others_recognized(tmp_path):
    from torchvision.transforms.v2.functional import to_pil_image

    def put(numbers):
        for i in numbers:
            to_pil_image(Pictures(99)[i][0]).save(tmp_path / f"{i:02d}.png")

    put(range(1, 20, 2))
    store = tmp_path.parent / f"{tmp_path.name}.safetensors"
    first = run(tmp_path, store=store)
    assert first["edges"].images == 10
    put(range(0, 20, 2))
    more = run(tmp_path, store=store)
    same(more, run(tmp_path))
    crop = more["forms"][0].top[0]
    assert crop.name == f"{crop.index:02d}.png"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": 5}, "k and per_image"),
        ({"per_image": False}, "k and per_image"),
        ({"layers": ("edges",)}, "layers edges, forms, now it is edges"),
        ({"resize": 20}, "resize"),
        ({"preprocess": lambda images: images * 2}, "a preprocessing that gives the channels"),
        ({"fingerprint": "b"}, "model of fingerprint a, now it is b"),
    ],
)
def test_evidence_that_was_gathered_in_another_way_is_not_resumed(change, said):
    first = run(Pictures(8), fingerprint="a")
    with pytest.raises(EvidenceStoreError, match=said):
        run(Pictures(9), resume=first, **change)


def test_single_images_that_raise_are_skipped_and_named():
    with pytest.warns(UserWarning, match=r"2 of 20 images were skipped \(image 4: the dataset raised OSError"):
        found = run(Pictures(20, broken=range(4, 6)))
    assert found["edges"].images == 18
    assert list(found["edges"].skipped) == ["image 4", "image 5"]


def test_a_dataset_that_fails_midway_ends_the_pass_soon_and_loses_nothing():
    with pytest.raises(EvidenceError, match=r"ended after 40 of 10,000 images: .* the disk is gone") as caught:
        run(Pictures(10_000, broken=range(40, 10_000)))
    found = caught.value.found
    whole = run(Pictures(40))
    assert list(found["edges"]) == list(whole["edges"])
    # The dataset was gone, and not these images: they are there when the pass goes on.
    assert found["edges"].skipped_count == 0
    more = run(Pictures(200), resume=found)
    assert more["edges"].images == 200


def test_a_model_that_breaks_midway_loses_nothing():
    calls = []  # not the model's: its copy would begin each forward with the model's own

    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            calls.extend([x] * (len(x) == 8))  # what the probe gives it is of fewer
            if len(calls) > 2:
                raise ArithmeticError("no more")
            return self.conv(x)

    with pytest.raises(EvidenceError, match=r"after 16 of 40 images: .*ArithmeticError") as caught:
        top_crops(Moody(), "conv", Pictures(40), batch_size=8, input_size=16, progress=False)
    assert caught.value.found["conv"].images == 16


class Small(nn.Module):
    """A model on a device whose memory is full with more than a few images, from some image on."""

    most, after = 3, 0
    seen: ClassVar[list[int]] = []  # not the model's: its copy would begin each forward with the model's own

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > type(self).most and sum(type(self).seen) >= type(self).after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        type(self).seen.append(len(x))
        return self.inner(x)


def test_where_memory_runs_out_a_pass_goes_on_with_fewer_images_at_a_time(monkeypatch, caplog):
    how = {"batch_size": 16, "input_size": 16, "progress": False, "fingerprint": "a"}
    monkeypatch.setenv("PEEK_PROBE", "0")
    monkeypatch.setattr(Small, "after", 10**9)
    whole = top_crops(Small(), "inner.forms", Pictures(40), **how)
    monkeypatch.setattr(Small, "after", sum(Small.seen) + 18)  # what is read at first, and a batch
    found = top_crops(Small(), "inner.forms", Pictures(40), **how)
    assert "Memory ran out with 4 images on cpu: the pass goes on with 2." in caplog.text
    assert max(Small.seen[-3:]) <= 3
    assert found.images == 40
    for one, other in zip(found, whole, strict=True):
        assert [crop.index for crop in one.top] == [crop.index for crop in other.top]
        assert [crop.activation for crop in one.top] == pytest.approx([crop.activation for crop in other.top], rel=1e-5)


def test_no_memory_for_a_single_image_ends_the_pass_with_what_was_found(monkeypatch):
    monkeypatch.setenv("PEEK_PROBE", "0")
    monkeypatch.setattr(Small, "most", 0)
    monkeypatch.setattr(Small, "after", sum(Small.seen) + 12)
    words = (
        r"ended after \d+ of 40 images: memory ran out \(.*2.00 GiB.*with a single image: close other .*smaller input"
    )
    with pytest.raises(EvidenceError, match=words) as caught:
        top_crops(Small(), "inner.forms", Pictures(40), batch_size=8, input_size=16, progress=False)
    assert caught.value.found["inner.forms"].images >= 8


def test_an_interrupt_returns_what_was_found(capsys):
    pressed: list[bool] = []

    def interrupt(progress: Progress) -> None:
        if progress.done >= 24 and not pressed:
            pressed.append(True)
            _thread.interrupt_main()

    # Where the tests run in the background of a shell, Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        crops = top_crops(tiny(), "forms", Pictures(4000, delay=0.002), input_size=16, batch_size=8, progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 24 <= crops.images < 4000
    assert "what was found is kept" in capsys.readouterr().err
    whole = top_crops(tiny(), "forms", Pictures(crops.images), input_size=16, batch_size=8, progress=False)
    assert list(crops) == list(whole)


def test_a_pass_in_the_background_is_read_stopped_and_resumed():
    work = EvidencePass(
        tiny(), "forms", Pictures(400, delay=0.001), 4, loader=LoaderOptions(batch_size=8), input_size=16
    )
    assert work.for_unit("forms", 3).top == ()
    assert work.progress == Progress(0, 400, 0, 0.0, 0.0, False)
    several = threading.Event()
    work.start(lambda progress: several.set() if progress.done >= 40 else None)
    with pytest.raises(PeekError, match="running already"):
        work.start()
    assert several.wait(30)
    early = work.for_unit("forms", 3)
    assert len(early.top) == 4
    assert [c.activation for c in early.top] == sorted((c.activation for c in early.top), reverse=True)
    assert work.progress.running
    assert 0 < work.progress.left < 60
    work.stop(wait=True)
    stopped = work.progress
    assert not stopped.running
    assert 40 <= stopped.done < 400
    assert early.images < 400, "a snapshot stays as it was"
    work.start()
    assert work.wait(60)
    assert work.error is None
    same(work.evidence, run(Pictures(400), layers=("forms",)))
    assert work.progress.left == 0.0


def test_evidence_read_during_a_pass_is_consistent():
    """Every snapshot is of whole batches: its crops are the best of the first so many images."""
    images, model = Pictures(200), tiny()
    work = EvidencePass(
        model, "forms", images, 3, loader=LoaderOptions(batch_size=10), input_size=16, preprocess="none"
    )
    values = brute(model, "forms", torch.stack([images[i][0] for i in range(200)])).amax(dim=(2, 3))
    work.start()
    seen = set()
    while not work.wait(0.0):
        one = work.for_unit("forms", 5)
        seen.add(one.images)
        assert one.images % 10 == 0
        best = values[: one.images, 5].sort(descending=True).values[:3]
        assert torch.allclose(torch.tensor([c.activation for c in one.top]), best, atol=1e-5)
    assert work.error is None


def test_an_error_in_the_background_is_kept():
    work = EvidencePass(
        tiny(), "forms", Pictures(300, broken=range(20, 300)), input_size=16, loader=LoaderOptions(batch_size=4)
    ).start()
    assert work.wait(30)
    assert isinstance(work.error, EvidenceError)
    assert work.for_unit("forms", 0).images == 20


class Thinking(Planted):
    """Takes its time: 30 ms for a batch."""

    def forward(self, x):
        time.sleep(0.03)
        return super().forward(x)


@pytest.mark.slow
def test_a_pass_yields_to_an_ascent():
    def seconds(**options) -> float:
        work = EvidencePass(Thinking(), "", Pictures(60), loader=LoaderOptions(batch_size=10), input_size=16, **options)
        began = time.perf_counter()
        work.run()
        return time.perf_counter() - began

    alone, beside = seconds(yield_to=lambda: False), seconds(yield_to=lambda: True, duty=0.2)
    assert beside > 6 * 0.03 / 0.2
    assert alone < beside


def test_stopping_does_not_wait_while_the_pass_yields():
    work = EvidencePass(
        tiny(),
        "forms",
        Pictures(60, delay=0.01),
        loader=LoaderOptions(batch_size=10),
        input_size=16,
        yield_to=lambda: True,
        duty=0.001,
    ).start()
    time.sleep(0.5)
    began = time.perf_counter()
    work.stop(wait=True)
    assert time.perf_counter() - began < 5


def test_loading_goes_on_while_the_network_computes():
    at = {}

    class Slow(Pictures):
        def __getitem__(self, index):
            at.setdefault(index, time.perf_counter())
            return super().__getitem__(index)

    class Timed(Thinking):
        def forward(self, x):
            at.setdefault("computing", time.perf_counter())
            x = super().forward(x)
            at.setdefault("computed", time.perf_counter())
            return x

    work = EvidencePass(Timed(), "", Slow(24), loader=LoaderOptions(batch_size=8), input_size=16)
    at.clear()
    work.run()
    assert at[8] < at["computed"], "the second batch is loaded before the first is through"


def test_threads_that_load_end_with_the_pass():
    before = {t.name for t in threading.enumerate()}
    work = EvidencePass(
        tiny(), "forms", [Pictures(1)[0][0]] * 500, loader=LoaderOptions(batch_size=4), input_size=16
    ).start()
    work.stop(wait=True)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = {t.name for t in threading.enumerate() if t.name.startswith("peek-")} - before
        if not left:
            break
        time.sleep(0.05)
    assert not left


def test_progress_says_how_long_it_takes():
    assert (
        str(Progress(1200, 100_000, 0, 30.0, 40.0, True))
        == "1,200 of 100,000 images, 40 a second, about 41 minutes left"
    )
    assert str(Progress(9, 10, 2, 3.0, 0.5, True)) == "9 of 10 images, 2 skipped, 0.5 a second, a few seconds left"
    assert str(Progress(10, 10, 0, 3.0, 3.0, False)) == "10 of 10 images"
    assert Progress(0, 10, 0, 0.0, 0.0, True).left is None
    assert Progress(0, 10**6, 0, 9.0, 10.0, True).left == 1e5


@pytest.mark.slow
def test_progress_is_shown_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr("peek_widget._progress.DELAY", 0.1)
    top_crops(tiny(), "forms", Pictures(180, delay=0.01), input_size=16, batch_size=8)
    shown = capsys.readouterr().err
    assert "image/s" in shown
    assert "180/180" in shown.split("\r")[-1]
    assert shown.count("\n") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        top_crops(tiny(), "forms", Pictures(180, delay=0.01), input_size=16, batch_size=8, progress=False)
    assert capsys.readouterr().err == ""


def test_a_unit_is_asked_for_by_number():
    crops = run(Pictures(8))["edges"]
    assert crops[-1].unit == 5
    assert [one.unit for one in crops[1:3]] == [1, 2]
    assert len(list(crops)) == 6
    with pytest.raises(UnitError, match="has 6 units, numbered 0 to 5; unit 6 was asked for"):
        crops[6]
    with pytest.raises(IndexError):
        crops[-7]
    with pytest.raises(UnitError, match="'a' was given"):
        crops["a"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"k": 0}, PeekError, "k=0"),
        ({"duty": 0.0}, PeekError, "duty=0.0"),
        ({"loader": LoaderOptions(resize=8)}, PeekError, "from the network's input size"),
        ({"layers": ()}, PeekError, "layers is empty"),
        ({"layers": ("edgs",)}, LayerError, "near names: edges"),
        ({"labels": [1, 2]}, DatasetError, "labels has 2 entries for 8 images"),
    ],
)
def test_what_is_not_possible_is_refused_before_any_image_is_read(options, error, said):
    with pytest.raises(error, match=said):
        EvidencePass(tiny(), **{"layers": "edges", "dataset": Pictures(8), "input_size": 16} | options)


@pytest.mark.parametrize(
    "options", [{"batch_size": 1.5}, {"batch_size": 0}, {"processes": -1}, {"processes": True}, {"workers": -1}]
)
def test_loader_options_that_are_not_possible_are_refused(options):
    ((name, value),) = options.items()
    with pytest.raises(PeekError, match=f"{name}={value}: give a whole number from"):
        LoaderOptions(**options)


def test_a_pass_over_a_given_network_runs_a_copy_of_its_own():
    network = read(tiny(), 16)
    work = EvidencePass(network, "edges", Pictures(4))
    assert work.network.model_copy is not network.model_copy
    assert (work.network.input_size, work.network.preprocess) == (16, network.preprocess)
    assert (
        next(work.network.model_copy.module.parameters()).data_ptr()
        == next(network.model_copy.module.parameters()).data_ptr()
    )


def test_the_map_of_a_crops_image_has_its_activation_at_its_place():
    images = Images(40)
    crops = top_crops(bundled(), ["conv3", "conv6", ""], images, k=2, progress=False)
    network = read(bundled())
    for name, unit in (("conv3", 4), ("conv6", 9), ("", 2)):
        crop = crops[name][unit].top[1]
        found = activation_map(network, crop)
        assert tuple(found.shape) == network.layer(name).size
        assert found[crop.position] == pytest.approx(crop.activation, abs=1e-3)
        assert found.max() == found[crop.position]


def test_few_batches_are_loaded_ahead(monkeypatch):
    """Memory is bounded: no more batches wait than there are loaders."""
    waiting, most = [0], [0]
    collect = loading_module._collect

    def counted(loaded):
        waiting[0] += 1
        most[0] = max(most[0], waiting[0])
        return collect(loaded)

    monkeypatch.setattr(loading_module, "_collect", counted)
    preparer = EvidencePass(tiny(), "edges", Pictures(4), input_size=16).example_index.preparer
    for _ in loading_module.load_batches(Items([Pictures(1)[0][0]] * 200), preparer, range(200), 4, 2):
        time.sleep(0.002)
        waiting[0] -= 1
    assert most[0] <= 4


def test_the_result_has_layers_under_the_names_that_were_given():
    wrapped = nn.DataParallel(tiny())
    crops = top_crops(wrapped, ["module.edges"], Pictures(6), input_size=16, progress=False)
    assert crops["module.edges"][0].top[0].layer == "module.edges"
    assert len(top_crops(wrapped, "module.edges", Pictures(6), input_size=16, progress=False)) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resize": 10**6}, "resize=1000000: .*to 512"),
        ({"k": 10**9}, "k=1000000000: give a whole number from 1 to 10000"),
        ({"batch_size": 10**9}, "batch_size=1000000000: give a whole number from 1 to"),
    ],
)
def test_options_beyond_any_memory_are_refused(options, said):
    with pytest.raises(PeekError, match=said):
        top_crops(bundled(), "conv4", Images(3), progress=False, **options)


def test_a_file_of_other_weights_is_refused(tmp_path):
    model = bundled()
    top_crops(model, "conv4", Images(3), progress=False, store=tmp_path / "crops.safetensors")
    top_crops(model, "conv4", Images(4), progress=False, store=tmp_path / "crops.safetensors")
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)  # trained on
    with pytest.raises(EvidenceStoreError, match="model of fingerprint"):
        top_crops(model, "conv4", Images(4), progress=False, store=tmp_path / "crops.safetensors")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (
            {"store": "s3://bucket/crops"},
            EvidenceStoreError,
            "'s3://bucket/crops', an address: give the name of a file",
        ),
        ({"store": "."}, EvidenceStoreError, "'.', a folder: give the name of a file, .* in it"),
        ({"store": ""}, EvidenceStoreError, "written to '': give the name of a file"),
        ({"store": __file__ + "/below"}, EvidenceStoreError, "can't be written to .*test_passes.py/below"),
        (
            {"resume": "crops"},
            PeekError,
            r"resume is a str: give what top_crops\(...\) returned; for a file store='crops'",
        ),
    ],
)
def test_where_evidence_can_not_be_kept_is_said_before_any_image_is_read(options, error, said):
    images = Pictures(8, broken=range(8))
    with pytest.raises(error, match=said):
        top_crops(tiny(), "edges", images, input_size=16, progress=False, **options)


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1)], ids=["here", "executor"])
def test_what_can_not_be_saved_any_more_is_not_lost(tmp_path, executor, caplog):
    folder = tmp_path / "folder"

    def gone(progress: Progress) -> None:
        if folder.is_dir():
            folder.rmdir()
            folder.write_text("a file is here now")

    with pytest.raises(EvidenceError, match="after 20 of 20 images: The evidence can't be written to") as caught:
        run(Pictures(20), store=folder / "store", progress=gone, executor=executor)
    assert caught.value.found["edges"].images == 20
    assert ("The pass goes on, and tries again." in caplog.text) == (executor is not None), "it saves after each shard"
    folder.unlink()
    run(Pictures(20), resume=caught.value.found, store=folder / "store")
    assert (folder / "store").is_file()


def test_of_a_device_that_is_gone_it_is_said_what_was_saved(tmp_path):
    found = top_crops(tiny(), ["edges"], Pictures(2), input_size=16, progress=False)
    gone = RuntimeError("CUDA error: unspecified launch failure")
    store = tmp_path / "evidence"

    def text(store: Path | None) -> str:
        return str(ended_early(gone, found, 9, torch.device("cpu"), store))

    assert "with store= it would be saved every minute, and another pass goes on from there" in text(None)
    assert "and nothing had been saved in " in text(store)
    assert text(store).endswith("yet: another pass starts from the beginning.")
    found.save(store)
    assert f"but what was saved is in {str(store)!r}, and another pass goes on from there." in text(store)


def test_a_stream_of_which_nothing_can_be_read_is_not_read_to_an_end_that_may_not_come():
    items = iter(["no image"] * 400)
    with pytest.raises(EvidenceError, match=r"after 0 images: \d+ images in a row could not be read"):
        top_crops(tiny(), "edges", items, progress=False)
    assert len(list(items)) > 300
