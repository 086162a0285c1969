"""A plane between the points that were evaluated, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.profiles.quintic import Quintic

FLOOR = 1e-8  # of losses, before their logarithm is taken
FEWEST_HELD_OUT = 16  # below which a 95th percentile would say nothing
GROWTH = 3  # with this power of the distance to the nearest point errors are taken to grow
NEIGHBOURS = 12  # points whose errors tell of the error between them
WORST = 1000.0  # error that is told from others, as what is predicted may overflow
REACH = 8  # a place is spoilt if the loss at any of so many nearest points is not finite

BoolArray = npt.NDArray[np.bool_]


class PlaneError(NamedTuple):
    """Relative error of what is interpolated at the held-out points: 0.01 is one percent.

    That of a metric, which may be near zero anywhere, is relative to its median where it is less.
    It is known before those points are fitted too; the plane is then mostly better than it says.
    Of 64 points three or four lie beyond the 95th percentile, which is therefore known to about a
    third of itself.
    """

    median: float
    p95: float


@dataclass(frozen=True)
class _Scale:
    """Heights that are interpolated in place of the losses, and the way back."""

    there: Callable[[FloatArray], FloatArray]
    back: Callable[[FloatArray], FloatArray]


_LOGARITHM = _Scale(lambda losses: np.log(np.maximum(losses, FLOOR)), np.exp)
# Rounder than the logarithm at the bottom of a deep basin.
_FOURTH_ROOT = _Scale(lambda losses: losses**0.25, lambda heights: np.maximum(heights, 0.0) ** 4)
_AS_IT_IS = _Scale(lambda losses: losses, lambda heights: heights)
# R² is a loss below one: how far below, by its logarithm.
_BELOW_ONE = _Scale(lambda values: np.log(np.maximum(1.0 - values, FLOOR)), lambda h: 1 - np.exp(h))


class Interpolated:
    """What is interpolated from losses and metrics, and how far it can be trusted.

    Points where one is not finite are left out; what they spoil is told by `spoilt` and not
    interpolated. Of the scales that losses can be followed in, the one is taken in which the nodes
    predict each other best; so for each metric, which is nowhere beyond what was evaluated.

    Parameters
    ----------
    nodes : array (n, 2)
        Points to fit.
    held_out : array (h, 2)
        Points to measure the error at; fitted only by `at`.
    known : callable
        Gives the quantities (q, m) at (m, 2) of these points.
    losses : int
        How many of them are losses: the first ones. These decide how good the plane is.

    Attributes
    ----------
    measured : bool
        Whether there are points enough to interpolate between, and to say how well.
    errors : list of PlaneError
        One for each quantity, if it is measured.
    held_out : int
        At how many points they were measured: at those that are not spoilt.
    defined : array (q,) of bool
        False of metrics that were no number anywhere: they spoil nothing, and are taken to be none
        between the points either.
    """

    def __init__(
        self,
        nodes: FloatArray,
        held_out: FloatArray,
        known: Callable[[FloatArray], FloatArray],
        losses: int,
    ) -> None:
        self._points = np.concatenate([held_out, nodes])
        values = known(self._points).T
        self.defined: BoolArray = np.array(np.isfinite(values).any(axis=0))
        self.defined[:losses] = True
        values[:, ~self.defined] = 0.0
        self._finite: BoolArray = np.array(np.isfinite(values).all(axis=1))
        self._tree = KDTree(self._points)
        fitted, shown = self._finite.copy(), self._finite & ~self.spoilt(self._points)
        fitted[: len(held_out)] = False
        tested = shown & ~fitted
        self.errors: list[PlaneError] = []
        self.held_out = int(tested.sum())
        trusted = shown & fitted
        enough = int(trusted.sum()) >= NEIGHBOURS
        self.measured = enough and self.held_out >= FEWEST_HELD_OUT
        if not self.measured:
            return
        self._losses, self._values = losses, values[self._finite]
        try:
            surface = Quintic(self._points[fitted])
        except np.linalg.LinAlgError:
            self.measured = False
            return
        # What is one quantity, or all losses, has one scale.
        groups = [slice(0, losses), *(slice(j, j + 1) for j in range(losses, values.shape[1]))]
        self._scales: list[tuple[slice, _Scale]] = []
        for columns in groups:
            some = values[fitted, columns]
            missed = [
                (self._missed(surface, some, scale, self._least[columns])[shown[fitted]], scale)
                for scale in self._candidates(columns)
            ]
            errors, scale = min(missed, key=lambda pair: float(pair[0].mean()))
            self._scales.append((columns, scale))
            if columns.start == 0:
                self._nodes, self._errors = self._points[trusted], errors.max(axis=1)
        found = self._back(surface.at(self._points[tested], self._there(values[fitted])))
        for errors in _relative(found, values[tested], self._least).T:
            self.errors.append(
                PlaneError(float(np.median(errors)), float(np.quantile(errors, 0.95)))
            )

    def within(self, tolerance: float) -> bool:
        """Whether the error of the losses is known to be."""
        return self.measured and all(e.p95 <= tolerance for e in self.errors[: self._losses])

    def at(self, points: FloatArray) -> FloatArray:
        """Each quantity at (n, 2) points, from all that is known: (q, n)."""
        surface = Quintic(self._points[self._finite])
        found = self._back(surface.at(points, self._there(self._values))).T
        found[~self.defined] = np.nan
        return found

    def spoilt(self, points: FloatArray) -> BoolArray:
        """Which of (n, 2) points lie near losses that are not finite, (n,)."""
        if self._finite.all():
            return np.zeros(len(points), dtype=bool)
        _, near = self._tree.query(points, k=REACH)
        found: BoolArray = ~self._finite[near].all(axis=1)
        return found

    def steepness(self, points: FloatArray, softening: float) -> FloatArray:
        """By what an error grows with a power of the distance to the nearest node, (n,).

        That at each node is known from how the others predict it; between them a mean is taken,
        weighted by the inverse square of the distance.
        """
        tree = KDTree(self._nodes)
        apart, _ = tree.query(self._nodes, k=5)  # the first is the node itself
        at_nodes = self._errors / apart[:, 1:].mean(axis=1) ** GROWTH
        distances, near = tree.query(points, k=NEIGHBOURS)
        weights = (distances + softening) ** -2.0
        found: FloatArray = (weights * at_nodes[near]).sum(axis=1) / weights.sum(axis=1)
        return found

    @property
    def _least(self) -> FloatArray:
        """What an error of each quantity is relative to at least, (q,)."""
        least: FloatArray = np.maximum(np.median(np.abs(self._values), axis=0), FLOOR)
        least[: self._losses] = FLOOR
        return least

    def _candidates(self, columns: slice) -> Sequence[_Scale]:
        """The scales that some quantities can be followed in."""
        values = self._values[:, columns]
        # A loss of the user's own may be negative: it is then followed as it is.
        scales = [_LOGARITHM, _FOURTH_ROOT] if bool((values >= 0).all()) else [_AS_IT_IS]
        if columns.start >= self._losses:
            below = bool((values <= 1).all())
            scales = [*dict.fromkeys([_AS_IT_IS, *scales]), *([_BELOW_ONE] * below)]
        return scales

    @staticmethod
    def _missed(
        surface: Quintic, values: FloatArray, scale: _Scale, least: FloatArray
    ) -> FloatArray:
        """How far each value is from what all the other nodes predict, (nodes, columns)."""
        with np.errstate(over="ignore"):
            found = scale.back(surface.left_out(scale.there(values)))
        return np.minimum(_relative(found, values, least), WORST)

    def _there(self, values: FloatArray) -> FloatArray:
        return np.hstack([scale.there(values[:, columns]) for columns, scale in self._scales])

    def _back(self, heights: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # what overflows is evaluated instead
            found = np.hstack([scale.back(heights[:, columns]) for columns, scale in self._scales])
        metrics = slice(self._losses, None)
        low, high = self._values.min(axis=0)[metrics], self._values.max(axis=0)[metrics]
        found[:, metrics] = np.clip(found[:, metrics], low, high)
        return found


def _relative(found: FloatArray, truth: FloatArray, least: FloatArray) -> FloatArray:
    errors: FloatArray = np.abs(found - truth) / np.maximum(np.abs(truth), least)
    return errors
