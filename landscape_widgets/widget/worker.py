"""One thread beside the kernel's main one, that does one job after another, urgent ones first."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from landscape_widgets.progress import CancelCallback, Cancelled, never

log = logging.getLogger(__name__)

Job = Callable[[CancelCallback], None]


class Urgency(IntEnum):
    """How soon a job is done: before those of less urgency that wait.

    And within one that is running, where that gives way to it (see `Worker.give_way`).
    """

    USUAL = 0
    REFINEMENTS = 1
    ANSWERS = 2
    SLICES = 3


class _Waiting(NamedTuple):
    job: Job
    urgency: Urgency


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """Let all work end before the interpreter does: it aborts where a thread is inside torch."""
    workers = list(_workers)
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.close(timeout=30)


class Worker:
    """Runs jobs by their urgency and in the order in which they come.

    Each is told when it should stop. The thread starts with the first job and ends when there are
    none left, so that nothing is alive beside a widget that rests.

    Parameters
    ----------
    on_error : callable
        Gets what a job raises.
    unwanted : callable, optional
        Whether nobody wants the work any more, so that each job should stop.
    """

    def __init__(
        self, on_error: Callable[[BaseException], None], unwanted: CancelCallback = never
    ) -> None:
        self._on_error, self._unwanted = on_error, unwanted
        self._jobs: list[_Waiting] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._least = Urgency.USUAL  # that may begin within what is running
        _workers.add(self)

    @property
    def busy(self) -> bool:
        """Whether a job is running or waiting."""
        with self._changed:
            return self._thread is not None

    def submit(self, job: Job, urgency: Urgency = Urgency.USUAL, *, instead: bool = False) -> None:
        """Do a job, after those that are as urgent.

        Parameters
        ----------
        job : callable
            Told when it should stop: a callable that says so.
        urgency : Urgency
        instead : bool
            Whether it takes the place of the usual jobs: what is running is stopped, and the usual
            ones that wait are forgotten.
        """
        with self._changed:
            if self._closed:
                return
            if instead:
                self._jobs = [waiting for waiting in self._jobs if waiting.urgency]
                self._stop.set()
            self._jobs.append(_Waiting(job, urgency))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="landscape-widgets", daemon=True
                )
                self._thread.start()

    def give_way(self, least: Urgency) -> None:
        """Do what waits and is at least so urgent, in the middle of a long job.

        For that job to call, on its thread, between two steps. What is done meanwhile gives way
        itself, but to nothing that the long job would not: its own `least` holds within it.
        """
        outer = self._least
        self._least = max(outer, least)
        try:
            while not self._should_stop() and (job := self._next(self._least)) is not None:
                self._do(job)
        finally:
            self._least = outer

    def stop(self) -> None:
        """Let the running job end early, and forget those that wait."""
        with self._changed:
            self._jobs.clear()
            self._stop.set()

    def close(self, timeout: float = 5.0) -> None:
        """Stop for good, and wait until the thread has ended."""
        self.stop()
        with self._changed:
            self._closed = True
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing left to do; False where that took longer than `timeout` s."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _should_stop(self) -> bool:
        return self._stop.is_set() or self._unwanted()

    def _next(self, least: Urgency) -> Job | None:
        """Take the most urgent job out of those that wait, the first of several."""
        with self._changed:
            waiting = [waiting for waiting in self._jobs if waiting.urgency >= least]
            if not waiting:
                return None
            first = max(waiting, key=lambda waiting: waiting.urgency)
            self._jobs.remove(first)
            return first.job

    def _do(self, job: Job) -> None:
        try:
            job(self._should_stop)
        except Cancelled:
            log.debug("a job was cancelled with nothing to keep")

    def _run(self) -> None:
        while True:
            with self._changed:
                job = self._next(Urgency.USUAL)
                if job is None:
                    self._thread = None
                    self._changed.notify_all()
                    return
                self._stop.clear()
            try:
                self._do(job)
            except BaseException as error:  # whatever it is, the user sees it in the widget
                self._on_error(error)
            finally:
                del job
