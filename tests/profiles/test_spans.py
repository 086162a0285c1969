"""Planes along random directions, gradients, eigenvectors and the components of a trajectory."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from landscape_widgets import Landscape, samplers
from landscape_widgets.profiles.span import hessian_span, random_span
from landscape_widgets.samplers import Recorder
from tests.models import digits, mlp, train

DATA = digits(150)


def trained(steps: int = 60) -> nn.Module:
    return train(mlp(), DATA, steps)


@pytest.fixture(scope="module")
def land():
    return Landscape(trained(), DATA, metrics=[])


@pytest.fixture(scope="module")
def training():
    model = mlp()
    recorder = Recorder(model)
    for _ in range(12):
        train(model, DATA, 5)
        recorder.step()
    return Landscape(model, DATA, metrics=[]).sample(samplers.Trajectory(recorder))


def vectors(plane) -> np.ndarray:
    return np.stack([plane.directions.row(j).double().numpy() for j in range(2)])


def test_random_directions_have_the_norm_of_each_filter(land):
    plane = land.plane(directions="random", resolution=5)
    assert plane.axes[0][[0, -1]].tolist() == [-1.0, 1.0]
    for direction in vectors(plane):
        for _, place, shape in land.objective.layout.slices():
            if len(shape) > 1:
                ours, theirs = (v[place].reshape(shape) for v in (direction, land.objective.anchor))
                np.testing.assert_allclose(
                    np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1), rtol=1e-5
                )
    other = Landscape(trained(), DATA, metrics=[], seed=1).plane(directions="random", resolution=5)
    assert not np.allclose(vectors(other), vectors(plane))


def test_one_axis_goes_down_the_gradient_and_both_are_equally_long(land):
    plane = land.plane(directions="gradient", resolution=5)
    gradient = land.objective.gradient(land.objective.anchor).double().numpy()
    down, _ = vectors(plane)
    assert down @ gradient == pytest.approx(
        -np.linalg.norm(down) * np.linalg.norm(gradient), rel=1e-5
    )
    assert plane.gram[0, 0] == pytest.approx(plane.gram[1, 1], rel=1e-5)
    # The loss at the ends says that there is something to see, and no wall alone.
    assert land.objective.anchor_loss < plane.losses[[0, -1, 2, 2], [2, 2, 0, -1]].max() < 1e3


def test_the_axes_are_the_eigenvectors_of_the_dense_hessian():
    torch.manual_seed(0)
    x = torch.randn(40, 4, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0, 0.5])
    land = Landscape(nn.Linear(4, 1, bias=False).double(), (x, torch.randn(40, 1).double()))
    plane = land.plane(directions="hessian", resolution=5)
    values, dense = np.linalg.eigh((2 / 40) * (x.T @ x).numpy())
    for direction, wanted in zip(vectors(plane), dense.T[::-1], strict=False):
        cosine = abs(direction @ wanted) / np.linalg.norm(direction)
        assert cosine == pytest.approx(1, abs=1e-4)
    assert plane.names == tuple(f"eigenvalue {value:.3g}" for value in values[::-1][:2])


def test_a_trajectory_lies_along_its_principal_components(training):
    plane = training.plane(directions="trajectory", resolution=5)
    path = np.stack([training.cloud.vector(i).double() for i in range(len(training.cloud))])
    pca = PCA(2).fit(path)
    for direction, component in zip(vectors(plane), pca.components_, strict=True):
        assert abs(direction @ component) == pytest.approx(np.linalg.norm(direction), rel=1e-4)
    assert plane.left_out == pytest.approx(1 - pca.explained_variance_ratio_.sum(), abs=1e-5)
    assert f"{plane.left_out:.1%} of the variance left out" in repr(plane)
    low, high = plane.axes[0][[0, -1]]
    places = plane.project(training.cloud).coordinates
    assert ((places > low) & (places < high)).all()
    assert places.max() == pytest.approx(1.0, abs=1e-6)


def test_samples_by_directions_are_samples_as_before(training):
    keywords = {"resolution": 5}
    by_name, before = (
        training.plane(directions=(3, 7), **keywords),
        training.plane(3, 7, **keywords),
    )
    np.testing.assert_array_equal(by_name.losses, before.losses)
    assert by_name.names == ("sample 3", "sample 7")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"directions": "hesian"}, ValueError, "Did you mean 'hessian'"),
        ({"directions": "trajectory"}, RuntimeError, "sample"),
        ({"directions": (1, 2, 3)}, ValueError, "two samples"),
        ({"a": 1}, TypeError, "takes two samples"),
        ({"a": 1, "b": 2, "directions": "random"}, TypeError, "samples and directions="),
    ],
)
def test_what_is_no_plane_is_refused_before_any_work(land, arguments, error, message):
    with pytest.raises(error, match=message):
        land.plane(**arguments)


def test_samples_on_no_path_have_no_trajectory():
    land = Landscape(trained(), DATA, metrics=[]).sample(samplers.Subspace(n=10))
    with pytest.raises(ValueError, match="lie on paths"):
        land.plane(directions="trajectory")


def test_a_model_of_one_weight_has_no_plane():
    x = torch.randn(20, 1)
    land = Landscape(nn.Linear(1, 1, bias=False), (x, 2 * x))
    for directions in ("random", "gradient", "hessian"):
        with pytest.raises(ValueError, match="a single weight"):
            land.plane(directions=directions)


def test_a_loss_that_goes_by_steps_has_no_gradient_to_follow():
    def errors(outputs, targets):
        return (outputs.argmax(1) != targets).float().mean()

    land = Landscape(trained(), DATA, loss=errors, metrics=[])
    for directions in ("gradient", "hessian"):
        with pytest.raises(ValueError, match="gradient"):
            land.plane(directions=directions)
    assert land.plane(directions="random", resolution=5).losses.shape == (5, 5)


def test_the_same_seed_gives_the_same_directions(land):
    for make in (random_span, lambda of, seed: hessian_span(land.evaluator, of, seed)):
        one, other = (make(land.objective, 3).directions for _ in range(2))
        assert torch.equal(one.row(1), other.row(1))
