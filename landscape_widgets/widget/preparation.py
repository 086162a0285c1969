"""The landscape behind a widget while it is made: its data are read beside the kernel's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore

PATIENCE = 1.0  # s of reading after which a cell returns, and its errors are shown in the widget

Build = Callable[[ProgressCallback, CancelCallback], Landscape]


class Preparation:
    """Makes a landscape as a job of the widget's worker.

    Whoever made the widget waits for it as long as it does not read for long: what is wrong with a
    model or with data that are there at once is then raised in the cell.

    Parameters
    ----------
    build : callable
        Makes the landscape; told where to tell of its progress, and when to stop.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._progress: ProgressCallback = ignore
        self._ended = threading.Event()
        self._latest = Progress("reading", 0, 1)
        self._landscape: Landscape | None = None
        self._error: BaseException | None = None

    def run(self, cancelled: CancelCallback) -> None:
        """Make the landscape, on the worker's thread; what goes wrong is kept for `result`."""
        self._ended.clear()
        self._error, self._latest = None, Progress("reading", 0, 1)
        try:
            self._landscape = self._build(self._tell, cancelled)
        except BaseException as error:  # raised again for whoever asks for the landscape
            self._error = error
        finally:
            self._ended.set()

    def listen(self, progress: ProgressCallback) -> None:
        """From now on, tell of what is read."""
        self._progress = progress
        progress(self._latest)

    def _tell(self, progress: Progress) -> None:
        self._latest = progress
        self._progress(progress)

    def briefly(self) -> Landscape | None:
        """The landscape, waited for; None where its data are still read after a while.

        Raises
        ------
        Exception
            Whatever went wrong.
        """
        begun = time.monotonic()
        while not self._ended.wait(0.02):
            if self._latest.phase == "reading" and time.monotonic() - begun > PATIENCE:
                return None
        return self.result()

    def result(self) -> Landscape:
        """The landscape, waited for as long as it takes.

        Raises
        ------
        Exception
            Whatever went wrong; `Cancelled` where it was stopped.
        """
        self._ended.wait()
        if self._error is not None:
            raise self._error
        assert self._landscape is not None
        return self._landscape
