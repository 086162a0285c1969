"""Multilayer perceptrons on an affine subspace: one product with the data serves all samples.

Along θ* + Σ_j c_j b_j the first layer's pre-activations are affine in the coefficients,
W x + b = (W* x + b*) + Σ_j c_j (W_j x + b_j), so that k + 1 products are all there are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.coefficients import drop_infinite, padded, poison, with_one
from landscape_widgets.evaluation.mlp.feed_forward import Entry, FeedForward
from landscape_widgets.evaluation.mlp.stacked import Head, Stacked
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.store import Store
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import exact
from landscape_widgets.resources import allowance

# A product pays for itself when so many rows use it.
WORTHWHILE = 2

# (k + 1, features · examples) on each tile, and which directions are left out for not being finite.
Products = tuple[list[Tensor], Tensor]


class SharedStacked(Stacked):
    """As `Stacked`, with the first layer from products that all rows share."""

    name = "shared"

    def __init__(
        self, model: nn.Module, network: FeedForward, anchor: Tensor, examples: int
    ) -> None:
        super().__init__(model, network, anchor, examples)
        self._products: Store[Products] = Store(allowance(anchor.device))
        self._start = self._after_head()

    def _after_head(self) -> int:
        """Where the parameters of the further layers begin: those before are in the products."""
        layer = self.network.head
        head = [e.place for e in (layer.weight, layer.bias) if e is not None and e.place]
        end = max((place.stop for place in head), default=0)
        return end if all(place.start >= end for place in self.network.places) else 0

    def suits(self, request: Request, split: TiledExamples) -> bool:
        if request.columns is None:
            return False
        products = len(request.columns) + 1
        layer = self.network.head.weight.tensor
        needed = products * layer.shape[0] * split.size * layer.element_size()
        if not super().suits(request, split) or needed > self._products.limit:
            return False
        return request.n >= WORTHWHILE * products or self.ready(request, split)

    def ready(self, request: Request, split: TiledExamples) -> bool:
        return request.columns is not None and self._products.holds(
            request.basis, split, request.columns
        )

    def _head(
        self, request: Request, rows: FloatArray, vectors: Tensor, split: TiledExamples
    ) -> Head:
        assert request.columns is not None
        columns = request.columns
        products, infinite = self._products.get(
            request.basis, split, columns, lambda: self._multiply(request, columns, split), bytes_of
        )
        c = padded(poison(with_one(rows, columns, self.anchor), infinite), self.group)
        features = self.network.head.weight.tensor.shape[0]

        def head(some: slice, number: int) -> Tensor:
            group = slice(some.start, some.start + self.group)  # always as many rows
            with exact(c.device):
                h = c[group] @ products[number]
            return h[: some.stop - some.start].view(some.stop - some.start, features, -1)

        return head

    def _multiply(
        self, request: Request, columns: tuple[int, ...], split: TiledExamples
    ) -> Products:
        """Products of θ* and of each direction with the data."""
        with exact(self.anchor.device):
            return self._multiply_exactly(request, columns, split)

    def _multiply_exactly(
        self, request: Request, columns: tuple[int, ...], split: TiledExamples
    ) -> Products:
        matrix, bias = self._head_of(request, columns)
        products = [
            torch.addmm(bias, matrix, features).view(len(columns) + 1, -1)
            for features in self._features(split)
        ]
        return products, drop_infinite(products)

    def _head_of(self, request: Request, columns: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The first layer at θ* and along each direction: ((k + 1) · out, in) and (…, 1)."""
        layer = self.network.head
        matrix = self._stack(request, columns, layer.weight).flatten(0, 1)
        if layer.bias is None:
            return matrix, matrix.new_zeros(len(matrix), 1)
        return matrix, self._stack(request, columns, layer.bias).reshape(-1, 1)

    def _stack(self, request: Request, columns: tuple[int, ...], entry: Entry) -> Tensor:
        """One tensor of the model at θ* and along each direction, (k + 1, *shape)."""
        shape = entry.tensor.shape
        stack = self.anchor.new_zeros(len(columns) + 1, shape.numel())
        if entry.place is None:
            stack[0] = entry.tensor.reshape(-1)
        else:
            stack[0] = self.anchor[entry.place]
            if columns:
                stack[1:] = request.basis.columns(entry.place, columns).to(stack)
        return stack.view(-1, *shape)


def bytes_of(products: Products) -> int:
    """Memory that products take."""
    return sum(product.nbytes for product in products[0])
