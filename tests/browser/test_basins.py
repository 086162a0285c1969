"""Basins and easiest ways beside the map, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)


def test_the_tree_of_basins_is_drawn_and_the_map_takes_their_colours(
    notebook: LandscapeNotebook,
) -> None:
    notebook.part("basins-tab").click()
    text = notebook.part("basins-text")
    expect(text).to_contain_text("basin")
    basins = "w.landscape.basins()"
    assert text.inner_text() == notebook.ask(f"{basins}.sentence")
    tree = notebook.part("basins")
    expect(tree.locator(".lw-basin-name")).to_have_text(notebook.ask(f"list({basins}.names)"))
    # Floors lie as high as their losses: what is lower in the loss is lower on the screen.
    circles = tree.locator(".lw-floor")
    heights = [float(circles.nth(n).get_attribute("cy") or "nan") for n in range(circles.count())]
    losses = notebook.ask(f"{basins}.losses.tolist()")
    assert np.argsort(heights).tolist() == np.argsort(losses)[::-1].tolist()
    notebook.part("colour-basins").click()
    notebook.wait_for_drawn(colour="basin")
    assert notebook.ask("w.colour_by") == "basin"
    expect(notebook.part("colour-basins")).to_have_attribute("aria-pressed", "true")
    notebook.part("colour-basins").click()
    notebook.wait_for_drawn(colour="loss")


def test_the_easiest_way_is_a_second_curve_and_a_line_on_the_map(
    notebook: LandscapeNotebook,
) -> None:
    land = "w.landscape"
    # Of a few samples one to which a lower way than the straight one is found.
    end = notebook.ask(f"[i for i in range(1, 60) if not {land}.way(i).is_straight][0]")
    notebook.ask(f"setattr(w, 'selected', ({end},))")
    button = notebook.part("easiest")
    expect(button).to_be_visible()
    if button.get_attribute("aria-pressed") == "false":
        button.click()
    text = notebook.ask(f"{land}.way({end}).sentence") + "."
    expect(notebook.part("way-text")).to_have_text(text, ignore_case=True)
    curve = notebook.part("easiest-curve")
    expect(curve).to_have_count(1)
    points = [
        [float(x) for x in place.split(",")]
        for place in (curve.get_attribute("points") or "").split(" ")
    ]
    assert len(points) == notebook.ask(f"len({land}.way({end}).easiest)")
    # As high as the losses are: on the screen the highest point of both is the same.
    losses = notebook.ask(f"{land}.way({end}).easiest.losses.tolist()")
    assert int(np.argmin([y for _, y in points])) == int(np.argmax(losses))
    expect(notebook.part("way").first).to_be_visible()
    button.click()
    expect(curve).to_have_count(0)
    expect(notebook.part("way")).to_have_count(0)
