"""The mean loss as a function that can be differentiated, on tiles of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape_widgets.evaluation.float64 import as_double
from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.gathered import gathering
from landscape_widgets.objective.hessian_product import GraphBytes, TwiceDifferentiable
from landscape_widgets.objective.statistics import BatchStatistics
from landscape_widgets.precision import widened
from landscape_widgets.task.data import Batch
from landscape_widgets.task.inner_gradients import recorded_of
from landscape_widgets.task.losses import Loss, MeanLoss, ModelLoss, call_model, main_output


class DifferentiableLoss:
    """The mean loss on a split, recorded so that derivatives can be taken of it.

    Parameters
    ----------
    inplace
        The working copy, and how it is brought to a parameter vector.
    function
        The loss.
    split
        The examples.
    around : callable
        Makes the context that the working copy is run in.
    statistics
        Batch statistics that are re-estimated.
    """

    def __init__(
        self,
        inplace: InPlace,
        function: Loss,
        split: TiledExamples,
        *,
        around: Callable[[], AbstractContextManager[None]],
        statistics: BatchStatistics,
    ) -> None:
        self.inplace, self.function, self.split = inplace, function, split
        self.around, self.statistics = around, statistics
        self.dtype = inplace.tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """Where the working copy is."""
        return self.inplace.anchor.device

    def tiles(self, split: TiledExamples, size: int | None) -> Iterator[Batch]:
        """Tiles of the examples in the working copy's precision."""
        for tile in split.tiles(size):
            yield tile if self.dtype != torch.float64 else as_double(tile)

    def share(self, model: nn.Module, tile: Batch, count: float) -> Tensor:
        """What a tile has of the mean loss, as a differentiable function of the model's weights."""
        loss = self.function
        if isinstance(loss, ModelLoss):
            value: Tensor = loss(model, tile.raw) * (tile.size / count)
            return value
        outputs = widened(call_model(model, tile.inputs))
        if isinstance(loss, MeanLoss):
            return loss.total(main_output(outputs), tile.targets) / count
        return loss(outputs, tile.targets) * (tile.size / count)

    def scaled(self, part: TiledExamples) -> float:
        """What the sum of the losses of a part of the examples is divided by, for a gradient.

        What counts of it is set against what counts of all, so that the mean over such parts is the
        loss, and a part in which nothing counts adds nothing.
        """
        return self._whole * part.size / self.split.size

    @cached_property
    def _whole(self) -> float:
        return self.count(self.split)

    def count(self, split: TiledExamples) -> float:
        """What the sum of the losses is divided by."""
        if isinstance(self.function, MeanLoss):
            counts = (self.function.count(batch.targets) for batch in split.examples.batches)
            return float(self.function.denominator(sum(counts)))
        return split.size

    def settle(self, theta: Tensor) -> None:
        """Bring all of the working copy but its weights to what it is at θ."""
        if self.inplace.prepare is not None:
            self.inplace.load(theta.detach())
        else:
            self.inplace.begin()

    @contextmanager
    def trainable(self) -> Iterator[Sequence[Tensor]]:
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

    @contextmanager
    def differentiable(self, twice: bool = True) -> Iterator[None]:
        """Record what is computed, such that it can be differentiated, once or twice."""
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
        return self.device.type == "cuda" and any(
            isinstance(m, nn.RNNBase) for m in self.inplace.model.modules()
        )

    def views(self, theta: Tensor) -> list[Tensor]:
        """Its tensors, as parts of a vector (P,)."""
        return list(self.inplace.layout.unflatten(theta).values())

    def weighed(self, graphs: Callable[[TiledExamples], list[object]]) -> GraphBytes:
        """Bytes that `graphs` of a part of the examples hold."""

        def weigh(count: int) -> tuple[int, int]:
            part = self.split.part(count)
            with self.differentiable(), LiveBytes() as counted:
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
