"""How far from θ* to look: the radius at which the loss is that of an untrained network.

A fixed radius fails. In units of ‖θ*‖ the right one was 0.6 for one small network and 4.6 for
another: too near, and all samples look like θ*; too far, and the loss is a wall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.resources import allowance
from landscape_widgets.samplers.base import Work
from landscape_widgets.task.parameters import (
    filter_normalise,
    one_dimensional,
    random_direction,
    reinitialise,
)

COPIES = 8  # untrained copies, and directions, that medians are taken over
FACTOR = 1.5  # the loss at the radius, in units of an untrained copy's
# log2(r / length of θ*'s filters) where the search starts, and its ends
FIRST, LAST, LOWEST = -7.0, 4.0, -24.0
FARTHEST = 24.0  # and where it ends for a loss that is the same all over


@dataclass(frozen=True)
class Calibration:
    """The loss-calibrated radius, and how it was found.

    Attributes
    ----------
    relative : float
        At how many times the length of θ*'s filters from θ* the median loss along random
        directions is `target`.
    unit : float
        That length; see `filters_length`.
    reference : float
        Median loss of untrained copies.
    target : float
        1.5 times that.
    radii, losses : arrays (s,)
        Distances that were tried, and the median losses there.
    reached : bool
        False where the loss levels off below the target (a bounded loss): the radius is then
        where it has risen by 90% of what it ever does.
    """

    relative: float
    unit: float
    reference: float
    target: float
    radii: FloatArray
    losses: FloatArray
    reached: bool

    @property
    def radius(self) -> float:
        """Distance from θ*."""
        return self.relative * self.unit


def filter_direction(objective: Objective, generator: torch.Generator) -> Tensor:
    """A random filter-normalised direction (P,), as long as θ*'s filters.

    It is not scaled as a whole: a sum over layers is rounded in another way where these are scaled
    against each other, and long descents make much of that.
    """
    anchor, layout = objective.anchor, objective.layout
    direction = random_direction(anchor, layout, generator)
    norm = float(accumulated(direction).norm())
    if norm == 0 or not math.isfinite(norm):  # θ* is zero wherever filters are
        direction = random_direction(anchor, layout, generator, filter_normalised=False)
        direction *= filters_length(objective) / float(accumulated(direction).norm())
    return direction


def filters_length(objective: Objective) -> float:
    """Length of each filter-normalised direction, before it is scaled: that of θ*'s filters.

    Distances along such directions, in units of this, do not change when a layer of a network is
    multiplied by a number and the next one divided by it. Where filters are zero it is that of an
    untrained network's.
    """
    anchor, layout = objective.anchor, objective.layout
    fresh = reinitialise(anchor, layout, torch.Generator().manual_seed(0))
    for weights in (anchor, fresh):
        direction = filter_normalise(weights, weights, layout, one_dimensional(layout))
        length = float(accumulated(direction).norm())
        if length > 0:
            return length
    return 1.0


class DrawnAgain(Basis):
    """k such directions of which none is held: each is drawn from its generator's state again."""

    def __init__(self, k: int, objective: Objective, generator: torch.Generator) -> None:
        self.k, self.size, self.objective = k, objective.size, objective
        self._states: list[Tensor] = []
        for _ in range(k):
            self._states.append(generator.get_state())
            filter_direction(objective, generator)

    def row(self, j: int) -> Tensor:
        generator = torch.Generator()
        generator.set_state(self._states[j])
        return filter_direction(self.objective, generator)

    def columns(self, place: slice, directions: Sequence[int] | None = None) -> Tensor:
        numbers = range(self.k) if directions is None else directions
        return torch.stack([self.row(j)[place] for j in numbers])


def filter_directions(k: int, objective: Objective, generator: torch.Generator) -> Basis:
    """k such directions as a basis, held in memory where that is little."""
    anchor = objective.anchor
    if k * anchor.nbytes > allowance(anchor.device):
        return DrawnAgain(k, objective, generator)
    vectors = anchor.new_empty(k, objective.size)
    for vector in vectors:
        vector.copy_(filter_direction(objective, generator))
    return DenseBasis(vectors)


def reference_loss(work: Work, copies: int = COPIES) -> float:
    """Median training loss of untrained copies of the model."""
    objective, losses = work.objective, []
    for number in range(copies):  # one is in memory at a time
        work.report("untrained", number, copies)
        loss = objective.loss(reinitialise(objective.anchor, objective.layout, work.generator))
        losses.append(math.inf if math.isnan(loss) else loss)
    return float(np.median(losses))


def calibrate(work: Work) -> Calibration:
    """Find the radius at which the loss along random directions is 1.5 times an untrained one's.

    L_ref is the median loss of 8 untrained copies. Along 8 filter-normalised directions r grows
    from 2⁻⁷ times the length of θ*'s filters in steps of √2 until the median loss exceeds
    1.5·L_ref (or shrinks, where it does so from the first); the radius is interpolated, log loss
    against log r. Where the loss rises nowhere but falls, it is the radius at which it has fallen
    by 90% of what it ever does: θ* is then no minimum, but there is something to see. Where it is
    the very same all the way, the search goes on, to 2²⁴ times that length.

    Raises
    ------
    ValueError
        If the loss is the same everywhere.
    Cancelled
    """
    objective = work.objective
    reference = reference_loss(work)
    target = _target(objective.anchor_loss, reference)
    directions = filter_directions(COPIES, objective, work.generator)
    unit = filters_length(objective)

    tried: dict[float, float] = {}

    def median_at(exponent: float) -> float:
        work.report("radius", len(tried), int(2 * (LAST - FIRST)) + 1)
        rows = np.eye(COPIES) * 2.0**exponent
        tried[exponent] = float(np.median(work.losses(directions, rows)))
        return tried[exponent]

    exponent = FIRST
    if median_at(exponent) > target:
        while exponent > LOWEST and tried[exponent] > target:
            exponent -= 0.5
            median_at(exponent)
    else:
        while exponent < LAST and tried[exponent] <= target:
            exponent += 0.5
            median_at(exponent)

    least = 1e-12 * max(1.0, abs(objective.anchor_loss))
    while exponent < FARTHEST and all(
        abs(loss - objective.anchor_loss) <= least for loss in tried.values()
    ):
        exponent += 1.0  # θ* lies in the middle of a plateau, as of a hinge that all examples pass
        median_at(exponent)

    exponents = np.array(sorted(tried))
    losses = np.array([tried[e] for e in exponents])
    reached = bool((losses > target).any())
    if not reached:
        rise, fall = losses.max() - objective.anchor_loss, objective.anchor_loss - losses.min()
        if not max(rise, fall) > least:
            raise ValueError(
                f"The loss is {objective.anchor_loss:g} at the trained weights and nowhere higher "
                f"or lower up to {2.0**exponent:g} times their norm away, in {COPIES} random "
                "directions: there is no radius to be found. Look whether the loss depends on the "
                "trainable weights at all; radius= gives a picture of what is there."
            )
        target = objective.anchor_loss + 0.9 * rise
        if not rise > least:  # turned over, it is what else it would be
            losses, target = -losses, -objective.anchor_loss + 0.9 * fall
    return Calibration(
        relative=2.0 ** _crossing(exponents, losses, target),
        unit=unit,
        reference=reference,
        target=target,
        radii=unit * 2.0**exponents,
        losses=losses,
        reached=reached,
    )


def _target(anchor_loss: float, reference: float) -> float:
    """The loss that marks the radius, also for losses below 0 and models worse than untrained."""
    if math.isfinite(reference) and reference > anchor_loss:
        if reference > 0:
            return FACTOR * reference
        return anchor_loss + FACTOR * (reference - anchor_loss)
    return anchor_loss + 0.5 * max(abs(anchor_loss), 1e-3)


def _crossing(exponents: FloatArray, losses: FloatArray, target: float) -> float:
    """Exponent at which the losses first exceed the target."""
    above = int(np.argmax(losses > target))
    if above == 0:
        return float(exponents[0])
    low, high = losses[above - 1], losses[above]
    if not math.isfinite(high):
        share = 0.5
    elif low > 0:
        share = math.log(target / low) / math.log(high / low)
    else:
        share = (target - low) / (high - low)
    return float(exponents[above - 1] + share * (exponents[above] - exponents[above - 1]))


def relative_radius(work: Work, radius: float | None) -> float:
    """The radius that the user gave, or the loss-calibrated one, in lengths of θ*'s filters."""
    if radius is None:
        return calibrate(work).relative
    return float(radius) / filters_length(work.objective)


def reach(
    work: Work, directions: Basis, target: float, limit: float
) -> tuple[FloatArray, FloatArray]:
    """How far along each direction, ahead and behind, the loss stays below `target`: (k,) each.

    Parameters
    ----------
    directions
        k directions of length 1.
    limit
        Not further than this.

    Raises
    ------
    Cancelled
    """
    exponents = np.arange(-12.0, 0.25, 0.5)  # log2(r / limit)
    both = np.vstack([np.eye(directions.k), -np.eye(directions.k)])
    losses = np.empty((len(both), len(exponents)))
    for number, exponent in enumerate(exponents):
        work.report("reach", number, len(exponents))
        losses[:, number] = work.losses(directions, both * (limit * 2.0**exponent))
    ends = np.full(len(both), limit)
    for number, row in enumerate(losses):
        if (row > target).any():
            ends[number] = limit * 2.0 ** _crossing(exponents, row, target)
    return ends[: directions.k], ends[directions.k :]
