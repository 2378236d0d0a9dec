"""The widget: its traits, its public methods, and the wiring between model, worker and front end.

Nothing here computes. Handlers and observers put a wish into the session's mailbox and return, because
on a kernel with sub-shells they run on a thread of their own, and elsewhere on the main one.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anywidget
import torch
import traitlets
from PIL import Image
from traitlets import Bunch, HasTraits, TraitError

from peek_widget._encode import png_bytes
from peek_widget._version import __version__
from peek_widget.ascent import KNOBS, Ascent, Drawing, Objective, Recipe, State, presets, save_animation, to_pil
from peek_widget.ascent.pictures import as_picture, in_channels
from peek_widget.ascent.position import is_whole
from peek_widget.ascent.provenance import encode as as_png
from peek_widget.ascent.provenance import save as save_picture
from peek_widget.ascent.recipe import check_size
from peek_widget.comparison import Comparison, Entry, entries
from peek_widget.errors import PeekError, RecipeError
from peek_widget.evidence import Crop, UnitEvidence
from peek_widget.live import export as keep
from peek_widget.live import protocol
from peek_widget.live.choices import (
    check_at,
    check_device,
    check_kind,
    devices,
    kinds,
    objective_of,
    usual_kind,
)
from peek_widget.live.comparison_service import ComparisonService, LiveComparison
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.front_end import Sender, channels_shown, encode, poster
from peek_widget.live.run_service import RunService
from peek_widget.live.sheet_service import SheetKey, SheetService
from peek_widget.live.snapshot import Snapshot, Start, Target, Update
from peek_widget.live.status import HELP
from peek_widget.live.tag_book import TagBook
from peek_widget.live.threads import set_threads, usual_threads
from peek_widget.live.thumbnails import start_picture
from peek_widget.network import OUTPUT, Layer, Network, read
from peek_widget.sheet import ContactSheet

__all__ = ["UnitExplorer"]

log: logging.Logger = logging.getLogger("peek_widget")

STATIC = Path(__file__).parent / "static"
LARGEST_SEED = 2**31 - 1
_USUAL = {"unit": 0, "seed": 0, "negative": False, "playing": True}

_Got = TypeVar("_Got")
_Set = TypeVar("_Set")

if TYPE_CHECKING:
    _Dict = traitlets.Dict[str, Any]
else:
    _Dict = traitlets.Dict  # generic to a type checker only

_CLOSED = "This explorer is closed: make a new one with UnitExplorer(model, ...)."


class _Locked(traitlets.TraitType[_Got, _Set]):
    """A control: set by one thread at a time.

    traitlets swaps methods of the widget while it takes a message of the front end (which may come on
    a sub-shell's thread); a value set by another thread meanwhile would be rolled back or never sent.
    """

    def set(self, obj: Any, value: Any) -> None:
        if obj._shut:
            raise TraitError(_CLOSED)
        with obj._trait_lock:
            super().set(obj, value)


class _Told(traitlets.TraitType[_Got, _Got]):
    """What the explorer says about itself, for the front end: set by its own code only."""

    def set(self, obj: Any, value: Any) -> None:
        if not obj._telling:
            raise TraitError(
                f"{self.name} describes the explorer and cannot be set: it follows the model and the controls. "
                "Names for the output's units are given as UnitExplorer(model, class_names=[...])."
            )
        super().set(obj, value)


class _Live(traitlets.TraitType[_Got, _Got]):
    """What the explorer's own threads show: read, observed and linked like a trait, written by them only.

    Its value lives outside traitlets, so that the worker never enters traitlets' or ipywidgets' own
    machinery, which isn't made for two threads.
    """

    def get(self, obj: Any, cls: Any = None) -> Any:
        return obj._live[self.name]

    def set(self, obj: Any, value: Any) -> None:
        raise TraitError(
            f"{self.name} shows what the explorer does and cannot be set; set layer, unit, recipe, a knob, seed or "
            "size, or call play(), pause(), restart(), step_once(), seek(), resume_from() or start_from()."
        )


class _Kept(_Live[_Got]):
    """As `_Live`, but Python may set it: what it then is, the explorer's tag book says."""

    def set(self, obj: Any, value: Any) -> None:
        try:
            obj._book.assign(value) if self.name == "tags" else obj._book.assign_keys(value)
        except PeekError as error:
            raise TraitError(str(error)) from error


class _Text(_Locked[str, str | bytes], traitlets.Unicode[str, str | bytes]):
    pass


class _Switch(_Locked[bool, bool | int], traitlets.Bool[bool, bool | int]):
    pass


class _Whole(_Locked[_Got, _Got], traitlets.Int[_Got, _Got]):
    def validate(self, obj: Any, value: Any) -> Any:
        if isinstance(value, bool):
            # here and not later: to traitlets False is an equal of 0, and so no change that would be looked at
            raise TraitError(f"{self.name} is a whole number; {value!r} was given.")
        return super().validate(obj, value)


class _Rows(_Told[list[_Got]], traitlets.List[_Got]):
    pass


class _Facts(_Told[dict[str, Any]], _Dict):
    pass


class _Place(_Locked[tuple[int, int] | None, Sequence[int] | None]):
    """A place on the layer's map, or None for its middle; a list on the wire."""

    def __init__(self) -> None:
        super().__init__(None, allow_none=True)
        self.tag(sync=True, to_json=lambda value, _: None if value is None else list(value))


class _Setting(_Locked[float | None, float | None], traitlets.Float[float | None, float | None]):
    """A knob: a number in the range that `KNOBS` gives, or None for what the recipe says."""

    def __init__(self) -> None:
        super().__init__(None, allow_none=True)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        try:
            return _checked_knob(self.name, value)
        except PeekError as error:
            raise TraitError(str(error)) from error


class _RecipeChoice(_Locked[Recipe | str, Recipe | str]):
    """The name of a preset, or a `Recipe`; on the wire its name."""

    def __init__(self, default: str) -> None:
        super().__init__(default)
        self.tag(sync=True, to_json=lambda value, _: _name_of(value))

    def validate(self, obj: Any, value: Any) -> Any:
        try:
            return _checked_recipe(value, obj._offered)
        except PeekError as error:
            raise TraitError(str(error)) from error


class UnitExplorer(anywidget.AnyWidget):
    """Watch a unit of a convolutional network draw, live, what it looks for.

    Args:
        model: a `torch.nn.Module` (never changed), the name of a torchvision model, or None for the
            bundled network.
        layer: a layer's name, as in `model.named_modules()`; `""` is the model's output. Left out: a
            spatial layer about four fifths of the way in.
        unit: the unit's number, from 0.
        dataset: real images to set beside the drawn picture: a folder, a torch Dataset, or a list of images, as
            `peek_widget.top_crops` takes it; or evidence already gathered (what `top_crops` gave, or a file of it).
        class_names: names of the output's units, for the class list; left out, `model.class_names`.
        labels: a label for each image of `dataset`, as `top_crops` takes them; left out, the dataset's own.
        recipe: the name of a preset or a `Recipe`.
        recipes: the presets that can be chosen, by name, the first being the usual one; left out, all.
        seed: where the randomness begins, 0 to 2**31 - 1.
        size: side of the picture in pixels; left out, the recipe's or the model's.
        preprocess: what the model expects; see `peek_widget.network.find_preprocess`.
        input_size: side in pixels of the image that the model was made for; found by trial if left out.
        objective: what of the unit is drawn: `"neuron"`, at one place of its map (the usual); `"channel"`, the mean
            over the map; `"class"`, the score of one of the output's classes (the usual there).
        at: the neuron's place (row, column) on its map; None is the middle. Another layer begins in the middle again.
        negative: draw what the unit likes least. `activation` is then the unit's own, and sinks.
        device: where to compute, `"cpu"`, `"cuda"` or `"mps"`; left out, where the model is.
        threads: CPU threads of the worker; left out, `PEEK_THREADS`, or one less than there are cores.
        playing: whether to begin at once.
        blur, jitter, decay, total_variation, step_size: settings that override the recipe's; ranges and
            units are in `peek_widget.ascent.KNOBS`. None: as the recipe says.
        tags: words on units to begin with, as the `tags` trait has them, or `Tags`.
        tag_keys: the letters that give a tag in the panel of the whole layer, `{"d": "dog"}`.
        sheet_store: where the pictures and tags of whole layers are kept and found again: a folder (each sheet has its
            own in it), or any fsspec address; left out, they are in memory and gone with the explorer.
        state: what `state_json()` gave: all the controls from layer to playing at once, in place of the single ones.

    Every control is a trait: `explorer.unit = 12` moves the slider and begins to draw unit 12. `frame`
    (JPEG or PNG bytes), `activation`, `step` and `status` can be read, observed and linked;
    they are written by the worker, and **their observers run in the worker's thread**, between two
    steps. An observer that raises stops the run, with its error in `status`.

    With a `dataset`, a thread beside the worker looks through the images for the layers that are shown, one after
    the other, and gives way to the drawing. What is wrong with the dataset is said in the panel (and in
    `evidence_status`), and the explorer goes on drawing. `crops` is what it has found for the unit shown. Two
    more traits can be read, observed and linked; they are written by that thread, a few times a second at most:

    - `evidence_status`: how far it is: `state` ("waiting", "running", "stopped", "done", "given", "error"), `text`,
      `problem` (a sentence, or ""), `layer`, `unit`, `images` (seen) and `total`; {} without a dataset.
    - `gauge`: the drawn picture beside the real images, by one rule (best place of the map, before any ReLU):
      `activation` of the picture as it is now, laid before the network without the random views; `lowest`, `median`,
      `high` (99 % are below) and `best` of the images; `activation_ratio`, the one by the other (None where the best is
      not above zero); `text`; and, once the run has ended, `score` (`rank` of the unit in its layer on its own
      picture, `units`, `robustness`, `activation_ratio`, `text`). {} before the first image.

    The panel "Whole layer" draws every unit, those in view first, and gives way to the bench; `sheet` is what it has
    so far. Its tags are the trait `tags`, `{layer: {unit as text: [words]}}`, an empty list for a unit looked at with
    nothing found: read it, set it, observe it, link it. Pages edit it too, so that its observers may run in another
    thread than the notebook's; `explorer.sheet.tags` counts, exports and compares (see `peek_widget.Tags`).

    An explorer and its copy of the model stay until `close()`, as every widget does; one that nobody can
    see computes nothing.

    Raises:
        PeekError: one of its kinds, in a sentence, for anything in the arguments that is not possible.
        traitlets.TraitError: with the same sentence, when a trait is set to it later.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    layer: _Text = _Text("").tag(sync=True)
    unit: _Whole[int] = _Whole(0).tag(sync=True)
    recipe: _RecipeChoice = _RecipeChoice("peek")
    blur: _Setting = _Setting()
    jitter: _Setting = _Setting()
    decay: _Setting = _Setting()
    total_variation: _Setting = _Setting()
    step_size: _Setting = _Setting()
    seed: _Whole[int] = _Whole(0).tag(sync=True)
    size: _Whole[int | None] = _Whole(None, allow_none=True).tag(sync=True)
    objective: _Text = _Text("neuron").tag(sync=True)
    at: _Place = _Place()
    negative: _Switch = _Switch(False).tag(sync=True)
    device: _Text = _Text("cpu").tag(sync=True)
    playing: _Switch = _Switch(True).tag(sync=True)

    _layer_list: _Rows[dict[str, Any]] = _Rows().tag(sync=True)
    _recipe_list: _Rows[dict[str, Any]] = _Rows().tag(sync=True)
    _knobs: _Rows[dict[str, Any]] = _Rows().tag(sync=True)
    class_names: _Rows[str] = _Rows(traitlets.Unicode()).tag(sync=True)
    _about: _Facts = _Facts().tag(sync=True)

    evidence_status: _Live[dict[str, Any]] = _Live({}).tag(sync=True)
    gauge: _Live[dict[str, Any]] = _Live({}).tag(sync=True)

    tags: _Kept[dict[str, dict[str, list[str]]]] = _Kept({}).tag(sync=True)
    tag_keys: _Kept[dict[str, str]] = _Kept({}).tag(sync=True)

    frame: _Live[bytes] = _Live(b"").tag(sync=True)
    activation: _Live[float] = _Live(0.0).tag(sync=True)
    step: _Live[int] = _Live(0).tag(sync=True)
    _history: _Live[bytes] = _Live(b"").tag(sync=True)
    status: _Live[dict[str, Any]] = _Live({}).tag(sync=True)

    def __init__(
        self,
        model: Any = None,
        *,
        layer: str | None = None,
        unit: int = 0,
        dataset: Any = None,
        class_names: Iterable[str] | None = None,
        labels: Any = None,
        recipe: Any = None,
        seed: int = 0,
        size: int | None = None,
        preprocess: Any = None,
        input_size: int | None = None,
        objective: str | None = None,
        at: tuple[int, int] | None = None,
        negative: bool = False,
        device: Any = None,
        threads: int | None = None,
        playing: bool = True,
        blur: float | None = None,
        jitter: float | None = None,
        decay: float | None = None,
        total_variation: float | None = None,
        step_size: float | None = None,
        state: Any = None,
        tags: Any = None,
        tag_keys: Any = None,
        sheet_store: str | Path | None = None,
        recipes: Iterable[str] | None = None,
    ) -> None:
        if state is not None:
            # all that was on screen, from the one place that says it
            restored = {name: value for name, value in keep.read_state(state).items() if value is not None}
            own = {
                "layer": layer,
                "unit": unit,
                "recipe": recipe,
                "seed": seed,
                "size": size,
                "playing": playing,
                "blur": blur,
                "jitter": jitter,
                "decay": decay,
                "total_variation": total_variation,
                "step_size": step_size,
                "objective": objective,
                "at": at,
                "negative": negative,
            }
            given = sorted(name for name, value in own.items() if value not in (None, _USUAL.get(name)))
            if given:
                raise PeekError(
                    f"state= holds every control, and {', '.join(given)} {'was' if len(given) == 1 else 'were'} given "
                    "beside it: leave the one or the other out, and set what is to differ afterwards."
                )
            (
                layer,
                unit,
                recipe,
                seed,
                size,
                playing,
                blur,
                jitter,
                decay,
                total_variation,
                step_size,
                objective,
                at,
                negative,
            ) = (restored.get(name, value) for name, value in own.items())
        self._shut = self._obeying = False
        self._telling = True
        self._trait_lock = threading.RLock()
        self._live: dict[str, Any] = {
            "frame": b"",
            "activation": 0.0,
            "step": 0,
            "_history": b"",
            "status": {},
            "evidence_status": {},
            "gauge": {},
            "tags": {},
            "tag_keys": {},
        }
        self._live_lock = threading.Lock()
        self._start: Start | None = None
        self._picture: Image.Image | None = None
        self._sender = Sender()

        self._asked_model = model
        self._model = _found_model(model)
        device = None if device is None else check_device(device)
        self._preprocess, self._input_size, self._device = preprocess, input_size, device
        self._network = read(self._model, input_size, preprocess, device)
        if layer is None:
            layer = _good_layer(self._network)
        self._offered = _checked_offer(recipes)
        recipe = _checked_recipe(self._offered[0] if recipe is None else recipe, self._offered)
        self._network.check_unit(layer, unit)
        kind = usual_kind(self._network.layer(layer)) if objective is None else objective
        check_kind(self._network.layer(layer), kind)
        at = check_at(self._network.layer(layer), at)
        names = _names_of_classes(self._model, self._network, class_names)
        rows = self._describe_layers(layer)
        _checked_seed(seed)
        _checked_size(size)
        enter = _thread_setter(threads)
        given = {
            "blur": blur,
            "jitter": jitter,
            "decay": decay,
            "total_variation": total_variation,
            "step_size": step_size,
        }
        given = {name: None if value is None else _checked_knob(name, value) for name, value in given.items()}
        target = Target(
            layer,
            unit,
            recipe,
            seed,
            size,
            None,
            kind,
            at,
            bool(negative),
            device,
            _name_of_unit(rows, names, layer, unit),
        )
        if size is not None:
            # only the layer can say whether so small an image reaches it
            self._make_ascent(target)

        # the worker must not keep an explorer alive that nobody else holds
        me = weakref.ref(self)
        self._snapshot: Snapshot | None = None
        self._given = {"input_size": input_size, "preprocess": preprocess, "device": device, "dataset": dataset}
        self._errands = keep.JobQueue()
        front_end = _FrontEnd(me)
        self._comparer = ComparisonService(front_end, lambda: _still_there(me)._session.wake())
        self._session = RunService(
            lambda target: _still_there(me)._make_ascent(target),
            lambda update: _still_there(me)._publish(update),
            target=target,
            knobs=given,
            playing=bool(playing),
            enter=enter,
            background=(self._errands, self._comparer),
            resume_ascent=lambda target, state: _still_there(me)._resume_ascent(target, state),
            weights=lambda: _still_there(me)._network.model_copy.version(),
        )
        self._live["status"] = self._session.status()
        self._desk = None
        if dataset is not None:
            session = self._session
            self._desk = ExampleService(
                dataset,
                labels,
                front_end=front_end,
                network=lambda: _still_there(me)._network,
                watched=session.watched,
                drawing=lambda: session.running,
            )
            self._live["evidence_status"] = {"state": "waiting", "text": "", "problem": ""}
        self._tags_lock = threading.Lock()
        self._book = TagBook(lambda: _still_there(me)._network, lambda: _still_there(me)._show_tags())
        self._sheets = self._make_sheet_service(me, SheetKey(layer, recipe, seed, size, kind), sheet_store)
        if tags is not None:
            self._book.assign(tags)
        if tag_keys is not None:
            self._book.assign_keys(tag_keys)

        super().__init__(
            layer=layer,
            unit=unit,
            recipe=recipe,
            seed=seed,
            size=size,
            objective=kind,
            at=at,
            negative=bool(negative),
            device=str(self._network.model_copy.device),
            playing=bool(playing),
            **given,
            _layer_list=rows,
            _recipe_list=_describe_recipes(recipe, self._offered),
            _knobs=_describe_knobs(),
            class_names=names,
            _about=self._describe(),
        )
        self._telling = False

        self._end = weakref.finalize(self, self._session.close, 0.0)
        self._sender.keep_route(self.comm)
        self.on_msg(self._receive)
        self.observe(
            self._retarget, ["layer", "unit", "recipe", "seed", "size", "objective", "at", "negative", "device"]
        )
        self.observe(self._turn_knob, list(protocol.KNOB_NAMES))
        self.observe(self._play_or_pause, "playing")
        if playing:
            self._session.start()
        self._end_sheets = weakref.finalize(self, self._sheets.close, 0.0)
        if self._desk is not None:
            self._end_desk = weakref.finalize(self, self._desk.close, 0.0)
            self._desk.show_unit(layer, unit)

    # -- what one does with it

    def play(self) -> None:
        """Go on drawing; a finished run is prolonged."""
        self._check_open()
        if self.playing:
            self._session.set_playing(True)
        self.playing = True

    def pause(self) -> None:
        """Stand still after the current step."""
        self.playing = False

    def restart(self) -> None:
        """Begin again: same unit, same seed."""
        self._check_open()
        self._session.restart()

    def step_once(self) -> None:
        """Make one step while paused; while an earlier picture is looked at, show the next one kept."""
        self._check_open()
        self._session.step_once()

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps of the run that can be looked back at and gone on from, rising; the last is where it stands.

        There are at most 49, evenly thinned out as the run grows; of a large picture fewer (they have 96 MB).
        """
        return self._session.checkpoint_steps

    def seek(self, step: int) -> None:
        """Pause, and show the picture as it was at a step; the nearest one kept is taken, and `status` says which.

        The run itself stays where it is, and `play()` goes on from there.

        Raises:
            PeekError: if it is no step, or no step has been made yet.
        """
        step = self._checked_step(step)
        self._session.seek(step)
        self._show_playing(False)

    def resume_from(self, step: int) -> None:
        """Go on drawing from a step; the nearest one kept is taken, and `status` says which.

        What came after it is forgotten, and the curve is cut there. The settings are those of now: with the same ones
        as before, the picture becomes the very same again, bit for bit on the CPU.

        Raises:
            PeekError: if it is no step, or no step has been made yet.
        """
        step = self._checked_step(step)
        self._session.resume_from(step)
        self._show_playing(True)

    def start_from(self, picture: Any) -> None:
        """Draw the unit from a picture on, rather than from the recipe's own start.

        It holds for this unit: `restart()`, another seed and another recipe begin from it again; another unit or
        layer does not.

        Args:
            picture: a `Crop`, a PIL image, an array `[H, W, C]` or a tensor `[C, H, W]` in [0, 1]; its middle square
                is taken. None: the recipe's own start again.

        Raises:
            PeekError: if it is no image. A recipe that can't begin from a picture (`maco`) says so in `status`.
        """
        self._check_open()
        self._start = self._as_start(picture)
        self._session.set_target(self._target())
        self.play()

    def compare(
        self,
        *,
        recipes: Iterable[Any] | None = None,
        seeds: Iterable[int] | None = None,
        units: Iterable[int] | None = None,
    ) -> LiveComparison:
        """Draw the unit under 2 to 6 recipes or seeds, or 2 to 6 units of its layer, side by side below the bench.

        They are drawn in step, see `peek_widget.compare`; meanwhile the explorer's own run rests. Seeds and units are
        drawn by the recipe and the settings of now, all of them from the recipe's own start.

        Args:
            recipes: presets' names or Recipes; or
            seeds: numbers from 0; or
            units: numbers of units of the layer.

        Returns:
            the comparison: `.wait()` for its end, `.figure()`, `.save("figure.png")`.

        Raises:
            PeekError: what was asked for is not possible, in a sentence.
        """
        what = {"recipes": recipes, "seeds": seeds, "units": units}
        chosen = {
            name: list(values) if not isinstance(values, str) else values
            for name, values in what.items()
            if values is not None
        }
        self._entries(chosen)
        return self._begin_comparison(chosen)

    def end_comparison(self) -> None:
        """Put the comparison away; the explorer's own run goes on."""
        self._comparer.close()

    def save(self, path: str | Path) -> None:
        """Write the picture on screen; the name's ending says in which format.

        A PNG is exact and carries what `load_recipe` gives back: objective, seed, size, and a recipe that draws this
        very picture, with the settings made by hand, and as many steps as it has had. Where no recipe can (a setting
        was changed on the way, or the run was begun from a picture) a warning says so.

        Raises:
            PeekError: if there is no picture yet, or the ending names no format that can be written.
            OSError: if the file can't be written.
        """
        image, drawing, note = self._as_drawing()
        save_picture(path, image, drawing)
        if note:
            log.warning("%s: %s", path, note)

    def animation(self, path: str | Path, *, rate: float = 15.0, hold: float = 1.5) -> None:
        """Write the run up to the picture on screen as an animation: a `.gif`, a `.webp` or, with PyAV, an `.mp4`.

        It is made of the steps that the scrubber has: some four dozen of a run at most, evenly over it, fewer of very
        large pictures. For every step take `peek_widget.save_animation(ascend(...), path)`.

        Args:
            path: of the file; its name's ending says which of the three.
            rate: pictures a second, up to 50.
            hold: seconds that the last one stays.

        Raises:
            PeekError: if there is no picture yet, or the ending is another.
            OSError: if the file can't be written.
        """
        save_animation(self._session.checkpoint_pictures, path, rate=rate, hold=hold)

    def snapshot(self) -> None:
        """Leave the picture on screen in the notebook, in the output of the cell that calls this.

        It is a PNG as `save` writes it, so it stays when the kernel is gone, and its recipe with it; what it shows is
        beside it in words. In a plain script it prints those.

        Raises:
            PeekError: if there is no picture yet.
        """
        from IPython.display import display

        image, drawing, note = self._as_drawing()
        if note:
            log.warning("%s", note)
        words = self._caption()
        side = int(image.shape[-1])
        display(
            {"image/png": base64.b64encode(as_png(image, drawing)).decode(), "text/plain": words},
            metadata={"image/png": {"alt": words, "width": side, "height": side}},
            raw=True,
        )

    def state_json(self) -> str:
        """All the controls as JSON, for `UnitExplorer(model, state=...)`: layer, unit, recipe, settings, seed, size."""
        return keep.state_json(self._controls())

    def code(self) -> str:
        """A line of Python that makes this explorer again: `UnitExplorer(model, layer="layer3", unit=7)`.

        It takes `UnitExplorer` and `Recipe` from peek_widget; a model, a dataset and a preprocess that were given as
        objects go by these names.
        """
        return keep.code(self._asked_model, self._controls(), self._given)

    def wait(self, timeout: float | None = None) -> str:
        """Block until the run stands still; for scripts and tests.

        Args:
            timeout: seconds; None waits as long as it takes.

        Returns:
            "done", "paused", "error"; or "closed", once the explorer is.

        Raises:
            TimeoutError: when it still runs after `timeout` seconds.
        """
        return self._session.wait(timeout)

    @property
    def image(self) -> Image.Image | None:
        """The newest picture, exact (not the JPEG that was sent); None before the first."""
        return self._picture

    @property
    def crops(self) -> UnitEvidence | None:
        """What the real images say about the unit shown, so far: `crops.top[0].image`.

        None without a dataset and before the layer's first image. Those of other units of a layer that was looked at
        are one `explorer.unit = ...` away.
        """
        return None if self._desk is None else self._desk.crops(self.layer, self.unit)

    @property
    def sheet(self) -> ContactSheet:
        """The whole layer as far as it is drawn: `explorer.sheet.to_html("layer.html")`, `explorer.sheet[17].image`.

        The panel "Whole layer" draws it; where that was never opened nothing is drawn yet, and `explorer.sheet.draw()`
        draws it here and now. Another layer, recipe, seed or size has another sheet; its `tags` are the explorer's.

        Raises:
            PeekError: if there can be none: a recipe that can't draw the layer, a store of another sheet.
        """
        return self._sheets.sheet()

    def close(self) -> None:
        """End the worker and take the widget off the page. Its controls then raise, `status["state"]` is "closed"."""
        self._shut = True
        session = getattr(self, "_session", None)
        if session is not None and not session.close():
            log.warning("The worker is still in a long step; it ends after it.")
        desk = getattr(self, "_desk", None)
        if desk is not None and not desk.close():
            log.warning("The look at real images is still at a slow image; it ends after it.")
        sheets = getattr(self, "_sheets", None)
        if sheets is not None and not sheets.close():
            log.warning("The sheet is still in a long step; it ends after it.")
        if session is not None:
            self._show(status=session.status())
        super().close()

    def __repr__(self) -> str:
        return (
            f"UnitExplorer({type(self._model).__name__}, layer={self.layer!r}, unit={self.unit}, "
            f"recipe={_name_of(self.recipe)!r}, preprocess: {self._network.preprocess})"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None and self._picture is not None:
            # where no widget can be shown, in a file viewer say, there is still a picture
            bundle[0]["image/png"] = poster(self._picture)
        return bundle

    # -- from the front end

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take control values of the front end; what is not a control, or not possible, changes nothing."""
        self._sender.remember()
        controls = {name: value for name, value in sync_data.items() if name in protocol.CONTROL_TRAITS}
        if len(controls) < len(sync_data):
            refused = ", ".join(sorted(str(name)[:40] for name in sync_data if name not in controls)[:8])
            log.warning("The front end may not set %s; ignored.", refused)
        if controls.get("recipe") == _name_of(self.recipe):
            # a front end knows names only: the name of a recipe made in Python means that recipe
            del controls["recipe"]
        with self._trait_lock:
            try:
                super().set_state(controls)
            except TraitError as error:
                log.warning("The front end asked for what is not possible: %s", error)
                # its sliders must not stand where Python is not
                self.send_state(list(controls))

    def _receive(self, _widget: Any, content: Any, buffers: Any) -> None:
        self._sender.remember()
        try:
            message = protocol.parse(content, buffers)
        except protocol.ProtocolError as error:
            log.warning("%s Ignored.", error)
            return
        match message:
            case protocol.Play():
                self.play()
            case protocol.Compare(what, values) if values:
                self._begin_comparison({what: list(values)})
            case protocol.Compare():
                self.end_comparison()
            case protocol.CompareAck(n):
                self._comparer.ack(n)
            case protocol.Save(what):
                self._errands.add(lambda: self._hand_over(what))
                self._session.wake()
            case protocol.Seek(step) if self.checkpoint_steps:
                self.seek(step)
            case protocol.Resume(step) if self.checkpoint_steps:
                self.resume_from(step)
            case protocol.SetCropView() | protocol.OpenCrop() | protocol.RunPass() | protocol.StartFromCrop():
                self._receive_of_images(message)
            case protocol.Tag() | protocol.TagReviewed() | protocol.TagUndo() | protocol.TagKey():
                self._book.receive(message)
            case (
                protocol.LoadModule()
                | protocol.SheetOpen()
                | protocol.SheetDraw()
                | protocol.SheetView()
                | protocol.SheetAck()
                | protocol.SheetSimilarity()
            ):
                self._receive_of_sheet(message)
            case _:
                if isinstance(message, protocol.Hello | protocol.Visible | protocol.Ping):
                    self._comparer.resend()
                if isinstance(message, protocol.Ping):
                    self._answer()
                self._session.receive(message)
                self._receive_of_sheet(message)
                if self._desk is not None:
                    if isinstance(message, protocol.Hello):
                        self._desk.resend()
                    elif not isinstance(message, protocol.Ack):
                        self._desk.wake()

    def _receive_of_sheet(self, message: protocol.Message) -> None:
        desk = self._sheets
        match message:
            case protocol.LoadModule():
                self._tell({"kind": "module"}, [_static(name).encode() for name in ("lazy.js", "lazy.css")])
                # a page that asks for it knows nothing yet of what is shown there
                desk.resend()
                self._comparer.resend()
                self._session.wake()
            case protocol.SheetOpen(on):
                desk.set_open(on)
                self._tell(self._book.counts(self.layer), [])
            case protocol.SheetDraw(on):
                desk.set_drawing(on)
            case protocol.SheetView(units):
                desk.set_view(units)
            case protocol.SheetAck(n):
                self._session.mark_active()
                desk.ack(n)
            case protocol.SheetSimilarity():
                desk.request_similarity()
            case protocol.Hello():
                desk.resend()
            case protocol.Visible() | protocol.Ping():
                desk.wake()

    def _answer(self) -> None:
        """Say at once, in the thread that was asked, that somebody is here, and how it stands.

        The worker may be in a long step; and a host like Colab hands on nothing that another thread sends.
        """
        self._tell({"kind": "pong"}, [])
        # the lock is held for sending too, or something newer might overtake
        with self._live_lock:
            self._sender.send(self.comm, {name: self._live[name] for name in protocol.LIVE_TRAITS})

    def _receive_of_images(
        self, message: protocol.SetCropView | protocol.OpenCrop | protocol.RunPass | protocol.StartFromCrop
    ) -> None:
        if isinstance(message, protocol.StartFromCrop) and message.id == 0:
            self.start_from(None)
            return
        desk = self._desk
        if desk is None:
            log.warning("The front end asked for real images, and there is no dataset. Ignored.")
            return
        match message:
            case protocol.SetCropView(bottom, cut):
                desk.set_crop_view(bottom, cut)
            case protocol.OpenCrop(number):
                desk.open_crop(number)
            case protocol.RunPass(on):
                desk.run_pass(on)
            case protocol.StartFromCrop(number):
                crop = desk.crop(number)
                # a click may come late, when the crops of another unit are there already
                if crop is not None and (crop.layer, crop.unit) == (self.layer, self.unit):
                    self.start_from(crop)

    # -- from the traits

    @traitlets.default("_esm")
    def _read_script(self) -> str:
        return _static("widget.js")

    @traitlets.default("_css")
    def _read_style(self) -> str:
        return _static("widget.css")

    @traitlets.validate("layer")
    def _check_layer(self, proposal: Bunch) -> str:
        try:
            self._network.layer(proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error
        return proposal.value

    @traitlets.validate("unit")
    def _check_unit(self, proposal: Bunch) -> int:
        try:
            self._network.check_unit(self.layer, proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error
        return proposal.value

    @traitlets.validate("seed")
    def _check_seed(self, proposal: Bunch) -> int:
        try:
            return _checked_seed(proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error

    @traitlets.validate("size")
    def _check_size(self, proposal: Bunch) -> int | None:
        try:
            return _checked_size(proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error

    @traitlets.validate("objective")
    def _check_objective(self, proposal: Bunch) -> str:
        try:
            return check_kind(self._network.layer(self.layer), proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error

    @traitlets.validate("at")
    def _check_at(self, proposal: Bunch) -> tuple[int, int] | None:
        try:
            return check_at(self._network.layer(self.layer), proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error

    @traitlets.validate("device")
    def _check_device(self, proposal: Bunch) -> str:
        if self._telling:
            # where the model is, which read() has found possible
            return proposal.value
        try:
            return check_device(proposal.value)
        except PeekError as error:
            raise TraitError(str(error)) from error

    def _retarget(self, change: Bunch) -> None:
        if self._obeying:
            return
        if change.name == "layer":
            if self.layer not in [row["name"] for row in self._layer_list]:
                self._tell_traits(_layer_list=self._describe_layers(self.layer))
            self._follow_layer()
        if change.name == "recipe" and _name_of(self.recipe) not in [row["name"] for row in self._recipe_list]:
            self._tell_traits(_recipe_list=_describe_recipes(self.recipe, self._offered))
        if change.name == "device":
            self._device = self.device
            self._tell_traits(_about={**self._about, "device": self.device})
        if change.name in ("layer", "unit"):
            self._start = None
            if self._desk is not None:
                self._desk.show_unit(self.layer, self.unit)
        self._session.set_target(self._target())
        self._sheets.show_sheet(SheetKey(self.layer, self.recipe, self.seed, self.size, self.objective))
        if change.name == "layer":
            self._tell(self._book.counts(self.layer), [])

    def _follow_layer(self) -> None:
        """Bring what only the last layer had, a unit, an objective, a place, to what the new one has."""
        layer = self._network.layer(self.layer)
        self._obeying = True
        try:
            self.unit = min(self.unit, layer.channels - 1)
            if self.objective not in kinds(layer) or self.objective == "class":
                self.objective = usual_kind(layer)
            self.at = None
        finally:
            self._obeying = False

    def _target(self) -> Target:
        return Target(
            self.layer,
            self.unit,
            self.recipe,
            self.seed,
            self.size,
            self._start,
            self.objective,
            self.at,
            self.negative,
            self._device,
            _name_of_unit(self._layer_list, self.class_names, self.layer, self.unit),
        )

    def _tell_traits(self, **values: Any) -> None:
        with self._trait_lock:
            self._telling = True
            try:
                for name, value in values.items():
                    setattr(self, name, value)
            finally:
                self._telling = False

    def _show_playing(self, playing: bool) -> None:
        """Set `playing` where the worker has been told already, together with another wish."""
        with self._trait_lock:
            self._obeying = True
            try:
                self.playing = playing
            finally:
                self._obeying = False

    def _check_open(self) -> None:
        if self._shut:
            raise PeekError(_CLOSED)

    def _checked_step(self, step: Any) -> int:
        self._check_open()
        if not is_whole(step) or int(step) < 0:
            raise PeekError(f"A step is a whole number from 0; {step!r} was given.")
        if not self.checkpoint_steps:
            raise PeekError("There is no step to look at yet: the run has not made its first one.")
        return int(step)

    def _as_start(self, picture: Any) -> Start | None:
        if picture is None:
            return None
        channels = self._network.channels
        if isinstance(picture, Crop):
            return Start(picture.name, lambda: start_picture(picture, channels))
        if isinstance(picture, Image.Image) and channels in (1, 3):
            picture = picture.convert("L" if channels == 1 else "RGB")
        # what is no image is said here and now, and not in the worker
        ready = in_channels(as_picture(picture), channels)
        return Start("a given picture", lambda: ready)

    def _turn_knob(self, change: Bunch) -> None:
        self._session.set_knobs(**{change.name: change.new})

    def _play_or_pause(self, change: Bunch) -> None:
        if not self._obeying:
            self._session.set_playing(change.new)

    # -- comparing and keeping

    def _controls(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in protocol.CONTROL_TRAITS}
        # a matter of the machine, and given as an argument where it was
        del values["device"]
        if values["objective"] == usual_kind(self._network.layer(self.layer)):
            values["objective"] = None
        return values

    def _entries(self, what: dict[str, Any]) -> tuple[list[Entry], str]:
        found = entries(
            self._network,
            self.layer,
            self.unit,
            **what,
            recipe=self._recipe_by_hand(),
            seed=self.seed,
            class_names=self.class_names,
            objective=self._objective_of,
            negative=self.negative,
        )
        # what can't be chosen on the bench can't be had beside it either
        for recipe in what.get("recipes", ()):
            _checked_recipe(recipe, self._offered)
        return found

    def _objective_of(self, unit: int) -> Objective:
        return objective_of(self._network, dataclasses.replace(self._target(), unit=unit))

    def _recipe_by_hand(self) -> Recipe:
        """The recipe with what is set by hand."""
        recipe = self.recipe if isinstance(self.recipe, Recipe) else Recipe.preset(self.recipe)
        held = {name: getattr(self, name) for name in protocol.KNOB_NAMES if getattr(self, name) is not None}
        if not held:
            return recipe
        words = ", ".join([recipe.name, *(f"{name}={value:g}" for name, value in held.items())])
        return recipe.replace(**held, name=words[:200])

    def _begin_comparison(self, what: dict[str, Any]) -> LiveComparison:
        size, me = self.size, weakref.ref(self)

        def make() -> Comparison:
            explorer = _still_there(me)
            found, title = explorer._entries(what)
            return Comparison(explorer._fresh_network(), found, title, size=size)

        ((name, values),) = what.items()
        return self._comparer.begin(make, [self._controls_of(name, value) for value in values])

    def _controls_of(self, what: str, value: Any) -> dict[str, Any]:
        """What the page sets to have that picture of a comparison on the bench."""
        if what != "recipes":
            return {what.removesuffix("s"): value}
        if isinstance(value, Recipe) and value.name not in (_name_of(self.recipe), *Recipe.presets()):
            return {}
        return {"recipe": _name_of(value), **dict.fromkeys(protocol.KNOB_NAMES)}

    def _as_drawing(self) -> tuple[torch.Tensor, Drawing, str]:
        snapshot = self._snapshot
        if snapshot is None:
            raise PeekError("There is no picture yet: wait for one, with explorer.wait() say, and then keep it.")
        objective = _objective(self._network, snapshot.target)
        return snapshot.image, *keep.drawing_of(snapshot, self._network, objective)

    def _caption(self) -> str:
        snapshot = self._snapshot
        what = snapshot.target.describe()
        return (
            f"{what[:1].upper()}{what[1:]}, {type(self._model).__name__}: {snapshot.recipe.name}, "
            f"seed {snapshot.target.seed}, after {snapshot.step} steps."
        )

    def _hand_over(self, what: str) -> None:
        """Send the page what it wants to save or copy; in the worker."""
        content = {"kind": "saved", "what": what, "name": "", "text": "", "note": "", "problem": ""}
        buffers = []
        try:
            match what:
                case "picture":
                    image, drawing, content["note"] = self._as_drawing()
                    content["name"] = keep.file_name(self._snapshot, ".png")
                    buffers = [as_png(image, drawing)]
                case "figure":
                    comparison = self._comparer.current
                    if comparison is None:
                        raise PeekError("There is no comparison to save: begin one first.")
                    content["name"] = "comparison.png"
                    buffers = [png_bytes(comparison.figure())]
                case "code":
                    content["text"] = self.code()
        except PeekError as error:
            content["problem"] = str(error)
        self._tell(content, buffers)

    # -- in the worker

    def _fresh_network(self) -> Network:
        """The network, with the model's weights as they are now, where it is to be."""
        model_copy, device = self._network.model_copy, self._device
        if model_copy.stale() or (device is not None and str(model_copy.device) != device):
            self._network = read(self._model, self._input_size, self._preprocess, device)
        else:
            model_copy.refresh()
        return self._network

    def _resume_ascent(self, target: Target, state: State) -> Ascent:
        return Ascent.resume(self._fresh_network(), state)

    def _make_ascent(self, target: Target) -> Ascent:
        return Ascent(
            self._fresh_network(),
            _objective(self._network, target),
            target.recipe,
            seed=target.seed,
            size=target.size,
            start=None if target.start is None else target.start.picture(),
        )

    def _publish(self, update: Update) -> None:
        values = {
            "activation": update.activation,
            "step": update.step,
            "_history": update.history,
            "status": update.status,
        }
        if update.snapshot is not None:
            self._snapshot = update.snapshot
            self._picture = to_pil(update.snapshot.image)
            values["frame"] = encode(self._picture, lossless=update.lossless)
            if self._desk is not None:
                self._desk.show_picture(update.snapshot)
        self._show(**values)

    # -- the whole layer, and its tags

    def _make_sheet_service(
        self, me: weakref.ref[UnitExplorer], key: SheetKey, store: str | Path | None
    ) -> SheetService:
        session, images = self._session, self._desk
        return SheetService(
            key,
            front_end=_FrontEnd(me),
            network=lambda: _still_there(me)._network,
            watched=session.watched,
            drawing=lambda: session.running,
            tags=self._book.tags,
            evidence=images.complete_evidence if images is not None else lambda _: None,
            store=None if store is None else str(store),
        )

    def _show_tags(self) -> None:
        # sent in the order of the edits, and observed with no lock held
        with self._tags_lock:
            values = {"tags": self._book.as_dict(), "tag_keys": self._book.keys}
            old, new = self._put(values)
            self._tell(self._book.counts(self.layer or ""), [])
        self._sheets.save_tags()
        self._notify(values, old, new)

    # -- in the worker, and in the desk's thread

    def _show(self, **values: Any) -> None:
        self._notify(values, *self._put(values))

    def _put(self, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        with self._live_lock:
            old = self._live
            new = self._live = {**old, **values}
        self._sender.send(self.comm, values)
        return old, new

    def _notify(self, values: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
        for name in values:
            if new[name] != old[name]:
                # unbound: another thread may just have swapped notify_change on this object, and
                # ipywidgets' own version would send the value a second time
                HasTraits.notify_change(self, Bunch(name=name, old=old[name], new=new[name], owner=self, type="change"))

    def _tell(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self._sender.tell(self.comm, content, buffers)

    # -- in words

    def _describe(self) -> dict[str, Any]:
        preprocess = str(self._network.preprocess)
        shown = channels_shown(self._network.channels)
        return {
            "model": type(self._model).__name__,
            "preprocess": f"{preprocess}; shown: {shown}" if shown else preprocess,
            "device": str(self._network.model_copy.device),
            "devices": devices(),
            "version": __version__,
            "help": HELP,
        }

    def _describe_layers(self, current: str) -> list[dict[str, Any]]:
        return [
            {
                "name": layer.name,
                "kind": layer.kind,
                "channels": layer.channels,
                "size": list(layer.size),
                "receptive_field": list(layer.receptive_field),
                "stride": list(layer.stride),
                "rectified": layer.rectified,
                "objectives": list(kinds(layer)),
            }
            for layer in self._network.layers
            if layer.primary or layer.name == current
        ]


class _FrontEnd:
    """The way of the services to the traits and to the page; it does not keep the explorer alive."""

    def __init__(self, explorer: weakref.ref[UnitExplorer]) -> None:
        self._explorer = explorer

    def publish(self, **values: Any) -> None:
        _still_there(self._explorer)._show(**values)

    def send(self, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        _still_there(self._explorer)._tell(message, list(buffers))


def _still_there(me: weakref.ref[UnitExplorer]) -> UnitExplorer:
    explorer = me()
    if explorer is None:
        raise ReferenceError("The explorer is gone.")
    return explorer


def _found_model(model: Any) -> Any:
    if model is not None and not isinstance(model, str):
        return model
    # only where it is asked for: a model of one's own needs neither weights nor torchvision
    from peek_widget import zoo

    return zoo.bundled() if model is None else zoo.by_name(model)


def _good_layer(network: Network) -> str:
    """Choose a layer to begin with.

    Early layers look for edges, which is soon seen; the very last ones for whole classes, many of them mixed.
    Four fifths in, units look for motifs and parts, and a picture of one is soon recognizable.
    """
    spatial = [layer for layer in network.layers if layer.primary and layer.spatial]
    candidates: list[Layer] = spatial or [layer for layer in network.layers if layer.primary]
    last = len(candidates) - 1
    near = [place for place in range(last + 1) if 0.7 * last <= place <= 0.9 * last] or [last]
    # of a block and the convolutions inside it the block, whose name and units one knows from the paper
    best = min(near, key=lambda place: (candidates[place].name.count("."), abs(place - 0.8 * last)))
    return candidates[best].name


def _objective(network: Network, target: Target) -> Objective:
    objective = objective_of(network, target)
    return -objective if target.negative else objective


def _name_of(recipe: Any) -> str:
    return recipe.name if isinstance(recipe, Recipe) else str(recipe)


def _checked_offer(names: Iterable[str] | None) -> tuple[str, ...]:
    """The names of the presets that can be chosen, at least one."""
    if names is None:
        return tuple(presets())
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise RecipeError(f"recipes= is empty: name at least one of {', '.join(presets())}, or leave it out for all.")
    for name in names:
        Recipe.preset(name)
    return names


def _checked_recipe(recipe: Any, offered: tuple[str, ...]) -> Any:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str):
        Recipe.preset(recipe)
        if recipe not in offered:
            raise RecipeError(f"The recipe {recipe!r} is not offered here; possible are {', '.join(offered)}.")
        return recipe
    raise RecipeError(
        f"A recipe is the name of a preset ({', '.join(Recipe.presets())}) or a Recipe, not a {type(recipe).__name__}."
    )


def _checked_knob(name: str, value: Any) -> float:
    return KNOBS[name].check(value)


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise PeekError(f"A seed is a whole number from 0 to {LARGEST_SEED}; {seed!r} was given.")
    return seed


def _checked_size(size: Any) -> int | None:
    return None if size is None else check_size(size)


def _thread_setter(threads: int | None) -> Any:
    """What the worker calls once to take no more of a shared machine than it may."""
    source, given = "threads", threads
    if threads is None and os.environ.get("PEEK_THREADS"):
        source, given = "PEEK_THREADS", os.environ["PEEK_THREADS"]
    if given is None:
        return lambda: set_threads(usual_threads())
    with contextlib.suppress(ValueError, TypeError):
        if int(given) >= 1:
            return lambda: set_threads(int(given))
    raise PeekError(f"{source} is a number of CPU threads, a whole number from 1; {given!r} was given.")


def _names_of_classes(model: Any, network: Network, labels: Iterable[str] | None) -> list[str]:
    """Names of the output's units, [] where there are none; PeekError where they were given and don't fit."""
    given = getattr(model, "class_names", None) if labels is None else labels
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        words = f"a list of names, one for each unit of the output, not {type(given).__name__} {given!r:.60}."
        if labels is not None:
            raise PeekError(f"class_names= takes {words}")
        log.warning("model.class_names should be %s It is left out.", words)
        return []
    names = [str(name) for name in given]
    units = network.layer(OUTPUT).channels
    if len(names) != units:
        words = f"{len(names)} names, and the model's output has {units} units"
        if labels is not None:
            raise PeekError(f"class_names= holds {words}: give one name for each unit, in their order.")
        if names:
            log.warning("model.class_names holds %s: the names are left out.", words)
        return []
    return names


def _name_of_unit(rows: list[dict[str, Any]], names: list[str], layer: str, unit: int) -> str:
    """The class that a unit stands for, "" for none: of the last layers, as long as they have as many units as names.

    The front end has the same rule (`className` in picker.ts).
    """
    for row in reversed(rows):
        if row["channels"] != len(names):
            break
        if row["name"] == layer:
            return names[unit]
    return ""


def _describe_recipes(current: Any, offered: tuple[str, ...]) -> list[dict[str, str]]:
    known = [(name, presets()[name]) for name in offered]
    rows = [{"name": name, "summary": preset.summary, "source": preset.source} for name, preset in known]
    if isinstance(current, Recipe) and current.name not in presets():
        rows.append({"name": current.name, "summary": "Your own.", "source": "Given in Python."})
    return rows


def _describe_knobs() -> list[dict[str, Any]]:
    knobs = [KNOBS[name] for name in protocol.KNOB_NAMES]
    return [dataclasses.asdict(knob) for knob in knobs]


def _static(name: str) -> str:
    path = STATIC / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"The front end has not been built: {path.name} is missing. Install the package with "
            "`pip install .`, or build it in place with `npm ci && npm run build` in js/."
        ) from error
