"""The widget in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MODEL
from tests.browser.jupyter import DOTS, Notebook, write_notebook

pytestmark = pytest.mark.timeout(300)

# Which samples lie inside the lasso, found in the kernel by the winding number: neither the
# front end's even-odd rule nor its code.
INSIDE = """[
    i for i, (x, y) in enumerate(w.landscape.coordinates)
    if abs(sum(
        np.arctan2(
            (a[0] - x) * (b[1] - y) - (a[1] - y) * (b[0] - x),
            (a[0] - x) * (b[0] - x) + (a[1] - y) * (b[1] - y),
        )
        for a, b in zip(w._lassos[-1], w._lassos[-1][1:] + w._lassos[-1][:1])
    )) > np.pi
]"""
SQUARE = [(0.3, 0.2), (0.7, 0.2), (0.7, 0.7), (0.3, 0.7), (0.3, 0.2)]


def test_the_map_shows_every_sample_and_a_lasso_selects_those_inside_it(notebook: Notebook):
    notebook.wait_until_done()
    n = notebook.ask("len(w.landscape.cloud)")
    pixels = notebook.pixels()
    assert len(pixels) == n == 204
    notebook.drag(SQUARE)
    selected = notebook.ask("list(w.selected)")
    assert 0 < len(selected) < n
    assert selected == notebook.ask(INSIDE)
    box = notebook.part("map").bounding_box()
    inside = sum(0.3 < x / box["width"] < 0.7 and 0.2 < y / box["height"] < 0.7 for x, y in pixels)
    assert abs(inside - len(selected)) <= 2  # points on the very edge may fall either way
    assert len(notebook.ask("w.selection.to_dict('list')")["loss"]) == len(selected)
    expect(notebook.part("selection")).to_contain_text(f"{len(selected)} samples")
    assert notebook.errors == []


def test_shift_adds_alt_removes_escape_clears_and_control_z_takes_back(notebook: Notebook):
    notebook.wait_until_done()
    notebook.drag([(0.2, 0.1), (0.5, 0.1), (0.5, 0.9), (0.2, 0.9)])
    left = notebook.ask("list(w.selected)")
    notebook.drag([(0.5, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.9)], "Shift")
    both = notebook.ask("list(w.selected)")
    assert set(left) < set(both)
    notebook.drag([(0.2, 0.1), (0.5, 0.1), (0.5, 0.9), (0.2, 0.9)], "Alt")
    assert set(notebook.ask("list(w.selected)")) == set(both) - set(left)
    notebook.page.keyboard.press("Control+z")
    assert notebook.ask("list(w.selected)") == both
    notebook.page.keyboard.press("Escape")
    assert notebook.ask("list(w.selected)") == []
    notebook.page.keyboard.press("Control+z")
    assert notebook.ask("list(w.selected)") == both
    assert notebook.errors == []


def test_a_click_selects_one_sample_and_the_keyboard_does_the_same(notebook: Notebook):
    notebook.wait_until_done()
    box = notebook.part("map").bounding_box()
    x, y = min(notebook.pixels())  # the leftmost, so that there is one to its right
    notebook.page.mouse.click(box["x"] + x, box["y"] + y)
    (clicked,) = notebook.ask("list(w.selected)")
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.keyboard.press("Shift+Enter")
    added = notebook.ask("list(w.selected)")
    assert len(added) == 2
    assert clicked in added


def test_setting_the_selection_in_the_kernel_changes_the_view(notebook: Notebook):
    notebook.wait_until_done()
    notebook.ask("setattr(w, 'selected', (3, 5)) or list(w.selected)")
    expect(notebook.part("selection")).to_contain_text("2 samples")
    assert len(notebook.slice_paths()) >= 2


def test_the_slice_follows_the_hand_while_the_kernel_is_blocked(notebook: Notebook):
    notebook.wait_until_done()
    notebook.start("import time; time.sleep(8); blocked_until = time.time()")
    box = notebook.part("map").bounding_box()
    drawn = set()
    for x, y in notebook.pixels()[5:12]:
        notebook.page.mouse.move(box["x"] + x, box["y"] + y)
        notebook.page.wait_for_timeout(100)
        drawn.add(tuple(notebook.slice_paths()))
    notebook.drag(SQUARE)
    expect(notebook.part("selection")).to_contain_text("samples")
    drawn_by = time.time()
    assert len(drawn) > 3
    assert notebook.ask("blocked_until") > drawn_by
    assert notebook.ask("len(w.selected)") > 0  # what was selected meanwhile has arrived


def test_stop_stops_and_keeps_what_is_done(browser, url, kind, root: Path):
    slow = MODEL + (
        "import time\n"
        "def loss(outputs, targets):\n"
        "    time.sleep(0.005)\n"
        "    return nn.functional.cross_entropy(outputs, targets)\n"
        "def slow_loss(model, batch):\n"
        "    return loss(model(batch[0]), batch[1])\n"
    )
    widget = "w = lw.LandscapeWidget(model, data, loss=slow_loss, sampler='subspace')\nw"
    write_notebook(root / "stop.ipynb", slow, widget)
    notebook = Notebook(browser, url, kind, "stop.ipynb")
    notebook.run()
    notebook.wait_for_widget()
    expect(notebook.part("status")).to_contain_text("evaluating losses", timeout=60_000)
    notebook.page.wait_for_timeout(500)
    notebook.part("stop").click()
    expect(notebook.part("status")).to_have_attribute("data-state", "stopped", timeout=20_000)
    done = notebook.ask("int(w.landscape.evaluated.sum())")
    assert 0 < done < notebook.ask("len(w.landscape.cloud)")
    notebook.page.wait_for_timeout(1000)
    assert notebook.ask("int(w.landscape.evaluated.sum())") == done
    notebook.part("start").click()
    expect(notebook.part("status")).to_have_attribute("data-state", "running", timeout=20_000)
    notebook.start("w.close()")
    notebook.page.close()


def test_a_page_that_is_loaded_again_shows_the_widget_in_its_state(notebook: Notebook):
    notebook.wait_until_done()
    notebook.drag(SQUARE)
    selected = notebook.ask("list(w.selected)")
    before = notebook.pixels()
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_timeout(1500)
    notebook.open()
    notebook.wait_for_widget()
    expect(notebook.part("selection")).to_contain_text(f"{len(selected)} samples")
    after = notebook.pixels()
    assert len(after) == len(before)
    assert (
        max(
            abs(a - b)
            for p, q in zip(before, after, strict=True)
            for a, b in zip(p, q, strict=True)
        )
        < 3
    )
    assert notebook.page.locator(".lw-lasso").count() == 1
    assert notebook.errors == []


def test_changing_the_map_or_the_colour_evaluates_no_loss_again(notebook: Notebook):
    notebook.wait_until_done()
    notebook.ask(
        "[setattr(w.landscape.objective, 'evaluate', "
        "lambda *a, **k: (_ for _ in ()).throw(AssertionError('evaluated')))] and 1"
    )
    notebook.part("colour-by").select_option("val_loss")
    notebook.part("reducer").select_option("pca")
    expect(notebook.part("map").locator("xpath=..")).to_contain_text("PCA of weights")
    notebook.wait_until_done()
    assert notebook.ask("w.colour_by") == "val_loss"
    assert notebook.part("error").is_hidden()


def test_a_resized_page_keeps_the_lasso_around_its_samples(notebook: Notebook):
    notebook.wait_until_done()
    notebook.drag(SQUARE)
    selected = notebook.ask("list(w.selected)")
    notebook.page.set_viewport_size({"width": 1000, "height": 1000})
    notebook.page.wait_for_timeout(1000)
    inside = notebook.page.evaluate(
        """(dots) => {
          const polygon = document.querySelector('.lw-lasso');
          const svg = polygon.ownerSVGElement;
          const box = svg.getBoundingClientRect();
          return [...document.querySelectorAll(dots)].filter((dot) => {
            const b = dot.getBoundingClientRect();
            const point = svg.createSVGPoint();
            point.x = b.x + b.width / 2 - box.x;
            point.y = b.y + b.height / 2 - box.y;
            return polygon.isPointInFill(point);
          }).length;
        }""",
        DOTS,
    )
    assert abs(inside - len(selected)) <= 2
    assert notebook.ask("list(w.selected)") == selected


def test_the_quickstart_runs(browser, url, kind, root: Path):
    source = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
    shutil.copy(source, root / "quickstart.ipynb")
    notebook = Notebook(browser, url, kind, "quickstart.ipynb")
    notebook.run()
    notebook.wait_for_widget()
    notebook.wait_until_done()
    assert len(notebook.pixels()) == notebook.ask("len(w.landscape.cloud)") == 604
    expect(notebook.part("trust")).to_contain_text("trustworthiness")
    assert notebook.ask("len(w.selected)") == 3
    assert notebook.errors == []
    notebook.start("w.close()")
    notebook.page.close()
