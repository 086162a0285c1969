"""The loop that one would write: one parameter vector after the other, on one's own batches."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.in_place import InPlace, add_outputs
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.strategy import Strategy, Unsuited, gather
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.task.losses import call_model, main_output


class Batches(Strategy):
    """As `InPlace`, on the batches as they came instead of larger tiles.

    Parameters
    ----------
    name : str
    loader
        Brings a model to a parameter vector.
    split
        The training data.

    Raises
    ------
    Unsuited
        If these are no smaller than tiles.
    """

    def __init__(self, name: str, loader: InPlace, split: TiledExamples) -> None:
        examples = split.examples
        if examples.given_whole or max(b.size for b in examples.batches) >= loader.tile:
            raise Unsuited("there are no batches smaller than what goes through the model anyway")
        self.name, self.loader = name, loader  # type: ignore[misc]

    def suits(self, request: Request, split: TiledExamples) -> bool:
        return not split.examples.given_whole

    @torch.no_grad()
    def run(
        self, request: Request, rows: FloatArray, split: TiledExamples, accumulator: Accumulator
    ) -> None:
        for number, model in enumerate(self.loader.at(request.basis, rows)):
            for batch in split.tiles(None):
                add_outputs(call_model(model, batch.inputs), batch, accumulator, number)

    @torch.no_grad()
    def outputs(self, request: Request, rows: FloatArray, split: TiledExamples) -> Tensor:
        found = []
        for model in self.loader.at(request.basis, rows):
            batches = split.tiles(None)
            found.append(gather([main_output(call_model(model, b.inputs)) for b in batches]))
        return torch.stack(found)
