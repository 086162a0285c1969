"""How many examples go through a model at a time."""

import torch
from torch import nn

from landscape_widgets.data import Batch
from landscape_widgets.evaluation import tiling
from landscape_widgets.evaluation.tiling import FEWEST, tile_size

CPU = torch.device("cpu")


def few(width: int) -> Batch:
    x = torch.rand(2, width)
    return Batch(x, torch.zeros(2), (x, torch.zeros(2)), 2)


def test_the_largest_activation_of_a_tile_fits_the_caches_and_the_memory_that_is_free(monkeypatch):
    model = nn.Sequential(nn.Linear(10, 1024), nn.ReLU(), nn.Linear(1024, 3))
    assert tile_size(model, few(10), CPU) * 1024 * 4 == tiling.CPU_BYTES
    monkeypatch.setattr(tiling, "free_memory", lambda device: tiling.CPU_BYTES)
    assert tile_size(model, few(10), CPU) * 1024 * 4 == tiling.CPU_BYTES * tiling.SHARE
    monkeypatch.setattr(tiling, "free_memory", lambda device: 0)
    assert tile_size(model, few(10), CPU) == FEWEST
