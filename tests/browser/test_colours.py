"""What the colours of the map stand for, in real JupyterLab 4."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
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
        notebook.wait_for_drawn(colour=column)
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


def luminance(colour: FloatArray) -> float:
    """Of an sRGB colour, as WCAG 2 defines it."""
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(colour: str, opacity: float, ground: str) -> float:
    """Between a colour that is laid over a ground and that ground, from 1."""
    *over, alpha = [*map(float, re.findall(r"[\d.]+", colour)), 1.0][:4]
    under = np.array(re.findall(r"[\d.]+", ground)[:3], dtype=float)
    share = alpha * opacity
    seen = luminance(share * np.array(over) + (1 - share) * under) + 0.05
    behind = luminance(under) + 0.05
    return max(seen, behind) / min(seen, behind)


def test_what_is_not_selected_is_faint_but_seen_on_white_and_on_black(
    notebook: LandscapeNotebook,
) -> None:
    notebook.select(17, 300)
    try:
        for name, background in (("Light", "rgb(255, 255, 255)"), ("Dark", "rgb(17, 17, 17)")):
            notebook.set_theme(name)
            root = notebook.page.locator(".lw-root")
            expect(root).to_have_css("background-color", background)
            notebook.draw()
            looks = notebook.page.evaluate(
                """(dots) => [...document.querySelectorAll(dots)]
                  .map((dot) => getComputedStyle(dot))
                  .map(({stroke, opacity}) => [stroke, Number(opacity)])""",
                DOTS,
            )
            faint = [look for look in looks if look[1] < 0.5]
            assert len(faint) > 900
            outlines = [contrast(stroke, opacity, background) for stroke, opacity in faint]
            assert min(outlines) > 1.25
            chosen = [contrast(stroke, 1.0, background) for stroke, _ in faint]
            assert min(chosen) > 1.7 * max(outlines)
    finally:
        notebook.set_theme("Light")
