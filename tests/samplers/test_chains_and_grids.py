"""Grid, HessianSubspace, Langevin and JumpAndRetrain."""

import numpy as np
import pytest
import torch

from landscape_widgets import samplers
from landscape_widgets.curvature.chains import ChainError, chain_health, split_rhat
from landscape_widgets.samplers import Grid, HessianSubspace, JumpAndRetrain, Langevin


def test_a_grid_has_its_nodes_in_a_plane_with_the_trained_weights_in_the_middle(objective):
    cloud = Grid(points=5, radius=2.0).draw(objective, seed=0)
    assert len(cloud) == 25  # the middle node is sample 0
    assert cloud.isometric().shape[1] == 2
    nodes = cloud.table[["row", "column"]].astype(int)
    assert sorted(map(tuple, nodes.to_numpy())) == [(i, j) for i in range(5) for j in range(5)]
    assert tuple(nodes.iloc[0]) == (2, 2)
    same_row = cloud.coefficients[(nodes["row"] == 1).to_numpy()]
    assert np.ptp(same_row[:, 1]) == 0


def test_a_grid_through_two_models_passes_through_them(objective):
    others = [objective.model_at(objective.anchor * share) for share in (0.5, 2.0)]
    others[1].load_state_dict({k: v + 0.1 for k, v in others[1].state_dict().items()})
    cloud = Grid(points=3, through=others, extent=(-1.0, 1.0)).draw(objective, seed=0)
    at = np.flatnonzero((cloud.coefficients == [0, 1]).all(axis=1))[0]
    weights = torch.cat([p.detach().flatten() for p in others[1].parameters()])
    torch.testing.assert_close(cloud.vector(at), weights)


def test_the_hessian_subspace_spans_the_sharpest_directions(objective):
    cloud = HessianSubspace(top=2, bottom=0, n=30, tolerance=1e-4).draw(objective, seed=0)
    anchor = objective.anchor
    for j in range(2):
        v = cloud.basis.row(j)
        curvature = float(v @ objective.hvp(anchor, v))
        random = torch.randn(objective.size, generator=torch.Generator().manual_seed(j))
        random = random / random.norm()
        assert curvature > 20 * abs(float(random @ objective.hvp(anchor, random)))
        residual = objective.hvp(anchor, v) - curvature * v
        assert residual.norm() < 0.01 * curvature


def test_jumps_are_retrained_to_a_lower_loss(objective):
    sampler = JumpAndRetrain(jumps=2, sizes=(0.5, 1.0), steps=40)
    cloud = sampler.draw(objective, seed=0)
    for path in range(4):
        rows = np.flatnonzero(cloud.table["path"] == path)
        losses = objective.evaluate(cloud.basis, cloud.coefficients[rows]).losses
        assert losses[-1] < 0.3 * losses[0]
        assert cloud.table["kind"][rows[-1]] == "end"
    assert set(cloud.table["jump"].dropna()) == {0.5, 1.0}


@pytest.mark.filterwarnings("ignore::landscape_widgets.curvature.chains.ChainWarning")
def test_langevin_chains_draw_from_the_posterior_of_a_paraboloid(linear):
    # The loss of linear regression is quadratic, so the chain's law is a known normal one.
    sampler = Langevin(
        chains=4, draws=800, every=2, burn_in=300, temperature=0.02, tether=1.0,
        step_size=0.003, batch_size=None,
    )  # fmt: skip
    cloud = sampler.draw(linear, seed=0)
    draws = np.stack([cloud.displacement(i).double().numpy() for i in range(1, len(cloud))])
    identity = torch.eye(linear.size)
    hessian = np.stack([linear.hvp(linear.anchor, v).double().numpy() for v in identity])
    precision = hessian / 0.02 + np.eye(linear.size)
    mean = -np.linalg.solve(precision, linear.gradient(linear.anchor).double().numpy() / 0.02)
    covariance = np.linalg.inv(precision)
    deviations = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.25 * deviations.max())
    np.testing.assert_allclose(draws.std(axis=0), deviations, rtol=0.2)


def test_chains_that_run_away_raise_an_error_with_their_diagnosis(objective):
    with pytest.raises(ChainError, match="smaller step_size") as raised:
        Langevin(chains=2, draws=50, step_size=1e6).draw(objective, seed=0)
    assert all(health.failed_at is not None for health in raised.value.health)


def test_a_chain_whose_loss_still_rises_is_said_not_to_have_settled():
    losses = np.linspace(0.1, 1.0, 40)
    health = chain_health(losses, anchor_loss=0.05, temperature=0.01, walked=1.0, stepped=1.0)
    assert not health.failed
    assert any("has not settled" in problem for problem in health.problems)
    assert health.llc == pytest.approx((losses.mean() - 0.05) / 0.01)


def test_split_rhat_is_one_for_equal_chains_and_large_for_others():
    rng = np.random.default_rng(0)
    assert split_rhat(rng.normal(size=(4, 2000))) == pytest.approx(1, abs=0.01)
    assert split_rhat(rng.normal(size=(4, 200)) + np.arange(4)[:, None] * 3) > 2


def test_a_random_walk_has_directedness_one():
    steps = np.random.default_rng(0).normal(size=(200, 5000))
    end = steps.sum(axis=0)
    health = chain_health(
        np.ones(10), anchor_loss=1, temperature=1, walked=(end**2).sum(), stepped=(steps**2).sum()
    )
    assert health.directedness == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(points=1), "2 or more"),
        (lambda: Grid(extent=(1.0, 0.0)), "low < high"),
        (lambda: HessianSubspace(top=0, bottom=0), "no directions"),
        (lambda: JumpAndRetrain(sizes=()), "above 0"),
        (lambda: Langevin(temperature=-1.0), "above 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_samplers_are_had_by_name():
    assert isinstance(samplers.resolve("langevin"), Langevin)
