"""Makes the pictures and figures of docs/evidence.md with the project's own code.

    python docs/make_evidence.py crops      units of the bundled network, drawn, beside their top and bottom crops
    python docs/make_evidence.py survey     what the bundled network's units are about: the counts and a chart
    python docs/make_evidence.py real       the counts on SqueezeNet and the 250 real images (numbers only)

The first two need nothing but the package (and its extra ``survey``), the last the real network and images,
found by PEEK_SHARED or at ../shared.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "img"
sys.path.insert(0, str(ROOT))

from peek_widget import Neuron, render
from peek_widget.ascent import to_pil
from peek_widget.evidence import LayerEvidence, survey, top_crops
from peek_widget.zoo import Images, bundled

SEED = 2016
COUNT = 2800
LAYERS = ("conv3", "conv4", "conv5", "conv6")


def found() -> dict[str, LayerEvidence]:
    return top_crops(bundled(), LAYERS, Images(COUNT, seed=SEED))


def crops() -> None:
    """A row for each unit: as drawn, its five best crops, one whole image with the best framed, its two worst."""
    evidence, chance = found(), random.Random(SEED)
    units = [(name, unit) for name in LAYERS for unit in sorted(chance.sample(range(len(evidence[name])), 2))]
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
            tile = crop.image(cell)
            page.paste(tile, (x + (cell - tile.width) // 2, y + (cell - tile.height) // 2))
            x += cell + gap
        x += wide
        page.paste(one.top[0].boxed(cell), (x, y))
        x += cell + gap + wide
        for crop in one.bottom[:2]:
            tile = crop.image(cell)
            page.paste(tile, (x + (cell - tile.width) // 2, y + (cell - tile.height) // 2))
            x += cell + gap
    page.save(OUT / "evidence-crops.webp", quality=85, method=6)


def tell(evidence: LayerEvidence, groups: str | None = None) -> None:
    result = survey(evidence, groups)
    print(f"\n{evidence}\n{result}")
    print(result.counts[result.counts["units"] > 0].to_string(index=False))
    best = result.table[result.table["about"].notna()].sort_values("p").head(8)
    print(best.to_string(index=False))


def survey_bundled() -> None:
    evidence = found()
    for name in LAYERS:
        result = survey(evidence[name])
        print(f"\n{name}: {int(result.table['about'].notna().sum())} of {len(evidence[name])} units are about a class")
    tell(evidence["conv6"])
    ax = survey(evidence["conv6"]).plot()
    ax.figure.savefig(OUT / "evidence-survey.png", dpi=110)
    Image.open(OUT / "evidence-survey.png").convert("RGB").save(OUT / "evidence-survey.webp", quality=90, method=6)
    (OUT / "evidence-survey.png").unlink()


def real() -> None:
    from tests.networks import shared, squeezenet

    evidence = top_crops(
        squeezenet(),
        ["features.10", "features.12"],
        shared() / "data" / "imagenet-samples",
        labels=lambda name: int(name[:4]),
    )
    for name in evidence:
        tell(evidence[name], "imagenet")
    # Is it the units, or would any labels do? With the labels dealt anew, what is found is found by chance.
    labels = [int(p.name[:4]) for p in sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))]
    chances: dict[str, list[int]] = {name: [] for name in evidence}
    for seed in range(20):
        dealt = labels.copy()
        random.Random(seed).shuffle(dealt)
        new = dict(zip(labels, dealt, strict=True))
        for name in evidence:
            details = evidence[name]._findings.details
            kept = dict(details)
            for identity, detail in kept.items():
                details[identity] = type(detail)(detail.name, new[detail.label], detail.size)
            chances[name].append(int(survey(evidence[name], "imagenet").table["about"].notna().sum()))
            details.clear()
            details.update(kept)
    print("\nunits about anything, labels dealt anew 20 times:", chances)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["crops", "survey", "real"], nargs="+")
    torch.set_num_threads(1)
    for what in parser.parse_args().what:
        {"crops": crops, "survey": survey_bundled, "real": real}[what]()


if __name__ == "__main__":
    main()
