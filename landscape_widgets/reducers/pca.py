"""Principal components: the linear map that keeps the most variance."""

from __future__ import annotations

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer
from landscape_widgets.reducers.distinct import Distinct, Projection


class PCA(Reducer):
    """The flat picture: a projection, so distances on it are at most the true ones.

    It shows how the samples lie along the two or three directions in which they vary most; what
    varies along others falls onto one place. The axes mean something: `info` holds the share of
    the variance along each.
    """

    _counts_copies = True

    def _take(self, points: FloatArray, n_components: int) -> Distinct:
        distinct = super()._take(points, n_components)
        self._plain = None  # however few there are, they have principal components
        return distinct

    def _fit(
        self,
        points: FloatArray,
        n_components: int,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> FloatArray:
        self._projection = Projection.of(points, n_components)
        self.info = {"explained_variance_ratio": self._projection.shares}
        coordinates = self._projection.place(points)
        progress(Progress("map", 1, 1))
        if on_frame is not None:
            on_frame(Frame(1, 1, coordinates, None, "map"))
        return coordinates

    def _resume(self, points: FloatArray, coordinates: FloatArray, seed: int) -> None:
        # The map is affine in the points, so that it is found again from them exactly.
        self._projection = Projection.from_map(points, coordinates)

    def _place(self, points: FloatArray) -> FloatArray:
        return self._projection.place(points)
