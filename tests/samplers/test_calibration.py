import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.calibration import (
    DrawnAgain,
    calibrate,
    filter_directions,
    filters_length,
)
from landscape_widgets.task.parameters import reinitialise
from tests.models import digits


def test_directions_are_filter_normalised_as_a_loop_over_filters_does_it(convolutional):
    objective = convolutional
    basis = filter_directions(3, objective, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    model = objective.model_at(objective.anchor)
    for j in range(3):
        noise = torch.randn(objective.size, generator=generator)
        parts, start = [], 0
        for parameter in model.parameters():
            part = noise[start : start + parameter.numel()].view_as(parameter).clone()
            start += parameter.numel()
            if parameter.ndim < 2:
                part.zero_()
            else:
                for f in range(len(parameter)):
                    part[f] *= parameter[f].detach().norm() / part[f].norm()
            parts.append(part.reshape(-1))
        expected = torch.cat(parts)
        torch.testing.assert_close(basis.row(j), expected)


@pytest.mark.parametrize("fixture", ["objective", "convolutional"])
def test_the_median_loss_at_the_radius_is_one_and_a_half_times_an_untrained_ones(fixture, request):
    objective = request.getfixturevalue(fixture)
    found = calibrate(Work(objective, seed=0))
    assert found.reached
    generator = torch.Generator().manual_seed(99)
    fresh = [reinitialise(objective.anchor, objective.layout, generator) for _ in range(100)]
    untrained = [objective.loss(theta) for theta in fresh]
    # A median of eight: once in a thousand it is not between these.
    assert np.quantile(untrained, 0.1) < found.reference < np.quantile(untrained, 0.9)
    # Directions other than those it was found with.
    basis = filter_directions(64, objective, generator)
    losses = objective.evaluate(basis, found.relative * np.eye(64)).losses
    assert np.quantile(losses, 0.1) < 1.5 * found.reference < np.quantile(losses, 0.9)


def test_the_radius_lies_between_the_two_steps_where_the_target_is_passed(objective):
    found = calibrate(Work(objective, seed=0))
    assert found.losses[-2] <= found.target < found.losses[-1]
    assert found.radii[-2] <= found.radius <= found.radii[-1]
    np.testing.assert_allclose(found.radii[1:] / found.radii[:-1], 2**0.5)


def own_outputs(loss) -> Objective:
    """A linear model whose targets are its own outputs, under a loss of their squared distance."""
    torch.manual_seed(0)
    model, x = nn.Linear(64, 10), digits(100)[0]
    targets = model(x).detach()
    return Objective(model, (x, targets), loss=lambda z, t: loss((z - t).square().mean()))


def test_a_loss_that_is_steep_at_once_is_approached_from_below():
    objective = own_outputs(lambda m: m / (m.square() + 1e-10) + 1.0)
    found = calibrate(Work(objective, seed=0))
    assert found.reached
    assert found.radius < 2**-7 * float(objective.anchor.norm())
    assert found.losses[0] <= found.target < found.losses[1]


def test_a_bounded_loss_gives_the_radius_where_it_has_all_but_levelled_off():
    objective = own_outputs(lambda m: torch.tanh(10 * m) + 0.1)
    found = calibrate(Work(objective, seed=0))
    assert not found.reached
    basis = filter_directions(32, objective, torch.Generator().manual_seed(1))
    losses = objective.evaluate(basis, found.relative * np.eye(32)).losses
    assert np.median(losses) == pytest.approx(1.0, abs=0.1)


def test_a_loss_that_does_not_depend_on_the_weights_is_refused():
    data = digits(50)
    objective = Objective(
        nn.Linear(64, 10), data, loss=lambda outputs, targets: outputs.sum() * 0 + 1
    )
    with pytest.raises(ValueError, match="nowhere higher"):
        calibrate(Work(objective, seed=0))


def test_a_model_of_zeros_has_a_radius_too():
    data = digits(100)
    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    found = calibrate(Work(Objective(model, data), seed=0))
    assert found.radius > 0


def test_a_loss_below_zero_has_a_radius_too(objective):
    model = objective.model_at(objective.anchor)
    shifted = Objective(
        model,
        digits(600),
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets) - 10,
    )
    found = calibrate(Work(shifted, seed=0))
    assert found.reached
    assert found.radius == pytest.approx(calibrate(Work(objective, seed=0)).radius, rel=0.1)


def test_directions_are_as_long_as_the_filters(objective):
    basis = filter_directions(5, objective, torch.Generator().manual_seed(0))
    assert isinstance(basis, DenseBasis)
    length = filters_length(objective)
    np.testing.assert_allclose(np.diag(basis.gram()), length**2, rtol=1e-5)
    assert calibrate(Work(objective, seed=0)).unit == length


def test_directions_too_many_to_hold_are_drawn_again_and_the_radius_is_the_same(
    objective, monkeypatch
):
    held = filter_directions(3, objective, torch.Generator().manual_seed(5))
    radius = calibrate(Work(objective, seed=0)).radius
    monkeypatch.setattr("landscape_widgets.samplers.calibration.allowance", lambda device: 0)
    generator = torch.Generator().manual_seed(5)
    again = filter_directions(3, objective, generator)
    assert isinstance(again, DrawnAgain)
    for j in (2, 0, 2):
        assert torch.equal(again.row(j), held.row(j))
    place = slice(5, 900)
    assert torch.equal(again.columns(place, [1]), held.columns(place, [1]))
    # Weights are rounded in another way where directions are held.
    assert calibrate(Work(objective, seed=0)).radius == pytest.approx(radius, rel=1e-6)


class Hinge(nn.Module):
    """Nothing is lost as long as the weights' absolute values sum up to less than `margin`."""

    def __init__(self, margin):
        super().__init__()
        self.weight, self.margin = nn.Parameter(torch.tensor([0.1, 0.0, 0.0, 0.0])), margin

    def forward(self, x):
        return torch.relu(self.weight.abs().sum() - self.margin).expand(len(x), 1)


def test_a_radius_is_found_beyond_a_plateau_around_the_trained_weights():
    data = (torch.zeros(4, 1), torch.zeros(4, 1))
    flat = Objective(Hinge(50.0), data, loss=nn.L1Loss(), metrics=[])
    found = calibrate(Work(flat, seed=0))
    assert flat.anchor_loss == 0
    assert found.losses[0] == 0
    assert found.losses[-1] > 0
    assert 25 < found.radius < 1000
    everywhere = Objective(Hinge(1e30), data, loss=nn.L1Loss(), metrics=[])
    with pytest.raises(ValueError, match="nowhere higher"):
        calibrate(Work(everywhere, seed=0))
