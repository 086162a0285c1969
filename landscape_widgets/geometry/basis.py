"""Directions in parameter space, held so that only k of them are ever needed for N samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from landscape_widgets.precision import accumulated
from landscape_widgets.task.buffers import Buffers, concatenated

FloatArray = npt.NDArray[np.float64]

# Elements of a (k, p) block that are held in float64 at one time: 32 MiB.
BLOCK_ELEMENTS = 1 << 22


class Basis(ABC):
    """k directions b_j of length P: what coefficients are multiplied with.

    Attributes
    ----------
    k, size : int
        Number of directions, and P.
    buffers : Buffers or None
        What of the model's buffers moves along with them.
    """

    k: int
    size: int
    buffers: Buffers | None = None

    _gram: tuple[int, FloatArray] | None = None  # with the version that it belongs to

    @property
    def version(self) -> int:
        """Changes when the directions are written to."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes of the directions that are held, in memory or in a file."""
        return 0

    @abstractmethod
    def row(self, j: int) -> Tensor:
        """Direction j, shape (P,)."""

    @abstractmethod
    def columns(self, place: slice, directions: Sequence[int] | None = None) -> Tensor:
        """The parameters in `place` of all directions, or of those asked for: shape (k, p)."""

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield place by place, until all are had, `columns` small enough to work on."""
        step = max(1, BLOCK_ELEMENTS // max(1, self.k))
        for start in range(0, self.size, step):
            place = slice(start, min(start + step, self.size))
            yield place, self.columns(place)

    def displacements(self, rows: FloatArray) -> Iterator[Tensor]:
        """Yield what `combine` gives for each of `rows` (r, k), not to be written to."""
        for row in rows:
            yield self.combine(row)

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

    def lengths(self, rows: FloatArray) -> FloatArray:
        """‖Σ_j c_j b_j‖ for each of `rows` (n, k), (n,)."""
        moved = self.displacements(rows)
        return np.array([float(accumulated(one).norm()) for one in moved], dtype=np.float64)

    def gram(self, weights: Tensor | None = None) -> FloatArray:
        """Inner products ⟨b_i, b_j⟩ in float64, shape (k, k).

        `weights`, shape (P,), weigh each parameter: Σ_p w_p b_ip b_jp. Those without are kept,
        as a wandering path of a large model takes minutes.
        """
        version = self.version
        if weights is None and self._gram is not None and self._gram[0] == version:
            return self._gram[1].copy()
        total = torch.zeros(self.k, self.k, dtype=torch.float64)
        for place, columns in self.blocks():
            block = accumulated(columns)
            right = block if weights is None else block * weights[place].to(block)
            total += (block @ right.T).cpu()
        result: FloatArray = total.numpy()
        if weights is None:
            self._gram = (version, result.copy())
        return result

    def inner(self, other: Basis) -> FloatArray:
        """Inner products ⟨b_i, d_j⟩ with the directions of another basis, in float64, (k, k')."""
        total = torch.zeros(self.k, other.k, dtype=torch.float64)
        for place, columns in self.blocks():
            block = accumulated(columns)
            total += (block @ accumulated(other.columns(place)).to(block).T).cpu()
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

    @property
    def version(self) -> int:
        return self.vectors._version

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes

    def row(self, j: int) -> Tensor:
        return self.vectors[j]

    def columns(self, place: slice, directions: Sequence[int] | None = None) -> Tensor:
        columns = self.vectors[:, place]
        if directions is None:
            return columns
        numbers = list(map(int, directions))
        first, last = (numbers[0], numbers[-1] + 1) if numbers else (0, 0)
        if numbers == list(range(first, last)):  # of which no copy is needed
            return columns[first:last]
        return columns[numbers]

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
        self.buffers = concatenated([(part.k, part.buffers) for part in parts])

    def _places(self) -> Iterator[tuple[int, Basis]]:
        start = 0
        for part in self.parts:
            yield start, part
            start += part.k

    @property
    def version(self) -> int:
        return sum(part.version for part in self.parts)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def _find(self, j: int) -> tuple[Basis, int]:
        """The basis that direction j is of, and its number there."""
        for start, part in self._places():
            if start <= j < start + part.k:
                return part, j - start
        raise IndexError(f"direction {j} of {self.k}")

    def row(self, j: int) -> Tensor:
        part, number = self._find(j)
        return part.row(number)

    def columns(self, place: slice, directions: Sequence[int] | None = None) -> Tensor:
        if directions is None:
            found = [part.columns(place) for part in self.parts]
        else:
            ours = map(self._find, directions)
            found = [part.columns(place, [number]) for part, number in ours]
            found = found or [self.parts[0].columns(place, [])]
        # What lies in a file is not on the device that the others are on.
        return torch.cat([columns.to(found[0].device) for columns in found])

    def combine(self, coefficients: npt.ArrayLike) -> Tensor:
        row = np.asarray(coefficients, dtype=np.float64)
        total: Tensor | None = None
        for start, part in self._places():
            own = row[start : start + part.k]
            if own.any():
                moved = part.combine(own)
                total = moved if total is None else total.add_(moved.to(total))
        return self.parts[0].combine(row[: self.parts[0].k]) if total is None else total
