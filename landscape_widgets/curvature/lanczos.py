"""Extreme eigenpairs of a symmetric matrix that is known by its products with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import accumulated

ROUNDING = 16  # units in the last place of ‖A v‖ by which a product of a network is off
LOST = 0.1  # of a vector's length, below which it is made orthogonal once more
FAR = 10.0  # residuals from what was found, within which nothing new is looked for
ASKED = 5  # products after which residuals that were too large are measured again
ACCURACY = 1e-6  # of values, relative: products in float32 are known to a few times 1e-7


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues in falling order, with their vectors.

    Attributes
    ----------
    values : array (k,)
    vectors : Tensor (k, P)
        Of length 1, at right angles.
    residuals : array (k,)
        ‖A v − λ v‖, with one more product for each pair: an eigenvalue of A is no further from λ
        than this (Parlett 1998, *The Symmetric Eigenvalue Problem*, theorem 4.5.1).
    rounding : float
        What the arithmetic of these products may add to a residual, or take from it.
    """

    values: FloatArray
    vectors: Tensor
    residuals: FloatArray
    rounding: float = 0.0

    @property
    def errors(self) -> FloatArray:
        """How far off each value is at most, (k,)."""
        return self.residuals + self.rounding

    def ends(self, top: int) -> tuple[float, float]:
        """The largest of the smallest and the smallest of the `top` largest values."""
        low = self.values[top] if top < len(self.values) else -np.inf
        return float(low), float(self.values[top - 1]) if top else np.inf

    @property
    def words(self) -> str:
        """The values and their errors, and which of them the arithmetic cannot tell from 0."""
        pairs = zip(self.values, self.errors, strict=True)
        said = ", ".join(f"{value:.4g} ± {error:.1g}" for value, error in pairs)
        lost = int((np.abs(self.values) <= self.rounding).sum())
        if lost:
            said += (
                f"; {lost} of them {'is' if lost == 1 else 'are'} not told from 0 in this "
                "precision. Work in double precision: model.double()."
            )
        return said


def measured(product: Callable[[Tensor], Tensor], vectors: Tensor) -> Eigenpairs:
    """Rayleigh quotients of vectors (k, P) of length 1, with residuals, in the product's precision.

    Of all numbers, the quotient vᵀA v makes ‖A v − λ v‖ least.
    """
    values, residuals, largest, epsilon = [], [], 0.0, 0.0
    for vector in vectors:
        image = product(vector)
        epsilon = torch.finfo(image.dtype).eps
        v, image = accumulated(vector), accumulated(image)
        length = v.norm()
        v, image = v / length, image / length
        value = torch.dot(v, image)
        values.append(float(value))
        residuals.append(float((image - value * v).norm()))
        largest = max(largest, float(image.norm()))
    order = np.argsort(values, kind="stable")[::-1].copy()
    return Eigenpairs(
        np.array(values)[order],
        vectors[torch.as_tensor(order, device=vectors.device)],
        np.array(residuals)[order],
        ROUNDING * epsilon * largest,
    )


def extreme_eigenpairs(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    *,
    top: int = 1,
    bottom: int = 0,
    generator: torch.Generator,
    start: Tensor | None = None,
    tolerance: float = 1e-4,
    iterations: int = 100,
    exact: Callable[[Tensor], Tensor] | None = None,
    repeated: bool = True,
    on_iteration: Callable[[int, int], None] | None = None,
) -> Eigenpairs:
    """The largest and the smallest eigenvalues of a symmetric matrix A, by Lanczos.

    A is projected on the Krylov space of a random start, where it is tridiagonal:
    A Vᵀ = Vᵀ T + β_m v_{m+1} e_mᵀ. Vectors are made orthogonal to all before them, without which
    rounding brings the same eigenvalue again and again (Golub & Van Loan, section 10.3).

    Parameters
    ----------
    product
        v (P,) → A v (P,).
    like : Tensor (P,)
        Precision and device to work in.
    top, bottom : int
        How many from each end.
    generator
        For the start, on the CPU.
    start : Tensor (P,), optional
        What is thought to lie near the eigenvectors: the start is half of this, half random.
    tolerance
        Stop when all residuals are below this share of the largest |λ|, and all values known to
        `ACCURACY`: a value errs by its residual squared over its distance to the next one (Parlett
        1998, section 11.7). The recurrence says when that seems to be so; it is so when ‖A v − λ v‖
        says it too.
    iterations
        At most so many products; as many vectors are kept.
    exact : callable, optional
        The same products in a higher precision than that of `like`, to measure residuals by.
    repeated : bool
        Whether to look for the same values again, which takes up to twice as many products.
    on_iteration
        Told after each product how many of how many are done; what it raises ends the work.

    Raises
    ------
    ValueError
        If more pairs are asked for than there are dimensions, or a product is not finite.

    Examples
    --------
    >>> A = torch.diag(torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64))
    >>> pairs = extreme_eigenpairs(lambda v: A @ v, A[0], top=1, bottom=1,
    ...                            generator=torch.Generator().manual_seed(0))
    >>> pairs.values.round(6)
    array([ 3., -1.])
    """
    size, wanted = len(like), top + bottom
    if not 1 <= wanted <= size:
        raise ValueError(
            f"{top} top and {bottom} bottom eigenvectors were asked for; between 1 and {size}, the "
            "number of parameters, are expected."
        )
    told = (0, 0)

    def tell(done: int, most: int) -> None:
        nonlocal told  # a search for equal values begins anew, and is seldom as long
        told = (max(told[0], done), max(told[1], most))
        if on_iteration is not None:
            on_iteration(*told)

    search = partial(
        _lanczos, product, like, generator=generator, tolerance=tolerance, exact=exact,
        iterations=iterations, on_iteration=tell,
    )  # fmt: skip
    found = search(top=top, bottom=bottom, start=start)
    while repeated and wanted < size:
        # A start has one vector of each eigenspace: what is at right angles to all that was found
        # may hold the same values again.
        ends = (min(top, 1), min(bottom, 1, size - wanted - min(top, 1)))
        further = search(
            top=ends[0], bottom=ends[1], beside=found.vectors, within=found.ends(top),
            largest=float(np.abs(found.values).max()),
        )  # fmt: skip
        merged = _merged(found, further, top, bottom)
        if merged is None:
            break
        found = merged
    return found


def _merged(found: Eigenpairs, further: Eigenpairs, top: int, bottom: int) -> Eigenpairs | None:
    """The extreme ones of all pairs; None where those are the ones that were found already."""
    low, high = found.ends(top)
    margin = found.errors.max() + further.errors
    if not ((further.values > high + margin) | (further.values < low - margin)).any():
        return None
    values = np.concatenate([found.values, further.values])
    order = np.argsort(values, kind="stable")[::-1]
    chosen = np.concatenate([order[:top], order[len(order) - bottom :]])
    vectors = torch.cat([found.vectors, further.vectors])
    return Eigenpairs(
        values[chosen],
        vectors[torch.as_tensor(chosen, device=vectors.device)],
        np.concatenate([found.residuals, further.residuals])[chosen],
        max(found.rounding, further.rounding),
    )


def _lanczos(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    *,
    top: int,
    bottom: int,
    generator: torch.Generator,
    tolerance: float,
    iterations: int,
    exact: Callable[[Tensor], Tensor] | None,
    on_iteration: Callable[[int, int], None],
    start: Tensor | None = None,
    beside: Tensor | None = None,
    within: tuple[float, float] | None = None,
    largest: float = 0.0,
) -> Eigenpairs:
    """The extreme eigenpairs that one start leads to, at right angles to the rows of `beside`.

    The largest |λ| that is known by now says what is rounding.

    With `within`, it is enough to see that all values lie between these two.
    """
    beside = like.new_zeros(0, len(like)) if beside is None else beside
    size, wanted, first = len(like) - len(beside), top + bottom, len(beside)
    most = min(size, max(iterations, wanted + 1))
    basis = torch.empty(first + most, len(like), dtype=like.dtype, device=like.device)
    basis[:first] = beside
    kind = torch.finfo(like.dtype)
    diagonal: list[float] = []
    offsets: list[float] = []
    asked = 0  # the step from which on the matrix itself is asked whether all is known
    vector = _fresh(beside, generator, like)
    if start is not None and 0.0 < float(start.norm()) < float("inf"):
        near = start / start.norm()
        both = vector + near
        vector = both / both.norm() if float(both.norm()) > 0.1 else near
    for step in range(most):
        basis[first + step] = vector
        image = product(vector)
        along = float(torch.dot(accumulated(image), accumulated(vector)))
        if not math.isfinite(along):
            raise ValueError(
                "A Hessian-vector product is not finite at these weights. Work in double precision "
                "(model.double()), or look for an operation without a second derivative."
            )
        diagonal.append(along)
        known = basis[: first + step + 1]
        # By the recurrence first, which takes most, so that one pass over all takes the rest.
        image = image - along * vector
        if step and offsets[-1]:
            image -= offsets[-1] * known[-2]
        size_before = float(image.norm())
        image -= (known @ image) @ known
        length = float(accumulated(image).norm())
        if length < LOST * size_before:  # what is left is rounding of what was taken away
            image -= (known @ image) @ known
            length = float(accumulated(image).norm())
        on_iteration(step + 1, most)
        scale = max(largest, *map(abs, diagonal)) + max(offsets, default=0.0)
        exhausted = length <= kind.eps * scale * 10 + kind.tiny / kind.eps
        if step + 1 >= wanted:
            values, shares = tridiagonal(diagonal, offsets)
            chosen = _ends(len(values), top, bottom)
            residuals = np.abs(shares[-1, chosen]) * length
            enough = _converged(values, chosen, residuals, tolerance)
            if within is not None and step >= ASKED:
                room = FAR * residuals
                enough |= bool(
                    (values[chosen] + room < within[1]).all()
                    and (values[chosen] - room > within[0]).all()
                )
            last = step + 1 == most
            if last or (enough and not exhausted and step >= asked):
                vectors = torch.as_tensor(shares[:, chosen].T.copy(), dtype=like.dtype)
                vectors = vectors.to(like.device) @ known[first:]
                vectors = _signed(vectors / vectors.norm(dim=1, keepdim=True))
                if within is not None and not _converged(values, chosen, residuals, tolerance):
                    return Eigenpairs(values[chosen], vectors, residuals)
                found = measured(exact or product, vectors)
                floor = ROUNDING * kind.eps + tolerance
                if last or found.residuals.max() <= floor * max(abs(values[0]), abs(values[-1])):
                    break
                asked = step + ASKED
        if exhausted:  # the start had no part in the rest of the space: begin anew there
            offsets.append(0.0)
            vector = _fresh(known, generator, like)
        else:
            offsets.append(length)
            vector = image / length
    return found


def _fresh(known: Tensor, generator: torch.Generator, like: Tensor) -> Tensor:
    vector = torch.randn(len(like), generator=generator, dtype=like.dtype).to(like.device)
    for _ in range(3):
        vector = vector - known.T @ (known @ vector)
        vector = vector / vector.norm()
    return vector


def tridiagonal(diagonal: list[float], beside: list[float]) -> tuple[FloatArray, FloatArray]:
    # As in scipy's eigh_tridiagonal, whose checks take longer than this does.
    from scipy.linalg.lapack import dstev

    values, shares, failed = dstev(diagonal, beside[: len(diagonal) - 1] or [0.0])
    assert not failed
    return values, shares


def _converged(
    values: FloatArray, chosen: list[int], residuals: FloatArray, tolerance: float
) -> bool:
    """Whether residuals, and the errors of values that follow from them, are small enough."""
    largest = max(abs(values[0]), abs(values[-1]))
    if residuals.max() > tolerance * largest:
        return False
    gaps = np.diff(values, prepend=-np.inf, append=np.inf)
    apart = np.minimum(gaps[:-1], gaps[1:])[chosen]
    errors = residuals * np.minimum(1.0, residuals / np.maximum(apart, 1e-300))
    floor = np.maximum(np.abs(values[chosen]), tolerance * largest)
    return bool((errors <= ACCURACY * floor).all())


def _ends(count: int, top: int, bottom: int) -> list[int]:
    """Places of the largest and the smallest among values in rising order, largest first."""
    return [*range(count - 1, count - 1 - top, -1), *range(bottom - 1, -1, -1)]


def _signed(vectors: Tensor) -> Tensor:
    """The sign of an eigenvector is arbitrary: make its largest entry positive."""
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    return vectors * torch.sign(vectors.gather(1, largest))
