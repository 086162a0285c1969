"""What hands do by habit or by mistake, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_map import winding

pytestmark = pytest.mark.timeout(240)

MARKED = "() => String(document.getSelection())"


def check_lasso(notebook: LandscapeNotebook) -> None:
    """A lasso selects just what is inside it."""
    pixels, path = notebook.pixels(), notebook.box(0.3, 0.2, 0.6, 0.7)
    notebook.drag(path)
    inside = np.flatnonzero(np.abs(winding(pixels, path[:4])) > 0.5).tolist()
    assert inside
    notebook.expect_selected(inside)


def test_control_a_on_the_map_marks_nothing_and_lassos_go_on(notebook: LandscapeNotebook) -> None:
    notebook.part("map").locator("svg.lw-layer").focus()
    notebook.page.keyboard.press("Control+a")
    assert notebook.page.evaluate(MARKED) == ""
    check_lasso(notebook)


def test_a_lasso_is_drawn_though_all_of_the_page_is_marked(notebook: LandscapeNotebook) -> None:
    notebook.page.evaluate("() => document.getSelection().selectAllChildren(document.body)")
    assert notebook.page.evaluate(MARKED)
    check_lasso(notebook)
    assert notebook.page.evaluate(MARKED) == ""


@pytest.mark.parametrize("part", [".lw-title", ".lw-caption"])
def test_a_drag_that_begins_on_a_text_takes_no_lasso_away(
    notebook: LandscapeNotebook, part: str
) -> None:
    text = notebook.page.locator(part).first
    text.scroll_into_view_if_needed()
    start = text.bounding_box()
    assert start is not None
    path = [[start["x"] + 20, start["y"] + 8], *notebook.box(0.5, 0.5, 0.5, 0.5)[:1]]
    notebook.drag(np.array(path))
    notebook.expect_selected([])
    check_lasso(notebook)


def test_no_name_in_a_menu_is_cut_off(notebook: LandscapeNotebook) -> None:
    room = notebook.page.evaluate(
        """() => [...document.querySelectorAll('.lw-root select')].flatMap((menu) => {
          const kept = menu.value;
          const found = [...menu.options].map((option) => {
            menu.value = option.value;
            const {font, paddingLeft} = getComputedStyle(menu);
            const context = document.createElement('canvas').getContext('2d');
            const text = Object.assign(context, {font}).measureText(option.text);
            return [option.text, menu.clientWidth - 2 * parseFloat(paddingLeft) - text.width];
          });
          menu.value = kept;
          return found;
        })"""
    )
    assert len(room) > 10
    assert [(name, spare) for name, spare in room if spare < 0] == []
