"""A request: a basis, how many rows of coefficients, which of its directions they move along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.task.parameters import ParameterLayout

# Beyond so many directions the products that samples could share cost more than they save.
MOST_SHARED = 32
SEVERAL = 4  # points that make a curve
FIRST = 64  # rows that strategies are tried on: as many as any of them takes for that


@dataclass(frozen=True)
class Request:
    """Rows of coefficients on one basis, as a strategy looks at them before it begins.

    Attributes
    ----------
    basis : Basis
    used : tuple of int
        The directions that some row moves along.
    n : int
        How many rows share them.
    first : array (r, k)
        The first that move along any, for trials: what these find does not hang on how many rows
        come at a time. The first of all where none moves.
    farthest : array (k,)
        The longest of them, as far as they are finite.
    curves : bool
        The rows lie along a few lines, or on a plane: they are points of curves that are drawn.
    spread : dict
        The largest difference from the loss at θ* that was found so far, by split.
    chosen : dict
        The strategy that its rows so far were evaluated by, by splits.
    """

    basis: Basis
    used: tuple[int, ...]
    n: int
    first: FloatArray = field(compare=False)
    farthest: FloatArray = field(compare=False)
    curves: bool = True
    spread: dict[Any, float] = field(default_factory=dict, compare=False)
    chosen: dict[Any, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, basis: Basis, coefficients: FloatArray) -> Request:
        used = np.flatnonzero(coefficients.any(axis=0))
        curves = len(used) <= 2 or _along_few_lines(coefficients[:, used])
        lengths = np.linalg.norm(coefficients, axis=1)
        lengths[~np.isfinite(lengths)] = -1.0
        farthest = coefficients[np.argmax(lengths)].copy() if len(lengths) else np.zeros(basis.k)
        moving = np.flatnonzero(coefficients.any(axis=1))[:FIRST]
        first = coefficients[moving] if len(moving) else coefficients[:FIRST]
        return cls(basis, tuple(used.tolist()), len(coefficients), first, farthest, curves)

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


def _along_few_lines(rows: FloatArray) -> bool:
    """Whether a line through 0 holds several of the rows (n, k), as far as they are finite."""
    lengths = np.linalg.norm(rows, axis=1)
    moved = np.isfinite(lengths) & (lengths > 0)
    # Of the unit vectors ±u of one line the absolute product with any vector is the same.
    random = np.random.default_rng(0).normal(size=rows.shape[1])
    products = np.abs(rows[moved] @ random) / lengths[moved]
    return SEVERAL * len(np.unique(products.round(9))) <= int(moved.sum())
