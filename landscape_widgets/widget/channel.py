"""Between the work and the browser: the only code that knows what the widget's traits are called.

Small state goes in synced traits, so that a page that is loaded again, and a notebook that was
saved, show the widget as it was. What each holds is said in `wire` and in js/src/wire.ts.

The table of the slices, N samples by A values of α for each quantity, grows to tens of MB, and is
filled while it is looked at. As long as it is small (`SMALL`), and as long as no view has asked for
rows, it is put into its trait as a whole each time. Otherwise it comes as messages::

    {"type": "rows", "table": "profiles", "names": [quantities], "start": i, "count": n,
     "of": N, "width": A, "version": v}

with a buffer of float32 values for each name, row by row, of those rows that are not as they were
sent. Another version is a table anew, with all values NaN ("not known") that do not come: other
samples, another A, or other names. A message has 1 MB at most, and all that belongs to one state
of the work comes behind the traits of that state.

A view asks for rows, and for all of those that are there, by ``{"type": "snapshot"}``, when it
opens; the others on the page get them, too. The trait is then emptied with each table anew, and
holds the whole of it once the work is done, up to `LARGEST`: so do notebooks that are saved. To a
view that has rows of a table of that size it says nothing new, and rows go on from those. The few
slices that are asked for later come as rows alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.line import ALPHAS
from landscape_widgets.progress import Progress
from landscape_widgets.reducers.base import Reducer
from landscape_widgets.trust import Faithfulness
from landscape_widgets.widget import wire
from landscape_widgets.widget.film import Film
from landscape_widgets.widget.tables import Array, Table

SMALL = 1_000_000  # bytes of a table that is sent as a whole each time
LARGEST = 8_000_000  # bytes of one that is put into its trait at all, where rows are sent
PUBLISH_EVERY = 1.0  # s, where no browser acknowledges

Put = Callable[[dict[str, Any]], None]
Send = Callable[[dict[str, Any], list[bytes]], None]


class Channel:
    """Tells the browser what is there: each method a subject, and the traits for it.

    All may be called from any thread.

    Parameters
    ----------
    put : callable
        Sets several traits of the widget, in one message.
    send : callable
        Sends a message that is no trait, and its buffers.

    Attributes
    ----------
    lock : RLock
        Held while anything is shown; whoever holds it shows things of one state of the work.
    progress_shown : dict
        What the progress line says.
    """

    def __init__(self, put: Put, send: Send) -> None:
        self.lock = threading.RLock()
        self._put, self._send = put, send
        self._held: dict[str, Any] | None = None
        self._later: list[tuple[dict[str, Any], list[bytes]]] = []  # messages, after those traits
        self._profiles = Table("profiles")
        self._by_rows = False  # whether a view reads them
        self._is_whole = True  # whether the trait holds the table
        self._info: dict[str, Any] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, dict[str, Any]] = {}
        self.progress_shown = wire.progress("idle")
        self._frame = self._drawn = 0
        self._published = 0.0

    def nothing_yet(self) -> dict[str, Any]:
        """What traits hold before anything is shown, where that is not their default."""
        return {
            "_samples": wire.samples(None),
            "_alphas": ALPHAS.tolist(),
            "_progress": self.progress_shown,
        }

    @contextmanager
    def together(self) -> Iterator[None]:
        """One message for all that is shown meanwhile, in which no other thread shows anything."""
        with self.lock:
            if self._held is not None:
                yield
                return
            self._held = {}
            try:
                yield
            finally:
                held, self._held = self._held, None
                later, self._later = self._later, []
                if held:
                    self._put(held)
                for message, buffers in later:
                    self._send(message, buffers)

    def _show(self, **values: Any) -> None:
        with self.lock:
            if self._held is None:
                self._put(values)
            else:
                self._held.update(values)

    # The map

    def samples(self, cloud: Cloud | None) -> None:
        """What is known of the samples without evaluating them."""
        self._show(_samples=wire.samples(cloud))

    def points(
        self,
        land: Landscape,
        coordinates: FloatArray,
        distortion: FloatArray | None = None,
        glide: bool = False,
    ) -> None:
        """Where samples lie, (N, 2 or 3), and what is known of them; `glide` moves them there."""
        with self.together():
            scales = wire.scales(land)
            if self._info.get("quantities") != scales["quantities"]:
                self._tell({**self._info, **scales})
            self._published = time.monotonic()
            self._frame += 1
            self._show(
                _points=wire.floats(coordinates),
                _columns=wire.columns(land, distortion),
                _evaluated=wire.floats(land.evaluated),
                _glide=glide,
                _frame=self._frame,
            )

    @property
    def is_free(self) -> bool:
        """Whether the points sent last are on the screen, or nobody looks and a while has passed.

        A stream of frames that nothing paces piles up in the browser.
        """
        return self._drawn >= self._frame or time.monotonic() - self._published > PUBLISH_EVERY

    def drawn(self, frame: int) -> None:
        """Take in that the browser has drawn a frame."""
        self._drawn = frame

    def film(self, film: Film) -> None:
        """How the map came about, now that it is there."""
        self._show(_frames=film.pictures(), _trace=film.trace(live=False))

    def trace(self, film: Film) -> None:
        """How far the map is."""
        self._show(_trace=film.trace(live=True))

    def new_map(self, film: Film, reducer: Reducer, space: str, standardised: bool) -> None:
        """Another map is about to be laid out; lassos were drawn in the coordinates of the old."""
        title = f"{wire.map_name(reducer, space, standardised)}, being laid out"
        with self.together():
            self._show(_frames=b"", _lassos=[])
            self.trace(film)
            self._tell({**self._info, "title": title, "axes": []})

    def info(self, land: Landscape | None, standardised: bool = False, note: str = "") -> None:
        """Title, axes and caption; those of no data yet where there is no landscape."""
        with self.lock:
            self._tell(wire.READING if land is None else wire.info(land, standardised, note))

    def _tell(self, info: dict[str, Any]) -> None:
        self._info = info
        self._show(_info=info)

    def nothing_selected(self) -> None:
        """There are other samples."""
        self._show(selected=(), _lassos=[])

    def trust(
        self,
        judged: Faithfulness | None,
        more: bool = False,
        better: dict[str, str] | None = None,
    ) -> None:
        """How far the map can be trusted; with `more`, some of it is still to come.

        `better` is what to choose in place of a map that is not to be trusted.
        """
        told = {} if judged is None else {**wire.trust(judged, more), "better": better}
        self._show(_trust=told)

    def terrain(self, found: dict[str, Any]) -> None:
        """The loss between the samples of the map; empty until it is known."""
        self._show(_terrain=found)

    def null(self, picture: dict[str, Any]) -> None:
        """A null beside the map; an empty one takes it away."""
        self._show(_null=picture)

    def compare_with(self, kind: str) -> None:
        """Choose a null for the user, whose own choice cannot be had."""
        self._show(compare_with=kind)

    # Slices

    def slices(
        self,
        profiles: wire.Profiles,
        n_examples: int,
        tolerance: float | None,
        anew: bool = False,
    ) -> None:
        """The slices that are known; where they are estimated, to which tolerance.

        `anew` where they are of other samples, or more of them.
        """
        estimates = {} if tolerance is None else wire.estimates(profiles, n_examples, tolerance)
        with self.together():
            self._show(_alphas=np.asarray(profiles.alphas).tolist(), _estimates=estimates)
            values = profiles.values
            self._profiles.take(values)
            if not self._by_rows or self._profiles.nbytes <= SMALL:
                return self._show_profiles(values)
            self._is_whole = False
            if anew:
                self._show_profiles({})
            self._later += self._profiles.changed()

    def _show_profiles(self, values: Mapping[str, Array]) -> None:
        self._is_whole = bool(values)
        self._show(_profiles={name: wire.floats(array) for name, array in values.items()})

    def snapshot(self) -> None:
        """Send all rows of tables to a view that has none, and from now on those that change."""
        with self.together():
            self._by_rows = True
            if self._profiles.nbytes > SMALL:
                self._later += self._profiles.snapshot()

    def settle(self) -> None:
        """Leave tables in their traits, where they are not too large: the work is done."""
        with self.lock:
            if not self._is_whole and self._profiles.nbytes <= LARGEST:
                self._show_profiles(self._profiles.values)

    # What the sides ask

    def answered(self, name: str, answer: dict[str, Any]) -> None:
        """What is known of the answer to the question of this name."""
        with self.lock:
            self._answers = {**self._answers, name: answer}
            self._show(_answers=self._answers)

    def asked(self, name: str, state: dict[str, Any]) -> None:
        """How far that answer is."""
        with self.lock:
            self._asked = {**self._asked, name: state}
            self._show(_asked=self._asked)

    def nothing_asked(self) -> None:
        """Take all answers away."""
        with self.lock:
            self._answers, self._asked = {}, {}
            self._show(_answers={}, _asked={})

    # Bar and progress line

    def choices(
        self, choices: dict[str, Any], chosen: dict[str, str], settings: dict[str, Any]
    ) -> None:
        """What the bar offers, what is chosen on it, and the fields for that."""
        self._show(_choices=choices, _chosen=chosen, _settings=settings)

    def progress(
        self,
        state: str,
        at: Progress | None = None,
        left: float | None = None,
        message: str = "",
        at_most: float | None = None,
    ) -> None:
        """Where the work is."""
        self.progress_again(wire.progress(state, at, left, message, at_most=at_most))

    def progress_again(self, shown: dict[str, Any]) -> None:
        """Say what was said before."""
        with self.lock:
            self.progress_shown = shown
            self._show(_progress=shown)

    # Messages

    def answer(self, what: str, errors: dict[str, str]) -> None:
        """What became of a change: errors by field, none where it was taken."""
        with self.lock:
            self._send({"type": "answer", "what": what, "errors": errors}, [])

    def who_is_there(self) -> None:
        """Ask all views to say that they are there."""
        self._send({"type": "who is there"}, [])
