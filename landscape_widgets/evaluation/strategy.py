"""What every way of evaluating many parameter vectors has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.coefficients import padded
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.precision import exact

OUTPUTS = 1 << 18  # outputs whose losses are taken in one go: many small steps cost less so


class Unsuited(Exception):
    """A strategy is not for a model; says why, as a part of a sentence."""


class Strategy(ABC):
    """Runs the model at rows of coefficients over the examples of a split.

    Attributes
    ----------
    name : str
        By which a user may ask for it.
    group : int
        Parameter vectors that it computes together.
    """

    name: ClassVar[str]
    group: int = 1

    @property
    def trial(self) -> int:
        """Parameter vectors for a trial of its speed."""
        return self.group

    def suits(self, request: Request, split: TiledExamples) -> bool:
        """Whether these rows may be evaluated this way at all."""
        return True

    def ready(self, request: Request, split: TiledExamples) -> bool:
        """Whether what these rows share has been computed already."""
        return True

    @abstractmethod
    def run(
        self, request: Request, rows: FloatArray, split: TiledExamples, accumulator: Accumulator
    ) -> None:
        """Put the outputs at each of `rows` (r, k) of a request into `accumulator`."""

    @abstractmethod
    def outputs(self, request: Request, rows: FloatArray, split: TiledExamples) -> Tensor:
        """Outputs at each of `rows` on all examples: (r, m, ...)."""


def gather(outputs: list[Tensor]) -> Tensor:
    """Outputs of one parameter vector on several tiles, as one tensor."""
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def displacements_at(basis: Basis, rows: FloatArray, device: torch.device) -> Iterator[Tensor]:
    """Yield Σ_j c_j b_j (P,) for each of `rows`, in full precision whatever surrounds it."""
    found = basis.displacements(rows)
    while True:
        with exact(device):
            displacement = next(found, None)
        if displacement is None:
            return
        yield displacement


def vectors_at(anchor: Tensor, basis: Basis, rows: FloatArray, start: int = 0) -> Tensor:
    """Parameter vectors at each of `rows`, from parameter `start` on: (r, P − start)."""
    if isinstance(basis, DenseBasis):
        moves = rows != 0  # what is not a number moves too
        directions = basis.columns(slice(start, basis.size))
        if bool((moves.sum(axis=1) <= 1).all()):  # along one direction each: no product is needed
            number = moves.argmax(axis=1)
            c = torch.from_numpy(rows[np.arange(len(rows)), number]).to(anchor)
            picked = directions[torch.as_tensor(number, device=directions.device)].to(anchor)
            picked[c == 0] = 0.0  # 0 · ∞ is not a number
            return picked.mul_(c[:, None]).add_(anchor[start:])
        used = np.flatnonzero(moves.any(axis=0))
        if len(used) < basis.k:
            directions = directions[torch.as_tensor(used, device=directions.device)]
        c = padded(torch.as_tensor(rows[:, used], dtype=anchor.dtype, device=anchor.device))
        vectors = torch.addmm(anchor[start:], c, directions.to(anchor))[: len(rows)]
        # 0 · ∞ is not a number: a direction that is not finite must not count for other rows.
        if bool(vectors.sum().isfinite()):
            return vectors
    vectors = anchor[start:].repeat(len(rows), 1)
    for vector, displacement in zip(vectors, basis.displacements(rows), strict=True):
        vector += displacement[start:].to(anchor)
    return vectors
