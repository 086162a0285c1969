"""Descending until the loss has stopped falling, and whether what was reached is a minimum."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from landscape_widgets.curvature.lbfgs import Memory
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.descents import Run, Units

Ending = Literal["minimum", "still falling", "stuck", "no gradient", "not finite"]

# Of all that the loss fell by since the descent began:
SETTLED = 1e-6  # over LATELY steps no more than this: it has stopped falling
LATELY = 10
# A further descent from a point beside the end falls by more: it was no minimum. A loss above zero
# that has no more than this left has nowhere to fall.
FALLS = 1e-4
GENTLE = 1e-2  # length of the gradient at a minimum, of that where the descent began
ASIDE = 1e-2  # how far beside the end, in the units of the weights and of the start's distance
FURTHER = 15  # steps of that descent
# Of its line search (Armijo's rule).
ARMIJO = 1e-4
SHORTER = 0.3
HALVINGS = 12


@dataclass(frozen=True)
class Settled:
    """Where a descent came to rest, or was left.

    Attributes
    ----------
    displacement : Tensor (P,)
    loss : float
        On all training data.
    ending : str
        "minimum": the gradient is a hundredth of what it was where the descent began, or less; the
        loss fell by less than a millionth of its whole fall in ten steps, or is down to a
        ten-thousandth of it; and a further descent from beside the end finds nothing lower than by
        such a ten-thousandth. "still falling": the steps ended before, and this is where the loss
        was first as low as at θ*, if it got there. "stuck": no step lowers the loss, though its
        gradient is not small (a kink, or rounding). "no gradient": it never moved, or ends on a
        plateau. "not finite": the loss or gradient was not finite.
    """

    displacement: Tensor
    loss: float
    ending: Ending


class _Descent:
    """L-BFGS on all training data, in the units of the weights.

    Losses and gradients are divided by the steepness where the run began: squares of very large or
    small ones would leave single precision.
    """

    def __init__(self, work: Work, at: Tensor, run: Run, units: Units, first_step: float) -> None:
        self.work, self.units, self.first_step = work, units, first_step
        self.steepness = run.steepness
        self.at = at
        self.memory = Memory(len(at))
        self.loss, self.gradient = self._measure(at)

    def _measure(self, at: Tensor) -> tuple[float, Tensor]:
        """Loss, and gradient in the units, at θ* + at."""
        loss, gradient = self.work.objective.loss_and_gradient(self.work.objective.anchor + at)
        return loss / self.steepness, gradient / self.steepness * self.units.sizes

    @property
    def finite(self) -> bool:
        """Whether it may go on from here."""
        return math.isfinite(self.loss) and bool(self.gradient.isfinite().all())

    @property
    def gentle(self) -> bool:
        """Whether the gradient is as small as at a minimum."""
        return float(self.gradient.norm()) <= GENTLE * math.sqrt(len(self.at))

    def step(self) -> bool:
        """Go one step down; False where no step lowers the loss."""
        if self._search(self.memory.direction(self.gradient)):
            return True
        if not len(self.memory):
            return False
        self.memory.clear()
        return self._search(-self.gradient)

    def _search(self, direction: Tensor) -> bool:
        slope = float(self.gradient @ direction)
        if not slope < 0:
            return False
        length = 1.0
        if not len(self.memory):  # the gradient tells where to, but not how far
            length = self.first_step * math.sqrt(len(direction)) / float(direction.norm())
        for _ in range(HALVINGS):
            self.work.check_cancelled()
            there = self.at + direction * length * self.units.sizes
            loss, gradient = self._measure(there)
            lower = loss < self.loss and loss <= self.loss + ARMIJO * length * slope
            if lower and bool(gradient.isfinite().all()):
                self.memory.add(direction * length, gradient - self.gradient)
                self.at, self.loss, self.gradient = there, loss, gradient
                return True
            length *= SHORTER
        return False


def settle(
    work: Work, run: Run, *, fell_from: float, distance: float, steps: int, after: float = 0.0
) -> Settled:
    """Go on from where a run ended until the loss has stopped falling; is it a minimum?

    Parameters
    ----------
    run : Run
        In `Units`.
    fell_from : float
        The loss where it began, on all training data.
    distance : float
        How far from θ* that was, in the units.
    steps : int
        Of L-BFGS, at most.
    after : float
        What share of the step of the work that was last told of is done already.

    Raises
    ------
    Cancelled
    """
    if run.units is None or run.diverged or not run.moved:
        loss = work.objective.loss(work.objective.anchor + run.displacement)
        return Settled(run.displacement, loss, "not finite" if run.diverged else "no gradient")
    descent = _Descent(work, run.displacement, run, run.units, 0.1 * distance)

    def ended(ending: Ending) -> Settled:
        return Settled(descent.at, descent.loss * run.steepness, ending)

    if not descent.finite:
        return ended("not finite")
    lately = deque([descent.loss], maxlen=LATELY + 1)
    taken, level = 0, work.objective.loss(work.objective.anchor) / run.steepness
    # Where it first was as low as at θ*. A descent that finds no minimum ends here: farther down,
    # it fits the noise of few examples, and samples around such ends tell nothing of θ*.
    as_low: tuple[Tensor, float] | None = None
    while taken < steps:
        work.within(after + (1 - after) * taken / steps)
        if as_low is None and descent.loss <= level:
            as_low = descent.at, descent.loss * run.steepness
        fall = max(fell_from / run.steepness - descent.loss, 0.0)
        rests = len(lately) > LATELY and lately[0] - lately[-1] <= SETTLED * fall
        # A loss that is not known to go below zero has no more than itself to fall.
        rests = rests or (0 <= descent.loss <= FALLS * fall and descent.gentle)
        if not rests and descent.step():
            lately.append(descent.loss)
            taken += 1
            continue
        aside = _aside(work, descent, distance)
        beside = _Descent(work, aside, run, run.units, ASIDE * distance)
        if beside.finite:
            if descent.loss != 0 and not (beside.gradient.any() or descent.gradient.any()):
                return ended("no gradient")
            taken += _further(beside)
            if beside.loss < descent.loss - FALLS * fall:
                descent, lately = beside, deque([beside.loss], maxlen=LATELY + 1)
                continue
        return ended("minimum" if descent.gentle else "stuck")
    return ended("still falling") if as_low is None else Settled(*as_low, "still falling")


def _aside(work: Work, descent: _Descent, distance: float) -> Tensor:
    """A point a little beside the end, in all directions alike."""
    at = descent.at
    noise = torch.randn(len(at), generator=work.generator, dtype=torch.float32)
    return at + noise.to(at) * descent.units.sizes * (ASIDE * distance)


def _further(descent: _Descent) -> int:
    """Take some steps, and tell how many."""
    for taken in range(FURTHER):
        if not descent.step():
            return taken
    return FURTHER
