"""Sharpness from losses alone: the step along a direction that takes the loss back where it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)

FIRST = 1e-3  # length of the first step, as a share of that of θ
USUAL = 25  # losses, of which no more are taken as a rule
ACCURACY = 1e-6  # relative, of η_c
FACTOR = 2.0  # from step to step of the search
LONGEST = 60  # steps that long at most: 2^60 times the first
LOST = 0.1  # relative error of η_c above which rounding rules


@dataclass(frozen=True)
class CriticalSharpness:
    """λ_c = 2/η_c (Kalra et al. 2026, arXiv:2601.16979).

    η_c is the least step η along −g, or a direction that was given, at which the loss is as high
    again as it was. Of a quadratic, λ_c = gᵀHg/‖g‖²: the curvature along the gradient, which in
    training at the edge of stability is near the top eigenvalue, and never above it.

    Attributes
    ----------
    value, error : float
        λ_c, and how far off rounding and the search may leave it. 0 where no step raises the loss.
    rate : float
        η_c; infinite where no step raises the loss.
    evaluations : int
        Of the loss, that it took.
    """

    value: float
    error: float
    rate: float
    evaluations: int

    def __repr__(self) -> str:
        return (
            f"<CriticalSharpness 2/η_c = {self.value:.4g} ± {self.error:.1g}, "
            f"from {self.evaluations} losses>"
        )


def critical_sharpness(
    loss: Callable[[float], float],
    slope: float,
    step: float,
    *,
    rounding: float = 0.0,
    told: Callable[[int], None] | None = None,
) -> CriticalSharpness:
    """The critical sharpness of a loss along a line.

    The line is searched by steps each twice as long as the one before, from one on that lowers the
    loss; between the last that lowers it and the first that does not, the root of
    (L(η) − L(0))/η is found by Brent's method: of a quadratic that is a straight line.

    Parameters
    ----------
    loss : callable
        η → L(θ + η d), with L(θ) at 0.
    slope : float
        gᵀd: below 0, or d does not lead downhill. For d = −g it is −‖g‖².
    step : float
        The first η that is tried.
    rounding : float
        By which a loss may be off.
    told : callable, optional
        Gets the number of losses that were taken; what it raises ends the work.

    Raises
    ------
    ValueError
        If the direction does not lead downhill, the loss is not finite, or rounding rules: at a
        minimum no gradient is left to step along.

    Examples
    --------
    >>> found = critical_sharpness(lambda eta: (1 - 3 * eta) ** 2 / 2, slope=-3.0, step=1e-3)
    >>> round(found.value, 6)  # d = 3 for θ = 1: the loss is θ²/2, and d = −3 g
    3.0
    """
    if not slope < 0:
        raise ValueError(
            f"The loss changes by {slope:.3g} per unit of step along this direction; one that "
            "leads downhill is expected. Where the gradient is 0, at a minimum or on a plateau, "
            "there is no critical step: take the Hessian's top eigenvalue, or give a direction."
        )
    count = 0

    def rise(eta: float) -> float:
        """(L(η) − L(0))/η, which falls short of 0 as long as the loss is below."""
        nonlocal count
        count += 1
        found = loss(eta)
        if told is not None:
            told(count)
        return (found - origin) / eta if math.isfinite(found) else math.inf

    origin = loss(0.0)
    if not math.isfinite(origin):
        raise ValueError(f"The loss is {origin} here; a finite one is expected.")
    low, high = 0.0, step
    at_high = rise(high)
    for _ in range(LONGEST):
        if at_high < 0:
            low, high = high, high * FACTOR
            at_high = rise(high)
        elif low:
            break
        else:  # the first step was too long
            shorter = high / FACTOR
            at = rise(shorter)
            if at < 0:
                low = shorter
            else:
                high, at_high = shorter, at
    if at_high < 0:
        return CriticalSharpness(0.0, 0.0, math.inf, count + 1)
    while low and math.isinf(at_high) and high - low > ACCURACY * high:
        middle = (low + high) / 2  # a straight line leads to no infinite loss
        at = rise(middle)
        low, high, at_high = (middle, high, at_high) if at < 0 else (low, middle, at)
    is_between = low and 0 < at_high < math.inf
    rate = float(brentq(rise, low, high, rtol=ACCURACY)) if is_between else high
    lost = rounding / (-slope * rate)
    if not low or lost > LOST:
        raise ValueError(
            "The loss falls by less than rounding along this direction: at a minimum no gradient "
            "is left to step along. Take the top eigenvalue of the Hessian, give a direction, or "
            "work in double precision (model.double())."
        )
    return CriticalSharpness(2 / rate, 2 / rate * (ACCURACY + lost), rate, count + 1)


def sharpness_along(
    objective: Objective,
    evaluator: Evaluator,
    cloud: Cloud | None = None,
    index: int = 0,
    direction: Tensor | None = None,
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> CriticalSharpness:
    """The critical sharpness of the mean training loss at a sample.

    Parameters
    ----------
    objective, evaluator
        The first gives the gradient, the second takes the losses.
    cloud, index
        Where; at θ* by default.
    direction : Tensor (P,), optional
        What steps are taken along; the negative gradient by default.
    progress, cancelled
        How many losses it will take is not known before.

    Raises
    ------
    ValueError
        As from `critical_sharpness`; or if the direction has another length than θ.
    Cancelled
    """
    anchor = theta = objective.anchor
    kept: list[Tensor] = []
    row: list[float] = []
    buffers: dict[str, Tensor] = {}
    if cloud is not None and index:
        theta, buffers = cloud.vector(index), cloud.buffers(index)
        kept, row = [cloud.displacement(index)], [1.0]
    if direction is not None and direction.shape != theta.shape:
        raise ValueError(
            f"A direction of shape {tuple(theta.shape)} is expected; one of shape "
            f"{tuple(direction.shape)} was given."
        )
    with objective.with_buffers(buffers):
        loss, gradient = objective.loss_and_gradient(theta)
    along = -gradient if direction is None else direction.detach().to(anchor)
    basis = DenseBasis(torch.stack([*kept, along]))
    if cloud is not None and kept and cloud.basis.buffers is not None:
        rows = np.stack([cloud.coefficients[index], np.zeros(cloud.basis.k)])
        basis.buffers = cloud.basis.buffers.taken(rows)

    def at(eta: float) -> float:
        if cancelled():
            raise Cancelled
        found = evaluator.evaluate(
            basis, np.array([[*row, eta]]), splits=("train",), metrics=False, cancelled=cancelled
        ).losses
        if not len(found):
            raise Cancelled
        return float(found[0])

    length = float(accumulated(along).norm())
    scale = float(accumulated(theta).norm()) or 1.0
    return critical_sharpness(
        at,
        float(torch.dot(accumulated(gradient), accumulated(along))),
        FIRST * scale / length if length else FIRST,
        rounding=torch.finfo(anchor.dtype).eps * abs(loss),
        told=lambda count: progress(Progress("critical sharpness", min(count, USUAL), USUAL)),
    )
