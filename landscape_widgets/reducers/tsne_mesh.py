"""The divergence of t-SNE and its gradient, the repulsion being taken on a mesh.

The repulsion of a point is −½ the gradient of Φ(y) = Σ_j 1 / (1 + ‖y − y_j‖²), and the sum of Φ
over all points is the normalisation. Φ is a convolution: points are spread on a regular mesh, one
product of Fourier transforms gives Φ at its nodes, and a spline between these gives it, and its
slope, at the points. This is the smooth particle-mesh method of Essmann et al. (1995), here with an
open boundary, by zeros around the mesh.

The interpolation-based t-SNE of Linderman et al. (2019), which openTSNE has, does the like with
parabolas within cells. These are less accurate on a finer mesh, and take four convolutions in place
of one: three times as long for 20,000 points.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.reducers.compiled import compiled
from landscape_widgets.reducers.tsne_exact import divergence_by

ORDER = 6  # nodes that a point is spread over, along each axis: quintic splines
SPACING = 0.4  # of nodes; 1 is where the likeness of two points has fallen to a half
FEWEST = 50  # steps across a map that is still small
MOST = 2_000  # steps across one that is torn apart, whose mesh gets coarser and not larger

_compiled = compiled(error_model="numpy", fastmath=True)


@_compiled
def _spline(u, values, slopes):  # type: ignore[no-untyped-def]
    """The six quintic B-splines that are not zero at a share u of the way between two nodes.

    By the recurrence of de Boor; a slope is the difference of two splines of one order less.
    """
    values[:] = 0.0
    values[0] = 1.0
    for order in range(2, len(values) + 1):
        if order == len(values):
            slopes[0] = -values[0]
            for k in range(1, order):
                slopes[k] = values[k - 1] - values[k]
        for k in range(order - 1, -1, -1):
            right = (order - 1 - k + u) * values[k - 1] if k > 0 else 0.0
            values[k] = (right + (k + 1 - u) * values[k]) / (order - 1)


@_compiled
def _spread(x, y, mesh):  # type: ignore[no-untyped-def]
    """Add each point, in units of the mesh, to the nodes around it."""
    a, b, slopes = np.empty(6), np.empty(6), np.empty(6)
    for n in range(len(x)):
        i, j = int(x[n]), int(y[n])
        _spline(x[n] - i, a, slopes)
        _spline(y[n] - j, b, slopes)
        for k in range(6):
            for m in range(6):
                mesh[i + k, j + m] += a[k] * b[m]


@_compiled
def _gather(x, y, mesh, potential, slope):  # type: ignore[no-untyped-def]
    """Φ (N,) at each point, and its slope (N, 2), from Φ at the nodes."""
    a, b, da, db = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for n in range(len(x)):
        i, j = int(x[n]), int(y[n])
        _spline(x[n] - i, a, da)
        _spline(y[n] - j, b, db)
        value = along = across = 0.0
        for k in range(6):
            row = slanted = 0.0
            for m in range(6):
                row += b[m] * mesh[i + k, j + m]
                slanted += db[m] * mesh[i + k, j + m]
            value += a[k] * row
            along += da[k] * row
            across += a[k] * slanted
        potential[n], slope[n, 0], slope[n, 1] = value, along, across


def repulsion(points: FloatArray) -> tuple[float, FloatArray]:
    """Σ over pairs of w = 1 / (1 + distance²); and each point's Σ w² (its place − the other's).

    Parameters
    ----------
    points : float64 array (N, 2)
    """
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max())
    spacing = max(min(SPACING, extent / FEWEST), extent / MOST) or SPACING
    x, y = np.ascontiguousarray(((points - low) / spacing).T)
    rows, columns = int(x.max()) + ORDER, int(y.max()) + ORDER
    # Twice as wide, with zeros: else what leaves on one side would come back on the other.
    height, width = (scipy.fft.next_fast_len(2 * nodes, real=True) for nodes in (rows, columns))
    mesh = np.zeros((rows, columns))
    _spread(x, y, mesh)
    # While the map is small, Φ hardly differs between points, and its slope takes all the digits.
    digits = np.float32 if spacing >= SPACING else np.float64
    spectrum = scipy.fft.rfft(mesh.astype(digits), width, axis=1)
    spectrum = scipy.fft.fft(spectrum, height, axis=0, overwrite_x=True)
    spectrum *= _likeness(height, width, spacing).astype(digits, copy=False)
    spectrum = scipy.fft.ifft(spectrum, axis=0, overwrite_x=True)[:rows]
    mesh = scipy.fft.irfft(spectrum, width, axis=1).astype(np.float64)
    potential, slope = np.empty(len(points)), np.empty(points.shape)
    _gather(x, y, mesh, potential, slope)
    return float(potential.sum()) - len(points), slope / (-2 * spacing)


@lru_cache(maxsize=1)  # of a map that has grown, the same for many iterations
def _likeness(height: int, width: int, spacing: float) -> FloatArray:
    """The transform of 1 / (1 + distance²) at the nodes, for splines that pass through these."""
    squared, weights = [], []
    for size in (height, width):
        steps = np.arange(size)
        squared.append((spacing * np.minimum(steps, size - steps)) ** 2)
        # Of a spline at the nodes: 66 in its middle, 26 and 1 on either side, over 120.
        angle = 2 * np.pi * steps / size
        weights.append((66 + 52 * np.cos(angle) + 2 * np.cos(2 * angle)) / 120)
    likeness = 1 / (1 + np.add.outer(*squared))
    transform: FloatArray = scipy.fft.rfft2(likeness).real
    # Squared: one for where points are spread, one for where the potential is read.
    transform /= np.multiply.outer(weights[0], weights[1][: transform.shape[1]]) ** 2
    return transform


def kl_divergence_mesh(embedding: Any, P: Any, **options: Any) -> tuple[float, FloatArray]:
    """`tsne_exact.kl_divergence_exact` of a map in two dimensions, with repulsions by the mesh."""
    return divergence_by(repulsion, embedding, P, **options)
