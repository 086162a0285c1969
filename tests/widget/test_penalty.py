"""What the browser penalises the loss with: norms, sent once, and strengths on both sides."""

import numpy as np
import pytest
import traitlets

import landscape_widgets as lw
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import never
from landscape_widgets.widget.sides import norms
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, state

DATA = digits(60)


@pytest.fixture(scope="module")
def widget():
    w = lw.LandscapeWidget(
        train(mlp(4), DATA, 20), DATA, sampler=lw.samplers.Subspace(n=30), reducer="pca",
        weight_decay=0.02,
    )  # fmt: skip
    w.wait(60)
    yield w
    w.close()


def test_norms_are_there_before_anybody_asks_and_losses_follow_from_them(widget):
    answer = state(widget, "answers")["norms"]
    land = widget.landscape
    alphas = np.array(state(widget, "alphas"))
    assert answer["of"] == {"tensors": "weights", "samples": 31, "alphas": alphas.tolist()}
    expected = land.penalised(l1=0.1, l2=0.03)
    penalty = 0.1 * floats(answer["l1"]) + 0.03 * floats(answer["l2"])
    np.testing.assert_allclose(land.losses + penalty, expected.losses, rtol=1e-5)

    # Along slices the squared norm is the quadratic through its values at −1, 0 and 1.
    ahead, behind = floats(answer["l2"])[:, None], floats(answer["behind"])[:, None]
    start = ahead[0]
    second = start + alphas * ((ahead - behind) / 2 + alphas * ((ahead + behind) / 2 - start))
    first = floats(answer["along"]).reshape(31, -1)
    along = expected.along(land.slice(np.arange(31), alphas))
    np.testing.assert_allclose(
        along.values["unpenalised_loss"] + 0.1 * first + 0.03 * second, along.losses, rtol=1e-5
    )
    assert answer["counted"] == "0.weight, 2.weight (296 parameters)"
    assert answer["left_out"] == ["0.bias", "2.bias"]


def test_strengths_are_set_from_python_and_nothing_is_evaluated(widget, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a loss was evaluated")

    monkeypatch.setattr(Objective, "evaluate", refuse)
    widget.l2, widget.tensors = 0.01, "all"
    asked = {"tensors": "all", "samples": 31, "alphas": [-1, 0, 0.5]}
    say(widget, "ask", name="norms", of=asked)
    widget.wait(30)
    answer = state(widget, "answers")["norms"]
    assert answer["of"] == asked
    expected = widget.landscape.penalised(l2=0.01, tensors="all").losses
    found = widget.landscape.losses + 0.01 * floats(answer["l2"])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    say(widget, "ask", name="norms along", of={**asked, "rows": [3, 7]})
    widget.wait(30)
    rows = floats(state(widget, "answers")["norms along"]["along"])
    np.testing.assert_allclose(
        rows, floats(answer["along"]).reshape(31, 3)[[3, 7]].ravel(), rtol=1e-6
    )
    widget.colour_by = "l2"
    widget.colour_by = "loss"


def test_what_the_model_was_trained_with_is_told(widget):
    info = state(widget, "info")
    assert info["weight_decay"] == 0.02
    assert any("weight_decay=0.02" in said for said in info["assumptions"])


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), "much"])
def test_strengths_that_make_no_sense_are_refused(widget, wrong):
    with pytest.raises(traitlets.TraitError, match=r"l1|could not convert"):
        widget.l1 = wrong
    with pytest.raises(traitlets.TraitError, match="Did you mean 'weights'"):
        widget.tensors = "weight"


def test_rows_of_large_clouds_wait_until_they_are_asked_for(widget, monkeypatch):
    land = widget.landscape
    asked = norms.question(land, np.linspace(0, 1, 5), "weights")
    for limit in ("LARGEST", "MOST_WORK"):
        with monkeypatch.context() as patched:
            patched.setattr(norms, limit, 300)
            answer = norms.answer(land, asked, show=None, cancelled=never)
            assert answer["along"] == b""
            assert len(floats(answer["l1"])) == 31
    assert not norms.is_cheap(land, 10**9)


def test_a_plane_comes_with_its_norms_whatever_counts(widget):
    land = widget.landscape
    say(widget, "ask", name="plane", of={"directions": [3, 9], "metrics": False})
    widget.wait(60)
    answer = state(widget, "answers")["plane"]
    for tensors in ("weights", "all"):
        sent = answer["norms"][tensors]
        expected = land.penalised(l1=0.1, l2=0.03, tensors=tensors).over(land.plane(3, 9)).losses
        penalty = 0.1 * floats(sent["l1"]) + 0.03 * floats(sent["l2"])
        found = floats(answer["values"]["loss"]) + penalty
        np.testing.assert_allclose(found, expected.ravel(), rtol=1e-5)
