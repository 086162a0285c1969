"""Gradients along planes against autograd, and samples on planes against dense algebra."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape, samplers
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.profiles.plane import plane_along
from landscape_widgets.profiles.projection import project
from tests.models import digits, train
from tests.profiles.test_planes import known, spanned

DATA, VAL = digits(150), tuple(t[150:] for t in digits(250))


@pytest.fixture(scope="module")
def land():
    # ReLUs have kinks, at which an interpolated gradient is none.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    return Landscape(train(model, DATA, 60), DATA, val_data=VAL).sample(samplers.Minima(n=40))


@pytest.fixture(scope="module")
def plane(land):
    return land.plane(1, 2, tolerance=1e-4, metrics=True)


def test_the_gradient_along_a_plane_is_that_of_autograd(land, plane):
    objective = land.objective
    d = torch.stack([plane.directions.row(j) for j in range(2)]).double()
    found, downhill = plane.gradient(), plane.downhill()
    wanted, errors = [], []
    for i, j in ((3, 7), (12, 12), (20, 33), (31, 15), (44, 40), (0, 25)):
        at = torch.tensor([plane.axes[0][i], plane.axes[1][j]])
        gradient = objective.gradient(objective.anchor + (at @ d).float()).double()
        wanted.append((d @ gradient).numpy())
        errors.append(np.linalg.norm(found[i, j] - wanted[-1]) / np.linalg.norm(wanted[-1]))
        # The projection of −∇L on the plane, by least squares over all weights.
        projected = np.linalg.lstsq(d.numpy().T, -gradient.numpy(), rcond=None)[0]
        assert np.linalg.norm(downhill[i, j] - projected) < 0.03 * np.linalg.norm(projected)
    assert max(errors) < 0.03
    assert np.median(errors) < 0.01


def test_the_gradient_of_a_quadratic_is_met_on_slanted_axes():
    objective = known(lambda x, y: 1 + x**2 + 3 * y**2)
    plane = plane_along(objective, spanned((2.0, 0.0), (1.0, 1.0)), tolerance=1e-5)
    a, b = np.meshgrid(*plane.axes, indexing="ij")
    dx, dy = 2 * (2 * a + b), 6 * b
    found = plane.gradient()
    scale = np.abs(found).max()
    np.testing.assert_allclose(found[..., 0], 2 * dx, atol=2e-3 * scale)
    np.testing.assert_allclose(found[..., 1], dx + dy, atol=2e-3 * scale)
    da, db = np.moveaxis(plane.downhill(), -1, 0)
    np.testing.assert_allclose(2 * da + db, -dx, atol=2e-3 * scale)
    np.testing.assert_allclose(db, -dy, atol=2e-3 * scale)


def test_a_loss_below_zero_has_a_gradient_and_one_that_is_not_finite_has_none():
    objective = known(lambda x, y: x + 2 * y - 20)
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)))
    np.testing.assert_allclose(
        plane.gradient(), np.broadcast_to([1.0, 2.0], (51, 51, 2)), atol=1e-6
    )
    objective = known(lambda x, y: 1 + x**2 + y**2 if x < 1 else x * torch.nan)
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)), resolution=21)
    broken = ~np.isfinite(plane.losses)
    gradient = plane.gradient()
    assert broken.any()
    assert np.isnan(gradient[broken]).all()
    assert np.isfinite(gradient[:10]).all()


def test_metrics_have_no_gradient(plane):
    with pytest.raises(ValueError, match="loss, val_loss"):
        plane.gradient("val_accuracy")
    assert np.isfinite(plane.gradient("val_loss")).all()


def test_samples_lie_where_least_squares_over_all_weights_puts_them(land, plane):
    found = plane.project(land.cloud)
    d = np.stack([plane.directions.row(j).double().numpy() for j in range(2)])
    moved = np.stack([land.cloud.displacement(i).double() for i in range(len(land.cloud))])
    places, _, _, _ = np.linalg.lstsq(d.T, moved.T, rcond=None)
    distances = np.linalg.norm(moved - places.T @ d, axis=1)
    radii = np.linalg.norm(moved, axis=1)
    np.testing.assert_allclose(found.coordinates, places.T, atol=1e-5)
    np.testing.assert_allclose(found.distances, distances, atol=1e-5 * radii.max())
    np.testing.assert_allclose(found.radii, radii, rtol=1e-5)
    np.testing.assert_allclose(found.coordinates[:3], [[0, 0], [1, 0], [0, 1]], atol=1e-5)
    frame = found.to_frame()
    assert list(frame.columns) == ["a", "b", "distance", "radius"]
    assert frame.index.name == "sample"
    assert repr(found).startswith("Projection(")


def test_a_sample_that_is_not_finite_lies_nowhere_and_spoils_no_other(land):
    vectors = torch.randn(4, 10)
    vectors[3] = torch.inf
    cloud = land.cloud
    some = Cloud(torch.zeros(10), DenseBasis(vectors), np.eye(4), cloud.table.iloc[:4].copy())
    plane = DenseBasis(vectors[:2])
    found = project(plane, plane.gram(), some)
    assert np.isnan(found.distances).tolist() == [False, False, False, True]
    with pytest.raises(ValueError, match="of a model of 10 parameters"):
        project(plane, plane.gram(), cloud)
