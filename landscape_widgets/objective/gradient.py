"""Gradient of the mean loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.in_place import TILE
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.differentiable import DifferentiableLoss
from landscape_widgets.objective.finite_differences import slopes_apart
from landscape_widgets.objective.gathered import gather, reaches
from landscape_widgets.objective.hessian_product import GRAPH_BYTES, GraphBytes
from landscape_widgets.objective.separability import MOVES, moved_vectors
from landscape_widgets.resources import zeros_like
from landscape_widgets.task.batchnorm import Statistics

COMPARED = 16  # examples on which it is seen whether a way leads back to the weights


class Gradient:
    """Mean loss and its gradient, at any parameter vector."""

    def __init__(self, loss: DifferentiableLoss) -> None:
        self.loss = loss
        self._kept = False  # whether tiles have parts of their graphs in common

    def at(self, theta: Tensor, split: TiledExamples | None = None) -> tuple[float, Tensor]:
        """Mean loss and its gradient (P,) at θ, on `split` or on all examples.

        Each tensor's gradient is added where it belongs in the vector as soon as it is known, so
        that no second vector of all of them is held. (With respect to the vector itself, each
        tensor's slice would pad its gradient to length P.) Batch statistics that are re-estimated,
        on the same examples, are differentiated too.
        """
        self.check()
        if self.loss.inplace.prepare is not None:
            return self._reestimated(theta, split)
        split = self.loss.split if split is None else split
        try:
            return self._added_up(theta, split)
        except RuntimeError as error:
            if self._kept or "through the graph a second time" not in str(error):
                raise
        self._kept = True  # as of weights that a model normalises once, and keeps
        return self._added_up(theta, split)

    def _added_up(self, theta: Tensor, split: TiledExamples) -> tuple[float, Tensor]:
        count = self.loss.scaled(split)
        size = self._gradient_tile(split)  # which may load other weights
        total = 0.0
        gradient = zeros_like(theta)
        places = self.loss.inplace.layout.unflatten(gradient).values()
        with self.loss.differentiable(twice=False), self.loss.trainable() as tensors:
            model = self.loss.inplace.load(theta)
            for tile in self.loss.tiles(split, size):
                share = self.loss.share(model, tile, count)
                total += float(share.detach())
                if not share.requires_grad:
                    continue
                for tensor, place in zip(tensors, places, strict=True):
                    tensor.grad = place
                try:
                    gather(share, tensors, kept=self._kept)
                finally:
                    for tensor in tensors:  # a model's own passes back are no part of it
                        tensor.grad = None
        return total, gradient

    def check(self) -> None:
        """Raise a ValueError where no way leads back from the loss to the weights."""
        if not self._leads_back:
            raise ValueError(
                f"The loss {self.loss.function.name} has no gradient: every way back from it to "
                "the weights is cut, by .detach(), .item(), torch.no_grad() or inference_mode(), "
                "NumPy, an argmax or the like, in the forward pass or in the loss. Leave that out, "
                "or give a loss that can be differentiated. Losses themselves are right: slices, "
                "planes and samplers without gradients (Subspace, Rays, RandomDirections, Grid) "
                "show them."
            )

    @cached_property
    def doubts(self) -> str | None:
        """What there is to say of a gradient that is not the derivative of its loss.

        Seen on a few examples, near the trained weights.
        """
        inplace, few = self.loss.inplace, self.loss.split.part(COMPARED)
        (theta,) = moved_vectors(inplace, MOVES[:1])
        gradient = self.at(theta, few)[1]
        apart = slopes_apart(partial(self._value, few), gradient, theta, inplace.layout)
        if apart is None:
            return None
        return (
            f"The gradient is not the derivative of the loss ({self.loss.function.name}): along "
            f"one direction it says {apart[0]:.3g}, and the loss itself changes by {apart[1]:.3g}. "
            "A part of it is detached, by .detach(), .data, torch.no_grad() or a function with a "
            "backward pass of its own. Losses, slices and planes are right; gradients, descents "
            "and the Hessian are those of what is not detached."
        )

    def _value(self, split: TiledExamples, theta: Tensor) -> float:
        """The loss that the gradient is of, at θ, on `split`."""
        inplace, prepare = self.loss.inplace, self.loss.inplace.prepare
        if prepare is not None:
            prepare = partial(self.loss.statistics.estimate, split=split)
        size, count = self._gradient_tile(split), self.loss.scaled(split)
        with self.loss.around(), torch.no_grad(), inplace.preparing(prepare):
            model = inplace.load(theta)
            tiles = self.loss.tiles(split, size)
            return sum(float(self.loss.share(model, tile, count)) for tile in tiles)

    @cached_property
    def _leads_back(self) -> bool:
        """Whether the loss hangs on some weight, as far as torch has recorded it."""
        few = self.loss.split.part(COMPARED)
        parts = [few] if few is self.loss.split else [few, self.loss.split]
        with self.loss.differentiable(twice=False), self.loss.trainable() as tensors:
            model = self.loss.inplace.load(self.loss.inplace.anchor)
            for part in parts:
                size = TILE if part.separable else None
                shares = (self.loss.share(model, t, 1.0) for t in self.loss.tiles(part, size))
                if any(reaches(share, tensors) for share in shares):
                    return True
        return False

    def _reestimated(self, theta: Tensor, split: TiledExamples | None) -> tuple[float, Tensor]:
        """Loss and gradient where batch statistics follow the weights; see `Statistics`."""
        inplace, assessed = self.loss.inplace, self.loss.split if split is None else split
        batches = self.loss.statistics
        statistics = Statistics(inplace.model)

        def estimate(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
            return batches.estimate(model, split)

        count, total = self.loss.scaled(assessed), 0.0
        size = self._gradient_tile(assessed)  # which may load other weights
        gradient = zeros_like(theta)
        places = inplace.layout.unflatten(gradient).values()

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
            self.loss.differentiable(twice=False),
            self.loss.trainable(),
        ):
            model = inplace.load(theta)
            leaves = statistics.leaves()
            by = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
            for tile in self.loss.tiles(assessed, size):
                with statistics.normalising_by(leaves):
                    share = self.loss.share(model, tile, count)
                total += float(share.detach())
                if share.requires_grad:
                    for name, part in zip(by, add(share, list(leaves.values())), strict=True):
                        by[name] += part
            inplace.begin()  # they were estimated from the same noise
            tiles = [tile for tile in batches.tiles(split) if tile.size > 1]
            for tile in tiles:
                found = statistics.of_batch(partial(batches.forward, model, tile))
                times = Counter(name for name, _ in found)
                product = torch.stack(
                    [(by[name] * value).sum() / times[name] for name, value in found]
                ).sum()
                if product.requires_grad:
                    add(product / len(tiles), [])
        return total, gradient

    def _gradient_tile(self, split: TiledExamples) -> int | None:
        """Examples that a gradient is taken on at a time."""
        if not split.separable:
            return None
        return max(1, min(TILE, GRAPH_BYTES // self._first_order.example))

    @cached_property
    def _first_order(self) -> GraphBytes:
        """What the graph of the loss holds."""

        def graphs(part: TiledExamples) -> list[object]:
            with self.loss.trainable():
                model = self.loss.inplace.load(self.loss.inplace.anchor)
                return [self.loss.share(model, tile, 1.0) for tile in self.loss.tiles(part, None)]

        return self.loss.weighed(graphs)
