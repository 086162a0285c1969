"""Gradient and Hessian of an objective, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.differentiable import DifferentiableLoss
from landscape_widgets.objective.gradient import Gradient
from landscape_widgets.objective.hessian import Hessian
from landscape_widgets.objective.statistics import BatchStatistics
from landscape_widgets.objective.working_model import WorkingModel
from landscape_widgets.task.data import Examples, take
from landscape_widgets.task.losses import Loss


class Derivatives:
    """Derivatives of the mean loss on the training examples.

    Parameters
    ----------
    working
    loss
    split
        The examples.
    separable : bool
        Any of them may be taken apart from the others.
    statistics
        Batch statistics that are re-estimated.
    """

    def __init__(
        self,
        working: WorkingModel,
        loss: Loss,
        split: TiledExamples,
        separable: bool,
        statistics: BatchStatistics,
    ) -> None:
        self._working, self._loss, self._split = working, loss, split
        self._separable, self._statistics = separable, statistics

    def __getstate__(self) -> dict[str, Any]:
        anew = ("differentiable", "gradient", "hessian")
        return {name: value for name, value in vars(self).items() if name not in anew}

    @cached_property
    def differentiable(self) -> DifferentiableLoss:
        """The loss that derivatives are taken of."""
        return DifferentiableLoss(
            self._working.inplace,
            self._loss,
            self._split,
            around=self._working.alone,
            statistics=self._statistics,
        )

    @cached_property
    def gradient(self) -> Gradient:
        """Its gradient."""
        return Gradient(self.differentiable)

    @cached_property
    def hessian(self) -> Hessian:
        """Its Hessian."""
        return Hessian(self.differentiable, stochastic=self._working.inplace.draws)

    def drawn(self, generator: torch.Generator, count: int) -> TiledExamples:
        """Random examples; of data that only make sense in their own batches, one whole batch."""
        examples = self._split.examples
        whole = examples.joined if self._separable else None
        if whole is not None:
            picked = torch.randperm(whole.size, generator=generator)[: min(count, whole.size)]
            batch = take(whole, picked)
        else:
            number = int(torch.randint(len(examples.batches), (), generator=generator))
            batch = examples.batches[number]
        device = self._working.device
        return TiledExamples(Examples([batch], capped=True), device, whole is not None)
