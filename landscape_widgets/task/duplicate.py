"""A copy of a model and its loss that shares nothing that either of them could change.

`copy.deepcopy` leaves functions as they are, with the variables that they share with what is
around them: a loss written as a closure over the model would go on using the user's own. So
functions are made anew where they hold anything that can change, over copies of what they hold.
"""

from __future__ import annotations

import copy
import io
import logging
import threading
import types
from collections import deque
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from landscape_widgets.task.functions import is_users, needs_copy, own_globals, stored_by
from landscape_widgets.task.iterators import STREAMS, Uncopied, gives_once, nowhere
from landscape_widgets.task.object_graph import Overlay, parts, slots

logger = logging.getLogger(__name__)

# What may be shared: it holds no values.
_HARMLESS = (types.ModuleType, type(threading.Lock()), type(threading.RLock()), io.IOBase)
# What a wrapper keeps its module under.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        inside = _inside(module)
        if inside is None:
            return module
        module = inside


def _inside(module: Any) -> nn.Module | None:
    kind = type(module)
    if kind.__module__.startswith("torch.") and kind.__name__ in _WRAPPERS:
        inside: nn.Module = getattr(module, _WRAPPERS[kind.__name__])
        return inside
    return None


class Duplicate:
    """Copies of a model and of its loss, made together.

    Parameters
    ----------
    model : torch.nn.Module
    loss : callable or None

    Attributes
    ----------
    model, loss
        The copies. What wraps a module for several devices or for a compiler is left away,
        wherever it sits.
    shared : list
        Objects of the user's in the copies, which could not be copied.
    unseen : list of str
        Those of them of which nothing can be put back, in words.
    uses_model : bool
        The loss reaches the model by other ways than its arguments.

    Raises
    ------
    Exception
        Whatever hinders the copy.
    """

    def __init__(self, model: nn.Module, loss: Any = None) -> None:
        self._memo: dict[int, Any] = {}
        self._held: list[Any] = []  # what the memo knows by its address must not go
        self._overlays: dict[int, Overlay] = {}
        self._functions: dict[int, types.FunctionType] = {}
        self._compiled: list[tuple[Any, Any, list[Any]]] = []
        self._dropped: list[str] = []
        self._wrappers: list[Any] = []
        self.shared: list[Any] = []
        self.unseen: list[str] = []
        self._look([model, loss])
        with torch.no_grad():  # TorchScript modules would copy into a graph
            self._prepare()
            for wrapper in reversed(self._wrappers):
                self._remember(wrapper, self._copied(_inside(wrapper)))
            self.model: nn.Module = self._copied(unwrapped(model))
            self.loss = self._copied(loss)
            self._fill()
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                self._mark_trained(module)
        if self._dropped:
            logger.debug(
                "Not taken into the working copy as they are: %s", ", ".join(self._dropped)
            )
        self.uses_model = loss is not None and self._reaches(self.loss, self.model)

    # What there is

    def _look(self, roots: Iterable[Any]) -> None:
        """Find what deepcopy cannot, or should not, copy."""
        seen: dict[int, Any] = {}
        waiting = deque((root, "") for root in roots)
        while waiting:
            thing, path = waiting.popleft()
            if id(thing) in seen:
                continue
            seen[id(thing)] = thing
            if isinstance(thing, Tensor):
                if thing.grad_fn is not None:
                    self._remember(thing, thing.detach().clone())
                    self._dropped.append(f"the graph of {path}")
                continue
            if isinstance(thing, (DataLoader, Dataset)):
                self._remember(thing, thing)
                continue
            if _is_trainer(thing):
                self._remember(thing, None)
                self._dropped.append(path)
                continue
            if isinstance(thing, nn.Module) and _inside(thing) is not None:
                self._wrappers.append(thing)
            if isinstance(thing, types.FunctionType):
                if not needs_copy(thing):
                    continue
                original = getattr(thing, "_torchdynamo_orig_callable", None)
                if original is not None:  # what torch.compile has wrapped
                    self._compiled.append((thing, original, []))
                    waiting.append((original, path))
                    continue
                self._functions[id(thing)] = thing
                waiting.extend((value, name) for name, value in own_globals(thing))
            waiting.extend(parts(thing, path))
        self._held.append(seen)

    # Copying

    def _mark_trained(self, module: nn.Module) -> None:
        """TorchScript's copies forget which parameters are trained."""
        copied = self._memo.get(id(module))
        ours = {} if copied is None else dict(copied.named_parameters())
        for name, parameter in module.named_parameters():
            if name in ours and parameter.is_floating_point():
                ours[name].requires_grad_(parameter.requires_grad)

    def _remember(self, thing: Any, copied: Any) -> None:
        self._memo[id(thing)] = copied
        self._held.append(thing)

    def _prepare(self) -> None:
        """Make functions anew, over variables that are still empty."""
        self._cells: dict[int, tuple[types.CellType, types.CellType]] = {}
        for function in self._functions.values():
            for cell in function.__closure__ or ():
                self._cells.setdefault(id(cell), (cell, types.CellType()))
        for function in self._functions.values():
            names = function.__globals__
            if is_users(function) and (stored_by(function.__code__) or any(own_globals(function))):
                names = self._overlays.setdefault(id(names), Overlay(names))
            closure = tuple(self._cells[id(cell)][1] for cell in function.__closure__ or ())
            fresh = types.FunctionType(
                function.__code__, names, function.__name__, None, closure or None
            )
            fresh.__qualname__, fresh.__module__ = function.__qualname__, function.__module__
            fresh.__doc__, fresh.__annotations__ = function.__doc__, function.__annotations__
            self._remember(function, fresh)
        for function, _, held in self._compiled:
            self._remember(function, _later(held))

    def _fill(self) -> None:
        """Give the new functions copies of what theirs hold."""
        for old, new in self._cells.values():
            try:
                content = old.cell_contents
            except ValueError:  # nothing in it yet
                continue
            new.cell_contents = self._copied(content)
        for function in self._functions.values():
            fresh = self._memo[id(function)]
            fresh.__defaults__ = self._copied(function.__defaults__)
            fresh.__kwdefaults__ = self._copied(function.__kwdefaults__)
            fresh.__dict__.update(self._copied(dict(function.__dict__)))
            if isinstance(fresh.__globals__, Overlay):
                for name, value in own_globals(function):
                    fresh.__globals__[name] = self._copied(value)
        for _, original, held in self._compiled:
            held.append(self._copied(original))

    def _copied(self, thing: Any) -> Any:
        memo = dict(self._memo)
        try:
            copied = copy.deepcopy(thing, memo)
        except Exception:
            self._share(thing)
            memo = dict(self._memo)
            copied = copy.deepcopy(thing, memo)
        self._memo = memo
        # deepcopy files what it keeps alive under the address of the memo itself, which must not
        # become another object's.
        self._held.append(memo)
        return copied

    def _share(self, root: Any) -> None:
        """Let what cannot be copied, and is neither module nor tensor, be shared."""
        seen: dict[int, Any] = {}
        waiting, found = [(root, "")], []
        while waiting:
            thing, path = waiting.pop()
            if id(thing) in seen or id(thing) in self._memo:
                continue
            seen[id(thing)] = thing
            found.append((thing, path))
            waiting += parts(thing, path)
        for thing, path in reversed(found):  # parts before wholes
            if isinstance(thing, (nn.Module, Tensor, dict, list, tuple, set, deque)):
                continue
            try:
                copy.deepcopy(thing, dict(self._memo))
            except Exception:
                self._dropped.append(f"{path} ({type(thing).__name__})")
                stand_in = _stand_in(thing, path)
                if stand_in is None:
                    self.shared.append(thing)
                    seen_into = hasattr(thing, "__dict__") or slots(thing)
                    if not seen_into and not isinstance(thing, _HARMLESS):
                        self.unseen.append(f"{path}, of type {type(thing).__name__}")
                self._remember(thing, thing if stand_in is None else stand_in)

    def _reaches(self, thing: Any, model: nn.Module) -> bool:
        ours = {id(part) for part in (*model.modules(), *model.parameters())}
        seen: dict[int, Any] = {}
        waiting = [thing]
        while waiting:
            thing = waiting.pop()
            if id(thing) in ours:
                return True
            if id(thing) not in seen and not isinstance(thing, Tensor):
                seen[id(thing)] = thing
                waiting += [part for part, _ in parts(thing, "")]
        return False


def _stand_in(thing: Any, path: str) -> Any:
    """What the copy has in the place of something that cannot be copied; None to share it.

    What is written to files goes nowhere, so that the user's stay as they are.
    """
    if any(thing is stream for stream in STREAMS):
        return None
    once = hasattr(thing, "__next__") or gives_once(thing)
    return nowhere(thing) or (Uncopied(path, type(thing).__name__) if once else None)


def _later(held: list[Any]) -> Any:
    """A function that calls what will be in `held`."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        return held[0](*arguments, **keywords)

    return call


def _is_trainer(thing: Any) -> bool:
    """Whether a thing is what trains a module of Lightning, which holds all of its data."""
    packages = ("lightning", "pytorch_lightning", "lightning_fabric")
    return not isinstance(thing, (nn.Module, type)) and any(
        kind.__module__.split(".")[0] in packages and kind.__name__ in ("Trainer", "Fabric")
        for kind in type(thing).__mro__
    )
