"""What the package does on :mod:`tests.device.glass`, beside what it does on the CPU; run in a process of its own.

    python -m tests.device.on_glass

prints one JSON object: for each scenario what it returned, or the traceback as ``"failed"``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ["PEEK_PROBE"] = "0"  # it reads much of the host's, once, before anything is drawn
warnings.filterwarnings("ignore", module="torch")

import torch

from tests.device.glass import METER, SETUP, install

torch.set_num_threads(1)
if not hasattr(torch.utils.backend_registration, SETUP):
    print(json.dumps({"skipped": f"torch {torch.__version__} has no {SETUP}"}))
    sys.exit()
GLASS = install()

import numpy as np
from torch import nn

from peek_widget import (
    Channel,
    EvidencePass,
    LoaderOptions,
    Logit,
    Neuron,
    Objective,
    Recipe,
    UnitExplorer,
    contact_sheet,
    look_at,
    top_crops,
)
from peek_widget.ascent import Accentuate, Ascent, Diversity, Style, watch
from peek_widget.errors import AscentError
from peek_widget.evidence import load_evidence, passes
from peek_widget.evidence.activations import run_batch
from peek_widget.network import Network, read

# So many steps are not needed to see that it looks every so many.
watch.EVERY = 8

DEVICES = (torch.device("cpu"), GLASS)
Fact = dict[str, Any]


def model() -> nn.Module:
    torch.manual_seed(0)
    first = [nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(True), nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True)]
    return nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


MODEL = model()
NETWORKS: dict[torch.device, Network] = {device: read(MODEL, 32, device=device) for device in DEVICES}
PHOTO = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(3))
TWO = [Neuron("2", 1), Channel("0", 3)]


def counted(work: Callable[[], Any]) -> Fact:
    """Return what the host waited for, and where."""
    METER.reset()
    work()
    return {"reads": METER.reads, "uploads": METER.uploads, "at": METER.at.most_common()}


def same(one: Any, other: Any) -> bool:
    """Tell whether two results are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def run_of(ascent: Ascent) -> Any:
    steps = list(ascent)
    return [one.images for one in steps], [one.activations for one in steps], ascent.best, ascent.alpha


def both(objective: Any, recipe: Any, **options: Any) -> Fact:
    """Compare a run with the CPU's, and count what further steps wait for."""
    options = {"seed": 1, "size": 32, **options}
    there, ascent = (Ascent(NETWORKS[device], objective, recipe, **options) for device in DEVICES)
    equal = same(run_of(there), run_of(ascent))
    ascent.extend(100)
    return {"equal": equal, **counted(lambda: [ascent.step() for _ in range(3)])}


def engine() -> Iterator[tuple[str, Callable[[], Fact]]]:
    for name in Recipe.presets():
        recipe = Recipe.preset(name)
        yield f"engine: {name}", lambda r=recipe: both(TWO, r.replace(steps=max(4, len(r.octaves))), seed=[1, 2])
    short = Recipe.preset("peek").replace(steps=4)
    others: dict[str, Any] = {
        "class": Logit(1),
        "difference": 2 * Neuron("2", 1) - Channel("0", 2),
        "diversity": [Channel("2", 1) + 10 * Diversity("2")] * 2,
        "style": Channel("2", 1) + 0.5 * Style(["0"], PHOTO),
    }
    for name, objective in others.items():
        yield f"objective: {name}", lambda o=objective: both(o, short)
    yield "objective: class with noise on the weights", lambda: both(Logit(1), short.replace(weight_noise=0.2))
    yield "objective: accentuated photo", lambda: both(Accentuate("2:3"), short.replace(jitter=0.1), start=PHOTO)
    noisy = short.replace(noise=0.1, flip=0.5, return_best=True, alpha=True)
    mixed = [TWO[0], 2 * Logit(1) - Channel("2", 3), Neuron("2", 4)]  # the first and the last go together
    yield "objective: several groups, noise, the best step, opacity", lambda: both(mixed, noisy, seed=[1, 2, 3])


def replayed() -> Fact:
    """Steps that are replayed with a knob moved between them; a recorder that does the work again stands for CUDA's."""
    from tests.ascent.test_graph import REPLAYED, Recorder

    recipe = Recipe.preset("peek").replace(steps=18, l1=0.1)
    there, ascent = (Ascent(NETWORKS[device], TWO, recipe, seed=[1, 2], size=32) for device in DEVICES)
    there._evaluator.looks_once = True
    ascent._maker.replay(Recorder())
    for one in (there, ascent):
        for _ in range(15):
            one.step()
        one.override(blur=0.5, step_size=0.03)
    assert ascent.cuda_graph == REPLAYED
    equal = same(run_of(there), run_of(ascent))
    ascent.extend(100)
    return {"equal": equal, **counted(lambda: [ascent.step() for _ in range(3)])}


def looks() -> Fact:
    """A run to its end whose every third step is shown."""
    ascent = Ascent(NETWORKS[GLASS], TWO[0], Recipe.preset("peek-fast").replace(steps=12), seed=1, size=16)
    shown = []

    def show(step: Any) -> None:
        if step.index % 3 == 1:
            shown.append(step.images)

    facts = counted(lambda: ascent.run(show, progress=False))
    return {**facts, "shown": len(shown)}


def changed() -> Fact:
    """Everything that may happen to what was drawn ahead: each run goes on as the CPU's."""
    seen = []
    for device in DEVICES:
        ascent = Ascent(NETWORKS[device], TWO, Recipe.preset("peek").replace(steps=20), seed=[1, 2], size=16)
        found = []
        for number in range(14):
            if number == 4:
                ascent.override(jitter=0.2)
            if number == 6:
                ascent.override(noise=0.1, jitter=None)
            if number == 8:
                ascent.override(noise=None)
            if number == 10:
                ascent = Ascent.resume(NETWORKS[device], ascent.state())
            if number == 12:
                ascent.change(objective=TWO[::-1], recipe="oygard-2016")
            step = ascent.step()
            found += [step.images, step.activations, [sorted(one.items()) for one in step.terms]]
        found += [ascent.state().tensors[f"generator.{n}"] for n in (0, 1)]
        seen.append(found)
    return {"equal": same(*seen)}


def broken() -> Fact:
    """A number that is not finite, in the middle of a run, and a gradient that is zero."""
    found = {}
    for what, last in (("late", 20), ("last", 6)):
        ascent = Ascent(NETWORKS[GLASS], TWO, Recipe.preset("peek-fast").replace(steps=last), seed=1, size=16)
        for _ in range(4):
            ascent.step()
        ascent._image.parameter.detach()[1].fill_(float("nan"))
        try:
            ascent.run(progress=False)
            found[what] = ""
        except AscentError as error:
            found[what] = str(error)
        found[f"{what} at"] = ascent.index
    dead = Objective(lambda a: a["2"][:, 0].mean(dim=(1, 2)) * 0.0, ["2"])
    try:
        Ascent(NETWORKS[GLASS], [TWO[0], dead], "peek-fast", size=32).step()
    except AscentError as error:
        found["dead"] = str(error)
    return found


def planted() -> Fact:
    """Leave a tensor on the CPU where one of the device belongs: it must raise, as on a GPU."""
    mask = torch.ones(3, 1, 1)
    found = {}

    def attempt(what: str, work: Callable[[], Any]) -> None:
        try:
            work()
            found[what] = ""
        except Exception as error:
            found[what] = str(error)

    masked = Objective(lambda a: (a["2"] * torch.ones(8, 1, 1)).mean(dim=(1, 2, 3)), ["2"])
    attempt("objective", lambda: Ascent(NETWORKS[GLASS], masked, "peek-fast").step())
    attempt("preprocess", lambda: read(MODEL, 32, lambda images: images * mask, GLASS))
    ascent = Ascent(NETWORKS[GLASS], Neuron("2", 1), "peek-fast", size=32)
    ascent._image._scale = ascent._image._scale.cpu()
    attempt("spectrum", ascent.step)
    return found


def evidence() -> Fact:
    draws = np.random.default_rng(0)
    images = list(draws.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8))
    facts: Fact = {"equal": True}
    for per_image in (True, False):
        seen = []
        for device in DEVICES:
            crops = top_crops(MODEL, ["0", "2", ""], images, 2, per_image=per_image, input_size=32, device=device)
            seen.append(
                [
                    [
                        (one.index, one.activation, one.box)
                        for one in (*crops[name][unit].top, *crops[name][unit].bottom)
                    ]
                    for name in ("0", "2", "")
                    for unit in range(4)
                ]
                + [crops[name][1].quantiles for name in ("0", "2")]
            )
        facts["equal"] &= repr(seen[0]) == repr(seen[1])
    return facts


def batches_of_the_other_device() -> Fact:
    """Images on the network's device, or on another one, as any loader may give them."""
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = [run_batch(NETWORKS[device], images.to(where), ["2"])["2"].cpu() for device in DEVICES for where in DEVICES]
    return {"equal": all(same(found[0], one) for one in found[1:])}


def vanished() -> Fact:
    """A device that vanishes in a pass and in a run: what was saved is kept, and it is said."""
    found: Fact = {}
    images = list(np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/evidence"
        how: dict[str, Any] = {"loader": LoaderOptions(batch_size=3), "input_size": 32, "store": store}
        passes._SAVE_INTERVAL = 0.0
        work = EvidencePass(MODEL, "2", images, 2, device=GLASS, **how)
        try:
            work.start(lambda progress: setattr(METER, "gone", progress.done >= 9)).wait(60)
        finally:
            METER.gone = False
        found["pass"], found["kept"] = str(work.error), load_evidence(store)["2"].images
        found["whole"] = EvidencePass(MODEL, "2", images, 2, device="cpu", **how).run()["2"].images
    explorer = UnitExplorer(MODEL, layer="2", unit=3, recipe="peek-fast", size=16, input_size=32, device=str(GLASS))
    try:
        METER.gone = True
        explorer.restart()
        explorer._parts.run.wait(60)
        found["explorer"] = explorer.status["text"]
    finally:
        METER.gone = False
        explorer.close()
    return found


def waits_of_a_pass() -> Fact:
    draws = np.random.default_rng(0)
    images = list(draws.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8))
    loader = LoaderOptions(batch_size=3)
    work = EvidencePass(MODEL, ["0", "2", ""], images, 2, loader=loader, input_size=32, device=GLASS)
    facts = counted(work.run)
    return {**facts, "batches": 4}


def sheet() -> Fact:
    recipe = Recipe.preset("peek-fast").replace(steps=4)
    drawn = [
        contact_sheet(MODEL, "2", recipe, units=range(3), size=32, batch=3, device=device, input_size=32).draw().done
        for device in DEVICES
    ]
    pictures = [[(unit, one.activation, one.tensor) for unit, one in done.items()] for done in drawn]
    return {"equal": same(*pictures), "units": len(pictures[0])}


def photo() -> Fact:
    looks = [look_at(MODEL, PHOTO, ["0", "2"], input_size=32, device=device) for device in DEVICES]
    return {"equal": same(*([str(one.table), str(one.predictions), one.map("2", 3).values] for one in looks))}


def widget() -> Fact:
    seen, facts = [], {}
    for device in map(str, DEVICES):
        explorer = UnitExplorer(
            MODEL, layer="2", unit=3, recipe="peek-fast", size=32, input_size=32, device=device, playing=False
        )
        try:
            explorer.step_once()
            explorer.wait(30)
            seen.append((explorer.step, explorer.activation, np.asarray(explorer.image).tolist()))
            facts = {"device": explorer.device, "devices": explorer.devices}
        finally:
            explorer.close()
    return {"equal": seen[0] == seen[1], "steps": seen[0][0], **facts}


def seeds_of_the_widget() -> Fact:
    """Draw three seeds at once: the pictures of all of them, and what the page is sent."""
    seen = []
    for device in map(str, DEVICES):
        explorer = UnitExplorer(
            MODEL, layer="2", unit=3, recipe="peek-fast", size=32, input_size=32, device=device, playing=False,
            seeds_at_once=3, seed=1,
        )  # fmt: skip
        try:
            explorer.step_once()
            explorer.wait(30)
            pictures = {seed: np.asarray(one).tolist() for seed, one in explorer.images_by_seed.items()}
            seen.append((explorer.activation, np.asarray(explorer.image).tolist(), pictures))
        finally:
            explorer.close()
    (_, large, pictures), _ = seen
    return {"equal": seen[0] == seen[1], "seeds": list(pictures), "large": pictures[1] == large}


def waits_of_the_widget(seeds: int = 1) -> Fact:
    """Draw to the end; frames are counted as they are published."""
    recipe = Recipe.preset("peek-fast").replace(steps=24)
    explorer = UnitExplorer(
        MODEL, layer="2", unit=3, recipe=recipe, size=16, input_size=32, device=str(GLASS), playing=False,
        seeds_at_once=seeds,
    )  # fmt: skip
    try:
        explorer.step_once()
        explorer.wait(60)
        frames: list[int] = []
        explorer.observe(lambda change: frames.append(len(change["new"])), "frame")

        def draw() -> None:
            explorer.play()
            explorer.wait(60)

        facts = counted(draw)
        return {**facts, "frames": len(frames), "steps": explorer.step, "points": len(explorer.history)}
    finally:
        explorer.close()


SCENARIOS: dict[str, Callable[[], Fact]] = {
    **dict(engine()),
    "engine: replayed": replayed,
    "a run that is looked at": looks,
    "changed": changed,
    "broken": broken,
    "planted": planted,
    "evidence": evidence,
    "batches of the other device": batches_of_the_other_device,
    "vanished": vanished,
    "waits of a pass": waits_of_a_pass,
    "sheet": sheet,
    "photo": photo,
    "widget": widget,
    "seeds of the widget": seeds_of_the_widget,
    "waits of the widget": waits_of_the_widget,
    "waits of the widget with four seeds": lambda: waits_of_the_widget(4),
}


def main() -> None:
    found = {}
    for name, scenario in SCENARIOS.items():
        try:
            found[name] = scenario()
        except Exception:
            found[name] = {"failed": traceback.format_exc()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
