"""How long it takes to look at a photo, and to look again with a part of it changed, on one thread.

    python benchmarks/photo.py SHARED

SHARED is a folder with SqueezeNet's weights and photographs (models/, data/). Of ten times each, the median; all layers
that have units of their own are looked at, and the units of one are compared with real images.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from peek_widget import read, top_crops
from peek_widget.photo import PhotoReader

LAYER = "features.12"


def median_ms(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def main() -> None:
    from safetensors.torch import load_file
    from torchvision.models import squeezenet1_0

    torch.set_num_threads(1)
    shared = Path(sys.argv[1])
    model = squeezenet1_0()
    weights = load_file(shared / "models" / "squeezenet1_0-imagenet-fp16.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    photos = sorted((shared / "data" / "imagenet-samples").iterdir())
    network = read(model.eval())
    evidence = top_crops(network, [LAYER], [str(one) for one in photos[:32]], progress=False, threads=1)
    reader = PhotoReader(network, [layer.name for layer in network.layers if layer.primary], evidence)
    look = reader.look(str(photos[52]))

    def again() -> None:
        after = look.without((60, 60, 160, 160), "blur").after
        for one in after.unusual(LAYER):
            after.map(LAYER, one.unit).strength(128, 128)

    print(f"{len(look.layers)} layers of SqueezeNet at {network.input_size} px, one thread")
    print(f"  a photo from a file: {median_ms(lambda: reader.look(str(photos[52])).unusual(LAYER)):.0f} ms")
    print(f"  what if, with the maps of nine units: {median_ms(again):.0f} ms")


if __name__ == "__main__":
    main()
