"""A widget that no view shows: told by what views say of themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from torch import Tensor, nn

import landscape_widgets as lw
from landscape_widgets.widget import slices, views
from tests.models import digits, mlp
from tests.widget.page import say, state

SAMPLES = 121


class Gate:
    """A loss that takes a while, until it is opened."""

    def __init__(self) -> None:
        self.seconds = 0.02

    def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        time.sleep(self.seconds)
        return nn.functional.cross_entropy(model(batch[0]), batch[1])


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setattr(views, "GRACE", 0.1)
    monkeypatch.setattr(slices, "PROFILE_SECONDS", 0.0)
    return Gate()


@pytest.fixture
def widget(gate: Gate) -> Iterator[lw.LandscapeWidget]:
    sampler = lw.samplers.Subspace(n=SAMPLES - 1, radius=1.0)
    widget = lw.LandscapeWidget(mlp(), digits(50), loss=gate, sampler=sampler, reducer="pca")
    yield widget
    widget.close()


def tell(widget: lw.LandscapeWidget, view: str, is_open: bool) -> None:
    say(widget, "view", view=view, open=is_open)


def evaluated(widget: lw.LandscapeWidget) -> int:
    return int(widget.landscape.evaluated.sum())


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def rested(widget: lw.LandscapeWidget) -> bool:
    return not widget.session.worker.busy


def test_it_computes_as_long_as_it_was_shown_nowhere(widget, gate):
    gate.seconds = 0.0
    until(lambda: rested(widget))
    assert evaluated(widget) == SAMPLES
    assert state(widget, "progress")["state"] == "done"


def test_it_stops_once_its_last_view_has_closed_and_goes_on_with_the_next(widget, gate):
    tell(widget, "a", True)
    tell(widget, "b", True)
    until(lambda: evaluated(widget) > 0)
    tell(widget, "a", False)
    tell(widget, "b", True)  # as it answers to the question who is there
    before = evaluated(widget)
    until(lambda: evaluated(widget) > before + 10)  # 0.2 s, longer than it may be out of sight
    tell(widget, "b", False)
    until(lambda: rested(widget))
    done = evaluated(widget)
    assert done < SAMPLES
    gate.seconds = 0.0
    tell(widget, "c", True)
    until(lambda: rested(widget))
    assert evaluated(widget) == SAMPLES
    assert state(widget, "progress")["state"] == "done"


def test_it_goes_on_while_it_is_moved(widget, gate, monkeypatch):
    monkeypatch.setattr(views, "GRACE", 60.0)
    tell(widget, "a", True)
    until(lambda: evaluated(widget) > 0)
    tell(widget, "a", False)
    tell(widget, "b", True)
    gate.seconds = 0.0
    until(lambda: rested(widget))
    assert evaluated(widget) == SAMPLES


@pytest.mark.parametrize("when", ["at work", "stopped"])
def test_it_is_waited_for(widget, gate, when):
    tell(widget, "a", True)
    until(lambda: evaluated(widget) > 0)
    tell(widget, "a", False)
    if when == "stopped":
        until(lambda: rested(widget))
        assert evaluated(widget) < SAMPLES
    gate.seconds = 0.0
    widget.wait(60)
    assert evaluated(widget) == SAMPLES
    assert state(widget, "progress")["state"] == "done"


def test_what_the_user_stopped_stays_stopped_when_it_is_shown_again(widget):
    tell(widget, "a", True)
    until(lambda: evaluated(widget) > 0)
    widget.stop()
    until(lambda: rested(widget))
    done = evaluated(widget)
    tell(widget, "a", False)
    tell(widget, "b", True)
    until(lambda: rested(widget))
    assert evaluated(widget) == done < SAMPLES
    assert state(widget, "progress")["state"] == "stopped"
