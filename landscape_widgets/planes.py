"""The loss on a plane through the trained weights, from as few points as its shape allows.

A smooth plane needs no dense grid: a cubic spline of log-loss, or of the loss's fourth root where
that is easier to follow, is as good over few lines that lie closer where they are needed. How good
is measured on points that the spline never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RectBivariateSpline, make_interp_spline
from scipy.ndimage import binary_dilation, distance_transform_edt

from landscape_widgets.basis import Basis, FloatArray
from landscape_widgets.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)

EXTENT = (-0.5, 1.5)  # as slices: half a step behind θ* to half a step beyond the samples
FLOOR = 1e-8  # of losses, before their logarithm is taken
LINES = 13  # of the first grid, along either direction
COARSER = (3, 2)  # every so many of them make up the grids that are shown before it
HELD_OUT = 48  # points that are never fitted
FEWEST_HELD_OUT = 16  # below which a 95th percentile would say nothing
SPLIT = 0.3  # share of the intervals that is halved in one refinement
REACH = 2  # intervals that a value which is not finite spoils around it

BoolArray = npt.NDArray[np.bool_]


class PlaneError(NamedTuple):
    """Relative error of interpolated losses at the held-out points: 0.01 is one percent.

    Of 48 points two or three lie beyond the 95th percentile, which is therefore known to about a
    third of itself; and as refinement stops at its first success, it is rather more than less.
    """

    median: float
    p95: float


@dataclass(frozen=True, eq=False)
class Plane:
    """Losses at θ* + a d₁ + b d₂ over a fine grid, and what they were interpolated from.

    Attributes
    ----------
    axes : two arrays (F,)
        Values of a and of b.
    losses, val_losses : array (F, F)
        ``losses[i, j]`` is at ``axes[0][i]``, ``axes[1][j]``; the second is None without
        validation data.
    direct : array (F, F) of bool
        Where the loss itself was evaluated, as near losses that are not finite; elsewhere it is
        interpolated.
    error, val_error : PlaneError
        Of the interpolated losses, at points spread evenly over the plane that were not fitted; 0
        where all is direct.
    points : array (E, 2)
        Each (a, b) at which the loss was evaluated.
    point_losses, point_val_losses : array (E,)
    gram : array (2, 2)
        Inner products of d₁ and d₂: with them a plane can be drawn with true angles and lengths.
    tolerance : float
        What was asked of the error.
    held_out : int
        How many points the error was measured at.
    """

    axes: tuple[FloatArray, FloatArray]
    losses: FloatArray
    val_losses: FloatArray | None
    direct: BoolArray
    error: PlaneError
    val_error: PlaneError | None
    points: FloatArray
    point_losses: FloatArray
    point_val_losses: FloatArray | None
    gram: FloatArray
    tolerance: float
    held_out: int

    @property
    def evaluations(self) -> int:
        """At how many points the loss was evaluated."""
        return len(self.points)

    @property
    def converged(self) -> bool:
        """Whether 95% of the held-out points are within the tolerance, on each split."""
        errors = [self.error] if self.val_error is None else [self.error, self.val_error]
        return all(error.p95 <= self.tolerance for error in errors)

    def __str__(self) -> str:
        text = (
            f"{self.losses.size:,} points from {self.evaluations:,} evaluations; error "
            f"{self.error.median:.2%} (median), {self.error.p95:.2%} (95th percentile)"
        )
        if not self.converged:
            text += f", more than the {self.tolerance:.2%} that was asked for"
        if self.direct.any():
            text += f"; {int(self.direct.sum()):,} points evaluated one by one"
        broken = int((~np.isfinite(self.losses)).sum())
        return text + (f"; {broken:,} losses are not finite" if broken else "")


def plane_along(
    objective: Objective,
    directions: Basis,
    *,
    extent: tuple[float, float] = EXTENT,
    resolution: int = 51,
    tolerance: float = 0.005,
    max_evaluations: int | None = None,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
    on_plane: Callable[[Plane], None] | None = None,
) -> Plane:
    """Take the loss at θ* + a d₁ + b d₂ for a and b in `extent`.

    The grid begins with 13 × 13 lines, of which one each way goes through θ* where it lies within.
    In each refinement those three tenths of the intervals are halved whose own lines are worst
    predicted by the others; what was evaluated before is used again. It ends when the 95th
    percentile of the relative error at held-out points, on which no line is laid, is within the
    tolerance.

    Parameters
    ----------
    objective
    directions : Basis of two
        d₁ and d₂.
    extent : (low, high)
        Of a and of b.
    resolution : int
        Points along each axis of the fine grid.
    tolerance : float
        Relative error to reach at the 95th percentile.
    max_evaluations : int, optional
        No grid is begun that would need more; resolution² by default. Losses that are not finite
        cost more: all of the fine grid around them is evaluated.
    progress, cancelled
        After `cancelled` says yes, the last grid that was finished is interpolated; points of
        `direct` that were not reached are then not-a-number.
    on_plane : callable, optional
        Gets the plane as it is known from each grid on the way, two coarser ones first. Points of
        `direct` may be not-a-number there, as they are evaluated at the end.

    Raises
    ------
    ValueError
        If the directions span no plane, or an option is out of its range.
    Cancelled
        If work was cancelled before the first grid was finished.
    """
    gram = _check_plane(directions)
    low, high = _check_options(extent, resolution, tolerance, max_evaluations)
    axis = np.linspace(low, high, resolution)
    most = resolution**2 if max_evaluations is None else max_evaluations
    known = _Points(objective, directions, progress, cancelled)
    if resolution**2 <= LINES**2 + HELD_OUT:
        if not known.need(_product(axis, axis)):
            raise Cancelled
        return _finish(known, axis, None, gram, tolerance)
    xs = ys = _first_lines(low, high)
    held_out = _spread(low, high)

    def show(fit: _Fit) -> None:
        if on_plane is not None and fit.measured:
            on_plane(_assemble(known, axis, fit, gram, tolerance))

    for every in COARSER if on_plane is not None else ():
        lines = xs[::every]
        if not known.need(np.concatenate([_product(lines, lines), held_out])):
            raise Cancelled
        show(_Fit(known, lines, lines, held_out))
    if not known.need(np.concatenate([_product(xs, ys), held_out])):
        raise Cancelled
    fit = _Fit(known, xs, ys, held_out)
    gap = (high - low) / (resolution - 1)
    while not fit.within(tolerance):
        show(fit)
        xs, ys = fit.refined(gap)
        missing = len(xs) * len(ys) - len(fit.xs) * len(fit.ys)
        if not missing or len(known.losses) + missing > most or not known.need(_product(xs, ys)):
            break
        fit = _Fit(known, xs, ys, held_out)
    return _finish(known, axis, fit, gram, tolerance)


def _check_plane(directions: Basis) -> FloatArray:
    if directions.k != 2:
        raise ValueError(f"A plane has two directions; {directions.k} were given.")
    gram = directions.gram()
    if not np.isfinite(gram).all():
        raise ValueError("The directions of a plane must be finite; give samples that are.")
    # sin² of the angle between them, against what rounding in float32 leaves of it.
    if np.linalg.det(gram) <= 1e-10 * gram[0, 0] * gram[1, 1]:
        raise ValueError(
            "The two directions lie on one line through θ* (or one of them is zero), so that they "
            "span no plane. Give two samples in different directions, or take a slice."
        )
    return gram


def _check_options(
    extent: tuple[float, float], resolution: int, tolerance: float, most: int | None
) -> tuple[float, float]:
    low, high = (float(value) for value in extent)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"extent={extent!r}; two finite numbers (low, high) are expected.")
    if resolution < 2:
        raise ValueError(f"resolution={resolution!r}; 2 points or more are expected.")
    if not tolerance > 0:
        raise ValueError(f"tolerance={tolerance!r}; a positive relative error is expected.")
    if most is not None and most < LINES**2 + HELD_OUT:
        raise ValueError(
            f"max_evaluations={most}; the first grid and the held-out points alone need "
            f"{LINES**2 + HELD_OUT}."
        )
    return low, high


def _first_lines(low: float, high: float) -> FloatArray:
    lines = np.linspace(low, high, LINES)
    if low < 0 < high:
        lines[1 + np.argmin(np.abs(lines[1:-1]))] = 0.0  # the nearest inner line goes through θ*
    return lines


def _spread(low: float, high: float) -> FloatArray:
    """Points that fill the square evenly and lie on no grid: the R₂ sequence (Roberts 2018)."""
    plastic = 1.32471795724474602596  # the real root of x³ = x + 1
    steps = np.arange(1, HELD_OUT + 1)[:, None] / [[plastic, plastic**2]]
    points: FloatArray = low + (high - low) * ((0.5 + steps) % 1.0)
    return points


def _product(xs: FloatArray, ys: FloatArray) -> FloatArray:
    """All (x, y), shape (len(xs) · len(ys), 2), y the fastest."""
    return np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)


class _Points:
    """Losses by their place in the plane, each evaluated once."""

    def __init__(
        self,
        objective: Objective,
        directions: Basis,
        progress: ProgressCallback,
        cancelled: CancelCallback,
    ) -> None:
        self.objective, self.directions = objective, directions
        self.progress, self.cancelled = progress, cancelled
        self.splits = 2 if objective.n_val_examples else 1
        self.losses: dict[tuple[float, float], tuple[float, ...]] = {}

    def need(self, points: FloatArray) -> bool:
        """Evaluate those of (n, 2) points that are not known yet; False if cancelled before."""
        missing = [(a, b) for a, b in points.tolist() if (a, b) not in self.losses]
        if not missing:
            return True
        before = len(self.losses)

        def tell(part: Progress) -> None:
            self.progress(Progress("plane", before + part.done, before + part.total))

        found = self.objective.evaluate(
            self.directions,
            np.array(missing),
            metrics=False,
            progress=tell,
            cancelled=self.cancelled,
        )
        columns = [found.losses] if found.val_losses is None else [found.losses, found.val_losses]
        values = np.stack(columns, axis=-1).tolist()
        self.losses.update(zip(missing, map(tuple, values), strict=False))
        return len(found) == len(missing)

    def at(self, points: FloatArray) -> FloatArray:
        """Losses (splits, n); not-a-number where unknown."""
        unknown = (np.nan,) * self.splits
        found = [self.losses.get((a, b), unknown) for a, b in points.tolist()]
        return np.array(found).reshape(-1, self.splits).T


@dataclass(frozen=True)
class _Scale:
    """Heights that a spline follows in place of the losses, and the way back."""

    there: Callable[[FloatArray], FloatArray]
    back: Callable[[FloatArray], FloatArray]


_LOGARITHM = _Scale(lambda losses: np.log(np.maximum(losses, FLOOR)), np.exp)
# Rounder than the logarithm at the bottom of a deep basin.
_FOURTH_ROOT = _Scale(lambda losses: losses**0.25, lambda heights: np.maximum(heights, 0.0) ** 4)
_AS_IT_IS = _Scale(lambda losses: losses, lambda heights: heights)


class _Fit:
    """A spline of each split's losses over a grid, and how far it can be trusted.

    Losses that are not finite are replaced by their nearest finite neighbour for the fit alone;
    what that spoils is told by `spoilt` and not interpolated. Of the scales that losses can be
    followed in, the one is taken in which the lines predict each other best.
    """

    def __init__(
        self, known: _Points, xs: FloatArray, ys: FloatArray, held_out: FloatArray
    ) -> None:
        self.xs, self.ys = xs, ys
        grids = known.at(_product(xs, ys)).reshape(-1, len(xs), len(ys))
        finite = np.isfinite(grids).all(axis=0)
        self._broken = binary_dilation(~finite, iterations=REACH)
        columns = self._broken[1:] | self._broken[:-1]
        self._cells: BoolArray = columns[:, 1:] | columns[:, :-1]
        truths = known.at(held_out)
        failed = ~np.isfinite(truths).all(axis=0)
        self._cells[self._cell(held_out[failed])] = True
        good = ~self.spoilt(held_out)
        self.errors: list[PlaneError] = []
        self.held_out = int(good.sum())
        self.measured = self.held_out >= FEWEST_HELD_OUT
        if not self.measured:
            return
        nearest = distance_transform_edt(~finite, return_distances=False, return_indices=True)
        self._grids = [grid[tuple(nearest)] for grid in grids]
        # A loss of the user's own may be negative: it is then followed as it is.
        positive = bool((grids[:, finite] >= 0).all())
        scales = (_LOGARITHM, _FOURTH_ROOT) if positive else (_AS_IT_IS,)
        missed = [(self._missed(xs, False, s), self._missed(ys, True, s)) for s in scales]
        best = int(np.argmin([np.mean(np.concatenate(m)) for m in missed]))
        self._scale, self._worst = scales[best], missed[best]
        there = self._scale.there
        self._splines = [RectBivariateSpline(xs, ys, there(grid), s=0) for grid in self._grids]
        for spline, truth in zip(self._splines, truths[:, good], strict=True):
            found = self._back(spline.ev(*held_out[good].T))
            errors = _relative(found, truth)
            self.errors.append(
                PlaneError(float(np.median(errors)), float(np.quantile(errors, 0.95)))
            )

    def within(self, tolerance: float) -> bool:
        """Whether the error is; also where nothing is left to be interpolated."""
        return all(error.p95 <= tolerance for error in self.errors)

    def losses(self, axis: FloatArray) -> FloatArray:
        """Of each split over axis × axis, (splits, F, F)."""
        return np.stack([self._back(spline(axis, axis)) for spline in self._splines])

    def spoilt(self, points: FloatArray) -> BoolArray:
        """Which of (n, 2) points lie near losses that are not finite, (n,)."""
        found: BoolArray = self._cells[self._cell(points)]
        return found

    def refined(self, gap: float) -> tuple[FloatArray, FloatArray]:
        """The lines, with the worst intervals halved, none to less than half of `gap`."""
        sides = (self.xs, self.ys)
        scores = [
            np.where(np.diff(lines) > gap, _scores(lines, worst), 0.0)
            for lines, worst in zip(sides, self._worst, strict=True)
        ]
        least = np.quantile(np.concatenate(scores), 1 - SPLIT)
        xs, ys = (
            np.sort(
                np.append(lines, ((lines[1:] + lines[:-1]) / 2)[(score >= least) & (score > 0)])
            )
            for lines, score in zip(sides, scores, strict=True)
        )
        return xs, ys

    def _missed(self, lines: FloatArray, turned: bool, scale: _Scale) -> FloatArray:
        """How far the losses on each line are from what all the others predict, (lines,)."""
        broken = self._broken.T if turned else self._broken
        worst = np.zeros(len(lines))
        for grid in self._grids:
            losses = grid.T if turned else grid
            heights = scale.there(losses)
            for i in range(1, len(lines) - 1):
                whole = ~broken[i]
                if not whole.any():
                    continue
                others = np.arange(len(lines)) != i
                spline = make_interp_spline(lines[others], heights[others][:, whole], k=3)
                with np.errstate(over="ignore"):
                    errors = _relative(scale.back(spline(lines[i])), losses[i, whole])
                worst[i] = max(worst[i], float(np.quantile(errors, 0.9)))
        worst[0], worst[-1] = worst[1], worst[-2]
        return worst

    def _back(self, heights: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # what overflows is evaluated instead
            return self._scale.back(heights)

    def _cell(self, points: FloatArray) -> tuple[npt.NDArray[np.int64], ...]:
        """The interval of either axis in which each of (n, 2) points lies."""
        return tuple(
            np.clip(np.searchsorted(lines, points[:, number], side="right") - 1, 0, len(lines) - 2)
            for number, lines in enumerate((self.xs, self.ys))
        )


def _relative(found: FloatArray, truth: FloatArray) -> FloatArray:
    errors: FloatArray = np.abs(found - truth) / np.maximum(np.abs(truth), FLOOR)
    return errors


def _scores(lines: FloatArray, worst: FloatArray) -> FloatArray:
    """How much each interval is in need of a line, by how badly its own lines are predicted."""
    # A line between a wide and a narrow interval is missed because of the wide one.
    widths = np.diff(lines)
    wider = np.maximum(np.append(widths[0], widths), np.append(widths, widths[-1]))
    left, right = widths / wider[:-1], widths / wider[1:]
    scores: FloatArray = np.maximum(worst[:-1] * left**2, worst[1:] * right**2)
    return scores


def _finish(
    known: _Points, axis: FloatArray, fit: _Fit | None, gram: FloatArray, tolerance: float
) -> Plane:
    """Interpolate over axis × axis, and evaluate what cannot be."""
    direct = _assemble(known, axis, fit, gram, tolerance).direct
    known.need(_product(axis, axis)[direct.ravel()])
    return _assemble(known, axis, fit, gram, tolerance)


def _assemble(
    known: _Points, axis: FloatArray, fit: _Fit | None, gram: FloatArray, tolerance: float
) -> Plane:
    """Interpolate over axis × axis where that can be done, and put all that is known together."""
    points, shape = _product(axis, axis), (len(axis), len(axis))
    direct: BoolArray = np.ones(shape, dtype=bool)
    losses: FloatArray = np.full((known.splits, *shape), np.nan)
    errors = [PlaneError(0.0, 0.0)] * known.splits
    if fit is not None and fit.measured:
        losses, errors = fit.losses(axis), fit.errors
        direct = fit.spoilt(points).reshape(shape) | ~np.isfinite(losses).all(axis=0)
    losses[:, direct] = known.at(points[direct.ravel()])
    evaluated = np.array(list(known.losses)).reshape(-1, 2)
    values = known.at(evaluated)
    both = known.splits == 2
    return Plane(
        (axis, axis),
        losses[0],
        losses[1] if both else None,
        direct,
        errors[0],
        errors[1] if both else None,
        evaluated,
        values[0],
        values[1] if both else None,
        gram,
        tolerance,
        fit.held_out if fit is not None and fit.measured else 0,
    )
