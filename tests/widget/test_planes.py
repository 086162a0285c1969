import time

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.widget.pipeline import Pipeline
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, sent_slices, state

DATA, VAL = digits(200), tuple(t[200:] for t in digits(300))
SAMPLER = lw.samplers.Minima(n=20)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture(autouse=True)
def none_ahead(monkeypatch):
    """Nothing is answered that was not asked for."""
    monkeypatch.setattr("landscape_widgets.widget.sides.plane.AHEAD_SECONDS", 0.0)
    monkeypatch.setattr("landscape_widgets.widget.sides.norms.is_cheap", lambda land: False)


@pytest.fixture
def widget(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, val_data=VAL, sampler=SAMPLER, reducer="pca")
    widget.wait(60)
    yield widget
    widget.close()


def ask(widget, a: int, b: int) -> None:
    say(widget, "ask", name="plane", of={"directions": [a, b], "metrics": False})


def plane(widget) -> dict:
    """What the page was sent of it."""
    return state(widget, "answers")["plane"]


def work(widget) -> dict:
    """How far the plane is."""
    return state(widget, "asked")["plane"]


def watch(widget, name: str, react=lambda count: None) -> list[dict]:
    """All values of a trait, or of answers the planes; `react` is told how many there were."""
    seen = []

    def see(change) -> None:
        seen.append(change.new["plane"] if name == "_answers" else change.new)
        react(len(seen))

    widget.observe(see, name)
    return seen


def test_a_plane_comes_coarse_to_fine_and_ends_as_the_landscape_s_own(widget):
    planes = watch(widget, "_answers")
    ask(widget, 10, 15)
    widget.wait(60)
    assert work(widget)["state"] == "done"
    assert len(planes) >= 3
    truth = widget.landscape.plane(10, 15)
    final = planes[-1]
    assert final["of"]["directions"] == [10, 15]
    assert final["size"] == 51
    assert final["extent"] == [-0.5, 1.5]
    np.testing.assert_allclose(floats(final["values"]["loss"]), truth.losses.ravel(), rtol=1e-4)
    np.testing.assert_allclose(
        floats(final["values"]["val_loss"]), truth.values["val_loss"].ravel(), rtol=1e-4
    )
    np.testing.assert_allclose(final["gram"], truth.gram.ravel())
    error, cost = final["text"]
    assert cost == f"{truth.evaluations:,} evaluations instead of 2,601"
    short_of_it = "" if truth.converged else ", more than 0.5%"
    assert error.endswith(f"% (95th percentile) at 64 points held out{short_of_it}")
    coarse = floats(planes[0]["values"]["loss"])
    assert np.isfinite(coarse).all()
    assert planes[0]["text"][0].endswith(", more than 0.5%")


def test_a_plane_that_was_drawn_is_not_drawn_again(widget, monkeypatch):
    ask(widget, 2, 5)
    widget.wait(60)
    first = plane(widget)
    ask(widget, 1, 5)
    widget.wait(60)
    assert plane(widget)["of"]["directions"] == [1, 5]
    monkeypatch.setattr(widget.landscape, "plane", None)
    ask(widget, 2, 5)
    widget.wait(60)
    assert plane(widget) == first
    assert work(widget)["state"] == "done"


def test_a_plane_that_is_no_longer_wanted_ends_early_and_keeps_what_there_is(widget):
    def give_up(count: int) -> None:
        say(widget, "no answer", name="plane")

    planes = watch(widget, "_answers", give_up)
    ask(widget, 2, 5)
    widget.wait(60)
    assert work(widget)["state"] == "stopped"
    assert len(planes) == 1
    assert plane(widget)["of"]["directions"] == [2, 5]
    assert np.isfinite(floats(plane(widget)["values"]["loss"])).all()


def test_another_plane_ends_the_one_before(widget):
    def think_again(count: int) -> None:
        if count == 1:
            ask(widget, 1, 4)

    planes = watch(widget, "_answers", think_again)
    ask(widget, 2, 5)
    widget.wait(60)
    assert [plane["of"]["directions"] for plane in planes[:2]] == [[2, 5], [1, 4]]
    assert plane(widget)["of"]["directions"] == [1, 4]
    assert work(widget)["state"] == "done"


def test_slices_that_are_asked_for_come_before_the_rest_of_a_plane(widget):
    slices_then = []

    def point_at_one(count: int) -> None:
        if count == 1:
            say(widget, "slices", indices=[7])
        slices_then.append(np.isfinite(sent_slices(widget).reshape(24, -1)[7]).all())

    planes = watch(widget, "_answers", point_at_one)
    ask(widget, 2, 5)
    widget.wait(60)
    assert not slices_then[0]
    assert slices_then[1]
    assert len(planes) > 2


def test_a_plane_comes_before_slices_that_wait(widget, monkeypatch):
    put, known, planes = widget.session.slices.profile.put, [], []

    def ask_for_a_plane(found):
        put(found)
        if not planes:
            ask(widget, 2, 5)

    monkeypatch.setattr(widget.session.slices.profile, "put", ask_for_a_plane)

    def see(change) -> None:
        planes.append(change.new["plane"])
        known.append(int(np.isfinite(sent_slices(widget).reshape(24, -1)[:, 0]).sum()))

    widget.observe(see, "_answers")
    say(widget, "slices", indices=list(range(24)))
    widget.wait(60)
    assert work(widget)["state"] == "done"
    assert len(planes) > 2
    assert set(known) == {16}
    assert np.isfinite(sent_slices(widget)).all()


def test_stop_lets_go_of_a_plane_that_waits(widget):
    def stop(count: int) -> None:
        if count == 1:
            ask(widget, 2, 5)
            widget.stop()

    watch(widget, "_profiles", stop)
    say(widget, "slices", indices=[7])
    widget.wait(60)
    assert work(widget)["state"] == "stopped"
    say(widget, "slices", indices=[8])
    widget.wait(60)
    assert "plane" not in state(widget, "answers")


def test_a_plane_comes_before_slices_that_nobody_has_asked_for(model, monkeypatch):
    def slow(outputs, targets):
        time.sleep(1e-3)
        return nn.functional.cross_entropy(outputs, targets)

    own, known = Pipeline.report, []

    def report(self, progress):
        own(self, progress)
        if progress.phase == "ahead" and not known:
            known.append(progress.done)
            ask(widget, 2, 5)

    monkeypatch.setattr(Pipeline, "report", report)
    monkeypatch.setattr("landscape_widgets.widget.slices.BLOCK_SECONDS", 0.01)
    options = {"loss": slow, "sampler": SAMPLER, "reducer": "pca"}
    widget, left = lw.LandscapeWidget(model, DATA, start=False, **options), []

    def see(count: int) -> None:
        if plane(widget)["of"]["directions"] == [2, 5] and work(widget)["state"] != "done":
            left.append(int(np.isnan(sent_slices(widget).reshape(24, -1)[:, 0]).sum()))

    watch(widget, "_answers", lambda count: see(count) if count > 1 else None)
    widget.start()
    widget.wait(120)
    assert work(widget)["state"] == "done"
    assert left[-1] > 0
    assert np.isfinite(sent_slices(widget)).all()
    widget.close()


def test_samples_on_one_line_with_the_trained_weights_are_told_so(widget):
    ask(widget, 0, 5)
    widget.wait(60)
    assert work(widget)["state"] == "error"
    assert "lie on one line through θ*" in work(widget)["message"]
    assert state(widget, "progress")["state"] == "done"


def test_other_samples_have_other_planes(widget):
    ask(widget, 2, 5)
    widget.wait(60)
    say(widget, "choose", what="sampler", key="subspace")
    widget.wait(120)
    assert state(widget, "answers") == state(widget, "asked") == {}


def test_a_whole_plane_comes_with_the_places_of_the_samples(widget):
    planes = watch(widget, "_answers")
    ask(widget, 10, 15)
    widget.wait(60)
    land = widget.landscape
    truth = land.plane(10, 15).project(land.cloud)
    scale = land.cloud.radii().max()
    assert "points" not in planes[0]
    points = floats(planes[-1]["points"]).reshape(-1, 2)
    np.testing.assert_allclose(points, truth.coordinates, atol=1e-5)
    np.testing.assert_allclose(floats(planes[-1]["distances"]), truth.distances, atol=1e-5 * scale)


def test_planes_along_other_directions_are_asked_for_by_name(widget):
    for name in ("random", "gradient", "hessian", "trajectory"):
        say(widget, "ask", name="plane", of={"directions": name, "metrics": False})
        widget.wait(60)
        assert work(widget)["of"]["directions"] == name
        assert work(widget)["state"] == ("error" if name == "trajectory" else "done")
        if name == "hessian":
            assert all(text.startswith("eigenvalue ") for text in plane(widget)["names"])
    assert "lie on paths" in work(widget)["message"]
