import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist, squareform

from landscape_widgets.geometry.basis import ConcatenatedBasis, DenseBasis
from landscape_widgets.geometry.cloud import Cloud


def make_cloud(n: int = 12, k: int = 4, size: int = 50, seed: int = 0, anchor=None) -> Cloud:
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(n, k))
    coefficients[0] = 0
    table = pd.DataFrame(
        {
            "sampler": "test",
            "kind": ["trained"] + ["sample"] * (n - 1),
            "path": [-1] + [0, 1] * ((n - 1) // 2) + [0] * ((n - 1) % 2),
            "step": 0,
        }
    )
    if anchor is None:
        anchor = torch.randn(size, generator=torch.Generator().manual_seed(9))
    basis = DenseBasis(torch.randn(k, size, generator=generator, dtype=torch.float64))
    return Cloud(anchor, basis, coefficients, table)


def dense(cloud: Cloud) -> np.ndarray:
    return np.stack([cloud.displacement(i).double().numpy() for i in range(len(cloud))])


def test_isometric_coordinates_have_the_distances_of_the_full_vectors():
    cloud = make_cloud()
    np.testing.assert_allclose(cloud.distances(), squareform(pdist(dense(cloud))), rtol=1e-12)
    assert cloud.isometric().shape == (12, 4)


def test_dependent_directions_cost_no_coordinates():
    cloud = make_cloud()
    vectors = cloud.basis.columns(slice(None))
    doubled = Cloud(
        cloud.anchor,
        DenseBasis(torch.cat([vectors, vectors])),
        np.hstack([cloud.coefficients, cloud.coefficients]),
        cloud.table.drop(columns="radius"),
    )
    assert doubled.isometric().shape == (12, 4)
    np.testing.assert_allclose(doubled.distances(), 2 * cloud.distances(), rtol=1e-10)


def test_radii_are_the_norms_of_the_displacements():
    cloud = make_cloud()
    np.testing.assert_allclose(cloud.table["radius"], np.linalg.norm(dense(cloud), axis=1))
    assert cloud.table["radius"][0] == 0


def test_standardised_distances_measure_each_parameter_in_its_own_deviation():
    cloud = make_cloud()
    points = dense(cloud)
    expected = squareform(pdist(points / points.std(axis=0)))
    ours = squareform(pdist(cloud.isometric(standardise=True)))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_small_displacements_keep_their_distances():
    cloud = make_cloud()
    small = Cloud(
        cloud.anchor * 1e4,
        cloud.basis,
        cloud.coefficients * 1e-7,
        cloud.table.drop(columns="radius"),
    )
    np.testing.assert_allclose(small.distances(), 1e-7 * cloud.distances(), rtol=1e-10)


def test_principal_coordinates_carry_the_variance_of_a_dense_svd():
    cloud = make_cloud()
    points = dense(cloud)
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(
        np.linalg.norm(cloud.principal_coordinates(), axis=0), singular[:2], rtol=1e-10
    )


def test_adding_clouds_keeps_one_copy_of_the_trained_weights_and_parts_the_paths():
    first, second = make_cloud(seed=0), make_cloud(seed=1)
    both = first + second
    assert len(both) == 23
    assert (both.table["kind"] == "trained").sum() == 1
    assert set(both.table["path"][1:12]).isdisjoint(both.table["path"][12:])
    for ours, source in ((5, first.displacement(5)), (12 + 3, second.displacement(4))):
        torch.testing.assert_close(both.displacement(ours), source)
    assert isinstance(both.basis, ConcatenatedBasis)
    points = dense(both)
    np.testing.assert_allclose(both.distances(), squareform(pdist(points)), rtol=1e-10)


def test_clouds_of_different_models_do_not_add():
    with pytest.raises(ValueError, match="differ in θ"):
        make_cloud() + make_cloud(anchor=torch.zeros(50))


def test_coefficients_of_the_wrong_width_are_refused():
    cloud = make_cloud()
    with pytest.raises(ValueError, match=r"shape \(N, 4\)"):
        Cloud(cloud.anchor, cloud.basis, cloud.coefficients[:, :3], cloud.table)


def test_inner_products_are_taken_again_when_directions_are_written_to():
    basis = make_cloud().basis
    both = ConcatenatedBasis([basis, DenseBasis(torch.ones(1, basis.size, dtype=torch.float64))])
    before = basis.gram(), both.gram()
    before[0][:] = 0.0  # what was given away is not what is kept
    np.testing.assert_array_equal(basis.gram(), before[1][:-1, :-1])
    basis.vectors.mul_(2.0)
    np.testing.assert_allclose(basis.gram(), 4 * before[1][:-1, :-1])
    np.testing.assert_allclose(both.gram()[:-1, :-1], 4 * before[1][:-1, :-1])


def test_a_sample_that_is_not_finite_has_no_place_and_takes_no_others():
    vectors = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    vectors[2, 7] = float("nan")
    table = pd.DataFrame({"kind": ["trained", *["sample"] * 4], "path": -1, "step": 0})
    cloud = Cloud(torch.zeros(30), DenseBasis(vectors), np.vstack([np.zeros(4), np.eye(4)]), table)
    kept = [0, 1, 2, 4]
    points = cloud.isometric()
    assert np.isnan(points[3]).all()
    assert np.isnan(cloud.table["radius"][3])
    dense = np.stack([cloud.displacement(i).double().numpy() for i in kept])
    np.testing.assert_allclose(pdist(points[kept]), pdist(dense), rtol=1e-5)
    np.testing.assert_allclose(
        cloud.table["radius"][kept], np.linalg.norm(dense, axis=1), rtol=1e-5
    )
    first = cloud.principal_coordinates()
    assert np.isnan(first[3]).all()
    assert np.isfinite(first[kept]).all()


def test_copies_of_the_trained_weights_lie_in_one_place():
    table = pd.DataFrame({"kind": ["trained", *["sample"] * 2], "path": -1, "step": 0})
    rows = np.vstack([np.zeros(2), np.eye(2)])
    cloud = Cloud(torch.zeros(5), DenseBasis(torch.zeros(2, 5)), rows, table)
    np.testing.assert_array_equal(cloud.isometric(), np.zeros((3, 1)))
