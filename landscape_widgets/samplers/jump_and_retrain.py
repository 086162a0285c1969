"""Jumps away from θ*, near and far, and training again from there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from landscape_widgets.controls import Control
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers.base import (
    BATCH_SIZE,
    EVERY,
    OPTIMISER,
    Sampler,
    Work,
    assemble_paths,
    last_of_paths,
)
from landscape_widgets.samplers.descents import RATE, Optimiser, descend
from landscape_widgets.samplers.vector_storage import VectorStorage, check_path
from landscape_widgets.task.parameters import random_direction


@dataclass(frozen=True)
class JumpAndRetrain(Sampler):
    """Jumps of several sizes in several directions, each followed by training; each a path.

    Asks: from how far does training come back to the trained minimum, and where does it end if it
    does not? A flat, wide basin takes back jumps that throw a sharp one's network out for good.
    Horoi, Huang, Rieck, Lajoie, Wolf & Krishnaswamy 2022, "Exploring the geometry and topology of
    neural network loss landscapes".

    Cannot show: the landscape between the paths; what a map shows of the loss beyond the path a
    point is on is little (see `Descent`). Compare the ends: their loss, and how far they are from
    θ* for each size of jump.

    Parameters
    ----------
    jumps : int
        Directions.
    sizes : sequence of float
        A jump of size s moves each filter by s times its own norm. All sizes go along each
        direction.
    steps : int
        Of training after each jump.
    every : int
        Keep each `every`-th step (and the last).
    optimiser : {"adam", "sgd"}
    learning_rate : float, optional
        At the first step, falling along a cosine; by default in proportion to the jump for Adam,
        each filter measured in its own size, and 0.1 for "sgd".
    batch_size : int or None
        Examples of each gradient; None takes all of the data.
    path : path, optional
        Where the samples are kept that take more than half of the free memory, or all if it is
        given: a folder, for a temporary file, or the name of a file (safetensors) that stays.

    Notes
    -----
    The table has a column ``jump``, the size.
    """

    shows: ClassVar[str] = "from how far training comes back to θ*"
    hides: ClassVar[str] = "the landscape between the paths"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("jumps", "directions", "that are jumped along", "whole", least=1),
        Control("sizes", "sizes", "1 moves a filter by its own norm", "numbers", above=0),
        Control("steps", "steps", "of training after a jump", "whole", least=1),
        EVERY,
        OPTIMISER,
        Control("learning_rate", "learning rate", "of the first step", above=0, offered=False),
        replace(BATCH_SIZE, none=True),
    )

    jumps: int = 4
    sizes: Sequence[float] = (0.25, 0.5, 0.75, 1.0)
    steps: int = 60
    every: int = 2
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
        """Steps after which a sample is taken; 0 is the place jumped to."""
        return sorted({*range(0, self.steps, self.every), self.steps})

    @property
    def differentiates(self) -> bool:
        return True

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()

    def _storage(self, objective: Objective) -> VectorStorage:
        rows = self.jumps * len(self.sizes) * len(self.kept)
        return VectorStorage.around(
            objective, self.name, rows, "jumps, or a larger every", self.path
        )

    def _draw(self, work: Work) -> Cloud:
        objective = work.objective
        found = self._storage(objective).open()
        paths: list[int] = []
        steps: list[int] = []
        jumps: list[float] = []
        total, number = self.jumps * len(self.sizes), 0
        try:
            for _ in range(self.jumps):
                direction = random_direction(objective.anchor, objective.layout, work.generator)
                for size in self.sizes:
                    work.report("jumps", number, total)
                    start = direction * size
                    run = descend(
                        work,
                        start,
                        steps=self.steps,
                        learning_rate=self._rate(size),
                        batch_size=self.batch_size,
                        optimiser=self.optimiser,
                        relative=self.learning_rate is None and self.optimiser == "adam",
                        record=set(self.kept),
                        into=found,
                    )
                    steps += run.recorded
                    paths += [number] * len(run.recorded)
                    jumps += [size] * len(run.recorded)
                    number += 1
        except Cancelled:
            if not paths:
                raise
            found.truncate(len(paths))  # whole paths only
        return assemble_paths(
            work,
            self,
            found,
            kind=["end" if ends else "sample" for ends in last_of_paths(paths)],
            path=paths,
            step=steps,
            jump=jumps,
        )

    def _rate(self, size: float) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return RATE * size if self.optimiser == "adam" else 0.1
