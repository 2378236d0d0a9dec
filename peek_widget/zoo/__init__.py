"""Networks and images to look at: the bundled one and its image generator, torchvision's by name, VGG-S."""

from peek_widget.zoo.images import CLASS_NAMES, Images, draw
from peek_widget.zoo.named import by_name
from peek_widget.zoo.network import SmallNet, bundled, load
from peek_widget.zoo.vgg_s import VGGS, vgg_s

__all__ = ["CLASS_NAMES", "VGGS", "Images", "SmallNet", "bundled", "by_name", "draw", "load", "vgg_s"]
