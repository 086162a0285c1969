"""What a progress line says while it waits for a compiler."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import landscape_widgets as lw
from landscape_widgets.progress import Progress
from landscape_widgets.widget import wire
from tests.models import digits, mlp, train

PROGRAM = """
import json, sys
import numpy as np
from landscape_widgets.reducers import TSNE, UMAP
told = []
points = np.random.default_rng(0).normal(size=(40, 3))
for reducer in (TSNE(early_iterations=25, iterations=25), UMAP(n_epochs=20)):
    reducer.fit(points, progress=told.append)
print(json.dumps(told))
"""


def told_of(cache: Path) -> list[list]:
    """What a new process tells of a t-SNE and a UMAP, with compiled code kept in a folder."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def test_a_map_that_waits_for_a_compiler_says_so_once_on_a_machine(tmp_path):
    cold, warm = told_of(tmp_path), told_of(tmp_path)
    starts = [i for i, (phase, done, *_) in enumerate(cold) if (phase, done) == ("map", 0)]
    # Of either map: nothing is done when it is said first, and then iterations follow.
    compiling = [i for i, (phase, *_) in enumerate(cold) if phase == "compiling"]
    ends = [
        i for i, (phase, done, total, *_) in enumerate(cold) if phase == "map" and done == total
    ]
    assert any(i < ends[0] for i in compiling)
    assert any(i > ends[0] for i in compiling)
    for i in compiling:
        assert cold[i + 1][0] == "compiling" or i + 1 in starts
    assert [phase for phase, *_ in warm] == ["map"] * len(warm)
    assert wire.PHASES["compiling"] == "compiling, once on this machine"


def test_a_kernel_that_was_named_is_waited_for_with_a_word(monkeypatch):
    data = digits(64)
    land = lw.Landscape(train(mlp(), data, 20), data, strategy="compiled")
    monkeypatch.setattr("landscape_widgets.evaluation.engine.settle", lambda name: False)
    told = []
    land.sample(lw.samplers.Subspace(k=2, n=40), progress=told.append)
    losses = [part for part in told if part.phase in ("compiling", "losses")]
    assert [part.phase for part in losses[:2]] == ["compiling", "losses"]


@pytest.mark.parametrize("compiling", ["compiling", "compiling anew"])
def test_the_widget_says_what_it_waits_for_before_the_map(compiling, monkeypatch):
    data = digits(64)
    shown = threading.Event()

    def warm_up(self, progress):
        progress(Progress(compiling, 0, 1))
        shown.wait(60)  # it is not done before that is on the screen

    monkeypatch.setattr(lw.reducers.TSNE, "warm_up", warm_up)
    widget = lw.LandscapeWidget(
        train(mlp(), data, 20), data, sampler=lw.samplers.Subspace(k=2, n=40), start=False
    )
    words = wire.PHASES[compiling]
    widget.observe(
        lambda change: shown.set() if change.new["phase"] == words else None, "_progress"
    )
    widget.start()
    widget.wait(60)
    assert shown.is_set()
    widget.close()
