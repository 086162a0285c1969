"""Samples evaluated part by part, on all of the data or on as much as a tolerance takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from landscape_widgets.evaluation.quantities import LOSSES, SPLITS, Evaluation
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import estimated_losses
from landscape_widgets.progress import CancelCallback, Cancelled, ProgressCallback, ignore, never

Rows = npt.NDArray[np.int64]


def check_tolerance(tolerance: float, objective: Objective) -> None:
    """Refuse to estimate losses where that cannot be done, or would spare nothing."""
    if not tolerance > 0:
        raise ValueError(f"tolerance={tolerance!r}; a relative error above 0 is expected.")
    why_not = objective.why_no_example_losses()
    if why_not is not None:
        raise ValueError(
            f"tolerance={tolerance!r} asks for losses from a part of the data. {why_not}"
        )
    metrics = [name for name in objective.quantities(("train",)) if name not in LOSSES]
    if metrics and not objective.n_val_examples:
        raise ValueError(
            f"tolerance={tolerance!r} asks for losses from a part of the training data, but the "
            f"metrics ({', '.join(metrics)}) are taken on all of it. Give val_data, on which they "
            "are taken then, or metrics=[]."
        )


def evaluate(
    evaluator: Evaluator,
    objective: Objective,
    cloud: Cloud,
    rows: Rows,
    put: Callable[[Rows, Evaluation], None],
    *,
    tolerance: float | None = None,
    together: Rows | None = None,
    outputs: bool = False,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> None:
    """Evaluate some samples of a cloud.

    Parameters
    ----------
    evaluator : Evaluator
    objective : Objective
        Which estimates losses from a part of its examples.
    cloud : Cloud
    rows : array of int
        Which of its samples.
    put : callable
        Gets the numbers of samples, and what was found of them, with standard errors of their
        training losses where these are estimated.
    tolerance : float, optional
        What those errors may be at most, as a share of the losses; all of the data by default.
    together : array of int, optional
        The samples, in order and `rows` among them, that say together how many examples it takes;
        `rows` by default.
    outputs : bool
        Whether predictions on the probe batch are wanted.
    progress, cancelled
        Once cancelled, no more parts come.
    """
    estimates, estimated = None, rows if together is None else together
    if tolerance is not None and len(rows):
        try:
            estimates = estimated_losses(
                objective,
                cloud.basis,
                cloud.coefficients[estimated],
                tolerance,
                progress=progress,
                cancelled=cancelled,
            )
        except Cancelled:
            return

    def take(start: int, part: Evaluation) -> None:
        here = rows[start : start + len(part)]
        if estimates is not None:
            places = np.searchsorted(estimated, here)
            part.values["loss"] = estimates.losses[places]
            part.errors["loss"] = estimates.errors[places]
        put(here, part)

    evaluator.evaluate(
        cloud.basis,
        cloud.coefficients[rows],
        splits=SPLITS if estimates is None else ("val",),
        outputs=outputs,
        progress=progress,
        cancelled=cancelled,
        on_chunk=take,
    )
