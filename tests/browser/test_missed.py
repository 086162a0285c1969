"""Who says no goodbye is missed: a notebook's tab that is closed while the page stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.jupyter import NOTEBOOK
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_lifetime import CELL, COUNT
from tests.browser.test_work import QUICK, SLOW

pytestmark = pytest.mark.timeout(240)

SAMPLES = 2001
MANY = CELL.replace("n=600", f"n={SAMPLES - 1}")  # as many as take longer than all questions

# Views are asked whether they are there after four seconds, not after fifteen.
SOON = """
from landscape_widgets.widget import lease
lease.TICK, lease.ASK_AFTER = 0.2, 4.0
"""
# Writes how many samples have losses once the work ends.
WATCH = """
import pathlib
def watch():
    while w.session.worker.busy: time.sleep(0.05)
    found = pathlib.Path({path!r})
    found.with_suffix(".part").write_text(str(int(w.landscape.evaluated.sum())))
    found.with_suffix(".part").rename(found)
threading.Thread(target=watch, daemon=True).start()
"""
# Asks views whether they are there, and writes what the first to answer says.
ASK = """
import pathlib
tell = w.session.views.tell
def told(view, is_open):
    tell(view, is_open)
    found = pathlib.Path({path!r})
    found.with_suffix(".part").write_text(str(is_open))
    found.with_suffix(".part").rename(found)
w.session.views.tell = told
w.session.views.lease.ask()
"""


def wait_for(notebook: LandscapeNotebook, path: Path) -> None:
    """Until the kernel has written a file: the page may have no line to it."""
    for _ in range(1200):
        if path.exists():
            return
        notebook.page.wait_for_timeout(50)
    raise AssertionError(f"there is no {path}")


def test_a_notebook_whose_tab_is_closed_stops_the_work_which_goes_on_when_it_is_opened_again(
    opened: Callable[..., LandscapeNotebook], root: Path
) -> None:
    notebook = opened(SLOW, COUNT, MANY)
    notebook.wait_for_state("running")
    rested = root / "missed"
    notebook.tell(SOON + WATCH.format(path=str(rested)))
    notebook.ask("None")
    notebook.save()
    notebook.page.evaluate("() => {" + NOTEBOOK + "panel.dispose(); }")
    wait_for(notebook, rested)
    done = int(rested.read_text())
    assert done < SAMPLES
    notebook.open()
    notebook.wait_for_widget()
    notebook.wait_for_answer(f"int(w.landscape.evaluated.sum()) > {done}", True)


def test_a_view_in_a_tab_that_is_hidden_answers_that_it_is_there(
    opened: Callable[..., LandscapeNotebook], root: Path
) -> None:
    notebook = opened(QUICK, COUNT, "w = lw.LandscapeWidget(model, data, start=False)\nw")
    answered = root / "answered"
    notebook.page.evaluate(
        "() => {"
        + NOTEBOOK
        + """
          window.hidden = panel;
          return window.jupyterapp.commands.execute('launcher:create').then(() => null);
        }"""
    )
    try:
        notebook.page.wait_for_function("() => !window.hidden.isVisible")
        notebook.page.evaluate(
            "(code) => {"
            "window.hidden.context.sessionContext.session.kernel.requestExecute({code}); }",
            ASK.format(path=str(answered)),
        )
        wait_for(notebook, answered)
    finally:
        notebook.page.evaluate("() => window.jupyterapp.shell.activateById(window.hidden.id)")
        notebook.page.wait_for_function("() => window.hidden.isVisible")
    assert answered.read_text() == "True"
    notebook.ask("w.close()")
