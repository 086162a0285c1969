"""What is called a minimum is one, and what is not is not called so."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Minima
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.descents import Units, descend
from landscape_widgets.samplers.settle import Memory, settle
from tests.models import digits, mlp, train

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(60, 4, generator=GENERATOR)
Y = X @ torch.randn(4, 1, generator=GENERATOR) + 0.3 * torch.randn(60, 1, generator=GENERATOR)


class Vector(nn.Module):
    """A model that is its weights."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(values))

    def forward(self, x):
        return self.weight + 0 * x[:, :1]


def surface(function, *values) -> Objective:
    """Any function of the weights as a loss."""
    data = torch.zeros(4, 1), torch.zeros(4)
    return Objective(Vector(*values), data, loss=lambda w, _: function(*w[0]))


def rest(objective, start, steps=200):
    """Where a descent from θ* + start comes to rest."""
    work, start = Work(objective, 0), torch.tensor(start)
    loss = objective.loss(objective.anchor + start)
    run = descend(work, start, steps=5, learning_rate=0.01, batch_size=None, relative=True)
    distance = run.units.length(start)
    return settle(work, run, fell_from=loss, distance=distance, steps=steps)


def test_the_two_loop_recursion_is_the_inverse_hessian_of_bfgs():
    rng = torch.Generator().manual_seed(1)
    matrix = torch.randn(6, 6, generator=rng, dtype=torch.float64)
    hessian = matrix @ matrix.T + torch.eye(6, dtype=torch.float64)
    memory, pairs = Memory(6), []
    for _ in range(4):
        step = torch.randn(6, generator=rng, dtype=torch.float64)
        memory.add(step, hessian @ step)
        pairs.append((step, hessian @ step))
    step, change = pairs[-1]
    inverse = torch.eye(6, dtype=torch.float64) * (step @ change) / (change @ change)
    for s, y in pairs:  # equation 6.17 of Nocedal and Wright, densely
        left = torch.eye(6, dtype=torch.float64) - torch.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + torch.outer(s, s) / (s @ y)
    gradient = torch.randn(6, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(memory.direction(gradient), -inverse @ gradient)


def test_the_minimum_of_least_squares_is_found_and_called_so():
    torch.manual_seed(0)
    objective = Objective(nn.Linear(4, 1), (X, Y))
    found = rest(objective, [1.0, -1.0, 2.0, 0.5, 1.0])
    columns = np.hstack([X.numpy(), np.ones((60, 1))])
    solution, residual, *_ = np.linalg.lstsq(columns, Y.numpy(), rcond=None)
    assert found.ending == "minimum"
    assert found.loss == pytest.approx(residual[0] / 60, rel=1e-5)
    weights = (objective.anchor + found.displacement).numpy()
    np.testing.assert_allclose(weights, solution[:, 0], atol=1e-3)


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_losses_near_the_ends_of_single_precision_have_the_same_minimum(factor):
    objective = surface(lambda a, b: factor * ((a - 1) ** 2 + 3 * (b + 2) ** 2 + 0.1), 2.0, 1.0)
    found = rest(objective, [3.0, 3.0])
    assert found.ending == "minimum"
    torch.testing.assert_close(
        objective.anchor + found.displacement, torch.tensor([1.0, -2.0]), atol=1e-2, rtol=0
    )


def test_a_loss_without_a_minimum_is_still_falling():
    assert rest(surface(lambda a, b: a + b, 1.0, 1.0), [1.0, 1.0], 40).ending == "still falling"


def test_a_saddle_is_left():
    # Without a gradient in a, a descent on a = 0 ends in the saddle at (0, 0).
    objective = surface(lambda a, b: (a * a - 1) ** 2 + b * b, 0.5, 0.5)
    found = rest(objective, [-0.5, 1.5])
    a, b = (objective.anchor + found.displacement).tolist()
    assert found.ending == "minimum"
    assert abs(a) == pytest.approx(1, abs=1e-2)
    assert b == pytest.approx(0, abs=1e-2)


def test_on_a_ridge_of_kinks_only_the_lowest_point_may_be_called_a_minimum():
    objective = surface(lambda a, b: (a + 2 * b).abs() + 0.01 * (a - b).square(), 1.0, 1.0)
    found = rest(objective, [1.0, 1.0])
    assert found.ending != "minimum" or found.loss < 1e-5


def test_a_minimum_below_zero_is_found_as_well_as_one_above():
    objective = surface(lambda a, b: (a - 1) ** 2 + (b - 1) ** 2 - 7, 2.0, 1.0)
    found = rest(objective, [2.0, 2.0])
    assert (found.ending, found.loss) == ("minimum", pytest.approx(-7, abs=1e-4))


def test_a_descent_that_never_moves_says_that_there_is_no_gradient():
    objective = surface(lambda a, b: a.floor() + b.floor(), 0.5, 0.5)
    run = descend(
        Work(objective, 0),
        torch.ones(2),
        steps=3,
        learning_rate=0.1,
        batch_size=None,
        relative=True,
    )
    assert not run.moved
    found = settle(Work(objective, 0), run, fell_from=2.0, distance=1.0, steps=10)
    assert (found.ending, found.loss) == ("no gradient", 2.0)
    assert torch.equal(found.displacement, torch.ones(2))


def test_rows_that_never_moved_are_not_called_minima():
    x, y = digits(60)
    model = nn.Linear(64, 10)

    def signs(targets):
        return 1 - 2 * nn.functional.one_hot(targets, 10).float()

    land = Landscape(model, (x, y), loss=lambda z, t: (z.sign() * signs(t)).mean())
    land.sample(Minima(n=20))
    assert list(land.cloud.table["kind"][1:4]) == ["end"] * 3
    assert list(land.cloud.table["ending"][1:4]) == ["no gradient"] * 3
    assert any(
        "3 of 3 descents ended where the loss has no gradient" in s for s in land.assumptions
    )


@pytest.fixture(scope="module")
def found():
    data = digits(400)
    model = train(mlp(), data, 100)
    return data, Landscape(model, data, metrics=[]).sample(Minima(n=20))


def test_a_hundred_more_steps_find_nothing_below_what_is_called_a_minimum(found):
    (x, y), land = found
    frame = land.to_frame()
    minima = frame.index[frame["kind"] == "minimum"]
    assert len(minima) == 3

    def slope(model):
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()]).norm()

    trained = slope(land.model_at(0))[1]
    # Descents are the same again.
    starts = Minima(n=20).find(Work(land.objective, land.seed)).starts
    for index, moved in zip(minima, starts, strict=True):
        start = slope(copy.deepcopy(land.objective.model_at(land.objective.anchor + moved)))[0]
        model = copy.deepcopy(land.model_at(index))
        before, steepness = slope(model)
        assert steepness < trained
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(100):
            slope(model)
            optimiser.step()
        assert before - slope(model)[0] < 1e-4 * (start - before)


def test_a_descent_that_is_cut_short_is_no_minimum(found):
    _, land = found
    short = Minima(n=5, steps=10, finish=2).draw(land.objective, seed=0)
    assert list(short.table["kind"][1:4]) == ["end"] * 3
    assert list(short.table["ending"][1:4]) == ["still falling"] * 3
    assert any("still falling" in sentence for sentence in short.assumptions)


def test_a_convex_loss_has_one_minimum_and_the_slice_keeps_its_dimensions():
    torch.manual_seed(0)
    objective = Objective(nn.Linear(4, 1), (X, Y))
    sampler = Minima(k=3, n=30)
    work = Work(objective, 0)
    ends = sampler.find(work)
    assert ends.twins[0] is None
    assert set(ends.twins[1:]) <= {0, 1}
    cloud = sampler.draw(objective, seed=0)
    assert list(cloud.table["kind"][:3]) == ["trained", "minimum", "sample"]
    assert cloud.isometric().shape[1] == 3
    assert any("2 of 3 descents ended where one before had" in s for s in cloud.assumptions)
    # Of the trained minimum itself, all come back.
    with torch.no_grad():
        best = objective.model_at(cloud.vector(1))
    back = sampler.find(Work(Objective(best, (X, Y)), 0))
    assert back.twins == (-1, -1, -1)


def test_units_follow_the_filters_and_what_is_zero_is_measured_by_its_gradient():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.bias.zero_()
    objective = Objective(model, (X, torch.randn(60, 3)))
    gradient = objective.gradient(objective.anchor + 0.1)
    units = objective.layout.unflatten(Units(objective, gradient).sizes)
    rows = model.weight.detach().square().mean(dim=1).sqrt()
    torch.testing.assert_close(units["weight"], rows[:, None].expand(3, 4))
    parts = objective.layout.unflatten(gradient)
    pull = (parts["weight"] * units["weight"]).square().mean().sqrt()
    expected = min(pull / parts["bias"].square().mean().sqrt(), rows.square().mean().sqrt())
    torch.testing.assert_close(units["bias"], expected.expand(3), rtol=1e-4, atol=0)


def test_a_descent_that_never_rests_ends_where_it_was_as_low_as_the_trained_weights():
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.randn(40, 6, generator=rng), torch.randn(40, 1, generator=rng)
    y = x[:, :1] + 0.5 * noise

    def go_on(model, steps):
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(steps):
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimiser.step()
        return loss.item()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 1))
    go_on(model, 100)
    objective = Objective(model, (x, y))
    level = objective.loss(objective.anchor)
    sooner, later = (
        Minima(k=1, n=3, steps=20, finish=finish).find(Work(objective, 0)) for finish in (20, 30)
    )
    assert sooner.endings == later.endings == ("still falling",)
    assert 0.5 * level < sooner.end_losses[0] <= level
    torch.testing.assert_close(sooner.ends, later.ends, rtol=0, atol=0)
    # The noise of forty examples can be fitted from there, as it can from θ*.
    end = copy.deepcopy(objective.model_at(objective.anchor + sooner.ends[0]))
    assert go_on(end, 300) < 0.5 * level
