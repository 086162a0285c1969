"""What the colours of the map stand for, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.browser.landscape import DOTS, LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

STAR = "rgb(224, 33, 138)"


def test_colours_grow_lighter_with_the_column_that_they_stand_for(
    notebook: LandscapeNotebook,
) -> None:
    coordinates = np.asarray(notebook.ask("w.landscape.coordinates.tolist()"))
    for column, values in (
        ("radius", "w.landscape.to_frame()['radius']"),
        ("distortion", "w.landscape.distortion()"),
        ("loss", "w.landscape.losses"),
    ):
        notebook.part("colour-by").select_option(column)
        notebook.page.wait_for_timeout(500)
        drawn = notebook.page.evaluate(
            """(dots) => [...document.querySelectorAll(dots)].map((dot) =>
              [dot.__data__.x, dot.__data__.y, getComputedStyle(dot).fill])""",
            DOTS,
        )
        drawn = [(x, y, fill) for x, y, fill in drawn if fill != STAR]
        places = np.array([(x, y) for x, y, _ in drawn])
        numbers = np.linalg.norm(places[:, None] - coordinates, axis=2).argmin(axis=1)
        shown = np.array([re.findall(r"\d+", fill)[:3] for _, _, fill in drawn], dtype=float)
        # Viridis is lighter, by the eye's measure, the greater the value (CIE 1931 luminance).
        lightness = shown @ [0.2126, 0.7152, 0.0722]
        order = np.argsort(np.asarray(notebook.ask(f"list(map(float, {values}))"))[numbers])
        assert np.ptp(lightness) > 150
        assert np.diff(lightness[order]).min() > -1.0  # but for rounding
