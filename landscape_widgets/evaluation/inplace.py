"""One working copy of the model, its weights overwritten for each parameter vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.basis import Basis, FloatArray
from landscape_widgets.data import Batch
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.call import Call
from landscape_widgets.evaluation.precision import exact, widened
from landscape_widgets.evaluation.split import Split
from landscape_widgets.evaluation.strategy import Strategy, gather
from landscape_widgets.losses import BatchLoss, ModelLoss, call_model, main_output
from landscape_widgets.parameters import ParameterLayout

TILE = 256  # examples that go through the model at a time, where nothing better is known


class InPlace(Strategy):
    """Exact for every model: weights are copied in, examples go through tile by tile.

    Parameters
    ----------
    model
        The working copy, on the device and in the precision to work in.
    layout, anchor
        Of its parameter vector.
    prepare
        Called each time after new weights are in place (re-estimates batch statistics).
    """

    name = "inplace"

    def __init__(
        self,
        model: nn.Module,
        layout: ParameterLayout,
        anchor: Tensor,
        prepare: Callable[[nn.Module], None] | None = None,
    ) -> None:
        self.model = model
        self.layout = layout
        self.anchor = anchor
        self.prepare = prepare
        self.tile = TILE
        named = dict(model.named_parameters())
        self.tensors = [named[name] for name in layout.names]

    @torch.no_grad()
    def load(self, vector: Tensor) -> nn.Module:
        """Put a parameter vector (P,) into the working copy, and return it."""
        views = self.layout.unflatten(vector)
        for name, tensor in zip(self.layout.names, self.tensors, strict=True):
            tensor.copy_(views[name])
        if self.prepare is not None:
            self.prepare(self.model)
        return self.model

    def at(self, basis: Basis, row: FloatArray) -> nn.Module:
        """Put the weights at one row of coefficients into the working copy, and return it."""
        # Added in the widest precision of the two, so that α = 0 is θ* to the bit.
        with exact(self.anchor.device):
            return self.load(self.anchor + basis.combine(row).to(self.anchor))

    @torch.no_grad()
    def run(self, call: Call, rows: FloatArray, split: Split, accumulator: Accumulator) -> None:
        for number, row in enumerate(rows):
            model = self.at(call.basis, row)
            add_losses(model, split.tiles(self.tile), accumulator, number)

    @torch.no_grad()
    def outputs(self, call: Call, rows: FloatArray, split: Split) -> Tensor:
        found = []
        for row in rows:
            model = self.at(call.basis, row)
            tiles = split.tiles(self.tile)
            found.append(gather([main_output(call_model(model, tile.inputs)) for tile in tiles]))
        return torch.stack(found)


def add_losses(
    model: nn.Module, tiles: Iterable[Batch], accumulator: Accumulator, row: int
) -> None:
    """Add one model's losses on all tiles to row `row` of `accumulator`."""
    for tile in tiles:
        loss = accumulator.loss
        if isinstance(loss, ModelLoss):
            accumulator.add_value(row, loss(model, tile.raw), tile.size)
            if accumulator.metrics is not None:
                outputs = main_output(call_model(model, tile.inputs))
                accumulator.metrics.add(row, outputs.unsqueeze(0), tile.targets)
        else:
            add_outputs(call_model(model, tile.inputs), tile, accumulator, row)


def add_outputs(outputs: Any, tile: Batch, accumulator: Accumulator, row: int) -> None:
    """Add what one model returned for a tile to row `row` of `accumulator`."""
    loss, outputs = accumulator.loss, widened(outputs)
    if isinstance(loss, BatchLoss):
        accumulator.add_value(row, loss(outputs, tile.targets), tile.size)
        if accumulator.metrics is not None:
            accumulator.metrics.add(row, main_output(outputs).unsqueeze(0), tile.targets)
    else:
        accumulator.add(row, main_output(outputs).unsqueeze(0), tile)
