"""How soon the widget shows something, and how fast it answers to the hand.

    nox -s bench -- widget

In real JupyterLab with headless Chromium, on the quickstart's network: 604 samples of 8,970
parameters. Times of the hand are those in the browser, from the pointer's event to the changed
DOM, with no message to the kernel.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Page, sync_playwright

from tests.browser import browsers, jupyter
from tests.browser.landscape import LandscapeNotebook

REPETITIONS = 3
QUICKSTART = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"
# What a page looks at, at each animation frame, until the map is done.
WATCH = """() => new Promise((resolve) => {
  const seen = {};
  const look = () => {
    const dots = document.querySelectorAll('[data-testid=map] .object_grp path.dot').length;
    const title = document.querySelector('.lw-title')?.textContent ?? '';
    const state = document.querySelector('[data-testid=status]')?.dataset.state;
    if (dots > 100 && !seen.points) seen.points = Date.now() / 1000;
    if (title.startsWith('t-SNE') && !seen.map) seen.map = Date.now() / 1000;
    if (state === 'done') {
      seen.slices = Date.now() / 1000;
      resolve(seen);
    } else requestAnimationFrame(look);
  };
  look();
})"""
MEASURES = """(name) => performance.getEntriesByName(name).map((entry) => entry.duration)"""


def cells() -> tuple[str, str]:
    """The quickstart's training, and its widget with the time of the call."""
    code = [c.source for c in nbformat.read(QUICKSTART, 4).cells if c.cell_type == "code"]
    assert "LandscapeWidget(" in code[1]
    return code[0] + "\nimport landscape_widgets", "import time; called = time.time()\n" + code[1]


def hand(page: Page) -> tuple[list[float], list[float]]:
    """Move over the map, draw lassos, and read the browser's own measurements, in ms."""
    box = page.get_by_test_id("map").bounding_box()
    assert box is not None
    page.evaluate("() => performance.clearMeasures()")
    for i in range(80):
        share = i / 80
        page.mouse.move(
            box["x"] + box["width"] * (0.3 + 0.4 * share),
            box["y"] + box["height"] * (0.2 + 0.6 * ((i * 7) % 80) / 80),
        )
    for i in range(8):
        left, top = box["x"] + box["width"] * (0.2 + 0.04 * i), box["y"] + box["height"] * 0.1
        page.mouse.move(left, top)
        page.mouse.down()
        for x, y in ((0.4, 0), (0.4, 0.7), (0, 0.7)):
            page.mouse.move(left + box["width"] * x, top + box["height"] * y, steps=5)
        page.mouse.up()
        page.wait_for_timeout(100)
    hovers: list[float] = page.evaluate(MEASURES, "landscape:hover")
    lassos: list[float] = page.evaluate(MEASURES, "landscape:lasso")
    return hovers, lassos


def main() -> None:
    """Measure, and print a table."""
    found: dict[str, list[float]] = {name: [] for name in ("points", "map", "slices")}
    hovers: list[float] = []
    lassos: list[float] = []
    train, show = cells()
    for _ in range(REPETITIONS):
        with (
            tempfile.TemporaryDirectory() as folder,
            jupyter.server("lab", Path(folder)) as url,
            sync_playwright() as playwright,
        ):
            browser = browsers.launch(playwright)
            jupyter.write_notebook(Path(folder) / "a.ipynb", train, show)
            notebook = LandscapeNotebook(browser, url, "lab", "a.ipynb")
            notebook.run_all()
            seen = notebook.page.evaluate(WATCH)
            called = notebook.ask("called")
            for name, times in found.items():
                times.append(seen[name] - called)
            notebook.scroll_to_map()
            notebook.wait_until_still()
            one, other = hand(notebook.page)
            hovers += one
            lassos += other
            browser.close()
    rows = [
        ("first points visible after the call", statistics.median(found["points"]), 2, "s"),
        ("t-SNE map finished after the call", statistics.median(found["map"]), 15, "s"),
        ("slices of all samples in the browser", statistics.median(found["slices"]), None, "s"),
        (f"hover to redrawn slice (median of {len(hovers)})", statistics.median(hovers), 16, "ms"),
        (f"lasso to redrawn slice (median of {len(lassos)})", statistics.median(lassos), 50, "ms"),
    ]
    print("| | measured | at most |\n| --- | ---: | ---: |")
    for name, value, most, unit in rows:
        limit = "" if most is None else f"{most} {unit}"
        print(f"| {name} | {value:.1f} {unit} | {limit} |")


if __name__ == "__main__":
    main()
