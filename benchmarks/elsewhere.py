"""Measure what is seen of an explorer whose kernel is far away: pictures on the screen, and a moved control's answer.

    python benchmarks/elsewhere.py [--rounds 2] [--seconds 8] [--side 256] [--added 0,50,150,300]

Between a real JupyterLab and a real Chromium a proxy on the loopback (tests/browser/distance.py) adds so many
milliseconds to a round trip, half on each way; distances take turns. The kernel sends precomputed pictures, as in
benchmarks/stream.py, so that what counts is the line and not the drawing. `lag` is the time from one move of a control
to the repaint that shows its effect, while pictures stream; `drag` that of the last of a second of moves. The proxy
limits no bandwidth and shows nothing of what TCP itself does over a long line. Needs the extras `test` and `bench`,
and a Chromium.

    python benchmarks/elsewhere.py --memory

What an explorer's tensors take of a device: the weights, and the most that is held within a step, counted on a CPU
from what torch allocates. A GPU takes more, of each process: for its context, and in the allocator's own blocks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from playwright.sync_api import sync_playwright
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.stream import FLAGS, OURS, measure, percentile
from tests.browser.conftest import Server, chromium_path
from tests.browser.distance import Far


class Held(TorchDispatchMode):
    """Counts the bytes of the storages that were made within it and are still there.

    Attributes:
        now, most: bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, torch.Tensor) and (storage := one.untyped_storage())._cdata not in self._known:
                key, size = storage._cdata, storage.nbytes()
                self._known.add(key)
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, key, size)
        return found

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def memory() -> None:
    from torchvision.models import resnet50

    from peek_widget import Neuron, zoo
    from peek_widget.ascent import Ascent
    from peek_widget.network import read
    from tests.networks import squeezenet

    models = {
        "bundled network": (zoo.bundled(), "conv5"),
        "SqueezeNet 1.0": (squeezenet(), "features.12"),
        "ResNet-50": (resnet50(), "layer4.2"),
    }
    torch.set_num_threads(1)
    print(f"{'':18}{'weights':>10}{'in a step':>12}   (MB; peek, one picture)")
    for name, (model, layer) in models.items():
        network = read(model)
        weights = sum(one.nbytes for one in (*model.parameters(), *model.buffers()))
        ascent = Ascent(network, Neuron(layer, 1), "peek")
        ascent.step()
        with Held() as held:
            for _ in range(3):
                ascent.step()
        print(f"{name:18}{weights / 1e6:10.1f}{held.most / 1e6:12.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--moves", type=int, default=12)
    parser.add_argument("--drags", type=int, default=3)
    parser.add_argument("--rate", type=float, default=30.0, help="target rate in frames per second")
    parser.add_argument("--side", type=int, default=256, help="of the pictures, in pixels; at least 256")
    parser.add_argument("--added", default="0,50,150,300", help="milliseconds added to a round trip")
    parser.add_argument("--memory", action="store_true", help="only what an explorer takes of a device")
    options = parser.parse_args()
    if options.memory:
        memory()
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    os.environ["PEEK_STREAM_SIDE"] = str(options.side)
    found: dict[int, list[dict[str, Any]]] = {int(one): [] for one in options.added.split(",")}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        path = chromium_path()
        browser = playwright.chromium.launch(headless=True, args=FLAGS, **({"executable_path": path} if path else {}))
        try:
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            for round_ in range(options.rounds):
                for added, rounds in found.items():
                    far = Far(server, added / 1000)
                    how = SimpleNamespace(**vars(options), slower=1)
                    rounds.append(measure(far, context, OURS, 1000 * round_ + added, how))
                    far.proxy.stop()
                    lag = statistics.median(rounds[-1]["lags"])
                    print(
                        f"  round {round_ + 1}, {added} ms added: {rounds[-1]['rate']:.1f} frames/s, lag {lag:.0f} ms, "
                        f"load {os.getloadavg()[0]:.1f}",
                        flush=True,
                    )
        finally:
            browser.close()
            server.stop()
    print(f"\n{'added':>8}{'frames/s':>10}{'lag p50':>10}{'beyond the way':>16}{'p95':>8}{'drag p50':>10}")
    for added, rounds in found.items():
        lags, drags = (sorted(one for each in rounds for one in each[what]) for what in ("lags", "drags"))
        middle = percentile(lags, 0.5)
        rate = statistics.median(each["rate"] for each in rounds)
        print(
            f"{added:5} ms{rate:10.1f}{middle:7.0f} ms{middle - added:13.0f} ms{percentile(lags, 0.95):5.0f} ms"
            f"{percentile(drags, 0.5):7.0f} ms"
        )
    print("required: 20 frames/s at each; lag within what was added plus 150 ms")


if __name__ == "__main__":
    main()
