"""The local learning coefficient of models of which it is known, and of integrals over them."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.curvature.chains import chain_health
from landscape_widgets.curvature.learning_coefficient import learning_coefficient
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Langevin, Rays

N = 200


class Weights(nn.Module):
    """Two or more numbers, of which the loss is a function; data only say how many there are."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values))

    def forward(self, x):
        return self.w.expand(len(x), -1)


def land_of(function, *values: float) -> Landscape:
    data = torch.zeros(N, 1), torch.zeros(N, 1)
    loss = lambda outputs, targets: function(*outputs[0])  # noqa: E731
    return Landscape(Weights(*values), data, loss=loss, metrics=[], batch_size=N)


def integral(function, found) -> float:
    """E[K]/T over exp(−K/T − γ(a² + b²)/2), on a grid."""
    axis = np.linspace(-6, 6, 1601)
    a, b = np.meshgrid(axis, axis)
    energy = function(a, b) / found.temperature
    weight = np.exp(-energy - found.tether * (a**2 + b**2) / 2)
    return float((energy * weight).sum() / weight.sum())


def test_of_a_regular_model_it_is_half_its_parameters():
    torch.manual_seed(0)
    x = torch.randn(500, 8)
    model = nn.Linear(8, 1, bias=False)
    y = x @ torch.randn(8, 1) + 0.1 * torch.randn(500, 1)
    with torch.no_grad():
        model.weight[:] = torch.linalg.lstsq(x, y).solution.T
    found = Landscape(model, (x, y), metrics=[]).learning_coefficient()
    assert found.temperature == pytest.approx(np.log(500) / 500)
    # Each direction that the tether helps to hold counts as much less.
    values = np.linalg.eigvalsh(2 * (x.T @ x).double().numpy() / 500)
    expected = 0.5 * (values / (values + found.tether * found.temperature)).sum()
    assert abs(expected - 4) < 0.2
    assert abs(found.value - expected) < 4 * found.error
    assert found.error < 0.25
    assert found.rhat < 1.1
    assert found.problems == ()
    assert "regular: 4" in repr(found)
    assert len(found.to_frame()) == 4


def test_of_a_singular_model_it_is_that_of_the_integral_and_below_half_the_parameters():
    def function(a, b):
        return (a * b) ** 2

    found = land_of(function, 0.0, 0.0).learning_coefficient(
        Langevin(chains=3, draws=500, every=2, burn_in=150, batch_size=None, tether=1.0)
    )
    expected = integral(function, found)
    assert abs(found.value - expected) < 4 * found.error
    assert found.error < 0.12
    assert found.value < 0.5  # which it comes near to as 1/log(n)
    assert found.problems == ()


def test_the_fourth_power_of_one_number_has_a_quarter():
    found = land_of(lambda a: a**4, 0.0).learning_coefficient(
        Langevin(chains=3, draws=600, every=2, burn_in=150, batch_size=None, tether=0.01)
    )
    assert abs(found.value - 0.25) < 4 * found.error
    assert found.error < 0.06


def test_chains_on_a_part_of_the_data_tell_it_but_for_their_step():
    torch.manual_seed(0)
    x = torch.randn(400, 4)
    model = nn.Linear(4, 1, bias=False)
    y = x @ torch.randn(4, 1) + 0.1 * torch.randn(400, 1)
    with torch.no_grad():
        model.weight[:] = torch.linalg.lstsq(x, y).solution.T
    land = Landscape(model, (x, y), metrics=[])
    chains = Langevin(chains=3, draws=400, every=2, burn_in=50, batch_size=200)
    found = land.learning_coefficient(chains)
    # A step of half of what the sharpest direction allows is off by up to an eighth, and what is
    # left out of the data adds its noise.
    assert found.value == pytest.approx(2.0, abs=0.7)
    with pytest.raises(TypeError, match="a Langevin is expected"):
        land.learning_coefficient(Rays(3))
    heard = []

    def stopped() -> bool:
        return bool(heard) and heard[-1].phase == "chains" and heard[-1].done >= 1

    some = land.learning_coefficient(chains, progress=heard.append, cancelled=stopped)
    assert len(some.chains) == 1
    with pytest.raises(Cancelled):
        land.learning_coefficient(cancelled=lambda: True)


def test_errors_are_those_of_chains_that_move_slowly_and_failed_ones_do_not_count():
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(6):
        steps = rng.normal(size=4000)
        slow = np.zeros(4000)
        for i in range(1, 4000):
            slow[i] = 0.98 * slow[i - 1] + steps[i]
        losses.append(2.0 + slow)
    common = {"anchor_loss": 1.0, "temperature": 0.5, "walked": 0.1, "stepped": 1.0}
    health = [chain_health(one, **common) for one in losses]
    health[0] = chain_health(losses[0], failed_at=3, **common)
    found = learning_coefficient(
        losses, health, parameters=4, anchor_loss=1.0, temperature=0.5, tether=0.0, step_size=0.1
    )
    # The mean of an autoregression over n draws is off by σ / ((1 − 0.98) √n).
    true = 2 * 50 / np.sqrt(5 * 4000)
    assert 0.4 * true < found.error < 2.5 * true
    assert abs(found.value - 2.0) < 4 * true
    assert any("chain 0: it was not finite" in problem for problem in found.problems)
    assert "problems" in repr(found)
