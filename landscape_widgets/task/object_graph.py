"""The graph of objects: what can be reached from a model and its loss, each with its name."""

from __future__ import annotations

import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.task.noise import GENERATORS
from landscape_widgets.task.structure import attribute, in_dict

PLAIN = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis), range, slice)
OPAQUE = (types.ModuleType, type, weakref.ReferenceType, torch.dtype, torch.device, torch.Size)
_OF_MODULE = frozenset(vars(nn.Module()))
HOOKS = tuple(sorted(name for name in _OF_MODULE if "_hooks" in name))


def parts(thing: Any, path: str) -> Iterator[tuple[Any, str]]:
    """What an object leads to, one step on, each with its name."""
    if isinstance(thing, torch.jit.ScriptModule):
        for name, tensor in (*thing.named_buffers(), *thing.named_parameters()):
            yield tensor, join(path, name)
    elif isinstance(thing, Mapping) and isinstance(thing, dict):
        for key, value in thing.items():
            yield value, join(path, key if isinstance(key, str) else f"[{str(key)[:20]}]")
        if isinstance(thing, Overlay):
            return  # what is behind it is the user's, all names of a notebook among it
        for key, value in (in_dict(thing) or {}).items():
            yield value, join(path, key)
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        for number, value in enumerate(thing):
            yield value, f"{path}[{number}]"
    elif isinstance(thing, types.CellType):
        if filled(thing):
            yield thing.cell_contents, path
    elif isinstance(thing, types.MethodType):
        yield thing.__self__, path
        yield thing.__func__, path
    elif isinstance(thing, partial):
        yield thing.func, path
        yield thing.args, path
        yield thing.keywords, path
    elif isinstance(thing, types.FunctionType):
        names = thing.__code__.co_freevars
        for name, cell in zip(names, thing.__closure__ or (), strict=True):
            yield cell, join(path, name)
        yield thing.__defaults__, path
        yield thing.__kwdefaults__, path
        if isinstance(thing.__globals__, Overlay):
            yield thing.__globals__, path
        yield thing.__dict__, path
    elif has_attributes(thing):
        for name, value in list((in_dict(thing) or {}).items()):
            # Modules, buffers and parameters are called by their names alone.
            plain = isinstance(thing, nn.Module) and name in ("_modules", "_buffers", "_parameters")
            if plain or not (isinstance(thing, nn.Module) and name in _OF_MODULE and not value):
                yield value, path if plain else join(path, name)
        for name in slots(thing):
            value = getattr(thing, name, None)
            yield value, join(path, name)


def reached(roots: Iterable[Any], without: Iterable[Any] = ()) -> Iterator[tuple[str, Any]]:
    """Everything that can be reached from some objects, each once, with how it is called.

    `without` are objects that are not looked at, nor what only they lead to.
    """
    seen: dict[int, Any] = {id(thing): thing for thing in without}
    waiting = [(root, "") for root in roots]
    while waiting:
        thing, path = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield path, thing
        if not isinstance(thing, Tensor):
            waiting += parts(thing, path)


class Overlay(dict[str, Any]):
    """Global names of which a function has its own, in front of those that it shares."""

    def __init__(self, shared: dict[str, Any]) -> None:
        super().__init__()
        self.shared = shared

    def __missing__(self, name: str) -> Any:
        return self.shared[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.shared

    def __reduce__(self) -> Any:
        return dict, (), None, None, iter({**self.shared, **self}.items())


def has_attributes(thing: Any) -> bool:
    """Whether to look into an object: a module, or an instance of a class written in Python."""
    if isinstance(thing, torch.jit.ScriptModule):
        return False
    if isinstance(thing, nn.Module):
        return True
    if isinstance(thing, types.SimpleNamespace):
        return True
    kind = type(thing)
    if isinstance(thing, (*OPAQUE, *GENERATORS, types.FunctionType, types.MethodType)):
        return False
    if not kind.__flags__ & 1 << 9:  # not of a class statement (Py_TPFLAGS_HEAPTYPE)
        return False
    if in_dict(thing) is None and attribute(thing, "__dict__") is not None:  # made when asked for
        return False
    return kind.__module__.split(".")[0] not in ("torch", "threading", "logging", "numpy")


def is_plain_layer(thing: Any) -> bool:
    """Whether a module is one of torch's own layers, to which nothing was added."""
    if not type(thing).__module__.startswith("torch.nn.modules."):
        return False
    attributes = vars(thing)
    hooks = [name for name in _OF_MODULE if name.endswith("_hooks") or name == "_modules"]
    return not any(attributes.get(name) for name in hooks) and all(
        name in _OF_MODULE or isinstance(value, (*PLAIN, tuple))
        for name, value in attributes.items()
    )


def slots(thing: Any) -> tuple[str, ...]:
    """Names of the attributes that an object has besides those in its __dict__."""
    found: list[str] = []
    for kind in type(thing).__mro__:
        names = vars(kind).get("__slots__", ())
        names = (names,) if isinstance(names, str) else tuple(names)
        found += [
            f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") else name
            for name in names
            if name not in ("__dict__", "__weakref__")
        ]
    return tuple(found)


def filled(cell: types.CellType) -> bool:
    """Whether a variable of a closure holds anything yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def join(path: str, name: str) -> str:
    """The name of a part."""
    return f"{path}.{name}" if path else name
