"""The trace and those of the layers, against dense Hessians and curvlinops."""

import numpy as np
import pytest
import torch
from curvlinops import HessianLinearOperator, hutchpp_trace
from torch import nn

from landscape_widgets.curvature.dense import dense
from landscape_widgets.curvature.trace import Layers, exact_trace, hutchpp
from landscape_widgets.objective.objective import Objective
from tests.models import digits, train


def network() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    x, y = digits(200)
    data = x[:, ::4].contiguous(), y
    net = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 10))
    return train(net, data, 100), data


def operator(model: nn.Module, data) -> HessianLinearOperator:
    return HessianLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), [data], check_deterministic=False
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_products_and_the_dense_matrix_are_those_of_curvlinops():
    model, data = network()
    objective = Objective(model, data, metrics=[])
    matrix = dense(objective.hessian(objective.anchor), objective.anchor)
    other = operator(model.double(), (data[0].double(), data[1]))
    expected = other @ torch.eye(objective.size, dtype=torch.float64)
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-6 * float(expected.norm()))
    layers = Layers.of(objective.layout)
    found = exact_trace(matrix, layers)
    assert found.layers == ("0", "2")
    assert found.sizes == (16 * 17, 17 * 10)
    inside = expected.diagonal()[: 16 * 17].sum(), expected.diagonal()[16 * 17 :].sum()
    np.testing.assert_allclose(found.of_layers, [float(part) for part in inside], rtol=1e-5)
    assert found.value == pytest.approx(float(expected.trace()), rel=1e-5)
    assert found.error == 0.0


def test_estimates_of_trace_and_layers_lie_around_the_truth_as_far_as_their_errors_say():
    model, data = network()
    objective = Objective(model, data, metrics=[])
    product, layers = objective.hessian(objective.anchor), Layers.of(objective.layout)
    truth = exact_trace(dense(product, objective.anchor), layers)
    found = [
        hutchpp(product, objective.anchor, layers, generator=generator(seed), products=45)
        for seed in range(12)
    ]
    for one in found:
        assert one.of_layers.sum() == pytest.approx(one.value)
        assert one.products == 45
    off = np.array([(one.value - truth.value) / one.error for one in found])
    assert 0.4 < off.std() < 2.0
    assert abs(off.mean()) < 1.2  # four standard errors
    beside = np.stack([(one.of_layers - truth.of_layers) / one.errors for one in found])
    assert 0.4 < beside.std() < 2.0
    # Few eigenvalues are large: a tenth of the products tell to a percent.
    assert np.mean([one.error for one in found]) < 0.01 * truth.value


def test_it_is_no_less_exact_than_that_of_curvlinops():
    model, data = network()
    objective = Objective(model, data, metrics=[])
    product, layers = objective.hessian(objective.anchor), Layers.of(objective.layout)
    truth = exact_trace(dense(product, objective.anchor), layers).value
    other = operator(model, data)
    ours, theirs = [], []
    for seed in range(6):
        found = hutchpp(product, objective.anchor, layers, generator=generator(seed), products=45)
        ours.append(abs(found.value - truth))
        torch.manual_seed(seed)
        theirs.append(abs(float(hutchpp_trace(other, 45)) - truth))
    assert np.mean(ours) < 2 * np.mean(theirs)


def test_a_matrix_of_low_rank_is_told_exactly():
    torch.manual_seed(0)
    a = torch.randn(300, 4, dtype=torch.float64)
    layers = Layers(("one", "other"), (100, 200), (0, 1), (100, 200))
    found = hutchpp(lambda v: a @ (a.T @ v), a[:, 0], layers, generator=generator(), products=30)
    squares = a.square().sum(dim=1)
    expected = [float(squares[:100].sum()), float(squares[100:].sum())]
    np.testing.assert_allclose(found.of_layers, expected, rtol=1e-10)
    assert found.error < 1e-10 * found.value


def test_what_does_not_fit_in_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr("landscape_widgets.curvature.trace.free_memory", lambda device: 1000)
    values = torch.linspace(0, 1, 400)
    layers = Layers(("all",), (400,), (0,), (400,))
    estimates: list[int] = []

    def told(done, total, found):
        estimates.append(done)
        assert total == 40

    found = hutchpp(
        lambda v: values * v, values, layers, generator=generator(), products=40, on_product=told
    )
    assert estimates == list(range(1, 41))
    # Of a diagonal matrix each sample of signs tells the whole trace.
    assert found.value == pytest.approx(200.0, rel=1e-5)


def test_what_is_not_finite_and_too_few_products_are_refused():
    layers = Layers(("all",), (3,), (0,), (3,))
    with pytest.raises(ValueError, match="not finite"):
        hutchpp(lambda v: v * torch.nan, torch.ones(3), layers, generator=generator())
    with pytest.raises(ValueError, match="2 or more"):
        hutchpp(lambda v: v, torch.ones(3), layers, generator=generator(), products=1)


def test_tensors_of_the_model_itself_are_layers_by_their_own_names():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.body = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))

        def forward(self, x):
            return self.body(x) * self.scale

    objective = Objective(Scaled(), (torch.randn(8, 2), torch.randn(8, 1)), metrics=[])
    layers = Layers.of(objective.layout)
    assert layers.names == ("scale", "body.0", "body.1")
    assert layers.sizes == (1, 9, 3)
    np.testing.assert_allclose(layers.sums(torch.ones(13)), [1, 9, 3])
