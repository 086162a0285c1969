"""What becomes of a widget that is looked at no more, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import NOTEBOOK
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_work import QUICK, SLOW

pytestmark = pytest.mark.timeout(240)

COUNT = """
import gc, threading, ipywidgets
def count():
    gc.collect()
    threads = sum(t.name == 'landscape-widgets' for t in threading.enumerate())
    return [threads, len(ipywidgets.widgets.widget._instances)]
def slower(model, batch):
    time.sleep(0.04)
    return slow_loss(model, batch)
"""
CELL = """
w = lw.LandscapeWidget(model, data, loss=slower, sampler=lw.samplers.Subspace(n=600, radius=1.0))
w
"""


def run_cell(notebook: LandscapeNotebook, number: int) -> None:
    """Run a cell, and wait until it has run."""
    notebook.page.evaluate(
        "async (number) => {"
        + NOTEBOOK
        + """
          panel.content.activeCellIndex = number;
          await window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        number,
    )


@pytest.mark.in_both_applications
def test_a_cell_that_is_run_again_leaves_one_widget_behind(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(SLOW, COUNT, CELL)
    notebook.wait_for_state("running")
    threads, models = notebook.ask("count()")
    assert threads == 1
    for _ in range(5):
        run_cell(notebook, 2)
    notebook.wait_for_answer("count()", [1, models])
    expect(notebook.page.locator(".lw-root")).to_have_count(1)
    notebook.ask("w.close()")
    notebook.wait_for_answer("count()", [0, 0])


def test_a_widget_that_is_shown_nowhere_stops_computing_and_goes_on_when_it_is_shown_again(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(SLOW, COUNT, CELL)
    notebook.wait_for_state("running")
    notebook.page.evaluate(
        "() => {"
        + NOTEBOOK
        + """
          panel.content.activeCellIndex = 2;
          return window.jupyterapp.commands.execute('notebook:clear-cell-output').then(() => null);
        }"""
    )
    notebook.wait_for_answer("w.session.worker.busy", False)
    done = notebook.ask("int(w.landscape.evaluated.sum())")
    assert done < 601
    notebook.run_new_cell("w")
    notebook.wait_for_widget()
    notebook.wait_for_state("running")
    notebook.wait_for_answer(f"int(w.landscape.evaluated.sum()) > {done}", True)
    notebook.ask("w.close()")


def test_a_widget_that_was_replaced_can_be_shown_again(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(
        QUICK + "kept = []",
        COUNT,
        "w = lw.LandscapeWidget(model, data, sampler=lw.samplers.Subspace(n=80), reducer='pca')\n"
        "kept.append(w)\nw",
    )
    notebook.wait_until_done()
    run_cell(notebook, 2)
    notebook.wait_for_answer("kept[0].comm is None", True)
    assert notebook.ask("len(kept[0].landscape.cloud)") == 81
    notebook.run_new_cell("kept[0]")
    expect(notebook.page.locator(".lw-root[data-ready]")).to_have_count(2)
    expect(notebook.view(1).get_by_test_id("status")).to_have_text("Done", timeout=30_000)


def test_a_page_that_is_left_stops_the_work_which_goes_on_when_it_is_opened_again(
    opened: Callable[..., LandscapeNotebook], root: Path
) -> None:
    notebook = opened(SLOW, COUNT, CELL)
    notebook.wait_for_state("running")
    notebook.save()
    rested = root / "rested"
    notebook.tell(
        "import pathlib\n"
        "def watch():\n"
        "    while w.session.worker.busy: time.sleep(0.05)\n"
        f"    pathlib.Path({str(rested)!r}).touch()\n"
        "threading.Thread(target=watch, daemon=True).start()"
    )
    notebook.ask("None")
    notebook.page.goto("about:blank")
    for _ in range(1200):
        if rested.exists():
            break
        notebook.page.wait_for_timeout(50)
    assert rested.exists()
    notebook.open()
    notebook.wait_for_widget()
    notebook.wait_for_state("running")
    done = notebook.ask("int(w.landscape.evaluated.sum())")
    assert done < 601
    notebook.wait_for_answer(f"int(w.landscape.evaluated.sum()) > {done}", True)
    notebook.ask("w.close()")
