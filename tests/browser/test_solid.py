"""Turning and lassoing a map of three dimensions, in real JupyterLab 4."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import DOTS, LandscapeNotebook
from tests.browser.test_map import winding

pytestmark = pytest.mark.timeout(240)

CELL = """
import landscape_widgets as lw
from tests.models import digits, mlp, train
data = digits(100)
model = train(mlp(), data, 60)
sampler = lw.samplers.Subspace(n=80, radius=1.0)
w = lw.LandscapeWidget(model, data, sampler=sampler, reducer="pca", n_components=3)
w
"""


def turned(points: FloatArray, right: float, down: float) -> FloatArray:
    """Places on the screen after a turn to the right, then downwards, by matrices."""
    c, s, d, t = np.cos(right), np.sin(right), np.cos(down), np.sin(down)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    about_x = np.array([[1, 0, 0], [0, d, -t], [0, t, d]])
    return points @ (about_x @ about_y).T


def drawn(notebook: LandscapeNotebook) -> tuple[FloatArray, FloatArray]:
    """The data that the dots are drawn from, and where they are on the page."""
    notebook.draw()
    found = np.asarray(
        notebook.page.evaluate(
            """(dots) => [...document.querySelectorAll(dots)].map((dot) => {
              const box = dot.getBoundingClientRect();
              const {x, y} = dot.__data__;
              return [x, y, box.x + box.width / 2, box.y + box.height / 2];
            })""",
            DOTS,
        )
    )
    return found[:, :2], found[:, 2:]


def check_view(notebook: LandscapeNotebook, view: FloatArray) -> FloatArray:
    """That each sample is drawn where it is in a view; its pixels, (N, 2)."""
    data, pixels = drawn(notebook)
    distances = np.linalg.norm(data[:, None] - view[:, :2], axis=2)
    assert distances.min(axis=1).max() < 1e-4 * np.ptp(view)
    numbers = distances.argmin(axis=1)
    assert sorted(numbers) == list(range(len(view)))
    return pixels[np.argsort(numbers)]


def test_a_turned_map_is_the_projection_by_matrices_and_a_lasso_selects_what_is_drawn_inside(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(CELL)
    notebook.wait_until_done()
    points = np.asarray(notebook.ask("w.landscape.coordinates.tolist()"))
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    first = turned(points, 0.5, 0.35)
    notebook.scroll_to_map()
    check_view(notebook, first)

    notebook.drag(notebook.box(0.35, 0.3, 0.65, 0.7))
    expect(notebook.page.locator(".lw-lasso")).to_have_count(1)
    before = notebook.selected()
    start, end = notebook.box(0.5, 0.5, 0.6, 0.55)[[0, 2]]
    notebook.page.mouse.move(*start)
    notebook.page.mouse.down(button="right")
    notebook.page.mouse.move(*end)
    notebook.page.mouse.up(button="right")
    notebook.draw()
    expect(notebook.page.locator(".lw-lasso")).to_have_count(0)
    notebook.expect_selected(before)
    second = turned(first, *(0.008 * (end - start)))
    pixels = check_view(notebook, second)

    path = notebook.box(0.3, 0.2, 0.6, 0.6)
    notebook.drag(path)
    inside = np.flatnonzero(np.abs(winding(pixels, path[:4])) > 0.5).tolist()
    notebook.expect_selected(inside)
    assert inside not in ([], before)

    notebook.page.keyboard.press("Shift+ArrowLeft")
    notebook.draw()
    check_view(notebook, turned(second, -np.pi / 24, 0.0))
    notebook.part("turn").click()
    notebook.drag(path[:2])
    notebook.expect_selected(inside)
    notebook.part("map").locator("svg.lw-layer").focus()
    notebook.page.keyboard.press("Home")
    notebook.draw()
    check_view(notebook, first)
    notebook.part("dimensions").select_option("2")
    expect(notebook.part("turn")).to_be_hidden(timeout=30_000)
    notebook.wait_until_done()
    assert notebook.ask("w.landscape.coordinates.shape[1]") == 2
