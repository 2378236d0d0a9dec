"""Speed of the engine, compared with torch-lucent 0.1.8 and with a loop written by hand.

    pip install -e ".[bench]"
    python benchmarks/engine.py [--quick] [--rows a,b,c,d,e,f,g] [--rounds 9] [--threads 1] [--device cpu]
                                [--precision float32]

SqueezeNet 1.0 with its ImageNet weights (PEEK_SHARED or ../shared), VGG-16 and GoogLeNet with random ones, each at an
early, a middle and a late layer. Except in d and e all have the same objective: the mean of unit 5 over its feature
map, with one view per step; the engine uses the recipe of by_hand.py on the canvas that the row names.

a  Steps per second, divided by Lucent's. Lucent reads the layer after its ReLU and the engine before it, which costs
   the same. Lucent's network runs to the end, the engine's to the layer. "128": both canvases are 128 px, Lucent's
   default; Lucent enlarges every view to 224 px for the network, the engine does not. "224": both canvases and both
   network inputs are 224 px (``fixed_image_size=224``; Lucent's would be about 250 otherwise). Lucent is measured as
   its README calls it, where the backward pass also computes gradients of the weights, and with
   ``requires_grad_(False)``. The engine computes in --precision; without it in float32, as in all other rows.
b  A step, compared with by_hand.py, the same picture without an engine: equal bit for bit on VGG-16, elsewhere up to
   the rounding of the first convolution's gradient, which the engine computes by a faster formula
   (peek_widget/network/convolution.py).
c  A step, compared with a forward and backward pass alone, on one fixed image, up to the layer.
d  Activation and time of ``peek-fast``, divided by those of Lucent's 512 steps with its defaults, on SqueezeNet: the
   mean activation before the ReLU over the 32 fixed views of peek_widget.evidence.measures; Lucent's picture is
   enlarged to 224 px, as for its own network. Random classes (``Logit``; Lucent's ``channel("labels", n)``) and random
   units (``Channel`` and ``Neuron``; Lucent's ``channel`` and ``neuron``). Where Lucent's unit is dead after its ReLU,
   the ratio is inf.
e  A ``Neuron`` computed from its receptive field alone (the default), compared with the whole canvas of 224 px: for
   ``peek`` the crops around the field, for ``oygard-2016`` the center of the whole views.
f  Peak memory beyond the loaded model over three steps, each in a process of its own: the peak of the resident set
   minus its size before (VmHWM, reset before; ru_maxrss elsewhere than on Linux).
g  A step of ``peek`` with ``precision="bf16"``, compared with float32: a class and a unit of a middle layer, on
   SqueezeNet, EfficientNet-Lite0 and, with random weights, VGG-16, GoogLeNet and ResNet-18.

Times are medians of pairs: a step of one directly followed by a step of the other, whose ratio is taken first. On one
CPU thread the clock is the CPU time of the process, which other programs disturb little; otherwise the wall time.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import random
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.by_hand import RECIPE, ByHand, stopped
from peek_widget import Channel, Logit, Neuron, Recipe, zoo
from peek_widget.ascent import Ascent
from peek_widget.evidence.measures import robust_activation
from peek_widget.network import Network, read
from peek_widget.network.precision import Precision, has_bf16
from tests.networks import squeezenet

UNIT = 5
MORE = ("resnet18", "efficientnet_lite0")  # in row g
DEPTHS = ("early", "middle", "late")
LAYERS = {
    "squeezenet1_0": ("features.3", "features.7", "features.12"),
    "vgg16": ("features.5", "features.14", "features.28"),
    "googlenet": ("conv3", "inception4a", "inception5b"),
}
GOALS = {"a": (4.0, 2.0, 2.0), "b": (0.9, 0.9, 0.9), "c": (0.6, 0.6, 0.8)}
WARM_UP = 2
LUCENT_SIDE = 224  # side to which Lucent enlarges a smaller canvas


def network(name: str, device: str = "cpu") -> nn.Module:
    if name == "squeezenet1_0":
        model = squeezenet()
    elif name == "efficientnet_lite0":
        model = zoo.efficientnet_lite0()
    else:
        import torchvision

        torch.manual_seed(0)
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        model = getattr(torchvision.models, name)(weights=None, **options)
    return model.eval().to(device)


class Clock:
    """Measures the seconds that a call takes, in CPU or wall time (``name``)."""

    def __init__(self, device: str, threads: int) -> None:
        self.cuda = torch.device(device).type == "cuda"
        self.name = "CPU time" if not self.cuda and threads == 1 else "wall time"
        self._now = time.process_time if self.name == "CPU time" else time.perf_counter

    def now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return self._now()

    def timed(self, work: Callable[[], Any]) -> float:
        start = self.now()
        work()
        return self.now() - start


class Pairs:
    """Seconds of several functions that are called alternately, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, by: str) -> float:
        """Return the median of the times of ``name`` divided by those of ``by``."""
        return statistics.median(a / b for a, b in zip(self.seconds[name], self.seconds[by], strict=True))


def in_turns(work: dict[str, Callable[[], Any]], rounds: int, clock: Clock) -> Pairs:
    pairs = Pairs()
    for number in range(WARM_UP + rounds):
        for name, one in work.items():
            seconds = clock.timed(one)
            if number >= WARM_UP:
                pairs.add(name, seconds)
    return pairs


def optvis() -> tuple[Any, Any, Any]:
    """Import Lucent's modules ``objectives``, ``param`` and ``render``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from lucent.optvis import objectives, param, render
    except ImportError as error:
        raise SystemExit(f"torch-lucent can't be imported ({error}): pip install torch-lucent==0.1.8") from error
    return objectives, param, render


def lucent(model: nn.Module, objective: Any, canvas: int, steps: int, **options: Any) -> Tensor:
    """Draw with Lucent's public function, and return the picture, ``[1, 3, S, S]``."""
    _, param, render = optvis()
    np.random.seed(0)  # Lucent uses both random generators
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = render.render_vis(
            model,
            objective,
            lambda: param.image(canvas),
            thresholds=(steps,),
            progress=False,
            show_image=False,
            **options,
        )
    return torch.from_numpy(images[-1]).permute(0, 3, 1, 2)


def beside_lucent(
    model: nn.Module, layer: str, canvas: int, ours: Callable[[], Any], rounds: int, clock: Clock
) -> Pairs:
    """Measure steps of Lucent and of the engine alternately: one of the engine's after each of Lucent's."""
    objectives = optvis()[0]
    pairs = Pairs()

    class Timed(torch.optim.Adam):
        made = 0

        def step(self, closure: Any = None) -> Any:
            step = super().step
            lucents = clock.timed(lambda: step(closure))
            our = clock.timed(ours)
            Timed.made += 1
            if Timed.made > WARM_UP:
                pairs.add("lucent", lucents)
                pairs.add("ours", our)

    objective = objectives.channel(layer.replace(".", "_"), UNIT)
    size = {"fixed_image_size": LUCENT_SIDE} if canvas >= LUCENT_SIDE else {}
    lucent(model, objective, canvas, WARM_UP + rounds, optimizer=lambda p: Timed(p, lr=0.05), **size)
    return pairs


def ascent(
    read_model: Network, objective: Any, canvas: int, recipe: str | Recipe = RECIPE, precision: Precision = "float32"
) -> Ascent:
    run = Ascent(read_model, objective, recipe, size=canvas, precision=precision)
    run.extend(10**6)
    return run


def mark(value: float, goal: float | None) -> str:
    return "" if goal is None else "  met" if value >= goal else "  NOT MET"


def table(title: str, head: str) -> None:
    print(f"\n{title}\n{head}", flush=True)


def cases(options: argparse.Namespace) -> Iterable[tuple[str, nn.Module, Network, tuple[tuple[int, str], ...]]]:
    for name, layers in LAYERS.items():
        if options.networks and name not in options.networks:
            continue
        model = network(name, options.device)
        kept = tuple(enumerate(layers)) if not options.quick else ((0, layers[0]),)
        yield name, model, read(model), kept


# The rows


def row_a(options: argparse.Namespace, clock: Clock) -> None:
    table(
        "(a) steps per second, divided by Lucent's; in parentheses Lucent with requires_grad_(False)",
        f"{'network':14} {'layer':12} {'canvas':>6} {'Lucent':>7} {'':>8} {'ours':>7} {'ratio':>6} {'':>8}   goal",
    )
    for name, model, read_model, layers in cases(options):
        frozen = copy.deepcopy(model).requires_grad_(False)
        for depth, layer in layers:
            for canvas in (128,) if options.quick else (128, 224):
                run = ascent(read_model, Channel(layer, UNIT), canvas, precision=options.precision)
                plain = beside_lucent(copy.deepcopy(model), layer, canvas, run.step, options.rounds, clock)
                careful = beside_lucent(copy.deepcopy(frozen), layer, canvas, run.step, options.rounds, clock)
                ratio, other = plain.ratio("lucent", "ours"), careful.ratio("lucent", "ours")
                goal = GOALS["a"][depth]
                print(
                    f"{name:14} {layer:12} {canvas:6d} {1 / plain.median('lucent'):7.2f} "
                    f"({1 / careful.median('lucent'):6.2f}) {1 / plain.median('ours'):7.2f} {ratio:5.1f}x "
                    f"({other:5.1f}x)   {DEPTHS[depth]} {goal:g}x{mark(ratio, goal)} ({mark(other, goal).strip()})",
                    flush=True,
                )


def rows_b_c(options: argparse.Namespace, clock: Clock) -> None:
    table(
        "(b) a step, compared with the loop by hand; (c) with the network's forward and backward pass alone",
        f"{'network':14} {'layer':12} {'canvas':>6} {'ours':>9} {'by hand':>9} {'alone':>9}  {'(b)':>5} {'goal':13} "
        f"{'(c)':>5} {'aim':13} pictures after 3 and all steps",
    )
    for name, model, read_model, layers in cases(options):
        for depth, layer in layers:
            for canvas in (128,) if options.quick else (128, 224):
                run, hand = ascent(read_model, Channel(layer, UNIT), canvas), ByHand(model, layer, UNIT, canvas)
                image = torch.rand(1, 3, canvas, canvas).to(options.device)
                forward = stopped(model, layer)

                def alone(forward: Any = forward, image: Tensor = image) -> None:
                    forward(image.requires_grad_())[:, UNIT].mean().backward()
                    image.grad = None

                for _ in range(3):
                    run.step()
                    hand.step()
                early = _apart(run, hand)
                pairs = in_turns({"ours": run.step, "hand": hand.step, "alone": alone}, options.rounds, clock)
                b, c = pairs.ratio("hand", "ours"), pairs.ratio("alone", "ours")
                times = " ".join(f"{1e3 * pairs.median(one):6.1f} ms" for one in ("ours", "hand", "alone"))
                goals = (
                    f"{GOALS[row][depth]:g}{mark(value, GOALS[row][depth])}" for row, value in (("b", b), ("c", c))
                )
                first, second = goals
                print(
                    f"{name:14} {layer:12} {canvas:6d} {times}  {b:5.2f} {first:13} {c:5.2f} {second:13} "
                    f"{early:.0e} {_apart(run, hand):.0e}",
                    flush=True,
                )


def _apart(run: Ascent, hand: ByHand) -> float:
    return float((run.images - hand.picture().detach().cpu()).abs().max())


def row_d(options: argparse.Namespace, clock: Clock) -> None:
    objectives = optvis()[0]
    model = network("squeezenet1_0", options.device)
    read_model = read(model)
    chance, fast = random.Random(0), Recipe.preset("peek-fast")
    classes = [Logit(chance.randrange(1000)) for _ in range(options.units)]
    units = [
        kind(layer, chance.randrange(read_model.layer(layer).channels))
        for number in range(options.units)
        for kind in (Channel, Neuron)
        for layer in (("features.12", "features.9", "features.5")[number % 3],)
    ]
    steps = 8 if options.quick else 512
    table(
        f"(d) peek-fast, compared with {steps} steps of Lucent: robust activation before the ReLU, and seconds",
        f"{'objective':40} {'Lucent':>8} {'':>8} {'ours':>8} {'':>8}   {'of its activation':>17} {'of its time':>11}",
    )
    for kind in (Logit, Channel, Neuron):
        shares, times = [], []
        for one in (one for one in classes + units if type(one) is kind):
            theirs = {
                Logit: lambda o: objectives.channel("labels", o.unit),
                Channel: lambda o: objectives.channel(o.layer.replace(".", "_"), o.unit),
                Neuron: lambda o: objectives.neuron(o.layer.replace(".", "_"), o.unit),
            }[kind](one)
            start = clock.now()
            picture = lucent(copy.deepcopy(model), theirs, 128, steps)
            middle = clock.now()
            ours = Ascent(read_model, one, fast).run().images
            end = clock.now()
            # At the size that Lucent's network gets.
            shown = nn.functional.interpolate(picture, (LUCENT_SIDE,) * 2, mode="bilinear", align_corners=True)
            high = robust_activation(read_model, one, shown[0].cpu())  # measured like a real image
            mine = robust_activation(read_model, one, ours[0], fast)
            shares.append(mine / high if high > 0.0 else float("inf") if mine > high else 0.0)
            times.append((end - middle) / (middle - start))
            print(
                f"{one.describe():40} {high:8.1f} {middle - start:6.1f} s {mine:8.1f} {end - middle:6.1f} s   "
                f"{shares[-1]:16.2f}x {times[-1]:11.3f}",
                flush=True,
            )
        both = sum(share >= 1.0 and part <= 0.1 for share, part in zip(shares, times, strict=True))
        print(
            f"  {kind.__name__}: of its activation, median {statistics.median(shares):.2f} ({min(shares):.2f} to "
            f"{max(shares):.2f}); of its time {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f}). "
            f"Goal, all of its activation in a tenth of its time: met by {both} of {len(shares)}",
            flush=True,
        )


def row_e(options: argparse.Namespace, clock: Clock) -> None:
    table(
        "(e) a Neuron from its receptive field, compared with the whole canvas of 224 px",
        f"{'network':14} {'layer':12} {'field':>5} {'recipe':12} {'seen':>6} {'part':>10} {'whole':>10} {'ratio':>6}",
    )
    for name, _, read_model, layers in cases(options):
        for _, layer in layers:
            found = read_model.layer(layer)
            center = tuple((side - 1) // 2 for side in found.size)
            for recipe in ("peek", "oygard-2016"):
                part = ascent(read_model, Neuron(layer, UNIT), 224, recipe)
                whole = ascent(read_model, Neuron(layer, UNIT, at=center), 224, recipe)  # given explicitly
                pairs = in_turns({"part": part.step, "whole": whole.step}, options.rounds, clock)
                view = part._evaluator.groups[0].view
                print(
                    f"{name:14} {layer:12} {max(found.receptive_field):5d} {recipe:12} "
                    f"{view.part[2] if view.part else view.side:4d}px "
                    f"{1e3 * pairs.median('part'):7.1f} ms {1e3 * pairs.median('whole'):7.1f} ms "
                    f"{pairs.ratio('whole', 'part'):5.1f}x",
                    flush=True,
                )


def row_f(options: argparse.Namespace, _clock: Clock) -> None:
    table(
        "(f) peak memory beyond the loaded model, in MB; in parentheses Lucent with requires_grad_(False)",
        f"{'network':14} {'layer':12} {'canvas':>6} {'Lucent':>8} {'':>10} {'ours':>8} {'of Lucents':>10}",
    )
    for name, layers in LAYERS.items():
        if options.networks and name not in options.networks:
            continue
        for layer in layers[:1] if options.quick else layers:
            for canvas in (128,) if options.quick else (128, 224):
                used = {}
                for who in ("lucent", "frozen", "ours"):
                    command = [sys.executable, __file__, "--alone", who, name, layer, str(canvas)]
                    command += ["--threads", str(options.threads)]
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    if done.returncode:
                        raise SystemExit(done.stderr)
                    used[who] = float(done.stdout.split()[-1])
                print(
                    f"{name:14} {layer:12} {canvas:6d} {used['lucent']:8.0f} ({used['frozen']:8.0f}) "
                    f"{used['ours']:8.0f} {used['ours'] / used['lucent']:9.2f}x ({used['ours'] / used['frozen']:.2f}x)",
                    flush=True,
                )


def row_g(options: argparse.Namespace, clock: Clock) -> None:
    device = torch.device(options.device)
    if not has_bf16(device):
        print("\n(g) is left out: there are no bf16 units here")
        return
    table(
        "(g) a step of peek in float32, and with the network in bf16",
        f"{'network':20} {'':24} {'float32':>10} {'bf16':>10} {'ratio':>6}",
    )
    middle = {name: layers[1] for name, layers in LAYERS.items()}
    for name, layer in {**middle, "resnet18": "layer3", "efficientnet_lite0": "blocks.7.expand"}.items():
        if options.networks and name not in options.networks:
            continue
        read_model = read(network(name, options.device))
        for one in (Neuron(layer, UNIT), Logit(UNIT)):
            runs = {kind: Ascent(read_model, one, "peek", precision=kind) for kind in ("float32", "bf16")}
            for run in runs.values():
                run.extend(10**6)
            pairs = in_turns({kind: run.step for kind, run in runs.items()}, options.rounds, clock)
            print(
                f"{name:20} {one.describe():24} {1e3 * pairs.median('float32'):7.1f} ms "
                f"{1e3 * pairs.median('bf16'):7.1f} ms {pairs.ratio('float32', 'bf16'):5.2f}x",
                flush=True,
            )


def alone(who: str, name: str, layer: str, canvas: int) -> float:
    """Return the megabytes that three steps take beyond what was resident before them."""
    objectives = optvis()[0]  # imported in both processes, before the baseline is measured
    model = network(name)
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        peak = lambda: _status("VmHWM")  # noqa: E731
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # noqa: E731
    if who == "ours":
        run = Ascent(read(model), Channel(layer, UNIT), RECIPE.replace(size=canvas))
        for _ in range(3):
            run.step()
    else:
        model.requires_grad_(who == "lucent")
        size = {"fixed_image_size": LUCENT_SIDE} if canvas >= LUCENT_SIDE else {}
        lucent(model, objectives.channel(layer.replace(".", "_"), UNIT), canvas, 3, **size)
    return peak() - before


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1]) / 1024
    raise OSError(f"no {field} in /proc/self/status")


ROWS = {"a": row_a, "b": rows_b_c, "c": rows_b_c, "d": row_d, "e": row_e, "f": row_f, "g": row_g}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="a,b,c,d,e,f,g", help="rows to run, e.g. a,d")
    parser.add_argument("--networks", type=lambda text: text.split(","), help="some of " + ", ".join((*LAYERS, *MORE)))
    parser.add_argument("--rounds", type=int, default=9, help="number of pairs of steps for a median")
    parser.add_argument("--units", type=int, default=4, help="number of classes, channels and neurons of row d")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="of the engine in row a")
    parser.add_argument(
        "--quick", action="store_true", help="smoke test: early layers, few rounds, no reliable numbers"
    )
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        who, name, layer, canvas = options.alone
        print(alone(who, name, layer, int(canvas)))
        return
    rows = options.rows.split(",")
    unknown = [row for row in rows if row not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: there are {', '.join(ROWS)}")
    for name in options.networks or ():
        if name not in (*LAYERS, *MORE):
            parser.error(f"no network {name}: there are {', '.join((*LAYERS, *MORE))}")
    if options.quick:
        options.rounds, options.units = min(options.rounds, 2), 1
    clock = Clock(options.device, options.threads)
    print(
        f"torch {torch.__version__}, {options.threads} threads, {options.device}, {clock.name}, {options.rounds} pairs"
    )
    if not clock.cuda:
        print("Not run on a GPU; --device cuda measures the same rows there.")
    for row in dict.fromkeys(ROWS[row] for row in rows):
        row(options, clock)


if __name__ == "__main__":
    main()
