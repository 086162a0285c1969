"""How many examples go through a model at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.resources import free_memory
from landscape_widgets.task.losses import call_watched

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


def largest_activation(model: nn.Module, run: Callable[[], object]) -> int:
    """Bytes of the largest tensor between layers while `run` calls a model.

    0 where the model does not let its layers be watched.
    """
    if isinstance(model, torch.jit.ScriptModule):
        run()
        return 0
    largest = 1

    def watch(module: nn.Module, arguments: Any, output: Any) -> None:
        nonlocal largest
        for value in (*arguments, output):
            if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested:
                largest = max(largest, value.nbytes)

    call_watched(run, model.modules(), watch)
    return largest


def tile_size(largest: float, held: float, device: torch.device) -> int:
    """Examples whose largest activation fits, a power of two.

    Parameters
    ----------
    largest : float
        Bytes of an example's largest activation; 0 where it is not known.
    held : float
        Bytes that it holds at most on its way through the model.
    """
    if largest == 0:
        return UNKNOWN
    most = CUDA_MOST if device.type == "cuda" else CPU_BYTES
    budget = min(most, int(free_memory(device) * SHARE))
    held = max(1.0, held)
    count = int(min(budget // largest, LIVE * most // held))
    fewest = int(max(1, min(FEWEST, FEWEST_BYTES // held)))
    return max(fewest, 1 << max(0, count.bit_length() - 1))
