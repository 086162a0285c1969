"""What all samplers have in common: drawing a cloud, checking parameters, combining."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from landscape_widgets.controls import Control, check_controls
from landscape_widgets.errors import reject_unknown
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.geometry.cloud import Cloud, Space, combine
from landscape_widgets.geometry.directions import Directions
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.task.buffers import Buffers

KnownCallback = Callable[[Cloud], None]


def nobody(cloud: Cloud) -> None:
    """Nobody wants to know."""


# Controls that several samplers have.
SAMPLES = Control("n", "samples", "how many are drawn", "whole", least=1)
RADIUS = Control("radius", "radius", "how far from θ* at most", above=0, empty="from the loss")
EVERY = Control("every", "keep each", "how many steps from sample to sample", "whole", least=1)
OPTIMISER = Control(
    "optimiser", "optimiser", "what goes downhill", "choice", choices=("adam", "sgd")
)
BATCH_SIZE = Control("batch_size", "batch", "examples a step", "whole", least=1, offered=False)
FILTER_NORMALISED = Control(
    "filter_normalised", "filter-normalised", "each filter by its own norm", "flag"
)


@dataclass
class Work:
    """One run of a sampler: what it works on, its random streams, and who is told."""

    objective: Objective
    seed: int
    progress: ProgressCallback = ignore
    cancelled: CancelCallback = never
    evaluator: Evaluator | None = None
    known: KnownCallback = nobody  # told of a beginning of the cloud
    generator: torch.Generator = field(init=False)
    rng: np.random.Generator = field(init=False)
    _told: Progress = field(init=False, default=Progress("", 0, 1))

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.rng = np.random.default_rng(self.seed)

    def report(self, phase: str, done: int, total: int) -> None:
        """Tell how far the work is, and stop it if that was asked for.

        Raises
        ------
        Cancelled
        """
        self._told = Progress(phase, done, total)
        self.progress(self._told)
        self.check_cancelled()

    def within(self, share: float) -> None:
        """Tell that a share of the step after those last told of is done; stop it if asked for.

        Raises
        ------
        Cancelled
        """
        self.progress(self._told._replace(within=share))
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Stop the work if that was asked for.

        Raises
        ------
        Cancelled
        """
        if self.cancelled():
            raise Cancelled

    def losses(self, basis: Basis, coefficients: FloatArray) -> FloatArray:
        """Training losses at θ* + C B, shape (n,); NaN counts as infinite.

        Raises
        ------
        Cancelled
        """
        evaluator = self.objective if self.evaluator is None else self.evaluator
        found = evaluator.evaluate(
            basis, coefficients, splits=("train",), metrics=False, cancelled=self.cancelled
        ).losses
        if len(found) < len(coefficients):
            raise Cancelled
        return np.where(np.isnan(found), np.inf, found)


class Sampler(ABC):
    """Draws samples around the trained weights θ*.

    A small object that holds its parameters; `draw` does the work, the same for the same seed.
    Samplers add up: ``Minima() + Rays(5)`` draws both into one cloud.

    Attributes
    ----------
    space : {"weights", "outputs"}
        What distances its samples are best seen in.
    controls : tuple of Control
        What its parameters may be, and which may be turned by hand.
    shows, hides : str
        What its samples can show, and what not, in a few words: "how the loss rises", "anything
        off the rays".
    """

    space: ClassVar[Space] = "weights"
    shows: ClassVar[str] = ""
    hides: ClassVar[str] = ""
    controls: ClassVar[tuple[Control, ...]] = ()

    def __post_init__(self) -> None:
        check_controls(self)

    @property
    def differentiates(self) -> bool:
        """Whether it takes gradients of the loss."""
        return False

    def __new__(cls, *positional: Any, **keywords: Any) -> Any:
        # Python's own message names no near ones before 3.13.
        reject_unknown(keywords, list(inspect.signature(cls.__init__).parameters)[1:], cls.__name__)
        return super().__new__(cls)

    @property
    def name(self) -> str:
        """What stands in the table's column ``sampler``."""
        return type(self).__name__

    def draw(
        self,
        objective: Objective,
        *,
        seed: int,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        evaluator: Evaluator | None = None,
        on_known: KnownCallback = nobody,
    ) -> Cloud:
        """Draw the cloud.

        Parameters
        ----------
        objective : Objective
        seed : int
            The same seed gives the same cloud. torch's and numpy's global random states are
            neither used nor changed.
        progress, cancelled
            Told how far the work is; asked whether to stop. A stopped sampler returns the samples
            it has where they mean something alone (whole runs, whole rays).
        evaluator : Evaluator, optional
            What takes losses at many parameter vectors; the objective by default.
        on_known : callable, optional
            Gets beginnings of the cloud while it is drawn, each longer than the one before or the
            same: θ* alone first, and then what takes long to find, such as ends of descents.

        Raises
        ------
        ValueError
            If the parameters do not fit the model, before any work starts.
        Cancelled
            If it was stopped and has nothing worth keeping.
        """
        self.check(objective)
        if self.differentiates:
            objective.check_gradient()
        work = Work(objective, seed, progress, cancelled, evaluator, on_known)
        nowhere = DenseBasis(objective.anchor.new_empty(0, objective.size))
        work.known(assemble(work, self, nowhere, np.empty((0, 0))))
        return self._draw(work)

    def check(self, objective: Objective) -> None:  # noqa: B027
        """Raise a ValueError where the parameters do not fit this model."""

    @abstractmethod
    def _draw(self, work: Work) -> Cloud:
        """Draw, the parameters being checked."""

    def __add__(self, other: Sampler) -> Combined:
        if not isinstance(other, Sampler):
            return NotImplemented
        return Combined(_parts(self) + _parts(other))


def _parts(sampler: Sampler) -> tuple[Sampler, ...]:
    return sampler.samplers if isinstance(sampler, Combined) else (sampler,)


@dataclass(frozen=True)
class Combined(Sampler):
    """Several samplers drawn into one cloud; what ``+`` makes.

    The first draws what it would alone with this seed, the others have seeds of their own.
    """

    shows: ClassVar[str] = "what each of its samplers shows, side by side"
    hides: ClassVar[str] = (
        "a common measure: samples of one kind are near each other, whatever the loss"
    )

    samplers: tuple[Sampler, ...]

    @property
    def name(self) -> str:
        return " + ".join(sampler.name for sampler in self.samplers)

    @property
    def differentiates(self) -> bool:
        return any(sampler.differentiates for sampler in self.samplers)

    def check(self, objective: Objective) -> None:
        for sampler in self.samplers:
            sampler.check(objective)

    def _draw(self, work: Work) -> Cloud:
        clouds: list[Cloud] = []
        for number, sampler in enumerate(self.samplers):
            own = np.random.SeedSequence([work.seed, number]).generate_state(1)[0]
            seed = work.seed if number == 0 else int(own)
            try:
                clouds.append(
                    sampler.draw(
                        work.objective,
                        seed=seed,
                        progress=work.progress,
                        cancelled=work.cancelled,
                        evaluator=work.evaluator,
                        on_known=nobody if clouds else work.known,
                    )
                )
            except Cancelled:
                if not clouds:
                    raise
                break
        return combine(clouds)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.samplers))


def assemble(
    work: Work,
    sampler: Sampler,
    basis: Basis,
    coefficients: FloatArray,
    *,
    kind: str | Sequence[str] = "sample",
    path: int | Sequence[int] = -1,
    step: int | Sequence[int] = 0,
    **columns: Any,
) -> Cloud:
    """A cloud of θ* and the samples at `coefficients` (n, k), with its table."""
    n = len(coefficients)

    def column(value: Any, first: Any) -> list[Any]:
        many = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)
        return [first, *(value if many else [value] * n)]

    table = pd.DataFrame(
        {
            "sampler": sampler.name,
            "kind": column(kind, "trained"),
            "path": column(path, -1),
            "step": column(step, 0),
            **{name: column(value, math.nan) for name, value in columns.items()},
        }
    )
    return Cloud(
        work.objective.anchor,
        basis,
        np.vstack([np.zeros((1, basis.k)), coefficients]),
        table,
        sampler.space,
    )


def assemble_paths(
    work: Work,
    sampler: Sampler,
    found: Directions,
    buffers: Buffers | None = None,
    **columns: Any,
) -> Cloud:
    """A cloud of θ* and samples that lie in no common subspace: each is a direction of its own."""
    basis = found.basis()
    basis.buffers = buffers
    return assemble(work, sampler, basis, np.eye(basis.k), **columns)


def last_of_paths(paths: Sequence[int]) -> list[bool]:
    """Which samples are the last of their path, where each path's samples follow each other."""
    return [i + 1 == len(paths) or paths[i + 1] != paths[i] for i in range(len(paths))]


def check_directions(sampler: Sampler, k: int, objective: Objective, name: str = "k") -> None:
    """Raise if more directions are asked for than there are parameters.

    The number that is taken where nobody asks is lowered instead, by who takes it.
    """
    if k > objective.size and k != getattr(type(sampler), name, None):
        raise ValueError(
            f"{sampler.name}({name}={k}): the model has only {objective.size} trainable "
            f"parameter{'s' * (objective.size > 1)}, so at most {objective.size} independent "
            f"direction{'s' * (objective.size > 1)}. Give {name}={objective.size}."
        )
