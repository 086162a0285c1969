"""Whether a strategy finds what the model itself gives, on a few rows and examples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.race import losses_at
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.strategy import Strategy
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import exact
from landscape_widgets.task.losses import Loss, MeanLoss

EXAMPLES, AGAIN = 24, 8  # on which they are compared, from all over the data; on further bases
FEWEST = 4  # where no more go through the model at a time
MOST_DIRECTIONS = 32  # that are moved along at once
# Largest difference of outputs, in units of the largest, and of losses. Sums in another order
# differ by some 1e-6, but where a GPU rounds what it multiplies to 10 bits.
CLOSE, CLOSE_WITH_TF32 = 1e-4, 1e-2


def agree(
    strategy: Strategy,
    inplace: InPlace,
    request: Request,
    split: TiledExamples,
    loss: Loss,
    *,
    again: bool,
) -> str | None:
    """None if they do; else what is different, as a part of a sentence.

    Parameters
    ----------
    strategy, inplace
        The one to be tried, and the one that runs the model as it is.
    request
        Some of its first rows are taken, one that moves along all that the request does, and
        one of them twice: nothing may be left of it.
    split
    loss
    again : bool
        They were found to agree on another basis.
    """
    rows = request.first
    everywhere = _everywhere(request)
    moved = np.flatnonzero(rows.any(axis=1))
    picked = rows[moved[:1] if again else moved[[0, -1, 0]]]
    rows = np.concatenate([everywhere[None], picked])
    few = split.spread(min(AGAIN if again else EXAMPLES, max(FEWEST, inplace.tile)))
    with exact(split.device):
        outputs = inplace.outputs(request, rows, few)
        expected = _losses_of(outputs, few, loss)
        if expected is None:
            expected = losses_at(inplace, request, rows, few, loss)
        others = strategy.outputs(request, rows, few)
        losses = losses_at(strategy, request, rows, few, loss)
    close = _closeness(split.device)
    if others.shape != outputs.shape:
        return f"gives outputs of other shapes ({tuple(others.shape[1:])}) than the model itself"
    if not _are_close(others, outputs, close):
        return "gives other outputs than the model itself"
    if not torch.allclose(losses, expected, rtol=10 * close, atol=1e-6, equal_nan=True):
        return f"finds other losses ({losses.tolist()}) than the model itself {expected.tolist()}"
    return None


def _losses_of(outputs: Tensor, few: TiledExamples, loss: Loss) -> Tensor | None:
    """Losses of outputs (r, m, ...), where they are all that a loss is made of."""
    if not isinstance(loss, MeanLoss):
        return None
    accumulator = Accumulator(loss, {}, None, len(outputs))
    (batch,) = few.tiles(few.size)
    accumulator.add(0, outputs, batch)
    return accumulator.finish()["loss"]


def _everywhere(request: Request) -> FloatArray:
    """A row that moves whatever some row of the request moves, about as far as its first do."""
    rows = request.first
    used = np.array(request.used)
    generator = np.random.default_rng(0)
    if len(used) > MOST_DIRECTIONS:
        used = generator.choice(used, MOST_DIRECTIONS, replace=False)
    finite = np.abs(rows[np.isfinite(rows) & (rows != 0)])
    size = float(np.median(finite)) if len(finite) else 1.0
    row = np.zeros(rows.shape[1])
    row[used] = size * generator.choice([-1.0, 1.0], len(used)) / len(used) ** 0.5
    return row


def _are_close(found: Tensor, expected: Tensor, close: float) -> bool:
    """For each row, in units of its largest finite number; what is not finite is so in both."""
    if not found.is_floating_point():
        return torch.equal(found, expected)
    finite = expected.isfinite()
    if not torch.equal(found.isfinite(), finite):
        return False
    a, b = found.where(finite, 0.0).flatten(1), expected.where(finite, 0.0).flatten(1)
    largest = b.abs().amax(dim=1, keepdim=True)
    return bool(((a - b).abs() <= close * largest).all())


def _closeness(device: torch.device) -> float:
    rounds = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    return CLOSE_WITH_TF32 if device.type == "cuda" and rounds else CLOSE
