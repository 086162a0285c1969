"""A regular grid over a plane through θ*."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from landscape_widgets.controls import Control
from landscape_widgets.geometry.basis import Basis, DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import whole
from landscape_widgets.samplers.base import (
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
from landscape_widgets.samplers.weights import Fitted, Weights, check_weights, moving_buffers


@dataclass(frozen=True, eq=False)
class Grid(Sampler):
    """The nodes of a square grid in a plane through θ*.

    Asks: what does the loss look like on a plane? By default over two random filter-normalised
    directions (Li et al. 2018, "Visualizing the loss landscape of neural nets"); with `through`
    over the plane of θ* and two more trained models (Garipov et al. 2018). Of a model of one or two
    weights it is the line or plane of all of them. The plane is drawn as
    it is by PCA; a reducer of another kind has nothing to unfold.

    Cannot show: anything off the plane. Two random directions of a million miss all narrow
    valleys; that a random plane is a smooth bowl is true of nearly every network.

    Parameters
    ----------
    points : int
        Nodes along each side. With an odd number θ* is the middle one.
    radius : float, optional
        Half of the side's length; loss-calibrated by default (see `calibration`). Not used with
        `through`.
    through : pair of state dicts or models, optional
    extent : pair of float
        Range of the coefficients with `through`: 0 is θ*, 1 the other model.
    basis : {"auto", "dense", "seeded"}
        Whether random directions are held in memory, or drawn again from their seed, as for
        `Subspace`.

    Notes
    -----
    The table has columns ``row`` and ``column`` besides the usual ones.
    """

    shows: ClassVar[str] = "the loss on one plane, as it is"
    hides: ClassVar[str] = "anything off the plane; a random one is nearly always a bowl"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("points", "points", "along each side", "whole", least=2),
        RADIUS,
        Control("extent", "extent", "in radii", "range", offered=False),
        BASIS,
    )

    points: int = 25
    radius: float | None = None
    through: Sequence[Weights] | None = None
    extent: tuple[float, float] = (-0.4, 1.4)
    basis: Kind = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.through is not None:
            if not isinstance(self.through, Sequence) or len(self.through) != 2:
                raise ValueError(
                    "Grid(through=...): two state dicts or models are expected; with θ* they "
                    "make a plane."
                )
            check_weights(self.through, self.name)

    def __repr__(self) -> str:
        if self.through is None:
            return f"Grid(points={self.points}, radius={self.radius})"
        return f"Grid(points={self.points}, through=two models, extent={self.extent})"

    def check(self, objective: Objective) -> None:
        kind = self.basis if self.through is None else "dense"
        if self.through is not None or objective.size > 2:
            check_random_basis(self, 2, objective, kind, "directions")
        for number, weights in enumerate(self.through or ()):
            Fitted(weights, objective, f"Model {number + 1} of through")

    def _draw(self, work: Work) -> Cloud:
        if self.through is not None:
            fitted = [Fitted(weights, work.objective, "A model") for weights in self.through]
            rows = [each.displacement(work.objective) for each in fitted]
            beside = [each.moved_buffers(work.objective) for each in fitted]
            basis: Basis = DenseBasis(torch.stack(rows))
            basis.buffers = moving_buffers(work.objective, beside, "other models")
            along = np.linspace(*self.extent, self.points)
        elif work.objective.size <= 2:
            return self._everywhere(work)
        else:
            relative = relative_radius(work, self.radius)
            basis = random_basis(2, work, self.basis)
            along = relative * np.linspace(-1, 1, self.points)
        number = np.arange(self.points)
        coefficients = np.stack(np.meshgrid(along, along, indexing="xy"), axis=-1).reshape(-1, 2)
        place = np.stack(np.meshgrid(number, number, indexing="xy"), axis=-1).reshape(-1, 2)
        # θ* is sample 0 already, and two samples in one place break reducers.
        centre = np.abs(coefficients).max(axis=1) < 1e-9 * np.abs(along).max()
        cloud = assemble(
            work,
            self,
            basis,
            coefficients[~centre],
            column=place[~centre, 0].tolist(),
            row=place[~centre, 1].tolist(),
        )
        if centre.any():
            cloud.table.loc[0, ["column", "row"]] = place[centre][0]
        return cloud

    def _everywhere(self, work: Work) -> Cloud:
        """The nodes in the line or plane of all weights."""
        ahead, behind = whole.extents(work, self.radius)
        number = np.arange(self.points)
        along = [np.linspace(-b, a, self.points) for a, b in zip(ahead, behind, strict=True)]
        nodes = np.stack(np.meshgrid(*along, indexing="xy"), axis=-1).reshape(-1, len(along))
        place = np.stack(np.meshgrid(*[number] * len(along), indexing="xy"), axis=-1)
        place = place.reshape(-1, len(along))
        away = nodes.any(axis=1)
        cloud = assemble(
            work,
            self,
            whole.axes(work.objective),
            nodes[away],
            column=place[away, 0].tolist(),
            row=place[away, -1].tolist() if len(along) > 1 else 0,
        )
        return replace(cloud, assumptions=(whole.said(work.objective),))
