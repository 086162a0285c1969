"""What the page is told of a point: of θ* by itself, of others once it asks."""

from __future__ import annotations

import pytest

import landscape_widgets as lw
from tests.models import digits, mlp, train
from tests.widget.page import say, state

DATA, VAL = digits(200), tuple(part[200:] for part in digits(300))


@pytest.fixture
def widget():
    sampler = lw.samplers.Minima(n=20)
    model = train(mlp(), DATA, 60)
    widget = lw.LandscapeWidget(model, DATA, val_data=VAL, sampler=sampler, reducer="pca")
    widget.wait(60)
    yield widget
    widget.close()


def test_the_page_is_told_what_the_trained_weights_are_before_it_asks(widget):
    found = widget.landscape.diagnosed()
    assert state(widget, "info")["diagnosis"] == found.sentence
    told = state(widget, "answers")["point"]
    assert told["of"] == {"sample": 0}
    kinds = [verdict["kind"] for verdict in told["verdicts"]]
    assert kinds == [found.place.kind, found.fit.kind]


def test_a_sample_is_diagnosed_when_the_page_asks(widget):
    say(widget, "ask", name="point", of={"sample": 2})
    widget.wait(60)
    told, found = state(widget, "answers")["point"], widget.landscape.diagnosed(2)
    assert told["of"] == {"sample": 2}
    assert [said["words"] for said in told["verdicts"]] == [found.place.words, found.fit.words]
    evidence = {name: (value, error) for name, value, error in told["evidence"]}
    assert float(evidence["loss"][0]) == pytest.approx(found.evidence.loss, rel=5e-3)
    assert evidence["loss"][1] == ""
    assert float(evidence["gap"][1]) == pytest.approx(found.evidence.gap_error, rel=0.06)
    assert state(widget, "info")["diagnosis"] == widget.landscape.diagnosed(0).sentence


def test_a_sample_that_is_not_there_is_told_as_that(widget):
    say(widget, "ask", name="point", of={"sample": 999})
    widget.wait(60)
    asked = state(widget, "asked")["point"]
    assert asked["state"] == "error"
    assert "Sample 999 was asked for" in asked["message"]
