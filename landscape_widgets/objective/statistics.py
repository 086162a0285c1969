"""Batch statistics that are estimated anew at a parameter vector."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.task.batchnorm import reestimate
from landscape_widgets.task.data import Batch, Examples
from landscape_widgets.task.losses import Loss, ModelLoss, call_model


class BatchStatistics:
    """What batch statistics are estimated on: the training examples.

    In the user's own batches, if there are any.

    Parameters
    ----------
    examples
    device
        Where the model is.
    loss
        How a batch goes through the model.
    tile : int or None
        Examples that go through at a time, of data that were given whole; all of them by default.

    Attributes
    ----------
    size : int or None
        Examples that they are estimated on at a time; None for batches as they came.
    """

    def __init__(
        self, examples: Examples, device: torch.device, loss: Loss, tile: int | None
    ) -> None:
        self._examples, self._device, self._loss = examples, device, loss
        self.size = tile if examples.given_whole else None

    def estimate(
        self, model: nn.Module, split: TiledExamples | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Each buffer of statistics and its estimate; see `batchnorm.reestimate`."""
        return reestimate(model, self.tiles(split), self.forward)

    def tiles(self, split: TiledExamples | None = None) -> Iterator[Batch]:
        """What they are estimated on: a split, or all training examples."""
        examples = self._examples if split is None else split.examples
        size = self.size if examples.given_whole else None
        return (tile.to(self._device) for tile in examples.tiles(size))

    def forward(self, model: nn.Module, tile: Batch) -> None:
        """Let a tile go through the model as the loss lets it."""
        if isinstance(self._loss, ModelLoss):
            self._loss(model, tile.raw)
        else:
            call_model(model, tile.inputs)
