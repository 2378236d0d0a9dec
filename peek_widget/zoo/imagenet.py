"""The names of ImageNet's classes, from torchvision."""

from __future__ import annotations

import functools

__all__ = ["imagenet_names"]


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes (Russakovsky et al. 2015), in their order.

    Raises:
        ImportError: without torchvision.
    """
    # Imported here: the bundled network loads without torchvision.
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V2.meta["categories"])
