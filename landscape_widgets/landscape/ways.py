"""Ways between samples, and what they hang on, kept as long as the samples are the same."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from landscape_widgets.diagnosis.basins import FACTOR, Basins, find_basins
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.landscape.results import Results
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import estimated_losses
from landscape_widgets.profiles.graph import Graph, LossAt, Losses, Tree
from landscape_widgets.profiles.path import Path
from landscape_widgets.profiles.way import Way, find_way
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)


class Ways:
    """The lowest ways through the samples of a landscape; no loss is taken twice.

    Parameters
    ----------
    results : Results
        What is known of the samples.
    evaluator, objective, tolerance
        As of `Sampled`: losses between samples are taken as those of the samples were.
    """

    def __init__(
        self,
        results: Results,
        evaluator: Evaluator,
        objective: Objective,
        tolerance: float | None = None,
    ) -> None:
        self.results, self.evaluator = results, evaluator
        self.objective, self.tolerance = objective, tolerance
        self._found: dict[tuple[int, int], Way] = {}
        self._basins: dict[float, Basins] = {}

    @cached_property
    def graph(self) -> Graph:
        """The samples and their neighbours."""
        assert self.results.cloud is not None
        values, errors = self.results.values, self.results.errors
        cloud = self.results.cloud
        return Graph(cloud, values["loss"], errors.get("loss"), list(cloud.names))

    def name(self, index: int) -> str:
        """What a sample is called."""
        return self.graph.cloud.names.get(index, f"#{index}")

    def loss_at(self, cancelled: CancelCallback = never) -> LossAt:
        """The training loss at rows of coefficients; it raises `Cancelled` when told to."""
        basis = self.graph.cloud.basis

        def at(rows: FloatArray) -> Losses:
            if cancelled():
                raise Cancelled
            if self.tolerance is not None:
                found = estimated_losses(
                    self.objective, basis, rows, self.tolerance, cancelled=cancelled
                )
                if cancelled():  # and so with larger errors than were asked for
                    raise Cancelled
                return Losses(found.losses, found.errors)
            part = self.evaluator.evaluate(
                basis, rows, splits=("train",), metrics=False, cancelled=cancelled
            )
            if len(part) < len(rows):
                raise Cancelled
            return Losses(part.losses, np.zeros(len(rows)))

        return at

    def tree(self, progress: ProgressCallback = ignore, cancelled: CancelCallback = never) -> Tree:
        """The spanning tree of the graph; see `Graph.spanning_tree`."""
        return self.graph.spanning_tree(self.loss_at(cancelled), progress)

    def check(self, index: int) -> None:
        """Raise an error where there can be no way to a sample."""
        self.graph.cloud.check_index(index)
        if index not in self.graph.rows:
            what = "has no finite loss" if self.results.evaluated[index] else "is not evaluated yet"
            raise ValueError(
                f"Sample {index} {what}, so that no way leads there. Give one of the "
                f"{len(self.graph.rows)} samples whose loss is finite."
            )

    def way(
        self,
        end: int,
        start: int = 0,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Way:
        """The easiest way from one sample to another; see `way.find_way`."""
        self.check(start)
        self.check(end)
        if start == end:
            raise ValueError(f"A way leads from one sample to another; {end} was given as both.")
        known = self._found.get((start, end))
        if known is None:
            tree = self.tree(progress, cancelled)
            paths = find_way(self.graph, tree, start, end, self.loss_at(cancelled))
            known = Way(start, end, (self.name(start), self.name(end)), *paths)
            self._found[start, end] = known
            progress(Progress("ways", 1, 1))
        return known

    def basins(
        self,
        factor: float = FACTOR,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Basins:
        """The basins that the samples lie in; see `basins.find_basins`."""

        def easiest(start: int, end: int) -> Path:
            return self.way(end, start, cancelled=cancelled).easiest

        if factor not in self._basins:
            tree = self.tree(progress, cancelled)
            self._basins[factor] = find_basins(self.graph, tree, easiest, factor)
        return self._basins[factor]
