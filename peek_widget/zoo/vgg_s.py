"""VGG-S, the network of the original article: CNN-S of Chatfield et al., "Return of the Devil in the Details" (2014).

    224 px  conv1 7x7/2 -> relu1 -> norm1 -> pool1 3x3/3
     37     conv2 5x5   -> relu2 -> pool2 2x2/2
     17     conv3 3x3   -> relu3 -> conv4 3x3 -> relu4 -> conv5 3x3 -> relu5 -> pool5 3x3/3
      6     fc6 -> relu6 -> drop6 -> fc7 -> relu7 -> drop7 -> fc8 (1000 classes of ImageNet)

The layers have the names of its Caffe model, ``VGG_CNN_S``, which the article uses.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from peek_widget.zoo.caffe import fill, read_caffe

if TYPE_CHECKING:
    from peek_widget.network import Preprocess

__all__ = ["VGGS", "vgg_s"]

CLASSES = 1000
MEAN_BGR = (104.0, 117.0, 123.0)
"""Mean pixel of ImageNet in BGR, 0 to 255, rounded as in the article's scripts."""


class VGGS(nn.Sequential):
    """CNN-S: takes ``[N, 3, 224, 224]`` in BGR, 0 to 255, less the mean (``.preprocess``), gives ``[N, 1000]``."""

    input_size = 224

    def __init__(self) -> None:
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, 7, stride=2),
                relu1=nn.ReLU(inplace=True),
                norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
                pool1=nn.MaxPool2d(3, 3, ceil_mode=True),
                conv2=nn.Conv2d(96, 256, 5),
                relu2=nn.ReLU(inplace=True),
                pool2=nn.MaxPool2d(2, 2, ceil_mode=True),
                conv3=nn.Conv2d(256, 512, 3, padding=1),
                relu3=nn.ReLU(inplace=True),
                conv4=nn.Conv2d(512, 512, 3, padding=1),
                relu4=nn.ReLU(inplace=True),
                conv5=nn.Conv2d(512, 512, 3, padding=1),
                relu5=nn.ReLU(inplace=True),
                pool5=nn.MaxPool2d(3, 3, ceil_mode=True),
                flat=nn.Flatten(),
                fc6=nn.Linear(512 * 6 * 6, 4096),
                relu6=nn.ReLU(inplace=True),
                drop6=nn.Dropout(0.5),
                fc7=nn.Linear(4096, 4096),
                relu7=nn.ReLU(inplace=True),
                drop7=nn.Dropout(0.5),
                fc8=nn.Linear(4096, CLASSES),
            )
        )

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing that this network expects of an RGB image in [0, 1]."""
        from peek_widget.network import Preprocess

        return Preprocess(mean=MEAN_BGR, scale=255.0, channels="BGR", source="VGG-S: Caffe's order and range")


def vgg_s(weights: str | Path | None = None) -> VGGS:
    """Build VGG-S in eval mode, with the published weights or untrained.

    Args:
        weights: the file ``VGG_CNN_S.caffemodel`` (393 MiB), which its authors publish for non-commercial use and
            Caffe's Model Zoo links to; download it yourself. None: random weights.

    Raises:
        FileError: if the file is truncated, damaged, not a Caffe model, or another network's.
        OSError: if the file can't be read.
    """
    network = VGGS()
    if weights is not None:
        path = Path(weights).expanduser()
        found = read_caffe(path)
        learnt = {name: module for name, module in network.named_children() if hasattr(module, "weight")}
        fill(learnt, found, path.name)
    return network.eval()
