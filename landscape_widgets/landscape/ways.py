"""Ways between samples, and what they hang on, kept as long as the samples are the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

from landscape_widgets.diagnosis.basins import FACTOR, Basins, find_basins
from landscape_widgets.evaluation.quantities import SPLITS, Evaluation
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.results import Results
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import estimated_losses
from landscape_widgets.profiles.graph import Graph, LossAt, Losses, Tree
from landscape_widgets.profiles.path import Path, between, cumulated
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

    @property
    def cloud(self) -> Cloud:
        """The samples."""
        assert self.results.cloud is not None
        return self.results.cloud

    @cached_property
    def graph(self) -> Graph:
        """The samples and their neighbours."""
        values, errors = self.results.values, self.results.errors
        return Graph(self.cloud, values["loss"], errors.get("loss"), list(self.cloud.names))

    def name(self, index: int) -> str:
        """What a sample is called."""
        return self.cloud.names.get(index, f"#{index}")

    def loss_at(self, cancelled: CancelCallback = never) -> LossAt:
        """The training loss at rows of coefficients; it raises `Cancelled` when told to."""
        basis = self.cloud.basis

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
        self.cloud.check_index(index)
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
            progress(Progress("edges", 1, 1))
        return known

    def along(
        self,
        samples: Sequence[int],
        points: int = 3,
        *,
        metrics: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Path:
        """What is found along the path through samples, with `points` between each two."""
        if points < 0:
            raise ValueError(f"points={points}; 0 or more between each two samples are expected.")
        unknown = [i for i in samples if not self.results.evaluated[i]]
        if unknown:
            raise ValueError(
                f"Sample {unknown[0]} of the path has no loss yet. Call .evaluate_rest() first."
            )
        rows, places = self.cloud.coefficients, np.arange(1, points + 1) / (points + 1)
        inner = [between(rows[i], rows[j], places) for i, j in pairwise(samples)]
        numbers = np.full((len(samples), points + 1), -1)
        numbers[:, 0] = samples
        numbers = numbers.ravel()[: numbers.size - points]
        known = numbers >= 0
        all_rows = np.empty((len(numbers), rows.shape[1]))
        all_rows[known], all_rows[~known] = rows[samples], np.concatenate(inner)
        found = self._taken(all_rows[~known], metrics, progress, cancelled)
        values, errors = self.results.values, self.results.errors
        joined = {}
        for name in found.values:
            joined[name] = np.empty(len(numbers))
            joined[name][known], joined[name][~known] = values[name][samples], found.values[name]
        estimated = {}
        for name in found.errors:
            estimated[name] = np.empty(len(numbers))
            estimated[name][known] = errors[name][samples]
            estimated[name][~known] = found.errors[name]
        distances = cumulated(self.cloud.basis.lengths(np.diff(all_rows, axis=0)))
        return Path(all_rows, distances, numbers, joined, estimated)

    def _taken(
        self,
        rows: FloatArray,
        metrics: bool,
        progress: ProgressCallback,
        cancelled: CancelCallback,
    ) -> Evaluation:
        """Quantities at rows of coefficients, the loss as it was taken of the samples."""
        splits = SPLITS if self.tolerance is None else SPLITS[1:]
        basis = self.cloud.basis
        found = self.evaluator.evaluate(
            basis, rows, splits=splits, metrics=metrics, progress=progress, cancelled=cancelled
        )
        if len(found) < len(rows):
            raise Cancelled
        if self.tolerance is not None and len(rows):
            losses = self.loss_at(cancelled)(rows)
            found.values = {"loss": losses.values, **found.values}
            found.errors = {"loss": losses.errors}
        return found

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
