"""Interpolation between points scattered over a plane, and what each point makes of it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from landscape_widgets.geometry.basis import FloatArray

TERMS = 6  # 1, x, y, x², xy, y²
AT_ONCE = 4_000_000  # distances that are held in memory


class Quintic:
    """The quintic radial basis function and a quadratic over points in a plane.

    s(x) = Σᵢ wᵢ ‖x - xᵢ‖⁵ + q(x), with weights orthogonal to all quadratics: of the functions that
    pass through the values it is one that bends least (Duchon 1977; Wendland 2004, §8). Quadratics
    are met exactly.

    Parameters
    ----------
    points : array (N, 2)
        No two the same, and not all on one conic: they would not tell quadratics apart.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the points lie on one conic.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.random.default_rng(0).uniform(size=(20, 2))
    >>> x, y = points.T
    >>> s = Quintic(points)
    >>> found = s.at(np.array([[0.5, 0.2]]), (1 + x * y - y**2)[:, None])
    >>> print(found.round(6))
    [[1.06]]
    """

    def __init__(self, points: FloatArray) -> None:
        self._middle = (points.max(axis=0) + points.min(axis=0)) / 2
        self._half = np.ptp(points, axis=0).max() / 2 or 1.0
        self._centres = self._scaled(points)
        quadratic = _quadratic(self._centres)
        if np.linalg.matrix_rank(quadratic, tol=1e-6) < TERMS:
            raise np.linalg.LinAlgError(
                "The points lie on one conic, and tell no quadratics apart."
            )
        system = np.block(
            [
                [_fifth_power(self._centres, self._centres), quadratic],
                [quadratic.T, np.zeros((TERMS, TERMS))],
            ]
        )
        self._inverse: FloatArray = np.linalg.inv(system)[:, : len(points)]

    def at(self, points: FloatArray, values: FloatArray) -> FloatArray:
        """What goes through `values` (N, S) at the centres, at other points (M, 2): (M, S)."""
        weights = self._inverse @ values
        size = max(1, AT_ONCE // len(self._centres))
        places = self._scaled(points)
        blocks = [places[start : start + size] for start in range(0, len(places), size)]
        found: FloatArray = np.concatenate(
            [
                np.hstack([_fifth_power(block, self._centres), _quadratic(block)]) @ weights
                for block in blocks
            ]
        )
        return found

    def left_out(self, values: FloatArray) -> FloatArray:
        """What all other centres make of each, (N, S).

        It misses `values` by wᵢ / (A⁻¹)ᵢᵢ, with A the matrix of the linear system for the weights
        (Rippa 1999), so that none is solved again.
        """
        number = len(self._centres)
        weights = self._inverse[:number] @ values
        found: FloatArray = values - weights / np.diag(self._inverse)[:, None]
        return found

    def _scaled(self, points: FloatArray) -> FloatArray:
        scaled: FloatArray = (points - self._middle) / self._half
        return scaled


def _fifth_power(points: FloatArray, centres: FloatArray) -> FloatArray:
    squares = cdist(points, centres, "sqeuclidean")
    powers: FloatArray = squares**2 * np.sqrt(squares)
    return powers


def _quadratic(points: FloatArray) -> FloatArray:
    x, y = points.T
    return np.stack([np.ones_like(x), x, y, x**2, x * y, y**2], axis=-1)
