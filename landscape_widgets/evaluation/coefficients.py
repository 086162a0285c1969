"""Coefficients as they are multiplied with what samples share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from landscape_widgets.geometry.basis import FloatArray

FEW_ROWS = 8


def with_one(rows: FloatArray, columns: Sequence[int], anchor: Tensor) -> Tensor:
    """Coefficients (r, 1 + k) of what belongs to θ* and to each of the directions `columns`."""
    c = torch.ones(len(rows), len(columns) + 1, dtype=torch.float64)
    c[:, 1:] = torch.from_numpy(rows[:, list(columns)])
    return c.to(anchor)


def padded(c: Tensor, multiple: int = FEW_ROWS) -> Tensor:
    """Coefficients (r, k) with rows of zeros added up to a multiple of some.

    Products of very few rows are rounded in another way; a loss is not to hang on which rows it
    was asked for together with.
    """
    missing = -len(c) % multiple
    return torch.nn.functional.pad(c, (0, 0, 0, missing)) if missing else c


def drop_infinite(products: Sequence[Tensor]) -> Tensor:
    """Zero, in all of `products` (k + 1, ...), the directions along which one is not finite.

    0 · ∞ is not a number, so that they would spoil samples that do not move along them.

    Returns
    -------
    Tensor (k + 1,) of bool
        Which those are.
    """
    # A sum shows what is not finite, and is soon taken; one that overflows is looked at again.
    if all(bool(z.flatten(1).sum(dim=1).isfinite().all()) for z in products):
        return torch.zeros(len(products[0]), dtype=torch.bool, device=products[0].device)
    finite = torch.stack([z.isfinite().flatten(1).all(dim=1) for z in products]).all(dim=0)
    for z in products:
        z[~finite] = 0.0
    return ~finite


def poison(c: Tensor, infinite: Tensor) -> Tensor:
    """Make what moves along a dropped direction not a number: coefficients (r, k + 1)."""
    if bool(infinite.any()):
        c[((c != 0) & infinite).any(dim=1), 0] = torch.nan
    return c
