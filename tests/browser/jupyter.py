"""A real JupyterLab or Notebook 7, and a notebook in it, driven by Playwright."""

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
import numpy as np
import numpy.typing as npt
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    TimeoutError,
    ViewportSize,
)

REPOSITORY = Path(__file__).parents[2]
FloatArray = npt.NDArray[np.float64]
PATIENCE = 60  # s, with a machine that is busy with other things


def server_environment(root: Path, **environment: str) -> dict[str, str]:
    """The environment of a server whose settings are in a folder of its own."""
    settings = root / ".settings"
    return {
        **os.environ,
        **environment,
        "JUPYTER_CONFIG_DIR": str(settings / "config"),
        "JUPYTER_DATA_DIR": str(settings / "data"),
        "JUPYTER_PATH": str(settings / "path"),
        "JUPYTER_RUNTIME_DIR": str(settings / "runtime"),
        "IPYTHONDIR": str(settings / "ipython"),
        # The notebooks take their models from tests/models.py.
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    }


@contextlib.contextmanager
def server(kind: str, root: Path, **environment: str) -> Iterator[str]:
    """Start `jupyter lab` or `jupyter notebook` on a free port, with settings of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings, environment = root / ".settings", server_environment(root, **environment)
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
        for _ in range(10 * PATIENCE):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/status"):
                break
            if process.poll() is not None:
                raise RuntimeError((settings / "server.log").read_text())
            time.sleep(0.1)
        else:
            raise RuntimeError(
                "The server did not answer in time: " + (settings / "server.log").read_text()
            )
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook with these code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python",
    }  # fmt: skip
    nbformat.write(notebook, path)


# What several of the scripts below begin with.
NOTEBOOK = "const panel = window.jupyterapp.shell.currentWidget;"
KERNEL = NOTEBOOK + "const kernel = panel.context.sessionContext.session.kernel;"


READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.context;
  return !!context?.sessionContext?.session?.kernel && context.isReady;
}"""
# JupyterLab with no document, and no question that waits for an answer.
EMPTY = """() => !document.querySelector('.jp-NotebookPanel, .lw-root, .jp-Dialog')
  && !!window.jupyterapp"""


class Notebook:
    """An open notebook: run its cells, ask its kernel."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        kind: str,
        name: str,
        *,
        width: int = 1400,
        page: Page | None = None,
    ) -> None:
        size: ViewportSize = {"width": width, "height": 1100}
        self.page: Page = browser.new_page(viewport=size) if page is None else page
        self.errors: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", self._page_error)
        folder = "lab/tree" if kind == "lab" else "notebooks"
        self.address = f"{url}/{folder}/{name}" + "?reset" * (kind == "lab")
        if page is None:
            self.open()
        else:
            page.set_viewport_size(size)
            self._open_beside(name)
        # What an application says before any cell has run is its own affair: Notebook 7.6 throws
        # "Cannot read properties of undefined (reading 'schema')" over any notebook.
        self.own_errors = set(self.errors)

    def open(self) -> None:
        """Open the notebook's page, or load it again."""
        self.page.goto(self.address)
        self.page.wait_for_function(READY, timeout=60_000)
        self.page.evaluate("() => window.jupyterapp.restored.then(() => null)")

    def _open_beside(self, name: str) -> None:
        """Open the notebook on a page on which JupyterLab runs already."""
        self.page.evaluate(
            "(path) => window.jupyterapp.commands.execute('docmanager:open', {path})"
            ".then(() => null)",
            name,
        )
        self.page.wait_for_function(READY, timeout=60_000)

    def close(self) -> None:
        """Close the page, and end the kernel."""
        self.page.evaluate(NOTEBOOK + "panel.context.sessionContext.shutdown()")
        self.page.close()

    def leave(self) -> Page | None:
        """End the kernel and close the notebook; the page, for another, where it is as it was."""
        self.page.evaluate(
            "async () => {" + NOTEBOOK + "await panel.context.sessionContext.shutdown();"
            "panel.context.model.dirty = false; panel.close(); }"
        )
        self.page.remove_listener("console", self._console)
        self.page.remove_listener("pageerror", self._page_error)
        try:
            self.page.wait_for_function(EMPTY, timeout=5_000)
        except TimeoutError:
            self.page.close()
            return None
        return self.page

    def _page_error(self, error: Error) -> None:
        self.errors.append(error.stack or str(error))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def take_errors(self) -> list[str]:
        """What went to the console as an error since it was last asked."""
        found = [error for error in self.errors if error not in self.own_errors]
        self.errors.clear()
        return found

    def set_theme(self, theme: str) -> None:
        """Change to JupyterLab's "Light" or "Dark" theme, and wait until that is all over.

        JupyterLab removes the splash of a theme 200 ms after it came, and removes it twice, which
        is an error on the console, where another theme came meanwhile.
        """
        name = f"JupyterLab {theme}"
        self.page.evaluate(
            "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
            ".then(() => null)",
            name,
        )
        self.page.wait_for_function(
            """(name) => document.body.dataset.jpThemeName === name
              && !document.getElementById('jupyterlab-splash')""",
            arg=name,
        )

    def run_all(self) -> None:
        """Run all cells, without waiting for them to end."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")

    def run_new_cell(self, source: str) -> None:
        """Append a cell and run it, without waiting for it to end."""
        self.page.evaluate(
            "(source) => {"
            + NOTEBOOK
            + """
              const cells = panel.content.model.sharedModel;
              cells.insertCell(cells.cells.length, {cell_type: 'code', source});
              panel.content.activeCellIndex = cells.cells.length - 1;
              window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            source,
        )

    @contextlib.contextmanager
    def blocked_kernel(self, root: Path) -> Iterator[None]:
        """Keep the kernel busy, for as long as this lasts and no shorter."""
        end = root / "end"
        busy = "() => {" + KERNEL + "return kernel.status === 'busy'; }"
        self.tell(
            f"import pathlib, time\nwhile not pathlib.Path({str(end)!r}).exists(): time.sleep(0.05)"
        )
        self.page.wait_for_function(busy)
        try:
            yield
            assert self.page.evaluate(busy)
        finally:
            end.touch()
            self.ask("None")
            end.unlink()

    def save(self) -> None:
        """Save the notebook, outputs and all."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def cells(self) -> list[dict[str, Any]]:
        """The cells as they would be saved, outputs and all."""
        return self.page.evaluate(
            "() => {" + NOTEBOOK + "return panel.content.model.sharedModel.toJSON().cells; }"
        )

    def tell(self, code: str) -> None:
        """Run code in the notebook's kernel, without waiting for it to end."""
        self.page.evaluate(
            "(code) => {" + KERNEL + "kernel.requestExecute({code, store_history: false}); }", code
        )

    def do(self, code: str) -> None:
        """Run code in the notebook's kernel; an error there is one here."""
        self.ask(f"exec({code!r}, globals())")

    def ask(self, expression: str) -> Any:
        """The value of a Python expression in the notebook's kernel, by way of JSON."""
        answer = self.page.evaluate(
            "async (code) => {"
            + KERNEL
            + """
              const future = kernel.requestExecute({code, store_history: false});
              let text = '';
              future.onIOPub = (message) => {
                if (message.header.msg_type === 'stream') text += message.content.text;
                if (message.header.msg_type === 'error')
                  text += message.content.traceback.join('\\n');
              };
              await future.done;
              return text;
            }""",
            f"import json as _json\nprint('ANS' 'WER' + _json.dumps({expression}))",
        )
        if "ANSWER" not in answer:
            raise AssertionError(answer)
        # Others may print meanwhile: threads, warnings.
        return json.JSONDecoder().raw_decode(answer.split("ANSWER", 1)[1])[0]

    def wait_for_answer(self, expression: str, wanted: Any) -> None:
        """Until the kernel says what is wanted."""
        found = self.ask(expression)
        deadline = time.monotonic() + PATIENCE
        while found != wanted and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
            found = self.ask(expression)
        assert found == wanted

    def part(self, name: str) -> Locator:
        """A part of the page by its data-testid."""
        return self.page.get_by_test_id(name)
