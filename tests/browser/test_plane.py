"""The plane through two selected samples, in real JupyterLab 4."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from landscape_widgets.widget.figures import VIRIDIS
from tests.browser.jupyter import FloatArray
from tests.browser.landscape import LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

# The loss at θ* + a (θ_i − θ*) + b (θ_j − θ*), by the model itself.
LOSS = """(lambda a, b, i, j: (lambda land: land.objective.loss(
    land.objective.anchor + a * land.cloud.displacement(i) + b * land.cloud.displacement(j)
))(w.landscape))({}, {}, {}, {})"""


def colour(share: float) -> FloatArray:
    """Viridis at a share of its range, as red, green and blue."""
    table = np.array([[int(hex[k : k + 2], 16) for k in (1, 3, 5)] for hex in VIRIDIS])
    places = np.linspace(0, 1, len(table))
    return np.array([np.interp(share, places, table[:, c]) for c in range(3)])


def places(notebook: LandscapeNotebook) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Where on the page θ* and the two samples are drawn in the plane."""
    notebook.part("plane").scroll_into_view_if_needed()
    notebook.draw()
    boxes = notebook.page.evaluate(
        """() => ['star', 'place']
          .flatMap((kind) => [...document.querySelectorAll(`[data-testid=plane] .lw-${kind}`)])
          .map((mark) => mark.getBoundingClientRect())
          .map((box) => [box.x + box.width / 2, box.y + box.height / 2])"""
    )
    star, first, second = np.array(boxes)
    return star, first, second


def test_the_plane_shows_the_losses_between_two_samples(notebook: LandscapeNotebook) -> None:
    toggle = notebook.part("plane-toggle")
    kinds = notebook.ask("w._samples['kind']")
    i, j = [n for n, kind in enumerate(kinds) if kind == "minimum"][:2]
    notebook.ask(f"setattr(w, 'selected', ({i}, {j}))")
    toggle.click()
    expect(notebook.part("plane-error")).to_contain_text("held out", timeout=30_000)
    expect(notebook.part("plane-status")).to_have_count(0, timeout=30_000)
    title = "Loss on the plane through θ*, M1 and M2"
    expect(notebook.page.get_by_text(title, exact=True)).to_be_visible()
    star, first, second = places(notebook)
    low, high = np.log10(notebook.ask("w.landscape.to_frame().loss.quantile([.01, .99]).tolist()"))
    for a, b in ((0.5, 0.5), (0.25, 0.9), (0.9, -0.3)):
        place = star + a * (first - star) + b * (second - star)
        notebook.point_at(place)
        said = notebook.part("plane").get_by_text("training loss").inner_text()
        truth = notebook.ask(LOSS.format(a, b, i, j))
        # The pointer is at a whole pixel, and what lies within one of it may differ by much.
        pixels = [np.array(step) for step in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        moves = [np.linalg.solve(np.column_stack([first - star, second - star]), p) for p in pixels]
        near = [notebook.ask(LOSS.format(a + da, b + db, i, j)) for da, db in moves]
        lowest, highest = min(truth, *near), max(truth, *near)
        assert 0.97 * lowest <= float(said.split()[-1]) <= 1.03 * highest
        painted = notebook.page.evaluate(
            """([x, y]) => {
              const canvas = document.querySelector('[data-testid=plane] canvas');
              const box = canvas.getBoundingClientRect();
              const scale = canvas.width / box.width;
              const at = [(x - box.x) * scale - 4, (y - box.y) * scale - 4];
              return [...canvas.getContext('2d').getImageData(...at, 9, 9).data];
            }""",
            place.tolist(),
        )
        rgb = np.median(np.reshape(painted, (-1, 4)), axis=0)[:3]  # a contour may pass
        assert np.abs(rgb - colour((np.log10(truth) - low) / (high - low))).max() < 10
    expect(toggle).to_have_attribute("aria-selected", "true")
    toggle.press("ArrowLeft")
    expect(notebook.part("slice-tab")).to_be_focused()
    expect(notebook.part("slice-tab")).to_have_attribute("aria-selected", "true")
    expect(notebook.part("plane")).to_be_hidden()
    expect(notebook.part("slice")).to_be_visible()


def test_the_plane_through_the_first_minima_is_one_press_away_and_comes_back(
    notebook: LandscapeNotebook,
) -> None:
    told = notebook.part("plane").locator("..").locator("..").locator(".lw-title")
    with notebook.no_losses():  # it is there already
        notebook.part("plane-toggle").click()
        expect(notebook.part("plane-error")).to_contain_text("held out")
        expect(told).to_have_text("Loss on the plane through θ*, M1 and M2")
    notebook.ask("setattr(w, 'selected', (5, 9))")
    expect(told).to_have_text("Loss on the plane through θ*, #5 and #9")
    notebook.ask("setattr(w, 'selected', (5, 9, 12))")  # which lie on no plane with θ*
    expect(told).to_have_text("Loss on the plane through θ*, M1 and M2")


def test_on_a_wide_page_the_plane_stands_beside_the_slice(notebook: LandscapeNotebook) -> None:
    notebook.part("plane-toggle").click()
    notebook.set_window(1900, 1100)
    expect(notebook.part("slice")).to_be_visible()
    expect(notebook.part("plane")).to_be_visible()
    expect(notebook.part("plane-toggle")).to_be_hidden()
    slice_box, plane_box = (notebook.part(name).bounding_box() for name in ("slice", "plane"))
    assert slice_box is not None
    assert plane_box is not None
    assert plane_box["x"] >= slice_box["x"] + slice_box["width"]
    assert min(plane_box["width"], plane_box["height"]) > 300
    _, first, second = places(notebook)
    notebook.point_at((first + second) / 2)
    expect(notebook.part("plane").get_by_text("0.5 of the way to M1, 0.5 to M2")).to_be_visible()
    notebook.set_window(1400, 1100)
    expect(notebook.part("plane")).to_be_visible()
    expect(notebook.part("slice")).to_be_hidden()


def test_a_click_starts_a_path_that_runs_downhill_on_the_plane(notebook: LandscapeNotebook) -> None:
    notebook.part("plane-toggle").click()
    expect(notebook.part("plane-error")).to_contain_text("held out")
    star, first, second = places(notebook)
    starts = [star + a * (first - star) + b * (second - star) for a, b in ((0.6, 0.9), (0.2, -0.3))]
    for start in starts:
        notebook.page.mouse.click(*start)
    notebook.draw()
    ends = notebook.page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=plane] .lw-stream-end')]
          .map((end) => end.getBoundingClientRect())
          .map((box) => [box.x + box.width / 2, box.y + box.height / 2])"""
    )
    assert len(ends) == 2
    i, j = notebook.ask("w._info['opening_plane']")

    def loss(place: FloatArray) -> float:
        frame = np.column_stack([first - star, second - star])
        a, b = np.linalg.solve(frame, place - star)
        return float(notebook.ask(LOSS.format(a, b, i, j)))

    for start, end in zip(starts, ends, strict=True):
        assert loss(np.array(end)) < loss(start) / 10
    notebook.part("plane-anew").click()
    expect(notebook.part("plane").locator(".lw-stream-end")).to_have_count(0)


def test_samples_near_the_plane_are_drawn_on_it_and_say_how_far_they_are(
    notebook: LandscapeNotebook,
) -> None:
    notebook.part("plane-toggle").click()
    expect(notebook.part("plane-error")).to_contain_text("evaluations")
    notebook.part("plane-samples").click()
    star, first, second = places(notebook)
    near = (
        "(lambda p: [[int(k), *p.loc[k]] for k in p[(p.a > 0.3) & (p.b > 0.3)]"
        ".distance.nsmallest(3).index])(w.landscape.plane(*w._info['opening_plane'], "
        "resolution=5).project(w.landscape.cloud).to_frame())"
    )
    for index, a, b, distance, radius in notebook.ask(near):
        notebook.point_at(star + a * (first - star) + b * (second - star))
        told = notebook.part("plane").locator(".lw-tooltip")
        expect(told).to_contain_text(f"#{index}")
        share, away = float(f"{100 * distance / radius:.2g}"), float(f"{distance:.2g}")
        expect(told).to_contain_text(f"distance from the plane {away:g}, {share:g}% of that")
    notebook.part("plane-samples").click()


def test_the_plane_goes_along_other_directions_by_a_menu(notebook: LandscapeNotebook) -> None:
    notebook.part("plane-toggle").click()
    menu = notebook.part("directions")
    names = ["two samples", "random", "gradient, random", "highest curvature", "the map itself"]
    assert menu.locator("option").all_text_contents() == names
    menu.select_option("hessian")
    expect(notebook.part("plane").locator(".lw-axis-name").first).to_contain_text("eigenvalue")
    expect(notebook.part("plane-status")).to_have_count(0, timeout=60_000)
    assert notebook.ask("w._answers['plane']['names'][0]").startswith("eigenvalue")
    menu.select_option("samples")
    expect(notebook.part("plane").locator(".lw-place-name")).to_have_text(["θ*", "M1", "M2"])


def test_the_plane_and_the_map_are_surfaces_that_the_hand_turns(
    notebook: LandscapeNotebook,
) -> None:
    notebook.part("plane-toggle").click()
    expect(notebook.part("plane-error")).to_contain_text("evaluations")
    expect(notebook.part("plane-status")).to_have_count(0, timeout=60_000)
    surface = notebook.part("surface")
    for choose, named in (
        (lambda: notebook.part("plane-solid").click(), ["θ*", "M1", "M2"]),
        (lambda: notebook.part("directions").select_option("map"), ["θ*", "M1", "M2", "M3"]),
    ):
        choose()
        expect(surface).to_be_visible()
        expect(surface.locator(".lw-place-name")).to_have_text(named)
        notebook.draw()
        inside = (slice(6, -6), slice(6, -6))  # of what says that it has the focus
        before = notebook.picture(surface)[inside]
        assert len(np.unique(before.reshape(-1, 3), axis=0)) > 200
        box = surface.bounding_box()
        assert box is not None
        centre = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
        notebook.page.mouse.move(*centre)
        notebook.page.mouse.down()
        notebook.page.mouse.move(centre[0] + 60, centre[1] + 30, steps=4)
        notebook.page.mouse.up()
        notebook.draw()
        turned = notebook.picture(surface)[inside]
        assert (np.abs(turned - before).max(axis=2) > 8).mean() > 0.1
        surface.locator("svg").press("Home")
        notebook.draw()
        back = notebook.picture(surface)[inside]
        assert (np.abs(back - before).max(axis=2) > 8).mean() < 0.01
    notebook.part("directions").select_option("samples")
    notebook.part("plane-solid").click()
    expect(surface).to_be_hidden()
