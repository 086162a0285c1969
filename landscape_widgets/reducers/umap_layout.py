"""umap-learn's layout, epoch by epoch: the one file that touches its inside.

umap-learn 0.5 runs all epochs in one function that nothing can look into or stop. Its documented
place for subclasses, `_fit_embed_data`, is where the epochs are run here, one by one, with the
compiled function for a single epoch that umap-learn itself calls. The map is umap-learn's own, bit
for bit, which a test compares: that test is what fails when umap-learn changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import umap
from sklearn.neighbors import NearestNeighbors
from umap.layouts import _get_optimize_layout_euclidean_single_epoch_fn
from umap.umap_ import make_epochs_per_sample, simplicial_set_embedding

from landscape_widgets.basis import FloatArray

# Told of each epoch that is done, and the layout as it is then; says whether to stop.
Watch = Callable[[int, Any], bool]


class WatchedUMAP(umap.UMAP):  # type: ignore[misc]
    """`umap.UMAP` that tells `watch` of each epoch, runs `epochs` of them, and can be stopped."""

    watch: Watch
    epochs: int

    def _fit_embed_data(
        self, X: Any, n_epochs: Any, init: Any, random_state: Any, **_: Any
    ) -> tuple[Any, dict[str, Any]]:
        recorded = _Recorded()
        recorded.set_state(random_state.get_state())
        graph, total = self.graph_.tocoo(), self.epochs
        least = graph.data.max() / (total if total > 10 else 500 if len(X) <= 10_000 else 200)
        graph.data[graph.data < least] = 0.0  # too weak to be drawn even once
        graph.eliminate_zeros()
        # No epochs: the layout that all begins with. (A spectral one is umap-learn's own for up to
        # 500 epochs: for more, it would keep weaker edges.)
        layout, _aux = simplicial_set_embedding(
            X,
            graph.tocsr(),
            self.n_components,
            self._initial_alpha,
            self._a,
            self._b,
            self.repulsion_strength,
            self.negative_sample_rate,
            0,
            init,
            recorded,
            self._input_distance_func,
            self._metric_kwds,
            False,
            {},
            False,
            self._output_distance_func,
            self._output_metric_kwds,
            True,
            False,
            False,
        )
        self._run_epochs(layout, graph, recorded.last)
        return layout, {}

    def _run_epochs(self, layout: Any, graph: Any, seeds: Any) -> None:
        """As `umap.layouts.optimize_layout_euclidean`, moving `layout` in place."""
        total = self.epochs
        if total == 0:
            return
        every = make_epochs_per_sample(graph.data, total)
        every_negative = every / self.negative_sample_rate
        next_sample, next_negative = every.copy(), every_negative.copy()
        states = np.full((len(layout), len(seeds)), seeds.astype(np.int64), dtype=np.int64)
        states += layout[:, 0].astype(np.float64).view(np.int64).reshape(-1, 1)
        epoch_of = _get_optimize_layout_euclidean_single_epoch_fn(False)
        none = np.zeros(1, dtype=np.float32)  # of densMAP
        rate = self._initial_alpha
        for epoch in range(total):
            epoch_of(
                layout, layout, graph.row, graph.col, len(layout), every, self._a, self._b,
                states, self.repulsion_strength, layout.shape[1], True, rate, every_negative,
                next_negative, next_sample, epoch, False, none, none, 0, 0, 0, 0, none, none, 0,
            )  # fmt: skip
            rate = self._initial_alpha * (1.0 - epoch / total)
            if self.watch(epoch + 1, layout):
                break


class _Recorded(np.random.RandomState):
    """Keeps the integers drawn last: from them umap-learn draws all that is random in an epoch."""

    last: Any

    def randint(self, *args: Any, **keywords: Any) -> Any:
        self.last = super().randint(*args, **keywords)
        return self.last


class ExactIndex:
    """Exact Euclidean neighbours, in the place of umap-learn's approximate index."""

    _angular_trees = False

    def __init__(self, points: FloatArray) -> None:
        self._search = NearestNeighbors().fit(points)

    def query(self, points: Any, k: int, epsilon: float = 0.0) -> tuple[Any, Any]:
        """Indices and distances (M, k) of the nearest k; `epsilon` would tolerate errors."""
        distances, indices = self._search.kneighbors(points, k)
        return indices.astype(np.int32), distances.astype(np.float32)
