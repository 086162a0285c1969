"""The divergence of t-SNE and its gradient, over all pairs of points.

Trees and grids (Barnes-Hut, FFT) come near the repulsion because pairs are many. But a processor
takes a dozen of them at once, so that up to some ten thousand points all pairs are the fastest way
besides the exact one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
from openTSNE.tsne import kl_divergence_bh

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.reducers.compiled import compiled

# A division that may not raise an error, and sums in any order: without both nothing is taken
# a dozen at once.
_compiled = compiled(error_model="numpy", fastmath=True)


@_compiled
def _repulsion(x, y, z, force):  # type: ignore[no-untyped-def]
    """Σ over pairs of w = 1 / (1 + distance²); and each point's Σ w² (its place − the other's)."""
    one = np.float32(1)
    total = np.float64(0)
    for i in range(len(x)):
        weights = fx = fy = fz = np.float32(0)
        for j in range(len(x)):
            dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            w = one / (one + dx * dx + dy * dy + dz * dz)
            weights += w
            w *= w
            fx += w * dx
            fy += w * dy
            fz += w * dz
        total += weights - one  # but not itself
        force[i, 0], force[i, 1], force[i, 2] = fx, fy, fz
    return total


@_compiled
def _attraction(indptr, indices, p, x, y, z, force):  # type: ignore[no-untyped-def]
    """Each point's Σ p w (its place − the neighbour's)."""
    one = np.float32(1)
    for i in range(len(x)):
        fx = fy = fz = np.float32(0)
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            pw = p[k] / (one + dx * dx + dy * dy + dz * dz)
            fx += pw * dx
            fy += pw * dy
            fz += pw * dz
        force[i, 0], force[i, 1], force[i, 2] = fx, fy, fz


def repulsion(points: FloatArray) -> tuple[float, npt.NDArray[np.floating]]:
    """Σ over pairs of w = 1 / (1 + distance²); and each point's Σ w² (its place − the other's).

    Parameters
    ----------
    points : float64 array (N, d), d ≤ 3
    """
    force = np.empty((len(points), 3), dtype=np.float32)
    total = _repulsion(*_axes(points), force)
    return total, force[:, : points.shape[1]]


def _axes(points: FloatArray) -> npt.NDArray[np.float32]:
    """Three coordinates each, the missing ones zero: (3, N)."""
    axes = np.zeros((3, len(points)), dtype=np.float32)
    axes[: points.shape[1]] = points.T
    return axes


def kl_divergence_exact(embedding: Any, P: Any, **options: Any) -> tuple[float, FloatArray]:
    """`divergence_by` all pairs, of a map of at most three dimensions."""
    return divergence_by(repulsion, embedding, P, **options)


def divergence_by(
    repulsion: Callable[[FloatArray], tuple[float, npt.NDArray[np.floating]]],
    embedding: Any,
    P: Any,
    *,
    reference_embedding: Any = None,
    should_eval_error: bool = False,
    **options: Any,
) -> tuple[float, FloatArray]:
    """An objective for openTSNE: the Kullback-Leibler divergence of a map, and its gradient.

    As openTSNE's own do, the gradient leaves out the factor 4 of van der Maaten and Hinton (2008,
    eq. 5).

    Parameters
    ----------
    repulsion : callable
        As the one of this file.
    embedding : TSNEEmbedding, (N, d)
    P : scipy.sparse.csr_matrix, (N, N)
        Probabilities of being neighbours, perhaps exaggerated.
    reference_embedding : TSNEEmbedding, optional
        Where points are placed into a map, which are few: left to Barnes-Hut.
    """
    if reference_embedding is not None:
        divergence, gradient = kl_divergence_bh(
            embedding,
            P,
            reference_embedding=reference_embedding,
            should_eval_error=should_eval_error,
            **options,
        )
        return divergence, gradient
    points = np.asarray(embedding)
    n, d = points.shape
    attracted = np.empty((n, 3), dtype=np.float32)
    weights, repelled = repulsion(points)
    _attraction(P.indptr, P.indices, P.data.astype(np.float32), *_axes(points), attracted)
    gradient = attracted[:, :d] - repelled / weights
    divergence = 0.0
    if should_eval_error:
        pairs = P.tocoo()
        distances = ((points[pairs.row] - points[pairs.col]) ** 2).sum(axis=1)
        divergence = float(scipy.special.rel_entr(pairs.data, 1 / (1 + distances) / weights).sum())
    return divergence, gradient.astype(np.float64)
