"""The loss along straight lines from the trained weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from landscape_widgets.evaluation.quantities import Evaluation
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never

# From half a step behind θ* to half a step beyond the sample, in steps of 0.05: holds 0 and 1.
ALPHAS: FloatArray = np.round(np.linspace(-0.5, 1.5, 41), 10)

BLOCK_ELEMENTS = 1 << 22  # coefficients that are laid out at a time: 32 MiB


@dataclass
class Slice:
    """Loss at θ* + α (θ_i − θ*) for n samples and A values of α.

    Attributes
    ----------
    indices : array (n,)
        Which samples of the cloud.
    alphas : array (A,)
        0 is the trained weights, 1 the sample.
    losses, val_losses : array (n, A)
        On the training and the validation data (None where there are none).
    """

    indices: npt.NDArray[np.int64]
    alphas: FloatArray
    losses: FloatArray
    val_losses: FloatArray | None

    def __len__(self) -> int:
        return len(self.indices)

    def joined(self, other: Slice) -> Slice:
        """These slices with the points of others, of the same samples at other values of α."""
        alphas = np.concatenate([self.alphas, other.alphas])
        order = np.argsort(alphas, kind="stable")
        val = None
        if self.val_losses is not None and other.val_losses is not None:
            val = np.hstack([self.val_losses, other.val_losses])[:, order]
        losses = np.hstack([self.losses, other.losses])[:, order]
        return Slice(self.indices, alphas[order], losses, val)

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
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
    on_sample: Callable[[int, FloatArray, FloatArray | None], None] | None = None,
) -> Slice:
    """Take the loss along θ* + α (θ_i − θ*) for each sample in `indices`.

    Parameters
    ----------
    evaluator, cloud
        The model on its data, and the samples.
    indices : array (n,)
    alphas : array (A,), optional
        `ALPHAS` by default.
    progress, cancelled
        After `cancelled` says yes, the samples that are finished are returned.
    on_sample : callable, optional
        Gets the index, losses (A,) and validation losses of each sample as it is finished.

    Raises
    ------
    IndexError
        If there is no such sample.
    """
    rows = check_samples(cloud, indices)
    values = ALPHAS if alphas is None else np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    lines = _Lines(evaluator, rows, values, progress, on_sample)
    # Rows of a wandering cloud are as wide as it has samples: a few samples at a time.
    step = max(1, BLOCK_ELEMENTS // (len(values) * cloud.basis.k))
    for first in range(0, len(rows), step):
        block = cloud.coefficients[rows[first : first + step]][:, None, :] * values[:, None]
        evaluator.evaluate(
            cloud.basis,
            block.reshape(-1, cloud.basis.k),
            metrics=False,
            cancelled=cancelled,
            on_chunk=partial(lines.take, first * len(values)),
        )
        if cancelled():
            break
    return lines.finish()


class _Lines:
    """Gathers losses that come row by row, and tells which samples are complete."""

    def __init__(
        self,
        evaluator: Evaluator,
        rows: npt.NDArray[np.int64],
        alphas: FloatArray,
        progress: ProgressCallback,
        on_sample: Callable[[int, FloatArray, FloatArray | None], None] | None,
    ) -> None:
        shape = (len(rows), len(alphas))
        self.rows, self.alphas = rows, alphas
        self.progress, self.on_sample = progress, on_sample
        self.losses: FloatArray = np.full(shape, np.nan)
        self.val_losses: FloatArray | None = (
            np.full(shape, np.nan) if evaluator.n_val_examples else None
        )
        self.waiting = np.full(len(rows), len(alphas))

    def take(self, first: int, start: int, part: Evaluation) -> None:
        places = np.arange(first + start, first + start + len(part))
        self.losses.flat[places] = part.losses
        if self.val_losses is not None:
            self.val_losses.flat[places] = part.val_losses
        numbers, counts = np.unique(places // len(self.alphas), return_counts=True)
        self.waiting[numbers] -= counts
        for number in numbers[self.waiting[numbers] == 0]:
            if self.on_sample is not None:
                val = None if self.val_losses is None else self.val_losses[number]
                self.on_sample(int(self.rows[number]), self.losses[number], val)
        self.progress(Progress("slices", int((self.waiting == 0).sum()), len(self.rows)))

    def finish(self) -> Slice:
        done = self.waiting == 0
        val = None if self.val_losses is None else self.val_losses[done]
        return Slice(self.rows[done], self.alphas, self.losses[done], val)
