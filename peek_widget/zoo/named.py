"""torchvision's networks by name, with their default weights."""

from __future__ import annotations

import difflib

from torch import nn

from peek_widget.errors import ModelError

__all__ = ["by_name"]


def by_name(name: str) -> nn.Module:
    """Load torchvision's model ``name`` with its default weights, in eval mode.

    ``.class_names``, ``.preprocess`` and ``.input_size`` are set from the metadata of the weights.
    The weights are downloaded once, to the folder ``hub/checkpoints`` of torch's cache. Raises ModelError
    for an unknown name, and where the weights can't be downloaded.
    """
    # Imported here: the bundled network loads without torchvision.
    from torchvision import models

    from peek_widget.network import Preprocess

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(str(name).lower().replace("-", "_"), known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ModelError(
            f"torchvision has no classification model named {name!r}. {hint}"
            "torchvision.models.list_models() lists the names; without any name the bundled network is taken."
        )
    weights = models.get_model_weights(name).DEFAULT
    try:
        model = models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:
        # URLError and HTTPError are OSErrors; a damaged file shows as a wrong hash or an unreadable archive.
        from torch import hub

        file = weights.url.rsplit("/", 1)[-1]
        raise ModelError(
            f"The weights of {name!r} could not be fetched ({type(error).__name__}: {error}). "
            f"Without network access, put the file {file} into {hub.get_dir()}/checkpoints (a damaged "
            f"file there has to be deleted first), or look at an untrained network with "
            f"UnitExplorer(torchvision.models.{name}()), or take the bundled network: UnitExplorer()."
        ) from error
    transforms = weights.transforms()
    model.class_names = tuple(weights.meta.get("categories", ()))
    model.preprocess = Preprocess(
        mean=tuple(transforms.mean), std=tuple(transforms.std), source=f"torchvision's {weights}"
    )
    model.input_size = transforms.crop_size[0]
    return model.eval()
