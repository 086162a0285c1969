"""Walks downhill from around θ*, with all their steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from landscape_widgets.controls import Control
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers.base import (
    BATCH_SIZE,
    EVERY,
    OPTIMISER,
    RADIUS,
    Sampler,
    Work,
    assemble_paths,
    last_of_paths,
)
from landscape_widgets.samplers.calibration import filters_length, relative_radius
from landscape_widgets.samplers.descents import RATE, Optimiser, descend, perturbed_start
from landscape_widgets.samplers.vector_storage import VectorStorage, check_path


@dataclass(frozen=True)
class Descent(Sampler):
    """Paths down the gradient from points around θ*, each run a path.

    Asks: where does training go from here: back into the trained minimum, or into others? Runs
    start in random filter-normalised directions from θ*, at the radius where the loss is that of
    an untrained network or at a share of it, and every step is kept.

    Cannot show: what lies between the runs. In many dimensions they hardly ever meet, so that a
    map shows which run a point is on and little of the loss (held-out runs are predicted worse
    than by their mean). The number of runs that end with a loss near that of θ*, and how far from
    it, is worth more than the map.

    Parameters
    ----------
    runs, steps : int
    every : int
        Keep each `every`-th step (and the last).
    radius : float, optional
        Distance of the starts from θ*; loss-calibrated by default (see `calibration`).
    optimiser : {"adam", "sgd"}
        "sgd" steps exactly along the gradient.
    learning_rate : float, optional
        At the first step, falling along a cosine. By default, each filter is measured in its own
        size for Adam, and 60 steps cover about the radius; for "sgd" the first step is 0.05·r
        long.
    batch_size : int or None
        Examples of each gradient; None takes all of the data.
    path : path, optional
        Where the samples are kept that take more than half of the free memory, or all if it is
        given: a folder, for a temporary file, or the name of a file (safetensors) that stays.
    """

    shows: ClassVar[str] = "where training goes from here: back to θ*, or elsewhere"
    hides: ClassVar[str] = "what lies between the runs; a map shows which run a point is on"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("runs", "runs", "each a path", "whole", least=1),
        Control("steps", "steps", "of each run", "whole", least=1),
        EVERY,
        RADIUS,
        OPTIMISER,
        Control("learning_rate", "learning rate", "of the first step", above=0, empty="by radius"),
        replace(BATCH_SIZE, none=True),
    )

    runs: int = 12
    steps: int = 60
    every: int = 1
    radius: float | None = None
    optimiser: Optimiser = "adam"
    learning_rate: float | None = None
    batch_size: int | None = 256
    # Where samples are kept changes none of them: a run is resumed wherever it is.
    path: str | os.PathLike[str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.name, self.path)

    @property
    def kept(self) -> list[int]:
        """Steps after which a sample is taken; 0 is the start."""
        return sorted({*range(0, self.steps, self.every), self.steps})

    @property
    def differentiates(self) -> bool:
        return True

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()

    def _storage(self, objective: Objective) -> VectorStorage:
        rows, less = self.runs * len(self.kept), "runs, or a larger every"
        return VectorStorage.around(objective, self.name, rows, less, self.path)

    def _draw(self, work: Work) -> Cloud:
        relative = relative_radius(work, self.radius)
        found = self._storage(work.objective).open()
        paths: list[int] = []
        steps: list[int] = []
        for number in range(self.runs):
            try:
                work.report("descents", number, self.runs)
                start = perturbed_start(work, relative)
                run = descend(
                    work,
                    start,
                    steps=self.steps,
                    learning_rate=self._rate(work, start, relative),
                    batch_size=self.batch_size,
                    optimiser=self.optimiser,
                    relative=self.learning_rate is None and self.optimiser == "adam",
                    record=set(self.kept),
                    into=found,
                )
            except Cancelled:
                if not paths:
                    raise
                found.truncate(len(paths))  # whole runs only
                break
            steps += run.recorded
            paths += [number] * len(run.recorded)
        return assemble_paths(
            work,
            self,
            found,
            kind=["end" if ends else "sample" for ends in last_of_paths(paths)],
            path=paths,
            step=steps,
        )

    def _rate(self, work: Work, start: Tensor, relative: float) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        if self.optimiser == "adam":
            return RATE * relative
        steepness = float(work.objective.gradient(work.objective.anchor + start).norm())
        radius = relative * filters_length(work.objective)
        return RATE * radius / steepness if steepness > 0 else 0.0
