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
from torch import nn

from benchmarks.networks import make
from benchmarks.peer_adapters import ADAPTERS


def directions(model: nn.Module, k: int) -> torch.Tensor:
    """The same for every package, (k, P): half as long as the weights, tensor by tensor."""
    generator = torch.Generator().manual_seed(1)
    found = torch.empty(k, sum(p.numel() for p in model.parameters()))
    with torch.no_grad():
        for row in found:
            parts = row.split([p.numel() for p in model.parameters()])
            for part, p in zip(parts, model.parameters(), strict=True):
                drawn = torch.randn(p.numel(), generator=generator)
                part.copy_(drawn * (0.5 * p.norm() / drawn.norm()))
    return found


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
                answer = _run(adapter, request, directions(task.model, request["k"]))
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
    arguments = (vectors, request["steps"]) if "steps" in request else (vectors,)
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
