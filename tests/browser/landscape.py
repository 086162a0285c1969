"""The widget in an open notebook: what bqplot has drawn, and the hand on it."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import PATIENCE, FloatArray, Notebook

DOTS = "[data-testid=map] .object_grp path.dot"
BOX_AFTER_FRAMES = """async (map) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const { x, y, width, height } = map.getBoundingClientRect();
  return [[x, y], [width, height]];
}"""


# A picture's height and width, and red, green, blue and opacity of each pixel, as text: numbers
# of JSON take seconds.
DECODED = """async (png) => {
  const blob = await (await fetch('data:image/png;base64,' + png)).blob();
  const image = await createImageBitmap(blob);
  const {width, height} = image;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, width, height);
  const url = await new Promise((done) => {
    const reader = Object.assign(new FileReader(), {onload: () => done(reader.result)});
    reader.readAsDataURL(new Blob([data]));
  });
  return [[height, width, 4], url.split(',')[1]];
}"""
COLOURS = """(canvas, places) => {
  const {left, top, width} = canvas.getBoundingClientRect();
  const ratio = canvas.width / width;
  const context = canvas.getContext('2d');
  return places.map(([x, y]) =>
    [...context.getImageData(ratio * (x - left), ratio * (y - top), 1, 1).data]);
}"""


class LandscapeNotebook(Notebook):
    """A notebook whose variable `w` is a LandscapeWidget that it shows."""

    def view(self, number: int) -> Locator:
        """One of the views of the widget, where there are several."""
        return self.page.locator(".lw-root").nth(number)

    def part(self, name: str) -> Locator:
        """A part of the first view by its data-testid."""
        return self.view(0).get_by_test_id(name)

    def wait_for_widget(self) -> None:
        """Until both figures are drawn."""
        self.page.wait_for_selector(".lw-root[data-ready]", timeout=60_000)
        self.part("map").scroll_into_view_if_needed()

    def run_until_done(self) -> None:
        """Run all cells, and wait until their widget has nothing left to do."""
        self.run_all()
        self.wait_for_widget()
        self.wait_until_done()

    def wait_for_state(self, state: str) -> None:
        """Until the widget is "running", "stopped" or "done"."""
        expect(self.part("status")).to_have_attribute("data-state", state, timeout=120_000)

    def wait_until_done(self) -> None:
        """Until the kernel has nothing left to do, and the page shows what it has done.

        The page may still say "done" of what was there before.
        """
        deadline = time.monotonic() + 150
        told = "w.session.channel.progress_shown"
        while not self.ask(f"not w.session.worker.busy and {told}['state'] in ('done', 'error')"):
            assert time.monotonic() < deadline, self.ask(told)
            self.page.wait_for_timeout(50)
        self.wait_for_state("done")
        self.wait_for_frame()

    @contextlib.contextmanager
    def no_losses(self) -> Iterator[None]:
        """Make it an error to evaluate a loss.

        What was not taken by then of slices and of the first plane is left as it is.
        """
        self.do("slices, objective = w.session.slices, w.landscape.objective")
        self.do("slices.compute_first = slices.compute = lambda cancelled: None")
        self.do("questions = w.session.questions; questions.answer_ahead = lambda *given: None")
        self.do("evaluate, objective.evaluate = objective.evaluate, None")
        try:
            yield
        finally:
            self.do("objective.evaluate = evaluate")
            self.do("del slices.compute_first, slices.compute, questions.answer_ahead")

    def set_width(self, width: int | None) -> None:
        """Give the widget a width in px, or that of its cell again."""
        self.ask(f"setattr(w.layout, 'width', {None if width is None else f'{width}px'!r})")
        if width is not None:
            self.page.wait_for_function(
                "(width) => document.querySelector('.lw-root').clientWidth === width", arg=width
            )
        self.draw()

    def set_window(self, width: int, height: int) -> None:
        """Give the page another size, and wait until the figures have taken up theirs."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.draw()
        self.page.wait_for_function(
            """() => {
              const {drawn, drawing} = document.querySelector('.lw-root').dataset;
              const {clientWidth} = document.querySelector('[data-testid=map]');
              return drawing === undefined && JSON.parse(drawn).width === clientWidth;
            }"""
        )

    def reset(self) -> None:
        """Nothing selected, nothing pointed at, and the slice beside the map."""
        # Not by the mouse: a page that fingers have zoomed may have the tab out of view.
        self.part("slice-tab").evaluate("(tab) => tab.click()")
        self.ask("[setattr(w, 'selected', ()), setattr(w, '_lassos', [])] and None")
        self.page.mouse.move(2, 2)
        self.scroll_to_map()
        expect(self.part("selection")).to_contain_text("Point at a sample")

    def scroll_to_map(self) -> FloatArray:
        """Bring the map into view; where it then is on the page, (x, y)."""
        return self._map_box()[0]

    def _map_box(self) -> FloatArray:
        """Corner and size of the map, ((x, y), (width, height)), in view and standing still.

        A focus that has just moved may scroll the page a little later.
        """
        box, before = None, []
        while box != before:
            self.part("map").scroll_into_view_if_needed()
            before, box = box, self.part("map").evaluate(BOX_AFTER_FRAMES)
        return np.array(box)

    def pixels(self) -> FloatArray:
        """Where on the page bqplot has drawn each sample, (N, 2); by the sample's number.

        A mark is told by the data that it was drawn from.
        """
        self.draw()
        self._map_box()
        drawn = np.asarray(
            self.page.evaluate(
                """(dots) => [...document.querySelectorAll(dots)].map((dot) => {
                  const box = dot.getBoundingClientRect();
                  const data = dot.__data__;
                  return [data.x, data.y, box.x + box.width / 2, box.y + box.height / 2];
                })""",
                DOTS,
            )
        )
        coordinates = np.asarray(self.ask("w.landscape.coordinates.tolist()"))
        distances = np.linalg.norm(drawn[:, None, :2] - coordinates, axis=2)
        numbers = distances.argmin(axis=1)
        assert sorted(numbers) == list(range(len(coordinates)))
        assert distances.min(axis=1).max() < 1e-5 * np.ptp(coordinates)
        pixels = np.empty((len(coordinates), 2))
        pixels[numbers] = drawn[:, 2:]
        return pixels

    def places(self, coordinates: FloatArray, part: str = "map") -> FloatArray:
        """Where on the page points have to be on a map, (N, 2), whoever draws them.

        All fit into the frame with some room, and a unit is as long on both axes.
        """
        self.draw()
        self._map_box()
        low, high = coordinates.min(axis=0), coordinates.max(axis=0)
        frame = self.part(part).locator(".lw-frame").bounding_box()
        assert frame is not None
        corner, area = [frame["x"], frame["y"]], np.array([frame["width"], frame["height"]])
        unit = 1.12 * ((high - low) / area).max()
        found: FloatArray = (coordinates - (low + high) / 2) * [1, -1] / unit + corner + area / 2
        return found

    def point_at(self, place: FloatArray) -> None:
        """Move the mouse to a place on the page, and let the page answer."""
        self.page.mouse.move(*place)
        self.draw()

    def draw(self) -> None:
        """Let the page answer to what the hand did, until all of it is on the screen."""
        self.page.wait_for_function(
            """async () => {
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              return !document.querySelector('.lw-root[data-drawing]');
            }"""
        )

    def wait_for_drawn(self, **shown: Any) -> None:
        """Until this is on the screen: `frame`, `selected`, `colour`, ...; see js/src/ui/drawn.ts.

        The widget's answer to Python, too, takes its time: say what is to be seen before reading
        what is drawn.
        """
        self.page.wait_for_function(
            """(shown) => {
              const {drawn, drawing} = document.querySelector('.lw-root').dataset;
              const found = drawing === undefined && JSON.parse(drawn ?? 'null');
              return found && Object.entries(shown).every(
                ([name, value]) => JSON.stringify(found[name]) === JSON.stringify(value));
            }""",
            arg=shown,
        )

    def select(self, *indices: int) -> None:
        """Select samples from the kernel, and wait until their slices are on the screen."""
        self.ask(f"setattr(w, 'selected', {indices!r})")
        self.wait_for_drawn(selected=list(indices), missing=0)

    def wait_for_frame(self) -> None:
        """Until the map that the kernel has is on the screen, and no point is on its way."""
        self.wait_for_drawn(frame=self.ask("w._frame"))

    def drag(self, path: FloatArray, *keys: str) -> None:
        """Draw a lasso through places on the page, (n, 2), with keys held down."""
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.move(*path[0])
        self.page.mouse.down()
        for place in path[1:]:
            self.page.mouse.move(*place, steps=5)
        self.page.mouse.up()
        for key in keys:
            self.page.keyboard.up(key)
        self.draw()

    def box(self, x0: float, y0: float, x1: float, y1: float) -> FloatArray:
        """A rectangle for `drag`, in shares of the map's width and height."""
        corner, size = self._map_box()
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]) * size + corner

    def selected(self) -> list[int]:
        """What is selected in the kernel, once it has heard of what the page shows.

        A widget's messages may take another channel than `ask`, and be overtaken by it.
        """
        heading = self.part("selection").locator("h3").inner_text()
        shown = int("".join(filter(str.isdigit, heading)) or 0)
        found: list[int] = self.ask("list(w.selected)")
        deadline = time.monotonic() + PATIENCE
        while len(found) != shown and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
            found = self.ask("list(w.selected)")
        return found

    def expect_selected(self, indices: list[int]) -> None:
        """These samples are selected, in the kernel and on the page, at once or before long."""
        self.wait_for_answer("list(w.selected)", indices)
        assert self.selected() == indices

    def curves(self, width: float, *, dashed: bool = False) -> list[FloatArray]:
        """The curves of the slice with a stroke of some width, each (points, 2) in px.

        What the kernel has not sent yet, it is asked for, and that is waited for.
        """
        self.draw()
        self.wait_for_drawn(missing=0)
        paths = self.page.evaluate(
            """([width, dashed]) =>
              [...document.querySelectorAll('[data-testid=slice] .curve path.line')]
                .filter((line) => parseFloat(getComputedStyle(line).strokeWidth) === width
                  && (getComputedStyle(line).strokeDasharray !== 'none') === dashed)
                .map((line) => line.getAttribute('d')).filter((d) => d)""",
            [width, dashed],
        )
        return [
            np.array([pair.split(",") for pair in path[1:].split("L")], dtype=float)
            for path in paths
        ]

    def picture(self, part: Locator) -> FloatArray:
        """What is seen of a part of the page, (height, width, 3): red, green, blue to 255."""
        png = base64.b64encode(part.screenshot()).decode()
        shape, values = self.page.evaluate(DECODED, png)
        pixels = np.frombuffer(base64.b64decode(values), np.uint8).reshape(shape)
        return pixels[..., :3].astype(float)

    def canvas_colours(self, canvas: Locator, places: FloatArray) -> FloatArray:
        """Red, green, blue and opacity to 255 of a canvas at places on the page, (n, 4)."""
        return np.asarray(canvas.evaluate(COLOURS, places.tolist()), dtype=float)
