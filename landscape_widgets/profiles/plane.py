"""The loss on a plane through the trained weights, from as few points as its shape allows.

Metrics may come along, at the points that the loss is evaluated at.

A smooth plane needs no dense grid: what is interpolated between scattered points, in log-loss or in
the loss's fourth root, is as good from few of them that lie closer where they are needed. How good
is measured on points that it had not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape_widgets.evaluation.quantities import LOSSES
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.profiles.design import FEWEST, LANDMARKS, Design, product
from landscape_widgets.profiles.interpolant import BoolArray, Interpolated, PlaneError
from landscape_widgets.profiles.projection import Projection, project
from landscape_widgets.profiles.slope import slopes
from landscape_widgets.profiles.span import BETWEEN
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)

MOST = 1000  # evaluations by default: solving for so many takes some tenths of a second


@dataclass(frozen=True, eq=False, repr=False)
class Plane:
    """Quantities at θ* + a d₁ + b d₂ over a fine grid, and what they were interpolated from.

    Attributes
    ----------
    axes : two arrays (F,)
        Values of a and of b.
    values : dict of arrays (F, F)
        By quantity: "loss", "val_loss" where there is validation data, metrics.
        ``values["loss"][i, j]`` is at ``axes[0][i]``, ``axes[1][j]``.
    direct : array (F, F) of bool
        Where the loss itself was evaluated, as near losses that are not finite; elsewhere it is
        interpolated.
    errors : dict of PlaneError
        Of each interpolated quantity, at points spread evenly over the plane, while these were not
        fitted; 0 where all is direct.
    points : array (E, 2)
        Each (a, b) at which the loss was evaluated.
    point_values : dict of arrays (E,)
    gram : array (2, 2)
        Inner products of d₁ and d₂: with them a plane can be drawn with true angles and lengths.
    tolerance : float
        What was asked of the error of losses.
    held_out : int
        How many points the error was measured at.
    directions : Basis of two
        d₁ and d₂.
    names : two str
        What lies along them: "sample 3", "eigenvalue 12.5", "PC 1".
    left_out : float or None
        The share of a trajectory's variance that is not in the plane of its principal components.
    """

    axes: tuple[FloatArray, FloatArray]
    values: dict[str, FloatArray]
    direct: BoolArray
    errors: dict[str, PlaneError]
    points: FloatArray
    point_values: dict[str, FloatArray]
    gram: FloatArray
    tolerance: float
    held_out: int
    directions: Basis
    names: tuple[str, str] = ("the first direction", "the second direction")
    left_out: float | None = None

    @property
    def losses(self) -> FloatArray:
        """Training losses, (F, F)."""
        return self.values["loss"]

    @property
    def evaluations(self) -> int:
        """At how many points the loss was evaluated."""
        return len(self.points)

    @property
    def converged(self) -> bool:
        """Whether 95% of the held-out points are within the tolerance, on each split."""
        errors = [error for name, error in self.errors.items() if name in LOSSES]
        return all(error.p95 <= self.tolerance for error in errors)

    def gradient(self, quantity: str = "loss") -> FloatArray:
        """The gradient of a loss along the plane: ⟨∇L, d₁⟩ and ⟨∇L, d₂⟩, shape (F, F, 2).

        Of what was interpolated; not-a-number beside losses that are not finite.

        Raises
        ------
        ValueError
            If the quantity is none of the losses: metrics have no gradient.
        """
        if quantity not in LOSSES or quantity not in self.values:
            known = [name for name in self.values if name in LOSSES]
            raise ValueError(
                f"gradient({quantity!r}) is that of a loss; this plane has {', '.join(known)}. "
                "Metrics go by steps and have none."
            )
        return slopes(self.axes, self.values[quantity])

    def downhill(self, quantity: str = "loss") -> FloatArray:
        """The projection of −∇L on the plane, as da and db, shape (F, F, 2).

        That is −G⁻¹ (⟨∇L, d₁⟩, ⟨∇L, d₂⟩) with the Gram matrix G: where the directions are not
        perpendicular, or not equally long, it is not minus what `gradient` gives.
        """
        found: FloatArray = -self.gradient(quantity) @ np.linalg.inv(self.gram)
        return found

    def project(self, cloud: Cloud) -> Projection:
        """Where samples (``land.cloud``) lie on this plane, and how far from it."""
        return project(self.directions, self.gram, cloud)

    def __repr__(self) -> str:
        left_out = (
            "" if self.left_out is None else f"; {self.left_out:.1%} of the variance left out"
        )
        return f"Plane({self.names[0]}, {self.names[1]}{left_out}; {self})"

    def __str__(self) -> str:
        error = self.errors["loss"]
        text = (
            f"{self.losses.size:,} points from {self.evaluations:,} evaluations; error "
            f"{error.median:.2%} (median), {error.p95:.2%} (95th percentile)"
        )
        if not self.converged:
            text += f", more than the {self.tolerance:.2%} that was asked for"
        if self.direct.any():
            text += f"; {int(self.direct.sum()):,} points evaluated one by one"
        broken = int((~np.isfinite(self.losses)).sum())
        return text + (f"; {broken:,} losses are not finite" if broken else "")


def plane_along(
    evaluator: Evaluator,
    directions: Basis,
    *,
    extent: tuple[float, float] = BETWEEN,
    resolution: int = 51,
    tolerance: float = 0.005,
    max_evaluations: int | None = None,
    metrics: bool = False,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
    on_plane: Callable[[Plane], None] | None = None,
) -> Plane:
    """Take the loss at θ* + a d₁ + b d₂ for a and b in `extent`.

    It is evaluated on a lattice of 5 × 5 points, on one of 9 × 9, and then where it is followed
    worst: where points are predicted badly by all the others, and far from each other. Between them
    a quintic radial basis function interpolates. It ends when the 95th percentile of the relative
    error at points held out, which are spread evenly and have no say in where the others are, is
    within the tolerance. Then they are fitted as well.

    Parameters
    ----------
    evaluator
    directions : Basis of two
        d₁ and d₂.
    extent : (low, high)
        Of a and of b.
    resolution : int
        Points along each axis of the fine grid.
    tolerance : float
        Relative error to reach at the 95th percentile.
    max_evaluations : int, optional
        No more are made, 1,000 by default, or all of a fine grid that has fewer points. Losses that
        are not finite cost more: all of the fine grid around them is evaluated.
    metrics : bool
        Whether to take the metrics at each point, too. On training data they may take several times
        as long as the loss.
    progress, cancelled
        After `cancelled` says yes, the last refinement that was finished is interpolated; points
        of `direct` that were not reached are then not-a-number.
    on_plane : callable, optional
        Gets the plane as it is known before each refinement, coarse to fine. Points of `direct` may
        be not-a-number there, as they are evaluated at the end.

    Raises
    ------
    ValueError
        If the directions span no plane, or an option is out of its range.
    Cancelled
        If work was cancelled before the first lattice was finished.
    """
    gram = _check_plane(directions)
    low, high = _check_options(extent, resolution, tolerance, max_evaluations)
    axis = np.linspace(low, high, resolution)
    everything = resolution**2 + len(LANDMARKS)
    most = min(MOST, everything) if max_evaluations is None else max_evaluations
    known = _Points(evaluator, directions, metrics, progress, cancelled)
    if resolution**2 <= FEWEST:
        if not known.need(product(axis, axis)):
            raise Cancelled
        return _finish(known, axis, None, gram, tolerance)
    design = Design(axis)
    points, fit = design.first(), None
    while len(points) and known.need(points):
        fit = Interpolated(design.nodes, design.held_out, known.at, known.losses)
        if fit.within(tolerance):
            break
        if on_plane is not None and fit.measured:
            on_plane(_assemble(known, axis, fit, gram, tolerance))
        points = design.further(fit, most - len(known.values))
    if fit is None:
        raise Cancelled
    nothing_between = design.complete and not fit.within(tolerance)
    return _finish(known, axis, None if nothing_between else fit, gram, tolerance)


def _check_plane(directions: Basis) -> FloatArray:
    if directions.k != 2:
        raise ValueError(f"A plane has two directions; {directions.k} were given.")
    gram = directions.gram()
    if not np.isfinite(gram).all():
        raise ValueError("The directions of a plane must be finite; give samples that are.")
    if not spans_plane(gram):
        raise ValueError(
            "The two directions lie on one line through θ* (or one of them is zero), so that they "
            "span no plane. Give two samples in different directions, or take a slice."
        )
    return gram


def spans_plane(gram: FloatArray) -> bool:
    """Whether two directions with these inner products (2, 2) are finite, and not on one line."""
    # sin² of the angle between them, against what rounding in float32 leaves of it.
    return bool(np.linalg.det(gram) > 1e-10 * gram[0, 0] * gram[1, 1])


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
    if most is not None and most < FEWEST:
        raise ValueError(
            f"max_evaluations={most}; the first lattices and the held-out points alone need "
            f"{FEWEST}."
        )
    return low, high


class _Points:
    """Quantities by their place in the plane, each evaluated once.

    Attributes
    ----------
    losses : int
        How many of the quantities are losses: the first ones.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        directions: Basis,
        metrics: bool,
        progress: ProgressCallback,
        cancelled: CancelCallback,
    ) -> None:
        self.evaluator, self.directions = evaluator, directions
        self.progress, self.cancelled = progress, cancelled
        self.metrics, self.quantities = metrics, evaluator.quantities(metrics=metrics)
        self.losses = sum(name in LOSSES for name in self.quantities)
        self.values: dict[tuple[float, float], tuple[float, ...]] = {}

    def need(self, points: FloatArray) -> bool:
        """Evaluate those of (n, 2) points that are not known yet; False if cancelled before."""
        missing = [(a, b) for a, b in points.tolist() if (a, b) not in self.values]
        if not missing:
            return True
        before = len(self.values)

        def tell(part: Progress) -> None:
            self.progress(Progress("plane", before + part.done, before + part.total))

        found = self.evaluator.evaluate(
            self.directions,
            np.array(missing),
            metrics=self.metrics,
            progress=tell,
            cancelled=self.cancelled,
        )
        columns = [found.values[name] for name in self.quantities]
        values = np.stack(columns, axis=-1).tolist()
        self.values.update(zip(missing, map(tuple, values), strict=False))
        return len(found) == len(missing)

    def at(self, points: FloatArray) -> FloatArray:
        """Quantities (q, n); not-a-number where unknown."""
        unknown = (np.nan,) * len(self.quantities)
        found = [self.values.get((a, b), unknown) for a, b in points.tolist()]
        return np.array(found).reshape(-1, len(self.quantities)).T


def _finish(
    known: _Points, axis: FloatArray, fit: Interpolated | None, gram: FloatArray, tolerance: float
) -> Plane:
    """Interpolate over axis × axis, and evaluate what cannot be."""
    plane = _assemble(known, axis, fit, gram, tolerance)
    if not plane.direct.any():
        return plane
    known.need(product(axis, axis)[plane.direct.ravel()])
    return _assemble(known, axis, fit, gram, tolerance)


def _assemble(
    known: _Points, axis: FloatArray, fit: Interpolated | None, gram: FloatArray, tolerance: float
) -> Plane:
    """Interpolate over axis × axis where that can be done, and put all that is known together."""
    points, shape = product(axis, axis), (len(axis), len(axis))
    direct: BoolArray = np.ones(shape, dtype=bool)
    names = known.quantities
    values: FloatArray = np.full((len(names), *shape), np.nan)
    errors = [PlaneError(0.0, 0.0)] * len(names)
    if fit is not None and fit.measured:
        values, errors = fit.at(points).reshape(-1, *shape), fit.errors
        failed = ~np.isfinite(values[fit.defined]).all(axis=0)
        direct = fit.spoilt(points).reshape(shape) | failed
    values[:, direct] = known.at(points[direct.ravel()])
    evaluated = np.array(list(known.values)).reshape(-1, 2)
    return Plane(
        (axis, axis),
        dict(zip(names, values, strict=True)),
        direct,
        dict(zip(names, errors, strict=True)),
        evaluated,
        dict(zip(names, known.at(evaluated), strict=True)),
        gram,
        tolerance,
        fit.held_out if fit is not None and fit.measured else 0,
        known.directions,
    )
