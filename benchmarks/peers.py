"""Side by side with the packages that draw loss landscapes, each in an environment of its own.

    python -m benchmarks.peers --threads 1

Every package is installed by this script as its README says. Each network's tasks are done by
one process a package, one at a time in turn, so that whatever else the machine does slows all of
them alike. Losses are checked against a plain loop in float64 where the package says it took them.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import measure
from benchmarks.networks import MAKERS, Task, make

HERE = Path(__file__).resolve().parent.parent
ENVIRONMENTS = HERE / "build" / "peers"
PACKAGES = ("loss-landscapes", "landscaper", "loss-landscape-3d")
OWN = ("plain loop", "landscape-widgets")
STEPS = (51, 25, 13, 7, 3)  # of a plane; the most that fit the budget
CHECKED = 5  # losses of each task that are checked in float64
HEAD = (
    "network", "task", "package", "ms a loss", "× plain loop", "× ours", "of peak",
    "peak memory, MiB", "disagreement",
)  # fmt: skip


def install(package: str) -> str:
    """The Python of an environment with `package`, or an empty string if it does not install."""
    folder = ENVIRONMENTS / package
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return str(python)
    venv.create(folder, with_pip=True, clear=True)
    # The torch that we are measured with, from the same place, and the data; then the package as
    # it asks.
    version = torch.__version__.split("+")[0]
    for wanted in (f"torch=={version}", "scikit-learn", package):
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", wanted], capture_output=True, text=True
        )
        if done.returncode:
            print(f"{package} does not install: {done.stderr.strip().splitlines()[-1]}\n")
            return ""
    (folder / "ready").touch()
    return str(python)


class Worker:
    """A package at work on one network, in its own process."""

    def __init__(self, package: str, python: str, network: str, threads: int) -> None:
        self.package = package
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(HERE)}
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.peer_worker", package, network, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=environment, cwd=HERE,
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """Have one task done, and hear of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        return answer

    def close(self) -> None:
        """Let the process end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def reference(task: Task, vectors: np.ndarray, row: np.ndarray) -> float:
    """One loss in float64."""
    model = copy.deepcopy(task.model).double()
    moved = torch.from_numpy(row) @ torch.from_numpy(vectors[: len(row)]).double()
    start = 0
    with torch.no_grad():
        for p in model.parameters():
            p.add_(moved[start : start + p.numel()].view_as(p))
            start += p.numel()
        x = task.inputs.double() if task.inputs.is_floating_point() else task.inputs
        return nn.functional.cross_entropy(model(x), task.targets).item()


def disagreement(task: Task, path: str) -> float:
    """Largest relative error of a few of the losses in a file."""
    with np.load(path) as file:
        losses, rows, vectors = file["losses"], file["rows"], file["vectors"]
    picked = np.linspace(0, len(losses) - 1, CHECKED + 2).astype(int)[1:-1]
    expected = [reference(task, vectors, rows[i].astype(float)) for i in picked]
    return float(np.max(np.abs(losses[picked] / expected - 1)))


def compare(task: Task, pythons: dict[str, str], options: argparse.Namespace) -> list[list[str]]:
    """All tasks on one network: lines of the table."""
    workers = [Worker(name, path, task.name, options.threads) for name, path in pythons.items()]
    pace = workers[0].ask(task="line", k=1, steps=2)["seconds"] / 2
    few = next((s for s in STEPS if s**2 * pace <= options.budget), STEPS[-1])
    n = int(min(1000, max(8, options.budget / pace)))
    n = min(n, (1 << 28) // sum(p.numel() for p in task.model.parameters()))
    tasks = [
        (f"{n} vectors", {"task": "vectors", "k": n}),
        ("51-point slice", {"task": "line", "k": 1, "steps": 51 if 51 * pace < 60 else 5}),
        (f"{few}×{few} plane", {"task": "plane", "k": 2, "steps": few}),
    ]
    lines = []
    for label, request in tasks:
        lines += _lines(task, label, request, workers, options)
    for worker in workers:
        worker.close()
    return lines


def _lines(
    task: Task, label: str, request: dict[str, Any], workers: list[Worker],
    options: argparse.Namespace,
) -> list[list[str]]:  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    wrong: dict[str, str] = {}
    running = list(workers)
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(options.repetitions + 1):
            for worker in list(running):
                save = str(Path(folder) / "losses.npz") if repetition == 0 else ""
                answer = worker.ask(**request, save=save)
                if "seconds" not in answer:
                    running.remove(worker)
                    wrong[worker.package] = answer.get("error", "")
                elif repetition == 0:  # what is done once is done, what is loaded is loaded
                    wrong[worker.package] = f"{disagreement(task, save):.0e}"
                else:
                    found.setdefault(worker.package, []).append(answer)
    peak = measure.matrix_product_peak()
    lines = []
    for worker in workers:
        name = worker.package
        if name not in found:
            if wrong[name]:
                lines.append([task.name, label, name, "fails", "", "", "", "", wrong[name]])
            continue
        answers = found[name]
        a_loss = statistics.median(a["seconds"] / a["n"] for a in answers)
        ratios = [
            statistics.median(
                b["seconds"] / b["n"] / (a["seconds"] / a["n"])
                for a, b in zip(answers, found[other], strict=True)
            )
            for other in OWN
        ]
        lines.append([
            task.name, label, name, f"{1e3 * a_loss:.3g}", f"{ratios[0]:.2f}",
            f"{ratios[1]:.2f}", f"{task.flops / a_loss / peak:.0%}",
            f"{max(a['bytes'] for a in answers) / 2**20:.0f}", wrong[name],
        ])  # fmt: skip
    return lines


def main() -> None:
    """Install, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds of the plain loop")
    parser.add_argument("--only", nargs="*", choices=list(MAKERS), default=list(MAKERS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pythons = dict.fromkeys(OWN, sys.executable)
    for package in PACKAGES:
        python = install(package)
        if python:
            pythons[package] = python
    lines = []
    for name in options.only:
        lines += compare(make(name), pythons, options)
    print(f"{options.threads} thread(s), torch {torch.__version__}, {os.cpu_count()} cores\n")
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
