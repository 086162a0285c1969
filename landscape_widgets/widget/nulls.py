"""How the map compares: with others of its samples, and with those of samples without structure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import traitlets

from landscape_widgets.errors import did_you_mean
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, Cancelled, Progress
from landscape_widgets.trust import Faithfulness, nulls
from landscape_widgets.widget import wire
from landscape_widgets.widget.slices import Slices
from landscape_widgets.widget.worker import Worker

log = logging.getLogger(__name__)

NOTHING = "nothing"


def picture(null: Landscape, kind: str, found: Faithfulness | None) -> dict[str, Any]:
    """What the browser draws of a null; see js/src/sides/comparison.ts."""
    return {
        "kind": kind,
        "points": wire.floats(null.coordinates[:, :2]),
        "columns": wire.columns(null, null.distortion()),
        "samples": wire.samples(null.cloud),
        "trust": None if found is None else wire.trust(found),
    }


class Comparison(traitlets.HasTraits):
    """The part of the widget that compares its map.

    Attributes
    ----------
    compare_with : {"nothing", "shuffled", "isotropic", "walk"}
        The null whose picture is laid beside the map: its losses shuffled, as many samples in
        random directions, or random walks. See `Landscape.null`.
    """

    compare_with: Any = traitlets.Unicode(NOTHING).tag(sync=True)
    _null: Any = traitlets.Dict().tag(sync=True)

    # Of the widget.
    landscape: Any
    _trust: Any
    _progress: Any
    _lock: threading.RLock
    _worker: Worker
    _report: Callable[[Progress], None]
    _slices: Slices
    _judged: Faithfulness | None

    @traitlets.validate("compare_with")
    def _valid_comparison(self, proposal: Any) -> str:
        kind: str = proposal["value"]
        known = [NOTHING, *nulls.KINDS]
        if kind not in known:
            raise traitlets.TraitError(
                f"The map cannot be compared with {kind!r}. {did_you_mean(kind, known)}"
            )
        return kind

    @traitlets.observe("compare_with")
    def _comparison_changed(self, change: Any) -> None:
        with self._lock:
            self._null = {}
        if change["new"] != NOTHING:
            self._worker.submit(self._compare_now)

    def _compare_now(self, cancelled: CancelCallback) -> None:
        """Lay the null beside a map that rests, and leave it resting."""
        resting = self._progress
        with self._lock:
            self._progress = wire.progress("running", Progress("null", 0, 1))
        self._lay_null(cancelled)
        with self._lock:
            self._progress = resting

    def _forget_comparison(self) -> None:
        """The map is about to change."""
        with self._lock:
            self._judged = None
            self._trust = {}
            self._null = {}

    def _compare_map(self, cancelled: CancelCallback) -> None:
        """Tell how alike other maps of the same samples are, and lay the null beside this one."""
        assert self._judged is not None
        try:
            if not cancelled():
                agreement = self.landscape.agreement(progress=self._tell, cancelled=cancelled)
                self._judged = self._judged.agreeing(*agreement)
        except Cancelled:
            log.debug("other maps were cancelled; the readouts go without them")
        with self._lock:
            self._trust = wire.trust(self._judged)
        if not cancelled():
            self._lay_null(cancelled)

    def _lay_null(self, cancelled: CancelCallback) -> None:
        """Make the null that is asked for; cancelled also when another is."""
        kind = self.compare_with
        if kind == NOTHING or self._judged is None or self._null:
            return

        def stopped() -> bool:
            return cancelled() or self.compare_with != kind

        def publish(found: Faithfulness | None) -> None:
            shown = picture(null, kind, found)
            with self._lock:
                if self.compare_with == kind:
                    self._null = shown

        try:
            null = self.landscape.null(kind, progress=self._tell_null, cancelled=stopped)
            publish(None)
            self._tell_null(Progress("null", 0, 1))
            if kind == "shuffled":  # the map is the same, so others of it are
                agreement = self._judged.scores.aligned, self._judged.scores.shared
                publish(null.faithfulness(seeds=1).agreeing(*agreement))
            else:
                publish(null.faithfulness(progress=self._tell_null, cancelled=stopped))
        except Cancelled:
            if cancelled():
                self.compare_with = NOTHING
        except BaseException:
            self.compare_with = NOTHING
            raise

    def _tell(self, progress: Progress) -> None:
        self._report(progress)
        self._slices.serve()

    def _tell_null(self, progress: Progress) -> None:
        self._tell(progress._replace(phase="null"))
