"""The contact sheet: every unit of a layer, drawn, as a mapping with exports."""

from __future__ import annotations

import dataclasses
import logging
import operator
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from peek_widget._progress import progress_bar
from peek_widget._size import SizeLike
from peek_widget.ascent import Recipe
from peek_widget.ascent.recipe import as_recipe
from peek_widget.errors import NotDrawnError, PeekError, SheetStoreError
from peek_widget.evidence import Evidence, LayerEvidence
from peek_widget.network import ModelCopy, Network, read
from peek_widget.network.precision import Precision
from peek_widget.network.preprocess import Preprocess, PreprocessFunction
from peek_widget.sheet import table
from peek_widget.sheet.archive import Archive
from peek_widget.sheet.batches import Batch, Kind, check_units, plan
from peek_widget.sheet.examples import best_activations, layer_evidence
from peek_widget.sheet.header import SheetHeader
from peek_widget.sheet.local import ParallelRunner, Replicas, Runner
from peek_widget.sheet.runners import WAIT, make_runner
from peek_widget.sheet.schedule import POLL, Scheduler
from peek_widget.sheet.store import Store
from peek_widget.sheet.tags import Tags
from peek_widget.sheet.unit import SheetUnit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ContactSheet", "contact_sheet"]

log: logging.Logger = logging.getLogger("peek_widget")


def contact_sheet(
    model: nn.Module | ModelCopy | Network | str,
    layer: str | nn.Module,
    recipe: Recipe | str | None = None,
    *,
    units: Iterable[int] | None = None,
    seed: int = 0,
    size: SizeLike | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    objective: Kind = "neuron",
    drafts: bool = False,
    evidence: LayerEvidence | Evidence | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    input_size: SizeLike | None = None,
    device: str | torch.device | None = None,
    batch: int | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
    tags: Tags | None = None,
) -> ContactSheet:
    """Make a contact sheet: every unit of a layer, drawn as in the explorer.

    A unit is drawn as its center ``Neuron``, a class as its ``Logit``.

    Nothing is drawn by this call. The sheet draws as it is iterated over (``for unit in sheet``), or all at once
    (``sheet.draw()``). Each unit has a seed of its own (from the sheet's, the layer and its number), so that it starts
    the same and is seen through the same views in any sheet, on any machine.

    Args:
        model: a model (neither run nor changed), a network already read, or a name (see `zoo.by_name`).
        layer: name as in ``named_modules()``, or a module of the model; ``""`` is the model's output, its classes.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        units: numbers of the units; left out, all of the layer.
        seed: seed of the sheet, from 0.
        size: size of the pictures in pixels: the side of a square, or (height, width); left out, the
            recipe's, else the model's input size.
        store: where to save the pictures as they are finished: a folder, or any fsspec address. The same call loads
            what is there and draws the rest; several processes may fill the same store at once.
        executor: any ``concurrent.futures.Executor`` to draw in, Dask's too (``client.get_executor()``); left out,
            the calling thread.
        objective: ``"neuron"``, or ``"channel"``: the mean over all positions of the unit's map.
        drafts: draw a quick preview of every unit first. Previews are not saved in the store.
        evidence: dataset examples of the layer (of :func:`~peek_widget.top_crops`), for the gauge.
        preprocess, input_size, device, precision: see :func:`~peek_widget.ascend`.
        batch: number of units drawn together; left out, it depends on the size of what the network sees of each. On a
            CPU at most 16.
        threads: CPU threads that a batch is drawn with; left out, one less than there are cores here, and 1 in an
            executor's worker. On CPUs of one kind equal numbers give equal pixels.
        tags: the user's tags, shared with the caller: those in the store are added to them. Left out, those in the
            store.

    Raises:
        PeekError: if what was asked for is not possible, or the store is another sheet's (SheetStoreError), in a
            sentence.

    Example:
        ``sheet = contact_sheet(model, "features.12", store="sheets/features.12").draw()``
    """
    return ContactSheet(
        _network(model, input_size=input_size, preprocess=preprocess, device=device),
        layer,
        as_recipe(recipe),
        units=units,
        seed=seed,
        size=size,
        store=store,
        executor=executor,
        objective=objective,
        drafts=drafts,
        evidence=evidence,
        batch=batch,
        threads=threads,
        precision=precision,
        tags=tags,
    )


def _network(model: nn.Module | ModelCopy | Network | str, **reading: Any) -> Network:
    if isinstance(model, str):
        from peek_widget.zoo.named import by_name

        model = by_name(model)
    return model if isinstance(model, Network) else read(model, **reading)


class ContactSheet:
    """The units of a layer; made by :func:`contact_sheet`, or by :meth:`load` from a store.

    Iterating over it gives each unit once (with previews a quick version first and then the finished one), those that
    are drawn already first. One thread at a time iterates over a sheet; :attr:`done` may be read from any.

    Attributes:
        archive: results of the sheet, in memory and in the store.
        units: numbers of its units, in order.
        batches: plan, fixed by the call.
        executor: where batches are drawn; None for the calling thread. It may be replaced between two drawings.
        transfers: name of each worker that the model was sent to in the last drawing, and number of its bytes.
    """

    def __init__(
        self,
        network: Network,
        layer: str | nn.Module,
        recipe: Recipe,
        *,
        units: Iterable[int] | None = None,
        seed: int = 0,
        size: SizeLike | None = None,
        store: str | Path | None = None,
        executor: Executor | None = None,
        objective: Kind = "neuron",
        drafts: bool = False,
        evidence: LayerEvidence | Evidence | None = None,
        batch: int | None = None,
        threads: int | None = None,
        precision: Precision | None = None,
        tags: Tags | None = None,
    ) -> None:
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise PeekError(f"threads={threads!r}: give a whole number from 1, or leave it out.")
        name = network.layer(layer).name
        self.units: tuple[int, ...] = check_units(network, name, units)
        self.executor: Executor | None = executor
        self.transfers: list[tuple[str, int]] = []
        self._preferred: tuple[int, ...] = ()
        self._threads = threads
        self._evidence = layer_evidence(evidence, name)
        if self._evidence is not None:
            self._evidence.check_model(network)

        def make_plan(draft: bool) -> tuple[Batch, ...]:
            how: dict[str, Any] = {"seed": seed, "size": size, "objective": objective, "precision": precision}
            return tuple(plan(network, name, recipe, self.units, draft=draft, batch=batch, **how))

        self.batches: tuple[Batch, ...] = make_plan(False)
        self._drafts_plan = make_plan(True) if drafts else ()
        self.archive: Archive = Archive(
            SheetHeader.of(network, name, recipe, operator.index(seed), size, objective),
            self.units,
            store=None if store is None else Store(store),
            best=best_activations(self._evidence, self.units),
            tags=tags,
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: nn.Module | ModelCopy | Network | str,
        *,
        preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
        device: str | torch.device | None = None,
        **options: Any,
    ) -> ContactSheet:
        """Open the sheet that a store holds: all units of its layer, whether drawn yet or not.

        Args:
            path: folder or fsspec address of the store.
            model: the model that the sheet was drawn from.
            preprocess, device: see :func:`~peek_widget.ascend`.
            options: further arguments of :func:`contact_sheet`, e.g. ``executor``.

        Raises:
            SheetStoreError: if there is no sheet, or it was drawn from another model.
        """
        call = SheetHeader.read_call(Store(path))
        network = _network(model, input_size=call.pop("input_size"), preprocess=preprocess, device=device)
        return cls(network, store=path, **call, **options)

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        store = self.archive.store
        where = "" if store is None else f", kept in {store.address!r}"
        return (
            f"ContactSheet(layer {self.layer!r} of a {self.model_name}: {len(self.archive.done)} of {len(self)} units "
            f"drawn{where})"
        )

    @property
    def network(self) -> Network:
        """Network that is drawn."""
        return self.archive.header.network

    def use_network(self, network: Network) -> None:
        """Draw with another network of the same model and weights from now on, and release the earlier one."""
        self.archive.header = dataclasses.replace(self.archive.header, network=network)

    @property
    def layer(self) -> str:
        """Name of the layer."""
        return self.archive.header.layer

    @property
    def model_name(self) -> str:
        """Class name of the model."""
        return self.archive.header.model

    @property
    def recipe(self) -> Recipe:
        """Recipe of every picture."""
        return self.archive.header.recipe

    @property
    def objective(self) -> Kind:
        """``"neuron"`` or ``"channel"``."""
        return self.archive.header.objective

    @property
    def seed(self) -> int:
        """Seed of the sheet."""
        return self.archive.header.seed

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return self.archive.header.size

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model's weights when the sheet was made."""
        return self.archive.header.fingerprint

    # Results

    @property
    def done(self) -> Mapping[int, SheetUnit]:
        """The units that are drawn, by number, as they are now."""
        done = self.archive.done
        return MappingProxyType({unit: done[unit] for unit in self.units if unit in done})

    @property
    def drafts(self) -> Mapping[int, SheetUnit]:
        """Previews of units that are not done yet."""
        drafts = dict(self.archive.drafts)
        return MappingProxyType({unit: one for unit, one in drafts.items() if unit not in self.archive.done})

    @property
    def problems(self) -> Mapping[int | str, str]:
        """Sentences on what is wrong: by unit why it can't be drawn, by name why a file in the store is invalid."""
        return MappingProxyType({**self.archive.failed, **self.archive.notes})

    def __getitem__(self, unit: int) -> SheetUnit:
        """Return a unit that is drawn.

        Raises:
            NotDrawnError: if it is not drawn yet, can't be, or is not on the sheet.
        """
        archive = self.archive
        one = archive.done.get(operator.index(unit)) or archive.drafts.get(operator.index(unit))
        if one is not None:
            return one
        if unit not in self.units:
            raise NotDrawnError(
                f"Unit {unit} is not on this sheet of layer {self.layer!r}: give it in units=, or leave units out for "
                "all of the layer."
            )
        if unit in archive.failed:
            raise NotDrawnError(f"Unit {unit} can't be drawn: {archive.failed[unit]}")
        raise NotDrawnError(f"Unit {unit} is not drawn yet: call sheet.draw(), or go through the sheet.")

    def __contains__(self, unit: object) -> bool:
        return unit in self.archive.done

    # Drawing

    def __iter__(self) -> Iterator[SheetUnit]:
        given = set()
        for unit, one in self.done.items():
            given.add(unit)
            yield one
        for one in self._drawing():
            if one.draft or one.unit not in given:
                given |= set() if one.draft else {one.unit}
                yield one

    def draw(self, progress: bool | None = None) -> ContactSheet:
        """Draw what is missing; Ctrl-C keeps what is done, and the next call continues.

        Args:
            progress: whether to show a progress bar; left out, where it takes more than two seconds.

        Raises:
            PeekError: if it can't go on (a full disk, an executor that died, no memory for one picture); what is
                drawn is kept.
        """
        left = len(self) - len(self.done)
        try:
            with progress_bar(left, f"Drawing {self.layer or 'the output'}", progress, unit="unit") as bar:
                for one in self._drawing():
                    bar.update(0 if one.draft else 1)
        except KeyboardInterrupt:
            log.warning(
                "Interrupted: %d of %d units are drawn and kept; draw() goes on.", len(self.archive.done), len(self)
            )
        return self

    def prefer(self, units: Iterable[int]) -> None:
        """Draw these units next, for example those in view. May be called from any thread."""
        self._preferred = tuple(units)

    def drawing_network(self) -> Network:
        """Return the network for a drawing by the calling thread; called once for each drawing."""
        return self.network

    def scheduler(
        self,
        network: Callable[[], Network] | Replicas,
        drafts: Iterable[Batch] = (),
        *,
        at_once: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> Scheduler:
        """Return a scheduler that draws this sheet in another thread, one step at a time.

        Args:
            network: returns that thread's own network, called at the start of each batch; or the networks of its
                threads.
            drafts: plan of previews to draw first.
            at_once: see :class:`~peek_widget.sheet.local.ParallelRunner`.
            clock: seconds, monotonic.
        """
        archive, fingerprint = self.archive, self.fingerprint
        networks = network if isinstance(network, Replicas) else Replicas(network)
        make = lambda: ParallelRunner(networks, fingerprint, archive.best, at_once=at_once)  # noqa: E731
        return Scheduler(archive, self.batches, drafts, make_runner=make, clock=clock)

    def _drawing(self) -> Iterator[SheetUnit]:
        """Draw what is missing; yield new pictures, including previews and those that other processes drew."""
        archive = self.archive

        def make() -> Runner:
            return make_runner(self.executor, self.drawing_network(), self.fingerprint, archive.best, self._threads)

        scheduler = Scheduler(archive, self.batches, self._drafts_plan, make_runner=make)
        try:
            while True:
                scheduler.view = self._preferred
                advance = scheduler.step(WAIT)
                for why in advance.failed.values():
                    log.warning("%s", why)
                yield from advance.arrived
                if advance.done:
                    return
                if advance.waiting:
                    time.sleep(POLL)
        except SheetStoreError as error:
            unsaved = len(archive.unsaved)
            raise SheetStoreError(
                f"{error} {len(archive.done)} of {len(self)} units are drawn and in memory (sheet.done)"
                f"{f', {unsaved} of them not in the store' if unsaved else ''}: once that is put right call draw() "
                "again, and it keeps them and goes on."
            ) from error
        finally:
            scheduler.close()
            self.transfers = scheduler.transfers

    # Tags and exports

    @property
    def tags(self) -> Tags:
        """The user's tags; with a store they are saved by :meth:`save`.

        A layer or a unit that the model does not have is refused.
        """
        return self.archive.tags

    def save(self, path: str | Path | None = None) -> None:
        """Save pictures, tags and index to the sheet's own store, or to another; :meth:`load` opens it.

        Drawing saves the pictures by itself. Tags that another process has saved meanwhile are merged in.

        Args:
            path: folder or fsspec address of another store to copy the sheet to; left out, its own.

        Raises:
            PeekError: if the sheet has no store of its own, or it can't be written (SheetStoreError).
        """
        archive = self.archive
        if path is not None:
            archive = Archive(archive.header, self.units, store=Store(path), best=archive.best, tags=self.tags.copy())
            archive.add(one for unit, one in self.done.items() if unit not in archive.done)
        if archive.store is None:
            raise PeekError("This sheet has no store: give save() a path, or contact_sheet() a store=.")
        archive.save_pictures()
        archive.save_tags()
        archive.save_index()

    def to_frame(self) -> pd.DataFrame:
        """Return a table of the units that are drawn: unit, activation, gauge, seed, recipe, tags; needs pandas."""
        return table.frame(self.layer, self.done.values(), self.archive.recipe_fingerprint, self.tags)

    def to_html(
        self, path: str | os.PathLike[str], evidence: LayerEvidence | Evidence | None = None, **options: Any
    ) -> Path:
        """Write the sheet as one page that needs no kernel and no internet; see ``peek_widget.sheet.page.to_html``."""
        from peek_widget.sheet.page import to_html

        return to_html(self, path, self._evidence if evidence is None else evidence, **options)

    def poster(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the sheet as a PDF, PNG or SVG to print; see ``peek_widget.sheet.poster.poster``."""
        from peek_widget.sheet.poster import poster

        return poster(self, path, **options)
