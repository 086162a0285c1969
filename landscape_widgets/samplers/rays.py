"""Straight lines out from θ*."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from landscape_widgets.controls import Control
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import (
    FILTER_NORMALISED,
    RADIUS,
    Sampler,
    Work,
    assemble,
)
from landscape_widgets.samplers.calibration import relative_radius
from landscape_widgets.samplers.random_directions import (
    BASIS,
    Kind,
    check_random_basis,
    random_basis,
)


@dataclass(frozen=True)
class Rays(Sampler):
    """Points along random rays from θ*, each ray a path.

    Asks: how does the loss rise on the way out, and is it alike in all directions? The rays are
    filter-normalised (Li et al. 2018), their points equally spaced.

    Cannot show: anything off the rays. Rays in many dimensions are at right angles to each other,
    so a map shows which ray a point is on; that its colours are smooth along a ray comes from the
    ray, not from the landscape (held-out rays are predicted worse than by their mean). Look at
    the slices instead.

    Parameters
    ----------
    rays, points : int
        How many, and points on each.
    radius : float, optional
        Length of each ray; loss-calibrated by default (see `calibration`).
    filter_normalised : bool
        False takes plain Gaussian directions, which move biases and normalisation layers too.
    basis : {"auto", "dense", "seeded"}
        Whether directions are held in memory, or drawn again from their seed, as for `Subspace`.
    """

    shows: ClassVar[str] = "how the loss rises on the way out"
    hides: ClassVar[str] = "anything off the rays; a map shows which ray a point is on"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("rays", "rays", "random directions", "whole", least=1),
        Control("points", "points", "on each ray", "whole", least=1),
        RADIUS,
        FILTER_NORMALISED,
        BASIS,
    )

    rays: int = 30
    points: int = 20
    radius: float | None = None
    filter_normalised: bool = True
    # How directions are held changes none of them: a run is resumed either way.
    basis: Kind = field(default="auto", repr=False, compare=False)

    def check(self, objective: Objective) -> None:
        check_random_basis(self, self.rays, objective, self.basis, "rays")

    def _draw(self, work: Work) -> Cloud:
        relative = relative_radius(work, self.radius)
        basis = random_basis(self.rays, work, self.basis, self.filter_normalised)
        steps = np.arange(1, self.points + 1)
        coefficients = np.kron(np.eye(self.rays), steps[:, None] * (relative / self.points))
        return assemble(
            work,
            self,
            basis,
            coefficients,
            path=np.repeat(np.arange(self.rays), self.points).tolist(),
            step=np.tile(steps, self.rays).tolist(),
        )
