import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.manifold import trustworthiness

import landscape_widgets as lw
from landscape_widgets.progress import Cancelled
from landscape_widgets.reducers import PCA, TSNE
from landscape_widgets.trust import assess, scores
from landscape_widgets.trust.readouts import AGREEMENT
from landscape_widgets.trust.thresholds import Scores
from landscape_widgets.trust.words import judge
from tests.models import digits, mlp, train

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
    assert found.sentence == "This map is exact: all distances on it are the true ones."
    assert found.level == "good"
    laid, _ = judged(points, losses)
    assert laid.sentence == "Neighbourhoods are faithful; sizes and gaps are not."


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


def test_a_loss_of_the_predictions_alone_is_said_to_be_nothing_more(rng):
    points, losses = plane(rng)
    coordinates = PCA().fit(points)
    radii, changes = np.linalg.norm(points, axis=1), np.log10(losses) + 3
    found = assess(points, coordinates, losses, NONE, radii, changes)
    assert found["change of predictions alone"] > 0.95
    assert found["what the map adds to the distance"] > 0.5
    assert found["what the map adds to both"] < 0.05
    assert found.sentence.endswith("distance from the trained weights and change of predictions.")


def test_a_map_that_scatters_neighbours_is_not_to_be_read(rng):
    points, losses = plane(rng)
    scattered = rng.permutation(PCA().fit(points))
    found = assess(points, scattered, losses, NONE, np.linalg.norm(points, axis=1))
    assert found["neighbourhoods (trustworthiness)"] == pytest.approx(0.5, abs=0.06)
    assert found.sentence == "Neighbours on this map are not neighbours in truth: do not read it."


def test_a_map_that_scatters_neighbours_may_still_tell_the_loss(rng):
    """Of ten dimensions it shows the one that counts, and one of the others."""
    points = rng.normal(size=(N, 10))
    found = assess(points, points[:, :2], 10 ** points[:, 0], NONE, np.linalg.norm(points, axis=1))
    assert found["neighbourhoods (trustworthiness)"] < 0.7
    assert found["loss readable from the map"] > 0.9
    assert found.sentence.startswith("The loss can be read from this map, but neighbours on it")
    assert found.level == "weak"


def test_a_map_that_leaves_two_of_four_dimensions_out_is_roughly_right(rng):
    points = rng.uniform(-1, 1, size=(N, 4)) * [2, 2, 1.6, 1.6]
    losses = 10 ** points[:, 0]
    found, _ = judged(points, losses, reducer=PCA())
    assert 0.7 < found["neighbourhoods (trustworthiness)"] < 0.9
    assert found.sentence == "Neighbourhoods are roughly right; sizes and gaps are not."
    assert found.level == "weak"


def test_whether_paths_walk_at_random_is_told_from_their_weights(rng):
    """Predictions of a path that goes out and comes back have not moved; its weights have."""
    paths, length = np.repeat(np.arange(40), 10), 10
    weights = np.cumsum(rng.normal(size=(40, 1, 200)) + np.zeros((40, length, 200)), axis=1)
    angle = np.tile(np.linspace(0, 2 * np.pi, length), 40)[:, None]
    outputs = np.hstack([np.cos(angle), np.sin(angle)]) + 0.01 * rng.normal(size=(N, 2))
    losses, radii = 10 ** outputs[:, 0], np.linalg.norm(weights, axis=2).ravel()
    closed = assess(outputs, outputs, losses, paths, radii)
    assert closed["directedness of paths"] < 0.1
    found = assess(outputs, outputs, losses, paths, radii, positions=weights.reshape(N, 200))
    assert found["directedness of paths"] == pytest.approx(length - 1)
    assert found["loss readable from the map"] > 0.9


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


def test_points_that_one_map_leaves_out_are_compared_on_neither(rng):
    first = rng.normal(size=(100, 2))
    second = first.copy()
    second[::5] = np.nan
    assert scores.agreement([first, second]) == (pytest.approx(1), 1)


def test_the_dimension_of_a_walk_of_equal_steps_is_bounded_by_its_coordinates():
    walk = np.cumsum(np.eye(30), axis=0)
    assert scores.intrinsic_dimension(walk) == 30


MODEL = train(mlp(), digits(200), 60)


@pytest.mark.parametrize("space", ["weights", "outputs"])
def test_a_map_is_scored_in_the_space_that_it_was_made_in(space):
    land = lw.Landscape(MODEL, digits(200)).sample(lw.samplers.Neighbourhood(arms=20))
    found = land.embed("pca", space=space).faithfulness()
    points, radii = land.points(space), land.cloud.table["radius"].to_numpy()
    assert found["neighbourhoods (trustworthiness)"] == pytest.approx(
        trustworthiness(points, land.coordinates, n_neighbors=15)
    )
    assert found["contrast of distances"] == pytest.approx(
        pdist(points).std() / pdist(points).mean()
    )
    paths = land.cloud.table["path"].to_numpy()
    # In outputs space the change of predictions is the distance from θ* on the very map.
    outputs = land.points("outputs")
    for name, alone in (
        ("distance from θ* alone", radii),
        ("change of predictions alone", np.linalg.norm(outputs - outputs[0], axis=1)),
    ):
        assert found[name] == pytest.approx(scores.readable(alone[:, None], land.losses, paths))
    # Arms go out and come down again, wherever the map is of.
    assert found["directedness of paths"] > 2
    assert {readout.name for readout in found.readouts} >= {*AGREEMENT, "what the map adds to both"}


def test_other_maps_are_made_only_where_they_are_asked_for_and_can_be_stopped():
    land = lw.Landscape(MODEL, digits(200)).sample(lw.samplers.Subspace(n=60)).embed("pca")
    alone = land.faithfulness(seeds=1)
    assert not {readout.name for readout in alone.readouts} & set(AGREEMENT)
    again = alone.agreeing(*land.agreement())
    assert again.readouts == land.faithfulness().readouts
    assert 0.5 < again["neighbours on other maps"] < 1
    with pytest.raises(Cancelled):
        land.faithfulness(cancelled=lambda: True)
    with pytest.raises(ValueError, match="at least 2 maps"):
        land.agreement(1)


def test_a_cloud_of_fewer_samples_than_the_reducer_asks_for_can_be_compared_too():
    reducer = TSNE(30, early_iterations=10, iterations=10)
    land = lw.Landscape(MODEL, digits(200)).sample(lw.samplers.Subspace(n=60)).embed(reducer)
    assert 0 < land.agreement(2)[1] < 1


def test_a_gain_that_rounds_to_zero_has_no_sign():
    values = {"trust": 0.9, "honest": -0.001, "by_radius": -0.2, "beyond_radius": -0.004}
    found = judge(Scores(**values, contrast=0.5, dimension=2.0, directedness=3.0, has_paths=False))
    texts = {readout.name: readout.text for readout in found.readouts}
    assert texts["loss readable from the map"] == "0.00"
    assert texts["what the map adds to the distance"] == "0.00"
    assert texts["distance from θ* alone"] == "-0.20"


def cloud_of(rng, n, d=3):
    points = rng.uniform(-1, 1, size=(n, d))
    return points, 10 ** (points**2).sum(axis=1)


def test_what_the_map_adds_is_judged_by_a_part_of_many_samples(rng, monkeypatch):
    points, losses = cloud_of(rng, 1200)
    losses[:300] = np.nan  # which no part holds
    radii = np.linalg.norm(points, axis=1)[:, None]
    paths = np.full(len(points), -1)
    whole = scores.gain(points[:, :2], losses, 0 * radii, paths)
    drawn = []
    by_trees = scores._by_trees
    monkeypatch.setattr(scores, "MOST_POINTS", 400)
    monkeypatch.setattr(
        scores, "_by_trees", lambda known, *rest: drawn.append(len(known)) or by_trees(known, *rest)
    )
    part = scores.gain(points[:, :2], losses, 0 * radii, paths)
    assert max(drawn) == 320
    assert part == pytest.approx(whole, abs=0.15)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9])
def test_of_fewer_than_ten_samples_nothing_is_told(rng, n):
    points, losses = cloud_of(rng, n)
    found, _ = judged(points, losses, np.full(n, -1))
    assert "too few to tell" in found.sentence
    assert found.level == "info"
    assert all(readout.level == "info" for readout in found.readouts)


def test_few_samples_that_lie_as_they_are_shown_are_said_to(rng):
    points, losses = cloud_of(rng, 5, d=2)
    found, _ = judged(points, losses, np.full(5, -1), PCA())
    assert found.sentence.startswith("Distances on this map are the true ones; 5 samples are too")


def test_thirteen_samples_are_judged_by_what_as_few_of_noise_reach(rng):
    reached = []
    for _ in range(8):
        noise = rng.normal(size=(13, 2000))
        found, _ = judged(noise, 10 ** rng.normal(size=13), np.full(13, -1), PCA())
        reached.append(found.level)
    assert reached.count("good") <= 1


def test_copies_of_one_sample_are_said_to_be_that(rng):
    points = np.ones((30, 4))
    found, coordinates = judged(points, np.ones(30), np.full(30, -1))
    assert np.ptp(coordinates, axis=0).max() == 0
    assert found.sentence.startswith("All 30 samples are one and the same point")


def test_losses_that_are_not_finite_are_not_called_faithful(rng):
    points, losses = plane(rng)
    found, _ = judged(points, np.full(N, np.nan), reducer=PCA())
    assert found.sentence.startswith("None of the 400 losses is a finite number")
    losses[: 2 * N // 3] = np.inf
    found, _ = judged(points, losses, reducer=PCA())
    assert found.sentence.startswith("Only 134 of 400 losses are finite numbers")
    assert found.level == "bad"


def test_losses_that_are_all_the_same_have_nothing_to_be_read(rng):
    points, _ = plane(rng)
    found, _ = judged(points, np.ones(N), reducer=PCA())
    assert found.sentence == "All losses are the same: there is nothing to read from this map."


def test_losses_below_zero_are_read_as_well_as_the_same_above(rng):
    points, losses = plane(rng)
    above, coordinates = judged(points, losses, reducer=PCA())
    below = scores.readable(coordinates, losses - 10, NONE)
    assert below == pytest.approx(above["loss readable from the map"], abs=0.1)
    assert below > 0.8


@pytest.mark.parametrize("checkpoints", [10, 13, 20, 40])
def test_an_ordinary_run_of_few_checkpoints_is_no_random_walk(checkpoints):
    inputs, targets = digits(400)
    torch.manual_seed(0)
    model = mlp(16)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = []
    for step in range(400):
        if step % (400 // checkpoints) == 0 and len(kept) < checkpoints:
            kept.append(torch.cat([p.detach().flatten() for p in model.parameters()]).numpy())
        some = torch.randint(len(inputs), (32,))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs[some]), targets[some]).backward()
        optimiser.step()
    points = np.array(kept, dtype=np.float64)
    paths, losses = np.zeros(checkpoints, dtype=int), 10 ** -np.linspace(0, 2, checkpoints)
    found, _ = judged(points, losses, paths)
    assert "random walk" not in found.sentence
    words = {readout.name: readout.word for readout in found.readouts}
    assert words["directedness of paths"] == "goes somewhere"


@pytest.mark.parametrize("checkpoints", [10, 13, 20, 40, 100])
def test_a_random_walk_is_called_so_however_many_checkpoints_it_has(rng, checkpoints):
    steps = rng.normal(size=(checkpoints, 2000))
    losses = 10 ** rng.normal(size=checkpoints)
    walk = np.cumsum(steps, axis=0)
    found, _ = judged(walk, losses, np.zeros(checkpoints, dtype=int))
    assert found.sentence.startswith("This looks like a random walk")


def test_in_few_dimensions_a_walk_cannot_be_told_from_a_run(rng):
    walk = np.cumsum(rng.normal(size=(13, 2)), axis=0)
    found, _ = judged(walk, 10 ** rng.normal(size=13), np.zeros(13, dtype=int), PCA())
    assert "random walk" not in found.sentence
