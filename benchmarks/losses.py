"""Losses at many parameter vectors: ours against the loop that anyone would write.

    python -m benchmarks.losses --threads 1

Each repetition times both, one after the other, and begins from directions that have not been
seen; only the trial that chooses the strategy is over by then (its cost is in "first call").
A second table shows what one of many parameter vectors costs by how many there are.
"""

from __future__ import annotations

import argparse
import copy
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import measure
from benchmarks.networks import MAKERS, Task, make
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.parameters import random_directions

MOST = 1 << 26  # numbers in random directions: 256 MiB
NUMBERS = (100, 1_000, 10_000)
FLAT = ("digits MLP 64-32-32-10", "digits MLP 64-64-64-10", "CNN 8×8")
FLAT_HEAD = (
    "network", "vectors", *(f"of {n:,}, ms" for n in NUMBERS), "of 10,000 / of 100",
)  # fmt: skip
HEAD = (
    "network", "vectors", "plain loop, ms", "ours, ms", "ratio", "first call", "of peak",
    "disagreement", "strategy",
)  # fmt: skip


def plain_loop(task: Task, basis: DenseBasis, rows: np.ndarray) -> np.ndarray:
    """One working copy, weights copied in, one pass over all data, for each vector."""
    model = copy.deepcopy(task.model)
    parameters = [p.detach() for p in model.parameters()]
    anchor = torch.cat([p.reshape(-1) for p in parameters]).clone()
    sizes = [p.numel() for p in parameters]
    losses = []
    with torch.no_grad():
        for row in rows:
            vector = anchor + basis.combine(row)
            for parameter, part in zip(parameters, vector.split(sizes), strict=True):
                parameter.copy_(part.view_as(parameter))
            losses.append(nn.functional.cross_entropy(model(task.inputs), task.targets).item())
    return np.array(losses)


def clouds(
    objective: Objective, n: int
) -> Iterator[tuple[str, Callable[[], DenseBasis], np.ndarray]]:
    """Kinds of samples: their name, a maker of directions, and rows of coefficients."""
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)

    def drawn(k: int) -> Callable[[], DenseBasis]:
        vectors = random_directions(k, objective.anchor, objective.layout, generator) * 0.3
        return lambda: DenseBasis(vectors.clone())

    yield f"{n} random", drawn(n), np.eye(n)
    yield "51-point slice", drawn(1), np.linspace(-0.5, 1.5, 51)[:, None]
    axis = np.linspace(-1, 1, 51)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    yield "51×51 plane", drawn(2), plane
    yield "1000 in 3 dimensions", drawn(3), rng.uniform(-0.25, 1.25, (1000, 3))


def measured(
    task: Task, objective: Objective, basis: Callable[[], DenseBasis], rows: np.ndarray,
    repetitions: int, budget: float,
) -> tuple[str, ...]:  # fmt: skip
    """One line of the table. Of many rows, as many as fit the budget of seconds are timed."""
    drawn = basis()
    one = measure.seconds(lambda: plain_loop(task, drawn, rows[:1]))
    count = int(min(len(rows), max(2, budget / one)))
    found: dict[str, np.ndarray] = {}
    fresh: list[DenseBasis] = []

    def plain() -> None:
        found["plain"] = plain_loop(task, fresh[-1], rows[:count])

    def ours() -> None:
        done: list[int] = []
        result = objective.evaluate(
            fresh[-1], rows, metrics=False,
            on_chunk=lambda start, part: done.append(len(part)),
            cancelled=lambda: sum(done) >= count,
        )  # fmt: skip
        found["ours"] = result.losses
        counts.append(len(result))

    counts: list[int] = []
    first, *times = measure.interleaved(
        (plain, ours), repetitions + 1, before=lambda: fresh.append(basis())
    )
    per_row = [(p / count, o / n) for (p, o), n in zip(times, counts[1:], strict=True)]
    ratio = measure.median_ratio(per_row)
    ours_seconds = float(np.median([o for _, o in per_row]))
    peak = measure.matrix_product_peak()
    worst = measure.worst_disagreement(found["ours"][:count], found["plain"])
    return (
        f"{1e3 * np.median([p for p, _ in per_row]):.3g}",
        f"{1e3 * ours_seconds:.3g}",
        f"**{ratio:.2f}**",
        f"{first[0] / count / (first[1] / counts[0]):.2f}",
        f"{task.flops / ours_seconds / peak:.0%}",
        f"{worst:.0e}",
        objective.strategy,
    )


def flatness(name: str, repetitions: int) -> list[tuple[str, ...]]:
    """What one of 100, 1,000 and 10,000 parameter vectors costs: lines of the second table."""
    task = make(name)
    objective = Objective(task.model, (task.inputs, task.targets), metrics=[])
    generator = torch.Generator().manual_seed(0)
    drawn = random_directions(5, objective.anchor, objective.layout, generator) * 0.3
    points = np.random.default_rng(0).uniform(-0.25, 1.25, (max(NUMBERS), 5))
    kinds = {"in 5 dimensions": (lambda: DenseBasis(drawn.clone()), points)}
    if objective.size * max(NUMBERS) <= MOST:
        many = random_directions(max(NUMBERS), objective.anchor, objective.layout, generator) * 0.3
        kinds["random"] = (lambda: DenseBasis(many.clone()), np.eye(max(NUMBERS)))
    lines = []
    for kind, (basis, rows) in kinds.items():
        fresh: list[DenseBasis] = []

        def work(n: int, fresh: list[DenseBasis] = fresh, rows: np.ndarray = rows) -> None:
            objective.evaluate(fresh.pop(), rows[:n], metrics=False)

        def before(fresh: list[DenseBasis] = fresh, basis: Any = basis) -> None:
            fresh[:] = [basis() for _ in NUMBERS]

        works = [functools.partial(work, n) for n in NUMBERS]
        _, *times = measure.interleaved(works, repetitions + 1, before)
        each = [tuple(t / n for t, n in zip(row, NUMBERS, strict=True)) for row in times]
        lines.append((
            name, kind, *(f"{1e3 * np.median([row[i] for row in each]):.3g}" for i in range(3)),
            f"**{measure.median_ratio(each, 2, 0):.2f}**",
        ))  # fmt: skip
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds of the plain loop")
    parser.add_argument("--only", nargs="*", choices=list(MAKERS), default=list(MAKERS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    for name in options.only:
        task = make(name)
        objective = Objective(task.model, (task.inputs, task.targets), metrics=[])
        n = max(16, min(1000, MOST // objective.size))
        for kind, basis, rows in clouds(objective, n):
            values = measured(task, objective, basis, rows, options.repetitions, options.budget)
            lines.append((name, kind, *values))
    print(f"{options.threads} thread(s), torch {torch.__version__}, {os.cpu_count()} cores\n")
    print(measure.table(HEAD, lines))
    print("\nWhat one of so many costs:\n")
    flat = [line for name in FLAT if name in options.only for line in flatness(name, 3)]
    print(measure.table(FLAT_HEAD, flat))


if __name__ == "__main__":
    main()
