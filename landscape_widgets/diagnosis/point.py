"""One parameter vector, and the loss around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from landscape_widgets.objective.hessian_product import HessianProduct
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import CancelCallback, Cancelled, Progress, ProgressCallback
from landscape_widgets.task.parameters import reinitialise

SMALL = 200_000_000  # weights times examples, up to which a diagnosis is thorough by itself
ROUNDING = 8  # units in the last place that two losses may differ by for nothing
STEP = 1e-3  # of a difference of gradients, in units of the length


def is_small(objective: Objective) -> bool:
    """Whether a thorough diagnosis takes about a second."""
    return objective.size * objective.n_examples <= SMALL


class Point:
    """θ, and losses, gradients and curvature at θ + δ; each asks first whether to stop.

    Parameters
    ----------
    objective : Objective
    theta : Tensor (P,)
    buffers : dict of Tensors
        Those of the model that are not as at θ*, by name.
    thorough : bool, optional
        See `diagnose`.
    seed : int
    progress, cancelled

    Attributes
    ----------
    length : float
        Of θ, or of an untrained network's weights where that is longer: what distances are
        measured in.
    """

    def __init__(
        self,
        objective: Objective,
        theta: Tensor,
        buffers: Mapping[str, Tensor],
        thorough: bool | None,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
    ) -> None:
        self.objective, self.theta, self.buffers = objective, theta, buffers
        self.thorough = is_small(objective) if thorough is None else thorough
        self.generator = torch.Generator().manual_seed(seed)
        self._progress, self._cancelled = progress, cancelled
        fresh = reinitialise(objective.anchor, objective.layout, self.generator)
        lengths = [float(accumulated(weights).norm()) for weights in (theta, fresh)]
        # What distances are measured in: weights of zero say nothing of how far to look.
        self.length = max(lengths[0] if math.isfinite(lengths[0]) else 0.0, lengths[1] or 1.0)

    def tell(self, phase: str, done: int, total: int) -> None:
        """Tell how far the work is, and stop it if that was asked for.

        Raises
        ------
        Cancelled
        """
        self._progress(Progress(phase, done, total))
        self._check()

    def _check(self) -> None:
        if self._cancelled():
            raise Cancelled

    def loss(self, displacement: Tensor | None = None) -> float:
        """Training loss at θ + δ."""
        self._check()
        with self.objective.with_buffers(self.buffers):
            return self.objective.loss(self._moved(displacement))

    @cached_property
    def here(self) -> float:
        """Training loss at θ."""
        return self.loss()

    @cached_property
    def slope(self) -> tuple[float, Tensor]:
        """Training loss at θ and its gradient (P,), rounded as those beside it are."""
        return self.loss_and_gradient()

    def loss_and_gradient(self, displacement: Tensor | None = None) -> tuple[float, Tensor]:
        """Training loss and its gradient (P,) at θ + δ."""
        self._check()
        with self.objective.with_buffers(self.buffers):
            return self.objective.loss_and_gradient(self._moved(displacement))

    def _moved(self, displacement: Tensor | None) -> Tensor:
        return self.theta if displacement is None else self.theta + displacement

    def product(self) -> Callable[[Tensor], Tensor]:
        """Products with the Hessian at θ: exact ones, or differences of gradients where those are
        too dear or not to be had.

        A Hessian product takes as long as ten losses, a gradient as long as three.
        """
        if not self.thorough:
            return self.by_differences()
        try:
            with self.objective.with_buffers(self.buffers):
                # A graph that is kept reads buffers, which are put back in between.
                exact = self.objective.hessian(self.theta, keep=not self.buffers)
        except (ValueError, RuntimeError, NotImplementedError):  # torch has no second derivative
            return self.by_differences()

        def product(v: Tensor) -> Tensor:
            self._check()
            with self.objective.with_buffers(self.buffers):
                return exact(v)

        return product

    def by_differences(self) -> Callable[[Tensor], Tensor]:
        """v → (g(θ + εv) − g(θ)) / ε."""
        _, gradient = self.slope

        def product(v: Tensor) -> Tensor:
            step = STEP * self.length / float(accumulated(v).norm())
            return (self.loss_and_gradient(v * step)[1] - gradient) / step

        return product

    @cached_property
    def exact(self) -> HessianProduct | None:
        """Products in float64, where the model's own precision is less and it can be run in it."""
        if not self.thorough or self.buffers:
            return None
        return self.objective.exact_hessian(self.theta)

    @property
    def epsilon(self) -> float:
        """What the arithmetic rounds by, relative."""
        return float(torch.finfo(self.theta.dtype).eps)

    def random_direction(self) -> Tensor:
        """Of length 1, (P,)."""
        drawn = torch.randn(len(self.theta), generator=self.generator, dtype=self.theta.dtype)
        direction = drawn.to(self.theta.device)
        return direction / float(accumulated(direction).norm())
