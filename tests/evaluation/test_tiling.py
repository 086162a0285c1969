"""How many examples go through a model at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.evaluation import in_place as inplace
from landscape_widgets.evaluation import tiling
from landscape_widgets.evaluation.tiling import FEWEST, largest_activation, tile_size
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.evaluation.networks import make
from tests.evaluation.test_agreement import directions, plain_losses

CPU = torch.device("cpu")


def test_the_largest_activation_of_a_tile_fits_the_caches_and_the_memory_that_is_free(monkeypatch):
    model = nn.Sequential(nn.Linear(10, 1024), nn.ReLU(), nn.Linear(1024, 3))
    largest = largest_activation(model, lambda: model(torch.rand(2, 10))) / 2
    assert largest == 1024 * 4
    assert tile_size(largest, 2 * largest, CPU) * 1024 * 4 == tiling.CPU_BYTES
    monkeypatch.setattr(tiling, "free_memory", lambda device: tiling.CPU_BYTES)
    assert tile_size(largest, 2 * largest, CPU) * 1024 * 4 == tiling.CPU_BYTES * tiling.SHARE
    monkeypatch.setattr(tiling, "free_memory", lambda device: 0)
    assert tile_size(largest, 2 * largest, CPU) == FEWEST


@pytest.mark.parametrize("strategy", ["inplace", "fused", "shared", "prefix"])
@pytest.mark.parametrize("at_once", [1, 150, 1 << 18])
def test_losses_of_several_tiles_at_once_are_those_of_each(strategy, at_once, monkeypatch):
    monkeypatch.setattr(inplace, "OUTPUTS", at_once)
    case = make("cnn")
    case.targets[::7] = -100
    data = (case.inputs, case.targets)
    objective = Objective(case.model, data, metrics=["accuracy"], strategy=strategy)
    for each in objective.engine.strategies.values():
        getattr(each, "inplace", each).tile = 16
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(40, 2))
    if strategy == "prefix":
        vectors[:, : [place for _, place, _ in objective.layout.slices()][1].start] = 0
    found = objective.evaluate(DenseBasis(vectors), rows)
    np.testing.assert_allclose(found.losses, plain_losses(case, vectors, rows), rtol=2e-5)
    model = objective.model_at(objective.anchor + torch.from_numpy(rows[0]).float() @ vectors)
    kept = case.targets != -100
    hits = model(case.inputs).argmax(1)[kept] == case.targets[kept]
    assert found.values["accuracy"][0] == pytest.approx(float(hits.float().mean()))
