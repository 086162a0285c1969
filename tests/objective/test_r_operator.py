"""Products by the R-operator against dense Hessians by autograd, in float64."""

import dataclasses
import logging
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective import hessian, hessian_product, r_operator
from landscape_widgets.objective.hessian_product import GraphProduct
from landscape_widgets.objective.objective import Objective
from landscape_widgets.objective.r_operator import FeedForwardProduct
from landscape_widgets.task.losses import CrossEntropy
from tests.evaluation import networks
from tests.models import ConvNet, digits


def _smooth():
    model = nn.Sequential(
        nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 4), nn.Identity(), nn.Linear(4, 5, bias=False),
        nn.Softplus(), nn.Tanh(), nn.Linear(5, 3), nn.Sigmoid(),
    )  # fmt: skip
    return model, torch.randn(50, 5), torch.randn(50, 3)


def _binary():
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 7), nn.ELU(), nn.Linear(7, 1))
    return model, torch.randn(50, 2, 3), torch.randint(0, 2, (50,))


def _frozen():
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    model[0].bias.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    return model, torch.randn(50, 5), torch.randint(0, 4, (50,))


def _numbers():
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    return model, torch.randn(50, 5), torch.randn(50, 3)


OWN = {
    "numbers": _numbers,
    "smooth": _smooth,
    "binary": _binary,
    "frozen": _frozen,
    "one layer": lambda: (
        nn.Sequential(nn.Linear(4, 3)),
        torch.randn(50, 4),
        torch.randint(0, 3, (50,)),
    ),
}
# "twice": one layer in two places; "relu mlp": examples that do not count.
KINDS = (*OWN, "mlp", "relu mlp", "regression", "twice", "unused")


def objective_of(kind: str) -> Objective:
    torch.manual_seed(0)
    model, x, y = OWN[kind]() if kind in OWN else networks.make(kind)[:3]
    data = (x.double(), y.double() if y.is_floating_point() else y)
    return Objective(model.double(), data)


def dense(objective: Objective, theta: torch.Tensor) -> torch.Tensor:
    """The Hessian (P, P) of the loss as torch itself has it."""
    (batch,) = objective.train.batches
    x, y = batch.inputs, batch.targets
    model = objective.model_at(theta)

    def loss_at(vector):
        z = torch.func.functional_call(model, objective.layout.unflatten(vector), (x,))
        if y.is_floating_point():
            return nn.functional.mse_loss(z, y)
        if z.shape[-1] == 1:
            return nn.functional.binary_cross_entropy_with_logits(z[:, 0], y.double())
        return nn.functional.cross_entropy(z, y)

    return torch.autograd.functional.hessian(loss_at, theta)


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_with_the_dense_hessian(kind, monkeypatch):
    objective = objective_of(kind)
    generator = torch.Generator().manual_seed(1)
    theta, v, w = torch.randn(3, objective.size, dtype=torch.float64, generator=generator)
    expected = dense(objective, theta)
    for tile in (hessian_product.TILE_BYTES, 1 << 12):  # all examples at once, and some at a time
        monkeypatch.setattr(r_operator, "TILE_BYTES", tile)
        product = objective.hessian(theta)
        assert isinstance(product, FeedForwardProduct)
        # Between products the objective serves others, at other weights.
        objective.evaluate(DenseBasis(v[None]), np.array([[1.0]]))
        for vector in (v, w):
            torch.testing.assert_close(product(vector), expected @ vector, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(
            product.gradient(), objective.gradient(theta), rtol=1e-9, atol=1e-11
        )
    assert len(product.points) > 1


def test_products_in_float32_are_as_good_as_those_by_double_backward():
    objective = objective_of("relu mlp")
    single = Objective(objective.model_at(objective.anchor).float(), _as_single(objective))
    v = torch.randn(single.size, generator=torch.Generator().manual_seed(1))
    expected = objective.hvp(objective.anchor, v.double())
    product = single.hessian(single.anchor)
    assert isinstance(product, FeedForwardProduct)
    errors = [
        float((found.double() - expected).norm() / expected.norm())
        for found in (product(v), single.hvp(single.anchor, v))
    ]
    assert errors[0] < 1e-6 > errors[1]


def _as_single(objective: Objective):
    (batch,) = objective.train.batches
    return batch.inputs.float(), batch.targets


def test_the_curvature_of_examples_that_are_all_but_certain_is_accurate_in_float32():
    generator = torch.Generator().manual_seed(0)
    z, u = torch.randn(2, 40, 5, generator=generator)
    y = torch.arange(40) % 5
    z[torch.arange(40), y] += 12
    along = CrossEntropy(2, 1).curvature(z, y)
    assert along is not None
    p = z.double().softmax(-1)
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    expected = (expected @ u.double()[:, :, None])[:, :, 0]
    # The classes' own entries are as small as the others, though p is near 1 there.
    scale = expected.abs().amax(dim=1, keepdim=True)
    assert float(((along(u).double() - expected).abs() / scale).max()) < 1e-5


@pytest.mark.parametrize("kind", ["normalised mlp", "batch statistics", "own loss", "images"])
def test_what_is_no_plain_chain_is_left_to_double_backward(kind):
    x, y = digits(100)
    model = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    options = {}
    if kind == "normalised mlp":
        model, x, y, _ = networks.make(kind)
    elif kind == "batch statistics":
        model = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)).eval()
        options = {"batchnorm": "reestimate"}
    elif kind == "own loss":
        options = {"loss": lambda z, y: nn.functional.cross_entropy(z, y, label_smoothing=0.1)}
    else:
        model = ConvNet()
    objective = Objective(model, (x, y), **options)
    assert isinstance(objective.hessian(objective.anchor), GraphProduct)


def test_a_chain_that_does_not_fit_in_memory_is_left_to_double_backward(monkeypatch):
    objective = objective_of("mlp")
    assert isinstance(objective.hessian(objective.anchor), FeedForwardProduct)
    monkeypatch.setattr(hessian_product, "free_memory", lambda device: 1 << 16)
    assert isinstance(objective.hessian(objective.anchor), GraphProduct)


def test_a_model_that_was_misread_is_left_to_double_backward(monkeypatch, caplog):
    read = r_operator.read_network

    def misread(*arguments):
        network = read(*arguments)
        return dataclasses.replace(network, functions=((torch.sin,), *network.functions[1:]))

    monkeypatch.setattr(hessian, "read_network", misread)
    found = objective_of("mlp")
    with caplog.at_level(logging.WARNING):
        assert isinstance(found.hessian(found.anchor), GraphProduct)
    assert "another Hessian" in caplog.text


def test_an_objective_is_sent_to_workers_as_before_after_its_hessian_was_taken():
    objective = objective_of("smooth")
    expected = objective.hessian(objective.anchor)(objective.anchor)
    sent = pickle.loads(pickle.dumps(objective))
    torch.testing.assert_close(sent.hessian(sent.anchor)(sent.anchor), expected)
