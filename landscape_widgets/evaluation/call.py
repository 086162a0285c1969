"""What is known of the rows of coefficients that are asked for in one go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from landscape_widgets.basis import Basis, FloatArray
from landscape_widgets.parameters import ParameterLayout

# Beyond so many directions the products that samples could share cost more than they save.
MOST_SHARED = 32


@dataclass(frozen=True)
class Call:
    """Rows of coefficients on one basis, as a strategy looks at them before it begins.

    Attributes
    ----------
    basis : Basis
    columns : tuple of int, or None
        The directions that some row moves along; None where they are more than `MOST_SHARED`.
    n : int
        How many rows share them.
    spread : dict
        The largest difference from the loss at θ* that was found so far, by split.
    """

    basis: Basis
    columns: tuple[int, ...] | None
    n: int
    spread: dict[Any, float] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, basis: Basis, coefficients: FloatArray) -> Call:
        used = np.flatnonzero(coefficients.any(axis=0))
        columns = tuple(used.tolist()) if len(used) <= MOST_SHARED else None
        return cls(basis, columns, len(coefficients))

    def narrowed(self, coefficients: FloatArray) -> Call:
        """For a few of the rows: on a wandering path each moves along its own direction."""
        if self.columns is not None:
            return self
        return replace(Call.of(self.basis, coefficients), spread=self.spread)

    def moving(self, layout: ParameterLayout) -> frozenset[str]:
        """Names of the tensors that some of the directions move."""
        assert self.columns is not None
        return frozenset(
            name
            for name, place, _ in layout.slices()
            if bool(self.basis.columns(place, self.columns).any())
        )
