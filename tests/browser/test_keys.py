"""Keys pressed within the widget are the widget's, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import NOTEBOOK
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_work import QUICK, QUICK_WIDGET

pytestmark = pytest.mark.timeout(240)

# On letters, arrows and Enter, JupyterLab cuts, deletes, moves, merges, runs and changes cells.
KEYS = ("m", "d", "d", "x", "a", "Shift+m", "ArrowUp", "ArrowDown", "ArrowLeft", "Escape")
ENTERS = ("Enter", "Shift+Enter", "Control+b", "Control+z")
FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]"


@pytest.mark.in_both_applications
def test_no_key_on_any_part_of_the_widget_reaches_the_application(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, QUICK_WIDGET)
    page = notebook.page
    page.evaluate(
        "() => {"
        + NOTEBOOK
        + """
          window.executed = [];
          window.jupyterapp.commands.commandExecuted.connect((_, {id}) => window.executed.push(id));
          window.bubbled = [];
          for (const name of ['keydown', 'keypress', 'keyup'])
            document.body.addEventListener(name, (event) => {
              if (event.target.closest('.lw-root')) window.bubbled.push(event.key);
            });
        }"""
    )
    before = notebook.cells()
    for form in ("", "sampler-settings", "reducer-settings"):
        within = notebook.view(0)
        if form:
            notebook.part(form).click()
            within = notebook.part("settings")
        for part in within.locator(FOCUSABLE).all():
            for key in (*KEYS, *ENTERS):
                if form and not notebook.part("settings").is_visible():
                    notebook.part(form).click()  # Escape has closed it
                if not part.is_visible() or part.is_disabled():
                    break
                part.focus()
                page.keyboard.press(key)
        assert page.evaluate("() => [window.executed, window.bubbled]") == [[], []]
    after = notebook.cells()
    assert [(c["cell_type"], c["source"]) for c in after] == [
        (c["cell_type"], c["source"]) for c in before
    ]


def test_menus_are_chosen_from_by_letters_and_arrows(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, QUICK_WIDGET)
    menu = notebook.part("reducer")
    menu.focus()
    notebook.page.keyboard.press("ArrowDown")
    expect(menu).to_have_value("umap")
    notebook.page.keyboard.press("ArrowUp")
    expect(menu).to_have_value("tsne")
    notebook.page.keyboard.press("m")
    expect(menu).to_have_value("mds")
    assert notebook.ask("w.reducer.name") == "MDS"


def test_keys_and_pointer_outlive_the_samples_that_they_were_on(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    few, many = (f"lw.samplers.Subspace(n={n})" for n in (20, 90))
    notebook = opened(
        QUICK, f"w = lw.LandscapeWidget(model, data, sampler={many}, reducer='pca')\nw"
    )
    notebook.wait_until_done()
    notebook.point_at(notebook.pixels()[90])
    notebook.wait_for_drawn(hovered=90)
    notebook.part("map").locator("svg.lw-layer").focus()
    notebook.ask(f"setattr(w, 'sampler', {few})")
    notebook.wait_for_answer("len(w.landscape.cloud)", 21)
    notebook.wait_until_done()
    notebook.page.keyboard.press("Enter")
    assert notebook.selected() == []
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.keyboard.press("Enter")
    assert len(notebook.selected()) == 1


def test_the_focus_stays_in_the_widget_when_the_button_that_has_it_goes(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, QUICK_WIDGET)
    notebook.part("start").focus()
    notebook.page.keyboard.press("Enter")
    notebook.wait_until_done()
    inside = "() => !!document.activeElement.closest('.lw-root')"
    assert notebook.page.evaluate(inside)
