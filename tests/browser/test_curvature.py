"""The side Curvature, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)


def test_the_side_shows_eigenvalues_spectrum_and_layers_of_the_one_that_is_selected(
    notebook: LandscapeNotebook,
) -> None:
    tab = notebook.part("curvature-tab")
    tab.click()
    for sample, name in ((0, "θ*"), (1, "M1")):
        if sample:
            notebook.ask(f"setattr(w, 'selected', ({sample},))")
        expect(notebook.page.get_by_text(f"How the loss is curved at {name}")).to_be_visible()
        expect(notebook.part("curvature-layers").locator(".lw-trace")).to_have_count(
            3, timeout=60_000
        )
        expect(notebook.part("curvature-status")).to_have_count(0, timeout=60_000)
        value = notebook.part("curvature-facts").locator("b").first.inner_text()
        truth = notebook.ask(f"float(w.landscape.curvature({sample}, top=1).sharpness)")
        assert float(value.split(" ±")[0].replace(",", "")) == pytest.approx(truth, rel=1e-3)
    # One bar for each bin of half an eigenvalue and more; the tallest holds most of all weights.
    bars = notebook.part("curvature").locator(".lw-spectrum-bar")
    counts = notebook.ask(
        "__import__('numpy').frombuffer("
        "w._answers['curvature']['density']['counts'], 'float32').tolist()"
    )
    expect(bars).to_have_count(int((np.array(counts) > 0.5).sum()))
    heights = [float(bar.get_attribute("height") or 0) for bar in bars.all()]
    shown = np.array(counts)[np.array(counts) > 0.5]
    np.testing.assert_array_equal(np.argmax(heights), np.argmax(shown))
    # A tenth as many is always as much lower.
    fit = np.polyfit(np.log(shown), heights, 1)
    np.testing.assert_allclose(np.polyval(fit, np.log(shown)), heights, atol=0.01 * max(heights))
    notebook.part("slice-tab").click()
    notebook.part("quadratic").click()
    expect(notebook.part("slice").locator(".lw-quadratic")).to_have_count(1)  # to M1
    notebook.part("quadratic").click()
    expect(notebook.part("slice").locator(".lw-quadratic")).to_have_count(0)
