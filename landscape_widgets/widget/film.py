"""How a map came about: its frames, and what was minimised at each."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.reducers.base import Frame
from landscape_widgets.widget import wire

MOST_FRAMES = 80  # that are kept


class Film:
    """Takes in every frame of a map, and keeps some of them: evenly spread ones and the last.

    Parameters
    ----------
    objective : str
        What is minimised.
    """

    def __init__(self, objective: str = "") -> None:
        self._objective = objective
        self._kept: list[tuple[Frame, FloatArray]] = []
        self._last: tuple[Frame, FloatArray] | None = None
        self._every = 1
        self._count = 0

    def add(self, frame: Frame, coordinates: FloatArray) -> None:
        """Take in a frame, with the coordinates of all samples, (N, 2 or 3)."""
        self._last = (frame, coordinates)
        if self._count % self._every == 0:
            self._kept.append(self._last)
        self._count += 1
        if len(self._kept) == MOST_FRAMES:
            del self._kept[1::2]
            self._every *= 2

    @property
    def last(self) -> Frame | None:
        """The frame that came last."""
        return None if self._last is None else self._last[0]

    @property
    def _frames(self) -> list[tuple[Frame, FloatArray]]:
        if self._last is None or self._kept[-1] is self._last:
            return self._kept
        return [*self._kept, self._last]

    def trace(self, *, live: bool) -> dict[str, Any]:
        """What was minimised at each frame, as JSON; `live` while more are to come."""
        frames = [frame for frame, _ in self._frames]
        values = [frame.objective for frame in frames]
        return {
            "name": self._objective,
            "iterations": [frame.iteration for frame in frames],
            "total": frames[-1].total if frames else 0,
            "phases": [frame.phase for frame in frames],
            "values": [v if v is not None and np.isfinite(v) else None for v in values],
            "live": live,
        }

    def pictures(self) -> bytes:
        """The coordinates of all frames, one after the other."""
        return b"".join(wire.floats(coordinates) for _, coordinates in self._frames)
