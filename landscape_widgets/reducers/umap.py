"""UMAP by umap-learn."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from landscape_widgets.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, check_points


class UMAP(Reducer):
    """Uniform manifold approximation and projection (McInnes, Healy and Melville 2018).

    Each point is joined to its nearest neighbours with a weight between 0 and 1; the map is laid
    out so that a like graph on it has the least cross-entropy to that one, by sampled attractions
    and repulsions. Neighbourhoods can be trusted, sizes and gaps cannot.

    Parameters
    ----------
    n_neighbors : int
        Few show detail, many the whole.
    min_dist : float
        How close points may come on the map.
    metric : str
        Of distances between points; "euclidean" is the one that isometric coordinates keep.
    n_epochs : int, optional
    init : {"pca", "spectral", "random"}
    """

    def __init__(
        self,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        *,
        metric: str = "euclidean",
        n_epochs: int | None = None,
        init: Literal["pca", "spectral", "random"] = "pca",
    ) -> None:
        if n_neighbors < 2:
            raise ValueError(f"n_neighbors={n_neighbors!r}; a whole number above 1 is expected.")
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.metric = metric
        self.n_epochs = n_epochs
        self.init = init

    def __repr__(self) -> str:
        return f"UMAP(n_neighbors={self.n_neighbors}, min_dist={self.min_dist:g})"

    def check(self, n: int, d: int) -> None:
        if n <= self.n_neighbors:
            raise ValueError(
                f"UMAP with n_neighbors {self.n_neighbors} needs more samples than that; there "
                f"are {n}. Sample more, or take UMAP(n_neighbors={max(2, n // 3)})."
            )

    def warm_up(self) -> None:
        few = np.random.default_rng(0).normal(size=(30, 3))
        UMAP(n_neighbors=5, n_epochs=1).fit(few)

    def fit(
        self,
        points: FloatArray,
        *,
        n_components: int = 2,
        seed: int = 0,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_frame: FrameCallback | None = None,
    ) -> FloatArray:
        import umap

        self.check(*points.shape)
        check_points(points)
        progress(Progress("map", 0, 1))
        with warnings.catch_warnings():
            # A seed means one thread; that is what we want of it.
            warnings.filterwarnings("ignore", message="n_jobs value .* overridden")
            model: Any = umap.UMAP(
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                metric=self.metric,
                n_epochs=self.n_epochs,
                init=self.init,
                n_components=n_components,
                random_state=seed,
            )
            coordinates: FloatArray = np.asarray(model.fit_transform(points), dtype=np.float64)
        self._model = model
        self.info = {"n_neighbors": self.n_neighbors, "min_dist": self.min_dist}
        progress(Progress("map", 1, 1))
        if on_frame is not None:
            on_frame(Frame(1, 1, coordinates, None, "UMAP"))
        return coordinates

    def place(self, points: FloatArray) -> FloatArray:
        coordinates: FloatArray = np.asarray(self._model.transform(points), dtype=np.float64)
        return coordinates
