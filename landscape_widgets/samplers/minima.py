"""The default: a slice through the trained weights and further minima found by descent."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.basis import DenseBasis
from landscape_widgets.cloud import Cloud
from landscape_widgets.controls import Control
from landscape_widgets.objective import Objective
from landscape_widgets.samplers.base import (
    RADIUS,
    SAMPLES,
    Sampler,
    Work,
    assemble,
    check_count,
    check_directions,
    check_positive,
    check_range,
)
from landscape_widgets.samplers.calibration import radius_or_calibrated
from landscape_widgets.samplers.descents import descend, learning_rate_for, perturbed_start


@dataclass(frozen=True)
class Found:
    """Minima that were found, as displacements from θ*.

    Attributes
    ----------
    starts, ends : Tensor (k, P)
    start_losses, end_losses : tuple of float
        On all training data.
    radius : float
        How far from θ* the starts are.
    """

    starts: Tensor
    ends: Tensor
    start_losses: tuple[float, ...]
    end_losses: tuple[float, ...]
    radius: float


@dataclass(frozen=True)
class Minima(Sampler):
    """Points of the k-dimensional slice through θ* and k further minima.

    Asks: which basins lie around the trained one, and how high are the barriers between them?
    From k points as far from θ* as the loss of an untrained network is, Adam descends into k other
    minima; these and θ* span the slice, and n points are drawn uniformly from a box around them.

    Cannot show: the other P − k directions. It is one slice of very many; another seed shows
    another. In three dimensions t-SNE or UMAP can lay it out truthfully; with k = 2 it is a plane
    (draw it as one), and from k = 5 on a map of two dimensions fades.

    Parameters
    ----------
    k : int
        Further minima, and so dimensions of the slice.
    n : int
        Points drawn besides θ* and the minima.
    radius : float, optional
        How far from θ* the descents start; loss-calibrated by default (see `calibration`).
    steps, batch_size : int
        Of each descent.
    extent : pair of float
        Range of each coefficient. 0 is θ*, 1 the minimum; by default a quarter of the way between
        the two lies beyond each.

    Notes
    -----
    Measured against random slices, rays, descents and runs of training: of these, only here do
    the neighbours of a point on the map tell its loss when whole paths are held out, and more of
    it than distance from θ* does.

    The points are independent and uniform on purpose. Evenly spaced ones (Sobol, best-candidate)
    and ones that are denser where the loss is steep made t-SNE's maps worse, not better.
    """

    controls: ClassVar[tuple[Control, ...]] = (
        Control("k", "minima", "dimensions of the slice; 3 can be shown truly", "whole", least=1),
        SAMPLES,
        RADIUS,
        Control("steps", "steps", "of each descent", "whole", least=1),
        Control("extent", "extent", "0 is θ*, 1 a minimum", "numbers"),
    )

    k: int = 3
    n: int = 1000
    radius: float | None = None
    steps: int = 60
    batch_size: int = 256
    extent: tuple[float, float] = (-0.25, 1.25)

    def __post_init__(self) -> None:
        check_count(self, "k", "n", "steps", "batch_size")
        check_positive(self, "radius", optional=True)
        check_range(self, "extent")

    def check(self, objective: Objective) -> None:
        check_directions(self, self.k, objective)

    def find(self, work: Work) -> Found:
        """Descend into k minima.

        Raises
        ------
        Cancelled
        """
        objective = work.objective
        radius = radius_or_calibrated(work, self.radius)
        starts, ends, start_losses, end_losses = [], [], [], []
        for number in range(self.k):
            work.report("minima", number, self.k)
            start = perturbed_start(work, radius)
            run = descend(
                work,
                start,
                steps=self.steps,
                learning_rate=learning_rate_for(radius, objective.size),
                batch_size=self.batch_size,
            )
            if run.diverged:
                warnings.warn(
                    f"Descent {number + 1} of {self.k} met a loss or gradient that is not finite "
                    f"at step {len(run.losses)} of {self.steps} and ends before it. A smaller "
                    f"radius than {radius:.3g} may help: Minima(radius=...).",
                    RuntimeWarning,
                    stacklevel=2,
                )
            starts.append(start)
            ends.append(run.displacement)
            start_losses.append(objective.loss(objective.anchor + start))
            end_losses.append(objective.loss(objective.anchor + run.displacement))
        work.report("minima", self.k, self.k)
        return Found(
            torch.stack(starts), torch.stack(ends), tuple(start_losses), tuple(end_losses), radius
        )

    def _draw(self, work: Work) -> Cloud:
        found = self.find(work)
        coefficients = work.rng.uniform(*self.extent, size=(self.n, self.k))
        return assemble(
            work,
            self,
            DenseBasis(found.ends),
            np.vstack([np.eye(self.k), coefficients]),
            kind=["minimum"] * self.k + ["sample"] * self.n,
        )
