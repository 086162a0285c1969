"""Where on a plane the loss is evaluated: on lattices first, then where it is followed worst."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.profiles.interpolant import GROWTH, Interpolated

LATTICES = (5, 9)  # points along either direction of those that come first
LANDMARKS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))  # θ* and the samples are points themselves
HELD_OUT = 64  # points that are not fitted before the error is known
FEWEST = LATTICES[-1] ** 2 + len(LANDMARKS) + HELD_OUT
MORE = 0.08  # of the points that there are, added in one refinement
FEWEST_MORE = 8

Rows = npt.NDArray[np.int64]


def spread(number: int) -> FloatArray:
    """Points that fill the unit square evenly: the R₂ sequence (Roberts 2018)."""
    plastic = 1.32471795724474602596  # the real root of x³ = x + 1
    steps = np.arange(1, number + 1)[:, None] / [[plastic, plastic**2]]
    points: FloatArray = (0.5 + steps) % 1.0
    return points


def product(xs: FloatArray, ys: FloatArray) -> FloatArray:
    """All (x, y), shape (len(xs) · len(ys), 2), y the fastest."""
    return np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)


class Design:
    """Where the loss is evaluated: at landmarks, and on the fine grid.

    Attributes
    ----------
    nodes : array (n, 2)
        Points to fit.
    held_out : array (h, 2)
    """

    def __init__(self, axis: FloatArray) -> None:
        self._gap = axis[1] - axis[0]
        self._pixels = product(axis, axis)
        places = np.array(LANDMARKS)
        self.nodes = places[((places >= axis[0]) & (places <= axis[-1])).all(axis=1)]
        # Two points that all but coincide would ask for a slope between them.
        self._free = np.ones(len(self._pixels), dtype=bool)
        if len(self.nodes):
            self._free = KDTree(self.nodes).query(self._pixels)[0] > 0.5 * self._gap
        self._side, last = len(axis), len(axis) - 1
        self._lattices = [
            self._rows(product(steps, steps))
            for steps in (np.linspace(0, last, number) for number in LATTICES)
        ]
        self.held_out = self._take(np.unique(self._rows(spread(HELD_OUT) * last)))

    def first(self) -> FloatArray:
        """Points to begin with."""
        self._add(self._lattices.pop(0))
        return np.concatenate([self.held_out, self.nodes])

    def further(self, fit: Interpolated, room: int) -> FloatArray:
        """At most `room` points that `fit` is in need of; none where it can't be helped."""
        if self._lattices:
            return self._add(self._lattices.pop(0))
        if not fit.measured:
            return np.empty((0, 2))
        count = max(FEWEST_MORE, int(MORE * (len(self.nodes) + len(self.held_out))))
        rows: Rows = np.flatnonzero(self._free & ~fit.spoilt(self._pixels))
        places = self._pixels[rows]
        steepness = fit.steepness(places, self._gap / 2)
        # Not to held-out points: if nodes kept clear of them, they would say more than is true.
        distances = KDTree(self.nodes).query(places)[0]
        chosen: list[int] = []
        for _ in range(min(count, room, len(places))):
            worst = int(np.argmax(steepness * distances**GROWTH))
            chosen.append(worst)
            distances = np.minimum(distances, np.hypot(*(places - places[worst]).T))
        return self._add(rows[chosen])

    @property
    def complete(self) -> bool:
        """Whether no point of the fine grid is left to choose."""
        return not self._free.any()

    def _add(self, rows: Rows) -> FloatArray:
        points = self._take(rows)
        self.nodes = np.concatenate([self.nodes, points])
        return points

    def _rows(self, steps: FloatArray) -> Rows:
        """Of the fine grid's points, those nearest to (n, 2) places in steps of it."""
        i, j = np.round(steps).astype(np.int64).T
        rows: Rows = i * self._side + j
        return rows

    def _take(self, rows: Rows) -> FloatArray:
        """Those of the fine grid's points that are free, which they are no longer."""
        rows = rows[self._free[rows]]
        self._free[rows] = False
        points: FloatArray = self._pixels[rows]
        return points
