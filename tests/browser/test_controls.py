"""Turning parameters, and watching and replaying a map, in real JupyterLab 4."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import NOTEBOOK, FloatArray
from tests.browser.landscape import DOTS, LandscapeNotebook
from tests.browser.test_map import winding

pytestmark = pytest.mark.timeout(240)

FRAMES = (
    "__import__('numpy').frombuffer(w._frames, 'float32')"
    ".reshape(len(w._trace['values']), -1, 2).tolist()"
)
LONG = """
import landscape_widgets as lw
from tests.models import digits, mlp, train
data = digits(100)
model = train(mlp(), data, 80)
sampler, reducer = lw.samplers.Subspace(n=100, radius=1.0), lw.reducers.TSNE(9, iterations=10**6)
w = lw.LandscapeWidget(model, data, sampler=sampler, reducer=reducer)
w
"""


def places(notebook: LandscapeNotebook) -> FloatArray:
    """The data that the map's dots are drawn from, (N, 2), in an order of their own."""
    notebook.draw()
    found = notebook.page.evaluate(
        "(dots) => [...document.querySelectorAll(dots)].map(({__data__: {x, y}}) => [x, y])", DOTS
    )
    return np.array(sorted(found))


def field(notebook: LandscapeNotebook, name: str) -> Locator:
    return notebook.part("settings").locator(f"[data-field={name}]")


def test_a_wrong_value_is_refused_beside_its_field_and_the_map_stays(
    notebook: LandscapeNotebook,
) -> None:
    before, cells = notebook.pixels() - notebook.scroll_to_map(), len(notebook.cells())
    notebook.part("reducer-settings").click()
    expect(field(notebook, "perplexity")).to_contain_text("(above 1; default 30)")
    for typed, error in [
        ("ddaxz", "perplexity='ddaxz': a number above 1 is expected."),  # keys of Jupyter's own
        ("0.5", "TSNE(perplexity=0.5): a number above 1 is expected."),
    ]:
        box = field(notebook, "perplexity").locator("input")
        box.fill("")
        box.press_sequentially(typed)
        notebook.page.keyboard.press("Enter")
        expect(field(notebook, "perplexity")).to_contain_text(error)
        expect(box).to_have_value(typed)
        expect(box).to_be_focused()
    assert len(notebook.cells()) == cells
    notebook.page.keyboard.press("Escape")
    expect(notebook.part("settings")).to_be_hidden()
    assert notebook.ask("w.reducer.perplexity") == 30
    after = notebook.pixels() - notebook.scroll_to_map()
    np.testing.assert_allclose(after, before, atol=1.0)


def test_a_turned_parameter_makes_another_map_and_evaluates_no_loss(
    notebook: LandscapeNotebook,
) -> None:
    with notebook.no_losses():
        before = places(notebook)
        title = notebook.part("map").locator("xpath=..")
        notebook.part("reducer-settings").click()
        field(notebook, "perplexity").locator("input").fill("12")
        notebook.page.keyboard.press("Enter")
        expect(title).to_contain_text("t-SNE of weights · perplexity 12", timeout=30_000)
        notebook.wait_until_done()
        assert not np.allclose(places(notebook), before)
        expect(field(notebook, "perplexity").locator("input")).to_have_value("12")
        notebook.part("defaults").click()
        notebook.part("apply").click()
        expect(title).to_contain_text("t-SNE of weights · perplexity 30", timeout=30_000)
        notebook.wait_until_done()
        np.testing.assert_array_equal(places(notebook), before)
        notebook.part("reducer-settings").click()


def test_the_fields_lie_within_the_output_and_move_nothing_when_they_close(
    notebook: LandscapeNotebook,
) -> None:
    size = notebook.page.viewport_size
    assert size is not None
    for width in (1400, 900):
        notebook.set_window(width, 1000)
        closed = notebook.page.locator(".lw-root").bounding_box()
        for what in ("sampler", "reducer"):
            notebook.part(f"{what}-settings").click()
            inside = notebook.page.evaluate(
                """() => {
                  const form = document.querySelector('.lw-settings');
                  const outer = form.closest('.jp-OutputArea-output').getBoundingClientRect();
                  return [form, ...form.querySelectorAll('*')].every((part) => {
                    const box = part.getBoundingClientRect();
                    return box.left >= outer.left && box.right <= outer.right + 1
                      && part.scrollWidth <= part.clientWidth + 1 || part.matches('option');
                  });
                }"""
            )
            assert inside
            notebook.part(f"{what}-settings").click()
        opened = notebook.page.locator(".lw-root").bounding_box()
        assert closed is not None
        assert opened is not None
        assert opened["height"] == closed["height"]
    notebook.set_window(**size)


def test_what_an_empty_field_means_is_not_cut_off(notebook: LandscapeNotebook) -> None:
    notebook.part("sampler-settings").click()
    room = notebook.page.evaluate(
        """() => [...document.querySelectorAll('.lw-settings input')]
          .filter((input) => input.placeholder)
          .map((input) => {
            const {paddingLeft, paddingRight} = getComputedStyle(input);
            const {font} = getComputedStyle(input, '::placeholder');
            const context = document.createElement('canvas').getContext('2d');
            const text = Object.assign(context, {font}).measureText(input.placeholder);
            const inner = input.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
            return inner - text.width;
          })"""
    )
    notebook.part("sampler-settings").click()
    assert min(room) >= 0


def test_the_film_is_replayed_step_by_step_while_the_kernel_is_blocked(
    notebook: LandscapeNotebook, root: Path
) -> None:
    frames = [np.array(sorted(frame)) for frame in notebook.ask(FRAMES)]
    assert len(frames) >= 10
    with notebook.blocked_kernel(root):
        notebook.part("frames").focus()
        for key, frame in [("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)]:
            notebook.page.keyboard.press(key)
            np.testing.assert_allclose(places(notebook), frames[frame], rtol=1e-6)
        notebook.part("step-on").click()
        np.testing.assert_allclose(places(notebook), frames[2], rtol=1e-6)
        notebook.part("step-back").click()
        np.testing.assert_allclose(places(notebook), frames[1], rtol=1e-6)
        told = notebook.part("objective")
        expect(told).to_contain_text("iteration 50 of 500 (early exaggeration)")
        notebook.part("play").click()
        expect(notebook.part("play")).to_have_attribute("aria-label", "Pause")
        expect(notebook.part("play")).to_have_attribute("aria-label", "Play")
        np.testing.assert_allclose(places(notebook), frames[-1], rtol=1e-6)
        expect(told).to_contain_text("iteration 500 of 500")


def test_a_lasso_on_a_frame_selects_what_it_encloses_there_and_is_not_drawn_on_the_map(
    notebook: LandscapeNotebook,
) -> None:
    frames = notebook.ask(FRAMES)
    notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
    expect(notebook.page.locator(".lw-lasso")).to_have_count(1)
    notebook.part("frames").focus()
    notebook.page.keyboard.press("Home")
    expect(notebook.page.locator(".lw-lasso")).to_have_count(0)
    notebook.drag(notebook.box(0.2, 0.1, 0.6, 0.8))
    selected = notebook.selected()
    assert selected
    # The frame fills the map as its points do: from their range to pixels by the same factor.
    first = np.array(frames[0])
    dots = np.asarray(
        notebook.page.evaluate(
            """(dots) => [...document.querySelectorAll(dots)].map((dot) => {
              const box = dot.getBoundingClientRect();
              const {x, y} = dot.__data__;
              return [x, y, box.x + box.width / 2, box.y + box.height / 2];
            })""",
            DOTS,
        )
    )
    pixels = np.stack(
        [np.polyval(np.polyfit(dots[:, i], dots[:, i + 2], 1), first[:, i]) for i in (0, 1)], axis=1
    )
    inside = np.abs(winding(pixels, notebook.box(0.2, 0.1, 0.6, 0.8)[:4])) > 0.5
    assert selected == np.flatnonzero(inside).tolist()
    notebook.part("frames").focus()
    notebook.page.keyboard.press("End")
    expect(notebook.page.locator(".lw-lasso")).to_have_count(0)
    notebook.wait_for_answer("w._lassos", [])
    # Taken back, the lasso that was drawn on the map is there again.
    notebook.part("map").locator("svg.lw-layer").focus()
    notebook.page.keyboard.press("Control+z")
    expect(notebook.page.locator(".lw-lasso")).to_have_count(1)


def test_a_map_moves_while_it_is_made_and_once_stopped_is_replayed_without_a_kernel(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(LONG)
    told = notebook.part("objective")
    expect(told).to_contain_text("iteration", timeout=60_000)
    curve = notebook.part("film").locator("polyline")
    before, length, text = places(notebook), curve.get_attribute("points"), told.inner_text()
    expect(told).not_to_have_text(re.compile(re.escape(text.split("\n")[-1])))
    assert curve.get_attribute("points") != length
    assert not np.allclose(places(notebook), before)
    expect(notebook.part("play")).to_be_disabled()
    expect(told).to_contain_text(re.compile(r"iteration \d,\d{3}"), timeout=60_000)
    notebook.part("stop").click()
    notebook.wait_for_state("stopped")
    notebook.wait_for_frame()
    last, frames = notebook.ask(f"[w.landscape.coordinates.tolist(), {FRAMES}]")
    stopped = notebook.part("map").locator("xpath=..")
    expect(stopped).to_contain_text("stopped at iteration")
    np.testing.assert_allclose(places(notebook), np.array(sorted(last)), rtol=1e-5)

    notebook.page.evaluate(
        f"async () => {{ {NOTEBOOK} await panel.context.sessionContext.shutdown(); }}"
    )
    notebook.take_errors()
    notebook.part("frames").focus()
    notebook.page.keyboard.press("Home")
    np.testing.assert_allclose(places(notebook), np.array(sorted(frames[0])), rtol=1e-6)
    notebook.page.keyboard.press(" ")
    expect(notebook.part("play")).to_have_attribute("aria-label", "Pause")
    expect(notebook.part("play")).to_have_attribute("aria-label", "Play")
    np.testing.assert_allclose(places(notebook), np.array(sorted(last)), rtol=1e-5)
