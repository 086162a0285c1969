"""Losses of a plane between those that were evaluated, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Callable
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
    """Relative error of interpolated losses at the held-out points: 0.01 is one percent.

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


class Interpolated:
    """What is interpolated from each split's losses, and how far it can be trusted.

    Losses that are not finite are left out; what they spoil is told by `spoilt` and not
    interpolated. Of the scales that losses can be followed in, the one is taken in which the nodes
    predict each other best.

    Parameters
    ----------
    nodes : array (n, 2)
        Points to fit.
    held_out : array (h, 2)
        Points to measure the error at; fitted only by `at`.
    known : callable
        Gives the losses (splits, m) at (m, 2) of these points.

    Attributes
    ----------
    measured : bool
        Whether there are points enough to interpolate between, and to say how well.
    errors : list of PlaneError
        One for each split, if it is measured.
    held_out : int
        At how many points they were measured: at those that are not spoilt.
    """

    def __init__(
        self,
        nodes: FloatArray,
        held_out: FloatArray,
        known: Callable[[FloatArray], FloatArray],
    ) -> None:
        self._points = np.concatenate([held_out, nodes])
        losses = known(self._points).T
        self._finite: BoolArray = np.array(np.isfinite(losses).all(axis=1))
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
        self._losses = losses[self._finite]
        try:
            surface = Quintic(self._points[fitted])
        except np.linalg.LinAlgError:
            self.measured = False
            return
        # A loss of the user's own may be negative: it is then followed as it is.
        positive = bool((self._losses >= 0).all())
        scales = (_LOGARITHM, _FOURTH_ROOT) if positive else (_AS_IT_IS,)
        missed = [self._missed(surface, losses[fitted], scale)[shown[fitted]] for scale in scales]
        best = int(np.argmin([errors.mean() for errors in missed]))
        self._scale = scales[best]
        self._nodes, self._errors = self._points[trusted], missed[best].max(axis=1)
        heights = self._scale.there(losses[fitted])
        found = self._back(surface.at(self._points[tested], heights))
        for errors in _relative(found, losses[tested]).T:
            self.errors.append(
                PlaneError(float(np.median(errors)), float(np.quantile(errors, 0.95)))
            )

    def within(self, tolerance: float) -> bool:
        """Whether the error is known to be."""
        return self.measured and all(error.p95 <= tolerance for error in self.errors)

    def at(self, points: FloatArray) -> FloatArray:
        """Losses of each split at (n, 2) points, from all that is known: (splits, n)."""
        surface = Quintic(self._points[self._finite])
        return self._back(surface.at(points, self._scale.there(self._losses))).T

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

    def _missed(self, surface: Quintic, losses: FloatArray, scale: _Scale) -> FloatArray:
        """How far each loss is from what all the other nodes predict, (nodes, splits)."""
        with np.errstate(over="ignore"):
            found = scale.back(surface.left_out(scale.there(losses)))
        return np.minimum(_relative(found, losses), WORST)

    def _back(self, heights: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # what overflows is evaluated instead
            return self._scale.back(heights)


def _relative(found: FloatArray, truth: FloatArray) -> FloatArray:
    errors: FloatArray = np.abs(found - truth) / np.maximum(np.abs(truth), FLOOR)
    return errors
