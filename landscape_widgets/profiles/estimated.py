"""Losses on large data from a fixed part of the examples, with their standard error.

The part is a stratified sample without replacement (Cochran 1977, *Sampling Techniques*, 3rd ed.,
chapter 5). Strata are cut by class and by the loss of each example at θ*. All parameter vectors see
the same examples, so that differences between them are not drowned in noise. What is estimated is
how far the loss has moved from that at θ*, which is known of all examples (ibid., chapter 7: a
regression estimate of preassigned slope 1), so that the error goes to nothing towards θ*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from landscape_widgets.evaluation.quantities import Split
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.line import ALPHAS, Slice, check_samples
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)

BINS = 4  # of the losses at θ*, in each class
ONE_CLASS_BINS = 20  # where there are no classes, or too many
MOST_CLASSES = 25
FEWEST = 4  # examples of a stratum that are looked at, if it has them: a variance needs two
FIRST_SHARE = 0.1  # of the examples that is tried first
NEARLY_ALL = 0.8  # beyond this share all are taken

IntArray = npt.NDArray[np.int64]


@dataclass(eq=False, kw_only=True)
class EstimatedSlice(Slice):
    """A slice from a part of the examples.

    The standard error of a loss is 0 at θ*, where it is known, and where all of the data was taken.
    About 95% of the losses on all of the data lie within two of these.

    Attributes
    ----------
    examples, n_examples : int
        How many training examples were looked at, and of how many.
    tolerance : float
        What was asked of errors / losses.
    """

    examples: int
    n_examples: int
    tolerance: float

    @property
    def converged(self) -> bool:
        """Whether the error of each finite loss is within the tolerance."""
        return bool(worst_error(self.losses, self.errors["loss"]) <= self.tolerance)


class Strata:
    """Examples cut into strata, each in a random order of its own.

    A part takes the leading examples of each stratum: of two parts the larger holds the smaller.

    Parameters
    ----------
    labels : array (N,) of int
        The stratum of each example, from 0 to H − 1, none of them empty.
    seed : int
    known : array (N,), optional
        A value of each example that estimates start from; 0 by default.

    Attributes
    ----------
    sizes : array (H,)
    """

    def __init__(self, labels: IntArray, seed: int = 0, known: FloatArray | None = None) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)
        self.known = np.zeros(len(self.labels)) if known is None else known
        self.sizes = np.bincount(self.labels)
        rng = np.random.default_rng(seed)
        self._members = [
            rng.permutation(np.flatnonzero(self.labels == stratum))
            for stratum in range(len(self.sizes))
        ]

    def __len__(self) -> int:
        return len(self.sizes)

    def counts(self, share: float) -> IntArray:
        """How many examples of each stratum make up a share of the whole, (H,)."""
        wanted = np.maximum(np.ceil(share * self.sizes).astype(np.int64), FEWEST)
        counts: IntArray = np.minimum(wanted, self.sizes)
        return counts

    def between(self, before: IntArray, after: IntArray) -> IntArray:
        """The examples that are added by going from some counts to others, by stratum."""
        chosen = zip(self._members, before, after, strict=True)
        return np.concatenate([members[start:stop] for members, start, stop in chosen])


def strata_at_anchor(objective: Objective, split: Split = "train") -> Strata:
    """Strata by class, and by the loss of each example at θ*, which is then their known value.

    Within a class examples are sorted by their loss and cut where half the share of examples plus
    half the share of the loss reaches a whole bin: the few examples that make up most of the loss
    near θ* are in small strata, of which much is taken.

    Raises
    ------
    ValueError
        If examples have no loss of their own; see `Objective.example_losses`.
    """
    nowhere = DenseBasis(objective.anchor[None] * 0)
    ((_, found),) = objective.example_losses(nowhere, np.zeros((1, 1)), split=split)
    examples = objective.train if split == "train" else objective.val
    assert examples is not None
    assert examples.joined is not None
    losses, targets = found[0], examples.joined.targets
    classes = np.zeros(len(losses), dtype=np.int64)
    bins = ONE_CLASS_BINS
    if isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point():
        known, numbers = np.unique(targets.cpu().numpy(), return_inverse=True)
        if len(known) <= MOST_CLASSES:
            classes, bins = numbers, BINS
    labels = np.zeros(len(losses), dtype=np.int64)
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        members = members[np.argsort(losses[members], kind="stable")]
        rank = (np.arange(len(members)) + 0.5) / len(members)
        sums = np.cumsum(losses[members])
        share = sums / sums[-1] if sums[-1] > 0 else rank
        labels[members] = number * bins + np.minimum((rank + share) / 2 * bins, bins - 1)
    return Strata(np.unique(labels, return_inverse=True)[1], objective.seed, losses)


def moves(
    objective: Objective,
    basis: Basis,
    rows: FloatArray,
    strata: Strata,
    examples: IntArray,
    *,
    split: Split = "train",
    cancelled: CancelCallback = never,
) -> Iterator[tuple[int, FloatArray]]:
    """How far the loss of each of some examples is from what is known of it."""
    known = strata.known[examples]
    for start, losses in objective.example_losses(
        basis, rows, examples, split=split, cancelled=cancelled
    ):
        yield start, losses - known


class StratifiedMeans:
    """Means over all examples, and their standard errors, from those of each stratum seen so far.

    mean = Σ_h W_h ȳ_h and variance Σ_h W_h² (1 − n_h / N_h) s_h² / n_h with W_h = N_h / N, for n_h
    of N_h examples (Cochran 1977, chapter 5).

    Parameters
    ----------
    n : int
        How many means.
    sizes : array (H,)
        N_h.
    """

    def __init__(self, n: int, sizes: IntArray) -> None:
        self.sizes = sizes
        self.counts = np.zeros(len(sizes), dtype=np.int64)
        self._means: FloatArray = np.zeros((n, len(sizes)))
        self._squares: FloatArray = np.zeros((n, len(sizes)))  # Σ (y − ȳ)²

    def add(self, chunks: Iterator[tuple[int, FloatArray]], labels: IntArray) -> bool:
        """Take in the values of further examples for all means; False if some are missing.

        Parameters
        ----------
        chunks
            Of the first row and values (r, m).
        labels : array (m,)
            The stratum of each example, in ascending order.
        """
        present, first, added = np.unique(labels, return_index=True, return_counts=True)
        means, squares = self._means.copy(), self._squares.copy()
        before, done = self.counts[present], 0
        together = before + added
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is not a number, and so is its mean's error
            for start, values in chunks:
                rows = slice(start, start + len(values))
                mean = np.add.reduceat(values, first, axis=1) / added
                deviations = values - np.repeat(mean, added, axis=1)
                square = np.add.reduceat(deviations**2, first, axis=1)
                # Two samples in one, without losing digits (Chan, Golub & LeVeque 1983).
                shift = mean - means[rows, present]
                squares[rows, present] += square + shift**2 * (before * added / together)
                means[rows, present] += shift * (added / together)
                done += len(values)
        if done < len(means):
            return False
        self._means, self._squares = means, squares
        self.counts[present] = together
        return True

    def finish(self) -> tuple[FloatArray, FloatArray]:
        """Means and standard errors, (n,) each."""
        weights = self.sizes / self.sizes.sum()
        unseen = 1.0 - self.counts / self.sizes
        variances = self._squares / np.maximum(self.counts - 1, 1) / self.counts
        squared = (weights**2 * unseen * variances).sum(axis=1)
        return self._means @ weights, np.sqrt(squared)


def estimated_slice(
    objective: Objective,
    cloud: Cloud,
    indices: npt.ArrayLike,
    alphas: npt.ArrayLike | None = None,
    tolerance: float = 0.01,
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> EstimatedSlice:
    """Take slices on as many training examples as a standard error below a tolerance needs.

    A tenth of the examples is looked at first; then more are added, for all samples alike, until
    the standard error of every loss is at most `tolerance` times that loss, or all have been taken.
    Losses that are not finite ask for no more. The validation loss is not estimated.

    Parameters
    ----------
    objective, cloud, indices, alphas
        As for `line.slice_along`.
    tolerance : float
        0 takes all of the data.
    progress, cancelled
        `progress` tells of examples. After `cancelled` says yes, the slice is made of those that
        all samples have seen.

    Raises
    ------
    IndexError
        If there is no such sample.
    ValueError
        If the tolerance is negative, or examples have no loss of their own; see
        `Objective.example_losses`.
    Cancelled
        If work was cancelled before there was a first estimate.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance!r}; a relative error of 0 or more is expected.")
    chosen = check_samples(cloud, indices)
    values = ALPHAS if alphas is None else np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    rows = (cloud.coefficients[chosen][:, None, :] * values[:, None]).reshape(-1, cloud.basis.k)
    found = estimated_losses(
        objective, cloud.basis, rows, tolerance, progress=progress, cancelled=cancelled
    )
    shape = (len(chosen), len(values))
    return EstimatedSlice(
        chosen,
        values,
        {"loss": found.losses.reshape(shape)},
        {"loss": found.errors.reshape(shape)},
        examples=found.examples,
        n_examples=objective.n_examples,
        tolerance=tolerance,
    )


class EstimatedLosses(NamedTuple):
    """Losses (n,) with their standard errors (n,), and how many examples they are from."""

    losses: FloatArray
    errors: FloatArray
    examples: int


def estimated_losses(
    objective: Objective,
    basis: Basis,
    rows: FloatArray,
    tolerance: float,
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> EstimatedLosses:
    """Losses at θ* + Σ_j c_j b_j for each of `rows` (n, k); see `estimated_slice`."""
    still = ~rows.any(axis=1)
    strata = strata_at_anchor(objective)
    means = StratifiedMeans(len(rows), strata.sizes)
    losses = errors = np.full(len(rows), np.nan)
    share = FIRST_SHARE if tolerance > 0 else 1.0
    while True:
        counts = strata.counts(share)
        while share < 1 and not (counts > means.counts).any():  # it has the fewest of each already
            share = min(1.0, 1.25 * share)
            counts = strata.counts(share)
        added = strata.between(means.counts, counts)
        chunks = moves(objective, basis, rows, strata, added, cancelled=cancelled)
        if not means.add(chunks, strata.labels[added]):
            break
        moved, errors = means.finish()
        losses = objective.anchor_loss + moved
        losses[still], errors[still] = objective.anchor_loss, 0.0
        progress(Progress("examples", int(counts.sum()), objective.n_examples))
        worst = worst_error(losses, errors)
        if worst <= tolerance or counts.sum() == objective.n_examples:
            break
        share = _next_share(share, worst / tolerance)
    if not means.counts.any():
        raise Cancelled
    return EstimatedLosses(losses, errors, int(means.counts.sum()))


def worst_error(losses: FloatArray, errors: FloatArray) -> float:
    """The largest relative error of a finite loss."""
    finite = np.isfinite(losses) & np.isfinite(errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(errors > 0, errors / np.abs(losses), 0.0)
    return float(np.max(relative[finite], initial=0.0))


def _next_share(share: float, excess: float) -> float:
    """The share at which an error that is `excess` times too large would be small enough."""
    # The variance goes as 1 / share − 1; a tenth more, as it is only known roughly.
    wanted = 1.1 / (1.0 + (1.0 / share - 1.0) / excess**2)
    wanted = max(wanted, 1.25 * share)
    return wanted if wanted < NEARLY_ALL else 1.0
