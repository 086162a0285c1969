import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.plane import plane_along
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Minima
from landscape_widgets.task.parameters import random_directions
from tests.models import ConvNet, digits, mlp, train


class Weights(nn.Module):
    """Two weights, whatever the inputs: any loss over them can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x):
        return self.w.expand(len(x), 2)


def known(loss) -> Objective:
    """An objective that is `loss(x, y)` of its two weights, both 0 at θ*."""
    data = (torch.zeros(4, 1, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    return Objective(Weights(), data, loss=lambda outputs, targets: loss(*outputs[0]))


def spanned(*rows) -> DenseBasis:
    return DenseBasis(torch.tensor(rows, dtype=torch.float64))


def dense(objective, basis, plane):
    points = np.stack(np.meshgrid(*plane.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    found = objective.evaluate(basis, points, metrics=False)
    return found.losses.reshape(plane.losses.shape)


@pytest.fixture(scope="module")
def digits_objective():
    data = digits(300)
    model = train(mlp(), tuple(t[:200] for t in data), 40)
    return Objective(
        model, tuple(t[:200] for t in data), val_data=tuple(t[200:] for t in data), metrics=[]
    )


def along(objective, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    vectors = random_directions(2, objective.anchor, objective.layout, generator)
    return DenseBasis(vectors * scale)


def test_a_network_s_plane_is_what_dense_evaluation_finds_at_a_twelfth_of_its_points(
    digits_objective,
):
    basis = along(digits_objective)
    plane = plane_along(digits_objective, basis, extent=(-1, 1))
    truth = dense(digits_objective, basis, plane)
    errors = np.abs(plane.losses - truth) / truth
    assert plane.converged
    assert np.quantile(errors, 0.95) < 0.005
    assert plane.evaluations * 12 <= plane.losses.size
    assert not plane.direct.any()


def test_a_plane_full_of_kinks_takes_more_points_and_is_as_good():
    data = digits(200)
    objective = Objective(train(ConvNet(), data, 100), data, metrics=[])
    basis = along(objective)
    plane = plane_along(objective, basis, extent=(-1, 1))
    truth = dense(objective, basis, plane)
    errors = np.abs(plane.losses - truth) / truth
    assert plane.converged
    assert np.quantile(errors, 0.95) < 0.005
    assert plane.evaluations * 4 <= plane.losses.size


def test_the_error_that_is_said_is_that_of_points_which_were_not_fitted_then(digits_objective):
    basis = along(digits_objective, 3.0)
    plane = plane_along(digits_objective, basis, extent=(-1, 1), max_evaluations=160)
    assert not plane.converged
    assert plane.evaluations == 160
    assert plane.held_out == 64
    assert "more than the 0.50% that was asked for" in str(plane)
    # SciPy's own, in either of the scales that losses are followed in.
    held_out, nodes = np.arange(160) < 64, np.arange(160) >= 64
    said = []
    for there, back in ((np.log, np.exp), (lambda z: z**0.25, lambda h: h**4)):
        fitted = RBFInterpolator(
            plane.points[nodes],
            there(plane.point_values["loss"][nodes]),
            kernel="quintic",
            degree=2,
        )
        truth = plane.point_values["loss"][held_out]
        errors = np.abs(back(fitted(plane.points[held_out])) - truth) / truth
        said.append((np.median(errors), np.quantile(errors, 0.95)))
    assert any(plane.errors["loss"] == pytest.approx(error, rel=1e-4) for error in said)


def test_the_held_out_points_are_fitted_once_the_error_is_known(digits_objective):
    basis = along(digits_objective, 3.0)
    plane = plane_along(digits_objective, basis, extent=(-1, 1), max_evaluations=160)
    places = np.rint((plane.points + 1) * 25).astype(int)
    np.testing.assert_allclose(plane.losses[tuple(places.T)], plane.point_values["loss"], rtol=1e-6)
    errors = np.abs(plane.losses / dense(digits_objective, basis, plane) - 1)
    assert np.quantile(errors, 0.95) < plane.errors["loss"].p95


def test_an_analytic_quadratic_is_met_at_every_point():
    objective = known(lambda x, y: 1 + x**2 + 3 * y**2 + x * y)
    plane = plane_along(objective, spanned((2.0, 0.0), (1.0, 1.0)))
    a, b = np.meshgrid(*plane.axes, indexing="ij")
    x, y = 2 * a + b, b
    np.testing.assert_allclose(plane.losses, 1 + x**2 + 3 * y**2 + x * y, rtol=0.02)
    np.testing.assert_allclose(plane.gram, [[4, 2], [2, 2]])
    assert plane.errors["loss"].p95 <= 0.005


def test_the_first_axis_belongs_to_the_first_direction():
    objective = known(lambda x, y: torch.exp(x))
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)))
    np.testing.assert_allclose(plane.losses, np.exp(plane.axes[0])[:, None] * np.ones(51))


def test_the_trained_weights_are_among_the_points_wherever_they_lie_in_the_range():
    objective = known(lambda x, y: 1 + x**2 + y**2)
    for extent in ((-0.5, 1.5), (-0.3, 1.2), (-1.0, 7.0)):
        plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)), extent=extent)
        at_anchor = ~plane.points.any(axis=1)
        assert plane.point_values["loss"][at_anchor].tolist() == [1.0]


def test_no_point_is_evaluated_twice():
    seen = []

    def loss(x, y):
        seen.append((float(x), float(y)))
        return 1 + torch.sqrt(x**2 + y**2 + 1e-3)

    objective = known(loss)
    seen.clear()
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)), tolerance=1e-3)
    assert plane.evaluations > 148
    assert len(np.unique(plane.points, axis=0)) == plane.evaluations
    # the choice of a strategy is all that may come on top
    assert len(seen) - plane.evaluations <= 40


def test_points_lie_closer_where_the_loss_is_harder_to_follow():
    objective = known(lambda x, y: 0.003 + (x - 1) ** 2)
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)))
    added = plane.points[148:]
    near = np.abs(added[:, 0] - 1) < 0.5
    assert near.mean() > 0.7


def test_a_plane_that_is_hardly_bent_is_known_from_its_first_lattice():
    objective = known(lambda x, y: 2 + 0.1 * torch.sin(x + y))
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)))
    a, b = np.meshgrid(*plane.axes, indexing="ij")
    np.testing.assert_allclose(plane.losses, 2 + 0.1 * np.sin(a + b), rtol=0.005)
    assert plane.evaluations <= 64 + 5**2 + 3


def test_trained_weights_that_all_but_coincide_with_a_point_do_no_harm():
    objective = known(lambda x, y: 1 + torch.sqrt(x**2 + y**2 + 0.1))
    for shift in (1e-3, 1e-7, 1e-12):
        plane = plane_along(
            objective, spanned((1.0, 0.0), (0.0, 1.0)), extent=(-1 + shift, 1 + shift)
        )
        a, b = np.meshgrid(*plane.axes, indexing="ij")
        np.testing.assert_allclose(plane.losses, 1 + np.sqrt(a**2 + b**2 + 0.1), rtol=0.02)


def test_losses_that_are_not_finite_are_kept_and_what_is_near_them_is_not_interpolated():
    def loss(x, y):
        smooth = 1 + x**2 + y**2
        if x + y > 2.0:
            return smooth * torch.inf
        return smooth * torch.nan if x + y < -0.7 else smooth

    objective = known(loss)
    basis = spanned((1.0, 0.0), (0.0, 1.0))
    plane = plane_along(objective, basis)
    truth = dense(objective, basis, plane)
    np.testing.assert_array_equal(np.isnan(plane.losses), np.isnan(truth))
    np.testing.assert_array_equal(np.isinf(plane.losses), np.isinf(truth))
    np.testing.assert_allclose(plane.losses[plane.direct], truth[plane.direct])
    finite = np.isfinite(truth)
    errors = np.abs(plane.losses[finite] - truth[finite]) / truth[finite]
    assert np.quantile(errors[~plane.direct[finite]], 0.95) < 0.005
    assert 0.1 < plane.direct.mean() < 0.9
    assert "points evaluated one by one" in str(plane)
    assert "losses are not finite" in str(plane)


def test_a_plane_that_is_hardly_anywhere_finite_is_evaluated_directly():
    objective = known(lambda x, y: 1 + x**2 if x**2 + y**2 < 0.04 else x * torch.nan)
    basis = spanned((1.0, 0.0), (0.0, 1.0))
    plane = plane_along(objective, basis, resolution=21)
    assert plane.direct.all()
    assert plane.errors["loss"] == (0.0, 0.0)
    np.testing.assert_array_equal(plane.losses, dense(objective, basis, plane))


def test_a_grid_coarser_than_the_first_one_is_evaluated_directly(digits_objective):
    basis = along(digits_objective)
    plane = plane_along(digits_objective, basis, resolution=11)
    assert plane.direct.all()
    assert plane.evaluations == 121
    np.testing.assert_allclose(plane.losses, dense(digits_objective, basis, plane), rtol=1e-5)


def test_a_plane_too_rough_for_its_grid_is_evaluated_at_every_point_of_it():
    objective = known(lambda x, y: 0.1 + torch.abs(torch.sin(7 * x) * torch.cos(9 * y)))
    basis = spanned((1.0, 0.0), (0.0, 1.0))
    plane = plane_along(objective, basis, resolution=16)
    np.testing.assert_array_equal(plane.losses, dense(objective, basis, plane))
    assert plane.direct.all()
    assert plane.evaluations <= 16**2 + 3
    assert plane.converged


def test_a_negative_loss_is_followed_too():
    objective = known(lambda x, y: x + 2 * y - 20)
    plane = plane_along(objective, spanned((1.0, 0.0), (0.0, 1.0)))
    a, b = np.meshgrid(*plane.axes, indexing="ij")
    np.testing.assert_allclose(plane.losses, a + 2 * b - 20)


def test_validation_losses_come_with_an_error_of_their_own(digits_objective):
    basis = along(digits_objective)
    plane = plane_along(digits_objective, basis, extent=(-1, 1))
    rows = np.array([[plane.axes[0][7], plane.axes[1][31]], [plane.axes[0][40], plane.axes[1][3]]])
    truth = digits_objective.evaluate(basis, rows, metrics=False).values["val_loss"]
    np.testing.assert_allclose(plane.values["val_loss"][[7, 40], [31, 3]], truth, rtol=0.01)
    assert 0 < plane.errors["val_loss"].median <= plane.errors["val_loss"].p95 <= 0.005


def test_a_cancelled_plane_keeps_the_last_grid_it_finished():
    objective = known(lambda x, y: 0.01 + x**2 + y**2)
    basis, told = spanned((1.0, 0.0), (0.0, 1.0)), []
    plane = plane_along(
        objective,
        basis,
        tolerance=1e-6,
        progress=told.append,
        cancelled=lambda: bool(told) and told[-1].done > 230,
    )
    assert np.isfinite(plane.losses).all()
    assert 230 < plane.evaluations < 450
    assert not plane.converged
    assert {part.phase for part in told} == {"plane"}
    with pytest.raises(Cancelled):
        plane_along(objective, basis, cancelled=lambda: True)


def test_a_plane_is_shown_coarse_to_fine_at_no_further_evaluation(digits_objective):
    basis, shown = along(digits_objective, 3.0), []
    keywords = {"extent": (-1, 1), "max_evaluations": 500}
    plane = plane_along(digits_objective, basis, **keywords, on_plane=shown.append)
    counts = [part.evaluations for part in shown]
    assert 64 + 5**2 - 4 <= counts[0] <= 64 + 5**2  # some points are on both lists
    assert 64 + 9**2 - 4 <= counts[1] <= 64 + 9**2
    assert (np.diff(counts) > 0).all()
    truth = dense(digits_objective, basis, plane)
    errors = [np.median(np.abs(part.losses - truth) / truth) for part in [*shown, plane]]
    assert errors[-1] < errors[1] / 2 < errors[0] / 4
    at_once = plane_along(digits_objective, basis, **keywords)
    np.testing.assert_allclose(plane.losses, at_once.losses, rtol=1e-5)
    assert plane.evaluations == at_once.evaluations
    assert plane.held_out == 64


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (((1.0, 2.0), (-2.0, -4.0)), {}, "lie on one line through θ"),
        (((1.0, 2.0), (0.0, 0.0)), {}, "lie on one line through θ"),
        (((1.0, 2.0), (np.inf, 0.0)), {}, "must be finite"),
        (((1.0, 0.0),), {}, "two directions; 1 were given"),
        (((1.0, 0.0), (0.0, 1.0)), {"extent": (1, 0)}, "two finite numbers"),
        (((1.0, 0.0), (0.0, 1.0)), {"tolerance": 0}, "positive relative error"),
        (((1.0, 0.0), (0.0, 1.0)), {"resolution": 1}, "2 points or more"),
        (((1.0, 0.0), (0.0, 1.0)), {"max_evaluations": 100}, "alone need 148"),
    ],
)
def test_what_spans_no_plane_is_refused(rows, options, message):
    objective = known(lambda x, y: 1 + x**2 + y**2)
    with pytest.raises(ValueError, match=message):
        plane_along(objective, spanned(*rows), **options)


def test_a_landscape_shows_the_plane_through_two_of_its_samples():
    data = digits(150)
    land = Landscape(train(mlp(), data, 60), data).sample(Minima(n=20))
    plane = land.plane(1, 2, extent=(-0.5, 1.5))
    for index, corner in ((1, (1.0, 0.0)), (2, (0.0, 1.0)), (0, (0.0, 0.0))):
        there = (plane.points == corner).all(axis=1)
        assert plane.point_values["loss"][there] == pytest.approx(land.losses[index], rel=1e-5)
    assert plane.gram[0, 0] ** 0.5 == pytest.approx(land.cloud.radii()[1])
    with pytest.raises(ValueError, match="sample 3 was given twice"):
        land.plane(3, 3)
    with pytest.raises(ValueError, match="one line through θ"):
        land.plane(0, 3)
    with pytest.raises(IndexError, match="Sample 99 was asked for"):
        land.plane(1, 99)
