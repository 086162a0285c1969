"""Repulsions on a mesh, against sums over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.spatial.distance import pdist, squareform

pytest.importorskip("numba")

from landscape_widgets.reducers import tsne_mesh


def over_all_pairs(points):
    weights = squareform(1 / (1 + pdist(points, "sqeuclidean")))
    squared = weights**2
    return weights.sum(), squared.sum(axis=1)[:, None] * points - squared @ points


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# From where a map starts, to where its points are farther apart than those of any that has grown.
@pytest.mark.parametrize(
    ("width", "error"), [(1e-4, 1e-4), (0.1, 1e-3), (5, 1e-4), (40, 0.02), (60, 0.02)]
)
def test_the_repulsion_on_a_mesh_is_that_over_all_pairs(width, error):
    points = np.random.default_rng(0).normal(size=(600, 2)) * (width / 4)
    total, force = over_all_pairs(points)
    found, found_force = tsne_mesh.repulsion(points)
    assert found == pytest.approx(total, rel=0.002)
    assert relative_error(found_force, force) < error


def test_a_long_and_narrow_map_and_one_along_a_line_have_meshes_too():
    along = np.random.default_rng(1).uniform(-60, 60, size=300)
    for across in (np.zeros(300), np.sin(along)):
        points = np.column_stack([along, across])
        total, force = over_all_pairs(points)
        found, found_force = tsne_mesh.repulsion(points)
        assert found == pytest.approx(total, rel=0.01)
        assert relative_error(found_force, force) < 0.05


def test_points_in_one_place_do_not_repel_each_other():
    total, force = tsne_mesh.repulsion(np.full((5, 2), 3.0))
    assert total == pytest.approx(20)
    assert abs(force).max() < 1e-6


def test_points_that_have_flown_far_apart_take_no_more_memory(monkeypatch):
    shapes = []
    likeness = tsne_mesh._likeness
    monkeypatch.setattr(
        tsne_mesh, "_likeness", lambda *size: shapes.append(size[:2]) or likeness(*size)
    )
    monkeypatch.setattr(tsne_mesh, "MOST", 100)
    points = np.random.default_rng(2).normal(size=(200, 2))
    points[0] = 1e6, -1e6
    _, force = tsne_mesh.repulsion(points)
    assert np.isfinite(force).all()
    assert max(shapes[0]) < 250


def test_splines_and_their_slopes_are_those_of_scipy():
    values, slopes = np.empty(6), np.empty(6)
    spline = BSpline.basis_element(np.arange(7.0), extrapolate=False)
    for share in (0.0, 0.25, 0.9):
        tsne_mesh._spline(share, values, slopes)
        places = share + 5 - np.arange(6)
        np.testing.assert_allclose(values, spline(places), atol=1e-14)
        np.testing.assert_allclose(slopes, spline.derivative()(places), atol=1e-14)
