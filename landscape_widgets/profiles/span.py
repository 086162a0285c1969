"""Pairs of directions from θ* that planes are laid through."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.evaluator import Evaluator
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
from landscape_widgets.task.parameters import random_direction

BETWEEN = (-0.5, 1.5)  # as slices: half a step behind θ* to half a step beyond the samples
AROUND = (-1.0, 1.0)
MARGIN = 0.1  # around a trajectory, as a share of how far it goes


@dataclass(frozen=True, eq=False)
class Span:
    """Two directions d₁ and d₂ from θ*.

    Attributes
    ----------
    directions : Basis of two
    names : two str
        What lies along them.
    extent : (low, high)
        How far along either there is something to see.
    left_out : float or None
        The share of a trajectory's variance that is not along them.
    """

    directions: Basis
    names: tuple[str, str]
    extent: tuple[float, float]
    left_out: float | None = None


def towards(cloud: Cloud, a: int, b: int) -> Span:
    """From θ* to two samples, which lie at (1, 0) and (0, 1)."""
    return Span(cloud.towards(a, b), (f"sample {a}", f"sample {b}"), BETWEEN)


def random_span(objective: Objective, seed: int) -> Span:
    """Two random directions, filter-normalised as in Li et al. 2018 (arXiv:1712.09913)."""
    directions = DenseBasis(torch.stack(_random(objective, seed)))
    return Span(directions, ("a random direction", "another random direction"), AROUND)


def gradient_span(evaluator: Evaluator, objective: Objective, seed: int) -> Span:
    """Down the gradient at θ*, and a random filter-normalised direction; as long as each other.

    Raises
    ------
    ValueError
        If the loss has no gradient, or it is zero at θ*.
    """
    objective.check_gradient()
    gradient = objective.gradient(objective.anchor)
    norm = float(accumulated(gradient).norm())
    if not (norm > 0 and math.isfinite(norm)):
        raise ValueError(
            f"The gradient at the trained weights has the length {norm:g}: there is no direction "
            'to follow. Ask for directions="hessian" or "random".'
        )
    random = _random(objective, seed)
    down = -gradient / norm
    across = random[0] / float(accumulated(random[0]).norm())
    length = _length(evaluator, torch.stack([down, across]), random)
    directions = DenseBasis(torch.stack([down, across]) * length)
    return Span(directions, ("down the gradient", "a random direction"), AROUND)


def hessian_span(
    evaluator: Evaluator,
    objective: Objective,
    seed: int,
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Span:
    """The two eigenvectors of the Hessian at θ* with the largest eigenvalues; equally long.

    Raises
    ------
    ValueError
        If the loss has no gradient.
    Cancelled
    """

    def tell(done: int, total: int) -> None:
        progress(Progress("Hessian", done, total))
        if cancelled():
            raise Cancelled

    found = hessian_eigenpairs(objective, top=2, seed=seed, on_iteration=tell)
    length = _length(evaluator, found.vectors, _random(objective, seed))
    first, second = (f"eigenvalue {value:.3g}" for value in found.values)
    return Span(DenseBasis(found.vectors * length), (first, second), AROUND)


def trajectory_span(cloud: Cloud) -> Span:
    """The first two principal components of the samples that lie on paths, laid through θ*.

    As in Li et al. 2018; the components are of equal length, so that all of the trajectory is
    within the extent, and point to where most of it is. Of a training, its checkpoints are taken
    alone.

    Raises
    ------
    ValueError
        If there is no trajectory, or it lies on one line.
    """
    on_path = cloud.table["path"].to_numpy() >= 0
    checkpoint = on_path & (cloud.table["sampler"].to_numpy() == "Trajectory")
    isometry = cloud.isometry()
    points = cloud.points(isometry)
    chosen = (checkpoint if checkpoint.any() else on_path) & np.isfinite(points).all(axis=1)
    chosen[0] |= bool(chosen.any())  # θ*, where every path of a training ends
    if chosen.sum() < 3:
        raise ValueError(
            'directions="trajectory" takes the principal components of samples that lie on paths, '
            f"of which there are {int(chosen.sum())}. Sample with Trajectory, Descent or another "
            "sampler of paths, or ask for other directions."
        )
    path = points[chosen]
    _, scales, components = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)
    if len(scales) < 2 or scales[1] <= 1e-6 * scales[0]:
        raise ValueError(
            "The trajectory lies on one line, so that it spans no plane. Take a slice along it."
        )
    left_out = 1 - (scales[:2] ** 2).sum() / (scales**2).sum()
    places = path @ components[:2].T
    ends = np.stack([places.min(axis=0), places.max(axis=0)])
    sign = np.where(-ends[0] > ends[1], -1.0, 1.0)
    ends = np.sort(ends * sign, axis=0)
    length = ends[1].max()
    # Back from isometric coordinates to coefficients.
    rows = (components[:2] * sign[:, None] * length) @ np.linalg.pinv(np.nan_to_num(isometry))
    directions = DenseBasis(torch.stack([cloud.basis.combine(row) for row in rows]))
    if cloud.basis.buffers is not None:
        directions.buffers = cloud.basis.buffers.taken(rows)
    low = min(0.0, ends[0].min() / length)
    extent = (float(low - MARGIN), 1 + MARGIN)
    names = tuple(f"PC {n + 1}" for n in range(2))
    return Span(directions, (names[0], names[1]), extent, max(0.0, float(left_out)))


def _random(objective: Objective, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    anchor, layout = objective.anchor, objective.layout
    found = [random_direction(anchor, layout, generator) for _ in range(2)]
    if not all(bool(direction.any()) for direction in found):  # θ* is zero
        found = [random_direction(anchor, layout, generator, False) for _ in range(2)]
    return found


def _length(evaluator: Evaluator, units: Tensor, random: list[Tensor]) -> float:
    """How long two directions are to be, for as much to happen along them as along random ones.

    Along either, the loss is to rise to what it is at the ends of two filter-normalised
    directions, in the median; between the two it is the geometric mean of what that takes.
    """
    ends = np.vstack([np.eye(2), -np.eye(2)])
    target = float(np.median(_losses(evaluator, DenseBasis(torch.stack(random)), ends)))
    longest = float(np.mean([float(accumulated(direction).norm()) for direction in random]))
    steps = longest * 2.0 ** np.arange(-14.0, 0.5)
    rows = (ends[:, None] * steps[:, None]).reshape(-1, 2)
    losses = _losses(evaluator, DenseBasis(units), rows).reshape(2, 2, len(steps))
    reached = []
    for along in losses.swapaxes(0, 1):
        above = np.flatnonzero((along > target).any(axis=0))
        reached.append(steps[above[0]] if len(above) else longest)
    return float(np.exp(np.mean(np.log(reached))))


def _losses(evaluator: Evaluator, basis: Basis, rows: FloatArray) -> FloatArray:
    """Training losses; not-a-number counts as infinite."""
    found = evaluator.evaluate(basis, rows, splits=("train",), metrics=False).losses
    return np.where(np.isnan(found), np.inf, found)
