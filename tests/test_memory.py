"""Peak memory over the model's own, each measured in a process of its own.

What counts is memory that only this process can give back: anonymous pages. Pages of a mapped file
count to the resident size as well, but the system takes them away as it likes. The peak of
anonymous memory is not recorded by the system, so a thread looks every few milliseconds; where
nothing is mapped, the recorded peak of the resident size says the same or more, and is checked.
"""

import json
import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="memory is read from Linux's /proc"
)

MEASURE = '''
import json, sys, threading, time
import numpy as np, torch
from benchmarks.networks import mlp, resnet18
from landscape_widgets.evaluation.kernels.loading import load
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.landscape.results import Results
from landscape_widgets.samplers import Descent, Recorder, Subspace, Trajectory

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

class Peak:
    """Peaks since it was made, over what there was then: anonymous, and of the resident size."""

    def __init__(self):
        self.start, self.resident = status("RssAnon"), status("VmHWM")
        self.most, self.over = self.start, threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while not self.over.wait(0.002):
            self.most = max(self.most, status("RssAnon"))

    def figures(self):
        self.over.set()
        # Not ru_maxrss: that begins with what the process that started this one had.
        return {"anonymous": self.most - self.start, "resident": status("VmHWM") - self.resident}

for name in ("loops",):
    load(name).result()  # what compiles once a machine is not to be counted
torch.manual_seed(0)
'''


def measured(script: str, *arguments: object) -> dict[str, float]:
    """What a script prints as JSON."""
    # Imports and a first pass of the model belong to the baseline.
    code = MEASURE + textwrap.dedent(script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("basis", ["seeded", "dense"])
def test_a_thousand_samples_of_a_resnet_in_five_dimensions_take_less_than_a_gigabyte(
    basis, tmp_path
):
    """Cloud, distances, file and slices are those of all 1,000 samples. Of their losses eight are
    evaluated: each further one is put where the one before it was."""
    found = measured(
        """
        model, data = resnet18().eval(), (torch.rand(4, 3, 8, 8), torch.randint(0, 10, (4,)))
        with torch.no_grad():
            model(data[0])
        peak = Peak()
        land = Landscape(model, data)
        sampler = Subspace(k=5, n=999, radius=10.0, basis=sys.argv[1])
        cloud = sampler.draw(land.objective, seed=0)
        land.results = Results.blank(cloud, land.quantities, (), land.objective.outputs_shape)
        some = land.objective.evaluate(cloud.basis, cloud.coefficients[:8], outputs=True)
        land.results = land.results.with_rows(np.arange(8), some)
        points = land.points()
        standardised = land.points(standardise=True)
        land.save(sys.argv[2])
        print(json.dumps({
            **peak.figures(), "parameters": land.objective.size, "samples": len(points),
            "dimensions": points.shape[1], "finite": bool(np.isfinite(some.losses).all()),
        }))
        """,
        basis,
        tmp_path / "land",
    )
    assert found["parameters"] > 11_000_000
    assert (found["samples"], found["dimensions"]) == (1000, 5)
    assert found["finite"]
    vector = 4 * found["parameters"]
    # The working copies are counted: that there are any shows that something is measured.
    assert 2 * vector < found["anonymous"] <= 1.02 * found["resident"]
    assert found["resident"] < 1e9
    # Five directions that are held are five vectors more.
    assert (os.path.getsize(tmp_path / "land") > 5 * vector) == (basis == "dense")
    if basis == "seeded":
        kept = 64 << 20  # that the C library may keep of what was freed
        assert found["resident"] < 11 * vector + kept


def test_a_descent_in_a_file_needs_no_memory_for_its_samples(tmp_path):
    """82 samples of 790,000 parameters: 260 MB, in a file; the map and the saved landscape too."""
    script = """
        model, data = mlp(784, 784, 220, 10), (torch.rand(50, 784), torch.randint(0, 10, (50,)))
        with torch.no_grad():
            model(data[0])
        small = Landscape(mlp(784, 8, 10), data)  # loads what is only loaded when it is used
        small.sample(Descent(runs=2, steps=40, radius=5.0)).embed("pca")
        # No race: what its trials take hangs on how many there is time for.
        land = Landscape(model, data, strategy="inplace")
        peak = Peak()
        place = None if sys.argv[1] == "memory" else sys.argv[2]
        land.sample(Descent(runs=2, steps=40, radius=5.0, path=place))
        land.embed("pca")
        land.save(sys.argv[2] + "/land")
        figures = peak.figures()
        again = Landscape.load(sys.argv[2] + "/land", model, data)
        before = status("RssAnon")
        points = again.points()
        print(json.dumps({
            **figures, "samples": len(land.cloud), "reading": status("RssAnon") - before,
            "vectors": land.cloud.basis.k * land.objective.anchor.nbytes,
        }))
        """
    in_file, in_memory = (measured(script, kind, tmp_path) for kind in ("file", "memory"))
    assert in_file["samples"] == in_memory["samples"] == 83
    vectors = in_file["vectors"]
    assert vectors > 250e6
    assert in_memory["anonymous"] > vectors  # that much would have been seen
    assert in_memory["anonymous"] < 1.95 * vectors  # and it is held once, beside the work itself
    assert in_file["anonymous"] < 0.9 * vectors
    assert in_file["anonymous"] < in_memory["anonymous"] - 0.8 * vectors
    for figures in (in_file, in_memory):
        assert figures["reading"] < 0.3 * vectors


def test_a_recorder_and_its_trajectory_in_files_need_no_memory_for_their_checkpoints(tmp_path):
    found = measured(
        """
        model, data = mlp(784, 784, 220, 10), (torch.rand(50, 784), torch.randint(0, 10, (50,)))
        recorder = Recorder(model, at_most=500, path=sys.argv[1])
        peak = Peak()
        for _ in range(180):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=1e-3)
            recorder.step()
        land = Landscape(model, data)
        land.sample(Trajectory(recorder, path=sys.argv[1])).embed("pca")
        print(json.dumps({
            **peak.figures(), "samples": len(land.cloud),
            "vectors": land.cloud.basis.k * land.objective.anchor.nbytes,
        }))
        """,
        tmp_path,
    )
    assert found["samples"] == 181
    assert found["vectors"] > 540e6
    # Of checkpoints and samples it would be twice as much.
    assert found["anonymous"] < 0.75 * found["vectors"]
