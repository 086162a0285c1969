"""The slice through several trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.controls import Control
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.alignment import (
    aligned,
    can_align,
    checked_models,
    named_models,
)
from landscape_widgets.samplers.base import RADIUS, SAMPLES, Sampler, Work, assemble
from landscape_widgets.samplers.calibration import filter_direction, relative_radius
from landscape_widgets.samplers.vector_storage import check_memory
from landscape_widgets.samplers.weights import (
    Fitted,
    Weights,
    moving_buffers,
    say_what_statistics_do,
)
from landscape_widgets.task.buffers import Buffers

DIMENSIONS = 3  # of the slice, random directions making up for models that are not given
ASIDE = 0.5  # of the radius, along random directions
BETWEEN = np.linspace(0, 1, 11)  # where the barrier on a straight way is looked for


@dataclass(frozen=True, repr=False, eq=False)
class Models(Sampler):
    """Points of the slice through θ* and other trained models of the same architecture.

    Asks: do the models lie in one basin, how high is the loss between them, and which of them lies
    in the wider valley? Hidden units of each are matched to those of θ* first (weight matching,
    Ainsworth et al. 2023): the same network, in the place that is nearest. What that takes off the
    barrier on the straight way is said. Points are drawn uniformly from a box around all models;
    where fewer than three others are given, it extends along random filter-normalised directions,
    too, so that something of the surroundings is seen.

    Cannot show: the ways round a barrier, for which see `Interpolation` and `Landscape.way`; other
    directions than these. From five models on a map of two dimensions fades.

    Parameters
    ----------
    models : a state dict, model or file, or a list of them
        Trained weights of the same architecture; see `Trajectory` for the forms they may have.
    names : sequence of str
        What they are called on the map and in tables; their numbers by default.
    trained : str
        What the trained weights θ* are called.
    n : int
        Points drawn besides the models.
    match : bool
        Whether hidden units are matched.
    radius : float, optional
        How far along random directions; loss-calibrated by default (see `calibration`).
    extent : pair of float
        Range of the coefficients of models: 0 is θ*, 1 the model.

    Notes
    -----
    The table has the column ``model``, the name or number of each model.
    """

    shows: ClassVar[str] = "whether your models lie in one basin, and the loss between them"
    hides: ClassVar[str] = "ways round a barrier"
    controls: ClassVar[tuple[Control, ...]] = (
        SAMPLES,
        Control("match", "matched", "hidden units in the order of θ*'s", "flag"),
        RADIUS,
        Control("extent", "extent", "0 is θ*, 1 a model", "range"),
    )

    models: Weights | Sequence[Weights]
    names: Sequence[str] = ()
    trained: str = ""
    n: int = 1000
    match: bool = True
    radius: float | None = None
    extent: tuple[float, float] = (-0.25, 1.25)

    def __post_init__(self) -> None:
        models, names = checked_models(self.models, self.names, "Models")
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "names", names)
        super().__post_init__()

    def __repr__(self) -> str:
        called = ", ".join(map(self._called, range(len(self._models))))
        return f"Models({called}, n={self.n}, match={self.match})"

    @property
    def _models(self) -> tuple[Weights, ...]:
        assert isinstance(self.models, tuple)
        return self.models

    def _called(self, number: int) -> str:
        return self.names[number] if self.names else f"model {number}"

    def check(self, objective: Objective) -> None:
        check_memory(self.name, max(DIMENSIONS, len(self._models)), objective, "models")
        for number, model in enumerate(self._models):
            where = f"The model {self._called(number)!r}"
            moved = Fitted(model, objective, where).displacement(objective)
            if not bool(moved.any()):
                raise ValueError(
                    f"{where} has the trained weights θ* themselves. Give the weights of another "
                    "training run."
                )

    def _draw(self, work: Work) -> Cloud:
        objective, count = work.objective, len(self._models)
        ends: list[Tensor] = []
        beside: list[Mapping[str, Tensor]] = []
        said: list[str] = []
        match = self.match and can_align(objective)
        if self.match and not match:
            said.append(
                "No hidden units of this model are known to be free to trade places: the models "
                "are shown as they are, and a barrier between them may be only their order."
            )
        for number, model in enumerate(self._models):
            work.report("ways", number, count)
            other = Fitted(model, objective, f"The model {self._called(number)!r}")
            end, buffers = other.displacement(objective), other.moved_buffers(objective)
            if match:
                before, length = _barrier(work, end, buffers), float(end.norm())
                end, buffers = aligned(objective, end, buffers, work.seed)
                after = _barrier(work, end, buffers)
                said.append(
                    f"The hidden units of {self._called(number)} are matched to those of "
                    f"{self.trained or 'θ*'}: the barrier on the straight way is {after:.3g} "
                    f"instead of {before:.3g}, the distance {float(end.norm()):.3g} instead of "
                    f"{length:.3g}."
                )
            ends.append(end)
            beside.append(buffers)
        aside = max(0, min(DIMENSIONS, objective.size) - count)
        if aside:
            far = relative_radius(work, self.radius)
            ends += [far * filter_direction(objective, work.generator) for _ in range(aside)]
            beside += [{} for _ in range(aside)]
        inside = np.hstack(
            [
                work.rng.uniform(*self.extent, size=(self.n, count)),
                work.rng.uniform(-ASIDE, ASIDE, size=(self.n, aside)),
            ]
        )
        basis = DenseBasis(torch.stack(ends))
        basis.buffers = moving_buffers(objective, beside, "other models")
        for number in range(min(count, DIMENSIONS)):
            say_what_statistics_do(objective, basis, number, self._called(number))
        names: list[Any] = list(self.names) if self.names else list(range(count))
        cloud = assemble(
            work,
            self,
            basis,
            np.vstack([np.eye(count, count + aside), inside]),
            kind=["model"] * count + ["sample"] * self.n,
            model=[*names, *[np.nan] * self.n],
        )
        if self.trained:
            cloud.table["model"] = [self.trained, *cloud.table["model"].tolist()[1:]]
        return replace(cloud, assumptions=tuple(said))


def with_others(model: Any) -> tuple[nn.Module, Models | None]:
    """A model alone; or the first of several by their names, and the sampler that shows them all.

    Raises
    ------
    TypeError
        If the first is no model, or others are no weights.
    """
    if not isinstance(model, Mapping):
        return model, None
    first, trained, others = named_models(model)
    names = tuple(others)
    return first, Models(tuple(others.values()), names, trained=trained) if others else None


def _barrier(work: Work, end: Tensor, buffers: Mapping[str, Tensor]) -> float:
    """The highest rise on the straight way above the line between the losses at its ends."""
    basis = DenseBasis(end[None])
    basis.buffers = Buffers.of(work.objective.buffers, [buffers])
    losses = work.losses(basis, BETWEEN[:, None])
    return float((losses - np.interp(BETWEEN, [0, 1], losses[[0, -1]])).max())
