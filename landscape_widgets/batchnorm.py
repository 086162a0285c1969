"""Batch normalisation: whose running statistics a moved network is to use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from landscape_widgets.data import Batch

BatchNormMode = Literal["trained", "reestimate"]
_NORMS = nn.modules.batchnorm._BatchNorm


def tracked_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers that normalise by running statistics in evaluation mode."""
    return [m for m in model.modules() if isinstance(m, _NORMS) and m.track_running_stats]


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether some layer normalises by the batch at hand even in evaluation mode."""
    return any(isinstance(m, _NORMS) and not m.track_running_stats for m in model.modules())


@torch.no_grad()
def reestimate(
    model: nn.Module, tiles: Iterable[Batch], forward: Callable[[nn.Module, Batch], None]
) -> list[tuple[Tensor, Tensor]]:
    """Running statistics averaged over `tiles` at the model's present weights.

    `forward` lets one tile go through the model.

    Statistics of the trained network are wrong for a moved one: halfway between two minima the
    loss may be several times too high (Izmailov et al. 2018, section 3.2).

    Returns
    -------
    list of (buffer, value)
        What each layer's running mean and variance are to be; the layers are left as they were
        but for what is in these buffers now.
    """
    norms = tracked_norms(model)
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over batches
        norm.train()
    try:
        for tile in tiles:
            if tile.size > 1:
                forward(model, tile)
    finally:
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)
    found: list[tuple[Tensor, Tensor]] = []
    for norm in norms:
        for buffer in (norm.running_mean, norm.running_var):
            assert buffer is not None
            found.append((buffer, buffer.clone()))
    return found
