"""The slice beside the map, in real JupyterLab 4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

TRAIN, VAL, MEDIAN = 2.4, 2.0, 3.0  # stroke widths, px
SLICE = "[v.tolist() for v in w.landscape.slice({}, w._alphas).values.values()]"
# As where data are so large that slices of all of them are never there at once.
LARGE = """
import numpy as np, landscape_widgets as lw
from landscape_widgets.widget import slices
from tests.models import train
from tests.profiles.test_estimate import blobs, network
slices.AT_ONCE, slices.PROFILE_SECONDS = 1e-9, 0.0
data = blobs(2000)
model = train(network(), data, 60)
def rows(raw):
    return np.frombuffer(raw, np.float32).reshape(len(w.landscape.cloud), -1).tolist()
"""
LARGE_WIDGET = """
w = lw.LandscapeWidget(model, data, sampler=lw.samplers.Subspace(n=30), reducer='pca')
w
"""
# As where the slice of each sample takes a while, and there is no time for any ahead; none is shown
# before something is selected.
SLOW = """
import time, numpy as np, landscape_widgets as lw
from landscape_widgets.widget import slices, wire
from tests.models import digits, mlp, train
from torch.nn.functional import cross_entropy
slices.PROFILE_SECONDS, slices.AT_ONCE = 0.0, 1e9
wire.opening = lambda land: []
data = digits(100)
model = train(mlp(), data, 60)
pause = [0.002]
def slow_loss(model, batch):
    time.sleep(pause[0])
    return cross_entropy(model(batch[0]), batch[1])
"""
SLOW_WIDGET = """
w = lw.LandscapeWidget(
    model, data, loss=slow_loss, sampler=lw.samplers.Subspace(n=60), reducer='pca'
)
w
"""
# So that each block of slices is there for longer than the page is looked at again.
SLOWER = "pause[0] = 0.01"
# Samples whose slices are there.
KNOWN = "[i for i in range(len(w.landscape.cloud)) if w.session.slices.profile.has(i)]"


def assert_drawn(curve: FloatArray, alphas: list[float], losses: FloatArray) -> None:
    """A curve shows losses on a log scale: pixels are affine in α and in the log of the loss."""
    logs = np.log10(np.maximum(losses, 1e-8))
    for pixels, values, sign in ((curve[:, 0], alphas, 1), (curve[:, 1], logs, -1)):
        scale, offset = np.polyfit(values, pixels, 1)
        assert np.sign(scale) == sign
        np.testing.assert_allclose(pixels, scale * np.asarray(values) + offset, atol=0.5)


def test_pointing_at_a_sample_draws_its_losses(notebook: LandscapeNotebook) -> None:
    alphas = notebook.ask("w._alphas")
    pixels = notebook.pixels()
    for index in (50, 300):
        notebook.point_at(pixels[index])
        title = notebook.page.get_by_text("Loss on the way to #")
        pointed = int(title.inner_text().split("#")[1])  # it or one that is drawn over it
        assert np.linalg.norm(pixels[pointed] - pixels[index]) < 3
        train, val = notebook.ask(SLICE.format([pointed]))
        (drawn,), (drawn_val,) = notebook.curves(TRAIN), notebook.curves(VAL, dashed=True)
        assert_drawn(drawn, alphas, np.array(train[0]))
        assert_drawn(drawn_val, alphas, np.array(val[0]))


def test_the_slice_opens_on_the_ways_to_the_minima_and_comes_back_to_them(
    notebook: LandscapeNotebook,
) -> None:
    alphas = notebook.ask("w._alphas")
    minima = [i for i, kind in enumerate(notebook.ask("w._samples['kind']")) if kind == "minimum"]
    ways, _ = notebook.ask(SLICE.format(minima[:3]))
    title = notebook.page.get_by_text("Loss on the way from θ* to M1, M2 and M3", exact=True)
    pixels = notebook.pixels()

    def assert_opening() -> None:
        expect(title).to_be_visible()
        drawn = notebook.curves(TRAIN)
        assert len(drawn) == 3
        for curve, losses in zip(drawn, ways, strict=True):
            assert_drawn(curve, alphas, np.array(losses))
        names = notebook.part("slice").locator(".lw-line-name").all_text_contents()
        assert names == ["M1", "M2", "M3"]

    assert_opening()
    notebook.point_at(pixels[50])
    assert len(notebook.curves(TRAIN)) == 1
    notebook.point_at(np.array([2.0, 2.0]))
    assert_opening()
    notebook.select(50)
    assert len(notebook.curves(TRAIN)) == 1
    notebook.reset()
    assert_opening()


def test_every_tick_of_the_slice_has_a_label_with_a_true_minus(notebook: LandscapeNotebook) -> None:
    notebook.select(50)
    axes = notebook.part("slice").locator(".axis")
    labels = axes.locator(".tick text").all_text_contents()
    assert "−0.5" in labels
    assert not [label for label in labels if not label or "-" in label]
    # The ends of an axis line would look like ticks.
    assert axes.locator("path.domain").count() == 2
    assert axes.locator("path.domain:visible").count() == 0


def test_the_trained_weights_are_called_so_in_the_legend(notebook: LandscapeNotebook) -> None:
    notebook.select(0, 50)
    names = notebook.page.locator(".lw-slice-legend .lw-legend-entry").all_text_contents()
    assert names == ["θ*", "#50", "θ*, validation", "#50, validation"]


def test_a_lasso_draws_the_median_of_its_samples(notebook: LandscapeNotebook) -> None:
    notebook.drag(notebook.box(0.4, 0.3, 0.6, 0.6))
    selected = notebook.selected()
    assert len(selected) > 12  # fewer are drawn one by one
    train, _ = notebook.ask(SLICE.format(selected))
    expect(notebook.page.get_by_text(f"median of {len(selected)}")).to_be_visible()
    (median,) = notebook.curves(MEDIAN)
    assert_drawn(median, notebook.ask("w._alphas"), np.median(train, axis=0))


def test_the_slice_follows_the_hand_while_the_kernel_is_blocked(
    notebook: LandscapeNotebook, root: Path
) -> None:
    alphas = notebook.ask("w._alphas")
    places = notebook.pixels() - notebook.scroll_to_map()
    minima = [i for i, kind in enumerate(notebook.ask("w._samples['kind']")) if kind == "minimum"]
    expected = dict(zip(minima, notebook.ask(SLICE.format(minima))[0], strict=True))
    notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
    assert len(notebook.curves(MEDIAN)) == 1  # of slices that all are there from now on
    notebook.reset()
    with notebook.blocked_kernel(root):
        origin = notebook.scroll_to_map()
        for index, losses in expected.items():
            notebook.point_at(origin + places[index])
            (drawn,) = notebook.curves(TRAIN)
            assert_drawn(drawn, alphas, np.array(losses))
        notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
        shown = notebook.part("selection").locator("h3").inner_text()
        assert len(notebook.curves(MEDIAN)) == 1
    # What was selected meanwhile arrives once the kernel is free.
    assert shown == f"Selection: {len(notebook.selected())} samples"


def test_an_estimated_slice_has_a_band_of_two_standard_errors_that_shrinks(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(LARGE, LARGE_WIDGET)
    notebook.wait_until_done()
    # Nothing is refined but what the browser asks for.
    notebook.tell("slices = w.session.slices")
    notebook.tell("improve, slices.improve = slices.improve, lambda cancelled: None")
    notebook.ask("setattr(w, 'selected', (7,))")
    note = notebook.part("estimate")
    expect(note).to_contain_text("of 2,000 examples, ±2 standard errors")
    first = note.inner_text()
    losses = np.array(notebook.ask("rows(w._profiles['loss'])[7]"))
    errors = np.array(notebook.ask("rows(w._estimates['errors']['loss'])[7]"))
    alphas = np.array(notebook.ask("w._alphas"))
    (drawn,) = notebook.curves(TRAIN)
    assert_drawn(drawn, alphas.tolist(), losses)
    outline = notebook.page.locator(".lw-band").get_attribute("d")
    assert outline is not None
    corners = np.array([pair.split(",") for pair in outline[1:-1].split("L")], dtype=float)
    upper, lower = corners[: len(alphas)], corners[len(alphas) :][::-1]
    scale = np.polyfit(np.log10(losses), drawn[:, 1], 1)[0]
    heights = [scale * np.log10(np.maximum(losses + k * errors, 1e-8)) for k in (2, -2)]
    np.testing.assert_allclose(upper[:, 1] - lower[:, 1], heights[0] - heights[1], atol=1.0)
    assert (np.abs(upper - lower)[alphas == 0] == 0).all()
    notebook.tell("slices.improve = improve; w.session.doubt([7])")
    expect(note).not_to_contain_text(first)
    known = "zip(rows(w._estimates['errors']['loss'])[7], rows(w._profiles['loss'])[7])"
    worst = f"max(e / l for e, l in {known})"
    notebook.wait_for_answer(f"{worst} <= 0.01", True)


def test_a_median_of_slices_that_are_still_missing_says_so_and_so_does_the_status(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(SLOW, SLOW_WIDGET)
    notebook.wait_until_done()
    notebook.page.evaluate(
        """() => {
          const parts = document.querySelectorAll('.lw-status, .lw-slice-legend');
          window.shown = new Set();
          const see = () => document.querySelectorAll('.lw-status, .lw-slice-legend > *')
            .forEach((part) => window.shown.add(part.textContent));
          const options = {childList: true, characterData: true, subtree: true};
          parts.forEach((part) => new MutationObserver(see).observe(part, options));
        }"""
    )
    notebook.ask("setattr(w, 'selected', tuple(range(1, 51)))")
    expect(notebook.page.get_by_text("median of 50", exact=True)).to_be_visible()
    expect(notebook.part("status")).to_have_text("Done")
    shown = notebook.page.evaluate("() => [...window.shown]")
    for known in (16, 32, 48):
        assert f"median of {known} of 50 selected" in shown
        assert f"taking slices {known} of 50" in shown
    # What was stopped is not taken, until it is asked for again.
    notebook.ask("setattr(w, 'selected', ())")
    notebook.tell("slices = w.session.slices; slices.begin(w.landscape, slices.profile.alphas)")
    notebook.tell(SLOWER)
    notebook.ask("setattr(w, 'selected', tuple(range(1, 51)))")
    expect(notebook.page.get_by_text("median of 16 of 50 selected")).to_be_visible()
    notebook.part("stop").click()
    notebook.wait_for_state("done")
    notebook.ask("w.wait(30)")
    notebook.tell("pause[0] = 0.0")
    known = notebook.ask(f"len({KNOWN})")
    assert 16 <= known < 50
    expect(notebook.page.get_by_text(f"median of {known} of 50 selected")).to_be_visible()
    notebook.ask("setattr(w, 'selected', tuple(range(51)))")
    expect(notebook.page.get_by_text("median of 51", exact=True)).to_be_visible()


def test_slices_of_a_selection_that_is_gone_are_not_taken_until_it_is_selected_again(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(SLOW, SLOW_WIDGET)
    notebook.wait_until_done()
    notebook.tell(SLOWER)
    notebook.ask("setattr(w, 'selected', tuple(range(1, 51)))")
    expect(notebook.page.get_by_text("median of 16 of 50 selected")).to_be_visible()
    notebook.ask("setattr(w, 'selected', (1,))")
    expect(notebook.page.locator(".lw-slice-legend .lw-legend-entry")).to_have_text(["#1"])
    notebook.wait_until_done()
    notebook.tell("pause[0] = 0.0")
    known = notebook.ask(KNOWN)
    assert 1 in known
    assert len(known) < 50
    notebook.ask("setattr(w, 'selected', tuple(range(1, 51)))")
    expect(notebook.page.get_by_text("median of 50", exact=True)).to_be_visible()
