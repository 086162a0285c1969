"""Batch normalisation: whose running statistics a moved network is to use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

from landscape_widgets.data import Batch
from landscape_widgets.losses import call_model

BatchNormMode = Literal["trained", "reestimate"]
_NORMS = nn.modules.batchnorm._BatchNorm


def tracked_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers that normalise by running statistics in evaluation mode."""
    return [m for m in model.modules() if isinstance(m, _NORMS) and m.track_running_stats]


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether some layer normalises by the batch at hand even in evaluation mode."""
    return any(isinstance(m, _NORMS) and not m.track_running_stats for m in model.modules())


@torch.no_grad()
def reestimate(model: nn.Module, tiles: Iterable[Batch]) -> None:
    """Replace running statistics by their averages over `tiles` at the model's present weights.

    Statistics of the trained network are wrong for a moved one: halfway between two minima the
    loss may be several times too high (Izmailov et al. 2018, section 3.2).
    """
    norms = tracked_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over batches
        norm.train()
    try:
        for tile in tiles:
            if tile.size > 1:
                call_model(model, tile.inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
