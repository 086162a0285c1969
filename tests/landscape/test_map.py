"""Maps are never written to, and what a refinement draws is a smoothed bootstrap."""

import numpy as np
import pytest

from landscape_widgets.landscape.bootstrap import refined
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.reducers import PCA
from landscape_widgets.samplers import Subspace
from tests.models import digits, mlp


@pytest.fixture
def land() -> Landscape:
    return Landscape(mlp(), digits(100)).sample(Subspace(k=3, n=60)).embed(PCA())


def test_no_place_on_a_map_can_be_written_to(land):
    with pytest.raises(ValueError, match="read-only"):
        land.coordinates[0] = 0.0


def test_who_holds_a_map_keeps_it_as_it_was_while_samples_are_placed_on_it(land):
    held = land.map
    before = held.coordinates.copy()
    land.refine([3], n=5)
    assert held.coordinates.shape == (61, 2)
    np.testing.assert_array_equal(held.coordinates, before)
    assert land.map is not held
    np.testing.assert_array_equal(land.coordinates[:61], before)
    assert np.isfinite(land.coordinates[61:]).all()


def test_while_new_samples_have_no_place_yet_the_map_has_a_row_for_each(land):
    seen = []
    land.refine([3], n=5, on_drawn=lambda cloud: seen.append((len(cloud), land.coordinates)))
    ((n, coordinates),) = seen
    assert len(coordinates) == n == 66
    assert np.isnan(coordinates[61:]).all()
    assert np.isfinite(coordinates[:61]).all()


def test_new_samples_take_the_map_of_the_old_ones_away(land):
    land.sample(Subspace(k=2, n=20))
    assert (land.map, land.reducer, land.space) == (None, None, None)
    assert land.coordinates.shape == (21, 2)
    assert np.isnan(land.coordinates).all()


def test_the_null_of_a_map_that_was_read_is_standardised_as_the_map_was(land, tmp_path):
    land.embed(PCA(), standardise=True).save(tmp_path / "land")
    read = Landscape.load(tmp_path / "land", mlp(), digits(100))
    null, expected = read.null(), land.null()
    np.testing.assert_allclose(null.coordinates, expected.coordinates, atol=1e-6)
    plain = land.embed(PCA()).null()
    assert np.abs(plain.coordinates - expected.coordinates).max() > 1e-2


def test_refined_samples_scatter_about_the_chosen_with_half_their_standard_deviation(land):
    # The variance of a smoothed bootstrap is that of the chosen, (1 + h²) times (Silverman 1986).
    chosen = np.arange(10, 50)
    cloud = refined(land.cloud, chosen, 20_000)
    old, new = cloud.coefficients[chosen], cloud.coefficients[61:]
    np.testing.assert_allclose(new.mean(axis=0), old.mean(axis=0), atol=0.02 * old.std())
    h2 = 0.25 * len(chosen) / (len(chosen) - 1)  # the spread is estimated from the chosen
    np.testing.assert_allclose(new.var(axis=0), old.var(axis=0) * (1 + h2), rtol=0.04)
