import os
import signal
import time
from collections.abc import Callable

import distributed
import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape, LandscapeWidget
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.landscape.cluster import WORTH_SENDING, Cluster
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.line import ALPHAS
from landscape_widgets.samplers import Grid, Subspace
from landscape_widgets.task.parameters import random_directions
from landscape_widgets.widget.wire import PHASES
from tests.models import digits, mlp, train


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def objective():
    data = digits(200)
    return Objective(train(mlp(), data, 20), data, val_data=tuple(t[200:] for t in digits(300)))


@pytest.fixture
def basis(objective):
    generator = torch.Generator().manual_seed(0)
    return DenseBasis(random_directions(3, objective.anchor, objective.layout, generator))


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 3))


def test_two_workers_find_what_one_machine_finds(client, objective, basis):
    here = objective.evaluate(basis, rows(200), outputs=True)
    cluster = Cluster(objective, client)
    chunks = []
    there = cluster.evaluate(
        basis, rows(200), outputs=True, on_chunk=lambda start, part: chunks.append(start)
    )
    assert cluster.strategy == "by the workers of a cluster"
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-6)
    np.testing.assert_allclose(there.values["val_loss"], here.values["val_loss"], rtol=1e-6)
    np.testing.assert_allclose(there.values["val_accuracy"], here.values["val_accuracy"])
    np.testing.assert_allclose(there.outputs, here.outputs, rtol=1e-4, atol=1e-5)
    assert len(chunks) > 10  # results stream back


def test_directions_that_are_seeds_go_to_the_workers_as_seeds(client, objective):
    basis = SeededBasis(3, 0, objective.anchor, objective.layout)
    here = objective.evaluate(basis, rows(100)).losses
    there = Cluster(objective, client).evaluate(basis, rows(100))
    np.testing.assert_allclose(there.losses, here, rtol=1e-6)


def test_of_many_large_directions_each_block_of_rows_gets_its_own(client, objective, monkeypatch):
    vectors = torch.randn(80, objective.size, generator=torch.Generator().manual_seed(0))
    along = np.vstack([np.zeros((1, 80)), 0.1 * np.eye(80)])
    here = objective.evaluate(DenseBasis(vectors), along).losses
    monkeypatch.setattr("landscape_widgets.landscape.cluster.SENT_WHOLE", 0)
    submitted, finished = [], []
    submit = client.submit

    def counted(function, there, directions, block, *others, **options):
        assert directions.k <= len(block)
        submitted.append(len(block))
        assert len(submitted) - len(finished) <= 2 * 2 + 1
        return submit(function, there, directions, block, *others, **options)

    monkeypatch.setattr(client, "submit", counted)
    cluster = Cluster(objective, client)
    there = cluster.evaluate(
        DenseBasis(vectors), along, on_chunk=lambda start, part: finished.append(start)
    )
    np.testing.assert_allclose(there.losses, here, rtol=1e-6)
    assert len(submitted) > 20
    assert len(cluster._sent) == 1  # the objective alone


def test_both_workers_take_part(client, objective, basis):
    before = _tasks_of_workers(client)
    Cluster(objective, client).evaluate(basis, rows(400))
    after = _tasks_of_workers(client)
    assert all(after[worker] > before.get(worker, 0) for worker in after)


def _tasks_of_workers(client) -> dict[str, int]:
    return client.run(lambda dask_worker: len(dask_worker.state.log))


def test_model_and_data_go_to_the_workers_once(client, objective, basis):
    cluster = Cluster(objective, client)
    cluster.evaluate(basis, rows(100))
    cluster.evaluate(basis, rows(100))
    assert len(cluster._sent) == 2  # the objective and the directions


def test_stopping_withdraws_what_has_not_begun(client, objective, basis):
    done = []
    Cluster(objective, client).evaluate(
        basis,
        rows(2000),
        cancelled=lambda: len(done) >= 2,
        on_chunk=lambda start, part: done.append(len(part)),
    )
    assert 0 < sum(done) < 2000


def test_a_worker_killed_in_the_middle_costs_nothing_but_time(client, objective, basis):
    expected = objective.evaluate(basis, rows(300)).losses
    victims = list(client.run(os.getpid).values())
    killed = []

    def kill_one(start, part):
        if not killed:
            killed.append(victims[0])
            os.kill(victims[0], signal.SIGKILL)

    found = Cluster(objective, client).evaluate(basis, rows(300), on_chunk=kill_one)
    assert killed
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6)


def slow_loss(outputs, targets):
    time.sleep(0.01)
    return nn.functional.cross_entropy(outputs, targets)


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_widget_shows_progress_stops_and_goes_on_with_workers_of_a_cluster(client):
    data = digits(100)
    model = train(mlp(), data, 20)
    sampler = Subspace(n=200)
    widget = LandscapeWidget(model, data, loss=slow_loss, sampler=sampler, client=client)
    shown = []
    widget.observe(lambda change: shown.append(change.new), "_progress")
    until(lambda: widget.landscape.evaluated.sum() > 1)  # more than the trained weights
    widget.stop()
    widget.wait(30)
    assert widget._progress["state"] == "stopped"
    stopped = widget.landscape.evaluated.copy()
    kept = widget.landscape.losses[stopped]
    assert 0 < stopped.sum() < len(stopped)
    widget.start()
    until(lambda: widget.landscape.evaluated.all())
    found = widget.landscape.losses.copy()
    widget.close()
    np.testing.assert_array_equal(found[stopped], kept)
    done = [each["done"] for each in shown if each["phase"] == PHASES["losses"]]
    assert len(set(done)) > 5
    here = Landscape(model, data)
    here.sample(sampler)
    np.testing.assert_allclose(found, here.losses, rtol=1e-6)


class Unreachable:
    def scheduler_info(self):
        raise AssertionError("sent")

    scatter = submit = scheduler_info


def test_few_rows_are_not_worth_sending(objective, basis):
    cluster = Cluster(objective, Unreachable())
    assert len(cluster.evaluate(basis, rows(WORTH_SENDING - 1))) == WORTH_SENDING - 1
    assert cluster.strategy == objective.strategy
    with pytest.raises(AssertionError, match="sent"):
        cluster.evaluate(basis, rows(WORTH_SENDING))


def test_all_that_evaluates_many_vectors_asks_the_landscapes_evaluator():
    class Counted(Cluster):
        sent = 0

        def evaluate(self, basis, coefficients, **options):
            Counted.sent += len(coefficients)
            return self.objective.evaluate(basis, coefficients, **options)

    data = digits(200)
    land = Landscape(train(mlp(), data, 20), data, client=Unreachable())
    assert isinstance(land.evaluator, Cluster)
    land.evaluator = Counted(land.objective, Unreachable())
    counts = []
    for ask in (
        lambda: land.sample(Subspace(n=20) + Grid(points=3)),
        lambda: land.slice([1, 2]),
        lambda: land.plane(1, 2, max_evaluations=150),
        lambda: land.refine([1], 5),
    ):
        before = Counted.sent
        ask()
        counts.append(Counted.sent - before)
    # Those of the sampler's own, to find how far to go, beside the 30 samples.
    assert counts[0] > 30
    assert counts[1] == 2 * len(ALPHAS)
    assert counts[2] > 0
    assert counts[3] == 5


def test_something_else_than_a_client_is_refused_before_any_work(objective):
    with pytest.raises(TypeError, match=r"dask\.distributed\.Client is expected"):
        Cluster(objective, "localhost:8786")

    def never_called(outputs, targets):
        raise AssertionError("called")

    with pytest.raises(TypeError, match=r"dask\.distributed\.Client is expected"):
        Landscape(mlp(), digits(20), loss=never_called, client="localhost:8786")
