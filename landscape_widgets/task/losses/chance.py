"""What a loss is at chance: that of the best guess which looks at no inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from landscape_widgets.precision import accumulated
from landscape_widgets.task.losses.binary import (
    BinaryCrossEntropy,
    BinaryCrossEntropyOfProbabilities,
)
from landscape_widgets.task.losses.cross_entropy import CrossEntropy, CrossEntropyOfProbabilities
from landscape_widgets.task.losses.mean import MeanLoss
from landscape_widgets.task.losses.of_torch import TorchLoss
from landscape_widgets.task.losses.squared_error import SquaredError

ELEMENTS = 1 << 22  # of guesses for as many examples as are judged at a time
LEAST = 1e-30  # probability of a class that never occurs
BETWEEN = (0.0, 0.25, 0.5, 0.75, 1.0)  # median and mean, which losses of residuals lie between
UNBOUNDED = ("Poisson negative log-likelihood", "Kullback-Leibler divergence")


def not_negative(loss: object) -> bool:
    """Whether a loss is known to be nowhere below zero, as a user's own is not."""
    return isinstance(loss, MeanLoss) and loss.name.split(",")[0] not in UNBOUNDED


def chance(loss: MeanLoss, targets: object, outputs_shape: tuple[int, ...]) -> float | None:
    """The lowest mean loss of outputs that are the same for all examples.

    Of classes it is the entropy of their frequencies, of squared errors the variance of the
    targets. Of losses of residuals in between (Huber's) it is the lowest of a few guesses between
    the targets' median and their mean.

    Parameters
    ----------
    loss : MeanLoss
    targets : Tensor (n, ...)
        Of all examples, along the first axis.
    outputs_shape : tuple (m, ...)
        Of the model's outputs for m examples.

    Returns
    -------
    float or None
        None for losses whose best guess is not known.

    Examples
    --------
    >>> chance(SquaredError(2), torch.tensor([[0.0], [2.0]]), (2, 1))
    1.0
    """
    shape = outputs_shape[1:]
    if not isinstance(targets, Tensor) or not loss.examples_first or len(targets) == 0:
        return None
    guesses = _guesses(loss, targets, shape)
    if guesses is None:
        return None
    step = max(1, ELEMENTS // max(1, math.prod(shape)))
    parts = torch.split(targets, step)
    whole = loss.denominator(sum(loss.count(part) for part in parts))
    with torch.no_grad():
        found = [
            sum(float(loss.total(guess.expand(len(part), *shape), part)) for part in parts) / whole
            for guess in guesses
        ]
    lowest = min(found)
    return lowest if math.isfinite(lowest) else None


def _guesses(loss: MeanLoss, targets: Tensor, shape: tuple[int, ...]) -> list[Tensor] | None:
    """Outputs for one example, of which one is the best guess."""
    kind = loss.kind.name if isinstance(loss, TorchLoss) else ""
    if isinstance(loss, CrossEntropy) or kind in ("cross-entropy", "negative log-likelihood"):
        return _of_classes(loss, targets, shape)
    if isinstance(loss, BinaryCrossEntropy) or kind.startswith("binary cross-entropy"):
        return _of_two(loss, targets, shape)
    if isinstance(loss, SquaredError) and loss.axis != 0:
        return None
    if loss.task == "regression" and targets.numel() == len(targets) * math.prod(shape):
        rows = accumulated(targets).reshape(len(targets), *shape)
        mean, median = rows.mean(0), rows.median(0).values
        if isinstance(loss, SquaredError):
            return [mean]
        return [median + share * (mean - median) for share in BETWEEN]
    return None


def _of_classes(loss: MeanLoss, targets: Tensor, shape: tuple[int, ...]) -> list[Tensor] | None:
    """Log-probabilities of classes as often as they occur."""
    if not shape or not isinstance(loss, (CrossEntropy, TorchLoss)):
        return None
    axis = loss.class_axis - 1 if loss.class_axis > 0 else len(shape) - 1
    classes = shape[axis]
    if targets.is_floating_point():  # probabilities themselves
        smoothing = loss.options.get("label_smoothing", 0.0) if isinstance(loss, TorchLoss) else 0.0
        rows = accumulated(targets.movedim(axis + 1, -1)).reshape(-1, classes)
        shares = rows.mean(0) * (1 - smoothing) + smoothing / classes
    else:
        options = loss.options if isinstance(loss, TorchLoss) else {}
        ignored = loss.ignored if isinstance(loss, CrossEntropy) else options["ignore_index"]
        weight = loss.weight if isinstance(loss, CrossEntropy) else options.get("weight")
        flat = targets.reshape(-1).long()
        counts = accumulated(torch.bincount(flat[flat != ignored], minlength=classes))
        if len(counts) != classes or not bool(counts.any()):
            return None
        if weight is not None:
            counts = counts * accumulated(weight).to(counts.device)
        smoothing = options.get("label_smoothing", 0.0)
        shares = counts / counts.sum() * (1 - smoothing) + smoothing / classes
    if isinstance(loss, CrossEntropyOfProbabilities):
        guess = shares
    else:
        guess = shares.clamp(min=LEAST).log()
    view = [1] * len(shape)
    view[axis] = classes
    return [guess.view(view).expand(shape)]


def _of_two(loss: MeanLoss, targets: Tensor, shape: tuple[int, ...]) -> list[Tensor] | None:
    """Each output's share of ones, as a logit where outputs are logits."""
    if targets.numel() != len(targets) * math.prod(shape):
        return None
    shares = accumulated(targets).reshape(len(targets), *shape).mean(0)
    probabilities = isinstance(loss, BinaryCrossEntropyOfProbabilities)
    if isinstance(loss, TorchLoss):
        probabilities = loss.kind.function is F.binary_cross_entropy
        positive = loss.options.get("pos_weight")
        if positive is not None:
            ones = shares * accumulated(positive).to(shares.device)
            shares = ones / (ones + 1 - shares)
    return [shares] if probabilities else [shares.clamp(LEAST, 1 - 1e-16).logit()]
