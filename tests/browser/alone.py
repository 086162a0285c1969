"""A widget on a page without a manager of widgets, as marimo, MyST and offline pages have it.

A stand-in for anywidget's model holds the state of a widget that Python has made, and keeps what
the page says to its kernel, where it has one.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route

import landscape_widgets as lw
from tests.browser.jupyter import FloatArray

ADDRESS = "http://landscape.test/"
PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>Landscape</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="./widget.css"></head>
<body style="margin: 8px"><div id="widget"></div><script type="module">
import widget from "./widget.js";
const revive = (_, value) => {
  if (typeof value?.bytes !== "string") return value;
  return new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
};
const state = JSON.parse(await (await fetch("./state.json")).text(), revive);
const listeners = new Map();
const put = (values) => {
  Object.assign(state, values);
  for (const name of Object.keys(values))
    listeners.get(`change:${name}`)?.forEach((listener) => listener());
};
const model = {
  get: (name) => state[name],
  set: (name, value) => put({[name]: value}),
  on: (event, listener) =>
    listeners.set(event, (listeners.get(event) ?? new Set()).add(listener)),
  off: (event, listener) => listeners.get(event)?.delete(listener),
  save_changes: () => {},
};
window.said = [];
if (KERNEL) model.send = (content) => window.said.push(content);
window.state = state;
window.put = (text) => put(JSON.parse(text, revive));
widget.render({model, el: document.getElementById("widget")});
</script></body></html>
"""


def as_json(value: Any) -> Any:
    """State of a widget with bytes as JSON can have them."""
    if isinstance(value, (bytes, memoryview)):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


class AlonePage:
    """A widget on a page of its own, with a kernel that hears it or without.

    Attributes
    ----------
    errors : list of str
        What went to the console as an error.
    """

    def __init__(
        self,
        browser: Browser,
        widget: lw.LandscapeWidget,
        *,
        kernel: bool = True,
        width: int = 1200,
        height: int = 900,
    ) -> None:
        self._widget = widget
        state = widget.get_state()
        self._files = {
            "": ("text/html", PAGE.replace("KERNEL", json.dumps(kernel))),
            "widget.js": ("text/javascript", state["_esm"]),
            "widget.css": ("text/css", state["_css"]),
            "state.json": ("application/json", json.dumps(as_json(state))),
        }
        self.errors: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": width, "height": height})
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        self.page.route(f"{ADDRESS}**", self._answer)
        self.page.goto(ADDRESS)
        self.page.wait_for_selector(".lw-root[data-ready]")
        self.wait_for_drawn()

    def _answer(self, route: Route) -> None:
        kind, body = self._files[route.request.url.removeprefix(ADDRESS)]
        route.fulfill(body=body, content_type=kind)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def part(self, name: str) -> Locator:
        """A part of the page by its data-testid."""
        return self.page.get_by_test_id(name)

    def wait_for_drawn(self, **shown: Any) -> None:
        """Until this is on the screen: `selected`, `colour`, ...; see js/src/ui/drawn.ts."""
        self.page.wait_for_function(
            """(shown) => {
              const {drawn, drawing} = document.querySelector('.lw-root').dataset;
              const found = drawing === undefined && JSON.parse(drawn ?? 'null');
              return found && Object.entries(shown).every(
                ([name, value]) => JSON.stringify(found[name]) === JSON.stringify(value));
            }""",
            arg=shown,
        )

    def drag(self, path: FloatArray) -> None:
        """Draw a lasso through places on the page, (n, 2)."""
        self.page.mouse.move(*path[0])
        self.page.mouse.down()
        for place in path[1:]:
            self.page.mouse.move(*place, steps=5)
        self.page.mouse.up()

    def said(self, type: str) -> list[dict[str, Any]]:
        """What the page has told its kernel."""
        said: list[dict[str, Any]] = self.page.evaluate("() => window.said")
        return [content for content in said if content["type"] == type]

    def get(self, name: str) -> Any:
        """What the page's model holds."""
        return self.page.evaluate("(name) => window.state[name]", name)

    def send(self, *names: str) -> None:
        """Send the page what the widget has by these names."""
        self.page.evaluate(
            "(text) => window.put(text)", json.dumps(as_json(self._widget.get_state(names)))
        )
