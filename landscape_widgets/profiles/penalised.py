"""The loss with an L1 or L2 penalty, at samples, along slices and on planes: nothing is evaluated.

The penalised loss is L(θ) + λ₁ ‖θ‖₁ + λ₂ ‖θ‖₂², the elastic net where both are above zero, with the
norms taken over the tensors that count. Losses are known, and norms follow from the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.geometry.norms import Norms
from landscape_widgets.profiles.line import Slice
from landscape_widgets.profiles.path import Path
from landscape_widgets.profiles.plane import Plane
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.task.regularisers import Counted, words

SliceOrPath = TypeVar("SliceOrPath", Slice, Path)
Rows = npt.NDArray[np.int64]
UNPENALISED = "unpenalised_loss"


@dataclass(frozen=True, eq=False)
class Weighed:
    """The norms of all samples of a cloud, over the tensors that count.

    Attributes
    ----------
    cloud : Cloud
    counted : Counted
    norms : Norms
        Of any other points of its subspace.
    l1, l2 : array (N,)
        ‖θ_i‖₁, and ‖θ_i‖₂², the square; not-a-number where θ_i is not finite.
    """

    cloud: Cloud
    counted: Counted
    norms: Norms
    l1: FloatArray
    l2: FloatArray

    @classmethod
    def of(
        cls,
        cloud: Cloud,
        counted: Counted,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Weighed:
        """Weigh all samples; `Cancelled` is raised where that was stopped."""
        norms, rows = Norms(cloud.anchor, cloud.basis, counted.places), cloud.coefficients
        l2 = norms.l2(rows, progress=progress, cancelled=cancelled)
        return cls(
            cloud, counted, norms, norms.l1(rows, progress=progress, cancelled=cancelled), l2
        )

    def along(self, indices: Rows, alphas: FloatArray, start: int = 0) -> dict[str, FloatArray]:
        """Both norms at θ_s + α (θ_i − θ_s), s the start: "l1" and "l2", (n, A) each."""
        weights = np.asarray(alphas)[:, None]
        rows = self.cloud.coefficients[indices][:, None, :] * weights
        rows += (1 - weights) * self.cloud.coefficients[start]
        found = self.at(rows.reshape(-1, self.cloud.basis.k))
        return {k: v.reshape(len(indices), len(alphas)) for k, v in found.items()}

    def over(self, plane: Plane) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Both norms over the grid of a plane, (F, F) each, and at its points, (E,) each."""
        norms = Norms(self.cloud.anchor, plane.directions, self.counted.places)
        grid = np.stack(np.meshgrid(*plane.axes, indexing="ij"), axis=-1)
        on_grid = _both(norms, grid.reshape(-1, 2))
        return {k: v.reshape(grid.shape[:2]) for k, v in on_grid.items()}, _both(
            norms, plane.points
        )

    def at(self, rows: FloatArray) -> dict[str, FloatArray]:
        """Both norms at rows of coefficients (n, k): (n,) each."""
        return _both(self.norms, rows)


def _both(norms: Norms, rows: FloatArray) -> dict[str, FloatArray]:
    return {"l1": norms.l1(rows), "l2": norms.l2(rows)}


@dataclass(frozen=True, eq=False)
class Penalised:
    """L(θ) + λ₁ ‖θ‖₁ + λ₂ ‖θ‖₂² at the samples of a landscape.

    Attributes
    ----------
    l1, l2 : float
        The strengths λ₁ and λ₂. torch's ``weight_decay=w`` is λ₂ = w/2 over all parameters.
    unpenalised : array (N,)
        Training losses as they are; not-a-number where not evaluated.
    weighed : Weighed
        The norms, and which tensors they count.
    """

    l1: float
    l2: float
    unpenalised: FloatArray
    weighed: Weighed

    def __len__(self) -> int:
        return len(self.unpenalised)

    @property
    def counted(self) -> Counted:
        """Which tensors the norms are taken over."""
        return self.weighed.counted

    @property
    def values(self) -> dict[str, FloatArray]:
        """Of each sample, (N,): "loss" with the penalty, "unpenalised_loss", "l1" and "l2"."""
        norms = {"l1": self.weighed.l1, "l2": self.weighed.l2}
        return self._with_penalty({"loss": self.unpenalised}, norms)

    @property
    def losses(self) -> FloatArray:
        """Penalised training losses of the samples, (N,)."""
        return self.values["loss"]

    @property
    def lowest(self) -> int:
        """The sample whose penalised loss is the lowest.

        Raises
        ------
        ValueError
            If none is known.
        """
        if np.isnan(self.losses).all():
            raise ValueError("No sample has a loss yet. Call .evaluate_rest() first.")
        return int(np.nanargmin(self.losses))

    def __str__(self) -> str:
        return f"loss + {words(self.l1, self.l2)}" if self.l1 or self.l2 else "loss"

    def __repr__(self) -> str:
        left = self.counted.left_out
        without = f", without {', '.join(left[:3])}{', …' * (len(left) > 3)}" if left else ""
        lowest, losses = self.lowest, self.losses
        return (
            f"<{self} at {len(self):,} samples, over {self.counted}{without}: {losses[0]:.4g} at "
            f"θ*, lowest {losses[lowest]:.4g} at sample {lowest}>"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each sample with a loss: loss (penalised), unpenalised_loss, l1, l2."""
        frame = pd.DataFrame(self.values)
        frame.index.name = "sample"
        return frame[~np.isnan(self.unpenalised)]

    def along(self, found: SliceOrPath) -> SliceOrPath:
        """Slices or a path (``way.easiest``) of this landscape with the penalty in "loss".

        Barriers, heights and the like are then of it. "unpenalised_loss", "l1" and "l2" come beside
        it. What is of the validation data, and metrics, have no penalty.
        """
        if isinstance(found, Path):
            norms = self.weighed.at(found.coefficients)
        else:
            norms = self.weighed.along(found.indices, found.alphas, found.start)
        return replace(found, values=self._with_penalty(found.values, norms))

    def over(self, found: Plane) -> Plane:
        """A plane of this landscape with the penalty in "loss", as `along`.

        The penalty is exact, at each point of the grid as at those that were evaluated; `errors`
        are those of the interpolated loss without it.
        """
        grid, points = self.weighed.over(found)
        return replace(
            found,
            values=self._with_penalty(found.values, grid),
            point_values=self._with_penalty(found.point_values, points),
        )

    def _with_penalty(
        self, values: dict[str, FloatArray], norms: dict[str, FloatArray]
    ) -> dict[str, FloatArray]:
        loss = values["loss"]
        penalty = self.l1 * norms["l1"] + self.l2 * norms["l2"]
        return {**values, "loss": loss + penalty, UNPENALISED: loss, **norms}


def lowest_along(alphas: FloatArray, losses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where each of n slices is lowest, and how low: α (n,) and losses (n,) for losses (n, A).

    Between the values of α it is the vertex of the parabola through the lowest and its neighbours;
    not-a-number where no loss is finite.
    """
    at, low = np.full(len(losses), np.nan), np.full(len(losses), np.nan)
    for row, values in enumerate(losses):
        if not np.isfinite(values).any():
            continue
        i = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
        at[row], low[row] = alphas[i], values[i]
        if 0 < i < len(alphas) - 1 and np.isfinite(values[[i - 1, i + 1]]).all():
            a, b, c = np.polyfit(alphas[i - 1 : i + 2] - alphas[i], values[i - 1 : i + 2], 2)
            if a > 0:
                at[row], low[row] = alphas[i] - b / (2 * a), c - b * b / (4 * a)
    return at, low


def lowest_over(
    axes: tuple[FloatArray, FloatArray], losses: FloatArray
) -> tuple[float, float, float]:
    """Where a plane (F, F) is lowest, and how low: a, b and the loss of its lowest point.

    Between the points of the grid, a and b are those of parabolas through it along either axis.
    """
    if not np.isfinite(losses).any():
        return np.nan, np.nan, np.nan
    i, j = np.unravel_index(np.argmin(np.where(np.isfinite(losses), losses, np.inf)), losses.shape)
    a, _ = lowest_along(axes[0], losses[None, :, j])
    b, _ = lowest_along(axes[1], losses[None, i])
    return float(a[0]), float(b[0]), float(losses[i, j])
