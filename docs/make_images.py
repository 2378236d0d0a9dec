"""Make the pictures and figures of the documentation in docs/img, with the project's own code.

    python docs/make_images.py                  all of them
    python docs/make_images.py screens drawing  some:

    screens   the widget in JupyterLab: light and dark, 1400 and 700 px wide, on a Chromium (PEEK_CHROMIUM, or PATH)
    tabs      of these, only the tabs Circuit and Your photo
    first     of these, only the first picture of the README and the site: EfficientNet-Lite0 (the extra imagenet)
    drawing   an animation of units while they are drawn
    sheets    24 random classes and 24 random units of SqueezeNet
    lite0     24 random classes and 36 random units of EfficientNet-Lite0 (the extra imagenet)
    crops     units of the bundled network, drawn, beside their top and bottom crops
    survey    what the bundled network's units are about: the counts and a chart
    real      the counts on SqueezeNet and the 250 real images (numbers only)
    recipes   the same three objectives under every recipe that has no picture yet, and the page with all of them

SqueezeNet's weights and the real images are found by PEEK_SHARED or at ../shared; `crops` and `survey` need neither.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "img"
sys.path.insert(0, str(ROOT))

from peek_widget import Logit, Neuron, ascend, render, zoo
from peek_widget.ascent import Objective, presets, to_pil
from peek_widget.evidence import LayerEvidence, survey, top_crops
from peek_widget.network import read
from peek_widget.zoo import Images, bundled
from tests.networks import shared, squeezenet

SEED = 2016
COUNT = 24

# -- sheets and drawings


def contact(pictures: list[torch.Tensor], columns: int, cell: int, gap: int = 8) -> Image.Image:
    """Return the pictures as a grid, row by row, without labels."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (cell + gap) - gap, rows * (cell + gap) - gap), "white")
    for number, picture in enumerate(pictures):
        tile = to_pil(picture).convert("RGB").resize((cell, cell), Image.Resampling.BICUBIC)
        sheet.paste(tile, ((number % columns) * (cell + gap), (number // columns) * (cell + gap)))
    return sheet


def draw(model: torch.nn.Module, objectives: list[Objective]) -> list[torch.Tensor]:
    """Draw one picture for each objective, six at a time."""
    network = read(model)
    pictures: list[torch.Tensor] = []
    for start in range(0, len(objectives), 6):
        part = objectives[start : start + 6]
        pictures += list(render(network, part, "peek").images)
        print(f"{start + len(part)} of {len(objectives)}", flush=True)
    return pictures


def sheets() -> None:
    # without the last convolution: its units are the classes
    sheets_of("squeezenet", squeezenet(), "features", COUNT, random.Random(SEED + 4))


def lite0() -> None:
    sheets_of("efficientnet-lite0", zoo.efficientnet_lite0(), "blocks", 36, random.Random(SEED + 5))


def sheets_of(name: str, model: torch.nn.Module, hidden: str, count: int, rng: random.Random) -> None:
    """Draw random classes, and random units of the layers whose names begin with ``hidden``."""
    classes = rng.sample(range(1000), COUNT)
    layers = [layer for layer in read(model).layers if layer.primary and layer.name.startswith(hidden)]
    units = [(layer.name, rng.randrange(layer.channels)) for layer in rng.choices(layers, k=count)]
    units.sort(key=lambda unit: [layer.name for layer in layers].index(unit[0]))
    print("classes, row by row:", classes)
    print("units, row by row:", units)
    contact(draw(model, [Logit(k) for k in classes]), 6, 200).save(OUT / f"{name}-classes.webp", quality=88)
    contact(draw(model, [Neuron(*u) for u in units]), 6, 200).save(OUT / f"{name}-units.webp", quality=88)


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


# -- the widget


@dataclass
class Scene:
    """A cell whose last line displays an explorer, and what happens before the screenshot.

    Attributes:
        cell: source of the cell.
        ask: an expression that is evaluated in the kernel.
        click: selectors that are clicked, in this order.
        until: a JavaScript condition that is waited for.
    """

    cell: str
    ask: str = ""
    click: tuple[str, ...] = ()
    until: str = ""


FIRST = "explorer-efficientnet"
SCENES = {
    "explorer": Scene("from peek_widget import UnitExplorer\n\nexplorer = UnitExplorer(layer='', unit=18)\nexplorer"),
    FIRST: Scene(
        """from peek_widget import UnitExplorer

explorer = UnitExplorer("efficientnet_lite0", layer="blocks.9.expand", unit=29)
explorer"""
    ),
    # images of the bundled network's generator, because we may not publish the photographs
    "explorer-evidence": Scene(
        """from peek_widget import UnitExplorer
from peek_widget.zoo import Images

explorer = UnitExplorer(layer="conv5", unit=33, dataset=Images(700, seed=7))
explorer"""
    ),
    "explorer-circuit": Scene(
        """from peek_widget import UnitExplorer
from peek_widget.zoo import Images

explorer = UnitExplorer(layer="conv5", unit=33, dataset=Images(200, seed=7))
explorer""",
        click=("[role=tab]:has-text('Circuit')", ".peek-tool-widen"),
        until="document.querySelector('.peek-root').dataset.peekCircuit?.startsWith('conv5:33/done')",
    ),
    "explorer-photo": Scene(
        """from peek_widget import UnitExplorer
from peek_widget.zoo import Images

images = Images(200, seed=7)
explorer = UnitExplorer(layer="conv5", unit=33, dataset=images)
explorer""",
        ask="explorer.look_at_photo(images[15][0])",
        click=("[role=tab]:has-text('Your photo')", ".peek-tool-widen"),
        until="+(document.querySelector('.peek-root').dataset.peekPhotoPictures ?? 0) >= 16",
    ),
    "explorer-sheet": Scene(
        """from peek_widget import Recipe, UnitExplorer

quick = Recipe.preset("peek-fast").replace(steps=40, size=128)
words = {"eye": [12, 23, 33], "spiral": [2, 24, 59], "tip": [5, 7, 20, 41]}
tags = {"conv5": {str(unit): [word] for word, units in words.items() for unit in units}}
explorer = UnitExplorer(layer="conv5", unit=33, recipe=quick, tags=tags, tag_keys={word[0]: word for word in words})
explorer""",
        click=("[role=tab]:has-text('Whole layer')", ".peek-tool-widen"),
        until="document.querySelector('.peek-sheet-grid')?.dataset.state === 'done'",
    ),
}
WIDTHS = {1400: "", 700: "-narrow"}
HEIGHTS = {1400: 900, 700: 2100}
"""Of the window at each width: the picture goes by it, and what lies below it can't be seen."""
THEMES = {"Light": "", "Dark": "-dark"}


def screens(names: Iterable[str] = SCENES) -> None:
    """Take a screenshot of each scene at each width in each theme, after the run has finished."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import Server, chromium_path
    from tests.browser.lab import Notebook

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=flags)
        try:
            context = browser.new_context(viewport={"width": 1520, "height": 900}, device_scale_factor=1)
            for name in names:
                scene = SCENES[name]
                book = Notebook(server, context, f"{name}.ipynb", [scene.cell])
                book.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
                book.run_all()
                if scene.ask:
                    book.ask(scene.ask)
                book.until("d.state === 'done' && d.drawn > 0", timeout=240)
                book.until_kernel("explorer.evidence_status.get('state', 'done') == 'done'", timeout=240)
                for selector in scene.click:
                    book.root.locator(selector).first.click()
                if scene.until:
                    book.page.wait_for_function(f"() => {scene.until}", timeout=400_000)
                for theme, dark in THEMES.items():
                    command = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
                    book.page.evaluate(command, f"JupyterLab {theme}")
                    for width, narrow in WIDTHS.items():
                        # the window's width less the margins and the cell's prompt
                        book.page.set_viewport_size({"width": 1520, "height": HEIGHTS[width]})
                        book.root.evaluate(f"root => root.parentElement.style.width = '{width - 80}px'")
                        book.page.wait_for_timeout(800)
                        shot = Image.open(io.BytesIO(book.root.screenshot()))
                        shot.save(OUT / f"{name}{dark}{narrow}.webp", quality=90, method=6)
                        print(f"{name}{dark}{narrow}.webp", *shot.size, flush=True)
                book.page.close()
                server.end_kernels()
        finally:
            browser.close()
            server.stop()


# -- dataset examples and surveys


IMAGES = 2800
LAYERS = ("conv3", "conv4", "conv5", "conv6")


def gather() -> dict[str, LayerEvidence]:
    return top_crops(bundled(), LAYERS, Images(IMAGES, seed=SEED))


def evidence_crops() -> None:
    """Make a row for each unit: its picture, its top five crops, the image of the first, its bottom two crops."""
    evidence, rng = gather(), random.Random(SEED)
    units = [(name, unit) for name in LAYERS for unit in sorted(rng.sample(range(len(evidence[name])), 2))]
    print("row by row:", units)
    drawn = render(bundled(), [Neuron(*unit) for unit in units], "peek", seed=SEED, size=96)
    cell, gap, wide = 88, 6, 20
    page = Image.new("RGB", (9 * (cell + gap) + 3 * wide, len(units) * (cell + gap) - gap), "white")
    for row, (picture, (name, unit)) in enumerate(zip(drawn.images, units, strict=True)):
        one = evidence[name][unit]
        x, y = 0, row * (cell + gap)
        page.paste(to_pil(picture).resize((cell, cell), Image.Resampling.BICUBIC), (x, y))
        x += cell + gap + wide
        for crop in one.top[:5]:
            tile = crop.resized(cell)
            page.paste(tile, (x + (cell - tile.width) // 2, y + (cell - tile.height) // 2))
            x += cell + gap
        x += wide
        page.paste(one.top[0].boxed(cell), (x, y))
        x += cell + gap + wide
        for crop in one.bottom[:2]:
            tile = crop.resized(cell)
            page.paste(tile, (x + (cell - tile.width) // 2, y + (cell - tile.height) // 2))
            x += cell + gap
    page.save(OUT / "evidence-crops.webp", quality=85, method=6)


def print_survey(evidence: LayerEvidence, groups: str | None = None) -> None:
    result = survey(evidence, groups)
    print(f"\n{evidence}\n{result}")
    print(result.counts[result.counts["units"] > 0].to_string(index=False))
    best = result.table[result.table["about"].notna()].sort_values("p").head(8)
    print(best.to_string(index=False))


def evidence_survey() -> None:
    evidence = gather()
    for name in LAYERS:
        result = survey(evidence[name])
        print(f"\n{name}: {int(result.table['about'].notna().sum())} of {len(evidence[name])} units are about a class")
    print_survey(evidence["conv6"])
    ax = survey(evidence["conv6"]).plot()
    ax.figure.savefig(OUT / "evidence-survey.png", dpi=110)
    Image.open(OUT / "evidence-survey.png").convert("RGB").save(OUT / "evidence-survey.webp", quality=90, method=6)
    (OUT / "evidence-survey.png").unlink()


def survey_real() -> None:
    evidence = top_crops(
        squeezenet(),
        ["features.10", "features.12"],
        shared() / "data" / "imagenet-samples",
        labels=lambda name: int(name[:4]),
    )
    for name in evidence:
        print_survey(evidence[name], "imagenet")
    # a permutation test: with shuffled labels, everything that is found is a false positive
    labels = [int(p.name[:4]) for p in sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))]
    false_positives: dict[str, list[int]] = {name: [] for name in evidence}
    for seed in range(20):
        shuffled = labels.copy()
        random.Random(seed).shuffle(shuffled)
        new = dict(zip(labels, shuffled, strict=True))
        for name in evidence:
            details = evidence.example_index.details
            original = dict(details)
            for identity, detail in original.items():
                details[identity] = type(detail)(detail.name, new[detail.label], detail.size)
            false_positives[name].append(int(survey(evidence[name], "imagenet").table["about"].notna().sum()))
            details.clear()
            details.update(original)
    print("\nunits with a significant group, labels shuffled 20 times:", false_positives)


# -- every recipe

SUBJECTS = {"unit 20 of conv4": Neuron("conv4", 20), "unit 20 of conv6": Neuron("conv6", 20), "butterfly": Logit(25)}


def recipes() -> None:
    """Draw the same three objectives under each recipe that has no picture yet, and write docs/recipes.md."""
    folder = OUT / "recipes"
    folder.mkdir(exist_ok=True)
    network = read(bundled())
    lines = [
        "# The recipes",
        "",
        "The same three objectives under every recipe, drawn on the bundled network with seed 0: "
        f"{', '.join(SUBJECTS)}. What stays when the recipe changes belongs to the unit. Made by "
        "`python docs/make_images.py recipes`.",
        "",
    ]
    for name, preset in presets().items():
        path = folder / f"{name}.webp"
        if not path.exists():
            # most take minutes, and a new recipe does not change the others' pictures
            pictures = [render(network, one, name).images[0] for one in SUBJECTS.values()]
            contact(pictures, 3, 224).save(path, quality=82)
        recipe = preset.recipe
        lines += [
            f"## {name}",
            "",
            f"{preset.summary} {recipe.steps} steps. Source: {preset.source}",
            "",
            f"![{', '.join(SUBJECTS)} under {name}](img/recipes/{name}.webp)",
            "",
        ]
        print(name, flush=True)
    (ROOT / "docs" / "recipes.md").write_text("\n".join(lines), encoding="utf-8")


PARTS = {
    "recipes": recipes,
    "screens": screens,
    "first": lambda: screens([FIRST]),
    "tabs": lambda: screens(["explorer-circuit", "explorer-photo"]),
    "drawing": drawing,
    "sheets": sheets,
    "lite0": lite0,
    "crops": evidence_crops,
    "survey": evidence_survey,
    "real": survey_real,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*PARTS, "all"], nargs="*", default="all")
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = parser.parse_args().what
    # (the first and the tabs are screens)
    for part in [part for part in PARTS if part not in ("first", "tabs")] if "all" in wanted else wanted:
        PARTS[part]()
