"""‖θ‖₁ and ‖θ‖₂² of many points of an affine subspace, over the tensors that count.

Samples, the points of slices and of planes are rows of coefficients, θ = θ* + Σ_j c_j b_j. Over the
parameters that count, ‖θ‖₂² = ‖θ*‖₂² + 2 cᵀ(Bθ*) + cᵀ(BBᵀ)c is a quadratic in them; ‖θ‖₁ takes one
pass over the weights for each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import BLOCK_ELEMENTS, Basis, FloatArray
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)

PIECE = 1 << 15  # parameters that are summed in their own precision before float64 takes over
WORKED_ON = 1 << 19  # elements of θ of some rows that are made at a time: they stay in the cache
FEW_ROWS = 16
MOST_QUADRATIC = 256  # directions, above which the products of all pairs cost more than a pass


class Norms:
    """Norms at θ* + Σ_j c_j b_j over some of the parameters.

    Parameters
    ----------
    anchor : Tensor (P,)
        θ*.
    basis : Basis
        k directions.
    places : sequence of slice
        Which parameters count.
    """

    def __init__(self, anchor: Tensor, basis: Basis, places: Sequence[slice]) -> None:
        self.anchor, self.basis, self.places = anchor, basis, tuple(places)
        self._quadratic: tuple[int, float, FloatArray, FloatArray] | None = None

    def l1(
        self,
        rows: FloatArray,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> FloatArray:
        """‖θ‖₁ for each row of coefficients (n, k): (n,), not-a-number where θ is not finite.

        Raises
        ------
        Cancelled
        """
        return self._passed(rows, 1, progress, cancelled)

    def l2(
        self,
        rows: FloatArray,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> FloatArray:
        """‖θ‖₂², the square, for each row of coefficients (n, k): (n,), as `l1`."""
        if self.basis.k > MOST_QUADRATIC:
            return self._passed(rows, 2, progress, cancelled)
        constant, linear, gram = self._products()
        lost = ~np.isfinite(np.diag(gram))
        linear, gram = np.where(lost, 0.0, linear), np.where(lost | lost[:, None], 0.0, gram)
        found: FloatArray = constant + 2 * rows @ linear + ((rows @ gram) * rows).sum(axis=1)
        found[(rows[:, lost] != 0).any(axis=1)] = np.nan
        return np.maximum(found, 0.0)

    def _products(self) -> tuple[float, FloatArray, FloatArray]:
        """‖θ*‖₂², Bθ* (k,) and BBᵀ (k, k)."""
        version = self.basis.version
        if self._quadratic is None or self._quadratic[0] != version:
            anchor, k = accumulated(self.anchor), self.basis.k
            constant = sum(float(anchor[place].square().sum()) for place in self.places)
            linear = torch.zeros(k, dtype=torch.float64)
            gram = torch.zeros(k, k, dtype=torch.float64)
            for place, columns in self._blocks(range(k)):
                wide = accumulated(columns)
                linear += (wide @ anchor[place].to(wide)).cpu()
                gram += (wide @ wide.T).cpu()
            self._quadratic = (version, constant, linear.numpy(), gram.numpy())
        return self._quadratic[1:]

    def _blocks(self, used: Sequence[int]) -> Iterator[tuple[slice, Tensor]]:
        """The directions `used` at the parameters that count, place by place."""
        if len(used) == self.basis.k:  # a basis knows best how it is cut
            for block, columns in self.basis.blocks():
                for place in self.places:
                    start, stop = max(block.start, place.start), min(block.stop, place.stop)
                    if start < stop:
                        yield (
                            slice(start, stop),
                            columns[:, start - block.start : stop - block.start],
                        )
            return
        step = max(1 << 16, BLOCK_ELEMENTS // max(1, len(used)))
        for place in self.places:
            for start in range(place.start, place.stop, step):
                part = slice(start, min(start + step, place.stop))
                yield part, self.basis.columns(part, used)

    def _passed(
        self, rows: FloatArray, order: int, progress: ProgressCallback, cancelled: CancelCallback
    ) -> FloatArray:
        """Sums of |θ| or of θ² for each row, in one pass over the directions."""
        used = np.flatnonzero(rows.any(axis=0))
        rows = rows[:, used]
        total = torch.zeros(len(rows), dtype=torch.float64)
        lost: npt.NDArray[np.bool_] = np.zeros(len(used), dtype=bool)
        done, size = 0, sum(place.stop - place.start for place in self.places)
        for place, columns in self._blocks(used.tolist()):
            columns = columns.to(self.anchor)
            finite = columns.isfinite().all(dim=1)
            if not bool(finite.all()):  # 0 · ∞ is not a number: what is not moved along is no part
                columns = torch.where(finite[:, None], columns, 0.0)
                lost |= ~finite.cpu().numpy()
            for start in range(0, columns.shape[1], PIECE):
                if cancelled():
                    raise Cancelled
                piece = columns[:, start : start + PIECE]
                at = place.start + start
                total += self._piece(piece, slice(at, at + piece.shape[1]), rows, order)
                done += piece.shape[1]
                progress(Progress("norms", done, size))
        found: FloatArray = total.numpy()
        found[(rows[:, lost] != 0).any(axis=1)] = np.nan
        return found

    def _piece(self, columns: Tensor, place: slice, rows: FloatArray, order: int) -> Tensor:
        """What the parameters in one place add to each row's sum."""
        anchor, width = self.anchor[place], columns.shape[1]
        # Of a wandering path each row has a direction of its own: few rows at a time use few.
        many = max(FEW_ROWS, WORKED_ON // width) if len(columns) <= 4 * FEW_ROWS else FEW_ROWS
        sums = torch.zeros(len(rows), dtype=torch.float64)
        for first in range(0, len(rows), many):
            some = rows[first : first + many]
            moved = np.flatnonzero(some.any(axis=0))
            theta = anchor.expand(len(some), width)
            if len(moved):
                c = torch.as_tensor(some[:, moved]).to(anchor)
                own = columns if len(moved) == len(columns) else columns[moved.tolist()]
                theta = torch.addmm(anchor, c, own)
            each = theta.abs() if order == 1 else theta.square()
            sums[first : first + many] = accumulated(each.sum(dim=1)).cpu()
        return sums
