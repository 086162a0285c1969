"""The samples as a graph of near neighbours, and which of its edges the lowest ways go along.

The height of an edge is the highest loss on it. Of all ways between two samples one of those whose
highest edge is lowest, a minimax way, runs along a minimum spanning tree by height (Hu 1961,
"The maximum capacity route problem"), for every two samples the same one. An edge is at least as
high as its ends: with that for the height of edges that were not looked at, a spanning tree says
which ones it hangs on, and only these are looked at, until it is one of edges that are all known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.profiles.path import vertices
from landscape_widgets.progress import Progress, ProgressCallback, ignore

NEIGHBOURS = 12
MARKED = 24  # samples that are joined to each other, be they near or not
HUBS = 8  # pieces of a graph that is none whole, the others of which are linked to each of them
FEWEST, MOST = 3, 39  # inner points of an edge, by its length
ALIKE = 0.1  # of the height above the lowest loss: ends and middle that differ by less say it all
AT_ONCE = 512  # edges between two looks at whether to go on
BLOCK_ELEMENTS = 1 << 22  # coefficients that are laid out at a time: 32 MiB

Rows = npt.NDArray[np.int64]


class Losses(NamedTuple):
    """Losses (n,) and their standard errors (n,), 0 where they are of all the data."""

    values: FloatArray
    errors: FloatArray


LossAt = Callable[[FloatArray], Losses]  # of rows (n, k) of coefficients; may raise Cancelled


class Inner(NamedTuple):
    """What is known between the ends of an edge: places (m,) from 0 to 1, and the losses there."""

    places: FloatArray
    losses: FloatArray
    errors: FloatArray

    def joined(self, other: Inner) -> Inner:
        """Both in order."""
        order = np.argsort(np.append(self.places, other.places), kind="stable")
        parts = zip(self, other, strict=True)
        return Inner(*(np.append(ours, theirs)[order] for ours, theirs in parts))


class Tree(NamedTuple):
    """Edges (m, 2) of a spanning tree, lowest first, with heights (m,) and their errors (m,)."""

    edges: Rows
    heights: FloatArray
    errors: FloatArray


class Graph:
    """Samples and the straight lines to their nearest neighbours.

    Parameters
    ----------
    cloud : Cloud
    losses, errors : array (N,)
        Of the samples, with standard errors. Those whose loss or place is not finite stay out.
    marked : sequence of int
        Samples that are joined to each other, too, however far apart they are; the first few.

    Attributes
    ----------
    rows : array (n,)
        The samples that are in it.
    estimated : bool
        Whether losses have standard errors.
    points : array (N, d)
        Isometric coordinates.
    edges : array (E, 2)
        Samples, the lower number first.
    lengths : array (E,)
    heights, errors : array (E,)
        What is known of the highest loss on each: a lower bound, until it was looked at.
    known : array (E,) of bool
        Whether it was.
    inner : dict of Inner
        What was found on each edge that was looked at, from the first of its ends.
    """

    def __init__(
        self,
        cloud: Cloud,
        losses: FloatArray,
        errors: FloatArray | None = None,
        marked: Sequence[int] = (),
    ) -> None:
        self.cloud, self.losses = cloud, losses
        self.estimated = errors is not None
        self.loss_errors = np.zeros(len(losses)) if errors is None else np.nan_to_num(errors)
        matrix = cloud.isometry()
        self.points = cloud.points(matrix)
        self.matrix: FloatArray = np.nan_to_num(matrix)
        finite = np.isfinite(losses) & np.isfinite(self.points).all(axis=1)
        self.rows: Rows = np.flatnonzero(finite).astype(np.int64)
        self.lowest = float(losses[self.rows].min(initial=np.inf))
        self.edges, self.lengths = self._connected(marked)
        positive = self.lengths[self.lengths > 0]
        self.spacing = float(np.median(positive)) if len(positive) else 1.0
        counts = 2 * np.ceil(self.lengths / self.spacing) - 1
        self._counts = np.clip(counts, FEWEST, MOST).astype(np.int64)
        ends = self.losses[self.edges]
        self.heights: FloatArray = ends.max(axis=1, initial=-np.inf)
        higher = self.edges[np.arange(len(ends)), ends.argmax(axis=1)] if len(ends) else []
        self.errors: FloatArray = self.loss_errors[np.asarray(higher, dtype=np.int64)]
        self.known: npt.NDArray[np.bool_] = self.lengths == 0
        self.inner: dict[int, Inner] = {}
        self._numbers = {(int(i), int(j)): e for e, (i, j) in enumerate(self.edges)}

    # Which samples are next to which

    def _connected(self, marked: Sequence[int]) -> tuple[Rows, FloatArray]:
        """Edges (E, 2) with their lengths (E,), that join all samples."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
        from sklearn.neighbors import NearestNeighbors

        points, n = self.points[self.rows], len(self.rows)
        first, copies = _distinct(points)
        if len(first) < 2:
            return self._made(copies, np.zeros(len(copies)))
        search = NearestNeighbors().fit(points[first])
        distances, near = search.kneighbors(n_neighbors=min(NEIGHBOURS, len(first) - 1))
        i, j = np.repeat(first, near.shape[1]), first[near.ravel()]
        pairs = np.concatenate([np.stack([i, j], axis=1), copies])
        lengths = np.append(distances.ravel(), np.zeros(len(copies)))
        joined = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
        pieces, labels = connected_components(joined, directed=False)
        if pieces > 1:
            links, gaps = _links(points, labels, pieces)
            pairs, lengths = np.concatenate([pairs, links]), np.append(lengths, gaps)
        apart = np.intersect1d(np.asarray(marked[:MARKED], dtype=np.int64), self.rows)
        lines = np.array(list(combinations(np.searchsorted(self.rows, apart), 2)), dtype=np.int64)
        if len(lines):
            pairs = np.concatenate([pairs, lines])
            lengths = np.append(
                lengths, np.linalg.norm(np.diff(points[lines], axis=1)[:, 0], axis=1)
            )
        return self._made(pairs, lengths)

    def _made(self, pairs: Rows, lengths: FloatArray) -> tuple[Rows, FloatArray]:
        """Pairs of places in `rows` as pairs of samples, each once, in order."""
        samples = np.sort(self.rows[pairs.reshape(-1, 2)], axis=1)
        edges, which = np.unique(samples, axis=0, return_index=True)
        return edges, lengths[which]

    def edge(self, i: int, j: int) -> int:
        """The number of the edge between two samples."""
        return self._numbers[min(i, j), max(i, j)]

    def lengths_of(self, rows: FloatArray) -> FloatArray:
        """Lengths of displacements (n, k) in weight space, (n,)."""
        found: FloatArray = np.linalg.norm(rows @ self.matrix, axis=1)
        return found

    # How high edges are

    def look(self, edges: Rows, at: LossAt, tell: Callable[[], None] = lambda: None) -> None:
        """Look at some edges: first in the middle, where that is not enough at more places."""
        for some in (edges[[int(e) not in self.inner for e in edges]], edges):
            some = some[~self.known[some]]
            step = max(1, min(AT_ONCE, BLOCK_ELEMENTS // (MOST * self.cloud.basis.k)))
            for start in range(0, len(some), step):
                self._take(some[start : start + step], at)
                tell()

    def _take(self, edges: Rows, at: LossAt) -> None:
        coefficients = self.cloud.coefficients
        places = [self._places(int(e)) for e in edges]
        numbers = np.repeat(edges, [len(part) for part in places])
        t = np.concatenate(places)[:, None]
        i, j = self.edges[numbers].T
        found = at((1 - t) * coefficients[i] + t * coefficients[j])
        start = 0
        for e, part in zip(edges.tolist(), places, strict=True):
            stop = start + len(part)
            new = Inner(part, found.values[start:stop], found.errors[start:stop])
            start = stop
            self.inner[e] = self.inner[e].joined(new) if e in self.inner else new
            self._judge(e)

    def _places(self, e: int) -> FloatArray:
        """Where edge e is looked at next: in the middle, then everywhere else."""
        n = int(self._counts[e])
        places: FloatArray = np.arange(1, n + 1) / (n + 1)
        middle = np.arange(n) == n // 2
        return places[np.flatnonzero(~middle if e in self.inner else middle)]

    def _judge(self, e: int) -> None:
        """Take the height of edge e from what was found on it."""
        inner, (i, j) = self.inner[e], self.edges[e]
        losses = np.nan_to_num(inner.losses, nan=np.inf)
        all_losses = np.concatenate([self.losses[[i]], losses, self.losses[[j]]])
        peaks = vertices(np.concatenate([[0.0], inner.places, [1.0]]), all_losses)[1]
        top = int(losses.argmax())
        height = max(losses[top], peaks.max(initial=-np.inf))
        if height > self.heights[e]:
            self.heights[e], self.errors[e] = height, inner.errors[top]
        enough = len(losses) == self._counts[e] or not np.isfinite(losses[top])
        if not enough and self._counts[e] == FEWEST:
            enough = bool(np.ptp(all_losses) <= ALIKE * (self.heights[e] - self.lowest))
        self.known[e] = enough

    # The lowest ways

    def spanning_tree(self, at: LossAt, progress: ProgressCallback = ignore) -> Tree:
        """The edges that the lowest ways go along; those of infinite height join nothing."""
        done = 0
        while True:
            chosen = self._lowest_tree()

            def tell(chosen: Rows = chosen) -> None:
                nonlocal done  # another tree may hang on more edges that are not known
                done = max(done, int(self.known[chosen].sum()))
                progress(Progress("edges", done, len(chosen)))

            unknown = chosen[~self.known[chosen]]
            if not len(unknown):
                break
            self.look(unknown, at, tell)
        chosen = chosen[np.isfinite(self.heights[chosen])]
        return Tree(self.edges[chosen], self.heights[chosen], self.errors[chosen])

    def _lowest_tree(self) -> Rows:
        """A minimum spanning tree by what is known of heights, lowest first; known edges first."""
        from scipy.sparse.csgraph import minimum_spanning_tree

        order = np.lexsort((self.lengths, ~self.known, self.heights))
        ranks = np.empty(len(order))
        ranks[order] = np.arange(1, len(order) + 1)
        tree = minimum_spanning_tree(self._matrix(ranks, np.arange(len(order))))
        found: Rows = order[np.sort(tree.data).astype(np.int64) - 1]
        return found

    def shortest(self, start: int, end: int, height: float, at: LossAt) -> list[int] | None:
        """The samples on the shortest of the ways that are no higher; None where there is none."""
        from scipy.sparse.csgraph import dijkstra

        tiny = 1e-12 * self.spacing  # a zero is no edge
        while True:
            low = np.flatnonzero(self.heights <= height)
            matrix = self._matrix(np.maximum(self.lengths[low], tiny), low)
            before = dijkstra(matrix, directed=False, indices=start, return_predecessors=True)[1]
            way = [end]
            while way[-1] != start:
                if before[way[-1]] < 0:
                    return None
                way.append(int(before[way[-1]]))
            way.reverse()
            edges = np.array([self.edge(*pair) for pair in pairwise(way)])
            edges = edges.astype(np.int64)
            if self.known[edges].all():
                return way
            self.look(edges[~self.known[edges]], at)

    def _matrix(self, weights: FloatArray, edges: npt.NDArray[Any]) -> Any:
        from scipy.sparse import csr_array

        n = len(self.losses)
        i, j = self.edges[edges].T
        return csr_array((weights, (i, j)), shape=(n, n))


def _distinct(points: FloatArray) -> tuple[Rows, Rows]:
    """Where each distinct point comes first, (n,), and pairs (m, 2) of these and their copies."""
    _, first, number = np.unique(points, axis=0, return_index=True, return_inverse=True)
    firsts = first[number.ravel()]
    copies = np.flatnonzero(firsts != np.arange(len(points)))
    return np.sort(first), np.stack([firsts[copies], copies], axis=1)


def _links(
    points: FloatArray, labels: npt.NDArray[np.int32], pieces: int
) -> tuple[Rows, FloatArray]:
    """The shortest lines (m, 2) from every piece of a graph to each of the largest, and θ*'s."""
    from sklearn.neighbors import NearestNeighbors

    sizes = np.bincount(labels, minlength=pieces)
    hubs = dict.fromkeys([int(labels[0]), *np.argsort(-sizes, kind="stable").tolist()])
    pairs: list[Rows] = []
    gaps: list[FloatArray] = []
    for hub in list(hubs)[:HUBS]:
        inside = np.flatnonzero(labels == hub)
        outside = np.flatnonzero(labels != hub)
        search = NearestNeighbors(n_neighbors=1).fit(points[inside])
        distances, near = (found[:, 0] for found in search.kneighbors(points[outside]))
        nearest_first = np.argsort(distances, kind="stable")
        _, firsts = np.unique(labels[outside[nearest_first]], return_index=True)
        chosen = nearest_first[firsts]
        pairs.append(np.stack([inside[near[chosen]], outside[chosen]], axis=1))
        gaps.append(distances[chosen])
    return np.concatenate(pairs), np.concatenate(gaps)
