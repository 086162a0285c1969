"""What the browser may say, and what is done then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from landscape_widgets.errors import did_you_mean
from landscape_widgets.widget.session import Session

log = logging.getLogger(__name__)

Content = dict[str, Any]


class Messages:
    """Takes messages of the browser, each by its type.

    Parameters
    ----------
    session : Session
    refine : callable
        Samples more around what is selected.
    deserted : callable
        Told when the last view has closed.
    """

    def __init__(
        self, session: Session, refine: Callable[[], None], deserted: Callable[[], None]
    ) -> None:
        self._session, self._refine_selected, self._deserted = session, refine, deserted
        self._always: dict[str, Callable[[Content], None]] = {
            "drawn": lambda said: session.channel.drawn(int(said["frame"])),
            "view": self._view,
            "snapshot": lambda said: session.channel.snapshot(),
            "start": lambda said: session.start(),
            "stop": lambda said: session.stop(),
        }
        self._with_landscape: dict[str, Callable[[Content], None]] = {
            "slices": lambda said: session.ask_slices([int(i) for i in said["indices"]]),
            "doubted": lambda said: session.doubt([int(i) for i in said["indices"]]),
            "ask": lambda said: session.ask(said["name"], said["of"]),
            "no answer": lambda said: session.questions.stop(said["name"]),
            "refine": self._refine,
            "choose": lambda said: session.controls.choose(said["what"], said["key"]),
            "set": lambda said: session.controls.retype(said["what"], said["values"]),
        }

    def take(self, content: Content) -> None:
        """Do what a message asks for; one that nobody knows is an error in the log."""
        self._session.views.heard()
        kind = content.get("type")
        known = {**self._always, **self._with_landscape}
        if kind not in known:
            log.error(
                "The browser sent a message of type %r. %s", kind, did_you_mean(str(kind), known)
            )
        elif kind in self._always or self._session.preparation.is_ready:
            known[kind](content)
        elif kind in ("choose", "set"):  # the kernel does not wait for the data
            self._session.controls.refuse(content["what"], "The data are being read.")

    def _view(self, said: Content) -> None:
        session = self._session
        session.views.tell(str(said["view"]), bool(said["open"]))
        if session.views.any:
            session.come_back()
        else:
            self._deserted()

    def _refine(self, said: Content) -> None:
        try:
            self._refine_selected()
        except ValueError as error:
            self._session.fail(error)
