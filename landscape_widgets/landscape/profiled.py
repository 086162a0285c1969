"""Samples, and the loss between them: along lines and on planes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy.typing as npt

from landscape_widgets.diagnosis.basins import FACTOR, Basins
from landscape_widgets.landscape import planes
from landscape_widgets.landscape.sampled import Sampled
from landscape_widgets.landscape.ways import Ways
from landscape_widgets.profiles import path
from landscape_widgets.profiles.estimated import EstimatedSlice, estimated_slice
from landscape_widgets.profiles.line import Slice, slice_along
from landscape_widgets.profiles.path import Path
from landscape_widgets.profiles.penalised import Penalised, Weighed
from landscape_widgets.profiles.plane import Plane, plane_along
from landscape_widgets.profiles.way import Way
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.task import regularisers
from landscape_widgets.tracebacks import entries


@entries
class Profiled(Sampled):
    """Samples between which the loss can be followed; they need no map for that."""

    _weighed: Weighed | None = None  # the latest samples and tensors whose norms were taken
    _known_ways: Ways | None = None

    def slice(
        self,
        indices: npt.ArrayLike,
        alphas: npt.ArrayLike | None = None,
        *,
        start: int = 0,
        metrics: bool = False,
    ) -> Slice:
        """The loss along the lines from θ*, or the sample `start`, to some samples.

        See `line.slice_along`; `Slice.to_frame` has them in numbers.
        """
        of = self.evaluator, self._sampled(), indices, alphas
        return slice_along(*of, start=start, metrics=metrics)

    def along(
        self,
        way: int | Sequence[int],
        points: int = 3,
        *,
        metrics: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Path:
        """The loss along a path: a trajectory, a descent, one of `Interpolation`'s routes.

        Straight from each sample of it to the next; what is known of the samples is taken as it is.

        Parameters
        ----------
        way : int, or sequence of samples
            The number of a path, as in the table's column ``path``, or samples in order. Routes of
            `Interpolation` start at θ*.
        points : int
            How many between each two samples; 0 takes the samples alone.
        metrics : bool
            Whether to take metrics, too.

        Raises
        ------
        ValueError, IndexError
            If there is no such path or sample, or one is not evaluated yet.
        Cancelled
        """
        samples = path.samples_of(self._sampled(), way)
        return self._ways.along(
            samples, points, metrics=metrics, progress=progress, cancelled=cancelled
        )

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
        a: int | None = None,
        b: int | None = None,
        *,
        directions: str | tuple[int, int] | None = None,
        extent: tuple[float, float] | None = None,
        resolution: int = 51,
        tolerance: float = 0.005,
        max_evaluations: int | None = None,
        metrics: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_plane: Callable[[Plane], None] | None = None,
    ) -> Plane:
        """The loss on a plane through θ*, at a few hundred evaluations.

        ``plane(a, b)`` goes through two samples: `a` lies at (1, 0) and `b` at (0, 1).

        Parameters
        ----------
        a, b : int
            Two samples.
        directions : (a, b) or str
            In their place: two samples again, or "random": two random filter-normalised
            directions; "gradient": down the gradient at θ*, and a random direction; "hessian": the
            two eigenvectors of the Hessian at θ* of largest eigenvalues; "trajectory": the first
            two principal components of the samples that lie on paths, with the share of their
            variance that is left out in `Plane.left_out`. All are drawn with the landscape's seed.
            See `profiles.span` for how long they are.
        extent : (low, high), optional
            Of both axes; by default as far as there is something to see.
        resolution, tolerance, max_evaluations, metrics, progress, cancelled, on_plane
            As for `plane.plane_along`.

        Raises
        ------
        ValueError
            If there is no such plane: the samples lie on one line with θ*, the loss has no
            gradient, no samples lie on paths.
        Cancelled
        """
        wanted = planes.check(a, b, directions)
        span = planes.span_of(self, wanted, progress=progress, cancelled=cancelled)

        def named(plane: Plane) -> Plane:
            return replace(plane, names=span.names, left_out=span.left_out)

        return named(
            plane_along(
                self.evaluator,
                span.directions,
                extent=span.extent if extent is None else extent,
                resolution=resolution,
                tolerance=tolerance,
                max_evaluations=max_evaluations,
                metrics=metrics,
                progress=progress,
                cancelled=cancelled,
                on_plane=None if on_plane is None else lambda plane: on_plane(named(plane)),
            )
        )

    def penalised(
        self,
        l1: float | None = None,
        l2: float | None = None,
        *,
        tensors: str | Iterable[str] | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Penalised:
        """The loss with a penalty, L(θ) + l1·‖θ‖₁ + l2·‖θ‖₂², at all samples.

        No loss is evaluated. `Penalised.along` and `Penalised.over` put the same penalty into
        slices and planes of this landscape.

        Parameters
        ----------
        l1, l2 : float, optional
            The strengths; 0 where only the other is given. Where neither is, the penalty is what
            the model was trained with (`weight_decay`): l2 = weight_decay/2.
        tensors : "weights", "all" or names, optional
            Which tensors count, see `regularisers.counted`: by default "weights", without biases
            and normalisation, and "all" where the penalty is that of `weight_decay`.

        Raises
        ------
        ValueError
            If a strength is below zero or not finite, neither is given nor `weight_decay` known, or
            there is no such tensor.
        Cancelled
        """
        cloud = self._sampled()
        if l1 is None and l2 is None:
            if self.weight_decay is None:
                raise ValueError(
                    "penalised() takes what the model was trained with, and that is not known. "
                    "Give l1= or l2=, or weight_decay= where the landscape is made."
                )
            l2 = regularisers.of_weight_decay(self.weight_decay)
            tensors = regularisers.ALL if tensors is None else tensors
        first, second = (
            regularisers.check_strength(name, value or 0)
            for name, value in (("l1", l1), ("l2", l2))
        )
        counted = regularisers.counted(self.objective.layout, tensors or regularisers.WEIGHTS)
        known = self._weighed
        if known is None or known.cloud is not cloud or known.counted != counted:
            known = Weighed.of(cloud, counted, progress=progress, cancelled=cancelled)
            self._weighed = known
        return Penalised(first, second, self.losses, known)

    @property
    def _ways(self) -> Ways:
        """Ways between the samples as they are now: what is known of them ends with these."""
        known = self._known_ways
        if known is None or known.results is not self.results:
            self._sampled()
            known = Ways(self.results, self.evaluator, self.objective, self.tolerance)
            self._known_ways = known
        return known

    def way(
        self,
        index: int,
        start: int = 0,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Way:
        """The easiest way through the samples from θ*, or another one, to a sample.

        It runs along straight lines between near samples, on which the loss is evaluated where the
        lowest ways hang on it (some two or three losses a sample, once for all ways and basins),
        and then round its highest point where that helps. See `profiles.way` and `profiles.graph`.

        Raises
        ------
        IndexError, ValueError
            If there is no such sample, or its loss is not known or not finite.
        Cancelled
            What was evaluated by then is kept for the next time.
        """
        return self._ways.way(index, start, progress=progress, cancelled=cancelled)

    def basins(
        self,
        factor: float = FACTOR,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Basins:
        """The basins that the samples lie in: hollows that no low way was found between.

        Two are parted where every way that was found between them rises to `factor` times the
        lowest loss of the higher one or more; where losses reach zero or below and ratios mean
        nothing, where it rises by a tenth of the median loss above the lowest. With estimated
        losses they must be that by more than two standard errors. See `diagnosis.basins`.

        The lines that the ways hang on are evaluated once for all ways and basins.

        Raises
        ------
        ValueError
            If the factor is not above 1.
        Cancelled
            What was evaluated by then is kept for the next time.
        """
        return self._ways.basins(factor, progress=progress, cancelled=cancelled)
