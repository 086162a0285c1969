"""How far the loss falls along a line, and along the first steps of a descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape_widgets.curvature.lbfgs import Memory
from landscape_widgets.diagnosis.point import Point
from landscape_widgets.geometry.basis import FloatArray

RISES = 3  # tries in a row that find nothing lower, after which a side is left
FARTHEST = 2.0  # in units of the point's length
NEAR = 0.1
# Armijo's rule.
ARMIJO = 1e-4
SHORTER = 0.3
HALVINGS = 8


@dataclass(frozen=True)
class Along:
    """The loss along a line through a point, less that at the point.

    Attributes
    ----------
    distances, changes : arrays (n,)
        Negative ones lie on the other side.
    slope : float
        Of the loss along the line, by its gradient.
    length : float
        What distances are measured in.
    """

    distances: FloatArray
    changes: FloatArray
    slope: float
    length: float

    @property
    def fall(self) -> float:
        """How far the loss falls at most, 0 where it does not."""
        return max(0.0, -self._lowest(self.changes))

    @property
    def other_fall(self) -> float:
        """How far it falls on the side where it falls less."""
        ahead = self.distances > 0
        falls = [max(0.0, -self._lowest(self.changes[side])) for side in (ahead, ~ahead)]
        return min(falls)

    @property
    def at(self) -> float:
        """Where it falls farthest."""
        known = np.where(np.isfinite(self.changes), self.changes, np.inf)
        return float(self.distances[np.argmin(known)]) if len(known) else 0.0

    @property
    def by_slope(self) -> float:
        """The share of that fall which the slope at the point foretells."""
        return -self.slope * self.at / self.fall if self.fall > 0 else 0.0

    @property
    def rise(self) -> float:
        """How far it rises at most, as far as it was followed."""
        known = self.changes[np.isfinite(self.changes)]
        return max(0.0, float(known.max(initial=0.0)))

    @property
    def near(self) -> float:
        """How far it changes at most within a tenth of the length."""
        near = self.changes[np.abs(self.distances) <= NEAR * self.length]
        return float(np.abs(near[np.isfinite(near)]).max(initial=0.0))

    @staticmethod
    def _lowest(changes: FloatArray) -> float:
        return float(changes[np.isfinite(changes)].min(initial=0.0))


def along(
    point: Point,
    direction: Tensor,
    gradient: Tensor,
    *,
    start: float,
    tries: int,
    both: bool = True,
) -> Along:
    """Follow the loss from a point, each time twice as far, until it rises or the tries are up.

    Parameters
    ----------
    direction : Tensor (P,)
        Of length 1.
    gradient : Tensor (P,)
        At the point.
    start : float
        The first distance.
    tries : int
        On each side.
    both : bool
        Whether to look on the other side, too.
    """
    distances: list[float] = []
    changes: list[float] = []
    for sign in (1.0, -1.0) if both else (1.0,):
        distance, lowest, rises = start, 0.0, 0
        for _ in range(tries):
            change = point.loss(direction * (sign * distance)) - point.here
            distances.append(sign * distance)
            changes.append(change)
            lower = math.isfinite(change) and change < lowest
            lowest = change if lower else lowest
            rises = 0 if lower else rises + 1
            distance *= 2
            if rises >= RISES or distance > FARTHEST * point.length:
                break
    slope = float(gradient @ direction)
    return Along(np.array(distances), np.array(changes), slope, point.length)


def descended(
    point: Point, first_step: float, steps: int, beside: Tensor | None = None
) -> tuple[float, int]:
    """How far some steps of L-BFGS go down, and how many there were.

    Parameters
    ----------
    first_step : float
        Length of the first one, against the gradient.
    steps : int
        At most.
    beside : Tensor (k, P), optional
        Directions of length 1, at right angles, that the descent keeps out of.
    """

    def measure(displacement: Tensor | None) -> tuple[float, Tensor]:
        at_theta = displacement is None
        loss, gradient = point.slope if at_theta else point.loss_and_gradient(displacement)
        if beside is not None:
            gradient = gradient - beside.T @ (beside @ gradient)
        return loss, gradient

    start, gradient = measure(None)
    at, loss, memory, taken = gradient * 0, start, Memory(len(gradient)), 0
    while taken < steps:
        point.tell("descending", taken, steps)
        direction = memory.direction(gradient)
        length = 1.0
        if not len(memory):
            norm = float(direction.norm())
            length = first_step / norm if norm > 0 else 0.0
        slope = float(gradient @ direction)
        if not slope < 0:
            break
        for _ in range(HALVINGS):
            there = at + direction * length
            new_loss, new_gradient = measure(there)
            lower = new_loss < loss and new_loss <= loss + ARMIJO * length * slope
            if lower and bool(new_gradient.isfinite().all()):
                break
            length *= SHORTER
        else:
            if not len(memory):
                break
            memory.clear()
            continue
        memory.add(there - at, new_gradient - gradient)
        at, loss, gradient = there, new_loss, new_gradient
        taken += 1
    return start - loss, taken
