"""The landscape behind a widget while it is made: its data are read beside the kernel's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
)

PATIENCE = 1.0  # s of reading after which a cell returns, and its errors are shown in the widget

Build = Callable[..., Landscape]  # of the keywords `progress` and `cancelled`


class Preparation:
    """Makes a landscape as a job of the widget's worker, and holds it.

    Whoever made the widget waits for it as long as it does not read for long: what is wrong with a
    model or with data that are there at once is then raised in the cell.

    Parameters
    ----------
    build : Landscape or callable
        Makes the landscape; told where to tell of its progress, and when to stop. Or one that is
        there already.

    Attributes
    ----------
    is_ready : bool
        Whether the landscape is there, and was found to be fit for what is chosen.
    """

    def __init__(self, build: Build | Landscape) -> None:
        self._build = None if isinstance(build, Landscape) else build
        self._landscape = build if isinstance(build, Landscape) else None
        self.is_ready = self._landscape is not None
        self._progress: ProgressCallback = ignore
        self._ended = threading.Event()
        self._latest = Progress("reading", 0, 1)
        self._error: BaseException | None = None

    def run(self, cancelled: CancelCallback) -> None:
        """Make the landscape, on the worker's thread; what goes wrong is kept for `landscape`."""
        build = self._build
        if build is None:
            return  # it is closed
        self._ended.clear()
        self._error, self._latest = None, Progress("reading", 0, 1)
        try:
            self._landscape = build(progress=self._tell, cancelled=cancelled)
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
        RuntimeError
            If it is closed.
        Exception
            Whatever went wrong; `Cancelled` where it was stopped.
        """
        if not self.is_ready and self._build is not None:
            self._ended.wait()
            if self._error is not None:
                raise self._error
        if self._landscape is None:
            raise RuntimeError("This widget is closed. Make a new one.")
        return self._landscape

    @property
    def landscape(self) -> Landscape:
        """The landscape, for who may not know that its data are read and that this may be stopped.

        Raises
        ------
        RuntimeError
            If reading was stopped, or the widget is closed.
        Exception
            Whatever went wrong.
        """
        try:
            return self.result()
        except Cancelled:
            raise RuntimeError(
                "The work was stopped while the data were read. Start it, and they are read on."
            ) from None

    @property
    def is_closed(self) -> bool:
        """Whether there is no landscape any more, nor will be."""
        return self._landscape is None and self._build is None

    def close(self) -> None:
        """Let go of the landscape, and of what it is made from."""
        self._build = self._landscape = None
        self.is_ready = False
