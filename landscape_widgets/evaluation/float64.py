"""Near the trained weights, where losses differ by little, the differences in float64.

A mean loss in float32 is off by some 1e-6 of itself. Where no loss of a request has differed from
the one at θ* by more than `NEAR` of it, rounding would be more than a hundredth of what a slice
shows; there the loss is L(θ*) + (L₆₄(θ) − L₆₄(θ*)), so that it joins what is shown further away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.in_place import InPlace, add_losses
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.evaluation.race import losses_at
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import holds_double
from landscape_widgets.task.data import Batch
from landscape_widgets.task.duplicate import Duplicate
from landscape_widgets.task.inner_gradients import call_alike, recorded_of
from landscape_widgets.task.losses import Loss
from landscape_widgets.task.state import State

FEW = 64  # examples that the copy is tried on
WORK = 512 << 20  # bytes that all examples' activations come to, above which it takes too long
LARGEST = 512 << 20  # bytes that a copy of the weights may take
NEAR = 1e-4  # relative difference of losses from that at θ*, for points of a curve
NEAR_IN_CLOUD = 1e-5  # and for others, whose colours show no hundredth
AGREEMENT = 1e-3  # relative difference of the two precisions at θ* above which neither is trusted


class Double:
    """Evaluates in float64 rows as long as their losses are near the trained weights' own.

    Parameters
    ----------
    inplace
        The strategy in the model's own precision.
    loss
    """

    def __init__(self, inplace: InPlace, loss: Loss) -> None:
        self.single, self.loss = inplace, loss
        self._inplace: InPlace | None = None
        self._anchor_losses: dict[int, float] = {}
        self._twin = loss  # its copy for the model in float64
        numbers = sum(p.numel() for p in inplace.model.parameters())  # frozen ones are copied too
        scripted = any(isinstance(m, torch.jit.ScriptModule) for m in inplace.model.modules())
        # TorchScript refuses float64, some devices too; re-estimated statistics are not repeated.
        self.allowed = (
            inplace.anchor.dtype == torch.float32
            and inplace.anchor.device.type in ("cpu", "cuda")
            and holds_double(inplace.anchor.device)
            and inplace.prepare is None
            and not inplace.draws  # float64 draws other numbers
            and not scripted
            and 8 * numbers <= LARGEST
        )

    @torch.no_grad()
    def sharpen(
        self,
        request: Request,
        rows: FloatArray,
        split: TiledExamples,
        losses: FloatArray,
        at_anchor: float,
    ) -> None:
        """Correct `losses` (r,), in place, if all of the request so far are near `at_anchor`."""
        moved = rows.any(axis=1)
        if not self.allowed or not moved.any():
            return
        near = (NEAR if request.curves else NEAR_IN_CLOUD) * abs(at_anchor)
        differences = np.abs(losses - at_anchor)
        if not np.max(differences) <= near:  # what is no number counts as far away
            request.spread[split] = np.inf
        elif split not in request.spread:
            # Which rows come first, and how many at a time, hangs on the machine: it is the
            # farthest that tells of all of them.
            found = losses_at(self.single, request, request.farthest[None], split, self.loss)
            difference = abs(float(found[0]) - at_anchor)
            request.spread[split] = difference if difference <= near else np.inf
        if not request.spread[split] <= near:
            return
        if self.twin(split) is None:
            return
        assert self._inplace is not None
        if id(split) not in self._anchor_losses:
            still = np.zeros_like(rows[0])
            self._anchor_losses[id(split)] = self._loss(request, still, split)
        origin = self._anchor_losses[id(split)]
        for number in np.flatnonzero(moved):
            losses[number] = at_anchor + (self._loss(request, rows[number], split) - origin)

    def twin(self, split: TiledExamples) -> tuple[InPlace, Loss] | None:
        """Working copy and loss in float64; None where they do not run in it, or do already."""
        if self.allowed and self._inplace is None:
            with self.single.with_buffers({}):  # the copy's own are those of θ*
                self.allowed = self._begin(split)
        return (self._inplace, self._twin) if self.allowed and self._inplace is not None else None

    def _loss(self, request: Request, row: FloatArray, split: TiledExamples) -> float:
        assert self._inplace is not None
        accumulator = Accumulator(self._twin, {}, None, 1)
        for model in self._inplace.at(request.basis, row[None]):
            tiles = (as_double(tile) for tile in split.tiles(self._inplace.tile))
            add_losses(model, tiles, accumulator, 0)
        return float(accumulator.finish()["loss"][0])

    def _begin(self, split: TiledExamples) -> bool:
        """Make the copy in float64, and see on a few examples whether it runs and agrees."""
        single = self.single
        few = next(iter(split.part(min(FEW, single.tile)).tiles(None)))
        model = single.load(single.anchor)
        with LiveBytes() as counted:
            self._try(model, self.loss, few)
        single.begin()
        if counted.peak * split.size > WORK * few.size:
            return False
        twin = Duplicate(single.load(single.anchor), self.loss)
        model, loss = twin.model.double(), twin.loss
        call_alike(model, recorded_of(single.model))
        kept = State([model, loss], ())
        try:
            values = [self._try(single.model, self.loss, few)]
            single.begin()
            values.append(self._try(model, loss, as_double(few)))
        except (RuntimeError, TypeError):
            return False  # the model or its loss makes tensors of its own in float32
        finally:
            kept.put_back()
            single.begin()
        if not np.isclose(values[0], values[1], rtol=AGREEMENT, atol=1e-7):
            return False
        # θ* in float32 is exact: it is widened tensor by tensor.
        self._inplace = InPlace(model, single.layout, single.anchor, borrowed=single.borrowed)
        # The loss has just been put back together with the model that this one is a copy of.
        self._inplace.state = State([model, loss], self._inplace.tensors, shared=twin.shared)
        self._twin = loss
        self._inplace.tile = max(1, single.tile // 2)  # of numbers twice as long
        return True

    def _try(self, model: Any, loss: Loss, batch: Batch) -> float:
        accumulator = Accumulator(loss, {}, None, 1)
        add_losses(model, [batch], accumulator, 0)
        return float(accumulator.finish()["loss"][0])


def as_double(batch: Batch) -> Batch:
    """A batch with its floating-point tensors in float64."""

    def widen(leaf: Tensor) -> Tensor:
        return leaf.double() if leaf.is_floating_point() else leaf

    return batch.map(widen)
