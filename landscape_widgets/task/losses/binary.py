"""Binary cross-entropy of logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from landscape_widgets.precision import accumulated, summed
from landscape_widgets.task.losses.mean import MeanLoss


class BinaryCrossEntropy(MeanLoss):
    """log(1 + exp(∓z)) for one logit a target, and targets 0 or 1."""

    name = "binary cross-entropy"
    task = "binary"
    threshold = 0.0  # above it, an output says 1

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        low, high = float(targets.min()), float(targets.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"Targets 0 and 1 are expected for a model with one output; they range from "
                f"{low:g} to {high:g}. Give the model as many outputs as there are classes; if the "
                "targets are numbers to be met, give them as floating-point numbers; else give "
                "loss=."
            )

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of 0 and of 1, in outputs (n, m, *): (n, positions, 2)."""
        z = outputs.reshape(len(outputs), -1)
        return torch.stack([torch.zeros_like(z), z], dim=-1).softmax(-1)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        lead = outputs.ndim - self.output_axes
        signs = 1 - 2 * targets.reshape(-1).to(outputs.dtype)
        return summed(F.softplus(outputs.flatten(lead) * signs))

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        lead = outputs.ndim - self.output_axes
        signs = 1 - 2 * targets.reshape(-1).to(outputs.dtype)
        losses = accumulated(F.softplus(outputs.flatten(lead) * signs))
        return losses.reshape(*losses.shape[:-1], len(targets), -1).sum(-1)

    def count(self, targets: Tensor) -> float:
        return float(targets.numel())


class BinaryCrossEntropyOfProbabilities(BinaryCrossEntropy):
    """−log p or −log (1 − p), for a model that returns the probability p of a 1 itself."""

    name = "binary cross-entropy of probabilities"
    threshold = 0.5

    def probabilities(self, outputs: Tensor) -> Tensor:
        p = outputs.reshape(len(outputs), -1)
        return torch.stack([1 - p, p], dim=-1).clamp(min=0.0)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return summed(self._terms(outputs, targets))

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = accumulated(self._terms(outputs, targets))
        return losses.reshape(*losses.shape[:-1], len(targets), -1).sum(-1)

    def _terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        p = outputs.flatten(outputs.ndim - self.output_axes)
        aims = targets.reshape(-1).to(p.dtype).expand_as(p)
        return F.binary_cross_entropy(p, aims, reduction="none")
