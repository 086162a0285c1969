"""Which loss a model was trained with, where outputs and targets leave no doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from landscape_widgets.task.losses.squared_error import SquaredError

FITS = 0.5  # share of the targets' variance that a model explains which was fitted to them
CHANCE = 3.0  # standard errors above which predictions are better than chance
FEW_VALUES = 20  # whole numbers that look like classes

Moved = Callable[[], Sequence[Tensor]]


@dataclass
class Inferred:
    """A loss that was inferred.

    Attributes
    ----------
    loss : MeanLoss
        Which also is how outputs are read as predictions.
    sure : bool
        The outputs are known to be predictions of these targets: metrics have a meaning.
    assumptions : list of str
        What whoever reads the loss must know.
    """

    loss: MeanLoss
    sure: bool = True
    assumptions: list[str] = field(default_factory=list)


def infer(outputs: Tensor, targets: Any, moved: Moved, all_targets: Sequence[Any]) -> Inferred:
    """The loss that these outputs at θ* and targets are of.

    Parameters
    ----------
    outputs, targets
        Of the same examples.
    moved
        Gives the outputs at a few other parameter vectors.
    all_targets
        The targets of all examples, batch by batch.

    Raises
    ------
    ValueError, TypeError
        If there are no targets, their shape or values fit no loss, or several.
    """
    loss = infer_loss(outputs, targets)
    seen = [part for part in all_targets if isinstance(part, Tensor)]
    if isinstance(loss, CrossEntropy):
        return _classes(loss, outputs, targets, moved, seen)
    if isinstance(loss, BinaryCrossEntropy):
        return _two_classes(loss, outputs, moved, seen)
    return _numbers(outputs, targets, moved, seen)


def infer_loss(outputs: Tensor, targets: Any) -> MeanLoss:
    """By shapes and types alone: cross-entropy for integer targets, squares for floating ones.

    Integer targets with one output an example are taken as 0 or 1, for binary cross-entropy.

    Raises
    ------
    ValueError, TypeError
        If there are no targets, or their shape fits neither.
    """
    if not isinstance(targets, Tensor):
        cure = (
            "Give data as (inputs, targets), or loss=function(model, batch)."
            if targets is None
            else "Give loss=function(outputs, targets), which gets them as they are."
        )
        raise TypeError(
            f"Targets of type {type(targets).__name__} were given; a tensor is expected to infer "
            f"the loss. {cure}"
        )
    if outputs.is_complex() or targets.is_complex():
        raise ValueError(
            "Outputs or targets are complex numbers, of which no loss can be inferred. Give "
            "loss=function(outputs, targets)."
        )
    out, aim, axes = tuple(outputs.shape), tuple(targets.shape), outputs.ndim
    if targets.is_floating_point():
        if out[:1] == aim[:1] and outputs.numel() == targets.numel():
            return SquaredError(axes)
    elif len(aim) > 0:
        if axes > 1 and out[:1] + out[2:] == aim and out[1] > 1:
            return CrossEntropy(axes, class_axis=1)
        if out[:-1] == aim and out[-1] > 1:
            return CrossEntropy(axes, class_axis=-1)
        if out in (aim, (*aim, 1)):
            return BinaryCrossEntropy(axes)
    hint = ""
    if targets.is_floating_point() and out[:1] + out[2:] == aim:
        hint = " If the targets are classes, give them as integers (targets.long())."
    elif aim[-1:] == (1,) and aim[:-1] in (out[:1] + out[2:], out[:-1]):
        hint = " If the targets are classes, give them without their last axis: targets.squeeze(-1)"
        hint += "." if not targets.is_floating_point() else ".long()."
    raise ValueError(
        f"The model's outputs have shape {of_any(out, aim)}, the targets {of_any(aim, out)} "
        f"({_kind(targets)} numbers). Expected are integer targets (m,) for outputs (m, classes), "
        "or floating targets of the outputs' own shape."
        f"{hint} For anything else give loss=function(outputs, targets)."
    )


def _kind(targets: Tensor) -> str:
    """Of what numbers: by now they have the model's own precision, not the one they came in."""
    return "floating" if targets.is_floating_point() else "integer"


def of_any(shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    """A shape with m in the place of the number of examples."""
    if not shape or shape[:1] != other[:1]:
        return str(shape)
    return f"({', '.join(['m', *map(str, shape[1:])])}{',' if len(shape) == 1 else ''})"


def are_probabilities(outputs: Tensor, class_axis: int, moved: Moved) -> bool:
    """Whether they are those of classes, as a softmax makes them, wherever the weights are."""

    def sum_to_one(z: Tensor) -> bool:
        if not bool((z >= 0).all()):
            return False
        sums = accumulated(z).sum(class_axis)
        return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)

    return sum_to_one(outputs) and all(map(sum_to_one, moved()))


def are_shares(outputs: Tensor, moved: Moved) -> bool:
    """Whether all lie between 0 and 1, as a sigmoid makes them, wherever the weights are."""

    def between(z: Tensor) -> bool:
        return bool(((z >= 0) & (z <= 1)).all())

    return between(outputs) and all(map(between, moved()))


def are_log_probabilities(outputs: Tensor) -> bool:
    """Whether their exponentials sum to 1 over axis 1."""
    sums = accumulated(outputs).logsumexp(1)
    return bool((sums.abs() < 1e-3).all())


def _classes(
    loss: CrossEntropy, outputs: Tensor, targets: Tensor, moved: Moved, seen: Sequence[Tensor]
) -> Inferred:
    said = f"The loss is {loss.name}, inferred from the targets."
    every = torch.cat([part.reshape(-1) for part in seen])
    if bool((every == loss.ignored).any()):
        said += f" Targets of {loss.ignored} count for nothing in it, as in torch's own."
    if are_probabilities(outputs, loss.class_axis, moved):
        found = CrossEntropyOfProbabilities(loss.output_axes, loss.class_axis)
        return Inferred(found, assumptions=[
            "The model ends in a softmax: its outputs are probabilities of the classes, so that "
            "the loss is taken as cross-entropy of them, −log p of the target, inferred from the "
            "targets. torch's CrossEntropyLoss would take a softmax of the softmax: if that is "
            "what it was trained with, give loss=nn.CrossEntropyLoss().",
        ])  # fmt: skip
    classes = outputs.shape[loss.class_axis]
    flat = outputs.movedim(loss.class_axis, -1).flatten(0, -2)
    if outputs.ndim == 2 and classes > 2 and _of_length_one(flat):
        raise ValueError(
            f"Each of the model's outputs, {classes} numbers, has length 1, as "
            "embeddings have and logits of classes do not: the loss cannot be inferred. "
            "Give loss=function(outputs, targets), the one that the model was trained with."
        )
    present = len(torch.unique(every[every != loss.ignored]))
    if present == classes or _better_than_chance(flat, targets.reshape(-1), loss.ignored):
        return Inferred(loss, assumptions=[said])
    return Inferred(loss, sure=False, assumptions=[
        f"{said} The model has {classes} outputs for the {present} classes in the targets, and "
        "predicts them no better than chance: if its outputs are no logits of them, give loss=.",
    ])  # fmt: skip


def _of_length_one(rows: Tensor) -> bool:
    norms = accumulated(rows).norm(dim=-1)
    return bool(((norms - 1).abs() < 1e-3).all())


def _better_than_chance(logits: Tensor, targets: Tensor, ignored: int) -> bool:
    kept = targets != ignored
    predicted, aims = logits.argmax(-1)[kept], targets[kept].long()
    n, classes = len(aims), logits.shape[-1]
    if n == 0:
        return False
    shares = [
        accumulated(torch.bincount(x, minlength=classes)[:classes]) / n for x in (predicted, aims)
    ]
    by_chance = float(shares[0] @ shares[1])
    right = float(accumulated(predicted == aims).mean())
    error = float((by_chance * (1 - by_chance) / n) ** 0.5)
    return right > by_chance + CHANCE * error + 1 / n


def _two_classes(
    loss: BinaryCrossEntropy, outputs: Tensor, moved: Moved, seen: Sequence[Tensor]
) -> Inferred:
    if outputs.ndim > 1 and outputs.shape[1] > 1 and all(bool((t.sum(1) == 1).all()) for t in seen):
        raise ValueError(
            f"Each target is a row of {outputs.shape[1]} integers of which one is 1: of one class, "
            "or of several labels of which each example has one. Give the classes themselves, "
            "targets.argmax(1), for cross-entropy, or targets.float() and "
            "loss=nn.BCEWithLogitsLoss() for labels."
        )
    if are_shares(outputs, moved):
        return Inferred(
            BinaryCrossEntropyOfProbabilities(loss.output_axes), assumptions=[_OF_A_SIGMOID]
        )
    return Inferred(loss, assumptions=[f"The loss is {loss.name}, inferred from the targets."])


_OF_A_SIGMOID = (
    "The model ends in a sigmoid: its outputs are probabilities, so that the loss is taken as "
    "binary cross-entropy of them, inferred from the targets 0 and 1. If it was trained with "
    "another loss (nn.MSELoss(), or nn.BCEWithLogitsLoss() on top of the sigmoid), give that."
)


def _numbers(outputs: Tensor, targets: Tensor, moved: Moved, seen: Sequence[Tensor]) -> Inferred:
    loss = SquaredError(outputs.ndim)
    said = f"The loss is {loss.name}, inferred from the targets."
    if all(map(_are_distributions, seen)):
        return _distributions(loss, outputs, targets, moved)
    values: Tensor = torch.unique(torch.cat([part.reshape(-1) for part in seen]))
    if not _look_like_classes(values, sum(part.numel() for part in seen)):
        return Inferred(loss, assumptions=[said])
    if values.tolist() != [0.0, 1.0]:
        shown = ", ".join(f"{value:g}" for value in values.tolist())
        z, y = accumulated(outputs).reshape(-1), accumulated(targets).reshape(-1)
        return Inferred(loss, sure=_explained(z, y) > FITS, assumptions=[
            f"{said} These are the whole numbers {shown}: if these are classes, give the loss that "
            "the model was trained with.",
        ])  # fmt: skip
    return _zeros_and_ones(outputs, targets, moved)


def _are_distributions(targets: Tensor) -> bool:
    """Whether each row holds shares that sum to 1, and not whole numbers alone."""
    if targets.ndim < 2 or targets.shape[1] < 2 or not bool((targets >= 0).all()):
        return False
    sums = accumulated(targets).sum(1)
    whole = bool((targets == targets.round()).all())
    return not whole and bool(((sums - 1).abs() < 1e-3).all())


def _distributions(loss: SquaredError, outputs: Tensor, targets: Tensor, moved: Moved) -> Inferred:
    """Of targets that are shares of classes, as soft labels are."""
    explained = _explained(accumulated(outputs), accumulated(targets))
    if explained > FITS and not are_probabilities(outputs, 1, moved):
        return Inferred(loss, assumptions=[
            f"The loss is {loss.name}, inferred from the targets, which are shares that sum to 1: "
            "the outputs are near them. If the model was trained with another loss, give it.",
        ])  # fmt: skip
    raise ValueError(
        f"Each target is {targets.shape[1]} shares that sum to 1, as soft labels are, and which "
        "loss the model was trained with is not known from them. Give it: "
        "loss=nn.CrossEntropyLoss() for logits, nn.KLDivLoss(reduction='batchmean') for logarithms "
        "of probabilities, nn.MSELoss() or your own."
    )


def _explained(outputs: Tensor, targets: Tensor) -> float:
    """Share of the targets' variance that the outputs explain."""
    return 1 - float((outputs - targets).square().mean()) / max(float(targets.var()), 1e-12)


def _look_like_classes(values: Tensor, count: int) -> bool:
    few = 2 <= len(values) <= min(FEW_VALUES, count // 2)
    whole: Tensor = values == values.round()
    return few and bool(whole.all())


def _zeros_and_ones(outputs: Tensor, targets: Tensor, moved: Moved) -> Inferred:
    """Floating targets 0 and 1: of two classes, of one of several classes, or numbers."""
    axes, z, y = outputs.ndim, accumulated(outputs).reshape(-1), accumulated(targets).reshape(-1)
    one_hot = targets.ndim == 2 and targets.shape[1] > 1 and bool((targets.sum(1) == 1).all())
    picture = targets.ndim > 2
    if are_shares(outputs, moved) and not one_hot and not picture:
        return Inferred(BinaryCrossEntropyOfProbabilities(axes), assumptions=[_OF_A_SIGMOID])
    share = float(y.mean())
    explained = 1 - float((z - y).square().mean()) / max(share * (1 - share), 1e-12)
    if explained > FITS:
        loss = SquaredError(axes)
        return Inferred(loss, assumptions=[
            f"The loss is {loss.name}, inferred from the targets, which are 0 and 1: the outputs "
            "are near them. If the model was trained with another loss, give it as loss=.",
        ])  # fmt: skip
    entropy = -sum(p * torch.tensor(p).clamp(min=1e-12).log().item() for p in (share, 1 - share))
    crossed = float(F.binary_cross_entropy_with_logits(z, y))
    if explained < 0 and crossed < 0.9 * entropy and not one_hot:
        found = BinaryCrossEntropy(axes)
        return Inferred(found, assumptions=[
            f"The loss is {found.name} of logits, inferred from the targets, which are 0 and 1 and "
            "which the outputs' signs predict. If the model was trained with another loss "
            "(weights of classes, squared errors), give it as loss=.",
        ])  # fmt: skip
    kinds = "nn.CrossEntropyLoss(), " if one_hot else ""
    raise ValueError(
        "The targets are 0 and 1 as floating-point numbers, and the model's outputs do not say "
        f"which loss it was trained with: as squared errors they explain {explained:.0%} of the "
        f"targets' variance, as logits their binary cross-entropy is {crossed:.3g}, where always "
        f"saying the same gives {entropy:.3g}. Give it: loss={kinds}nn.BCEWithLogitsLoss(), "
        "nn.MSELoss() or your own."
    )
