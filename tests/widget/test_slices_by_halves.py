"""Where slices take a few seconds, every second point of all of them comes first."""

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.profiles.line import ALPHAS, Slice
from landscape_widgets.widget.wire import Profiles, between
from tests.models import digits, mlp, train
from tests.widget import page

DATA, VAL = digits(200), tuple(t[200:] for t in digits(300))
SAMPLER = lw.samplers.Subspace(k=3, n=23)


def slices(widget, quantity: str = "loss") -> np.ndarray:
    return page.sent_slices(widget, quantity).reshape(-1, len(ALPHAS))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture(autouse=True)
def taking_a_while(monkeypatch):
    """However fast the machine is at the moment."""
    monkeypatch.setattr("landscape_widgets.widget.slices.HALF_ABOVE", 0.0)
    for name in ("AT_ONCE", "FIRST_SECONDS", "PROFILE_SECONDS"):
        monkeypatch.setattr(f"landscape_widgets.widget.slices.{name}", 1e9)


def when_it_is_judged(widget, monkeypatch, look) -> None:
    own = widget.session.pipeline.report

    def report(progress):
        own(progress)
        if progress.phase == "trust":
            look()

    monkeypatch.setattr(widget.session.pipeline, "report", report)


def shown(widget) -> list[np.ndarray]:
    return [slices(widget, name) for name in ("loss", "val_loss")]


def test_all_slices_are_there_before_the_map_is_judged_and_evaluated_in_the_end(model, monkeypatch):
    options = {"val_data": VAL, "sampler": SAMPLER, "reducer": "pca"}
    widget, first = lw.LandscapeWidget(model, DATA, start=False, **options), []
    when_it_is_judged(widget, monkeypatch, lambda: first.extend(shown(widget)))
    widget.start()
    widget.wait(120)
    line = widget.landscape.slice(range(24))
    for before, after, truth in zip(
        first,
        shown(widget),
        [line.losses, line.values["val_loss"]],
        strict=True,
    ):
        np.testing.assert_allclose(before[:, ::2], truth[:, ::2], rtol=1e-5)
        off = np.abs(before / truth - 1)[:, 1::2]
        assert 1e-5 < off.max() < 0.3
        assert np.median(off) < 0.01
        np.testing.assert_allclose(after, truth, rtol=1e-5)
    widget.close()


def test_what_is_interpolated_is_forgotten_when_the_work_is_stopped(model, monkeypatch):
    widget = lw.LandscapeWidget(model, DATA, sampler=SAMPLER, reducer="pca", start=False)
    there = []

    def stop() -> None:
        there.append(np.isfinite(shown(widget)[0]).all())
        widget.stop()

    when_it_is_judged(widget, monkeypatch, stop)
    widget.start()
    widget.wait(120)
    assert there == [True]
    assert np.isnan(slices(widget)).all()
    page.say(widget, "slices", indices=[7])
    widget.wait(60)
    truth = widget.landscape.slice([7]).losses[0]
    np.testing.assert_allclose(slices(widget)[7], truth, rtol=1e-5)
    widget.close()


def test_slices_with_losses_that_are_not_finite_are_not_interpolated():
    profiles = Profiles(3, ALPHAS, ["loss"])
    losses = np.ones((3, 21))
    losses[1, 20] = np.inf
    profiles.put_half(Slice(np.arange(3), ALPHAS[::2], {"loss": losses}))
    assert profiles.interpolated.tolist() == [True, False, True]
    assert not profiles.has(1)
    profiles.put(Slice(np.array([2]), ALPHAS[1::2], {"loss": np.full((1, 20), 3.0)}))
    assert profiles.values["loss"][2].tolist() == [1.0, 3.0] * 20 + [1.0]
    assert profiles.forget_interpolated()
    assert [profiles.has(i) for i in range(3)] == [False, False, True]


def test_losses_below_zero_are_interpolated_as_they_are():
    parabola, growing = ALPHAS**2 - 0.5, np.exp(3 * ALPHAS)
    losses = np.stack([parabola, growing])
    np.testing.assert_allclose(between(ALPHAS[::2], losses[:, ::2], ALPHAS), losses, atol=1e-9)
