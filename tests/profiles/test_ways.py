import numpy as np
import pytest

from landscape_widgets.profiles.graph import ALIKE, Graph
from landscape_widgets.profiles.way import find_way, height_between
from landscape_widgets.progress import Cancelled
from tests.profiles.surfaces import Hollows, cloud_of

# From the hollow at the left to the one at the right the valley goes round by a third one.
BENT = Hollows((-2, 0, 1.9), (2, 0, 1.6), (0, 2.2, 1.3))
ENDS = np.array([[-2.0, 0.0], [2.0, 0.0]])


def samples(n, seed=0, ends=ENDS, low=-4.0, high=4.0):
    rng = np.random.default_rng(seed)
    return np.concatenate([ends, rng.uniform(low, high, size=(n, ends.shape[1]))])


def graph_of(points, losses=None):
    values = BENT(points) if losses is None else losses
    return Graph(cloud_of(points), values)


def minimax(n, edges, heights):
    """The height of the lowest way between each two nodes, by trying all in between."""
    lowest = np.full((n, n), np.inf)
    lowest[edges[:, 0], edges[:, 1]] = lowest[edges[:, 1], edges[:, 0]] = heights
    for k in range(n):
        lowest = np.minimum(lowest, np.maximum(lowest[:, [k]], lowest[[k]]))
    return lowest


def test_the_tree_that_few_edges_were_looked_at_for_has_the_lowest_ways_of_all_edges():
    points = samples(120)
    graph = graph_of(points)
    tree = graph.spanning_tree(BENT.at)
    t = np.arange(1, 8)[:, None, None] / 8
    i, j = graph.edges.T
    along = BENT(((1 - t) * points[i] + t * points[j]).reshape(-1, 2)).reshape(7, -1)
    heights = np.maximum(along.max(axis=0), BENT(points)[graph.edges].max(axis=1))
    everything = minimax(len(points), graph.edges, heights)
    ours = minimax(len(points), tree.edges, tree.heights)
    off = ~np.eye(len(points), dtype=bool)
    np.testing.assert_allclose(ours[off], everything[off], atol=0.02)
    assert len(graph.inner) < len(graph.edges) / 2
    for a, b in ((0, 1), (5, 60)):
        assert height_between(tree, a, b) == ours[a, b]


def test_the_easiest_way_climbs_to_the_saddles_of_the_valley_and_the_straight_one_higher():
    saddles = [BENT.still(near)[1] for near in ((-1.2, 1), (1.2, 1))]
    line = np.stack([np.linspace(-2, 2, 4001), np.zeros(4001)], axis=1)
    easiest, straight = _way(graph_of(samples(300)), 0, 1)
    assert easiest.height == pytest.approx(max(saddles), rel=0.01)
    assert straight.height == pytest.approx(BENT(line).max(), rel=0.005)
    assert easiest.height < straight.height - 0.1
    assert easiest.barrier == easiest.height - max(BENT(ENDS))
    # Every point of it has the loss that it is said to have, and it leads from end to end.
    np.testing.assert_allclose(easiest.losses, BENT(easiest.coefficients), rtol=1e-12)
    np.testing.assert_array_equal(easiest.coefficients[[0, -1]], ENDS)
    assert easiest.samples[[0, -1]].tolist() == [0, 1]
    steps = np.linalg.norm(np.diff(easiest.coefficients, axis=0), axis=1)
    np.testing.assert_allclose(easiest.distances, [0, *np.cumsum(steps)])


def _way(graph, start, end, at=BENT.at):
    return find_way(graph, graph.spanning_tree(at), start, end, at)


def test_moving_its_highest_point_aside_brings_the_way_of_few_samples_to_the_saddle():
    graph = graph_of(samples(15, seed=1))
    through = height_between(graph.spanning_tree(BENT.at), 0, 1)
    saddle = max(BENT.still(near)[1] for near in ((-1.2, 1), (1.2, 1)))
    easiest, _ = _way(graph, 0, 1)
    assert through > 1.3 * saddle
    assert easiest.height == pytest.approx(saddle, rel=0.01)


def test_the_straight_line_is_the_easiest_way_where_nothing_is_lower():
    bowl = Hollows((0, 0, 1), width=3)
    points = samples(80)
    graph = Graph(cloud_of(points), bowl(points))
    easiest, straight = _way(graph, 0, 1, bowl.at)
    assert easiest is straight
    assert easiest.barrier == 0
    assert len(easiest) == 21


def test_no_loss_is_taken_twice():
    surface = Hollows((-2, 0, 1.9), (2, 0, 1.6), (0, 2.2, 1.3))
    points = samples(150)
    graph = Graph(cloud_of(points), surface(points))
    tree = graph.spanning_tree(surface.at)
    asked = np.concatenate([points, *surface.asked])
    assert len(np.unique(asked.round(12), axis=0)) == len(asked)
    before = len(surface.asked)
    again = graph.spanning_tree(surface.at)
    np.testing.assert_array_equal(tree.edges, again.edges)
    assert len(surface.asked) == before


def test_work_that_was_stopped_goes_on_where_it_ended():
    points = samples(200)
    whole, halved = graph_of(points), graph_of(points)
    seen = []

    def at(rows):
        if len(seen) == 1:
            seen.append(0)
            raise Cancelled
        seen.append(len(rows))
        return BENT.at(rows)

    with pytest.raises(Cancelled):
        halved.spanning_tree(at)
    assert len(halved.inner) == seen[0]
    told = []
    tree = halved.spanning_tree(at, told.append)
    np.testing.assert_array_equal(tree.heights, whole.spanning_tree(BENT.at).heights)
    done = [part.done for part in told]
    assert done == sorted(done)
    assert told[-1].done == told[-1].total


@pytest.mark.parametrize("n", [0, 1, 2, 11])
def test_samples_may_be_fewer_than_neighbours(n):
    points = samples(n)
    graph = graph_of(points)
    tree = graph.spanning_tree(BENT.at)
    assert len(tree.edges) == n + 1
    assert np.isfinite(height_between(tree, 0, 1))


def test_a_single_sample_has_a_tree_without_edges():
    tree = graph_of(ENDS[:1]).spanning_tree(BENT.at)
    assert len(tree.edges) == 0


def test_copies_of_a_sample_are_joined_at_no_cost():
    points = np.concatenate([samples(40), np.repeat(ENDS[:1], 30, axis=0)])
    graph = graph_of(points)
    tree = graph.spanning_tree(BENT.at)
    assert len(tree.edges) == len(points) - 1
    assert height_between(tree, 0, len(points) - 1) == BENT(ENDS)[0]
    assert height_between(tree, len(points) - 1, 1) == height_between(tree, 0, 1)


def test_samples_that_are_not_finite_stay_out():
    points = samples(60)
    losses = BENT(points)
    losses[[5, 9]] = np.nan, np.inf
    points[12] = np.nan
    losses[12] = 1.0
    tree = Graph(cloud_of(points), losses).spanning_tree(BENT.at)
    assert not np.isin(tree.edges, [5, 9, 12]).any()
    assert len(tree.edges) == len(points) - 4


def test_what_lies_apart_is_linked_and_a_wall_that_is_not_finite_joins_nothing():
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(30, 2)) * 0.1 + [x, 0] for x in (-50.0, 50.0))
    points = np.concatenate([left, right])

    def flat(rows):
        return BENT.at(rows)._replace(values=np.abs(rows[:, 0]) * 0 + 1.0)

    def walled(rows):
        inside = np.abs(rows[:, 0]) < 10
        return flat(rows)._replace(values=np.where(inside, np.nan, 1.0))

    graph = graph_of(points, np.ones(60))
    assert height_between(graph.spanning_tree(flat), 0, 59) == 1.0
    graph = graph_of(points, np.ones(60))
    assert height_between(graph.spanning_tree(walled), 0, 59) == np.inf
    easiest, straight = _way(graph, 0, 59, walled)
    assert easiest is straight
    assert easiest.height == np.inf


def test_samples_on_a_line_have_the_way_along_it():
    line = np.linspace(-3, 3, 50)[:, None]

    def wave(rows):
        return BENT.at(rows)._replace(values=2 + np.sin(3 * rows[:, 0]))

    points = np.concatenate([line[25:], line[:25]])
    graph = graph_of(points, wave(points).values)
    tree = graph.spanning_tree(wave)
    for end in (24, 25, 40):
        between = np.linspace(*sorted([points[0, 0], points[end, 0]]), 2001)
        highest = (2 + np.sin(3 * between)).max()
        assert height_between(tree, 0, end) == pytest.approx(highest, abs=0.01)


def test_long_edges_are_looked_at_in_more_places():
    """A wall between two far pieces is not missed because it lies off the middle."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(40, 2)) * 0.3 + [x, 0] for x in (0.0, 6.0)])

    def walled(rows):
        return BENT.at(rows)._replace(values=1 + 5 * np.exp(-((rows[:, 0] - 4.2) ** 2) / 0.1))

    graph = graph_of(points, walled(points).values)
    assert height_between(graph.spanning_tree(walled), 0, 79) > 5.0


def test_edges_whose_ends_and_middle_are_alike_are_looked_at_once():
    points = samples(300)
    graph = graph_of(points)
    graph.spanning_tree(BENT.at)
    once = [e for e, inner in graph.inner.items() if len(inner.losses) == 1]
    assert len(once) > 50
    for e in once:
        seen = [*BENT(points[graph.edges[e]]), *graph.inner[e].losses]
        assert np.ptp(seen) <= ALIKE * (max(seen) - graph.lowest)
