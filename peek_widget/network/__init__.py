"""Reading somebody's model without touching it: its copy, its layers, their receptive fields, its preprocessing."""

from peek_widget.network.layers import Layer
from peek_widget.network.model_copy import OUTPUT, ModelCopy
from peek_widget.network.network import Network, layers, read
from peek_widget.network.preprocess import Preprocess, PreprocessFunction, find_preprocess

__all__ = [
    "OUTPUT",
    "Layer",
    "ModelCopy",
    "Network",
    "Preprocess",
    "PreprocessFunction",
    "find_preprocess",
    "layers",
    "read",
]
