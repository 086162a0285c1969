"""A real JupyterLab or Notebook 7, driven by Playwright."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

REPOSITORY = Path(__file__).parents[2]
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def server(kind: str, root: Path) -> Iterator[str]:
    """Start `jupyter lab` or `jupyter notebook` on a free port, with settings of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = root / ".settings"
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(settings / "config"),
        "JUPYTER_DATA_DIR": str(settings / "data"),
        "JUPYTER_RUNTIME_DIR": str(settings / "runtime"),
        "IPYTHONDIR": str(settings / "ipython"),
        # The notebooks take their models from tests/models.py.
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    }
    # No news question over the page.
    user = settings / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    user.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    (user / "notification.jupyterlab-settings").write_text(json.dumps(news))
    command = [
        sys.executable, "-m", "jupyter", kind, "--no-browser", "--allow-root",
        "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}", "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with (settings / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=root)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/status"):
                break
            if process.poll() is not None:
                raise RuntimeError((settings / "server.log").read_text())
            time.sleep(0.1)
        else:
            raise RuntimeError(
                "the server did not answer: " + (settings / "server.log").read_text()
            )
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook with these code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python",
    }  # fmt: skip
    nbformat.write(notebook, path)


# Notebook 7.6 says so on each page that it opens, also on one without any widget.
OF_JUPYTER = ("Cannot read properties of undefined (reading 'schema')",)
DOTS = "[data-testid=map] .object_grp path.dot"
KERNEL = "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"


class Notebook:
    """An open notebook: run its cells, ask its kernel, use its widget."""

    def __init__(self, browser: Browser, url: str, kind: str, name: str, width: int = 1400) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 1000})
        self.errors: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", self._page_error)
        folder = "lab/tree" if kind == "lab" else "notebooks"
        self.address = f"{url}/{folder}/{name}" + "?reset" * (kind == "lab")
        self.open()

    def open(self) -> None:
        self.page.goto(self.address)
        self.page.wait_for_function(
            """() => {
              const context = window.jupyterapp?.shell.currentWidget?.context;
              return !!context?.sessionContext?.session?.kernel && context.isReady;
            }""",
            timeout=60_000,
        )

    def _page_error(self, error: Error) -> None:
        if str(error) not in OF_JUPYTER:
            self.errors.append(str(error))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def run(self, count: int | None = None) -> None:
        """Run all cells, or the first `count`, without waiting for them to end."""
        if count is None:
            self.page.evaluate(
                "() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }"
            )
            return
        self.page.evaluate(
            """(count) => {
              const notebook = window.jupyterapp.shell.currentWidget.content;
              notebook.activeCellIndex = 0;
              for (let i = 0; i < count; i++)
                window.jupyterapp.commands.execute('notebook:run-cell-and-select-next');
            }""",
            count,
        )

    def start(self, code: str) -> None:
        """Run code in the notebook's kernel, without waiting for it to end."""
        self.page.evaluate(
            f"(code) => {{ ({KERNEL})().requestExecute({{code, store_history: false}}); }}",
            code,
        )

    def ask(self, expression: str) -> Any:
        """The value of a Python expression in the notebook's kernel, by way of JSON."""
        # A widget's messages may take another channel, and be overtaken by this one.
        self.page.wait_for_timeout(300)
        answer = self.page.evaluate(
            """async (code) => {
              const future = (KERNEL)().requestExecute({code, store_history: false});
              let text = '';
              future.onIOPub = (message) => {
                if (message.header.msg_type === 'stream') text += message.content.text;
                if (message.header.msg_type === 'error')
                  text += message.content.traceback.join('\\n');
              };
              await future.done;
              return text;
            }""".replace("KERNEL", KERNEL),
            f"import json as _json\nprint('ANSWER' + _json.dumps({expression}))",
        )
        if "ANSWER" not in answer:
            raise AssertionError(answer)
        return json.loads(answer.split("ANSWER", 1)[1])

    # The widget

    def part(self, name: str) -> Any:
        return self.page.get_by_test_id(name)

    def wait_for_widget(self) -> None:
        self.page.wait_for_selector(".lw-root[data-ready]", timeout=40_000)
        self.part("map").scroll_into_view_if_needed()

    def wait_until_done(self) -> None:
        self.page.wait_for_selector("[data-testid=status][data-state=done]", timeout=60_000)
        self.page.wait_for_timeout(1000)  # points glide to their places

    def pixels(self) -> list[list[float]]:
        """Where bqplot has drawn the samples' marks, in px of the map, by sample."""
        box = self.part("map").bounding_box()
        drawn = self.page.evaluate(
            """(dots) => [...document.querySelectorAll(dots)].map((dot) => {
              const box = dot.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            })""",
            DOTS,
        )
        return [[x - box["x"], y - box["y"]] for x, y in drawn]

    def drag(self, path: list[tuple[float, float]], *modifiers: str) -> None:
        """Draw a lasso over the map, in shares of its width and height."""
        box = self.part("map").bounding_box()
        points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in path]
        for key in modifiers:
            self.page.keyboard.down(key)
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for x, y in points[1:]:
            self.page.mouse.move(x, y, steps=6)
        self.page.mouse.up()
        for key in modifiers:
            self.page.keyboard.up(key)

    def slice_paths(self) -> list[str]:
        """The curves drawn in the slice."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('[data-testid=slice] .curve path.line')]
                 .map((line) => line.getAttribute('d')).filter((d) => d && d.length > 10)"""
        )
