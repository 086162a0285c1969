import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from landscape_widgets.geometry.directions import Directions
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import (
    Descent,
    JumpAndRetrain,
    Langevin,
    Neighbourhood,
    Recorder,
    Trajectory,
)
from landscape_widgets.samplers.base import Sampler
from tests.models import digits, mlp, train

VECTORS = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def objective() -> Objective:
    data = digits(200)
    return Objective(train(mlp(), data, 60), data)


def filled(place=None, dtype=torch.float32) -> Directions:
    found = Directions(9, 30, dtype, place=place)
    for vector in VECTORS:
        found.append(vector.to(dtype))
    return found


def deleted_files_looked_into(folder: Path) -> int:
    """Files of a folder that have no name any more, and are mapped into this process."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sum(os.fspath(folder) in line and "(deleted)" in line for line in maps)


@pytest.mark.parametrize("kind", ["memory", "folder", "file"])
def test_directions_come_back_as_they_were_put_in(kind, tmp_path):
    place = {"memory": None, "folder": tmp_path, "file": tmp_path / "kept"}[kind]
    found = filled(place)
    assert found.in_file == (kind != "memory")
    assert len(found) == 5
    assert torch.equal(found[3], VECTORS[3])
    with pytest.raises(IndexError, match="there are 5"):
        found[5]
    assert torch.equal(found.basis().vectors, VECTORS)
    found.truncate(3)
    assert torch.equal(found.basis().vectors, VECTORS[:3])
    found.append(VECTORS[4])
    assert torch.equal(found.basis().vectors, VECTORS[[0, 1, 2, 4]])
    found.thin()
    assert torch.equal(found.basis().vectors, VECTORS[[0, 2]])
    found.truncate(0)
    assert found.basis().vectors.shape == (0, 30)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_precision_can_be_kept_in_a_file(dtype, tmp_path):
    assert torch.equal(filled(tmp_path / "kept", dtype).basis().vectors, VECTORS.to(dtype))
    assert load_file(tmp_path / "kept")["directions"].dtype == dtype


def test_more_than_were_announced_are_refused():
    found = Directions(1, 30)
    found.append(VECTORS[0])
    with pytest.raises(IndexError, match="At most 1"):
        found.append(VECTORS[1])


def test_a_named_file_is_plain_safetensors_after_each_direction(tmp_path):
    found = Directions(1000, 30, place=tmp_path / "kept")
    for number, vector in enumerate(VECTORS):
        found.append(vector)
        assert torch.equal(load_file(tmp_path / "kept")["directions"], VECTORS[: number + 1])
    found.truncate(2)
    assert torch.equal(load_file(tmp_path / "kept")["directions"], VECTORS[:2])


def test_a_temporary_file_goes_with_the_last_that_looks_into_it(tmp_path):
    before = deleted_files_looked_into(tmp_path)
    basis = filled(tmp_path).basis()
    row = basis.row(2)
    assert os.listdir(tmp_path) == []  # it has no name from the first: nothing can be left
    assert deleted_files_looked_into(tmp_path) > before
    del basis
    gc.collect()
    assert torch.equal(row, VECTORS[2])
    del row
    gc.collect()
    assert deleted_files_looked_into(tmp_path) == before


def test_a_killed_process_leaves_no_temporary_file_and_what_it_had_in_a_named_one(tmp_path):
    script = f"""
import os, signal, torch
from landscape_widgets.geometry.directions import Directions
kept = [Directions(9, 30, place={os.fspath(tmp_path)!r}),
        Directions(9, 30, place={os.fspath(tmp_path / "kept")!r})]
for each in kept:
    each.append(torch.ones(30))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert os.listdir(tmp_path) == ["kept"]
    assert torch.equal(load_file(tmp_path / "kept")["directions"], torch.ones(1, 30))


def test_a_file_of_something_else_is_not_written_over(tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(3)}, weights)
    (tmp_path / "notes").write_text("anything")
    for path in (weights, tmp_path / "notes"):
        with pytest.raises(FileExistsError, match="something else than directions"):
            Directions(3, 3, place=path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        Directions(3, 3, place=tmp_path / "nowhere" / "kept")
    old = filled(tmp_path / "kept").basis()
    Directions(1, 30, place=tmp_path / "kept").append(torch.zeros(30))
    assert torch.equal(old.vectors, VECTORS)  # whoever looks into the old one keeps it


SAMPLERS = {
    "Descent": lambda path: Descent(runs=2, steps=6, path=path),
    "Neighbourhood": lambda path: Neighbourhood(arms=2, path=path),
    "JumpAndRetrain": lambda path: JumpAndRetrain(jumps=1, sizes=(0.3,), steps=6, path=path),
    "Langevin": lambda path: Langevin(chains=2, draws=5, path=path),
}


@pytest.mark.filterwarnings("ignore::landscape_widgets.curvature.chains.ChainWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_cloud_in_a_file_is_the_one_in_memory(name, objective, tmp_path):
    in_memory: Sampler = SAMPLERS[name](None)
    cloud = in_memory.draw(objective, seed=1)
    for place in (tmp_path, tmp_path / "kept"):
        other = SAMPLERS[name](place).draw(objective, seed=1)
        assert torch.equal(other.basis.vectors, cloud.basis.vectors)
        assert other.table.equals(cloud.table)
        np.testing.assert_array_equal(other.isometric(), cloud.isometric())
        losses = objective.evaluate(other.basis, other.coefficients).losses
        expected = objective.evaluate(cloud.basis, cloud.coefficients).losses
        np.testing.assert_array_equal(losses, expected)
    assert os.listdir(tmp_path) == ["kept"]
    assert torch.equal(load_file(tmp_path / "kept")["directions"], cloud.basis.vectors)
    assert repr(SAMPLERS[name](tmp_path)) == repr(in_memory)  # a run is resumed wherever it is


def test_paths_that_take_more_than_half_of_the_free_memory_go_to_a_file(
    objective, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    sampler = Descent(runs=2, steps=4)
    needed = 10 * objective.anchor.nbytes
    looked_into = []
    for free in (2 * needed, 2 * needed - 1):
        monkeypatch.setattr(
            "landscape_widgets.samplers.vector_storage.free_memory", lambda _, n=free: n
        )
        cloud = sampler.draw(objective, seed=0)
        assert len(cloud) == 11
        looked_into.append(deleted_files_looked_into(tmp_path))
    assert looked_into[0] == 0
    assert looked_into[1] > 0


def test_a_path_that_fits_neither_memory_nor_disk_is_refused_with_both_figures(
    objective, tmp_path, monkeypatch
):
    monkeypatch.setattr("landscape_widgets.samplers.vector_storage.free_memory", lambda _: 3 << 30)
    usage = type("Usage", (), {"free": 5 << 30})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    runs = 2_000_000  # of 11 samples of 1,210 parameters each: 99.2 GiB
    reports = []
    with pytest.raises(ValueError, match=r"99\.2 GiB.* 3\.0 GiB of memory.* 5\.0 GiB of disk"):
        Descent(runs=runs, steps=10).draw(objective, seed=0, progress=reports.append)
    with pytest.raises(ValueError, match=rf"5\.0 GiB of disk in '{tmp_path}'.*fewer runs"):
        Descent(runs=runs, steps=10, path=tmp_path / "kept").draw(objective, seed=0)
    assert not reports
    assert os.listdir(tmp_path) == []


def test_a_descent_stopped_within_a_run_keeps_the_whole_runs_in_the_file(objective, tmp_path):
    reports, looks = [], []

    def cancelled():
        if reports and reports[-1].phase == "descents" and reports[-1].done == 2:
            looks.append(True)
        return len(looks) > 3  # some steps into the third run

    cloud = Descent(runs=4, steps=5, path=tmp_path / "kept").draw(
        objective, seed=0, progress=reports.append, cancelled=cancelled
    )
    rows = load_file(tmp_path / "kept")["directions"]
    assert len(rows) == 12
    assert torch.equal(rows, cloud.basis.vectors)


def test_a_path_that_is_none_is_refused_by_name():
    with pytest.raises(TypeError, match=r"Descent\(path=3\).*int was given"):
        Descent(path=3)


class TestRecorder:
    def record(self, steps: int, **keywords):
        data, model = digits(100), mlp(8)
        recorder = Recorder(model, **keywords)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(steps):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(data[0]), data[1]).backward()
            optimiser.step()
            recorder.step()
        return Objective(model, data), recorder

    def test_checkpoints_in_a_file_are_those_in_memory(self, tmp_path):
        objective, here = self.record(50, at_most=8)
        _, there = self.record(50, at_most=8, path=tmp_path / "kept")
        assert here.steps == there.steps
        assert len(here.checkpoints) == len(there) <= 8
        for ours, theirs in zip(here.checkpoints, there.checkpoints, strict=True):
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        cloud = Trajectory(here).draw(objective, seed=0)
        other = Trajectory(there, path=tmp_path).draw(objective, seed=0)
        assert torch.equal(cloud.basis.vectors, other.basis.vectors)
        assert load_file(tmp_path / "kept")["directions"].shape == (len(there), objective.size)

    def test_a_recording_that_fits_nowhere_is_refused_before_training(self):
        with pytest.raises(ValueError, match=r"Recorder would keep 10,000,000,000 .*at_most"):
            Recorder(mlp(8), at_most=10**10)
