"""Slices of many samples come row by row, to who looks and to who comes later."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_slice import TRAIN

pytestmark = pytest.mark.timeout(240)

# A table that counts as large; no slices but those that are asked for, unless SECONDS says so, and
# none is shown before something is selected.
ROWS = """
import numpy as np, landscape_widgets as lw
from landscape_widgets.widget import channel, slices, wire
from tests.models import digits, mlp, train
wire.opening = lambda land: []
channel.SMALL, slices.PROFILE_SECONDS, slices.AT_ONCE = 1000, {seconds}, 1e9
data = digits(60)
model = train(mlp(8), data, 60)
def profiles():
    return w.get_state('_profiles')['_profiles'].get('loss', b'')
"""
LENGTH = "len(profiles())"
WIDGET = """
w = lw.LandscapeWidget(
    model, data, sampler=lw.samplers.Subspace(n=40, radius=1.0), reducer='pca', start={start}
)
w
"""


def test_slices_that_are_asked_for_come_as_rows_also_to_a_page_that_is_loaded_again(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(ROWS.format(seconds=0.0), WIDGET.format(start=True))
    notebook.wait_until_done()
    whole = notebook.ask(LENGTH)
    notebook.select(3, 4)
    assert len(notebook.curves(TRAIN)) == 2
    assert notebook.ask("np.isnan(np.frombuffer(profiles(), np.float32)).all().item()")
    notebook.save()
    notebook.open()
    notebook.wait_for_widget()
    notebook.wait_for_drawn(selected=[3, 4], missing=0)
    assert len(notebook.curves(TRAIN)) == 2
    notebook.select(3, 4, 5)
    assert notebook.ask(LENGTH) == whole  # which is not sent again for each of them
    # Work that ends while no page looks leaves the table in its trait; what is asked for after
    # that comes as rows alone.
    assert notebook.ask(
        "np.isnan(np.frombuffer(profiles(), np.float32).reshape(41, -1)[5]).all().item()"
    )


def test_the_map_of_other_samples_has_their_slices(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(ROWS.format(seconds=1e9), WIDGET.format(start=False))
    notebook.part("start").click()
    notebook.wait_for_state("running")
    notebook.wait_until_done()
    notebook.ask("setattr(w, 'sampler', lw.samplers.Subspace(n=30, radius=1.0))")
    notebook.wait_until_done()
    notebook.ask("setattr(w, 'selected', tuple(range(31)))")
    expect(notebook.page.locator(".lw-slice-legend").first).to_contain_text("median of 31")
    notebook.wait_for_drawn(selected=list(range(31)), missing=0)
