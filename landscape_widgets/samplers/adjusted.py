"""Langevin chains whose steps are accepted or refused, so that they draw from just what they say.

A step of Langevin dynamics is too long or too short by an error that grows with it. Metropolis and
Hastings refuse some, such that none is left (MALA: Roberts & Tweedie 1996). Where a valley is
narrow only short steps are accepted, and a chain that came there with long ones alone would stay
for ever: steps are of all lengths up to one, which is found while the chain burns in, such that as
many are accepted on average as is best (Roberts & Rosenthal 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import accumulated
from landscape_widgets.samplers.base import Work

ACCEPTED = 0.574
SHORTEST = 0.03  # of the longest step size, the logarithms of those between being as likely
SLOWING = 0.6  # power of the number of steps by which the step is changed less and less


@dataclass(frozen=True)
class Walk:
    """One chain: losses at its draws, its longest step, what `chain_health` asks of it."""

    losses: FloatArray
    step_size: float
    walked: float
    stepped: float
    failed_at: int | None


@dataclass(frozen=True)
class _Point:
    """A place (P,), its loss, and the gradient of L/T + γ‖at‖²/2 and that itself."""

    at: Tensor
    loss: float
    energy: float
    pull: Tensor


def walk(
    work: Work,
    *,
    temperature: float,
    tether: float,
    step_size: float,
    burn_in: int,
    draws: int,
    every: int,
) -> Walk:
    """One chain from θ* on all training data; `step_size` is where the search for one begins.

    Raises
    ------
    Cancelled
    """
    objective = work.objective

    def visit(at: Tensor) -> _Point:
        loss, gradient = objective.loss_and_gradient(objective.anchor + at)
        energy = loss / temperature + tether / 2 * float(accumulated(at).square().sum())
        return _Point(at, loss, energy, gradient / temperature + tether * at)

    here = visit(torch.zeros_like(objective.anchor))
    start, stepped, longest = here.at, 0.0, step_size
    losses: list[float] = []
    total = burn_in + draws * every
    for step in range(total):
        work.check_cancelled()
        if step == burn_in:
            start, stepped = here.at, 0.0
        size = longest * SHORTEST ** float(work.rng.uniform())
        noise = torch.randn(objective.size, generator=work.generator, dtype=here.at.dtype)
        ahead = visit(here.at - here.pull * (size / 2) + noise.to(here.at.device) * math.sqrt(size))
        chance = math.exp(min(0.0, _log_ratio(here, ahead, size)))
        if float(work.rng.uniform()) < chance:
            stepped += float(accumulated(ahead.at - here.at).square().sum())
            here = ahead
        if step < burn_in:
            longest *= math.exp((chance - ACCEPTED) / (step + 1) ** SLOWING)
        if step >= burn_in and (step - burn_in) % every == every - 1:
            losses.append(here.loss)
        if not math.isfinite(here.loss):  # where it began
            return Walk(np.array(losses), longest, 0.0, stepped, step)
    walked = float(accumulated(here.at - start).square().sum())
    return Walk(np.array(losses), longest, walked, stepped, None)


def _log_ratio(here: _Point, ahead: _Point, size: float) -> float:
    """log of how much likelier the way back is than the way ahead; −∞ where that is no number."""
    if not (math.isfinite(ahead.energy) and bool(ahead.pull.isfinite().all())):
        return -math.inf

    def way(start: _Point, end: _Point) -> float:
        missed = accumulated(end.at - start.at + start.pull * (size / 2))
        return -float(missed.square().sum()) / (2 * size)

    found = here.energy - ahead.energy + way(ahead, here) - way(here, ahead)
    return found if not math.isnan(found) else -math.inf
