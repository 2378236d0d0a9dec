"""Measure how fast pictures reach the screen, compared with jupyter_rfb, and what streaming costs the ascent.

    python benchmarks/stream.py [--rounds 3] [--seconds 8] [--rate 60] [--slower 2]

The explorer and jupyter_rfb 1.x alternate in one JupyterLab and one Chromium; both draw continuously, from the same
precomputed pictures of 512 px. Before every repaint a probe in the page reads which picture is about to be painted (its
number is encoded in its first row), and whether it shows the effect of a moved control. Needs the extras `test` and
`bench`, and a Chromium.

Then a real ascent (SqueezeNet with its ImageNet weights where PEEK_SHARED or ../shared has it, else the bundled
network): its steps per second while it is visible, divided by those while it is hidden, alternating; once with the
kernel pinned to one core and server and browser to the other, once unpinned. Then the time until a picture appears, the
time from a stroke of the brush over a photo to what it changes (the kernel on one core), and last the memory over
10,000 frames.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import BrowserContext, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.stream_source import BLOCK, NUMBER_BITS, VALUE_BITS
from tests import networks
from tests.browser.conftest import Server, chromium_path
from tests.browser.lab import Notebook
from tests.browser.memory import page_memory

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def real_weights() -> bool:
    """Return whether SqueezeNet's ImageNet weights are there."""
    try:
        networks.shared()
    except networks.pytest.skip.Exception:
        return False
    return True


REAL = real_weights()

OURS, THEIRS = "peek_widget", "jupyter_rfb"
SELECTOR = {OURS: "canvas.peek-canvas", THEIRS: ".renderview-wrapper img"}

# Reads in every frame what is about to be painted. A canvas is read in a resize observer, which runs after all
# animation callbacks. An <img> is read before them: after a new source it shows the old picture until the new one is
# loaded, which no callback waits for. Reading 32 pixels costs next to nothing.
PROBE = """([place, block, numberBits, valueBits]) => {
  const bits = numberBits + valueBits;
  const small = new OffscreenCanvas(bits, 1);
  const context = small.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  const probe = { frames: [], turned: [], number: -1, value: -1 };
  let now = 0;
  const look = (kind) => {
    const picture = document.querySelector(place);
    if (picture?.localName !== kind || (picture.naturalWidth ?? picture.width) <= bits) return;
    context.drawImage(picture, 0, 0, bits * block, block, 0, 0, bits, 1);
    const data = context.getImageData(0, 0, bits, 1).data;
    const read = (first, count) => {
      let value = 0;
      for (let place = 0; place < count; place++) value += data[4 * (first + place)] > 127 ? 2 ** place : 0;
      return value;
    };
    const number = read(0, numberBits), value = read(numberBits, valueBits);
    if (number !== probe.number) { probe.number = number; probe.frames.push(now); }
    if (value !== probe.value) { probe.value = value; probe.turned.push(now); }
  };
  const beat = document.createElement('div');
  beat.style.cssText = 'position: fixed; contain: strict; visibility: hidden; width: 1px; height: 1px';
  document.body.append(beat);
  new ResizeObserver(() => look('canvas')).observe(beat);
  const frame = () => {
    now = performance.now();
    look('img');
    beat.style.width = beat.style.width === '1px' ? '2px' : '1px';
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  window.peekProbe = probe;
}"""

# One move of a control, as the browser would report it; returns its time.
MOVES = {
    OURS: """position => {
      const input = document.querySelector('.peek-knobs input[type=range]');
      const at = performance.now();
      input.value = String(20 + position);
      input.dispatchEvent(new Event('input', { bubbles: true }));
      return at;
    }""",
    THEIRS: """position => {
      const view = document.querySelector('.renderview-wrapper img');
      const box = view.getBoundingClientRect();
      const at = performance.now();
      view.dispatchEvent(new PointerEvent('pointermove', {
        bubbles: true, pointerId: 1, pointerType: 'mouse',
        clientX: box.left + 20 + position, clientY: box.top + 100,
      }));
      return at;
    }""",
}

# The same moves at the rate of a dragging mouse; resolves to the time of the last one.
DRAG = """seconds => new Promise(done => {
  const move = MOVE;
  const until = performance.now() + 1000 * seconds;
  let moves = 0;
  const again = setInterval(() => {
    const at = move(3 * (moves++ % 40));
    if (at < until) return;
    clearInterval(again);
    done(at);
  }, 16);
})"""

CELLS = {
    OURS: "from stream_source import *\nsource = Source()\nshown = Explorer(source, {rate})\nshown",
    THEIRS: "from stream_source import *\nsource = Source()\nshown = Buffer(source)\nshown.request_draw()\nshown",
}


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


@contextmanager
def notebook(server: Server, context: BrowserContext, name: str, cells: list[str]) -> Iterator[Notebook]:
    page = Notebook(server, context, f"{name}.ipynb", cells=cells)
    try:
        yield page
    finally:
        page.page.close()
        server.end_kernels()


def measure(server: Server, context: BrowserContext, side: str, round_: int, options: Any) -> dict[str, Any]:
    """Measure frames per second on the screen, and the lag of a control after one move and after a drag."""
    moves = random.Random(round_)
    with notebook(server, context, f"{side}-{round_}", [CELLS[side].format(rate=options.rate)]) as lab:
        lab.run_all(wait=False)
        lab.page.wait_for_selector(SELECTOR[side], timeout=60_000)
        if options.slower != 1:
            devtools = context.new_cdp_session(lab.page)
            devtools.send("Emulation.setCPUThrottlingRate", {"rate": options.slower})
        lab.page.evaluate(PROBE, [SELECTOR[side], BLOCK, NUMBER_BITS, VALUE_BITS])
        lab.page.wait_for_function("() => window.peekProbe.frames.length > 30", timeout=60_000)
        first = lab.page.evaluate("() => performance.now()")
        lab.page.wait_for_timeout(1000 * options.seconds)
        frames, last = lab.page.evaluate("() => [window.peekProbe.frames, performance.now()]")
        seen = [at for at in frames if first <= at <= last]
        lags = []
        for turn in range(options.moves):
            lab.page.evaluate("() => { window.peekProbe.turned = [] }")
            at = lab.page.evaluate(MOVES[side], 3 * (turn % 40))
            lab.page.wait_for_function("() => window.peekProbe.turned.length > 0", timeout=20_000)
            lags.append(lab.page.evaluate("() => window.peekProbe.turned[0]") - at)
            lab.page.wait_for_timeout(250 + 200 * moves.random())
        drags = []
        for _ in range(options.drags):
            at = lab.page.evaluate(DRAG.replace("MOVE", MOVES[side]), 1 + moves.random())
            lab.page.wait_for_timeout(1500)
            drags.append(lab.page.evaluate("() => window.peekProbe.turned.at(-1)") - at)
        sent = lab.ask("shown.bytes_sent[-200:]")
    return {"rate": len(seen) / ((last - first) / 1000), "lags": lags, "drags": drags, "bytes": statistics.median(sent)}


def against_rfb(server: Server, context: BrowserContext, options: Any) -> None:
    found: dict[str, list[dict[str, Any]]] = {OURS: [], THEIRS: []}
    for round_ in range(options.rounds):
        for side in (OURS, THEIRS) if round_ % 2 == 0 else (THEIRS, OURS):
            found[side].append(measure(server, context, side, round_, options))
            print(f"  round {round_ + 1}, {side}: {found[side][-1]['rate']:.1f} frames/s", flush=True)
    print(
        f"\n512 px, {options.rounds} alternating rounds, {options.moves} moves each, target {options.rate:g} frames/s"
        + (f", the page slowed down {options.slower:g} times" if options.slower != 1 else "")
    )
    print(f"{'':14}{'frames/s':>10}{'lag p50':>10}{'lag p95':>10}{'drag p50':>10}{'kB/frame':>12}")
    lines = {}
    for side, rounds in found.items():
        lags, drags = ([lag for each in rounds for lag in each[what]] for what in ("lags", "drags"))
        frames = statistics.median(each["rate"] for each in rounds)
        waited = [percentile(lags, 0.5), percentile(lags, 0.95), percentile(drags, 0.5)]
        lines[side] = [frames, *waited]
        size = statistics.median(each["bytes"] for each in rounds) / 1000
        print(f"{side:14}{frames:10.1f}" + "".join(f"{lag:7.0f} ms" for lag in waited) + f"{size:12.1f}")
    print(f"{'ratio':14}" + "".join(f"{one / other:10.2f}" for one, other in zip(*lines.values(), strict=True)))
    print("required          >= 2.5   <= 0.60   <= 0.60")


MODEL = f"""import os, threading, torch
from peek_widget import Recipe, UnitExplorer
from tests.networks import squeezenet
torch.set_num_threads(1)
model = squeezenet() if {REAL} else None
"""


def pin(pids: list[int], cores: set[int]) -> None:
    for pid in pids:
        for thread in psutil.Process(pid).threads():
            try:
                os.sched_setaffinity(thread.id, cores)
            except ProcessLookupError:
                continue


def watchers(kernel: int) -> list[int]:
    """Return the process ids of server, browser and its driver, which show what the kernel draws."""
    return [child.pid for child in psutil.Process().children(recursive=True) if child.pid != kernel]


def watched_share(server: Server, context: BrowserContext, options: Any) -> None:
    """Compare the steps per second of a run while it is visible with those while it is hidden."""
    layers = ("features.3", "features.12") if REAL else ("conv2", "conv5")
    print("\nsteps per second while visible, divided by those while hidden (JupyterLab, one thread)")
    for layer in layers:
        cell = MODEL + (
            f"explorer = UnitExplorer(model, layer={layer!r}, threads=1,\n"
            "                        recipe=Recipe.preset('peek').replace(steps=100_000))\n"
            # a waiting thread keeps it running, visible or not
            "threading.Thread(target=explorer.wait, daemon=True).start()\n"
            "explorer"
        )
        with notebook(server, context, f"watched-{layer.replace('.', '-')}", [cell]) as lab:
            lab.run_all()
            lab.page.wait_for_function(
                "() => Number(document.querySelector('.peek-root')?.dataset.peekStep) > 20", timeout=120_000
            )
            for pinned in (True, False):
                cores = sorted(os.sched_getaffinity(0))
                if pinned and len(cores) < 2:
                    print("  pinned: this machine has one core; left out")
                    continue
                kernel = lab.ask("os.getpid()")
                pin([kernel], {cores[0]} if pinned else set(cores))
                pin(watchers(kernel), {cores[1]} if pinned else set(cores))
                shares, rates = [], []
                for _ in range(options.rounds):
                    rate = {}
                    for seen in (True, False):
                        lab.page.evaluate(
                            "on => { document.querySelector('.peek-root').style.display = on ? '' : 'none' }", seen
                        )
                        lab.page.wait_for_timeout(2000)
                        rate[seen] = steps_a_second(lab, options.seconds)
                    shares.append(rate[True] / rate[False])
                    rates.append(rate[True])
                print(
                    f"  {layer:12} {'pinned  ' if pinned else 'unpinned'} {statistics.median(shares):5.2f} "
                    f"({min(shares):.2f} to {max(shares):.2f}), {statistics.median(rates):.0f} steps/s while visible",
                    flush=True,
                )
    print("required          >= 0.90 pinned")


def steps_a_second(lab: Notebook, seconds: float) -> float:
    read = "(lambda a: [a.index, __import__('time').perf_counter()])(explorer._parts.run._worker.run.ascent)"
    one = lab.ask(read)
    lab.page.wait_for_timeout(1000 * seconds)
    other = lab.ask(read)
    return (other[0] - one[0]) / (other[1] - one[1])


def waits(server: Server, context: BrowserContext, options: Any) -> None:
    """Measure the time from running the cell to the first picture, and from choosing a unit to its finished one."""
    layer = "features.12" if REAL else "conv5"
    print(f"\ntime until a picture appears ({'SqueezeNet' if REAL else 'the bundled network'}, {layer}, one thread)")
    for recipe in ("peek-fast", "peek"):
        first, whole, named = [], [], []
        for round_ in range(options.rounds):
            cells = [MODEL, f"explorer = UnitExplorer(model, layer={layer!r}, threads=1, recipe={recipe!r})\nexplorer"]
            with notebook(server, context, f"wait-{recipe}-{round_}", cells) as lab:
                lab.run_cell(0)
                lab.page.evaluate("() => { window.peekBegan = performance.now() }")
                lab.run_cell(1, wait=False)
                first.append(until(lab, "Number(d.peekDrawn) > 0 && Number(d.peekStep) > 0"))
                until(lab, "d.peekState === 'done'")
                lab.page.evaluate(
                    """() => {
                      const input = document.querySelector('input[type=range][aria-label="Unit"]');
                      window.peekBegan = performance.now();
                      input.value = String(7);
                      input.dispatchEvent(new Event('input', { bubbles: true }));
                    }"""
                )
                run = int(lab.page.evaluate("() => document.querySelector('.peek-root').dataset.peekRun"))
                whole.append(until(lab, f"Number(d.peekRun) > {run} && Number(d.peekStep) > 0"))
                named.append(until(lab, f"Number(d.peekRun) > {run} && d.peekState === 'done'"))
        print(
            f"  {recipe:10} display() to the first picture {statistics.median(first):.2f} s; another unit to its first "
            f"picture {statistics.median(whole):.2f} s, to the finished one {statistics.median(named):.2f} s",
            flush=True,
        )


# A stroke of the brush at a place; resolves to the milliseconds until the page has painted it, and until it has painted
# the predictions and the units that follow. A repaint is over when the next task after its animation frame runs.
STROKE = """([y, x]) => new Promise(done => {
  const panel = document.querySelector('.peek-photo');
  const canvas = panel.querySelector('.peek-photo-canvas');
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const at = { bubbles: true, pointerId: 1, buttons: 1, clientX: left + x * width, clientY: top + y * height };
  const painted = then => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = then;
    port2.postMessage(0);
  });
  const began = performance.now();
  const since = () => performance.now() - began;
  const missing = new Set(['.peek-photo-classes', '.peek-photo-units']);
  let shown = 0;
  const seen = new MutationObserver(changes => {
    for (const name of missing)
      if (changes.some(({ target }) => target.nodeType === 1 && target.matches(name))) missing.delete(name);
    if (missing.size) return;
    seen.disconnect();
    painted(() => done([shown, since()]));
  });
  canvas.dispatchEvent(new PointerEvent('pointerdown', at));
  canvas.dispatchEvent(new PointerEvent('pointerup', { ...at, buttons: 0 }));
  painted(() => { shown = since() });
  seen.observe(panel, { childList: true, subtree: true });
})"""

# The kernel at rest: what was asked of it is answered.
IDLE = """ending => document.querySelector('.peek-root')?.dataset.peekPhoto?.endsWith(ending)"""


def spent(pids: list[int]) -> float:
    """Return the seconds of processor time that these processes have taken."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids if psutil.pid_exists(pid))


def strokes(server: Server, context: BrowserContext, options: Any) -> None:
    """Measure the time from a stroke of the brush over a photo until page, predictions and units show it.

    The processor time of kernel, server and browser in between says what it takes on a machine that does nothing else:
    one waits for the other.
    """
    layer = "features.12" if REAL else "conv5"
    network = "SqueezeNet" if REAL else "the bundled network"
    print(f"\na stroke over a photo ({network}, {layer}, kernel on one core, one thread)")
    cell = MODEL + (
        "import numpy as np\n"
        f"explorer = UnitExplorer(model, layer={layer!r}, threads=1,\n"
        "                        recipe=Recipe.preset('peek').replace(steps=100_000))\n"
        "explorer.look_at_photo(np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8))\n"
        "explorer"
    )
    moves = random.Random(0)
    with notebook(server, context, "strokes", [cell]) as lab:
        lab.run_all()
        lab.page.wait_for_function("() => document.querySelector('.peek-root')?.dataset.peekPhoto", timeout=120_000)
        kernel = lab.ask("os.getpid()")
        cores = sorted(os.sched_getaffinity(0))
        pin([kernel], {cores[0]})
        if len(cores) > 1:
            pin(watchers(kernel), {cores[1]})
        lab.root.get_by_role("button", name="Brush").click()
        for name, act in (
            ("the run draws", "explorer.play()"),
            ("the run is paused", "explorer.pause()"),
            ("paused, all layers", "None"),
        ):
            lab.ask(f"{act} and 0")
            if "all layers" in name:
                lab.root.get_by_role("button", name="All layers").click()
                lab.page.wait_for_function(
                    "() => Number(document.querySelector('.peek-root').dataset.peekPhotoLayers) > 1"
                )
            lab.page.wait_for_timeout(3000)
            found, taken = [], [0.0, 0.0]
            for _ in range(options.moves):
                lab.page.wait_for_timeout(700 + 300 * moves.random())
                parts = [kernel], watchers(kernel)
                before = [spent(part) for part in parts]
                found.append(lab.page.evaluate(STROKE, [moves.random(), moves.random()]))
                taken = [whole + spent(part) - was for whole, part, was in zip(taken, parts, before, strict=True)]
                lab.page.wait_for_timeout(500)
                lab.root.get_by_role("button", name="As it was").click()
                lab.page.wait_for_function(IDLE, arg="/whole", timeout=60_000)
            shown, followed = zip(*found, strict=True)
            numbers = [percentile(part, share) for part in (shown, followed) for share in (0.5, 0.95)]
            what = "painted after {:.0f} ms (p95 {:.0f}), predictions and units after {:.0f} ms (p95 {:.0f})"
            each = "; processor time: kernel {:.0f} ms, server and browser {:.0f} ms"
            each = each.format(*(1000 * part / options.moves for part in taken))
            print(f"  {name:20} {what.format(*numbers)}{each}", flush=True)
    print("required: painted <= 100, predictions and units <= 300")


def page_process() -> int:
    """Return the resident bytes of the browser's largest renderer process, which is that of the only page."""
    children = psutil.Process().children(recursive=True)
    return max(child.memory_info().rss for child in children if "--type=renderer" in child.cmdline())


def endurance(server: Server, context: BrowserContext, options: Any) -> None:
    """Measure the memory of the kernel and of the page over ten thousand frames."""
    print(f"\nmemory over {options.frames:,} frames of 512 px (kernel: resident; page: script heap after a collection)")
    with notebook(server, context, "endurance", [CELLS[OURS].format(rate=options.rate)]) as lab:
        lab.run_all(wait=False)
        drawn = "() => Number(document.querySelector('.peek-root')?.dataset.peekDrawn ?? 0)"
        for part in range(6):
            wanted = max(200, part * options.frames // 5)
            lab.page.wait_for_function(f"wanted => ({drawn})() >= wanted", arg=wanted, timeout=600_000)
            resident = lab.ask("__import__('psutil').Process().memory_info().rss") / 1e6
            heap, nodes, listeners = page_memory(lab.page)
            print(
                f"  {lab.page.evaluate(drawn):7,} frames: kernel {resident:5.0f} MB, page {heap:5.1f} MB "
                f"(its process {page_process() / 1e6:,.0f} MB), {nodes:,.0f} nodes, {listeners:,.0f} listeners",
                flush=True,
            )


def until(lab: Notebook, condition: str) -> float:
    """Return the seconds from `peekBegan` until the condition on the widget's debug values holds."""
    return lab.page.evaluate(
        """condition => new Promise(done => {
          const holds = new Function('d', `return ${condition}`);
          const look = () => {
            const root = document.querySelector('.peek-root');
            if (root && holds(root.dataset)) done((performance.now() - window.peekBegan) / 1000);
            else requestAnimationFrame(look);
          };
          look();
        })""",
        condition,
    )


PARTS: dict[str, Callable[[Server, BrowserContext, Any], None]] = {
    "rfb": against_rfb,
    "watched": watched_share,
    "waits": waits,
    "strokes": strokes,
    "endurance": endurance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--drags", type=int, default=6)
    parser.add_argument("--rate", type=float, default=60.0, help="target rate in frames per second (the widget's: 30)")
    parser.add_argument("--slower", type=float, default=1.0, help="factor by which the page's processor is slowed down")
    parser.add_argument("--frames", type=int, default=10_000, help="frames of the last part")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"parts to run: {', '.join(PARTS)}")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    if REAL:
        # the server runs in a folder of its own
        os.environ["PEEK_SHARED"] = str(networks.shared().resolve())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        path = chromium_path()
        browser = playwright.chromium.launch(headless=True, args=FLAGS, **({"executable_path": path} if path else {}))
        try:
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            for part in options.parts.split(","):
                PARTS[part](server, context, options)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
