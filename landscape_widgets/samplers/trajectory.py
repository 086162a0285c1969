"""The user's own checkpoints, and a recorder that takes them while a network trains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Sampler, Work, assemble_paths
from landscape_widgets.samplers.vector_storage import VectorStorage, check_path
from landscape_widgets.samplers.weights import (
    COUNTER,
    Fitted,
    Weights,
    check_weights,
    is_weights,
    moving_buffers,
    say_what_statistics_do,
)
from landscape_widgets.task.duplicate import unwrapped
from landscape_widgets.task.parameters import ParameterLayout


class Recorder:
    """Keeps the weights of a network while it trains.

    Call `step` once after each step of the optimiser; the weights at the time of construction are
    the first checkpoint. When `at_most` are kept, every second one is dropped and from then on
    only every second step recorded, so that memory stays bounded and steps equally spaced.

    Parameters
    ----------
    model : torch.nn.Module
        It is read only.
    every : int
        Keep every so many steps.
    at_most : int
    path : path, optional
        Where checkpoints are kept if as many as `at_most` would take more than half of the free
        memory, or anyhow if it is given: a folder, for a temporary file, or the name of a file
        (safetensors) that stays.

    Attributes
    ----------
    steps : list of int
        After how many calls of `step` each checkpoint was taken.

    Raises
    ------
    ValueError
        If there is no room for `at_most` checkpoints, in memory or on disk.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1)
    >>> recorder = Recorder(model)
    >>> for _ in range(3):
    ...     recorder.step()  # after optimiser.step()
    >>> recorder
    Recorder(Linear, 4 checkpoints)
    """

    def __init__(
        self,
        model: nn.Module,
        every: int = 1,
        at_most: int = 1000,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        for name, value, least in (("every", every, 1), ("at_most", at_most, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"Recorder({name}={value!r}): a whole number of {least} or more is expected."
                )
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"Recorder was given {type(model).__name__}; the torch.nn.Module that trains is "
                "expected."
            )
        self.model = unwrapped(model)
        self.every = every
        self.at_most = at_most
        check_path("Recorder", path)
        self._layout = ParameterLayout.of(self.model)
        dtype = self._layout.dtype(self.model)
        room = VectorStorage(
            "Recorder", at_most, self._layout.size, dtype, torch.device("cpu"), "at_most", path
        )
        room.check()
        self._found = room.open()
        self.steps: list[int] = []
        self._buffers: list[dict[str, Tensor]] = []
        self._count = 0
        self._keep()

    def step(self) -> None:
        """Record the weights as they are now."""
        self._count += 1
        if self._count % self.every == 0:
            self._keep()

    def _keep(self) -> None:
        if len(self) >= self.at_most:
            self._found.thin()
            self.steps, self._buffers = self.steps[::2], self._buffers[::2]
            self.every *= 2
            if self._count % self.every:
                return
        tensors = dict(self.model.named_parameters())
        self._found.append(self._layout.flatten(tensors, self._found.dtype, torch.device("cpu")))
        self._buffers.append(self._present_buffers())
        self.steps.append(self._count)

    def _present_buffers(self) -> dict[str, Tensor]:
        """Buffers as they are; those that have not changed are those of the checkpoint before."""
        before = self._buffers[-1] if self._buffers else {}
        found: dict[str, Tensor] = {}
        for name, buffer in self.model.named_buffers():
            if name.endswith(COUNTER):
                continue
            now = buffer.detach().to("cpu")
            same = name in before and torch.equal(before[name], now)
            found[name] = before[name] if same else now.clone()
        return found

    @property
    def checkpoints(self) -> list[dict[str, Tensor]]:
        """Trainable weights and buffers by name, on the CPU, not copied."""
        return [
            {**self._layout.unflatten(self._found[number]), **buffers}
            for number, buffers in enumerate(self._buffers)
        ]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"Recorder({type(self.model).__name__}, {len(self)} checkpoints)"


@dataclass(frozen=True, repr=False, eq=False)
class Trajectory(Sampler):
    """The path that training took: the user's own checkpoints; each run is a path.

    Asks: how did training get from the first weights to θ*, fast or slowly, straight or round
    about, through what losses? θ* is the last point of the (first) run.

    Cannot show: the landscape beside the path. Any path of many dimensions, a random walk too,
    gives an arch in its principal components (Antognini & Sohl-Dickstein 2018, "PCA of
    high-dimensional random walks"), so an arch is no sign of a valley; several runs in one map
    separate by run, not by loss.

    Parameters
    ----------
    checkpoints : Recorder, or list of state dicts, models or files; or a list of several such runs
        What holds a state dict among other things will do (``{"model_state_dict": ...}``, files of
        Lightning), and so do NumPy arrays. At a sample that is a checkpoint its own batch
        statistics and other buffers are used; between it and θ* they are interpolated.
    steps : list of int, optional
        Training step of each checkpoint, for a single run.
    path : path, optional
        Where the samples are kept that take more than half of the free memory, or all if it is
        given: a folder, for a temporary file, or the name of a file (safetensors) that stays.
    """

    shows: ClassVar[str] = "how training got to θ*, and through which losses"
    hides: ClassVar[str] = "the landscape beside the path; any path gives an arch"

    checkpoints: Recorder | Sequence[Any]
    steps: Sequence[int] | None = None
    path: str | os.PathLike[str] | None = None
    runs: tuple[tuple[Weights, ...], ...] = field(init=False)
    numbers: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        check_path(self.name, self.path)
        given = self.checkpoints
        if isinstance(given, Recorder):
            runs: list[Any] = [given]
        elif is_weights(given):
            runs = [[given]]
        elif isinstance(given, Sequence):
            several = bool(given) and isinstance(given[0], (Recorder, list, tuple))
            runs = list(given) if several else [given]
        else:
            raise TypeError(
                f"Trajectory was given {type(given).__name__}; a Recorder or a list of state dicts "
                "is expected."
            )
        object.__setattr__(self, "runs", tuple(map(_checkpoints_of, runs)))
        counts = [len(run) for run in self.runs]
        if not counts or 0 in counts:
            raise ValueError("Trajectory was given no checkpoints. Give at least one state dict.")
        if self.steps is not None:
            if len(counts) != 1 or len(self.steps) != counts[0]:
                raise ValueError(
                    f"Trajectory(steps=...) has {len(self.steps)} numbers; {counts} checkpoints "
                    "were given. Give one step for each checkpoint of a single run."
                )
            numbers = [tuple(int(step) for step in self.steps)]
        else:
            numbers = [
                tuple(run.steps if isinstance(run, Recorder) else range(len(run))) for run in runs
            ]
        object.__setattr__(self, "numbers", tuple(numbers))

    def __repr__(self) -> str:
        counts = " + ".join(str(len(run)) for run in self.runs)
        return f"Trajectory({counts} checkpoints)"

    def check(self, objective: Objective) -> None:
        self._storage(objective).check()
        for number, run in enumerate(self.runs):
            for index, checkpoint in enumerate(run):
                where = f"Checkpoint {index}" + (f" of run {number}" if len(self.runs) > 1 else "")
                Fitted(checkpoint, objective, where)

    def _storage(self, objective: Objective) -> VectorStorage:
        rows = sum(map(len, self.runs))
        return VectorStorage.around(objective, self.name, rows, "checkpoints", self.path)

    def _draw(self, work: Work) -> Cloud:
        found = self._storage(work.objective).open()
        buffers: list[dict[str, Tensor]] = []
        paths: list[int] = []
        steps: list[int] = []
        kinds: list[str] = []
        anchor_place: tuple[int, int] | None = None
        total = sum(map(len, self.runs))
        for number, run in enumerate(self.runs):
            for index, checkpoint in enumerate(run):
                work.report("checkpoints", len(found), total)
                fitted = Fitted(checkpoint, work.objective, "A checkpoint")
                moved = fitted.displacement(work.objective)
                beside = fitted.moved_buffers(work.objective)
                ends = index + 1 == len(run)
                if ends and anchor_place is None and not moved.any() and not beside:
                    # θ* is sample 0 already; it takes this checkpoint's place in the path.
                    anchor_place = (number, self.numbers[number][index])
                    continue
                found.append(moved)
                buffers.append(beside)
                paths.append(number)
                steps.append(self.numbers[number][index])
                kinds.append("end" if ends else "sample")
        if not len(found):  # the only checkpoint is θ* itself
            raise ValueError(
                "The only checkpoint is the trained weights themselves: there is no path. "
                "Give checkpoints from during the training."
            )
        moving = moving_buffers(work.objective, buffers, "checkpoints")
        cloud = assemble_paths(work, self, found, moving, kind=kinds, path=paths, step=steps)
        say_what_statistics_do(work.objective, cloud.basis, 0, "the first checkpoint")
        if anchor_place is not None:
            cloud.table.loc[0, ["path", "step"]] = anchor_place
        return cloud


def _checkpoints_of(run: Any) -> tuple[Weights, ...]:
    items = run.checkpoints if isinstance(run, Recorder) else run
    check_weights(items, "Trajectory")
    return tuple(items)
