"""Extreme eigenpairs of a symmetric matrix that is known by its products with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.basis import FloatArray

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
        ‖A v − λ v‖: how far off each value is at most.
    """

    values: FloatArray
    vectors: Tensor
    residuals: FloatArray


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
        1998, *The Symmetric Eigenvalue Problem*, section 11.7).
    iterations
        At most so many products; as many vectors are kept.
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
    most = min(size, max(iterations, wanted + 1))
    basis = torch.empty(most, size, dtype=like.dtype, device=like.device)
    diagonal: list[float] = []
    beside: list[float] = []
    vector = _fresh(basis[:0], generator, like)
    if start is not None and 0.0 < float(start.norm()) < float("inf"):
        vector = torch.nn.functional.normalize(vector + start / start.norm(), dim=0)
    for step in range(most):
        basis[step] = vector
        image = product(vector)
        along = float(torch.dot(image.double(), vector.double()))
        if not math.isfinite(along):
            raise ValueError(
                "A Hessian-vector product is not finite at these weights. Work in double precision "
                "(model.double()), or look for an operation without a second derivative."
            )
        diagonal.append(along)
        known = basis[: step + 1]
        # By the recurrence first, which takes most, so that one pass over all takes the rest.
        image = image - along * vector
        if step and beside[-1]:
            image -= beside[-1] * known[-2]
        image -= (known @ image) @ known
        length = float(image.double().norm())
        if on_iteration is not None:
            on_iteration(step + 1, most)
        scale = max(map(abs, diagonal), default=0.0) + max(beside, default=0.0)
        exhausted = length <= torch.finfo(like.dtype).eps * max(scale, 1e-300) * 10
        enough = step + 1 >= wanted
        if enough:
            values, shares = _tridiagonal(diagonal, beside)
            chosen = _ends(len(values), top, bottom)
            residuals = np.abs(shares[-1, chosen]) * length
            known_well = _converged(values, chosen, residuals, tolerance)
            if step + 1 == most or (not exhausted and known_well):
                break
        if exhausted:  # the start had no part in the rest of the space: begin anew there
            beside.append(0.0)
            vector = _fresh(known, generator, like)
        else:
            beside.append(length)
            vector = image / length
    vectors = torch.as_tensor(shares[:, chosen].T.copy(), dtype=like.dtype).to(like.device) @ known
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return Eigenpairs(values[chosen], _signed(vectors), residuals)


def _fresh(known: Tensor, generator: torch.Generator, like: Tensor) -> Tensor:
    vector = torch.randn(len(like), generator=generator, dtype=like.dtype).to(like.device)
    for _ in range(2):
        vector = vector - known.T @ (known @ vector)
    unit: Tensor = vector / vector.norm()
    return unit


def _tridiagonal(diagonal: list[float], beside: list[float]) -> tuple[FloatArray, FloatArray]:
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
