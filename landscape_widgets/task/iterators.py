"""Iterators, which give each item once: each parameter vector gets copies of them."""

from __future__ import annotations

import csv
import io
import os
import sys
import types
from collections.abc import Iterator
from functools import partial
from typing import Any

from landscape_widgets.errors import Refused
from landscape_widgets.task.object_graph import has_attributes, join
from landscape_widgets.task.places import Holder, Place

# Of C libraries, without attributes: what is taken from them is gone, what is written is there.
KEPT = {("_csv", "writer"), ("_queue", "SimpleQueue"), ("sqlite3", "Connection")}
_NO_ROWS = csv.writer(open(os.devnull, "w"))  # noqa: SIM115
STREAMS = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)


def is_iterator(thing: Any) -> bool:
    """Whether a thing is one of Python's own iterators, as of a list, or a generator."""
    return (
        isinstance(thing, Iterator)
        and not isinstance(thing, io.IOBase)
        and not has_attributes(thing)
    )


def gives_once(thing: Any) -> bool:
    """Whether a thing is an iterator or an open file, or holds one and cannot be written to.

    So does a tuple, a partial call, or what is bound to it, as its ``__next__``.
    """
    if isinstance(thing, tuple):
        return any(map(gives_once, thing))
    if isinstance(thing, partial):
        return gives_once((thing.func, *thing.args, *thing.keywords.values()))
    if isinstance(thing, types.MethodWrapperType):
        return is_iterator(thing.__self__)
    if isinstance(thing, staticmethod):
        return gives_once(thing.__func__)
    if isinstance(thing, io.IOBase):
        return not (thing.closed or thing in STREAMS or getattr(thing, "name", "") == os.devnull)
    if _kind(thing) in KEPT:
        return thing is not _NO_ROWS
    return is_iterator(thing)


def copied(iterator: Any, path: str, memo: dict[int, Any] | None = None) -> Any:
    """An iterator over the same items from here on, or what refuses to give any.

    Iterators that it is made of are copied with it, as those that ``zip`` goes along, and each
    once; the items are the same objects.

    >>> letters = iter("abcd")
    >>> pairs = zip(letters, letters)
    >>> list(copied(pairs, "pairs"))
    [('a', 'b'), ('c', 'd')]
    >>> next(pairs)
    ('a', 'b')
    """
    try:
        return _again(iterator, {} if memo is None else memo)
    except TypeError:  # as of generators
        return Uncopied(path, type(iterator).__name__)


def _again(thing: Any, memo: dict[int, Any]) -> Any:
    if not gives_once(thing):
        return thing
    if id(thing) not in memo:
        memo[id(thing)] = _made_again(thing, memo)
    return memo[id(thing)]


def _made_again(thing: Any, memo: dict[int, Any]) -> Any:
    if isinstance(thing, tuple):
        members = [_again(member, memo) for member in thing]
        return thing._make(members) if hasattr(thing, "_make") else tuple(members)
    if isinstance(thing, partial):
        keywords = {name: _again(value, memo) for name, value in thing.keywords.items()}
        return partial(_again(thing.func, memo), *_again(thing.args, memo), **keywords)
    if isinstance(thing, types.MethodWrapperType):
        return getattr(_again(thing.__self__, memo), thing.__name__)
    if isinstance(thing, staticmethod):
        return staticmethod(_again(thing.__func__, memo))
    into = nowhere(thing)
    if into is not None:
        return into
    made, arguments, *rest = thing.__reduce_ex__(4)
    again = made(*_again(arguments, memo))
    if rest and rest[0] is not None:
        again.__setstate__(_again(rest[0], memo))
    return again


def nowhere(thing: Any) -> Any:
    """What keeps nothing of what is written to it, in the place of what can only be written to.

    None in that of others.
    """
    if _kind(thing) == ("_csv", "writer"):
        return _NO_ROWS
    if not isinstance(thing, io.IOBase) or thing.closed or not thing.writable() or thing.readable():
        return None
    return open(os.devnull, "w" if isinstance(thing, io.TextIOBase) else "wb")


def _kind(thing: Any) -> tuple[str, str]:
    return type(thing).__module__, type(thing).__name__


class Restocked(Place):
    """A place whose entries hold iterators: it begins anew with copies of them.

    What takes from them takes nothing of those that were there, and each time the same.
    """

    is_used_up = True

    def __init__(self, place: Holder) -> None:
        super().__init__(place.path)
        self.place = place
        held = place.held()
        self._theirs = {entry: value for entry, value in held.items() if gives_once(value)}
        self._unused = self._copies(self._theirs)

    def _copies(self, iterators: dict[Any, Any]) -> dict[Any, Any]:
        memo: dict[int, Any] = {}
        return {entry: copied(it, self._called(entry), memo) for entry, it in iterators.items()}

    def _called(self, entry: Any) -> str:
        return join(self.path, entry) if isinstance(entry, str) else f"{self.path}[{entry!r}]"

    def take(self) -> None:
        self.place = self.place.now()
        held = self.place.held()
        self._theirs = {entry: held[entry] for entry in self._unused if entry in held}

    def _without_copies(self) -> Holder:
        held = self.place.held()
        for entry, iterator in self._theirs.items():
            if entry in held:
                self.place.write(entry, iterator)
        return self.place

    def differs(self) -> bool:
        return self._without_copies().differs()

    def changes(self) -> list[str]:
        return self._without_copies().changes()

    def put_back(self) -> None:
        self.place.put_back()

    def begin_anew(self) -> None:
        self.place.put_back()
        for entry, iterator in self._copies(self._unused).items():
            self.place.write(entry, iterator)


def restocked(place: Place) -> Place:
    """The place, or one that begins anew with copies of the iterators that it holds."""
    if isinstance(place, Holder) and any(map(gives_once, place.held().values())):
        return Restocked(place)
    return place


class Uncopied:
    """Stands for an iterator or a file that cannot be copied: what is taken from it is gone."""

    def __init__(self, path: str, kind: str) -> None:
        self._path, self._kind = path, kind

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise self._refused()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_path", "_kind"):
            raise AttributeError(name)
        raise self._refused()

    def _refused(self) -> Refused:
        return Refused(
            f"The model or the loss takes something from {self._path}, of type {self._kind}: it "
            "cannot be copied or put back, so that each parameter vector would see other values, "
            "and your own would be used up. Keep a list of the values and a number that says which "
            "is the next."
        )
