"""Whether those who looked at a widget are still there: a page may vanish without a word.

While work goes on, views are asked whether they are there, and answer from the event of the message
itself, which browsers let through in tabs that are hidden, where they hold timers back. Work whose
questions nobody answers is for nobody.

That nobody answers is no evidence while the kernel cannot read: answers wait behind a cell that
runs, also one that awaits something. So time is told by the kernel's own event loop, and that of
cells does not count, nor that in which the machine slept.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from IPython.core.getipython import get_ipython

TICK = 1.0  # s
ASK_AFTER = 15.0  # s without a word, of those in which one could have been read
QUESTIONS = 2  # that stay without an answer


class Cells:
    """Whether a cell of a shell is running."""

    def __init__(self, shell: Any) -> None:
        self.running = True  # as one is that makes a widget
        shell.events.register("pre_execute", self._begin)
        shell.events.register("post_execute", self._end)

    def _begin(self) -> None:
        self.running = True

    def _end(self) -> None:
        self.running = False


_cells: weakref.WeakKeyDictionary[Any, Cells] = weakref.WeakKeyDictionary()


def kernel() -> tuple[asyncio.AbstractEventLoop, Cells] | None:
    """The event loop that reads what browsers send, and its cells; None outside of kernels."""
    shell = get_ipython()
    io_loop: Any = getattr(getattr(shell, "kernel", None), "io_loop", None)
    loop: asyncio.AbstractEventLoop | None = getattr(io_loop, "asyncio_loop", None)
    if loop is None:
        return None
    if shell not in _cells:
        _cells[shell] = Cells(shell)
    return loop, _cells[shell]


class Lease:
    """Asks views whether they are there, as long as it is kept up.

    Parameters
    ----------
    ask : callable
        Sends the question to all views.
    lost : callable
        Told once nobody has answered.
    goes_on : callable
        Whether there is work, and a view has been there.
    """

    def __init__(
        self, ask: Callable[[], None], lost: Callable[[], None], goes_on: Callable[[], bool]
    ) -> None:
        self.ask, self._lost, self._goes_on = ask, lost, goes_on
        self._kernel = kernel()
        self._ticking = False
        self._silent = 0.0  # s
        self._asked = 0
        self._ticked = 0.0  # by the loop's clock

    def heard(self) -> None:
        """A view has said something."""
        self._silent, self._asked = 0.0, 0

    def keep_up(self) -> None:
        """Begin to ask, if nobody does; to be called by the work, from any thread."""
        if self._kernel is None or self._ticking or self._kernel[0].is_closed():
            return
        self._ticking = True
        self.heard()
        self._kernel[0].call_soon_threadsafe(self._begin, *self._kernel)

    def _begin(self, loop: asyncio.AbstractEventLoop, cells: Cells) -> None:
        self._ticked = loop.time()
        loop.call_later(TICK, self._tick, loop, cells)

    def _tick(self, loop: asyncio.AbstractEventLoop, cells: Cells) -> None:
        if not self._goes_on():
            self._ticking = False
            return
        now = loop.time()
        if not cells.running:
            self._silent += min(now - self._ticked, 2 * TICK)
        self._ticked = now
        if self._silent >= ASK_AFTER:
            self._silent = 0.0
            if self._asked == QUESTIONS:
                self._ticking = False
                self._lost()
                return
            self._asked += 1
            self.ask()
        loop.call_later(TICK, self._tick, loop, cells)
