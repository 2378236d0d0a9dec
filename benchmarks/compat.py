"""Compatibility with the architectures of torchvision, timm, Hugging Face transformers and segmentation_models_pytorch.

    python benchmarks/compat.py [--libraries timm] [--only torchvision/resnet18] [--out compat.jsonl] [--table]

Weights are random, because the question is whether an architecture can be read and drawn, not what its units look for.
Each is examined in a process of its own with at most 16 GB: its layers are read and all run in one forward pass; two
steps are made for a unit of an early, a middle and the last spatial layer, and for the last unit of the output; and of
two images the crop is found that excites the unit of the middle layer most, and the middle unit of a convolution. Every
number must be finite, no picture flat, and the model unchanged, bit for bit.

The convolution's crop is held against torch alone: the user's own model with a plain hook gives the activation at the
crop's position, and the gradient of it by the image; the first must be the crop's, and the second's energy (its square)
must lie in the crop's box: all of it where the receptive field is exact, 95 % where it is measured.

Of torchvision all classification models are examined, of the others the lists below. Each adds one line of JSON to
``--out``; architectures that are already there are not examined again. ``--table`` prints the lines as docs/compat.md
has them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import multiprocessing
import os
import time
import warnings
import zlib
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from peek_widget import Logit, Neuron, ascend, top_crops
from peek_widget.evidence import Crop
from peek_widget.network import Network, read
from peek_widget.network.receptive_field.effective import gradient_energy

MEMORY = 16 * 2**30
STEPS = 2
# Share of the gradient's energy that must lie in the box, by how the field was found (docs/evidence.md).
INSIDE = {"exact": 0.99999, "measured": 0.95, "whole": 1.0}
VALUE = 1e-3

LIBRARIES = ("torchvision", "timm", "transformers", "segmentation_models_pytorch")

TIMM = (
    *("resnet18", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224"),
    *("mixer_s32_224", "convnextv2_atto", "efficientvit_b0", "mobilevit_xxs", "levit_128s", "pit_ti_224", "coat_tiny"),
    *("xcit_nano_12_p16_224", "cait_xxs24_224", "beit_base_patch16_224", "davit_tiny", "poolformer_s12"),
    *("mobilenetv4_conv_small", "nfnet_l0", "tf_efficientnet_lite0", "hrnet_w18_small", "dla34", "tiny_vit_5m_224"),
    *("edgenext_xx_small", "gcvit_xxtiny", "maxvit_pico_rw_256", "eva02_tiny_patch14_224"),
    *("repvgg_a0", "ghostnet_100", "rexnet_100", "resnest14d", "mobileone_s0", "fastvit_t8", "efficientformer_l1"),
    *("inception_next_atto", "resmlp_12_224", "tnt_s_patch16_224", "twins_pcpvt_small", "visformer_tiny"),
    *(
        "tresnet_m",
        "starnet_s1",
        "hgnetv2_b0",
        "mambaout_femto",
        "focalnet_tiny_srf",
        "volo_d1_224",
        "res2net50_26w_4s",
    ),
    *("selecsls42b", "vovnet39a", "cspresnet50", "sequencer2d_s", "crossvit_tiny_240"),
)

# Class of transformers, and what of its configuration is smaller than by default.
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "ResNet": {"depths": [2, 2, 2, 2]},
    "ConvNext": {"depths": [2, 2, 2, 2]},
    "ConvNextV2": {"depths": [2, 2, 2, 2]},
    "RegNet": {},
    "MobileNetV1": {},
    "MobileNetV2": {},
    "EfficientNet": {"image_size": 224, "width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280},
    "Bit": {},
    "Swin": {},
    "Swinv2": {},
    "ViT": {"num_hidden_layers": 4},
    "DeiT": {"num_hidden_layers": 4},
    "Beit": {"num_hidden_layers": 4},
    "Dinov2": {"num_hidden_layers": 4},
    "Segformer": {},
    "MobileViT": {},
    "Levit": {},
    "Pvt": {},
    "PvtV2": {},
    "PoolFormer": {},
    "FocalNet": {},
    "SwiftFormer": {},
    "HGNetV2": {},
}

SMP = ("Unet", "UnetPlusPlus", "FPN", "PSPNet", "Linknet", "MAnet", "PAN", "DeepLabV3", "DeepLabV3Plus", "Segformer")


def names(library: str) -> list[str]:
    """Return the names of the architectures that are examined, each begun with its library's."""
    if library == "torchvision":
        import torchvision

        found: Any = torchvision.models.list_models(module=torchvision.models)
    else:
        found = {"timm": TIMM, "transformers": TRANSFORMERS, "segmentation_models_pytorch": SMP}[library]
    return [f"{library}/{name}" for name in found]


def build(name: str) -> nn.Module:
    """Make an architecture with random weights, faster than by the libraries' own initialization."""
    block = torch.randn(2**16, generator=torch.Generator().manual_seed(0))

    def draw(tensor: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        scale = 0.0 if tensor.ndim < 2 else math.sqrt(1.5 / max(1, tensor[0].numel()))
        with torch.no_grad():
            flat = tensor.view(-1)
            for begin in range(0, flat.numel(), block.numel()):
                part = flat[begin : begin + block.numel()]
                part.copy_(block[: part.numel()] * scale)
        return tensor

    kinds = (
        "uniform_",
        "normal_",
        "trunc_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "orthogonal_",
    )
    for kind in kinds:
        setattr(nn.init, kind, draw)
    model = make(*name.split("/"))
    for key, parameter in model.named_parameters():
        # A head initialized to zero has no gradient, and a block whose norm is zero has dead units.
        if parameter.ndim > 1 and not bool(parameter.any()):
            draw(parameter)
        elif key.endswith(("weight", "gamma", "scale_factor")) and not bool(parameter.any()):
            nn.init.ones_(parameter)
    return model


def make(library: str, name: str) -> nn.Module:
    """Make an architecture of a library."""
    if library == "torchvision":
        import torchvision

        more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, **more)
    if library == "timm":
        import timm

        return timm.create_model(name, pretrained=False)
    if library == "transformers":
        import transformers

        config = getattr(transformers, f"{name}Config")(**TRANSFORMERS[name])
        return getattr(transformers, f"{name}ForImageClassification")(config)
    import segmentation_models_pytorch as smp

    return getattr(smp, name)("resnet18", encoder_weights=None, classes=5)


def portrait(model: nn.Module) -> dict[str, Any]:
    """Describe a model for comparison, its tensors by checksum."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    modules = dict(model.named_modules())
    return {
        "contents": {k: zlib.crc32(t.detach().contiguous().view(-1).numpy().data) for k, t in tensors.items()},
        "storage": {k: (t.data_ptr(), t.requires_grad, t.grad is None) for k, t in tensors.items()},
        "training": {k: m.training for k, m in modules.items()},
        "attributes": {k: sorted(vars(m)) for k, m in modules.items()},
        "hooks": {k: [len(v) for a, v in vars(m).items() if a.endswith("_hooks")] for k, m in modules.items()},
    }


def images(height: int, width: int) -> list[Image.Image]:
    """Return two images of smooth noise, larger than a network's input and neither square nor of one shape."""
    found = []
    for seed, (down, across) in enumerate(((1.25, 1.6), (1.5, 1.1))):
        coarse = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        size = round(width * across), round(height * down)
        found.append(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return found


def examine(name: str) -> dict[str, Any]:
    """Read and draw one architecture, find crops in two images, and return the measurements.

    Raises:
        Exception: for anything that goes wrong.
    """
    torch.manual_seed(0)
    model = build(name)
    before = portrait(model)
    start = time.process_time()
    network = read(model)
    found: dict[str, Any] = {"read_s": round(time.process_time() - start, 1), "input_size": network.input_size}
    height, width = (network.input_size,) * 2 if isinstance(network.input_size, int) else network.input_size
    primary = [layer for layer in network.layers if layer.primary]
    spatial = [layer for layer in primary if layer.spatial]
    found |= {"layers": len(network.layers), "primary": len(primary), "probe": str(network.findings)}
    assert spatial, "no primary layer is spatial"

    image = torch.rand(1, network.channels, height, width)
    with torch.no_grad():
        values = network.run(network.preprocess(image), [layer.name for layer in network.layers])
    for layer in network.layers:
        value = values.pop(layer.name)
        expected = (1, layer.channels, *layer.size)
        assert tuple(value.shape) in (expected, expected[:2]), f"{layer.name}: {tuple(value.shape)}, not {expected}"
        assert bool(torch.isfinite(value).all()), f"{layer.name} has a number that is not finite"

    middle = spatial[len(spatial) // 2]
    unit = middle.channels // 2
    found["drawn"] = {}
    drawn = [Neuron(layer.name, layer.channels // 2) for layer in (spatial[0], middle, spatial[-1])]
    for objective in (*drawn, Logit(network.layer("").channels - 1)):
        start = time.process_time()
        for step in ascend(network, objective, "peek"):
            finite = bool(torch.isfinite(step.images).all()) and math.isfinite(step.activation)
            assert finite, f"{objective!r}: a number that is not finite"
            assert float(step.images.std()) > 0.0, f"{objective!r}: a flat picture"
            if step.index + 1 == STEPS:
                break
        found["drawn"][repr(objective)] = round((time.process_time() - start) / STEPS, 2)

    convolution = chosen_convolution(model, network)
    layers = list(dict.fromkeys([middle.name, *([convolution] if convolution else [])]))
    crops = top_crops(network, layers, images(height, width), k=1, progress=False, workers=0)
    assert portrait(model) == before, "the model was changed"

    crop = crops[middle.name][unit].top[0]
    energy, _ = gradient_energy(network, middle.name, unit, crop.input(), crop.position)
    found |= {"layer": middle.name, "box": crop.box, "field": crop.field, "inside": inside(energy, crop)}
    check_inside(found["inside"], crop)
    if convolution:
        crop = crops[convolution][network.layer(convolution).channels // 2].top[0]
        value, energy = with_torch_alone(model, network, crop)
        scale = max(abs(value), abs(crop.activation), 1e-6)
        found |= {"convolution": convolution, "inside_by_torch": inside(energy, crop)}
        found["value_by_torch"] = abs(value - crop.activation) / scale
        assert found["value_by_torch"] < VALUE, f"{convolution}: {crop.activation} instead of {value}"
        check_inside(found["inside_by_torch"], crop)
    return found


def chosen_convolution(model: nn.Module, network: Network) -> str | None:
    """Return the name of the model's middle 2-D convolution that is a layer and runs once; None if there is none."""
    listed = {layer.name for layer in network.layers if layer.spatial}
    convolutions = [key for key, module in model.named_modules() if isinstance(module, nn.Conv2d) and key in listed]
    once = [key for key in convolutions if f"{key}@2" not in listed]
    return once[len(once) // 2] if once else None


def inside(energy: Tensor, crop: Crop) -> float:
    """Return the share of a gradient's energy ``[H, W]`` that lies in a crop's box; 1 where there is none."""
    left, top, right, bottom = crop.input_box
    rows = slice(max(0, math.floor(top)), math.ceil(bottom))
    columns = slice(max(0, math.floor(left)), math.ceil(right))
    total = float(energy.sum())
    return float(energy[rows, columns].sum()) / total if total > 0.0 else 1.0


def check_inside(share: float, crop: Crop) -> None:
    """Raise AssertionError if too small a share of a gradient lies in a crop's box."""
    if share < INSIDE[crop.field] - 1e-9:
        raise AssertionError(
            f"{crop.layer}: {share:.4f} of the gradient in the crop's box, whose field is {crop.field}"
        )


def with_torch_alone(model: nn.Module, network: Network, crop: Crop) -> tuple[float, Tensor]:
    """Return a convolution's value at a crop's position, and the energy ``[H, W]`` of its gradient, by a plain hook."""
    kept: list[Tensor] = []
    model.eval()
    handle = model.get_submodule(crop.layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    image = crop.input()[None].clone().requires_grad_()
    try:
        with torch.enable_grad():
            # Twice, since torch's backward of a batch normalization is wrong for a batch of one image that becomes
            # tokens (its strides are taken for another format).
            model(network.preprocess(image.repeat(2, 1, 1, 1)))
    finally:
        handle.remove()
    value = kept[0][(0, crop.unit, *crop.position)]
    (gradient,) = torch.autograd.grad(value, image)
    return float(value.detach()), gradient[0].double().square().sum(dim=0)


def child(name: str, pipe: Connection) -> None:
    """Examine one architecture in this process and send the line."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.filterwarnings("ignore")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    start = time.process_time()
    line: dict[str, Any] = {"name": name, "ok": True, "why": ""}
    try:
        line |= examine(name)
    except Exception as error:
        short = isinstance(error, MemoryError) or "allocate memory" in str(error) or "bad alloc" in str(error)
        line |= {"ok": False, "why": "does not fit 16 GB" if short else f"{type(error).__name__}: {error}"}
    line["seconds"] = round(time.process_time() - start, 1)
    line["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    pipe.send(line)


def spawn(name: str, timeout: float) -> dict[str, Any]:
    """Examine one architecture in a process of its own, and return its line."""
    context = multiprocessing.get_context("forkserver")  # which has torch imported, once
    context.set_forkserver_preload(["__main__", "torchvision"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(name, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(timeout):
            return {"name": name, "ok": False, "why": f"not done in {timeout:g} s"}
        return ours.recv()
    except EOFError:
        process.join(10)
        return {"name": name, "ok": False, "why": f"the process ended with {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def table(lines: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each architecture, and the totals."""
    rows = [
        "| architecture | | layers | primary | unit drawn | crop's field | gradient in its box | reading, s | GB |",
        "|---|---|--:|--:|---|---|--:|--:|--:|",
    ]
    for line in lines:
        if not line["ok"]:
            rows.append(f"| {line['name'].partition('/')[2]} | {line['why']} | | | | | | | |")
            continue
        shares = [line["inside"], *([line["inside_by_torch"]] if "inside_by_torch" in line else [])]
        cells = (
            line["name"].partition("/")[2],
            "ok",
            line["layers"],
            line["primary"],
            f"`{line['layer']}`",
            line["field"],
            f"{math.floor(1e4 * min(shares) + 1e-6) / 100:.2f} %",
            line["read_s"],
            line["peak_gb"],
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    counts = Counter("ok" if line["ok"] else line["why"].split(":")[0] for line in lines)
    rows += ["", f"{len(lines)} architectures: " + ", ".join(f"{count} {why}" for why, count in counts.most_common())]
    return "\n".join(rows)


def main() -> None:
    """Examine the chosen architectures that have no line yet, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("compat.jsonl"), help="file of JSON lines")
    parser.add_argument("--libraries", nargs="*", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--only", nargs="*", help="architectures, as library/name, also those that are in the file")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for one architecture")
    parser.add_argument("--table", action="store_true", help="examine none, print the table of those in the file")
    given = parser.parse_args()
    lines = [json.loads(text) for text in given.out.read_text().splitlines()] if given.out.exists() else []
    latest = {line["name"]: line for line in lines}
    every = [name for library in given.libraries for name in names(library)]
    chosen = given.only or [name for name in every if name not in latest]
    for name in [] if given.table else chosen:
        latest[name] = line = spawn(name, given.timeout)
        print(f"{name}: {'ok' if line['ok'] else line['why']} ({line.get('seconds', '-')} s)", flush=True)
        with given.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
    for library in given.libraries:
        shown = [line for name, line in sorted(latest.items()) if name.startswith(f"{library}/")]
        if shown:
            print(f"\n## {library} {importlib.metadata.version(library)}\n\n{table(shown)}")


if __name__ == "__main__":
    main()
