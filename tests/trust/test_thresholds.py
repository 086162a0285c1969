"""Thresholds by the number of samples: nulls are called what they are, structure is not."""

import numpy as np
import pytest

from landscape_widgets.reducers import PCA, TSNE
from landscape_widgets.trust import assess
from landscape_widgets.trust.thresholds import COUNTS

SIZE = 1_000  # dimensions of noise
MAPS = {"t-SNE": TSNE(early_iterations=50, iterations=150), "PCA": PCA()}
TRUST = "neighbourhoods (trustworthiness)"


def judged(points, losses, name, path=-1):
    radii = np.linalg.norm(points, axis=1)
    coordinates = MAPS[name].fit(points)
    return assess(points, coordinates, losses, np.full(len(points), path), radii)


def sphere(rng, n):
    """Noise of one radius."""
    points = rng.normal(size=(n, SIZE))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def basins(rng, n):
    """A box of three dimensions with two basins in it, from one of which distances are counted."""
    points = rng.uniform(-2, 2, size=(n, 3))
    other = np.array([1.2, 1.2, 0.5])
    losses = 10 ** (-2 + np.minimum((points**2).sum(1), ((points - other) ** 2).sum(1) + 0.2))
    return points, losses


def levels(found):
    return {readout.name: readout.level for readout in found.readouts}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("n", COUNTS)
def test_isotropic_noise_is_never_called_faithful(n, name):
    rng = np.random.default_rng(n)
    found = judged(sphere(rng, n), 10 ** rng.normal(size=n), name)
    assert found.level == "bad"
    assert found.sentence.startswith("These samples are all equally far apart")
    assert "good" not in {level for what, level in levels(found).items() if "of paths" not in what}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("n", COUNTS)
def test_noise_at_many_distances_is_never_called_faithful(n, name):
    rng = np.random.default_rng(n)
    radii = rng.uniform(0.2, 2, size=n)
    found = judged(sphere(rng, n) * radii[:, None], 10**radii, name)
    assert found.level in ("bad", "info")
    assert not found.sentence.startswith("Neighbourhoods")
    assert levels(found).get("what the map adds to the distance") != "good"


@pytest.mark.parametrize("n", COUNTS)
def test_a_random_walk_is_called_one(n):
    rng = np.random.default_rng(n)
    walk = np.cumsum(rng.normal(size=(n, SIZE)), axis=0)
    found = judged(walk, 10 ** np.linspace(-2, 0, n), "PCA", path=0)
    assert found.sentence.startswith("This looks like a random walk")


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("n", COUNTS)
def test_shuffled_losses_are_not_read_from_a_map(n, name):
    rng = np.random.default_rng(n)
    points, losses = basins(rng, n)
    found = judged(points, rng.permutation(losses), name)
    assert found.level in ("bad", "info")
    expected = "The loss cannot be read from this map." if n >= 40 else "too few to tell"
    assert expected in found.sentence


@pytest.mark.parametrize("n", COUNTS)
def test_a_slice_with_two_basins_is_called_no_null(n):
    points, losses = basins(np.random.default_rng(n), n)
    found = judged(points, losses, "t-SNE")
    assert found.level in (("info",) if n < 40 else ("weak", "good"))
    assert levels(found)[TRUST] != "bad"
