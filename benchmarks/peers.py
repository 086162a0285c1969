"""Side by side with the packages that draw loss landscapes, each in an environment of its own.

    python -m benchmarks.peers --threads 1

Every package is installed by this script as its README says. Each network's tasks are done by
one process a package, one at a time in turn, so that whatever else the machine does slows all of
them alike. Losses are checked against a plain loop in float64 where the package says it took them.
The 51×51 plane is cut short, for each package by itself, where it would take too long: what a loss
costs does not hang on how many there are, but for what ours shares among them, which is for ours to
say. Of eigenvalues see `benchmarks.eigenvalues`.
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
MOST = 1 << 28  # numbers in random directions: 1 GiB
CHECKED = 5  # losses of each task that are checked in float64
# How many times faster than the fastest other package ours is to be, by network and kind of task.
TARGETS: dict[str, dict[str, float]] = {
    "digits MLP 64-32-32-10": {"vectors": 2.5, "slice": 3.5, "plane": 3.5, "cloud": 3.5},
    "digits MLP 64-64-64-10": {"vectors": 2.5, "slice": 3.5, "plane": 3.5, "cloud": 3.5},
    "MLP 784-256-128-10": {"slice": 5.0, "plane": 5.0},
    "CNN 8×8": dict.fromkeys(("vectors", "slice", "plane", "cloud"), 2.0),
    "CNN 28×28": dict.fromkeys(("vectors", "slice", "plane", "cloud"), 5.0),
    "ResNet-18": dict.fromkeys(("vectors", "slice", "plane", "cloud"), 1.4),
    "transformer": dict.fromkeys(("vectors", "slice", "plane", "cloud"), 1.3),
}
HEAD = (
    "network", "task", "package", "losses", "ms a loss", "of peak", "peak memory, MiB",
    "disagreement",
)  # fmt: skip
SUMMARY = (
    "network", "task", "than the plain loop", "than the fastest package", "which is", "to reach",
    "reached",
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


def compare(
    task: Task, pythons: dict[str, str], options: argparse.Namespace
) -> tuple[list[list[str]], list[list[str]]]:
    """All tasks on one network: lines of the summary and of the table."""
    workers = [Worker(name, path, task.name, options.threads) for name, path in pythons.items()]
    pace = min(workers[0].ask(task="line", k=1, steps=3)["seconds"] / 3 for _ in range(2))
    n = int(min(1000, max(8, options.budget / pace)))
    vectors = min(n, MOST // sum(p.numel() for p in task.model.parameters()))
    steps = 51 if 51 * pace < 20 else 5
    tasks = {
        "vectors": {"task": "vectors", "k": vectors},
        "slice": {"task": "line", "k": 1, "steps": steps},
        "plane": {"task": "plane", "k": 2},
        "cloud": {"task": "cloud", "k": 3, "steps": max(n, steps)},
    }
    summary, lines = [], []
    for kind, request in tasks.items():
        found, wrong = _asked(task, kind, request, workers, options)
        summary.append(_summed_up(task, kind, found))
        lines += [_line(task, kind, w.package, found, wrong[w.package]) for w in workers]
    for worker in workers:
        worker.close()
    return summary, [line for line in lines if line]


def _steps(worker: Worker, budget: float) -> int:
    """How many steps of a plane a package has the time for, on each axis."""
    few = 7 if worker.package == "landscape-widgets" else 3
    seconds = worker.ask(task="plane", k=2, steps=few).get("seconds", 0.0)
    return next((s for s in STEPS if s**2 * seconds / few**2 <= budget), STEPS[-1])


def _asked(
    task: Task, kind: str, request: dict[str, Any], workers: list[Worker],
    options: argparse.Namespace,
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:  # fmt: skip
    """What each package answered in turn, and its disagreement or what went wrong."""
    found: dict[str, list[dict[str, Any]]] = {}
    wrong: dict[str, str] = {}
    running = list(workers)
    requests = {
        w.package: {**request, "steps": _steps(w, options.budget)} if kind == "plane" else request
        for w in workers
    }
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(options.repetitions + 1):
            for worker in list(running):
                save = str(Path(folder) / "losses.npz") if repetition == 0 else ""
                answer = worker.ask(**requests[worker.package], save=save)
                if "seconds" not in answer:
                    running.remove(worker)
                    wrong[worker.package] = answer.get("error", "")
                elif repetition == 0:  # what is done once is done, what is loaded is loaded
                    wrong[worker.package] = f"{disagreement(task, save):.0e}"
                else:
                    found.setdefault(worker.package, []).append(answer)
    return found, wrong


def _faster(found: dict[str, list[dict[str, Any]]], other: str) -> float:
    """How many times longer a loss takes with another package: median of the repetitions."""
    return statistics.median(
        b["seconds"] / b["n"] / (a["seconds"] / a["n"])
        for a, b in zip(found["landscape-widgets"], found[other], strict=True)
    )


def _summed_up(task: Task, kind: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    plain = _faster(found, "plain loop")
    others = {name: _faster(found, name) for name in found if name not in OWN}
    best = min(others, key=lambda name: others[name], default="")
    target = TARGETS[task.name].get(kind, 1.0)
    against = others.get(best, plain)
    return [
        task.name, kind, f"{plain:.2f}", f"**{against:.2f}**" if best else "", best,
        f"{target:g}", measure.verdict(against >= target and plain >= 1.0),
    ]  # fmt: skip


def _line(
    task: Task, kind: str, name: str, found: dict[str, list[dict[str, Any]]], said: str
) -> list[str]:
    if name not in found:
        return [task.name, kind, name, "", "fails", "", "", said] if said else []
    answers = found[name]
    a_loss = statistics.median(a["seconds"] / a["n"] for a in answers)
    return [
        task.name, kind, name, f"{answers[0]['n']}", f"{1e3 * a_loss:.3g}",
        f"{task.flops / a_loss / measure.matrix_product_peak():.0%}",
        f"{max(a['bytes'] for a in answers) / 2**20:.0f}", said,
    ]  # fmt: skip


def main() -> None:
    """Install, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.5, help="seconds of a task, about")
    parser.add_argument("--only", nargs="*", choices=list(MAKERS), default=list(MAKERS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pythons = dict.fromkeys(OWN, sys.executable)
    for package in PACKAGES:
        python = install(package)
        if python:
            pythons[package] = python
    summary, lines = [], []
    for name in options.only:
        summed, further = compare(make(name), pythons, options)
        summary += summed
        lines += further
        print(measure.table(SUMMARY, summed), file=sys.stderr)
    print(f"{options.threads} thread(s), torch {torch.__version__}, {os.cpu_count()} cores\n")
    print(f"How many times faster ours is:\n\n{measure.table(SUMMARY, summary)}\n")
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
