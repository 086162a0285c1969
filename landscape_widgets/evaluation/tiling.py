"""How many examples go through a model at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.resources import free_memory
from landscape_widgets.task.data import Batch
from landscape_widgets.task.losses import Loss, ModelLoss, call_model, call_watched

UNKNOWN = 256  # examples, for a model that does not let its layers be watched
FEWEST = 8  # with fewer, matrix products become thin
# Of the largest activation, on a CPU: below the size from which the system takes memory back after
# every use and gives it again page by page (32 MiB with glibc), and near a core's caches. More
# examples at a time cost less for each, in what is done once a layer.
CPU_BYTES = 8 << 20
FEWEST_BYTES = 64 << 20  # that the fewest may hold: of large pictures one goes through at a time
LIVE = 8  # largest activations that all that is held at a time may come to
CUDA_MOST = 256 << 20  # a GPU wants as many examples as there is room for
SHARE = 1 / 16  # of the free memory: a model holds a few activations at a time


@torch.no_grad()
def tile_size(
    model: nn.Module,
    few: Batch,
    device: torch.device,
    loss: Loss | None = None,
) -> int:
    """Examples whose largest activation fits, a power of two; `few` go through to see.

    They go through the `loss` where it is ``loss(model, batch)``: the model may take no batch.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return UNKNOWN
    largest = 1

    def watch(module: nn.Module, arguments: Any, output: Any) -> None:
        nonlocal largest
        for value in (*arguments, output):
            if isinstance(value, Tensor):
                largest = max(largest, value.nbytes)

    with LiveBytes() as counted:
        if isinstance(loss, ModelLoss):
            call_watched(lambda: loss(model, few.raw), model.modules(), watch)
        else:
            call_watched(lambda: call_model(model, few.inputs), model.modules(), watch)
    most = CUDA_MOST if device.type == "cuda" else CPU_BYTES
    budget = min(most, int(free_memory(device) * SHARE))
    live = max(1, counted.peak)
    count = int(min(budget * few.size // largest, LIVE * most * few.size // live))
    fewest = int(max(1, min(FEWEST, FEWEST_BYTES * few.size // live)))
    return max(fewest, 1 << max(0, count.bit_length() - 1))
