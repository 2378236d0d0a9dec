"""The same gradient ascent written by hand in plain torch: the baseline of benchmarks/engine.py.

It draws what ``Ascent`` draws for ``Channel(layer, unit)`` with :data:`RECIPE`: a Fourier spectrum with decorrelated
color, one rotated and shifted view, total variation, Adam; from the same seed, with autograd's own gradients. It
checks, copies and records nothing, and can do nothing else.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peek_widget import Recipe

RECIPE = Recipe(
    octaves=((150, 1.0),),
    param="fourier",
    optimizer="adam",
    sampling="crop",
    init_std=0.01,
    spectrum_power=1.1,
    step_size=0.05,
    jitter=0.05,
    total_variation=0.05,
    crop=(0.3, 1.2),
    field_crop=(0.9, 1.5),
    rotation=10.0,
    size=160,
)
"""One view of the picture at each step, as Lucent has it."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised by a hook to end the forward pass at a layer."""


def without_last_relus(module: nn.Module) -> None:
    """Change a layer of torchvision's SqueezeNet, VGG or GoogLeNet to return the input of its last ReLUs."""
    kind = type(module).__name__
    if kind == "Fire":
        module.expand1x1_activation = module.expand3x3_activation = nn.Identity()
    elif kind == "BasicConv2d":
        module.forward = lambda x: module.bn(module.conv(x))
    elif kind == "Inception":
        for branch in (module.branch1, module.branch2[-1], module.branch3[-1], module.branch4[-1]):
            without_last_relus(branch)
    elif kind != "Conv2d":
        raise ValueError(f"no rule by hand for a {kind}")


def stopped(model: nn.Module, layer: str) -> Callable[[Tensor], Tensor]:
    """Return a function from a preprocessed image to a layer's pre-ReLU activations, which runs no further layer."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    module = model.get_submodule(layer)
    without_last_relus(module)
    found: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        found.append(output)
        raise Stopped

    module.register_forward_hook(hook)

    def forward(image: Tensor) -> Tensor:
        try:
            model(image.contiguous(memory_format=torch.channels_last))
        except Stopped:
            return found.pop()
        raise AssertionError(f"{layer} never ran")

    return forward


class ByHand:
    """The hand-written loop, one step at a time.

    Args:
        model: the model, of which a copy is run.
        layer: name of the layer.
        unit: number of the unit, whose mean over the feature map is maximized.
        size: side of the picture and of the view, in pixels.
        seed: seed of the initial noise and of the views, as in the engine.
    """

    def __init__(self, model: nn.Module, layer: str, unit: int, size: int, seed: int = 0) -> None:
        device = next(model.parameters()).device
        self.forward, self.unit, self.size = stopped(model, layer), unit, size
        self.generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(3, size, size // 2 + 1, 2, generator=self.generator)
        self.spectrum = (0.01 * noise)[None].to(device).requires_grad_()
        down = torch.fft.fftfreq(size, dtype=torch.float64)[:, None]
        across = torch.fft.rfftfreq(size, dtype=torch.float64)[None]
        cycles = size * torch.sqrt(down**2 + across**2)
        # No frequency above the highest that a view shows, which is 1.2 pictures wide.
        self.scale = (size / cycles.clamp(min=1.0) ** 1.1 * (cycles <= 0.5 * size / 1.2)).float().to(device)
        color = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
        self.color = (color / color.norm(dim=0).max()).to(device)
        self.mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self.deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1)
        self.adam = torch.optim.Adam([self.spectrum], lr=0.05)
        self.first: Tensor | None = None

    def picture(self) -> Tensor:
        """Render the picture, ``[1, 3, S, S]`` in [0, 1]."""
        spectrum = torch.view_as_complex(self.spectrum) * self.scale
        values = torch.fft.irfft2(spectrum, s=(self.size, self.size), norm="ortho") / 4.0
        return torch.sigmoid(torch.einsum("nchw,dc->ndhw", values, self.color))

    def view(self, picture: Tensor) -> Tensor:
        """Render a view: 1.2 times the side, rotated by up to 10 degrees and shifted by up to 5 %."""
        draw = torch.rand(1, 6, generator=self.generator)
        angle = math.radians(10.0) * (2.0 * draw[:, 1] - 1.0)
        cos, sin = 1.2 * torch.cos(angle), 1.2 * torch.sin(angle)
        shift = 2.0 * 0.05 * (2.0 * draw[:, 4:6] - 1.0)
        theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
        grid = F.affine_grid(theta.to(picture.device), list(picture.shape), align_corners=False)
        return F.grid_sample(picture, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def step(self) -> None:
        """Make one step."""
        picture = self.picture()
        seen = picture.detach().requires_grad_()
        self.forward((self.view(seen) - self.mean) / self.deviation)[:, self.unit].mean().backward()
        gradient, still = seen.grad, seen.detach()
        down = torch.sign(still[:, :, 1:] - still[:, :, :-1])
        across = torch.sign(still[:, :, :, 1:] - still[:, :, :, :-1])
        variation = F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))
        variation += F.pad(across, (1, 0)) - F.pad(across, (0, 1))
        gradient = gradient - 0.05 * gradient.square().mean().sqrt() * variation
        if self.first is None:
            self.first = gradient.square().mean().sqrt()
        self.spectrum.grad = None
        picture.backward(-gradient / self.first)
        self.adam.step()
