"""Every strategy finds what a plain loop over parameter vectors finds in float64."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.evaluation.strategy_names import STRATEGIES
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.parameters import ParameterLayout
from tests.evaluation.networks import MAKERS, Case, make

# Which networks a strategy is for; it is refused by name on the others.
CHAINS = {"mlp", "relu mlp", "normalised mlp", "regression", "twice", "unused"}
GRAPHS = CHAINS | {"cnn", "resnet", "wide", "transformer", "lstm", "gru", "tied"}
FOR = {
    "compiled": {"relu mlp", "regression", "twice", "unused"},
    "fused": {
        "mlp",
        "relu mlp",
        "regression",
        "twice",
        "unused",
        "cnn",
        "resnet",
        "wide",
    },
    "prefix": GRAPHS,
    "shared": GRAPHS,
    "stacked": CHAINS,
}
PAIRS = [(s, n) for s in STRATEGIES for n in MAKERS if n in FOR.get(s, MAKERS)]
# Where the first layer cannot be shared, or nothing stays in place, another takes over.
FALLS_BACK = {("prefix", name) for name in GRAPHS - {"normalised mlp"}} | {("shared", "tied")}


SEEDED = ("relu mlp", "normalised mlp", "cnn", "tied", "torchscript")


def plain_losses(case: Case, basis: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    """The loop anyone would write."""
    model = copy.deepcopy(case.reference).double()
    trainable = [p for p in model.parameters() if p.requires_grad]
    anchor = torch.cat([p.detach().reshape(-1).clone() for p in trainable])
    x = case.inputs.double() if case.inputs.is_floating_point() else case.inputs
    losses = []
    for row in rows:
        vector = anchor + torch.from_numpy(row) @ basis.double()
        with torch.no_grad():
            start = 0
            for p in trainable:
                p.copy_(vector[start : start + p.numel()].view_as(p))
                start += p.numel()
            out = model(x)
            if case.targets.is_floating_point():
                losses.append(nn.functional.mse_loss(out, case.targets.double()).item())
            else:
                losses.append(nn.functional.cross_entropy(out, case.targets).item())
    return np.array(losses)


def directions(case: Case, k: int) -> torch.Tensor:
    size = ParameterLayout.of(case.model).size
    return torch.randn(k, size, generator=torch.Generator().manual_seed(1)) * 0.3


@pytest.mark.parametrize("name", sorted(FOR["compiled"]))
def test_what_is_kept_of_one_basis_and_split_does_not_spoil_the_next(name):
    case = make(name)
    other = case._replace(inputs=case.inputs.flip(0) * 0.9)
    data, val_data = (case.inputs, case.targets), (other.inputs, other.targets)
    objective = Objective(case.model, data, val_data=val_data, strategy="compiled")
    first, second = directions(case, 2)
    infinite = torch.full_like(first, torch.inf)
    rows = np.linspace(-1, 1, 40)[:, None]
    for vectors in (torch.stack([infinite]), first[None], second[None]):
        found = objective.evaluate(DenseBasis(vectors), rows)
        assert objective.engine.last == "compiled"
        if vectors.isfinite().all():
            np.testing.assert_allclose(found.losses, plain_losses(case, vectors, rows), rtol=2e-5)
            np.testing.assert_allclose(
                found.values["val_loss"], plain_losses(other, vectors, rows), rtol=2e-5
            )


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_agrees_with_the_plain_loop(strategy, name):
    case = make(name)
    data = (case.inputs, case.targets)
    if strategy in FOR and name not in FOR[strategy]:
        with pytest.raises(ValueError, match=f"strategy='{strategy}' cannot evaluate this"):
            Objective(case.model, data, strategy=strategy)
        return
    objective = Objective(case.model, data, val_data=data, strategy=strategy)
    vectors = directions(case, 3)
    rows = np.random.default_rng(0).normal(size=(48, 3))
    expected = plain_losses(case, vectors, rows)
    found = objective.evaluate(DenseBasis(vectors), rows)
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    np.testing.assert_allclose(found.values["val_loss"], expected, rtol=2e-5)
    if strategy != "auto":
        assert (objective.engine.last != strategy) == ((strategy, name) in FALLS_BACK)


@pytest.mark.parametrize(
    ("strategy", "name"),
    [pair for pair in PAIRS if pair[1] in ["mlp", "relu mlp", "normalised mlp", "cnn", "tied"]],
)
def test_every_strategy_agrees_on_paths_that_wander(strategy, name):
    case = make(name)
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 40)
    rows = np.eye(40)
    found = objective.evaluate(DenseBasis(vectors), rows)
    np.testing.assert_allclose(found.losses, plain_losses(case, vectors, rows), rtol=2e-5)


@pytest.mark.parametrize(("strategy", "name"), [p for p in PAIRS if p[1] in SEEDED])
def test_every_strategy_agrees_on_directions_that_are_drawn_from_seeds(strategy, name):
    case = make(name)
    data = (case.inputs, case.targets)
    objective = Objective(case.model, data, val_data=data, strategy=strategy)
    basis = SeededBasis(3, 1, objective.anchor, objective.layout, filter_normalised=False)
    basis = basis.scaled([0.3] * 3)
    rows = np.random.default_rng(0).normal(size=(48, 3))
    found = objective.evaluate(basis, rows, outputs=True)
    expected = plain_losses(case, basis.dense().vectors, rows)
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    np.testing.assert_allclose(found.values["val_loss"], expected, rtol=2e-5)
    if strategy != "auto":
        assert (objective.engine.last != strategy) == ((strategy, name) in FALLS_BACK)


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "compiled"])
def test_double_models_are_evaluated_in_double(strategy):
    case = make("mlp")
    double = copy.deepcopy(case.model).double()
    objective = Objective(double, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2).double()
    rows = np.random.default_rng(0).normal(size=(40, 2))
    found = objective.evaluate(DenseBasis(vectors), rows)
    np.testing.assert_allclose(found.losses, plain_losses(case, vectors, rows), rtol=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_losses_that_overflow_are_not_lost(strategy):
    case = make("relu mlp")
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2)
    rows = np.array([[5000.0, 0.0], [0.0, 1.0], [np.nan, 0.0], [0.0, np.inf]] * 10)
    found = objective.evaluate(DenseBasis(vectors), rows).losses[:4]
    assert found[0] == pytest.approx(plain_losses(case, vectors, rows[:1])[0], rel=1e-4)
    assert found[0] > 1000  # beyond what exp() takes in float32
    assert found[1] == pytest.approx(plain_losses(case, vectors, rows[1:2])[0], rel=1e-4)
    assert math.isnan(found[2])
    assert not math.isfinite(found[3])


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_directions_of_the_last_layers_leave_the_first_ones_where_they_are(name, affine):
    case = make(name)
    strategy = "shared" if affine else "prefix"
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2)
    last = [place for _, place, _ in objective.layout.slices()][-2:]
    vectors[:, : last[0].start] = 0
    rows = np.random.default_rng(0).normal(size=(33, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)


def test_what_was_shared_is_forgotten_when_the_directions_are_written_to():
    case = make("cnn")
    for strategy in ("shared", "prefix", "stacked"):
        case = make("mlp" if strategy == "stacked" else "cnn")
        objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
        vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(33, 2))
        basis = DenseBasis(vectors)
        objective.evaluate(basis, rows)
        vectors.mul_(0.5)
        found = objective.evaluate(basis, rows).losses
        np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)


@pytest.mark.parametrize(
    ("strategy", "name"), [pair for pair in PAIRS if pair[1] in ["mlp", "relu mlp", "cnn"]]
)
def test_a_path_that_ran_away_does_not_spoil_the_others(strategy, name):
    case = make(name)
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 4)
    vectors[1] = torch.nan
    vectors[2, 5] = torch.inf
    rows = np.zeros((40, 4))
    rows[np.arange(40), np.arange(40) % 4] = np.linspace(0.1, 1, 40)
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    kept = np.arange(40) % 4 % 3 == 0  # along the first and the last
    expected = plain_losses(case, torch.nan_to_num(vectors, 0, 0), rows[kept])
    np.testing.assert_allclose(found[kept], expected, rtol=2e-5)
    assert not np.isfinite(found[np.arange(40) % 4 == 1]).any()


@pytest.mark.parametrize("k", [2, 300])
@pytest.mark.parametrize("name", ["mlp", "relu mlp", "cnn", "gru"])
def test_losses_are_the_same_to_the_bit_however_fast_the_machine_is(name, k, monkeypatch):
    case = make(name)
    basis = DenseBasis(directions(case, k))
    rows = np.eye(k) if k == 300 else np.random.default_rng(0).normal(size=(100, k))
    found = []
    for seconds in (1e-9, 0.003, 10.0):
        monkeypatch.setattr("landscape_widgets.evaluation.chunk_size.SECONDS", seconds)
        objective = Objective(case.model, (case.inputs, case.targets), val_data=None)
        objective.evaluate(basis, rows)
        found.append(objective.evaluate(basis, rows).losses)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_metrics_do_not_depend_on_the_strategy():
    case = make("relu mlp")
    case.targets.abs_().remainder_(5)
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(40, 2))
    names = ["accuracy", "precision", "recall", "f1"]
    found = [
        Objective(case.model, (case.inputs, case.targets), strategy=strategy, metrics=names)
        .evaluate(DenseBasis(vectors), rows)
        .values
        for strategy in ("inplace", "stacked", "shared", "compiled")
    ]
    for name in names:
        for other in found[1:]:
            np.testing.assert_array_equal(other[name], found[0][name])


def test_an_unknown_strategy_names_the_near_ones():
    case = make("mlp")
    with pytest.raises(ValueError, match="Did you mean 'stacked'"):
        Objective(case.model, (case.inputs, case.targets), strategy="stakced")


def test_the_compiled_loop_is_for_relus_in_float32_only():
    case = make("mlp")
    for model in (case.model, make("relu mlp").model.double()):
        x = torch.randn(20, *case.inputs.shape[1:]) if model is case.model else torch.randn(20, 13)
        with pytest.raises(ValueError, match="float32 chains of linear layers with ReLUs"):
            Objective(model, (x, torch.randint(0, 4, (20,))), strategy="compiled")


@pytest.mark.parametrize("number", [1, 3])
def test_threads_share_the_compiled_loop_s_rows_out_among_themselves(number):
    case = make("relu mlp")
    objective = Objective(case.model, (case.inputs, case.targets), strategy="compiled")
    rows = np.random.default_rng(0).normal(size=(301, 2))
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        found = objective.evaluate(DenseBasis(directions(case, 2)), rows).losses
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(found, plain_losses(case, directions(case, 2), rows), rtol=2e-5)


@pytest.mark.parametrize("examples", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("widths", [(1, 1, 1), (5, 3, 7, 2), (64, 33, 10), (130, 66, 65, 4)])
@pytest.mark.parametrize("k", [2, 40])
def test_the_compiled_loop_fits_networks_and_data_of_any_size(examples, widths, k):
    torch.manual_seed(0)
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(widths)]
    model = nn.Sequential(*[step for layer in layers for step in (layer, nn.ReLU())][:-1])
    x, y = torch.randn(examples, widths[0]), torch.randint(widths[-1], (examples,))
    objective = Objective(model, (x, y), strategy="compiled")
    basis = DenseBasis(torch.randn(k, objective.size) * 0.03)
    rows = np.random.default_rng(0).normal(size=(40, k))
    found = objective.evaluate(basis, rows, outputs=True)
    assert objective.engine.last == "compiled"
    double = Objective(copy.deepcopy(model).double(), (x.double(), y), strategy="inplace")
    expected = double.evaluate(DenseBasis(basis.vectors.double()), rows, outputs=True)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(found.outputs, expected.outputs, rtol=1e-4, atol=1e-4)


def test_the_compiled_cross_entropy_is_accurate_where_it_is_tiny():
    case = make("relu mlp")
    with torch.no_grad():
        case.model[6].weight.mul_(40.0)
        case.targets.copy_(case.model(case.inputs).argmax(-1))
        case.model[6].weight.mul_(4.0)
    vectors = directions(case, 1)
    vectors[:, :-50] = 0.0  # the last layer alone, so that the losses stay tiny
    rows = np.linspace(0.01, 0.02, 40)[:, None]
    objective = Objective(case.model, (case.inputs, case.targets), strategy="compiled")
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    expected = plain_losses(case, vectors, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
