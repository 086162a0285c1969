"""What every way of evaluating many parameter vectors has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.call import Call
from landscape_widgets.evaluation.coefficients import padded
from landscape_widgets.evaluation.split import Split


class Strategy(ABC):
    """Runs the model at rows of coefficients over the examples of a split.

    Attributes
    ----------
    name : str
        By which a user may ask for it.
    group : int
        Parameter vectors that it likes to be given at a time, for a trial of its speed.
    """

    name: ClassVar[str]
    group: int = 1

    def suits(self, call: Call, split: Split) -> bool:
        """Whether these rows may be evaluated this way at all."""
        return True

    def ready(self, call: Call, split: Split) -> bool:
        """Whether what these rows share has been computed already."""
        return True

    @abstractmethod
    def run(self, call: Call, rows: FloatArray, split: Split, accumulator: Accumulator) -> None:
        """Put the outputs at each of `rows` (r, k), which belong to `call`, into `accumulator`."""

    @abstractmethod
    def outputs(self, call: Call, rows: FloatArray, split: Split) -> Tensor:
        """Outputs at each of `rows` on all examples: (r, m, ...)."""


def gather(outputs: list[Tensor]) -> Tensor:
    """Outputs of one parameter vector on several tiles, as one tensor."""
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def vectors_at(anchor: Tensor, basis: Basis, rows: FloatArray, start: int = 0) -> Tensor:
    """Parameter vectors at each of `rows`, from parameter `start` on: (r, P − start)."""
    if isinstance(basis, DenseBasis):
        used = np.flatnonzero(rows.any(axis=0))
        directions = basis.columns(slice(start, basis.size))
        if len(used) < basis.k:
            directions = directions[torch.as_tensor(used, device=directions.device)]
        c = padded(torch.as_tensor(rows[:, used], dtype=anchor.dtype, device=anchor.device))
        vectors = torch.addmm(anchor[start:], c, directions.to(anchor))[: len(rows)]
        # 0 · ∞ is not a number: a direction that is not finite must not count for other rows.
        if bool(vectors.isfinite().all()):
            return vectors
    moved = torch.stack([basis.combine(row)[start:] for row in rows])
    return moved.to(anchor) + anchor[start:]
