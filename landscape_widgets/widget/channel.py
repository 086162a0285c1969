"""Between the work and the browser: the only code that knows what the widget's traits are called.

Small state goes in synced traits, so that a page that is loaded again, and a notebook that was
saved, show the widget as it was. What each holds is said in `wire` and in js/src/wire.ts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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
        self._info: dict[str, Any] = {}
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
                if held:
                    self._put(held)

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
            scale = wire.loss_scale(land)
            if self._info.get("scale") != scale:
                self._tell({**self._info, "scale": scale})
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

    def trust(self, judged: Faithfulness | None, more: bool = False) -> None:
        """How far the map can be trusted; with `more`, some of it is still to come."""
        self._show(_trust={} if judged is None else wire.trust(judged, more))

    def null(self, picture: dict[str, Any]) -> None:
        """A null beside the map; an empty one takes it away."""
        self._show(_null=picture)

    def compare_with(self, kind: str) -> None:
        """Choose a null for the user, whose own choice cannot be had."""
        self._show(compare_with=kind)

    # Slices and planes

    def slices(self, profiles: wire.Profiles, n_examples: int, tolerance: float | None) -> None:
        """The slices that are known; where they are estimated, to which tolerance."""
        estimates = {} if tolerance is None else wire.estimates(profiles, n_examples, tolerance)
        self._show(
            _alphas=np.asarray(profiles.alphas).tolist(),
            _profiles=wire.floats(profiles.losses),
            _val_profiles=wire.floats(profiles.val_losses),
            _estimates=estimates,
        )

    def plane(self, plane: dict[str, Any]) -> None:
        """The plane beside the map."""
        self._show(_plane=plane)

    def plane_state(self, state: dict[str, Any]) -> None:
        """How far the plane is that is drawn."""
        self._show(_plane_state=state)

    def no_plane(self) -> None:
        """Take the plane away."""
        self._show(_plane={}, _plane_state={})

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
