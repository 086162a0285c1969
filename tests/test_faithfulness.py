import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from landscape_widgets.faithfulness import assess, scores
from landscape_widgets.reducers import PCA, TSNE

N = 400
NONE = np.full(N, -1)


def plane(rng):
    """A plane in 50 dimensions, with a loss of two basins on it."""
    flat = rng.uniform(-2, 2, size=(N, 2))
    points = flat @ np.linalg.qr(rng.normal(size=(50, 2)))[0].T
    losses = 10 ** (-2 + np.minimum(*[((flat - c) ** 2).sum(1) for c in ([1, 1], [-1, -0.5])]))
    return points, losses


def isotropic(rng, size=20_000):
    """Noise of one radius; the loss has nothing to do with where it goes."""
    points = rng.normal(size=(N, size))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, 10 ** rng.normal(size=N)


def walks(rng, paths=8, size=2_000):
    """Random walks, with a loss that grows along them."""
    steps = rng.normal(size=(paths, N // paths, size))
    points = np.cumsum(steps, axis=1).reshape(N, size)
    losses = 10 ** (np.tile(np.arange(N // paths), paths) / 20 - 2)
    return points, losses, np.repeat(np.arange(paths), N // paths)


def leaky_rays(rng, paths=40, size=2_000):
    """Rays whose loss is high or low by the ray: the map tells the ray, hence the loss."""
    directions = rng.normal(size=(paths, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    alphas = np.linspace(0.3, 1, N // paths)
    points = (alphas[None, :, None] * directions[:, None, :]).reshape(N, size)
    losses = np.repeat(10 ** rng.normal(size=paths), N // paths)
    return points, losses, np.repeat(np.arange(paths), N // paths)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def judged(points, losses, paths=NONE, reducer=None):
    coordinates = (reducer or TSNE(30, early_iterations=50, iterations=150)).fit(points)
    return assess(points, coordinates, losses, paths, np.linalg.norm(points, axis=1)), coordinates


def test_a_map_of_a_plane_is_all_but_perfect(rng):
    points, losses = plane(rng)
    found, _ = judged(points, losses, reducer=PCA())
    assert found["neighbourhoods (trustworthiness)"] == pytest.approx(1.0)
    assert found["loss readable from the map"] > 0.9
    assert found["what the map adds to the distance"] > 0.5
    assert found["intrinsic dimension"] == pytest.approx(2, abs=0.3)
    assert found.level == "good"


def test_isotropic_noise_is_called_structure_free(rng):
    found, _ = judged(*isotropic(rng))
    assert found.sentence.startswith("These samples are all equally far apart")
    assert found["contrast of distances"] < 0.02
    assert found["loss readable from the map"] < 0.1


def test_random_walks_are_called_so(rng):
    points, losses, paths = walks(rng)
    found, _ = judged(points, losses, paths)
    assert found["directedness of paths"] == pytest.approx(1, abs=0.3)
    assert found.sentence.startswith("This looks like a random walk (directedness")


def test_rays_that_leak_their_loss_look_readable_and_are_not(rng):
    points, losses, paths = leaky_rays(rng)
    found, coordinates = judged(points, losses, paths)
    naive = scores.readable(coordinates, losses, NONE)
    assert naive > 0.5
    assert found["loss readable from the map"] < 0.3
    assert found.sentence == "Points group by path, not by loss."


def test_a_loss_of_the_distance_alone_is_said_to_be_nothing_more(rng):
    flat = rng.normal(size=(N, 3))
    losses = 10 ** (np.linalg.norm(flat, axis=1) - 2)
    found, _ = judged(flat, losses)
    assert found["distance from θ* alone"] > 0.95
    assert found["what the map adds to the distance"] < 0.05
    assert found.sentence == "This map shows nothing but distance from the trained weights."


def test_shuffled_losses_cannot_be_read_from_the_map(rng):
    points, losses = plane(rng)
    found, _ = judged(points, rng.permutation(losses), reducer=PCA())
    assert found["loss readable from the map"] < 0.1
    assert found["what the map adds to the distance"] < 0.05
    assert found.level == "bad"


def test_trustworthiness_is_that_of_scikit_learn(rng):
    points, _ = plane(rng)
    coordinates = rng.normal(size=(N, 2))
    assert scores.trustworthiness(points, coordinates) == pytest.approx(
        trustworthiness(points, coordinates, n_neighbors=15)
    )


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_intrinsic_dimension_of_uniform_points_is_found(rng, d):
    points = rng.uniform(size=(2000, d)) @ rng.normal(size=(d, 20))
    assert scores.intrinsic_dimension(points) == pytest.approx(d, rel=0.15)


def test_a_straight_path_is_as_directed_as_it_has_steps():
    points = np.outer(np.arange(11.0), [1, 2, 2])
    steps = np.arange(11.0)
    assert scores.directedness(points, np.zeros(11, dtype=int), steps) == pytest.approx(10)


def test_distortion_is_none_where_neighbours_stay_and_whole_where_none_does(rng):
    points = rng.normal(size=(200, 2))
    assert scores.distortion(points, 3 * points).max() == 0
    assert scores.distortion(points, rng.normal(size=(200, 2))).mean() > 0.8


def test_maps_that_are_turned_and_scaled_agree(rng):
    first = rng.normal(size=(100, 2))
    turned = 5 * first @ [[0, 1], [-1, 0]] + 3
    aligned, shared = scores.agreement([first, turned])
    assert aligned == pytest.approx(1)
    assert shared == 1
    assert scores.agreement([first, rng.normal(size=(100, 2))])[0] < 0.2
