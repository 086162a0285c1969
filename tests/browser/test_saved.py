"""A notebook saved with its widgets' state and opened again, in JupyterLab 4 and Notebook 7.

Opened with no kernel chosen, ipywidgets' manager shows no saved widget at all, whosever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.browser.jupyter import NOTEBOOK
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_kernel import check_looking_works, seen_middles
from tests.browser.test_views import WIDGET
from tests.browser.test_work import QUICK

pytestmark = [pytest.mark.timeout(240), pytest.mark.in_both_applications]

TOGGLE = """() => window.jupyterapp.commands.execute(
  '@jupyter-widgets/jupyterlab-manager:saveWidgetState').then(() => null)"""


SHUTDOWN = (
    "() => {" + NOTEBOOK + "return panel.context.sessionContext.shutdown().then(() => null); }"
)


@pytest.fixture
def saving(opened: Callable[..., LandscapeNotebook]) -> Iterator[LandscapeNotebook]:
    """A notebook whose widget is done, in an application that saves the state of widgets."""
    notebook = opened(QUICK, WIDGET)
    notebook.wait_until_done()
    notebook.page.evaluate(TOGGLE)
    yield notebook
    notebook.page.evaluate(TOGGLE)


def test_a_saved_widget_is_looked_at_with_a_fresh_kernel(
    saving: LandscapeNotebook,
) -> None:
    coordinates = np.array(saving.ask("w.landscape.coordinates.tolist()"))
    before = seen_middles(saving)
    saving.save()
    saving.page.evaluate(SHUTDOWN)
    saving.open()
    saving.wait_for_widget()
    check_looking_works(saving, coordinates, before)
    assert saving.ask("'w' in globals()") is False  # it is another's kernel
