"""The slice along the directions in which the loss curves most, and most downwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from landscape_widgets.controls import Control
from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.curvature.lanczos import Eigenpairs
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import (
    SAMPLES,
    Sampler,
    Work,
    assemble,
    check_directions,
)
from landscape_widgets.samplers.calibration import calibrate, reach
from landscape_widgets.samplers.vector_storage import check_memory


@dataclass(frozen=True)
class HessianSubspace(Sampler):
    """Points around θ* in the span of extreme eigenvectors of the Hessian.

    Asks: how sharp is the minimum where it is sharpest, and is it a minimum at all? The top
    eigenvectors are the stiff directions, in which training oscillates; a bottom eigenvalue below
    zero shows a way further down (a saddle). Each direction is sampled as far as the loss stays
    below 1.5 times that of an untrained network, on either side, so that stiff and soft directions
    fill their own range.

    Cannot show: the bulk of directions, whose curvature is near zero; and curvature is that at θ*
    alone, it may turn a short way off. In units of weights stiff directions are short: a map by
    distance is laid out by the soft ones.

    Parameters
    ----------
    top, bottom : int
        How many eigenvectors from each end of the spectrum; as many as there are in a model of
        two weights or one.
    n : int
        Samples besides θ*.
    iterations : int
        At most so many Hessian products, each about three gradients.
    tolerance : float
        Residual at which an eigenvector is good enough, as a share of the largest eigenvalue.
    """

    shows: ClassVar[str] = "how sharp θ* is where it is sharpest, and whether a way leads down"
    hides: ClassVar[str] = "the many flat directions"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("top", "sharpest", "eigenvectors from the top", "whole", least=0),
        Control("bottom", "flattest", "eigenvectors from the bottom", "whole", least=0),
        SAMPLES,
        Control("iterations", "iterations", "of Lanczos", "whole", least=1, offered=False),
        Control("tolerance", "tolerance", "of eigenvalues", above=0, offered=False),
    )

    top: int = 2
    bottom: int = 1
    n: int = 600
    iterations: int = 100
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top + self.bottom == 0:
            raise ValueError(
                "HessianSubspace(top=0, bottom=0) has no directions. Ask for one or more."
            )

    @property
    def differentiates(self) -> bool:
        return True

    def check(self, objective: Objective) -> None:
        if (self.top, self.bottom) != (type(self).top, type(self).bottom):
            check_directions(self, self.top + self.bottom, objective, "top + bottom")
        rows = min(self.iterations, objective.size)
        check_memory(self.name, rows, objective, "iterations")

    def find(self, work: Work) -> Eigenpairs:
        """The eigenvectors at θ*, by Lanczos.

        Raises
        ------
        Cancelled
        """
        objective = work.objective
        top = min(self.top, objective.size)
        return hessian_eigenpairs(
            objective,
            top=top,
            bottom=min(self.bottom, objective.size - top),
            seed=work.generator,
            tolerance=self.tolerance,
            iterations=self.iterations,
            on_iteration=lambda done, total: work.report("Hessian", done, total),
        )

    def _draw(self, work: Work) -> Cloud:
        found = self.find(work)
        calibration = calibrate(work)
        basis = DenseBasis(found.vectors)
        # Beyond the radius of random directions a flat direction leads out of all that matters.
        ahead, behind = reach(work, basis, calibration.target, calibration.radius)
        coefficients = work.rng.uniform(-behind, ahead, size=(self.n, basis.k))
        return assemble(work, self, basis, np.asarray(coefficients))
