"""Makes the pictures in docs/img with the project's own code.

    python docs/make_images.py sheets      24 random classes and 24 random units of SqueezeNet
    python docs/make_images.py drawing     an animation of units drawing themselves
    python docs/make_images.py explorer    screenshots of the widget in JupyterLab: light, dark, wide, narrow
    python docs/make_images.py evidence    the same with real images beside the picture (here the generator's)

They need the real network, found by PEEK_SHARED or at ../shared; the last one Chromium too.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from peek_widget import Logit, Neuron, ascend, render
from peek_widget.ascent import Objective, to_pil
from peek_widget.network import read

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "img"
sys.path.insert(0, str(ROOT))

from tests.networks import squeezenet

SEED = 2016
COUNT = 24


def contact(pictures: list[torch.Tensor], columns: int, cell: int, gap: int = 8) -> Image.Image:
    """Pictures in rows, numbered by their order, without labels."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (cell + gap) - gap, rows * (cell + gap) - gap), "white")
    for number, picture in enumerate(pictures):
        tile = to_pil(picture).convert("RGB").resize((cell, cell), Image.Resampling.BICUBIC)
        sheet.paste(tile, ((number % columns) * (cell + gap), (number // columns) * (cell + gap)))
    return sheet


def draw(model: torch.nn.Module, objectives: list[Objective]) -> list[torch.Tensor]:
    """One picture for each objective, a few at a time."""
    network = read(model)
    pictures: list[torch.Tensor] = []
    for start in range(0, len(objectives), 6):
        part = objectives[start : start + 6]
        pictures += list(render(network, part, "peek").images)
        print(f"{start + len(part)} of {len(objectives)}", flush=True)
    return pictures


def sheets() -> None:
    model = squeezenet()
    rng = random.Random(SEED)
    classes = rng.sample(range(1000), COUNT)
    # Not the last convolution either: its units are the classes.
    hidden = [layer for layer in read(model).layers if layer.shown and layer.name.startswith("features")]
    units = [(layer.name, rng.randrange(layer.channels)) for layer in rng.choices(hidden, k=COUNT)]
    units.sort(key=lambda unit: [layer.name for layer in hidden].index(unit[0]))
    print("classes, row by row:", classes)
    print("units, row by row:", units)
    contact(draw(model, [Logit(k) for k in classes]), 6, 200).save(OUT / "squeezenet-classes.webp", quality=88)
    contact(draw(model, [Neuron(*u) for u in units]), 6, 200).save(OUT / "squeezenet-units.webp", quality=88)


def drawing() -> None:
    model = squeezenet()
    frames = []
    for step in ascend(model, [Logit(130), Neuron("features.10", 77), Logit(207)], "peek"):
        if step.index % 3 == 0 or step.index == 149:
            frames.append(contact(list(step.images), 3, 220))
    times = [60] * (len(frames) - 1) + [2500]
    frames[0].save(
        OUT / "drawing.webp", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=72, method=4
    )


QUICK = "from peek_widget import UnitExplorer\n\nexplorer = UnitExplorer()\nexplorer"


REAL = """import sys; sys.path.insert(0, ROOT)
from tests.networks import squeezenet
from torchvision.models import SqueezeNet1_0_Weights
from peek_widget import UnitExplorer
names = SqueezeNet1_0_Weights.DEFAULT.meta["categories"]
explorer = UnitExplorer(squeezenet(), labels=names, layer="", unit=130)
explorer""".replace("ROOT", repr(str(ROOT)))


# Photographs are not ours to show: the bundled network's own kind of images, drawn anew.
BESIDE = """from peek_widget import UnitExplorer
from peek_widget.zoo import Images

explorer = UnitExplorer(layer="conv5", unit=33, dataset=Images(700, seed=7))
explorer"""


def explorer(source: str = QUICK, name: str = "explorer", layer: str | None = None, unit: int = 0) -> None:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import Server, chromium_path
    from tests.browser.lab import Notebook

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=flags)
        try:
            for theme in ("light", "dark"):
                for width in (1400, 700):
                    context = browser.new_context(
                        viewport={"width": width + 120, "height": 1500}, device_scale_factor=1
                    )
                    book = Notebook(server, context, f"{name}-{theme}-{width}.ipynb", [source])
                    book.page.evaluate(
                        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
                        f"JupyterLab {theme.title()}",
                    )
                    book.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
                    book.run_all()
                    if layer is not None:
                        book.ask(f"explorer.set_trait('layer', {layer!r}) or explorer.set_trait('unit', {unit})")
                    book.until("d.state === 'done' && d.drawn > 0", timeout=240)
                    book.until_kernel("explorer.evidence.get('state', 'done') == 'done'", timeout=240)
                    book.page.wait_for_timeout(600)
                    book.root.evaluate(f"root => root.parentElement.style.width = '{width - 80}px'")
                    book.page.wait_for_timeout(400)
                    ending = ("" if theme == "light" else "-dark") + ("" if width == 1400 else "-narrow")
                    shot = Image.open(io.BytesIO(book.root.screenshot()))
                    shot.save(OUT / f"{name}{ending}.webp", quality=90, method=6)
                    print(f"{name}{ending}.webp", flush=True)
                    context.close()
                    server.end_kernels()
        finally:
            browser.close()
            server.stop()


def real() -> None:
    explorer(BESIDE, "explorer-evidence")


def screenshots() -> None:
    explorer(layer="", unit=18)
    explorer(REAL, "explorer-squeezenet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sheets", "drawing", "explorer", "evidence"])
    OUT.mkdir(parents=True, exist_ok=True)
    {"sheets": sheets, "drawing": drawing, "explorer": screenshots, "evidence": real}[parser.parse_args().what]()
