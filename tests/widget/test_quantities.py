"""Which quantity slices and planes show: a metric is taken only once it is chosen."""

import numpy as np
import pytest
import traitlets

import landscape_widgets as lw
from landscape_widgets.profiles.growing import SHARES
from landscape_widgets.samplers import Subspace
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, sent_slices, state

DATA, VAL = digits(200), tuple(t[200:] for t in digits(300))
SAMPLER = Subspace(k=2, n=20, radius=1.5)


@pytest.fixture(scope="module")
def model():
    return train(mlp(), DATA, 60)


def made(model, **options):
    options = {"val_data": VAL, "metrics": ["accuracy"], "sampler": SAMPLER, **options}
    widget = lw.LandscapeWidget(model, DATA, reducer="pca", **options)
    widget.wait(120)
    return widget


@pytest.fixture
def widget(model):
    widget = made(model)
    yield widget
    widget.close()


def names(widget) -> list[str]:
    return list(state(widget, "profiles"))


def watched(widget, monkeypatch) -> list[bool]:
    """Whether metrics were taken, for each evaluation from now on."""
    found, objective = [], widget.landscape.objective
    evaluate = objective.evaluate

    def see(*args, metrics=True, **options):
        found.append(metrics)
        return evaluate(*args, metrics=metrics, **options)

    monkeypatch.setattr(objective, "evaluate", see)
    return found


def test_the_page_is_told_what_can_be_shown_and_how_it_is_drawn(widget):
    told = {known["name"]: known for known in state(widget, "info")["quantities"]}
    assert list(told) == ["loss", "val_loss", "accuracy", "val_accuracy"]
    assert told["val_accuracy"]["label"] == "validation accuracy"
    assert told["loss"]["scale"] == told["val_loss"]["scale"] == state(widget, "info")["scale"]
    assert told["accuracy"]["scale"]["kind"] == "linear"


def test_a_metric_comes_along_all_slices_once_it_is_chosen_and_not_before(widget, monkeypatch):
    assert names(widget) == ["loss", "val_loss"]
    seen = watched(widget, monkeypatch)
    widget.quantity = "accuracy"
    widget.wait(60)
    assert set(seen) == {True}
    assert names(widget) == ["loss", "val_loss", "accuracy", "val_accuracy"]
    truth = widget.landscape.slice(range(21), metrics=True)
    for name in names(widget):
        found = sent_slices(widget, name).reshape(21, -1)
        np.testing.assert_allclose(found, truth.values[name], rtol=1e-4, atol=1e-6)
    assert state(widget, "progress")["state"] == "done"


def test_back_at_the_loss_nothing_is_evaluated_again(widget, monkeypatch):
    widget.quantity = "val_accuracy"
    widget.wait(60)
    seen = watched(widget, monkeypatch)
    for name in ("loss", "val_loss", "val_accuracy"):
        widget.quantity = name
        widget.wait(60)
    assert seen == []


def test_slices_that_are_asked_for_have_the_metric_that_is_shown(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = made(model, metrics=None)
    say(widget, "slices", indices=[3])
    widget.wait(60)
    widget.quantity = "val_accuracy"
    say(widget, "slices", indices=[3, 5])
    widget.wait(60)
    found = sent_slices(widget, "val_accuracy").reshape(21, -1)
    truth = widget.landscape.slice([3, 5], state(widget, "alphas"), metrics=True)
    np.testing.assert_allclose(found[[3, 5]], truth.values["val_accuracy"], rtol=1e-5)
    assert np.isnan(np.delete(found, [3, 5], axis=0)).all()
    # Only the validation data was looked at; the training loss is asked for by itself.
    assert np.isnan(sent_slices(widget).reshape(21, -1)[5]).all()
    widget.quantity = "loss"
    say(widget, "slices", indices=[5])
    widget.wait(60)
    assert np.isfinite(sent_slices(widget).reshape(21, -1)[5]).all()
    widget.close()


def test_a_plane_has_metrics_only_where_one_is_shown(widget):
    say(widget, "ask", name="plane", of={"directions": [1, 2], "metrics": False})
    widget.wait(60)
    assert list(state(widget, "answers")["plane"]["values"]) == ["loss", "val_loss"]
    say(widget, "ask", name="plane", of={"directions": [1, 2], "metrics": True})
    widget.wait(60)
    sent = state(widget, "answers")["plane"]
    truth = widget.landscape.plane(1, 2, metrics=True)
    for name, values in truth.values.items():
        np.testing.assert_allclose(floats(sent["values"][name]), values.ravel(), rtol=1e-3)
    assert "of validation accuracy" in sent["text"][0]
    assert state(widget, "asked")["plane"]["state"] == "done"


def test_a_metric_of_estimated_slices_is_of_all_of_the_data_and_leaves_the_losses(
    model, monkeypatch
):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    monkeypatch.setattr("landscape_widgets.widget.slices.AT_ONCE", 0.0)
    widget = made(model)
    say(widget, "slices", indices=[4])
    widget.wait(60)
    losses = sent_slices(widget).reshape(21, -1)[4].copy()
    widget.quantity = "accuracy"
    say(widget, "slices", indices=[4])
    widget.wait(60)
    alphas = state(widget, "alphas")
    truth = widget.landscape.slice([4], alphas, metrics=True)
    found = sent_slices(widget, "accuracy").reshape(21, -1)[4]
    np.testing.assert_allclose(found, truth.values["accuracy"][0], rtol=1e-5)
    np.testing.assert_array_equal(sent_slices(widget).reshape(21, -1)[4], losses)
    assert 0 < floats(state(widget, "estimates")["examples"])[4] < 200 * SHARES[-1]
    widget.close()


def test_a_quantity_that_there_is_not_is_refused(widget):
    with pytest.raises(traitlets.TraitError, match=r"no quantity 'acuracy'.*'accuracy'"):
        widget.quantity = "acuracy"


def test_of_losses_that_are_estimated_metrics_are_of_the_validation_data(model):
    widget = made(model, tolerance=0.05)
    assert [known["name"] for known in state(widget, "info")["quantities"]] == [
        "loss",
        "val_loss",
        "val_accuracy",
    ]
    widget.quantity = "val_accuracy"
    widget.wait(60)
    assert np.isfinite(sent_slices(widget, "val_accuracy")).all()
    widget.close()
