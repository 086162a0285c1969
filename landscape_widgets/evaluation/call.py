"""What is known of the rows of coefficients that are asked for in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    used : tuple of int
        The directions that some row moves along.
    n : int
        How many rows share them.
    spread : dict
        The largest difference from the loss at θ* that was found so far, by split.
    """

    basis: Basis
    used: tuple[int, ...]
    n: int
    spread: dict[Any, float] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, basis: Basis, coefficients: FloatArray) -> Call:
        used = np.flatnonzero(coefficients.any(axis=0))
        return cls(basis, tuple(used.tolist()), len(coefficients))

    @property
    def columns(self) -> tuple[int, ...] | None:
        """The directions that some row moves along; None where they are more than are shared."""
        return self.used if len(self.used) <= MOST_SHARED else None

    def moving(self, layout: ParameterLayout) -> frozenset[str]:
        """Names of the tensors that some of the directions move."""
        found: set[str] = set()
        for start in range(0, len(self.used), MOST_SHARED):  # a few tell, but for what stays
            some = self.used[start : start + MOST_SHARED]
            found |= {
                name
                for name, place, _ in layout.slices()
                if name not in found and bool(self.basis.columns(place, some).any())
            }
        return frozenset(found)
