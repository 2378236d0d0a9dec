"""The bundled network: six convolutions, global average pooling and a linear layer.

    64 px  conv1 5x5 -> relu1 -> pool1
    32 px  conv2 3x3 -> relu2 -> pool2
    16 px  conv3 3x3 -> relu3 -> conv4 3x3 -> relu4 -> pool3
     8 px  conv5 3x3 -> relu5 -> conv6 3x3 -> relu6
     1     average (over all positions) -> classes (one logit for each class)

It takes images of any size from 64 px up, since it averages over the map of conv6. Its batch normalization is folded
into the convolutions after training, so that the diagram shows all that runs.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from peek_widget.errors import ModelError

if TYPE_CHECKING:
    from peek_widget.network import Preprocess

__all__ = ["TRAINED_SIZE", "WEIGHTS", "SmallNet", "bundled", "load"]

WEIGHTS = Path(__file__).with_name("bundled.safetensors")
#: Side in pixels of the images that it was trained on, the smallest that it should be given.
TRAINED_SIZE = 64
#: Normalization of each channel, the same for all three: (pixel - MEAN) / STD, pixels in [0, 1].
MEAN, STD = 0.5, 0.25
#: Channels of conv1 ... conv6 as multiples of the width.
_GROWTH = (1, 1.5, 2.5, 3.5, 5, 7)


class SmallNet(nn.Sequential):
    """A small convolutional classifier; ``width`` is the number of channels of conv1, those of the others grow with it.

    Takes float32 ``[N, 3, H, W]``, normalized as ``.preprocess`` says, H and W from 64 px up, and returns
    logits ``[N, classes]``. With ``normalized=True`` a batch normalization follows each convolution, as in training;
    :meth:`folded` returns the network without it.
    """

    def __init__(self, width: int, class_names: tuple[str, ...], normalized: bool = False):
        channels = [round(width * growth) for growth in _GROWTH]
        parts: list[tuple[str, nn.Module]] = []
        before = 3
        for number, (after, side, pool) in enumerate(
            zip(channels, (5, 3, 3, 3, 3, 3), (1, 2, 0, 3, 0, 0), strict=True), start=1
        ):
            conv = nn.Conv2d(before, after, side, padding=side // 2, bias=not normalized)
            parts.append((f"conv{number}", conv))
            if normalized:
                parts.append((f"norm{number}", nn.BatchNorm2d(after)))
            parts.append((f"relu{number}", nn.ReLU()))
            if pool:
                parts.append((f"pool{pool}", nn.MaxPool2d(2)))
            before = after
        parts += [
            ("average", nn.AdaptiveAvgPool2d(1)),
            ("flat", nn.Flatten()),
            ("classes", nn.Linear(before, len(class_names))),
        ]
        super().__init__(OrderedDict(parts))
        self.width = width
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.input_size = TRAINED_SIZE

    @property
    def preprocess(self) -> Preprocess:
        """The normalization that this network expects of an image in [0, 1]."""
        # Imported here: loading the weights needs nothing of the engine.
        from peek_widget.network import Preprocess

        return Preprocess(mean=(MEAN,) * 3, std=(STD,) * 3)

    def folded(self) -> SmallNet:
        """Return a network that computes the same without batch normalization, in eval mode; self is unchanged."""
        plain = SmallNet(self.width, self.class_names)
        with torch.no_grad():
            for number in range(1, len(_GROWTH) + 1):
                source, target = getattr(self, f"conv{number}"), getattr(plain, f"conv{number}")
                norm = getattr(self, f"norm{number}", None)
                if norm is None:
                    target.load_state_dict(source.state_dict())
                    continue
                gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                target.weight.copy_(source.weight * gain[:, None, None, None])
                target.bias.copy_(norm.bias - norm.running_mean * gain)
            plain.classes.load_state_dict(self.classes.state_dict())
        return plain.eval()


def load(path: str | Path) -> SmallNet:
    """Load a network from a safetensors file written by ``python -m tools.zoo.train``, in eval mode.

    Its ``.facts`` are the file's metadata (a dict of str): how it was trained, and its accuracy. Raises ModelError if
    the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    own = path != WEIGHTS
    if not path.is_file():
        what = "give the path of one" if own else "reinstall peek_widget"
        raise ModelError(
            f"The weights file {path} is missing: {what} (in a checkout of peek_widget's repository you can also train "
            f"one: python -m tools.zoo.train --out {path.name})."
        )
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        what = "give one that python -m tools.zoo.train has written" if own else "reinstall peek_widget"
        raise ModelError(f"The weights file {path} can't be read ({error}). It is probably damaged: {what}.") from error
    try:
        network = SmallNet(int(facts["width"]), tuple(json.loads(facts["classes"])))
        network.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        what = "is not of a network that python -m tools.zoo.train has written" if own else "is damaged"
        do = "a model of your own goes straight into UnitExplorer(model)" if own else "reinstall peek_widget"
        raise ModelError(f"The weights file {path} {what} ({error}): {do}.") from error
    network.facts = facts
    return network.eval()


def bundled() -> SmallNet:
    """Load the network that comes with the package: 28 classes of generated images of 64 px and more.

    It is loaded from the installed files alone: no network access, no pickle. In eval mode, with
    ``.class_names`` and ``.preprocess``. Raises ModelError when the weights file is damaged.
    """
    return load(WEIGHTS)
