"""A null beside the map, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from landscape_widgets.widget.figures import VIRIDIS
from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

NULL = "__import__('numpy').frombuffer(w._null{}, dtype='float32').tolist()"


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
        # Other samples have the map's losses, and colours on its scale: viridis by log-loss.
        losses = np.array(notebook.ask(NULL.format("['columns']['loss']")))
        real = np.array(notebook.ask("w.landscape.losses.tolist()"))
        np.testing.assert_allclose(np.sort(losses), np.sort(real), rtol=1e-5)
        assert not np.allclose(losses, real)
        points = np.array(notebook.ask(NULL.format("['points']"))).reshape(-1, 2)
        apart = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(len(points))
        some = [i for i in np.argsort(-apart.min(axis=1)) if i][:25]
        low, high = np.quantile(np.log10(real), [0.01, 0.99])
        share = np.clip((np.log10(losses[some]) - low) / (high - low), 0, 1)
        stops = np.array([[int(hex[i : i + 2], 16) for i in (1, 3, 5)] for hex in VIRIDIS])
        at = np.linspace(0, 1, len(stops))
        wanted = np.stack([np.interp(share, at, channel) for channel in stops.T], axis=1)
        places = notebook.places(points, "null")[some]
        shown = notebook.canvas_colours(null.get_by_test_id("dots"), places)
        np.testing.assert_allclose(shown[:, :3], wanted, atol=4)
        np.testing.assert_allclose(shown[:, 3], 0.9 * 255, atol=3)
        notebook.expect_selected([3, 5])
        assert notebook.part("map").bounding_box() == box
    finally:
        notebook.part("compare-with").select_option("nothing")
    expect(null).to_be_hidden()
    expect(notebook.part("slice")).to_be_visible()
    assert len(notebook.curves(2.4)) == 2
