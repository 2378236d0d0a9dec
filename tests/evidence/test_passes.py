"""One pass over a dataset: what it finds, and how it ends."""

from __future__ import annotations

import torch
from torch import nn

from peek_widget.evidence import top_crops
from peek_widget.zoo import Images, bundled


def brute(model: nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    """A layer's activations by a plain hook on the model itself."""
    found = []
    handle = dict(model.named_modules())[name].register_forward_hook(lambda m, i, o: found.append(o.clone()))
    with torch.no_grad():
        model(images)
    handle.remove()
    return found[0]


def test_the_crops_are_the_best_of_all_images():
    model, images = bundled(), Images(60)
    crops = top_crops(model, "conv4", images, k=3, batch_size=16, progress=False)
    pixels = torch.stack([images[i][0] for i in range(60)])
    best = brute(model, "conv4", model.preprocess(pixels)).amax(dim=(2, 3)).sort(dim=0, descending=True)
    assert len(crops) == 84
    for unit in range(84):
        assert [c.index for c in crops[unit].top] == best.indices[:3, unit].tolist()
        assert torch.allclose(torch.tensor([c.activation for c in crops[unit].top]), best.values[:3, unit], atol=1e-4)
