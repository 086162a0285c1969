import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from landscape_widgets.profiles import quintic
from landscape_widgets.profiles.quintic import Quintic


@pytest.fixture
def scattered():
    generator = np.random.default_rng(0)
    points = generator.uniform(-3.0, 5.0, (60, 2))
    return points, np.stack([np.sin(points[:, 0]) + points[:, 1], np.cos(points[:, 1])], axis=-1)


def test_it_is_what_scipy_interpolates(scattered):
    points, values = scattered
    others = np.random.default_rng(1).uniform(-3.0, 5.0, (500, 2))
    truth = RBFInterpolator(points, values, kernel="quintic", degree=2)(others)
    np.testing.assert_allclose(Quintic(points).at(others, values), truth, rtol=1e-6, atol=1e-7)


def test_many_points_are_taken_in_blocks(scattered, monkeypatch):
    points, values = scattered
    others = np.random.default_rng(1).uniform(-3.0, 5.0, (50, 2))
    at_once = Quintic(points).at(others, values)
    monkeypatch.setattr(quintic, "AT_ONCE", 7 * len(points))
    np.testing.assert_allclose(Quintic(points).at(others, values), at_once, rtol=1e-8, atol=1e-10)


def test_what_all_others_make_of_a_point_is_what_a_fit_without_it_finds(scattered):
    points, values = scattered
    found = Quintic(points).left_out(values)
    for i in (0, 17, 59):
        others = np.arange(60) != i
        truth = RBFInterpolator(points[others], values[others], kernel="quintic", degree=2)
        np.testing.assert_allclose(found[i], truth(points[i : i + 1])[0], rtol=1e-6)


def test_a_quadratic_is_met_exactly(scattered):
    points, _ = scattered
    x, y = points.T
    values = (3 - x + 2 * x * y - y**2)[:, None]
    np.testing.assert_allclose(Quintic(points).left_out(values), values, rtol=1e-8, atol=1e-8)


def test_points_on_one_conic_are_refused():
    angles = np.linspace(0.0, 6.0, 30)
    for points in ([angles, angles], [np.cos(angles), np.sin(angles)]):
        with pytest.raises(np.linalg.LinAlgError, match="on one conic"):
            Quintic(np.stack(points, axis=-1))
