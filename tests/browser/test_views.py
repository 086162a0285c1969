"""Views of one widget, several and in boxes, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_work import QUICK

pytestmark = pytest.mark.timeout(240)

WIDGET = """
slices.PROFILE_SECONDS = 1e9
w = lw.LandscapeWidget(model, data, val_data=val, sampler=lw.samplers.Minima(n=120))
w
"""
NARROW = """
import ipywidgets
ipywidgets.Box([w], layout=ipywidgets.Layout(width='760px'))
"""


def seen(notebook: LandscapeNotebook, view: int) -> dict[str, Any]:
    """What a view shows: its dots, data and places, its rings, its star, and its curves."""
    found: dict[str, Any] = notebook.view(view).evaluate(
        """(root) => {
          const map = root.querySelector('.lw-layer').getBoundingClientRect();
          const places = (parts, data) => [...root.querySelectorAll(parts)].map((part) => {
            const box = part.getBoundingClientRect();
            const place = [box.x + box.width / 2 - map.x, box.y + box.height / 2 - map.y];
            return data ? [part.__data__.x, part.__data__.y, ...place] : place;
          });
          return {
            dots: places('.object_grp path.dot', true),
            rings: places('.lw-ring', false),
            star: places('.lw-star', false)[0],
            curves: [...root.querySelectorAll('.curve path.line')].map((c) => c.getAttribute('d'))
              .filter(Boolean),
            width: map.width,
          };
        }"""
    )
    return found


def place(shown: dict[str, Any], point: FloatArray) -> FloatArray:
    """Where bqplot has drawn the dot of a point."""
    dots = np.array(shown["dots"])
    return dots[np.linalg.norm(dots[:, :2] - point, axis=1).argmin(), 2:]


def settle(notebook: LandscapeNotebook) -> None:
    """Until both views have drawn all that they know of."""
    notebook.draw()
    expect(notebook.page.locator(".lw-root[data-drawing]")).to_have_count(0)


def test_each_view_draws_for_itself(opened: Callable[..., LandscapeNotebook]) -> None:
    notebook = opened(QUICK, WIDGET, NARROW)
    expect(notebook.page.locator(".lw-root[data-ready]")).to_have_count(2)
    notebook.wait_until_done()
    coordinates = np.array(notebook.ask("w.landscape.coordinates.tolist()"))
    notebook.select(5, 9)
    settle(notebook)
    views = [seen(notebook, view) for view in (0, 1)]
    assert views[0]["width"] > views[1]["width"] + 50
    for shown in views:
        np.testing.assert_allclose(shown["star"], place(shown, coordinates[0]), atol=2)
        for ring, index in zip(shown["rings"], (5, 9), strict=True):
            np.testing.assert_allclose(ring, place(shown, coordinates[index]), atol=1)

    # What one view is pointed at is not drawn in the other.
    origin = notebook.scroll_to_map()
    notebook.point_at(origin + place(seen(notebook, 0), coordinates[20]))
    settle(notebook)
    assert len(seen(notebook, 0)["rings"]) == 3
    other = seen(notebook, 1)
    assert len(other["rings"]) == 2
    assert other["curves"] == views[1]["curves"]
    notebook.page.mouse.move(2, 2)

    # Nor is a frame of the replay; and the other's star stays on its dot.
    notebook.part("frames").focus()
    notebook.page.keyboard.press("Home")
    settle(notebook)
    first, second = seen(notebook, 0), seen(notebook, 1)
    assert not np.allclose(np.array(first["dots"]), np.array(views[0]["dots"]))
    np.testing.assert_allclose(np.array(second["dots"]), np.array(views[1]["dots"]), atol=0.1)
    np.testing.assert_allclose(second["star"], views[1]["star"], atol=0.1)
    notebook.page.keyboard.press("End")


def test_a_turn_of_one_view_leaves_the_other_as_it_is(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(
        QUICK,
        "w = lw.LandscapeWidget(model, data, sampler=lw.samplers.Subspace(n=80), reducer='pca', "
        "n_components=3)\nw",
        NARROW,
    )
    expect(notebook.page.locator(".lw-root[data-ready]")).to_have_count(2)
    notebook.wait_until_done()
    settle(notebook)
    before = [seen(notebook, view) for view in (0, 1)]
    notebook.part("map").locator("svg.lw-layer").focus()
    notebook.page.keyboard.press("Shift+ArrowLeft")
    settle(notebook)
    first, second = seen(notebook, 0), seen(notebook, 1)
    assert not np.allclose(np.array(first["dots"]), np.array(before[0]["dots"]))
    np.testing.assert_allclose(np.array(second["dots"]), np.array(before[1]["dots"]), atol=0.1)
    np.testing.assert_allclose(second["star"], before[1]["star"], atol=0.1)


BOXES = """
import ipywidgets
box = ipywidgets.Box([w], layout=ipywidgets.Layout(width='60px'))
display(box, ipywidgets.HBox([w, w]), ipywidgets.VBox([ipywidgets.HBox([w])]))
"""


@pytest.mark.in_both_applications
def test_a_view_takes_the_room_that_its_box_has_and_is_drawn_once_it_has_some(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, WIDGET, BOXES)
    widths = "() => [...document.querySelectorAll('.lw-root')].map((root) => root.clientWidth)"
    expect(notebook.page.locator(".lw-root")).to_have_count(5)
    whole, narrow, left, right, last = notebook.page.evaluate(widths)
    assert narrow == 60
    assert left == right
    assert whole - 10 < left + right <= whole
    assert whole - 10 < last <= whole
    notebook.wait_until_done()
    notebook.ask("setattr(box.layout, 'width', '800px')")
    expect(notebook.page.locator(".lw-root[data-ready]")).to_have_count(5)
    settle(notebook)
    coordinates = np.array(notebook.ask("w.landscape.coordinates.tolist()"))
    shown = seen(notebook, 1)
    assert notebook.page.evaluate(widths)[1] == 800
    np.testing.assert_allclose(shown["star"], place(shown, coordinates[0]), atol=2)
    dots = np.array(shown["dots"])
    assert (dots[:, 2] > 0).all()
    assert (dots[:, 2] < shown["width"]).all()
