"""ReLU layers scaled against each other compute the same function; samples must not tell them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import (
    Descent,
    Grid,
    JumpAndRetrain,
    Minima,
    Neighbourhood,
    Rays,
    Subspace,
)
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.calibration import calibrate
from tests.models import digits, train

DATA = digits(200)
SAMPLERS = [
    Subspace(n=60),
    Subspace(n=20, basis="seeded"),
    Minima(n=60, steps=20),
    Rays(rays=3, points=5),
    Grid(points=5),
    Descent(runs=2, steps=10),
    Neighbourhood(arms=2),
    JumpAndRetrain(jumps=1, sizes=(0.3, 0.8), steps=6),
]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 10)
    return train(nn.Sequential(*layers), DATA, 60)


def scaled(model: nn.Sequential, by: float = 10) -> nn.Sequential:
    """Ten times the first layer, a tenth of the second one's weights."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight.mul_(by)
        other[0].bias.mul_(by)
        other[2].weight.div_(by)
    return other


@pytest.fixture(scope="module")
def both() -> tuple[Objective, Objective]:
    model = network()
    # In double precision, so that what a descent makes of rounding stays small.
    return Objective(model.double(), (DATA[0].double(), DATA[1])), Objective(
        scaled(model), (DATA[0].double(), DATA[1])
    )


def losses(objective, sampler):
    cloud = sampler.draw(objective, seed=1)
    return cloud, objective.evaluate(cloud.basis, cloud.coefficients).losses


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
def test_losses_of_the_samples_are_the_same(sampler, both):
    (cloud, expected), (other, found) = (losses(objective, sampler) for objective in both)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert list(cloud.table["kind"]) == list(other.table["kind"])
    # The weights are others, and so are distances between them.
    assert not np.allclose(cloud.table["radius"], other.table["radius"], rtol=0.01)


def test_the_calibrated_radius_is_the_same_in_units_of_the_filters(both):
    found = [calibrate(Work(objective, 0)).relative for objective in both]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_in_single_precision_losses_agree_to_rounding():
    model = network()
    expected, found = (
        losses(Objective(one, DATA), Subspace(n=60))[1] for one in (model, scaled(model))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
@pytest.mark.parametrize("by", [8, 1 / 64])
def test_powers_of_two_change_no_bit_of_a_loss_in_single_precision(sampler, by):
    """Nothing is rounded in another way then, of which long descents could make something."""
    model = network()
    (cloud, expected), (other, found) = (
        losses(Objective(one, DATA), sampler) for one in (model, scaled(model, by))
    )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(other.coefficients, cloud.coefficients)


def test_zeros_are_measured_alike_in_layers_scaled_by_powers_of_two():
    model = network()
    with torch.no_grad():
        model[4].weight.zero_()
    expected, found = (
        losses(Objective(one, DATA), Minima(n=20, steps=20))[1] for one in (model, scaled(model, 8))
    )
    np.testing.assert_array_equal(found, expected)
