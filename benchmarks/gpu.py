"""What a GPU does: the tables of docs/gpu.md, in at most six minutes, for whoever has one.

    pip install -e ".[bench]"
    python benchmarks/gpu.py [--device cuda] [--write] [--small] [--minutes 6]

prints the tables as Markdown; ``--write`` puts them into docs/gpu.md, in place of what is between its two marks.
Networks have random weights (nothing is downloaded): speed does not depend on them. Each table has a share of the
minutes; what does not fit says so. ``--small`` runs the same with a tiny network and few steps: on a CPU in a few
seconds, to see that all of it works, and its numbers say nothing.

1  Steps a second at 224 px, of a unit of a late layer with the recipe of by_hand.py (one view a step), without and with
   a CUDA graph (peek_widget/ascent/step.py); the quicker beside the bare step: the network's forward and backward pass
   on one fixed image, as a CUDA graph. Goal: at least .8 of it. All in float32; with the memory format that five warm
   steps were quicker in, which is taken, and the precision, which is not. Beside torch-lucent, as its README calls it,
   if it is installed. Goal: at least 10 times.
2  Seconds from the call to the finished picture: a class of ResNet-50 with ``peek``, without and with a CUDA graph
   (goal: under 0.5), and 512 units of VGG-16's last convolution as a contact sheet; of the sheet as many units as
   fit, and the time of 512 by their rate.
3  The pass over images: images a second, with the next batch copied meanwhile (evidence/prefetch.py) and without,
   beside a bare forward of the same batches in the same precision that lie on the device already. Goal: at least .9.
4  Memory of the device after each of 50 unit switches, three steps each: the last less the tenth. Goal: 0.
5  Pictures beside the CPU's, and of replayed steps beside plain ones, from the same seed: the largest difference of a
   pixel after the first step and at the end, and of the final activation. And whether a step waits for the host, by
   ``torch.cuda.set_sync_debug_mode("error")``.
6  How many seeds of a unit at once cost at most 1.3 times one (``seeds_at_once``, up to 16), and the pictures' steps a
   second of one and of so many.
7  Frames a second: a step, its picture read and made a JPEG, as for the widget.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.by_hand import RECIPE
from peek_widget import Channel, EvidencePass, LoaderOptions, Logit, Recipe, contact_sheet
from peek_widget.ascent import Ascent, seeds_at_once, to_pil
from peek_widget.ascent.step import WARM
from peek_widget.evidence import passes
from peek_widget.live.front_end import encode
from peek_widget.network import Network, quicker_precision, read, settle_memory_format
from tests.networks import tiny

UNIT = 5
PAGE = ROOT / "docs" / "gpu.md"
MARKS = ("<!-- measured -->", "<!-- end of what was measured -->")
LATE = {"squeezenet1_0": "features.12", "resnet50": "layer4", "vgg16": "features.28"}
SHARES = {"steps": 0.3, "pictures": 0.2, "images": 0.15, "memory": 0.1, "equal": 0.1, "seeds": 0.05, "frames": 0.1}


@dataclass
class Run:
    """The options, and how much time there is.

    Attributes:
        device: where to compute.
        small: whether only to see that it works.
        until: when the present table has to be finished, by ``time.monotonic``.
    """

    device: torch.device
    small: bool
    until: float = 0.0

    @property
    def side(self) -> int:
        return 32 if self.small else 224

    def networks(self) -> list[str]:
        return ["tiny"] if self.small else list(LATE)

    def left(self) -> float:
        return self.until - time.monotonic()

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def timed(self, work: Callable[[], Any]) -> float:
        """Return the seconds that a call takes until the device has finished it."""
        self.synchronize()
        began = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - began

    def rate(self, work: Callable[[], Any], least: int = 20, share: float = 0.1) -> float:
        """Return calls a second, after a few that are not timed, over that share of the time that is left."""
        least = 2 if self.small else least
        for _ in range(min(least, 5)):
            work()
        count, seconds, until = 0, 0.0, time.monotonic() + (0.0 if self.small else share * self.left())
        while count < least or (time.monotonic() < until):
            seconds += self.timed(lambda: [work() for _ in range(least)])
            count += least
        return count / seconds


def model_of(run: Run, name: str) -> tuple[nn.Module, str]:
    """Return a network with random weights on the device, and the name of its late layer."""
    if run.small:
        return tiny().eval().to(run.device), "forms"
    import torchvision

    torch.manual_seed(0)
    return getattr(torchvision.models, name)(weights=None).eval().to(run.device), LATE[name]


def endless(network: Network, objective: Any, recipe: Recipe, side: int) -> Ascent:
    ascent = Ascent(network, objective, recipe, size=side)
    ascent.extend(10**6)
    return ascent


@contextmanager
def graphs() -> Iterator[None]:
    """Ask for CUDA graphs in the runs that are begun meanwhile."""
    os.environ["PEEK_CUDA_GRAPH"] = "1"
    try:
        yield
    finally:
        del os.environ["PEEK_CUDA_GRAPH"]


class _Stop(Exception):  # noqa: N818 - not an error
    pass


def bare(run: Run, model: nn.Module, layer: str) -> Callable[[], Any]:
    """Return a forward and backward pass up to a layer on one fixed image; on a GPU captured as a CUDA graph."""
    image = torch.rand(1, 3, run.side, run.side, device=run.device).contiguous(memory_format=torch.channels_last)
    image.requires_grad_()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    module, found = model.get_submodule(layer), []

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        found.append(output)
        raise _Stop

    def step() -> None:
        handle = module.register_forward_hook(hook)
        try:
            model(image)
        except _Stop:
            pass
        finally:
            handle.remove()
        torch.autograd.grad(found.pop()[:, UNIT].mean(), image)

    if run.device.type != "cuda":
        return step
    side_stream = torch.cuda.Stream(run.device)
    side_stream.wait_stream(torch.cuda.current_stream(run.device))
    with torch.cuda.stream(side_stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream(run.device).wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph.replay


def lucents_rate(run: Run, model: nn.Module, layer: str) -> float | None:
    """Return torch-lucent's steps a second at 224 px; None where it is not installed, and in small."""
    if run.small:
        return None
    try:
        import lucent  # noqa: F401
    except ImportError:
        return None
    from lucent.optvis import objectives

    from benchmarks.engine import lucent as draw

    steps = 40
    objective = objectives.channel(layer.replace(".", "_"), UNIT)
    draw(model, objective, run.side, 2, fixed_image_size=run.side)
    with redirect_stdout(io.StringIO()):
        return steps / run.timed(lambda: draw(model, objective, run.side, steps, fixed_image_size=run.side))


def steps(run: Run) -> Iterator[str]:
    yield (
        "| network | layer | memory format | quicker precision | steps a second | as a CUDA graph | bare step "
        "| of it (goal .8) | torch-lucent | times it (goal 10) |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    said = ""
    for name in run.networks():
        if run.left() <= 0:
            yield f"| {name} | no time was left | | | | | | | | |"
            continue
        model, layer = model_of(run, name)
        network = read(model, run.side)
        tried = [str(settle_memory_format(network, layer)), quicker_precision(network, layer)]
        plain = run.rate(endless(network, Channel(layer, UNIT), RECIPE, run.side).step)
        with graphs():
            replayed = endless(network, Channel(layer, UNIT), RECIPE, run.side)
        for _ in range(0 if run.small else 2 * WARM):
            replayed.step()
        by_graph = run.rate(replayed.step) if replayed.cuda_graph else 0.0
        said, ours = replayed.cuda_graph, max(plain, by_graph)
        theirs = lucents_rate(run, model, layer)
        alone = run.rate(bare(run, model, layer))
        beside = ("not measured", "") if theirs is None else (f"{theirs:.1f}", f"{ours / theirs:.1f}")
        shown = f"{plain:.1f} | {by_graph:.1f}" if by_graph else f"{plain:.1f} | "
        columns = (name, layer, *tried, shown, f"{alone:.1f}", f"{ours / alone:.2f}", *beside)
        yield f"| {' | '.join(columns)} |"
    yield ""
    yield said or "No CUDA graph was tried: that takes a GPU."


def pictures(run: Run) -> Iterator[str]:
    yield "| picture | seconds | goal |"
    yield "|---|---|---|"
    model, _ = model_of(run, "resnet50")
    network = read(model, run.side)
    recipe = Recipe.preset("peek").replace(steps=4) if run.small else Recipe.preset("peek")
    draw = lambda seed: Ascent(network, Logit(1), recipe, seed=seed, precision="float32").run(progress=False)  # noqa: E731
    draw(0)
    for how, context in (("", nullcontext()), (", as a CUDA graph", graphs())):
        with context:
            yield f"| a class of resnet50, {recipe.steps} steps{how} | {run.timed(lambda: draw(1)):.2f} | under 0.5 |"
    model, layer = model_of(run, "vgg16")
    units = 8 if run.small else 512
    sheet = contact_sheet(model, layer, recipe, units=range(units), size=run.side, input_size=run.side)
    began = time.perf_counter()
    for _ in sheet:
        if run.left() <= 0:
            break
    seconds, done = time.perf_counter() - began, len(sheet.done)
    shown = f"{seconds:.1f}" if done == units else f"{seconds / max(1, done) * units:.0f}, by {done} of them"
    yield f"| {units} units of {layer} of vgg16 | {shown} | |"


def images(run: Run) -> Iterator[str]:
    yield "| network | layer | images a second | without copies ahead | bare forward | of it (goal .9) |"
    yield "|---|---|---|---|---|---|"
    for name in run.networks()[:2]:
        model, layer = model_of(run, name)
        size = 8 if run.small else 64
        draws = np.random.default_rng(0)
        stored = draws.integers(0, 256, (size, run.side, run.side, 3), dtype=np.uint8)
        alone = size * run.rate(_forward(run, model, size), share=0.2)
        count = 2 * size if run.small else size * max(2, int(0.15 * run.left() * alone / size))
        dataset = [stored[number % size] for number in range(min(count, 20_000))]
        with mock.patch.object(passes, "prefetched", lambda batches, device: batches):
            plain = _pass_rate(run, model, layer, dataset, size)
        rate = _pass_rate(run, model, layer, dataset, size)
        yield f"| {name} | {layer} | {rate:.0f} | {plain:.0f} | {alone:.0f} | {rate / alone:.2f} |"


def _pass_rate(run: Run, model: nn.Module, layer: str, dataset: list[Any], size: int) -> float:
    loader = LoaderOptions(batch_size=size)
    work = EvidencePass(model, layer, dataset, loader=loader, input_size=run.side, device=run.device)
    return len(dataset) / run.timed(work.run)


def _forward(run: Run, model: nn.Module, size: int) -> Callable[[], Any]:
    batch = torch.rand(size, 3, run.side, run.side, device=run.device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> None:
        model(batch)

    return forward


def memory(run: Run) -> Iterator[str]:
    yield "| unit switches | MB after 10 | MB at the end | grown by (goal 0) |"
    yield "|---|---|---|---|"
    model, layer = model_of(run, "squeezenet1_0")
    network, used = read(model, run.side), []
    for unit in range(12 if run.small else 50):
        ascent = Ascent(network, Channel(layer, unit % 8), "peek", size=run.side)
        for _ in range(1 if run.small else 3):
            ascent.step()
        del ascent
        gc.collect()
        run.synchronize()
        used.append(torch.cuda.memory_allocated(run.device) / 2**20 if run.device.type == "cuda" else float("nan"))
    yield f"| {len(used)} | {used[9]:.1f} | {used[-1]:.1f} | {used[-1] - used[9]:.1f} |"


def equal(run: Run) -> Iterator[str]:
    yield "| recipe | largest difference of a pixel after the first step | at the end | activation at the end |"
    yield "|---|---|---|---|"
    model, layer = model_of(run, "squeezenet1_0")
    for name in ("peek-fast", "oygard-2016"):
        recipe = Recipe.preset(name)
        recipe = recipe.replace(steps=len(recipe.octaves) if run.small else min(recipe.steps, 60))
        networks = [read(model, run.side, device=device) for device in (run.device, torch.device("cpu"))]
        found = [_ends(Ascent(network, Channel(layer, UNIT), recipe, size=run.side)) for network in networks]
        yield _apart(name, found[0], found[1])
        if name == "peek-fast":
            with graphs():
                replayed = Ascent(networks[0], Channel(layer, UNIT), recipe, size=run.side)
            yield _apart(f"{name}, replayed beside plain steps", _ends(replayed), found[0])
    yield ""
    yield _waits(run, model, layer)


def _ends(ascent: Ascent) -> tuple[Tensor, Tensor, float]:
    """Return the pictures after the first and the last step, and the last activation."""
    made = list(ascent)
    return made[0].images, made[-1].images, made[-1].activation


def _apart(name: str, one: tuple[Tensor, Tensor, float], other: tuple[Tensor, Tensor, float]) -> str:
    first, last = (float((one[n] - other[n]).abs().max()) for n in (0, 1))
    share = abs(one[2] - other[2]) / max(abs(other[2]), 1e-9)
    return f"| {name} | {first:.2g} | {last:.2g} | {100 * share:.2g} % apart |"


def _waits(run: Run, model: nn.Module, layer: str) -> str:
    if run.device.type != "cuda":
        return "Whether a step waits for the host was not looked at: that takes a GPU."
    ascent = endless(read(model, run.side), Channel(layer, UNIT), Recipe.preset("peek"), run.side)
    for _ in range(4):
        ascent.step()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(20):
            ascent.step()
        return "No step of 20 waited for the host (`torch.cuda.set_sync_debug_mode`)."
    except RuntimeError as error:
        return f"A step waited for the host: {str(error).splitlines()[0]}"
    finally:
        torch.cuda.set_sync_debug_mode("default")


def seeds(run: Run) -> Iterator[str]:
    yield "| network | seeds at once | steps a second of one | pictures' steps a second of so many |"
    yield "|---|---|---|---|"
    for name in run.networks():
        if run.left() <= 0:
            yield f"| {name} | no time was left | | |"
            continue
        model, layer = model_of(run, name)
        network, unit = read(model, run.side), Channel(layer, UNIT)
        count = seeds_at_once(network, unit, "peek", size=run.side, most=4 if run.small else 16)
        rates = []
        for number in (1, count):
            ascent = Ascent(network, [unit] * number, "peek", seed=list(range(number)), size=run.side)
            ascent.extend(10**6)
            rates.append(number * run.rate(ascent.step, share=0.1))
        yield f"| {name} | {count} | {rates[0]:.1f} | {rates[1]:.1f} |"


def frames(run: Run) -> Iterator[str]:
    yield "| network | side | frames a second, each step shown | steps a second, every eighth shown |"
    yield "|---|---|---|---|"
    model, layer = model_of(run, "squeezenet1_0")
    network = read(model, run.side)
    for side in (run.side,) if run.small else (224, 448):
        ascent = endless(network, Channel(layer, UNIT), Recipe.preset("peek"), side)

        def show(ascent: Ascent = ascent) -> None:
            encode(to_pil(ascent.step().tensor), lossless=False)

        def eight(ascent: Ascent = ascent, show: Callable[[], None] = show) -> None:
            for _ in range(7):
                ascent.step()
            show()

        yield f"| squeezenet1_0 | {side} | {run.rate(show):.1f} | {8 * run.rate(eight, least=3):.1f} |"


TABLES: dict[str, tuple[str, Callable[[Run], Iterator[str]]]] = {
    "steps": ("Steps a second", steps),
    "pictures": ("Seconds to a finished picture", pictures),
    "images": ("The pass over images", images),
    "memory": ("Memory of the device", memory),
    "equal": ("Beside the CPU's pictures", equal),
    "seeds": ("Seeds at once", seeds),
    "frames": ("Frames a second", frames),
}


def described(run: Run) -> str:
    name = torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else f"no GPU: {run.device}"
    small = ", in small: these numbers say nothing" if run.small else ""
    return f"Measured by `benchmarks/gpu.py` on {name}, torch {torch.__version__}{small}."


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=6.0, help="time for all tables")
    parser.add_argument("--small", action="store_true", help="see that all of it works; no reliable numbers")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/gpu.md")
    options = parser.parse_args(arguments)
    run = Run(torch.device(options.device), options.small)
    lines = [described(run)]
    print(lines[0], flush=True)
    # What one table leaves is given to the next, and a tenth is kept for what is begun when the time is over.
    run.until = time.monotonic()
    for name, (title, table) in TABLES.items():
        run.until += 0.9 * 60.0 * options.minutes * SHARES[name]
        for line in ("", f"### {title}", "", *_lines(table, run)):
            lines.append(line)
            print(line, flush=True)
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}\n" + "\n".join(lines) + f"\n{MARKS[1]}{after}", encoding="utf-8")


def _lines(table: Callable[[Run], Iterator[str]], run: Run) -> list[str]:
    """Return a table's lines; one that can't be made says why, and the others are made all the same."""
    made: list[str] = []
    try:
        for line in table(run):
            made.append(line)  # one by one: those before an error are kept
    except Exception as error:
        made.append(f"\nIt ended here: {type(error).__name__}: {error}")
    return made


if __name__ == "__main__":
    main()
