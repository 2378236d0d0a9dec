"""Smoothness of scrolling the contact sheet in the widget: frame times in a real Chromium, with 2,048 units.

    python benchmarks/sheet_panel.py [--units 2048] [--seconds 6]

The built front end runs in a page of its own without a kernel: the page answers the panel as a kernel would, with a
picture for each unit (128 px JPEGs of smooth noise, a few kB each, as the panel gets them) and two tags. The sheet is
then scrolled from end to end and back: `slow` by half a row per frame, `fast` by four rows, so that every frame shows
new tiles. The time of a frame is that between two calls of requestAnimationFrame; at 60 Hz it can't be below 16.7 ms.
`still` is the same loop without scrolling, the baseline of the machine. Script and layout (with style) are Chromium's
own counts, per frame.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import io
import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "peek_widget" / "static"

PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="widget.css">
<body style="margin:20px"><div id="host" style="width:1200px"></div><script type="module">
import make from "./widget.js";
const UNITS = __UNITS__;
const pictures = __PICTURES__.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
const file = async (name) => new DataView(await (await fetch(name)).arrayBuffer());
const part = [await file("lazy.js"), await file("lazy.css")];
const words = {};
for (let unit = 0; unit < UNITS; unit += 3) words[unit] = unit % 2 ? ["dog"] : ["dog", "fur"];
const state = {
  layer: "conv5", unit: 0, recipe: "peek", seed: 0, size: null, playing: true, blur: null, jitter: null, decay: null,
  total_variation: null, step_size: null, objective: "neuron", at: null, negative: false, device: "cpu",
  _layer_list: [{ name: "conv5", kind: "Conv2d", channels: UNITS, size: [14, 14], receptive_field: [196, 196],
    stride: [16, 16], rectified: false, objectives: ["neuron"], named: false }],
  _recipe_list: [], _knobs: [], class_names: [], _about: {}, status: { state: "done" }, evidence_status: {}, gauge: {},
  frame: new DataView(new ArrayBuffer(0)), _history: new DataView(new ArrayBuffer(0)), activation: 0, step: 0,
  tags: { conv5: words }, tag_keys: { d: "dog" },
};
const handlers = {};
const tell = (content, buffers = []) => (handlers["msg:custom"] ?? []).forEach((each) => each(content, buffers));
let n = 0;
let sent = 0;
const more = () => {
  if (sent >= UNITS) return;
  const units = [], buffers = [];
  for (let i = 0; i < 16 && sent < UNITS; i += 1, sent += 1) {
    units.push([sent, sent / 7, false, ""]);
    buffers.push(new DataView(pictures[sent % pictures.length].slice().buffer));
  }
  tell({ kind: "thumbs", sheet: 1, n: (n += 1), units }, buffers);
  setTimeout(more, 0);
};
const model = {
  get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes() {},
  on: (event, handler) => (handlers[event] ??= []).push(handler), off() {},
  send(message) {
    if (message.kind === "load_module") setTimeout(() => tell({ kind: "module" }, part));
    if (message.kind === "sheet" && message.on) {
      tell({ kind: "sheet", sheet: 1, n: (n += 1), layer: "conv5", total: UNITS, open: true, state: "done",
        text: "All units drawn.", problem: "" });
      more();
    }
  },
};
const widget = make();
widget.initialize({ model });
widget.render({ model, el: document.getElementById("host") });
</script>"""

SCROLL = """async ({ pixels, seconds }) => {
  const grid = document.querySelector(".peek-sheet-grid");
  grid.scrollTop = 0;
  const frames = [];
  let last = 0, way = 1;
  await new Promise((done) => {
    const began = performance.now();
    const step = (now) => {
      if (last) frames.push(now - last);
      last = now;
      if (now - began > seconds * 1000) return done();
      grid.scrollTop += way * pixels;
      if (grid.scrollTop <= 0) way = 1;
      if (grid.scrollTop >= grid.scrollHeight - grid.clientHeight - 1) way = -1;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  return { frames, cells: grid.querySelectorAll("[role=gridcell]").length };
}"""


def pictures(count: int = 64) -> list[str]:
    """Return JPEGs like those that the panel gets, in base64."""
    made, random = [], np.random.default_rng(0)
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).resize((128, 128))
        fine = random.normal(0, 12, (128, 128, 3))
        into = io.BytesIO()
        Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8)).save(into, "JPEG", quality=82)
        made.append(base64.b64encode(into.getvalue()).decode())
    return made


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in STATIC.glob("*.*s*"):
            shutil.copy(each, folder)
        jpegs = pictures()
        page_text = PAGE.replace("__UNITS__", str(options.units)).replace("__PICTURES__", json.dumps(jpegs))
        (folder / "index.html").write_text(page_text, encoding="utf-8")
        handler = functools.partial(Quiet, directory=name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 1100})
            page.on("pageerror", lambda error: print(error, file=sys.stderr))
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            page.get_by_role("tab", name="Whole layer").click()
            page.wait_for_function(
                f"() => document.querySelector('.peek-sheet-grid')?.dataset.drawn === '{options.units}'"
            )
            kilobytes = sum(len(each) * 3 / 4 for each in jpegs) / len(jpegs) / 1000
            print(f"{options.units} units, {kilobytes:.1f} kB per picture, Chromium {browser.version}")
            print(
                f"{'scroll':6} {'frames':>7} {'p50':>8} {'p95':>8} {'longest':>9} {'over 33 ms':>11} {'script':>9} "
                f"{'layout':>9} {'tiles':>6}"
            )
            metrics = page.context.new_cdp_session(page)
            metrics.send("Performance.enable")

            def counted() -> dict[str, float]:
                return {row["name"]: row["value"] for row in metrics.send("Performance.getMetrics")["metrics"]}

            for name_of, pixels in (("still", 0), ("slow", 60), ("fast", 480)):
                before = counted()
                found = page.evaluate(SCROLL, {"pixels": pixels, "seconds": options.seconds})
                spent = {key: 1000 * (value - before.get(key, 0.0)) for key, value in counted().items()}
                times = np.array(found["frames"])
                layout = spent["LayoutDuration"] + spent["RecalcStyleDuration"]
                print(
                    f"{name_of:6} {len(times):7d} {np.median(times):5.1f} ms {np.percentile(times, 95):5.1f} ms "
                    f"{times.max():6.1f} ms {np.mean(times > 33.4):11.1%} "
                    f"{spent['ScriptDuration'] / len(times):6.2f} ms {layout / len(times):6.2f} ms {found['cells']:6d}"
                )
            browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
