"""Points whose nature is known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape_widgets.diagnosis import Diagnosis, diagnose
from landscape_widgets.objective.objective import Objective

NO_DATA = (torch.zeros(1, 1), torch.zeros(1, 1))


class Function(nn.Module):
    """A function of the weights alone."""

    def __init__(self, function: Callable[[Tensor], Tensor], at: list[float] | Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.as_tensor(at, dtype=torch.float64).clone())
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.theta)


def of(function: Callable[[Tensor], Tensor], at: list[float] | Tensor) -> Diagnosis:
    objective = Objective(Function(function, at), NO_DATA, loss=lambda outputs, targets: outputs)
    return diagnose(objective)


def symmetric(values: list[float], seed: int) -> Tensor:
    """A matrix with these eigenvalues."""
    generator = torch.Generator().manual_seed(seed)
    size = len(values)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T


@pytest.mark.parametrize("seed", range(20))
def test_the_middle_of_a_quadratic_is_a_minimum_or_a_saddle_as_its_eigenvalues_say(seed):
    rng = np.random.default_rng(seed)
    size, negative = int(rng.integers(2, 12)), int(rng.integers(0, 2) * rng.integers(1, 3))
    values = np.sort(rng.uniform(0.1, 3.0, size))
    values[:negative] *= -1
    matrix = symmetric(values.tolist(), seed)
    middle = torch.from_numpy(rng.normal(size=size))
    level = float(rng.normal())  # which may be below zero

    def loss(theta: Tensor) -> Tensor:
        return 0.5 * (theta - middle) @ matrix @ (theta - middle) + level

    found = of(loss, middle)
    e = found.evidence
    assert found.place.kind == ("saddle" if negative else "minimum")
    assert found.place.sure == "sure"
    assert (e.negative, e.whole) == (negative, True)
    assert e.top == pytest.approx(values.max(), abs=e.top_error + 1e-12)
    assert e.bottom == pytest.approx(values.min(), abs=e.bottom_error + 1e-12)
    beside = of(loss, middle + 0.3 * torch.ones(size))
    assert beside.place.kind == "still falling"


def test_a_quadratic_of_many_weights_is_told_by_lanczos():
    values = [-0.5, -0.2, *torch.linspace(0.5, 4, 98).tolist()]
    matrix = symmetric(values, 0)
    found = of(lambda theta: 0.5 * theta @ matrix @ theta + theta.sum() * 0, torch.zeros(100))
    assert found.place.kind == "saddle"
    assert not found.evidence.whole
    assert found.evidence.negative == 2
    assert "at least 2 of 100" in found.place.words
    assert found.evidence.bottom == pytest.approx(-0.5, abs=found.evidence.bottom_error)
    positive = symmetric([abs(value) for value in values], 0)
    found = of(lambda theta: 0.5 * theta @ positive @ theta, torch.zeros(100))
    assert found.place.kind == "minimum"
    assert found.place.sure == "likely"  # nobody has looked along all directions


def monkey(theta: Tensor) -> Tensor:
    return theta[0] ** 3 - 3 * theta[0] * theta[1] ** 2


@pytest.mark.parametrize("level", [0.0, 1.0, -2.0])
def test_a_monkey_saddle_is_one_though_slope_and_curvature_are_zero(level):
    found = of(lambda theta: monkey(theta) + level, [0.0, 0.0])
    assert found.place.kind == "saddle"
    assert "degenerate" in found.place.words
    assert found.evidence.top == found.evidence.bottom == 0


def test_a_monkey_saddle_is_one_however_it_is_turned():
    for angle in np.linspace(0, np.pi, 20):
        c, s = np.cos(angle), np.sin(angle)
        turn = torch.tensor([[c, -s], [s, c]])
        assert of(lambda theta, turn=turn: monkey(turn @ theta), [0.0, 0.0]).place.kind == "saddle"


def neuron(theta: Tensor) -> Tensor:
    return 0.5 * (1 - theta[0] * theta[1]) ** 2


@pytest.mark.parametrize("x", [0.5, 1.0, -2.0, 3.0])
def test_one_neuron_has_minima_that_are_level_along_a_valley(x):
    """The Hessian of ½(1 − xy)² has the eigenvalues 0 and x² + y² where xy = 1."""
    found = of(neuron, [x, 1 / x])
    assert found.place.kind == "minimum"
    assert "level" in found.place.words
    assert found.evidence.top == pytest.approx(x**2 + x**-2)
    assert found.evidence.bottom == pytest.approx(0, abs=found.evidence.bottom_error + 1e-12)


def test_one_neuron_has_a_saddle_at_zero():
    found = of(neuron, [0.0, 0.0])
    assert found.place.kind == "saddle"
    assert (found.evidence.top, found.evidence.bottom) == pytest.approx((1, -1))
    assert "1 of 2 directions curves downwards" in found.place.words
    assert of(neuron, [1e-3, -1e-3]).place.kind == "saddle"  # near enough
    assert of(neuron, [2.0, 1.0]).place.kind == "still falling"


def test_a_plateau_is_flat():
    found = of(lambda theta: (theta.norm() - 2).relu() + 1, [0.5, -0.5])
    assert found.place.kind == "flat"


def test_the_gradient_and_what_a_step_takes_off_are_as_calculus_says():
    matrix = torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))
    at = torch.tensor([1.0, 0.5], dtype=torch.float64)
    e = of(lambda theta: 0.5 * theta @ matrix @ theta, at).evidence
    g = matrix @ at
    assert e.gradient == pytest.approx(float(g.norm()))
    best = float((g @ g) ** 2 / (2 * g @ matrix @ g))
    assert 0.7 * best < e.best_step <= best * (1 + 1e-9)
    assert e.descent == pytest.approx(float(0.5 * at @ matrix @ at))  # all of it


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("double", [False, True])
def test_linear_regression_by_least_squares_is_at_its_minimum(seed, double):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(80, 4, generator=generator)
    y = x @ torch.randn(4, 1, generator=generator) + 0.3 * torch.randn(80, 1, generator=generator)
    ones = torch.cat([x, torch.ones(80, 1)], dim=1).double()
    solution = torch.linalg.lstsq(ones, y.double()).solution.flatten()
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.copy_(solution[None, :4])
        model.bias.copy_(solution[4:])
    model, data = (model.double(), (x.double(), y.double())) if double else (model, (x, y))
    found = diagnose(Objective(model, data))
    assert found.place.kind == "minimum"
    assert found.place.sure == "sure"
    curvatures = np.linalg.eigvalsh(2 * (ones.T @ ones / 80).numpy())
    ends = (found.evidence.bottom, found.evidence.top)
    assert ends == pytest.approx((curvatures[0], curvatures[-1]), rel=1e-5)
    assert found.evidence.references.chance == pytest.approx(float(y.var(unbiased=False)), rel=1e-5)
    with torch.no_grad():
        model.weight += 0.2
    assert diagnose(Objective(model, data)).place.kind == "still falling"


@pytest.mark.parametrize("seed", range(5))
def test_logistic_regression_at_its_minimum(seed):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 3))
    y = (x @ [1.0, -2.0, 0.5] + rng.logistic(size=200) > 0).astype(int)
    fitted = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(x, y)
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(fitted.coef_))
        model.bias.copy_(torch.tensor(fitted.intercept_))
    data = (torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None])
    found = diagnose(Objective(model, data, loss=nn.BCEWithLogitsLoss()))
    assert found.place.kind == "minimum"
    p = fitted.predict_proba(x)[:, 1]
    ones = np.column_stack([x, np.ones(200)])
    curvatures = np.linalg.eigvalsh((ones * (p * (1 - p))[:, None]).T @ ones / 200)
    assert found.evidence.bottom == pytest.approx(curvatures[0], rel=1e-4)
    share = y.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert found.evidence.references.chance == pytest.approx(entropy, rel=1e-5)


def test_a_parabola_of_one_weight():
    found = of(lambda theta: (theta[0] - 2) ** 2, [2.0])
    assert (found.place.kind, found.evidence.top) == ("minimum", pytest.approx(2))
    assert of(lambda theta: -((theta[0] - 2) ** 2), [2.0]).place.kind == "saddle"


def test_a_loss_that_is_not_finite_is_told_as_that():
    model = Function(lambda theta: theta[0].log() * theta[0], [1.0])
    objective = Objective(model, NO_DATA, loss=lambda outputs, targets: outputs)
    found = diagnose(objective, torch.tensor([-1.0], dtype=torch.float64))
    assert found.place.kind == found.fit.kind == "not finite"
    assert "nan" in found.place.words
    assert "nan" in repr(found)


def test_a_model_without_a_gradient_is_told_as_that():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(2, 1)
    objective = Objective(
        model, (x, (x[:, :1] > 0).float()),
        loss=lambda outputs, targets: ((outputs > 0).float() != targets).float().mean(),
    )  # fmt: skip
    found = diagnose(objective)
    assert found.place.kind == "no gradient"
    assert "minimum" in found.place.words
    assert np.isnan(found.evidence.gradient)
