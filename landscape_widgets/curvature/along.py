"""The quadratic of the loss along the lines from θ* to samples: gᵀd and dᵀHd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.curvature.lanczos import ROUNDING
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)


@dataclass(frozen=True)
class Along:
    """Slope and curvature at θ* along d = θ_i − θ*, for n samples.

    L(θ* + α d) = L(θ*) + α gᵀd + ½ α² dᵀHd + O(α³), so that α is that of slices: 1 is the sample.

    Attributes
    ----------
    indices : array (n,)
        Which samples of the cloud.
    loss : float
        L(θ*), the mean training loss.
    slopes : array (n,)
        gᵀd, g the gradient at θ*.
    curvatures : array (n,)
        dᵀHd, H the Hessian at θ*; NaN where batch statistics move along with the weights, which no
        Hessian tells of. Divided by ‖d‖² it lies between the extreme eigenvalues.
    errors : array (n,)
        What the arithmetic of the products may add to a curvature, or take from it.
    """

    indices: npt.NDArray[np.int64]
    loss: float
    slopes: FloatArray
    curvatures: FloatArray
    errors: FloatArray

    def __len__(self) -> int:
        return len(self.indices)

    def quadratic(self, alphas: npt.ArrayLike) -> FloatArray:
        """L(θ*) + α gᵀd + ½ α² dᵀHd, (n, A) for α (A,)."""
        values = np.asarray(alphas, dtype=np.float64)
        bent = 0.5 * np.outer(self.curvatures, values**2)
        result: FloatArray = self.loss + np.outer(self.slopes, values) + bent
        return result

    def to_frame(self) -> pd.DataFrame:
        """One row for each sample, under its number: slope, curvature, error."""
        columns = {"slope": self.slopes, "curvature": self.curvatures, "error": self.errors}
        return pd.DataFrame(columns, index=pd.Index(self.indices, name="sample"))


def along(
    objective: Objective,
    cloud: Cloud,
    indices: npt.NDArray[np.int64],
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Along:
    """Slope and curvature along the lines from θ* to some samples.

    d = Σ_j c_j b_j, and so dᵀHd = cᵀ (B H Bᵀ) c: of as many samples as there are, it takes one
    product with the Hessian for each direction that they use, or for each of them if these are
    fewer.

    Raises
    ------
    IndexError
        If there is no such sample.
    ValueError
        If the loss has no gradient, or no second derivative.
    Cancelled
    """
    rows = indices
    for index in rows:
        cloud.check_index(int(index))
    loss, gradient = objective.loss_and_gradient(cloud.anchor)
    shares = cloud.coefficients[rows]
    used = np.flatnonzero(shares.any(axis=0))
    directions: list[Callable[[], Tensor]]
    if len(used) < len(rows):
        shares, directions = shares[:, used], [partial(cloud.basis.row, int(j)) for j in used]
    else:  # each sample is a direction of its own
        shares, directions = np.eye(len(rows)), [partial(cloud.displacement, int(i)) for i in rows]
    product = objective.hessian(cloud.anchor)
    k = len(directions)
    slopes, curved, errors = np.zeros(k), np.zeros((k, k)), np.zeros((k, k))
    for j, direction in enumerate(directions):
        if cancelled():
            raise Cancelled
        b = direction().to(cloud.anchor)
        slopes[j] = float(torch.dot(accumulated(b), accumulated(gradient)))
        image = product(b)
        wide, epsilon = accumulated(image), torch.finfo(image.dtype).eps
        # Of what is asked for of one sample alone, nothing hangs on the other directions.
        for i in range(k) if len(used) < len(rows) else [j]:
            beside = accumulated(directions[i]().to(cloud.anchor))
            curved[i, j] = float(torch.dot(beside, wide))
            errors[i, j] = ROUNDING * epsilon * float(beside.norm() * wide.norm())
        progress(Progress("curvature", j + 1, k))
    size = np.abs(shares)
    bent: FloatArray = ((shares @ curved) * shares).sum(axis=1)
    bent[[_moves_buffers(cloud, int(index)) for index in rows]] = np.nan
    return Along(rows, loss, shares @ slopes, bent, ((size @ errors) * size).sum(axis=1))


def _moves_buffers(cloud: Cloud, index: int) -> bool:
    """Whether batch statistics, or the like, are others at a sample than at θ*."""
    moving = cloud.basis.buffers
    if moving is None:
        return False
    at = moving.flat_at(cloud.coefficients[index])
    return not torch.equal(at, moving.anchor)
