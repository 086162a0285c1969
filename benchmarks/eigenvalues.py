"""Top eigenvalues of the Hessian: ours against pyhessian, both against float64.

    python -m benchmarks.eigenvalues

The networks are trained on digits: it is at trained weights that one asks for eigenvalues.
Each does its work in a process of its own, in turn, with its own settings; what is found anew with
each repetition includes the graph of the gradient. The truth is the dense Hessian in float64 for
the smallest network, and ARPACK on float64 products for the others. An error is relative to the
eigenvalue, the largest of those asked for.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys

import numpy as np
import torch

from benchmarks import measure
from benchmarks.networks import Task, make
from benchmarks.peers import Worker, install
from landscape_widgets.objective.objective import Objective

DENSE = "trained digits MLP 64-32-32-10"
NETWORKS = (
    DENSE, "trained digits MLP 64-64-64-10", "trained MLP 784-256-128-10", "trained CNN 8×8",
)  # fmt: skip
TARGET, ERROR = 3.5, 1e-6
HEAD = (
    "network", "eigenvalues", "ours, ms", "pyhessian, ms", "faster by", f"at least {TARGET}",
    "our error", f"at most {ERROR:.0e}", "pyhessian's error",
)  # fmt: skip


def truth(task: Task, top: int) -> np.ndarray:
    """The largest eigenvalues in float64, falling."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    model = copy.deepcopy(task.model).double()
    objective = Objective(model, (task.inputs.double(), task.targets), metrics=[])
    product = objective.hessian(objective.anchor)
    if task.name == DENSE:
        identity = torch.eye(objective.size, dtype=torch.float64)
        dense = torch.stack([product(row) for row in identity]).numpy()
        return np.asarray(np.linalg.eigvalsh((dense + dense.T) / 2)[::-1][:top])
    operator = LinearOperator(
        (objective.size, objective.size),
        matvec=lambda v: product(torch.from_numpy(np.ascontiguousarray(v).reshape(-1))).numpy(),
        dtype=np.float64,
    )
    return np.sort(eigsh(operator, k=top, which="LA", tol=1e-9)[0])[::-1]


def compared(name: str, python: str, options: argparse.Namespace) -> list[tuple[str, ...]]:
    """Lines of the table of one network."""
    ours = Worker("landscape-widgets", sys.executable, name, options.threads)
    theirs = Worker("pyhessian", python, name, options.threads)
    lines = []
    every = truth(make(name), 5)
    for top in (1, 5):
        pairs = [
            [worker.ask(task="eigenvalues", top=top) for worker in (ours, theirs)]
            for _ in range(options.repetitions + 1)
        ][1:]
        wrong = [answer["error"] for pair in pairs for answer in pair if "error" in answer]
        if wrong:
            lines.append((name, f"top {top}", wrong[0], *[""] * (len(HEAD) - 3)))
            continue
        times = [(b["seconds"], a["seconds"]) for a, b in pairs]
        expected = every[:top]
        # The worst of all repetitions: pyhessian begins each from another random start.
        errors = [
            max(measure.worst_disagreement(np.array(pair[i]["values"]), expected) for pair in pairs)
            for i in (0, 1)
        ]
        ratio = measure.median_ratio(times)
        lines.append((
            name, f"top {top}",
            f"{1e3 * statistics.median(a for _, a in times):.3g}",
            f"{1e3 * statistics.median(b for b, _ in times):.3g}",
            f"**{ratio:.1f}**", measure.verdict(ratio >= TARGET) if top == 5 else "",
            f"{errors[0]:.0e}", measure.verdict(errors[0] <= ERROR) if top == 5 else "",
            f"{errors[1]:.0e}",
        ))  # fmt: skip
    ours.close()
    theirs.close()
    return lines


def main() -> None:
    """Install pyhessian, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    python = install("pyhessian")
    if not python:
        return
    lines = [line for name in options.only for line in compared(name, python, options)]
    print(f"{options.threads} thread(s); the targets are for the top 5\n")
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
