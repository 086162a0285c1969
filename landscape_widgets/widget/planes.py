"""The plane through θ* and two samples: drawn on the worker's thread, coarse to fine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from landscape_widgets.evaluation.quantities import LOSSES
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.plane import Plane
from landscape_widgets.progress import CancelCallback, Cancelled, Progress
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.wire import floats, label
from landscape_widgets.widget.worker import Urgency

REPORT_EVERY = 0.2  # s
Pair = tuple[int, int]
Wish = tuple[Pair, bool]  # the samples, and whether metrics are wanted, too


class Planes:
    """The planes that the browser asks for, one at a time; a new wish ends the one before.

    Parameters
    ----------
    channel : Channel
        To the browser.
    give_way : callable
        Does what is at least so urgent, between two evaluations.

    Attributes
    ----------
    with_metrics : bool
        Whether the planes that are asked for from now on are to have metrics.
    """

    def __init__(self, channel: Channel, give_way: Callable[[Urgency], None]) -> None:
        self._channel, self._give_way = channel, give_way
        self._lock = threading.Lock()
        self._wanted: Wish | None = None
        self._known: dict[Wish, dict[str, Any]] = {}
        self.with_metrics = False
        self._told = 0.0

    def forget(self) -> None:
        """Let go of what is known: there are other samples now."""
        self._wanted, self._known = None, {}
        self._channel.no_plane()

    def ask(self, a: int, b: int) -> None:
        """Want the plane through θ* and two samples; `draw` then draws it."""
        with self._lock:
            self._wanted = (a, b), self.with_metrics
        self._tell((a, b), "waiting")

    def stop(self) -> None:
        """Want none any more; what is there stays."""
        with self._lock:
            wish, self._wanted = self._wanted, None
        if wish is not None:
            self._tell(wish[0], "stopped")

    def draw(self, land: Landscape, cancelled: CancelCallback) -> None:
        """Draw the plane that is wanted, if there is one."""
        while (wish := self._wanted) is not None and not cancelled():
            if wish not in self._known:
                self._draw(land, wish, cancelled)
            else:
                self._channel.plane(self._known[wish])
                self._tell(wish[0], "done")
            with self._lock:
                if self._wanted == wish:
                    self._wanted = None

    def _draw(self, land: Landscape, wish: Wish, cancelled: CancelCallback) -> None:
        pair, metrics = wish

        def unwanted() -> bool:
            return cancelled() or self._wanted != wish

        def show(plane: Plane) -> None:
            self._channel.plane(message(plane, pair))

        def report(progress: Progress) -> None:
            self._give_way(Urgency.SLICES)
            if time.monotonic() - self._told > REPORT_EVERY:
                self._tell(pair, "running", progress)

        self._tell(pair, "running")
        try:
            plane = land.plane(
                *pair, metrics=metrics, progress=report, cancelled=unwanted, on_plane=show
            )
        except Cancelled:
            self._tell(pair, "stopped")  # what was shown last stays
            return
        except (ValueError, IndexError) as error:
            self._tell(pair, "error", message=str(error))
            return
        show(plane)
        if not unwanted():
            self._known[wish] = message(plane, pair)
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
        "values": {name: floats(values) for name, values in plane.values.items()},
        "gram": plane.gram.ravel().tolist(),
        "text": words(plane),
    }


def words(plane: Plane) -> list[str]:
    """How good a plane is, and at what cost, in words."""
    cost = f"{plane.evaluations:,} evaluations instead of {plane.losses.size:,}"
    if not plane.held_out:
        return [f"all of {plane.losses.size:,} points evaluated"]
    p95 = max(plane.errors[name].p95 for name in plane.errors if name in LOSSES)
    error = f"error {p95:.1%}"
    for name, found in plane.errors.items():
        error += f", of {label(name)} {found.p95:.1%}" * (name not in LOSSES)
    error += f" (95th percentile) at {plane.held_out} points held out"
    return [error + (f", more than {plane.tolerance:.1%}" * (not plane.converged)), cost]
