"""The Hessian as a matrix, of models with fewer columns than an estimate takes products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from landscape_widgets.precision import accumulated

MOST = 256  # parameters


def dense(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    on_product: Callable[[int, int], None] | None = None,
) -> Tensor:
    """A symmetric matrix (P, P), known by its products, in float64 on the CPU.

    `like`, (P,), has the precision and the device to work in. `on_product` is told after each
    product how many of how many are done; what it raises ends the work.

    Examples
    --------
    >>> A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    >>> dense(lambda v: A @ v, A[0])
    tensor([[2., 1.],
            [1., 3.]], dtype=torch.float64)
    """
    size = len(like)
    columns = torch.empty(size, size, dtype=torch.float64)
    unit = torch.zeros_like(like)
    for j in range(size):
        unit[j] = 1.0
        columns[j] = accumulated(product(unit)).cpu()
        unit[j] = 0.0
        if on_product is not None:
            on_product(j + 1, size)
    return (columns + columns.T) / 2
