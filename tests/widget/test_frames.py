"""A map that is watched while it is made, and stopped on the way."""

import time

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.reducers import TSNE, Frame
from landscape_widgets.samplers import Subspace
from landscape_widgets.widget.film import MOST_FRAMES, Film
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, state

DATA = digits(100)
FEW = Subspace(n=60, radius=1.0)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(8), DATA, 60)


@pytest.fixture
def widget(model):
    """A widget with its samples, and a map that is made at once; the browser draws at once too."""
    widget = lw.LandscapeWidget(model, DATA, sampler=FEW, reducer="pca")
    widget.wait(60)
    say(widget, "drawn", frame=state(widget, "frame"))
    widget.observe(lambda change: say(widget, "drawn", frame=change.new), "_frame")
    yield widget
    widget.close()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_the_points_and_the_curve_move_while_the_map_is_made(widget):
    curves, places = [], []
    widget.observe(lambda change: curves.append(change.new), "_trace")
    widget.observe(lambda change: places.append(change.new), "_points")
    widget.reducer = TSNE(8)
    widget.wait(60)
    live = [curve for curve in curves if curve["live"]]
    lengths = [len(curve["values"]) for curve in live]
    assert lengths[0] == 0
    assert lengths == sorted(lengths)
    assert lengths[-1] >= 10
    assert len(set(places)) >= 10
    assert {curve["name"] for curve in live} == {"KL divergence"}
    assert live[-1]["total"] == 500
    assert live[-1]["phases"][0] == "early exaggeration"
    last = curves[-1]
    assert last["live"] is False
    assert last["values"][: lengths[-1]] == live[-1]["values"]


@pytest.mark.parametrize("reducer", [TSNE(8, iterations=10**6)])
def test_stopping_keeps_the_last_map_that_was_shown_and_all_frames_up_to_it(widget, reducer):
    widget.selected = (3,)
    widget.reducer = reducer
    wait_for(lambda: state(widget, "trace")["live"] and len(state(widget, "trace")["values"]) >= 8)
    assert "being laid out" in state(widget, "info")["title"]
    widget.stop()
    widget.wait(30)
    land, trace = widget.landscape, state(widget, "trace")
    assert state(widget, "progress")["state"] == "stopped"
    assert trace["live"] is False
    frames = floats(state(widget, "frames")).reshape(len(trace["values"]), 61, 2)
    assert len(frames) >= 8
    assert land.reducer is reducer
    np.testing.assert_allclose(
        floats(state(widget, "points")).reshape(61, 2), land.coordinates, rtol=1e-6
    )
    np.testing.assert_allclose(frames[-1], land.coordinates, rtol=1e-6)
    assert trace["values"][-1] == pytest.approx(reducer.info["kl_divergence"])
    assert f"stopped at iteration {trace['iterations'][-1]:,}" in state(widget, "info")["title"]
    assert widget.selected == (3,)
    assert not state(widget, "trust")


@pytest.mark.parametrize("count", [1, 79, 80, 81, 200, 1000])
def test_of_a_long_film_evenly_spread_frames_are_kept_and_the_last(count):
    film = Film("KL divergence")
    for i in range(1, count + 1):
        film.add(Frame(i, 2000, np.zeros((3, 2)), 2000.0 - i, "t-SNE"), np.full((3, 2), float(i)))
    trace = film.trace(live=False)
    places = floats(film.pictures()).reshape(-1, 3, 2)
    iterations = np.array(trace["iterations"])
    assert min(count, MOST_FRAMES // 2) <= len(iterations) <= MOST_FRAMES
    assert (iterations[0], iterations[-1]) == (1, count)
    assert len(set(np.diff(iterations)[:-1])) <= 1
    np.testing.assert_array_equal(places[:, 0, 0], iterations)
    np.testing.assert_array_equal(trace["values"], 2000.0 - iterations)


def test_there_is_no_film_before_there_is_a_map(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=FEW, reducer="pca", start=False)
    assert state(widget, "frames") == b""
    assert state(widget, "trace")["values"] == []
    assert state(widget, "trace")["live"] is False
    widget.close()


def test_going_on_finishes_a_layout_that_was_stopped(widget):
    widget.reducer = TSNE(8, iterations=4000)
    wait_for(lambda: state(widget, "trace")["live"] and len(state(widget, "trace")["values"]) >= 4)
    widget.stop()
    widget.wait(30)
    assert state(widget, "progress")["state"] == "stopped"
    assert state(widget, "trace")["iterations"][-1] < state(widget, "trace")["total"]
    widget.start()
    widget.wait(60)
    assert state(widget, "progress")["state"] == "done"
    assert state(widget, "trace")["iterations"][-1] == state(widget, "trace")["total"]
    assert "stopped" not in state(widget, "info")["title"]
    stopped = widget.landscape.coordinates.copy()
    widget.landscape.embed(TSNE(8, iterations=4000))
    np.testing.assert_array_equal(stopped, widget.landscape.coordinates)
