import importlib
import inspect

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn import decomposition, manifold
from sklearn.manifold import Isomap, trustworthiness

from landscape_widgets import reducers
from landscape_widgets.reducers import MDS, PCA, TSNE, UMAP, Transformer


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.4, 1.3, size=(200, 3)) @ rng.normal(size=(3, 3))


def test_tsne_is_as_good_a_map_as_that_of_opentsne(points):
    import openTSNE

    ours = TSNE(perplexity=20)
    coordinates = ours.fit(points, seed=1)
    theirs = openTSNE.TSNE(perplexity=20, neighbors="exact", random_state=1, n_jobs=1).fit(points)
    assert ours.info["kl_divergence"] < 1.01 * theirs.kl_divergence
    assert trustworthiness(points, coordinates, n_neighbors=15) == pytest.approx(
        trustworthiness(points, np.asarray(theirs), n_neighbors=15), abs=0.01
    )


def test_tsne_of_more_points_than_have_exact_forces_comes_out_the_same(points, monkeypatch):
    exact = TSNE(perplexity=20, iterations=100)
    exact.fit(points)
    module = importlib.import_module("landscape_widgets.reducers.tsne")
    monkeypatch.setattr(module, "EXACT", {2: 0, 3: 0})
    for n_components in (2, 3):
        near = TSNE(perplexity=20, iterations=100, min_grad_norm=1e-9)
        near.fit(points, n_components=n_components)
        assert near.info["gradient_norm"] < 0.01
        if n_components == 2:
            found = near.info["kl_divergence"]
            assert found == pytest.approx(exact.info["kl_divergence"], rel=0.05)


def test_umap_frames_end_in_the_very_map_and_their_cross_entropy_falls(points):
    frames = []
    with_frames = UMAP().fit(points, seed=4, on_frame=frames.append)
    np.testing.assert_array_equal(with_frames, UMAP().fit(points, seed=4))
    np.testing.assert_array_equal(frames[-1].coordinates, with_frames)
    assert frames[-1].objective < frames[0].objective


def test_umap_frames_come_while_it_is_at_work_and_stopping_keeps_the_last(points):
    frames = []
    ours = UMAP()
    stopped = ours.fit(points, on_frame=frames.append, cancelled=lambda: len(frames) >= 3)
    assert frames[-1].iteration < frames[-1].total == 500
    assert ours.info["iterations"] == frames[-1].iteration
    np.testing.assert_array_equal(stopped, frames[-1].coordinates)
    whole = []
    UMAP().fit(points, on_frame=whole.append)
    np.testing.assert_array_equal(frames[2].coordinates, whole[2].coordinates)
    assert ours.place(points[:2]).shape == (2, 2)


def test_tsne_frames_tell_the_divergence_of_opentsne(points):
    frames = []
    ours = TSNE(20)
    ours.fit(points, on_frame=frames.append)
    late = [frame.objective for frame in frames if frame.phase == "t-SNE"]
    assert late[-1] == pytest.approx(ours.info["kl_divergence"])
    assert late[-1] < late[0]


def test_pca_is_the_same_as_scikit_learn(points):
    ours = PCA()
    coordinates = ours.fit(points)
    reference = decomposition.PCA(2).fit(points)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(reference.transform(points)))
    np.testing.assert_allclose(
        ours.info["explained_variance_ratio"], reference.explained_variance_ratio_
    )
    np.testing.assert_allclose(ours.place(points[:5]), coordinates[:5])


def test_mds_has_no_more_stress_than_scikit_learn(points):
    ours = MDS()
    coordinates = ours.fit(points)
    # Older ones start at random and know no other way.
    known = inspect.signature(manifold.MDS).parameters
    start = {"init": "random"} if "init" in known else {}
    reference = manifold.MDS(2, n_init=1, random_state=0, **start).fit(points)
    stress = ((pdist(coordinates) - pdist(points)) ** 2).sum()
    assert ours.info["stress"] == pytest.approx(stress, rel=1e-3)
    theirs = ((pdist(reference.embedding_) - pdist(points)) ** 2).sum()
    assert stress <= 1.01 * theirs


def test_mds_of_a_plane_is_the_plane():
    flat = np.random.default_rng(0).normal(size=(60, 2)) @ [[1, 0, 2], [0, 3, 1]]
    np.testing.assert_allclose(pdist(MDS().fit(flat)), pdist(flat), rtol=1e-6)


def test_a_scikit_learn_transformer_is_taken_as_it_is(points):
    ours = reducers.resolve(Isomap(n_neighbors=10))
    np.testing.assert_array_equal(ours.fit(points), Isomap(n_neighbors=10).fit_transform(points))
    assert isinstance(ours, Transformer)
    assert ours.place(points[:3]).shape == (3, 2)


@pytest.mark.parametrize("make", [lambda: TSNE(20), UMAP, PCA, MDS])
class TestEveryReducer:
    def test_the_same_seed_gives_the_same_map_bit_for_bit(self, make, points):
        assert np.array_equal(make().fit(points, seed=3), make().fit(points, seed=3))

    def test_new_points_land_near_their_neighbours(self, make, points):
        reducer = make()
        coordinates = reducer.fit(points)
        new = points[::10] + 1e-3
        placed = reducer.place(new)
        off = np.linalg.norm(placed - coordinates[::10], axis=1)
        typical = np.median(squareform(pdist(coordinates)))
        assert np.median(off) < 0.2 * typical

    @pytest.mark.parametrize("components", [2, 3])
    def test_a_map_taken_up_again_places_new_points_where_the_one_that_made_it_does(
        self, make, points, components
    ):
        first, later = make(), make()
        coordinates = first.fit(points, n_components=components)
        later.resume(points, coordinates)
        new = points[::10] + 1e-3
        placed = later.place(new)
        assert placed.shape == (20, components)
        np.testing.assert_allclose(placed, first.place(new), rtol=1e-6, atol=1e-8)

    def test_its_repr_makes_its_like(self, make):
        assert eval(repr(make())).parameters == make().parameters

    def test_three_components_are_to_be_had(self, make, points):
        assert make().fit(points, n_components=3).shape == (200, 3)

    def test_points_that_are_not_finite_or_huge_are_refused(self, make, points):
        for bad, message in (
            (np.where(points == points[3, 1], np.nan, points), "1 of 200 points are not finite"),
            (points * 1e20, "beyond 1e15"),
        ):
            with pytest.raises(ValueError, match=message):
                make().fit(bad)

    def test_frames_lead_up_to_the_map(self, make, points):
        frames = []
        coordinates = make().fit(points, on_frame=frames.append)
        assert all(frame.coordinates.shape == (200, 2) for frame in frames)
        assert frames[-1].iteration <= frames[-1].total
        assert np.isfinite(coordinates).all()


def test_a_cancelled_tsne_keeps_its_last_map(points):
    frames = []
    coordinates = TSNE(20).fit(points, on_frame=frames.append, cancelled=lambda: len(frames) >= 3)
    assert len(frames) == 3
    np.testing.assert_array_equal(coordinates, frames[-1].coordinates)


def test_tsne_stops_when_it_no_longer_improves(points):
    patient, hasty = TSNE(20, iterations=1000), TSNE(20, iterations=1000, min_improvement=0.01)
    patient.fit(points)
    hasty.fit(points)
    assert hasty.info["iterations"] < patient.info["iterations"] == 1100


@pytest.mark.parametrize("n_components", [2, 3])
def test_the_gradient_of_tsne_is_that_of_its_divergence_by_finite_differences(points, n_components):
    ours = TSNE(10, iterations=30)
    y = ours.fit(points[:40], n_components=n_components)
    p = ours._embedding.affinities.P.toarray()

    def divergence(place):
        q = 1 / (1 + squareform(pdist(place, "sqeuclidean")))
        np.fill_diagonal(q, 0)
        q /= q.sum()
        return (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()

    assert ours.info["kl_divergence"] == pytest.approx(divergence(y), rel=1e-6)
    gradient = np.zeros(y.size)
    for i in range(y.size):
        step = np.zeros(y.size)
        step[i] = 1e-5
        step = step.reshape(y.shape)
        gradient[i] = (divergence(y + step) - divergence(y - step)) / 2e-5
    embedding = ours._embedding
    _, found = importlib.import_module("landscape_widgets.reducers.tsne_exact").kl_divergence_exact(
        embedding, embedding.affinities.P
    )
    np.testing.assert_allclose(4 * found.ravel(), gradient, atol=1e-5 * abs(gradient).max())
    norm = importlib.import_module("landscape_widgets.reducers.tsne").gradient_norm(embedding)
    assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-4)


def test_tsne_stops_where_the_gradient_is_short(points):
    hasty = TSNE(20, iterations=1000, min_grad_norm=1e-2)
    hasty.fit(points)
    assert hasty.info["gradient_norm"] < 1e-2
    assert hasty.info["iterations"] < 1100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TSNE(learning_rate=-1), r"learning_rate=-1\): a number above 0"),
        (lambda: TSNE(early_exaggeration=0.5), "a number of 1 or more"),
        (lambda: TSNE(iterations=2.5), "a whole number"),
        (lambda: TSNE(min_grad_norm=-1e-3), "a number of 0 or more"),
        (lambda: UMAP(metric="euclid"), "'euclidean' or 'manhattan'"),
        (lambda: UMAP(min_dist=2), "0 to 1"),
        (lambda: UMAP(n_epochs=0), "1 or more"),
        (lambda: UMAP(init="tsne"), "'pca' or 'spectral'"),
        (lambda: MDS(tolerance=-1), "0 or more"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_expected(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_perplexity_that_points_are_too_few_for_is_lowered_and_said(points):
    lowered, asked = TSNE(), TSNE(16)
    np.testing.assert_array_equal(lowered.fit(points[:49]), asked.fit(points[:49]))
    said, left_out = lowered.assumptions
    assert said == (
        "The perplexity 30 is lowered to 16, as there are only 49 samples that differ from each "
        "other."
    )
    assert left_out.startswith("Early exaggeration is left out: of only 49 samples")
    assert asked.assumptions == (left_out,)
    assert lowered.perplexity == 30  # for the next map, of more points


@pytest.mark.parametrize("n", [8, 20, 60])
def test_few_points_never_lie_on_a_line_on_their_way_to_a_map(n):
    points = np.random.default_rng(0).uniform(size=(n, 3))
    shapes = []

    def look(frame) -> None:
        lengths = np.linalg.svd(frame.coordinates - frame.coordinates.mean(axis=0))[1]
        shapes.append(lengths[1] / lengths[0])

    TSNE().fit(points, on_frame=look)
    assert min(shapes) > 0.1


def test_neighbours_that_points_are_too_few_for_are_lowered_and_said(points):
    lowered, asked = UMAP(n_epochs=5), UMAP(9, n_epochs=5)
    np.testing.assert_array_equal(lowered.fit(points[:10]), asked.fit(points[:10]))
    assert "n_neighbors 15 is lowered to 9" in lowered.assumptions[0]


def test_a_transformer_of_the_users_keeps_its_own_neighbours_where_they_are_lowered(points):
    own = Isomap(n_neighbors=40)
    ours = reducers.resolve(own)
    expected = Isomap(n_neighbors=14).fit_transform(points[:15])
    np.testing.assert_allclose(ours.fit(points[:15]), expected)
    assert "n_neighbors 40 is lowered to 14" in ours.assumptions[0]
    assert own.n_neighbors == 40
    assert not hasattr(own, "embedding_")


MAKERS = [
    TSNE,
    lambda: UMAP(n_epochs=5),
    PCA,
    MDS,
    lambda: reducers.resolve(Isomap()),
    lambda: reducers.resolve(manifold.LocallyLinearEmbedding()),
    lambda: reducers.resolve(manifold.TSNE(max_iter=250)),
    lambda: reducers.resolve(decomposition.PCA(2)),
]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 13, 30])
@pytest.mark.parametrize("d", [0, 1, 2, 7])
@pytest.mark.parametrize("make", MAKERS)
def test_few_points_of_any_dimension_have_a_map(make, n, d):
    cloud = np.random.default_rng(n).normal(size=(n, d))
    coordinates = make().fit(cloud)
    assert coordinates.shape == (n, 2)
    assert np.isfinite(coordinates).all()
    if n <= 3:  # as many as lie in a plane whatever they are
        np.testing.assert_allclose(pdist(coordinates), pdist(cloud), atol=1e-9)


@pytest.mark.parametrize("make", MAKERS)
def test_points_that_are_the_same_lie_in_one_place(make):
    six = np.random.default_rng(1).normal(size=(6, 4))
    cloud = np.repeat(six, 20, axis=0)
    coordinates = make().fit(cloud).reshape(6, 20, 2)
    assert np.isfinite(coordinates).all()
    np.testing.assert_allclose(coordinates, coordinates[:, :1] + np.zeros((6, 20, 2)), atol=1e-9)
    assert pdist(coordinates[:, 0]).min() > 0
    one = make().fit(np.ones((30, 5)))
    np.testing.assert_allclose(one, one[:1].repeat(30, axis=0), atol=1e-12)


def test_copies_do_not_change_where_tsne_lays_the_others(points):
    alone = TSNE(10).fit(points[:60])
    order = np.r_[0:60, 5:25]
    np.testing.assert_array_equal(TSNE(10).fit(points[order]), alone[order])


def test_new_points_find_their_place_on_a_map_of_three():
    cloud = np.random.default_rng(2).normal(size=(3, 6))
    for make in (TSNE, UMAP):
        first, later = make(), make()
        coordinates = first.fit(cloud)
        later.resume(cloud, coordinates)
        for reducer in (first, later):
            np.testing.assert_allclose(reducer.place(cloud), coordinates, atol=1e-9)


def test_what_lies_in_a_plane_is_shown_as_it_lies_unless_asked_otherwise():
    assert isinstance(reducers.default(1), PCA)
    assert isinstance(reducers.default(2), PCA)
    assert isinstance(reducers.default(3), TSNE)


def test_an_unknown_reducer_names_the_near_one():
    with pytest.raises(ValueError, match="Did you mean 'TSNE'"):
        reducers.resolve("tnse")


def test_a_tsne_that_is_stopped_before_its_first_iteration_is_the_start_without_a_divergence():
    points = np.random.default_rng(0).normal(size=(40, 3))
    reducer = TSNE()
    found = reducer.fit(points, cancelled=lambda: True)
    assert np.isfinite(found).all()
    assert reducer.info["iterations"] == 0
    assert np.isnan(reducer.info["kl_divergence"])
