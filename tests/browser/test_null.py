"""A null beside the map, in real JupyterLab 4."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import DOTS, LandscapeNotebook

pytestmark = pytest.mark.timeout(240)


STAR = "rgb(224, 33, 138)"


def fills(dots: Locator) -> FloatArray:
    """The colours of dots but θ*, each channel in order: which dot has which does not matter."""
    found = dots.evaluate_all("(dots) => dots.map((dot) => getComputedStyle(dot).fill)")
    channels = [re.findall(r"\d+", fill)[:3] for fill in found if fill != STAR]
    return np.sort(np.array(channels, dtype=float), axis=0)


def test_shuffled_losses_are_laid_beside_the_map_in_its_colours_and_taken_away_again(
    notebook: LandscapeNotebook,
) -> None:
    notebook.select(3, 5)
    expect(notebook.part("selection")).to_contain_text("2 samples")
    null, box = notebook.part("null"), notebook.part("map").bounding_box()
    expect(null).to_be_hidden()
    notebook.part("compare-with").select_option("shuffled")
    try:
        expect(null).to_contain_text("The loss cannot be read from this map.", timeout=60_000)
        expect(notebook.part("compared")).to_have_text("shuffled losses")
        expect(notebook.part("slice")).to_be_hidden()
        notebook.wait_until_done()
        notebook.draw()
        shown, real = fills(null.locator("circle")), fills(notebook.page.locator(DOTS))
        assert len(shown) == notebook.ask("len(w.landscape.cloud)") - 1
        np.testing.assert_allclose(shown, real, atol=1)
        notebook.expect_selected([3, 5])
        assert notebook.part("map").bounding_box() == box
    finally:
        notebook.part("compare-with").select_option("nothing")
    expect(null).to_be_hidden()
    expect(notebook.part("slice")).to_be_visible()
    assert len(notebook.curves(2.4)) == 2
