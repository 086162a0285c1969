"""How many eigenvalues of the Hessian lie where, by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.curvature.lanczos import Eigenpairs, tridiagonal
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import accumulated

STARTS, STEPS = 6, 50
BINS = 60


@dataclass(frozen=True)
class Density:
    """The spectrum as masses at places: all of them together are the P eigenvalues.

    Attributes
    ----------
    parameters : int
        P.
    places, masses : tuple of arrays
        Of each start: where, and how many eigenvalues it puts there; the masses of one start add up
        to P. Of a matrix that is known, the eigenvalues themselves, each of mass 1.
    """

    parameters: int
    places: tuple[FloatArray, ...]
    masses: tuple[FloatArray, ...]

    def __repr__(self) -> str:
        low, high = self.range
        return (
            f"<Density of {self.parameters:,} eigenvalues in [{low:.4g}, {high:.4g}], "
            f"{self.below(0.0)[0]:.4g} of them below 0>"
        )

    @property
    def range(self) -> tuple[float, float]:
        """The outermost places."""
        return min(float(x.min()) for x in self.places), max(float(x.max()) for x in self.places)

    @property
    def is_exact(self) -> bool:
        """Whether these are the eigenvalues themselves."""
        return len(self.places) == 1 and bool((self.masses[0] == 1.0).all())

    def below(self, value: float) -> tuple[float, float]:
        """How many eigenvalues lie below a value, with the standard error over the starts."""
        found = [float(m[x < value].sum()) for x, m in zip(self.places, self.masses, strict=True)]
        return float(np.mean(found)), float(self._error(np.array(found)[:, None])[0])

    def counts(self, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How many eigenvalues lie between each two of `edges` (n + 1,), and standard errors, (n,).

        Of an estimate the errors are those of the random starts; that a start puts the eigenvalues
        between two of its places on these two is not in them.
        """
        each = np.stack(
            [
                np.histogram(x, edges, weights=m)[0]
                for x, m in zip(self.places, self.masses, strict=True)
            ]
        )
        return each.mean(axis=0), self._error(each)

    def edges(self, bins: int = BINS) -> FloatArray:
        """Bins of equal width over all places, one of them around 0.

        What is 0 but for rounding lies on either side of it.
        """
        low, high = self.range
        low, high = min(low, 0.0), max(high, 0.0)
        width = (high - low) / max(1, bins - 1) or 1.0
        first, last = round(low / width), round(high / width)
        found = (np.arange(first, last + 2) - 0.5) * width
        # The outermost place belongs to a bin, wherever rounding has put it.
        found[0], found[-1] = min(found[0], low), max(found[-1], high)
        return np.asarray(found)

    def to_frame(self, bins: int = BINS) -> pd.DataFrame:
        """One row for each bin: low, high, count, error, log10_count."""
        edges = self.edges(bins)
        counts, errors = self.counts(edges)
        with np.errstate(divide="ignore"):
            logs = np.log10(counts)
        columns = {"low": edges[:-1], "high": edges[1:], "count": counts, "error": errors}
        return pd.DataFrame({**columns, "log10_count": logs})

    def _error(self, each: FloatArray) -> FloatArray:
        """The standard error of a mean over the starts (s, n), (n,); 0 of what is known."""
        if self.is_exact:
            return np.zeros(each.shape[1])
        if len(each) < 2:
            return np.full(each.shape[1], np.nan)
        return np.asarray(each.std(axis=0, ddof=1) / np.sqrt(len(each)))


def exact_density(matrix: Tensor) -> Density:
    """The spectrum of a matrix (P, P) that is known."""
    values = np.linalg.eigvalsh(matrix.numpy())
    return Density(len(values), (values,), (np.ones(len(values)),))


def quadrature(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    *,
    generator: torch.Generator,
    known: Eigenpairs | None = None,
    starts: int = STARTS,
    steps: int = STEPS,
    on_product: Callable[[int, int, Density | None], None] | None = None,
) -> Density:
    """The spectral density of a symmetric matrix A by stochastic Lanczos quadrature.

    For a random start v of length 1 and m steps of Lanczos, the eigenvalues θ_k of the tridiagonal
    matrix and the squares τ_k of their eigenvectors' first entries are a Gauss quadrature:
    Σ_k τ_k f(θ_k) = vᵀ f(A) v for all polynomials f of degree below 2m, and E[vᵀ f(A) v] is the
    mean of f over A's eigenvalues (Ghorbani et al. 2019, arXiv:1901.10159). Vectors are not made
    orthogonal to all before them, so that three are held at a time: rounding then has an eigenvalue
    stand several times with its mass shared among these, and the quadrature holds (Greenbaum 1989,
    "Behavior of slightly perturbed Lanczos and conjugate-gradient recurrences").

    Parameters
    ----------
    product
        v (P,) → A v (P,).
    like : Tensor (P,)
        Precision and device to work in.
    generator
        On the CPU.
    known : Eigenpairs, optional
        Eigenvectors that are known already: each counts as one eigenvalue where it is, and the
        starts are at right angles to all of them.
    starts, steps : int
        Products are taken for each step of each start.
    on_product
        Told after each product how many of how many are done, and the density from the starts that
        are done (None before the first is); what it raises ends the work.

    Raises
    ------
    ValueError
        If a product is not finite.

    Examples
    --------
    >>> A = torch.diag(torch.tensor([4.0, 1.0, 1.0, -1.0]))
    >>> found = quadrature(lambda v: A @ v, A[0], generator=torch.Generator().manual_seed(0))
    >>> [round(place, 4) for place in found.range]
    [-1.0, 4.0]
    """
    beside = like.new_zeros(0, len(like)) if known is None else known.vectors
    values = np.zeros(0) if known is None else known.values
    rest = len(like) - len(beside)
    if not rest:
        return Density(len(like), (values,), (np.ones_like(values),))
    steps = min(steps, rest)
    places: list[FloatArray] = []
    masses: list[FloatArray] = []
    found: Density | None = None
    for start in range(starts):
        diagonal: list[float] = []
        offsets: list[float] = []
        vector = torch.randn(len(like), generator=generator, dtype=like.dtype).to(like.device)
        for _ in range(2):  # once more, as what is left of a vector may be small
            vector = vector - (beside @ vector) @ beside
            vector = vector / vector.norm()
        before = torch.zeros_like(vector)
        for step in range(steps):
            image = product(vector) - (offsets[-1] if offsets else 0.0) * before
            image = image - (beside @ image) @ beside
            along = float(torch.dot(accumulated(image), accumulated(vector)))
            if not math.isfinite(along):
                raise ValueError(
                    "A Hessian-vector product is not finite at these weights. Work in double "
                    "precision (model.double()), or look for an operation without a second "
                    "derivative."
                )
            diagonal.append(along)
            before, image = vector, image - along * vector
            length = float(accumulated(image).norm())
            is_last = step + 1 == steps
            scale = max(map(abs, diagonal)) + max(offsets, default=0.0)
            exhausted = length <= 10 * torch.finfo(like.dtype).eps * scale
            if is_last or exhausted:
                ritz, shares = tridiagonal(diagonal, offsets)
                places.append(np.append(values, ritz))
                masses.append(np.append(np.ones_like(values), rest * shares[0] ** 2))
                found = Density(len(like), tuple(places), tuple(masses))
            if on_product is not None:
                done = start * steps + (steps if exhausted else step + 1)
                on_product(done, starts * steps, found)
            if exhausted:
                break
            offsets.append(length)
            vector = image / length
    assert found is not None
    return found
