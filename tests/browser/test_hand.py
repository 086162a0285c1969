"""What hands do by habit or by mistake, in real JupyterLab 4."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser import browsers, jupyter
from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_map import LEFT, RIGHT, winding
from tests.browser.test_work import QUICK

pytestmark = pytest.mark.timeout(240)

MARKED = "() => String(document.getSelection())"
SCROLLED = """() => {
  let scrolled = visualViewport.offsetTop; // where a page is zoomed, this moves first
  for (let part = document.querySelector('.lw-root'); part; part = part.parentElement)
    scrolled += part.scrollTop;
  return scrolled;
}"""
SMALL = """
sampler = lw.samplers.Subspace(n=80)
w = lw.LandscapeWidget(model, data, sampler=sampler, reducer='pca')
w
"""


@pytest.fixture(scope="module")
def page_of_its_own(
    browser: Browser, url: str, kind: str, root: Path
) -> Iterator[LandscapeNotebook]:
    """A widget on a page that fingers may zoom and scroll."""
    if browser.browser_type.name != browsers.CHROMIUM:
        pytest.skip("only Chromium can be told to touch")
    jupyter.write_notebook(root / "fingers.ipynb", QUICK, SMALL)
    notebook = LandscapeNotebook(browser, url, kind, "fingers.ipynb")
    notebook.run_until_done()
    yield notebook
    notebook.close()


@pytest.fixture
def touched(page_of_its_own: LandscapeNotebook) -> Iterator[LandscapeNotebook]:
    """That widget, with nothing selected; it must leave no error on the console."""
    page_of_its_own.reset()
    yield page_of_its_own
    assert page_of_its_own.take_errors() == []


Touch = Callable[..., bool]


@pytest.fixture
def touch(touched: LandscapeNotebook) -> Iterator[Touch]:
    """Puts fingers down, moves them, and lifts them: places on the page, each (fingers, 2).

    It returns whether a lasso was seen meanwhile.
    """
    session = touched.page.context.new_cdp_session(touched.page)

    def send(kind: str, fingers: FloatArray) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers.tolist())]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def move(*path: FloatArray) -> bool:
        seen = False
        send("touchStart", path[0])
        for before, after in itertools.pairwise(path):
            for share in np.linspace(0, 1, 6)[1:]:
                send("touchMove", before + share * (after - before))
                seen |= touched.page.locator(".lw-drawing").count() > 0
        send("touchEnd", np.empty((0, 2)))
        touched.draw()
        return seen

    yield move
    session.detach()


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


def test_a_double_click_selects_as_one_click_does(notebook: LandscapeNotebook) -> None:
    minimum = notebook.ask("w._samples['kind'].index('minimum')")
    place = notebook.pixels()[minimum]
    notebook.page.mouse.dblclick(*place)
    chosen = notebook.selected()
    assert len(chosen) == 1
    notebook.page.keyboard.press("Escape")
    notebook.page.mouse.click(*place)
    assert notebook.selected() == chosen


@pytest.mark.parametrize("again", ["Control+Shift+z", "Control+Shift+Z", "Control+y"])
def test_what_was_taken_back_is_done_again(notebook: LandscapeNotebook, again: str) -> None:
    lassos = notebook.page.locator(".lw-lasso")
    notebook.drag(notebook.box(*LEFT))
    left = notebook.selected()
    notebook.drag(notebook.box(*RIGHT), "Shift")
    both = notebook.selected()
    for _ in range(2):
        notebook.page.keyboard.press("Control+z")
    assert notebook.selected() == []
    expect(lassos).to_have_count(0)
    notebook.page.keyboard.press(again)
    assert notebook.selected() == left
    expect(lassos).to_have_count(1)
    notebook.page.keyboard.press(again)
    assert notebook.selected() == both
    expect(lassos).to_have_count(2)
    notebook.page.keyboard.press(again)
    assert notebook.selected() == both


def test_a_lasso_that_takes_out_looks_otherwise_while_it_is_drawn_and_after(
    notebook: LandscapeNotebook,
) -> None:
    def looks() -> list[list[str]]:
        found: list[list[str]] = notebook.page.evaluate(
            """() => [...document.querySelectorAll('.lw-lasso')].map((lasso) => {
              const {stroke, fill, strokeDasharray} = getComputedStyle(lasso);
              return [stroke, fill, strokeDasharray];
            })"""
        )
        return found

    notebook.drag(notebook.box(*LEFT))
    notebook.drag(notebook.box(*RIGHT), "Shift")
    path = notebook.box(0.4, 0.3, 0.6, 0.6)
    notebook.page.keyboard.down("Alt")
    notebook.page.mouse.move(*path[0])
    notebook.page.mouse.down()
    for place in path[1:]:
        notebook.page.mouse.move(*place)
    notebook.draw()
    first, second, drawing = looks()
    assert first == second
    assert drawing[0] != first[0]
    notebook.page.mouse.up()
    notebook.page.keyboard.up("Alt")
    notebook.draw()
    first, second, third = looks()
    assert first == second
    assert all(one != other for one, other in zip(first, third, strict=True))


def test_the_line_of_what_is_pointed_at_has_a_colour_of_its_own(
    notebook: LandscapeNotebook,
) -> None:
    minima = [i for i, kind in enumerate(notebook.ask("w._samples['kind']")) if kind == "minimum"]
    pointed, others = minima[0], [i for i in (20, 40, 60, 80, 100) if i not in minima]
    notebook.select(*others)
    notebook.point_at(notebook.pixels()[pointed])
    notebook.wait_for_drawn(hovered=pointed)
    entries = notebook.page.locator(".lw-slice-legend .lw-legend-entry")
    colours = dict(
        zip(
            entries.all_text_contents(),
            entries.locator("line").evaluate_all("(all) => all.map((line) => line.style.stroke "
            "|| getComputedStyle(line).stroke)"),
            strict=True,
        )
    )  # fmt: skip
    own = colours.pop("M1")
    colours.pop("M1, validation", None)
    assert len(colours) == len(set(colours.values())) == len(others)
    assert own not in colours.values()
    ring = notebook.page.locator(".lw-ring.lw-hovered")
    assert ring.evaluate("(ring) => getComputedStyle(ring).stroke") == own


# What scrolls and zooms the page comes last.


def test_a_finger_that_goes_sideways_first_draws_a_lasso(
    touched: LandscapeNotebook, touch: Touch
) -> None:
    pixels, path = touched.pixels(), touched.box(0.3, 0.2, 0.6, 0.7)
    assert touch(*path[:, None])
    inside = np.flatnonzero(np.abs(winding(pixels, path[:4])) > 0.5).tolist()
    assert inside
    assert touched.selected() == inside


def test_a_second_finger_gives_up_the_lasso_of_the_first(
    touched: LandscapeNotebook, touch: Touch
) -> None:
    touched.select(3, 5)
    corners = touched.box(0.3, 0.3, 0.6, 0.6)
    assert touch(corners[:1], corners[1:2], corners[[2, 0]], corners[[3, 1]])
    assert touched.selected() == [3, 5]
    expect(touched.page.locator(".lw-lasso")).to_have_count(0)


def test_a_finger_that_goes_upwards_scrolls_and_selects_nothing(
    touched: LandscapeNotebook, touch: Touch
) -> None:
    touched.select(3, 5)
    low, high = touched.box(0.5, 0.2, 0.5, 0.8)[[2, 0]]
    before = touched.page.evaluate(SCROLLED)
    assert not touch(low[None], high[None])
    assert touched.selected() == [3, 5]
    expect(touched.page.locator(".lw-lasso")).to_have_count(0)
    touched.page.wait_for_function(f"(before) => ({SCROLLED})() > before", arg=before)


def test_two_fingers_draw_no_lasso(touched: LandscapeNotebook, touch: Touch) -> None:
    touched.select(3, 5)
    near, far = touched.box(0.45, 0.4, 0.55, 0.6)[[0, 2]], touched.box(0.2, 0.1, 0.8, 0.9)[[0, 2]]
    assert not touch(near, far)
    touched.page.wait_for_function("() => visualViewport.scale > 1")
    assert not touch(far, near)
    assert touched.selected() == [3, 5]
    expect(touched.page.locator(".lw-lasso")).to_have_count(0)


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
