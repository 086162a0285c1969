"""One thread beside the kernel's main one, that does one job after another."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable

from landscape_widgets.progress import CancelCallback, Cancelled, never

log = logging.getLogger(__name__)

Job = Callable[[Callable[[], bool]], None]

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
    """Runs jobs in the order in which they come; each is told when it should stop.

    The thread starts with the first job and ends when there are none left, so that nothing is
    alive beside a widget that rests.

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
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        _workers.add(self)

    @property
    def busy(self) -> bool:
        """Whether a job is running or waiting."""
        with self._changed:
            return self._thread is not None

    def submit(self, job: Job, *, instead: bool = False) -> None:
        """Do a job after the others, or instead of them: they are then stopped and forgotten."""
        with self._changed:
            if self._closed:
                return
            if instead:
                self._jobs.clear()
                self._stop.set()
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="landscape-widgets", daemon=True
                )
                self._thread.start()

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

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    self._thread = None
                    self._changed.notify_all()
                    return
                job = self._jobs.popleft()
                self._stop.clear()
            try:
                job(self._should_stop)
            except Cancelled:
                log.debug("a job was cancelled with nothing to keep")
            except BaseException as error:  # whatever it is, the user sees it in the widget
                self._on_error(error)
            finally:
                del job
