"""A map of more samples than a page can have elements for, in real JupyterLab 4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import jupyter
from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_map import winding
from tests.browser.test_solid import turned

pytestmark = pytest.mark.timeout(240)

N = 2101  # bqplot draws up to 2,000
CELL = f"""
import torch, landscape_widgets as lw
from landscape_widgets.widget import slices
slices.PROFILE_SECONDS, slices.AT_ONCE = 0.0, 1e9
model = torch.nn.Linear(2, 1)
x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    model.weight.copy_(torch.tensor([[1.0, -2.0]]))
    model.bias.fill_(0.5)
data = (x, model(x).detach() + 0.1 * x[:, :1] ** 2)
loss = torch.nn.functional.mse_loss
w = lw.LandscapeWidget(
    model, data, loss=loss, sampler=lw.samplers.Subspace(n={N}, radius=2.0), reducer="pca"
)
w
"""
# What lies over and under the samples.
HIDDEN = ".lw-layer, .lw-tooltip, .lw-terrain { visibility: hidden; }"
# The same picture by bqplot, filled by Python.
BQPLOT = """
import ipywidgets, numpy as np
from landscape_widgets.widget import figures
figure = figures.map_figure()
figure.layout.width, figure.layout.height = "{width}px", "{height}px"
paths, waiting, points, hollow, minima, star = figure.marks
places, heights = w.landscape.coordinates, np.log10(w.landscape.losses)
low, high = np.quantile(heights, [0.01, 0.99])
points.x, points.y = places[1:].T
points.color = np.clip((heights[1:] - low) / (high - low), 0, 1)
star.x, star.y = places[:1].T
shown = {selected}
points.opacities = [1.0 if i in shown else 0.28 if shown else 0.9 for i in range(1, len(places))]
points.stroke = "rgb(150, 150, 150)" if shown else "rgba(150, 150, 150, 0.6)"
middle = (places.max(axis=0) + places.min(axis=0)) / 2
area = np.array([{width} - 28, {height} - 28])
half = 1.12 * (np.ptp(places, axis=0) / area).max() * area / 2
for scale, at, reach in zip((points.scales["x"], points.scales["y"]), middle, half):
    scale.min, scale.max = float(at - reach), float(at + reach)
frame = ipywidgets.Box([figure], layout={{"margin": "0 0 0 10px"}}).add_class("by-bqplot")
display(frame)
"""


@pytest.fixture(scope="module")
def shared(browser: Browser, url: str, kind: str, root: Path) -> Iterator[LandscapeNotebook]:
    """A widget of many samples, for all tests of this file."""
    jupyter.write_notebook(root / "size.ipynb", CELL)
    notebook = LandscapeNotebook(browser, url, kind, "size.ipynb")
    notebook.run_until_done()
    yield notebook
    notebook.close()


@pytest.fixture
def large(shared: LandscapeNotebook) -> Iterator[LandscapeNotebook]:
    """The same with nothing selected; it must leave no error on the console."""
    shared.reset()
    yield shared
    assert shared.take_errors() == []


def places(notebook: LandscapeNotebook) -> FloatArray:
    """Where on the page each sample has to be, (N, 2)."""
    found = notebook.places(np.asarray(notebook.ask("w.landscape.coordinates.tolist()")))
    star = notebook.part("map").locator(".lw-star").bounding_box()
    assert star is not None
    assert abs(star["x"] + star["width"] / 2 - found[0, 0]) < 2
    return found


def alone(pixels: FloatArray, count: int) -> list[int]:
    """Samples that lie apart from all others."""
    apart = np.linalg.norm(pixels[:, None] - pixels, axis=2) + 1e9 * np.eye(len(pixels))
    return [int(i) for i in np.argsort(-apart.min(axis=1)) if i][:count]


def picture(notebook: LandscapeNotebook, part: Locator) -> FloatArray:
    """What is seen of a part of the page, whose corner lies on the grid of the screen's pixels."""
    part.scroll_into_view_if_needed()
    part.evaluate(
        """async (part) => {
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          const { x, y } = part.getBoundingClientRect();
          // Not by a transform: what lies at a fraction of a pixel is painted at the nearest whole
          // one as it is, and between two where it is transformed.
          part.style.position = "relative";
          part.style.left = `${Math.round(x) - x}px`;
          part.style.top = `${Math.round(y) - y}px`;
        }"""
    )
    try:
        return notebook.picture(part)
    finally:
        part.evaluate(
            """({ style }) => {
              style.position = style.left = style.top = '';
            }"""
        )


def test_many_samples_are_drawn_without_an_element_for_each(large: LandscapeNotebook) -> None:
    elements = "() => document.querySelectorAll('.lw-root *').length"
    assert large.page.evaluate(elements) < 700
    assert large.part("map").locator(".object_grp").count() == 0
    large.select(5, 9)
    assert large.page.evaluate(elements) < 700


def test_pointing_names_the_sample_there_and_a_click_selects_it(large: LandscapeNotebook) -> None:
    pixels = places(large)
    first, second, third = alone(pixels, 3)
    for index in (first, second, third):
        large.point_at(pixels[index])
        expect(large.part("map").locator(".lw-tooltip > :first-child")).to_have_text(f"#{index}")
        large.wait_for_drawn(hovered=index, missing=0)  # the kernel has been asked for its slice
        assert len(large.curves(2.4)) == 1
    large.page.mouse.click(*pixels[first])
    large.expect_selected([first])
    large.page.keyboard.down("Shift")
    large.page.mouse.click(*pixels[second])
    large.page.keyboard.up("Shift")
    large.expect_selected(sorted([first, second]))
    rings = large.part("map").locator(".lw-ring:not(.lw-hovered)")
    found = [ring.bounding_box() for ring in rings.all()]
    middles = np.array([[b["x"] + b["width"] / 2, b["y"] + b["height"] / 2] for b in found if b])
    np.testing.assert_allclose(middles, pixels[sorted([first, second])], atol=1)


def test_a_lasso_selects_exactly_what_is_inside_and_is_taken_back(
    large: LandscapeNotebook,
) -> None:
    corner, size = large._map_box()
    path = corner + size * [[0.3, 0.2], [0.7, 0.3], [0.6, 0.8], [0.45, 0.5], [0.25, 0.6]]
    large.drag(np.vstack([path, path[:1]]))
    selected = large.selected()
    coordinates = np.asarray(large.ask("w.landscape.coordinates.tolist()"))
    (lasso,) = large.ask("w._lassos")
    inside = np.abs(winding(coordinates, np.asarray(lasso["polygon"]))) > 0.5
    assert selected == np.flatnonzero(inside).tolist()
    assert 100 < len(selected) < N - 100
    # And those are the ones that are drawn there.
    there = np.abs(winding(places(large), path)) > 0.5
    assert (there != inside).mean() < 0.01
    large.page.keyboard.press("Control+z")
    large.expect_selected([])
    large.page.keyboard.press("Control+Shift+z")
    large.expect_selected(selected)


def test_another_colour_is_painted(large: LandscapeNotebook) -> None:
    pixels = places(large)
    some = alone(pixels, 60)
    for column, values in (
        ("radius", "w.landscape.to_frame()['radius']"),
        ("loss", "w.landscape.losses"),
    ):
        large.part("colour-by").select_option(column)
        large.wait_for_drawn(colour=column)
        shown = large.canvas_colours(large.part("map").get_by_test_id("dots"), pixels[some])
        assert (shown[:, 3] > 220).all()
        known = np.asarray(large.ask(f"list(map(float, {values}))"))[some]
        low, high = np.quantile(large.ask(f"list(map(float, {values}))"), [0.01, 0.99])
        inner = (known > low) & (known < high)
        # Viridis is lighter, by the eye's measure, the greater the value (CIE 1931 luminance).
        lightness = (shown[:, :3] @ [0.2126, 0.7152, 0.0722])[inner]
        assert np.ptp(lightness) > 30
        assert np.diff(lightness[np.argsort(known[inner])]).min() > -2  # but for rounding


def test_what_is_not_selected_is_faint(large: LandscapeNotebook) -> None:
    pixels = places(large)
    chosen, other = alone(pixels, 2)
    large.select(chosen)
    shown, faint = large.canvas_colours(
        large.part("map").get_by_test_id("dots"), pixels[[chosen, other]]
    )
    assert shown[3] == 255
    assert faint[3] < 90


@pytest.mark.parametrize("selected", [(), (3, 8, 1200)])
def test_the_canvas_looks_as_marks_of_bqplot_do(
    large: LandscapeNotebook, selected: tuple[int, ...]
) -> None:
    large.select(*selected)
    large.page.mouse.move(2, 2)
    large.draw()
    _, (width, height) = large._map_box()
    hidden = large.page.add_style_tag(content=HIDDEN)
    try:
        canvas = picture(large, large.part("map"))
        large.run_new_cell(BQPLOT.format(width=width, height=height, selected=selected))
        dots = large.page.locator(".by-bqplot:visible path.dot")
        expect(dots).to_have_count(N + 1, timeout=60_000)
        figure = large.page.locator(".by-bqplot:visible .bqplot")
        marks = picture(large, figure)
    finally:
        hidden.evaluate("(style) => style.remove()")
        large.tell("frame.close()")
        expect(large.page.locator(".by-bqplot")).to_have_count(0)
    assert canvas.shape == marks.shape
    difference = np.abs(canvas - marks).max(axis=2)
    assert np.abs(marks - marks[0, 0]).max(axis=2).mean() > 10  # there is something
    assert difference.mean() < 3
    assert (difference > 60).mean() < 0.002


# What changes the map comes last.


def test_a_map_of_many_samples_in_three_dimensions_is_turned(large: LandscapeNotebook) -> None:
    large.part("dimensions").select_option("3")
    large.wait_until_done()
    points = np.asarray(large.ask("w.landscape.coordinates.tolist()"))
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    radius = np.linalg.norm(points, axis=1).max()
    frame = radius * np.array([[-1.0, -1.0], [1.0, 1.0]])
    view = turned(points, 0.5, 0.35)
    for key, angle in (("Home", 0.0), ("Shift+ArrowLeft", -np.pi / 24)):
        large.part("map").locator("svg.lw-layer").focus()
        large.page.keyboard.press(key)
        large.draw()
        view = turned(view, angle, 0.0)
        pixels = large.places(np.vstack([frame, view[:, :2]]))[2:]
        some = alone(pixels, 8)
        canvas = large.part("map").get_by_test_id("dots")
        assert (large.canvas_colours(canvas, pixels[some])[:, 3] > 60).all()
        for index in some[:2]:
            large.point_at(pixels[index])
            name = large.part("map").locator(".lw-tooltip > :first-child")
            expect(name).to_have_text(f"#{index}")
