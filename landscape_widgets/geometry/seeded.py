"""Random directions that are not stored: a seed draws each piece of them again when needed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import BLOCK_ELEMENTS, Basis, DenseBasis, FloatArray
from landscape_widgets.task.parameters import ParameterLayout, filter_norms

# Numbers of one random stream: whole filters of one tensor, so many or a single one.
PIECE = 1 << 16
# Displacements that are made side by side, as each number is drawn once for all of them.
GROUP_BYTES = 128 << 20
WITNESS = 64  # numbers of each direction by which a saved basis is known again


class _Piece(NamedTuple):
    """Whole filters of one tensor: where they lie, and the norms of θ*'s, None for plain ones."""

    place: slice
    norms: Tensor | None


class SeededBasis(Basis):
    """k random directions, filter-normalised (Li et al. 2018), made from a seed piece by piece.

    A direction is cut along its tensors, and these into pieces of some 65,536 numbers. Each piece
    has a random stream of its own, told by the seed, the direction and the piece, so that any of
    them is drawn without the others and no more than a piece of each direction is ever needed.
    What is held of θ* are the norms of its filters.

    Other numbers than `parameters.random_direction` draws, but of the same distribution, by the
    same rule: tensors with one axis are left alone, unless there are no others. `dense` holds the
    very same directions in memory.

    Parameters
    ----------
    k, seed : int
    anchor : Tensor (P,)
        θ*; its precision and device are those of the directions.
    layout : ParameterLayout
    filter_normalised : bool
        False takes plain Gaussian directions.
    scales : array (k,), optional
        What each direction is multiplied by.
    """

    def __init__(
        self,
        k: int,
        seed: int,
        anchor: Tensor,
        layout: ParameterLayout,
        filter_normalised: bool = True,
        scales: npt.ArrayLike | None = None,
    ) -> None:
        self.k, self.size, self.seed = k, layout.size, seed
        self.filter_normalised = filter_normalised
        self.scales: FloatArray = np.ones(k) if scales is None else np.array(scales, np.float64)
        if self.scales.shape != (k,):
            raise ValueError(
                f"scales has shape {self.scales.shape}; one number for each of {k} directions is "
                "expected."
            )
        self.dtype, self.device = anchor.dtype, anchor.device
        self._pieces = list(_cut(anchor, layout, filter_normalised))
        self._starts = [piece.place.start for piece in self._pieces]
        # torch seeds a generator with 32 bits: counted up from here, no two streams are the same.
        self._latest: tuple[FloatArray, Tensor] | None = None
        self._first_stream = int(np.random.SeedSequence(seed).generate_state(1)[0])

    def scaled(self, factors: npt.ArrayLike) -> SeededBasis:
        """The same directions, each multiplied by one of `factors` (k,)."""
        other = object.__new__(SeededBasis)
        other.__dict__.update(self.__getstate__())
        factors = np.asarray(factors, dtype=np.float64)
        other.scales = self.scales * factors
        if self._gram is not None:
            other._gram = (0, self._gram[1] * np.outer(factors, factors))
        return other

    def dense(self) -> DenseBasis:
        """The same directions, held in memory."""
        vectors = torch.empty(self.k, self.size, dtype=self.dtype, device=self.device)
        for place, columns in self.blocks():
            vectors[:, place] = columns
        basis = DenseBasis(vectors)
        basis._gram = None if self._gram is None else (basis.version, self._gram[1].copy())
        return basis

    def row(self, j: int) -> Tensor:
        return self.columns(slice(0, self.size), [j])[0]

    def columns(self, place: slice, directions: Sequence[int] | None = None) -> Tensor:
        start, stop, _ = place.indices(self.size)
        numbers = range(self.k) if directions is None else directions
        found = torch.zeros(
            len(numbers), max(0, stop - start), dtype=self.dtype, device=self.device
        )
        generator = torch.Generator()
        for number in self._overlapping(start, stop):
            piece = self._pieces[number].place
            first, last = max(start, piece.start), min(stop, piece.stop)
            for row, j in zip(found, numbers, strict=True):
                values = self._draw(j, number, generator)
                row[first - start : last - start] = values[first - piece.start : last - piece.start]
        return found

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        step = max(1, BLOCK_ELEMENTS // max(1, self.k))
        known = 0
        for piece in self._pieces:
            place = slice(known, piece.place.stop)
            known = place.stop
            columns = self.columns(place)
            for start in range(place.start, place.stop, step):
                part = slice(start, min(start + step, place.stop))
                yield part, columns[:, part.start - place.start : part.stop - place.start]
        if known < self.size:  # what never moves comes last
            yield from self._still(slice(known, self.size), step)

    def _still(self, place: slice, step: int) -> Iterator[tuple[slice, Tensor]]:
        for start in range(place.start, place.stop, step):
            part = slice(start, min(start + step, place.stop))
            yield part, self.columns(part)

    def combine(self, coefficients: npt.ArrayLike) -> Tensor:
        row = np.asarray(coefficients, dtype=np.float64)
        return self._combine(row[None])[0]

    def displacements(self, rows: FloatArray) -> Iterator[Tensor]:
        size = max(1, GROUP_BYTES // max(1, self.size * self.dtype.itemsize))
        for start in range(0, len(rows), size):
            yield from self._made(rows[start : start + size])

    def _made(self, rows: FloatArray) -> Tensor:
        """Displacements (r, P), the latest ones kept.

        The same rows are asked for again with the next split of the data.
        """
        latest = self._latest
        if latest is not None and np.array_equal(latest[0], rows):
            return latest[1]
        self._latest = latest = None  # before others are made
        made = self._combine(rows)
        if made.nbytes <= GROUP_BYTES:
            self._latest = (rows.copy(), made)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None}

    def _combine(self, rows: FloatArray) -> Tensor:
        """Displacements (r, P), each rounded as if it were made alone."""
        total = torch.zeros(len(rows), self.size, dtype=self.dtype, device=self.device)
        used = np.flatnonzero((rows != 0).any(axis=0))
        generator = torch.Generator()
        for number, piece in enumerate(self._pieces):
            for j in used:
                values = self._draw(int(j), number, generator)
                for i in np.flatnonzero(rows[:, j]):
                    total[i, piece.place].add_(values, alpha=float(rows[i, j]))
        return total

    def _overlapping(self, start: int, stop: int) -> range:
        """Numbers of the pieces that have parameters between `start` and `stop`."""
        first = max(0, bisect_right(self._starts, start) - 1)
        if first < len(self._pieces) and self._pieces[first].place.stop <= start:
            first += 1
        return range(first, max(first, bisect_right(self._starts, stop - 1)))

    def _draw(self, j: int, number: int, generator: torch.Generator) -> Tensor:
        """One piece of direction j, shape (p,)."""
        place, norms = self._pieces[number]
        stream = self._first_stream + j * len(self._pieces) + number
        generator.manual_seed(stream & 0xFFFFFFFF)
        # In float32 whatever θ* is in: the same directions for the model in double precision.
        values = torch.empty(place.stop - place.start).normal_(generator=generator).to(self.dtype)
        if norms is None:
            values.mul_(float(self.scales[j]))
        else:
            filters = values.view(len(norms), -1)
            own = filters.norm(dim=1)
            factors = norms * float(self.scales[j]) / torch.where(own > 0, own, 1.0)
            filters.mul_(factors[:, None])
        return values.to(self.device)

    def witness(self) -> Tensor:
        """A few numbers of each direction (k, w), by which another machine's are compared."""
        if not self._pieces:
            return torch.zeros(self.k, 0, dtype=self.dtype)
        generator = torch.Generator()
        drawn = [self._draw(j, 0, generator)[:WITNESS] for j in range(self.k)]
        return torch.stack(drawn).cpu()


def _cut(anchor: Tensor, layout: ParameterLayout, filter_normalised: bool) -> Iterator[_Piece]:
    """The pieces that move, in the order in which they lie in a parameter vector."""
    only_vectors = all(len(shape) < 2 for shape in layout.shapes)
    for _, place, shape in layout.slices():
        if shape.numel() == 0 or (filter_normalised and len(shape) < 2 and not only_vectors):
            continue
        filters = shape[0] if len(shape) > 1 else 1
        length = shape.numel() // filters
        norms = filter_norms(anchor, layout, place, filters).cpu()
        if not filter_normalised and filters == 1:  # plain numbers may be cut anywhere
            filters, length = length, 1
        step = max(1, PIECE // length)
        for first in range(0, filters, step):
            last = min(first + step, filters)
            start = place.start
            yield _Piece(
                slice(start + first * length, start + last * length),
                norms[first:last].clone() if filter_normalised else None,
            )
