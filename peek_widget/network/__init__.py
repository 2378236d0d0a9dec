"""Reading somebody's model without touching it: its copy, its layers, their receptive fields, its preprocessing."""

from peek_widget.network.layers import Layer
from peek_widget.network.memory_format import settle_memory_format
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.network import Network
from peek_widget.network.outputs import OUTPUT
from peek_widget.network.preprocess import Preprocess, PreprocessFunction, find_preprocess
from peek_widget.network.reading import layers, read
from peek_widget.network.warm import chosen_precision, quicker_precision

__all__ = [
    "OUTPUT",
    "Layer",
    "ModelCopy",
    "Network",
    "Preprocess",
    "PreprocessFunction",
    "chosen_precision",
    "find_preprocess",
    "layers",
    "quicker_precision",
    "read",
    "settle_memory_format",
]
