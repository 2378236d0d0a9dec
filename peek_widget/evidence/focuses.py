"""The effective and the measured fields of the crops of some evidence, each computed once, when first asked for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from torch import nn

from peek_widget.errors import PeekError
from peek_widget.network import Network, Preprocess
from peek_widget.network.findings import Known
from peek_widget.network.reading import read_again
from peek_widget.network.receptive_field.effective import EffectiveField
from peek_widget.network.receptive_field.field_map import FieldBox

__all__ = ["Focuses"]

Key = tuple[str, int, str, tuple[int, int]]


class Focuses:
    """The effective fields of crops, by layer, unit, name of the image and position; and the model that gives them.

    The model is held by a weak reference, so that evidence does not keep it alive. It is read again for the first
    crop, since the network of the pass may be another thread's.
    """

    def __init__(self) -> None:
        self._found: dict[Key, EffectiveField] = {}
        self._boxes: dict[Key, FieldBox] = {}
        self._lock = threading.Lock()  # a network is run by one thread at a time
        self._model: weakref.ref[nn.Module] | None = None
        self._how: tuple[int, Preprocess, Any] | None = None
        self._known: Known | None = None
        self._network: Network | None = None

    def use(self, network: Network) -> None:
        """Set the evidence's model, which is read like this network when needed."""
        self._model = weakref.ref(network.model_copy.original)
        self._how = (network.input_size, network.preprocess, network.model_copy.device)
        self._known = network.known
        self._network = None

    def known(self, key: Key) -> EffectiveField | None:
        """Return the effective field of a crop if it was computed before."""
        return self._found.get(key)

    def keep(self, key: Key, field: EffectiveField) -> None:
        """Remember the effective field of a crop."""
        self._found[key] = field

    def compute(self, key: Key, compute: Callable[[Network], EffectiveField]) -> EffectiveField:
        """Return the effective field of a crop, which is computed with the evidence's own model if it is not known.

        Raises:
            PeekError: if the model is not known, or is gone.
        """
        with self._lock:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = compute(self._own_network())
            return found

    def known_box(self, key: Key) -> FieldBox | None:
        """Return the measured field of a crop if it was measured before."""
        return self._boxes.get(key)

    def box(self, key: Key, measure: Callable[[Network], FieldBox]) -> FieldBox:
        """Return the field of a crop that has to be measured on its image, as :meth:`compute` does."""
        with self._lock:
            found = self._boxes.get(key)
            if found is None:
                found = self._boxes[key] = measure(self._own_network())
            return found

    def _own_network(self) -> Network:
        if self._model is None or self._how is None or self._known is None:
            raise PeekError(
                "The evidence was loaded from a file, which holds no model, so no gradient can be computed: say which "
                "it is of with load_evidence(path, dataset, model=model) or evidence.attach(dataset, model=model)."
            )
        if self._network is None or self._network.model_copy.stale():
            model = self._model()
            if model is None:
                raise PeekError(
                    "The model that the evidence was gathered with is gone, so no gradient can be computed: give it "
                    "with evidence.attach(dataset, model=model)."
                )
            self._network = None  # release it first: two copies of the weights may not fit on a GPU
            self._network = read_again(self._known, model, *self._how)
        self._network.model_copy.refresh()
        return self._network
