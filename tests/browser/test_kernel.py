"""The widget once its kernel has ended, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import KERNEL, NOTEBOOK, FloatArray
from tests.browser.landscape import DOTS, LandscapeNotebook
from tests.browser.test_views import WIDGET, place, seen
from tests.browser.test_work import QUICK

pytestmark = pytest.mark.timeout(240)

ENDS = {
    "shutdown": NOTEBOOK + "await panel.context.sessionContext.shutdown();",
    "death": KERNEL + "kernel.requestExecute({code: 'import os; os._exit(1)'});",
}


def seen_middles(notebook: LandscapeNotebook) -> FloatArray:
    """Where the dots are within the layer that answers to the pointer."""
    return np.array(seen(notebook, 0)["dots"])[:, 2:]


def check_looking_works(
    notebook: LandscapeNotebook, coordinates: FloatArray, before: FloatArray
) -> None:
    """That the widget is as it was before its kernel ended, and says what works and what not."""
    said = notebook.part("no-kernel")
    expect(said).to_be_visible(timeout=30_000)
    expect(said).to_contain_text("run the cell again")
    expect(notebook.part("status")).to_have_text("No kernel")
    notebook.take_errors()  # of the application, over its kernel

    notebook.wait_for_drawn(kernel=False)
    np.testing.assert_allclose(seen_middles(notebook), before, atol=0.5)
    for name in ("sampler", "space", "reducer", "dimensions", "compare-with"):
        expect(notebook.part(name)).to_be_disabled()
    for name in ("sampler-settings", "reducer-settings"):
        expect(notebook.part(name)).to_be_disabled()
    for name in ("colour-by", "frames", "play", "plane-toggle"):
        expect(notebook.part(name)).to_be_enabled()

    origin = notebook.scroll_to_map()
    star = np.array(seen(notebook, 0)["star"])
    np.testing.assert_allclose(star, place(seen(notebook, 0), coordinates[0]), atol=2)
    at = origin + place(seen(notebook, 0), coordinates[30])
    notebook.page.mouse.click(*at)
    notebook.draw()
    assert len(notebook.curves(2.4)) == 1
    notebook.part("colour-by").select_option("radius")
    notebook.wait_for_drawn(colour="radius")
    notebook.drag(notebook.box(0.2, 0.1, 0.8, 0.9))
    expect(notebook.part("selection")).to_contain_text("samples")
    expect(notebook.part("refine")).to_be_disabled()
    expect(notebook.page.locator(".lw-lasso")).to_have_count(1)
    notebook.part("frames").focus()
    notebook.page.keyboard.press("Home")
    notebook.draw()
    assert notebook.page.locator(DOTS).count() == len(coordinates)
    assert notebook.take_errors() == []


@pytest.mark.in_both_applications
def test_after_a_restart_looking_works_and_what_computes_is_off(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, WIDGET)
    notebook.wait_until_done()
    coordinates = np.array(notebook.ask("w.landscape.coordinates.tolist()"))
    before = seen_middles(notebook)
    notebook.page.evaluate("async () => {" + KERNEL + "await kernel.restart(); }")
    check_looking_works(notebook, coordinates, before)


@pytest.mark.parametrize("end", ENDS)
def test_without_a_kernel_looking_works_and_what_computes_is_off(
    opened: Callable[..., LandscapeNotebook], end: str
) -> None:
    notebook = opened(QUICK, WIDGET)
    notebook.wait_until_done()
    coordinates = np.array(notebook.ask("w.landscape.coordinates.tolist()"))
    before = seen_middles(notebook)
    notebook.page.evaluate("async () => {" + ENDS[end] + "}")
    if end == "death":
        told = notebook.page.locator(".jp-Dialog")
        expect(told).to_contain_text("appears to have died", timeout=30_000)
        told.locator("button.jp-mod-accept").click()
    check_looking_works(notebook, coordinates, before)
