"""The slice beside the map, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

import time

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

TRAIN, VAL, MEDIAN = 2.4, 2.0, 3.0  # stroke widths, px
SLICE = "(lambda s: [s.losses.tolist(), s.val_losses.tolist()])(w.landscape.slice({}, w._alphas))"


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


def test_a_lasso_draws_the_median_of_its_samples(notebook: LandscapeNotebook) -> None:
    notebook.drag(notebook.box(0.4, 0.3, 0.6, 0.6))
    selected = notebook.selected()
    assert len(selected) > 12  # fewer are drawn one by one
    train, _ = notebook.ask(SLICE.format(selected))
    expect(notebook.page.get_by_text(f"median of {len(selected)}")).to_be_visible()
    (median,) = notebook.curves(MEDIAN)
    assert_drawn(median, notebook.ask("w._alphas"), np.median(train, axis=0))


def test_the_slice_follows_the_hand_while_the_kernel_is_blocked(
    notebook: LandscapeNotebook,
) -> None:
    alphas = notebook.ask("w._alphas")
    places = notebook.pixels() - notebook.scroll_to_map()
    minima = [i for i, kind in enumerate(notebook.ask("w._samples['kind']")) if kind == "minimum"]
    expected = dict(zip(minima, notebook.ask(SLICE.format(minima))[0], strict=True))
    notebook.run_new_cell("import time; time.sleep(6); free_again = time.time()")
    notebook.page.wait_for_timeout(300)  # JupyterLab scrolls to the new cell
    origin = notebook.scroll_to_map()
    for index, losses in expected.items():
        notebook.point_at(origin + places[index])
        (drawn,) = notebook.curves(TRAIN)
        assert_drawn(drawn, alphas, np.array(losses))
    notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
    shown = notebook.part("selection").locator("h3").inner_text()
    assert len(notebook.curves(MEDIAN)) == 1
    drawn_at = time.time()
    assert notebook.ask("free_again") > drawn_at
    # What was selected meanwhile arrives once the kernel is free.
    assert shown == f"Selection: {len(notebook.selected())} samples"
