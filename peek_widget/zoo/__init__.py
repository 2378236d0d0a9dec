"""Networks and images to look at: the bundled one and its image generator, EfficientNet-Lite0, torchvision's, VGG-S."""

from peek_widget.zoo.efficientnet_lite0 import EfficientNetLite0, efficientnet_lite0
from peek_widget.zoo.images import CLASS_NAMES, Images, draw
from peek_widget.zoo.named import by_name
from peek_widget.zoo.network import SmallNet, bundled, load
from peek_widget.zoo.vgg_s import VGGS, vgg_s

__all__ = [
    "CLASS_NAMES",
    "VGGS",
    "EfficientNetLite0",
    "Images",
    "SmallNet",
    "bundled",
    "by_name",
    "draw",
    "efficientnet_lite0",
    "load",
    "vgg_s",
]
