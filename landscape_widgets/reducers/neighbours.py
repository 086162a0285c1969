"""Who is next to whom: the nearest neighbours that t-SNE and UMAP begin with.

Asked by name, openTSNE and umap-learn load pynndescent for it, which compiles for 15 s when it is
first loaded on a machine, and is not needed.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.basis import FloatArray

EXACT = 10_000  # points up to which neighbours are exact
FEW_DIMENSIONS = 10  # up to which they always are: trees find them as fast
IntArray = npt.NDArray[np.int64]


class Index(Protocol):
    """Nearest neighbours among `n_samples` points, as openTSNE asks for them."""

    k: int
    n_samples: int

    def build(self) -> tuple[IntArray, FloatArray]:
        """Indices and distances, (N, k), of each point's neighbours; it is not one itself."""

    def query(self, points: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Indices and distances, (M, k), of the points that are nearest to other ones."""


class ExactIndex:
    """Exact neighbours, by scikit-learn."""

    def __init__(self, points: FloatArray, k: int, metric: str = "euclidean") -> None:
        from sklearn.neighbors import NearestNeighbors

        self.k, self.n_samples = k, len(points)
        self._search = NearestNeighbors(metric=metric, n_jobs=1).fit(points)

    def build(self) -> tuple[IntArray, FloatArray]:
        distances, indices = self._search.kneighbors(n_neighbors=self.k)
        return indices, distances

    def query(self, points: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        distances, indices = self._search.kneighbors(points, n_neighbors=k)
        return indices, distances


def neighbour_index(
    points: FloatArray, k: int, *, metric: str = "euclidean", seed: int = 0
) -> Index:
    """An index for the k nearest neighbours of points (N, d): exact, unless that takes long."""
    if metric != "euclidean" or len(points) <= EXACT or points.shape[1] <= FEW_DIMENSIONS:
        return ExactIndex(points, k, metric)
    from openTSNE.nearest_neighbors import Annoy

    index: Index = Annoy(points, k, random_state=seed, n_jobs=1)
    return index
