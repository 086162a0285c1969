"""What the first minute costs, in CPU seconds: fresh processes, with and without compiled code.

"Cold" is the first time on a machine, with no compiled code kept from before; "warm" every new
kernel after it. Each figure is the process's own CPU time on one thread, compilers on other threads
included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import measure

REPOSITORY = Path(__file__).parents[1]
HEAD = ("what", "cold, s", "warm, s", "to reach, cold and warm", "")
# Stages that are added up, and the most that they may take.
ROWS: dict[str, tuple[tuple[str, ...], tuple[float | None, float | None]]] = {
    "import of torch and scikit-learn": (("torch",), (None, None)),
    "import of landscape_widgets": (("import",), (None, None)),
    "import and default map of the quickstart": (("torch", "import", "map"), (10, 6)),
    "every slice drawn, after the map": (("slices",), (None, 5)),
    "judging the map, points between on slices, comparing with other maps": (
        ("rest",),
        (None, None),
    ),
    "UMAP, chosen in a new kernel": (("umap",), (None, 3)),
    'longest that the progress line stood at "0 of" many, by the clock': (("stood",), (2, 2)),
}
# Runs in a process of its own, and prints the CPU seconds of its stages. The cell of the quickstart
# that trains the network stands between two of them, and is not counted.
PROGRAM = """
import json, time
clock, last, seconds = time.process_time, time.process_time(), {}

def stage(name):
    global last
    seconds[name] = clock() - last
    last = clock()

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
stage("torch")
inputs, targets = load_digits(return_X_y=True)
inputs = torch.tensor(inputs / 16, dtype=torch.float32)
targets = torch.tensor(targets)
X, Xv, y, yv = train_test_split(inputs, targets, test_size=0.2, random_state=0)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
)
optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(200):
    optimiser.zero_grad()
    nn.functional.cross_entropy(model(X), y).backward()
    optimiser.step()
stage("training")
import landscape_widgets as lw
stage("import")
phases = []
seconds["stood"], began = 0.0, None

def look(change):
    global began
    said = change["new"]
    if phases == [] and said["phase"] in ("taking slices ahead", "judging the map"):
        phases.append("map")
        stage("map")
    if began is not None:
        seconds["stood"] = max(seconds["stood"], time.monotonic() - began)
    began = time.monotonic() if said["done"] == 0 and said["total"] > 1 else None

def drawn(change):
    if phases == ["map"] and np.isfinite(np.frombuffer(change["new"]["loss"], np.float32)).all():
        phases.append("slices")
        stage("slices")

# What the clock would cut off on a machine that has other work is taken to its end.
from landscape_widgets.widget import slices as limits
limits.FIRST_SECONDS = limits.PROFILE_SECONDS = 100.0
widget = lw.LandscapeWidget(model, (X, y), val_data=(Xv, yv))
widget.observe(look, "_progress")
widget.observe(drawn, "_profiles")
widget.wait()
stage("rest")
widget.landscape.embed(lw.reducers.UMAP())
stage("umap")
print(json.dumps(seconds))
"""


def measured(cache: str) -> dict[str, float]:
    """CPU seconds of the stages in a new process that keeps compiled code in a folder."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": cache,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, check=True, stdout=subprocess.PIPE
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as cache:
        found = [measured(cache) for _ in ("cold", "warm")]
    lines = []
    for name, (stages, most) in ROWS.items():
        took = [sum(seconds[stage] for stage in stages) for seconds in found]
        reached = [t <= m for t, m in zip(took, most, strict=True) if m is not None]
        lines.append(
            (
                name,
                *(f"{t:.1f}" for t in took),
                ", ".join("" if m is None else f"{m:g}" for m in most).strip(", "),
                measure.verdict(all(reached)) if reached else "",
            )
        )
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
