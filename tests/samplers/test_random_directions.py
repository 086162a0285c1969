import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform

from landscape_widgets.samplers import Minima, Rays, Subspace


def test_distances_within_a_subspace_are_those_of_the_full_vectors(objective):
    cloud = Subspace(k=5, n=60).draw(objective, seed=0)
    dense = np.stack([cloud.displacement(i).double().numpy() for i in range(len(cloud))])
    np.testing.assert_allclose(cloud.distances(), squareform(pdist(dense)), rtol=1e-5, atol=1e-4)


def test_distances_between_minima_are_those_of_the_full_vectors(objective):
    cloud = Minima(n=30, steps=20).draw(objective, seed=0)
    dense = np.stack([cloud.vector(i).double().numpy() for i in range(len(cloud))])
    np.testing.assert_allclose(cloud.distances(), squareform(pdist(dense)), rtol=1e-4, atol=1e-4)


def test_distances_from_the_trained_weights_are_uniform_up_to_the_radius(objective):
    cloud = Subspace(k=4, n=800, radius=2.0).draw(objective, seed=0)
    radii = cloud.table["radius"][1:]
    assert radii.max() <= 2.0
    np.testing.assert_allclose(np.quantile(radii, [0.25, 0.5, 0.75]), [0.5, 1, 1.5], atol=0.12)


def test_rays_are_straight_and_equally_spaced(objective):
    cloud = Rays(rays=3, points=5, radius=1.0).draw(objective, seed=0)
    for path in range(3):
        rows = np.flatnonzero(cloud.table["path"] == path)
        np.testing.assert_allclose(cloud.table["radius"][rows], np.arange(1, 6) / 5, rtol=1e-5)
        unit = cloud.displacement(rows[-1])
        torch.testing.assert_close(cloud.displacement(rows[1]), 0.4 * unit)


@pytest.mark.parametrize("sampler", [Rays(2, 2, radius=1.0), Subspace(2, 5, radius=1.0)])
def test_biases_move_only_where_directions_are_not_filter_normalised(sampler, objective):
    bias = torch.cat(
        [torch.full((shape.numel(),), len(shape) < 2) for _, _, shape in objective.layout.slices()]
    )
    moved = sampler.draw(objective, seed=0).displacement(1)
    assert not moved[bias].any()
    plain = type(sampler)(2, 2, radius=1.0, filter_normalised=False)
    assert plain.draw(objective, seed=0).displacement(1)[bias].all()
