"""Where examples lie: what a layer of the trained network makes of them, or the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.errors import did_you_mean
from landscape_widgets.evaluation.quantities import Split
from landscape_widgets.examples.losses import SPLITS, TILE, examples_of
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.task.losses import call_model, main_output
from landscape_widgets.task.structure import tensors

INPUTS = "inputs"


@dataclass(frozen=True, eq=False, repr=False)
class DataMap:
    """Examples laid out by their inputs, or by what a layer makes of them at θ*.

    Attributes
    ----------
    coordinates : array (m, 2 or 3)
        In the order of `ExampleLosses.losses`.
    split : {"train", "val"}
    of : str
        "inputs", or the layer's name.
    width : int
        Numbers an example that were laid out.
    reducer : str
        What laid them out.
    """

    coordinates: FloatArray
    split: Split
    of: str
    width: int
    reducer: str

    def __len__(self) -> int:
        return len(self.coordinates)

    def __repr__(self) -> str:
        what = self.of if self.of == INPUTS else f"what {self.of} gives at θ*"
        return (
            f"<{self.reducer} of {len(self):,} {SPLITS[self.split]} examples by {what}, "
            f"{self.width:,} numbers each>"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each example: x, y (and z)."""
        frame = pd.DataFrame(dict(zip("xyz", self.coordinates.T, strict=False)))
        frame.index.name = "example"
        return frame


def features(
    objective: Objective,
    layer: str | None = None,
    split: Split = "train",
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> FloatArray:
    """The inputs of all examples, or what a layer gives for them at θ*: (m, d).

    Parameters
    ----------
    objective : Objective
    layer : str, optional
        A name as of ``model.named_modules()``; the inputs by default.
    split : {"train", "val"}
    progress, cancelled

    Raises
    ------
    ValueError
        If there is no such layer, it does not give one row an example, or examples are not of one
        shape.
    Cancelled
    """
    examples = examples_of(objective, split)
    model = objective.model_at(objective.anchor)
    layers = {name: module for name, module in model.named_modules() if name}
    if layer is not None and layer not in layers:
        raise ValueError(f"There is no layer {layer!r}. {did_you_mean(layer, layers)}")
    given: list[Any] = []
    hook = None
    if layer is not None:
        hook = layers[layer].register_forward_hook(lambda _, __, outputs: given.append(outputs))
    parts: list[Tensor] = []
    try:
        with torch.no_grad():
            for tile in examples.tiles(TILE):
                if cancelled():
                    raise Cancelled
                inputs = tile.to(objective.device).inputs
                if layer is None:
                    found = next(iter(tensors(inputs)), None)
                else:
                    given.clear()
                    call_model(model, inputs)
                    found = main_output(given[-1]) if given else None
                parts.append(_rows(found, tile.size, layer))
                progress(Progress("features", sum(map(len, parts)), examples.size))
    finally:
        if hook is not None:
            hook.remove()
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError(
            f"Examples are not of one length in {layer or INPUTS}, and have no common map. Name a "
            "layer behind the one that makes them equally long."
        )
    result: FloatArray = torch.cat(parts).double().numpy()
    return np.ascontiguousarray(result)


def _rows(found: Tensor | None, size: int, layer: str | None) -> Tensor:
    """Values (size, d) on the CPU."""
    if found is None or found.ndim == 0 or len(found) != size:
        given = "none" if found is None else f"shape {tuple(found.shape)}"
        raise ValueError(
            f"One row an example is expected of {layer or INPUTS}; {given} was found for {size} "
            "examples. Name another layer."
        )
    return found.detach().reshape(size, -1).float().cpu()
