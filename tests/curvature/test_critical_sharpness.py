"""2/η_c on quadratics, where it is gᵀHg/‖g‖², and beside the Hessian's own of a network."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.curvature.critical_sharpness import critical_sharpness
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Interpolation, Rays
from tests.models import ConvNet, digits, mlp, train


def regression() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A quadratic: linear regression, its data and the Hessian."""
    torch.manual_seed(0)
    x = torch.randn(100, 5) * torch.tensor([2.0, 1.0, 1.0, 0.5, 0.1])
    model = nn.Linear(5, 1, bias=False)
    wide = x.double()
    return model, (x, torch.randn(100, 1)), 2 * wide.T @ wide / 100


def test_on_a_quadratic_it_is_the_curvature_along_the_gradient():
    model, data, hessian = regression()
    land = Landscape(model, data, metrics=[]).sample(Rays(3))
    for i in (0, 7):
        theta = land.cloud.vector(i).double()
        gradient = hessian @ theta - 2 * (data[0].double().T @ data[1].double())[:, 0] / 100
        expected = float(gradient @ hessian @ gradient / gradient.square().sum())
        found = land.critical_sharpness(i)
        assert found.value == pytest.approx(expected, rel=1e-5)
        assert abs(found.value - expected) <= found.error
        assert found.rate == pytest.approx(2 / found.value)
        assert found.evaluations < 25
        along = torch.ones(5) if float(gradient.sum()) < 0 else -torch.ones(5)
        step = along.double()
        expected = float(-(step @ hessian @ step) / (gradient @ step))
        assert land.critical_sharpness(i, along).value == pytest.approx(expected, rel=1e-5)


def test_of_a_network_in_training_it_lies_between_the_extreme_eigenvalues():
    data = digits(200)
    land = Landscape(train(mlp(8), data, 10), data, metrics=[])
    found, curvature = land.critical_sharpness(), land.curvature(top=1, bottom=1)
    assert 0 < found.value < 1.5 * curvature.sharpness
    assert "2/η_c" in repr(found)


def test_a_checkpoint_has_its_own_batch_statistics():
    data = digits(60)
    one, other = (train(ConvNet(seed), data, 5) for seed in (0, 1))
    with torch.no_grad():
        other.norm.running_var *= 3.0
    land = Landscape(one, data, metrics=[]).sample(Interpolation([other], points=4, align=False))
    (index,) = np.flatnonzero(land.cloud.table["kind"] == "model")[:1]
    alone = Landscape(other, data, metrics=[]).critical_sharpness()
    assert land.critical_sharpness(int(index)).value == pytest.approx(alone.value, rel=1e-3)


def test_the_least_step_is_found_however_long_the_first_one_is():
    for first in (1e-8, 0.3, 1e6):
        found = critical_sharpness(lambda eta: (1 - 3 * eta) ** 2 / 2, -3.0, first)
        assert found.value == pytest.approx(3.0, rel=1e-5)  # back at η = 2/3


def test_a_loss_that_becomes_infinite_is_searched_where_it_is_finite():
    def loss(eta: float) -> float:
        return -np.log(1 - eta) - 2 * eta if eta < 1 else np.inf

    found = critical_sharpness(loss, -1.0, 1e-3)
    assert loss(found.rate) == pytest.approx(0.0, abs=1e-4)


def test_without_a_gradient_a_way_down_or_a_rise_that_is_said():
    with pytest.raises(ValueError, match="there is no critical step"):
        critical_sharpness(lambda eta: eta**2, 0.0, 1e-3)
    with pytest.raises(ValueError, match="finite one is expected"):
        critical_sharpness(lambda eta: np.nan, -1.0, 1e-3)
    with pytest.raises(ValueError, match="less than rounding"):
        critical_sharpness(lambda eta: eta**2 + 1.0, -1e-9, 1e-3, rounding=1e-7)
    assert critical_sharpness(lambda eta: -eta, -1.0, 1e-3).value == 0.0
    model, data, _ = regression()
    land = Landscape(model, data, metrics=[])
    with pytest.raises(ValueError, match=r"shape \(5,\) is expected; one of shape \(4,\)"):
        land.critical_sharpness(0, torch.ones(4))
    with pytest.raises(Cancelled):
        land.critical_sharpness(cancelled=lambda: True)
