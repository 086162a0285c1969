"""How the map compares: with others of its samples, and with those of samples without structure."""

from __future__ import annotations

import logging
from typing import Any

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, Cancelled, Progress, ProgressCallback
from landscape_widgets.trust import Faithfulness, nulls
from landscape_widgets.trust.terrain import why_none
from landscape_widgets.widget import purposes, wire
from landscape_widgets.widget.channel import Channel

log = logging.getLogger(__name__)

NOTHING = "nothing"
KINDS = (NOTHING, *nulls.KINDS)


def picture(null: Landscape, kind: str, found: Faithfulness | None) -> dict[str, Any]:
    """What the browser draws of a null; see js/src/sides/comparison.ts."""
    return {
        "kind": kind,
        "points": wire.floats(null.coordinates[:, :2]),
        "columns": wire.columns(null, null.distortion()),
        "samples": wire.samples(null.cloud),
        "trust": None if found is None else wire.trust(found),
    }


class Comparison:
    """Judges the map, and lays a null beside it.

    Parameters
    ----------
    channel : Channel
        To the browser.
    step : callable
        Told between two steps of long work.

    Attributes
    ----------
    kind : str
        The null that is laid beside the map; see `Landscape.null`.
    """

    def __init__(self, channel: Channel, step: ProgressCallback) -> None:
        self._channel, self._step = channel, step
        self._judged: Faithfulness | None = None
        self._is_laid = False
        self.kind = NOTHING

    def choose(self, kind: str) -> None:
        """Take away the null that is there; `lay` then lays another."""
        self.kind = kind
        self.take_away()

    def forget(self) -> None:
        """The map is about to change."""
        with self._channel.together():
            self._judged = None
            self._channel.trust(None)
            self._channel.terrain({})
            self.take_away()

    def take_away(self) -> None:
        """Take the null away, until it is laid again."""
        with self._channel.lock:
            self._is_laid = False
            self._channel.null({})

    def judge(self, land: Landscape) -> None:
        """Tell how far the map can be trusted, but for how alike others are."""
        self._step(Progress("trust", 0, 1))
        self._judged = land.faithfulness(seeds=1)
        with self._channel.together():
            self._publish(land, more=True)
            self._channel.terrain(_terrain(land))

    def compare(self, land: Landscape, cancelled: CancelCallback) -> None:
        """Tell how alike other maps of the same samples are, and lay the null beside this one."""
        assert self._judged is not None
        try:
            if not cancelled():
                agreement = land.agreement(progress=self._step, cancelled=cancelled)
                self._judged = self._judged.agreeing(*agreement)
        except Cancelled:
            log.debug("other maps were cancelled; the readouts go without them")
        self._publish(land)
        if not cancelled():
            self.lay(land, cancelled)

    def _publish(self, land: Landscape, more: bool = False) -> None:
        assert self._judged is not None
        assert land.sampler is not None
        assert land.reducer is not None
        better = purposes.better(self._judged, land.sampler, land.reducer)
        self._channel.trust(self._judged, more, better)

    def lay_now(self, land: Landscape, cancelled: CancelCallback) -> None:
        """Lay the null beside a map that rests, and leave it resting."""
        resting = self._channel.progress_shown
        self._channel.progress("running", Progress("null", 0, 1))
        self.lay(land, cancelled)
        self._channel.progress_again(resting)

    def lay(self, land: Landscape, cancelled: CancelCallback) -> None:
        """Make the null that is asked for; cancelled also when another is."""
        kind = self.kind
        if kind == NOTHING or self._judged is None or self._is_laid:
            return

        def stopped() -> bool:
            return cancelled() or self.kind != kind

        def publish(found: Faithfulness | None) -> None:
            shown = picture(null, kind, found)
            with self._channel.lock:
                if self.kind == kind:
                    self._is_laid = True
                    self._channel.null(shown)

        try:
            null = land.null(kind, progress=self._tell, cancelled=stopped)
            publish(None)
            self._tell(Progress("null", 0, 1))
            if kind == "shuffled":  # the map is the same, so others of it are
                agreement = self._judged.scores.aligned, self._judged.scores.shared
                publish(null.faithfulness(seeds=1).agreeing(*agreement))
            else:
                publish(null.faithfulness(progress=self._tell, cancelled=stopped))
        except Cancelled:
            if cancelled():
                self._give_up()
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self.choose(NOTHING)
        self._channel.compare_with(NOTHING)

    def _tell(self, progress: Progress) -> None:
        self._step(progress._replace(phase="null"))


def _terrain(land: Landscape) -> dict[str, Any]:
    """The loss between the samples of a map, or why it cannot be told."""
    note = why_none(land.coordinates, land.losses)
    found = None if note else land.terrain()
    if found is None or not found.carries:
        return {"note": note or "No terrain: the map does not carry the loss"}
    return {
        "extent": [*(float(edge) for axis in (found.x, found.y) for edge in axis[[0, -1]])],
        "size": len(found.x),
        "losses": wire.floats(found.losses),
        "certainty": wire.floats(found.certainty),
        "score": found.score,
    }
