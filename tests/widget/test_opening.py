"""What the slice shows before anything is selected."""

import numpy as np
import pytest

import landscape_widgets as lw
from landscape_widgets import Landscape, samplers
from landscape_widgets.samplers import Recorder
from landscape_widgets.widget import wire
from landscape_widgets.widget.opening import opening, opening_plane
from tests.models import digits, mlp, train
from tests.widget.page import say, state

DATA = digits(150)


@pytest.fixture(scope="module")
def model():
    return train(mlp(), DATA, 60)


def opened(model, sampler) -> tuple[Landscape, list[int]]:
    land = Landscape(model, DATA, metrics=[]).sample(sampler)
    return land, opening(land)


def test_the_first_three_minima_are_shown_in_the_order_of_their_names(model):
    land, found = opened(model, samplers.Minima(k=4, n=20))
    kinds = land.cloud.table["kind"]
    assert found == kinds.index[kinds.eq("minimum")].tolist()[:3]
    assert wire.info(land, False)["opening"] == found


def test_descents_that_still_fall_are_shown_by_the_names_of_their_ends(model):
    land, found = opened(model, samplers.Minima(k=3, n=20, steps=5, finish=1))
    assert land.cloud.table["kind"][found].tolist() == ["end"] * 3


def test_other_models_are_shown_where_there_are_some(model):
    other = train(mlp(seed=1), DATA, 60)
    land, found = opened(model, samplers.Interpolation([other], points=4, curve=False))
    assert land.cloud.table["kind"][found].tolist() == ["model", "model"]


def test_of_a_training_the_last_checkpoint_and_the_first_are_shown():
    model = mlp()
    recorder = Recorder(model)
    for _ in range(4):
        train(model, DATA, 5)
        recorder.step()
    land, found = opened(model, samplers.Trajectory(recorder))
    steps = land.cloud.table["step"][found].tolist()
    others = land.cloud.table["step"][1:]
    assert steps == [others.max(), others.min()]


def test_of_mere_samples_those_with_the_lowest_losses_are_shown(model):
    land, found = opened(model, samplers.Subspace(n=30))
    assert found == sorted(np.argsort(land.losses[1:])[:3] + 1)


def test_nothing_is_shown_of_samples_that_are_not_evaluated(model):
    land = Landscape(model, DATA, metrics=[])
    assert opening(land) == []
    land.sample(samplers.Minima(n=20), cancelled=lambda: land.cloud is not None)
    assert set(opening(land)) <= set(np.flatnonzero(land.evaluated))


def test_the_first_two_of_them_that_span_one_are_the_plane(model):
    land, found = opened(model, samplers.Minima(k=3, n=20))
    assert opening_plane(land) == found[:2]
    # Samples on one line through θ* span none.
    land, found = opened(model, samplers.Subspace(k=1, n=20))
    assert len(found) == 3
    assert opening_plane(land) == []
    assert wire.info(land, False)["opening_plane"] == []


def test_the_plane_is_there_before_anybody_asks(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=samplers.Minima(n=40), reducer="pca")
    widget.wait(120)
    told, drawn = state(widget, "asked")["plane"], state(widget, "answers")["plane"]
    pair = state(widget, "info")["opening_plane"]
    widget.close()
    assert len(pair) == 2
    assert told["state"] == "done"
    assert drawn["of"] == told["of"] == {"directions": pair, "metrics": False}


def test_a_plane_that_takes_too_long_is_left_until_it_is_asked_for(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.sides.plane.AHEAD_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, sampler=samplers.Minima(n=40), reducer="pca")
    widget.wait(120)
    left = state(widget, "asked")
    of = {"directions": state(widget, "info")["opening_plane"], "metrics": False}
    say(widget, "ask", name="plane", of=of)
    widget.wait(120)
    asked = state(widget, "asked")["plane"]
    widget.close()
    assert "plane" not in left
    assert (asked["of"], asked["state"]) == (of, "done")
