"""The sliders of the penalty, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import DOTS, LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

LINE = 2.4  # stroke width of a sample's line, px
TURN = "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }"


def fills(notebook: LandscapeNotebook) -> list[str]:
    """The colours of the samples on the map."""
    script = "(dots) => [...document.querySelectorAll(dots)].map((dot) => dot.style.fill)"
    found: list[str] = notebook.page.evaluate(script, DOTS)
    return found


def assert_heights(curve: FloatArray, losses: list[float]) -> None:
    """A curve's heights in px are affine in the logarithms of these losses."""
    heights = np.log10(losses)
    slope, offset = np.polyfit(heights, curve[:, 1], 1)
    assert slope < 0
    np.testing.assert_allclose(curve[:, 1], slope * heights + offset, atol=0.5)


def test_sliders_penalise_map_and_slice_without_a_loss_or_the_kernel(
    notebook: LandscapeNotebook,
) -> None:
    notebook.select(50)
    plain = fills(notebook)
    with notebook.no_losses():
        notebook.part("penalty-l2").evaluate(TURN, 31)  # 1e-3
        notebook.part("penalty-l1").evaluate(TURN, 11)  # 1e-5
        penalty = {"l1": 1e-5, "l2": 1e-3, "tensors": "weights"}
        notebook.wait_for_drawn(penalty=penalty, missing=0)
        (drawn,) = notebook.curves(LINE)
    notebook.do(
        "p, s = w.landscape.penalised(l1=w.l1, l2=w.l2), w.landscape.slice([50], w._alphas)"
    )
    assert_heights(drawn, notebook.ask("p.along(s).losses[0].tolist()"))
    assert fills(notebook) != plain

    formula = "loss + 1e−5·‖θ‖₁ + 0.001·‖θ‖₂²"
    expect(notebook.page.get_by_text(f"{formula.capitalize()} on the way to")).to_be_visible()
    expect(notebook.view(0).locator(".lw-map-colours")).to_contain_text(f"training {formula}")
    told = notebook.part("penalty-told").inner_text()
    assert "0.weight" in told
    # The lowest sample, and where the slice was and is lowest.
    assert notebook.part("map").locator(".lw-lowest").count() == 1
    assert notebook.part("slice").locator(".lw-lowest").count() == 2

    notebook.ask("[setattr(w, 'l1', 0), setattr(w, 'l2', 0)] and None")
    notebook.wait_for_drawn(penalty=None)
    assert notebook.part("penalty-l2").input_value() == "0"
    (plainly,) = notebook.curves(LINE)
    assert_heights(plainly, notebook.ask("s.losses[0].tolist()"))
    assert notebook.part("map").locator(".lw-lowest").count() == 0


def test_norms_along_slices_of_many_samples_come_as_they_are_shown(
    notebook: LandscapeNotebook,
) -> None:
    notebook.do("from landscape_widgets.widget.sides import norms")
    notebook.do("largest, norms.LARGEST = norms.LARGEST, 0")
    notebook.select(50)
    with notebook.no_losses():
        notebook.ask("[setattr(w, 'tensors', 'all'), setattr(w, 'l1', 1e-4)] and None")
        penalty = {"l1": 1e-4, "l2": 0, "tensors": "all"}
        notebook.wait_for_drawn(penalty=penalty, missing=0)
        (drawn,) = notebook.curves(LINE)
    notebook.do("p = w.landscape.penalised(l1=1e-4, tensors='all')")
    expected = "p.along(w.landscape.slice([50], w._alphas)).losses[0].tolist()"
    assert_heights(drawn, notebook.ask(expected))
    notebook.ask("[setattr(w, 'tensors', 'weights'), setattr(w, 'l1', 0)] and None")
    notebook.wait_for_drawn(penalty=None)
    notebook.do("norms.LARGEST = largest")
