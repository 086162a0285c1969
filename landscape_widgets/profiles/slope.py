"""How a grid of values rises along its axes."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from landscape_widgets.geometry.basis import FloatArray


def slopes(axes: tuple[FloatArray, FloatArray], losses: FloatArray) -> FloatArray:
    """∂L/∂a and ∂L/∂b of losses (F, F) on a grid, shape (F, F, 2).

    By cubic splines of their logarithm, or of the losses themselves where one is not above zero.
    Beside losses that are not finite by differences of neighbours, and not-a-number where these
    are not finite either.
    """
    known = np.isfinite(losses)
    positive = bool(known.any()) and bool((losses[known] > 0).all())
    with np.errstate(invalid="ignore"):
        heights = np.where(known, np.log(losses) if positive else losses, np.nan)
    found = np.stack([_rise(axes[0], heights.T).T, _rise(axes[1], heights)], axis=-1)
    return found * np.where(known, losses, np.nan)[..., None] if positive else found


def _rise(axis: FloatArray, rows: FloatArray) -> FloatArray:
    """The derivative of each of some rows along an axis."""
    found = np.full_like(rows, np.nan)
    whole = np.isfinite(rows).all(axis=1)
    if whole.any() and len(axis) > 2:
        found[whole] = CubicSpline(axis, rows[whole], axis=1)(axis, 1)
        rows, rest = rows[~whole], ~whole
    else:
        rest = np.ones(len(rows), dtype=bool)
    if rest.any():
        found[rest] = np.gradient(rows, axis, axis=1)
    return found
