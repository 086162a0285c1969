"""The top eigenvalue of the Hessian at many samples, those of a training run above all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue λ of the Hessian at n samples.

    Full-batch gradient descent with steps η is stable along a direction as long as the curvature
    there is below 2/η; training sharpens until λ is that, and stays (Cohen et al. 2021,
    "Gradient descent on neural networks typically occurs at the edge of stability").

    Attributes
    ----------
    indices : array (n,)
        Which samples of the cloud.
    values, errors : array (n,)
        λ, and how far off it is at most; NaN where the loss or its derivatives are not finite.
    """

    indices: npt.NDArray[np.int64]
    values: FloatArray
    errors: FloatArray

    def __len__(self) -> int:
        return len(self.indices)

    def to_frame(self) -> pd.DataFrame:
        """One row for each sample, under its number: sharpness, error."""
        columns = {"sharpness": self.values, "error": self.errors}
        return pd.DataFrame(columns, index=pd.Index(self.indices, name="sample"))


def sharpness_of(
    objective: Objective,
    cloud: Cloud,
    indices: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Sharpness:
    """The largest eigenvalue of the Hessian at some samples, by Lanczos.

    `progress` and `cancelled`: the samples that are done are returned after it says yes.

    Raises
    ------
    IndexError
        If there is no such sample.
    ValueError
        If the loss has no second derivative.
    """
    for index in indices:
        cloud.check_index(int(index))
    values, errors = np.full(len(indices), np.nan), np.full(len(indices), np.nan)
    done = 0

    def within(at: int, most: int) -> None:
        progress(Progress("eigenvalues", done, len(indices), at / most))
        if cancelled():
            raise Cancelled

    for done, index in enumerate(map(int, indices)):
        theta, buffers = cloud.vector(index), cloud.buffers(index) if index else {}
        try:
            within(0, 1)
            with objective.with_buffers(buffers):
                loss, gradient = objective.loss_and_gradient(theta)
            if math.isfinite(loss) and bool(gradient.isfinite().all()):
                found = hessian_eigenpairs(
                    objective, theta, seed=seed, on_iteration=within, buffers=buffers
                )
                values[done], errors[done] = found.values[0], found.errors[0]
        except Cancelled:
            break
    else:
        done = len(indices)
        progress(Progress("eigenvalues", done, done))
    return Sharpness(indices[:done], values[:done], errors[:done])
