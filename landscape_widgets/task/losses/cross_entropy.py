"""Cross-entropy with the class of each example."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from landscape_widgets.precision import accumulated, summed
from landscape_widgets.task.losses.mean import MeanLoss

LOG2_E = math.log2(math.e)
SMALL = 0.1  # beyond it, torch's own loss is right to float32's rounding
FEW_CLASSES = 128  # with more, a mask of the targets would take as much memory as the outputs
IGNORED = -100  # torch's own default for targets that count for nothing


@dataclass(frozen=True)
class _Aims:
    """What a cross-entropy needs to know of its targets, whatever the outputs."""

    kept: Tensor | None  # positions that count, where some do not
    index: Tensor  # (M, 1)
    weights: Tensor | None  # (M,), float64, as `accumulated`
    count: float
    masks: dict[tuple[bool, torch.dtype], Tensor] = field(default_factory=dict)

    def summed(self, losses: Tensor) -> Tensor:
        """Losses (..., M) of the positions that count, summed: float64 (...)."""
        if self.weights is None:
            return summed(losses)
        return accumulated(losses) @ self.weights

    def but_own(self, margins: Tensor) -> Tensor:
        """0, and −∞ at each position's own class, (M, C), laid out in memory as `margins` are."""
        feature_major = margins.stride(-1) != 1
        key = (feature_major, margins.dtype)
        if key not in self.masks:
            shape = (margins.shape[-1], len(self.index)) if feature_major else margins.shape[-2:]
            mask = margins.new_zeros(shape)
            mask = mask.T if feature_major else mask
            self.masks[key] = mask.scatter_(-1, self.index, float("-inf"))
        return self.masks[key]


class CrossEntropy(MeanLoss):
    """−log softmax(z)_y, accurate also where it is as small as 1e-8.

    Taken as log1p(Σ_{c≠y} exp(z_c − z_y)): the textbook logsumexp(z) − z_y loses all digits in
    float32 once the loss is near 1e-7. Where that sum overflows, logsumexp takes its place.

    Parameters
    ----------
    class_axis
        Of outputs without leading axes: 1 for (m, C, ...), -1 for (m, ..., C).
    ignored
        Targets of this value count for nothing.
    weight : Tensor (C,), optional
        What targets of each class count for.
    """

    name = "cross-entropy"
    task = "classification"

    def __init__(
        self,
        output_axes: int,
        class_axis: int,
        *,
        ignored: int = IGNORED,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(output_axes)
        self.class_axis, self.ignored = class_axis, ignored
        self.weight = None if weight is None else accumulated(weight)
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _known=WeakIdKeyDictionary())

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        classes = outputs.shape[self.class_axis]
        counted = targets[targets != self.ignored]
        if counted.numel() and (int(counted.min()) < 0 or int(counted.max()) >= classes):
            outside = torch.unique(counted[(counted < 0) | (counted >= classes)]).tolist()
            cure = "Renumber the classes, or give the model as many outputs as there are classes."
            if len(outside) == 1:
                cure = (
                    f"If {outside[0]} means no class, say that it counts for nothing: "
                    f"loss=nn.CrossEntropyLoss(ignore_index={outside[0]}). Else renumber the "
                    "classes, or give the model as many outputs as there are classes."
                )
            raise ValueError(
                f"Targets from 0 to {classes - 1} are expected for the model's {classes} outputs; "
                f"they range from {int(counted.min())} to {int(counted.max())}. {cure}"
            )

    def classes_last(self, outputs: Tensor) -> Tensor:
        """Outputs as (..., M, C), with M = all target positions."""
        if self.output_axes == 2:
            return outputs
        lead = outputs.ndim - self.output_axes
        if self.class_axis == 1:
            outputs = outputs.movedim(lead + 1, -1)
        return outputs.flatten(lead, -2)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of the classes, in outputs (n, m, *): (n, positions, C)."""
        return self.classes_last(outputs).softmax(-1)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits = self.classes_last(outputs)
        aims = self._aims(targets)
        if aims.kept is not None:
            logits = logits[..., aims.kept, :]
        index = aims.index.expand(*logits.shape[:-1], 1)
        if logits.shape[-1] > FEW_CLASSES:
            return aims.summed(_of_many_classes(logits, index))
        margins = logits - logits.gather(-1, index)
        # In powers of 2, which vectorise better; −∞ is added, which costs less than scattering.
        others = torch.add(aims.but_own(margins), margins, alpha=LOG2_E)
        total = aims.summed(others.exp2_().sum(-1).log1p_())
        if bool(total.isfinite().all()):
            return total
        return aims.summed(_by_margins(logits, index))

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits, flat = self.classes_last(outputs), targets.reshape(-1).long()
        own = flat.clamp(min=0, max=logits.shape[-1] - 1)  # ignored ones may lie outside
        index = own.view(-1, 1).expand(*logits.shape[:-1], 1)
        losses = accumulated(_by_margins(logits, index))
        flat = flat.to(losses.device)
        if self.weight is not None:
            losses = losses * self.weight[flat.clamp(min=0, max=len(self.weight) - 1)]
        losses = losses.where(flat != self.ignored, 0.0)
        return losses.reshape(*losses.shape[:-1], len(targets), -1).sum(-1)

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        if outputs.ndim != 2:
            return None
        p = outputs.softmax(-1)
        own = targets.view(-1, 1).long().clamp(min=0, max=outputs.shape[-1] - 1)
        scale = None if self._aims(targets).kept is None else (targets != self.ignored).view(-1, 1)
        if self.weight is not None:
            weights = self.weight[own.to(self.weight.device)].to(outputs)
            scale = weights if scale is None else weights * scale

        def along(u: Tensor) -> Tensor:
            # (diag p − p pᵀ) u is the same with any number added to u. With 0 at each example's own
            # class, whose p may be 1 but for rounding, nothing large has to cancel.
            product = p * (u - u.gather(-1, own))
            product.addcmul_(p, product.sum(-1, keepdim=True), value=-1.0)
            return product if scale is None else product.mul_(scale)

        return along

    def _aims(self, targets: Tensor) -> _Aims:
        # The same tiles come back for every parameter vector.
        known: _Aims | None = self._known.get(targets, None)  # type: ignore[no-untyped-call]
        if known is None:
            flat = targets.reshape(-1).long()
            kept = flat != self.ignored
            every = bool(kept.all())
            counted = flat if every else flat[kept]
            weights = None
            if self.weight is not None:
                weights = self.weight[counted.to(self.weight.device)]
            count = len(counted) if weights is None else float(weights.sum())
            known = _Aims(None if every else kept, counted.view(-1, 1), weights, float(count))
            self._known[targets] = known
        return known

    def count(self, targets: Tensor) -> float:
        return self._aims(targets).count


class CrossEntropyOfProbabilities(CrossEntropy):
    """−log p_y, for a model that returns the probabilities of the classes themselves."""

    name = "cross-entropy of probabilities"

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().total(_logs(outputs), targets)

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().each(_logs(outputs), targets)

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        return None

    def probabilities(self, outputs: Tensor) -> Tensor:
        return self.classes_last(outputs)


def _logs(probabilities: Tensor) -> Tensor:
    return probabilities.log().clamp(min=-100.0)  # as torch's binary cross-entropy does


def _by_margins(logits: Tensor, index: Tensor) -> Tensor:
    """The loss at each position (..., M), from logits (..., M, C) and classes (..., M, 1)."""
    margins = (logits - logits.gather(-1, index)).scatter(-1, index, float("-inf"))
    return F.softplus(margins.logsumexp(-1))


def _of_many_classes(logits: Tensor, index: Tensor) -> Tensor:
    """The same by torch's own, in fewer passes, but for losses so small that it rounds them."""
    rows, own = logits.flatten(0, -2), index.reshape(-1)
    losses = F.cross_entropy(rows, own, reduction="none")
    small = (losses < SMALL).nonzero().squeeze(-1)
    if len(small):
        losses = losses.index_copy(0, small, _by_margins(rows[small], own[small, None]))
    return losses.view(index.shape[:-1])
