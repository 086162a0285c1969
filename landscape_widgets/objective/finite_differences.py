"""Whether a gradient is the derivative of its loss, seen by finite differences.

What a loss detaches (`.detach()`, `.data`, `torch.no_grad()` around a part of it) autograd takes
for constant, without a word. The loss itself does not: it is evaluated a little to both sides, at
two distances, which tell as well how far a difference can be from a derivative where a network has
kinks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from landscape_widgets.task.parameters import ParameterLayout

STEP = 0.02  # root mean square of a step, as a share of that of each tensor
DIRECTIONS = 4  # at most; of a gradient that is right, two tell
RIGHT, WRONG = 0.05, 0.1  # relative differences that rounding may make, and may not
KINKS = 4.0  # times the difference of two distances that may be one of kinks and curvature
ROUNDING = 1e-5  # of the loss itself


def slopes_apart(
    value: Callable[[Tensor], float], gradient: Tensor, theta: Tensor, layout: ParameterLayout
) -> tuple[float, float] | None:
    """Slopes by gradient and by differences along a random direction; None where they agree.

    Parameters
    ----------
    value : callable
        The loss at a parameter vector (P,).
    gradient : Tensor (P,)
        What is said to be its gradient at `theta`.
    theta : Tensor (P,)
        Where. Near a minimum, losses are too much alike to tell.
    layout
        Tensors that a direction moves each by its own size.
    """
    generator = torch.Generator().manual_seed(0)
    rounding = ROUNDING * abs(value(theta))
    off: list[float] = []
    size: list[float] = []
    kinks: list[float] = []
    farthest = (0.0, 0.0)
    for number in range(1, DIRECTIONS + 1):
        direction = _direction(theta, layout, generator)
        slope = float(gradient @ direction)
        wide, near = (
            (value(theta + t * direction) - value(theta - t * direction)) / (2 * t)
            for t in (1.0, 0.5)
        )
        if abs(slope - near) > max(off, default=0.0):
            farthest = slope / STEP, near / STEP
        off.append(abs(slope - near))
        size.append(max(abs(slope), abs(near)))
        kinks.append(abs(wide - near))
        if number > 1 and not math.hypot(*off) > RIGHT * math.hypot(*size) + rounding:
            return None  # also where they are no numbers
    allowed = WRONG * math.hypot(*size) + KINKS * math.hypot(*kinks)
    return farthest if math.hypot(*off) > allowed + 2 * rounding else None


def _direction(theta: Tensor, layout: ParameterLayout, generator: torch.Generator) -> Tensor:
    found = torch.randn(theta.numel(), generator=generator, dtype=torch.float32).to(theta)
    overall = theta.square().mean().sqrt()
    for _, place, _ in layout.slices():
        size = theta[place].square().mean().sqrt()
        found[place] *= STEP * (size if size > 0 else overall)
    return found
