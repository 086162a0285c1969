"""Many short arms out from θ* and down again: what is around it in all its dimensions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from landscape_widgets.controls import Control
from landscape_widgets.geometry.cloud import Cloud, Space
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers.base import (
    BATCH_SIZE,
    RADIUS,
    Sampler,
    Work,
    assemble,
    last_of_paths,
)
from landscape_widgets.samplers.calibration import relative_radius
from landscape_widgets.samplers.descents import RATE, descend, perturbed_start
from landscape_widgets.samplers.vector_storage import VectorStorage, check_path

STEPS = (2, 6, 15, 40)  # of the descent that are kept
ALONG = 3  # points between θ* and the arm's end


@dataclass(frozen=True)
class Neighbourhood(Sampler):
    """Arms out from θ* in random directions, each followed by a short descent; each a path.

    Asks: which functions does the network compute around θ*, and how do they differ in loss? An
    arm is 3 points along a filter-normalised ray, its end, and the points after 2, 6, 15 and 40
    steps of descent from there. Ends lie at distances drawn uniformly up to the radius.

    Cannot show: distances between weights. It is meant for "outputs" space, where points are near
    that predict alike; straight lines of weights are curves there. In "weights" space it shows
    which arm a point is on. Many short arms tell more than few long ones.

    Parameters
    ----------
    arms : int
        Each is 8 samples and 40 gradients.
    radius : float, optional
        Largest distance of an arm's end from θ*; loss-calibrated by default (see `calibration`).
    batch_size : int
        Examples of each gradient.
    path : path, optional
        Where the samples are kept that take more than half of the free memory, or all if it is
        given: a folder, for a temporary file, or the name of a file (safetensors) that stays.
    """

    space: ClassVar[Space] = "outputs"

    shows: ClassVar[str] = "which functions lie around θ*, and what they lose"
    hides: ClassVar[str] = "distances between weights"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("arms", "arms", "each is 8 samples", "whole", least=1),
        RADIUS,
        BATCH_SIZE,
    )

    arms: int = 75
    radius: float | None = None
    batch_size: int = 256
    # Where samples are kept changes none of them: a run is resumed wherever it is.
    path: str | os.PathLike[str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.name, self.path)

    @property
    def differentiates(self) -> bool:
        return True

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()

    def _storage(self, objective: Objective) -> VectorStorage:
        rows = self.arms * (1 + len(STEPS))
        return VectorStorage.around(objective, self.name, rows, "arms", self.path)

    def _draw(self, work: Work) -> Cloud:
        relative = relative_radius(work, self.radius)
        found = self._storage(work.objective).open()
        whole = 0  # directions of the arms that are done
        paths: list[int] = []
        steps: list[int] = []
        blocks: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]] = []
        for arm in range(self.arms):
            try:
                work.report("arms", arm, self.arms)
                # Not from 0: an arm that ends beside θ* has nowhere to descend.
                distance = relative * work.rng.uniform(0.1, 1.0)
                start = perturbed_start(work, distance)
                found.append(start)
                run = descend(
                    work,
                    start,
                    steps=max(STEPS),
                    learning_rate=RATE * distance,
                    batch_size=self.batch_size,
                    relative=True,
                    record=STEPS,
                    into=found,
                )
            except Cancelled:
                if not blocks:
                    raise
                found.truncate(whole)
                break
            whole = len(found)
            along = np.arange(1, ALONG + 2) / (ALONG + 1)
            block = np.zeros((len(along) + len(run.recorded), 1 + len(run.recorded)))
            block[: len(along), 0] = along
            block[len(along) :, 1:] = np.eye(len(run.recorded))
            blocks.append(block)
            paths += [arm] * len(block)
            steps += range(1, len(block) + 1)
        coefficients = np.zeros((len(paths), whole))
        row = column = 0
        for block in blocks:
            coefficients[row : row + block.shape[0], column : column + block.shape[1]] = block
            row, column = row + block.shape[0], column + block.shape[1]
        return assemble(
            work,
            self,
            found.basis(),
            coefficients,
            kind=["end" if ends else "sample" for ends in last_of_paths(paths)],
            path=paths,
            step=steps,
        )
