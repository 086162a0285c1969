"""When those who looked at a widget are missed, by a clock that the test turns."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import pytest

from landscape_widgets.widget import lease
from landscape_widgets.widget.lease import Cells, Lease


class Clock:
    """An event loop whose time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def is_closed(self) -> bool:
        return False

    def call_later(self, seconds: float, call: Callable[..., None], *values: Any) -> None:
        heapq.heappush(self.calls, (self.now + seconds, len(self.calls), call, values))

    def call_soon_threadsafe(self, call: Callable[..., None], *values: Any) -> None:
        self.call_later(0.0, call, *values)

    def run(self, seconds: float) -> None:
        """Let time pass, in which the loop turns."""
        end = self.now + seconds
        while self.calls and self.calls[0][0] <= end:
            when, _, call, values = heapq.heappop(self.calls)
            self.now = max(self.now, when)
            call(*values)
        self.now = max(self.now, end)

    def leap(self, seconds: float) -> None:
        """Let time pass in which it does not: the machine sleeps, or a cell blocks it."""
        self.now += seconds


class Shell:
    """Where cells are run."""

    def __init__(self) -> None:
        self.events = self
        self.hooks: dict[str, Callable[[], None]] = {}

    def register(self, event: str, hook: Callable[[], None]) -> None:
        self.hooks[event] = hook


class Watched:
    """A lease, and what came of it."""

    def __init__(self) -> None:
        self.asked = self.lost = 0
        self.works = True
        self.answers = False
        self.lease = Lease(self.ask, self.lose, lambda: self.works)
        self.lease.keep_up()

    def ask(self) -> None:
        self.asked += 1
        if self.answers:
            self.lease.heard()

    def lose(self) -> None:
        self.lost += 1


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> Clock:
    clock, cells = Clock(), Cells(shell)
    monkeypatch.setattr(lease, "kernel", lambda: (clock, cells))
    shell.hooks["post_execute"]()  # the cell that makes the widget
    return clock


def test_those_who_answer_no_question_of_two_are_missed(clock: Clock) -> None:
    watched = Watched()
    clock.run(44)
    assert (watched.asked, watched.lost) == (2, 0)
    clock.run(2)
    assert (watched.asked, watched.lost) == (2, 1)
    clock.run(600)
    assert (watched.asked, watched.lost) == (2, 1)


def test_those_who_answer_are_asked_for_as_long_as_work_goes_on(clock: Clock) -> None:
    watched = Watched()
    watched.answers = True
    clock.run(3600)
    assert watched.lost == 0
    asked = watched.asked
    assert 3600 / 15 / 1.2 < asked <= 3600 / 15
    watched.works = False
    clock.run(3600)
    assert watched.asked <= asked + 1
    assert not clock.calls


def test_one_word_of_them_is_enough(clock: Clock) -> None:
    watched = Watched()
    for _ in range(10):
        clock.run(40)
        watched.lease.heard()
    assert watched.lost == 0


def test_nobody_is_missed_while_a_cell_keeps_answers_waiting(clock: Clock, shell: Shell) -> None:
    watched = Watched()
    shell.hooks["pre_execute"]()
    clock.run(3600)  # one that awaits something: the loop turns
    clock.leap(3600)  # one that does not
    assert (watched.asked, watched.lost) == (0, 0)
    shell.hooks["post_execute"]()
    clock.run(20)
    assert (watched.asked, watched.lost) == (1, 0)
    clock.run(40)
    assert watched.lost == 1


def test_nobody_is_missed_over_a_sleep_of_the_machine(clock: Clock) -> None:
    watched = Watched()
    clock.run(5)
    clock.leap(8 * 3600)
    clock.run(1)
    assert watched.asked == 0
    watched.lease.heard()
    clock.run(14)
    assert watched.asked == 0


def test_it_begins_anew_with_new_work(clock: Clock) -> None:
    watched = Watched()
    clock.run(31)
    watched.works = False
    clock.run(2)
    watched.works = True
    watched.lease.keep_up()
    clock.run(44)
    assert watched.lost == 0
    clock.run(2)
    assert watched.lost == 1


def test_outside_of_a_kernel_nobody_is_asked() -> None:
    watched = Watched()
    assert watched.asked == watched.lost == 0
    assert lease.kernel() is None
