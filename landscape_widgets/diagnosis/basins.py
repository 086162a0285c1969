"""Basins: hollows that no low way was found between, from the merge tree of the samples.

As the water rises, hollows fill and run together, each time at the saddle of the lowest way between
them: the merge tree. The hollow with the higher floor ends there, and how far the saddle lies above
that floor is its persistence (Edelsbrunner, Letscher & Zomorodian 2002, "Topological persistence
and simplification"). Hollows of little persistence belong to the one that they run into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.profiles.graph import Graph, Rows, Tree
from landscape_widgets.profiles.path import Path

FACTOR = 1.5  # a saddle that is higher than the floor by less parts nothing
SHARE = 0.1  # the same for differences, of the median loss above the lowest
SIGMAS = 2.0  # that a saddle must lie above that, where losses are estimated
CHECKED = 12  # saddles, the highest above their floors, that easiest ways are looked for at
NAMED = 4  # names, or basins, that a sentence takes

EasiestWay = Callable[[int, int], Path]  # from one sample to another


@dataclass(frozen=True)
class Threshold:
    """How much higher than a floor a saddle has to be to part two hollows.

    Attributes
    ----------
    factor : float
        Times the floor; 1 where differences are looked at.
    rise : float
        What is added to it.
    """

    factor: float
    rise: float

    @classmethod
    def of(cls, losses: FloatArray, factor: float) -> Threshold:
        """By a ratio where all losses (n,) are above zero, else by a difference."""
        lowest = float(losses.min(initial=np.inf))
        if lowest > 0:
            return cls(factor, 0.0)
        return cls(1.0, SHARE * float(np.median(losses) - lowest))

    @property
    def is_ratio(self) -> bool:
        """Whether heights are compared by ratios: differences where losses reach zero or below."""
        return self.factor > 1

    def parts(self, saddle: float, floor: float, saddle_error: float, floor_error: float) -> bool:
        """Whether a saddle lies above the threshold for a floor, and not by the errors alone."""
        error = float(np.hypot(saddle_error, self.factor * floor_error))
        return saddle - (self.factor * floor + self.rise) > SIGMAS * error

    def __str__(self) -> str:
        if self.is_ratio:
            return f"is {self.factor:g} times as high as the higher end"
        return f"rises by {self.rise:.2g} above the higher end"


@dataclass(frozen=True, eq=False, repr=False)
class Basins:
    """The basins that the samples lie in, that of θ* first, then by their floors.

    Attributes
    ----------
    of : array (N,) of int
        The basin that each sample lies in or drains into; -1 without a finite loss.
    floors : array (B,) of int
        The lowest sample of each.
    names : tuple of B str
        What each is called: by θ* or the lowest sample with a name in it, else by its floor.
    members : tuple of B tuples of str
        The names of the samples in each that have one.
    losses, errors : array (B,)
        Of the floors, with standard errors.
    parents : array (B,) of int
        The basin that each runs into at its saddle; -1 for the lowest, and for those to which no
        way was found.
    saddles, saddle_errors : array (B,)
        The highest loss on the easiest way there; infinite where there is none.
    threshold : Threshold
        What parts basins.
    """

    of: Rows
    floors: Rows
    names: tuple[str, ...]
    members: tuple[tuple[str, ...], ...]
    losses: FloatArray
    errors: FloatArray
    parents: Rows
    saddles: FloatArray
    saddle_errors: FloatArray
    threshold: Threshold

    def __len__(self) -> int:
        return len(self.floors)

    def __repr__(self) -> str:
        return f"<Basins: {self.sentence}>"

    @property
    def persistence(self) -> FloatArray:
        """How far each saddle lies above the floor, (B,)."""
        found: FloatArray = self.saddles - self.losses
        return found

    @property
    def persistence_errors(self) -> FloatArray:
        """Their standard errors, (B,)."""
        return np.hypot(self.saddle_errors, self.errors)

    @property
    def sentence(self) -> str:
        """How many there are, who shares one, and how high the ways between them are."""
        count = "One basin" if len(self) == 1 else f"{len(self)} basins"
        if not self.threshold.is_ratio:
            count += ", told by differences, as losses reach zero or below"
        said = []
        for names in self.members:
            if len(names) > 1:
                where = "" if len(self) == 1 else f"In one lie {_listed(names)}: "
                whose = f"between {_listed(names)}" if len(self) == 1 else "between them"
                said.append(f"{where}nothing on the ways {whose} {self.threshold}")
        apart = [number for number in range(len(self)) if self.parents[number] >= 0]
        for number in apart[:NAMED]:
            name, outer = self.names[number], self.names[self.parents[number]]
            said.append(
                f"Every way that was found from {name} to {outer} rises to "
                f"{self.saddles[number]:.3g}, {self._above(number)} the lowest loss around {name}"
            )
        joint = ": " if len(self) == 1 and said else ". "
        return joint.join([count, ". ".join(said)]) + "." if said else f"{count}."

    def _above(self, number: int) -> str:
        """How high a saddle is over its floor."""
        saddle, floor = float(self.saddles[number]), float(self.losses[number])
        if self.threshold.is_ratio:
            times = saddle / floor
            return f"{times:.2g} times" if times < 100 else f"{times:.0f} times"
        return f"{saddle - floor:.2g} above"

    def to_frame(self) -> pd.DataFrame:
        """One row for each basin: its floor, how many samples, its saddle, its persistence."""
        outer = [self.names[parent] if parent >= 0 else "" for parent in self.parents]
        ratio = (
            self.saddles / self.losses if self.threshold.is_ratio else np.full(len(self), np.nan)
        )
        return pd.DataFrame(
            {
                "name": self.names,
                "floor": self.floors,
                "loss": self.losses,
                "samples": np.bincount(self.of[self.of >= 0], minlength=len(self)),
                "saddle": self.saddles,
                "into": outer,
                "persistence": self.persistence,
                "error": self.persistence_errors,
                "times": ratio,
            },
            index=pd.RangeIndex(len(self), name="basin"),
        )


def find_basins(graph: Graph, tree: Tree, easiest: EasiestWay, factor: float = FACTOR) -> Basins:
    """The basins of the samples of a graph.

    Parameters
    ----------
    graph : Graph
    tree : Tree
        Its spanning tree, which has the merge tree in it.
    easiest : callable
        The easiest way from one sample to another. It is asked for at those saddles that seem to
        part the most, as it may be lower there than that of the tree.
    factor : float
        What a saddle must be, times the floor of the higher hollow, to part it from the other.

    Raises
    ------
    ValueError
        If the factor is not above 1.
    """
    if not (np.isfinite(factor) and factor > 1):
        raise ValueError(f"factor={factor!r}; a number above 1 is expected.")
    threshold = Threshold.of(graph.losses[graph.rows], factor)
    cuts, ways = [], []
    for number, merge in enumerate(_merges(graph, tree, threshold)):
        edge, floor, lower = merge
        height, error = float(tree.heights[edge]), float(tree.errors[edge])
        if number < CHECKED:
            way = easiest(floor, lower)
            height, error = way.height, way.height_error
        if threshold.parts(height, graph.losses[floor], error, graph.loss_errors[floor]):
            cuts.append(edge)
            ways.append((floor, lower, height, error))
    labels, floors = _pieces(graph, np.delete(tree.edges, cuts, axis=0))
    of: Rows = np.full(len(graph.losses), -1)
    of[graph.rows] = labels
    parents: Rows = np.full(len(floors), -1)
    saddles, errors = np.full(len(floors), np.inf), np.zeros(len(floors))
    for floor, lower, height, error in ways:
        # Where a hollow that is no basin lay between, its floor is not that of the basin.
        number = int(of[floor])
        parents[number], saddles[number], errors[number] = of[lower], height, error
    names = graph.cloud.names
    members = tuple(
        tuple(name for i, name in names.items() if of[i] == number) for number in range(len(floors))
    )
    called = [_name(names, of, graph.losses, n, int(floor)) for n, floor in enumerate(floors)]
    return Basins(
        of,
        floors,
        tuple(called),
        members,
        graph.losses[floors],
        graph.loss_errors[floors],
        parents,
        saddles,
        errors,
        threshold,
    )


class _Merge(NamedTuple):
    """An edge of the tree where two hollows run together, and their floors, the higher first."""

    edge: int
    floor: int
    lower: int


def _merges(graph: Graph, tree: Tree, threshold: Threshold) -> list[_Merge]:
    """Where hollows run together that are parted there, the highest above their floors first."""
    above: dict[int, int] = {}
    found = []

    def floor(i: int) -> int:
        while (over := above.get(i, i)) != i:
            above[i] = i = above.get(over, over)
        return i

    for number, (i, j) in enumerate(tree.edges.tolist()):
        lower, higher = sorted((floor(i), floor(j)), key=lambda k: (graph.losses[k], k))
        above[higher] = lower
        own, low = float(graph.losses[higher]), float(graph.loss_errors[higher])
        if threshold.parts(float(tree.heights[number]), own, float(tree.errors[number]), low):
            found.append(_Merge(number, higher, lower))
    return sorted(found, key=lambda m: -float(tree.heights[m.edge] - graph.losses[m.floor]))


def _pieces(graph: Graph, edges: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
    """Which piece each sample of a graph is in, (n,), and the lowest sample of each piece.

    That of θ* is the first, then by height.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(graph.rows)
    ends = np.searchsorted(graph.rows, edges).T
    joined = coo_array((np.ones(len(edges)), tuple(ends)), shape=(n, n))
    count, labels = connected_components(joined, directed=False)
    by_height = graph.rows[np.lexsort((graph.rows, graph.losses[graph.rows]))]
    places = np.searchsorted(graph.rows, by_height)
    _, first = np.unique(labels[places], return_index=True)
    order = np.argsort(first, kind="stable")  # of the pieces, lowest floor first
    if n and graph.rows[0] == 0:
        home = labels[0]
        order = np.concatenate([[home], order[order != home]])
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    return rank[labels], by_height[first[order]]


def _name(names: dict[int, str], of: Rows, losses: FloatArray, number: int, floor: int) -> str:
    """What a basin is called: θ*, the lowest of its samples with a name, or its floor's number."""
    inside = [i for i in names if of[i] == number]
    if not inside:
        return f"#{floor}"
    return names[0 if 0 in inside else min(inside, key=lambda i: losses[i])]


def _listed(names: tuple[str, ...]) -> str:
    """Names as a list in a sentence, the last ones as a number where they are many.

    >>> _listed(("θ*", "M1", "M2"))
    'θ*, M1 and M2'
    """
    if len(names) > NAMED:
        names = (*names[: NAMED - 1], f"{len(names) - NAMED + 1} more")
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
