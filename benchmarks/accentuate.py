"""Accentuation beside faccent, the authors' own code (Hamblin et al. 2024): activation and change at equal steps.

    pip install --no-deps faccent kornia kornia_rs einops torch-lucent imageio      # in an environment of its own
    python benchmarks/accentuate.py SHARED [steps]

SHARED is a folder with SqueezeNet's weights and photographs (models/, data/). Both begin from the same photo, for the
same unit and kept layer, with as many steps and views of 85 to 95 % of it; each is run with several weights of its
penalty, since the two weigh it differently. What is measured is the same for both, on the finished picture without
views: the mean of the unit over its map before the ReLU, the change of the kept layer as a share of its norm, and that
of the pixels.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from peek_widget import Accentuate, Network, read, render, zoo
from peek_widget.ascent.pictures import as_picture, center_square

CASES = {
    "squeezenet": ("features.12", 96, "features.7"),
    "efficientnet-lite0": ("blocks.10.project", 33, "blocks.5.project"),
}
PHOTO = "0208_n02099712_Labrador_retriever.jpg"
VIEWS = 2


class Normalized(nn.Module):
    """A network with its preprocessing, since faccent scales images in a way of its own."""

    def __init__(self, network: Network, model: nn.Module) -> None:
        super().__init__()
        self.model, self._preprocess = model, network.preprocess

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(self._preprocess(x))


def squeezenet(shared: Path) -> nn.Module:
    from safetensors.torch import load_file
    from torchvision.models import squeezenet1_0

    model = squeezenet1_0()
    weights = load_file(shared / "models" / "squeezenet1_0-imagenet-fp16.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.eval()


def by_faccent(network: Network, model: nn.Module, case: tuple, photo: torch.Tensor, steps: int, weight: float):
    from faccent import objectives, param, transform
    from faccent import render as faccent

    layer, unit, keep = case
    side = photo.shape[-1]
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        images, *_ = faccent.render_vis(
            Normalized(network, model),
            objectives.channel(f"model_{layer.replace('.', '_')}", unit, batch=0),
            param.fourier(device=torch.device("cpu"), img_size=(side, side), init_img=photo),
            transforms=[transform.box_crop(0.85, 0.95), transform.resize((side, side))],
            preprocess=False,
            out_thresholds=[steps - 1],
            inline_thresholds=[],
            nb_transforms=VIEWS,
            init_img=photo,
            progress=False,
            img_size=(side, side),
            model_input_size=(side, side),
            model_input_range=(0, 1),
            accent_reg_layer=f"model_{keep.replace('.', '_')}",
            accent_reg_alpha=weight,
        )
    return images[-1][0]


def main() -> None:
    shared, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40
    torch.set_num_threads(1)
    image = Image.open(shared / "data" / "imagenet-samples" / PHOTO)
    print("network, by, weight: activation, change of the kept layer, of the pixels (rms), seconds")
    for name, (layer, unit, keep) in CASES.items():
        model = squeezenet(shared) if name == "squeezenet" else zoo.efficientnet_lite0()
        network = read(model)
        photo = center_square(as_picture(image), network.input_size)

        def measure(picture: torch.Tensor, network=network, layer=layer, unit=unit, keep=keep, photo=photo) -> str:
            with torch.no_grad():
                now, was = (network.run(network.preprocess(one[None]), [layer, keep]) for one in (picture, photo))
            change = float((now[keep] - was[keep]).norm() / was[keep].norm())
            pixels = float((picture - photo).square().mean().sqrt())
            return f"{float(now[layer][0, unit].mean()):10.3f}  {change:.3f}  {pixels:.4f}"

        print(f"{name:20} the photo itself     {measure(photo)}", flush=True)
        for weight in (3.0, 5.0, 8.0):
            began = time.perf_counter()
            objective = Accentuate(f"{layer}:{unit}", keep=keep, strength=weight)
            recipe = objective.default_recipe.replace(steps=steps, n_views=VIEWS)
            made = render(network, objective, recipe, start=photo, progress=False).images[0]
            seconds = time.perf_counter() - began
            print(f"{name:20} peek_widget {weight:6g}   {measure(made)}  {seconds:.0f} s", flush=True)
        for weight in (0.3, 1.0, 3.0):
            began = time.perf_counter()
            made = by_faccent(network, model, (layer, unit, keep), photo, steps, weight)
            seconds = time.perf_counter() - began
            print(f"{name:20} faccent     {weight:6g}   {measure(made)}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
