"""Points that are the same, and points too few to be more than looked at from one side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.basis import FloatArray

IntArray = npt.NDArray[np.int64]

ROUNDING = 1e-9  # of the largest coordinate: below, points are the same


@dataclass(frozen=True, eq=False)
class Distinct:
    """The distinct ones of N points, in the order in which they first come.

    Attributes
    ----------
    points : array (n, d)
    first : array (n,)
        Where each comes first.
    number : array (N,)
        Which of them each of all points is.
    """

    points: FloatArray
    first: IntArray
    number: IntArray

    @classmethod
    def of(cls, points: FloatArray) -> Distinct:
        """Look for rows that are equal up to rounding, as copies are once they were turned."""
        largest = np.abs(points).max(initial=0.0)
        rounded = np.round(points / (ROUNDING * largest)) if largest > 0 else points
        _, first, number = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        if len(first) == len(points):
            return cls.every(points)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        first = first[order]
        return cls(np.ascontiguousarray(points[first]), first, rank[number.ravel()])

    @classmethod
    def every(cls, points: FloatArray) -> Distinct:
        """All of them, be they equal or not."""
        numbers = np.arange(len(points))
        return cls(points, numbers, numbers)

    def spread(self, values: FloatArray) -> FloatArray:
        """What belongs to each of all points, (N, ...), from what belongs to the distinct ones."""
        return values if len(self.first) == len(self.number) else values[self.number]


@dataclass(frozen=True, eq=False)
class Projection:
    """An affine map x ↦ (x − mean)·axesᵀ + origin.

    Attributes
    ----------
    mean : array (d,)
    axes : array (c, d)
    origin : array (c,)
    shares : array (c,)
        Of the variance, along each axis.
    """

    mean: FloatArray
    axes: FloatArray
    origin: FloatArray
    shares: FloatArray

    @classmethod
    def of(cls, points: FloatArray, n_components: int) -> Projection:
        """Onto the principal components of points (n, d); missing ones are zero."""
        mean = points.mean(axis=0)
        _, singular, axes = np.linalg.svd(points - mean, full_matrices=False)
        # A component's sign is arbitrary: the largest loading is made positive.
        signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
        axes = (axes * signs[:, None])[:n_components]
        missing = n_components - len(axes)
        total = (singular**2).sum()
        shares = singular**2 / total if total > 0 else np.zeros_like(singular)
        return cls(
            mean,
            np.pad(axes, ((0, missing), (0, 0))),
            np.zeros(n_components),
            np.pad(shares, (0, n_components))[:n_components],
        )

    @classmethod
    def from_map(cls, points: FloatArray, coordinates: FloatArray) -> Projection:
        """The one that takes points (n, d) to coordinates (n, c)."""
        mean, origin = points.mean(axis=0), coordinates.mean(axis=0)
        axes, *_ = np.linalg.lstsq(points - mean, coordinates - origin, rcond=None)
        return cls(mean, axes.T, origin, np.full(len(origin), np.nan))

    def place(self, points: FloatArray) -> FloatArray:
        """Coordinates (m, c) of points (m, d)."""
        coordinates: FloatArray = (points - self.mean) @ self.axes.T + self.origin
        return coordinates
