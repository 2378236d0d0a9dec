"""An ascent without a model, so that the rules of the worker can be tested to the step."""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from peek_widget.errors import RecipeError, SizeError
from peek_widget.live.run_service import RunService
from peek_widget.live.snapshot import Target

from .conformity import check_message, check_traits


@dataclass
class Step:
    index: int
    tensor: torch.Tensor
    unread_activation: float

    @property
    def images(self):
        return self.tensor[None]

    @property
    def nbytes(self):
        return self.tensor.nbytes


@dataclass
class Recipe:
    name: str = "fake"
    steps: int = 20


@dataclass
class FakeAscent:
    """Counts; the picture's only pixel says which step it is."""

    target: Target
    clock: "Clock"
    seconds: float = 0.001
    claimed: float = 0.0
    steps: int = 20
    index: int = 0
    fail_at: int | None = None
    smallest: int = 1
    seeds: tuple = (0,)
    refuses: Collection[str] = ()
    overrides: dict = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self):
        self.size = self.target.size or 224
        if self.size < self.smallest:
            raise SizeError(f"The layer needs {self.smallest} px; {self.size} px were asked for.")

    @property
    def done(self):
        return self.index >= self.steps

    def step(self):
        assert not self.done, "stepped past the end"
        time.sleep(self.seconds)
        # a slow machine without the waiting
        self.clock.ahead += self.claimed * (self.size / 224) ** 2
        self.index += 1
        if self.fail_at == self.index:
            raise RuntimeError("the forward broke")
        return Step(self.index - 1, torch.full((1, 1, 1), self.index / 1000), float(self.index))

    def override(self, **knobs):
        for name in self.refuses:
            if knobs.get(name):
                raise RecipeError(f"{name} has no effect here: give {name}=0.")
        for name, value in knobs.items():
            if value is None:
                self.overrides.pop(name, None)
            else:
                self.overrides[name] = value

    def extend(self, n):
        self.steps += n

    def state(self, on_host=True):
        return {"index": self.index, "steps": self.steps, "overrides": dict(self.overrides)}

    def values(self):
        return {"blur": 0.0, **self.overrides}

    def recipe_values(self):
        return {"blur": 0.0}


class Clock:
    """Real time plus what the test adds."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead


class Bench:
    """A worker, the ascents it made and the updates it published."""

    def __init__(self, *, playing=True, rate=60.0, target=None, start=True, **ascent):
        self.made = []
        self.updates = []
        self.arrived = threading.Condition()
        self.ascent = ascent
        self.clock = Clock()
        self.observer = None
        self.session = RunService(
            self.make,
            self.publish,
            lambda snapshot: lambda: snapshot.view_activation,
            target=target or Target("conv", 3),
            playing=playing,
            rate=rate,
            clock=self.clock,
            resume_ascent=self.resume,
        )
        if start:
            self.session.start()

    def make(self, target):
        made = FakeAscent(target, self.clock, **self.ascent)
        self.made.append(made)
        return made

    def resume(self, target, state):
        made = self.make(target)
        vars(made).update({**state, "overrides": dict(state["overrides"])})
        return made

    def publish(self, update):
        with self.arrived:
            self.updates.append(update)
            self.arrived.notify_all()
        if self.observer is not None:
            self.observer(update)

    def until(self, condition, seconds=5.0):
        """Wait for an update of which the condition holds, and give it."""
        ends = time.monotonic() + seconds
        with self.arrived:
            seen = 0
            while True:
                for update in self.updates[seen:]:
                    if condition(update):
                        return update
                seen = len(self.updates)
                left = ends - time.monotonic()
                assert left > 0, f"never came; the last of {seen} said {self.updates[-1].status}"
                self.arrived.wait(left)

    def until_state(self, state, **more):
        return self.until(lambda u: u.status["state"] == state and all(u.status[k] == v for k, v in more.items()))

    @property
    def last(self):
        return self.updates[-1]


class FakeFrontEnd:
    """Keeps what a service sends and publishes, and checks it against the protocol."""

    def __init__(self):
        self.sent, self.published = [], []

    def publish(self, **values):
        check_traits(values)
        self.published.append(values)

    def send(self, message, buffers=()):
        check_message(message, buffers)
        self.sent.append((message, list(buffers)))
