"""The loss along straight lines from the trained weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landscape_widgets.basis import FloatArray
from landscape_widgets.cloud import Cloud
from landscape_widgets.objective import Objective
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never

# From half a step behind θ* to half a step beyond the sample, in steps of 0.05: holds 0 and 1.
ALPHAS: FloatArray = np.round(np.linspace(-0.5, 1.5, 41), 10)


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


def slice_along(
    objective: Objective,
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
    objective, cloud
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
    rows = np.atleast_1d(np.asarray(indices, dtype=np.int64))
    wrong = rows[(rows < 0) | (rows >= len(cloud))]
    if len(wrong):
        raise IndexError(
            f"Sample {wrong[0]} was asked for; the cloud has samples 0 to {len(cloud) - 1}."
        )
    values = ALPHAS if alphas is None else np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    losses: list[FloatArray] = []
    val_losses: list[FloatArray] = []
    for number, index in enumerate(rows):
        if cancelled():
            break
        line = objective.evaluate(
            cloud.basis, np.outer(values, cloud.coefficients[index]), metrics=False
        )
        losses.append(line.losses)
        if line.val_losses is not None:
            val_losses.append(line.val_losses)
        if on_sample is not None:
            on_sample(int(index), line.losses, line.val_losses)
        progress(Progress("slices", number + 1, len(rows)))
    done = rows[: len(losses)]
    empty = np.empty((0, len(values)))
    return Slice(
        done,
        values,
        np.stack(losses) if losses else empty,
        (np.stack(val_losses) if val_losses else empty) if objective.n_val_examples else None,
    )
