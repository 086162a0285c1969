"""How soon the first rows of a loss that takes long are told of, and can be stopped after."""

import time

import numpy as np
import torch
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective


def test_not_many_rows_of_a_slow_loss_are_evaluated_before_anyone_is_told():
    def slow(outputs, targets):
        time.sleep(0.02)
        return ((outputs - targets) ** 2).mean()

    torch.manual_seed(0)
    objective = Objective(nn.Linear(3, 1), (torch.randn(8, 3), torch.randn(8, 1)), loss=slow)
    basis = DenseBasis(torch.randn(2, objective.size))
    told: list[int] = []
    objective.evaluate(
        basis,
        np.random.default_rng(0).normal(size=(400, 2)),
        on_chunk=lambda start, part: told.append(len(part)),
        cancelled=lambda: len(told) > 0,
    )
    assert told[0] <= 4
