"""What is done and in which order, without a browser and without a widget."""

import ast
import logging
import threading
import time
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.samplers import Minima, Subspace
from landscape_widgets.widget import session as module
from landscape_widgets.widget import slices, views
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.messages import Messages
from landscape_widgets.widget.preparation import Preparation
from landscape_widgets.widget.session import Session
from tests.models import digits, mlp, train
from tests.widget.page import floats

DATA = digits(60)
FEW = Subspace(n=40, radius=1.0)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(8), DATA, 60)


class Slow:
    """A loss that takes its time until it is told to hurry."""

    def __init__(self) -> None:
        self.hurry = threading.Event()  # shared with the copy that is called: it cannot be copied

    def __call__(self, model, batch):
        self.hurry.wait(0.03)
        return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Shown(dict):
    """What a page has, all values it took, and the messages that it got."""

    def __init__(self) -> None:
        super().__init__()
        self.past, self.messages = [], []

    def put(self, values) -> None:
        self.update(values)
        self.past += values.items()

    def send(self, message, buffers) -> None:
        self.messages.append(message)

    @property
    def phases(self) -> list[str]:
        told = [value for name, value in self.past if name == "_progress"]
        told = [value["phase"] or value["state"] for value in told]
        return [phase for phase, _ in groupby(told)]


@pytest.fixture
def make(model):
    """Makes sessions that are closed after the test, and what their page has."""
    made = []

    def make(start=True, data=DATA, sampler=FEW, **options):
        chosen = {"sampler": sampler, "reducer": "pca"}
        shown = Shown()
        build = lambda **told: lw.Landscape(model, data, **options, **told)  # noqa: E731
        session = Session(Preparation(build), Channel(shown.put, shown.send), **chosen)
        made.append(session)
        session.open()
        session.begin(start)
        return session, shown

    yield make
    for session in made:
        session.close()
        session.let_go()


def until(condition) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_nothing_that_it_is_made_of_knows_of_ipywidgets():
    folder = Path(module.__file__).parent
    seen, waiting = set(), ["session", "messages"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                parts = [alias.name for alias in node.names]
            else:
                continue
            roots = {part.split(".")[0] for part in parts}
            assert not roots & {"ipywidgets", "traitlets", "anywidget", "bqplot"}, name
            ours = [p.split(".")[2] for p in parts if p.startswith("landscape_widgets.widget.")]
            waiting += [part for part in ours if (folder / f"{part}.py").exists()]
    assert {"channel", "worker", "controls", "slices"} <= seen


def test_the_trained_weights_and_ends_of_descents_are_shown_while_the_rest_is_drawn(make):
    session, shown = make(sampler=Minima(n=30))
    session.wait(60)
    phase, told = "", []  # how many samples there were, at each phase of the work
    for name, value in shown.past:
        if name == "_progress":
            phase = value["phase"] or value["state"]
        elif name == "_points" and value:
            told.append((phase, len(floats(value)) // 2))
    while_drawn = [n for phase, n in told if phase != "evaluating losses"][:4]
    assert while_drawn == [1, 2, 3, 4]
    assert told[0][0] not in ("looking how far to go", "descending to minima")
    assert {n for phase, n in told if phase == "evaluating losses"} == {34}
    assert floats(shown["_evaluated"]).all()


def test_a_map_comes_before_it_is_judged_and_slices_of_all_before_others_are_compared(make):
    session, shown = make()
    session.wait(60)
    steps = ["evaluating losses", "laying out the map", "judging the map",
             "comparing with other maps", "done"]  # fmt: skip
    assert [phase for phase in shown.phases if phase in steps] == steps
    land = session.land
    np.testing.assert_allclose(floats(shown["_points"]).reshape(-1, 2), land.coordinates, rtol=1e-6)
    assert np.isfinite(floats(shown["_profiles"]["loss"])).all()


def test_one_that_is_not_started_waits(make):
    session, shown = make(start=False)
    assert not session.worker.busy
    assert shown["_info"]["title"] == "No samples yet"
    session.start()
    session.wait(60)
    assert shown["_progress"]["state"] == "done"


def test_slices_that_are_asked_for_come_while_losses_are_evaluated(make):
    loss = Slow()
    session, shown = make(loss=loss)
    until(lambda: session.land.evaluated.sum() > 2)
    session.ask_slices([5])
    until(lambda: session.slices.profile.n and session.slices.profile.has(5))
    assert not session.land.evaluated.all()
    loss.hurry.set()
    session.wait(60)
    assert shown["_progress"]["state"] == "done"


def test_slices_that_are_asked_for_survive_a_change_of_the_map(make, monkeypatch):
    monkeypatch.setattr(slices, "PROFILE_SECONDS", 0.0)
    session, _ = make()
    session.wait(60)
    session.ask_slices([5, 7])
    session.controls.set_map(reducer="mds")
    session.wait(60)
    assert [i for i in range(41) if session.slices.profile.has(i)] == [5, 7]
    assert session.land.reducer.name == "MDS"


def test_another_sampler_takes_the_place_of_the_work_and_another_reducer_does_not(make):
    loss = Slow()
    session, shown = make(loss=loss)
    until(lambda: session.land.evaluated.any())
    cloud = session.land.cloud
    session.controls.set_map(reducer="mds")
    assert session.land.cloud is cloud
    session.controls.set_sampler(Subspace(n=30, radius=1.0))
    loss.hurry.set()
    session.wait(60)
    assert len(session.land.cloud) == 31
    assert session.land.reducer.name == "MDS"
    assert "stopped" not in shown.phases


def test_what_is_stopped_is_kept_and_gone_on_with(make):
    loss = Slow()
    session, shown = make(loss=loss)
    until(lambda: session.land.evaluated.sum() > 2)
    session.stop()
    session.wait(60)
    done = session.land.evaluated.copy()
    assert 0 < done.sum() < len(done)
    assert shown["_progress"]["state"] == "stopped"
    loss.hurry.set()
    session.start()
    session.wait(60)
    assert session.land.evaluated.all()
    assert shown["_progress"]["state"] == "done"


def test_it_stops_where_nobody_looks_and_goes_on_for_who_comes_back(make, monkeypatch):
    monkeypatch.setattr(views, "GRACE", 0.0)
    loss = Slow()
    session, shown = make(loss=loss)
    messages = Messages(session, lambda: None, lambda: None)
    messages.take({"type": "view", "view": "a", "open": True})
    until(lambda: session.land.evaluated.any())
    messages.take({"type": "view", "view": "a", "open": False})
    until(lambda: not session.worker.busy)
    assert not session.land.evaluated.all()
    loss.hurry.set()
    messages.take({"type": "view", "view": "b", "open": True})
    until(lambda: not session.worker.busy)
    assert shown["_progress"]["state"] == "done"


def test_a_message_that_nobody_knows_is_an_error_in_the_log_that_names_the_near_one(make, caplog):
    session, _ = make(start=False)
    with caplog.at_level(logging.ERROR):
        Messages(session, lambda: None, lambda: None).take({"type": "slice", "indices": [1]})
    assert "type 'slice'. Did you mean 'slices'?" in caplog.text


def test_what_is_wrong_at_once_is_raised_and_leaves_no_thread(make):
    before = threading.active_count()
    with pytest.raises(ValueError, match="could not be run"):
        make(data=(DATA[0][:, :3], DATA[1]))
    with pytest.raises(ValueError, match="Did you mean 'Minima'"):
        Session(Preparation(lambda **told: None), Channel({}.update, print), sampler="minma")
    until(lambda: threading.active_count() == before)
