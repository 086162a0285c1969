from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import browsers, jupyter, kernels
from tests.browser.landscape import LandscapeNotebook

# What is expected to be seen may be computed first, on a machine that is busy with other things.
expect.set_options(timeout=30_000)

# Slices are of all of the data, however slow the machine is.
EXACT = "from landscape_widgets.widget import slices; slices.AT_ONCE = 1e9"


# No wider than the package: while Playwright runs, its event loop counts as the thread's own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = browsers.launch(playwright)
        yield browser
        browser.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All run in JupyterLab; those whose outcome hangs on the application in Notebook 7, too."""
    if "kind" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("in_both_applications")
        metafunc.parametrize("kind", ["lab", "notebook"] if both else ["lab"], scope="package")


@pytest.fixture(scope="package")
def root(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(kind)


@pytest.fixture(scope="package")
def url(kind: str, root: Path) -> Iterator[str]:
    # Threads within an operator would wait for each other where other tests run beside.
    threads = {"OMP_NUM_THREADS": "1"}
    with kernels.copied(root, **threads), jupyter.server(kind, root, **threads) as url:
        yield url


@pytest.fixture(scope="package")
def quickstart(browser: Browser, url: str, kind: str, root: Path) -> Iterator[LandscapeNotebook]:
    """The quickstart notebook, run to its end and left open for all tests."""
    shutil.copy(jupyter.REPOSITORY / "notebooks" / "quickstart.ipynb", root)
    notebook = LandscapeNotebook(browser, url, kind, "quickstart.ipynb")
    notebook.do(EXACT)
    notebook.run_until_done()
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(quickstart: LandscapeNotebook) -> Iterator[LandscapeNotebook]:
    """The quickstart notebook, with nothing selected; it must leave no error on the console."""
    quickstart.reset()
    yield quickstart
    assert quickstart.take_errors() == []


@pytest.fixture(scope="package")
def pages() -> Iterator[list[Page]]:
    """Pages on which JupyterLab runs, with no notebook: to load it takes four seconds."""
    pages: list[Page] = []
    yield pages
    for page in pages:
        page.close()


@pytest.fixture
def opened(
    browser: Browser,
    url: str,
    kind: str,
    root: Path,
    pages: list[Page],
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., LandscapeNotebook]]:
    """Opens a new notebook of these cells, runs it, and waits for its widget.

    Like the other one, it must leave no error on the console.
    """
    notebooks: list[LandscapeNotebook] = []

    def open_notebook(*cells: str, width: int = 1400) -> LandscapeNotebook:
        name = f"{request.function.__name__}.ipynb"
        jupyter.write_notebook(root / name, *cells)
        page = pages.pop() if kind == "lab" and pages else None
        notebook = LandscapeNotebook(browser, url, kind, name, width=width, page=page)
        notebooks.append(notebook)
        notebook.run_all()
        notebook.wait_for_widget()
        return notebook

    yield open_notebook
    for notebook in notebooks:
        errors = notebook.take_errors()
        left = notebook.leave() if kind == "lab" else notebook.close()
        if left is not None and not errors:
            pages.append(left)
        assert errors == []
