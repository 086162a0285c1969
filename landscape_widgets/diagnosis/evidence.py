"""What can be measured at a parameter vector: numbers, with their errors."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from landscape_widgets.diagnosis.curving import Curving, curving
from landscape_widgets.diagnosis.falls import Along, along, descended
from landscape_widgets.diagnosis.point import ROUNDING, Point
from landscape_widgets.diagnosis.references import References
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.precision import accumulated

logger = logging.getLogger(__name__)

STEPS, FEW_STEPS = 20, 3  # of descent, in small models and in large ones
TRIES, FEW_TRIES = 12, 2  # along a line, on each side
# Of what the loss has fallen by since the weights were untrained: less than this is nothing.
TOLERANCE = 1e-3
LEAST_SCALE = 0.05  # of an untrained loss, where it has hardly fallen


@dataclass(frozen=True)
class Evidence:
    """What is known of the loss at a parameter vector.

    What was not measured, because the loss is not finite there or has no gradient, is NaN.

    Attributes
    ----------
    loss : float
        On all training data.
    val_loss, gap_error : float or None
        On the validation data, and its standard error as one sample of such data; None without
        validation data, and where examples have no loss of their own.
    references : References
        Chance, and untrained networks.
    scale : float
        What the loss has fallen by since it was untrained; changes are judged against it.
    rounding : float
        Losses that differ by less are not told apart in this precision.
    gradient, gradient_error : float
        ‖g‖, and how far it is off: by the same in float64, where the model runs in it.
    best_step : float
        What the loss loses by one step against the gradient, of the best length that was found.
    descent : float
        What it loses by `steps` steps of L-BFGS, which keep out of the directions that the loss
        falls along by curving downwards.
    steps : int
    top, bottom, top_error, bottom_error : float
        The largest and the smallest eigenvalue of the Hessian that were found, and how far some
        eigenvalue may be from each.
    negative : int
        Eigenvalues found below zero by more than their errors.
    whole : bool
        All P eigenvalues were found, not just some at both ends.
    size : int
        P.
    downwards, anywhere : Along or None
        The loss along the eigenvector of the smallest eigenvalue, and along a random direction.
    thorough : bool
    without_gradient : str
        Why there is no gradient, or why it is not to be believed; empty where it is.
    """

    loss: float
    val_loss: float | None
    gap_error: float | None
    references: References
    size: int
    scale: float = math.nan
    rounding: float = math.nan
    gradient: float = math.nan
    gradient_error: float = math.nan
    best_step: float = math.nan
    descent: float = math.nan
    steps: int = 0
    top: float = math.nan
    bottom: float = math.nan
    top_error: float = math.nan
    bottom_error: float = math.nan
    negative: int = 0
    whole: bool = False
    downwards: Along | None = field(default=None, repr=False)
    anywhere: Along | None = field(default=None, repr=False)
    thorough: bool = True
    without_gradient: str = ""

    @property
    def gap(self) -> float | None:
        """How much higher the loss is on the validation data."""
        return None if self.val_loss is None else self.val_loss - self.loss

    @property
    def nothing(self) -> float:
        """A change of the loss that is too small to speak of."""
        return max(TOLERANCE * self.scale, self.rounding)


def gather(point: Point, known: References) -> Evidence:
    """Measure what there is to be known at a point.

    Raises
    ------
    Cancelled
    """
    objective = point.objective
    point.tell("gradient", 0, 1)
    loss = point.here
    found = Evidence(loss, *_validation(point), known, objective.size, thorough=point.thorough)
    if not math.isfinite(loss):
        return found
    rounding = ROUNDING * point.epsilon * abs(loss)
    found = replace(found, rounding=rounding)
    tries = TRIES if point.thorough else FEW_TRIES
    gradient, why = _gradient(point)
    found = replace(found, without_gradient=why)
    aimless = gradient is None
    gradient = point.theta * 0 if gradient is None else gradient
    length = float(accumulated(gradient).norm())
    if not math.isfinite(length):
        return replace(found, gradient=length, scale=_scale(loss, known, None))
    anywhere = None
    if point.thorough or aimless:
        random = point.random_direction()
        anywhere = along(point, random, gradient, start=point.length / 128, tries=tries)
    found = replace(found, anywhere=anywhere, scale=_scale(loss, known, anywhere))
    if aimless:
        return found
    found = replace(found, gradient=length, gradient_error=_gradient_error(point, gradient))
    curved: Curving | None = None
    try:
        curved = curving(point, gradient)
    except ValueError:  # a product with the Hessian is not finite
        logger.info("The loss's curvature is not known here.", exc_info=True)
    if curved is not None:
        found = replace(
            found, top=curved.top, bottom=curved.bottom, top_error=curved.top_error,
            bottom_error=curved.bottom_error, negative=curved.negative, whole=curved.whole,
        )  # fmt: skip
    step, best = _best_step(point, gradient, length, found.top, tries)
    down, beside = None, None
    if curved is not None and (curved.negative or curved.level):
        start = _first_distance(point, curved, found.nothing)
        down = along(point, curved.lowest, gradient, start=start, tries=tries)
        beside = curved.downwards if curved.negative and down.fall > found.nothing else None
    steps = STEPS if point.thorough else FEW_STEPS
    descent, taken = descended(point, step, steps, beside)
    return replace(found, best_step=best, descent=descent, steps=taken, downwards=down)


def _gradient(point: Point) -> tuple[Tensor | None, str]:
    """The gradient (P,), where there is one, and why it is not to be believed."""
    try:
        point.objective.check_gradient()
    except ValueError:
        return None, "the loss has no gradient"
    wrong = "The gradient is not the derivative"
    doubted = any(said.startswith(wrong) for said in point.objective.assumptions)
    why = "the gradient is not the derivative of the loss" if doubted else ""
    return point.slope[1], why


def _validation(point: Point) -> tuple[float | None, float | None]:
    """The loss on the validation data, and its standard error."""
    objective = point.objective
    if not objective.n_val_examples:
        return None, None
    with objective.with_buffers(point.buffers):
        loss = objective.loss(point.theta, "val")
        if objective.why_no_example_losses() is not None or objective.n_val_examples < 2:
            return loss, None
        away = DenseBasis((point.theta - objective.anchor)[None])
        ((_, losses),) = objective.example_losses(away, np.ones((1, 1)), split="val")
    return loss, float(losses[0].std(ddof=1) / math.sqrt(losses.shape[1]))


def _scale(loss: float, known: References, anywhere: Along | None) -> float:
    """What the loss has fallen by since it was untrained, or what else it might be measured by."""
    base = known.base
    if base is not None and math.isfinite(base) and base != 0:
        return max(base - loss, LEAST_SCALE * abs(base))
    if loss != 0:
        return abs(loss)
    return 0.0 if anywhere is None else anywhere.rise


def _gradient_error(point: Point, gradient: Tensor) -> float:
    if gradient.element_size() == 8:
        return ROUNDING * point.epsilon * float(gradient.norm())
    better = None if point.exact is None else point.exact.gradient()
    if better is None:
        return math.nan
    return float((better - accumulated(gradient).to(better)).norm())


def _best_step(
    point: Point, gradient: Tensor, length: float, top: float, tries: int
) -> tuple[float, float]:
    """Length of the best step against the gradient, and what the loss loses by it."""
    if length == 0:
        return 0.0, 0.0
    # Half of what is best where the loss curves most: no gradient step should go less far.
    start = 0.5 * length / top if top > 0 else 0.01 * point.length
    start = min(start, 0.1 * point.length)
    found = along(point, gradient / -length, gradient, start=start, tries=tries, both=False)
    if found.fall > 0:
        return found.at, found.fall
    return start, 0.0


def _first_distance(point: Point, curved: Curving, nothing: float) -> float:
    """Where the loss has fallen by hardly anything, as its curvature foretells."""
    least, most = point.length / 256, point.length / 8
    if curved.bottom >= 0:
        return least
    return min(max(math.sqrt(nothing / -curved.bottom), least), most)
