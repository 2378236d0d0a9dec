"""Networks and images to look at: the bundled network, its image generator, torchvision's by name."""

from peek_widget.zoo.images import CLASS_NAMES, Images, draw
from peek_widget.zoo.named import by_name
from peek_widget.zoo.network import SmallNet, bundled, load

__all__ = ["CLASS_NAMES", "Images", "SmallNet", "bundled", "by_name", "draw", "load"]
