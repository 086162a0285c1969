"""What a loss is compared with: chance, and networks that have learned nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape_widgets.diagnosis.point import is_small
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.task.data import target_axis
from landscape_widgets.task.losses import MeanLoss
from landscape_widgets.task.losses.chance import chance, not_negative
from landscape_widgets.task.parameters import reinitialise

COPIES, FEW = 8, 3  # untrained copies, of small models and of large ones
WITH_CHANCE = 1  # of large ones that can be compared with chance


@dataclass(frozen=True)
class References:
    """Losses to compare with; the same for all parameter vectors.

    Attributes
    ----------
    chance : float or None
        Of the best guess that looks at no inputs; None where that is not known.
    untrained : tuple of float
        Of copies whose weights were drawn anew, batch statistics estimated anew.
    bounded : bool
        Whether the loss is known to be nowhere below zero.
    """

    chance: float | None
    untrained: tuple[float, ...]
    bounded: bool

    @property
    def usual(self) -> float | None:
        """The median of the untrained copies' losses that are finite; None without any."""
        finite = [loss for loss in self.untrained if np.isfinite(loss)]
        return float(np.median(finite)) if finite else None

    @property
    def spread(self) -> float | None:
        """Half of what they range over."""
        finite = [loss for loss in self.untrained if np.isfinite(loss)]
        return (max(finite) - min(finite)) / 2 if finite else None

    @property
    def base(self) -> float | None:
        """What a model that has learned nothing is expected to have."""
        return self.usual if self.chance is None else self.chance


def references(
    objective: Objective,
    *,
    thorough: bool | None = None,
    seed: int = 0,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> References:
    """Take the loss of untrained copies, 8 of them or, of large models, 1 to 3; and at chance.

    Raises
    ------
    Cancelled
    """
    generator, losses = torch.Generator().manual_seed(seed), []
    at_chance, few = _chance(objective), not is_small(objective)
    if few if thorough is None else not thorough:
        copies = FEW if at_chance is None else WITH_CHANCE
    else:
        copies = COPIES
    anchor, layout, anew = objective.anchor, objective.layout, objective.has_batchnorm
    for number in range(copies):  # one is in memory at a time
        progress(Progress("untrained", number, copies))
        if cancelled():
            raise Cancelled
        fresh = reinitialise(anchor, layout, generator)
        if anew and not objective.reestimates:
            # With statistics of the trained weights, an untrained network's loss says nothing.
            away = DenseBasis((fresh - anchor)[None])
            losses.append(objective.with_both_statistics(away, np.ones(1))[1])
        else:
            losses.append(objective.loss(fresh))
    return References(at_chance, tuple(losses), not_negative(objective.loss_function))


def _chance(objective: Objective) -> float | None:
    loss, joined = objective.loss_function, objective.train.joined
    if not isinstance(loss, MeanLoss) or joined is None or objective.outputs_shape is None:
        return None
    targets = joined.targets
    if not isinstance(targets, torch.Tensor) or target_axis(joined) != 0:
        return None
    return chance(loss, targets.to(objective.device), objective.outputs_shape)
