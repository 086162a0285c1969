"""A strategy that fails in whatever way costs a line in the log, and no loss."""

import copy
import subprocess
import sys
import threading
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from torch import fx, nn

from landscape_widgets.evaluation import candidates, engine
from landscape_widgets.evaluation.kernels import loading as kernels
from landscape_widgets.evaluation.mlp.stacked import Stacked
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.evaluation.networks import make
from tests.evaluation.test_agreement import directions, plain_losses

SETTLED = threading.Event()
SETTLED.set()
LOCATOR = "cannot cache function 'room': no locator available for file 'registers.py'"
ERRORS = {
    "import": ImportError("DLL load failed while importing _dispatcher"),
    "compile": RuntimeError("LLVM ERROR: Cannot select: intrinsic"),
    "cache": RuntimeError(LOCATOR),
}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(engine, "_choices", {})


@pytest.fixture
def broken_kernel(monkeypatch, request):
    """The kernel's future, which says that it could not be loaded."""
    future = Future()
    future.set_exception(ERRORS[request.param])
    monkeypatch.setitem(kernels._loading, "loops", future)
    monkeypatch.setitem(kernels._settled, "loops", SETTLED)


def check(case, strategy="auto", n=40):
    """Losses as of the plain loop; what the objective evaluated them by."""
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2)
    rows = np.random.default_rng(0).normal(size=(n, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)
    return objective.engine.last


def lines(caplog, name):
    return [r for r in caplog.records if r.levelname == "WARNING" and repr(name) in r.getMessage()]


@pytest.mark.parametrize("broken_kernel", ERRORS, indirect=True)
def test_a_kernel_that_cannot_be_loaded_leaves_the_rows_to_the_next(broken_kernel, caplog):
    assert check(make("relu mlp"), n=300) in ("shared", "stacked", "fused")
    (line,) = lines(caplog, "compiled")
    assert "is not used" in line.getMessage()


@pytest.mark.parametrize("broken_kernel", ERRORS, indirect=True)
def test_in_place_asks_for_no_kernel_and_says_nothing(broken_kernel, caplog):
    assert check(make("relu mlp"), "inplace") == "inplace"
    assert not caplog.records


@pytest.mark.parametrize("broken_kernel", ["cache"], indirect=True)
def test_who_asks_for_the_kernel_is_told_why_it_cannot_be_had(broken_kernel):
    case = make("relu mlp")
    with pytest.raises(ValueError, match="no locator available"):
        Objective(case.model, (case.inputs, case.targets), strategy="compiled")


def test_the_environment_switches_kernels_off(monkeypatch, caplog):
    monkeypatch.setenv("LANDSCAPE_WIDGETS_KERNELS", "0")
    case = make("relu mlp")
    assert check(case) != "compiled"
    assert not lines(caplog, "compiled")
    with pytest.raises(ValueError, match="LANDSCAPE_WIDGETS_KERNELS=0"):
        Objective(case.model, (case.inputs, case.targets), strategy="compiled")


def test_the_constructor_does_not_wait_for_a_compiler(monkeypatch):
    monkeypatch.setattr("landscape_widgets.evaluation.engine.SOON", 0.01)
    monkeypatch.setitem(kernels._loading, "loops", Future())  # which is never done
    monkeypatch.setitem(kernels._settled, "loops", SETTLED)
    case = make("relu mlp")
    for strategy in ("auto", "compiled"):
        Objective(case.model, (case.inputs, case.targets), strategy=strategy)


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyError("x"), RecursionError(), Warning()])
def test_a_model_that_cannot_be_traced_is_evaluated_as_it_is(error, monkeypatch, caplog):
    def fail(self, root, concrete_args=None):
        raise error

    monkeypatch.setattr(fx.Tracer, "trace", fail)
    assert check(make("relu mlp")) == "inplace"
    with pytest.raises(ValueError, match="cannot read Sequential as a graph"):
        check(make("relu mlp"), "stacked")


def test_a_copy_that_cannot_be_made_costs_the_strategy_that_wanted_it(monkeypatch, caplog):
    def fail(*arguments, **keywords):
        raise TypeError("cannot pickle '_thread.lock' object")

    case = make("cnn")
    objective = Objective(case.model, (case.inputs, case.targets), strategy="inplace")
    monkeypatch.setattr("landscape_widgets.evaluation.graph.fused.Duplicate", fail)
    found = candidates.Candidates(
        objective.engine.inplace, objective._many.split("train"), full=True
    )
    assert "fused" not in found.found
    assert "cannot pickle" in found.why_not["fused"]


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("cnn", "fused"), ("relu mlp", "stacked"), ("relu mlp", "shared"), ("lstm", "prefix")],
)
@pytest.mark.parametrize("row", [0, 7])
def test_rows_that_a_strategy_fails_at_are_done_by_the_next(
    name, strategy, row, monkeypatch, caplog
):
    case = make(name)
    objective = Objective(
        case.model, (case.inputs, case.targets), val_data=(case.inputs, case.targets),
        strategy=strategy,
    )  # fmt: skip
    chosen, seen = objective.engine.strategies[strategy], []
    run = chosen.run

    def fail_at_a_row(request, rows, split, accumulator):
        seen.append(len(rows))
        if split.size < len(case.inputs):  # while it is compared with the model
            return run(request, rows, split, accumulator)
        run(request, rows[:row], split, accumulator)
        raise RuntimeError(f"could not create a primitive, at row {row}")

    monkeypatch.setattr(chosen, "run", fail_at_a_row)
    monkeypatch.setattr(chosen, "suits", lambda request, split: True)
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(40, 2))
    found = objective.evaluate(DenseBasis(vectors), rows)
    expected = plain_losses(case, vectors, rows)
    assert seen
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    np.testing.assert_allclose(found.values["val_loss"], expected, rtol=2e-5)
    (line,) = lines(caplog, strategy)
    assert "could not create a primitive" in line.getMessage()


def test_losses_of_single_examples_outlive_a_strategy_that_fails(monkeypatch):
    case = make("relu mlp")
    case.targets.abs_().remainder_(5)
    objective = Objective(case.model, (case.inputs, case.targets), strategy="stacked")

    def fail(self, request, rows, split, accumulator):
        raise RuntimeError

    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(40, 2))
    monkeypatch.setattr(Stacked, "run", fail)
    parts = [part for _, part in objective.example_losses(DenseBasis(vectors), rows)]
    found = np.concatenate(parts)
    assert found.shape == (40, len(case.inputs))
    np.testing.assert_allclose(found.mean(axis=1), plain_losses(case, vectors, rows), rtol=2e-5)


def test_a_strategy_that_fails_in_the_race_is_out_of_it(monkeypatch, caplog):
    case = make("lstm")
    objective = Objective(case.model, (case.inputs, case.targets))
    shared = objective.engine.strategies["shared"]
    run, runs = shared.run, []

    def fail_the_second_time(*arguments):
        runs.append(1)
        if len(runs) >= 2:
            raise MemoryError
        return run(*arguments)

    monkeypatch.setattr(shared, "run", fail_the_second_time)
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(100, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)
    assert len(runs) == 2
    assert len(lines(caplog, "shared")) == 1


def test_what_the_model_itself_raises_is_raised():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            if float(self.layer.weight.detach().abs().max()) > 50:
                raise ArithmeticError("a weight ran away")
            return self.layer(x)

    objective = Objective(Picky(), (torch.randn(20, 3), torch.randint(2, (20,))))
    rows = np.linspace(0, 1000, 40)[:, None]
    with pytest.raises(ArithmeticError, match="ran away"):
        objective.evaluate(DenseBasis(torch.ones(1, objective.size)), rows)


def test_modules_with_scripted_parts_are_evaluated():
    case = make("cnn")
    model = copy.deepcopy(case.model)
    model.second = torch.jit.script(model.second)
    assert check(case._replace(model=model)) in ("inplace", "fused")


WITHOUT_NUMBA = """
import sys
import threading

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"):
            raise ImportError(f"{name} is not for this machine")

sys.meta_path.insert(0, Refuse())
import logging

logging.basicConfig()
import numpy as np
import torch
from torch import nn
import landscape_widgets as lw
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective

model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
objective = Objective(model, (torch.randn(50, 3), torch.randint(2, (50,))))
losses = objective.evaluate(DenseBasis(torch.randn(2, objective.size)), np.eye(300, 2)).losses
assert np.isfinite(losses).all()
print(objective.strategy)
"""


def test_the_package_works_without_numba():
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compiled" not in done.stdout
    assert "is not for this machine" in done.stderr


WHILE_COMPILING = """
import numpy as np
import torch
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.evaluation.kernels import loading as kernels
from landscape_widgets.objective.objective import Objective

model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
objective = Objective(model, (torch.randn(50, 3), torch.randint(2, (50,))))
basis, rows = DenseBasis(torch.randn(2, objective.size)), np.random.randn(300, 2)
objective.evaluate(basis, rows)
print(objective.engine.last, kernels.load("loops").done())
kernels.load("loops").result()
print(objective.engine.last)
"""


def test_losses_wait_for_a_kernel_that_is_to_be_loaded_and_for_none_that_is_to_be_compiled(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    run = [sys.executable, "-c", WHILE_COMPILING]
    first = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert first[0] != "compiled"
    assert first[1] == "False"
    later = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert later == ["compiled", "True", "compiled"]
