"""The slices come before the map is judged, and the progress line says what is waited for."""

import numpy as np
import pytest

import landscape_widgets as lw
from landscape_widgets.profiles.line import ALPHAS
from landscape_widgets.progress import ignore
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.slices import Slices
from tests.models import digits, mlp, train
from tests.widget.page import sent_slices

DATA = digits(200)
SAMPLER = lw.samplers.Subspace(k=3, n=23)


@pytest.fixture(scope="module")
def model():
    return train(mlp(), DATA, 60)


@pytest.fixture(autouse=True)
def however_slow_the_machine(monkeypatch):
    for name in ("AT_ONCE", "FIRST_SECONDS", "PROFILE_SECONDS", "HALF_ABOVE"):
        monkeypatch.setattr(f"landscape_widgets.widget.slices.{name}", 1e9)


def said_and_drawn(model) -> list[tuple[str, bool]]:
    """What the progress line said, and whether all slices were there by then."""
    found = []

    def look(change) -> None:
        floats = sent_slices(widget)
        there = floats.size == 24 * len(ALPHAS) and bool(np.isfinite(floats).all())
        found.append((change["new"]["phase"], there))

    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER, reducer="pca", start=False)
    widget.observe(look, "_progress")
    widget.start()
    widget.wait(120)
    widget.close()
    return found


def test_slices_that_take_little_time_are_whole_before_the_map_is_judged(model):
    assert ("judging the map", True) in said_and_drawn(model)


def test_a_phase_is_told_however_soon_after_another_it_begins(model):
    phases = [phase for phase, _ in said_and_drawn(model)]
    assert {"laying out the map", "taking slices ahead", "judging the map"} <= set(phases)


def test_the_pace_of_slices_is_measured_where_sampling_took_longer(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.AT_ONCE", 0.5)
    monkeypatch.setattr("landscape_widgets.widget.slices.FIRST_SECONDS", 60.0)  # for all of them
    land = lw.Landscape(model, DATA).sample(SAMPLER)
    sent = {}
    slices = Slices(
        Channel(sent.update, lambda message, buffers: None), ignore, ignore, lambda least: None
    )
    slices.begin(land)
    slices.fit(0.05)  # s a loss, at which a part of the data would have to do
    slices.compute_first(lambda: False)
    assert not sent["_estimates"]
    np.testing.assert_allclose(
        np.frombuffer(sent["_profiles"]["loss"], dtype=np.float32).reshape(24, -1),
        land.slice(range(24)).losses,
        rtol=1e-5,
    )
