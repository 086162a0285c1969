"""The widget where there is no manager of widgets and no bqplot: marimo, MyST, offline pages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import landscape_widgets as lw
from tests.browser.alone import AlonePage
from tests.browser.jupyter import FloatArray
from tests.browser.landscape import COLOURS
from tests.browser.test_plane import colour
from tests.models import digits, mlp, train

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def widget() -> Iterator[lw.LandscapeWidget]:
    data, val = digits(200), tuple(part[200:] for part in digits(300))
    model = train(mlp(), data, 60)
    widget = lw.LandscapeWidget(model, data, val_data=val, sampler=lw.samplers.Minima(n=60))
    widget.wait(120)
    yield widget
    widget.close()


@pytest.fixture
def alone(browser: Browser, widget: lw.LandscapeWidget) -> Iterator[AlonePage]:
    """The page; it must leave no error on the console."""
    alone = AlonePage(browser, widget)
    yield alone
    alone.page.close()
    assert alone.errors == []


def places(alone: AlonePage, coordinates: FloatArray) -> FloatArray:
    """Where on the page samples have to be, (N, 2); see `LandscapeNotebook.places`."""
    box = alone.part("map").locator(".lw-frame").bounding_box()
    assert box is not None
    area = np.array([box["width"], box["height"]])
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    unit = 1.12 * ((high - low) / area).max()
    middle = np.array([box["x"], box["y"]]) + area / 2
    found: FloatArray = (coordinates - (low + high) / 2) * [1, -1] / unit + middle
    return found


def curves(alone: AlonePage) -> list[FloatArray]:
    """The lines of the slice, each (points, 2) in px of its plot."""
    paths = alone.page.eval_on_selector_all(
        ".lw-lines .lw-line", "(lines) => lines.map((line) => line.getAttribute('d'))"
    )
    return [
        np.array([pair.split(",") for pair in path[1:].split("L")], dtype=float) for path in paths
    ]


def test_map_slice_lasso_colour_and_tabs_work_without_a_manager_of_widgets(
    alone: AlonePage, widget: lw.LandscapeWidget
) -> None:
    land = widget.landscape
    assert alone.page.locator(".bqplot").count() == 0
    pixels = places(alone, land.coordinates)
    apart = np.linalg.norm(pixels[:, None] - pixels, axis=2) + 1e9 * np.eye(len(pixels))
    kinds = land.cloud.table["kind"]
    ordinary = [i for i in np.argsort(-apart.min(axis=1)) if kinds[i] == "sample"]

    # The colours of the loss.
    heights = np.log10(land.losses)
    low, high = np.quantile(heights, [0.01, 0.99])
    first, second = (int(i) for i in ordinary[:2])
    canvas = alone.part("map").get_by_test_id("dots")
    for i in (first, second):
        seen = np.array(canvas.evaluate(COLOURS, [pixels[i].tolist()]))[0]
        assert np.abs(seen[:3] - colour((heights[i] - low) / (high - low))).max() < 12

    # A slice by the hand, on an axis that says how high it is.
    alone.page.mouse.move(*pixels[first])
    alone.wait_for_drawn(hovered=first)
    line, *others = curves(alone)
    assert len(others) == 1  # on the validation data
    truth = np.log10(land.slice([first]).values["loss"][0])
    np.testing.assert_allclose(
        (line[:, 1] - line[0, 1]) / np.ptp(line[:, 1]),
        (truth[0] - truth) / np.ptp(truth),
        atol=0.01,
    )
    axes = alone.part("slice").locator(".lw-axes text").all_text_contents()
    assert axes[:5] == ["−0.5", "0", "0.5", "1", "1.5"]
    assert axes[-1] == "loss"

    # A lasso.
    middle, reach = pixels.mean(axis=0), np.ptp(pixels, axis=0) / 4
    alone.drag(middle + reach * [[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    inside = np.flatnonzero((np.abs(pixels - middle) < reach).all(axis=1)).tolist()
    assert len(inside) > 5
    alone.wait_for_drawn(selected=inside)
    assert alone.get("selected") == inside

    # A colour.
    before = canvas.screenshot()
    alone.part("colour-by").select_option("radius")
    alone.wait_for_drawn(colour="radius")
    assert canvas.screenshot() != before

    # The plane's tab, which asks the kernel.
    alone.page.evaluate("(selected) => window.put(JSON.stringify({selected}))", [first, second])
    alone.part("plane-toggle").click()
    expect(alone.part("plane")).to_contain_text("computing…")
    (asked,) = alone.said("ask")
    widget.session.ask(asked["name"], asked["of"])
    widget.wait(60)
    alone.send("_answers", "_asked")
    expect(alone.part("plane-error")).to_contain_text("held out")


def test_the_loss_is_shaded_between_the_samples_until_it_is_switched_off(
    alone: AlonePage, widget: lw.LandscapeWidget
) -> None:
    found = widget.landscape.terrain()
    assert found.carries
    toggle, ground = alone.part("terrain-toggle"), alone.part("terrain")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(ground).to_be_visible()
    assert alone.page.locator(".lw-terrain path").count() > 0

    # The colours of the losses that Python tells, as opaque as they are certain.
    heights = np.log10(widget.landscape.losses)
    low, high = np.quantile(heights, [0.01, 0.99])
    corners = widget.landscape.coordinates
    middle, canvas = (corners.min(axis=0) + corners.max(axis=0)) / 2, ground.locator("canvas")
    # Where it hardly changes by a place of the grid.
    steps = np.stack(np.gradient(np.log10(found.losses)))
    inner = np.abs(steps).max(axis=0) < 0.06 * (high - low)
    inner &= (found.certainty > 0.4) & (
        np.abs(found.x[:, None] - middle[0]) < np.ptp(corners[:, 0]) / 2
    )
    inner &= np.abs(found.y - middle[1]) < np.ptp(corners[:, 1]) / 2
    chosen = np.argwhere(inner)[:: max(1, int(inner.sum()) // 20)]
    assert len(chosen) >= 10
    on_map = np.column_stack([found.x[chosen[:, 0]], found.y[chosen[:, 1]]])
    pixels = places(alone, np.vstack([corners, on_map]))[len(corners) :]
    seen = np.array(canvas.evaluate(COLOURS, pixels.tolist()))
    for (i, j), (*rgb, opacity) in zip(chosen, seen, strict=True):
        wanted = colour((np.log10(found.losses[i, j]) - low) / (high - low))
        assert np.abs(np.array(rgb) - wanted).max() < 40
        assert abs(opacity / 255 - 0.42 * found.certainty[i, j]) < 0.06

    alone.part("colour-by").select_option("radius")
    expect(ground).to_be_hidden()
    expect(toggle).to_be_disabled()
    alone.part("colour-by").select_option("loss")
    expect(ground).to_be_visible()
    toggle.click()
    expect(ground).to_be_hidden()
    expect(toggle).to_have_attribute("aria-pressed", "false")


def test_a_page_without_a_kernel_says_so_and_goes_on_to_answer_the_hand(
    browser: Browser, widget: lw.LandscapeWidget
) -> None:
    alone = AlonePage(browser, widget, kernel=False, width=900)
    expect(alone.part("no-kernel")).to_be_visible()
    expect(alone.part("sampler")).to_be_disabled()
    place = places(alone, widget.landscape.coordinates)[5]
    alone.page.mouse.move(*place)
    alone.wait_for_drawn(hovered=5, lines=2)
    alone.page.set_viewport_size({"width": 1366, "height": 768})
    alone.page.wait_for_function(
        """() => {
          const root = document.querySelector('.lw-root');
          const {clientWidth} = document.querySelector('[data-testid=map]');
          return root.clientWidth > 1300 && root.dataset.drawing === undefined
            && JSON.parse(root.dataset.drawn).width === clientWidth;
        }"""
    )
    alone.page.mouse.move(*places(alone, widget.landscape.coordinates)[7])
    alone.wait_for_drawn(hovered=7)
    alone.page.close()
    assert alone.errors == []
