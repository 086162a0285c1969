"""The loss, and what else is asked for, along straight lines from the trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from landscape_widgets.evaluation.quantities import SPLITS, Evaluation, Split
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never

# From half a step behind θ* to half a step beyond the sample, in steps of 0.05: holds 0 and 1.
ALPHAS: FloatArray = np.round(np.linspace(-0.5, 1.5, 41), 10)

BLOCK_ELEMENTS = 1 << 22  # coefficients that are laid out at a time: 32 MiB


@dataclass
class Slice:
    """Quantities at θ* + α (θ_i − θ*) for n samples and A values of α.

    Attributes
    ----------
    indices : array (n,)
        Which samples of the cloud.
    alphas : array (A,)
        0 is the trained weights, 1 the sample.
    values : dict of arrays (n, A)
        By quantity: "loss", "val_loss" where there is validation data, metrics.
    errors : dict of arrays (n, A)
        Standard errors of those that are estimated.
    """

    indices: npt.NDArray[np.int64]
    alphas: FloatArray
    values: dict[str, FloatArray]
    errors: dict[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def losses(self) -> FloatArray:
        """Training losses, (n, A)."""
        return self.values["loss"]

    def joined(self, other: Slice) -> Slice:
        """These slices with the points of others, of the same samples at other values of α."""
        alphas = np.concatenate([self.alphas, other.alphas])
        order = np.argsort(alphas, kind="stable")
        values = {
            name: np.hstack([found, other.values[name]])[:, order]
            for name, found in self.values.items()
        }
        return Slice(self.indices, alphas[order], values)

    def median(self) -> FloatArray:
        """Median training loss over the samples at each α, shape (A,)."""
        result: FloatArray = np.median(self.losses, axis=0)
        return result

    def quartiles(self) -> FloatArray:
        """First and third quartile of the training loss over the samples, shape (2, A)."""
        result: FloatArray = np.quantile(self.losses, [0.25, 0.75], axis=0)
        return result

    def barriers(self) -> FloatArray:
        """Highest rise between θ* and the sample above the line that joins their losses, (n,).

        The loss barrier of linear mode connectivity (Frankle et al. 2020), 0 where the loss
        stays below that line. The α given must hold 0 and 1.

        Raises
        ------
        ValueError
            If 0 and 1 are not among the values of α.
        """
        start, end = (np.flatnonzero(np.isclose(self.alphas, value)) for value in (0.0, 1.0))
        if not len(start) or not len(end):
            raise ValueError(
                "A barrier is measured between α = 0 and α = 1, which are not among the "
                "values of this slice. Take the slice over values of α that hold both."
            )
        between = (self.alphas >= 0) & (self.alphas <= 1)
        alphas = self.alphas[between]
        chord = np.outer(self.losses[:, start[0]], 1 - alphas) + np.outer(
            self.losses[:, end[0]], alphas
        )
        result: FloatArray = np.max(self.losses[:, between] - chord, axis=1)
        return np.maximum(result, 0.0)


def check_samples(cloud: Cloud, indices: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Numbers of samples as an array, or an IndexError for one that there is not."""
    rows = np.atleast_1d(np.asarray(indices, dtype=np.int64))
    wrong = rows[(rows < 0) | (rows >= len(cloud))]
    if len(wrong):
        raise IndexError(
            f"Sample {wrong[0]} was asked for; the cloud has samples 0 to {len(cloud) - 1}."
        )
    return rows


def slice_along(
    evaluator: Evaluator,
    cloud: Cloud,
    indices: npt.ArrayLike,
    alphas: npt.ArrayLike | None = None,
    *,
    splits: Sequence[Split] = SPLITS,
    metrics: bool = False,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Slice:
    """Take the loss along θ* + α (θ_i − θ*) for each sample in `indices`.

    Parameters
    ----------
    evaluator, cloud
        The model on its data, and the samples.
    indices : array (n,)
    alphas : array (A,), optional
        `ALPHAS` by default.
    splits
        "val" is left out where there is no validation data.
    metrics : bool
        Whether to take the metrics, too. On training data they may take several times as long as
        the loss.
    progress, cancelled
        After `cancelled` says yes, the samples that are finished are returned.

    Raises
    ------
    IndexError
        If there is no such sample.
    """
    rows = check_samples(cloud, indices)
    values = ALPHAS if alphas is None else np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    lines = _Lines(evaluator.quantities(splits, metrics=metrics), rows, values, progress)
    # Rows of a wandering cloud are as wide as it has samples: a few samples at a time.
    step = max(1, BLOCK_ELEMENTS // (len(values) * cloud.basis.k))
    for first in range(0, len(rows), step):
        block = cloud.coefficients[rows[first : first + step]][:, None, :] * values[:, None]
        evaluator.evaluate(
            cloud.basis,
            block.reshape(-1, cloud.basis.k),
            splits=splits,
            metrics=metrics,
            cancelled=cancelled,
            on_chunk=partial(lines.take, first * len(values)),
        )
        if cancelled():
            break
    return lines.finish()


class _Lines:
    """Gathers what comes row by row, and tells which samples are complete."""

    def __init__(
        self,
        quantities: Sequence[str],
        rows: npt.NDArray[np.int64],
        alphas: FloatArray,
        progress: ProgressCallback,
    ) -> None:
        shape = (len(rows), len(alphas))
        self.rows, self.alphas, self.progress = rows, alphas, progress
        self.values: dict[str, FloatArray] = {name: np.full(shape, np.nan) for name in quantities}
        self.waiting = np.full(len(rows), len(alphas))

    def take(self, first: int, start: int, part: Evaluation) -> None:
        places = np.arange(first + start, first + start + len(part))
        for name, values in self.values.items():
            values.flat[places] = part.values[name]
        numbers, counts = np.unique(places // len(self.alphas), return_counts=True)
        self.waiting[numbers] -= counts
        self.progress(Progress("slices", int((self.waiting == 0).sum()), len(self.rows)))

    def finish(self) -> Slice:
        done = self.waiting == 0
        found = {name: values[done] for name, values in self.values.items()}
        return Slice(self.rows[done], self.alphas, found)
