"""Smoothness of scrolling a sheet's HTML page: frame times in a real Chromium, with 2,048 units.

    python benchmarks/sheet_page.py [--units 2048] [--seconds 5]

The page repeats twelve pictures of the bundled network, each with bytes of its own, and is opened from disk. It is
scrolled from end to end and back, by 60 px (slow) and 480 px (fast) per frame; `still` is the same loop without
scrolling, the baseline of the machine. The time of a frame is that between two calls of requestAnimationFrame; at 60 Hz
it can't be below 16.7 ms.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from peek_widget import Recipe, contact_sheet
from peek_widget.sheet import Tags
from peek_widget.sheet.page import to_html
from peek_widget.zoo import bundled

SCROLL = """async ({ pixels, seconds }) => {
  const page = document.scrollingElement, frames = [];
  page.scrollTop = 0;
  let last = 0, way = 1;
  await new Promise((done) => {
    const began = performance.now();
    const step = (now) => {
      if (last) frames.push(now - last);
      last = now;
      if (now - began > seconds * 1000) return done();
      page.scrollTop += way * pixels;
      if (page.scrollTop <= 0) way = 1;
      if (page.scrollTop >= page.scrollHeight - innerHeight - 1) way = -1;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  return { frames, decoded: document.querySelectorAll(".tile img[src]").length };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    torch.set_num_threads(1)
    recipe = Recipe.preset("peek-fast").replace(steps=20)
    drawn = contact_sheet(bundled(), "conv3", recipe, units=range(12), size=160, threads=1).draw()
    units = tuple(range(options.units))
    sheet = SimpleNamespace(
        layer="conv3",
        units=units,
        recipe=recipe,
        seed=0,
        size=160,
        model_name="SmallNet",
        done={unit: replace(drawn[unit % 12], unit=unit) for unit in units},
        tags=Tags({"conv3": {unit: ["stripes"] if unit % 3 == 0 else [] for unit in units}}),
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        began = time.perf_counter()
        file = to_html(sheet, Path(folder) / "sheet.html")
        wrote = time.perf_counter() - began
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_function("() => [...document.querySelectorAll('.tile img[src]')].some(each => each.complete)")
        opened = time.perf_counter() - began
        print(
            f"{options.units} units, {file.stat().st_size / 1e6:.1f} MB, written in {wrote:.1f} s, opened in "
            f"{opened:.1f} s, Chromium {browser.version}"
        )
        print(f"{'scroll':6} {'frames':>7} {'p50':>8} {'p95':>8} {'longest':>9} {'over 33 ms':>11} {'decoded':>8}")
        for name, pixels in (("still", 0), ("slow", 60), ("fast", 480)):
            found = page.evaluate(SCROLL, {"pixels": pixels, "seconds": options.seconds})
            times = np.array(found["frames"])
            print(
                f"{name:6} {len(times):7d} {np.median(times):5.1f} ms {np.percentile(times, 95):5.1f} ms "
                f"{times.max():6.1f} ms {np.mean(times > 33.4):11.1%} {found['decoded']:8d}"
            )
        browser.close()


if __name__ == "__main__":
    main()
