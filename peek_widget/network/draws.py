"""Random numbers in a forward: drawn from a state of its own, whatever the model draws them by.

Each forward is given a seed, so that it can be repeated, and the caller's random states stay as they are. What is drawn
by torch's functions (dropout, noise, ``torch.distributions``) is intercepted below them and gets a generator of ours:
no state that another thread uses is touched, so that an explorer in the background does not use up the caller's
``torch.manual_seed``. Where a forward draws from numpy's or Python's global state, or sets torch's, those are put back
after it; a thread that draws from them meanwhile may draw the same numbers twice.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Draws", "OwnDraws", "mixed_seed", "own_draws"]

_LARGEST_SEED = 2**63 - 1
# For operators without a generator argument, the variants that take one.
_WITH_GENERATOR = {"default": "generator", "low": "low_generator", "names": "generator_with_names"}
_KINDS = (np.random.Generator, np.random.RandomState, random.Random)
_global_state = threading.RLock()


def mixed_seed(seed: int, *numbers: int) -> int:
    """Return a seed for one forward of a run, from the run's seed and numbers (of the step, of the view)."""
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) & _LARGEST_SEED
    return seed


class OwnDraws(TorchDispatchMode):
    """A mode in which torch draws random numbers from a seeded generator, and from no other.

    Args:
        seed: seed of the generators, one for each device.

    Attributes:
        used: whether a random number was drawn.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}
        self.used: bool = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its compiler at the first call, which delays the first picture by 1.3 s.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags or not _draws(func, args, kwargs):
            return func(*args, **kwargs)
        device = kwargs.get("device")
        if device is None:
            device = next((one.device for one in args if isinstance(one, Tensor)), torch.device("cpu"))
        device = torch.device(device)
        if device.type not in ("cpu", "cuda"):
            return func(*args, **kwargs)
        self.used = True
        generator = self._generator(device)
        like = _LIKE.get(func)
        if like is not None:
            return like(generator, *args, **kwargs)
        if not any(argument.name == "generator" for argument in func._schema.arguments):
            variant = _WITH_GENERATOR.get(func._overloadname, "")
            if variant not in func.overloadpacket.overloads():
                return _by_default_state(func, generator, args, kwargs)
            func = getattr(func.overloadpacket, variant)
        # also replaces the model's own generators, whose state would carry over from forward to forward
        names = [argument.name for argument in func._schema.arguments if not argument.kwarg_only]
        if "generator" in names[: len(args)]:
            place = names.index("generator")
            return func(*args[:place], generator, *args[place + 1 :], **kwargs)
        return func(*args, **{**kwargs, "generator": generator})

    def _generator(self, device: torch.device) -> torch.Generator:
        key = str(device)
        if key not in self._generators:
            self._generators[key] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[key]


def _draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether this call of an operator draws random numbers; attention without dropout doesn't, for example."""
    for place, argument in enumerate(func._schema.arguments):
        given = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
        if argument.name in ("dropout_p", "dropout") and given == 0.0:
            return False
        if argument.name in ("training", "train") and given is False:
            return False
    return True


def _native_dropout(generator: torch.Generator, values: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    mask = torch.empty_like(values, dtype=torch.bool)
    if train is False or p == 0.0:
        return values.clone(), mask.fill_(True)
    mask.bernoulli_(1.0 - p, generator=generator)
    return values * mask * (0.0 if p == 1.0 else 1.0 / (1.0 - p)), mask


def _random_like(draw: Callable[..., Any]) -> Callable[..., Any]:
    def made(generator: torch.Generator, like: Tensor, *bounds: int, **kwargs: Any) -> Tensor:
        kwargs.pop("generator", None)
        return draw(torch.empty_like(like, **kwargs), *bounds, generator=generator)

    return made


_LIKE: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.rand_like.default: _random_like(Tensor.uniform_),
    torch.ops.aten.randn_like.default: _random_like(Tensor.normal_),
    torch.ops.aten.randint_like.default: _random_like(lambda made, high, **g: made.random_(0, high, **g)),
    torch.ops.aten.randint_like.low_dtype: _random_like(Tensor.random_),
    torch.ops.aten.native_dropout.default: _native_dropout,
}


def _by_default_state(func: Any, generator: torch.Generator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an operator that takes no generator, with our state in place of the default generator's."""
    with _global_state:
        if generator.device.type == "cuda":
            index = generator.device.index
            default = torch.cuda.default_generators[torch.cuda.current_device() if index is None else index]
        else:
            default = torch.default_generator
        before = default.get_state()
        default.set_state(generator.get_state())
        try:
            return func(*args, **kwargs)
        finally:
            generator.set_state(default.get_state())
            default.set_state(before)


@contextlib.contextmanager
def own_draws(seed: int) -> Iterator[None]:
    """Run a block whose random numbers, however drawn, follow from the seed; no other random state changes."""
    with _global_state:
        before = _states()
        _seed_states(seed)
        try:
            with OwnDraws(seed):
                yield
        finally:
            _put_back(before)


class Draws:
    """How a model's forward draws random numbers, found in its first ones.

    Args:
        module: the copy of the model.
        random: whether a forward is known to draw any, and ``by_global_state`` whether from a global state; None where
            that is not known. Only then the global states are compared before and after a forward, because in a thread
            of ours another one may draw from them meanwhile.

    Attributes:
        random: whether a forward was seen to draw any.
        by_global_state: whether it was seen to change the state of ``random``, ``numpy.random`` or torch.
    """

    def __init__(self, module: nn.Module, random: bool | None = None, by_global_state: bool = False) -> None:
        self.random: bool = bool(random)
        self.by_global_state: bool = by_global_state
        self._settled = False
        self._compare = random is None
        self._own = [one for part in module.modules() for one in vars(part).values() if isinstance(one, _KINDS)]

    def settle(self) -> None:
        """Stop watching: a model that has drawn none so far runs without interception from now on."""
        self._settled = True

    @contextlib.contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Return a context for a forward in which all draws follow from the seed, and no other random state changes."""
        if self._settled and not self.random:
            yield
            return
        with contextlib.ExitStack() as stack:
            if self.by_global_state:
                stack.enter_context(_global_state)
            before = _states() if self.by_global_state or (self._compare and not self._settled) else None
            if self.by_global_state:
                _seed_states(seed)
            for one in self._own:
                _reseed(one, seed)
            own = [_state_of(one) for one in self._own] if not self._settled else []
            mode = stack.enter_context(OwnDraws(seed))
            try:
                yield
            finally:
                if before is not None and not _same(before, _states()):
                    self.random = self.by_global_state = True
                    _put_back(before)
                changed = bool(own) and any(
                    not _same(was, _state_of(one)) for was, one in zip(own, self._own, strict=True)
                )
                self.random = self.random or mode.used or changed


def _states() -> tuple[Any, ...]:
    """Return the global random states of Python, numpy and torch (on the CPU)."""
    return random.getstate(), np.random.get_state(legacy=False), torch.default_generator.get_state()


def _put_back(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.default_generator.set_state(states[2])


def _seed_states(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def _same(one: Any, other: Any) -> bool:
    """Return whether two random states are equal."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple) and len(one) < 10:
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _state_of(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state(False)


def _reseed(generator: Any, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    else:
        generator.seed(seed if isinstance(generator, random.Random) else seed % 2**32)
