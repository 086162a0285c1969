import copy

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.evaluation.networks import make
from tests.evaluation.test_agreement import directions, plain_losses
from tests.models import digits, mlp, train

RADII = 1e-5 * np.linspace(-1, 1, 11)[:, None]


@pytest.mark.parametrize("strategy", ["auto", "inplace", "stacked"])
def test_small_differences_are_those_of_float64(strategy):
    data = digits(200)
    model = train(mlp(), data, 200)
    objective = Objective(model, data, strategy=strategy)
    vectors = torch.randn(1, objective.size, generator=torch.Generator().manual_seed(0))
    found = objective.evaluate(DenseBasis(vectors), RADII).losses
    double = copy.deepcopy(model).double()
    exact = Objective(double, data).evaluate(DenseBasis(vectors.double()), RADII).losses
    spread = np.ptp(exact)
    assert spread < 1e-4 * exact[5]  # else float32 would do
    np.testing.assert_allclose(found - found[5], exact - exact[5], atol=1e-4 * spread)
    assert found[5] == objective.anchor_loss


@pytest.mark.parametrize("name", ["cnn", "transformer", "gru", "regression"])
def test_other_networks_are_evaluated_in_double_there_too(name):
    case = make(name)
    objective = Objective(case.model, (case.inputs, case.targets))
    vectors = directions(case, 1)
    found = objective.evaluate(DenseBasis(vectors), RADII).losses
    exact = plain_losses(case, vectors, RADII)
    np.testing.assert_allclose(found - found[5], exact - exact[5], atol=1e-4 * np.ptp(exact))


def test_a_torchscript_module_stays_in_its_own_precision():
    case = make("torchscript")
    objective = Objective(case.model, (case.inputs, case.targets))
    basis = DenseBasis(directions(case, 1))
    losses = objective.evaluate(basis, RADII).losses
    np.testing.assert_allclose(losses, objective.anchor_loss, rtol=1e-3)
    assert not objective.engine.double.allowed


def test_a_loss_with_weights_of_its_own_in_float32_stays_in_float32():
    data = digits(100)
    model = train(mlp(), data, 50)
    weight = torch.linspace(0.5, 1.5, 10)

    def loss(outputs, targets):
        return nn.functional.cross_entropy(outputs, targets, weight=weight)

    objective = Objective(model, data, loss=loss)
    vectors = torch.randn(1, objective.size, generator=torch.Generator().manual_seed(0))
    losses = objective.evaluate(DenseBasis(vectors), RADII).losses
    np.testing.assert_allclose(losses, objective.anchor_loss, rtol=1e-2)
    assert not objective.engine.double.allowed


def test_cross_entropy_is_accurate_down_to_1e_8_however_many_classes():
    for classes in (3, 200):
        model = nn.Linear(1, classes, bias=False)
        with torch.no_grad():
            model.weight.fill_(-1.0)
            model.weight[0] = 19.0
        x, y = torch.ones(4, 1), torch.zeros(4, dtype=torch.long)
        expected = nn.functional.cross_entropy(model(x).double(), y).item()
        assert expected < 1e-6
        assert Objective(model, (x, y)).anchor_loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-5, 1.0])
def test_which_rows_are_taken_in_float64_does_not_hang_on_how_many_come_at_a_time(
    scale, monkeypatch
):
    case = make("cnn")
    objective = Objective(case.model, (case.inputs, case.targets), strategy="inplace")
    basis = DenseBasis(directions(case, 2))
    rows = scale * np.random.default_rng(0).normal(size=(12, 2))
    rows[0] *= 1e-6 / scale  # near, and the first to come
    found = []
    for count in (1, 5, 12):
        monkeypatch.setattr(objective._many.chunk_size, "rows", lambda *a, count=count, **k: count)
        found.append(objective.evaluate(basis, rows).losses)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
