"""A table that the browser is told row by row, as it is filled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

CHUNK = 1_000_000  # bytes of a message at most, but for a single row
NEAR = 32  # rows between two changed ones over which one message is better than two

Array = npt.NDArray[np.float32]
Message = tuple[dict[str, Any], list[bytes]]


class Table:
    """Values by name, (N, A) each, and what of them has been sent.

    Parameters
    ----------
    name : str
        What messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: Mapping[str, Array] = {}
        self._sent: dict[str, Array] = {}
        self._version = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(values.nbytes for values in self.values.values())

    def take(self, values: Mapping[str, Array]) -> None:
        """Take what the values are from now on; who fills them goes on to."""
        self.values = dict(values)

    def changed(self) -> Iterator[Message]:
        """Messages of the rows that are not as they were sent."""
        if self._shapes(self._sent) != self._shapes(self.values):
            self._sent = {name: np.full_like(v, np.nan) for name, v in self.values.items()}
            self._version += 1
        rows: set[int] = set()
        for name, values in self.values.items():  # by their bits: nothing is equal to NaN
            other = values.view(np.uint32) != self._sent[name].view(np.uint32)
            rows.update(np.flatnonzero(other.any(axis=1)).tolist())
        for start, stop in _runs(sorted(rows)):
            yield from self._messages(start, stop)

    def snapshot(self) -> Iterator[Message]:
        """Messages of all rows that are not empty, for who has none."""
        self._sent = {}
        return self.changed()

    @staticmethod
    def _shapes(values: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in values.items()}

    def _messages(self, start: int, stop: int) -> Iterator[Message]:
        n, width = next(iter(self.values.values())).shape
        step = max(1, CHUNK // (4 * width * len(self.values)))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            for name, values in self.values.items():
                self._sent[name][first:last] = values[first:last]
            message = {
                "type": "rows",
                "table": self.name,
                "names": list(self.values),
                "start": first,
                "count": last - first,
                "of": n,
                "width": width,
                "version": self._version,
            }
            yield message, [sent[first:last].tobytes() for sent in self._sent.values()]


def _runs(rows: Iterable[int]) -> list[tuple[int, int]]:
    """From where to where rows lie, those that are near each other in one.

    >>> _runs([3, 4, 6, 100])
    [(3, 7), (100, 101)]
    """
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and row - found[-1][1] < NEAR:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found
