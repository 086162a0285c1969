"""Buffers that move with the weights: the batch statistics that other checkpoints bring along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Buffers:
    """Of each direction b_j, how far it takes the buffers: β = β* + Σ_j c_j d_j.

    At a sample that is a checkpoint (one coefficient 1, the others 0) these are the checkpoint's
    own. In between they are interpolated, each number by itself, and beyond the ends they are held:
    no variance falls below the least of θ*'s and of those that are mixed.

    Attributes
    ----------
    names : tuple of str
        In the model.
    shapes : tuple of torch.Size
    anchor : Tensor (Q,), float64
        θ*'s own, flattened one after the other.
    moves : Tensor (k, Q), float64
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    anchor: Tensor
    moves: Tensor

    @classmethod
    def of(
        cls, anchor: Mapping[str, Tensor], others: Sequence[Mapping[str, Tensor]]
    ) -> Buffers | None:
        """From θ*'s buffers to those of others, by name; None where none differ.

        What one of the others does not bring stays as it is at θ*.
        """
        names = [
            name
            for name, value in anchor.items()
            if any(name in other and not _equal(other[name], value) for other in others)
        ]
        if not names:
            return None
        start = torch.cat([_flat(anchor[name]) for name in names])
        ends = [torch.cat([_flat(other.get(n, anchor[n])) for n in names]) for other in others]
        shapes = tuple(anchor[name].shape for name in names)
        return cls(tuple(names), shapes, start, torch.stack(ends) - start)

    @property
    def k(self) -> int:
        """Number of directions."""
        return len(self.moves)

    def flat_at(self, row: FloatArray) -> Tensor:
        """All of them at θ* + Σ_j c_j b_j, (Q,), for one row of k coefficients."""
        used = torch.as_tensor(row != 0)
        moves = self.moves[used]
        c = torch.as_tensor(row, dtype=torch.float64)[used]
        found = self.anchor + c @ moves
        low = self.anchor + moves.amin(dim=0).clamp(max=0.0) if len(moves) else self.anchor
        high = self.anchor + moves.amax(dim=0).clamp(min=0.0) if len(moves) else self.anchor
        return torch.minimum(torch.maximum(found, low), high)

    def at(self, row: FloatArray) -> dict[str, Tensor]:
        """As `flat_at`, by name."""
        sizes = [shape.numel() for shape in self.shapes]
        parts = torch.split(self.flat_at(row), sizes)
        return {
            name: part.view(shape)
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }

    def taken(self, rows: FloatArray) -> Buffers:
        """For directions that are sums of these, one for each of `rows` (n, k)."""
        ends = torch.stack([self.flat_at(row) for row in rows])
        return Buffers(self.names, self.shapes, self.anchor, ends - self.anchor)


def concatenated(parts: Sequence[tuple[int, Buffers | None]]) -> Buffers | None:
    """For the directions of several bases, one after the other: (k, buffers) of each."""
    held = [buffers for _, buffers in parts if buffers is not None]
    if not held:
        return None
    anchor: dict[str, Tensor] = {}
    for buffers in held:
        anchor.update(buffers.at(torch.zeros(buffers.k, dtype=torch.float64).numpy()))
    rows: list[dict[str, Tensor]] = []
    for k, one in parts:
        if one is None:
            rows += [{}] * k
        else:
            eye = torch.eye(k, dtype=torch.float64).numpy()
            rows += [one.at(row) for row in eye]
    return Buffers.of(anchor, rows)


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).to("cpu", torch.float64)


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(_flat(one), _flat(other))
