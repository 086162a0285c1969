"""The trace of the Hessian, of all parameters and of each layer's, by Hutch++."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import accumulated
from landscape_widgets.resources import free_memory
from landscape_widgets.task.parameters import ParameterLayout

PRODUCTS = 90  # with the Hessian, a third of them for each of Hutch++'s steps


@dataclass(frozen=True)
class Layers:
    """Which parameters are whose: a layer is a module with trainable tensors of its own.

    Attributes
    ----------
    names : tuple of str
        As in `named_modules`; a tensor of the model itself goes by its own name.
    sizes : tuple of int
        Parameters of each.
    owners : tuple of int
        The layer of each tensor, in the order of the parameter vector.
    lengths : tuple of int
        Parameters of each tensor.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    owners: tuple[int, ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, layout: ParameterLayout) -> Layers:
        """The layers of a model."""
        owners = [name.rpartition(".")[0] or name for name in layout.names]
        names = list(dict.fromkeys(owners))
        lengths = [shape.numel() for shape in layout.shapes]
        pairs = list(zip(owners, lengths, strict=True))
        sizes = [sum(n for owner, n in pairs if owner == name) for name in names]
        places = [names.index(owner) for owner in owners]
        return cls(tuple(names), tuple(sizes), tuple(places), tuple(lengths))

    def sums(self, values: Tensor) -> FloatArray:
        """Sums over each layer's part of a vector (P,), (L,)."""
        parts = [float(part.sum()) for part in torch.split(values, list(self.lengths))]
        return np.bincount(self.owners, parts, len(self.names)).astype(np.float64)


@dataclass(frozen=True)
class Trace:
    """The trace of the Hessian, the sum of its eigenvalues.

    Attributes
    ----------
    value, error : float
        With its standard error: 0 where every diagonal entry was taken, NaN where one sample alone
        was drawn.
    layers : tuple of str
    sizes : tuple of int
        Parameters of each layer.
    of_layers, errors : array (L,)
        The trace of each layer's own block, with its standard error; they add up to `value`.
    products : int
        With the Hessian, that it took.
    """

    value: float
    error: float
    layers: tuple[str, ...]
    sizes: tuple[int, ...]
    of_layers: FloatArray
    errors: FloatArray
    products: int

    def __repr__(self) -> str:
        return f"<Trace {self.value:.4g} ± {self.error:.1g}, {len(self.layers)} layers>"

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer: parameters, trace, error, and its mean curvature."""
        columns = {
            "parameters": self.sizes,
            "trace": self.of_layers,
            "error": self.errors,
            "mean_curvature": self.of_layers / np.asarray(self.sizes),
        }
        return pd.DataFrame(columns, index=pd.Index(self.layers, name="layer"))


def exact_trace(matrix: Tensor, layers: Layers) -> Trace:
    """The trace of a matrix (P, P) that is known."""
    found = layers.sums(matrix.diagonal())
    zeros = np.zeros_like(found)
    return Trace(float(found.sum()), 0.0, layers.names, layers.sizes, found, zeros, len(matrix))


def hutchpp(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    layers: Layers,
    *,
    generator: torch.Generator,
    products: int = PRODUCTS,
    on_product: Callable[[int, int, Trace | None], None] | None = None,
) -> Trace:
    """The trace of a symmetric matrix A by Hutch++, and that of each layer's block on its diagonal.

    Q spans A S, S random signs, where most of A is if few of its eigenvalues are large;
    Π = I − Q Qᵀ leads out of it. With z random signs and u = Π z,

        tr A = tr(Qᵀ A Q) + E[uᵀ A u]                  (Meyer et al. 2021, arXiv:2010.09649).

    With E_l the projection on layer l's parameters, tr(E_l A) = Σ_j q_jᵀ E_l A q_j + E[uᵀ E_l A u],
    as tr(Q Qᵀ E_l A Π) = tr(E_l A Π Q Qᵀ) = 0: the same products tell of all layers.

    Parameters
    ----------
    product
        v (P,) → A v (P,).
    like : Tensor (P,)
        Precision and device to work in.
    layers
    generator
        On the CPU.
    products : int
        As many are taken: a third to find Q, a third for A Q, a third for samples of u. Of long
        vectors Q has as many as fit into a quarter of the free memory, and the rest are samples.
    on_product
        Told after each product how many of how many are done, and the estimate as it is by then
        (None before the second sample); what it raises ends the work.

    Raises
    ------
    ValueError
        If fewer than two products are asked for, or one is not finite.

    Examples
    --------
    >>> A = torch.diag(torch.arange(1.0, 101.0))
    >>> layers = Layers(("a", "b"), (40, 60), (0, 1), (40, 60))
    >>> found = hutchpp(lambda v: A @ v, A[0], layers, generator=torch.Generator().manual_seed(0))
    >>> abs(found.value - 5050.0) < 3 * found.error
    True
    """
    if products < 2:
        raise ValueError(f"products={products}; 2 or more are expected, for a standard error.")
    size, width = len(like), 2 * like.element_size() * len(like)
    rank = min(products // 3, size // 3, free_memory(like.device) // (4 * width))
    samples = products - 2 * rank
    done = 0

    def signs() -> Tensor:
        drawn = torch.randint(0, 2, (size,), generator=generator, dtype=torch.int8)
        return (2 * drawn - 1).to(like)

    def applied(vector: Tensor) -> Tensor:
        nonlocal done
        image = product(vector)
        if not bool(image.isfinite().all()):
            raise ValueError(
                "A Hessian-vector product is not finite at these weights. Work in double precision "
                "(model.double()), or look for an operation without a second derivative."
            )
        done += 1
        return image

    def tell(found: Trace | None = None) -> None:
        if on_product is not None:
            on_product(done, products, found)

    sketch = like.new_empty(size, rank)
    for j in range(rank):
        sketch[:, j] = applied(signs())
        tell()
    q = torch.linalg.qr(sketch)[0] if rank else sketch
    inside = np.zeros(len(layers.names))
    for j in range(rank):
        inside += layers.sums(accumulated(q[:, j]) * accumulated(applied(q[:, j])))
        tell()
    outside: list[FloatArray] = []
    while True:
        u = signs()
        for _ in range(2):  # once more, as what is left of a vector may be small
            u = u - q @ (q.T @ u)
        outside.append(layers.sums(accumulated(u) * accumulated(applied(u))))
        found = _estimate(inside, np.stack(outside), layers, done)
        tell(found if len(outside) > 1 else None)
        if len(outside) == samples:
            return found


def _estimate(inside: FloatArray, outside: FloatArray, layers: Layers, products: int) -> Trace:
    """From what Q tells of each layer (L,), and each of the samples beside it (n, L)."""
    count = len(outside)
    of_layers = inside + outside.mean(axis=0)

    def error(values: FloatArray) -> FloatArray:
        spread = values.std(axis=0, ddof=1) if count > 1 else np.full(values.shape[1:], np.nan)
        return np.asarray(spread / np.sqrt(count))

    return Trace(
        float(of_layers.sum()),
        float(error(outside.sum(axis=1))),
        layers.names,
        layers.sizes,
        of_layers,
        error(outside),
        products,
    )
