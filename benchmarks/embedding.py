"""Embedding 500 samples of a network of a million parameters: isometric coordinates or N × P.

    python -m benchmarks.embedding

Each way runs in a process of its own, in turn, after imports and compilation. Ours begins with
directions and coefficients, as samplers hold them; the other with the matrix of all parameter
vectors, which is counted as memory but not as time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import measure
from benchmarks.peer_worker import memory

SAMPLES, SIZE = 500, 1_000_000
TARGETS = (8, 7)  # times faster, and in how many times less memory
HEAD = (
    "map", "directions", "isometric, s", "N × P, s", f"faster by (at least {TARGETS[0]})",
    "isometric, MiB", "N × P, MiB", f"less by (at least {TARGETS[1]})",
)  # fmt: skip


def library(name: str) -> Callable[[np.ndarray], object]:
    """The reducer of a library, with its own defaults."""
    if name == "t-SNE":
        from openTSNE import TSNE

        return TSNE(random_state=0, n_jobs=1).fit
    from umap import UMAP

    return UMAP(random_state=0, n_jobs=1).fit_transform


def work(way: str, name: str, k: int) -> dict[str, float]:
    """Embed in one way, and say what it took."""
    from landscape_widgets import reducers
    from landscape_widgets.geometry.basis import DenseBasis
    from landscape_widgets.geometry.cloud import Cloud
    from landscape_widgets.reducers import TSNE, UMAP

    torch.set_num_threads(1)
    ours: reducers.base.Reducer = TSNE() if name == "t-SNE" else UMAP()
    small = np.random.default_rng(0).normal(size=(200, 3))
    ours.fit(small)
    library(name)(small)
    before = memory("VmHWM")
    directions = torch.randn(k, SIZE, generator=torch.Generator().manual_seed(0))
    rows = np.random.default_rng(0).uniform(-0.25, 1.25, size=(SAMPLES, k))
    if way == "isometric":
        import pandas as pd

        start = time.perf_counter()
        table = pd.DataFrame({"kind": ["sample"] * SAMPLES, "path": -1, "step": 0})
        cloud = Cloud(torch.zeros(SIZE), DenseBasis(directions), rows, table)
        found = ours.fit(cloud.isometric())
    else:
        matrix = (torch.from_numpy(rows).float() @ directions).numpy()
        del directions
        start = time.perf_counter()
        found = np.asarray(library(name)(matrix))
    seconds = time.perf_counter() - start
    assert found.shape == (SAMPLES, 2)
    assert np.isfinite(found).all()
    return {"seconds": seconds, "kib": (memory("VmHWM") - before) // 1024}


def apart(way: str, name: str, k: int) -> dict[str, float]:
    """`work` in a process of its own."""
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "benchmarks.embedding", "--work", way, name, str(k)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    if done.returncode:
        raise RuntimeError(f"{way} {name} failed: {done.stderr.strip()}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=3, metavar=("WAY", "MAP", "K"), help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, default=2)
    options = parser.parse_args()
    if options.work:
        way, name, k = options.work
        print(json.dumps(work(way, name, int(k))))
        return
    lines = []
    for name in ("t-SNE", "UMAP"):
        for k in (3, 50):
            pairs = [
                (apart("isometric", name, k), apart("matrix", name, k))
                for _ in range(options.repetitions)
            ]
            ours, theirs = (
                {key: statistics.median(pair[i][key] for pair in pairs) for key in pairs[0][i]}
                for i in (0, 1)
            )
            faster = statistics.median(b["seconds"] / a["seconds"] for a, b in pairs)
            less = statistics.median(b["kib"] / a["kib"] for a, b in pairs)
            lines.append((
                name, str(k), f"{ours['seconds']:.2f}", f"{theirs['seconds']:.1f}",
                f"**{faster:.1f}** {measure.verdict(faster >= TARGETS[0])}",
                f"{ours['kib'] / 1024:.0f}", f"{theirs['kib'] / 1024:.0f}",
                f"**{less:.1f}** {measure.verdict(less >= TARGETS[1])}",
            ))  # fmt: skip
    print(f"{SAMPLES} samples of {SIZE:,} parameters, one thread\n")
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
