"""Gradient of a mean loss, and products with its Hessian."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape_widgets.evaluation.float64 import as_double
from landscape_widgets.evaluation.in_place import TILE, InPlace
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.gathered import gather, gathering, reaches
from landscape_widgets.objective.hessian import (
    GRAPH_BYTES,
    GraphBytes,
    GraphProduct,
    HessianProduct,
    TwiceDifferentiable,
    check_twice_differentiable,
    differentiated,
    graph_allowance,
)
from landscape_widgets.objective.r_operator import FeedForwardProduct, Network, read_network
from landscape_widgets.precision import holds_double, widened
from landscape_widgets.resources import zeros_like
from landscape_widgets.task.batchnorm import Statistics, reestimate
from landscape_widgets.task.data import Batch
from landscape_widgets.task.inner_gradients import recorded_of
from landscape_widgets.task.losses import Loss, MeanLoss, ModelLoss, call_model, main_output

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
    forward : callable
        Lets a tile go through the model, for batch statistics that are re-estimated.
    tiles_of : callable
        The tiles that they are estimated on: of a split, or of all training examples.
    """

    def __init__(
        self,
        inplace: InPlace,
        loss: Loss,
        split: TiledExamples,
        *,
        stochastic: bool,
        around: Callable[[], AbstractContextManager[None]],
        forward: Callable[[nn.Module, Batch], None],
        tiles_of: Callable[[TiledExamples | None], Iterable[Batch]],
    ) -> None:
        self.inplace, self.loss, self.split = inplace, loss, split
        self.stochastic, self.around = stochastic, around
        self.forward, self._tiles_of = forward, tiles_of
        self._dtype = inplace.tensors[0].dtype
        self._twin: Derivatives | None = None

    @property
    def _device(self) -> torch.device:
        return self.inplace.anchor.device

    def loss_and_gradient(
        self, theta: Tensor, split: TiledExamples | None = None
    ) -> tuple[float, Tensor]:
        """Mean loss and its gradient (P,) at θ, on `split` or on all examples.

        Each tensor's gradient is added where it belongs in the vector as soon as it is known, so
        that no second vector of all of them is held. (With respect to the vector itself, each
        tensor's slice would pad its gradient to length P.) Batch statistics that are re-estimated,
        on the same examples, are differentiated too.
        """
        self.check()
        if self.inplace.prepare is not None:
            return self._reestimated(theta, split)
        split = self.split if split is None else split
        count = self._scaled(split)
        size = self._gradient_tile(split)  # which may load other weights
        total = 0.0
        gradient = zeros_like(theta)
        places = self.inplace.layout.unflatten(gradient).values()
        with self._differentiable(twice=False), self._trainable() as tensors:
            model = self.inplace.load(theta)
            for tile in self._tiles(split, size):
                share = self._share(model, tile, count)
                total += float(share.detach())
                if not share.requires_grad:
                    continue
                for tensor, place in zip(tensors, places, strict=True):
                    tensor.grad = place
                gather(share, tensors)
                for tensor in tensors:  # a model's own passes back are no part of the gradient
                    tensor.grad = None
        return total, gradient

    def check(self) -> None:
        """Raise a ValueError where no way leads back from the loss to the weights."""
        if not self._leads_back:
            raise ValueError(
                f"The loss {self.loss.name} has no gradient: every way back from it to the weights "
                "is cut, by .detach(), .item(), torch.no_grad() or inference_mode(), NumPy, an "
                "argmax or the like, in the forward pass or in the loss. Leave that out, or give a "
                "loss that can be differentiated. Losses themselves are right: slices, planes and "
                "samplers without gradients (Subspace, Rays, RandomDirections, Grid) show them."
            )

    @cached_property
    def _leads_back(self) -> bool:
        """Whether the loss hangs on some weight, as far as torch has recorded it."""
        few = self.split.part(COMPARED)
        parts = [few] if few is self.split else [few, self.split]
        with self._differentiable(twice=False), self._trainable() as tensors:
            model = self.inplace.load(self.inplace.anchor)
            for part in parts:
                size = TILE if part.separable else None
                if any(
                    reaches(self._share(model, t, 1.0), tensors) for t in self._tiles(part, size)
                ):
                    return True
        return False

    @contextmanager
    def _trainable(self) -> Iterator[Sequence[Tensor]]:
        """Let the working copy's tensors of θ gather gradients, which they do not otherwise."""
        tensors = self.inplace.tensors
        for tensor in tensors:
            tensor.requires_grad_(True)
        try:
            yield tensors
        finally:
            for tensor in tensors:
                tensor.grad = None
                tensor.requires_grad_(False)

    def _reestimated(self, theta: Tensor, split: TiledExamples | None) -> tuple[float, Tensor]:
        """Loss and gradient where batch statistics follow the weights; see `Statistics`."""
        inplace, assessed = self.inplace, self.split if split is None else split
        statistics = Statistics(inplace.model)

        def estimate(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
            return reestimate(model, self._tiles_of(split), self.forward)

        count, total = self._scaled(assessed), 0.0
        size = self._gradient_tile(assessed)  # which may load other weights
        gradient = zeros_like(theta)
        places = self.inplace.layout.unflatten(gradient).values()

        def add(value: Tensor, further: Sequence[Tensor]) -> Sequence[Tensor]:
            """Add a gradient to the whole, and return that with respect to `further`."""
            found = torch.autograd.grad(value, [*inplace.tensors, *further], materialize_grads=True)
            # In torch 2.4, zeros in place of missing gradients ask for gradients themselves.
            found = tuple(part.detach() for part in found)
            for place, part in zip(places, found, strict=False):
                place += part
            return found[len(inplace.tensors) :]

        with (
            inplace.preparing(estimate),
            self._differentiable(twice=False),
            self._trainable(),
        ):
            model = inplace.load(theta)
            leaves = statistics.leaves()
            by = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
            for tile in self._tiles(assessed, size):
                with statistics.normalising_by(leaves):
                    share = self._share(model, tile, count)
                total += float(share.detach())
                if share.requires_grad:
                    for name, part in zip(by, add(share, list(leaves.values())), strict=True):
                        by[name] += part
            inplace.begin()  # they were estimated from the same noise
            tiles = [tile for tile in self._tiles_of(split) if tile.size > 1]
            for tile in tiles:
                found = statistics.of_batch(partial(self.forward, model, tile))
                times = Counter(name for name, _ in found)
                product = torch.stack(
                    [(by[name] * value).sum() / times[name] for name, value in found]
                ).sum()
                if product.requires_grad:
                    add(product / len(tiles), [])
        return total, gradient

    def hessian(self, theta: Tensor, *, keep: bool) -> HessianProduct:
        """Products with the Hessian at θ (P,): v (P,) → H v (P,).

        What does not hang on v is kept between them where it fits in memory, if `keep`.
        """
        self.check()
        space = graph_allowance(self._device)
        network = self._network if keep else None
        if network is not None and network.each * self.split.size <= space:
            return FeedForwardProduct(network, theta)
        # Buffers that calls write to are written to by whatever is evaluated in between.
        if self.inplace.prepare is not None or self.inplace.keeps:
            keep = False
        held = self._second_order
        return self._by_graph(theta, self.split, keep and held.total(self.split.size) <= space)

    def in_double(
        self, theta: Tensor, twin: Callable[[TiledExamples], tuple[InPlace, Loss] | None]
    ) -> HessianProduct | None:
        """Products with the Hessian at θ in float64, where `twin` gives a copy in it."""
        if self._dtype == torch.float64 or not holds_double(self._device):
            return None
        network = self._network
        if network is not None and 2 * network.each * self.split.size <= graph_allowance(
            self._device
        ):
            return FeedForwardProduct(network.double(), theta.double())
        if self._twin is None:
            with self.around():
                found = twin(self.split)
            if found is None:
                return None
            self._twin = Derivatives(
                *found, self.split, stochastic=self.stochastic, around=self.around,
                forward=self.forward, tiles_of=self._tiles_of,
            )  # fmt: skip
        return self._twin.hessian(theta.double(), keep=True)

    def _tiles(self, split: TiledExamples, size: int | None) -> Iterator[Batch]:
        for tile in split.tiles(size):
            yield tile if self._dtype != torch.float64 else as_double(tile)

    def _gradient_tile(self, split: TiledExamples) -> int | None:
        """Examples that a gradient is taken on at a time."""
        if not split.separable:
            return None
        return max(1, min(TILE, GRAPH_BYTES // self._first_order.example))

    @cached_property
    def _first_order(self) -> GraphBytes:
        """What the graph of the loss holds."""

        def graphs(part: TiledExamples) -> list[object]:
            with self._trainable():
                model = self.inplace.load(self.inplace.anchor)
                return [self._share(model, tile, 1.0) for tile in self._tiles(part, None)]

        return self._weighed(graphs)

    @cached_property
    def _second_order(self) -> GraphBytes:
        """What the graph of the gradient holds."""
        leaves = [part.requires_grad_() for part in self._views(self._anchor())]

        def graphs(part: TiledExamples) -> list[object]:
            self._settle(self._anchor())
            shares = self._shares(leaves, part, None)
            found = [differentiated(share, leaves) for share in shares if share.requires_grad]
            check_twice_differentiable(found, leaves)
            return list(found)

        return self._weighed(graphs)

    def _weighed(self, graphs: Callable[[TiledExamples], list[object]]) -> GraphBytes:
        def weigh(count: int) -> tuple[int, int]:
            part = self.split.part(count)
            with self._differentiable(), LiveBytes() as counted:
                held = graphs(part)
                live = counted.live
            del held
            return live, part.size

        one, size = weigh(1)
        if not self.split.separable:  # a whole batch, whatever it takes
            return GraphBytes(0, max(1, -(-one // size)))
        three, size = weigh(3)
        each = max(1, (three - one) // max(1, size - 1))
        return GraphBytes(max(0, one - each), each)

    @cached_property
    def _network(self) -> Network | None:
        """The model and its data as the R-operator wants them, if it is of that kind."""
        if (
            not isinstance(self.loss, MeanLoss)
            or self.stochastic
            or self.inplace.prepare is not None
            or self.inplace.keeps
            or recorded_of(self.inplace.model) is not None
        ):
            return None
        with self.around():
            network = read_network(self.inplace.model, self.inplace.layout, self.loss, self.split)
        if network is None:
            return None
        # What was read from the model's structure is to be known by its numbers.
        few, anchor = self.split.part(COMPARED), self.inplace.anchor
        expected = self._by_graph(anchor.clone(), few, keep=False)(anchor)
        found = FeedForwardProduct(network.part(COMPARED), anchor)(anchor)
        if float((found - expected).norm()) <= AGREEMENT * float(expected.norm()):
            return network
        logger.warning("The R-operator finds another Hessian than double backward; it is not used.")
        return None

    def _by_graph(self, theta: Tensor, split: TiledExamples, keep: bool) -> GraphProduct:
        """Products with the Hessian of the mean loss on a split; θ is kept, and not copied."""
        leaves = [part.requires_grad_() for part in self._views(theta)]

        @contextmanager
        def around() -> Iterator[None]:
            with self._differentiable():
                self._settle(theta)
                yield

        size = self._second_order.examples

        def shares() -> Iterator[Tensor]:
            return self._shares(leaves, split, size)

        return GraphProduct(leaves, shares, around, keep)

    def _anchor(self) -> Tensor:
        return self.inplace.anchor.to(self._dtype, copy=True)

    def _views(self, theta: Tensor) -> list[Tensor]:
        return list(self.inplace.layout.unflatten(theta).values())

    def _shares(
        self, leaves: Sequence[Tensor], split: TiledExamples, size: int | None
    ) -> Iterator[Tensor]:
        """Shares of the loss on a split's tiles, as differentiable functions of the leaves."""
        names = (f"inner.{name}" for name in self.inplace.layout.names)
        weights = dict(zip(names, leaves, strict=True))
        count, share = self._count(split), _Method(self.inplace.model, self._share)
        for tile in self._tiles(split, size):
            yield functional_call(share, weights, (tile, count))

    def _scaled(self, part: TiledExamples) -> float:
        """What the sum of the losses of a part of the examples is divided by, for a gradient.

        What counts of it is set against what counts of all, so that the mean over such parts is the
        loss, and a part in which nothing counts adds nothing.
        """
        return self._whole * part.size / self.split.size

    @cached_property
    def _whole(self) -> float:
        return self._count(self.split)

    def _count(self, split: TiledExamples) -> float:
        """What the sum of the losses is divided by."""
        if isinstance(self.loss, MeanLoss):
            counts = (self.loss.count(batch.targets) for batch in split.examples.batches)
            return float(self.loss.denominator(sum(counts)))
        return split.size

    def _share(self, model: nn.Module, tile: Batch, count: float) -> Tensor:
        """What a tile has of the mean loss, as a differentiable function of the model's weights."""
        loss = self.loss
        if isinstance(loss, ModelLoss):
            value: Tensor = loss(model, tile.raw) * (tile.size / count)
            return value
        outputs = widened(call_model(model, tile.inputs))
        if isinstance(loss, MeanLoss):
            return loss.total(main_output(outputs), tile.targets) / count
        return loss(outputs, tile.targets) * (tile.size / count)

    def _settle(self, theta: Tensor) -> None:
        """Bring all of the working copy but its weights to what it is at θ."""
        if self.inplace.prepare is not None:
            self.inplace.load(theta.detach())
        else:
            self.inplace.begin()

    @contextmanager
    def _differentiable(self, twice: bool = True) -> Iterator[None]:
        # Fused attention kernels have no second derivative, and cuDNN's recurrent ones no
        # derivative at all in evaluation mode.
        twice = twice or recorded_of(self.inplace.model) is not None
        kernel = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
        exact = TwiceDifferentiable() if twice else gathering(self.inplace.model)
        with (
            self.around(),
            torch.enable_grad(),
            kernel,
            exact,
            torch.backends.cudnn.flags(enabled=False) if self._has_rnn() else nullcontext(),
        ):
            yield

    def _has_rnn(self) -> bool:
        return self._device.type == "cuda" and any(
            isinstance(m, nn.RNNBase) for m in self.inplace.model.modules()
        )


class _Method(nn.Module):
    """Lets a function of the module be called with other weights by `functional_call`."""

    def __init__(self, inner: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.inner = inner
        self.function = function

    def forward(self, *arguments: Any) -> Any:
        return self.function(self.inner, *arguments)
