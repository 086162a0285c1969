"""Random numbers that reading data draws: from the seed, and from nobody else's generators."""

from __future__ import annotations

import functools
import random
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.task.noise import (
    GENERATORS,
    Global,
    process_generators,
    reseed,
    same_state,
    set_state,
    state_of,
)
from landscape_widgets.task.structure import attributes

LOOKED_AT = 20_000  # objects at most in which generators are looked for
MEMBERS = 1_000  # of each container
TRIED = 8  # readings after which it is known from which streams they draw


class Randomness:
    """The streams that reading some data may draw from, each begun from the seed.

    Those of torch, numpy, random and of each CUDA device in use, and whatever generators the
    data's own objects hold: samplers, datasets, transforms, functions and what these refer to.
    Between readings all are as their owners left them.

    Parameters
    ----------
    source
        The data: whatever is reached from it is looked at.
    seed : int
    """

    def __init__(self, source: Any, seed: int) -> None:
        self._streams = [*_everybodys(), *map(Owned, _reached(source))]
        theirs = self._read()
        try:
            for stream in self._streams:
                stream.seed(seed % 2**32)
            self._ours = self._read()
        finally:
            for stream, state in zip(self._streams, theirs, strict=True):
                stream.put(state)
        self._drawn: set[int] = set()
        self._count = 0
        self._inside = False

    def _read(self) -> list[Any]:
        return [stream.get() for stream in self._streams]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Draw from our streams, which go on where they ended the last time."""
        if self._inside:
            yield
            return
        chosen = self._chosen()
        theirs = [(number, self._streams[number].get()) for number in chosen]
        self._inside = True
        try:
            for number in chosen:
                self._streams[number].put(self._ours[number])
            yield
            for number in chosen:
                state = self._streams[number].get()
                if not same_state(self._ours[number], state):
                    self._drawn.add(number)
                    self._ours[number] = state
            self._count += 1
        finally:
            self._inside = False
            for number, state in theirs:
                self._streams[number].put(state)

    def _chosen(self) -> Sequence[int]:
        """Which streams to put ours in place of.

        Beside the main thread, which may draw meanwhile, only those that reading draws from.
        """
        if in_main_thread() or self._count < TRIED:
            return range(len(self._streams))
        return sorted(self._drawn)


def in_main_thread() -> bool:
    """Whether nobody else draws while this goes on."""
    return threading.current_thread() is threading.main_thread()


class Owned:
    """A generator that some object holds, with the methods of `noise.Global`."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def get(self) -> Any:
        """Its state."""
        return state_of(self.generator)

    def put(self, state: Any) -> None:
        """Bring it to a state."""
        set_state(self.generator, state)

    def seed(self, seed: int) -> None:
        """Let it begin anew."""
        reseed(self.generator, seed)


def _everybodys() -> Iterator[Global | Owned]:
    yield from process_generators(torch.device("cpu"))
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        yield from map(Owned, torch.cuda.default_generators)


_LIBRARIES = ("builtins", "torch", "numpy", "collections", "typing", "abc")
_DEAD_ENDS = (
    *(Tensor, np.ndarray, pd.DataFrame, pd.Series, str, bytes, int, float, complex),
    *(type(None), types.ModuleType, torch.dtype, torch.device),
)


def _reached(source: Any) -> Iterator[Any]:
    """Generators in an object, in its attributes and members, and in the functions it uses."""
    waiting: list[Any] = [source]
    seen: set[int] = set()
    kept: list[Any] = []  # what is made on the way is not to be taken for something else later
    while waiting and len(seen) < LOOKED_AT:
        thing = waiting.pop()
        if isinstance(thing, _DEAD_ENDS) or id(thing) in seen:
            continue
        seen.add(id(thing))
        kept.append(thing)
        if isinstance(thing, GENERATORS):
            if thing is not torch.default_generator and not isinstance(thing, random.SystemRandom):
                yield thing
            continue
        waiting.extend(_next_to(thing))


def _next_to(thing: Any) -> list[Any]:
    if isinstance(thing, types.FunctionType):
        return _of_function(thing)
    if isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, types.GeneratorType):
        frame = thing.gi_frame
        return [] if frame is None else [*frame.f_locals.values(), *_globals_of(frame)]
    if isinstance(thing, type):
        if thing.__module__.split(".")[0] in _LIBRARIES:
            return []
        return [*thing.__bases__, *vars(thing).values()]
    found: list[Any] = [type(thing), *attributes(thing).values()]
    if isinstance(thing, dict):
        found += list(dict.values(thing))[:MEMBERS]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        found += list(thing)[:MEMBERS]
    elif isinstance(thing, (staticmethod, classmethod, property)):
        found += [getattr(thing, "__func__", None), getattr(thing, "fget", None)]
    return found


def _of_function(function: types.FunctionType) -> list[Any]:
    cells = [_content(cell) for cell in function.__closure__ or ()]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*cells, *defaults, *_named(function.__code__, function.__globals__)]


def _globals_of(frame: types.FrameType) -> list[Any]:
    return _named(frame.f_code, frame.f_globals)


def _named(code: types.CodeType, names: dict[str, Any]) -> list[Any]:
    """What code refers to by name outside itself: generators, functions, and what has them."""
    if str(names.get("__name__", "")).split(".")[0] in _LIBRARIES:
        return []
    return [names[name] for name in code.co_names if name in names]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
