import shutil

import numpy as np
import pytest
import torch
from torch import nn

import landscape_widgets as lw
from landscape_widgets.progress import Cancelled
from landscape_widgets.trust import nulls, thresholds
from tests.models import digits, mlp, train

DATA = digits(200)
FAST = lw.reducers.TSNE(early_iterations=50, iterations=100)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture(scope="module")
def land(model) -> lw.Landscape:
    return lw.Landscape(model, DATA).sample(lw.samplers.Minima(n=150)).embed(FAST)


@pytest.fixture(scope="module")
def rays(model) -> lw.Landscape:
    return lw.Landscape(model, DATA).sample(lw.samplers.Rays(rays=10, points=12)).embed("pca")


def displacements(land: lw.Landscape) -> np.ndarray:
    return np.stack([land.cloud.displacement(i).numpy() for i in range(len(land.cloud))])


def test_isotropic_samples_are_as_far_away_as_the_real_ones_and_at_right_angles(land):
    null = land.null("isotropic")
    moved = displacements(null)
    real = np.linalg.norm(displacements(land), axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), real, rtol=1e-5)
    units = moved[1:] / real[1:, None]
    cosines = (units @ units.T)[np.triu_indices(len(units), 1)]
    # In P dimensions the cosine of two random directions has standard deviation 1/√P.
    assert cosines.std() == pytest.approx(land.objective.size**-0.5, rel=0.05)
    assert abs(cosines.mean()) < 0.01


def test_walks_have_steps_as_long_as_the_real_paths_but_go_nowhere(rays):
    null = rays.null("walk")
    paths = null.cloud.table["path"].to_numpy()
    assert len(np.unique(paths[1:])) == 10
    moved, radius = displacements(null), rays.cloud.table["radius"].max()
    for path in range(10):
        run = np.vstack([moved[:1] * 0, moved[paths == path]])
        np.testing.assert_allclose(
            np.linalg.norm(np.diff(run, axis=0), axis=1), radius / 12, rtol=1e-4
        )
        # Squared, steps at right angles add up: √12 steps away, not 12.
        assert np.linalg.norm(run[-1]) == pytest.approx(radius / 12**0.5, rel=0.2)


def test_without_paths_walks_end_about_as_far_away_as_the_samples_are(land):
    null = land.null("walk")
    ends = null.cloud.table.groupby("path")["radius"].last().drop(-1)
    assert len(ends) == nulls.WALKS
    assert ends.median() == pytest.approx(land.cloud.table["radius"][1:].median(), rel=0.15)


def test_the_losses_of_a_null_are_those_of_the_model_there(land):
    null = land.null("isotropic")
    for index in (0, 3, 77):
        outputs = null.model_at(index)(DATA[0])
        expected = nn.functional.cross_entropy(outputs, DATA[1]).item()
        assert null.losses[index] == pytest.approx(expected, rel=1e-4)


def test_shuffled_losses_keep_the_map_and_the_trained_weights(land):
    before = land.losses.copy()
    null = land.null("shuffled")
    np.testing.assert_array_equal(null.coordinates, land.coordinates)
    np.testing.assert_array_equal(np.sort(null.losses), np.sort(land.losses))
    assert null.losses[0] == land.losses[0]
    assert (null.losses != land.losses).mean() > 0.9
    np.testing.assert_array_equal(land.losses, before)


def test_metrics_and_validation_losses_are_shuffled_along(model):
    land = lw.Landscape(model, DATA, val_data=digits(300)).sample(lw.samplers.Subspace(n=60))
    null = land.embed("pca").null("shuffled")
    order = [int(np.flatnonzero(land.losses == loss)[0]) for loss in null.losses]
    np.testing.assert_array_equal(null.val_losses, land.val_losses[order])
    for name, values in land.values.items():
        np.testing.assert_array_equal(null.values[name], values[order])


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("shuffled", "The loss cannot be read from this map."),
        ("isotropic", "Neighbours on this map are not neighbours in truth: do not read it."),
        ("walk", "This looks like a random walk (directedness"),
    ],
)
def test_each_null_is_called_what_it_is(land, kind, sentence):
    assert land.null(kind).faithfulness(seeds=1).sentence.startswith(sentence)


def test_noise_has_other_neighbours_on_each_map_and_real_samples_mostly_the_same(land):
    (layout, neighbours), (of_noise, strangers) = (
        one.agreement() for one in (land, land.null("isotropic"))
    )
    assert strangers < 0.5 * neighbours
    assert thresholds.SHARED[1] < neighbours
    assert of_noise < thresholds.ALIGNED[0] < layout


def test_a_null_is_mapped_as_the_real_samples_were(model):
    land = lw.Landscape(model, DATA).sample(lw.samplers.Subspace(n=60))
    land.embed("pca", space="outputs", standardise=True, n_components=3)
    null = land.null("walk")
    points = null.points("outputs", standardise=True)
    centred = points - points.mean(axis=0)
    # Principal components carry the largest variances, in order.
    variances = np.linalg.svd(centred, compute_uv=False)[:3] ** 2
    np.testing.assert_allclose((null.coordinates**2).sum(axis=0), variances, rtol=1e-6)
    assert null.space == "outputs"


def test_the_same_seed_gives_the_same_null_and_no_other_random_state_is_touched(land):
    state = torch.get_rng_state()
    first, again, other = land.null("walk"), land.null("walk"), land.null("walk", seed=5)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(first.coordinates, again.coordinates)
    np.testing.assert_allclose(first.losses, again.losses, rtol=1e-6)
    assert not np.allclose(first.losses, other.losses, rtol=0.01)


def test_of_a_large_model_a_part_of_the_samples_is_taken(land, rays, monkeypatch):
    monkeypatch.setattr(nulls, "BYTES", 50 * 4 * land.objective.size)
    monkeypatch.setattr(nulls, "ENOUGH", 20)
    few = nulls.like(land.cloud, "isotropic")
    assert len(few.radii) == 50
    assert set(few.radii) <= set(land.cloud.table["radius"])
    assert [len(walk) for walk in nulls.like(rays.cloud, "walk").steps] == [12, 12, 12, 12, 2]


def test_a_null_that_does_not_fit_in_memory_says_so(land, monkeypatch):
    monkeypatch.setattr(
        "landscape_widgets.samplers.vector_storage.free_memory", lambda device: 1000
    )
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match=r"would keep 153 vectors .* Ask for fewer samples"):
        land.null("isotropic")


def test_a_cancelled_null_leaves_everything_as_it_was(land):
    coordinates, cloud = land.coordinates.copy(), land.cloud
    asked = []

    def soon() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        land.null("isotropic", cancelled=soon)
    assert land.cloud is cloud
    np.testing.assert_array_equal(land.coordinates, coordinates)


def test_an_unknown_null_names_the_near_one(land):
    with pytest.raises(ValueError, match="Did you mean 'isotropic'"):
        land.null("isotropc")


def test_a_null_needs_a_map_to_stand_beside(model):
    with pytest.raises(RuntimeError, match=r"no map yet. Call .embed\(\)"):
        lw.Landscape(model, DATA).sample(lw.samplers.Subspace(n=20)).null("walk")
