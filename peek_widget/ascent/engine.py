"""The loop of gradient ascent: evaluate, penalize, update, post-process, record.

``Ascent`` has more than 350 lines because it is one idea, a run and everything that can be done with it: make steps,
override numbers, change objective or recipe, save and resume. The parts of a step are in modules of their own:
``step`` (``evaluate``, ``update``), ``record``; beginning and saving a run in ``start`` and ``state``.
"""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, SupportsIndex, Unpack

import torch
from torch import Generator, Tensor, nn

from peek_widget._progress import progress_bar
from peek_widget._size import Size, SizeLike
from peek_widget._threads import computing_on, thread_count
from peek_widget.ascent.accentuate import Accentuate, fingerprint_of_photo
from peek_widget.ascent.arguments import AscentOptions, Objectives, as_objectives, as_seeds, with_options
from peek_widget.ascent.evaluate import Evaluator
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.initial import from_pictures, given_pictures, initial_image
from peek_widget.ascent.knobs import KNOBS, NUMBERS
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.param import Fourier, Image
from peek_widget.ascent.pictures import Picture
from peek_widget.ascent.recipe import Recipe, as_recipe
from peek_widget.ascent.record import Record
from peek_widget.ascent.result import Origin, Result, Step, on_host
from peek_widget.ascent.state import State, load_tensors, tensors_of
from peek_widget.ascent.step import StepMaker
from peek_widget.ascent.update import Updater
from peek_widget.ascent.view_draws import ViewDraws
from peek_widget.errors import PeekError, RecipeError
from peek_widget.network import ModelCopy, Network, Preprocess, read
from peek_widget.network.context import full_precision, undisturbed
from peek_widget.network.precision import Precision, check_precision
from peek_widget.network.preprocess import PreprocessFunction
from peek_widget.network.warm import chosen_precision

__all__ = ["Ascent"]

log: logging.Logger = logging.getLogger("peek_widget")

# peek's final contrast floor and cap, for recipes without: the share of photographs' contrast, the energy of a band.
_PREVIEW_CONTRAST = 0.55
_PREVIEW_CAP = 2.0


class Ascent(Iterator[Step]):
    """One run of gradient ascent, an iterator of its steps, with random generators of its own.

    Between two steps it can be changed (:meth:`override`, :meth:`change`), saved (:meth:`state`) or left.

    The same model, objective, recipe, seed, size and device give the same pixels, bit for bit on the CPU
    (same machine, number of threads and batch). A picture drawn in a batch has the initial noise and the views that it
    has alone, and the same pixels for the first three steps, bit for bit; on a CPU with views of 96 px or more for all
    steps. Elsewhere rounding makes the two diverge later.

    The keyword arguments are those of :class:`~peek_widget.ascent.AscentOptions`: ``seed``, ``size``, ``preprocess``,
    ``device``, ``input_size``, ``precision``, ``threads``, ``start`` and ``spectrum``.

    Args:
        model: a model, a :class:`ModelCopy`, or a :class:`Network`; the model itself is neither run nor changed.
        objective: what to maximize: an Objective, or ``"layer:unit"`` for a unit as in Lucid; a list draws a batch, one
            picture for each.
        recipe: a Recipe or the name of a preset; left out, ``"peek"``.

    Raises:
        PeekError: if an argument is not possible, in a sentence (ModelError, LayerError, UnitError, SizeError,
            RecipeError).
    """

    @with_options
    def __init__(
        self,
        model: nn.Module | ModelCopy | Network,
        objective: Objectives,
        recipe: Recipe | str | None = None,
        **options: Unpack[AscentOptions],
    ) -> None:
        self._threads = options["threads"]
        thread_count(self._threads)  # raises for anything but a number of threads
        given = (options["input_size"], options["preprocess"], options["device"])
        self.network: Network = model if isinstance(model, Network) else read(model, *given)
        self.objectives: tuple[Objective, ...] = as_objectives(self.network, objective)
        self.recipe: Recipe = as_recipe(self.objectives[0].default_recipe if recipe is None else recipe)
        self._spectrum = options["spectrum"]
        if self._spectrum is not None and self.recipe.param != "maco":
            raise RecipeError(
                f"spectrum= is for param='maco', and this recipe has param={self.recipe.param!r}: leave it "
                "out, or take the recipe 'maco-2023'."
            )
        self.seeds: tuple[int, ...] = as_seeds(options["seed"], len(self.objectives))
        self.preprocess: Preprocess = self.network.preprocess
        self.device: torch.device = self.network.model_copy.device
        self.index: int = 0
        self.steps: int = self.recipe.steps
        self._asked_size = options["size"]
        self._overrides: dict[str, float] = {}
        self._geometry = Geometry(self.network, self.recipe, self._asked_size, self.objectives)
        self._size = self._geometry.sizes[0]
        self.precision: Precision = chosen_precision(self.network, options["precision"])
        self._kind = check_precision(self.precision, self.device)
        given = None if options["start"] is None else self._given(options["start"])
        self._starts = self._take_starts(given)
        self._evaluator = self._make_evaluator()
        self._generators = [Generator().manual_seed(seed) for seed in self.seeds]
        self._draws = self._make_draws()
        with undisturbed(self.device):
            self._image = self._begin(given)
            self._updater = Updater(self.recipe, self._image, self.preprocess)
        self._maker = self._make_maker()
        self._record = Record()
        self._rendered: Tensor | None = None  # the pictures after the last step, with their graph

    def _given(self, start: Picture) -> Tensor:
        return given_pictures(start, self.recipe, self.network.channels, self._size, len(self.objectives))

    def _take_starts(self, pictures: Tensor | None) -> Tensor | None:
        """Return the given pictures if an objective needs them, and tell the objectives their fingerprints."""
        if not any(one.needs_start for one in self.objectives):
            return None
        if pictures is None:
            raise PeekError(
                f"{self.objectives[0].describe()}: there is no photo to begin from. Give it as start=, e.g. "
                "render(model, Accentuate(...), start=photo)."
            )
        self.objectives = tuple(
            replace(one, photo=fingerprint_of_photo(picture)) if isinstance(one, Accentuate) else one
            for one, picture in zip(self.objectives, pictures, strict=True)
        )
        return pictures

    def _make_evaluator(self) -> Evaluator:
        arguments = (self.network, self.objectives, self.recipe, self._geometry, self._kind, self._starts)
        return Evaluator(*arguments)

    def _make_maker(self) -> StepMaker:
        return StepMaker(self._evaluator, self._updater, self.device, self.recipe.blur_every)

    def _make_draws(self) -> ViewDraws:
        arguments = (self.recipe, self._geometry, self._generators, self.network.channels, self.device)
        # weak: a run in a reference cycle keeps its memory, on a GPU too, until garbage collection
        run = weakref.proxy(self)
        return ViewDraws(*arguments, lambda step: run._numbers(step))

    def _begin(self, pictures: Tensor | None) -> Image:
        frequencies = self._evaluator.highest_frequencies()
        if pictures is None:
            args = (self.network, self._size, self._generators, frequencies, self._spectrum)
            return initial_image(self.recipe, *args)
        return from_pictures(pictures.to(self.device), self.recipe, frequencies)

    # One step

    def step(self) -> Step:
        """Make one step.

        Raises:
            AscentError: if the gradient of the first step is zero, or a number is not finite.
            ModelError: if the model's forward raises; the cause is chained.
        """
        # The caller may have disabled gradients.
        with computing_on(self._threads), undisturbed(self.device), torch.enable_grad():
            return self._step()

    def _step(self) -> Step:
        self._enter_octave()
        numbers = self._numbers(self.index)
        # The last step has already rendered the pictures for its Step.
        pictures, self._rendered = self._rendered, None
        drawn = self._evaluator.draw(self._size, self.index, self._draws)
        made = self._maker.make(self.index, drawn, numbers, pictures)
        found, self._rendered = made.evaluation, made.pictures
        self._record.add(found, self.recipe)
        self.index += 1
        rendered = self._rendered
        self._evaluator.watch.pictures(rendered, self.index - 1, self.done)
        return Step(self.index - 1, rendered.detach(), found.activations, found.terms, self.network.preprocess.show)

    def _numbers(self, step: int) -> dict[str, float]:
        """Return the recipe's NUMBERS as a step uses them."""
        return {name: self._overrides.get(name, self._planned(name, step)) for name in NUMBERS}

    def _planned(self, name: str, step: int) -> float:
        return self.recipe.at(name, min(step, self.recipe.steps - 1))

    def _render(self) -> Tensor:
        """Render the pictures, ``[N, C, H, W]``, one by one in the steps that evaluate them one by one."""
        return self._image.render(one_by_one=self._evaluator.per_sample(self.index))

    def _enter_octave(self) -> None:
        octave, done, _ = self.recipe.octave(min(self.index, self.recipe.steps - 1))
        size = self._geometry.sizes[octave]
        if done == 0 and self.index < self.recipe.steps and size != self._size:
            self._take_size(size)
            self._updater.restart()

    def _take_size(self, size: Size) -> None:
        if size != self._size:
            self._size = size
            self._image.resize(size)
            self._rendered = None
            self._record.resize(size)

    # All steps

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.index >= self.steps

    def __iter__(self) -> Ascent:
        return self

    def __next__(self) -> Step:
        if self.done:
            raise StopIteration
        return self.step()

    def run(self, callback: Callable[[Step], object] | None = None, progress: bool | None = None) -> Result:
        """Make all remaining steps.

        Args:
            callback: function that is called with each step; the run stops where it returns True.
            progress: whether to show a progress bar; None shows one after two seconds.

        Returns:
            The result; after Ctrl-C the result so far, with ``interrupted``. Before the first step KeyboardInterrupt
            is raised.
        """
        history: list[Tensor] = []
        step, interrupted = None, False
        with progress_bar(self.steps - self.index, "Drawing", progress, unit="step") as bar:
            try:
                for step in self:
                    history.append(step.unread_activations)
                    bar.update()
                    if callback is not None and callback(step) is True:
                        break
            except KeyboardInterrupt:
                if not history:
                    raise
                interrupted = True
                log.warning("Interrupted at step %d of %d: the result is the picture so far.", self.index, self.steps)
        origin = Origin(self.network, self.objectives, self.recipe, self.seeds)
        values = torch.stack(history).cpu() if history else torch.zeros(0, len(self.objectives))
        if step is not None and not self.done:
            self._evaluator.watch.look(self._render() if self._rendered is None else self._rendered, step.index)
        return Result(self.best, values, self.alpha, () if step is None else step.terms, interrupted, origin)

    # Pictures and numbers

    @property
    def cuda_graph(self) -> str:
        """Whether steps are replayed as a CUDA graph, in a sentence; "" where that was not asked for.

        It is asked for by ``PEEK_CUDA_GRAPH=1`` in the environment, see :mod:`~peek_widget.ascent.step`.
        """
        return self._maker.said

    @property
    def size(self) -> SizeLike:
        """Size of the present pictures in pixels: the side of a square, else (height, width)."""
        return self._size.plain

    @property
    def images(self) -> Tensor:
        """The present pictures, a copy: float32 ``[N, C, H, W]`` in [0, 1] on the CPU."""
        with torch.no_grad(), full_precision(self.device):
            return on_host(self._render() if self._rendered is None else self._rendered.detach())

    @property
    def best(self) -> Tensor:
        """The result so far, like :attr:`images`: the last pictures, or the best with the recipe's ``return_best``."""
        if not self.recipe.return_best or self._record.best_pictures is None:
            return self.images
        return on_host(self._record.best_pictures)

    def preview(self) -> Tensor:
        """Return the present pictures of a run that has just begun with about the contrast of finished ones.

        Like :attr:`images`; other parametrizations than Fourier's as they are.
        """
        if not isinstance(self._image, Fourier):
            return self.images
        with full_precision(self.device):
            times = self.recipe.at("contrast_cap", self.index) or _PREVIEW_CAP
            share = self.recipe.at("contrast_floor", self.steps - 1) or _PREVIEW_CONTRAST
            return self._image.render_raised(share, times).float().cpu()

    @property
    def alpha(self) -> Tensor | None:
        """Opacity ``[N, 1, H, W]`` in [0, 1], if the recipe has ``alpha``; else None.

        It is the sum of the absolute gradients of all steps, divided by its 80th percentile and clipped (Fel et al.
        2023; Horama).
        """
        return self._record.alpha() if self.recipe.alpha else None

    def values(self) -> dict[str, float]:
        """Return the values of the explorer's knobs in the next step, by name."""
        numbers = self._numbers(self.index)
        return {name: numbers[name] for name in KNOBS}

    def recipe_values(self) -> dict[str, float]:
        """Return the recipe's values of the knobs in the next step, by name; only those that the recipe uses."""
        return {
            name: self._planned(name, self.index)
            for name, knob in KNOBS.items()
            if self.recipe.takes(name, knob.maximum)
        }

    # Changing it

    def override(self, **numbers: float | None) -> None:
        """Override numbers of the recipe from the next step on; None resets one to the recipe's value.

        Args:
            numbers: values by name, see :data:`~peek_widget.ascent.NUMBERS`.

        Raises:
            RecipeError: for an unknown number or a value out of its range; nothing is then overridden.
        """
        overrides = dict(self._overrides)
        for name, value in numbers.items():
            if name not in NUMBERS:
                raise RecipeError(f"There is no knob {name!r}: choose one of {', '.join(NUMBERS)}.")
            if value is None:
                overrides.pop(name, None)
            else:
                checked = NUMBERS[name].check(value)
                self.recipe.check_use(name, checked)
                overrides[name] = checked
        self._draws.forget()
        self._overrides = overrides

    def extend(self, steps: int) -> None:
        """Allow further steps, with the recipe's last values; PeekError if ``steps`` is not a whole number from 0."""
        if isinstance(steps, bool) or not isinstance(steps, SupportsIndex) or int(steps) < 0:
            raise PeekError(f"steps={steps!r}: give a whole number of further steps, from 0.")
        self.steps = max(self.steps, self.index) + int(steps)

    def change(self, *, objective: Objectives | None = None, recipe: Recipe | str | None = None) -> None:
        """Continue from the present pictures with another objective or recipe, from the next step on.

        Args:
            objective: one objective for each picture.
            recipe: the new recipe; its steps and octaves count from the run's first step. Another parametrization
                continues from the present pictures, except MACO, which begins from phases.

        Raises:
            PeekError: if the change is not possible; the run is then unchanged.
        """
        objectives = self.objectives if objective is None else as_objectives(self.network, objective)
        if len(objectives) != len(self.objectives):
            raise PeekError(f"{len(objectives)} objectives for {len(self.objectives)} pictures: give one for each.")
        new = self.recipe if recipe is None else as_recipe(recipe)
        if new.param == "maco" and self.recipe.param != "maco":
            raise RecipeError(
                "A running picture can't be continued with param='maco', whose phases begin with noise: start a run."
            )
        for name, value in self._overrides.items():
            new.check_use(name, value)
        before = dict(vars(self))
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
        self._draws.forget()
        self.objectives, self.recipe = objectives, new
        # Shallow copies leave the old objects unchanged if this fails, since only their tensors are replaced.
        self._image, self._record = copy.copy(self._image), copy.copy(self._record)
        # A picture that is there keeps its shape, also for a unit whose own pictures would have another.
        self._geometry = Geometry(self.network, new, self._asked_size, objectives, self._geometry.shape)
        self._starts = self._take_starts(self._starts)
        self._evaluator, self._draws = self._make_evaluator(), self._make_draws()
        size = self._geometry.sizes[new.octave(min(self.index, new.steps - 1))[0]]
        if new.param == "maco" and size != self._size:
            raise RecipeError(
                f"param='maco' has one size, the spectrum's, and it is {self._size} px in this run: give "
                f"size={self.size} or start a new run."
            )
        frequencies = self._evaluator.highest_frequencies()
        if new.param != old.param or (new.param == "fourier" and new.spectrum_power != old.spectrum_power):
            self._image = from_pictures(self.images.to(self.device), new, frequencies)
        elif isinstance(self._image, Fourier):
            self._image.set_highest_frequencies(frequencies)
        self._rendered = None
        self._record.forget_best()
        self._take_size(size)
        # A new updater also forgets the first gradient, since gradients of units differ by orders of magnitude.
        self._updater = Updater(new, self._image, self.preprocess)
        self._maker = self._make_maker()

    # Saving it

    def state(self, *, on_host: bool = True) -> State:
        """Return everything but the model that :meth:`resume` needs to continue from here.

        Args:
            on_host: whether its tensors are copied to the CPU, which waits for the device; else they stay where the run
                is.
        """
        tensors = tensors_of(self._image, self._updater, self._record, self._draws.states(), self._spectrum, on_host)
        if self._starts is not None:
            tensors["start"] = self._starts.clone()
        return State(
            self.objectives,
            self.recipe,
            self.seeds,
            self._asked_size,
            self.size,
            self.index,
            self.steps,
            dict(self._overrides),
            tensors,
        )

    @classmethod
    def resume(
        cls,
        model: nn.Module | ModelCopy | Network,
        state: State,
        *,
        objective: Objectives | None = None,
        preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
        device: str | torch.device | None = None,
        input_size: SizeLike | None = None,
        precision: Precision | None = None,
    ) -> Ascent:
        """Continue a run from its state, with the same steps as without the interruption.

        Args:
            model: the model of the run.
            state: a state from :meth:`state` or ``State.load(path)``.
            objective: the objective, needed only where a file could not contain it (a function, a style).
            preprocess: the preprocessing of the run, as it was given to it.
            device: where to run.
            input_size: size of the image that the model was made for, see :func:`~peek_widget.network.read`.
            precision: what the network computes in, see :class:`~peek_widget.ascent.AscentOptions`.

        Raises:
            PeekError: if the state does not fit the model.
        """
        if not isinstance(state, State):
            raise PeekError(
                f"A run is resumed from a State, and this is a {type(state).__name__}: give run.state() or "
                "State.load(path)."
            )
        objectives = state.objectives if objective is None else objective
        if objectives is None:
            raise PeekError(
                "This state was loaded from a file that does not include its objective (a Python function or an image "
                "can't be saved in it): give the same one again as objective=."
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
            precision=precision,
            spectrum=spectrum,
            start=state.tensors.get("start"),
        )
        ascent._load(state)
        return ascent

    def _load(self, state: State) -> None:
        size = Size.of(state.side)
        if size not in self._geometry.sizes:  # a run whose objective was changed has the shape of its first one
            for shape in () if self.network.size.square else (self.network.size, size):
                shaped = Geometry(self.network, self.recipe, self._asked_size, self.objectives, shape)
                if size in shaped.sizes:
                    self._geometry = shaped
                    self._evaluator, self._draws = self._make_evaluator(), self._make_draws()
                    self._maker = self._make_maker()
                    if isinstance(self._image, Fourier):
                        self._image.set_highest_frequencies(self._evaluator.highest_frequencies())
                    break
        if size not in self._geometry.sizes:
            raise PeekError(
                f"The state's pictures have {size} px, and with this model they would have "
                f"{', '.join(map(str, self._geometry.sizes))}: resume it with the same model and the same input_size= "
                "as that run."
            )
        with undisturbed(self.device):
            self.override(**state.overrides)
            self.index, self.steps = state.index, state.steps
            self._take_size(size)
            load_tensors(state, self._image, self._updater, self._record, self._generators)
