"""How long work takes yet, from how far it is."""

from __future__ import annotations

import time

from landscape_widgets.progress import Progress

EVERY = 0.1  # s between two reports of a phase that are worth telling
AFTER = 0.5  # s in a phase from which on its end can be told


class Stopwatch:
    """Follows the phases of work, one after the other.

    Attributes
    ----------
    left : float or None
        Seconds until the phase ends, where that can be told.
    """

    def __init__(self) -> None:
        self._phase, self._begun, self._told = "", 0.0, 0.0
        self.left: float | None = None

    def take(self, progress: Progress) -> bool:
        """Take in how far the work is; whether that is worth telling now."""
        now = time.monotonic()
        is_new = progress.phase != self._phase  # what it waits for may take long to tell again
        done = progress.done + progress.within
        if is_new or done == 0:
            self._phase, self._begun = progress.phase, now
        took, self.left = now - self._begun, None
        if 0 < done < progress.total and took > AFTER:
            self.left = took * (progress.total - done) / done
        if not is_new and progress.done < progress.total and now - self._told <= EVERY:
            return False
        self._told = now
        return True
