"""The weighted graph of neighbours that UMAP lays out (McInnes, Healy and Melville 2018).

With numpy, in no time for the numbers of samples that a map shows; umap-learn's own functions for
it are compiled in every process, for ten seconds. A test compares the graphs.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.sparse

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.reducers.neighbours import IntArray

TOLERANCE = 1e-5  # of the sum that a bandwidth is found by
HALVINGS = 64
LEAST = 1e-3  # a bandwidth, as a share of the mean distance


def bandwidths(distances: FloatArray, rho: FloatArray) -> FloatArray:
    """σ_i with Σ_j exp(−max(0, d_ij − ρ_i) / σ_i) = log₂ k, the sum being over the k − 1 others.

    Parameters
    ----------
    distances : array (N, k)
        To each point's neighbours, ascending; the first does not count: it is the point itself.
    rho : array (N,)
        The distance at which a neighbour's weight begins to fall.

    Returns
    -------
    array (N,)
    """
    target = np.log2(distances.shape[1])
    beyond = np.maximum(distances[:, 1:] - rho[:, None], 0.0)
    low, high = np.zeros(len(rho)), np.full(len(rho), np.inf)
    sigma = np.ones(len(rho))
    open_ = np.arange(len(rho))
    for _ in range(HALVINGS):
        excess = np.exp(-beyond[open_] / sigma[open_, None]).sum(axis=1) - target
        open_, excess = open_[abs(excess) >= TOLERANCE], excess[abs(excess) >= TOLERANCE]
        if not len(open_):
            break
        wide = excess > 0
        high[open_[wide]], low[open_[~wide]] = sigma[open_[wide]], sigma[open_[~wide]]
        bounded = np.isfinite(high[open_])
        doubled = 2 * sigma[open_[~bounded]]
        sigma[open_[bounded]] = (low[open_[bounded]] + high[open_[bounded]]) / 2
        sigma[open_[~bounded]] = doubled
    mean = np.where(rho > 0, distances.mean(axis=1), distances.mean())
    result: FloatArray = np.maximum(sigma, LEAST * mean)
    return result


def memberships(distances: FloatArray, rho: FloatArray) -> FloatArray:
    """How much each neighbour belongs to a point's neighbourhood, (N, k), from 0 to 1."""
    sigma = bandwidths(distances, rho)[:, None]
    beyond = np.maximum(distances - rho[:, None], 0.0)
    result: FloatArray = np.exp(
        -np.divide(beyond, sigma, out=np.zeros_like(beyond), where=sigma > 0)
    )
    return result


def fuzzy_graph(indices: IntArray, distances: FloatArray) -> scipy.sparse.coo_matrix:
    """The symmetric graph of N points: A + Aᵀ − A∘Aᵀ, A being each point's memberships.

    Parameters
    ----------
    indices, distances : arrays (N, k)
        Of each point's nearest others, ascending. umap-learn counts the point itself as one more.

    Returns
    -------
    scipy.sparse.coo_matrix, (N, N)
    """
    n, k = indices.shape
    with_itself = np.hstack([np.zeros((n, 1)), distances])
    # The nearest that is not in the same place.
    apart = np.where(distances > 0, distances, np.inf).min(axis=1)
    rho = np.where(np.isfinite(apart), apart, 0.0)
    weights = memberships(with_itself, rho)[:, 1:]
    rows = np.repeat(np.arange(n), k)
    one_way = scipy.sparse.csr_matrix((weights.ravel(), (rows, indices.ravel())), shape=(n, n))
    graph = one_way + one_way.T - one_way.multiply(one_way.T)
    graph.eliminate_zeros()
    return graph.tocoo()


def curve_of(min_dist: float) -> tuple[float, float]:
    """a and b with 1 / (1 + a d^2b) nearest to a plateau up to min_dist and an exponential fall."""
    distances = np.linspace(0, 3, 300)
    wanted = np.where(distances < min_dist, 1.0, np.exp(-(distances - min_dist)))
    (a, b), _ = scipy.optimize.curve_fit(
        lambda d, a, b: 1 / (1 + a * d ** (2 * b)), distances, wanted
    )
    return float(a), float(b)
