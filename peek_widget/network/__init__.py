"""Reading somebody's model without touching it."""

from peek_widget.network.layers import Layer, Network, layers, read
from peek_widget.network.model_copy import OUTPUT, ModelCopy
from peek_widget.network.preprocess import Preprocess, find_preprocess

__all__ = ["OUTPUT", "Layer", "ModelCopy", "Network", "Preprocess", "find_preprocess", "layers", "read"]
