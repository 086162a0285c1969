"""Clouds without structure, to lay beside a real one: their maps look no less tidy.

What a map of a null shows was put there by the reducer, the sampler, or mere distance; what a real
map shows beyond that was put there by the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.errors import did_you_mean
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Sampler, Work, assemble_paths
from landscape_widgets.samplers.vector_storage import VectorStorage

KINDS = ("shuffled", "isotropic", "walk")

# Every sample of these nulls is a vector of its own. As many as the real cloud has, as long as
# they fit in this; else as many as a map needs.
BYTES = 1 << 29
ENOUGH = 200
WALKS = 8  # where the real cloud has no paths


def check_kind(kind: str) -> None:
    """Raise a ValueError that names the near ones if there is no such null."""
    if kind not in KINDS:
        raise ValueError(f"There is no null {kind!r}. {did_you_mean(str(kind), KINDS)}")


@dataclass(frozen=True, eq=False)
class Isotropic(Sampler):
    """Samples at given distances from θ*, in directions drawn uniformly from all of P dimensions.

    Directions are all but at right angles to each other, so that no sample is nearer to another
    than to the rest.

    Parameters
    ----------
    radii : array (n,)
    """

    radii: FloatArray

    def __repr__(self) -> str:
        return f"Isotropic({len(self.radii)} samples)"

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()

    def _storage(self, objective: Objective) -> VectorStorage:
        return VectorStorage.around(objective, self.name, len(self.radii), "samples")

    def _draw(self, work: Work) -> Cloud:
        displacements = self._storage(work.objective).open()
        for number, radius in enumerate(self.radii):
            work.report("null", number, len(self.radii))
            displacements.append(_step(work, radius))
        return assemble_paths(work, self, displacements)


@dataclass(frozen=True, eq=False)
class Walk(Sampler):
    """Random walks from θ*: steps of given lengths, each in a direction of its own; each a path.

    Parameters
    ----------
    steps : tuple of arrays (t,)
        Lengths of each walk's steps.
    """

    steps: tuple[FloatArray, ...]

    def __repr__(self) -> str:
        return f"Walk({len(self.steps)} paths, {sum(map(len, self.steps))} samples)"

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()

    def _storage(self, objective: Objective) -> VectorStorage:
        return VectorStorage.around(objective, self.name, sum(map(len, self.steps)), "samples")

    def _draw(self, work: Work) -> Cloud:
        displacements = self._storage(work.objective).open()
        for number, lengths in enumerate(self.steps):
            work.report("null", number, len(self.steps))
            at = torch.zeros_like(work.objective.anchor)
            for length in lengths:
                at = at + _step(work, length)
                displacements.append(at)
        return assemble_paths(
            work,
            self,
            displacements,
            path=[path for path, lengths in enumerate(self.steps) for _ in lengths],
            step=[step + 1 for lengths in self.steps for step in range(len(lengths))],
        )


def _step(work: Work, length: float) -> Tensor:
    """A vector of some length in a direction drawn uniformly, (P,)."""
    anchor = work.objective.anchor
    drawn = torch.randn(anchor.shape, generator=work.generator, dtype=torch.float32)
    return drawn.mul_(length / float(drawn.double().norm())).to(anchor)


def like(cloud: Cloud, kind: str, seed: int = 0) -> Sampler:
    """A sampler of structure-free samples that has the measures of a real cloud.

    Parameters
    ----------
    cloud : Cloud
    kind : {"isotropic", "walk"}
        "isotropic": as many samples, at the same distances from θ*. "walk": as many paths, their
        steps as long, but each in a random direction; of a cloud without paths, 8 walks that end
        about as far from θ* as its samples are.
    seed : int
        Of which samples are taken, where not as many fit in 512 MiB (at least 200 are taken).
    """
    size = cloud.anchor.numel() * cloud.anchor.element_size()
    most = max(ENOUGH, BYTES // size)
    rng = np.random.default_rng(seed)
    if kind == "walk":
        return Walk(_walks(cloud, most, rng))
    away = (cloud.table["kind"] != "trained").to_numpy()
    radii = cloud.table["radius"].to_numpy(dtype=np.float64)[away]
    if len(radii) > most:
        radii = rng.choice(radii, most, replace=False)
    return Isotropic(radii)


def _walks(cloud: Cloud, most: int, rng: np.random.Generator) -> tuple[FloatArray, ...]:
    """Lengths of the steps along each path of a cloud, `most` samples together."""
    paths, order = cloud.table["path"].to_numpy(), cloud.table["step"].to_numpy()
    radii = cloud.table["radius"].to_numpy(dtype=np.float64)
    numbers = np.unique(paths[paths >= 0])
    if not len(numbers):
        length = max(1, min(len(cloud) - 1, most) // WALKS)
        return (np.full(length, np.median(radii[1:]) / length**0.5),) * WALKS
    points = cloud.isometric()
    walks: list[FloatArray] = []
    room = most
    for number in rng.permutation(numbers):
        rows = np.flatnonzero(paths == number)
        rows = rows[np.argsort(order[rows], kind="stable")][:room]
        if len(rows):
            steps = np.linalg.norm(np.diff(points[rows], axis=0), axis=1)
            walks.append(np.concatenate([radii[rows[:1]], steps]))
        room -= len(rows)
    return tuple(walks)


def shuffled(cloud: Cloud, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Whose losses each sample gets when they are dealt out anew, (N,); θ* keeps its own."""
    rows = np.arange(len(cloud))
    away = np.flatnonzero((cloud.table["kind"] != "trained").to_numpy())
    rows[away] = np.random.default_rng(seed).permutation(away)
    return rows
