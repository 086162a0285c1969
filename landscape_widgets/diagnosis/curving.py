"""How the loss curves at a point: extreme eigenvalues of the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.curvature.lanczos import Eigenpairs, extreme_eigenpairs, measured
from landscape_widgets.diagnosis.point import Point
from landscape_widgets.precision import accumulated

DENSE = 64  # weights, up to which the whole Hessian is written down
BOTTOM = 2  # eigenvalues that are looked for at the lower end
PRODUCTS, FEW = 50, 4  # at most, of small models and of large ones
TOLERANCE = 1e-3  # of the largest eigenvalue
DIFFERENCES = 0.02  # of the largest eigenvalue, which differences of gradients are off by


@dataclass(frozen=True)
class Curving:
    """Extreme eigenvalues, and the directions along which the loss curves downwards.

    Attributes
    ----------
    top, bottom : float
    top_error, bottom_error : float
        Residual and rounding: some eigenvalue is no further away than this.
    negative : int
        Eigenvalues below zero by more than their errors, as far as was looked.
    whole : bool
        All eigenvalues are known, not just these.
    downwards : Tensor (k, P)
        Eigenvectors of those below zero.
    lowest : Tensor (P,)
        The eigenvector of the lowest.
    """

    top: float
    bottom: float
    top_error: float
    bottom_error: float
    negative: int
    whole: bool
    downwards: Tensor
    lowest: Tensor

    @property
    def level(self) -> bool:
        """Whether the lowest eigenvalue is not told from zero."""
        return abs(self.bottom) <= self.bottom_error


def curving(point: Point, gradient: Tensor) -> Curving:
    """The ends of the Hessian's spectrum at a point.

    The whole matrix of a model of few weights, else by Lanczos: what a Rayleigh quotient says is
    below zero is so, but that none was found below zero is no proof that there is none.

    Raises
    ------
    ValueError
        If a product is not finite.
    """
    product = point.product()
    if point.thorough and len(gradient) <= DENSE:
        rows = []
        for number, unit in enumerate(torch.eye(len(gradient)).to(gradient)):
            point.tell("curvature", number, len(gradient))
            rows.append(accumulated(product(unit)))
        matrix = torch.stack(rows)
        if not bool(matrix.isfinite().all()):
            raise ValueError("A Hessian-vector product is not finite at these weights.")
        _, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
        pairs = measured(point.exact or product, vectors.T.flip(0).to(gradient))
        return _of(pairs, whole=True)
    small = point.thorough
    bottom = min(BOTTOM if small else 1, len(gradient) - 1)
    pairs = extreme_eigenpairs(
        product, gradient, top=1, bottom=bottom, generator=point.generator, start=gradient,
        tolerance=TOLERANCE if small else 0.1, iterations=PRODUCTS if small else FEW,
        exact=point.exact, repeated=False,
        on_iteration=lambda done, most: point.tell("curvature", done, most),
    )  # fmt: skip
    return _of(pairs, whole=False, off=0.0 if small else DIFFERENCES)


def _of(pairs: Eigenpairs, *, whole: bool, off: float = 0.0) -> Curving:
    errors = pairs.errors + off * np.abs(pairs.values).max()
    below = pairs.values < -errors
    rows = torch.as_tensor(np.flatnonzero(below)[::-1].copy(), device=pairs.vectors.device)
    return Curving(
        float(pairs.values[0]), float(pairs.values[-1]), float(errors[0]), float(errors[-1]),
        int(below.sum()), whole, pairs.vectors[rows], pairs.vectors[-1],
    )  # fmt: skip
