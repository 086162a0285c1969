"""What the code of a model and its loss finds around it: class attributes and global variables.

Methods are not copied with the objects that they are of, so that what they write to by the name of
a class, of a module or of a variable outside is the user's own.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from landscape_widgets.task.functions import (
    can_change,
    is_installed,
    is_users,
    named_by,
    names_in,
    stored_by,
)
from landscape_widgets.task.iterators import gives_once, restocked
from landscape_widgets.task.object_graph import Overlay, reached
from landscape_widgets.task.places import Holder, Place, alike
from landscape_widgets.task.state import Walk

LARGE = 1 << 20  # bytes of an array that is not looked into: data, weights
MOST = 20_000  # objects that are looked at
_LIBRARIES = {*sys.stdlib_module_names, "torch", "numpy", "landscape_widgets"}
_MISSING: Any = object()


def surroundings(
    roots: Iterable[Any], shared: Iterable[Any]
) -> tuple[list[Place], list[tuple[str, Any]]]:
    """Places outside that some objects' code may write to, and generators that it may draw from.

    Parameters
    ----------
    roots
        The working copies of model and loss.
    shared
        Objects of the user's in them, which are no copies.
    """
    return _Search(list(roots), list(shared)).found()


class Names(Holder):
    """Attributes of a class, or variables of a module, by identity.

    Parameters
    ----------
    owner
        A class, or the variables of a module.
    names
        Which of the variables; of a class all but those that are Python's own.
    """

    def __init__(
        self, path: str, owner: type | dict[str, Any], names: Iterable[str] | None = None
    ) -> None:
        super().__init__(path)
        self.owner = owner
        self.names = None if names is None else tuple(names)
        self.take()

    def _called(self, name: str) -> str:
        return f"{self.path}.{name}".lstrip(".")

    def held(self) -> dict[str, Any]:
        values: Mapping[str, Any] = vars(self.owner) if isinstance(self.owner, type) else self.owner
        if self.names is not None:
            return {name: values[name] for name in self.names if name in values}
        return {name: value for name, value in values.items() if not name.startswith("__")}

    def take(self) -> None:
        self.saved = self.held()

    def differs(self) -> bool:
        return bool(self._changed())

    def _changed(self) -> list[str]:
        held = self.held()
        if held.keys() == self.saved.keys() and all(held[n] is v for n, v in self.saved.items()):
            return []
        return [
            name
            for name in {**self.saved, **held}
            if not alike(held.get(name, _MISSING), self.saved.get(name, _MISSING))
        ]

    def changes(self) -> list[str]:
        return [self._called(name) for name in self._changed()]

    def put_back(self) -> None:
        for name in self._changed():
            if name in self.saved:
                self.write(name, self.saved[name])
            elif isinstance(self.owner, type):
                delattr(self.owner, name)
            else:
                del self.owner[name]

    def write(self, entry: Any, value: Any) -> None:
        if isinstance(self.owner, type):
            setattr(self.owner, entry, value)
        else:
            self.owner[entry] = value


class _Outside(Walk):
    """Walks over what is the user's: nothing is written to, and what is large is left out."""

    def __init__(self, ours: dict[int, Any]) -> None:
        super().__init__(set(), 0, {})
        self.seen, self.most = ours, len(ours) + MOST
        self.generators: list[tuple[str, Any]] = []

    def enters(self, thing: Any) -> bool:
        if isinstance(thing, (Tensor, np.ndarray)):
            return _is_dense(thing) and thing.nbytes <= LARGE
        data = (DataLoader, Dataset, types.GeneratorType)
        return not isinstance(thing, data) and len(self.seen) < self.most

    def of_generator(self, path: str, generator: Any) -> Iterator[Place]:
        self.generators.append((path, generator))
        return iter(())


def _is_dense(array: Tensor | np.ndarray[Any, Any]) -> bool:
    return not isinstance(array, Tensor) or array.layout == torch.strided


class _Search:
    """Follows code from the objects that it is of to what it names."""

    def __init__(self, roots: list[Any], shared: list[Any]) -> None:
        ours = {id(thing): thing for _, thing in reached(roots, without=shared)}
        self._walk = _Outside(dict(ours))
        self._places: list[Place] = []
        self._seen: dict[int, Any] = {}
        self._waiting: list[tuple[Any, str]] = [(thing, type(thing).__name__) for thing in shared]
        for thing in ours.values():
            self._code_of(thing)

    def found(self) -> tuple[list[Place], list[tuple[str, Any]]]:
        """All places, and all generators."""
        while self._waiting:
            thing, path = self._waiting.pop()
            known = set(self._walk.seen)
            self._places += self._walk.places([thing], path)
            for number in self._walk.seen.keys() - known:
                self._code_of(self._walk.seen[number])
        return self._places, self._walk.generators

    def _code_of(self, thing: Any) -> None:
        if isinstance(thing, types.FunctionType):
            self._function(thing)
        elif not isinstance(thing, Tensor):
            for kind in type(thing).__mro__:
                self._class(kind)

    def _new(self, thing: Any) -> bool:
        if id(thing) in self._seen:
            return False
        self._seen[id(thing)] = thing
        return True

    def _class(self, kind: type) -> None:
        if not self._new(kind) or kind.__module__.split(".")[0] in _LIBRARIES:
            return
        self._places.append(restocked(Names(kind.__name__, kind)))
        for name, value in list(vars(kind).items()):
            if not name.startswith("__") or callable(value):
                self._value(value, f"{kind.__name__}.{name}")

    def _function(self, function: types.FunctionType) -> None:
        if not self._new(function) or not is_users(function):
            return
        variables = function.__globals__
        own = set(dict.keys(variables)) if isinstance(variables, Overlay) else set()
        stored = [name for name in stored_by(function.__code__) if name not in own]
        if stored and not isinstance(variables, Overlay):
            self._places.append(restocked(Names("", variables, stored)))
        for name in named_by(function.__code__):
            if name in own or name.startswith("__") or name not in variables:
                continue
            value = variables[name]
            if isinstance(value, types.ModuleType):
                self._module(value, function.__code__)
            else:
                if gives_once(value) and name not in stored:
                    where = variables.shared if isinstance(variables, Overlay) else variables
                    self._places.append(restocked(Names("", where, [name])))
                self._value(value, name)

    def _module(self, module: types.ModuleType, code: types.CodeType) -> None:
        """What code may take from a module of the user's: each attribute that it names."""
        if is_installed(getattr(module, "__file__", None) or "<frozen"):
            return
        names = [name for name in names_in(code) if name in vars(module)]
        if names:
            self._places.append(restocked(Names(module.__name__, vars(module), names)))
        for name in names:
            self._value(vars(module)[name], f"{module.__name__}.{name}")

    def _value(self, value: Any, path: str) -> None:
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            for function in (value.fget, value.fset):
                self._value(function, path)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif can_change(value):
            self._waiting.append((value, path))
