"""Principal components: the linear map that keeps the most variance."""

from __future__ import annotations

import numpy as np

from landscape_widgets.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, check_points


class PCA(Reducer):
    """The flat picture: a projection, so distances on it are at most the true ones.

    It shows how the samples lie along the two or three directions in which they vary most; what
    varies along others falls onto one place. The axes mean something: `info` holds the share of
    the variance along each.
    """

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
        check_points(points)
        self._mean, self._origin = points.mean(axis=0), np.zeros(n_components)
        _, singular, axes = np.linalg.svd(points - self._mean, full_matrices=False)
        # A component's sign is arbitrary: the largest loading is made positive.
        signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
        axes = (axes * signs[:, None])[:n_components]
        missing = n_components - len(axes)
        self._axes = np.pad(axes, ((0, missing), (0, 0)))
        shares = singular**2 / (singular**2).sum()
        self.info = {"explained_variance_ratio": np.pad(shares, (0, missing))[:n_components]}
        coordinates: FloatArray = (points - self._mean) @ self._axes.T
        progress(Progress("map", 1, 1))
        if on_frame is not None:
            on_frame(Frame(1, 1, coordinates, None, "map"))
        return coordinates

    def resume(self, points: FloatArray, coordinates: FloatArray, seed: int = 0) -> None:
        # The map is affine in the points, so that it is found again from them exactly.
        check_points(points)
        self._mean, self._origin = points.mean(axis=0), coordinates.mean(axis=0)
        axes, *_ = np.linalg.lstsq(points - self._mean, coordinates - self._origin, rcond=None)
        self._axes = axes.T

    def place(self, points: FloatArray) -> FloatArray:
        coordinates: FloatArray = (points - self._mean) @ self._axes.T + self._origin
        return coordinates
