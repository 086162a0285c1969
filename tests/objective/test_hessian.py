import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective import hessian_product
from landscape_widgets.objective.objective import Objective
from tests.models import ConvNet, digits, mlp, train


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def objective_of(kind: str) -> Objective:
    """In double precision, with more examples than go through at once."""
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (70,))
    if kind == "attention":
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        model = nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 2))
        return Objective(model.double(), (torch.randn(70, 5, 8).double(), labels))
    if kind == "recurrent":
        return Objective(Reader().double(), (torch.randn(70, 4, 3).double(), labels))
    if kind == "own loss":
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4)).double()
        data = [(torch.randn(20, 4).double(),), (torch.randn(15, 4).double(),)]
        return Objective(model, data, loss=lambda model, batch: _fourth_power(model, *batch))
    x, y = digits(300)
    return Objective(ConvNet().double(), (x.double(), y))


def _fourth_power(model, x):
    return (model(x) - x).pow(4).sum()


@pytest.mark.parametrize("kind", ["attention", "recurrent", "own loss", "batchnorm"])
def test_products_for_many_vectors_are_those_by_finite_differences(kind):
    objective = objective_of(kind)
    product = objective.hessian(objective.anchor)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        v = torch.randn(objective.size, dtype=torch.float64, generator=generator)
        found = product(v)
        # Between products the objective serves others, at other weights.
        objective.evaluate(DenseBasis(v[None]), np.array([[1.0]]))
        step = 1e-6 * v / v.norm()
        ahead, behind = (objective.gradient(objective.anchor + sign * step) for sign in (1, -1))
        expected = (ahead - behind) / 2e-6 * v.norm()
        assert float((found - expected).norm() / expected.norm()) < 1e-5
        torch.testing.assert_close(found, objective.hvp(objective.anchor, v), rtol=1e-9, atol=1e-12)


def test_statistics_of_the_data_are_those_at_the_weights_whatever_was_evaluated_between():
    x, y = digits(300)
    objective = Objective(ConvNet().double(), (x.double(), y), batchnorm="reestimate")
    settled = Objective(objective.model_at(objective.anchor), (x.double(), y))
    product, v = objective.hessian(objective.anchor), torch.ones_like(objective.anchor)
    objective.loss(objective.anchor * 2)
    torch.testing.assert_close(product(v), settled.hvp(settled.anchor, v), rtol=1e-9, atol=1e-12)


def counted() -> tuple[Objective, list[int]]:
    sizes = []
    data = digits(300)
    objective = Objective(train(mlp(), data, 20), data, loss=lambda z, y: _smoothed(z, y))
    loss = objective.loss_function.function

    def watched(outputs, targets):
        sizes.append(len(targets))
        return loss(outputs, targets)

    objective.loss_function.function = watched
    return objective, sizes


def _smoothed(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets, label_smoothing=0.1)


def test_many_products_take_one_pass_through_the_model():
    objective, sizes = counted()
    product = objective.hessian(objective.anchor)
    before = len(sizes)
    assert before > 0
    for _ in range(5):
        product(objective.anchor)
    assert len(sizes) == before


def test_a_graph_that_does_not_fit_is_built_for_each_product(monkeypatch):
    objective, sizes = counted()
    expected = objective.hessian(objective.anchor)(objective.anchor)
    monkeypatch.setattr(hessian_product, "free_memory", lambda device: 1 << 16)
    product = objective.hessian(objective.anchor)
    before = len(sizes)
    torch.testing.assert_close(product(objective.anchor), expected, rtol=1e-4, atol=1e-6)
    product(objective.anchor)
    assert len(sizes) >= before + 2


def test_what_a_graph_is_said_to_take_is_what_its_tensors_take():
    torch.manual_seed(0)
    x = torch.randn(32, 10)
    model = nn.Sequential(nn.Linear(10, 5000), nn.Tanh(), nn.Linear(5000, 1, bias=False))
    objective = Objective(model, (x, torch.zeros(32, 1)), loss=nn.functional.smooth_l1_loss)
    found = objective._derivatives.gradient._first_order
    # The hidden layer's outputs are held; the weights are there anyway.
    assert 5000 * 4 <= found.example < 2.5 * 5000 * 4
    # A graph of the gradient holds gradients of all weights besides.
    assert objective._derivatives.hessian._second_order.tile >= 3 * 5000 * 4


def test_a_loss_without_curvature_has_products_of_zero():
    model = nn.Linear(3, 1)
    data = [(x,) for x in torch.randn(8, 3).split(4)]
    objective = Objective(model, data, loss=lambda model, batch: model(*batch).sum())
    assert not objective.hessian(objective.anchor)(objective.anchor).any()


def test_the_top_eigenvalues_of_a_network_are_those_of_its_dense_hessian():
    torch.manual_seed(0)
    x, y = torch.randn(60, 4), torch.randint(0, 3, (60,))
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    found = hessian_eigenpairs(Objective(model, (x, y)), top=5)
    double = Objective(model.double(), (x.double(), y))

    def loss_at(vector):
        weights = double.layout.unflatten(vector)
        return nn.functional.cross_entropy(
            torch.func.functional_call(model, weights, (x.double(),)), y
        )

    dense = torch.autograd.functional.hessian(loss_at, double.anchor)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(dense)[::-1][:5], rtol=2e-6)


def test_products_in_float64_are_to_be_had_where_little_memory_is_left(monkeypatch):
    objective = Objective(mlp(), digits(50))
    monkeypatch.setattr("landscape_widgets.objective.hessian.graph_allowance", lambda device: 0)
    v = torch.randn(objective.size, dtype=torch.float64)
    found = objective.exact_hessian(objective.anchor)(v)
    expected = objective.hessian(objective.anchor, keep=False)(v.float())
    assert torch.allclose(found.float(), expected, rtol=1e-3, atol=1e-5)
