"""Metric multidimensional scaling by stress majorisation."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from landscape_widgets.controls import Control, check_controls
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer
from landscape_widgets.reducers.distinct import Projection


class MDS(Reducer):
    """Distances on the map as near to the true ones as they can be (SMACOF, de Leeuw 1977).

    Minimises the stress Σ_{i<j} (d_ij − δ_ij)², from the principal components on. Large distances
    weigh most: the whole is truer than the neighbourhoods.

    Parameters
    ----------
    max_iterations : int
    tolerance : float
        Stop when the stress falls by a smaller share than this in an iteration.
    """

    objective = "stress"
    _counts_copies = True
    controls = (
        Control("max_iterations", "iterations", "at most", "whole", least=1),
        Control("tolerance", "tolerance", "stop where stress falls by a smaller share", least=0),
    )

    def __init__(self, max_iterations: int = 300, tolerance: float = 1e-5) -> None:
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        check_controls(self)

    def _fit(
        self,
        points: FloatArray,
        n_components: int,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> FloatArray:
        target = cdist(points, points)
        current = Projection.of(points, n_components).place(points)
        n, stress = len(points), np.inf
        for iteration in range(1, self.max_iterations + 1):
            distances = cdist(current, current)
            previous, stress = stress, float(((distances - target) ** 2).sum() / 2)
            if iteration % 10 == 1:
                progress(Progress("map", iteration, self.max_iterations))
                if on_frame is not None:
                    on_frame(Frame(iteration, self.max_iterations, current, stress, "MDS"))
            if previous - stress < self.tolerance * stress or cancelled():
                break
            # The Guttman transform: the minimiser of a quadratic that majorises the stress here.
            ratio = np.divide(target, distances, out=np.zeros_like(target), where=distances > 0)
            current = (ratio.sum(axis=1)[:, None] * current - ratio @ current) / n
        self._points, self._coordinates = points, current
        total = float((target**2).sum() / 2)
        self.info = {"stress": stress, "stress_1": float(np.sqrt(stress / total))}
        progress(Progress("map", self.max_iterations, self.max_iterations))
        return current

    def _resume(self, points: FloatArray, coordinates: FloatArray, seed: int) -> None:
        self._points, self._coordinates = points, coordinates

    def _place(self, points: FloatArray) -> FloatArray:
        target = cdist(points, self._points)
        fixed, n = self._coordinates, len(self._coordinates)
        nearest = target.argmin(axis=1)
        placed: FloatArray = fixed[nearest] + 1e-9
        for _ in range(self.max_iterations):
            distances = np.maximum(cdist(placed, fixed), 1e-12)
            ratio = target / distances
            moved = (fixed.sum(axis=0) + ratio.sum(axis=1)[:, None] * placed - ratio @ fixed) / n
            if np.abs(moved - placed).max() < 1e-9 * np.abs(fixed).max():
                break
            placed = moved
        return placed
