"""What every way of evaluating many parameter vectors has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from landscape_widgets.basis import Basis, FloatArray
from landscape_widgets.data import Batch
from landscape_widgets.evaluation.accumulate import Accumulator


class Strategy(ABC):
    """Runs the model at rows of coefficients over tiles of examples.

    Attributes
    ----------
    name : str
        By which a user may ask for it.
    """

    name: ClassVar[str]

    @abstractmethod
    def run(
        self,
        basis: Basis,
        coefficients: FloatArray,
        tiles: Iterable[Batch],
        accumulator: Accumulator,
    ) -> None:
        """Put the outputs at each row of `coefficients` (n, k) into `accumulator`."""

    @abstractmethod
    def outputs(self, basis: Basis, coefficients: FloatArray, tiles: Iterable[Batch]) -> Tensor:
        """Outputs at each row of `coefficients`, concatenated over tiles: (n, m, ...)."""


def gather(outputs: list[Tensor]) -> Tensor:
    """Outputs of one parameter vector on several tiles, as one tensor."""
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
