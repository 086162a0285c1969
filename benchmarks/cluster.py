"""Losses on two workers of a Dask cluster, against this process alone.

    python -m benchmarks.cluster

Both evaluate the same rows with one thread each, in turn. Ideal is half the time on two workers.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch

from benchmarks import measure
from benchmarks.networks import make
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.landscape.cluster import Cluster
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.parameters import random_directions

WORKERS, TARGET, SECONDS = 2, 0.85, 24.0
NETWORKS = ("MLP 784-256-128-10", "CNN 28×28", "ResNet-18")
HEAD = (
    "network", "rows", "alone, s", "two workers, s", f"of ideal (at least {TARGET})",
    "disagreement",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers, too
    torch.set_num_threads(1)
    from dask.distributed import Client, LocalCluster

    lines = []
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as local,
        Client(local) as client,
    ):
        for name in options.only:
            task = make(name)
            objective = Objective(task.model, (task.inputs, task.targets), metrics=[])
            generator = torch.Generator().manual_seed(0)
            basis = DenseBasis(
                0.3 * random_directions(3, objective.anchor, objective.layout, generator)
            )
            rng = np.random.default_rng(0)
            found: dict[str, np.ndarray] = {}

            def run(
                kind: str,
                rows: np.ndarray,
                objective: Objective = objective,
                basis: DenseBasis = basis,
                found: dict[str, np.ndarray] = found,
            ) -> None:
                evaluator = Cluster(objective, client) if kind == "cluster" else objective
                found[kind] = evaluator.evaluate(basis, rows, metrics=False).losses

            # What is chosen, loaded and sent once is done before anything is timed.
            few = rng.uniform(-0.25, 1.25, (64, 3))
            run("alone", few)
            pace = measure.seconds(lambda few=few, run=run: run("alone", few)) / len(few)
            rows = rng.uniform(-0.25, 1.25, (max(64, int(SECONDS / pace)), 3))
            run("cluster", few)
            times = measure.interleaved(
                [
                    lambda rows=rows, run=run: run("alone", rows),
                    lambda rows=rows, run=run: run("cluster", rows),
                ],
                options.repetitions,
            )
            share = measure.median_ratio(times) / WORKERS
            lines.append((
                name, f"{len(rows):,}", f"{np.median([a for a, _ in times]):.1f}",
                f"{np.median([b for _, b in times]):.1f}",
                f"**{share:.2f}** {measure.verdict(share >= TARGET)}",
                f"{measure.worst_disagreement(found['cluster'], found['alone']):.0e}",
            ))  # fmt: skip
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
