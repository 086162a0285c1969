import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective


class Shifting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        x += 1
        return self.layer(x)


MODELS = {
    "a ReLU in place": lambda: nn.Sequential(
        nn.ReLU(inplace=True), nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)
    ),
    "an addition in place": Shifting,
    "a layer that overwrites nothing of others'": lambda: nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)
    ),
}


@pytest.mark.parametrize("loss", [None, lambda m, b: F.cross_entropy(m(b[0]), b[1])])
@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_writes_over_its_inputs_is_written_to_copies(name, loss):
    torch.manual_seed(0)
    model, x, y = MODELS[name]().eval(), torch.randn(70, 6), torch.randint(0, 4, (70,))
    before = x.clone()
    objective = Objective(model, (x, y), loss=loss)
    direction = torch.randn(1, objective.size)
    rows = np.linspace(-1, 1, 40)[:, None]
    found = objective.evaluate(DenseBasis(direction), rows).losses
    objective.gradient(objective.anchor)
    assert torch.equal(x, before)
    plain = copy.deepcopy(model)
    for row, value in zip(rows[::8], found[::8], strict=True):
        nn.utils.vector_to_parameters(
            objective.anchor + float(row[0]) * direction[0], plain.parameters()
        )
        assert value == pytest.approx(F.cross_entropy(plain(before.clone()), y).item(), rel=2e-5)
    assert (objective.engine.last == "inplace") or name.startswith("a layer")


class Clipping(nn.Linear):
    def forward(self, x):
        if (x > 9).any():
            x[x > 9] = 0
        return super().forward(x)


def test_what_a_model_writes_over_few_of_its_inputs_is_written_to_copies():
    torch.manual_seed(0)
    model, x, y = Clipping(6, 4), torch.randn(300, 6), torch.randint(0, 4, (300,))
    x[290, 2] = 10.0
    before = x.clone()
    objective = Objective(model, (x, y))
    objective.gradient(objective.anchor * 1.1)
    assert torch.equal(x, before)
    expected = F.cross_entropy(model(before.clone()), y).item()
    assert objective.anchor_loss == pytest.approx(expected, rel=2e-5)
