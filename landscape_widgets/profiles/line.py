"""The loss, and what else is asked for, along straight lines between samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

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
    """Quantities at θ_s + α (θ_i − θ_s) for n samples i and A values of α; s is θ* by default.

    Attributes
    ----------
    indices : array (n,)
        Which samples of the cloud.
    alphas : array (A,)
        0 is the trained weights, or the sample that slices start from; 1 the sample.
    values : dict of arrays (n, A)
        By quantity: "loss", "val_loss" where there is validation data, metrics.
    errors : dict of arrays (n, A)
        Standard errors of those that are estimated.
    start : int
        The sample that they start from: 0 is θ*.
    lengths : array (n,), optional
        ‖θ_i − θ_s‖, how long a step of 1 in α is.
    """

    indices: npt.NDArray[np.int64]
    alphas: FloatArray
    values: dict[str, FloatArray]
    errors: dict[str, FloatArray] = field(default_factory=dict)
    start: int = 0
    lengths: FloatArray | None = None

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
        return replace(self, alphas=alphas[order], values=values)

    def median(self) -> FloatArray:
        """Median training loss over the samples at each α, shape (A,)."""
        result: FloatArray = np.median(self.losses, axis=0)
        return result

    def quartiles(self) -> FloatArray:
        """First and third quartile of the training loss over the samples, shape (2, A)."""
        result: FloatArray = np.quantile(self.losses, [0.25, 0.75], axis=0)
        return result

    def barriers(self) -> FloatArray:
        """Highest rise between both ends above the line that joins their losses, (n,).

        The loss barrier of linear mode connectivity (Frankle et al. 2020), 0 where the loss
        stays below that line. The α given must hold 0 and 1.

        Raises
        ------
        ValueError
            If 0 and 1 are not among the values of α.
        """
        start, end = (self._at(value, "A barrier") for value in (0.0, 1.0))
        between = (self.alphas >= 0) & (self.alphas <= 1)
        alphas = self.alphas[between]
        chord = np.outer(start, 1 - alphas) + np.outer(end, alphas)
        result: FloatArray = np.max(self.losses[:, between] - chord, axis=1)
        return np.maximum(result, 0.0)

    def _at(self, alpha: float, what: str) -> FloatArray:
        """Training losses at an α that is among those of the slice, (n,)."""
        found = np.flatnonzero(np.isclose(self.alphas, alpha))
        if not len(found):
            raise ValueError(
                f"{what} is measured from α = {alpha:g}, which is not among the values of this "
                "slice. Take the slice over values of α that hold 0 and 1."
            )
        return self.losses[:, found[0]]

    def widths(self, rise: float) -> pd.DataFrame:
        """How far the loss stays less than `rise` above that at α = 0, on both sides.

        Between the points of the slice it is taken to go straight. What is not finite is above.

        Parameters
        ----------
        rise : float
            In units of the loss, above 0.

        Returns
        -------
        DataFrame
            One row for each sample, under its number: ``behind`` and ``ahead``, in α; ``width``,
            both together, in units of the weights; ``asymmetry``, (ahead − behind) / (ahead +
            behind), which is 0 where both sides are as wide, and towards 1 where the loss stays low
            ahead (He, Huang & Yuan 2019, "Asymmetric valleys"). NaN where the slice ends before the
            loss has risen by so much.

        Raises
        ------
        ValueError
            If the rise is not above 0, or 0 is not among the values of α.
        """
        if not rise > 0:
            raise ValueError(f"rise={rise!r}; a loss above 0 is expected.")
        bounds = self._at(0.0, "A width") + rise
        order = np.argsort(self.alphas, kind="stable")
        alphas, losses = self.alphas[order], self.losses[:, order]
        ahead, behind = alphas >= 0, alphas <= 0
        lines = list(zip(losses, bounds, strict=True))
        columns = {
            "behind": [_reach(-alphas[behind][::-1], f[behind][::-1], b) for f, b in lines],
            "ahead": [_reach(alphas[ahead], f[ahead], b) for f, b in lines],
        }
        frame = pd.DataFrame(columns, index=pd.Index(self.indices, name="sample"))
        whole = frame["ahead"] + frame["behind"]
        lengths = np.nan if self.lengths is None else self.lengths
        frame["width"] = whole * lengths
        frame["asymmetry"] = (frame["ahead"] - frame["behind"]) / whole
        return frame

    def to_frame(self, rise: float | None = None) -> pd.DataFrame:
        """One row for each sample, under its number: the slice in numbers.

        ``start_loss`` and ``end_loss``, at α = 0 and 1; ``height``, the highest loss between them,
        at ``height_at``; ``barrier``, see `barriers`; ``lowest``, the lowest loss of all the slice,
        at ``lowest_at``; ``length``, ‖θ_i − θ_s‖. With `rise` what `widths` says besides.

        Raises
        ------
        ValueError
            As of `barriers` and `widths`.
        """
        start, end = (self._at(value, "A barrier") for value in (0.0, 1.0))
        inside = np.flatnonzero((self.alphas >= 0) & (self.alphas <= 1))
        high = inside[np.nan_to_num(self.losses[:, inside], nan=np.inf).argmax(axis=1)]
        low = np.nan_to_num(self.losses, nan=np.inf).argmin(axis=1)
        rows = np.arange(len(self))
        columns = {
            "start_loss": start,
            "end_loss": end,
            "height": self.losses[rows, high],
            "height_at": self.alphas[high],
            "barrier": self.barriers(),
            "lowest": self.losses[rows, low],
            "lowest_at": self.alphas[low],
            "length": np.full(len(self), np.nan) if self.lengths is None else self.lengths,
        }
        frame = pd.DataFrame(columns, index=pd.Index(self.indices, name="sample"))
        return frame if rise is None else frame.join(self.widths(rise))


def _reach(alphas: FloatArray, losses: FloatArray, bound: float) -> float:
    """How far from the first of some places, in ascending order, losses stay below a bound."""
    above = np.flatnonzero(~(losses < bound))
    if not len(above):
        return float("nan")
    stop = int(above[0])
    if stop == 0 or not np.isfinite(losses[stop]):
        return float(alphas[max(0, stop - 1)])
    before, after = losses[stop - 1], losses[stop]
    share = (bound - before) / (after - before)
    return float(alphas[stop - 1] + share * (alphas[stop] - alphas[stop - 1]))


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
    start: int = 0,
    splits: Sequence[Split] = SPLITS,
    metrics: bool = False,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Slice:
    """Take the loss along θ_s + α (θ_i − θ_s) for each sample i in `indices`.

    Parameters
    ----------
    evaluator, cloud
        The model on its data, and the samples.
    indices : array (n,)
    alphas : array (A,), optional
        `ALPHAS` by default.
    start : int
        The sample s, at α = 0; θ* by default.
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
    cloud.check_index(start)
    lines = _Lines(evaluator.quantities(splits, metrics=metrics), rows, values, progress)
    weights = values[:, None]
    # Rows of a wandering cloud are as wide as it has samples: a few samples at a time.
    step = max(1, BLOCK_ELEMENTS // (len(values) * cloud.basis.k))
    for first in range(0, len(rows), step):
        # So that both ends are the samples, to the bit; θ*'s own coefficients are zeros.
        block = cloud.coefficients[rows[first : first + step]][:, None, :] * weights
        block += (1 - weights) * cloud.coefficients[start]
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
    found = lines.finish()
    return replace(found, start=start, lengths=_lengths(cloud, found.indices, start))


def _lengths(cloud: Cloud, rows: npt.NDArray[np.int64], start: int) -> FloatArray:
    """‖θ_i − θ_s‖ of each sample, (n,)."""
    if start == 0:
        return cloud.table["radius"].to_numpy(dtype=np.float64)[rows]
    return cloud.basis.lengths(cloud.coefficients[rows] - cloud.coefficients[start])


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
