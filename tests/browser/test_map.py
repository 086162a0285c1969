"""Pointing at, clicking and lassoing samples, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

LEFT, RIGHT = (0.1, 0.05, 0.5, 0.95), (0.5, 0.05, 0.9, 0.95)


def winding(points: FloatArray, polygon: FloatArray) -> FloatArray:
    """How often a polygon goes around each point: another rule than the front end's."""
    to = polygon - points[:, None]
    angles = np.arctan2(to[..., 1], to[..., 0])
    turns = np.diff(np.concatenate([angles, angles[:, :1]], axis=1), axis=1)
    return ((turns + np.pi) % (2 * np.pi) - np.pi).sum(axis=1) / (2 * np.pi)


def distance_to_edges(points: FloatArray, polygon: FloatArray) -> FloatArray:
    start, along = polygon, np.roll(polygon, -1, axis=0) - polygon
    length = np.maximum((along**2).sum(-1), 1e-12)
    share = ((points[:, None] - start) * along).sum(-1) / length
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1)


def clear_polygon(points: FloatArray, margin: float) -> FloatArray:
    """A jagged polygon with no point within `margin` px of its edge, and many inside."""
    rng = np.random.default_rng(0)
    best, most = None, 0
    low, high = points.min(axis=0), points.max(axis=0)
    for _ in range(4000):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        radii = rng.uniform(0.3, 1.0, 7) * rng.uniform(20, 150)
        around = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
        polygon = np.round(rng.uniform(low, high) + around)
        if (polygon < low - 2).any() or (polygon > high + 2).any():
            continue
        count = int((np.abs(winding(points, polygon)) > 0.5).sum())
        if count > most and distance_to_edges(points, polygon).min() > margin:
            best, most = polygon, count
    assert best is not None
    assert most >= 5
    return best


def test_a_lasso_selects_in_the_kernel_exactly_the_samples_drawn_inside_it(
    notebook: LandscapeNotebook,
) -> None:
    pixels = notebook.pixels()
    polygon = clear_polygon(pixels, margin=1.0)
    inside = np.flatnonzero(np.abs(winding(pixels, polygon)) > 0.5).tolist()
    notebook.drag(np.vstack([polygon, polygon[:1]]))
    expect(notebook.part("selection")).to_contain_text(f"{len(inside)} samples")
    notebook.expect_selected(inside)
    assert notebook.ask("list(w.selection.index)") == inside


def test_the_polygon_is_kept_in_the_coordinates_of_the_map(notebook: LandscapeNotebook) -> None:
    notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
    coordinates = np.asarray(notebook.ask("w.landscape.coordinates.tolist()"))
    selected = notebook.selected()
    (lasso,) = notebook.ask("w._lassos")
    inside = np.abs(winding(coordinates, np.asarray(lasso["polygon"]))) > 0.5
    assert selected == np.flatnonzero(inside).tolist()


def test_shift_adds_alt_removes_escape_clears_and_control_z_takes_back(
    notebook: LandscapeNotebook,
) -> None:
    notebook.drag(notebook.box(*LEFT))
    left = notebook.selected()
    notebook.drag(notebook.box(*RIGHT), "Shift")
    both = notebook.selected()
    notebook.drag(notebook.box(*LEFT), "Alt")
    right = notebook.selected()
    assert left
    assert right
    assert set(left) | set(right) == set(both)
    assert not set(left) & set(right)
    notebook.page.keyboard.press("Control+z")
    notebook.expect_selected(both)
    notebook.page.keyboard.press("Escape")
    notebook.expect_selected([])
    notebook.page.keyboard.press("Control+z")
    notebook.expect_selected(both)


def test_a_click_selects_the_sample_under_it_and_a_second_click_lets_it_go(
    notebook: LandscapeNotebook,
) -> None:
    pixels = notebook.pixels()
    apart = np.linalg.norm(pixels[:, None] - pixels, axis=2) + 1e9 * np.eye(len(pixels))
    first, second = np.argsort(-apart.min(axis=1))[:2].tolist()
    notebook.page.mouse.click(*pixels[first])
    notebook.expect_selected([first])
    notebook.page.keyboard.down("Shift")
    notebook.page.mouse.click(*pixels[second])
    notebook.page.keyboard.up("Shift")
    notebook.expect_selected(sorted([first, second]))
    notebook.page.keyboard.down("Alt")
    notebook.page.mouse.click(*pixels[first])
    notebook.page.keyboard.up("Alt")
    notebook.expect_selected([second])
    notebook.page.mouse.click(*pixels[second])
    notebook.expect_selected([])


def test_the_keyboard_alone_can_select(notebook: LandscapeNotebook) -> None:
    # From the leftmost sample, so that there is another to its right.
    leftmost = min(notebook.pixels().tolist())
    notebook.point_at(np.array(leftmost))
    notebook.part("map").locator("svg.lw-layer").focus()
    for key in ("Enter", "ArrowRight", "Shift+Enter"):
        notebook.page.keyboard.press(key)
    assert len(notebook.selected()) == 2
    notebook.page.keyboard.press("Alt+Enter")
    assert len(notebook.selected()) == 1


def test_the_frame_of_the_focus_is_for_the_keyboard_alone(notebook: LandscapeNotebook) -> None:
    frame = notebook.part("map").locator(".lw-frame")
    notebook.part("frames").focus()
    notebook.page.keyboard.press("Tab")
    notebook.drag(notebook.box(*LEFT))
    expect(frame).to_have_css("stroke-width", "1px")
    notebook.page.keyboard.press("ArrowRight")
    expect(frame).to_have_css("stroke-width", "2px")


def test_setting_the_selection_in_the_kernel_changes_the_view(notebook: LandscapeNotebook) -> None:
    notebook.select(3, 5)
    expect(notebook.part("selection")).to_contain_text("2 samples")
    assert len(notebook.curves(2.4)) == 2


def test_a_selection_from_the_kernel_takes_the_lasso_away_and_the_next_one_is_drawn_and_undone(
    notebook: LandscapeNotebook,
) -> None:
    lassos = notebook.page.locator(".lw-lasso")
    notebook.drag(notebook.box(*LEFT))
    notebook.selected()
    expect(lassos).to_have_count(1)
    notebook.ask("setattr(w, 'selected', (17, 300))")
    expect(notebook.part("selection")).to_contain_text("2 samples")
    expect(lassos).to_have_count(0)
    notebook.drag(notebook.box(*LEFT))
    left = notebook.selected()
    notebook.drag(notebook.box(*RIGHT), "Shift")
    notebook.selected()
    expect(lassos).to_have_count(2)
    notebook.page.keyboard.press("Control+z")
    notebook.expect_selected(left)
    expect(lassos).to_have_count(1)
    notebook.wait_for_answer("len(w._lassos)", 1)
    notebook.page.keyboard.press("Control+z")
    notebook.expect_selected([17, 300])
    expect(lassos).to_have_count(0)


def test_a_resized_page_keeps_the_lasso_around_its_samples(notebook: LandscapeNotebook) -> None:
    before = notebook.page.viewport_size
    assert before is not None
    notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
    selected = notebook.selected()
    try:
        notebook.set_window(1000, 1000)
        notebook.scroll_to_map()  # both are read where the page then stands
        polygon = np.asarray(
            notebook.page.evaluate(
                """() => {
                  const polygon = document.querySelector('.lw-lasso');
                  const box = polygon.ownerSVGElement.getBoundingClientRect();
                  return [...polygon.points].map(({x, y}) => [x + box.x, y + box.y]);
                }"""
            )
        )
        pixels = notebook.pixels()
        clear = distance_to_edges(pixels, polygon) > 1.0
        inside = np.abs(winding(pixels, polygon)) > 0.5
        chosen = np.isin(np.arange(len(pixels)), selected)
        assert clear.sum() > 0.9 * len(pixels)
        assert (inside == chosen)[clear].all()
    finally:
        notebook.set_window(**before)
