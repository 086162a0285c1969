"""UMAP by umap-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from landscape_widgets.basis import FloatArray
from landscape_widgets.controls import Control
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, check_points

FRAMES = 20  # of the layout's making
MOST_PAIRS = 2_000  # points up to which the cross-entropy is computed over all pairs
SOME = 1_000  # points whose repulsions stand for all beyond that
EXACT_ALREADY = 4_096  # points below which umap-learn itself looks at all distances
MOST_EXACT = 10_000  # points up to which neighbours are exact
METRICS = (
    "euclidean", "manhattan", "chebyshev", "minkowski", "canberra", "braycurtis", "cosine",
    "correlation",
)  # fmt: skip

Watch = Callable[[int, Any], bool]


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
        500 by default, or 200 of more than 10,000 points.
    init : {"pca", "spectral", "random"}
    """

    objective = "cross-entropy"
    controls = (
        Control("n_neighbors", "n_neighbors", "few: detail; many: the whole", "whole", least=2),
        Control("min_dist", "min_dist", "how close samples may come", least=0, most=1),
        Control("metric", "metric", "of distances between samples", "choice", choices=METRICS),
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
        self.check(*points.shape)
        check_points(points)
        total = self.n_epochs or (500 if len(points) <= 10_000 else 200)  # umap-learn's own
        shown = {*np.linspace(total / FRAMES, total, FRAMES).astype(int).tolist(), total}
        rng = np.random.default_rng(seed)
        some = np.arange(len(points))
        if len(points) > MOST_PAIRS:
            some = rng.choice(len(points), SOME, replace=False)
        done = 0

        def watch(epoch: int, layout: Any) -> bool:
            nonlocal done
            done, stop = epoch, cancelled()
            if epoch in shown or stop:
                progress(Progress("map", epoch, total))
                if on_frame is not None:
                    found = np.array(layout, dtype=np.float64)
                    on_frame(Frame(epoch, total, found, self._cross_entropy(found, some), "UMAP"))
            return stop

        progress(Progress("map", 0, total))
        self._fit(points, n_components, seed, self.init, total, watch)
        coordinates: FloatArray = np.asarray(self._model.embedding_, dtype=np.float64)
        self.info = {"n_neighbors": self.n_neighbors, "min_dist": self.min_dist, "iterations": done}
        return coordinates

    def _fit(
        self, points: FloatArray, n_components: int, seed: int, init: str, epochs: int, watch: Watch
    ) -> None:
        from landscape_widgets.reducers.umap_layout import ExactIndex, WatchedUMAP

        # No faster than umap-learn's search once that is compiled, which takes most of a minute.
        index, known = None, {}
        if self.metric == "euclidean" and EXACT_ALREADY <= len(points) <= MOST_EXACT:
            index = ExactIndex(points)
            known = {"precomputed_knn": index.query(points, self.n_neighbors)}
        with warnings.catch_warnings():
            # A seed means one thread; that is what we want of it.
            warnings.filterwarnings("ignore", message="n_jobs value .* overridden")
            # Nothing is left out: the index is put in place below.
            warnings.filterwarnings("ignore", message="precomputed_knn.2. .knn_search_index")
            model: Any = WatchedUMAP(
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                metric=self.metric,
                n_epochs=self.n_epochs,
                init=init,
                n_components=n_components,
                random_state=seed,
                **known,
            )
            # While `fit` runs, the model is there for the cross-entropy of the frames.
            self._model, model.watch, model.epochs = model, watch, epochs
            model.fit(points)
        model.watch = None
        if index is not None:
            model._knn_search_index = index

    def _cross_entropy(self, coordinates: FloatArray, some: npt.NDArray[np.int64]) -> float:
        """What sampling attractions and repulsions minimises.

        −Σ_{i<j} [v_ij log w_ij + m (d_i + d_j) / 2n · log(1 − w_ij)], with v the graph of the
        points, d its degrees, w that of the map, and m negative samples. The repulsions of `some`
        points stand for those of all. The cross-entropy of the paper, with 1 − v_ij in place of
        the repulsion's weight, is not what is minimised, and may rise (Damrich and Hamprecht 2021,
        "On UMAP's true loss function").
        """
        n = len(coordinates)
        graph = self._model.graph_.tocoo()

        def near(squared: FloatArray) -> FloatArray:
            a, b = self._model._a, self._model._b
            likeness: FloatArray = np.clip(1 / (1 + a * squared**b), 1e-4, 1 - 1e-4)
            return likeness

        along = ((coordinates[graph.row] - coordinates[graph.col]) ** 2).sum(axis=1)
        attraction = float(graph.data @ np.log(near(along))) / 2  # each pair is there twice
        degrees = np.asarray(graph.sum(axis=1)).ravel()[some]
        apart = np.log(1 - near(cdist(coordinates[some], coordinates, "sqeuclidean")))
        apart[np.arange(len(some)), some] = 0.0
        rate = self._model.negative_sample_rate / (2 * n) * (n / len(some))
        return float(-attraction - rate * (degrees @ apart.sum(axis=1)))

    def resume(self, points: FloatArray, coordinates: FloatArray, seed: int = 0) -> None:
        check_points(points)
        self._fit(points, coordinates.shape[1], seed, "random", 0, lambda *_: True)
        self._model.embedding_ = np.asarray(coordinates, dtype=np.float32, order="C")

    def place(self, points: FloatArray) -> FloatArray:
        coordinates: FloatArray = np.asarray(self._model.transform(points), dtype=np.float64)
        return coordinates
