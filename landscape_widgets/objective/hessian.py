"""The Hessian of the mean loss, as products with vectors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.differentiable import DifferentiableLoss
from landscape_widgets.objective.hessian_product import (
    GraphBytes,
    GraphProduct,
    HessianProduct,
    check_twice_differentiable,
    differentiated,
    graph_allowance,
)
from landscape_widgets.objective.r_operator import FeedForwardProduct, Network, read_network
from landscape_widgets.precision import holds_double
from landscape_widgets.task.inner_gradients import recorded_of
from landscape_widgets.task.losses import Loss, MeanLoss

logger = logging.getLogger(__name__)

COMPARED = 16  # examples on which products are compared with double backward
AGREEMENT = 1e-3  # relative difference above which the model was misread


class Hessian:
    """Products with the Hessian of a mean loss, at any parameter vector.

    Parameters
    ----------
    loss
    stochastic : bool
        Whether the model draws random numbers.
    """

    def __init__(self, loss: DifferentiableLoss, *, stochastic: bool) -> None:
        self.loss, self.stochastic = loss, stochastic
        self._twin: Hessian | None = None
        self.is_twin = False  # in float64, of a model whose data are in float32

    def at(self, theta: Tensor, *, keep: bool) -> HessianProduct:
        """Products with the Hessian at θ (P,): v (P,) → H v (P,).

        What does not hang on v is kept between them where it fits in memory, if `keep`. Buffers
        are what they are now for all products.
        """
        if self.loss.inplace.moved:  # of which what was read of the model does not know
            return self._by_graph(theta, self.loss.split, keep=False)
        space = graph_allowance(self.loss.device)
        network = self._network if keep else None
        if network is not None and network.each * self.loss.split.size <= space:
            return FeedForwardProduct(network, theta)
        # Buffers that calls write to, or that have moved along, are written to in between.
        if self.loss.inplace.prepare is not None or self.loss.inplace.rewrites:
            keep = False
        fits = self._second_order.total(self.loss.split.size) <= space
        return self._by_graph(theta, self.loss.split, keep and fits)

    def in_double(
        self, theta: Tensor, twin: Callable[[TiledExamples], tuple[InPlace, Loss] | None]
    ) -> HessianProduct | None:
        """Products with the Hessian at θ in float64, where `twin` gives a copy in it."""
        if self.loss.dtype == torch.float64 or not holds_double(self.loss.device):
            return None
        moved = self.loss.inplace.moved
        network = None if moved else self._network
        if network is not None and 2 * network.each * self.loss.split.size <= graph_allowance(
            self.loss.device
        ):
            return FeedForwardProduct(network.double(), theta.double())
        if self._twin is None:
            with self.loss.around():
                found = twin(self.loss.split)
            if found is None:
                return None
            of_twin = DifferentiableLoss(
                *found, self.loss.split, around=self.loss.around, statistics=self.loss.statistics
            )
            self._twin = Hessian(of_twin, stochastic=self.stochastic)
            self._twin.is_twin = True
        with self._twin.loss.around(), self._twin.loss.inplace.with_buffers(moved):
            return self._twin.at(theta.double(), keep=True)

    @cached_property
    def _second_order(self) -> GraphBytes:
        """What the graph of the gradient holds."""
        leaves = [part.requires_grad_() for part in self.loss.views(self._anchor())]

        def graphs(part: TiledExamples) -> list[object]:
            self.loss.settle(self._anchor())
            shares = self._shares(leaves, part, None)
            found = [differentiated(share, leaves) for share in shares if share.requires_grad]
            check_twice_differentiable(found, leaves)
            return list(found)

        return self.loss.weighed(graphs)

    @cached_property
    def _network(self) -> Network | None:
        """The model and its data as the R-operator wants them, if it is of that kind."""
        if (
            not isinstance(self.loss.function, MeanLoss)
            or self.is_twin
            or self.stochastic
            or self.loss.inplace.prepare is not None
            or self.loss.inplace.keeps
            or recorded_of(self.loss.inplace.model) is not None
        ):
            return None
        with self.loss.around():
            network = read_network(
                self.loss.inplace.model,
                self.loss.inplace.layout,
                self.loss.function,
                self.loss.split,
            )
        if network is None:
            return None
        # What was read from the model's structure is to be known by its numbers.
        few, anchor = self.loss.split.part(COMPARED), self.loss.inplace.anchor
        expected = self._by_graph(anchor.clone(), few, keep=False)(anchor)
        found = FeedForwardProduct(network.part(COMPARED), anchor)(anchor)
        if float((found - expected).norm()) <= AGREEMENT * float(expected.norm()):
            return network
        logger.warning("The R-operator finds another Hessian than double backward; it is not used.")
        return None

    def _by_graph(self, theta: Tensor, split: TiledExamples, keep: bool) -> GraphProduct:
        """Products with the Hessian of the mean loss on a split; θ is kept, and not copied."""
        leaves = [part.requires_grad_() for part in self.loss.views(theta)]
        inplace, moved = self.loss.inplace, self.loss.inplace.moved

        @contextmanager
        def around() -> Iterator[None]:
            moving = inplace.with_buffers(moved) if moved else nullcontext()
            with self.loss.differentiable(), moving:
                self.loss.settle(theta)
                yield

        size = self._second_order.examples

        def shares() -> Iterator[Tensor]:
            return self._shares(leaves, split, size)

        return GraphProduct(leaves, shares, around, keep)

    def _anchor(self) -> Tensor:
        return self.loss.inplace.anchor.to(self.loss.dtype, copy=True)

    def _shares(
        self, leaves: Sequence[Tensor], split: TiledExamples, size: int | None
    ) -> Iterator[Tensor]:
        """Shares of the loss on a split's tiles, as differentiable functions of the leaves."""
        names = (f"inner.{name}" for name in self.loss.inplace.layout.names)
        weights = dict(zip(names, leaves, strict=True))
        count, share = self.loss.count(split), _Method(self.loss.inplace.model, self.loss.share)
        for tile in self.loss.tiles(split, size):
            yield functional_call(share, weights, (tile, count))


class _Method(nn.Module):
    """Lets a function of the module be called with other weights by `functional_call`."""

    def __init__(self, inner: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.inner = inner
        self.function = function

    def forward(self, *arguments: Any) -> Any:
        return self.function(self.inner, *arguments)
