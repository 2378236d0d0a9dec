"""A photo of your own: what the network takes it for, which units fire unusually on it, and where."""

from peek_widget.photo.edits import EDITS, Edit
from peek_widget.photo.firing import Firing
from peek_widget.photo.look import Look, WhatIf
from peek_widget.photo.predictions import Prediction, Predictions
from peek_widget.photo.reader import PhotoReader, look_at
from peek_widget.photo.unit_map import UnitMap

__all__ = [
    "EDITS",
    "Edit",
    "Firing",
    "Look",
    "PhotoReader",
    "Prediction",
    "Predictions",
    "UnitMap",
    "WhatIf",
    "look_at",
]
