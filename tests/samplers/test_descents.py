import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import cKDTree

from landscape_widgets.samplers import Descent, Minima, Neighbourhood
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.descents import Adam, cosine, descend


def test_adam_with_its_schedule_moves_as_torchs_own():
    matrix = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    reference = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([reference], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=20)
    ours, adam = torch.zeros(6, dtype=torch.float64), Adam()
    for step in range(20):
        theirs.zero_grad()
        (matrix @ reference - 1).square().sum().backward()
        theirs.step()
        schedule.step()
        gradient = 2 * matrix.T @ (matrix @ ours - 1)
        ours = ours + adam.move(gradient, 0.1 * cosine(step, 20))
    torch.testing.assert_close(ours, reference.detach())


def test_minima_lie_far_below_their_starts_and_away_from_the_trained_weights(objective):
    found = Minima().find(Work(objective, seed=0))
    falls = np.log10(found.start_losses) - np.log10(found.end_losses)
    assert np.median(falls) > 1.5
    lengths = found.ends.norm(dim=1) / found.radius
    assert (lengths > 0.7).all()
    # And away from each other.
    assert torch.pdist(found.ends).min() > 0.7 * found.radius


def test_samples_fill_the_box_around_the_minima_evenly_and_independently(objective):
    cloud = Minima().draw(objective, seed=0)
    assert list(cloud.table["kind"][:5]) == ["trained", "minimum", "minimum", "minimum", "sample"]
    np.testing.assert_array_equal(cloud.coefficients[1:4], np.eye(3))
    inner = cloud.coefficients[4:]
    assert len(inner) == 1000
    low, high = -0.25, 1.25
    for column in inner.T:
        assert stats.kstest(column, "uniform", args=(low, high - low)).pvalue > 0.01
    # As many in each cell of a grid as chance has it: a spaced set would have far too small a
    # statistic, one that crowds anywhere far too large a one.
    counts, _ = np.histogramdd(inner, bins=4, range=[(low, high)] * 3)
    assert 0.005 < stats.chisquare(counts.ravel()).pvalue < 0.995
    # Nearest neighbours are as far apart as those of independent points: away from the walls
    # the volume of the ball up to the nearest is exponential.
    distances = cKDTree(inner).query(inner, k=2)[0][:, 1]
    volumes = 4 / 3 * np.pi * distances**3 * len(inner) / (high - low) ** 3
    inside = (np.abs(inner - 0.5) < 0.6).all(axis=1)
    assert volumes[inside].mean() == pytest.approx(1.0, abs=0.15)


def test_each_recorded_step_lowers_the_loss_in_the_end(objective):
    cloud = Descent(runs=4, steps=40, every=10).draw(objective, seed=0)
    losses = objective.evaluate(cloud.basis, cloud.coefficients).losses
    for _, run in cloud.table.assign(loss=losses)[1:].groupby("path"):
        assert list(run["step"]) == [0, 10, 20, 30, 40]
        assert list(run["kind"]) == ["sample"] * 4 + ["end"]
        assert run["loss"].iloc[-1] < 0.1 * run["loss"].iloc[0]


def test_plain_descent_follows_the_gradient(objective):
    sampler = Descent(runs=1, steps=3, optimiser="sgd", batch_size=None, radius=0.5)
    cloud = sampler.draw(objective, seed=0)
    start, first = cloud.displacement(1), cloud.displacement(2)
    assert float(start.norm()) == pytest.approx(0.5, rel=1e-5)
    step, gradient = first - start, objective.gradient(objective.anchor + start)
    assert torch.cosine_similarity(step, -gradient, dim=0) > 0.9999
    assert float(step.norm()) == pytest.approx(0.05 * 0.5, rel=1e-3)


def test_a_descent_on_a_paraboloid_finds_its_minimum(linear):
    start = torch.tensor([1.0, 1.0, 1.0])
    run = descend(Work(linear, 0), start, steps=400, learning_rate=0.05, batch_size=None)
    expected = torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(linear.anchor + run.displacement, expected, atol=1e-3, rtol=0)


def test_a_descent_that_diverges_stops_at_its_last_finite_point(linear):
    run = descend(
        Work(linear, 0),
        torch.ones(3),
        steps=200,
        learning_rate=1e12,
        batch_size=None,
        optimiser="sgd",
    )
    assert run.diverged
    assert len(run.losses) < 200
    assert np.isfinite(run.losses).all()


def test_an_arm_is_a_ray_its_end_and_a_short_descent(objective):
    cloud = Neighbourhood(arms=6).draw(objective, seed=0)
    assert len(cloud) == 1 + 6 * 8
    losses = objective.evaluate(cloud.basis, cloud.coefficients).losses
    for path in range(6):
        rows = np.flatnonzero(cloud.table["path"] == path)
        assert list(cloud.table["step"][rows]) == list(range(1, 9))
        end = cloud.displacement(rows[3])
        for place, share in enumerate((0.25, 0.5, 0.75)):
            torch.testing.assert_close(cloud.displacement(rows[place]), share * end)
        assert losses[rows[7]] <= losses[rows[3]]
