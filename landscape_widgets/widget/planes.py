"""The plane through θ* and two samples: drawn on the worker's thread, coarse to fine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.plane import Plane
from landscape_widgets.progress import CancelCallback, Cancelled, Progress
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.wire import floats
from landscape_widgets.widget.worker import Urgency

REPORT_EVERY = 0.2  # s
Pair = tuple[int, int]


class Planes:
    """The planes that the browser asks for, one at a time; a new wish ends the one before.

    Parameters
    ----------
    channel : Channel
        To the browser.
    give_way : callable
        Does what is at least so urgent, between two evaluations.
    """

    def __init__(self, channel: Channel, give_way: Callable[[Urgency], None]) -> None:
        self._channel, self._give_way = channel, give_way
        self._lock = threading.Lock()
        self._wanted: Pair | None = None
        self._known: dict[Pair, dict[str, Any]] = {}
        self._told = 0.0

    def forget(self) -> None:
        """Let go of what is known: there are other samples now."""
        self._wanted, self._known = None, {}
        self._channel.no_plane()

    def ask(self, a: int, b: int) -> None:
        """Want the plane through θ* and two samples; `draw` then draws it."""
        with self._lock:
            self._wanted = (a, b)
        self._tell((a, b), "waiting")

    def stop(self) -> None:
        """Want none any more; what is there stays."""
        with self._lock:
            pair, self._wanted = self._wanted, None
        if pair is not None:
            self._tell(pair, "stopped")

    def draw(self, land: Landscape, cancelled: CancelCallback) -> None:
        """Draw the plane that is wanted, if there is one."""
        while (pair := self._wanted) is not None and not cancelled():
            if pair not in self._known:
                self._draw(land, pair, cancelled)
            else:
                self._channel.plane(self._known[pair])
                self._tell(pair, "done")
            with self._lock:
                if self._wanted == pair:
                    self._wanted = None

    def _draw(self, land: Landscape, pair: Pair, cancelled: CancelCallback) -> None:
        def unwanted() -> bool:
            return cancelled() or self._wanted != pair

        def show(plane: Plane) -> None:
            self._channel.plane(message(plane, pair))

        def report(progress: Progress) -> None:
            self._give_way(Urgency.SLICES)
            if time.monotonic() - self._told > REPORT_EVERY:
                self._tell(pair, "running", progress)

        self._tell(pair, "running")
        try:
            plane = land.plane(*pair, progress=report, cancelled=unwanted, on_plane=show)
        except Cancelled:
            self._tell(pair, "stopped")  # what was shown last stays
            return
        except (ValueError, IndexError) as error:
            self._tell(pair, "error", message=str(error))
            return
        show(plane)
        if not unwanted():
            self._known[pair] = message(plane, pair)
        self._tell(pair, "stopped" if unwanted() else "done")

    def _tell(
        self, pair: Pair, state: str, progress: Progress | None = None, message: str = ""
    ) -> None:
        self._told = time.monotonic()
        done, total = (0, 0) if progress is None else (progress.done, progress.total)
        self._channel.plane_state(
            {
                "pair": list(pair),
                "state": state,
                "done": done,
                "total": total,
                "message": message,
            }
        )


def message(plane: Plane, pair: Pair) -> dict[str, Any]:
    """What the browser draws a plane from; see js/src/sides/plane.ts."""
    return {
        "pair": list(pair),
        "extent": [float(plane.axes[0][0]), float(plane.axes[0][-1])],
        "size": len(plane.axes[0]),
        "losses": floats(plane.losses),
        "val_losses": floats(plane.val_losses),
        "gram": plane.gram.ravel().tolist(),
        "text": words(plane),
    }


def words(plane: Plane) -> list[str]:
    """How good a plane is, and at what cost, in words."""
    cost = f"{plane.evaluations:,} evaluations instead of {plane.losses.size:,}"
    if not plane.held_out:
        return [f"all of {plane.losses.size:,} points evaluated"]
    errors = [plane.error] if plane.val_error is None else [plane.error, plane.val_error]
    p95 = max(error.p95 for error in errors)
    error = f"error {p95:.1%} (95th percentile) at {plane.held_out} points held out"
    return [error + (f", more than {plane.tolerance:.1%}" * (not plane.converged)), cost]
