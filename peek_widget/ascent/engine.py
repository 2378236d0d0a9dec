"""The loop: gradient ascent on an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from PIL import Image as PILImage
from torch import Generator, Tensor, nn

from peek_widget.ascent import regularise, views
from peek_widget.ascent.image import Fourier, Image, Pixels
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import KNOBS, Recipe, check_size
from peek_widget.errors import AscentError, PeekError, RecipeError, SizeError
from peek_widget.network import OUTPUT, Ghost, Network, read

__all__ = ["Ascent", "Result", "Step", "ascend", "render", "to_pil"]


@dataclass(frozen=True)
class Step:
    """What one step made.

    Attributes:
        index: of the step, from 0.
        images: the pictures after it, float32 ``[N, C, S, S]`` in [0, 1] on the CPU, a copy.
        activations: ``[N]``: each objective's value before the ReLU, on what the network saw in this step (the
            pictures before it), mean over views.
    """

    index: int
    images: Tensor
    activations: Tensor

    @property
    def image(self) -> Tensor:
        """The first picture, ``[C, S, S]``."""
        return self.images[0]

    @property
    def activation(self) -> float:
        """The first objective's value."""
        return float(self.activations[0])


@dataclass(frozen=True)
class Result:
    """The end of an ascent.

    Attributes:
        images: float32 ``[N, C, S, S]`` in [0, 1].
        history: ``[steps, N]``: every step's activations.
    """

    images: Tensor
    history: Tensor

    def pil(self, index: int = 0) -> PILImage.Image:
        """One of the pictures for Pillow."""
        return to_pil(self.images[index])

    def save(self, path: str | Path, index: int = 0) -> None:
        """Write one of the pictures; the name's ending says in which format."""
        self.pil(index).save(path)


def to_pil(image: Tensor) -> PILImage.Image:
    """A picture ``[C, H, W]`` in [0, 1] for Pillow: its first three channels as RGB; of fewer the mean, in grey."""
    levels = image.detach().cpu().clamp(0.0, 1.0) * 255.0
    if levels.shape[0] < 3:
        return PILImage.fromarray(levels.mean(0).round().to(torch.uint8).numpy())
    return PILImage.fromarray(levels[:3].permute(1, 2, 0).round().to(torch.uint8).contiguous().numpy())


@dataclass(frozen=True)
class _Group:
    """Pictures of a batch that are laid before the network in the same way and go through it together."""

    members: tuple[int, ...]
    frame: views.Frame
    layers: tuple[str, ...]


class Ascent:
    """One run of gradient ascent, step by step, with every random draw from generators of its own.

    The same model, objective, recipe, seed, size and device give the same pixels, bit for bit on the CPU
    (same machine, number of threads and batch).

    Args:
        model: a model, its ghost, or a network already read; the model is neither run nor changed.
        objective: what to make larger; a list draws a batch, one picture for each.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        seed: of the start and of the views; a list gives one to each picture.
        size: side of the pictures in pixels; left out, the recipe's, else the model's input size.
        preprocess: see :func:`~peek_widget.network.find_preprocess`.
        device: where to run; left out, the model's own.
        input_size: side of the image that the model was made for; found by trial when left out.

    Raises:
        PeekError: what was asked for is not possible (ModelError, LayerError, UnitError, SizeError,
            RecipeError), in a sentence.
    """

    def __init__(
        self,
        model: nn.Module | Ghost | Network,
        objective: Objective | Sequence[Objective],
        recipe: Recipe | str | None = None,
        *,
        seed: int | Sequence[int] = 0,
        size: int | None = None,
        preprocess: Any = None,
        device: str | torch.device | None = None,
        input_size: int | None = None,
    ) -> None:
        self.network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
        self.recipe = _recipe(recipe)
        self.objectives = _objectives(objective)
        for one in self.objectives:
            one.check(self.network)
        self.seeds = _seeds(seed, len(self.objectives))
        self.preprocess = self.network.preprocess
        self.device = self.network.ghost.device
        self.index = 0
        self.steps = self.recipe.steps
        self._overrides: dict[str, float] = {}
        self._scales = [scale for _, scale in self.recipe.octaves]
        self._set_sizes(size)
        self._groups = self._make_groups()
        self._generators = [Generator().manual_seed(s) for s in self.seeds]
        with torch.inference_mode(False):
            self._image = self._start()
            self._optimiser = self._make_optimiser()
        self._first_size: Tensor | None = None

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.index >= self.steps

    @property
    def images(self) -> Tensor:
        """The pictures as they are, float32 ``[N, C, S, S]`` in [0, 1] on the CPU, a copy."""
        with torch.no_grad():
            return self._image.render().clamp(0.0, 1.0).float().cpu().clone()

    def override(self, **knobs: float | None) -> None:
        """Hold knobs at a value from the next step on; None gives one back to the recipe.

        Raises:
            RecipeError: for an unknown knob or a value out of its range.
        """
        for name, value in knobs.items():
            if name not in KNOBS:
                raise RecipeError(f"There is no knob {name!r}; possible are {', '.join(KNOBS)}.")
            if value is None:
                self._overrides.pop(name, None)
            else:
                self._overrides[name] = KNOBS[name].check(value)

    def values(self) -> dict[str, float]:
        """The knobs as the next step will use them."""
        last = self.recipe.steps - 1
        return {n: self._overrides.get(n, self.recipe.at(n, min(self.index, last))) for n in KNOBS}

    def extend(self, steps: int) -> None:
        """Allow so many steps more than now, with the recipe's last values."""
        self.steps = max(self.steps, self.index) + steps

    def step(self) -> Step:
        """Make one step.

        Raises:
            AscentError: if nothing at the start changes the objective, or a number is not finite.
            ModelError: if the model's forward raises; the cause is chained.
        """
        # Whatever the caller's context says: without gradients there is no ascent.
        with torch.inference_mode(False), torch.enable_grad():
            return self._step()

    def _step(self) -> Step:
        self._enter_octave()
        knobs = self.values()
        parameter = self._image.parameter
        pictures = self._image.render()
        seen = pictures.detach().requires_grad_()
        activations, windows = self._climb(seen, knobs["jitter"])
        gradient = seen.grad
        assert gradient is not None
        self._check(gradient, activations)
        if knobs["total_variation"] > 0.0:
            pull = regularise.total_variation_gradient(seen.detach())
            gradient = gradient - knobs["total_variation"] * _size(gradient) * pull
        if self.recipe.optimiser == "adam":
            if self._first_size is None:
                # Units differ by orders of magnitude, and Adam's epsilon is absolute.
                self._first_size = _size(gradient).clamp(min=1e-30)
            parameter.grad = None
            pictures.backward(-gradient / self._first_size)
            self._optimiser.param_groups[0]["lr"] = knobs["step_size"]
            self._optimiser.step()
        else:
            with torch.no_grad():
                for picture, slope, (rows, columns) in zip(parameter, gradient, windows, strict=True):
                    part = slope[:, rows, columns]
                    mean = part.abs().mean()
                    # A picture that nothing moves any more stays as it is.
                    picture[:, rows, columns] += knobs["step_size"] * torch.where(mean > 0, part / mean, 0.0)
        if isinstance(self._image, Pixels):
            with torch.no_grad():
                parameter.clamp_(0.0, 255.0)
        regularise.decay(self._image, knobs["decay"], self.preprocess.neutral())
        regularise.blur(self._image, knobs["blur"], windows)
        self.index += 1
        return Step(self.index - 1, self.images, activations)

    # What the network sees

    def _climb(self, seen: Tensor, jitter: float) -> tuple[Tensor, list[views.Window]]:
        """Gradients of the objectives into ``seen.grad``; their values ``[N]``, and the square seen of each picture."""
        recipe, count = self.recipe, self.recipe.views
        activations = torch.zeros(len(self.objectives))
        windows: list[views.Window] = [(slice(None), slice(None))] * len(self.objectives)
        for group in self._groups:
            generators = [self._generators[i] for i in group.members]
            pictures = seen if len(group.members) == len(seen) else seen[list(group.members)]
            if recipe.view == "window":
                count = 1
                cuts = []
                for member, picture, generator in zip(group.members, pictures, generators, strict=True):
                    rows, columns = windows[member] = views.window(self.size, self._window, generator)
                    cuts.append(views.shift(picture[None, :, rows, columns], jitter, generator))
                shown = torch.cat(cuts)
                if shown.shape[-1] != group.frame.side:
                    shown = nn.functional.interpolate(
                        shown, size=(group.frame.side,) * 2, mode="bilinear", antialias=True, align_corners=False
                    )
            else:
                shown = views.affine_views(pictures, group.frame, count, recipe.rotation, jitter, generators)
            prepared = self.preprocess(shown)
            outputs = self.network.run(prepared, group.layers)
            total = seen.new_zeros(())
            for place, member in enumerate(group.members):
                part = slice(place * count, (place + 1) * count)
                value = _value(self.objectives[member], {name: output[part] for name, output in outputs.items()}, count)
                activations[member] = value.detach()
                total = total + value
            if not total.requires_grad:
                raise AscentError(_FLAT.format(objective=self.objectives[group.members[0]]))
            total.backward()
        return activations, windows

    def _check(self, gradient: Tensor, activations: Tensor) -> None:
        flat = gradient.flatten(1)
        finite = torch.isfinite(flat.sum(1)).cpu() & torch.isfinite(activations)
        if not bool(finite.all()):
            bad = int((~finite).nonzero()[0])
            raise AscentError(
                f"At step {self.index} the activation or gradient of {self.objectives[bad]!r} is not a finite number: "
                "make step_size smaller; if it is so at step 0, look for NaN in the model's weights or preprocess."
            )
        if self.index == 0:
            still = (flat == 0).all(1).cpu()
            if bool(still.any()):
                raise AscentError(_FLAT.format(objective=self.objectives[int(still.nonzero()[0])]))

    # Sizes

    def _set_sizes(self, size: int | None) -> None:
        grown = 1.0
        for scale in self._scales:
            grown *= scale
        size = size if size is not None else self.recipe.size
        # Without a size said, an octave recipe begins at the model's input size, as published.
        base = self.network.input_size if size is None else check_size(size) / grown
        sides, side = [], base
        for scale in self._scales:
            side *= scale
            sides.append(max(1, round(side)))
        if size is not None:
            sides[-1] = size
        self._sides = sides
        self.size = sides[0]
        self._window = sides[0]

    def _make_groups(self) -> tuple[_Group, ...]:
        members: dict[tuple[Any, ...], list[int]] = {}
        for number, objective in enumerate(self.objectives):
            key = (self._frame(objective), objective.layers)
            members.setdefault(key, []).append(number)
        return tuple(_Group(tuple(m), frame, layers) for (frame, layers), m in members.items())

    def _frame(self, objective: Objective) -> views.Frame:
        network, recipe = self.network, self.recipe
        whole = any(network.fixed(name) for name in objective.layers)
        limit = min(self._window, network.input_size)
        if recipe.view == "window":
            side = network.input_size if whole else self._window
            return self._runnable(objective, views.Frame(side, (1.0, 1.0)))
        centre = objective.centred
        layer = network.layer(centre) if centre is not None else None
        if layer is None or layer.sees_all or not layer.spatial:
            side = network.input_size if whole else limit
            shares = recipe.crop if layer is not None or OUTPUT in objective.layers else (recipe.crop[1],) * 2
            return self._runnable(objective, views.Frame(side, shares))
        # The field, and room round it, so that no zero padding comes into it.
        field, stride = max(layer.receptive_field), max(layer.stride)
        side = min(limit, field + 2 * stride)
        frame = self._runnable(objective, views.Frame(side, (1.0, 1.0), (0.0, 0.0)))
        visible = side / min(field, side)
        middle = []
        for axis in (0, 1):
            places = self._places(layer.name, side)[axis]
            pixel = layer.start[axis] + (places - 1) // 2 * layer.stride[axis]
            middle.append((2.0 * pixel + 1.0) / side - 1.0)
        shares = (recipe.field_crop[0] * visible, recipe.field_crop[1] * visible)
        return views.Frame(frame.side, shares, (middle[0], middle[1]))

    def _places(self, name: str, side: int) -> tuple[int, int]:
        probe = torch.zeros(1, self.network.channels, side, side, device=self.device)
        with torch.no_grad():
            value = self.network.run(self.preprocess(probe), [name])[name]
        return value.shape[2], value.shape[3]

    def _runnable(self, objective: Objective, frame: views.Frame) -> views.Frame:
        """The frame, if the objective's layers can be computed at its side; SizeError with the least size if not."""
        for name in objective.layers:
            if self.network.runs_at(name, frame.side):
                continue
            least = self.network.minimum(name)
            what = f"layer {name!r}" if name else "the model's output"
            raise SizeError(
                f"A picture of {self._sides[-1]} px is too small: {what} can't be computed from the {frame.side} px "
                f"that the network would get, it needs at least {least}. Give size={self._least_size(least)} or more."
            )
        return frame

    def _least_size(self, view: int) -> int:
        return -(-view * self._sides[-1] // self._window)

    # The picture

    def _start(self) -> Image:
        recipe, channels, side = self.recipe, self.network.channels, self.size
        if recipe.image == "pixels":
            noise = torch.stack([torch.randn(channels, side, side, generator=g) for g in self._generators])
            return Pixels((recipe.start_level + recipe.start_deviation * noise).to(self.device))
        shape = (channels, side, side // 2 + 1, 2)
        noise = torch.stack([torch.randn(shape, generator=g) for g in self._generators])
        return Fourier((recipe.start_deviation * noise).to(self.device), side, recipe.spectrum_power, self._bands())

    def _bands(self) -> Tensor:
        """For each picture the finest grain, in cycles a picture, that its closest view shows: nobody sees more."""
        bands = torch.empty(len(self.objectives))
        for group in self._groups:
            bands[list(group.members)] = 0.5 * group.frame.side / group.frame.shares[0]
        return bands

    def _make_optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([self._image.parameter], lr=self.recipe.at("step_size", 0))

    def _enter_octave(self) -> None:
        octave, done, _ = self.recipe.octave(min(self.index, self.recipe.steps - 1))
        if done == 0 and self.index < self.recipe.steps and self._sides[octave] != self.size:
            self.size = self._sides[octave]
            self._image.resize(self.size)
            self._optimiser = self._make_optimiser()


_FLAT = (
    "At the start nothing that can be changed in the picture changes {objective!r}: its gradient is zero everywhere. "
    "Try another seed; if it stays so, the unit is dead or does not look at the image."
)


def _size(gradient: Tensor) -> Tensor:
    """Root mean square of each picture's gradient, ``[N, 1, 1, 1]``."""
    return gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def _value(objective: Objective, activations: dict[str, Tensor], count: int) -> Tensor:
    """The objective's value, mean over the views of one picture."""
    try:
        values = objective(activations)
    except KeyError as error:
        raise PeekError(
            f"The objective reads the layer {error}, which is not among its layers={list(objective.layers)}: name "
            "every layer that it reads."
        ) from error
    if not isinstance(values, Tensor) or values.shape != (count,):
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise PeekError(
            f"The objective's function gave {got} for {count} image{'s' * (count != 1)}: it must give a tensor with "
            "one number for each image, e.g. activations[layer][:, unit].mean(dim=(1, 2))."
        )
    return values.mean()


def _recipe(recipe: Recipe | str | None) -> Recipe:
    if recipe is None:
        return Recipe.preset("peek")
    if isinstance(recipe, str):
        return Recipe.preset(recipe)
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe is a {type(recipe).__name__}: give a Recipe or the name of a preset.")
    return recipe


def _objectives(objective: Any) -> tuple[Objective, ...]:
    given = list(objective) if isinstance(objective, (list, tuple)) else [objective]
    if not given or not all(isinstance(one, Objective) for one in given):
        raise PeekError(
            f"{objective!r} is not an objective: give Channel(layer, unit), Neuron(layer, unit), Logit(unit), or a "
            "list of such."
        )
    return tuple(given)


def _seeds(seed: Any, count: int) -> tuple[int, ...]:
    seeds = tuple(seed) if isinstance(seed, (list, tuple)) else (seed,) * count
    if len(seeds) != count:
        raise PeekError(f"{len(seeds)} seeds for {count} objectives: give one number, or one for each.")
    for one in seeds:
        if isinstance(one, bool) or not isinstance(one, SupportsIndex) or not 0 <= int(one) < 2**63:
            raise PeekError(f"seed={one!r}: give a whole number from 0.")
    return tuple(int(one) for one in seeds)


def ascend(
    model: nn.Module | Ghost | Network,
    objective: Objective | Sequence[Objective],
    recipe: Recipe | str | None = None,
    *,
    seed: int | Sequence[int] = 0,
    size: int | None = None,
    preprocess: Any = None,
    device: str | torch.device | None = None,
    input_size: int | None = None,
) -> Iterator[Step]:
    """Draw, one :class:`Step` after the other; see :class:`Ascent` for the arguments and errors.

    Example:
        ``for step in ascend(model, Neuron("features.12", 10)): print(step.index, step.activation)``
    """
    ascent = Ascent(
        model, objective, recipe, seed=seed, size=size, preprocess=preprocess, device=device, input_size=input_size
    )
    # Not itself a generator function: what is wrong with the arguments is said at the call, not at the first step.
    return _steps(ascent)


def _steps(ascent: Ascent) -> Iterator[Step]:
    while not ascent.done:
        yield ascent.step()


def render(
    model: nn.Module | Ghost | Network,
    objective: Objective | Sequence[Objective],
    recipe: Recipe | str | None = None,
    *,
    seed: int | Sequence[int] = 0,
    size: int | None = None,
    preprocess: Any = None,
    device: str | torch.device | None = None,
    input_size: int | None = None,
) -> Result:
    """Draw to the end; see :class:`Ascent` for the arguments and errors.

    Example:
        ``render(model, Logit(207)).save("golden.png")``
    """
    steps = ascend(
        model, objective, recipe, seed=seed, size=size, preprocess=preprocess, device=device, input_size=input_size
    )
    history = []
    for step in steps:
        history.append(step.activations)
    return Result(step.images, torch.stack(history))
