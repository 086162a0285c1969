"""Directions in parameter space, held so that only k of them are ever needed for N samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]

# Elements of a (k, p) block that are held in float64 at one time: 32 MiB.
BLOCK_ELEMENTS = 1 << 22


class Basis(ABC):
    """k directions b_j of length P: what coefficients are multiplied with.

    Attributes
    ----------
    k, size : int
        Number of directions, and P.
    """

    k: int
    size: int

    @abstractmethod
    def row(self, j: int) -> Tensor:
        """Direction j, shape (P,)."""

    @abstractmethod
    def columns(self, place: slice) -> Tensor:
        """All directions, but only the parameters in `place`: shape (k, p)."""

    def combine(self, coefficients: npt.ArrayLike) -> Tensor:
        """Displacement Σ_j c_j b_j for one row of k coefficients, shape (P,)."""
        row = np.asarray(coefficients, dtype=np.float64)
        used = np.flatnonzero(row)
        if len(used) == 0:
            return torch.zeros_like(self.row(0))
        total = self.row(int(used[0])) * float(row[used[0]])
        for j in used[1:]:
            total.add_(self.row(int(j)), alpha=float(row[j]))
        return total

    def gram(self, weights: Tensor | None = None) -> FloatArray:
        """Inner products ⟨b_i, b_j⟩ in float64, shape (k, k).

        `weights`, shape (P,), weigh each parameter: Σ_p w_p b_ip b_jp.
        """
        total = torch.zeros(self.k, self.k, dtype=torch.float64)
        step = max(1, BLOCK_ELEMENTS // max(1, self.k))
        for start in range(0, self.size, step):
            place = slice(start, min(start + step, self.size))
            block = self.columns(place).to(torch.float64)
            right = block if weights is None else block * weights[place].to(block)
            total += (block @ right.T).cpu()
        result: FloatArray = total.numpy()
        return result


class DenseBasis(Basis):
    """Directions stored as the rows of one (k, P) tensor."""

    def __init__(self, vectors: Tensor) -> None:
        if vectors.ndim != 2:
            raise ValueError(
                f"A basis is a tensor of shape (k, P); one of shape {tuple(vectors.shape)} was "
                "given. Stack the directions as rows."
            )
        self.vectors = vectors
        self.k, self.size = vectors.shape

    def row(self, j: int) -> Tensor:
        return self.vectors[j]

    def columns(self, place: slice) -> Tensor:
        return self.vectors[:, place]

    def combine(self, coefficients: npt.ArrayLike) -> Tensor:
        row = np.asarray(coefficients, dtype=np.float64)
        # A wandering path has one direction a sample and a single non-zero coefficient in each;
        # and 0 · ∞ is not a number: what is not moved along must not count.
        if np.count_nonzero(row) < self.k or self.k > 64:
            return super().combine(row)
        return torch.as_tensor(row, dtype=self.vectors.dtype).to(self.vectors.device) @ self.vectors


class ConcatenatedBasis(Basis):
    """The directions of several bases, one after the other."""

    def __init__(self, parts: Sequence[Basis]) -> None:
        sizes = {part.size for part in parts}
        if len(sizes) != 1:
            raise ValueError(
                f"Bases of one parameter space are expected; sizes {sorted(sizes)} were given. "
                "Combine clouds of the same model only."
            )
        self.parts = tuple(parts)
        self.k = sum(part.k for part in parts)
        self.size = sizes.pop()

    def _places(self) -> Iterator[tuple[int, Basis]]:
        start = 0
        for part in self.parts:
            yield start, part
            start += part.k

    def row(self, j: int) -> Tensor:
        for start, part in self._places():
            if start <= j < start + part.k:
                return part.row(j - start)
        raise IndexError(f"direction {j} of {self.k}")

    def columns(self, place: slice) -> Tensor:
        return torch.cat([part.columns(place) for part in self.parts])
