import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from landscape_widgets import Landscape, samplers
from landscape_widgets.diagnosis.basins import find_basins
from landscape_widgets.profiles.graph import Graph
from landscape_widgets.profiles.way import find_way
from landscape_widgets.progress import Cancelled
from tests.models import digits, mlp, train
from tests.profiles.surfaces import Hollows, cloud_of

PLACES = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 2.2]])
DEPTHS = (1.9, 1.6, 1.3)
THREE = Hollows(*((*place, depth) for place, depth in zip(PLACES, DEPTHS, strict=True)))


def samples(surface=THREE, n=300, seed=0):
    """θ* and two minima at the true bottoms, and others around."""
    bottoms = np.stack([surface.still(place)[0] for place in PLACES])
    others = np.random.default_rng(seed).uniform(-4, 4, size=(n, 2))
    return np.concatenate([bottoms, others])


def basins_of(surface, points, factor=1.3, errors=None, losses=None):
    losses = surface(points) if losses is None else losses
    kinds = {1: "minimum", 2: "minimum"} if len(points) > 2 else {}
    cloud = cloud_of(points, kinds)
    graph = Graph(cloud, losses, errors, list(cloud.names))
    tree = graph.spanning_tree(surface.at)

    def easiest(start, end):
        return find_way(graph, tree, start, end, surface.at)[0]

    return find_basins(graph, tree, easiest, factor)


def test_hollows_of_gaussians_are_basins_and_their_saddles_are_where_the_gradient_is_zero():
    found = basins_of(THREE, samples())
    assert found.names == ("θ*", "M1", "M2")
    assert found.floors.tolist() == [0, 1, 2]
    # The lowest one ends nowhere; M2's lies between the others, and its floor is the highest.
    frame = found.to_frame().set_index("name")
    left, right = (THREE.still(near)[1] for near in ((-1.2, 1.0), (1.2, 1.0)))
    lower, higher = sorted([left, right])
    assert frame["saddle"]["M2"] == pytest.approx(lower, rel=0.005)
    assert frame["saddle"]["M1"] == pytest.approx(higher, rel=0.005)
    assert frame["into"]["M1"] == "θ*"
    floors = [THREE.still(place)[1] for place in PLACES]
    np.testing.assert_allclose(found.losses, floors, rtol=1e-9)
    np.testing.assert_allclose(found.persistence[1:], frame["saddle"].iloc[1:] - floors[1:])
    np.testing.assert_allclose(frame["times"].iloc[1:], frame["saddle"].iloc[1:] / floors[1:])
    assert found.saddles[0] == np.inf


def test_a_sample_lies_in_the_basin_that_its_descent_ends_in():
    points = samples()
    found = basins_of(THREE, points)
    below = THREE(points) < min(found.saddles) - 0.02
    assert below.sum() > 20
    for i in np.flatnonzero(below):
        end = minimize(lambda place: THREE(place[None])[0], points[i]).x
        assert found.of[i] == np.linalg.norm(points[:3] - end, axis=1).argmin()
    assert found.of.min() == 0
    assert found.to_frame()["samples"].sum() == len(points)


def test_a_hollow_that_no_saddle_is_so_much_higher_than_belongs_to_the_next():
    found = basins_of(THREE, samples(), factor=1.8)
    assert found.names == ("θ*", "M1")
    assert found.members in ((("θ*", "M2"), ("M1",)), (("θ*",), ("M1", "M2")))
    assert "1.8 times as high as the higher end" in found.sentence
    alone = basins_of(THREE, samples(), factor=100)
    assert alone.sentence == (
        "One basin: nothing on the ways between θ*, M1 and M2 is 100 times as high as the higher "
        "end."
    )
    assert (alone.of == 0).all()


def test_nothing_between_samples_of_one_basin_is_as_high_as_is_said():
    points = samples()
    found = basins_of(THREE, points, factor=1.8)
    (names,) = (names for names in found.members if len(names) > 1)
    graph = Graph(cloud_of(points), THREE(points))
    i, j = (("θ*", "M1", "M2").index(name) for name in names)
    way, _ = find_way(graph, graph.spanning_tree(THREE.at), i, j, THREE.at)
    assert way.height < 1.8 * max(THREE(points[[i, j]]))


def test_a_bowl_is_one_basin_whatever_the_samples():
    bowl = Hollows((0, 0, 1), width=3)
    for seed in range(3):
        points = np.random.default_rng(seed).normal(size=(200, 2))
        found = basins_of(bowl, points, losses=bowl(points))
        assert len(found) == 1


def test_losses_below_zero_are_compared_by_differences_and_it_is_said():
    sunk = Hollows(*((*p, d) for p, d in zip(PLACES, DEPTHS, strict=True)), plain=0.5)
    points = samples(sunk)
    found = basins_of(sunk, points)
    np.testing.assert_array_equal(found.of, basins_of(THREE, points).of)
    assert not found.threshold.is_ratio
    assert found.sentence.startswith(
        "3 basins, told by differences, as losses reach zero or below."
    )
    assert "times" not in found.sentence
    assert found.to_frame()["times"].isna().all()
    spread = np.median(sunk(points)) - sunk(points).min()
    assert found.threshold.rise == pytest.approx(0.1 * spread)


def test_what_errors_may_have_made_parts_nothing():
    points = samples()
    losses = THREE(points)
    assert len(basins_of(THREE, points, errors=np.full(len(points), 1e-3))) == 3
    vague = basins_of(THREE, points, errors=np.full(len(points), 0.6))
    assert len(vague) < 3
    sure = basins_of(THREE, points, errors=1e-3 * losses)
    expected = np.hypot(sure.saddle_errors, 1e-3 * sure.losses)
    np.testing.assert_allclose(sure.to_frame()["error"], expected)


def test_samples_without_a_finite_loss_lie_in_no_basin():
    points = samples()
    losses = THREE(points)
    losses[[4, 9]] = np.nan, np.inf
    found = basins_of(THREE, points, losses=losses)
    assert np.flatnonzero(found.of < 0).tolist() == [4, 9]


def test_pieces_that_no_finite_way_joins_are_basins_without_a_saddle():
    around = np.random.default_rng(0).normal(size=(30, 2))
    points = np.concatenate([around, around + np.array([99.0, 0.0])])

    def at(rows):
        found = THREE.at(rows)
        middle = np.abs(rows[:, 0] - 50) < 20
        return found._replace(values=np.where(middle, np.nan, 1 + rows[:, 1] ** 2))

    graph = Graph(cloud_of(points), 1 + points[:, 1] ** 2)
    tree = graph.spanning_tree(at)
    found = find_basins(graph, tree, lambda i, j: find_way(graph, tree, i, j, at)[0])
    assert len(found) == 2
    assert found.parents.tolist() == [-1, -1]
    np.testing.assert_array_equal(found.of, np.repeat([0, 1], 30) ^ found.of[0])
    assert found.sentence == "2 basins."


def test_a_factor_that_parts_everything_is_refused():
    with pytest.raises(ValueError, match="factor=1; a number above 1 is expected"):
        basins_of(THREE, samples(n=10), factor=1)


def test_a_landscape_tells_its_basins_once_and_forgets_them_with_its_samples():
    data = digits(150)
    land = Landscape(train(mlp(), data, 60), data).sample(samplers.Minima(n=80))
    with pytest.raises(Cancelled):
        land.basins(cancelled=lambda: True)
    told = []
    found = land.basins(progress=told.append)
    assert told
    assert found.of.shape == (len(land.cloud),)
    assert found.of[0] == 0
    assert found.names[0] == "θ*"
    assert land.basins() is found
    assert isinstance(found.to_frame(), pd.DataFrame)
    assert repr(found) == f"<Basins: {found.sentence}>"
    land.refine([1], n=5)
    assert land.basins().of.shape == (len(found.of) + 5,)
