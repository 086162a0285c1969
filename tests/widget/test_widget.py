import asyncio
import gc
import itertools
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import traitlets
from torch import nn

import landscape_widgets as lw
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, sent_slices, state

DATA, VAL = digits(200), tuple(t[200:] for t in digits(300))
SAMPLER = lw.samplers.Minima(n=120)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture(scope="module", autouse=True)
def all_of_the_data():
    """Slices are not estimated from a part, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landscape_widgets.widget.slices.AT_ONCE", 1e9)
        yield


def finished(model) -> lw.LandscapeWidget:
    widget = lw.LandscapeWidget(model, DATA, val_data=VAL, sampler=SAMPLER)
    widget.wait(120)
    return widget


@pytest.fixture(scope="module")
def shared(model):
    widget = finished(model)
    yield widget
    widget.close()


@pytest.fixture
def widget(shared):
    """One for all tests that change no more of it than what is selected."""
    yield shared
    shared.selected = ()
    shared.colour_by = "loss"


@pytest.fixture
def own(model):
    """One for a single test, which may make of it what it likes."""
    widget = finished(model)
    yield widget
    widget.close()


def slow_loss(model, batch):
    time.sleep(0.003)
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def test_the_call_returns_at_once_and_the_work_goes_on_beside_it(model):
    widget = lw.LandscapeWidget(model, DATA, loss=slow_loss, sampler="subspace")
    assert widget.session.worker.busy
    widget.close()
    assert not widget.session.worker.busy


def test_the_browser_has_all_it_needs_once_the_work_is_done(widget):
    land = widget.landscape
    n = len(land.cloud)
    points = floats(state(widget, "points")).reshape(n, 2)
    np.testing.assert_allclose(points, land.coordinates, rtol=1e-6)
    np.testing.assert_allclose(floats(state(widget, "columns")["loss"]), land.losses, rtol=1e-6)
    np.testing.assert_allclose(
        floats(state(widget, "columns")["gap"]), land.val_losses - land.losses, rtol=1e-4, atol=1e-6
    )
    profiles = sent_slices(widget).reshape(n, len(state(widget, "alphas")))
    line = land.slice([7], state(widget, "alphas"))
    np.testing.assert_allclose(profiles[7], line.losses[0], rtol=1e-5)
    val = sent_slices(widget, "val_loss").reshape(n, -1)
    np.testing.assert_allclose(val[7], line.values["val_loss"][0], rtol=1e-5)
    assert state(widget, "progress")["state"] == "done"
    assert {0.0, 1.0} <= set(state(widget, "alphas"))


def test_where_no_widget_can_be_shown_a_line_says_what_to_do(widget):
    data, _ = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert "Run this cell" in data["text/plain"]


def test_the_caption_says_how_the_samples_were_evaluated(widget):
    land = widget.landscape
    assert "vector" in land.strategy
    assert f"evaluated {land.strategy}" in state(widget, "info")["caption"]


def test_the_selection_can_be_set_read_and_observed(widget):
    seen = []
    widget.observe(lambda change: seen.append(change.new), "selected")
    widget.selected = [5, np.int64(2)]
    assert seen == [(5, 2)]
    assert list(widget.selection.index) == [5, 2]
    assert widget.selection["loss"][2] == widget.landscape.losses[2]


@pytest.mark.parametrize(
    "given", [[3, 4], range(3, 5), np.array([3, 4]), pd.Index([3, 4]), pd.Series([3, 4])]
)
def test_a_selection_may_be_any_sequence_of_numbers(widget, given):
    widget.selected = given
    assert widget.selected == (3, 4)
    widget.selected = ()


LASSO = {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], "removes": False}


def test_a_selection_from_python_forgets_the_lassos_and_one_from_the_browser_brings_its_own(
    widget,
):
    for kept in ([LASSO], [LASSO, LASSO]):
        widget.set_state({"_lassos": kept, "selected": [1, 2, len(kept)]})
        assert state(widget, "lassos") == kept
    widget.set_state({"selected": [1, 2, 3]})  # as by Shift and a click: the lassos stay
    assert state(widget, "lassos") == [LASSO, LASSO]
    widget.selected = (17, 30)
    assert state(widget, "lassos") == []


def test_a_selection_that_python_makes_of_the_browser_s_forgets_the_lassos(widget):
    def take_one(change):
        widget.selected = change.new[:1]

    widget.observe(take_one, "selected")
    widget.set_state({"_lassos": [LASSO], "selected": [4, 5]})
    assert widget.selected == (4,)
    assert state(widget, "lassos") == []
    widget.unobserve(take_one, "selected")


@pytest.mark.parametrize("wrong", [(9999,), (-1,), ("a",), (1.5,)])
def test_a_selection_of_samples_that_are_not_there_is_refused_and_the_old_one_kept(widget, wrong):
    widget.selected = (3,)
    with pytest.raises(traitlets.TraitError, match="numbers of samples from 0 to"):
        widget.selected = wrong
    assert widget.selected == (3,)


def test_an_unknown_colour_names_the_near_one(widget):
    with pytest.raises(traitlets.TraitError, match="Did you mean 'radius'"):
        widget.colour_by = "radus"


def test_a_new_model_of_a_sample_leaves_the_users_model_alone(widget, model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = widget.model_at(4)
    assert type(other) is type(model)
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


def test_stop_keeps_what_is_done_and_start_goes_on(model):
    widget = lw.LandscapeWidget(model, DATA, loss=slow_loss, sampler="subspace")
    deadline = time.monotonic() + 60
    while widget.landscape.evaluated.sum() < 2 and time.monotonic() < deadline:  # θ* comes first
        time.sleep(0.01)
    widget.stop()
    widget.wait(30)
    done = int(widget.landscape.evaluated.sum())
    assert 0 < done < len(widget.landscape.cloud)
    assert state(widget, "progress")["state"] == "stopped"
    widget.start()
    time.sleep(0.5)
    widget.close()


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_script_that_ends_while_a_widget_works_ends_well(seconds):
    script = textwrap.dedent(
        f"""
        import time, torch, landscape_widgets as lw
        from tests.models import digits
        model = torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, 8, 8)), torch.nn.Conv2d(1, 16, 3), torch.nn.BatchNorm2d(16),
            torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(576, 10),
        )
        widget = lw.LandscapeWidget(model, digits(1000))
        time.sleep({seconds})
        assert widget.session.worker.busy
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_what_goes_wrong_in_the_work_is_shown_and_raised_by_wait(model):
    armed = threading.Event()  # cannot be copied, so that the loss's copy shares it

    def failing(outputs, targets):
        if armed.is_set():
            raise ZeroDivisionError("the loss gave up")
        return nn.functional.cross_entropy(outputs, targets)

    widget = lw.LandscapeWidget(model, DATA, loss=failing, sampler=SAMPLER)
    armed.set()
    with pytest.raises(ZeroDivisionError, match="gave up"):
        widget.wait(60)
    assert state(widget, "progress")["state"] == "error"
    assert "the loss gave up" in state(widget, "progress")["message"]
    widget.close()


def test_waiting_can_time_out_and_be_awaited(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER)
    with pytest.raises(TimeoutError, match="it goes on"):
        widget.wait(0.001)
    with ThreadPoolExecutor(1) as pool:  # a thread without an event loop of its own yet
        pool.submit(asyncio.run, widget.done()).result(60)
    assert widget.landscape.evaluated.all()
    widget.close()


def test_a_changed_map_evaluates_no_loss_again(own, monkeypatch):
    def forbidden(*arguments, **keywords):
        raise AssertionError("a loss was evaluated")

    monkeypatch.setattr(own.landscape.objective, "evaluate", forbidden)
    before = state(own, "points")
    say(own, "choose", what="reducer", key="pca")
    own.wait(60)
    assert state(own, "points") != before
    assert state(own, "info")["title"] == "PCA of weights"
    say(own, "choose", what="space", key="outputs")
    own.wait(60)
    assert state(own, "info")["title"] == "PCA of outputs"


def test_a_map_of_three_dimensions_evaluates_no_loss_again_and_has_frames_of_three(
    own, monkeypatch
):
    def forbidden(*arguments, **keywords):
        raise AssertionError("a loss was evaluated")

    monkeypatch.setattr(own.landscape.objective, "evaluate", forbidden)
    say(own, "choose", what="dimensions", key="3")
    own.wait(60)
    assert own.n_components == 3
    assert state(own, "chosen")["dimensions"] == "3"
    n = len(own.landscape.cloud)
    assert own.landscape.coordinates.shape == (n, 3)
    sent = floats(state(own, "points")).reshape(n, 3)
    np.testing.assert_allclose(sent, own.landscape.coordinates, rtol=1e-5)
    frames = floats(state(own, "frames")).reshape(len(state(own, "trace")["iterations"]), n, 3)
    np.testing.assert_array_equal(frames[-1], sent)
    monkeypatch.undo()  # slices are taken anew for another widget
    again = lw.LandscapeWidget.from_landscape(own.landscape)
    again.wait(60)
    assert again.n_components == 3
    again.close()
    with pytest.raises(ValueError, match="n_components=4; 2 or 3 is expected"):
        own.n_components = 4


def test_a_changed_sampler_samples_anew(own):
    say(own, "choose", what="sampler", key="rays")
    own.wait(120)
    assert set(own.landscape.cloud.table["sampler"]) == {"Rays"}
    assert state(own, "chosen")["sampler"] == "rays"


def test_the_frames_of_the_map_are_there_to_be_replayed(widget):
    trace = state(widget, "trace")
    assert trace["name"] == "KL divergence"
    n, count = len(widget.landscape.cloud), len(trace["iterations"])
    assert count >= 10
    frames = floats(state(widget, "frames")).reshape(count, n, 2)
    np.testing.assert_allclose(frames[-1], widget.landscape.coordinates, rtol=1e-5)
    assert trace["values"][-1] == pytest.approx(widget.landscape.reducer.info["kl_divergence"])


def test_refining_adds_samples_around_the_selection_and_moves_nothing(own):
    before = own.landscape.coordinates.copy()
    with pytest.raises(ValueError, match="Nothing is selected"):
        own.refine()
    own.selected = (4, 9)
    own.refine(30)
    own.wait(60)
    n = len(before)
    points = floats(state(own, "points")).reshape(-1, 2)
    assert len(points) == n + 30
    np.testing.assert_allclose(points[:n], before, rtol=1e-6)
    assert own.selected == (4, 9)
    assert len(sent_slices(own)) == (n + 30) * len(state(own, "alphas"))
    assert set(own.landscape.to_frame()["sampler"][n:]) == {"refine"}


def test_colours_can_stand_for_the_distortion_of_each_sample(widget):
    widget.colour_by = "distortion"
    shown = floats(state(widget, "columns")["distortion"])
    assert ((shown >= 0) & (shown <= 1)).all()


def forget_slices(widget) -> None:
    slices = widget.session.slices
    slices.begin(widget.landscape, slices.profile.alphas)


def test_slices_that_the_browser_asks_for_come_first(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER)
    widget.wait(60)
    forget_slices(widget)
    say(widget, "slices", indices=[11])
    widget.wait(30)
    profiles = sent_slices(widget).reshape(len(widget.landscape.cloud), -1)
    assert np.isfinite(profiles[11]).all()
    assert np.isnan(profiles[12]).all()
    widget.close()


def watched(widget) -> list:
    """What the browser is told of the work from now on."""
    told = []
    widget.observe(lambda change: told.append(change.new), "_progress")
    return told


def test_slices_that_are_asked_for_are_counted_until_they_are_there(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, loss=slow_loss, sampler=SAMPLER)
    widget.wait(120)
    told = watched(widget)
    say(widget, "slices", indices=[5])
    widget.wait(30)
    told.clear()
    say(widget, "slices", indices=list(range(36)))
    widget.wait(30)
    assert [(p["phase"], p["done"], p["total"]) for p in told[:-1]] == [
        ("taking slices", done, 35) for done in (0, 16, 32)
    ]
    assert [p["state"] for p in told] == ["running"] * 3 + ["done"]
    widget.close()


def test_slices_that_are_asked_for_and_there_at_once_are_not_worth_a_word(own):
    forget_slices(own)
    told = watched(own)
    say(own, "slices", indices=[5])
    own.wait(30)
    assert own.session.slices.profile.has(5)
    assert told == []


def test_stop_lets_go_of_the_slices_that_were_asked_for(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, loss=slow_loss, sampler=SAMPLER)
    widget.wait(120)
    put = widget.session.slices.profile.put

    def stopping(found):
        put(found)
        widget.stop()

    monkeypatch.setattr(widget.session.slices.profile, "put", stopping)
    say(widget, "slices", indices=list(range(40)))
    widget.wait(30)
    profile = widget.session.slices.profile
    assert sum(map(profile.has, range(profile.n))) == 16
    assert not widget.session.slices.is_asked
    assert state(widget, "progress")["state"] == "done"
    widget.close()


def test_slices_that_are_wanted_no_more_are_not_taken_but_for_a_block_that_is_underway(
    model, monkeypatch
):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, loss=slow_loss, sampler=SAMPLER)
    widget.wait(120)
    put, blocks = widget.session.slices.profile.put, []

    def think_again(found):
        put(found)
        blocks.append(found.indices.tolist())
        if len(blocks) == 1:
            say(widget, "slices", indices=[3, 30])

    monkeypatch.setattr(widget.session.slices.profile, "put", think_again)
    say(widget, "slices", indices=list(range(40)))
    widget.wait(30)
    assert blocks == [list(range(39, 23, -1)), [3]]
    say(widget, "slices", indices=[4, 5, 30])
    widget.wait(30)
    assert blocks[2:] == [[5, 4]]
    widget.close()


def test_slices_ahead_are_said_to_end_with_their_time(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 2.0)
    widget = lw.LandscapeWidget(model, DATA, loss=slow_loss, sampler=SAMPLER)
    told = watched(widget)
    widget.wait(120)
    passes = [
        list(group)
        for phase, group in itertools.groupby(told, key=lambda told: told["phase"])
        if phase == "taking slices ahead"
    ]
    assert len(passes) == 2  # before the map is judged, and after
    assert passes[0][0]["done"] == 0
    for ahead in passes:
        assert ahead[0]["done"] < ahead[-1]["done"] < ahead[-1]["total"]
        assert ahead[-1]["total"] == len(widget.landscape.cloud)
        at_most = [p["at_most"] for p in ahead]
        assert at_most == sorted(at_most, reverse=True)
        assert 1 < at_most[0] <= 2
        # The time that all of them would take is longer.
        assert ahead[-1]["seconds_left"] > ahead[-1]["at_most"]
    assert passes[0][-1]["done"] <= passes[1][0]["done"]
    widget.close()


def test_closing_ends_the_thread_and_frees_the_landscape(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER)
    widget.wait(60)
    land, objective = (weakref.ref(x) for x in (widget.landscape, widget.landscape.objective))
    widget.close()
    assert "landscape-widgets" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(RuntimeError, match="closed"):
        widget.landscape  # noqa: B018
    del widget
    gc.collect()
    assert land() is None
    assert objective() is None


def test_a_finished_landscape_can_be_shown(model):
    land = lw.Landscape(model, DATA).sample(SAMPLER).embed("pca")
    losses = land.losses.copy()
    widget = lw.LandscapeWidget.from_landscape(land)
    widget.wait(60)
    np.testing.assert_array_equal(widget.landscape.losses, losses)
    assert state(widget, "info")["title"] == "PCA of weights"
    widget.close()


def test_a_landscape_from_a_file_can_be_shown(model, tmp_path):
    land = lw.Landscape(model, DATA).sample(SAMPLER).embed()
    land.save(tmp_path / "a.safetensors")
    loaded = lw.Landscape.load(tmp_path / "a.safetensors", model, DATA)
    widget = lw.LandscapeWidget.from_landscape(loaded)
    widget.wait(60)
    np.testing.assert_array_equal(widget.landscape.losses, land.losses)
    np.testing.assert_allclose(
        floats(state(widget, "points")).reshape(-1, 2), land.coordinates, rtol=1e-4, atol=1e-4
    )
    assert state(widget, "trust")["readouts"]
    widget.close()


def test_a_widget_that_does_not_start_waits_for_its_button(model):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER, start=False)
    assert state(widget, "progress")["state"] == "idle"
    say(widget, "start")
    widget.wait(60)
    assert state(widget, "progress")["state"] == "done"
    widget.close()


class TestBadInput:
    def test_a_misspelt_keyword_names_the_near_one(self, model):
        with pytest.raises(TypeError, match=r"unknown keyword 'val_dat'.*'val_data'"):
            lw.LandscapeWidget(model, DATA, val_dat=VAL)

    def test_an_unknown_reducer_or_sampler_or_space(self, model):
        with pytest.raises(ValueError, match="Did you mean 'UMAP'"):
            lw.LandscapeWidget(model, DATA, reducer="umpa")
        with pytest.raises(ValueError, match="Did you mean 'Minima'"):
            lw.LandscapeWidget(model, DATA, sampler="minma")
        with pytest.raises(ValueError, match="'weights' or 'outputs'"):
            lw.LandscapeWidget(model, DATA, space="wieghts")

    def test_more_directions_than_parameters(self):
        tiny = nn.Linear(64, 10, bias=False)
        with pytest.raises(ValueError, match="640 trainable parameters"):
            lw.LandscapeWidget(tiny, DATA, sampler=lw.samplers.Subspace(k=641, n=100))

    def test_a_negative_radius(self):
        with pytest.raises(ValueError, match="above 0 is expected"):
            lw.samplers.Subspace(radius=-1.0)

    def test_checkpoints_of_another_model(self, model):
        other = nn.Linear(64, 10).state_dict()
        with pytest.raises(ValueError, match="another model"):
            lw.LandscapeWidget(model, DATA, sampler=lw.samplers.Trajectory([other] * 100))
