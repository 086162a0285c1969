"""Gradient of a mean loss, and products with its Hessian."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape_widgets.data import Batch
from landscape_widgets.evaluation.inplace import TILE, InPlace
from landscape_widgets.evaluation.split import Split
from landscape_widgets.hessian import GraphProduct, HessianProduct, room
from landscape_widgets.losses import Loss, MeanLoss, ModelLoss, call_model, main_output
from landscape_widgets.r_operator import ChainProduct, Network, read_network

logger = logging.getLogger(__name__)

COMPARED = 16  # examples on which products are compared with double backward
AGREEMENT = 1e-3  # relative difference above which the model was misread


class Derivatives:
    """Derivatives of the mean loss on a split, at any parameter vector.

    Parameters
    ----------
    inplace
        The working copy, and how it is brought to a parameter vector.
    loss
    split
        The examples.
    stochastic : bool
        Whether the model draws random numbers.
    around : callable
        Makes the context that the working copy is run in.
    """

    def __init__(
        self,
        inplace: InPlace,
        loss: Loss,
        split: Split,
        *,
        stochastic: bool,
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.inplace, self.loss, self.split = inplace, loss, split
        self.stochastic, self.around = stochastic, around

    @property
    def _device(self) -> torch.device:
        return self.inplace.anchor.device

    def loss_and_gradient(
        self, theta: Tensor, tiles: Sequence[Batch] | None = None
    ) -> tuple[float, Tensor]:
        """Mean loss and its gradient (P,) at θ, on `tiles` or on all examples."""
        tiles = list(self.split.tiles(TILE)) if tiles is None else tiles
        theta = theta.detach().requires_grad_()
        count = sum(self._count(tile) for tile in tiles)
        total = 0.0
        gradient = torch.zeros_like(theta)
        with self._differentiable(attention=False):
            self._settle(theta)
            for tile in tiles:
                weights = self.inplace.layout.unflatten(theta)
                share = self._mean(weights, tile) * (self._count(tile) / count)
                if share.requires_grad:
                    (part,) = torch.autograd.grad(share, theta, materialize_grads=True)
                    gradient += part
                total += float(share.detach())
        return total, gradient.detach()

    def hessian(self, theta: Tensor, *, keep: bool) -> HessianProduct:
        """Products with the Hessian at θ (P,): v (P,) → H v (P,).

        What does not hang on v is kept between them where it fits in memory, if `keep`.
        """
        space = room(self._device) if keep else 0
        network = self._network if keep else None
        if network is not None and network.each * self.split.size <= space:
            return ChainProduct(network, theta)
        # Buffers that calls write to are written to by whatever is evaluated in between.
        if self.inplace.prepare is not None or self.inplace.keeps:
            space = 0
        return self._by_graph(theta, lambda size: self.split.tiles(size or TILE), space)

    @cached_property
    def _network(self) -> Network | None:
        """The model and its data as the R-operator wants them, if it is of that kind."""
        if (
            not isinstance(self.loss, MeanLoss)
            or self.stochastic
            or self.inplace.prepare is not None
            or self.inplace.keeps
        ):
            return None
        with self.around():
            network = read_network(self.inplace.model, self.inplace.layout, self.loss, self.split)
        if network is None:
            return None
        # What was read from the model's structure is to be known by its numbers.
        few, anchor = list(self.split.part(COMPARED).tiles(None)), self.inplace.anchor
        expected = self._by_graph(anchor, lambda size: few, 0)(anchor)
        found = ChainProduct(network.part(COMPARED), anchor)(anchor)
        if float((found - expected).norm()) <= AGREEMENT * float(expected.norm()):
            return network
        logger.warning("The R-operator finds another Hessian than double backward; it is not used.")
        return None

    def _by_graph(
        self, theta: Tensor, tiles: Callable[[int | None], Iterable[Batch]], space: int
    ) -> GraphProduct:
        """Products with the Hessian of the mean loss on all that `tiles` gives."""
        weights = {
            name: part.clone().requires_grad_()
            for name, part in self.inplace.layout.unflatten(theta).items()
        }
        sizes = [(self._count(tile), tile.size) for tile in tiles(None)]
        count, examples = (sum(column) for column in zip(*sizes, strict=True))

        def shares(size: int | None) -> Iterator[Tensor]:
            for tile in tiles(size):
                yield self._mean(weights, tile) * (self._count(tile) / count)

        @contextmanager
        def around() -> Iterator[None]:
            with self._differentiable():
                self._settle(theta)
                yield

        return GraphProduct(list(weights.values()), shares, int(examples), around, space)

    def _count(self, tile: Batch) -> float:
        return self.loss.count(tile.targets) if isinstance(self.loss, MeanLoss) else tile.size

    def _mean(self, weights: Mapping[str, Tensor], tile: Batch) -> Tensor:
        """Mean loss on a tile as a differentiable function of θ, tensor by tensor."""
        model, loss = self.inplace.model, self.loss
        if isinstance(loss, ModelLoss):
            value: Tensor = functional_call(_Method(model, loss), _prefixed(weights), (tile.raw,))
            return value
        outputs = functional_call(_Method(model, call_model), _prefixed(weights), (tile.inputs,))
        if isinstance(loss, MeanLoss):
            return loss.mean(main_output(outputs), tile.targets)
        return loss(outputs, tile.targets)

    def _settle(self, theta: Tensor) -> None:
        """Bring all of the working copy but its weights to what it is at θ."""
        if self.inplace.prepare is not None:
            self.inplace.load(theta.detach())
        else:
            self.inplace.begin()

    @contextmanager
    def _differentiable(self, attention: bool = True) -> Iterator[None]:
        # Fused attention kernels have no second derivative, and cuDNN's recurrent ones no
        # derivative at all in evaluation mode.
        kernel = sdpa_kernel(SDPBackend.MATH) if attention else nullcontext()
        with (
            self.around(),
            torch.enable_grad(),
            kernel,
            torch.backends.cudnn.flags(enabled=False) if self._has_rnn() else nullcontext(),
        ):
            yield

    def _has_rnn(self) -> bool:
        return self._device.type == "cuda" and any(
            isinstance(m, nn.RNNBase) for m in self.inplace.model.modules()
        )


class _Method(nn.Module):
    """Lets a function of the module be called with other weights by `functional_call`."""

    def __init__(self, inner: nn.Module, function: Callable[[nn.Module, Any], Any]) -> None:
        super().__init__()
        self.inner = inner
        self.function = function

    def forward(self, argument: Any) -> Any:
        return self.function(self.inner, argument)


def _prefixed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"inner.{name}": tensor for name, tensor in weights.items()}
