import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.line import ALPHAS, Slice, slice_along
from landscape_widgets.task.parameters import random_directions
from tests.models import digits, mlp, train


@pytest.fixture(scope="module")
def setting():
    data = digits(200)
    model = train(mlp(), data, 40)
    objective = Objective(model, data, val_data=tuple(t[200:] for t in digits(300)))
    generator = torch.Generator().manual_seed(0)
    vectors = random_directions(2, objective.anchor, objective.layout, generator)
    table = pd.DataFrame(
        {"sampler": "test", "kind": ["trained", *["sample"] * 3], "path": -1, "step": 0}
    )
    coefficients = np.array([[0, 0], [1, 0], [0.5, 0.5], [-1, 2]])
    return model, data, objective, Cloud(objective.anchor, DenseBasis(vectors), coefficients, table)


def test_a_slice_agrees_with_walking_along_the_line_by_hand(setting):
    model, data, objective, cloud = setting
    line = slice_along(objective, cloud, [3], [0, 0.3, 1, 1.5])
    for alpha, loss in zip(line.alphas, line.losses[0], strict=True):
        theta = objective.anchor + float(alpha) * cloud.displacement(3)
        weights = objective.layout.unflatten(theta)
        outputs = torch.func.functional_call(model, weights, (data[0],))
        assert loss == pytest.approx(nn.functional.cross_entropy(outputs, data[1]).item(), rel=1e-5)


def test_alpha_zero_is_the_loss_of_the_trained_weights_and_one_that_of_the_sample(setting):
    _, _, objective, cloud = setting
    line = slice_along(objective, cloud, [1, 2])
    assert (line.losses[:, ALPHAS == 0] == objective.anchor_loss).all()
    assert (line.values["val_loss"][:, ALPHAS == 0] == objective.at_anchor["val_loss"]).all()
    samples = objective.evaluate(cloud.basis, cloud.coefficients[[1, 2]])
    np.testing.assert_allclose(line.losses[:, ALPHAS == 1][:, 0], samples.losses, rtol=1e-6)


def test_the_slice_to_the_trained_weights_themselves_is_flat(setting):
    _, _, objective, cloud = setting
    assert (slice_along(objective, cloud, [0]).losses == objective.anchor_loss).all()


def test_a_cancelled_slice_keeps_the_samples_it_has(setting):
    _, _, objective, cloud = setting
    seen = []
    line = slice_along(
        objective,
        cloud,
        [1, 2, 3],
        np.linspace(0, 1, 40),
        cancelled=lambda: seen[-1:] == [2],
        progress=lambda at: seen.append(at.done),
    )
    assert line.indices.tolist() == [1, 2]
    assert line.losses.shape == (2, 40)
    assert np.isfinite(line.losses).all()


def test_a_sample_that_is_not_there_is_refused(setting):
    _, _, objective, cloud = setting
    with pytest.raises(IndexError, match="Sample 4 was asked for; the cloud has samples 0 to 3"):
        slice_along(objective, cloud, [4])


def test_a_barrier_is_the_highest_rise_above_the_chord():
    alphas = np.linspace(-0.5, 1.5, 5)
    hill = np.array([[9.0, 1.0, 4.0, 2.0, 9.0], [9.0, 1.0, 0.0, 2.0, 9.0]])
    line = Slice(np.array([1, 2]), alphas, {"loss": hill})
    np.testing.assert_allclose(line.barriers(), [2.5, 0.0])
