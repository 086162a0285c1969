"""The easiest way from one sample to another: the lowest one through the cloud that was found.

Through the samples it is a minimax way (`graph`); of those that are as low it is the shortest, and
the straight line is one of them. Where it has to climb, its highest point is then moved aside, and
moved again, as long as that makes it lower.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.profiles.graph import ALIKE, NEIGHBOURS, Graph, LossAt, Rows, Tree
from landscape_widgets.profiles.path import Path, between, cumulated, vertices

STRAIGHT: FloatArray = np.round(np.linspace(0, 1, 21), 10)  # as a slice has them
ROUNDS = 16  # of moving the highest point aside
ASIDE = (-0.5, -0.25, 0.25, 0.5)  # shares of lines to the samples around, where points are tried
TRIED = 4  # of these points, the lowest, through which a way is tried
INNER = np.array([0.25, 0.5, 0.75])
GAIN = 0.01  # of the barrier: what is worth another round


@dataclass(frozen=True, eq=False, repr=False)
class Way:
    """The easiest way that was found from one sample to another, beside the straight one.

    That no lower way exists is never known: one may run where no samples are.

    Attributes
    ----------
    start, end : int
        The samples.
    names : (str, str)
        What they are called: "θ*", "M1", "#17".
    easiest, straight : Path
    """

    start: int
    end: int
    names: tuple[str, str]
    easiest: Path
    straight: Path

    def __repr__(self) -> str:
        return f"<Way: {self.sentence}>"

    @property
    def sentence(self) -> str:
        """Both ways in words.

        The loss that is reached is named, as ratios mean nothing where losses may be negative.
        """
        start, end = self.names
        straight = (
            f"on the straight line from {start} to {end} the loss reaches "
            f"{self.straight.height:.4g}"
        )
        if not self.is_straight:
            return f"{straight}, on the easiest way {self.height:.4g}"
        if self.barrier > 0:
            return f"{straight}, and no lower way was found"
        return f"{straight}, no more than at the higher end"

    @property
    def is_straight(self) -> bool:
        """Whether no way was found that is lower than the straight one."""
        return self.easiest is self.straight

    @property
    def height(self) -> float:
        """The highest loss on the easiest way."""
        return self.easiest.height

    @property
    def barrier(self) -> float:
        """How far the easiest way rises above the higher of both ends."""
        return self.easiest.barrier

    @property
    def straight_barrier(self) -> float:
        """How far the straight way rises above the higher of both ends."""
        return self.straight.barrier

    def to_frame(self) -> pd.DataFrame:
        """The points of both ways, by the column ``way``: "easiest" or "straight"."""
        parts = {"easiest": self.easiest.to_frame(), "straight": self.straight.to_frame()}
        frame = pd.concat(parts, names=["way"]).reset_index(level="way").reset_index(drop=True)
        return frame


def find_way(graph: Graph, tree: Tree, start: int, end: int, at: LossAt) -> tuple[Path, Path]:
    """The easiest way through a graph from one of its samples to another, and the straight one.

    Parameters
    ----------
    graph : Graph
    tree : Tree
        Its spanning tree.
    start, end : int
        Samples that are in it.
    at : callable
        The loss at rows of coefficients.
    """
    straight = _checked(_straight(graph, start, end, at), graph, at)
    found, height = straight, height_between(tree, start, end)
    if height < straight.height:
        way = graph.shortest(start, end, height, at)
        assert way is not None  # the one along the tree is no higher
        found = _checked(_through(graph, way), graph, at)
    return _lowered(found, graph, at), straight


def height_between(tree: Tree, start: int, end: int) -> float:
    """The height of the minimax way between two samples; infinite where there is none."""
    group: dict[int, int] = {}

    def root(i: int) -> int:
        while (above := group.setdefault(i, i)) != i:
            group[i] = i = group[above]
        return i

    for (i, j), height in zip(tree.edges.tolist(), tree.heights.tolist(), strict=True):
        group[root(i)] = root(j)
        if root(start) == root(end):
            return float(height)
    return np.inf


def _straight(graph: Graph, start: int, end: int, at: LossAt) -> Path:
    rows = graph.cloud.coefficients
    inner = at(between(rows[start], rows[end], STRAIGHT[1:-1]))
    ends = [start, end]
    losses = np.concatenate([graph.losses[[start]], inner.values, graph.losses[[end]]])
    errors = np.insert(graph.loss_errors[ends], 1, inner.errors)
    samples: Rows = np.full(len(STRAIGHT), -1)
    samples[[0, -1]] = ends
    return _path(graph, between(rows[start], rows[end], STRAIGHT), samples, losses, errors)


def _through(graph: Graph, way: list[int]) -> Path:
    """The path through samples, with what was found on the edges between them."""
    rows = graph.cloud.coefficients
    parts, samples = [rows[way[:1]]], [np.array(way[:1])]
    losses, errors = [graph.losses[way[:1]]], [graph.loss_errors[way[:1]]]
    for i, j in pairwise(way):
        inner = graph.inner.get(graph.edge(i, j))
        places = np.empty(0) if inner is None else inner.places
        turn = slice(None, None, 1 if i < j else -1)
        towards = places if i < j else 1 - places
        parts.append(between(rows[i], rows[j], np.append(towards[turn], 1.0)))
        samples.append(np.append(np.full(len(places), -1), j))
        losses.append(np.append([] if inner is None else inner.losses[turn], graph.losses[j]))
        errors.append(np.append([] if inner is None else inner.errors[turn], graph.loss_errors[j]))
    joined = (np.concatenate(part) for part in (parts, samples, losses, errors))
    return _path(graph, *joined)


def _path(
    graph: Graph, rows: FloatArray, samples: Rows, losses: FloatArray, errors: FloatArray
) -> Path:
    distances = cumulated(graph.lengths_of(np.diff(rows, axis=0)))
    estimated = {"loss": errors} if graph.estimated else {}
    return Path(rows, distances, samples, {"loss": losses}, estimated)


def _lowered(path: Path, graph: Graph, at: LossAt) -> Path:
    """The path with its highest point moved aside as often as that makes it lower."""
    scale = _scale(path, graph)
    reach = 2 * scale
    for _ in range(ROUNDS):
        slight = path.height < np.inf and path.barrier <= GAIN * (path.height - graph.lowest)
        if slight or reach < scale / 4:
            break
        lower = _round_peak(path, graph, at, reach)
        if lower is None or path.height - lower.height < GAIN * path.barrier:
            reach /= 2
        path = path if lower is None else lower
    return path


def _scale(path: Path, graph: Graph) -> float:
    """What is near on a path: as samples are, or a twentieth of it where these all but meet."""
    return max(graph.spacing, path.length / 20)


def _checked(path: Path, graph: Graph, at: LossAt) -> Path:
    """The path with more points where it is highest, or seems to be between those it has."""
    for _ in range(ROUNDS):
        enough = path.height + GAIN * max(path.barrier, 0.0)
        seeming, heights = vertices(path.distances, path.losses)
        places = np.append(seeming[heights > enough], _gaps(path, _scale(path, graph) / 8))
        places = np.setdiff1d(places, path.distances)
        if not len(places):
            break
        where = np.searchsorted(path.distances, places)
        before, after = path.distances[where - 1], path.distances[where]
        t = ((places - before) / (after - before))[:, None]
        rows = (1 - t) * path.coefficients[where - 1] + t * path.coefficients[where]
        found = at(rows)
        path = _path(
            graph,
            np.insert(path.coefficients, where, rows, axis=0),
            np.insert(path.samples, where, -1),
            np.insert(path.losses, where, found.values),
            np.insert(path.errors.get("loss", np.zeros(len(path))), where, found.errors),
        )
    return path


def _gaps(path: Path, finest: float) -> FloatArray:
    """The middles of the gaps beside the highest points, where they are wider than is fine."""
    if path.peak in (0, len(path) - 1):
        return np.empty(0)
    high = path.losses >= path.height - ALIKE * path.barrier
    start, end = path.distances[:-1], path.distances[1:]
    wide = (high[:-1] | high[1:]) & (end - start > finest)
    middles: FloatArray = (start[wide] + end[wide]) / 2
    return middles


def _round_peak(path: Path, graph: Graph, at: LossAt, reach: float) -> Path | None:
    """A path that is lower around the highest point, as far as `reach` on both sides of it."""
    peak, distances = path.peak, path.distances
    before = int(np.searchsorted(distances[:peak], distances[peak] - reach, "right")) - 1
    before = max(before, 0)
    after = peak + 1 + int(np.searchsorted(distances[peak + 1 :], distances[peak] + reach))
    after = min(after, len(path) - 1)
    rows, top = path.coefficients, path.coefficients[peak]
    place = top @ graph.matrix
    nearest = np.argsort(np.linalg.norm(graph.points[graph.rows] - place, axis=1))[:NEIGHBOURS]
    towards = graph.cloud.coefficients[graph.rows[nearest]] - top
    shares = np.array(ASIDE)[:, None, None] * (reach / _scale(path, graph))
    points = (top + shares * towards).reshape(-1, len(top))
    found = at(points)
    lowest = np.argsort(np.nan_to_num(found.values, nan=np.inf), kind="stable")[:TRIED]
    ways = [
        np.concatenate(
            [between(rows[before], points[c], INNER), between(points[c], rows[after], INNER)]
        )
        for c in lowest
    ]
    sides = at(np.concatenate(ways))
    losses = np.insert(sides.values.reshape(len(lowest), -1), len(INNER), found.values[lowest], 1)
    errors = np.insert(sides.errors.reshape(len(lowest), -1), len(INNER), found.errors[lowest], 1)
    heights = np.nan_to_num(losses, nan=np.inf).max(axis=1)
    best = int(heights.argmin())
    if not heights[best] < path.height:
        return None
    inside = np.insert(ways[best], len(INNER), points[lowest[best]], axis=0)
    old = path.errors.get("loss", np.zeros(len(path)))
    pieces = (
        (rows, inside),
        (path.samples, np.full(len(inside), -1)),
        (path.losses, losses[best]),
        (old, errors[best]),
    )
    joined = (np.concatenate([o[: before + 1], new, o[after:]]) for o, new in pieces)
    lower = _checked(_path(graph, *joined), graph, at)
    return lower if lower.height < path.height else None
