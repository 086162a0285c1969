"""Extreme eigenpairs of the Hessian of a landscape's loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from landscape_widgets.curvature.lanczos import Eigenpairs, extreme_eigenpairs
from landscape_widgets.objective.objective import Objective


def hessian_eigenpairs(
    objective: Objective,
    theta: Tensor | None = None,
    *,
    top: int = 1,
    bottom: int = 0,
    seed: int | torch.Generator = 0,
    tolerance: float = 1e-3,
    iterations: int = 100,
    on_iteration: Callable[[int, int], None] | None = None,
    buffers: Mapping[str, Tensor] | None = None,
) -> Eigenpairs:
    """The largest and the smallest eigenvalues of the Hessian of the mean training loss.

    Parameters
    ----------
    objective
    theta : Tensor (P,), optional
        Where; at the trained weights by default.
    top, bottom, tolerance, iterations, on_iteration
        As for `extreme_eigenpairs`.
    seed : int or torch.Generator
        Of the start.
    buffers : mapping, optional
        Those of the model, by name, that are not as at θ*.

    Residuals are measured in float64 where the model can be run in it, whatever its own precision.

    Raises
    ------
    ValueError
        As from `extreme_eigenpairs`.

    Examples
    --------
    >>> from landscape_widgets.objective.objective import Objective
    >>> model = torch.nn.Linear(2, 1, bias=False)  # the loss is the mean of (w·x − y)²
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    >>> hessian_eigenpairs(Objective(model, (x, torch.zeros(2, 1))), top=2).values.round(5)
    array([9., 1.])
    """
    theta = objective.anchor if theta is None else theta
    generator = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
    with objective.with_buffers(buffers or {}):
        product, exact = objective.hessian(theta), objective.exact_hessian(theta)
    # Most of the gradient lies along the top eigenvectors (Gur-Ari et al. 2018, arXiv:1812.04754).
    return extreme_eigenpairs(
        product, objective.anchor, top=top, bottom=bottom, generator=generator,
        start=product.gradient(), tolerance=tolerance, iterations=iterations,
        exact=exact, on_iteration=on_iteration,
    )  # fmt: skip
