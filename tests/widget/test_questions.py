"""What sides ask: answered once, ahead or on demand, the latest first, and stopped."""

import pytest

from landscape_widgets.progress import Cancelled, Progress, never
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.questions import Questions


@pytest.fixture
def page() -> dict:
    """What the browser has."""
    return {}


@pytest.fixture
def channel(page):
    return Channel(page.update, lambda message, buffers: None)


def square(land, of, *, show, progress, cancelled):
    show({"value": 0})
    if of["x"] < 0:
        raise ValueError(f"x = {of['x']}; 0 or more is expected.")
    return {"value": land * of["x"] ** 2}


def test_an_answer_says_what_it_is_of_and_is_given_again_without_work(channel, page):
    asked = []

    def counting(land, of, **told):
        asked.append(of)
        return square(land, of, **told)

    questions = Questions(channel, lambda urgency: None, {"square": counting})
    for x in (2, 3, 2):
        questions.ask("square", {"x": x})
        assert page["_asked"]["square"]["state"] == "waiting"
        questions.serve(10, never)
        assert page["_answers"]["square"] == {"of": {"x": x}, "value": 10 * x * x}
        assert page["_asked"]["square"]["state"] == "done"
    assert asked == [{"x": 2}, {"x": 3}]
    questions.forget()
    assert page["_answers"] == page["_asked"] == {}
    questions.ask("square", {"x": 2})
    questions.serve(10, never)
    assert len(asked) == 3


def test_what_is_wrong_with_a_question_is_told_and_the_next_is_answered(channel, page):
    questions = Questions(channel, lambda urgency: None, {"square": square, "cube": square})
    questions.ask("cube", {"x": 2})
    questions.ask("square", {"x": -1})
    questions.serve(1, never)
    assert page["_asked"]["square"]["state"] == "error"
    assert page["_asked"]["square"]["message"] == "x = -1; 0 or more is expected."
    assert page["_asked"]["cube"]["state"] == "done"
    with pytest.raises(KeyError):
        questions.ask("root", {"x": 2})


def test_a_newer_question_ends_the_one_before_and_keeps_what_was_shown(channel, page):
    ended = []

    def slow(land, of, *, show, progress, cancelled):
        show({"value": "rough"})
        if of["x"] == 1:
            questions.ask("slow", {"x": 2})
            ended.append(cancelled())
            raise Cancelled
        return {"value": "fine"}

    questions = Questions(channel, lambda urgency: None, {"slow": slow})
    questions.ask("slow", {"x": 1})
    questions.serve(None, never)
    assert ended == [True]
    assert page["_answers"]["slow"] == {"of": {"x": 2}, "value": "fine"}
    assert page["_asked"]["slow"]["state"] == "done"


def test_what_is_answered_ahead_is_there_when_it_is_asked_for(channel, page):
    done = []

    def once(land, of, **told):
        done.append(of)
        return {"value": 1}

    questions = Questions(channel, lambda urgency: None, {"once": once})
    questions.answer_ahead(None, "once", {"x": 1}, never)
    assert page["_answers"]["once"] == {"of": {"x": 1}, "value": 1}
    questions.ask("once", {"x": 1})
    questions.serve(None, never)
    assert done == [{"x": 1}]
    assert page["_asked"]["once"]["state"] == "done"


def test_work_that_nobody_has_asked_for_gives_way_to_what_is_asked(channel, page):
    order = []

    def slow(land, of, *, show, progress, cancelled):
        if of["x"] == 1:
            questions.ask("other", {"x": 2})
            progress(Progress("losses", 1, 2))
        order.append(of["x"])
        return {}

    give_way = lambda urgency: questions.serve(None, never)  # noqa: E731
    questions = Questions(channel, give_way, {"slow": slow, "other": slow})
    questions.answer_ahead(None, "slow", {"x": 1}, never)
    assert order == [2, 1]
    assert {name: asked["state"] for name, asked in page["_asked"].items()} == {
        "slow": "done",
        "other": "done",
    }
