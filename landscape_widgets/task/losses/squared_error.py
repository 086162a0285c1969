"""Mean squared error."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from landscape_widgets.precision import accumulated, summed
from landscape_widgets.task.losses.mean import MeanLoss


class SquaredError(MeanLoss):
    """Mean squared error over all elements of the targets.

    Parameters
    ----------
    output_axes
        As for `MeanLoss`.
    axis
        Of the targets, along which the examples lie.
    """

    name = "mean squared error"
    task = "regression"

    def __init__(self, output_axes: int, axis: int = 0) -> None:
        super().__init__(output_axes)
        self.axis = axis

    def count(self, targets: Tensor) -> float:
        return float(targets.shape[self.axis])

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # Flattened on both sides: (m, 1) against (m,) must not broadcast to (m, m).
        lead = outputs.ndim - self.output_axes
        errors = outputs.flatten(lead) - targets.reshape(-1).to(outputs.dtype)
        return summed(errors.square()) * self._share(targets)

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        lead = outputs.ndim - self.output_axes
        errors = outputs.flatten(lead) - targets.reshape(-1).to(outputs.dtype)
        return accumulated(errors.square()).reshape(*errors.shape[:-1], len(targets), -1).mean(-1)

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        scale = 2.0 * self._share(targets)
        return lambda u: u * scale

    def _share(self, targets: Tensor) -> float:
        """Of one example that one element is."""
        return self.count(targets) / targets.numel()
