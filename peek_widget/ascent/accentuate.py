"""Objective: feature accentuation, more (or less) of a unit in a picture that is given."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.ascent.objective import Channel
from peek_widget.ascent.objective_base import Activations, Objective, Sum, Term, describe_layer
from peek_widget.ascent.recipe import Recipe
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.network.context import undisturbed

__all__ = ["STRENGTH", "Accentuate", "fingerprint_of_photo", "of_start"]

STRENGTH = 5.0
"""The weight of the penalty where none is given."""

_TINY = 1e-3  # share of |h0| below which the norm is rounded off, since it has no gradient at 0


def of_start(layer: str) -> str:
    """Return the key of a layer's activations on the same views of the start picture."""
    return f"\0start:{layer}"


def fingerprint_of_photo(picture: Tensor) -> str:
    """Return the first 16 digits of the SHA-256 of a picture ``[C, S, S]`` in [0, 1], rounded to bytes."""
    levels = picture.mul(255.0).round().to(torch.uint8).contiguous().cpu()
    return hashlib.sha256(levels.numpy().tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Accentuate(Objective):
    """More of a unit in a photo: its activation, less the change of an earlier layer from what it is on the photo.

    ``a(v(x)) - strength * s * |h(v(x)) - h(v(x0))| / |h(v(x0))|``, mean over the random views v: x0 is the photo that
    the ascent begins from, a the activation of ``unit``, h those of the layer ``keep`` (Euclidean norms over all
    positions and units), and s the standard deviation of the activations of the unit's layer on the photo, so that
    ``strength`` means the same on every network. Hamblin et al. 2024, "Feature Accentuation" (arXiv 2402.10039), where
    the penalty is weighted by a ratio of gradients instead.

    >>> more = render(model, Accentuate("features.12:33"), start=photo)
    >>> less = render(model, Accentuate(-Channel("features.12", 33)), start=photo)

    It shows what *could* be more in the photo. With a strength of 0 anything may appear in it; a ``keep`` too close to
    the unit's own layer lets textures appear that look like nothing.

    Args:
        unit: what is accentuated: an objective, or ``"layer:unit"`` for the mean over a unit's map. With a minus sign
            there will be less of it.
        keep: name of the layer that is to stay as it is on the photo, or the module; it must come before the unit's
            layer. Left out, the layer with a map that is halfway.
        strength: weight of the penalty, 0 or more.
        photo: filled in by the ascent: what identifies the photo, see :func:`fingerprint_of_photo`.

    Raises:
        PeekError: if ``unit`` is not an objective, or ``strength`` is negative or not a number.
    """

    unit: Objective | str
    keep: str | nn.Module | None = None
    strength: float = STRENGTH
    photo: str = ""

    def __post_init__(self) -> None:
        unit = self.unit
        if isinstance(unit, str):
            layer, colon, number = unit.rpartition(":")
            if not colon or not number.isdecimal():
                raise PeekError(f'Accentuate({unit!r}): name a unit as "layer:unit", or give an objective.')
            object.__setattr__(self, "unit", Channel(layer, int(number)))  # frozen; this is its construction
        elif not isinstance(unit, Objective) or isinstance(unit, Accentuate):
            raise PeekError(f'Accentuate({unit!r}): give an objective, e.g. Channel(layer, 3), or "layer:unit".')
        number = self.strength
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0.0 <= number < math.inf:
            raise PeekError(f"strength={number!r}: give a number, 0 or more.")
        object.__setattr__(self, "strength", float(number))

    @property
    def inner(self) -> Objective:
        """The accentuated objective."""
        assert isinstance(self.unit, Objective)
        return self.unit

    @property
    def needs_start(self) -> bool:
        """Whether it is about the picture that an ascent begins from: True."""
        return True

    @property
    def default_recipe(self) -> Recipe:
        """The recipe where none is given: the whole photo at the network's input size, in 100 steps."""
        return _recipe()

    @property
    def measured(self) -> Objective:
        """The objective that still activations are measured of: the accentuated one, without the penalty."""
        return self.inner

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers of the unit, and of the one that is kept."""
        kept = () if self.keep is None else (self.keep,)
        return tuple(dict.fromkeys((*self.inner.layers, *kept)))

    def resolve(self, network: Network) -> Objective:
        """Return the objective with the names of its layers, ``keep`` among them.

        Raises:
            LayerError: if there is no such layer.
            PeekError: if ``keep`` does not come before the unit's layer, or there is no layer before it.
        """
        inner = self.inner.resolve(network)
        last = min(network.layer(name).index for name in inner.layers)
        if self.keep is not None:
            kept = network.layer(self.keep)
            if kept.index >= last:
                raise PeekError(
                    f"keep={kept.name!r} does not come before {describe_layer(inner.layers[0])}, the unit's layer: "
                    "name an earlier layer."
                )
            return replace(self, unit=inner, keep=kept.name)
        before = [one for one in network.layers[:last] if one.primary and one.spatial and one.differentiable]
        if not before:
            raise PeekError(
                f"There is no layer with a map before {describe_layer(inner.layers[0])} that could be kept: "
                "accentuate a unit of a later layer."
            )
        return replace(self, unit=inner, keep=before[len(before) // 2].name)

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if the network does not have what the objective reads."""
        self.inner.check(network)
        if self.keep is not None:
            network.layer(self.keep)

    def with_start(self, network: Network, picture: Tensor) -> Objective:
        """Return the objective bound to the start picture of an ascent, with everything precomputed from it.

        Args:
            network: the network.
            picture: the picture, ``[C, S, S]`` in [0, 1].
        """
        with undisturbed(network.model_copy.device), torch.no_grad():
            shown = network.preprocess(picture[None].to(network.model_copy.device))
            names = self.inner.layers
            found = network.run(shown, names)
            spread = max(float(found[name].std(correction=0)) for name in names)
        return _Bound(self, self.inner.bind(network), spread if spread > 0 else 1.0)

    def __call__(self, activations: Activations) -> Tensor:
        """Raise PeekError: without a start picture there is no value."""
        raise PeekError(_NO_START)

    def describe(self) -> str:
        """Describe the objective, e.g. ``more of unit 10 of features.12 in a photo, keeping features.5``."""
        inner, amount = self.inner, "more of"
        if isinstance(inner, Sum) and len(inner.parts) == 1 and inner.parts[0][0] < 0:
            inner, amount = -inner, "less of"
        kept = "" if self.keep is None else f", keeping {describe_layer(self.keep)}"
        return f"{amount} {inner.describe()} in a photo{kept}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON; without a unit where that can't be saved."""
        return {
            "kind": "accentuate",
            "unit": self.inner.to_dict(),
            "keep": self.keep,
            "strength": self.strength,
            "photo": self.photo,
        }


_NO_START = (
    "An Accentuate is about the picture that an ascent begins from: give it, "
    "render(model, Accentuate(...), start=photo)."
)


class _Bound(Objective):
    """An :class:`Accentuate` with the standard deviation of its unit on the photo."""

    def __init__(self, accentuate: Accentuate, inner: Objective, spread: float) -> None:
        super().__init__(self._value, accentuate.layers, accentuate.describe())
        kept = accentuate.keep
        assert isinstance(kept, str)
        self._inner, self._weight = inner, accentuate.strength * spread
        self._change = Objective(functools.partial(_change, kept), [kept], f"change of {describe_layer(kept)}")

    @property
    def depends_on_batch(self) -> bool:
        return self._inner.depends_on_batch

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        change = self._change.in_batch(activations, count, index)
        return self._inner.in_batch(activations, count, index) - self._weight * change

    def log_probability(self, activations: Activations) -> Tensor | None:
        return self._inner.log_probability(activations)

    def rivals(self, activations: Activations) -> Tensor | None:
        return self._inner.rivals(activations)

    def terms(self) -> tuple[Term, ...]:
        return (*self._inner.terms(), (self._change.describe(), -self._weight, self._change))

    def _value(self, activations: Activations) -> Tensor:
        return self._inner(activations) - self._weight * self._change(activations)


def _change(layer: str, activations: Activations) -> Tensor:
    """Return ``|h - h0| / |h0|`` for each view, ``[M]``."""
    now, was = activations[layer].flatten(1), activations[of_start(layer)].flatten(1)
    size = was.norm(dim=1).clamp(min=1e-12)
    return ((now - was).square().sum(1) / size.square() + _TINY**2).sqrt() - _TINY


@functools.cache
def _recipe() -> Recipe:
    # Nearly all of the photo in every view, as faccent's boxes of 85 to 95 %; no penalty on its own edges.
    return Recipe.preset("peek").replace(
        name="accentuate",
        steps=100,
        size=None,
        view_size=None,
        n_views=2,
        crop=(0.85, 0.95),
        jitter=0.0,
        rotation=0.0,
        total_variation=0.0,
        contrast_floor=0.0,
        rivals=0.0,
        residual_gradient=1.0,
        relu_leak=0.0,
        pool_spread=0.0,
        weight_noise=0.0,
        class_flip=0.0,
        step_size=(0.05, 0.02),
    )
