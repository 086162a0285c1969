"""Full-batch gradient descent sharpens until λ_max is 2/η (Cohen et al. 2021)."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.progress import Progress
from landscape_widgets.samplers import Recorder, Trajectory
from tests.models import digits

F = nn.functional


def descended(step: float, steps: int, every: int) -> tuple[nn.Module, Recorder, tuple]:
    """A network after full-batch gradient descent on squared errors, and its checkpoints."""
    x, y = digits(100)
    data = x[:, ::4].contiguous(), F.one_hot(y, 10).float()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 10))
    recorder = Recorder(model, every=every)
    optimiser = torch.optim.SGD(model.parameters(), lr=step)
    for _ in range(steps):
        optimiser.zero_grad()
        F.mse_loss(model(data[0]), data[1]).backward()
        optimiser.step()
        recorder.step()
    return model.eval(), recorder, data


def test_full_batch_descent_sharpens_to_two_over_its_step_and_stays_there():
    step = 1.0
    model, recorder, data = descended(step, 1800, 300)
    land = Landscape(model, data, loss=nn.MSELoss(), metrics=[]).sample(Trajectory(recorder))
    order = np.argsort(land.cloud.table["step"].to_numpy(), kind="stable")
    found = land.sharpness(order)
    assert found.values[0] < 0.6 * 2 / step
    assert (np.diff(found.values[:4]) > 0).all()
    np.testing.assert_allclose(found.values[-3:], 2 / step, rtol=0.07)


def test_each_sharpness_is_the_top_eigenvalue_there_and_what_is_not_finite_has_none():
    model, recorder, data = descended(1.0, 20, 10)
    with torch.no_grad():
        model[0].weight[0, 0] = 1.0
    land = Landscape(model, data, loss=nn.MSELoss(), metrics=[]).sample(Trajectory(recorder))
    heard: list[Progress] = []
    found = land.sharpness([1, 2], progress=heard.append)
    for index, value in zip(found.indices, found.values, strict=True):
        other = land.curvature(int(index), top=1, bottom=0)
        assert value == pytest.approx(other.sharpness, rel=1e-3)
    assert heard[-1] == Progress("eigenvalues", 2, 2)
    assert list(found.to_frame().index) == [1, 2]
    assert len(land.sharpness(cancelled=lambda: True)) == 0
    land.cloud.coefficients[1] = np.nan
    assert np.isnan(land.sharpness([1]).values).all()
    with pytest.raises(IndexError):
        land.sharpness([99])
