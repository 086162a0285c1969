"""Samples, and the loss between them: along lines and on planes."""

from __future__ import annotations

from collections.abc import Callable

import numpy.typing as npt

from landscape_widgets.landscape.sampled import Sampled
from landscape_widgets.profiles.estimated import EstimatedSlice, estimated_slice
from landscape_widgets.profiles.line import Slice, slice_along
from landscape_widgets.profiles.plane import EXTENT, Plane, plane_along
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.tracebacks import entries


@entries
class Profiled(Sampled):
    """Samples between which the loss can be followed; they need no map for that."""

    def slice(
        self, indices: npt.ArrayLike, alphas: npt.ArrayLike | None = None, *, metrics: bool = False
    ) -> Slice:
        """The loss along the lines from θ* to some samples; see `line.slice_along`."""
        return slice_along(self.evaluator, self._sampled(), indices, alphas, metrics=metrics)

    def estimated_slice(
        self,
        indices: npt.ArrayLike,
        alphas: npt.ArrayLike | None = None,
        tolerance: float = 0.01,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> EstimatedSlice:
        """Slices from a part of large data, with standard errors; see `profiles.estimated`."""
        of = self.objective, self._sampled(), indices, alphas, tolerance
        return estimated_slice(*of, progress=progress, cancelled=cancelled)

    def plane(
        self,
        a: int,
        b: int,
        *,
        extent: tuple[float, float] = EXTENT,
        resolution: int = 51,
        tolerance: float = 0.005,
        max_evaluations: int | None = None,
        metrics: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_plane: Callable[[Plane], None] | None = None,
    ) -> Plane:
        """The loss on the plane through θ* and two samples, at a few hundred evaluations.

        Sample `a` lies at (1, 0) and sample `b` at (0, 1). The keywords are those of
        `plane.plane_along`. A ValueError is raised if θ* and the samples lie on one line.
        """
        return plane_along(
            self.evaluator,
            self._sampled().towards(a, b),
            extent=extent,
            resolution=resolution,
            tolerance=tolerance,
            max_evaluations=max_evaluations,
            metrics=metrics,
            progress=progress,
            cancelled=cancelled,
            on_plane=on_plane,
        )
