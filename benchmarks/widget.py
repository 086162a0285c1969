"""How soon the widget shows something, and how fast it answers to the hand.

    nox -s bench -- widget

In real JupyterLab with headless Chromium, on the quickstart's network: 604 samples of 8,970
parameters; then on a network of 17 parameters, with 600 samples and with 50,000 (the default
Subspace, principal components). Times of the hand are those in the browser, with no message to the
kernel: on the quickstart from the pointer's event to the changed DOM, on the others from the event
to the end of the frame in which all of it is painted. Nothing but the page's own processor paints.
Last, 20,000 samples of a digits MLP by the defaults (Minima, t-SNE), without a notebook.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import nbformat
from playwright.sync_api import Page, sync_playwright

from landscape_widgets import Landscape
from landscape_widgets.samplers import Minima
from tests.browser import browsers, jupyter
from tests.browser.landscape import LandscapeNotebook
from tests.models import digits, mlp, train

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
# Times from events to the end of the frame that answers to them, in ms, by the name of the event.
TIMES = """() => {
  window.times = {};
  const painted = new MessageChannel();
  let waiting = [];
  painted.port1.onmessage = () => {
    for (const [name, began] of waiting)
      (window.times[name] ??= []).push(performance.now() - began);
    waiting = [];
  };
  for (const name of ['pointermove', 'pointerup', 'change']) {
    window.addEventListener(name, (event) => {
      if (name === 'pointermove' && event.buttons) return;
      waiting.push([name, event.timeStamp]);
      // All callbacks of a frame have run, and its picture is made, once this message comes.
      requestAnimationFrame(() => painted.port2.postMessage(null));
    }, {capture: true});
  }
}"""
# When the second view on the page is drawn, from now on.
SECOND = """() => new Promise((resolve) => {
  const began = performance.now();
  const look = () => {
    const view = document.querySelectorAll('.lw-root')[1];
    if (view?.dataset.drawn && view.dataset.drawing === undefined)
      resolve(performance.now() - began);
    else requestAnimationFrame(look);
  };
  look();
})"""
SYNTHETIC = """
import torch, landscape_widgets as lw
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
x = torch.randn(40, 2)
data, loss = (x, model(x).detach() + 0.1 * x[:, :1] ** 2), torch.nn.functional.mse_loss
w = lw.LandscapeWidget(
    model, data, loss=loss, sampler=lw.samplers.Subspace(n={n}, radius=2.0), reducer="pca"
)
w
"""
# The page keeps none of its measures, but tells them to those who observe them.
OBSERVE = """() => {
  window.measured = [];
  new PerformanceObserver((list) => window.measured.push(...list.getEntries()))
    .observe({ entryTypes: ['measure'] });
}"""
MEASURES = """(name) => window.measured.filter((one) => one.name === name)
    .map((one) => one.duration)"""


def cells() -> tuple[str, str]:
    """The quickstart's training, and its widget with the time of the call."""
    code = [c.source for c in nbformat.read(QUICKSTART, 4).cells if c.cell_type == "code"]
    assert "LandscapeWidget(" in code[1]
    return code[0] + "\nimport landscape_widgets", "import time; called = time.time()\n" + code[1]


def hand(page: Page) -> tuple[list[float], list[float]]:
    """Move over the map, draw lassos, and read the browser's own measurements, in ms."""
    box = page.get_by_test_id("map").bounding_box()
    assert box is not None
    page.evaluate(OBSERVE)
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


def many(n: int) -> dict[str, float]:
    """The hand on a map of n samples, medians in ms; and the DOM's nodes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter.server("lab", Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = browsers.launch(playwright)
        jupyter.write_notebook(Path(folder) / "a.ipynb", SYNTHETIC.format(n=n))
        notebook = LandscapeNotebook(browser, url, "lab", "a.ipynb")
        page = notebook.page
        page.set_default_timeout(600_000)
        notebook.run_all()
        notebook.wait_for_widget()
        while notebook.ask("w.session.worker.busy or w._progress['state'] != 'done'"):
            page.wait_for_timeout(500)
        notebook.draw()
        nodes = page.evaluate(
            "() => document.querySelector('.lw-root').querySelectorAll('*').length"
        )
        notebook.run_new_cell("w")
        first = page.evaluate(SECOND)
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:delete-cell')")
        notebook.scroll_to_map()
        notebook.draw()
        page.evaluate(TIMES)
        hovers, _ = hand(page)
        times = page.evaluate("() => window.times")
        for i in range(8):
            notebook.part("colour-by").select_option(("radius", "loss")[i % 2])
            notebook.draw()
        times["change"] = page.evaluate("() => window.times.change")
        browser.close()
    # Most moves point at the sample that was pointed at: those that changed it take longest.
    moves = sorted(times["pointermove"])[-len(hovers) :]
    return {
        "nodes": nodes,
        "first paint": first,
        **{
            name: statistics.median(found)
            for name, found in (
                ("hover to redrawn slice", moves),
                ("lasso to redrawn selection", times["pointerup"]),
                ("colour change", times["change"]),
            )
        },
    }


def until_map(n: int) -> float:
    """Seconds from a trained network to the default map of n samples."""
    data = digits()
    model = train(mlp(), data)
    began = time.perf_counter()
    land = Landscape(model, data)
    land.sample(Minima(n=n))
    land.embed()
    return time.perf_counter() - began


LARGEST = {
    "first paint": 2000,
    "hover to redrawn slice": 33,
    "lasso to redrawn selection": 100,
    "colour change": 150,
}


def main() -> None:
    """Measure, and print tables."""
    quickstart()
    small, large = many(600), many(50_000)
    print("\n| from the event to the painted frame, ms | 600 samples | 50,000 | at most |")
    print("| --- | ---: | ---: | ---: |")
    for name, most in LARGEST.items():
        print(f"| {name} | {small[name]:.0f} | {large[name]:.0f} | {most} |")
    print(f"| elements of the widget | {small['nodes']:.0f} | {large['nodes']:.0f} | |")
    print(f"\n20,000 samples until the map is there: {until_map(20_000):.0f} s, at most 60 s.")


def quickstart() -> None:
    """Measure on the quickstart, and print a table."""
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
            notebook.draw()
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
