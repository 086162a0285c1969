"""UMAP against umap-learn."""

import subprocess
import sys

import numpy as np
import pytest
import umap
from scipy.spatial.distance import cdist, pdist, squareform
from sklearn.manifold import trustworthiness
from umap.layouts import optimize_layout_euclidean
from umap.umap_ import find_ab_params, fuzzy_simplicial_set, make_epochs_per_sample

from landscape_widgets.reducers import TSNE, UMAP
from landscape_widgets.reducers.neighbours import ExactIndex, neighbour_index
from landscape_widgets.reducers.umap import METRICS
from landscape_widgets.reducers.umap_graph import curve_of, fuzzy_graph
from landscape_widgets.reducers.umap_layout import run_epochs

FAR_APART = np.array([[0, 0, 0], [50, 0, 0], [0, 90, 9]])


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.4, 1.3, size=(200, 3)) @ rng.normal(size=(3, 3))


def clouds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    even = rng.uniform(size=(150, 3))
    return {
        "even": even,
        "tiny": even * 1e-7,
        "of many dimensions": rng.normal(size=(150, 40)),
        "of two densities": np.concatenate([even[:75], 100 + 1e-3 * even[75:]]),
        "some in one place": np.concatenate([even[:100], np.repeat(even[:5], 10, axis=0)]),
    }


@pytest.mark.parametrize("name", clouds())
def test_the_graph_is_that_of_umap_learn(name):
    cloud = clouds()[name]
    indices, distances = ExactIndex(cloud, 14).build()
    itself = np.arange(len(cloud))[:, None]
    theirs, _, _ = fuzzy_simplicial_set(
        cloud,
        15,
        np.random.RandomState(0),
        "euclidean",
        knn_indices=np.hstack([itself, indices]),
        knn_dists=np.hstack([np.zeros(itself.shape), distances]).astype(np.float32),
    )
    np.testing.assert_allclose(
        fuzzy_graph(indices, distances).toarray(), theirs.toarray(), atol=1e-5
    )


@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("onto_itself", [True, False])
def test_the_layout_is_that_of_umap_learn_bit_for_bit(points, components, onto_itself):
    graph = fuzzy_graph(*ExactIndex(points, 14).build())
    graph.data = graph.data.astype(np.float32)
    seeds = np.array([3, -4, 5])
    start = np.random.default_rng(0).uniform(0, 10, (200, components)).astype(np.float32)
    ours, theirs = start.copy(), start.copy()
    others = np.ascontiguousarray(start[::-1])
    run_epochs(
        ours,
        ours if onto_itself else others,
        graph,
        epochs=60,
        curve=find_ab_params(1.0, 0.1),
        rate=1.0,
        seeds=seeds,
        watch=lambda *_: False,
    )
    optimize_layout_euclidean(
        theirs,
        theirs if onto_itself else others,
        graph.row,
        graph.col,
        60,
        200,
        make_epochs_per_sample(graph.data, 60),
        *find_ab_params(1.0, 0.1),
        seeds,
        move_other=onto_itself,
    )
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("min_dist", [0.0, 0.1, 0.99])
def test_the_curve_is_that_of_umap_learn(min_dist):
    assert curve_of(min_dist) == pytest.approx(find_ab_params(1.0, min_dist))


@pytest.mark.parametrize(("components", "init"), [(2, "pca"), (3, "random"), (2, "spectral")])
def test_a_map_is_as_good_as_umap_learns(points, components, init):
    theirs = umap.UMAP(init=init, n_components=components, random_state=4, n_jobs=1)
    theirs = theirs.fit_transform(points)
    ours = UMAP(init=init)
    found = ours.fit(points, n_components=components, seed=4)
    assert trustworthiness(points, found) > trustworthiness(points, theirs) - 0.01
    everyone = np.arange(200)
    gained = ours._cross_entropy(points[:, :components], everyone)
    gained -= ours._cross_entropy(theirs.astype(np.float64), everyone)
    worse = ours._cross_entropy(found, everyone)
    worse -= ours._cross_entropy(theirs.astype(np.float64), everyone)
    assert worse < 0.05 * gained


def test_the_cross_entropy_of_some_points_stands_for_that_of_all(points):
    ours = UMAP(n_epochs=50)
    coordinates = ours.fit(points)
    graph, near = ours._graph.toarray(), squareform(pdist(coordinates, "sqeuclidean"))
    a, b = find_ab_params(1.0, 0.1)
    near = np.clip(1 / (1 + a * near**b), 1e-4, 1 - 1e-4)
    degrees = graph.sum(axis=1)
    whole = sum(
        -graph[i, j] * np.log(near[i, j])
        - 5 * (degrees[i] + degrees[j]) / 400 * np.log(1 - near[i, j])
        for i in range(200)
        for j in range(i)
    )
    assert ours._cross_entropy(coordinates, np.arange(200)) == pytest.approx(whole, rel=1e-5)
    half = [ours._cross_entropy(coordinates, np.arange(200)[start::2]) for start in (0, 1)]
    assert np.mean(half) == pytest.approx(whole, rel=1e-5)
    assert half[0] == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("init", ["pca", "spectral", "random"])
def test_pieces_that_nothing_joins_stay_pieces(init):
    rng = np.random.default_rng(0)
    cloud = np.concatenate([place + rng.normal(size=(40, 3)) for place in FAR_APART])
    found = UMAP(init=init).fit(cloud)
    assert np.isfinite(found).all()
    assert trustworthiness(cloud, found, n_neighbors=10) > 0.9


def test_every_metric_that_is_offered_is_the_one_of_that_name(points):
    names = {"manhattan": "cityblock"}
    for metric in METRICS:
        ours = UMAP(metric=metric, n_epochs=2)
        assert np.isfinite(ours.fit(points)).all()
        apart = cdist(points[:5], points, names.get(metric, metric))
        _, distances = ours._index.query(ours._as_compared(points[:5]), 15)
        np.testing.assert_allclose(distances, np.sort(apart)[:, :15], atol=1e-7)


def test_more_points_of_many_dimensions_than_are_compared_one_by_one_get_near_neighbours():
    cloud = np.random.default_rng(0).normal(size=(10_050, 12))
    index = neighbour_index(cloud, 10)
    assert not isinstance(index, ExactIndex)
    indices, _ = index.build()
    exact, _ = ExactIndex(cloud, 10).build()
    hits = [np.isin(indices[i], exact[i]).mean() for i in range(0, len(cloud), 50)]
    assert np.mean(hits) > 0.8
    assert not (indices == np.arange(len(cloud))[:, None]).any()


@pytest.mark.parametrize("reducer", [TSNE(5), UMAP(5)])
def test_neither_map_loads_what_compiles_for_long(reducer):
    code = f"""
import sys
import numpy as np
from landscape_widgets.reducers import TSNE, UMAP
points = np.random.default_rng(0).normal(size=(60, 3))
reducer = {reducer!r}
reducer.fit(points)
reducer.place(points[:3] + 0.01)
loaded = {{"pynndescent", "umap"}} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_machine_without_a_place_for_compiled_code_gets_the_same_map(tmp_path):
    # What numba does in a read-only image without a home.
    code = """
import sys
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from landscape_widgets.reducers import TSNE, UMAP
points = np.random.default_rng(0).normal(size=(60, 3))
np.save(sys.argv[1], [TSNE(5).fit(points), UMAP(5).fit(points)])
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "maps.npy")], check=True)
    cloud = np.random.default_rng(0).normal(size=(60, 3))
    np.testing.assert_array_equal(
        np.load(tmp_path / "maps.npy"), [TSNE(5).fit(cloud), UMAP(5).fit(cloud)]
    )
