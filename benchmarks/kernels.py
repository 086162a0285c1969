"""The kernel compiled by numba beside ordinary torch, on networks as people have them.

    python -m benchmarks.kernels

It is measured as this machine is, and in processes that are told to leave AVX-512 alone. The
time is that of this thread: what other programs take of the machine does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.networks import mlp
from landscape_widgets.evaluation.kernels.loading import SWITCH
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective

AVX2 = "+avx2,+avx,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+movbe,+sse4.2,+sse4.1,+ssse3,+sse3,+sse2"
WITHOUT_AVX512 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": AVX2,
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
STAYS = 1.3  # times as fast as the best of ordinary torch, for a kernel to stay

Made = tuple[nn.Module, Tensor, Tensor]


def _rows(widths: tuple[int, ...], count: int, numbers: bool = False) -> Made:
    y = torch.randn(count, 1) if numbers else torch.randint(0, widths[-1], (count,))
    return mlp(*widths).eval(), torch.randn(count, widths[0]), y


NETWORKS: dict[str, Callable[[], Made]] = {
    "digits MLP 64-64-64-10": lambda: _rows((64, 64, 64, 10), 1797),
    "MNIST MLP 784-256-128-10": lambda: _rows((784, 256, 128, 10), 2000),
    "MNIST MLP 784-512-512-10": lambda: _rows((784, 512, 512, 10), 1000),
    "tabular MLP 30-64-32-2": lambda: _rows((30, 64, 32, 2), 569),
    "regression MLP 8-64-64-1": lambda: _rows((8, 64, 64, 1), 5000, True),
}


def compared(name: str, budget: float, repetitions: int) -> list[tuple[str, ...]]:
    """Lines of the table: seconds with the kernel and without, of one parameter vector."""
    torch.manual_seed(0)
    model, x, y = NETWORKS[name]()
    with_kernel = Objective(model, (x, y), metrics=[], strategy="compiled")
    with mock.patch.dict(os.environ, {SWITCH: "0"}):
        without = Objective(model, (x, y), metrics=[])
    lines = []
    for kind, k, n in (("random", 128, 128), ("plane", 2, 1024)):
        k = min(k, max(2, (1 << 26) // with_kernel.size))
        rows = np.eye(k) if kind == "random" else np.random.default_rng(0).normal(size=(n, k))
        vectors = torch.randn(k, with_kernel.size) * 0.05
        each: list[tuple[float, ...]] = []
        count = len(rows)
        for go in range(repetitions + 1):
            taken = []
            for objective in (without, with_kernel):
                start = time.thread_time()
                done: list[int] = []
                found = objective.evaluate(
                    DenseBasis(vectors.clone()), rows[:count], metrics=False,
                    on_chunk=lambda _, part, done=done: done.append(len(part)),
                    cancelled=lambda done=done, go=go: not go and sum(done) >= 33,
                )  # fmt: skip
                taken.append((time.thread_time() - start) / len(found))
            if go == 0:
                count = int(min(len(rows), max(4, budget / taken[0])))
            else:
                each.append(tuple(taken))
        lines.append((
            name, kind,
            f"{1e3 * statistics.median(t[0] for t in each):.3g}",
            f"{1e3 * statistics.median(t[1] for t in each):.3g}",
            f"**{measure.median_ratio(each):.2f}**",
            f"{without.engine.last}, {with_kernel.engine.last}",
        ))  # fmt: skip
        print("|", " | ".join(lines[-1]), "|", flush=True)
    return lines


HEAD = ("network", "vectors", "torch, ms", "kernel, ms", "ratio", "strategies")


def main() -> None:
    """Print the table, for this machine and for one without AVX-512."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of each measurement")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--here", action="store_true", help="in this process, as it is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.here:
        print("| " + " | ".join(HEAD) + " |\n" + "| --- " * len(HEAD) + "|")
        for name in options.only:
            compared(name, options.budget, options.repetitions)
        return
    for title, environment in (("As it is", {}), ("Without AVX-512", WITHOUT_AVX512)):
        print(f"\n{title}:\n", flush=True)
        command = [sys.executable, "-m", "benchmarks.kernels", *sys.argv[1:], "--here"]
        found = subprocess.run(
            command, env=os.environ | environment, check=True, capture_output=True, text=True
        )
        print(found.stdout, flush=True)


if __name__ == "__main__":
    main()
