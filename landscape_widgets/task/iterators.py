"""Iterators, which give each item once: copies of them that leave the user's own as they are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from landscape_widgets.errors import Refused
from landscape_widgets.task.object_graph import has_attributes


def is_iterator(thing: Any) -> bool:
    """Whether a thing is one of Python's own iterators, as of a list, or a generator."""
    return (
        isinstance(thing, Iterator)
        and not isinstance(thing, io.IOBase)
        and not has_attributes(thing)
    )


def copied(iterator: Any, path: str) -> Any:
    """An iterator over the same items from here on, or what refuses to give any.

    Iterators that it is made of are copied with it, as those that ``zip`` goes along; the items
    are the same objects.

    >>> first = zip("abc", iter("xyz"))
    >>> list(copied(first, "first")) == list(first)
    True
    """
    try:
        return _again(iterator)
    except TypeError:  # as of generators
        return Uncopied(path, type(iterator).__name__)


def _again(thing: Any) -> Any:
    if type(thing) is tuple:
        return tuple(map(_again, thing))
    if not is_iterator(thing):
        return thing
    made, arguments, *rest = thing.__reduce_ex__(4)
    again = made(*map(_again, arguments))
    if rest and rest[0] is not None:
        again.__setstate__(_again(rest[0]))
    return again


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
