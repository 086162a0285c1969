"""The views that browsers show of a widget: whether anybody looks.

A view tells the kernel when it opens and when it closes, or else is missed (see `lease`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from landscape_widgets.widget.lease import Lease

GRACE = 3.0  # s that a widget may be out of sight, as while its output is moved


class Views:
    """The views that browsers show of a widget.

    Parameters
    ----------
    ask : callable
        Asks all views to say that they are there: a page that is left says no goodbye.
    busy : callable
        Whether there is work for them.
    """

    def __init__(self, ask: Callable[[], None], busy: Callable[[], bool]) -> None:
        self._ask = ask
        self.lease = Lease(ask, self._lose, lambda: self.any and busy())
        self._open: set[str] = set()
        self._gone: float | None = None  # when the last view closed
        self._lock = threading.Lock()

    def tell(self, view: str, is_open: bool) -> None:
        """Take in what a view says of itself."""
        with self._lock:
            if is_open:
                self._open.add(view)
                self._gone = None
                return
            others = self._open - {view}
            self._open.clear()
            self._gone = time.monotonic()
        if others:
            self._ask()

    def heard(self) -> None:
        """Some view has said something, of whatever."""
        self.lease.heard()

    def _lose(self) -> None:
        with self._lock:
            self._open.clear()
            self._gone = time.monotonic() - GRACE

    @property
    def any(self) -> bool:
        """Whether a view is open, as far as is known."""
        return bool(self._open)

    @property
    def away(self) -> bool:
        """Whether there were views, and there have been none for a while; asked by the work."""
        if self._open:
            self.lease.keep_up()
        gone = self._gone
        return gone is not None and time.monotonic() - gone > GRACE
