"""One package on one network in a process of its own, told line by line what to do next.

    python -m benchmarks.peer_worker PACKAGE NETWORK THREADS

Reads JSON lines {"task": ..., "steps": ..., "save": path} and answers {"seconds": ..., ...}. On
Linux, for its account of memory.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.networks import make
from benchmarks.peer_adapters import ADAPTERS


def directions(size: int, k: int, scale: float) -> torch.Tensor:
    """The same for every package, (k, P)."""
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randn(size, generator=generator) * scale for _ in range(k)])


def memory(name: str) -> int:
    """Bytes that this process holds (VmRSS), or has held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def forget_peak() -> int:
    """Start to watch the peak anew; bytes held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # packages print as they work
    package, network, threads = sys.argv[1:4]
    torch.set_num_threads(int(threads))
    task = make(network)
    size = sum(p.numel() for p in task.model.parameters())
    norm = float(torch.cat([p.detach().reshape(-1) for p in task.model.parameters()]).norm())
    scale = 0.5 * norm / size**0.5  # half of the weights' own length
    adapter = None
    with torch.no_grad():
        task.model(task.inputs[:2])
    importlib.import_module(ADAPTERS[package].module)
    before = forget_peak()
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, object] = {}
        try:
            if adapter is None:
                adapter = ADAPTERS[package](task)
            if request["task"] == "eigenvalues":
                answer = _eigenvalues(adapter, request["top"])
            else:
                answer = _run(adapter, request, directions(size, request["k"], scale))
            answer["bytes"] = memory("VmHWM") - before
        except Exception:
            answer["error"] = traceback.format_exc().strip().splitlines()[-1]
        print(json.dumps(answer), file=answers, flush=True)


def _eigenvalues(adapter: Any, top: int) -> dict[str, object]:
    start = time.perf_counter()
    values = adapter.eigenvalues(top)
    return {"seconds": time.perf_counter() - start, "values": [float(value) for value in values]}


def _run(adapter: object, request: dict[str, object], vectors: torch.Tensor) -> dict[str, object]:
    method = getattr(adapter, str(request["task"]), None)
    if method is None:
        return {"missing": True}
    arguments = (vectors,) if request["task"] == "vectors" else (vectors, request["steps"])
    start = time.perf_counter()
    losses, rows = method(*arguments)
    seconds = time.perf_counter() - start
    if hasattr(adapter, "steps_of"):
        vectors = adapter.steps_of(vectors, request["steps"])
    if request.get("save"):
        np.savez(str(request["save"]), losses=losses, rows=rows, vectors=vectors.numpy())
    objective = getattr(adapter, "objective", None)
    return {"seconds": seconds, "n": len(losses), "strategy": getattr(objective, "strategy", "")}


if __name__ == "__main__":
    main()
