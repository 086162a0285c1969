"""dᵀHd and gᵀd along lines to samples, against dense Hessians of the user's own loop in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.samplers import Descent, Interpolation, Subspace
from tests.models import ConvNet, digits, train

F = nn.functional


def small() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    x, y = torch.randn(60, 4), torch.randint(0, 3, (60,))
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), (x, y)


def dense(land: Landscape, model: nn.Module, data) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient and Hessian at θ* in float64."""
    model, layout = model.double(), land.objective.layout

    def loss_at(vector):
        outputs = torch.func.functional_call(model, layout.unflatten(vector), (data[0].double(),))
        return F.cross_entropy(outputs, data[1])

    anchor = land.objective.anchor.double()
    gradient = torch.autograd.functional.jacobian(loss_at, anchor)
    return gradient, torch.autograd.functional.hessian(loss_at, anchor)


@pytest.mark.parametrize("sampler", [Subspace(k=3, n=40), Descent(runs=2, steps=8)])
def test_slopes_and_curvatures_along_all_lines_are_those_of_the_dense_hessian(sampler):
    model, data = small()
    land = Landscape(model, data, metrics=[]).sample(sampler)
    rows = np.arange(len(land.cloud))
    found = land.curvature_along()
    gradient, hessian = dense(land, model, data)
    steps = torch.stack([land.cloud.displacement(i) for i in rows]).double()
    expected = ((steps @ hessian) * steps).sum(dim=1).numpy()
    lengths = steps.square().sum(dim=1).numpy() * float(hessian.norm())
    assert found.curvatures[0] == found.slopes[0] == 0.0
    assert (np.abs(found.curvatures - expected) <= 1e-6 * lengths).all()
    assert (np.abs(found.curvatures - expected) <= found.errors + 1e-12 * lengths).all()
    np.testing.assert_allclose(found.slopes, (steps @ gradient).numpy(), rtol=1e-4, atol=1e-7)


def test_a_subspace_takes_a_product_for_each_direction_and_few_samples_one_each(monkeypatch):
    model, data = small()
    land = Landscape(model, data, metrics=[]).sample(Subspace(k=3, n=40))
    products: list[torch.Tensor] = []
    hessian = land.objective.hessian

    def counted(theta, **keywords):
        product = hessian(theta, **keywords)
        return lambda v: products.append(v) or product(v)

    monkeypatch.setattr(land.objective, "hessian", counted)
    land.curvature_along()
    assert len(products) == 3
    land.curvature_along([7, 8])
    assert len(products) == 5


def test_the_quadratic_is_what_a_slice_is_near_the_trained_weights():
    model, data = small()
    land = Landscape(model.double(), (data[0].double(), data[1]), metrics=[])
    land.sample(Subspace(k=2, n=5))
    alphas = np.array([-2e-3, -1e-3, 0.0, 1e-3, 2e-3])
    found = land.curvature_along([1, 4])
    seen = land.slice([1, 4], alphas).losses
    bend = np.abs(seen - seen[:, [2]]).max()
    np.testing.assert_allclose(found.quadratic(alphas), seen, rtol=0, atol=1e-3 * bend)
    assert list(found.to_frame().columns) == ["slope", "curvature", "error"]


def test_where_batch_statistics_move_along_no_curvature_is_told():
    data = digits(60)
    one, other = (train(ConvNet(seed), data, 10) for seed in (0, 1))
    with torch.no_grad():
        other.norm.running_mean += 0.5
    land = Landscape(one, data, metrics=[]).sample(Interpolation([other], points=4))
    found = land.curvature_along()
    assert found.curvatures[0] == 0.0
    assert np.isnan(found.curvatures[1:]).all()
    assert np.isfinite(found.slopes).all()


def test_a_sample_that_there_is_not_is_refused():
    model, data = small()
    land = Landscape(model, data, metrics=[]).sample(Subspace(k=2, n=5))
    with pytest.raises(IndexError, match="Sample 9 was asked for"):
        land.curvature_along([9])
