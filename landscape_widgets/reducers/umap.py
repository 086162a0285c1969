"""UMAP: the map of umap-learn, without its ten seconds of compiling in every process.

Its spectral start is umap-learn's own, which nothing compiles for long but its import.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.spatial.distance import cdist

from landscape_widgets.controls import Control, check_controls
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, lowered
from landscape_widgets.reducers.neighbours import neighbour_index

FRAMES = 20  # of the layout's making
MOST_PAIRS = 2_000  # points up to which the cross-entropy is computed over all pairs
SOME = 1_000  # points whose repulsions stand for all beyond that
MANY = 10_000  # points above which the layout takes fewer epochs, as umap-learn's does
METRICS = (
    "euclidean", "manhattan", "chebyshev", "minkowski", "canberra", "cosine", "correlation",
)  # fmt: skip


class UMAP(Reducer):
    """Uniform manifold approximation and projection (McInnes, Healy and Melville 2018).

    Each point is joined to its nearest neighbours with a weight between 0 and 1; the map is laid
    out so that a like graph on it has the least cross-entropy to that one, by sampled attractions
    and repulsions. Neighbourhoods can be trusted, sizes and gaps cannot.

    Parameters
    ----------
    n_neighbors : int
        Few show detail, many the whole. Lowered where there are not as many points.
    min_dist : float
        How close points may come on the map.
    metric : str
        Of distances between points; "euclidean" is the one that isometric coordinates keep.
    n_epochs : int, optional
        500 by default, or 200 of more than 10,000 points.
    init : {"pca", "spectral", "random"}
    """

    objective = "cross-entropy"
    _compiles = True
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
        check_controls(self)

    def _lower(self, n: int, n_components: int) -> tuple[str, ...]:
        self._neighbours = min(self.n_neighbors, n - 1)
        if self._neighbours == self.n_neighbors:
            return ()
        return (lowered("n_neighbors", self.n_neighbors, self._neighbours, n),)

    def warm_up(self, progress: ProgressCallback = ignore) -> None:
        few = np.random.default_rng(0).normal(size=(30, 3))
        UMAP(n_neighbors=5, n_epochs=1).fit(few, progress=progress)

    def _fit(
        self,
        points: FloatArray,
        n_components: int,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> FloatArray:
        from landscape_widgets.reducers.umap_graph import curve_of, fuzzy_graph
        from landscape_widgets.reducers.umap_layout import Layout, begin, run_epochs

        total = self.n_epochs or (500 if len(points) <= MANY else 200)
        shown = {*np.linspace(total / FRAMES, total, FRAMES).astype(int).tolist(), total}
        rng = np.random.default_rng(seed)
        some = np.arange(len(points))
        if len(points) > MOST_PAIRS:
            some = rng.choice(len(points), SOME, replace=False)
        progress(Progress("map", 0, total))
        self._index = neighbour_index(
            self._as_compared(points), self._neighbours - 1, metric=self._compared_by, seed=seed
        )
        self._curve = curve_of(self.min_dist)
        self._graph = fuzzy_graph(*self._index.build())
        drawn = _strong_enough(self._graph, total if total > 10 else 500)
        layout = begin(self._start(points, drawn, n_components, rng), rng)
        done = 0

        def watch(epoch: int, layout: Layout) -> bool:
            nonlocal done
            done, stop = epoch, cancelled()
            if epoch in shown or stop:
                progress(Progress("map", epoch, total))
                if on_frame is not None:
                    found = layout.astype(np.float64)
                    on_frame(Frame(epoch, total, found, self._cross_entropy(found, some), "UMAP"))
            return stop

        run_epochs(
            layout, layout, drawn, epochs=total, curve=self._curve, rate=1.0, seeds=_seeds(rng),
            watch=watch,
        )  # fmt: skip
        self._layout = layout
        self.info = {"n_neighbors": self._neighbours, "min_dist": self.min_dist, "iterations": done}
        coordinates: FloatArray = layout.astype(np.float64)
        return coordinates

    def _start(
        self,
        points: FloatArray,
        graph: scipy.sparse.coo_matrix,
        n_components: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        start: FloatArray
        if self.init == "random":
            start = rng.uniform(-10, 10, size=(len(points), n_components))
        elif self.init == "spectral":
            from umap.spectral import spectral_layout

            state = np.random.RandomState(rng.integers(2**31))
            start = spectral_layout(points, graph, n_components, state, metric=self.metric)
        else:
            from sklearn.decomposition import PCA

            fitting = min(n_components, *points.shape)
            start = np.zeros((len(points), n_components))
            start[:, :fitting] = PCA(fitting, random_state=0).fit_transform(points)
        return start

    # scikit-learn has no index for correlations: they are cosines about each point's mean.

    @property
    def _compared_by(self) -> str:
        return "cosine" if self.metric == "correlation" else self.metric

    def _as_compared(self, points: FloatArray) -> FloatArray:
        mean = points.mean(axis=1, keepdims=True) if self.metric == "correlation" else 0.0
        compared: FloatArray = points - mean
        return compared

    def _cross_entropy(self, coordinates: FloatArray, some: npt.NDArray[np.int64]) -> float:
        """What sampling attractions and repulsions minimises.

        −Σ_{i<j} [v_ij log w_ij + m (d_i + d_j) / 2n · log(1 − w_ij)], with v the graph of the
        points, d its degrees, w that of the map, and m negative samples. The repulsions of `some`
        points stand for those of all. The cross-entropy of the paper, with 1 − v_ij in place of
        the repulsion's weight, is not what is minimised, and may rise (Damrich and Hamprecht 2021,
        "On UMAP's true loss function").
        """
        from landscape_widgets.reducers.umap_layout import NEGATIVES

        n = len(coordinates)
        graph = self._graph

        def near(squared: FloatArray) -> FloatArray:
            a, b = self._curve
            likeness: FloatArray = np.clip(1 / (1 + a * squared**b), 1e-4, 1 - 1e-4)
            return likeness

        along = ((coordinates[graph.row] - coordinates[graph.col]) ** 2).sum(axis=1)
        attraction = float(graph.data @ np.log(near(along))) / 2  # each pair is there twice
        degrees = np.asarray(graph.sum(axis=1)).ravel()[some]
        apart = np.log(1 - near(cdist(coordinates[some], coordinates, "sqeuclidean")))
        apart[np.arange(len(some)), some] = 0.0
        rate = NEGATIVES / (2 * n) * (n / len(some))
        return float(-attraction - rate * (degrees @ apart.sum(axis=1)))

    def _resume(self, points: FloatArray, coordinates: FloatArray, seed: int) -> None:
        from landscape_widgets.reducers.umap_graph import curve_of

        self._index = neighbour_index(
            self._as_compared(points), self._neighbours - 1, metric=self._compared_by, seed=seed
        )
        self._index.build()
        self._curve = curve_of(self.min_dist)
        self._layout = np.ascontiguousarray(coordinates, dtype=np.float32)

    def _place(self, points: FloatArray) -> FloatArray:
        from landscape_widgets.reducers.umap_graph import memberships
        from landscape_widgets.reducers.umap_layout import run_epochs

        # As umap-learn's `transform`: each between its neighbours, then moved among the others,
        # which stay.
        indices, distances = self._index.query(self._as_compared(points), self._neighbours)
        weights = memberships(distances, np.zeros(len(points)))
        rows = np.repeat(np.arange(len(points)), self._neighbours)
        graph = scipy.sparse.coo_matrix(
            (weights.ravel(), (rows, indices.ravel())), shape=(len(points), len(self._layout))
        )
        shares = weights / weights.sum(axis=1, keepdims=True)
        layout = (self._layout[indices] * shares[:, :, None]).sum(axis=1).astype(np.float32)
        same = distances[:, 0] == 0
        layout[same] = self._layout[indices[same, 0]]
        epochs = 100 if self.n_epochs is None else max(1, self.n_epochs // 3)
        run_epochs(
            layout, self._layout, _strong_enough(graph, epochs), epochs=epochs, curve=self._curve,
            rate=0.25, seeds=_seeds(np.random.default_rng(0)), watch=lambda *_: False,
        )  # fmt: skip
        coordinates: FloatArray = layout.astype(np.float64)
        return coordinates


def _strong_enough(graph: scipy.sparse.coo_matrix, epochs: int) -> scipy.sparse.coo_matrix:
    """Without the edges too weak to be drawn even once."""
    kept = graph.data >= graph.data.max() / epochs
    return scipy.sparse.coo_matrix(
        (graph.data[kept], (graph.row[kept], graph.col[kept])), shape=graph.shape
    )


def _seeds(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return rng.integers(-(2**31) + 1, 2**31 - 1, size=3)
