"""The parts of an explorer: its model, its services and how they are connected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from peek_widget._threads import allowed_threads, thread_setter
from peek_widget.errors import PeekError
from peek_widget.evidence import Evidence
from peek_widget.evidence.dataset import DatasetLike, Labels
from peek_widget.live.catalog import Catalog
from peek_widget.live.choices import Choices, usual_kind
from peek_widget.live.circuit.service import CircuitService
from peek_widget.live.comparison_plan import ComparisonPlan
from peek_widget.live.comparison_service import ComparisonService, LiveComparison
from peek_widget.live.controls import Controls
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.export import Exporter
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.jobs import JobQueue
from peek_widget.live.model_source import ModelSource
from peek_widget.live.photo_service import PhotoService
from peek_widget.live.publisher import Publisher
from peek_widget.live.run_service import RunService
from peek_widget.live.sheet_service import SheetKey, SheetService
from peek_widget.live.snapshot import Start, Target
from peek_widget.live.tag_service import TagService

__all__ = ["Assembly"]


class Assembly:
    """The model of an explorer, and the services that work on it.

    None of them refers to the explorer, so a thread can't keep it alive.

    Args:
        source: the model.
        choices: the recipes that are offered.
        controls: the first values of the controls, checked.
        streams: the first values of the traits that the services write.
        class_names: names of the output's units; see `Catalog`.
        dataset: the real images, or evidence from them; None for no dataset.
        labels: a label for each image.
        threads: number of CPU threads of the worker; None for the default.
        sheet_store: where contact sheets are saved; None keeps them in memory.

    Attributes:
        source: the model.
        choices: the choices for the model.
        catalog: descriptions of the model for the page.
        front_end: the page.
        jobs: small jobs for the worker.
        exporter: the newest picture, and how it is saved.
        comparisons: the comparison.
        run: the main run.
        examples: the dataset examples; None without a dataset.
        tags: the tags.
        sheets: the contact sheet of the layer.
        photo: a photo of the user's own.
        circuit: the circuit of the unit shown.

    Raises:
        PeekError: or a subclass of it, for anything that is not possible; no thread is then left running.
    """

    def __init__(
        self,
        source: ModelSource,
        choices: Choices,
        controls: Controls,
        *,
        streams: Mapping[str, Any],
        class_names: Iterable[str] | None,
        dataset: DatasetLike | Evidence | None,
        labels: Labels,
        value_range: tuple[float, float] | None,
        threads: int | None,
        sheet_store: str | Path | None,
    ) -> None:
        self.source: ModelSource = source
        self.choices: Choices = choices
        self.catalog: Catalog = Catalog(source, choices, class_names)
        enter = thread_setter(threads)
        target = self.target(controls)
        if controls.size is not None:
            # only the layer can tell whether so small an image reaches it
            source.make_ascent(dataclasses.replace(target, seeds_at_once=1))

        self.front_end: FrontEnd = FrontEnd(streams)
        self.jobs: JobQueue = JobQueue()
        self.exporter: Exporter = Exporter(source)
        self.comparisons: ComparisonService = ComparisonService(self.front_end, lambda: run.wake())
        publisher = Publisher(self.front_end, self.exporter, lambda: source.network)
        self.run: RunService = RunService(
            source.make_ascent,
            publisher.publish,
            source.measurement,
            target=target,
            knobs=controls.knobs(),
            playing=controls.playing,
            enter=enter,
            background=(self.jobs, self.comparisons),
            resume_ascent=source.resume_ascent,
            weights=source.weights_version,
        )
        run = self.run
        self.front_end.publish(status=run.status())
        self.examples: ExampleService | None = None
        if dataset is None and labels is not None:
            raise PeekError(
                "labels= are those of the dataset's images, and no dataset= was given. Names of the output's units are "
                "class_names=."
            )
        if dataset is None and value_range is not None:
            raise PeekError("value_range= is that of the dataset's images, and no dataset= was given.")
        if dataset is not None:
            self.examples = publisher.examples = ExampleService(
                dataset,
                labels,
                value_range=value_range,
                front_end=self.front_end,
                network=source.current,
                watched=run.watched,
                drawing=lambda: run.running,
            )
            self.front_end.publish(evidence_status={"state": "waiting", "text": "", "problem": ""})
        self.tags: TagService = TagService(self.front_end, source.current, controls.layer)
        self.sheets: SheetService = SheetService(
            self.sheet_key(controls),
            network=source.current,
            front_end=self.front_end,
            watched=run.watched,
            drawing=lambda: run.running,
            tags=self.tags.book.tags,
            evidence=self.examples.complete_evidence if self.examples is not None else lambda _: None,
            store=None if sheet_store is None else str(sheet_store),
            at_once=allowed_threads(threads),
            precision=source.precision,
        )
        self.tags.stored = self.sheets.save_tags
        self.photo: PhotoService = PhotoService(
            self.front_end,
            source.current,
            self.examples,
            sheets=self.sheets.picture,
            watched=run.watched,
            drawing=lambda: run.running,
            tags=lambda: self.front_end["tags"],
            class_names=self.catalog.class_names,
            layer=controls.layer,
            enter=enter,
            precision=source.precision,
        )
        run.give_way(self.photo.answering)
        self.circuit: CircuitService = CircuitService(
            (controls.layer, controls.unit),
            front_end=self.front_end,
            network=source.current,
            examples=self.examples,
            sheets=self.sheets.picture,
            watched=run.watched,
            drawing=lambda: run.running,
            class_names=self.catalog.class_names,
            precision=source.precision,
        )

    @property
    def services(self) -> list[RunService | ExampleService | SheetService | PhotoService | CircuitService]:
        """The services that have a thread, in the order in which they are closed."""
        every = (self.run, self.examples, self.sheets, self.photo, self.circuit)
        return [one for one in every if one is not None]

    def usual_objective(self, layer: str) -> str:
        """Return the default objective of a layer's units."""
        return usual_kind(self.source.network.layer(layer))

    def target(self, controls: Controls, start: Start | None = None) -> Target:
        """Return the target of the main run for these controls, from an initial image or the recipe's own start."""
        name = self.catalog.unit_name(controls.layer, controls.unit)
        return controls.target(start=start, name=name, device=self.source.device)

    def sheet_key(self, controls: Controls) -> SheetKey:
        """Return the key of these controls' contact sheet, without a custom objective, which is for one unit only."""
        objective = controls.objective
        if not isinstance(objective, str):
            objective = self.usual_objective(controls.layer)
        return SheetKey(controls.layer, controls.recipe, controls.seed, controls.size, objective)

    def state(self, controls: Controls) -> str:
        """Return the JSON of these controls, with None for the layer's default objective."""
        if controls.objective == self.usual_objective(controls.layer):
            controls = dataclasses.replace(controls, objective=None)
        return controls.state()

    def comparison_plan(self, controls: Controls, what: Mapping[str, Any]) -> ComparisonPlan:
        """Return the plan of a comparison; see `ComparisonPlan`."""
        return ComparisonPlan(self.source, self.choices, self.catalog, controls, what)

    def begin_comparison(self, controls: Controls, what: Mapping[str, Any]) -> LiveComparison:
        """Begin a comparison, replacing the last one."""
        plan = self.comparison_plan(controls, what)
        return self.comparisons.begin(plan.make, plan.page_controls())
