"""One thread, and what comes first on it."""

import threading

import pytest

from landscape_widgets.progress import Cancelled
from landscape_widgets.widget.worker import Urgency, Worker


@pytest.fixture
def errors():
    return []


@pytest.fixture
def worker(errors):
    worker = Worker(errors.append)
    yield worker
    worker.close()


class Log:
    """Jobs that say that they were done, and one that holds the worker until it is let go."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.done = worker, []
        self.began, self.gate = threading.Event(), threading.Event()

    def job(self, name: str, urgency: Urgency = Urgency.USUAL, **how) -> None:
        self.worker.submit(lambda cancelled: self.done.append(name), urgency, **how)

    def hold(self, then=lambda cancelled: None) -> None:
        def holding(cancelled) -> None:
            self.began.set()
            assert self.gate.wait(60)
            then(cancelled)

        self.worker.submit(holding)
        assert self.began.wait(60)

    def let_go(self) -> list[str]:
        self.gate.set()
        assert self.worker.wait(60)
        return self.done


@pytest.fixture
def log(worker):
    return Log(worker)


def test_what_is_more_urgent_is_done_first_and_what_is_as_urgent_in_its_order(log):
    log.hold()
    log.job("usual")
    for number in range(2):
        log.job(f"answer {number}", Urgency.ANSWERS)
        log.job(f"slice {number}", Urgency.SLICES)
    assert log.let_go() == ["slice 0", "slice 1", "answer 0", "answer 1", "usual"]


def test_a_long_job_gives_way_to_what_is_urgent_enough_and_to_nothing_else(log):
    def long(cancelled) -> None:
        log.worker.give_way(Urgency.SLICES)
        log.done.append("first half")
        log.worker.give_way(Urgency.ANSWERS)
        log.done.append("second half")

    log.hold(long)
    for urgency in Urgency:
        log.job(urgency.name, urgency)
    assert log.let_go() == [
        "SLICES", "first half", "ANSWERS", "second half", "REFINEMENTS", "USUAL",
    ]  # fmt: skip


def test_what_is_let_through_gives_way_to_no_more_than_the_long_job_would(log):
    def slices(cancelled) -> None:
        log.worker.give_way(Urgency.ANSWERS)
        log.done.append("slices")

    log.hold(lambda cancelled: log.worker.give_way(Urgency.SLICES))
    log.worker.submit(slices, Urgency.SLICES)
    log.job("answer", Urgency.ANSWERS)
    assert log.let_go() == ["slices", "answer"]
    log.began.clear()
    log.gate.clear()
    log.hold()  # and where it is no part of a long job, it does give way
    log.done.clear()
    log.worker.submit(slices, Urgency.SLICES)
    log.job("answer", Urgency.ANSWERS)
    assert log.let_go() == ["answer", "slices"]


def test_work_that_takes_the_place_of_other_leaves_what_is_urgent(log):
    stopped = []
    log.hold(lambda cancelled: stopped.append(cancelled()))
    log.job("old")
    log.job("slice", Urgency.SLICES)
    log.job("new", instead=True)
    assert log.let_go() == ["slice", "new"]
    assert stopped == [True]


def test_a_stopped_job_gives_way_no_more_and_all_that_waited_is_forgotten(log):
    log.hold(lambda cancelled: log.worker.give_way(Urgency.SLICES))
    log.job("usual")
    log.worker.stop()
    log.job("slice", Urgency.SLICES)
    assert log.let_go() == ["slice"]  # after it, not within


def test_what_goes_wrong_is_told_and_the_next_job_is_done(log, errors):
    def failing(cancelled) -> None:
        raise ZeroDivisionError

    log.worker.submit(failing)
    log.job("next")
    assert log.let_go() == ["next"]
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_job_that_is_cancelled_with_nothing_to_keep_ends_no_other(log, errors):
    def cancelled_job(cancelled) -> None:
        raise Cancelled

    log.hold(lambda cancelled: (log.worker.give_way(Urgency.SLICES), log.done.append("long")))
    log.worker.submit(cancelled_job, Urgency.SLICES)
    assert log.let_go() == ["long"]
    assert errors == []
