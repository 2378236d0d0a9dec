"""The loop: gradient ascent on an image."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch
from torch import Generator, Tensor, nn

from peek_widget._progress import progress_bar
from peek_widget.ascent import regularizers as regularize
from peek_widget.ascent import views
from peek_widget.ascent.framing import Framing
from peek_widget.ascent.knobs import KNOBS, NUMBERS
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.param import Fourier, Image, Maco, Pixels
from peek_widget.ascent.pictures import as_picture, fitted, in_channels
from peek_widget.ascent.recipe import Recipe, as_recipe
from peek_widget.ascent.result import Origin, Result, Step
from peek_widget.ascent.spectrum import check_spectrum, power_law_spectrum
from peek_widget.ascent.state import State
from peek_widget.errors import AscentError, PeekError, RecipeError
from peek_widget.network import ModelCopy, Network, Preprocess, read
from peek_widget.network.context import full_precision, undisturbed

__all__ = ["Ascent", "ascend", "render"]

log: logging.Logger = logging.getLogger("peek_widget")

# A batch's first steps go through the network one picture at a time. Convolutions of another batch size round
# differently, and a picture that is still nearly flat is full of ties that a rounding decides. On a CPU pictures
# whose views are as large as this never go together: it would be quicker by a twentieth (by a third for small
# views), and rounding, magnified over a run, can change what a class's picture comes to by a fifth.
_ALONE = 3
LARGE = 96


@dataclass(frozen=True)
class _Group:
    """Pictures of a batch that are laid before the network in the same way and go through it together."""

    members: tuple[int, ...]
    frame: views.Frame
    layers: tuple[str, ...]


class Ascent(Iterator[Step]):
    """One run of gradient ascent, step by step, with every random draw from generators of its own.

    It is an iterator of its steps. Between two of them it may be changed (:meth:`override`, :meth:`change`), kept
    (:meth:`state`) or left.

    The same model, objective, recipe, seed, size and device give the same pixels, bit for bit on the CPU
    (same machine, number of threads and batch). A picture drawn in a batch has the start and the views that it
    has alone, and to the last bit its first three steps; on a CPU, where its views are of 96 px or more, all of them.
    Elsewhere rounding parts the two later.

    Args:
        model: a model, its ghost, or a network already read; the model is neither run nor changed.
        objective: what to make larger; a list draws a batch, one picture for each.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        seed: of the start and of the views; a list gives one to each picture.
        size: side of the pictures in pixels; left out, the recipe's, else the model's input size.
        preprocess: see :func:`~peek_widget.network.find_preprocess`.
        device: where to run; left out, the model's own.
        input_size: side of the image that the model was made for; found by trial when left out.
        start: a picture to begin from in place of the recipe's start: a PIL image, an array ``[H, W, C]``, a
            tensor ``[C, H, W]`` or ``[N, C, H, W]`` in [0, 1]; its middle square is taken.
        spectrum: magnitudes ``[C, T, T // 2 + 1]`` for ``param="maco"``, as ``measure_spectrum`` gives them; left
            out, a power law.

    Raises:
        PeekError: what was asked for is not possible (ModelError, LayerError, UnitError, SizeError,
            RecipeError), in a sentence.
    """

    def __init__(
        self,
        model: nn.Module | ModelCopy | Network,
        objective: Objective | Sequence[Objective],
        recipe: Recipe | str | None = None,
        *,
        seed: int | Sequence[int] = 0,
        size: int | None = None,
        preprocess: Any = None,
        device: str | torch.device | None = None,
        input_size: int | None = None,
        start: Any = None,
        spectrum: Tensor | None = None,
    ) -> None:
        self.network: Network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
        self.recipe: Recipe = as_recipe(recipe)
        if spectrum is not None and self.recipe.param != "maco":
            raise RecipeError(
                f"spectrum= is what param='maco' is held to, and this recipe has param={self.recipe.param!r}: leave it "
                "out, or take the recipe 'maco-2023'."
            )
        self.objectives: tuple[Objective, ...] = _objectives(objective)
        self._bound = self._bind(self.objectives)
        self.seeds: tuple[int, ...] = _seeds(seed, len(self.objectives))
        self.preprocess: Preprocess = self.network.preprocess
        self.device: torch.device = self.network.model_copy.device
        self.index: int = 0
        self.steps: int = self.recipe.steps
        self._asked_size = size
        self._spectrum = spectrum
        self._overrides: dict[str, float] = {}
        self._framing = Framing(self.network, self.recipe, size)
        self.size: int = self._framing.sides[0]
        self._groups = self._make_groups()
        self._generators = [Generator().manual_seed(s) for s in self.seeds]
        with undisturbed(self.device):
            self._image = self._start() if start is None else self._from(self._given(start))
            self._optimizer = self._make_optimizer()
        self._pictures: Tensor | None = None
        self._first_grad_rms: Tensor | None = None
        self._importance: Tensor | None = None
        self._best: tuple[Tensor, Tensor] | None = None  # activations [N], pictures

    # Holding it

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.index >= self.steps

    @property
    def images(self) -> Tensor:
        """The pictures as they are, float32 ``[N, C, S, S]`` in [0, 1] on the CPU, a copy."""
        with torch.no_grad(), full_precision(self.device):
            pictures = self._drawn() if self._pictures is None else self._pictures.detach()
            return pictures.clamp(0.0, 1.0).float().cpu()  # clamp has made the copy

    @property
    def best(self) -> Tensor:
        """The pictures that the run's result is, as :attr:`images`: the last, or each one's best, by the recipe."""
        if not self.recipe.return_best or self._best is None:
            return self.images
        return self._best[1].clamp(0.0, 1.0).float().cpu()

    @property
    def alpha(self) -> Tensor | None:
        """``[N, 1, S, S]`` in [0, 1]: where the gradients have been, by the recipe's ``transparency``.

        The absolute gradients of all steps, summed; full from their 80th percentile on (Fel et al. 2023; Horama).
        """
        if self._importance is None or not self.recipe.alpha:
            return None
        flat = self._importance.flatten(1)
        full = flat.kthvalue(max(1, round(0.8 * flat.shape[1])), dim=1).values.clamp(min=1e-30)
        return (self._importance / full.view(-1, 1, 1)).clamp(0.0, 1.0)[:, None].float().cpu()

    def override(self, **numbers: float | None) -> None:
        """Hold numbers at a value from the next step on; None gives one back to the recipe.

        Args:
            numbers: any of :data:`~peek_widget.ascent.NUMBERS`.

        Raises:
            RecipeError: for an unknown number or a value out of its range; none is then taken.
        """
        overrides = dict(self._overrides)
        for name, value in numbers.items():
            if name not in NUMBERS:
                raise RecipeError(f"There is no knob {name!r}; possible are {', '.join(NUMBERS)}.")
            if value is None:
                overrides.pop(name, None)
            else:
                checked = NUMBERS[name].check(value)
                self.recipe.check_use(name, checked)
                overrides[name] = checked
        self._overrides = overrides

    def values(self) -> dict[str, float]:
        """The explorer's knobs as the next step will use them."""
        return {name: self._number(name) for name in KNOBS}

    def recipe_values(self) -> dict[str, float]:
        """What the recipe has for them at the next step, whatever is held; without those that can't act in it."""
        return {name: self._planned(name) for name, knob in KNOBS.items() if self.recipe.takes(name, knob.maximum)}

    def extend(self, steps: int) -> None:
        """Allow so many steps more than now, with the recipe's last values; PeekError if that is no number of steps."""
        if isinstance(steps, bool) or not isinstance(steps, SupportsIndex) or int(steps) < 0:
            raise PeekError(f"steps={steps!r}: give a whole number of further steps, from 0.")
        self.steps = max(self.steps, self.index) + int(steps)

    def change(
        self, *, objective: Objective | Sequence[Objective] | None = None, recipe: Recipe | str | None = None
    ) -> None:
        """Go on from the picture as it is with another objective or recipe, from the next step on.

        Args:
            objective: as many as there are pictures.
            recipe: its steps and octaves count from the run's first step. Another parametrization takes the picture
                over; MACO's can't, it begins from phases.

        Raises:
            PeekError: what was asked for is not possible; the run is then as it was before.
        """
        objectives = self.objectives if objective is None else _objectives(objective)
        if len(objectives) != len(self.objectives):
            raise PeekError(f"{len(objectives)} objectives for {len(self.objectives)} pictures: give one for each.")
        new = self.recipe if recipe is None else as_recipe(recipe)
        if new.param == "maco" and self.recipe.param != "maco":
            raise RecipeError(
                "A running picture can't be taken over by param='maco', whose phases begin from noise: start a new run."
            )
        for name, value in self._overrides.items():
            new.check_use(name, value)
        # An image is never changed in place here, it only gets another parameter: a shallow copy keeps it.
        before = {**vars(self), "_image": copy.copy(self._image)}
        try:
            with undisturbed(self.device):
                self._change(objectives, new)
            self.steps = new.steps if recipe is not None else self.steps
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _change(self, objectives: tuple[Objective, ...], new: Recipe) -> None:
        old = self.recipe
        self._bound = self._bind(objectives)
        self.objectives, self.recipe = objectives, new
        self._framing = Framing(self.network, new, self._asked_size)
        self._groups = self._make_groups()
        self._first_grad_rms = None  # units differ by orders of magnitude
        side = self._framing.sides[new.octave(min(self.index, new.steps - 1))[0]]
        if new.param == "maco" and side != self.size:
            raise RecipeError(
                f"param='maco' has one size, the spectrum's, and it is {self.size} px in this run: give "
                f"size={self.size} or start a new run."
            )
        if new.param != old.param or (new.param == "fourier" and new.spectrum_power != old.spectrum_power):
            self._image = self._from(self.images)
        elif isinstance(self._image, Fourier):
            self._image.set_bands(self._bands())
        self._pictures = self._best = None
        self._take_size(side)
        self._optimizer = self._make_optimizer()

    def __iter__(self) -> Ascent:
        return self

    def __next__(self) -> Step:
        if self.done:
            raise StopIteration
        return self.step()

    def run(self, callback: Callable[[Step], object] | None = None, progress: bool | None = None) -> Result:
        """Make all steps that are left.

        Args:
            callback: called with each step; where it returns True, that step was the last.
            progress: whether to show a progress bar; None shows one where it takes more than two seconds.

        Returns:
            The result. After Ctrl-C it is what there is, ``interrupted``; before a first step KeyboardInterrupt goes
            on.
        """
        history, terms, interrupted = [], (), False
        with progress_bar(self.steps - self.index, "Drawing", progress, unit="step") as bar:
            try:
                for step in self:
                    history.append(step.activations)
                    terms = step.terms
                    bar.update()
                    if callback is not None and callback(step) is True:
                        break
            except KeyboardInterrupt:
                if not history:
                    raise
                interrupted = True
                log.warning("Interrupted at step %d of %d: the picture is what there is.", self.index, self.steps)
        origin = Origin(self.network, self.objectives, self.recipe, self.seeds)
        values = torch.stack(history) if history else torch.zeros(0, len(self.objectives))
        return Result(self.best, values, self.alpha, terms, interrupted, origin)

    # Keeping it

    def state(self) -> State:
        """All that a run going on from here needs, but the model; see :meth:`resume`."""
        tensors = {"parameter": self._image.parameter.detach().clone()}
        for name, value in {
            "first_grad_rms": self._first_grad_rms,
            "importance": self._importance,
            "best_values": None if self._best is None else self._best[0],
            "best_pictures": None if self._best is None else self._best[1],
            "spectrum": self._spectrum,
            "blurred": torch.tensor(self._image.blurred) if isinstance(self._image, Maco) else None,
        }.items():
            if value is not None:
                tensors[name] = value.detach().clone()
        for name, value in self._optimizer.state.get(self._image.parameter, {}).items():
            tensors[f"optimizer.{name}"] = torch.as_tensor(value).detach().clone()
        for number, generator in enumerate(self._generators):
            tensors[f"generator.{number}"] = generator.get_state()
        return State(
            self.objectives,
            self.recipe,
            self.seeds,
            self._asked_size,
            self.size,
            self.index,
            self.steps,
            dict(self._overrides),
            {name: value.cpu() for name, value in tensors.items()},
        )

    @classmethod
    def resume(
        cls,
        model: nn.Module | ModelCopy | Network,
        state: State,
        *,
        objective: Objective | Sequence[Objective] | None = None,
        preprocess: Any = None,
        device: str | torch.device | None = None,
        input_size: int | None = None,
    ) -> Ascent:
        """The run that a state was taken of: its next steps are those of the run that was never left.

        Args:
            model: as it was.
            state: from :meth:`state`, or ``State.load(path)``.
            objective: where a file could not keep it (a function of one's own, a style).
            preprocess, device, input_size: as they were.

        Raises:
            PeekError: if the state does not fit the model.
        """
        if not isinstance(state, State):
            raise PeekError(
                f"A run is resumed from a State, and this is a {type(state).__name__}: give what run.state() gave, or "
                "State.load(path)."
            )
        objectives = state.objectives if objective is None else _objectives(objective)
        if objectives is None:
            raise PeekError(
                "The file has kept no objective, because it was a function or an image: give it as objective=."
            )
        spectrum = state.tensors.get("spectrum") if state.recipe.param == "maco" else None
        ascent = cls(
            model,
            objectives,
            state.recipe,
            seed=state.seeds,
            size=state.asked_size,
            preprocess=preprocess,
            device=device,
            input_size=input_size,
            spectrum=spectrum,
        )
        ascent._take_state(state)
        return ascent

    def _take_state(self, state: State) -> None:
        if state.side not in self._framing.sides:
            raise PeekError(
                f"The state's pictures have {state.side} px, and this model's run has {self._framing.sides}: resume it "
                "with the model that it was taken with."
            )
        with undisturbed(self.device):
            self.override(**state.overrides)
            self.index, self.steps = state.index, state.steps
            self._take_size(state.side)
            # Copies: a state may be resumed from more than once.
            found = {name: value.to(self.device, copy=True) for name, value in state.tensors.items()}
            self._check_state(found)
            with torch.no_grad():
                self._image.parameter.copy_(found["parameter"])
            self._optimizer = self._make_optimizer()
            kept = {n.removeprefix("optimizer."): v for n, v in found.items() if n.startswith("optimizer.")}
            if kept:
                # Adam counts its steps on the CPU.
                kept = {n: v.cpu() if v.ndim == 0 else v for n, v in kept.items()}
                self._optimizer.state[self._image.parameter] = kept
            self._first_grad_rms, self._importance = found.get("first_grad_rms"), found.get("importance")
            if "best_values" in found:
                self._best = (found["best_values"].cpu(), found["best_pictures"])
            for number, generator in enumerate(self._generators):
                try:
                    generator.set_state(found[f"generator.{number}"].cpu())
                except (KeyError, RuntimeError, TypeError) as error:
                    raise PeekError(f"The state of picture {number}'s random draws is damaged: {error}") from error
            if isinstance(self._image, Maco):
                self._image.blur(float(found.get("blurred", 0.0)))

    def _check_state(self, found: Mapping[str, Tensor]) -> None:
        """PeekError if a state's tensors are not those of such a run."""
        count, channels, side = len(self.objectives), self.network.channels, self.size
        whole = tuple(self._image.parameter.shape)
        shapes: dict[str, tuple[int, ...]] = {"parameter": whole}
        if tuple(found["parameter"].shape) != whole:
            raise PeekError(
                f"The state's picture has shape {tuple(found['parameter'].shape)}, and this model's run {whole}: "
                "resume it with the model that it was taken with."
            )
        if "first_grad_rms" in found:
            shapes["first_grad_rms"] = (count, 1, 1, 1)
        if "importance" in found:
            shapes["importance"] = (count, side, side)
        if "best_values" in found or "best_pictures" in found:
            shapes |= {"best_values": (count,), "best_pictures": (count, channels, side, side)}
        if "blurred" in found:
            shapes["blurred"] = ()
        if any(name.startswith("optimizer.") for name in found):
            shapes |= {"optimizer.step": (), "optimizer.exp_avg": whole, "optimizer.exp_avg_sq": whole}
            if self.recipe.optimizer == "nadam":
                shapes["optimizer.mu_product"] = ()
        for name, shape in shapes.items():
            value = found.get(name)
            good = value is not None and value.is_floating_point() and tuple(value.shape) == shape
            # Adam's numbers without a shape, and what is squared, are never below 0; infinite is none of them.
            least = 0.0 if shape == () or name.endswith("_sq") else float("-inf")
            if not good or not bool((torch.isfinite(value) & (value >= least)).all()):
                raise PeekError(f"The state's {name!r} is not what such a run has: the file is damaged or another's.")
        known = {*shapes, "spectrum", *(f"generator.{number}" for number in range(count))}
        if unknown := sorted(set(found) - known):
            raise PeekError(f"A state of such a run has no {unknown[0]!r}: the file is damaged or another's.")

    # A step

    def step(self) -> Step:
        """Make one step.

        Raises:
            AscentError: if nothing at the start changes the objective, or a number is not finite.
            ModelError: if the model's forward raises; the cause is chained.
        """
        # Whatever the caller's context says: without gradients there is no ascent.
        with undisturbed(self.device), torch.enable_grad():
            return self._step()

    def _step(self) -> Step:
        self._enter_octave()
        # What the last step has shown is what this one begins with.
        pictures = self._drawn() if self._pictures is None else self._pictures
        self._pictures = None
        seen = pictures.detach().requires_grad_()
        activations, windows, terms = self._climb(seen)
        gradient = seen.grad
        assert gradient is not None
        self._check(gradient, activations)
        self._note(seen.detach(), gradient, activations)
        self._move(pictures, self._pulled(gradient, seen.detach()), windows)
        self._filter(gradient, windows)
        self.index += 1
        self._pictures = self._drawn()
        images = self.images
        if not math.isfinite(float(images.sum())):
            raise AscentError(
                f"Step {self.index - 1} has left pictures that are not finite numbers: make step_size smaller."
            )
        return Step(self.index - 1, images, activations, terms)

    def _drawn(self) -> Tensor:
        """The pictures as they are, each by itself where steps are."""
        return self._image.render(each=self.index <= _ALONE or any(map(self._alone, self._groups)))

    def _alone(self, group: _Group) -> bool:
        """Whether a group's pictures go through the network one at a time in the next step."""
        if any(self._bound[member].batchwise for member in group.members):
            return False
        large = self.device.type == "cpu" and group.frame.side >= LARGE
        return large or self.index < _ALONE

    def _number(self, name: str) -> float:
        """One of NUMBERS as the next step uses it."""
        return self._overrides.get(name, self._planned(name))

    def _planned(self, name: str) -> float:
        return self.recipe.at(name, min(self.index, self.recipe.steps - 1))

    def _pulled(self, gradient: Tensor, pictures: Tensor) -> Tensor:
        for name, pull in (
            ("total_variation", regularize.total_variation_gradient),
            ("l1", regularize.l1_gradient),
        ):
            strength = self._number(name)
            if strength > 0.0:
                gradient = gradient - strength * _size(gradient) * pull(pictures)
        return gradient

    def _move(self, pictures: Tensor, gradient: Tensor, windows: list[views.Window]) -> None:
        """One step of the optimizer along the gradient by the pictures."""
        recipe, image, step_size = self.recipe, self._image, self._number("step_size")
        parameter = image.parameter
        if self._first_grad_rms is None:
            # Units differ by orders of magnitude, and Adam's epsilon is absolute.
            self._first_grad_rms = _size(gradient).clamp(min=1e-30)
        if recipe.optimizer == "plain" and isinstance(image, Pixels):
            with torch.no_grad():
                for number, (rows, columns) in enumerate(windows):
                    part = gradient[number, :, rows, columns]
                    parameter[number, :, rows, columns] += self._along(part, step_size, number)
        else:
            parameter.grad = None
            pictures.backward(-gradient / self._divisor(gradient))
            if recipe.optimizer == "plain":
                with torch.no_grad():
                    parameter -= step_size * parameter.grad
            else:
                self._optimizer.param_groups[0]["lr"] = step_size
                self._optimizer.step()
        if isinstance(image, Pixels):
            with torch.no_grad():
                parameter.clamp_(0.0, 255.0)

    def _along(self, gradient: Tensor, step_size: float, number: int) -> Tensor:
        """A plain step in gray levels along the gradient ``[C, H, W]`` of one picture."""
        match self.recipe.grad_norm:
            case "mean":
                mean = gradient.abs().mean()
                # A picture that nothing moves any more stays as it is.
                return step_size * torch.where(mean > 0, gradient / mean, 0.0)
            case "rms":
                size = gradient.square().mean().sqrt()
                return step_size * torch.where(size > 0, gradient / size, 0.0)
            case "first":
                return step_size * gradient / self._first_grad_rms[number]
        by_level = gradient / 255.0
        if self.recipe.grad_norm == "none":
            return step_size * by_level
        progress = step_size / by_level.square().sum().clamp(min=1e-30)
        return progress.clamp(max=self.recipe.max_rate) * by_level

    def _divisor(self, gradient: Tensor) -> Tensor | float:
        match self.recipe.grad_norm:
            case "first":
                return self._first_grad_rms
            case "rms":
                return _size(gradient).clamp(min=1e-30)
            case "mean":
                return gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
            case _:
                return 1.0

    def _filter(self, gradient: Tensor, windows: list[views.Window]) -> None:
        """What regularizers do to the picture after a step."""
        rate = self._number("decay")
        if rate > 0.0:
            regularize.decay(self._image, rate, self.preprocess.neutral())
        if self.index % self.recipe.blur_every == 0:
            regularize.blur(self._image, self._number("blur"), windows)
        if isinstance(self._image, Pixels):
            neutral = self.preprocess.neutral()
            regularize.bilateral(self._image, self._number("bilateral"), self.recipe.bilateral_color)
            regularize.clip_small_norm(self._image, self._number("clip_norm_percentile"), neutral)
            percentile = self._number("clip_contribution_percentile")
            regularize.clip_small_contribution(self._image, gradient, percentile, neutral)

    def _note(self, pictures: Tensor, gradient: Tensor, activations: Tensor) -> None:
        """Keep what the recipe asks for of the picture that was just seen."""
        if self.recipe.alpha:
            add = gradient.abs().mean(1)
            self._importance = add if self._importance is None else self._importance + add
        if self.recipe.return_best:
            if self._best is None:
                self._best = (activations.clone(), pictures.clone())
            better = activations > self._best[0]
            self._best[0][better] = activations[better]
            self._best[1][better.to(pictures.device)] = pictures[better.to(pictures.device)]

    # What the network sees

    def _climb(self, seen: Tensor) -> tuple[Tensor, list[views.Window], tuple[Mapping[str, float], ...]]:
        """Gradients of the objectives into ``seen.grad``; their values ``[N]``, windows, and terms."""
        activations = torch.zeros(len(self.objectives), dtype=torch.float32, device="cpu")
        terms: list[Mapping[str, float]] = [{}] * len(self.objectives)
        windows: list[views.Window] = [(slice(None), slice(None))] * len(self.objectives)
        for group in self._groups:
            for members in ((m,) for m in group.members) if self._alone(group) else (group.members,):
                pictures = seen if len(members) == len(seen) else seen[list(members)]
                prepared = self.preprocess(self._shown(group, members, pictures, windows))
                outputs = self.network.run(prepared, group.layers)
                total = seen.new_zeros(())
                for place, member in enumerate(members):
                    value, terms[member] = _value(self._bound[member], outputs, self.recipe.n_views, place)
                    activations[member] = value.detach()
                    total = total + value
                if not total.requires_grad:
                    raise AscentError(_FLAT.format(objective=self.objectives[members[0]]))
                total.backward()
        return activations, windows, tuple(terms)

    def _shown(self, group: _Group, members: tuple[int, ...], pictures: Tensor, windows: list[views.Window]) -> Tensor:
        """What the network gets to see of some pictures of a group; their windows are written down."""
        generators = [self._generators[m] for m in members]
        frame, jitter = group.frame, self._number("jitter")
        if frame.cut == "window":
            cuts = []
            for member, picture, generator in zip(members, pictures, generators, strict=True):
                rows, columns = windows[member] = views.window(self.size, self._framing.window, generator)
                cuts.append(views.shift(picture[None, :, rows, columns], jitter, generator))
            shown = torch.cat(cuts)
            if shown.shape[-1] != frame.side:
                shown = nn.functional.interpolate(
                    shown, size=(frame.side,) * 2, mode="bilinear", antialias=True, align_corners=False
                )
        else:
            step = min(self.index, self.recipe.steps - 1)
            turn, flip, crop_mean = (self._number(name) for name in ("rotation", "flip", "crop_mean"))
            look = self._framing.look(frame, step, turn, jitter, flip, crop_mean)
            shown = views.affine_views(pictures, frame, look, generators)
        return frame.needed(views.speckle(shown, self._number("noise"), generators))

    def _check(self, gradient: Tensor, activations: Tensor) -> None:
        flat = gradient.flatten(1)
        bad = next((n for n, v in enumerate((flat.sum(1).cpu() + activations).tolist()) if not math.isfinite(v)), None)
        if bad is not None:
            raise AscentError(
                f"At step {self.index} the activation or gradient of {self.objectives[bad]!r} is not a finite number: "
                "make step_size smaller; if it is so at step 0, look for NaN in the model's weights or preprocess."
            )
        if self.index == 0:
            still = (flat == 0).all(1).cpu()
            if bool(still.any()):
                raise AscentError(_FLAT.format(objective=self.objectives[int(still.nonzero()[0])]))

    def _bind(self, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        for one in objectives:
            one.check(self.network)
        return tuple(one.bind(self.network) for one in objectives)

    def _make_groups(self) -> tuple[_Group, ...]:
        members: dict[tuple[Any, ...], list[int]] = {}
        for number, objective in enumerate(self.objectives):
            key = (self._framing.frame(objective), objective.layers)
            members.setdefault(key, []).append(number)
        return tuple(_Group(tuple(m), frame, layers) for (frame, layers), m in members.items())

    # The picture

    def _start(self) -> Image:
        recipe, channels, side = self.recipe, self.network.channels, self.size
        if recipe.param == "maco":
            return self._phases()
        if recipe.init != "noise":
            level = 1.0 if recipe.init == "white" else 0.5
            shape = (len(self.objectives), channels, side, side)
            return self._from(torch.full(shape, level, dtype=torch.float32, device=self.device))
        if recipe.param == "pixels":
            noise = torch.stack([views.normal(channels, side, side, generator=g) for g in self._generators])
            neutral = self.preprocess.neutral().to("cpu", torch.float32)
            level = 255.0 * neutral.view(-1, 1, 1) if recipe.init_mean is None else recipe.init_mean
            return Pixels((level + recipe.init_std * noise).to(self.device))
        shape = (channels, side, side // 2 + 1, 2)
        noise = torch.stack([views.normal(*shape, generator=g) for g in self._generators])
        return Fourier((recipe.init_std * noise).to(self.device), side, recipe.spectrum_power, self._bands())

    def _phases(self) -> Maco:
        channels, side = self.network.channels, self.size
        spectrum = self._spectrum
        if spectrum is None:
            if channels not in (1, 3):
                raise RecipeError(
                    f"param='maco' holds pictures of {channels} channels to a spectrum, and one is known for 1 and for "
                    "3: give one as spectrum=measure_spectrum(images), or take param='fourier'."
                )
            spectrum = power_law_spectrum(channels)
        spectrum = check_spectrum(spectrum, channels)
        shape = (channels, side, side // 2 + 1)
        phases = torch.stack([views.normal(*shape, generator=g) for g in self._generators])
        return Maco((self.recipe.init_std * phases).to(self.device), spectrum, side)

    def _given(self, start: Any) -> Tensor:
        """The pictures to begin from, ``[N, C, S, S]``."""
        if isinstance(start, str) and start in ("noise", "gray", "white"):
            raise RecipeError(
                f"start={start!r}: start= takes a picture; noise, gray or white are the recipe's: "
                f"Recipe.preset('peek').replace(init={start!r})."
            )
        many = list(start) if isinstance(start, Tensor) and start.ndim == 4 else [start]
        many = many * len(self.objectives) if len(many) == 1 else many
        if len(many) != len(self.objectives):
            raise PeekError(
                f"start holds {len(many)} pictures for {len(self.objectives)} objectives: give one, or as many."
            )
        if self.recipe.param == "maco":
            raise RecipeError("param='maco' begins from phases and can't begin from a picture: take another recipe.")
        channels = self.network.channels
        return torch.stack([fitted(in_channels(as_picture(one), channels), self.size) for one in many])

    def _from(self, pictures: Tensor) -> Image:
        if self.recipe.param == "pixels":
            return Pixels.of(pictures.to(self.device))
        return Fourier.of(pictures.to(self.device), self.recipe.spectrum_power, self._bands())

    def _bands(self) -> Tensor:
        """For each picture the finest grain, in cycles a picture, that its closest view shows."""
        bands = torch.empty(len(self.objectives), dtype=torch.float32, device="cpu")
        for group in self._groups:
            bands[list(group.members)] = self._framing.band(group.frame)
        return bands

    def _make_optimizer(self) -> torch.optim.Optimizer:
        kind = torch.optim.NAdam if self.recipe.optimizer == "nadam" else torch.optim.Adam
        return kind([self._image.parameter], lr=self.recipe.at("step_size", 0))

    def _enter_octave(self) -> None:
        octave, done, _ = self.recipe.octave(min(self.index, self.recipe.steps - 1))
        if done == 0 and self.index < self.recipe.steps and self._framing.sides[octave] != self.size:
            self._take_size(self._framing.sides[octave])
            self._optimizer = self._make_optimizer()

    def _take_size(self, side: int) -> None:
        if side == self.size:
            return
        self.size = side
        self._image.resize(side)
        self._pictures = self._best = None
        if self._importance is not None:
            self._importance = nn.functional.interpolate(self._importance[:, None], (side, side), mode="bilinear")[:, 0]


_FLAT = (
    "At the start nothing that can be changed in the picture changes {objective!r}: its gradient is zero everywhere. "
    "Try another seed; if it stays so, the unit is dead or does not look at the image."
)


def _size(gradient: Tensor) -> Tensor:
    """Root mean square of each picture's gradient, ``[N, 1, 1, 1]``."""
    return gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def _value(
    objective: Objective, activations: Mapping[str, Tensor], count: int, place: int
) -> tuple[Tensor, Mapping[str, float]]:
    """An objective's value for one picture of a group, mean over its views; and that of each of its terms."""
    total: Tensor | float = 0.0
    values: dict[str, float] = {}
    for words, weight, term in objective.terms():
        try:
            found = term.together(activations, count, place)
        except KeyError as error:
            raise PeekError(
                f"The objective reads the layer {error}, which is not among its layers={list(term.layers)}: name "
                "every layer that it reads."
            ) from error
        if not isinstance(found, Tensor) or found.shape != (count,):
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise PeekError(
                f"The objective's function gave {got} for {count} image{'s' * (count != 1)}: it must give a tensor "
                "with one number for each image, e.g. activations[layer][:, unit].mean(dim=(1, 2))."
            )
        mean = found.mean()
        values[words] = float(mean.detach())
        total = total + weight * mean
    return total, values


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
            raise PeekError(f"seed={one!r}: give a whole number from 0 to {2**63 - 1}.")
    return tuple(int(one) for one in seeds)


def ascend(
    model: nn.Module | ModelCopy | Network,
    objective: Objective | Sequence[Objective],
    recipe: Recipe | str | None = None,
    *,
    seed: int | Sequence[int] = 0,
    size: int | None = None,
    preprocess: Any = None,
    device: str | torch.device | None = None,
    input_size: int | None = None,
    start: Any = None,
    spectrum: Tensor | None = None,
) -> Ascent:
    """Draw, one :class:`Step` after the other, each made when it is asked for; see :class:`Ascent`.

    What is wrong with the arguments is said at the call, not at the first step.

    Example:
        ``for step in ascend(model, Neuron("features.12", 10)): print(step.index, step.activation)``
    """
    return Ascent(
        model,
        objective,
        recipe,
        seed=seed,
        size=size,
        preprocess=preprocess,
        device=device,
        input_size=input_size,
        start=start,
        spectrum=spectrum,
    )


def render(
    model: nn.Module | ModelCopy | Network,
    objective: Objective | Sequence[Objective],
    recipe: Recipe | str | None = None,
    *,
    seed: int | Sequence[int] = 0,
    size: int | None = None,
    preprocess: Any = None,
    device: str | torch.device | None = None,
    input_size: int | None = None,
    start: Any = None,
    spectrum: Tensor | None = None,
    callback: Callable[[Step], object] | None = None,
    progress: bool | None = None,
) -> Result:
    """Draw to the end; see :class:`Ascent` for the arguments and errors.

    Args:
        callback: called with each :class:`Step`; where it returns True, that step was the last.
        progress: whether to show a progress bar; None shows one where it takes more than two seconds.

    Returns:
        the end; after Ctrl-C what there is.

    Example:
        ``render(model, Logit(207)).save("golden.png")``
    """
    ascent = ascend(
        model,
        objective,
        recipe,
        seed=seed,
        size=size,
        preprocess=preprocess,
        device=device,
        input_size=input_size,
        start=start,
        spectrum=spectrum,
    )
    return ascent.run(callback, progress)
