"""Networks by name, with their weights: EfficientNet-Lite0, and torchvision's."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from torch import nn

from peek_widget.errors import ModelError
from peek_widget.zoo.efficientnet_lite0 import efficientnet_lite0

__all__ = ["by_name"]

#: Networks that torchvision does not have.
_OURS: dict[str, Callable[[], nn.Module]] = {"efficientnet_lite0": efficientnet_lite0}


# Extensions of files of weights.
_WEIGHT_FILES = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".tar", ".pkl")


def by_name(name: str) -> nn.Module:
    """Load a network with its weights, in eval mode: ``"efficientnet_lite0"``, or any of torchvision's classifiers.

    It has ``.class_names``, ``.preprocess`` and ``.input_size``, torchvision's from the metadata of the weights. Those
    are downloaded once, to the folder ``hub/checkpoints`` of torch's cache; EfficientNet-Lite0's are never downloaded
    (see :func:`~peek_widget.zoo.efficientnet_lite0`). Raises ModelError for an unknown name, and where there are no
    weights.
    """
    if name in _OURS:
        return _OURS[name]()
    # Imported here: the bundled network loads without torchvision.
    from torchvision import models

    from peek_widget.network import Preprocess

    known = models.list_models(module=models)
    if name not in known:
        like = str(name).lower().replace("-", "_")
        near = difflib.get_close_matches(like, [*_OURS, *known], n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        if "/" in str(name) or str(name).endswith(_WEIGHT_FILES):
            hint = (
                "A file holds weights: make the model, load them with model.load_state_dict(...), and give the model. "
            )
        raise ModelError(
            f"There is no network named {name!r}. {hint}Choose {', '.join(map(repr, _OURS))} or one of "
            "torchvision's classification models (torchvision.models.list_models() lists their names); without any "
            "name the bundled network is taken."
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
            f"UnitExplorer(torchvision.models.{name}()), or take one that is never downloaded: "
            "UnitExplorer('efficientnet_lite0') or the bundled network, UnitExplorer()."
        ) from error
    transforms = weights.transforms()
    model.class_names = tuple(weights.meta.get("categories", ()))
    model.preprocess = Preprocess(
        mean=tuple(transforms.mean), std=tuple(transforms.std), source=f"torchvision's {weights}"
    )
    model.input_size = transforms.crop_size[0]
    return model.eval()
