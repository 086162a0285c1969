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


def test_a_slice_between_two_samples_has_both_at_its_ends(setting):
    model, data, objective, cloud = setting
    line = slice_along(objective, cloud, [1, 3, 0, 2], [-0.2, 0, 0.4, 1], start=2)
    samples = objective.evaluate(cloud.basis, cloud.coefficients).losses
    np.testing.assert_allclose(line.losses[:, 1], samples[2], rtol=1e-6)
    np.testing.assert_allclose(line.losses[:, 3], samples[line.indices], rtol=1e-6)
    assert line.losses[2, 3] == objective.anchor_loss
    theta = objective.anchor + 0.6 * cloud.displacement(2) + 0.4 * cloud.displacement(3)
    outputs = torch.func.functional_call(model, objective.layout.unflatten(theta), (data[0],))
    expected = nn.functional.cross_entropy(outputs, data[1]).item()
    assert line.losses[1, 2] == pytest.approx(expected, rel=1e-5)
    apart = float((cloud.displacement(1) - cloud.displacement(2)).norm())
    assert line.lengths[0] == pytest.approx(apart, rel=1e-5)
    assert line.lengths[3] == 0
    assert (line.losses[3] == line.losses[3, 0]).all()


def test_a_slice_from_a_sample_that_is_not_there_is_refused(setting):
    _, _, objective, cloud = setting
    with pytest.raises(IndexError, match="Sample 9 was asked for"):
        slice_along(objective, cloud, [1], start=9)


def test_widths_are_where_a_parabola_reaches_the_rise():
    alphas = np.linspace(-1, 1, 2001)
    behind, ahead = 5.0, 0.8  # curvature on each side of α = 0
    losses = 0.3 + np.where(alphas < 0, behind, ahead) * alphas**2
    line = Slice(np.array([7]), alphas, {"loss": losses[None]}, lengths=np.array([4.0]))
    found = line.widths(0.2).loc[7]
    assert found["behind"] == pytest.approx(np.sqrt(0.2 / behind), abs=1e-5)
    assert found["ahead"] == pytest.approx(np.sqrt(0.2 / ahead), abs=1e-5)
    assert found["width"] == pytest.approx(4 * (found["behind"] + found["ahead"]))
    steeper = np.sqrt(behind / ahead)  # times as wide on the flat side
    assert found["asymmetry"] == pytest.approx((steeper - 1) / (steeper + 1), abs=1e-5)


def test_a_width_beyond_the_slice_is_not_a_number_and_infinite_losses_end_one():
    alphas = np.array([-0.5, 0.0, 0.5, 1.0])
    losses = np.array([[1.0, 0.0, 0.1, 0.2], [np.nan, 0.0, 0.1, np.inf]])
    line = Slice(np.array([1, 2]), alphas, {"loss": losses})
    found = line.widths(0.5)
    assert found["behind"].tolist() == [0.25, 0.0]
    assert np.isnan(found["ahead"][1])
    assert found["ahead"][2] == 0.5
    assert np.isnan(found["asymmetry"][1])
    with pytest.raises(ValueError, match=r"rise=0; a loss above 0"):
        line.widths(0)
    with pytest.raises(ValueError, match="A width is measured from α = 0"):
        Slice(np.array([1]), alphas[2:], {"loss": losses[:1, 2:]}).widths(1.0)


def test_a_slice_in_numbers_tells_its_barrier_and_its_lowest_point():
    alphas = np.linspace(-0.5, 1.5, 5)
    hill = np.array([[9.0, 1.0, 4.0, 2.0, 0.5], [9.0, 1.0, np.nan, 2.0, 9.0]])
    frame = Slice(np.array([4, 5]), alphas, {"loss": hill}).to_frame(rise=1.5)
    first = frame.loc[4]
    assert (first["start_loss"], first["end_loss"], first["barrier"]) == (1.0, 2.0, 2.5)
    assert (first["height"], first["height_at"]) == (4.0, 0.5)
    assert (first["lowest"], first["lowest_at"]) == (0.5, 1.5)
    assert first["ahead"] == pytest.approx(0.25)
    assert np.isnan(frame["height"][5])
    assert "asymmetry" not in Slice(np.array([4]), alphas, {"loss": hill[:1]}).to_frame()
