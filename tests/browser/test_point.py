"""What kind of point a sample is, in real JupyterLab 4."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)


def test_the_point_is_the_trained_weights_and_then_the_sample_that_is_selected(
    notebook: LandscapeNotebook,
) -> None:
    sentence = notebook.ask("w.landscape.diagnosed().sentence")
    expect(notebook.part("diagnosis")).to_have_text(f"θ* {sentence}")
    notebook.part("point-tab").click()
    point = notebook.part("point")
    for said in notebook.ask(
        "[w.landscape.diagnosis().place.words, w.landscape.diagnosis().fit.words]"
    ):
        expect(point).to_contain_text(said)
    expect(point.locator("tr")).to_have_count(
        notebook.ask("len(w.landscape.diagnosis().to_frame())")
    )
    notebook.ask("setattr(w, 'selected', (1,))")
    expect(point).to_contain_text(notebook.ask("w.landscape.diagnosis(1).place.words"))
    notebook.part("slice-tab").click()
