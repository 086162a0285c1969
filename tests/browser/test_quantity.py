"""Which quantity slice and plane show, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

ALONE = 2.4  # stroke width of a sample's line, px


def assert_affine(pixels: FloatArray, values: FloatArray) -> None:
    """Heights in px are affine in the values, higher up the greater they are."""
    slope, offset = np.polyfit(values, pixels, 1)
    assert slope < 0
    np.testing.assert_allclose(pixels, slope * values + offset, atol=0.5)


def test_slice_and_plane_show_the_quantity_that_is_chosen(notebook: LandscapeNotebook) -> None:
    notebook.select(50)
    menu = notebook.part("quantity")
    names = ["training loss", "validation loss", "validation accuracy"]
    assert menu.locator("option").all_text_contents() == names
    menu.select_option("val_accuracy")
    notebook.wait_for_drawn(quantity="val_accuracy", missing=0)
    (drawn,) = notebook.curves(ALONE)
    assert not notebook.curves(2.0, dashed=True)
    accuracy = "w.landscape.slice([50], w._alphas, metrics=True).values['val_accuracy'][0].tolist()"
    assert_affine(drawn[:, 1], np.array(notebook.ask(accuracy)))
    expect(notebook.page.get_by_text("Validation accuracy on the way to the sel")).to_be_visible()
    assert notebook.part("slice").locator(".axislabel").all_text_contents()[1] == names[2]
    notebook.wait_for_answer("w.quantity", "val_accuracy")

    kinds = notebook.ask("w._samples['kind']")
    i, j = [n for n, kind in enumerate(kinds) if kind == "minimum"][:2]
    notebook.select(i, j)
    notebook.part("plane-toggle").click()
    expect(notebook.part("plane-error")).to_contain_text("of validation accuracy", timeout=60_000)

    notebook.part("slice-tab").click()
    notebook.ask("setattr(w, 'quantity', 'loss')")
    notebook.ask("setattr(w, 'selected', (50,))")
    notebook.wait_for_drawn(quantity="loss", selected=[50], missing=0)
    (drawn,) = notebook.curves(ALONE)
    losses = np.array(notebook.ask("w.landscape.slice([50], w._alphas).losses[0].tolist()"))
    assert_affine(drawn[:, 1], np.log10(losses))
    assert menu.input_value() == "loss"
