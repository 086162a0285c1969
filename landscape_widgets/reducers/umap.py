"""UMAP by umap-learn."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import cdist

from landscape_widgets.basis import FloatArray
from landscape_widgets.controls import Control
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, check_points

FRAMES = 20  # of the layout's making
MOST_PAIRS = 2_000  # points up to which the cross-entropy is computed over all pairs


class UMAP(Reducer):
    """Uniform manifold approximation and projection (McInnes, Healy and Melville 2018).

    umap-learn lays out without a word until it is done, so it cannot be stopped on the way; its
    intermediate layouts come afterwards.

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

    objective = "cross-entropy"
    controls = (
        Control("n_neighbors", "n_neighbors", "few: detail; many: the whole", "whole", least=2),
        Control("min_dist", "min_dist", "how close samples may come", least=0, most=1),
        Control(
            "n_epochs",
            "epochs",
            "rounds over all neighbours; auto is 500, or 200 of many samples",
            "whole",
            least=1,
            empty="auto",
        ),
        Control(
            "init",
            "initialisation",
            "where samples start",
            "choice",
            choices=("pca", "spectral", "random"),
        ),
    )

    def __init__(
        self,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        *,
        metric: str = "euclidean",
        n_epochs: int | None = None,
        init: Literal["pca", "spectral", "random"] = "pca",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.metric = metric
        self.n_epochs = n_epochs
        self.init = init
        self._check_controls(*(["n_epochs"] if n_epochs is None else []))

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
        total = self.n_epochs or (500 if len(points) <= 10_000 else 200)  # umap-learn's own
        frames = np.unique(np.linspace(total / FRAMES, total, FRAMES).astype(int)).tolist()
        progress(Progress("map", 0, 1))
        with warnings.catch_warnings():
            # A seed means one thread; that is what we want of it.
            warnings.filterwarnings("ignore", message="n_jobs value .* overridden")
            model: Any = umap.UMAP(
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                metric=self.metric,
                n_epochs=total if on_frame is None else frames,
                init=self.init,
                n_components=n_components,
                random_state=seed,
            )
            coordinates: FloatArray = np.asarray(model.fit_transform(points), dtype=np.float64)
        self._model = model
        self.info = {"n_neighbors": self.n_neighbors, "min_dist": self.min_dist}
        progress(Progress("map", 1, 1))
        if on_frame is not None:
            for epoch, layout in zip(frames, model.embedding_list_, strict=False):
                found = np.asarray(layout, dtype=np.float64)
                on_frame(Frame(epoch, total, found, self._cross_entropy(found), "UMAP"))
        return coordinates

    def _cross_entropy(self, coordinates: FloatArray) -> float | None:
        """What sampling attractions and repulsions minimises, over all pairs; if not too many.

        −Σ_{i<j} [v_ij log w_ij + m (d_i + d_j) / 2n · log(1 − w_ij)], with v the graph of the
        points, d its degrees, w that of the map, and m negative samples. The cross-entropy of the
        paper, with 1 − v_ij in place of the repulsion's weight, is not what is minimised, and may
        rise (Damrich and Hamprecht 2021, "On UMAP's true loss function").
        """
        n = len(coordinates)
        if n > MOST_PAIRS:
            return None
        a, b = self._model._a, self._model._b
        squared = cdist(coordinates, coordinates, "sqeuclidean")
        near = np.clip(1 / (1 + a * squared**b), 1e-4, 1 - 1e-4)
        graph = self._model.graph_.toarray()
        degrees = graph.sum(axis=1)
        repulsion = self._model.negative_sample_rate * (degrees[:, None] + degrees) / (2 * n)
        pairs = np.triu_indices(n, 1)
        terms = graph * np.log(near) + repulsion * np.log(1 - near)
        return float(-terms[pairs].sum())

    def place(self, points: FloatArray) -> FloatArray:
        coordinates: FloatArray = np.asarray(self._model.transform(points), dtype=np.float64)
        return coordinates
