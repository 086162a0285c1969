"""Some examples whose predictions make up "outputs" space, and what distances are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.objective.findings import Findings
from landscape_widgets.objective.options import Options
from landscape_widgets.task.data import Batch, Examples, take
from landscape_widgets.task.losses import BinaryCrossEntropy, CrossEntropy, MeanLoss

BYTES = 4 << 20  # of the predictions of one parameter vector that make up outputs space


def probe_of(
    found: Findings, options: Options, predicted: Callable[[Batch], Tensor], device: torch.device
) -> tuple[list[Batch], tuple[int, ...] | None]:
    """Batches of the probe, whose predictions fit together, and their shape (m, ...).

    Of the validation data, where there are any. No shape where there are no predictions.

    Parameters
    ----------
    predicted : callable
        Gives the predictions for a batch at θ*.
    """
    examples, each = found.train if found.val is None else found.val, None
    if found.separable and found.predicted is not None:
        each = found.predicted.nbytes // found.of_predicted
    probe = draw_probe(examples, options.probe_examples, options.seed, device, each)
    if not found.has_outputs:
        return probe, None
    if each is None or len(probe) > 1:
        return of_one_shape(probe, predicted)
    # Of examples that do not see each other, a few tell what there is of each.
    few = found.predicted if found.val is None else predicted(take(probe[0], slice(0, 2)))
    assert few is not None
    return probe, (probe[0].size, *few.shape[1:])


def draw_probe(
    examples: Examples, count: int, seed: int, device: torch.device, each: int | None
) -> list[Batch]:
    """Examples of the probe, on the device; of batches that stay whole, the first ones.

    Parameters
    ----------
    count : int
        How many.
    each : int or None
        Bytes of the predictions for an example, where these may be cut: of predictions for each of
        50,000 words, those for a few texts are as many.
    """
    whole = examples.joined
    if whole is not None:
        if each is not None:
            count = min(count, max(1, BYTES // max(1, each)))
        generator = torch.Generator().manual_seed(seed)
        picked = torch.randperm(whole.size, generator=generator)[:count].sort().values
        return [take(whole, picked).to(device)]
    batches: list[Batch] = []
    for batch in examples.batches:
        batches.append(batch.to(device))
        if sum(b.size for b in batches) >= count:
            break
    return batches


def of_one_shape(
    probe: list[Batch], predicted: Callable[[Batch], Tensor]
) -> tuple[list[Batch], tuple[int, ...] | None]:
    """Those batches whose predictions fit together, and their shape.

    All of them, and no shape, where a prediction is one number.
    """
    alike: dict[torch.Size, list[Batch]] = {}
    lengths: dict[torch.Size, int] = {}
    for batch in probe:
        found = predicted(batch)
        if found.ndim > 0 and not found.is_nested:
            alike.setdefault(found.shape[1:], []).append(batch)
            lengths[found.shape[1:]] = lengths.get(found.shape[1:], 0) + len(found)
    if not alike:
        return probe, None
    each = max(alike, key=lambda shape: sum(batch.size for batch in alike[shape]))
    return alike[each], (lengths[each], *each)


def features(
    outputs: npt.NDArray[np.floating[Any]],
    predictions: MeanLoss | None,
    spread: Callable[[], float],
) -> FloatArray:
    """Predictions (n, m, ...) as points whose Euclidean distances mean something, (n, d).

    For classes: √softmax / √m, so that the distance of two rows is √2 times the root mean squared
    Hellinger distance between their predictions. For numbers: the predictions in units of their
    standard deviation at the trained weights.

    Parameters
    ----------
    predictions
        How outputs are read as predictions; None if they are not.
    spread : callable
        Their standard deviation at the trained weights.
    """
    n, m = outputs.shape[:2]
    # A copy: what a landscape hands out cannot be written to, of which torch warns.
    z = torch.from_numpy(np.array(outputs, dtype=np.float64))
    if not isinstance(predictions, (BinaryCrossEntropy, CrossEntropy)):
        result: FloatArray = (z.reshape(n, -1) / ((spread() or 1.0) * m**0.5)).numpy()
        return result
    probabilities = predictions.probabilities(z)
    result = (probabilities.sqrt().reshape(n, -1) / probabilities.shape[1] ** 0.5).numpy()
    return result
