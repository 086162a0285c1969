"""Slices of large data from a part of the examples that grows while they are looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from landscape_widgets.evaluation.quantities import SPLITS, Split, on_split
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import (
    EstimatedSlice,
    IntArray,
    StratifiedMeans,
    moves,
    strata_at_anchor,
    worst_error,
)
from landscape_widgets.profiles.line import check_samples
from landscape_widgets.progress import CancelCallback, never

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 1.0)  # of the examples, in one part after the other
FIRST = 2  # the part that a slice begins with, where there is time for it
TOLERANCE = 0.01  # at which the band is no wider than the line that is drawn in it
SECONDS = 0.25  # of work between two looks at whether to go on


class GrowingSlices:
    """Slices of single samples, each from one of a few parts of the examples.

    A part holds all smaller ones, and is the same whichever sample is looked at. What was evaluated
    is used again when a slice goes on to the next part. The validation loss is estimated likewise,
    from parts of the validation data.

    Parameters
    ----------
    objective : Objective
        One whose examples have losses of their own; see `Objective.why_no_example_losses`.
    cloud : Cloud
    alphas : array (A,)
    first : int
        The part of `SHARES` that a slice begins with.
    tolerance : float
        Standard error of a loss, as a share of it, at which a slice is good enough.

    Attributes
    ----------
    parts : array (n,) of int
        The part that each sample's slice is from, as an index into `SHARES`; -1 where there is no
        slice yet.

    Raises
    ------
    ValueError
        If examples have no loss of their own.
    """

    def __init__(
        self,
        objective: Objective,
        cloud: Cloud,
        alphas: FloatArray,
        *,
        first: int = FIRST,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.objective, self.cloud, self.alphas = objective, cloud, alphas
        self.first, self.tolerance = first, tolerance
        self.parts: IntArray = np.full(len(cloud), -1, dtype=np.int64)
        self._worst: FloatArray = np.full(len(cloud), np.inf)
        there = SPLITS if objective.n_val_examples else SPLITS[:1]
        self._strata = {split: strata_at_anchor(objective, split) for split in there}
        self._means: dict[int, dict[Split, StratifiedMeans]] = {}
        self._examples = 1024  # that are looked at between two looks at whether to go on

    def follow(self, cloud: Cloud) -> None:
        """Take a cloud with further samples behind those that are there."""
        more = len(cloud) - len(self.cloud)
        self.cloud = cloud
        self.parts = np.append(self.parts, np.full(more, -1))
        self._worst = np.append(self._worst, np.full(more, np.inf))

    def converged(self, index: int) -> bool:
        """Whether the standard errors of a sample's slice are within the tolerance."""
        return bool(self._worst[index] <= self.tolerance)

    def doubtful(self, indices: Iterable[int]) -> list[int]:
        """Which of some samples are next in turn: the ones from the smallest part.

        None where all are converged and from the same examples.
        """
        chosen = list(dict.fromkeys(indices))
        if not chosen:
            return []
        parts = self.parts[chosen]
        if parts.min() == parts.max() and all(map(self.converged, chosen)):
            return []
        return [i for i in chosen if self.parts[i] == parts.min()]

    def grow(self, index: int, *, interrupted: CancelCallback = never) -> EstimatedSlice | None:
        """The slice of a sample from the part after the one that it is from.

        None where work was interrupted, which goes on from there the next time.

        Raises
        ------
        IndexError
            If there is no such sample.
        """
        (index,) = check_samples(self.cloud, index).tolist()
        part = max(int(self.parts[index]) + 1, self.first)
        part = min(part, len(SHARES) - 1)
        rows = self.alphas[:, None] * self.cloud.coefficients[index]
        means = self._means.setdefault(
            index,
            {name: StratifiedMeans(len(rows), s.sizes) for name, s in self._strata.items()},
        )
        for split in means:
            if not self._look(means[split], rows, split, part, interrupted):
                return None
        self.parts[index] = part
        found = self._finish(index, rows, means)
        if part == len(SHARES) - 1:
            del self._means[index]  # there is nothing to add
        return found

    def _look(
        self,
        means: StratifiedMeans,
        rows: FloatArray,
        split: Split,
        part: int,
        interrupted: CancelCallback,
    ) -> bool:
        """Look at the examples of a part that are not in the means yet; False if interrupted."""
        strata = self._strata[split]
        wanted = strata.counts(SHARES[part])
        while (means.counts < wanted).any():
            if interrupted():
                return False
            # Stratum after stratum: as many as are done in a moment.
            ends = np.minimum(np.cumsum(wanted - means.counts), self._examples)
            added = strata.between(means.counts, means.counts + np.diff(ends, prepend=0))
            start = time.perf_counter()
            chunks = moves(self.objective, self.cloud.basis, rows, strata, added, split=split)
            means.add(chunks, strata.labels[added])
            took = max(time.perf_counter() - start, 1e-6)
            self._examples = int(np.clip(len(added) * SECONDS / took, 64, 1 << 20))
        return True

    def _finish(
        self, index: int, rows: FloatArray, means: dict[Split, StratifiedMeans]
    ) -> EstimatedSlice:
        still = ~rows.any(axis=1)
        values: dict[str, FloatArray] = {}
        errors: dict[str, FloatArray] = {}
        for split, found in means.items():
            name = on_split("loss", split)
            known = self.objective.at_anchor[name]
            moved, error = found.finish()
            values[name] = np.where(still, known, known + moved)[None]
            errors[name] = np.where(still, 0.0, error)[None]
        self._worst[index] = max(worst_error(values[name], errors[name]) for name in values)
        return EstimatedSlice(
            np.array([index]),
            self.alphas,
            values,
            errors,
            examples=int(means["train"].counts.sum()),
            n_examples=self.objective.n_examples,
            tolerance=self.tolerance,
        )
