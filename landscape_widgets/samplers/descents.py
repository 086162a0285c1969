"""Moving downhill from a point: what several samplers do, on displacements from θ*."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from landscape_widgets.directions import Directions
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.calibration import unit_direction

Optimiser = Literal["adam", "sgd"]


@dataclass
class Adam:
    """Adam (Kingma & Ba 2015) on one vector.

    Not torch.optim: its first step loads the compiler, which takes longer than a whole descent.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    steps: int = 0
    first: Tensor | None = None
    second: Tensor | None = None

    def move(self, gradient: Tensor, learning_rate: float) -> Tensor:
        """What to add to the point, shape (P,)."""
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self.steps += 1
        self.first.mul_(self.betas[0]).add_(gradient, alpha=1 - self.betas[0])
        self.second.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        scale = math.sqrt(1 - self.betas[1] ** self.steps)
        denominator = self.second.sqrt().div_(scale).add_(self.epsilon)
        rate = learning_rate / (1 - self.betas[0] ** self.steps)
        return self.first.div(denominator).mul_(-rate)


@dataclass
class Sgd:
    """Plain gradient steps, whose length is set by the learning rate and the gradient alone."""

    def move(self, gradient: Tensor, learning_rate: float) -> Tensor:
        """What to add to the point, shape (P,)."""
        return gradient * -learning_rate


def cosine(step: int, steps: int) -> float:
    """Share of the learning rate at a step: from 1 down to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def learning_rate_for(radius: float, size: int) -> float:
    """0.05·r/√P: 60 steps of Adam then cover about the distance that the start was moved."""
    return 0.05 * radius / math.sqrt(size)


@dataclass
class Run:
    """One descent.

    Attributes
    ----------
    displacement : Tensor (P,)
        Where it ended, as θ − θ*.
    recorded : list of int
        Steps after which the displacement was kept.
    losses : list of float
        Loss on the examples of each step, before the step was taken.
    diverged : bool
        It met a loss or gradient that is not finite, and ends at the last point where both were.
    """

    displacement: Tensor
    recorded: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False


def descend(
    work: Work,
    start: Tensor,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int | None = 256,
    optimiser: Optimiser = "adam",
    record: Collection[int] = (),
    into: Directions | None = None,
) -> Run:
    """Descend from θ* + start, with a cosine schedule.

    Parameters
    ----------
    start : Tensor (P,)
    batch_size : int or None
        Examples of each gradient; None takes all.
    record, into
        Steps after which the displacement is kept, 0 is the start; and where.

    Raises
    ------
    Cancelled
    """
    objective = work.objective
    rule = Adam() if optimiser == "adam" else Sgd()
    run = Run(start.clone())

    def keep(step: int) -> None:
        if into is not None and step in record:
            into.append(run.displacement)
            run.recorded.append(step)

    keep(0)
    for step in range(steps):
        work.check_cancelled()
        theta = objective.anchor + run.displacement
        if batch_size is None:
            loss, gradient = objective.loss_and_gradient(theta)
        else:
            loss, gradient = objective.minibatch_gradient(theta, work.generator, batch_size)
        if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
            run.diverged = True
            break
        run.losses.append(loss)
        run.displacement = run.displacement + rule.move(
            gradient, learning_rate * cosine(step, steps)
        )
        keep(step + 1)
    return run


def perturbed_start(
    work: Work, radius: float, filter_normalised: bool = True, attempts: int = 8
) -> Tensor:
    """A random displacement (P,) of length `radius`, or of a half, a quarter ... where the loss
    there is not finite."""
    direction = unit_direction(work.objective, work.generator, filter_normalised)
    for halvings in range(attempts):
        start: Tensor = direction * (radius * 0.5**halvings)
        if math.isfinite(work.objective.loss(work.objective.anchor + start)):
            return start
    nearest = radius * 0.5 ** (attempts - 1)
    raise ValueError(
        f"The loss is not finite from {radius:.3g} down to {nearest:.3g} away from the trained "
        "weights along a random direction. Give a smaller radius=."
    )
