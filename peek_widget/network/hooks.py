"""Forward hooks of the user's modules: those that change something are part of the model, and are run in its copy.

An equalized learning rate sets ``weight`` in a pre-hook, quantization-aware training rounds in a hook, an ablation sets
units to zero in one. Other hooks only look: they collect activations, count, print. Which is which is found by trying
each on the copy: a hook acts if it returns something, or writes into its arguments or into a tensor of the model; and
if the forward gives something else, or fails, without those that seem only to look (a decoder reads what one has kept).

Nothing of the user's is touched by that. A hook is tried as a copy: the objects that it holds, in its closure, as its
``self`` and by global names, are copies too, in which the user's modules are replaced by ours; and it prints nothing.
"""

from __future__ import annotations

import builtins
import copy
import dis
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.network.nested import tensors_in
from peek_widget.network.preactivation import storage_of

__all__ = ["HOOK_TABLES", "Hooks", "UserHook", "hook_ids", "is_torchs"]

HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_FORWARD_TABLES = ("_forward_pre_hooks", "_forward_hooks")
_OPTIONS = ("_forward_pre_hooks_with_kwargs", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")

# Up to this many hooks, each trial of one compares all tensors of the model before and after.
_FEW = 32
# A tensor in a hook with more numbers than these is shared: a dataset, say, into which no hook writes.
_LARGE = 2**24


def is_torchs(hook: Any) -> bool:
    """Return whether a hook is one of ``torch.nn.utils`` (old weight norm, pruning): always a part of the forward."""
    function = getattr(hook, "hook", hook)  # some tables hold the hook in a wrapper
    owner = function if hasattr(function, "__module__") else type(function)
    return str(getattr(owner, "__module__", "")).startswith("torch.nn.utils")


def hook_ids(model: nn.Module) -> tuple[int, ...]:
    """Return the ids of the model's present forward hooks."""
    return tuple(key for module in model.modules() for table in _FORWARD_TABLES for key in list(vars(module)[table]))


@dataclass
class UserHook:
    """A forward hook of the user's, as seen in the copy.

    Attributes:
        module: name of the module that has it.
        name: name of its function or class.
        key: number that torch gave it.
        acts: whether it changes something; None as long as it was not called.
        problem: why it is left out; "" where it is not.
    """

    module: str
    name: str
    key: int
    acts: bool | None = None
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.name} of {self.module!r}" if self.module else f"{self.name} of the model"


class Hooks:
    """The copies of the user's forward hooks in a copy of a model.

    Args:
        original: the user's model, wrappers around it (DataParallel) included.
        module_copy: its copy, without wrappers.
        memo: of ``copy.deepcopy``: by the id of each of the user's modules and tensors, ours.
        names: of each of the user's modules its name as a layer.
        known: hooks of an earlier copy of the same model, which need not be tried again.

    Attributes:
        all: every forward hook.
        backward: modules that have backward hooks, which are left out.
    """

    def __init__(
        self,
        original: nn.Module,
        module_copy: nn.Module,
        memo: dict[int, Any],
        names: dict[nn.Module, str],
        known: Iterable[UserHook] = (),
    ) -> None:
        self._original = original
        # What modules hold is in it too, so that a hook's copy and a module's attribute stay one object.
        self._memo = memo = {**memo, **_pairs(original, memo)}
        self._removed: list[tuple[nn.Module, str, int, _Tried, Any]] = []
        self._in_place: list[tuple[nn.Module, str, int, _Tried, Any]] = []
        self.backward: list[str] = [
            repr(names.get(module, "")) if names.get(module) else "the model"
            for module in original.modules()
            if module._backward_hooks or module._backward_pre_hooks
        ]
        self.all: list[UserHook] = []
        before = {(one.module, one.key): one for one in known}
        found = [
            (module, table, key, hook)
            for module in original.modules()
            for table in _FORWARD_TABLES
            for key, hook in list(vars(module)[table].items())
            if not is_torchs(hook)
        ]
        copier = _Copier(memo)
        for module, table, key, hook in found:
            one = UserHook(names.get(module, ""), _name(hook), key)
            earlier = before.get((one.module, key))
            if earlier is not None:
                one.acts, one.problem = earlier.acts, earlier.problem
            self.all.append(one)
            if one.acts is False or one.problem:
                continue
            try:
                mine = copier.copy(hook)
            except Exception as error:
                one.problem = f"it can't be copied ({type(error).__name__}: {error})"
                continue
            tried = _Tried(one, mine, module_copy if len(found) <= _FEW else None, table == "_forward_hooks")
            target = memo[id(module)]
            self._in_place.append((target, table, key, tried, hook))
        self._insert_all()

    def _insert_all(self) -> None:
        for target, table in {(target, table): None for target, table, *_ in self._in_place}:
            self._insert(target, table)

    def _insert(self, target: nn.Module, table: str) -> None:
        """Put the hooks of a table of one of our modules in the user's order, those of wrappers around it outermost."""
        theirs = [module for module in self._original.modules() if self._memo.get(id(module)) is target]
        if table == "_forward_hooks":
            theirs.reverse()
        mine = {key: tried for where, which, key, tried, _ in self._in_place if (where, which) == (target, table)}
        now: dict[int, Any] = vars(target)[table]
        hooks: OrderedDict[int, Any] = OrderedDict()
        for module in theirs:
            for key in list(vars(module)[table]):
                if key in mine or key in now:
                    hooks[key] = mine.get(key, now.get(key))
            for option in _OPTIONS:
                for key in vars(module)[option]:
                    if key in mine:
                        vars(target)[option][key] = True
        now.clear()
        now.update(hooks)

    @property
    def kept(self) -> list[UserHook]:
        """The hooks that are run with the copy."""
        return [one for one in self.all if one.acts and not one.problem]

    @property
    def left_out(self) -> list[UserHook]:
        """The hooks that can't be copied, or failed, so that it is unknown whether they act."""
        return [one for one in self.all if one.problem]

    @property
    def unknown(self) -> bool:
        """Whether the copy has a hook whose effect is still unknown."""
        return any(tried.known.acts is None for *_, tried, _ in self._in_place)

    @property
    def looking(self) -> bool:
        """Whether some hook has been called and only observed."""
        return any(tried.known.acts is False for *_, tried, _ in self._in_place)

    def leave_out_failed(self) -> bool:
        """Remove the hooks that raised an exception; return whether there were any."""
        failed = [entry for entry in self._in_place if entry[3].error is not None]
        for target, table, key, tried, _ in failed:
            tried.known.problem = f"its copy raised {type(tried.error).__name__}: {tried.error}"
            vars(target)[table].pop(key, None)
        self._in_place = [entry for entry in self._in_place if entry not in failed]
        return bool(failed)

    def settle(self, written: Iterable[nn.Module] = ()) -> bool:
        """Remove the hooks that have been called and only observed; return whether there were any.

        Args:
            written: modules of ours with parameters that were written to by one of them.
        """
        count = len(self._in_place)
        acting = {target for target, *_, tried, _ in self._in_place if tried.known.acts}
        if any(not any(module in set(target.modules()) for target in acting) for module in written):
            for *_, tried, _ in self._in_place:
                tried.known.acts = tried.known.acts is not None  # it may be any of them
        for target, table, key, tried, _ in self._in_place:
            tried.error = None
            if tried.known.acts is False:
                vars(target)[table].pop(key, None)
        self._removed = [entry for entry in self._in_place if entry[3].known.acts is False]
        self._in_place = [entry for entry in self._in_place if entry[3].known.acts is not False]
        for *_, tried, _ in self._in_place:
            tried.settled = tried.known.acts is True
        return len(self._in_place) < count

    def bring_back(self) -> None:
        """Put back the hooks that :meth:`settle` removed: the forward needs what they keep."""
        for *_, tried, _ in self._removed:
            tried.known.acts = tried.settled = True
        self._in_place, self._removed = [*self._in_place, *self._removed], []
        self._insert_all()

    def refresh(self) -> None:
        """Copy again what the hooks hold (a mask, a switch), with its present values."""
        copier = _Copier(self._memo)
        for *_, tried, hook in self._in_place:
            try:
                tried.call = copier.copy(hook)
            except Exception:
                return  # another thread is changing it: try the next time


def _pairs(original: nn.Module, memo: dict[int, Any]) -> dict[int, Any]:
    """Return, by the ids of the user's modules, hook tables, parameters and buffers, those of the copy."""
    found: dict[int, Any] = {}
    for module in original.modules():
        mine = found[id(module)] = memo[id(module)]
        for table in HOOK_TABLES:
            if table in vars(module):
                found[id(vars(module)[table])] = vars(mine)[table]
        for theirs, ours in ((module._parameters, mine._parameters), (module._buffers, mine._buffers)):
            found |= {id(value): ours[name] for name, value in theirs.items() if value is not None and name in ours}
    return found


class _Tried:
    """A copy of a user's hook. Until it is settled, each call is watched for what it does.

    Args:
        known: where that is noted.
        call: the copy.
        model: the model whose tensors are watched; None for the module that the hook belongs to.
        after: whether it is called after the module's forward, with the output.
    """

    def __init__(self, known: UserHook, call: Callable[..., Any], model: nn.Module | None, after: bool) -> None:
        self.known, self.call, self._after = known, call, after
        self._model = model
        self.error: Exception | None = None
        self.settled = known.acts is True
        self._writes_output = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.call,)  # in another process, or copied, it is a hook like any other

    def __call__(self, module: nn.Module, *args: Any) -> Any:
        if self.settled:
            return self._act(module, args)
        watched = [*_tensors_of(module if self._model is None else self._model), *tensors_in(list(args))]
        before = [_mark(one) for one in watched]
        values = [one.detach().clone() for one in module.parameters(recurse=False)]
        try:
            returned = self.call(module, *args)
        except Exception as error:
            self.error = error
            raise
        now = [*_tensors_of(module if self._model is None else self._model), *tensors_in(list(args))]
        acts = returned is not None or [_mark(one) for one in now] != before
        if not acts:  # a write through .data does not change the version counter
            acts = not all(map(torch.equal, values, module.parameters(recurse=False)))
        self.known.acts = acts or bool(self.known.acts)
        if acts and self._after and returned is None and isinstance(args[-1], Tensor):
            self._writes_output = before[-1] != _mark(args[-1])
        return returned

    def _act(self, module: nn.Module, args: tuple[Any, ...]) -> Any:
        if self._writes_output and not any(storage_of(one) == storage_of(args[-1]) for one in tensors_in(args[:-1])):
            # A function before it (a ReLU) may need its output for the gradient.
            output = args[-1].clone()
            returned = self.call(module, *args[:-1], output)
            return output if returned is None else returned
        return self.call(module, *args)


def _itself(call: Callable[..., Any]) -> Callable[..., Any]:
    return call


def _tensors_of(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield value
            elif name in ("_parameters", "_buffers"):
                yield from (one for one in value.values() if one is not None)


def _mark(tensor: Tensor) -> tuple[int, int, int]:
    """Return numbers that change when a tensor is written to or replaced."""
    version = 0 if tensor.is_inference() else tensor._version
    return id(tensor), version, storage_of(tensor)


def _name(hook: Any) -> str:
    while isinstance(hook, functools.partial):
        hook = hook.func
    name = getattr(hook, "__qualname__", None) or type(hook).__qualname__
    return str(name).rpartition("<locals>.")[2]


class _Copier:
    """Copies hooks together with all that they hold.

    Args:
        memo: of ``copy.deepcopy``, with the user's modules and tensors.
    """

    def __init__(self, memo: dict[int, Any]) -> None:
        self._memo = dict(memo)  # deepcopy writes into it
        self._functions: dict[int, types.FunctionType] = {}
        self._globals: dict[int, dict[str, Any]] = {}
        self._keep: list[Any] = []  # the memo goes by id

    def copy(self, value: Any) -> Any:
        """Return a copy of a hook or of anything that it holds."""
        if isinstance(value, types.FunctionType):
            return value if value.__module__.partition(".")[0] == "torch" else self._function(value)
        if isinstance(value, types.MethodType):
            return types.MethodType(self.copy(value.__func__), self.copy(value.__self__))
        if type(value) is functools.partial:
            keywords = {name: self.copy(one) for name, one in value.keywords.items()}
            return functools.partial(self.copy(value.func), *map(self.copy, value.args), **keywords)
        if isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
            return value
        call = getattr(type(value), "__call__", None)  # noqa: B004 (its class's)
        self._prepare(value, set())
        made = copy.deepcopy(value, self._memo)
        if isinstance(call, types.FunctionType) and not isinstance(value, nn.Module):
            # Makes the global names that it uses copies as well; its other attributes stay.
            return types.MethodType(self.copy(call), made)
        return made

    def _plain(self, value: Any) -> Any:
        """Return a copy of what a function refers to by name."""
        if isinstance(value, types.FunctionType):
            return self.copy(value)
        if isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType, types.MethodType)):
            return self.copy(value)
        self._prepare(value, set())
        return copy.deepcopy(value, self._memo)

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        if id(function) in self._functions:
            return self._functions[id(function)]
        theirs = function.__globals__
        if id(theirs) not in self._globals:
            silent = {**vars(builtins), "print": lambda *_args, **_options: None}
            self._globals[id(theirs)] = {**theirs, "__builtins__": silent}
            self._keep.append(theirs)
        ours = self._globals[id(theirs)]
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        made = types.FunctionType(function.__code__, ours, function.__name__, None, cells)
        made.__qualname__, made.__module__ = function.__qualname__, function.__module__
        self._functions[id(function)] = made
        self._keep.append(function)
        made.__defaults__ = self._plain(function.__defaults__)
        made.__kwdefaults__ = self._plain(function.__kwdefaults__)
        for cell, old in zip(cells, function.__closure__ or (), strict=True):
            try:
                content = old.cell_contents
            except ValueError:
                continue  # an empty cell: the name has no value yet
            cell.cell_contents = self._plain(content)
        for name in _global_names(function.__code__):
            value = theirs.get(name)
            if value is None or ours.get(name) is not value:
                continue
            if isinstance(value, types.FunctionType) and value.__globals__ is not theirs:
                continue  # from another module: a library's
            ours[name] = self._plain(value)
        return made

    def _prepare(self, value: Any, seen: set[int]) -> None:
        """Put into the memo a copy of each tensor in it, since ``deepcopy`` refuses those that have a graph."""
        if id(value) in seen or id(value) in self._memo:
            return
        seen.add(id(value))
        if isinstance(value, Tensor):
            # Weights of another model that a hook runs are shared, as those of the model itself are.
            if isinstance(value, nn.Parameter):
                self._memo[id(value)] = nn.Parameter(value.data, requires_grad=False)
            else:
                self._memo[id(value)] = value.detach() if value.numel() > _LARGE else value.detach().clone()
            self._keep.append(value)
        elif isinstance(value, dict):
            for one in list(value.values()):
                self._prepare(one, seen)
        elif isinstance(value, (list, tuple, set, frozenset)):
            for one in list(value):
                self._prepare(one, seen)
        elif hasattr(value, "__dict__") and not isinstance(
            value, (types.ModuleType, type, types.FunctionType, types.MethodType)
        ):
            self._prepare(vars(value), seen)


def _global_names(code: types.CodeType) -> Iterable[str]:
    """Return the global names that a function's code, and that of the functions in it, uses."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
