"""Chains that wander where the loss is low: stochastic gradient Langevin dynamics."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.controls import Control
from landscape_widgets.curvature.chains import (
    FREE_WALK,
    MIXED,
    ChainError,
    ChainHealth,
    ChainWarning,
    chain_health,
    split_rhat,
)
from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.curvature.learning_coefficient import (
    LearningCoefficient,
    learning_coefficient,
)
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.geometry.directions import Directions
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers.adjusted import walk
from landscape_widgets.samplers.base import (
    BATCH_SIZE,
    Sampler,
    Work,
    assemble_paths,
)
from landscape_widgets.samplers.calibration import calibrate
from landscape_widgets.samplers.vector_storage import VectorStorage, check_path

TETHER = 0.25  # of the loss-calibrated radius


@dataclass(frozen=True)
class Chain:
    """One chain: how many `draws` of it were kept, the `losses` there, its `health`."""

    draws: int
    losses: FloatArray
    health: ChainHealth


@dataclass(frozen=True)
class Settings:
    """What a run worked with, found or given."""

    temperature: float
    tether: float
    step_size: float


@dataclass(frozen=True)
class Langevin(Sampler):
    """Chains of stochastic gradient Langevin dynamics from θ*; each chain a path.

    Asks: how much room is there around θ* at this height of the loss? A chain draws from
    exp(−L(θ)/T − γ‖θ − θ*‖²/2) by

        θ ← θ − ε/2 (∇L(θ)/T + γ(θ − θ*)) + √ε η,  η normal,

    with gradients on random examples (Welling & Teh 2011, "Bayesian learning via stochastic
    gradient Langevin dynamics"; Lau et al. 2023 for the tether).

    Cannot show: shape. In many dimensions a chain's map looks like that of a random walk, with the
    same arches (Antognini & Sohl-Dickstein 2018), whatever the landscape; read the traces of the
    loss instead. Chains are checked (see `curvature.chains`): one that was not finite any more is
    left out, with a ChainWarning; one that left the trained region, has not settled or finds lower
    losses than θ* is kept, with a ChainWarning; if none is left, a ChainError carries the
    diagnoses.

    Parameters
    ----------
    chains, draws : int
    every : int
        Steps from draw to draw.
    burn_in : int
        Steps before the first draw.
    temperature : float, optional
        T. By default log(n)/n for n examples, at which the mean loss tells the local learning
        coefficient (Watanabe 2013).
    tether : float, optional
        γ. By default such that, where the loss does not hold it, a chain stays about a quarter of
        the loss-calibrated radius from θ*.
    step_size : float, optional
        ε. By default half of what the sharpest direction at θ* allows.
    batch_size : int or None
        Examples of each gradient; None takes all of the data.
    path : path, optional
        Where the samples are kept that take more than half of the free memory, or all if it is
        given: a folder, for a temporary file, or the name of a file (safetensors) that stays.

    Notes
    -----
    The table has a column ``batch_loss``: the loss on the examples of the step after each draw.
    """

    shows: ClassVar[str] = "how much room there is around θ* at its loss"
    hides: ClassVar[str] = "shape; a map looks like that of a random walk"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("chains", "chains", "each a path", "whole", least=1),
        Control("draws", "draws", "samples of each chain", "whole", least=1),
        Control("every", "steps", "from draw to draw", "whole", least=1),
        Control(
            "temperature",
            "temperature",
            "how much it wanders",
            above=0,
            empty="log(n)/n",
        ),
        Control("burn_in", "burn-in", "steps before any draw", "whole", least=0, offered=False),
        Control("tether", "tether", "pull towards θ*", above=0, offered=False),
        Control("step_size", "step size", "of Langevin dynamics", above=0, offered=False),
        replace(BATCH_SIZE, none=True),
    )

    chains: int = 6
    draws: int = 100
    every: int = 2
    burn_in: int = 0
    temperature: float | None = None
    tether: float | None = None
    step_size: float | None = None
    batch_size: int | None = 256
    # Where samples are kept changes none of them: a run is resumed wherever it is.
    path: str | os.PathLike[str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.name, self.path)

    @property
    def differentiates(self) -> bool:
        return True

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()

    def _storage(self, objective: Objective) -> VectorStorage:
        rows = self.chains * self.draws
        return VectorStorage.around(objective, self.name, rows, "draws", self.path)

    def settings(self, work: Work, radius: float) -> Settings:
        """Temperature, tether and step size: as given, or found for this model."""
        objective = work.objective
        n = max(objective.n_examples, 2)
        temperature = self.temperature or math.log(n) / n
        tether = self.tether or objective.size / (TETHER * radius) ** 2
        if self.step_size is not None:
            return Settings(temperature, tether, self.step_size)
        top = hessian_eigenpairs(
            objective,
            seed=work.generator,
            tolerance=0.05,
            iterations=20,
            on_iteration=lambda done, total: work.report("step size", done, total),
        )
        steepest = max(float(top.values[0]), 0.0) / temperature + tether
        # A step of 4/steepest would oscillate for ever, one of 2 would overshoot.
        return Settings(temperature, tether, 0.5 / steepest)

    def run(self, work: Work, found: Directions) -> list[Chain]:
        """Run the chains, as many as are done before the work is stopped.

        The displacements of those that did not fail are put into `found`, chain by chain.

        Raises
        ------
        Cancelled
            If not one is done.
        """
        calibration = calibrate(work)
        settings = self.settings(work, calibration.radius)
        chains: list[Chain] = []
        for number in range(self.chains):
            before = len(found)
            try:
                work.report("chains", number, self.chains)
                chains.append(self._chain(work, settings, calibration.reference, found))
            except Cancelled:
                if not chains:
                    raise
                found.truncate(before)
                break
            if chains[-1].health.failed:
                found.truncate(before)
        return chains

    def learning_coefficient(self, work: Work) -> LearningCoefficient:
        """The local learning coefficient at θ*, from the chains that are done before it is stopped.

        On all training data (`batch_size=None`) steps are accepted or refused, so that the chains
        draw from just what they say (see `adjusted`); with gradients on fewer examples they are
        off by as much as their step is long. By default the tether is weak: a chain that it alone
        holds stays about at the loss-calibrated radius, as what it holds counts less. No sample is
        kept.

        Raises
        ------
        Cancelled
            If not one is done.
        ChainError
            If none stayed finite.
        """
        objective, calibration = work.objective, calibrate(work)
        settings = self.settings(work, calibration.radius)
        if self.tether is None:
            settings = replace(settings, tether=settings.tether * TETHER**2)
        is_whole = self.batch_size is None or self.batch_size >= objective.n_examples
        chains: list[Chain] = []
        steps: list[float] = []
        for number in range(self.chains):
            try:
                work.report("chains", number, self.chains)
                if is_whole:
                    chain, step = self._adjusted(work, settings, calibration.reference)
                else:
                    chain = self._chain(work, settings, calibration.reference, None)
                    step = settings.step_size
            except Cancelled:
                if not chains:
                    raise
                break
            chains.append(chain)
            steps.append(step)
        health = tuple(chain.health for chain in chains)
        if all(one.failed for one in health):
            raise ChainError(
                "No Langevin chain stayed finite. " + "; ".join(health[0].problems) + ".", health
            )
        return learning_coefficient(
            [chain.losses for chain in chains], health, parameters=objective.size,
            anchor_loss=objective.anchor_loss, temperature=settings.temperature,
            tether=settings.tether, step_size=float(np.mean(steps)),
        )  # fmt: skip

    def _adjusted(
        self, work: Work, settings: Settings, untrained_loss: float
    ) -> tuple[Chain, float]:
        """A chain whose steps are accepted or refused, and how long they are."""
        found = walk(
            work, temperature=settings.temperature, tether=settings.tether,
            step_size=settings.step_size, burn_in=self.burn_in, draws=self.draws, every=self.every,
        )  # fmt: skip
        health = chain_health(
            found.losses, anchor_loss=work.objective.anchor_loss, temperature=settings.temperature,
            walked=found.walked, stepped=found.stepped, untrained_loss=untrained_loss,
            failed_at=found.failed_at,
        )  # fmt: skip
        return Chain(len(found.losses), found.losses, health), found.step_size

    def _chain(
        self, work: Work, settings: Settings, untrained_loss: float, found: Directions | None
    ) -> Chain:
        objective = work.objective
        noise_scale = math.sqrt(settings.step_size)
        at = torch.zeros_like(objective.anchor)
        start = at
        losses: list[float] = []
        stepped = 0.0
        failed_at: int | None = None
        total = self.burn_in + self.draws * self.every
        for step in range(total):
            work.check_cancelled()
            loss, gradient = self._gradient(work, objective, at)
            if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
                failed_at = step
                break
            drawn = step >= self.burn_in and (step - self.burn_in) % self.every == 0
            if step == self.burn_in:
                start, stepped = at, 0.0
            if drawn and step > 0:  # the draw at step 0 is θ*, sample 0
                losses.append(loss)
                if found is not None:
                    found.append(at)
            noise = torch.randn(objective.size, generator=work.generator, dtype=at.dtype)
            pull = gradient / settings.temperature + settings.tether * at
            move = noise.to(at.device) * noise_scale - pull * (settings.step_size / 2)
            stepped += float(accumulated(move).square().sum())
            at = at + move
        trace = np.array(losses)
        health = chain_health(
            trace,
            anchor_loss=objective.anchor_loss,
            temperature=settings.temperature,
            walked=float(accumulated(at - start).square().sum()),
            stepped=stepped,
            untrained_loss=untrained_loss,
            failed_at=failed_at,
        )
        return Chain(len(losses), trace, health)

    def _gradient(self, work: Work, objective: Objective, at: Tensor) -> tuple[float, Tensor]:
        theta = objective.anchor + at
        if self.batch_size is None:
            return objective.loss_and_gradient(theta)
        return objective.minibatch_gradient(theta, work.generator, self.batch_size)

    def _draw(self, work: Work) -> Cloud:
        found = self._storage(work.objective).open()
        chains = self.run(work, found)
        report_health(chains)
        kept = [(number, chain) for number, chain in enumerate(chains) if not chain.health.failed]
        paths: list[int] = []
        steps: list[int] = []
        losses: list[float] = []
        for number, chain in kept:
            paths += [number] * chain.draws
            first = self.burn_in + (self.every if self.burn_in == 0 else 0)
            steps += [first + self.every * i for i in range(chain.draws)]
            losses += chain.losses.tolist()
        return assemble_paths(work, self, found, path=paths, step=steps, batch_loss=losses)


def report_health(chains: list[Chain]) -> None:
    """Warn of what is wrong with the chains.

    Raises
    ------
    ChainError
        If all of them failed.
    """
    health = tuple(chain.health for chain in chains)
    told = [
        f"chain {number}: " + "; ".join(one.problems)
        for number, one in enumerate(health)
        if one.problems
    ]
    if all(one.failed for one in health):
        raise ChainError(
            "No Langevin chain stayed finite. " + ". ".join(told[:3]) + ".",
            health,
        )
    good = [chain for chain in chains if not chain.health.failed]
    rhat = split_rhat(np.stack([chain.losses for chain in good]))
    if rhat > MIXED:
        told.append(
            f"the chains' losses do not agree (R̂ = {rhat:.2f}, 1 would be well): more draws"
        )
    low, high = FREE_WALK
    free = [low < chain.health.directedness < high for chain in good]
    if all(free):
        mean = float(np.mean([chain.health.directedness for chain in good]))
        told.append(
            f"the chains move like random walks (directedness {mean:.2f}; 1 is a free walk): "
            "noise rules, a map of them says nothing; take more steps or a stronger tether"
        )
    if told:
        warnings.warn("Langevin: " + ". ".join(told) + ".", ChainWarning, stacklevel=4)
