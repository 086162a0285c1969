"""Outputs in, losses and metrics out, for a block of parameter vectors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from landscape_widgets.precision import widened
from landscape_widgets.task.data import Batch
from landscape_widgets.task.losses import BatchLoss, Loss, MeanLoss
from landscape_widgets.task.metrics import Metric, MetricSums


class Accumulator:
    """Sums of losses and metrics over the tiles of one split, for n parameter vectors.

    Parameters
    ----------
    loss : Loss
    metrics : as from `metrics.resolve_metrics`; empty for none
    reading
        How outputs are read as predictions, for the named metrics; None if they are not.
    n : int
    """

    def __init__(
        self, loss: Loss, metrics: Mapping[str, str | Metric], reading: MeanLoss | None, n: int
    ) -> None:
        self.loss = loss
        self.metrics = MetricSums(metrics, reading, n) if metrics else None
        self._totals = torch.zeros(n, dtype=torch.float64)
        self._counts = torch.zeros(n, dtype=torch.float64)

    @property
    def needs_outputs(self) -> bool:
        """Whether sums of losses (`add_totals`) would not do."""
        return self.metrics is not None

    def add(self, first: int, outputs: Tensor, tile: Batch) -> None:
        """Take in outputs (r, m, ...) of parameter vectors first … first + r − 1 on `tile`."""
        rows, outputs = slice(first, first + len(outputs)), widened(outputs)
        if isinstance(self.loss, MeanLoss):
            self._totals[rows] += self.loss.total(outputs, tile.targets).cpu()
            self._counts[rows] += self.loss.count(tile.targets)
        elif isinstance(self.loss, BatchLoss):
            for row, output in enumerate(outputs, start=first):
                self.add_value(row, self.loss(output, tile.targets), tile.size)
        if self.metrics is not None:
            self.metrics.add(first, outputs, tile.targets)

    def add_totals(self, first: int, totals: Tensor, targets: Tensor) -> None:
        """Take in sums (r,) of a mean loss over the examples of `targets`, found elsewhere."""
        assert isinstance(self.loss, MeanLoss)
        rows = slice(first, first + len(totals))
        self._totals[rows] += totals
        self._counts[rows] += self.loss.count(targets)

    def add_value(self, row: int, value: Tensor, count: float) -> None:
        """Take in a loss that the user's own function has averaged over `count` examples."""
        self._totals[row] += float(value.detach()) * count
        self._counts[row] += count

    def finish(self) -> dict[str, Tensor]:
        """ "loss" and the metrics by name, float64, (n,) each."""
        counts = self._counts
        if isinstance(self.loss, MeanLoss):
            counts = self.loss.denominator(counts)
        named = self.metrics.finish() if self.metrics is not None else {}
        return {"loss": self._totals / counts, **named}


class EachExample(Accumulator):
    """Keeps the loss of every example apart, for n parameter vectors on `examples` examples.

    Attributes
    ----------
    losses : Tensor (n, examples), float64
    """

    def __init__(self, loss: MeanLoss, n: int, examples: int) -> None:
        super().__init__(loss, {}, None, n)
        self.losses = torch.full((n, examples), torch.nan, dtype=torch.float64)
        self._filled = [0] * n
        self._each = loss.each

    @property
    def needs_outputs(self) -> bool:
        return True

    def add(self, first: int, outputs: Tensor, tile: Batch) -> None:
        # Every strategy takes the tiles in order for any one parameter vector.
        found = self._each(widened(outputs), tile.targets).cpu()
        start, rows = self._filled[first], slice(first, first + len(found))
        stop = start + found.shape[1]
        self.losses[rows, start:stop] = found
        self._filled[rows] = [stop] * len(found)
