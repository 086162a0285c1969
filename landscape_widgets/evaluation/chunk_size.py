"""How many parameter vectors are evaluated between two looks at progress and cancelling."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 0.08  # of work between two looks
PARTS = 4  # in which a request is done at least, if anyone looks
FEWEST = 16  # rows, however few were asked for, if they are quick


class ChunkSize:
    """Learns how long a parameter vector takes."""

    def __init__(self) -> None:
        self._seconds = 0.0  # a parameter vector

    def rows(self, n: int, group: int, *, watched: bool = True) -> int:
        """How many of n rows to evaluate next: a multiple of `group`."""
        most = max(FEWEST, n // PARTS)
        if not watched and self._seconds > 0.0:
            most = n + group - 1
        wanted = most if self._seconds == 0.0 else min(most, int(SECONDS / self._seconds))
        return max(1, wanted // group) * group

    @contextmanager
    def timed(self, rows: int) -> Iterator[None]:
        """Time the evaluation of so many rows."""
        start = time.perf_counter()
        yield
        self._seconds = max((time.perf_counter() - start) / rows, 1e-9)
