"""Errors of eigenvalues against dense Hessians in float64, by autograd on the user's own loop."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.curvature.lanczos import extreme_eigenpairs
from landscape_widgets.objective.objective import Objective
from tests.models import digits, mlp, train

F = nn.functional


class Single(nn.Module):
    """Makes a tensor of its own in float32, so that it cannot be run in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)

    def forward(self, x):
        return (
            torch.tanh(self.inner(x))
            @ torch.linspace(-1, 1, 8, dtype=torch.float32).view(4, 2) ** 2
        )


class Times(nn.Module):
    """y = a · b · x, flat in one direction of its parameters at a = b = 0."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.tensor(values))

    def forward(self, x):
        return x * self.factors.prod()


def squared(model, batch):
    return (model(batch[0]) - batch[1]).pow(2).mean()


def weighted(model, batch):
    return F.cross_entropy(
        model(batch[0]), batch[1], weight=torch.tensor([1.0, 5.0, 0.2]).to(batch[0])
    )


def of_tokens(model, batch):
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten(), ignore_index=-100)


def plain(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def linear(model, batch):
    return model(batch[0]).mean()


def make(kind: str):
    torch.manual_seed(0)
    x, y = torch.randn(60, 4), torch.randint(0, 3, (60,))
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    if kind == "trained":
        x, y = digits(120)
        x = x[:, ::8].contiguous()
        net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 10))
        return train(net, (x, y), 300), [(x, y)], plain
    if kind == "class weights":
        y = y.sort().values
        return net, [(x, y)], weighted
    if kind == "tokens":
        y = torch.randint(0, 3, (60, 7))
        y[torch.rand(60, 7) < 0.4] = -100
        return net, [(torch.randn(60, 7, 4), y)], of_tokens
    if kind == "one parameter":
        return Times(0.5), [(x[:, :1], 2 * x[:, :1])], squared
    if kind == "two parameters":
        return Times(0.5, 2.0), [(x[:, :1], 2 * x[:, :1])], squared
    if kind == "flat":
        return nn.Linear(4, 1), [(x, y)], linear
    # Repeated: the same eigenvalue for each output.
    return nn.Linear(4, 3), [(x, torch.randn(60, 3))], squared


KINDS = (
    "trained", "class weights", "tokens", "one parameter", "two parameters", "flat", "repeated"
)  # fmt: skip


def dense(objective: Objective, model: nn.Module, data, loss) -> torch.Tensor:
    model = model.double()
    wide = [tuple(p.double() if p.is_floating_point() else p for p in batch) for batch in data]
    sizes = [len(batch[0]) for batch in wide]

    def loss_at(vector):
        weights = objective.layout.unflatten(vector)

        def at(x):
            return torch.func.functional_call(model, weights, (x,))

        values = [loss(at, batch) * size for batch, size in zip(wide, sizes, strict=True)]
        return sum(values) / sum(sizes)

    return torch.autograd.functional.hessian(loss_at, objective.anchor.double())


@pytest.mark.parametrize("kind", KINDS)
def test_residuals_are_true_and_bound_the_errors_of_eigenvalues(kind):
    model, data, loss = make(kind)
    objective = Objective(model, data, loss=lambda model, batch: loss(model, batch), metrics=[])
    top = min(3, objective.size)
    bottom = min(2, objective.size - top)
    found = hessian_eigenpairs(objective, top=top, bottom=bottom)
    matrix = dense(objective, model, data, loss)
    expected = np.linalg.eigvalsh(matrix.numpy())
    wanted = np.sort([*expected[len(expected) - top :], *expected[:bottom]])[::-1]
    vectors = found.vectors.double()
    values = torch.as_tensor(found.values)[:, None]
    true = (vectors @ matrix - values * vectors).norm(dim=1).numpy()
    scale = max(abs(expected).max(), 1e-12)
    np.testing.assert_allclose(found.residuals, true, rtol=0.02, atol=1e-12 * scale)
    assert (np.abs(found.values - wanted) <= found.errors + 1e-12 * scale).all()
    np.testing.assert_allclose(found.values, wanted, rtol=1e-5, atol=1e-5 * scale)


def test_where_float64_cannot_be_had_the_rounding_of_float32_is_said():
    torch.manual_seed(0)
    x, y = torch.randn(40, 3), torch.randint(0, 2, (40,))
    model = Single()
    objective = Objective(model, (x, y), metrics=[])
    found = hessian_eigenpairs(objective, top=2, bottom=2)

    def loss_at(vector):
        weights = objective.layout.unflatten(vector)
        z = torch.tanh(x.double() @ weights["inner.weight"].T + weights["inner.bias"])
        return F.cross_entropy(z @ torch.linspace(-1, 1, 8).view(4, 2).double() ** 2, y)

    matrix = torch.autograd.functional.hessian(loss_at, objective.anchor.double())
    expected = np.linalg.eigvalsh(matrix.numpy())[[-1, -2, 1, 0]]
    assert found.rounding > 0
    assert (np.abs(found.values - expected) <= found.errors).all()
    assert "±" in found.words


def test_what_float32_cannot_tell_from_zero_is_named():
    torch.manual_seed(0)
    # All rows of the matrix lie in one direction but for rounding: the second value is noise.
    a = torch.randn(50)
    matrix = torch.outer(a, a)
    found = extreme_eigenpairs(
        lambda v: matrix @ v, a, top=2, generator=torch.Generator().manual_seed(0)
    )
    assert found.rounding > 0
    assert "model.double()" in found.words
    assert "not told from 0" in found.words


def test_a_recurrence_that_seems_done_is_not_believed_without_the_matrix():
    torch.manual_seed(0)
    values = torch.linspace(0.0, 1.0, 200, dtype=torch.float64)
    values[-1] = 3.0
    asked = []

    def exact(v):
        asked.append(v)
        return values * v

    found = extreme_eigenpairs(
        lambda v: (values * v.double()).float(), values.float(), top=1, exact=exact,
        generator=torch.Generator().manual_seed(0), tolerance=1e-5, iterations=150,
    )  # fmt: skip
    assert asked
    v = found.vectors[0].double()
    v = v / v.norm()
    true = float((values * v - found.values[0] * v).norm())
    assert found.residuals[0] == pytest.approx(true, rel=1e-6)
    assert abs(found.values[0] - 3.0) <= found.residuals[0]
    assert found.residuals[0] < 3e-5 + 16 * 1.2e-7 * 3


def test_a_smaller_network_in_float32_has_the_eigenvalues_of_its_float64_hessian():
    data = digits(200)
    model = train(mlp(4), data, 200)
    found = hessian_eigenpairs(Objective(model, data, metrics=[]), top=4)
    wide = Objective(model.double(), (data[0].double(), data[1]), metrics=[])
    exact = hessian_eigenpairs(wide, top=4, tolerance=1e-9, iterations=300)
    np.testing.assert_allclose(found.values, exact.values, rtol=2e-6)
    assert (np.abs(found.values - exact.values) <= found.errors).all()
