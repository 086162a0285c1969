"""Models of so few weights that all of weight space can be looked at, without choosing directions.

With one weight it is a line, with two a plane: there the picture is the whole truth. Filter
normalisation leaves biases where they are, so that of y = ax + b it would show a alone.
"""

from __future__ import annotations

import numpy as np
import torch

from landscape_widgets.geometry.basis import DenseBasis, FloatArray
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.calibration import LAST, calibrate, filters_length, reach


def axes(objective: Objective) -> DenseBasis:
    """One direction for each weight, of length 1."""
    anchor = objective.anchor
    return DenseBasis(torch.eye(objective.size, dtype=anchor.dtype, device=anchor.device))


def extents(work: Work, radius: float | None) -> tuple[FloatArray, FloatArray]:
    """How far to look along each weight, ahead and behind: (P,) each.

    Parameters
    ----------
    radius
        As far, if it is given; else as far as the loss stays below 1.5 times that of an untrained
        network, or the calibrated radius where it always does.
    """
    size = work.objective.size
    if radius is not None:
        return np.full(size, float(radius)), np.full(size, float(radius))
    calibration = calibrate(work)
    # The range of one weight says nothing of another's.
    largest = float(work.objective.anchor.abs().max())
    limit = 2.0**LAST * max(largest, filters_length(work.objective), calibration.radius)
    found = reach(work, axes(work.objective), calibration.target, limit)
    ahead, behind = (np.where(end < limit, end, calibration.radius) for end in found)
    return ahead, behind


def fill(work: Work, n: int, low: FloatArray, high: FloatArray) -> FloatArray:
    """About n places (m, P) in a box: evenly spaced in one or two dimensions, else independent."""
    if len(low) > 2:
        return np.asarray(work.rng.uniform(low, high, size=(n, len(low))))
    side = n if len(low) == 1 else max(2, round(n**0.5))
    along = [np.linspace(a, b, side) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, len(low))
    return places[places.any(axis=1)]  # θ* is a sample already


def said(objective: Objective) -> str:
    """What is assumed, as a sentence."""
    size = objective.size
    what = {1: "the line of its only weight", 2: "the plane of both its weights"}
    return (
        f"The model has {size} trainable {'number' if size == 1 else 'numbers'}: the samples fill "
        f"{what.get(size, f'the space of all its {size} weights')}, and no directions are chosen."
    )
