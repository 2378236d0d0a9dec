"""The model of an explorer: finds it, reads it as a network, reads it again after changes, and draws from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from PIL import Image
from torch import nn

from peek_widget import _pillow
from peek_widget._size import SizeLike
from peek_widget.ascent import Ascent, Objective, Recipe, State, seeds_at_once
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.pictures import as_picture, match_channels
from peek_widget.ascent.still import StillActivation
from peek_widget.errors import PeekError
from peek_widget.evidence import Crop
from peek_widget.live.choices import named_device, objective_of
from peek_widget.live.controls import LARGEST_SEED, MOST_SEEDS
from peek_widget.live.examples.thumbnails import start_picture
from peek_widget.live.snapshot import Snapshot, Start, Target
from peek_widget.network import Network, read, settle_memory_format
from peek_widget.network.precision import Precision, check_precision
from peek_widget.network.reading import read_again
from peek_widget.network.warm import chosen_precision, quicker_precision

__all__ = ["ModelSource", "find_model"]

_TRIED = ("cuda",)  # devices on which memory formats are tried: on a CPU another format would change pixels

_SLOWEST = 0.05
"""Seconds of a step of one picture from which on no other seeds are drawn with it: even trying it would be felt."""


def find_model(model: nn.Module | str | None) -> nn.Module:
    """Return a module as it is, a model of the zoo or of torchvision by name, or the bundled network for None."""
    if model is not None and not isinstance(model, str):
        return model
    # imported only if needed: a user's own model needs neither weights nor torchvision
    from peek_widget import zoo

    with torch.random.fork_rng(devices=[]):  # weights are initialized randomly before they are loaded
        return zoo.bundled() if model is None else zoo.by_name(model)


class ModelSource:
    """The user's model and the network that is read from it.

    Args:
        model: see `find_model`.
        input_size: size of the image that the model was made for, see `peek_widget.network.read`; None finds it by
            trial.
        preprocess: what the model expects; see `peek_widget.network.find_preprocess`.
        device: device to compute on; None for the model's.
        probe: whether to probe the model; see `peek_widget.network.read`.
        precision: what the network computes in while it draws; see `peek_widget.ascent.AscentOptions`. `"auto"` is
            whichever makes five warm steps of the whole network faster, on each device that it is moved to.

    Raises:
        PeekError: or a subclass of it, if the model can't be read.
    """

    def __init__(
        self,
        model: nn.Module | str | None,
        input_size: SizeLike | None = None,
        preprocess: Any = None,
        device: Any = None,
        probe: bool = True,
        precision: Precision | Literal["auto"] | None = None,
    ) -> None:
        self.model: nn.Module = find_model(model)
        self._input_size, self._preprocess = input_size, preprocess
        self.device: str | None = None if device is None else named_device(device)
        self.network: Network = read(self.model, input_size, preprocess, self.device, probe)
        if precision is not None and precision != "auto":
            check_precision(precision, self.network.model_copy.device)
        self._precision: Precision | Literal["auto"] | None = precision
        self._quicker: dict[torch.device, Precision] = {}
        self._formats: dict[torch.device, torch.memory_format] = {}
        self._at_once: dict[tuple[Any, ...], int] = {}
        self._still: tuple[Network, Target, Recipe, StillActivation] | None = None

    @property
    def precision(self) -> Precision | None:
        """What the network computes in while it draws, on its current device; None for whichever suits it."""
        if self._precision != "auto":
            return self._precision
        device = self.network.model_copy.device
        if device not in self._quicker:
            self._quicker[device] = quicker_precision(self.network)
        return self._quicker[device]

    @property
    def computing(self) -> str:
        """The device and precision of drawing: "cpu", or "cpu, in bfloat16"."""
        device = str(self.network.model_copy.device) if self.device is None else self.device
        here = device == str(self.network.model_copy.device)
        return f"{device}, in bfloat16" if here and chosen_precision(self.network, self.precision) == "bf16" else device

    def current(self) -> Network:
        """Return the network as it was last read."""
        return self.network

    def fresh(self) -> Network:
        """Return the network with the model's current weights, on the chosen device."""
        model_copy = self.network.model_copy
        if model_copy.stale() or (self.device is not None and str(model_copy.device) != self.device):
            self.network = read_again(self.network.known, self.model, self._input_size, self._preprocess, self.device)
        else:
            model_copy.refresh()
        return self.network

    def _to_draw_with(self) -> Network:
        """Return the fresh network, on a GPU in the memory format that makes its steps faster."""
        network = self.fresh()
        model_copy = network.model_copy
        if model_copy.device.type in _TRIED:
            if model_copy.device in self._formats:
                model_copy.memory_format = self._formats[model_copy.device]
            else:
                self._formats[model_copy.device] = settle_memory_format(network, precision=self.precision)
        return network

    def weights_version(self) -> int:
        """Return a number that changes with the model's weights."""
        return self.network.model_copy.version()

    def objective(self, target: Target) -> Objective:
        """Return the objective of a target."""
        objective = objective_of(self.network, target)
        return -objective if target.negative else objective

    def _seeds(self, network: Network, target: Target, objective: Objective) -> list[int]:
        """Return the seeds to draw at once: the target's, and the others of its block.

        The blocks are the same whichever seed of one is the target's (0 to 3, 4 to 7), so that the page can show the
        others in their places while one of them is chosen instead.
        """
        count = target.seeds_at_once
        if count is None:
            count = self._found_at_once(network, target, objective)
        first = min(target.seed // count * count, LARGEST_SEED + 1 - count)
        return sorted(range(first, first + count), key=lambda seed: seed != target.seed)

    def _found_at_once(self, network: Network, target: Target, objective: Objective) -> int:
        """Return how many seeds the device draws in about the time of one; tried once for each layer and recipe."""
        if objective.depends_on_batch:
            return 1  # with others it would be another picture
        kind = target.objective if isinstance(target.objective, str) else "custom"
        key = (str(network.model_copy.device), target.layer, target.recipe, target.size, kind)
        if key not in self._at_once:
            try:
                options = {"size": target.size, "precision": self.precision}
                self._at_once[key] = seeds_at_once(
                    network, objective, target.recipe, most=MOST_SEEDS, slowest=_SLOWEST, **options
                )
            except PeekError:
                return 1  # the ascent itself says what is not possible
        return self._at_once[key]

    def make_ascent(self, target: Target) -> Ascent:
        """Begin the ascent of a target."""
        network, objective = self._to_draw_with(), self.objective(target)
        seeds = self._seeds(network, target, objective)
        return Ascent(
            network,
            [objective] * len(seeds),
            target.recipe,
            seed=seeds,
            size=target.size,
            start=None if target.start is None else target.start.picture(),
            precision=self.precision,
        )

    def resume_ascent(self, target: Target, state: State) -> Ascent:
        """Resume an ascent from an earlier state."""
        return Ascent.resume(self._to_draw_with(), state, precision=self.precision)

    def measurement(self, snapshot: Snapshot) -> Callable[[], float]:
        """Prepare to measure the still activation of a run's picture; even with a negative objective, the unit's own.

        Returns:
            A function that measures it with one forward.
        """
        target, recipe, network = snapshot.target, snapshot.recipe, self.network
        # the preparation for one picture of a run holds for all of them
        still = self._still
        if still is None or still[0] is not network or still[1:3] != (target, recipe):
            objective = self.objective(target)
            size = Geometry(network, recipe, target.size, [objective]).sizes[-1].plain
            meter = StillActivation(network, objective, recipe, size)
            still = self._still = (network, target, recipe, meter)
        meter, sign = still[3], -1.0 if target.negative else 1.0
        meter.shown(snapshot.image)
        return lambda: sign * meter(snapshot.image)

    def start_from(self, picture: Any) -> Start | None:
        """Return a picture as the start of an ascent; None for the recipe's own start.

        Args:
            picture: see `UnitExplorer.start_from`.

        Raises:
            PeekError: if it is not an image.
        """
        if picture is None:
            return None
        channels = self.network.channels
        if isinstance(picture, Crop):
            return Start(picture.name, lambda: start_picture(picture, channels))
        if isinstance(picture, Image.Image) and channels == 1 and picture.mode == "RGB":
            picture = _pillow.upright(picture).convert("L")
        # check the image now, so that an error is raised here and not in the worker
        ready = match_channels(as_picture(picture), channels)
        return Start("a given picture", lambda: ready)
