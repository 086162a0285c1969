import shutil
import time

import numpy as np
import pytest
import traitlets
from torch import nn

import landscape_widgets as lw
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, state

DATA = digits(200)
SAMPLER = lw.samplers.Subspace(n=100)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture
def widget(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER, reducer="pca")
    widget.wait(120)
    yield widget
    widget.close()


def values(trust: dict) -> dict[str, str]:
    return {readout["name"]: readout["value"] for readout in trust["readouts"]}


def test_the_agreement_of_other_maps_comes_after_the_other_readouts(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER, reducer="pca", start=False)
    seen = []
    widget.observe(lambda change: seen.append(change.new), "_trust")
    widget.start()
    widget.wait(120)
    first, last = (values(trust) for trust in seen[-2:])
    aligned, shared = widget.landscape.agreement()
    assert list(first) == list(last)
    assert first["neighbours on other maps"] == first["layout of other maps"] == "…"
    assert last["neighbours on other maps"] == f"{shared:.2f}"
    assert last["layout of other maps"] == f"{aligned:.2f}"
    widget.close()


def test_a_null_is_laid_beside_the_map_and_taken_away_again(widget):
    widget.selected = (3, 4)
    before = state(widget, "points"), state(widget, "columns"), state(widget, "trust")
    widget.compare_with = "shuffled"
    widget.wait(60)
    null = state(widget, "null")
    assert null["points"] == state(widget, "points")
    shown, real = floats(null["columns"]["loss"]), floats(state(widget, "columns")["loss"])
    np.testing.assert_array_equal(np.sort(shown), np.sort(real))
    assert (shown != real).mean() > 0.9
    assert null["trust"]["sentence"] == "The loss cannot be read from this map."
    assert values(null["trust"]).keys() == values(state(widget, "trust")).keys()
    widget.compare_with = "nothing"
    assert state(widget, "null") == {}
    assert (state(widget, "points"), state(widget, "columns"), state(widget, "trust")) == before
    assert widget.selected == (3, 4)
    assert state(widget, "progress")["state"] == "done"


def test_the_null_is_made_anew_with_the_map(widget):
    widget.compare_with = "isotropic"
    widget.wait(60)
    first = floats(state(widget, "null")["points"]).reshape(-1, 2)
    assert len(first) == 101
    say(widget, "choose", what="space", key="outputs")
    widget.wait(60)
    expected = widget.landscape.null("isotropic")
    assert expected.space == "outputs"
    np.testing.assert_allclose(
        floats(state(widget, "null")["points"]).reshape(-1, 2),
        expected.coordinates,
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_null_that_is_asked_for_before_there_is_a_map_waits_for_it(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER, reducer="pca", start=False)
    widget.compare_with = "walk"
    widget.wait(30)
    assert state(widget, "null") == {}
    widget.start()
    widget.wait(120)
    assert state(widget, "null")["kind"] == "walk"
    assert state(widget, "null")["trust"]["sentence"].startswith("This looks like a random walk")
    widget.close()


def slow_down(widget: lw.LandscapeWidget, monkeypatch) -> None:
    """Let each loss take so long that a null is in the making for a while."""
    evaluate = widget.landscape.objective.evaluate

    def slowly(basis, coefficients, **options):
        asked = options["cancelled"]
        deadline = time.monotonic() + 10
        while not asked() and time.monotonic() < deadline:
            time.sleep(0.01)
        return evaluate(basis, coefficients, **options)

    monkeypatch.setattr(widget.landscape.objective, "evaluate", slowly)


def test_stop_ends_the_null_alone(widget, monkeypatch):
    slow_down(widget, monkeypatch)
    before, started = state(widget, "points"), time.monotonic()
    widget.compare_with = "isotropic"
    while state(widget, "progress")["state"] != "running" and time.monotonic() < started + 5:
        time.sleep(0.01)
    assert state(widget, "progress")["phase"] == "mapping the null"
    widget.stop()
    widget.wait(5)
    assert widget.compare_with == "nothing"
    assert state(widget, "null") == {}
    assert state(widget, "points") == before
    assert state(widget, "progress")["state"] == "done"


def test_another_null_takes_the_place_of_one_in_the_making(widget, monkeypatch):
    slow_down(widget, monkeypatch)
    widget.compare_with = "isotropic"
    time.sleep(0.2)
    widget.compare_with = "shuffled"
    widget.wait(8)  # the first would have taken longer
    assert state(widget, "null")["kind"] == "shuffled"


def test_a_null_that_cannot_be_made_says_why_and_is_let_go(widget, monkeypatch):
    monkeypatch.setattr(
        "landscape_widgets.samplers.vector_storage.free_memory", lambda device: 1000
    )
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    widget.compare_with = "walk"
    with pytest.raises(ValueError, match="Ask for fewer samples"):
        widget.wait(30)
    assert widget.compare_with == "nothing"
    assert "Ask for fewer samples" in state(widget, "progress")["message"]


def test_an_unknown_null_names_the_near_one(widget):
    with pytest.raises(traitlets.TraitError, match="Did you mean 'isotropic'"):
        widget.compare_with = "isotropc"
