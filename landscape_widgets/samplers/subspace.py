"""A slice through θ* along a few random directions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from landscape_widgets.controls import Control
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import whole
from landscape_widgets.samplers.base import (
    FILTER_NORMALISED,
    RADIUS,
    SAMPLES,
    Sampler,
    Work,
    assemble,
)
from landscape_widgets.samplers.calibration import filters_length, relative_radius
from landscape_widgets.samplers.random_directions import (
    BASIS,
    Kind,
    check_random_basis,
    random_basis,
)


@dataclass(frozen=True)
class Subspace(Sampler):
    """Points around θ* in the span of k random directions.

    Asks: what does the loss do when the weights are disturbed at random? The directions are
    filter-normalised (Li et al. 2018, "Visualizing the loss landscape of neural nets") and of one
    length; points lie in uniformly drawn directions within their span, at distances drawn
    uniformly up to the radius, so that all distances are seen alike.

    Cannot show: other minima, which random directions all but surely miss, and any valley that is
    narrow in most directions. In many dimensions the loss along random directions is all but a
    function of distance from θ*; a map that shows rings shows just this.

    Parameters
    ----------
    k : int
        Directions; all that there are in a model of as few weights or fewer. In 3 a map can still
        be truthful; with 30 all samples are equally far apart.
    n : int
        Samples besides θ*.
    radius : float, optional
        Largest distance from θ*; loss-calibrated by default (see `calibration`): a point then
        lies as far from θ* as its coefficients are long, in directions of one length, and has the
        same loss if layers of a ReLU network are scaled against each other. Distances between
        weights, and so maps of them, change with such a scaling.
    filter_normalised : bool
        False takes plain Gaussian directions, which move biases and normalisation layers too.
    basis : {"auto", "dense", "seeded"}
        Whether directions are held in memory, or drawn again from their seed tensor by tensor
        wherever they are needed: the same ones, at no memory and some more time for each sample.
        "auto" holds what is less than 1 GiB.
    """

    shows: ClassVar[str] = "what random disturbance of the weights does to the loss"
    hides: ClassVar[str] = "other minima, nor narrow valleys"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("k", "directions", "3 can be shown truly", "whole", least=1),
        SAMPLES,
        RADIUS,
        FILTER_NORMALISED,
        BASIS,
    )

    k: int = 3
    n: int = 600
    radius: float | None = None
    filter_normalised: bool = True
    # How directions are held changes none of them: a run is resumed either way.
    basis: Kind = field(default="auto", repr=False, compare=False)

    def check(self, objective: Objective) -> None:
        check_random_basis(self, self.k, objective, self.basis)

    def _draw(self, work: Work) -> Cloud:
        if work.objective.size <= self.k:
            return self._everywhere(work)
        relative = relative_radius(work, self.radius)
        basis = random_basis(self.k, work, self.basis, self.filter_normalised)
        coefficients = work.rng.normal(size=(self.n, self.k))
        # A radius that was given is one of weights, and directions not quite at right angles. One
        # that was found is one of filters: how they are scaled does not count.
        gram = np.eye(self.k)
        if self.radius is not None:
            gram = basis.gram() / filters_length(work.objective) ** 2
        squared = ((coefficients @ gram) * coefficients).sum(axis=1)
        lengths = relative * work.rng.uniform(size=self.n)
        coefficients *= (lengths / squared**0.5)[:, None]
        return assemble(work, self, basis, coefficients)

    def _everywhere(self, work: Work) -> Cloud:
        """All directions that there are."""
        ahead, behind = whole.extents(work, self.radius)
        places = work.rng.normal(size=(self.n, work.objective.size))
        places *= (work.rng.uniform(size=self.n) / np.linalg.norm(places, axis=1))[:, None]
        places *= np.where(places > 0, ahead, behind)
        basis, said = whole.axes(work.objective), whole.said(work.objective)
        cloud = assemble(work, self, basis, places)
        return replace(cloud, assumptions=(said,))
