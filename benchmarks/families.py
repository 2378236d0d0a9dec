"""Is what the recipes draw sane on families of networks that none was tuned on?

    python benchmarks/families.py [--recipes peek,peek-fast]

Eleven of torchvision's families, with random weights (seed 0), at their own input size: one unit a third and two thirds
of the way through the layers that have maps, and a class. Prints a line a picture, and the share whose mean luminance
and RMS contrast are inside the range of 19 in 20 photographs (of PEEK_SHARED's 250, or those in ../shared).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torchvision import models

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.presets import real_images
from benchmarks.quality import look
from peek_widget import Ascent
from peek_widget.ascent import unit_objective
from peek_widget.network import OUTPUT, read

FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x1_0",
    "vgg11_bn",
)
UNIT = 3


def built(name: str) -> nn.Module:
    """Return a family's network with random weights."""
    torch.manual_seed(0)
    more = {"init_weights": True} if name == "googlenet" else {}
    return models.get_model(name, weights=None, **more).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default="peek,peek-fast")
    recipes = parser.parse_args().recipes.split(",")
    torch.set_num_threads(1)

    photographs = torch.stack([look(image) for image in real_images("photographs")])
    low, high = (photographs.quantile(share, 0) for share in (0.025, 0.975))
    ranges = f"luminance {low[0]:.3f} to {high[0]:.3f}, contrast {low[1]:.3f} to {high[1]:.3f}"
    print(f"{len(photographs)} photographs: {ranges}")
    sane: dict[str, list[bool]] = {recipe: [] for recipe in recipes}
    for name in FAMILIES:
        network = read(built(name), probe=False)
        spatial = [layer.name for layer in network.layers if layer.spatial]
        for layer in (spatial[len(spatial) // 3], spatial[2 * len(spatial) // 3], OUTPUT):
            for recipe in recipes:
                began = time.process_time()
                result = Ascent(network, unit_objective(network, layer, UNIT), recipe, seed=0).run(progress=False)
                luminance, contrast = found = look(result.images[0])
                well = bool(((low <= found) & (found <= high)).all())
                sane[recipe].append(well)
                said = "sane" if well else "NOT"
                took = time.process_time() - began
                where = layer or "class"
                print(
                    f"{name:20s} {where:40s} {recipe:10s} {luminance:.2f} {contrast:.3f} {said} {took:.1f} s",
                    flush=True,
                )
    for recipe, each in sane.items():
        print(f"{recipe}: {sum(each)} of {len(each)} sane")


if __name__ == "__main__":
    main()
