"""Losses that add up: a numerator over a denominator, each a sum over examples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor


class MeanLoss(ABC):
    """Σ numerators / Σ denominators over examples, so that they may be cut into tiles of any size.

    Parameters
    ----------
    output_axes
        Axes of the outputs for one parameter vector; any further ones lead.

    Attributes
    ----------
    name : str
        What the loss is called in messages.
    task : {"classification", "binary", "regression", "custom"}
        What outputs are: logits of classes, of two classes, numbers, or anything else.
    summed : bool
        The loss is the numerator alone, whatever the denominator (``reduction="sum"``).
    examples_first : bool
        Examples lie along the first axis of the outputs.
    """

    name: str
    task: str
    summed: bool = False
    examples_first: bool = True

    def __init__(self, output_axes: int) -> None:
        self.output_axes = output_axes

    def check(self, outputs: Tensor, targets: Any) -> None:  # noqa: B027
        """Raise a ValueError where the targets' values do not fit the outputs."""

    @abstractmethod
    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Numerator: outputs (..., m, *) and targets (m, *) give a float64 (...)."""

    @abstractmethod
    def each(self, outputs: Any, targets: Any) -> Tensor:
        """The terms of `total`, one an example: float64 (..., m)."""

    def count(self, targets: Any) -> float:
        """Denominator that these targets add: as many as there are examples, by default."""
        return float(len(targets))

    def denominator(self, count: Any) -> Any:
        """What a `total` is divided by whose targets `count` is the sum of."""
        return count * 0 + 1 if self.summed else count

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        """u → ∇²ℓ u, for ℓ the `total` and u of the outputs' shape; None where not written out."""
        return None
