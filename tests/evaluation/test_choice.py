from dataclasses import replace

import numpy as np
import pytest

from landscape_widgets import Landscape
from landscape_widgets.evaluation import chunk_size, engine
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.evaluation.networks import make
from tests.evaluation.test_agreement import directions, plain_losses


class Stopwatch:
    """Stands in for the race: says how fast each strategy was."""

    def __init__(self, **seconds):
        self.seconds, self.runs = seconds, 0

    def __call__(self, entrants, request, split, loss):
        self.runs += 1
        return {name: self.seconds.get(name, 1.0) for name in entrants}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(engine, "_choices", {})


def evaluated(case, basis, rows, **keywords):
    objective = Objective(case.model, (case.inputs, case.targets), **keywords)
    objective.evaluate(basis, rows)
    return objective


def test_the_fastest_strategy_is_taken_and_shown(monkeypatch):
    case = make("mlp")
    basis, rows = DenseBasis(directions(case, 2)), np.ones((40, 2))
    for winner, words in (("fused", "layers fused"), ("stacked", "stacked"), ("inplace", "place")):
        monkeypatch.setattr(engine, "race", Stopwatch(**{winner: 0.1}))
        monkeypatch.setattr(engine, "_choices", {})
        assert words in evaluated(case, basis, rows).strategy


def test_noise_does_not_turn_the_choice(monkeypatch):
    case = make("mlp")
    basis, rows = DenseBasis(directions(case, 2)), np.ones((40, 2))
    monkeypatch.setattr(engine, "race", Stopwatch(shared=1.0, stacked=0.9))
    assert evaluated(case, basis, rows).engine.last == "shared"


def test_a_choice_is_made_once_for_all_calls_of_its_kind(monkeypatch):
    case = make("mlp")
    watch = Stopwatch(shared=0.1)
    monkeypatch.setattr(engine, "race", watch)
    objective = evaluated(case, DenseBasis(directions(case, 2)), np.ones((40, 2)))
    objective.evaluate(DenseBasis(directions(case, 2)), np.ones((60, 2)))
    evaluated(case, DenseBasis(directions(case, 2)), np.ones((40, 2)))
    assert watch.runs == 1
    objective.evaluate(DenseBasis(directions(case, 3)), np.ones((60, 3)))
    assert watch.runs == 2


def test_strategies_are_tried_on_many_rows_that_move_though_few_come_at_a_time(monkeypatch):
    case = make("mlp")
    tried: list[np.ndarray] = []
    watch = Stopwatch(stacked=0.1)
    see = lambda entrants, request, *rest: (  # noqa: E731
        tried.append(request.first) or watch(entrants, request, *rest)
    )
    monkeypatch.setattr(engine, "race", see)
    monkeypatch.setattr(chunk_size, "SECONDS", 0.0)
    rows = np.random.default_rng(0).normal(size=(40, 2))
    rows[0] = 0.0
    told: list[int] = []
    objective = Objective(case.model, (case.inputs, case.targets))
    objective.evaluate(
        DenseBasis(directions(case, 2)), rows, on_chunk=lambda start, part: told.append(len(part))
    )
    assert max(told) < 39
    np.testing.assert_array_equal(tried[0], rows[1:])


def test_few_rows_are_not_worth_a_race(monkeypatch):
    watch = Stopwatch()
    monkeypatch.setattr(engine, "race", watch)
    case = make("mlp")
    evaluated(case, DenseBasis(directions(case, 2)), np.ones((8, 2)))
    assert watch.runs == 0


def test_few_rows_of_few_examples_are_run_by_the_plain_loop_whatever_went_before(monkeypatch):
    monkeypatch.setattr(engine, "race", Stopwatch(fused=0.1))
    case = make("cnn")
    objective = Objective(case.model, (case.inputs, case.targets))
    assert "fused" in objective.engine.strategies
    compared: list[object] = []
    agree = engine.agree
    monkeypatch.setattr(engine, "agree", lambda *a, **k: compared.append(a) or agree(*a, **k))
    basis, rows = DenseBasis(directions(case, 2)), np.random.default_rng(0).normal(size=(200, 2))
    before = objective.evaluate(basis, rows[:3]).losses
    assert objective.engine.last == "inplace"
    assert not compared
    objective.evaluate(basis, rows)
    assert objective.engine.last == "fused"
    assert compared
    assert (objective.evaluate(basis, rows[:3]).losses == before).all()


def test_a_strategy_that_misreads_the_model_is_not_used(caplog):
    case = make("mlp")
    objective = Objective(case.model, (case.inputs, case.targets), strategy="stacked")
    stacked = objective.engine.strategies["stacked"]
    shorter = stacked.network.steps[1:]  # an activation is lost
    stacked.network = replace(stacked.network, steps=shorter)
    objective.engine._trusted.discard("stacked")
    objective.evaluate(DenseBasis(directions(case, 2)), np.ones((40, 2)))
    assert objective.engine.last != "stacked"
    assert "is not used" in caplog.text


def test_what_is_shared_stays_within_its_limit_and_goes_with_the_directions():
    case = make("mlp")
    objective = Objective(case.model, (case.inputs, case.targets), strategy="shared")
    store = objective.engine.strategies["shared"]._products
    bases = [DenseBasis(directions(case, 2)) for _ in range(4)]
    rows = np.ones((40, 2))
    objective.evaluate(bases[0], rows)
    store.limit = 2 * store.bytes
    for basis in bases:
        objective.evaluate(basis, rows)
    assert store.bytes <= store.limit
    del basis, bases
    objective.evaluate(DenseBasis(directions(case, 2)), rows)
    assert store.bytes <= store.limit / 2


def test_a_landscape_takes_the_strategy_and_refuses_others():
    case = make("mlp")
    data = (case.inputs, case.targets)
    assert Landscape(case.model, data, strategy="stacked").objective.engine.named == "stacked"
    with pytest.raises(ValueError, match="Did you mean 'inplace'"):
        Landscape(case.model, data, strategy="inplaec")


def test_within_a_call_the_strategies_are_asked_once(monkeypatch):
    case = make("mlp")
    monkeypatch.setattr(engine, "race", Stopwatch(stacked=0.1))
    objective = Objective(case.model, (case.inputs, case.targets))
    asked, shared = [], objective.engine.strategies["shared"]
    suits = shared.suits
    monkeypatch.setattr(shared, "suits", lambda *request: asked.append(request) or suits(*request))
    parts = []
    objective.evaluate(
        DenseBasis(directions(case, 2)),
        np.ones((400, 2)),
        on_chunk=lambda start, part: parts.append(part),
    )
    assert len(parts) > 1
    assert len(asked) == 1


def test_batches_as_they_came_and_channels_last_are_entrants(monkeypatch):
    case = make("cnn")
    batches = list(zip(case.inputs.split(7), case.targets.split(7), strict=True))
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(100, 2))
    for winner in ("batches", "fused batches", "channels last", "channels last batches"):
        monkeypatch.setattr(engine, "race", Stopwatch(**{winner: 0.1}))
        monkeypatch.setattr(engine, "_choices", {})
        objective = Objective(case.model, batches)
        found = objective.evaluate(DenseBasis(vectors), rows).losses
        assert objective.engine.last == winner
        assert ("on the batches as they came" in objective.strategy) == ("batches" in winner)
        np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)
