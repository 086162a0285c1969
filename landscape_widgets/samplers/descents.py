"""Moving downhill from a point: what several samplers do, on displacements from θ*."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from landscape_widgets.geometry.directions import Directions
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.calibration import filter_direction, filters_length
from landscape_widgets.task.parameters import usual_size

Optimiser = Literal["adam", "sgd"]

RATE = 0.05  # with it 60 steps of Adam cover about the distance that the start was moved


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
    """0.05·r/√P: Adam's rate for weights of one scale that are to cover a distance r."""
    return RATE * radius / math.sqrt(size)


class Units:
    """What each weight is measured in, so that a descent does not hang on how weights are scaled.

    A filter's weights are measured in their own root mean square, and so are those of a tensor
    with one axis. If one layer of a ReLU network is multiplied by ten and the next one divided, the
    function stays the same, and so does each descent in these units: its rates, its gradients and
    where it ends. What is zero has no size of its own: it is measured such that it moves the loss
    as much as the others do at first, and in no larger unit than theirs.

    Parameters
    ----------
    objective : Objective
    gradient : Tensor (P,)
        Where the descent begins.

    Attributes
    ----------
    sizes : Tensor (P,)
    """

    def __init__(self, objective: Objective, gradient: Tensor) -> None:
        anchor, layout = objective.anchor, objective.layout
        self.sizes = torch.zeros_like(anchor)
        without: list[slice] = []
        for _, place, shape in layout.slices():
            if not shape.numel():
                continue
            filters = shape[0] if len(shape) > 1 else 1
            rows = anchor[place].view(filters, -1)
            own = rows.norm(dim=1, keepdim=True) / rows.shape[1] ** 0.5
            if not bool((own > 0).any()):
                without.append(place)
                continue
            # A filter of zeros among others is as large as they are.
            others = own[own > 0].square().mean().sqrt()
            self.sizes[place] = torch.where(own > 0, own, others).expand_as(rows).reshape(-1)
        known = self.sizes > 0
        usual = usual_size(anchor, layout)
        if usual == 0:
            usual = filters_length(objective) / math.sqrt(objective.size)
        moves = accumulated(self.sizes[known]) * accumulated(gradient[known])
        pull = float(moves.square().mean().sqrt()) if len(moves) else 0.0
        for place in without:
            own_pull = float(accumulated(gradient[place]).square().mean().sqrt())
            wanted = pull / own_pull if own_pull > 0 else usual
            self.sizes[place] = min(wanted, usual) or usual

    def length(self, displacement: Tensor) -> float:
        """Root mean square of a displacement (P,) in these units."""
        return float(accumulated(displacement / self.sizes).square().mean().sqrt())


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
    moved : bool
        Whether it met a gradient other than zero.
    units : Units or None
        What weights were measured in.
    steepness : float
        Root mean square of the first gradient, in these units; 1 where it is zero.
    """

    displacement: Tensor
    recorded: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False
    moved: bool = False
    units: Units | None = None
    steepness: float = 1.0


def descend(
    work: Work,
    start: Tensor,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int | None = 256,
    optimiser: Optimiser = "adam",
    relative: bool = False,
    record: Collection[int] = (),
    into: Directions | None = None,
    until: float = 1.0,
) -> Run:
    """Descend from θ* + start, with a cosine schedule.

    Parameters
    ----------
    start : Tensor (P,)
    learning_rate : float
        At the first step.
    batch_size : int or None
        Examples of each gradient; None takes all.
    relative : bool
        Whether each weight, and so the learning rate, is measured in `Units`.
    record, into
        Steps after which the displacement is kept, 0 is the start; and where.
    until : float
        What share this is of the step of the work that was last told of.

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
        work.within(until * step / steps)
        theta = objective.anchor + run.displacement
        if batch_size is None:
            loss, gradient = objective.loss_and_gradient(theta)
        else:
            loss, gradient = objective.minibatch_gradient(theta, work.generator, batch_size)
        if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
            run.diverged = True
            break
        run.losses.append(loss)
        run.moved = run.moved or bool(gradient.any())
        if relative and run.units is None:
            run.units = Units(objective, gradient)
            length = float(accumulated(gradient * run.units.sizes).norm())
            run.steepness = length / math.sqrt(objective.size) or 1.0
        rate = learning_rate * cosine(step, steps)
        if run.units is None:
            move = rule.move(gradient, rate)
        else:
            # Squares of very large or small gradients would leave single precision.
            scaled = gradient / run.steepness * run.units.sizes
            move = rule.move(scaled, rate).mul_(run.units.sizes)
        run.displacement = run.displacement + move
        keep(step + 1)
    return run


def perturbed_start(work: Work, relative: float, attempts: int = 8) -> Tensor:
    """A random displacement (P,) as many times the length of θ*'s filters long.

    Or a half, a quarter ... of it, where the loss there is not finite.
    """
    direction = filter_direction(work.objective, work.generator)
    for halvings in range(attempts):
        start: Tensor = direction * (relative * 0.5**halvings)
        if math.isfinite(work.objective.loss(work.objective.anchor + start)):
            return start
    radius = relative * filters_length(work.objective)
    nearest = radius * 0.5 ** (attempts - 1)
    raise ValueError(
        f"The loss is not finite from {radius:.3g} down to {nearest:.3g} away from the trained "
        "weights along a random direction. Give a smaller radius=."
    )
