"""The widget: its traits, the arguments of its constructor, and its public methods.

Nothing here computes: methods leave requests with the services and return. In the order of the file: the class
docstring, the traits, the constructor, then methods about the run, the picture, the unit and its layer, and the
explorer itself; last, what the front end and traitlets call. The implementation is in:

- `live/assembly.py`: the model and the services, and how they are connected.
- `live/control_sync.py`: what happens when a control is set.
- `live/controls.py`: each control's default, checks and type; `live/initial_controls.py`: the first values.
- `live/routes.py`: what each message of the front end does.
- `live/export.py`: saving, the snapshot and the line of Python.

It is longer than other modules because it is one class: two thirds are its documentation and its signatures.
"""

from __future__ import annotations

import inspect
import logging
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import anywidget
import torch
import traitlets
from PIL import Image
from torch import nn
from traitlets import Bunch, TraitError

from peek_widget._size import SizeLike
from peek_widget.ascent import Objective, Recipe, save_animation
from peek_widget.ascent.position import is_whole
from peek_widget.circuits import Circuit
from peek_widget.errors import PeekError
from peek_widget.evidence import Evidence, UnitEvidence
from peek_widget.evidence.dataset import DatasetLike, Labels
from peek_widget.live.assembly import Assembly
from peek_widget.live.choices import Choices
from peek_widget.live.comparison_service import LiveComparison
from peek_widget.live.control_sync import ControlSync
from peek_widget.live.controls import CONTROL_NAMES, CONTROLS, recipe_name
from peek_widget.live.export import code
from peek_widget.live.front_end import poster
from peek_widget.live.history import HistoryPoint, unpack
from peek_widget.live.initial_controls import initial_controls
from peek_widget.live.model_source import ModelSource
from peek_widget.live.routes import make_router, send_module
from peek_widget.live.static import read_static
from peek_widget.network import Preprocess
from peek_widget.network.precision import Precision
from peek_widget.photo import Look
from peek_widget.sheet import ContactSheet, Tags
from peek_widget.traits import (
    CLOSED,
    DictTrait,
    IntTrait,
    KnobTrait,
    LayerTrait,
    ListTrait,
    ObjectiveTrait,
    PositionTrait,
    RecipeTrait,
    SizeTrait,
    StreamTrait,
    SwitchTrait,
    TagTrait,
    TextTrait,
    check_attribute,
)

__all__ = ["UnitExplorer"]

log: logging.Logger = logging.getLogger("peek_widget")


class UnitExplorer(anywidget.AnyWidget):
    """A widget that shows live how a picture is optimized for a unit of a convolutional network.

    Args:
        model: a `torch.nn.Module` (never changed), a name (`"efficientnet_lite0"`, whose weights the extra `imagenet`
            installs, or a torchvision model's), or None for the bundled network.
        layer: name of a layer, as in `model.named_modules()`, or the module itself; `""` is the model's output. Left
            out: a spatial layer about four fifths of the way through the network.
        unit: number of the unit, from 0.
        dataset: real images to compare the picture with: a folder, a torch Dataset or a list of images, as
            `peek_widget.top_crops` takes it; or evidence already gathered (what `top_crops` returned, or a file of it).
        class_names: names of the output's units, for the class list; left out, `model.class_names`.
        labels: a label for each image of `dataset`, as `top_crops` takes them; left out, the dataset's own.
        value_range: the values of black and white in images of more than 8 bits, as `top_crops` takes them:
            `(0, 4095)` or `(-1, 1)`; left out, it is inferred from the images and reported.
        recipe: the name of a preset or a `Recipe`.
        recipes: names of the presets that can be chosen, the default first; left out, all.
        seed: seed of the random numbers, 0 to 2**53 - 1 (the front end counts in doubles).
        size: size of the picture in pixels: the side of a square, or (height, width); left out, the recipe's or the
            model's.
        preprocess: preprocessing of the model's input; see `peek_widget.network.find_preprocess`.
        input_size: size of the image that the model was made for: the side of a square in pixels, or (height, width);
            left out, found by trial.
        probe: whether to probe the model when it is read, see `peek_widget.network.read`; its findings are in the
            footer.
        objective: what is maximized: `"neuron"`, the activation at one position of the feature map (the default);
            `"channel"`, the mean over the map; `"class"`, the logit of one of the output's classes (the default
            there); or an `Objective`, such as a sum or a `Direction`. An `Objective` is for the unit shown: another
            unit or layer sets the default again, and no gauge compares its picture with the unit's images.
        at: position (row, column) of the neuron on the feature map; None is the center, which another layer sets again.
        negative: whether to minimize the objective. `activation` is always the unit's own, so it then falls.
        device: where to compute, `"cpu"`, `"cuda"` or `"mps"`; left out, the device of the model.
        seeds_at_once: number of seeds drawn at once, 1 to 4: `seed` and the others of its block (0 to 3, 4 to 7, ...),
            shown small below the picture. None: as many as the device draws in about the time of one, found once for
            each layer and recipe; 1 on a CPU. With an objective that contains `Diversity`, they come out different.
        threads: number of CPU threads of the worker; left out, `PEEK_THREADS`, or one less than the number of cores.
        playing: whether to begin at once.
        redraw: whether a finished picture is drawn again automatically when the model's weights have changed, to watch
            training. Otherwise `status` only says that they have.
        precision: what the network computes in while it draws: `"float32"`, or `"bf16"` where the CPU or GPU has units
            for it; `"auto"` for whichever makes five warm steps faster (14 forwards and gradients, at once); left out,
            whichever suits the network and the machine, see `peek_widget.ascent.AscentOptions`.
        blur, jitter, decay, total_variation, step_size: knobs that override the recipe's values; ranges and units are
            in `peek_widget.ascent.KNOBS`. None keeps the recipe's value.
        tags: the first tags of units, in the form of the `tags` trait, or `Tags`.
        tag_keys: keys that add a tag in the panel of the layer: `{"d": "dog"}`.
        sheet_store: where contact sheets and tags are saved and found again: a folder (with a subfolder for each sheet)
            or any fsspec address; left out, they are kept in memory and lost with the explorer.
        state: all controls at once, from the `state` of another explorer, instead of individual controls.
        layout: an ipywidgets `Layout`, or a dict of its values, as for every widget: `{"width": "900px"}`.

    Every control is a trait: `explorer.unit = 12` moves the slider and begins to draw unit 12. `frame` (JPEG or PNG
    bytes), `activation`, `step` and `status` can be read, observed and linked; they are written by the worker, and
    **their observers run in the worker's thread**, between two steps. An observer that raises stops the run, and
    `status` has its error.

    `activation` is the still activation of the picture: of the picture itself, without the random views of the steps
    (:mod:`peek_widget.ascent.still` has the rule), as in sheet, comparison and gauge. It is measured a few times a
    second while the run goes on, so it may belong to a picture of some steps ago; when the run stands still, it
    belongs to the picture shown. It is 0 before the first measurement, NaN where an objective can't be measured.

    With a `dataset`, a second thread runs a pass over the images for each layer that is shown, one after
    the other, and yields to the main run. A problem of the dataset is shown in the panel (and in `evidence_status`);
    the explorer goes on drawing. `crops` is what the pass has found for the unit shown. Two more traits can be
    read, observed and linked; they are written by that thread, a few times a second at most:

    - `evidence_status`: progress of the pass: `state` ("waiting", "running", "stopped", "done", "given", "error"),
      `text`, `problem` (a sentence, or ""), `layer`, `unit`, `images` (processed) and `total`; {} without a dataset.
    - `gauge`: comparison of the picture with the real images, all pre-ReLU and at the position with the highest
      activation: `activation` of the picture, the same number as the trait; `lowest`, `median`, `high` (99th
      percentile) and `best` of the images; `activation_ratio`, the first divided by the last (None where `best` is not
      above zero); `text`; and, once the run has ended, `score` (`rank` of the unit in its layer on its own picture,
      `units`, `robustness`, `activation_ratio`, `text`). {} before the first image.

    The tab "Whole layer" draws every unit, those in view first, and yields to the main run; `sheet` is
    what has been drawn so far. Its tags are the trait `tags`, `{layer: {unit as text: [words]}}`, an empty list for a
    unit that was reviewed and not tagged: read it, set it, observe it, link it. Pages edit it too, so its observers
    may run in a thread other than the notebook's; `explorer.sheet.tags` counts, exports and compares (see
    `peek_widget.Tags`).

    Like every widget, an explorer stays in memory until `close()`, with its copy of the model; while it is not
    visible, it computes nothing.

    Raises:
        PeekError: or a subclass of it, with a sentence, for any invalid argument.
        traitlets.TraitError: with the same sentence, when a trait is set to such a value later.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    # controls: written by both sides
    layer: LayerTrait = LayerTrait("layer")
    unit: IntTrait[int] = IntTrait("unit")
    recipe: RecipeTrait = RecipeTrait("recipe")
    blur: KnobTrait = KnobTrait("blur")
    jitter: KnobTrait = KnobTrait("jitter")
    decay: KnobTrait = KnobTrait("decay")
    total_variation: KnobTrait = KnobTrait("total_variation")
    step_size: KnobTrait = KnobTrait("step_size")
    seed: IntTrait[int] = IntTrait("seed")
    size: SizeTrait = SizeTrait("size")
    objective: ObjectiveTrait = ObjectiveTrait("objective")
    at: PositionTrait = PositionTrait("at")
    negative: SwitchTrait = SwitchTrait("negative")
    device: TextTrait = TextTrait("device")
    seeds_at_once: IntTrait[int | None] = IntTrait("seeds_at_once")
    playing: SwitchTrait = SwitchTrait("playing")
    redraw: SwitchTrait = SwitchTrait("redraw")

    # descriptions: written by the explorer
    class_names: ListTrait[str] = ListTrait(traitlets.Unicode()).tag(sync=True)
    _layer_list: ListTrait[dict[str, Any]] = ListTrait().tag(sync=True)
    _recipe_list: ListTrait[dict[str, Any]] = ListTrait().tag(sync=True)
    _knobs: ListTrait[dict[str, Any]] = ListTrait().tag(sync=True)
    _about: DictTrait = DictTrait().tag(sync=True)

    # streams: published by the run, the examples and the tags
    frame: StreamTrait[bytes] = StreamTrait(b"")
    activation: StreamTrait[float] = StreamTrait(0.0)
    step: StreamTrait[int] = StreamTrait(0)
    _history: StreamTrait[bytes] = StreamTrait(b"")
    status: StreamTrait[dict[str, Any]] = StreamTrait({})
    evidence_status: StreamTrait[dict[str, Any]] = StreamTrait({})
    gauge: StreamTrait[dict[str, Any]] = StreamTrait({})
    tags: TagTrait[dict[str, dict[str, list[str]]]] = TagTrait({})
    tag_keys: TagTrait[dict[str, str]] = TagTrait({})

    def __init__(
        self,
        model: nn.Module | str | None = None,
        *,
        layer: str | nn.Module | None = None,
        unit: int = 0,
        dataset: DatasetLike | Evidence | None = None,
        class_names: Iterable[str] | None = None,
        labels: Labels = None,
        recipe: Recipe | str | None = None,
        seed: int = 0,
        size: SizeLike | None = None,
        preprocess: Preprocess | Callable[[torch.Tensor], torch.Tensor] | Literal["none"] | None = None,
        input_size: SizeLike | None = None,
        objective: Objective | str | None = None,
        at: tuple[int, int] | None = None,
        negative: bool = False,
        device: str | torch.device | None = None,
        seeds_at_once: int | None = None,
        threads: int | None = None,
        playing: bool = True,
        redraw: bool = False,
        probe: bool = True,
        precision: Precision | Literal["auto"] | None = None,
        blur: float | None = None,
        jitter: float | None = None,
        decay: float | None = None,
        total_variation: float | None = None,
        step_size: float | None = None,
        state: str | Mapping[str, Any] | None = None,
        tags: Tags | Mapping[str, Any] | None = None,
        tag_keys: Mapping[str, str] | None = None,
        sheet_store: str | Path | None = None,
        recipes: Iterable[str] | None = None,
        layout: object = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name in _DEFAULTS and name != "self"}
        given = {name: value for name, value in arguments.items() if name in CONTROL_NAMES and name != "device"}
        self._closed = False
        self._given = {
            name: value for name, value in arguments.items() if name not in CONTROL_NAMES or name == "device"
        }
        source = ModelSource(model, input_size, preprocess, device, probe, precision)
        choices = Choices(source.current, recipes)
        controls = initial_controls(given, state, _DEFAULTS, choices)
        streams = {name: trait.default_value for name, trait in self.traits().items() if isinstance(trait, StreamTrait)}
        parts = self._parts = Assembly(
            source,
            choices,
            controls,
            streams=streams,
            class_names=class_names,
            dataset=dataset,
            labels=labels,
            value_range=value_range,
            threads=threads,
            sheet_store=sheet_store,
        )
        for name, value in (("tags", tags), ("tag_keys", tag_keys)):
            if value is not None:
                parts.tags.assign(name, value)
        self._sync = ControlSync(self, parts)
        super().__init__(
            **controls.values(),
            _layer_list=parts.catalog.layers(controls.layer),
            _recipe_list=parts.catalog.recipes(controls.recipe),
            _knobs=parts.catalog.knobs(),
            class_names=parts.catalog.class_names,
            _about=parts.catalog.about(),
            **({} if layout is None else {"layout": layout}),
        )
        parts.front_end.attach(self)
        self._router = make_router(self, parts, self._begin_comparison)
        self.on_msg(self._receive)
        self._sync.observe()
        for service in parts.services:
            # the services hold no reference to the explorer, and end when it is collected
            weakref.finalize(self, service.close, 0.0)
        if controls.playing:
            parts.run.start()
        if parts.examples is not None:
            parts.examples.show_unit(controls.layer, controls.unit)

    # -- the run

    def play(self) -> None:
        """Continue drawing; a finished run gets further steps."""
        self._check_open()
        if self.playing:
            self._parts.run.set_playing(True)
        self.playing = True

    def pause(self) -> None:
        """Pause after the current step."""
        self.playing = False

    def restart(self) -> None:
        """Restart with the same unit and seed."""
        self._check_open()
        self._parts.run.restart()
        self._sync.stop_looking_back()

    def step_once(self) -> None:
        """Make one step while paused; while an earlier step is viewed, show the next checkpoint."""
        self._check_open()
        self._parts.run.step_once()

    def wait(self, timeout: float | None = None) -> str:
        """Block until the run is paused or has ended; for scripts and tests.

        Args:
            timeout: seconds; None waits without a limit.

        Returns:
            "done", "paused" or "error"; "closed" once the explorer is closed.

        Raises:
            TimeoutError: if the run has not ended after `timeout` seconds.
        """
        return self._parts.run.wait(timeout)

    @property
    def history(self) -> list[HistoryPoint]:
        """The activation curve of the run: points with `step`, `activation`, `lowest` and `highest`.

        `activation` is the picture's own (NaN at steps at which it was not measured), `lowest` and `highest` are
        of the random views. There are at most 256 points: in a longer run each stands for several steps.
        """
        return unpack(self._parts.front_end["_history"])

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps of the run that can be sought and resumed, ascending; the last is the run's newest.

        There are at most 49, thinned out evenly as the run grows; fewer for a large picture (they share 96 MB).
        """
        return self._parts.run.checkpoint_steps

    def seek(self, step: int) -> None:
        """Pause and show the picture of the checkpoint nearest to a step; `status` says which that is.

        The run itself does not change, and `play()` continues it.

        Raises:
            PeekError: if it is not a step that the run has made.
        """
        step = self._checked_step(step)
        self._parts.run.seek(step)
        self._sync.look_back()

    def resume_from(self, step: int) -> None:
        """Continue drawing from the checkpoint nearest to a step; `status` says which that is.

        Later steps are dropped, and the curve ends there. The current knobs are used: if they are
        the same as before, so is the picture, bit for bit on the CPU.

        Raises:
            PeekError: if it is not a step that the run has made.
        """
        step = self._checked_step(step)
        self._parts.run.resume_from(step)
        self._sync.follow(playing=True)

    def start_from(self, picture: Any) -> None:
        """Draw the unit from an initial image instead of the recipe's own start.

        The image is kept for this unit: `restart()`, another seed and another recipe begin from it again; another unit
        or layer does not.

        Args:
            picture: a `Crop` (its focus, where its receptive field is wide and the focus is known), a PIL image, an
                array `[H, W, C]` or a tensor `[C, H, W]` in [0, 1], cropped to its central square. None
                restores the recipe's own start.

        Raises:
            PeekError: if it is not an image. A recipe that can't begin from a picture (`maco`) says so in `status`.
        """
        self._check_open()
        self._sync.start = self._parts.source.start_from(picture)
        self._parts.run.set_target(self._sync.target())
        self.play()

    def look_at_photo(self, image: Any) -> None:
        """Show the model a photo of your own: what it takes the photo for, and which units fire on it.

        The photo is never part of a saved notebook. `photo` has the result once it is ready.

        Args:
            image: a PIL image, the name or the bytes of a file, an array `[H, W, C]` or a tensor `[C, H, W]` in [0, 1].
        """
        self._check_open()
        self._parts.photo.show(image)

    @property
    def photo(self) -> Look | None:
        """What the model sees in the photo: `photo.table`, `photo.map(layer, unit)`; None without a photo."""
        return self._parts.photo.shared_look

    @property
    def circuit(self) -> Circuit | None:
        """The circuit of the unit shown, as far as the tab "Circuit" has computed it: `circuit.table`; None until then.

        `peek_widget.circuit(model, layer, unit, ...)` finds it without the tab.
        """
        return self._parts.circuit.circuit

    # -- the picture

    @property
    def image(self) -> Image.Image | None:
        """The newest picture, lossless (not the JPEG that was sent); None before the first one."""
        return self._parts.exporter.picture

    @property
    def images_by_seed(self) -> dict[int, Image.Image]:
        """The newest pictures of all seeds drawn at once, by seed: that of `seed`, and the small ones below it.

        See `seeds_at_once`; {} before the first picture.
        """
        return self._parts.exporter.images_by_seed

    def save(self, path: str | Path) -> None:
        """Write the newest picture to a file, whose extension decides the format.

        A PNG is lossless and carries what `load_recipe` returns: objective, seed, size, and a recipe that draws this
        very picture, with the overrides in it and as many steps as were made. Where no recipe can (a knob was
        changed during the run, or the run began from an initial image), a warning says so.

        Raises:
            PeekError: if there is no picture yet, or the extension is not of a format that can be written.
            OSError: if the file can't be written.
        """
        self._parts.exporter.save(path)

    def animation(self, path: str | Path, *, rate: float = 15.0, hold: float = 1.5) -> None:
        """Write the run up to the newest picture as an animation: a `.gif`, a `.webp` or, with PyAV, an `.mp4`.

        Its frames are the pictures of `checkpoint_steps`. For every step, use
        `peek_widget.save_animation(ascend(...), path)`.

        Args:
            path: path of the file, with one of these three extensions.
            rate: pictures per second, up to 50.
            hold: seconds for which the last picture stays.

        Raises:
            PeekError: if there is no picture yet, or the extension is another.
            OSError: if the file can't be written.
        """
        visible = self._parts.source.network.preprocess.visible
        save_animation(map(visible, self._parts.run.checkpoint_pictures), path, rate=rate, hold=hold)

    def snapshot(self) -> None:
        """Leave the newest picture in the output of the cell that calls this; a plain script prints its caption.

        It is a PNG as `save` writes it, so it outlives the kernel, with its recipe.

        Raises:
            PeekError: if there is no picture yet.
        """
        self._parts.exporter.display()

    # -- the unit and its layer

    @property
    def crops(self) -> UnitEvidence | None:
        """The dataset examples of the unit shown, as far as the pass has come: `crops.top[0].image`.

        None without a dataset and before the layer's first image. After `explorer.unit = ...` they are those of
        the new unit.
        """
        examples = self._parts.examples
        return None if examples is None else examples.crops(self.layer, self.unit)

    @property
    def sheet(self) -> ContactSheet:
        """The contact sheet of the layer, as far as it is drawn: `explorer.sheet[17].image`.

        The tab "Whole layer" draws it; until that is opened nothing is drawn, and
        `explorer.sheet.draw()` draws it in the calling thread. Each layer, recipe, seed and size has its own sheet;
        its `tags` are the explorer's. `explorer.sheet.to_html("layer.html")` writes it as a page.

        Raises:
            PeekError: if there can't be a sheet: the recipe can't draw the layer, or the store has another sheet.
        """
        return self._parts.sheets.sheet()

    def compare(
        self,
        *,
        recipes: Iterable[Any] | None = None,
        seeds: Iterable[int] | None = None,
        units: Iterable[int] | None = None,
    ) -> LiveComparison:
        """Draw the unit with 2 to 6 recipes or seeds, or 2 to 6 units of its layer, side by side below the main view.

        All of them are optimized together, see `peek_widget.compare`; meanwhile the main run is paused. Seeds and
        units are drawn with the current recipe and knobs, and all begin from the recipe's own start.

        Args:
            recipes: names of presets, or Recipes.
            seeds: seeds, each 0 to 2**53 - 1.
            units: numbers of units of the layer.

        Returns:
            the comparison: `.wait()` blocks until it is finished, `.figure()` and `.save("figure.png")` show it.

        Raises:
            PeekError: if not exactly one of the three is given, or a value is not possible.
        """
        self._check_open()
        given = {"recipes": recipes, "seeds": seeds, "units": units}
        what = {
            name: values if isinstance(values, str) else list(values)
            for name, values in given.items()
            if values is not None
        }
        self._parts.comparison_plan(self._sync.controls(), what).entries()
        return self._begin_comparison(what)

    def end_comparison(self) -> None:
        """End the comparison and remove it from the page; the main run continues."""
        self._parts.comparisons.close()

    # -- the explorer itself

    @property
    def devices(self) -> list[str]:
        """The devices of this machine that `device` accepts: `["cpu", "cuda:0"]`."""
        return list(self._about["devices"])

    @property
    def state(self) -> str:
        """All controls as JSON, for `UnitExplorer(model, state=...)`.

        Raises:
            PeekError: if the objective is an `Objective`, which JSON can't represent.
        """
        return self._parts.state(self._sync.controls())

    def code(self) -> str:
        """Return a line of Python that recreates this explorer: `UnitExplorer(model, layer="layer3", unit=7)`.

        It needs `UnitExplorer` and `Recipe` from peek_widget. An argument given as an object is a variable there, with
        the argument's name: `model`, `dataset`, `labels`, `class_names`, `preprocess`, `objective`.
        """
        given = {
            name: value
            for name, value in self._given.items()
            if name not in ("model", "state")
            and not (value is None or (isinstance(value, str | bool) and value == _DEFAULTS[name]))
        }
        default = self._parts.usual_objective(self.layer)
        return code(self._given["model"], self._sync.controls(), given, default)

    def close(self) -> None:
        """Stop the threads and remove the widget from the page.

        Setting a control raises from then on, and `status["state"]` is "closed".
        """
        self._closed = True
        # there are no parts if the constructor raised
        parts: Assembly | None = getattr(self, "_parts", None)
        if parts is not None:
            parts.comparisons.close()
            for service in parts.services:
                if not service.close():
                    log.warning("%s is still in a long step; it ends after it.", type(service).__name__)
            parts.front_end.publish(status=parts.run.status())
        super().close()

    def __dir__(self) -> list[str]:
        """List what users call and set; attributes of traitlets and ipywidgets are left out, but can be used."""
        ours = {name for kind in type(self).__mro__ if issubclass(kind, UnitExplorer) for name in vars(kind)}
        theirs = set(dir(anywidget.AnyWidget)) - ours - {"observe", "unobserve", "layout"}
        return [name for name in super().__dir__() if name not in theirs and name not in ("set_state", "trait_values")]

    def __repr__(self) -> str:
        network = self._parts.source.network
        probed = f"; probe: {network.findings}" if network.findings.all else ""
        return (
            f"UnitExplorer({type(self._parts.source.model).__name__}, layer={self.layer!r}, unit={self.unit}, "
            f"recipe={recipe_name(self.recipe)!r}, preprocess: {network.preprocess}{probed})"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            # send it now: while a cell runs, the page could not fetch it
            send_module(self._parts.front_end)
        if bundle is not None and self.image is not None:
            # where no widget can be shown, in a file viewer for example, the picture is
            bundle[0]["image/png"] = poster(self.image)
        return bundle

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a trait or an attribute; AttributeError for a misspelled control."""
        check_attribute(type(self), name, _DEFAULTS)
        super().__setattr__(name, value)

    # -- from the front end and from the traits

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Set controls from the front end; unknown names and invalid values are ignored."""
        self._parts.front_end.remember_route()
        controls, reset = self._sync.accept(sync_data)
        with self._sync.lock:
            try:
                super().set_state({**dict.fromkeys(reset), **controls})
                if reset:
                    self.send_state(reset)
            except TraitError as error:
                log.warning("The front end sent an invalid control value: %s", error)
                # send them back, so that its sliders show the values that Python has
                self.send_state(list(controls))

    def _receive(self, _widget: Any, content: Any, buffers: Any) -> None:
        self._parts.front_end.remember_route()
        self._router.route(content, buffers)

    @traitlets.default("_esm")
    def _read_script(self) -> str:
        return read_static("widget.js")

    @traitlets.default("_css")
    def _read_style(self) -> str:
        return read_static("widget.css")

    @traitlets.validate(*CONTROL_NAMES)
    def _check_control(self, proposal: Bunch) -> Any:
        try:
            return CONTROLS[proposal.trait.name].rule(proposal.value, self._sync.controls(), self._parts.choices)
        except PeekError as error:
            raise TraitError(str(error)) from error

    def _begin_comparison(self, what: dict[str, Any]) -> LiveComparison:
        return self._parts.begin_comparison(self._sync.controls(), what)

    def _check_open(self) -> None:
        if self._closed:
            raise PeekError(CLOSED)

    def _checked_step(self, step: Any) -> int:
        self._check_open()
        if not is_whole(step) or int(step) < 0:
            raise PeekError(f"A step must be a whole number from 0; {step!r} was given.")
        steps = self.checkpoint_steps
        if not steps:
            raise PeekError("There is no step to show yet: the run has not made its first one.")
        if int(step) > steps[-1]:
            raise PeekError(
                f"The run has made {steps[-1]} steps, and step {int(step)} was asked for: give one up to that, or "
                "let it go on with play()."
            )
        return int(step)


_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(UnitExplorer.__init__).parameters.items()}
