"""What functions hold and name: closures, defaults, global names, read from their code."""

from __future__ import annotations

import dis
import sysconfig
import types
from collections import deque
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from landscape_widgets.task.noise import GENERATORS
from landscape_widgets.task.object_graph import has_attributes

# Arrays that functions name and that have more elements are not copied: they are data.
LARGE = 1 << 22
_INSTALLED = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def needs_copy(function: types.FunctionType) -> bool:
    """Whether a function holds anything that a call could change."""
    return _needs_copy(function, set())


def _needs_copy(function: types.FunctionType, asked: set[int]) -> bool:
    if id(function) in asked:
        return False
    asked.add(id(function))
    if function.__closure__:
        return True
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    held += function.__dict__.values()
    if any(can_change(value, asked) for value in held):
        return True
    if not is_users(function):
        return False
    return bool(stored_by(function.__code__)) or any(
        can_change(value, asked) for _, value in _globals_of(function)
    )


def own_globals(function: types.FunctionType) -> list[tuple[str, Any]]:
    """What a function names of the variables around it that a call could change."""
    if not is_users(function):
        return []
    return [(name, value) for name, value in _globals_of(function) if can_change(value)]


def can_change(value: Any, asked: set[int] | None = None) -> bool:
    """Whether a call could change something in what a variable holds."""
    asked = set() if asked is None else asked
    if isinstance(value, types.FunctionType):
        return _needs_copy(value, asked)
    if isinstance(value, (Tensor, np.ndarray)):
        size = value.numel() if isinstance(value, Tensor) else value.size
        return size <= LARGE
    if isinstance(value, (DataLoader, Dataset)):
        return False
    changing = (dict, list, set, deque, bytearray, partial, types.MethodType, *GENERATORS)
    return isinstance(value, (nn.Module, *changing)) or has_attributes(value)


def _globals_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name in named_by(function.__code__):
        if name in function.__globals__ and not name.startswith("__"):
            yield name, function.__globals__[name]


def named_by(code: types.CodeType) -> tuple[str, ...]:
    """Global names that a piece of code reads or writes."""
    return _global_names(code, ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"))


def stored_by(code: types.CodeType) -> tuple[str, ...]:
    """Global names that a piece of code writes to."""
    return _global_names(code, ("STORE_GLOBAL",))


@lru_cache(maxsize=1024)
def _global_names(code: types.CodeType, kinds: tuple[str, ...]) -> tuple[str, ...]:
    found = [
        instruction.argval
        for part in _codes(code)
        for instruction in dis.get_instructions(part)
        if instruction.opname in kinds
    ]
    return tuple(dict.fromkeys(found))


def names_in(code: types.CodeType) -> Iterator[str]:
    """All names that a piece of code uses, of attributes too."""
    for part in _codes(code):
        yield from part.co_names


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A piece of code, and those of the functions that are defined in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _codes(inner)


def is_users(function: types.FunctionType) -> bool:
    """Whether a function is of the user's own code, and of no installed package."""
    if (function.__module__ or "").split(".")[0] == __name__.split(".")[0]:
        return False
    return not is_installed(function.__code__.co_filename)


def is_installed(file: str) -> bool:
    """Whether code of this file is of Python itself or of an installed package."""
    return file.startswith(("<frozen", *_INSTALLED))
