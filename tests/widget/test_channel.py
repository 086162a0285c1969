"""What goes to the browser in one message, and when the next frame may follow."""

import threading

import pytest

from landscape_widgets.progress import Progress
from landscape_widgets.widget import channel as module
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.stopwatch import Stopwatch


@pytest.fixture
def sent():
    return []


@pytest.fixture
def channel(sent):
    return Channel(sent.append, lambda message, buffers: sent.append(message))


def test_what_belongs_together_is_one_message(channel, sent):
    with channel.together():
        channel.nothing_asked()
        with channel.together():
            channel.progress("running", Progress("map", 1, 2))
        channel.null({})
        assert sent == []
    assert [set(message) for message in sent] == [{"_answers", "_asked", "_progress", "_null"}]


def test_what_was_shown_before_something_went_wrong_is_sent(channel, sent):
    def show() -> None:
        with channel.together():
            channel.null({})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        show()
    assert sent == [{"_null": {}}]
    channel.null({})
    assert len(sent) == 2


def test_another_thread_shows_nothing_in_between(channel, sent):
    other = threading.Thread(target=channel.null, args=({"kind": "walk"},))
    with channel.together():
        channel.answered("plane", {"of": {"pair": [1, 2]}})
        other.start()
        other.join(0.1)
        channel.asked("plane", {})
    other.join(60)
    assert [set(message) for message in sent] == [{"_answers", "_asked"}, {"_null"}]


def test_what_is_said_to_be_resting_is_said_again(channel, sent):
    channel.progress("done")
    resting = channel.progress_shown
    channel.progress("running", Progress("slices", 3, 8))
    assert channel.progress_shown["done"] == 3
    channel.progress_again(resting)
    assert sent[0] == sent[-1] == {"_progress": resting}


def test_an_answer_is_a_message_and_no_trait(channel, sent):
    channel.answer("sampler", {"n": "too few"})
    assert sent == [{"type": "answer", "what": "sampler", "errors": {"n": "too few"}}]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_time_left_is_told_once_a_phase_has_taken_a_while(clock):
    watch = Stopwatch()
    assert watch.take(Progress("map", 0, 10))
    clock[0] += 0.4
    assert watch.take(Progress("map", 1, 10))
    assert watch.left is None
    clock[0] += 0.05
    assert not watch.take(Progress("map", 2, 10))  # too soon to be worth telling
    assert watch.take(Progress("map", 10, 10))
    assert watch.take(Progress("losses", 0, 10))  # however soon, another phase is told
    clock[0] += 2.0
    assert watch.take(Progress("losses", 4, 10))
    assert watch.left == pytest.approx(3.0)
    clock[0] += 1.0
    assert watch.take(Progress("losses", 5, 10, within=0.5))
    assert watch.left == pytest.approx(3.0 * 4.5 / 5.5)


def test_frames_wait_until_the_last_is_drawn_or_a_while_has_passed(channel, clock, monkeypatch):
    monkeypatch.setattr(module.wire, "scales", lambda land: {"quantities": []})
    monkeypatch.setattr(module.wire, "columns", lambda land, distortion: {})

    class Land:
        evaluated = (1.0,)

    assert channel.is_free
    channel.points(Land, [[0.0, 0.0]])
    assert not channel.is_free
    channel.drawn(1)
    assert channel.is_free
    channel.points(Land, [[0.0, 0.0]])
    clock[0] += 0.9 * module.PUBLISH_EVERY
    assert not channel.is_free
    clock[0] += 0.2 * module.PUBLISH_EVERY
    assert channel.is_free
