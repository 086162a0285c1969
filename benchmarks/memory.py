"""Memory and time from a model to its first points, against the loop that one would write.

    python -m benchmarks.memory

Ours sets up, and evaluates three parameter vectors with their outputs. The plain loop loads each of
them into the user's own model and goes over the batches. Each runs in a process of its own (Linux);
memory is what the peak of the resident size was over what there was before, time is the thread's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import measure
from benchmarks.models import GPT, LanguageModel, Task, _size, mobile, resnet20
from benchmarks.networks import UNet
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Minima, Subspace
from landscape_widgets.samplers.base import Sampler

F = torch.nn.functional
MIB = 1 << 20
RATIO, OVER = 1.5, 256 * MIB  # the peak may be the larger of these
LOSSES = 10  # plain losses' time that the first points may take
ROWS, SAMPLES = 3, 200
HEAD = (
    "model and data", "plain loop, MiB", "ours, MiB", "over",
    f"at most {RATIO} times or {OVER // MIB} MiB", "a plain loss, s", "three rows",
    f"first of {SAMPLES} samples", "first of a Minima", f"at most {LOSSES}",
)  # fmt: skip


def _classes(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets)


def _labelled(model: torch.nn.Module, x: Tensor, y: Tensor, size: int) -> Task:
    batches = list(zip(x.split(size), y.split(size), strict=True))
    return Task(model, batches, None, lambda m, batch: _classes(m(batch[0]), batch[1]))


def _pictures() -> Task:
    x, y = torch.rand(32, 3, 224, 224), torch.randint(0, 4, (32, 224, 224))
    return _labelled(UNet(16), x, y, 8)


def _texts() -> Task:
    x = torch.randint(0, 50_000, (64, 21))
    return _labelled(LanguageModel(50_000), x[:, :-1], x[:, 1:], 8)


def _letters() -> Task:
    x = torch.randint(0, 500, (256, 49))
    batches = list(zip(x[:, :-1].split(8), x[:, 1:].split(8), strict=True))

    def each(model: torch.nn.Module, batch: Any) -> Tensor:
        value: Tensor = model(*batch)[1]
        return value

    return Task(GPT(), batches, each, each)


def _small_pictures(model: torch.nn.Module) -> Task:
    return _labelled(model, torch.randn(512, 3, 32, 32), torch.randint(0, 10, (512,)), 32)


# What they are, and whether the data are given as tensors.
CASES: dict[str, tuple[Callable[[], Task], bool]] = {
    "U-Net, 32 pictures of 224², batches of 8": (_pictures, False),
    "U-Net, the same as tensors": (_pictures, True),
    "LSTM of 50,000 words, 64 texts of 20, batches of 8": (_texts, False),
    "LSTM of 50,000 words, the same as tensors": (_texts, True),
    "small GPT, 256 texts of 48, batches of 8, own loss": (_letters, False),
    "MobileNet-like, 512 pictures of 32², batches of 32": (
        lambda: _small_pictures(mobile()), False,
    ),
    "ResNet-20, 512 pictures of 32², batches of 32": (lambda: _small_pictures(resnet20()), False),
}  # fmt: skip


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _plain(task: Task, directions: list[Tensor]) -> None:
    """The losses of some rows, as one would write it."""
    weights = list(task.model.parameters())
    anchor = [weight.detach().clone() for weight in weights]
    for c in range(ROWS):
        with torch.no_grad():
            for weight, start, direction in zip(weights, anchor, directions, strict=True):
                weight.copy_(start + c * direction)
            sum(float(task.each(task.model, batch)) * _size(batch) for batch in task.data)


class _Seen(Exception):
    """The first samples have their losses."""


def _first_samples(task: Task, data: Any, sampler: Sampler, when: str) -> None:
    def seen(known: Any) -> None:
        raise _Seen

    landscape = Landscape(task.model, data, loss=task.loss)
    try:
        landscape.sample(sampler, **{when: seen})
    except _Seen:
        return


def alone(name: str, what: str) -> None:
    """Print the bytes that one entrant takes, and its seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, whole = CASES[name]
    task = make()
    data = task.data
    if whole:
        data = tuple(torch.cat(part) for part in zip(*task.data, strict=True))  # type: ignore[assignment]
    weights = list(task.model.eval().parameters())
    drawn = [0.05 * p.detach().square().mean().sqrt() * torch.randn(p.numel()) for p in weights]
    vector = torch.cat(drawn)
    del drawn
    pieces = vector.split([p.numel() for p in weights])
    directions = [v.view_as(p) for v, p in zip(pieces, weights, strict=True)]
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak: proc(5)
    start = time.thread_time()
    if what == "rows":
        objective = Objective(task.model, data, loss=task.loss)
        rows = np.arange(ROWS, dtype=float)[:, None]
        objective.evaluate(DenseBasis(vector[None]), rows, outputs=True)
    elif what == "samples":
        _first_samples(task, data, Subspace(n=SAMPLES, radius=1.0), "on_chunk")
    elif what == "known":
        _first_samples(task, data, Minima(), "on_known")
    else:
        _plain(task, directions)
    print(_status("VmHWM") - before, time.thread_time() - start)


def elsewhere(name: str, what: str) -> tuple[int, float]:
    """`alone` in a process of its own."""
    code = f"from benchmarks.memory import alone; alone({name!r}, {what!r})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    taken, seconds = printed.split()
    return int(taken), float(seconds)


def compared(name: str) -> tuple[str, ...]:
    """A line of the table."""
    (plain, all_rows), (ours, first) = elsewhere(name, "plain"), elsewhere(name, "rows")
    _, sampled = elsewhere(name, "samples")  # whose directions take memory of their own
    _, known = elsewhere(name, "known")
    one = all_rows / ROWS
    return (
        name, f"{plain / MIB:.0f}", f"{ours / MIB:.0f}", f"**{(ours - plain) / MIB:.0f}**",
        measure.verdict(ours <= max(RATIO * plain, plain + OVER)),
        f"{one:.2f}", f"**{first / one:.1f}**", f"**{sampled / one:.1f}**",
        f"**{known / one:.1f}**", measure.verdict(max(first, sampled, known) <= LOSSES * one),
    )  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    print(f"1 thread, torch {torch.__version__}; times in plain losses\n")
    print(measure.table(HEAD, [compared(name) for name in options.only]))


if __name__ == "__main__":
    main()
