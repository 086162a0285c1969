"""A store for what was made from a basis, and may be computed again."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from landscape_widgets.geometry.basis import Basis

Kept = TypeVar("Kept")


class Store(Generic[Kept]):
    """What was made for a basis and some owner, the least recently used given up first.

    What was made from a basis is forgotten with it, and when its vectors are written to.

    Parameters
    ----------
    limit : int
        Bytes that are held at most, but for the newest.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()

    def _key(self, basis: Basis, owner: object, columns: Sequence[int]) -> tuple[Any, ...]:
        return (id(basis), basis.version, id(owner), tuple(columns))

    def holds(self, basis: Basis, owner: object, columns: Sequence[int]) -> bool:
        """Whether `get` would find rather than make."""
        entry = self._held.get(self._key(basis, owner, columns))
        return entry is not None and entry.basis() is basis and entry.owner() is owner

    def get(
        self,
        basis: Basis,
        owner: object,
        columns: Sequence[int],
        make: Callable[[], Kept],
        nbytes: Callable[[Kept], int],
    ) -> Kept:
        """What was made for these directions of a basis and this owner, or is made now."""
        key = self._key(basis, owner, columns)
        if not self.holds(basis, owner, columns):
            made = make()
            self._held[key] = _Entry(weakref.ref(basis), weakref.ref(owner), made, nbytes(made))
            self._trim()
        self._held.move_to_end(key)
        found: Kept = self._held[key].kept
        return found

    def _trim(self) -> None:
        for key, entry in list(self._held.items()):
            if entry.basis() is None or entry.owner() is None:
                del self._held[key]
        while self.bytes > self.limit and len(self._held) > 1:
            self._held.popitem(last=False)

    @property
    def bytes(self) -> int:
        """Bytes that are held."""
        return sum(entry.bytes for entry in self._held.values())


class _Entry(NamedTuple):
    basis: Callable[[], object]
    owner: Callable[[], object]
    kept: Any
    bytes: int
