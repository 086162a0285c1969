import time
from itertools import pairwise

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.profiles.growing import GrowingSlices
from landscape_widgets.widget.pipeline import Pipeline
from tests.models import train
from tests.profiles.test_estimate import blobs, network
from tests.widget.page import floats, say, sent_slices, state

DATA, VAL = (tuple(t[s] for t in blobs(2500)) for s in (slice(0, 2000), slice(2000, None)))
SAMPLER = lw.samplers.Subspace(k=3, n=20)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(network(), DATA, 60)


@pytest.fixture
def at_once(monkeypatch):
    """As where data are so large that no slice of all of them is there at once."""
    monkeypatch.setattr("landscape_widgets.widget.slices.AT_ONCE", 1e-9)


@pytest.fixture
def on_request(at_once, monkeypatch):
    """Where there is no time for any slice that nobody has asked for."""
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)


def show(model, **keywords) -> lw.LandscapeWidget:
    keywords = {"val_data": VAL, "sampler": SAMPLER, "reducer": "pca", **keywords}
    widget = lw.LandscapeWidget(model, DATA, **keywords)
    widget.wait(60)
    return widget


def tell(widget, kind, *indices) -> None:
    say(widget, kind, indices=list(indices))
    widget.wait(60)


def sent(widget):
    """Losses, errors (n, A) and numbers of examples (n,), as the browser has them."""
    shape = (len(widget.landscape.cloud), len(state(widget, "alphas")))
    estimates = state(widget, "estimates")
    return (
        sent_slices(widget).reshape(shape),
        floats(estimates["errors"]["loss"]).reshape(shape),
        floats(estimates["examples"]),
    )


def test_slices_of_large_data_come_from_a_part_with_their_errors(model, on_request):
    widget = show(model)
    land, alphas = widget.landscape, np.array(state(widget, "alphas"))
    tell(widget, "slices", 5, 7)
    losses, errors, examples = sent(widget)
    assert 0 < examples[5] == examples[7] < state(widget, "estimates")["of"] == 2000
    assert np.isnan(losses[8]).all()
    assert (losses[[5, 7]][:, alphas == 0] == np.float32(land.objective.anchor_loss)).all()
    assert (errors[[5, 7]][:, alphas == 0] == 0).all()
    moved = alphas != 0
    truth = land.slice([5, 7], alphas)
    off = np.abs(losses[[5, 7]] - truth.losses)[:, moved] / errors[[5, 7]][:, moved]
    assert 0 < off.max() < 4
    val_errors = floats(state(widget, "estimates")["errors"]["val_loss"]).reshape(losses.shape)
    val = sent_slices(widget, "val_loss").reshape(losses.shape)
    off = np.abs(val[[5, 7]] - truth.values["val_loss"])[:, moved] / val_errors[[5, 7]][:, moved]
    assert 0 < off.max() < 4
    widget.close()


def test_what_is_on_the_screen_is_refined_until_its_error_is_within_the_tolerance(
    model, on_request
):
    widget = show(model, val_data=None)
    tell(widget, "slices", 5, 7)
    tolerance, steps = state(widget, "estimates")["tolerance"], [sent(widget)]
    while (steps[-1][1][[5, 7]] > tolerance * steps[-1][0][[5, 7]]).any():
        assert len(steps) < 10
        tell(widget, "doubted", 5, 7)
        steps.append(sent(widget))
    for (_, before, few), (_, after, more) in pairwise(steps):
        assert few[5] < more[5] == more[7]
        assert after[5].max() < before[5].max()
    assert len(steps) > 2
    assert np.isnan(steps[-1][0][8]).all()
    widget.close()


def test_a_slice_that_is_asked_for_comes_before_the_refinement_of_others(
    model, on_request, monkeypatch
):
    widget = show(model)
    tell(widget, "slices", 5)
    grow, grown = GrowingSlices.grow, []

    def spied(self, index, **keywords):
        if not grown:
            say(widget, "slices", indices=[9])  # while the other is about to be refined
        grown.append(index)
        return grow(self, index, **keywords)

    monkeypatch.setattr(GrowingSlices, "grow", spied)
    before = sent(widget)[2].copy()
    tell(widget, "doubted", 5)
    assert grown == [5, 9]
    losses, _, examples = sent(widget)
    assert np.isfinite(losses[9]).all()
    assert examples[5] == before[5]  # given up, until the browser asks for it again
    widget.close()


def test_nobody_needs_to_ask_while_there_is_time(model, at_once):
    widget = show(model)
    losses, errors, examples = sent(widget)
    assert (errors <= 0.0101 * losses).all()
    assert (examples > 0).all()
    widget.close()


def test_stopping_the_refinement_keeps_what_there_is(model, at_once, monkeypatch):
    own = Pipeline.report

    def stopping(self, progress):
        own(self, progress)
        if progress.phase == "refined ahead" and progress.done:
            widget.stop()

    monkeypatch.setattr(Pipeline, "report", stopping)
    widget = show(model, start=False)
    widget.start()
    widget.wait(60)
    assert state(widget, "progress")["state"] == "stopped"
    losses, errors, examples = sent(widget)
    assert np.isfinite(losses).all()
    assert len(np.unique(examples)) > 1
    assert (errors > 0.01 * losses).any()
    widget.close()


def test_further_samples_are_estimated_too(model, on_request):
    widget = show(model)
    widget.selected = (4,)
    widget.refine(5)
    widget.wait(60)
    tell(widget, "slices", 4, 24)
    losses, _, examples = sent(widget)
    assert len(losses) == 26
    assert examples[24] == examples[4] > 0
    widget.close()


def test_small_data_are_taken_whole(model, monkeypatch):
    # As by a machine that has nothing else to do.
    monkeypatch.setattr("landscape_widgets.widget.slices.AT_ONCE", 1e9)
    widget = show(model)
    assert state(widget, "estimates") == {}
    widget.close()


def test_a_loss_of_the_user_s_own_takes_all_of_the_data(model, on_request):
    def own(outputs, targets):
        return nn.functional.cross_entropy(outputs, targets)

    widget = show(model, loss=own)
    tell(widget, "slices", 3)
    assert state(widget, "estimates") == {}
    profile = sent_slices(widget).reshape(21, -1)[3]
    np.testing.assert_allclose(
        profile, widget.landscape.slice([3], state(widget, "alphas")).losses[0], rtol=1e-5
    )
    widget.close()


def test_losses_that_are_there_already_are_timed_anew(model, monkeypatch):
    def slow(outputs, targets):
        time.sleep(0.005)
        return nn.functional.cross_entropy(outputs, targets)

    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.2)
    few = tuple(t[:200] for t in DATA)
    land = lw.Landscape(model, few, loss=slow).sample(lw.samplers.Subspace(k=2, n=8)).embed("pca")
    widget = lw.LandscapeWidget.from_landscape(land)
    widget.wait(60)
    assert len(state(widget, "alphas")) < 41  # as the slices of all would not be there in time
    widget.close()
