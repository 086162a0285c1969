"""From θ* to other trained models: straight, straight after matching their units, and round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.controls import Control
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.alignment import aligned, can_align, checked_models
from landscape_widgets.samplers.base import (
    BATCH_SIZE,
    Sampler,
    Work,
    assemble,
)
from landscape_widgets.samplers.descents import Adam, cosine, learning_rate_for
from landscape_widgets.samplers.vector_storage import check_memory
from landscape_widgets.samplers.weights import (
    Fitted,
    Weights,
    moving_buffers,
    say_what_statistics_do,
)
from landscape_widgets.task.buffers import Buffers

ROUTES = ("linear", "aligned", "curve")
COMPARED = 3  # models whose way is asked what batch statistics do to it


@dataclass(frozen=True, repr=False, eq=False)
class Interpolation(Sampler):
    """The ways from θ* to other trained models of the same architecture; each is a path.

    Asks: is there a barrier between this minimum and the others? Three routes to each: the
    straight line as the weights are ("linear"); the line after the other model's hidden units are
    matched to this one's ("aligned": weight matching, Ainsworth et al. 2023, which changes the
    weights but nothing that the network computes); and a curve of low loss (a quadratic Bézier
    curve whose bend is trained, Garipov et al. 2018, "Loss surfaces, mode connectivity"). Their
    barriers side by side tell what of the barrier was only the order of the units, and whether a
    way round it exists: `Interpolation.barriers(land.to_frame())`.

    Cannot show: that no lower way exists, when it finds none; what lies beside the ways. Batch
    statistics are each model's own at its end, and interpolated on the way, where no network would
    have them: with batch normalisation give ``batchnorm="reestimate"``. The curve is then bent
    with the statistics of each minibatch, differentiated too.

    Parameters
    ----------
    models : a state dict, model or file, or a list of them
        Trained weights of the same architecture; see `Trajectory` for the forms they may have.
    points : int
        Samples on each way, the end included.
    align, curve : bool
        Whether to take these routes too.
    steps, batch_size : int
        Of training the bend.
    learning_rate : float, optional
        At the first step, falling along a cosine.
    names : sequence of str
        What the models are called on the map; their numbers by default.

    Notes
    -----
    The table has the columns ``model`` (0, 1, ..., or its name), ``route`` and ``t`` (0 at θ*, 1 at
    the other model).
    """

    shows: ClassVar[str] = "whether a barrier lies between your models, on three routes"
    hides: ClassVar[str] = "that no lower way exists"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("points", "points", "on each way", "whole", least=2),
        Control("align", "aligned", "after matching hidden units", "flag"),
        Control("curve", "curve", "of low loss", "flag"),
        Control("steps", "steps", "of the curve", "whole", least=1, offered=False),
        BATCH_SIZE,
        Control("learning_rate", "learning rate", "of the curve", above=0, offered=False),
    )

    models: Weights | Sequence[Weights]
    points: int = 25
    align: bool = True
    curve: bool = True
    steps: int = 200
    batch_size: int = 256
    learning_rate: float | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        models, names = checked_models(self.models, self.names, "Interpolation")
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "names", names)
        super().__post_init__()

    def __repr__(self) -> str:
        return (
            f"Interpolation({len(self._models)} models, points={self.points}, align={self.align}, "
            f"curve={self.curve}, steps={self.steps})"
        )

    @property
    def _models(self) -> tuple[Weights, ...]:
        assert isinstance(self.models, tuple)
        return self.models

    @property
    def routes(self) -> tuple[str, ...]:
        """The ways that are taken to each model."""
        return ("linear", *(("aligned",) if self.align else ()), *(("curve",) * self.curve))

    @property
    def differentiates(self) -> bool:
        return self.curve

    def check(self, objective: Objective) -> None:
        check_memory(self.name, len(self._models) * 3, objective, "models")
        for number, model in enumerate(self._models):
            moved = Fitted(model, objective, f"Model {number}").displacement(objective)
            if not bool(moved.any()):
                raise ValueError(
                    f"Model {number} has the trained weights θ* themselves: there is no way to go. "
                    "Give the weights of another training run."
                )
        if self.align and not can_align(objective):
            raise ValueError(
                "Interpolation(align=True): no hidden units of this model are known to be free to "
                "trade places (its forward pass cannot be read, or it has none). Give align=False."
            )

    def _draw(self, work: Work) -> Cloud:
        objective = work.objective
        t = np.linspace(0, 1, self.points + 1)[1:]
        directions: list[Tensor] = []
        beside: list[dict[str, Tensor]] = []  # the buffers that each direction's end brings along
        ways: list[tuple[int, str, np.ndarray[Any, Any], tuple[int, ...]]] = []
        for number, model in enumerate(self._models):
            work.report("ways", number, len(self._models))
            other = Fitted(model, objective, f"Model {number}")
            end, buffers = other.displacement(objective), other.moved_buffers(objective)
            directions.append(end)
            beside.append(buffers)
            ways.append((number, "linear", t[:, None], (len(directions) - 1,)))
            if self.align:
                end, buffers = aligned(objective, end, buffers, work.seed)
                directions.append(end)
                beside.append(buffers)
                ways.append((number, "aligned", t[:, None], (len(directions) - 1,)))
            if self.curve:
                directions.append(self._bend(work, end, buffers))
                # t² of the whole way and 2t(1 − t) of half of it are t of it.
                beside.append(_half(buffers, objective.buffers))
                bent = np.stack([t**2, 2 * t * (1 - t)], axis=1)
                ways.append((number, "curve", bent, (len(directions) - 2, len(directions) - 1)))
        coefficients = np.zeros((len(ways) * self.points, len(directions)))
        columns: dict[str, list[Any]] = {"path": [], "step": [], "kind": [], "model": []}
        columns.update(route=[], t=[])
        for path, (number, route, values, used) in enumerate(ways):
            rows = slice(path * self.points, (path + 1) * self.points)
            coefficients[rows, list(used)] = values
            columns["path"] += [path] * self.points
            columns["step"] += range(1, self.points + 1)
            columns["kind"] += ["sample"] * (self.points - 1) + [
                "end" if route == "curve" else "model"
            ]
            columns["model"] += [self.names[number] if self.names else number] * self.points
            columns["route"] += [route] * self.points
            columns["t"] += t.tolist()
        basis = DenseBasis(torch.stack(directions))
        basis.buffers = moving_buffers(objective, beside, "other models")
        firsts = {way[0]: way[3][0] for way in reversed(ways)}
        for number in range(min(len(self._models), COMPARED)):
            say_what_statistics_do(
                objective,
                basis,
                firsts[number],
                self.names[number] if self.names else f"model {number}",
            )
        return assemble(work, self, basis, coefficients, **columns)

    def _bend(self, work: Work, end: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
        """β of the curve θ* + 2t(1 − t)·β + t²·end whose mean loss is least, (P,)."""
        objective, rule = work.objective, Adam()
        bend = end * 0.5  # the straight line
        moving = Buffers.of(objective.buffers, [buffers])
        rate = self.learning_rate
        if rate is None:
            rate = learning_rate_for(float(end.norm()), objective.size)
        for step in range(self.steps):
            work.check_cancelled()
            t = float(work.rng.uniform())
            share = 2 * t * (1 - t)
            theta = objective.anchor + share * bend + t * t * end
            between = moving.at(np.array([t])) if moving is not None else None
            loss, gradient = objective.minibatch_gradient(
                theta, work.generator, self.batch_size, between
            )
            if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
                break  # the bend as it is: a way is as good as its samples' losses say
            bend = bend + rule.move(share * gradient, rate * cosine(step, self.steps))
        return bend

    @staticmethod
    def barriers(frame: pd.DataFrame, column: str = "loss") -> pd.DataFrame:
        """Barrier of each way: a row for each model, a column for each route.

        The highest rise above the straight line between the losses at both ends (Frankle et al.
        2020, "Linear mode connectivity"), 0 where the loss stays below it.

        Parameters
        ----------
        frame
            As from `Landscape.to_frame`.
        column
            Which loss: ``"loss"`` or ``"val_loss"``.

        Raises
        ------
        ValueError
            If there are no ways in it.
        """
        if "route" not in frame:
            raise ValueError(
                "The frame has no column 'route'. Give land.to_frame() of a landscape that "
                "Interpolation has sampled."
            )
        start = float(frame.loc[frame["kind"] == "trained", column].iloc[0])
        found: dict[int | str, dict[str, float]] = {}
        for route in ROUTES:
            for _, way in frame[frame["route"] == route].groupby("model"):
                way = way.sort_values("t")
                line = start + way["t"] * (way[column].iloc[-1] - start)
                rise = float((way[column] - line).max())
                model = way["model"].iloc[0]
                found.setdefault(model if isinstance(model, str) else int(model), {})[route] = max(
                    0.0, rise
                )
        table = pd.DataFrame.from_dict(found, orient="index")
        table.index.name = "model"
        return table[[route for route in ROUTES if route in table]]


def _half(buffers: Mapping[str, Tensor], anchor: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Buffers half-way from θ*'s."""
    return {name: (value + anchor[name].to(value)) / 2 for name, value in buffers.items()}
