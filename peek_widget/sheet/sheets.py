"""Every unit of a layer, drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import operator
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from peek_widget._version import __version__
from peek_widget.ascent import Recipe, fingerprint, unit_objective
from peek_widget.ascent.engine import as_recipe
from peek_widget.ascent.framing import Framing
from peek_widget.errors import FileError, PeekError, SheetStoreError
from peek_widget.evidence.crops import Evidence, LayerEvidence
from peek_widget.network import ModelCopy, Network, read
from peek_widget.sheet import index
from peek_widget.sheet.batches import Batch, Kind, check_units, plan
from peek_widget.sheet.leases import Leases
from peek_widget.sheet.runners import Runner, runner
from peek_widget.sheet.seeds import unit_seed
from peek_widget.sheet.store import INDEX, TAGS, Store, name_of
from peek_widget.sheet.tags import Tags
from peek_widget.sheet.unit import SheetUnit, from_png

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ContactSheet", "NotDrawnError", "contact_sheet"]

log: logging.Logger = logging.getLogger("peek_widget")

POLL = 0.5
"""Seconds between two looks at a store whose last batches another process draws."""


class NotDrawnError(PeekError, KeyError):
    """A unit of the sheet that has no picture yet, or none at all."""

    def __str__(self) -> str:  # a KeyError shows its argument quoted
        return str(self.args[0])


def contact_sheet(
    model: nn.Module | ModelCopy | Network | str,
    layer: str,
    recipe: Recipe | str | None = None,
    units: Iterable[int] | None = None,
    seed: int = 0,
    size: int | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    *,
    objective: Kind = "neuron",
    drafts: bool = False,
    crops: LayerEvidence | Evidence | None = None,
    preprocess: Any = None,
    input_size: int | None = None,
    device: str | torch.device | None = None,
    batch: int | None = None,
    threads: int | None = None,
) -> ContactSheet:
    """Every unit of a layer, each drawn as in the explorer: as its center ``Neuron``, a class as its ``Logit``.

    Nothing is drawn by this call. The sheet draws as it is gone through (``for one in sheet``), or all at once
    (``sheet.draw()``). Each unit has a seed of its own (from the sheet's, the layer and its number), so that it starts
    the same and is seen through the same views in any sheet, on any machine.

    Args:
        model: a model (neither run nor changed), its ghost, a network already read, or a name of torchvision's.
        layer: name as in ``named_modules()``; ``""`` is the model's output, its classes.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        units: numbers; left out, all of the layer.
        seed: of the sheet, from 0.
        size: side of the pictures in pixels; left out, the recipe's, else the model's input size.
        store: where to keep the pictures as they are done: a folder, or any fsspec address. The same call takes up
            from it what is there, and goes on; several processes may fill the same store at once.
        executor: any ``concurrent.futures.Executor`` to draw in, Dask's too (``client.get_executor()``); left out,
            here.
        objective: ``"neuron"``, or ``"channel"``: the unit at all places of its map.
        drafts: give a quick version of every unit first, then the better ones. Drafts are not kept in the store.
        crops: real images of the layer (of :func:`~peek_widget.top_crops`), for the gauge.
        preprocess, input_size, device: see :func:`~peek_widget.ascend`.
        batch: units drawn together; left out, by the size of what the network sees of each. On a CPU at most 16.
        threads: CPU threads that a batch is drawn with; left out, torch's own number here, and 1 in an executor's
            worker. On CPUs of one kind equal numbers give equal pixels.

    Raises:
        PeekError: what was asked for is not possible, or the store is another sheet's (SheetStoreError), in a sentence.

    Example:
        ``sheet = contact_sheet(model, "features.12", store="sheets/features.12").draw()``
    """
    if isinstance(model, str):
        from peek_widget.zoo.named import by_name

        model = by_name(model)
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    return ContactSheet(
        network,
        layer,
        as_recipe(recipe),
        units,
        seed,
        size,
        store,
        executor,
        objective=objective,
        drafts=drafts,
        crops=crops,
        batch=batch,
        threads=threads,
    )


class ContactSheet:
    """The units of a layer; see :func:`contact_sheet`, which makes one.

    Going through it gives each unit once (with drafts a quick version first and then the better one), those that are
    there already first. One thread at a time goes through a sheet; :attr:`done` may be read from any.

    Attributes:
        network: as read.
        model_name: the kind of the model.
        layer: the layer's name.
        units: numbers, in order.
        recipe: that they are drawn by.
        objective: ``"neuron"`` or ``"channel"``.
        seed: of the sheet.
        size: side of the pictures in pixels.
        fingerprint: of the model, as it was when the sheet was made.
        batches: the plan, fixed by the call.
        executor: where batches are drawn; None for here. It may be replaced between two drawings.
        problems: by unit, or by a file's name in the store, what is wrong with it, in a sentence.
        trips: of the last drawing in an executor: which worker got the model, and of how many bytes.
    """

    def __init__(
        self,
        network: Network,
        layer: str,
        recipe: Recipe,
        units: Iterable[int] | None,
        seed: int,
        size: int | None,
        store: str | Path | None,
        executor: Executor | None,
        *,
        objective: Kind,
        drafts: bool,
        crops: LayerEvidence | Evidence | None,
        batch: int | None,
        threads: int | None,
    ) -> None:
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise PeekError(f"threads={threads!r}: give a whole number from 1, or leave it out.")
        self.network: Network = network
        self.layer: str = network.layer(layer).name
        self.units: tuple[int, ...] = check_units(network, self.layer, units)
        self.batches: tuple[Batch, ...] = tuple(
            plan(network, self.layer, recipe, self.units, seed=seed, size=size, objective=objective, batch=batch)
        )
        self._drafts_plan = (
            plan(
                network,
                self.layer,
                recipe,
                self.units,
                seed=seed,
                size=size,
                objective=objective,
                draft=True,
                batch=batch,
            )
            if drafts
            else []
        )
        self.recipe: Recipe = recipe
        self.objective: Kind = objective
        self.seed: int = operator.index(seed)
        self.executor: Executor | None = executor
        self.size: int = Framing(network, recipe, size).sides[-1]
        self.model_name: str = type(network.model_copy.original).__name__
        self.fingerprint: str = fingerprint(network)
        self.problems: dict[int | str, str] = {}
        self.trips: list[tuple[str, int]] = []
        self._threads = threads
        self._crops = crops
        self._best = _best_of(crops, self.layer, self.units, network)
        self._done: dict[int, SheetUnit] = {}
        self._draft: dict[int, SheetUnit] = {}
        self._unkept: dict[int, SheetUnit] = {}
        self._preferred: tuple[int, ...] = ()
        self._tags: Tags | None = None
        self._tags_were = b""
        self._store = None if store is None else Store(store)
        if self._store is not None:
            self._store.open(self._header(), _difference)
            self._store.unpack(self._check)
            self._take_up(self._store.units())
            for name in self._store.foreign():
                self._note(name, f"{name} is no unit's picture: it is left alone.")
            self._keep_index()

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        where = "" if self._store is None else f", kept in {self._store.address!r}"
        return (
            f"ContactSheet(layer {self.layer!r} of a {self.model_name}: {len(self._done)} of {len(self)} units "
            f"drawn{where})"
        )

    @property
    def done(self) -> Mapping[int, SheetUnit]:
        """The units that are drawn, by number, as they are now."""
        return MappingProxyType({unit: self._done[unit] for unit in self.units if unit in self._done})

    @property
    def drafts(self) -> Mapping[int, SheetUnit]:
        """Quick versions of units that are not done yet."""
        return MappingProxyType({u: one for u, one in self._draft.items() if u not in self._done})

    def __getitem__(self, unit: int) -> SheetUnit:
        """A unit as it is drawn.

        Raises:
            NotDrawnError: if it is not drawn yet, can't be, or is not on the sheet.
        """
        one = self._done.get(operator.index(unit)) or self._draft.get(operator.index(unit))
        if one is not None:
            return one
        if unit not in self.units:
            raise NotDrawnError(
                f"Unit {unit} is not on this sheet of layer {self.layer!r}: give it in units=, or leave units out for "
                "all of the layer."
            )
        if unit in self.problems:
            raise NotDrawnError(f"Unit {unit} can't be drawn: {self.problems[unit]}")
        raise NotDrawnError(f"Unit {unit} is not drawn yet: call sheet.draw(), or go through the sheet.")

    def __contains__(self, unit: object) -> bool:
        return unit in self._done

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

    def draw(self) -> ContactSheet:
        """Draw what is missing; Ctrl-C keeps what is done, and the next call goes on.

        Raises:
            PeekError: if it can't go on (a full disk, an executor that died, no memory for one picture); what is
                drawn is kept.
        """
        try:
            for _ in self._drawing():
                pass
        except KeyboardInterrupt:
            log.warning("Interrupted: %d of %d units are drawn and kept; draw() goes on.", len(self._done), len(self))
        return self

    def prefer(self, units: Iterable[int]) -> None:
        """Draw the batches of these units next, for example those that somebody looks at. From any thread."""
        self._preferred = tuple(units)

    def take(self, batch: Batch, finished: Iterable[SheetUnit], failed: Mapping[int, str] | None = None) -> None:
        """Take over what somebody else has drawn of a batch of this sheet; kept in the store, where there is one.

        Args:
            batch: of the plan, or what was left of one.
            finished: units of it.
            failed: of those that can't be drawn, why.

        Raises:
            SheetStoreError: if they can't be kept; they are in :attr:`done` then.
        """
        done = list(finished)
        self.problems.update(failed or {})
        if batch.draft:
            self._draft.update((one.unit, one) for one in done)
            return
        self._done.update((one.unit, one) for one in done)
        for one in done:
            self._draft.pop(one.unit, None)
        if self._store is not None:
            self._keep(batch, done)

    def _drawing(self) -> Iterator[SheetUnit]:
        """Draw what is missing: drafts, where asked for, and then the units themselves."""
        try:
            if self._store is not None:
                self._store.unpack(self._check)
                self._keep_unkept("rest")
                yield from self._from_others()
            yield from self._draw_missing()
        except SheetStoreError as error:
            unkept = len(self._unkept)
            raise SheetStoreError(
                f"{error} {len(self._done)} of {len(self)} units are drawn and in memory (sheet.done)"
                f"{f', {unkept} of them not in the store' if unkept else ''}: once that is put right call draw() "
                "again, and it keeps them and goes on."
            ) from error

    def _draw_missing(self) -> Iterator[SheetUnit]:
        claims = None if self._store is None else Leases(self._store)
        if all(unit in self._done for unit in self.units):
            if claims is not None:
                claims.sweep()
            return
        drafts = [one for one in (batch.missing(self._done | self._draft) for batch in self._drafts_plan) if one]
        if drafts:
            yield from self._run(drafts, None)
        try:
            yield from self._run(list(self.batches), claims)
            if claims is not None:
                claims.sweep()
        finally:
            if claims is not None:
                claims.release()
            self._keep_index()

    def _run(self, waiting: list[Batch], claims: Leases | None) -> Iterator[SheetUnit]:
        who = runner(self.executor, self.network, self.fingerprint, self._best, self._threads)
        results: dict[Batch, list[SheetUnit]] = {}
        try:
            while waiting or who.busy:
                if claims is not None:
                    yield from self._from_others()
                self._hand_out(waiting, who, claims)
                if not who.busy:
                    if waiting:  # all of it is being drawn by others
                        time.sleep(POLL)
                    continue
                for drawn in who.wait():
                    for unit, why in drawn.failed.items():
                        self._note(unit, why)
                    results.setdefault(drawn.batch, []).extend(drawn.finished)
                    if drawn.last:
                        finished = results.pop(drawn.batch)
                        # In hand before they are kept: a full disk loses nothing.
                        kept = self._draft if drawn.batch.draft else self._done
                        kept.update((one.unit, one) for one in finished)
                        if not drawn.batch.draft and self._store is not None:
                            self._keep(drawn.batch, finished)
                        if claims is not None:
                            claims.release(_key(drawn.batch))
                        yield from finished
                if claims is not None:
                    claims.beat()
        finally:
            self.trips = getattr(who, "trips", [])
            who.close()

    def _hand_out(self, waiting: list[Batch], who: Runner, claims: Leases | None) -> None:
        """Give the runner batches, those that somebody looks at first; take out what is done."""
        preferred = set(self._preferred)
        for batch in sorted(waiting, key=lambda b: (not preferred & set(b.wanted), b.number)):
            if not who.free:
                return
            failed = {unit for unit in self.problems if isinstance(unit, int)}
            there = failed | (self._done.keys() | self._draft.keys() if batch.draft else self._done.keys())
            missing = batch.missing(there)
            if missing is not None and claims is not None:
                if not claims.take(_key(batch)):
                    continue
                # Between the last look and the claim somebody may have finished it.
                self._take_up(self._store.units() & set(missing.wanted) if self._store is not None else ())
                missing = missing.missing(self._done)
                if missing is None:
                    claims.release(_key(batch))
            waiting.remove(batch)
            if missing is not None:
                who.submit(missing)

    # The store

    def _keep(self, batch: Batch, finished: list[SheetUnit]) -> None:
        self._unkept.update((one.unit, one) for one in finished)
        self._keep_unkept(_key(batch))

    def _keep_unkept(self, key: str) -> None:
        """Write what is drawn and not yet in the store."""
        if self._store is None or not self._unkept:
            return
        try:
            self._store.keep(key, list(self._unkept.values()))
        except SheetStoreError:
            there = self._store.units()
            self._unkept = {unit: one for unit, one in self._unkept.items() if unit not in there}
            raise
        self._unkept.clear()

    def _from_others(self) -> Iterator[SheetUnit]:
        """What other processes have finished meanwhile."""
        assert self._store is not None
        new = (self._store.units() & set(self.units)) - self._done.keys()
        yield from self._take_up(new)

    def _take_up(self, units: Iterable[int]) -> list[SheetUnit]:
        """Take over pictures from the store, each checked."""
        assert self._store is not None
        mine = set(self.units)
        taken = []
        for unit, found in self._store.load(sorted(set(units) & mine), self._check):
            if isinstance(found, SheetUnit):
                self._done[unit] = found
                taken.append(found)
            else:
                self._refuse(unit, found)
        return taken

    def _refuse(self, unit: int, error: FileError) -> None:
        """A torn or foreign file in a unit's place."""
        assert self._store is not None
        name = name_of(unit)
        if name in self.problems:
            return
        aside = self._store.put_aside(name)
        where = f" What stood there is now {aside!r}." if aside else ""
        self._note(name, f"{error} Unit {unit} is drawn again.{where}")

    def _note(self, what: int | str, why: str) -> None:
        self.problems[what] = why
        log.warning("%s", why)

    def _check(self, png: bytes, name: str) -> SheetUnit:
        """A unit of this very sheet; FileError for anything else."""
        one, drawing = from_png(png, name)
        for right, words in (
            (name.endswith((f"unit-{one.unit:05d}.png", ".zip")), f"unit {one.unit}, under another's name"),
            (drawing.fingerprint == self.fingerprint, f"a model with the fingerprint {drawing.fingerprint}"),
            (drawing.objective == unit_objective(self.network, self.layer, one.unit, self.objective), drawing.words),
            (drawing.recipe == self.recipe, f"another recipe ({drawing.recipe.name!r})"),
            (drawing.seed == unit_seed(self.seed, self.layer, one.unit), f"the seed {drawing.seed}"),
            (drawing.size == self.size, f"a picture of {drawing.size} px"),
            (not one.draft, "a draft"),
        ):
            if not right:
                raise FileError(f"{name} is of another sheet: {words}.")
        best = self._best.get(one.unit)
        if best is not None:
            one = dataclasses.replace(one, gauge=one.activation / best if best > 0.0 else None)
        return one

    def _header(self) -> dict[str, Any]:

        preprocess = self.network.preprocess
        return {
            "kind": "contact sheet",
            "model": self.model_name,
            "fingerprint": self.fingerprint,
            "layer": self.layer,
            "channels": self.network.layer(self.layer).channels,
            "objective": self.objective,
            "recipe": json.loads(self.recipe.to_json()),
            "seed": self.seed,
            "size": self.size,
            "input_size": self.network.input_size,
            "preprocess": {
                "mean": list(preprocess.mean),
                "std": list(preprocess.std),
                "scale": preprocess.scale,
                "channels": preprocess.channels,
                "function": preprocess.function is not None,
            },
            "version": __version__,
        }

    # What is known of it

    @property
    def tags(self) -> Tags:
        """The user's words on the units; kept in the store, where there is one, by :meth:`save` and by drawing.

        A layer or a unit that the model does not have is refused.
        """
        if self._tags is None:
            found = None if self._store is None else self._store.read(TAGS)
            self._tags_were = found or b""
            self._tags = Tags() if found is None else self._tags_of(found)
            self._tags.check(self.network.check_unit)
        return self._tags

    def _tags_of(self, written: bytes) -> Tags:
        try:
            return Tags.from_json(written.decode())
        except ValueError as error:  # PeekError and a wrong encoding are such
            name = f"{TAGS}.{hashlib.sha256(written).hexdigest()[:8]}.torn"
            assert self._store is not None
            # told once; and left where it is, since another process may be writing good ones there now
            if self._store.read(name) is None:
                self._store.write(name, written)
                self._note(TAGS, f"{TAGS} can't be read ({error}); it is kept as {name!r}, and tags begin anew.")
            return Tags()

    def save(self) -> None:
        """Write the tags and the index to the store; drawing does it too. Tags of another process are merged in.

        Raises:
            PeekError: if there is no store, or it can't be written (SheetStoreError).
        """
        if self._store is None:
            raise PeekError("This sheet has no store: give store=, or keep the tags with sheet.tags.to_csv(path).")
        self._keep_unkept("rest")
        self._keep_tags(self._store)
        self._keep_index()

    def to_frame(self) -> pd.DataFrame:
        """A table of the units that are drawn: unit, activation, gauge, seed, recipe, tags; needs pandas."""
        return index.frame(self.layer, self.done.values(), self.recipe_fingerprint, self.tags)

    def to_html(
        self, path: str | os.PathLike[str], crops: LayerEvidence | Evidence | None = None, **options: Any
    ) -> Path:
        """Write the sheet as one page that needs no kernel and no network; see ``peek_widget.sheet.page.to_html``."""
        from peek_widget.sheet.page import to_html

        return to_html(self, path, self._crops if crops is None else crops, **options)

    def poster(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the sheet as a PDF, PNG or SVG to print; see ``peek_widget.sheet.poster.poster``."""
        from peek_widget.sheet.poster import poster

        return poster(self, path, **options)

    @property
    def recipe_fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the recipe's JSON (sha256)."""
        return hashlib.sha256(self.recipe.to_json().encode()).hexdigest()[:16]

    def _keep_index(self) -> None:
        """Write the index where it does not say what the pictures say; it is derived, so that failing is no loss."""
        if self._store is None:
            return
        there = [one for unit, one in self.done.items() if unit not in self._unkept]
        try:
            index.keep(self._store, INDEX, self.layer, there, self.recipe_fingerprint, self.tags)
        except SheetStoreError as error:
            log.warning("The index is not up to date: %s", error)

    def _keep_tags(self, store: Store) -> None:
        ours = self.tags
        there = store.read(TAGS) or b""
        if there and there != self._tags_were:
            ours.merge(self._tags_of(there))
        written = ours.to_json().encode()
        if written != there and (there or len(ours)):
            store.write(TAGS, written)
        self._tags_were = written if there or len(ours) else b""


def _key(batch: Batch) -> str:
    """A batch's name in the store: the same in every process that makes the same call."""
    digest = hashlib.sha256(repr(batch.units).encode()).hexdigest()[:8]
    return f"{batch.number:05d}-{digest}"


def _best_of(
    crops: LayerEvidence | Evidence | None, layer: str, units: Iterable[int], network: Network
) -> dict[int, float]:
    """Highest activation of a real image by unit."""
    if crops is None:
        return {}
    if isinstance(crops, Mapping):
        crops = crops[layer]
    if not isinstance(crops, LayerEvidence):
        raise PeekError(f"crops is a {type(crops).__name__}: give what top_crops(model, {layer!r}, images) gives.")
    if crops.name != layer:
        raise PeekError(f"The crops are of layer {crops.name!r}, and the sheet is of {layer!r}: give crops of it.")
    crops.check_model(network)
    return {unit: crops[unit].top[0].activation for unit in units if crops[unit].top}


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """What tells two sheets' headers apart, as part of a sentence; None if nothing does."""
    for name, value in ours.items():
        other = theirs.get(name)
        if other == value or name in ("version", "model"):
            continue
        if name == "fingerprint":
            return f"it was drawn from another model or other weights (fingerprint {other}, this one has {value})"
        if name == "recipe" and isinstance(other, Mapping):
            fields = [f for f in value if other.get(f) != value[f]] or [f for f in other if f not in value]
            there, here = (r.get("name") for r in (other, value))
            said = ", ".join(f"{f}={other.get(f)!r} and not {value.get(f)!r}" for f in fields[:3] if f != "name")
            names = f"{there!r}, and this call's is {here!r}" if there != here else f"{there!r} with {said}"
            return f"its recipe is {names}"
        return f"its {name.replace('_', ' ')} is {other!r}, and this call's is {value!r}"
    return None
