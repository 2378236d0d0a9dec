"""A structural copy of a model that shares its weights, so that the user's own module is never run or touched.

:class:`ModelCopy` has more than 20 attributes because it is one idea, and most of them are what was found out about the
model when it was copied; few of them change afterwards, with what a forward finds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.errors import LayerError, ModelError
from peek_widget.network.checkpointing import no_checkpoints
from peek_widget.network.context import full_precision
from peek_widget.network.draws import Draws
from peek_widget.network.findings import Known
from peek_widget.network.forward import ForwardMode
from peek_widget.network.hooks import Hooks, hook_ids
from peek_widget.network.nested import tensors_in
from peek_widget.network.outputs import OtherPath, collect, forward_raised
from peek_widget.network.preactivation import PreActivation, address_of
from peek_widget.network.structure import NO_WEIGHTS, copy_structure, refuse
from peek_widget.network.wrappers import inside, names_without, unwrapped
from peek_widget.network.written import Written, changed_parameters, find_replaced, find_written, marks_of

__all__ = ["ModelCopy"]


class ModelCopy:
    """A copy of ``model``'s structure on the same parameters, which can be put in eval mode, hooked and stopped.

    Parameters share their storage with the original, which may be trained on meanwhile; buffers (a BatchNorm's
    running statistics) are copies, updated by :meth:`refresh`. The original is only read.

    ``nn.DataParallel`` and ``torch.compile``, around the model or a part of it, are left out of the copy: layers have
    the names that they would have without them.

    Forward hooks of the user's that change something are part of the copy, see :mod:`~peek_widget.network.hooks`;
    random numbers are drawn from a state of its own in each forward, see :mod:`~peek_widget.network.draws`; and each
    forward begins with the buffers and attributes that the user's model has, see :mod:`~peek_widget.network.written`.

    Args:
        model: any ``nn.Module`` whose forward takes one batch of images.
        device: where to run; on another device than the model's own the parameters are copies too.
        known: what was found out about the same model by trying, and need not be tried again.

    Attributes:
        original: the user's model, without wrappers around it.
        module: the copy.
        device: where the copy runs.
        dtype: floating-point type of the parameters.
        least_images: number of images that the forward is given at least: 2 where it can't take one alone.
        hooks: the user's forward hooks.
        draws: how the forward draws random numbers.
        memory_format: that of the images that the forward is given; contiguous where it fails in channels_last.

    Raises:
        ModelError: if it is not a Module, or of a kind that cannot be copied (ScriptModule, lazy, quantized), or
            has no weights (on the device "meta").
    """

    def __init__(self, model: nn.Module, device: str | torch.device | None = None, known: Known | None = None) -> None:
        names, modules = names_without(model) if isinstance(model, nn.Module) else ({}, {})
        given, model = model, unwrapped(model)
        refuse(model)
        self.original = model
        memo: dict[int, Any] = {}
        self.module: nn.Module
        self.module, hidden = copy_structure(model, memo)
        # Counts in-place changes of parameters made in inference mode, which torch does not.
        self._changes = 0
        self._storages = _storages(model)
        own = next((p.device for p in model.parameters()), torch.device("cpu"))
        try:
            self.device: torch.device = own if device is None else torch.device(device)
            if self.device.type == "meta":
                raise ModelError(NO_WEIGHTS.format(what=f"device={str(device)!r}"))
            self._moved = self.device != own
            if self._moved:
                for module in (self.module, *hidden):
                    module.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raised = str(error).rstrip(".")
            raise ModelError(
                f"The model can't be moved to device {str(device)!r}: {raised}. Leave device out to use {own}."
            ) from error
        self.dtype: torch.dtype = _dtype(self.module)
        # Convolutions on a CPU are a third faster in this format; a forward that takes views of its maps may fail.
        self.memory_format: torch.memory_format = torch.channels_last
        self._kind: torch.dtype | None = None
        self._modes: tuple[Callable[[], contextlib.AbstractContextManager[object]], ...] = ()
        for module in (self.module, *hidden):
            module.eval()
        first = {module: name for name, module in self.module.named_modules()}
        self._by_name = {name: module for module, name in first.items()}
        every = dict(self.module.named_modules(remove_duplicate=False))
        # The layer name of each module of the user's model, by module and by any of its names.
        self._aliases = {name: first[every[ours]] for name, ours in (names | {n: n for n in every}).items()}
        self._name_of = {module: first[every[ours]] for module, ours in modules.items()}
        self.least_images: int = 1
        # Whether a forward took another path than the dry run.
        self._other_path = False
        for module in given.modules():
            if inside(module) is not None:
                memo[id(module)] = memo[id(unwrapped(module))]
        self.hooks: Hooks = Hooks(given, self.module, memo, self._name_of, () if known is None else known.hooks)
        self.draws: Draws = (
            Draws(self.module) if known is None else Draws(self.module, known.random, known.by_global_state)
        )
        self._pairs = [(module, memo[id(module)]) for module in model.modules() if inside(module) is None]
        self._written: list[Written] = []
        # Sizes of images, each with the layers at which its forward ended, for which the writes of the forward are
        # known.
        self._looked: set[tuple[Any, ...]] = set()
        self._settled = False
        # Whether hooks carry state from forward to forward, which must then be restored before each.
        self._renewed = False
        if self.hooks.unknown or (known is not None and known.writes_parameters):
            # A hook may write into the weights, which are the user's.
            for parameter in self.module.parameters():
                parameter.data = parameter.data.clone()
        self._marks = marks_of(self._pairs)

    @property
    def structure(self) -> tuple[Any, ...]:
        """Names and classes of the modules."""
        return tuple((name, type(module)) for name, module in self.module.named_modules())

    @property
    def signature(self) -> tuple[Any, ...]:
        """A value that changes with the original's parameter storage, buffer shapes and hooks."""
        return self._storages

    @property
    def writes_parameters(self) -> bool:
        """Whether a hook writes into the model's parameters; those are then copies too."""
        return any(one.table == "_parameters" for one in self._written)

    @property
    def repeats(self) -> bool:
        """Whether every forward calls the same functions: no random numbers, nothing restored before it."""
        return not (self.draws.random or self._written or self.hooks.kept or self._other_path)

    def settle(self, image: Tensor) -> bool:
        """Record what the first whole forward showed: which hooks act, and what it writes into the modules.

        Args:
            image: the network's input of that forward.

        Returns:
            whether hooks were taken out that only look.
        """
        if self._settled:
            return False
        self._settled = True
        draws = torch.Generator().manual_seed(0)
        noise = torch.randn(3, *image.shape[1:], generator=draws, dtype=torch.float32, device="cpu")
        looking = self.hooks.looking
        before = self._result(noise[: len(image)]) if looking else None
        if looking:
            # Some act only on several images, and what they keep then belongs to other images.
            self._result(noise.flip(0))
        changed = changed_parameters(self._pairs)
        found = [*find_written(self._pairs, self._marks), *changed]
        self._written = [*found, *[one for one in self._written if one not in found]]
        removed = self.hooks.settle([one.ours for one in changed])
        if removed and before is not None and not _close(before, self._result(noise[: len(image)])):
            self.hooks.bring_back()
            removed = False
        if self.hooks.kept:
            twice = [self._result(noise[: len(image)]) for _ in range(2)]
            self._renewed = twice[0] is not None and not _close(twice[0], twice[1])
        return removed

    def _result(self, images: Tensor) -> list[Tensor] | None:
        """Return what the whole forward gives; None where it raises."""
        try:
            with torch.no_grad():
                return [one.clone() for one in tensors_in(self.whole(images))]
        except Exception:
            return None

    @contextlib.contextmanager
    def computing_in(self, kind: torch.dtype | None) -> Iterator[None]:
        """Compute the convolutions and matrix products of :meth:`run` in another type, by ``torch.autocast``.

        Args:
            kind: the type; None for that of the parameters.
        """
        before, self._kind = self._kind, kind
        try:
            yield
        finally:
            self._kind = before

    @contextlib.contextmanager
    def within(self, *modes: Callable[[], contextlib.AbstractContextManager[object]]) -> Iterator[None]:
        """Enter modes around each forward of :meth:`run`: ones of its own, however many forwards there are.

        Args:
            modes: each makes a mode; the first is entered first, so that the last is the first to see a call.
        """
        before, self._modes = self._modes, modes
        try:
            yield
        finally:
            self._modes = before

    def forward(
        self,
        images: Tensor,
        seed: int = 0,
        mode: contextlib.AbstractContextManager[Any] | None = None,
        until: tuple[str, ...] = (),
    ) -> Any:
        """Run the whole forward, and return what the model returns.

        Args:
            images: the network's input, of the type of the parameters.
            seed: seed of the random numbers that are drawn in it.
            mode: a context to run it in.
            until: names of the layers at which it is ended.
        """
        if self._renewed:
            self.hooks.refresh()
        if self._written:
            with torch.inference_mode(False):  # clones: a later gradient may need what is restored
                for one in self._written:
                    one.put_back()
        try:
            with self.draws.seeded(seed), mode or no_checkpoints():
                return self.module(images)
        finally:
            # Some write a value that depends on the size (a window larger than the map), even if they then raise.
            if (key := (*images.shape[1:], *until)) not in self._looked:
                self._looked.add(key)
                self._written += find_replaced(self._pairs, self._marks, self._written)

    def name_of(self, module: nn.Module) -> str | None:
        """Return the layer name of a module of the user's model; None for a module that is none of it."""
        return self._name_of.get(module)

    def resolve(self, name: str) -> str | None:
        """Return the layer name of the module that the user's model has under ``name``; None if it has none.

        The part behind an ``@`` (a later call, a token) is kept.
        """
        if name in self._aliases:
            return self._aliases[name]
        module, mark, part = name.partition("@")
        return f"{self._aliases[module]}{mark}{part}" if module in self._aliases else None

    def without_wrappers(self, name: str) -> str:
        """Return a possibly wrong name, with its known part written as in layer names."""
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            known = self._aliases.get(".".join(parts[:count]))
            if known is not None:
                return ".".join(part for part in (known, *parts[count:]) if part)
        return name

    def stale(self) -> bool:
        """Return whether the original's parameters have other storage now (after ``.to()``), or it has other hooks.

        The copy then no longer follows the original: make a new one.
        """
        return _storages(self.original) != self._storages

    def version(self) -> int:
        """Return a number that grows with every in-place change of the original's parameters (a training step)."""
        return self._changes + sum(p._version for p in self.original.parameters() if not p.is_inference())

    @torch.inference_mode(False)
    def refresh(self) -> None:
        """Copy the original's buffers as they are now, and its parameters where they are copies.

        They are on another device, and of those that were made in inference mode.
        """
        self.hooks.refresh()
        with torch.no_grad():
            for theirs, ours in self._pairs:
                for name, buffer in theirs._buffers.items():
                    mine = ours._buffers.get(name)
                    # One that a forward has replaced is restored before the next.
                    if buffer is not None and mine is not None and not mine.is_inference():
                        mine.copy_(buffer)
            for mine, theirs in zip(self.module.parameters(), self.original.parameters(), strict=True):
                if theirs.is_inference() and not torch.equal(mine, theirs.to(mine.device)):
                    self._changes += 1
                    mine.copy_(theirs)
                elif self._moved:
                    mine.copy_(theirs)

    def run(
        self,
        images: Tensor,
        names: Iterable[str],
        preactivations: Mapping[str, PreActivation] | None = None,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """Compute the outputs of the named layers for ``images [N, C, H, W]``, and nothing past the last of them.

        Args:
            images: the network's input, already preprocessed, on this copy's device; converted to the type of the
                model's parameters. Outputs are converted to float32; of complex ones it is the modulus.
            names: modules by their ``named_modules()`` name, ``"name@2"`` for the second call of one; ``""`` is
                the model's output.
            preactivations: for each name which ReLU calls its output comes from; outputs are then read before them,
                see :class:`~peek_widget.network.forward.ForwardMode`. None reads the outputs as they are.
            seed: seed of the random numbers that the forward draws.

        Raises:
            LayerError: if a named layer never ran.
            ModelError: if the model's forward raised; the cause is chained.
        """
        wanted = {name: self._address(name) for name in names}
        if len(images) < self.least_images:
            found = self.run(images.repeat(self.least_images, 1, 1, 1), wanted, preactivations, seed)
            return {name: values[: len(images)] for name, values in found.items()}
        try:
            return self._run(self.as_input(images), wanted, preactivations, seed)
        except ModelError:
            if self.memory_format is torch.contiguous_format:
                raise
        found = self._run(_in_rows(self.as_input(images)), wanted, preactivations, seed)
        self.memory_format = torch.contiguous_format  # so the forward failed because of channels_last
        return found

    def as_input(self, images: Tensor) -> Tensor:
        """Return images as the forward is given them: on this device, of the parameters' type, in the quickest format.

        The format is the one that :meth:`run` uses, so that has to have run before.
        """
        images = images.to(self.device, self.dtype, memory_format=self.memory_format)
        # A slice of a larger tensor, which .to() leaves unchanged.
        return _in_rows(images) if self.memory_format is torch.contiguous_format else images

    def whole(self, images: Tensor, seed: int = 0) -> Any:
        """Run the whole forward on images ``[N, C, H, W]``, already preprocessed, as the user's own would run."""
        with full_precision(self.device):
            return self.forward(_in_rows(images.to(self.device, self.dtype)), seed)

    def _address(self, name: str) -> tuple[str, int]:
        """Return the module's name and the number of its call (from 1) that a layer name stands for."""
        resolved = self.resolve(name) or name
        if resolved in self._by_name:
            return resolved, 1
        module, _, call = resolved.rpartition("@")
        if module in self._by_name and call.isdecimal() and int(call) > 0:
            return module, int(call)
        raise LayerError(f"The model has no module {name!r}: choose a layer that layers(model) lists.")

    def _run(
        self,
        images: Tensor,
        wanted: dict[str, tuple[str, int]],
        preactivations: Mapping[str, PreActivation] | None,
        seed: int,
    ) -> dict[str, Tensor]:
        if preactivations is None or self._other_path:
            return self._forward(images, wanted, None, ForwardMode(None) if preactivations is not None else None, seed)
        try:
            mode = ForwardMode(preactivations[name] for name in wanted)
            return self._forward(images, wanted, preactivations, mode, seed)
        except OtherPath:
            self._other_path = True
            return self._forward(images, wanted, None, ForwardMode(None), seed)

    def _forward(
        self,
        images: Tensor,
        wanted: dict[str, tuple[str, int]],
        preactivations: Mapping[str, PreActivation] | None,
        mode: ForwardMode | None,
        seed: int,
    ) -> dict[str, Tensor]:
        def forward() -> None:
            cast = contextlib.nullcontext() if self._kind is None else torch.autocast(self.device.type, self._kind)
            with full_precision(self.device), cast, contextlib.ExitStack() as stack:
                for one in self._modes:
                    stack.enter_context(one())
                self.forward(images, seed, mode, tuple(wanted))

        try:
            return collect(forward, self._by_name, wanted, preactivations, mode)
        except (LayerError, ModelError):
            raise
        except Exception as error:
            raise forward_raised(error, images) from error


def _close(one: list[Tensor], other: list[Tensor] | None) -> bool:
    return other is not None and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)
        for a, b in zip(one, other, strict=False)
    )


_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def _dtype(model: nn.Module) -> torch.dtype:
    """Return the type of a model's images: that of its first convolution's weights, else of its first parameter."""
    kernels = [vars(m)["_parameters"].get("weight") for m in model.modules() if isinstance(m, nn.Conv2d)]
    for parameter in (*kernels, *model.parameters()):
        if parameter is not None and parameter.dtype in _TYPES:
            return parameter.dtype
    return next((p.dtype for p in model.parameters() if p.is_complex()), torch.complex64).to_real()


def _in_rows(images: Tensor) -> Tensor:
    """Return images in contiguous memory format.

    Those of one channel may be in it by ``is_contiguous()`` and still have the strides of channels_last, which all maps
    that are computed of them then have too.
    """
    usual = torch.empty(images.shape, device="meta").stride()
    return images if images.stride() == usual else images.clone(memory_format=torch.contiguous_format)


def _storages(model: nn.Module) -> tuple[Any, ...]:
    parameters = tuple((name, address_of(p), p.device) for name, p in model.named_parameters())
    return parameters, tuple((name, tuple(b.shape)) for name, b in model.named_buffers()), hook_ids(model)
