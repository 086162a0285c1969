"""What the sides ask of the kernel: answered on the worker's thread, coarse to fine.

A side asks by a name, and says what it wants to know of what: a plane of two samples, the diagnosis
of one. Of each name one question is answered at a time; a new one ends the one before. An answer
that was given is kept, and given again at once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, Cancelled, Progress, ProgressCallback
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.worker import Urgency

REPORT_EVERY = 0.2  # s
MOST_KEPT = 64  # answers

Of = dict[str, Any]  # what a question is about, as JSON has it
Message = dict[str, Any]  # what a side draws from; arrays as bytes


class Answer(Protocol):
    """Answers the questions of one name.

    `show` takes what is known before all of it is. What was shown last stays where `Cancelled` is
    raised, or where the work ends early. A ValueError or an IndexError says what is wrong with the
    question.
    """

    def __call__(
        self,
        land: Landscape,
        of: Of,
        *,
        show: Callable[[Message], None],
        progress: ProgressCallback,
        cancelled: CancelCallback,
    ) -> Message: ...


class Questions:
    """The questions of the browser, and what is known of their answers.

    Parameters
    ----------
    channel : Channel
        To the browser.
    give_way : callable
        Does what is at least so urgent, between two evaluations.
    answers : dict of callables
        Who answers, by the name of the question.
    """

    def __init__(
        self, channel: Channel, give_way: Callable[[Urgency], None], answers: Mapping[str, Answer]
    ) -> None:
        self._channel, self._give_way, self._answers = channel, give_way, answers
        self._lock = threading.Lock()
        self._wanted: dict[str, Of] = {}
        self._ahead: dict[str, Of] = {}  # what is on its way though nobody has asked
        self._known: dict[str, Message] = {}
        self._told = 0.0

    def forget(self) -> None:
        """Let go of what is known: there are other samples now."""
        with self._lock:
            for known in (self._wanted, self._ahead, self._known):
                known.clear()
        self._channel.nothing_asked()

    def ask(self, name: str, of: Of) -> None:
        """Want an answer; `serve` then gives it.

        Raises
        ------
        KeyError
            If nobody answers questions of this name.
        """
        self._answers[name]
        with self._lock:
            self._wanted.pop(name, None)
            self._wanted[name] = of
            if self._ahead.get(name) != of:
                self._ahead.pop(name, None)
        self._tell(name, of, "waiting")

    def stop(self, name: str | None = None) -> None:
        """Want no answer any more, to none of the questions by default; what is there stays."""
        with self._lock:
            stopped = {}
            for wanted in (self._ahead, self._wanted):
                for one in list(wanted) if name is None else [name]:
                    if one in wanted:
                        stopped[one] = wanted.pop(one)
        for one, of in stopped.items():
            self._tell(one, of, "stopped")

    def serve(self, land: Landscape, cancelled: CancelCallback) -> None:
        """Answer what is asked, the latest question first."""
        while (latest := self._latest()) is not None and not cancelled():
            name, of = latest
            self._answer(land, name, of, cancelled, self._wanted, Urgency.SLICES)
            self._end(self._wanted, name, of)

    def answer_ahead(self, land: Landscape, name: str, of: Of, cancelled: CancelCallback) -> None:
        """Answer a question before anybody asks, unless another of its name is asked.

        Whoever asks for it meanwhile waits for this answer.
        """
        if cancelled() or _key(name, of) in self._known or name in self._wanted:
            return
        with self._lock:
            self._ahead[name] = of
        self._answer(land, name, of, cancelled, self._ahead, Urgency.ANSWERS)
        self._end(self._ahead, name, of)
        self._end(self._wanted, name, of)

    def _latest(self) -> tuple[str, Of] | None:
        """What was asked last and is not on its way."""
        with self._lock:
            waiting = [(n, of) for n, of in self._wanted.items() if self._ahead.get(n) != of]
        return waiting[-1] if waiting else None

    def _end(self, wanted: dict[str, Of], name: str, of: Of) -> None:
        with self._lock:
            if wanted.get(name) == of:
                del wanted[name]

    def _answer(
        self,
        land: Landscape,
        name: str,
        of: Of,
        cancelled: CancelCallback,
        wanted: dict[str, Of],
        before: Urgency,
    ) -> None:
        known = self._known.get(_key(name, of))
        if known is not None:
            self._channel.answered(name, known)
            return self._tell(name, of, "done")

        def unwanted() -> bool:
            return cancelled() or wanted.get(name) != of

        def show(message: Message) -> None:
            self._channel.answered(name, {"of": of, **message})

        def report(progress: Progress) -> None:
            self._give_way(before)
            if time.monotonic() - self._told > REPORT_EVERY:
                self._tell(name, of, "running", progress)

        self._tell(name, of, "running")
        try:
            found = self._answers[name](land, of, show=show, progress=report, cancelled=unwanted)
        except Cancelled:
            return self._tell(name, of, "stopped")  # what was shown last stays
        except (ValueError, IndexError) as error:
            return self._tell(name, of, "error", message=str(error))
        show(found)
        if unwanted():
            return self._tell(name, of, "stopped")
        self._known[_key(name, of)] = {"of": of, **found}
        while len(self._known) > MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._tell(name, of, "done")

    def _tell(
        self, name: str, of: Of, state: str, progress: Progress | None = None, message: str = ""
    ) -> None:
        self._told = time.monotonic()
        done, total = (0, 0) if progress is None else (progress.done, progress.total)
        told = {"of": of, "state": state, "done": done, "total": total, "message": message}
        self._channel.asked(name, told)


def _key(name: str, of: Of) -> str:
    text = json.dumps([name, of], sort_keys=True)
    # 1 and 1.0 are the same to the browser.
    return json.dumps(json.loads(text, parse_int=float), sort_keys=True)
