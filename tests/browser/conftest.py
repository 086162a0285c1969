from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import jupyter

MODEL = """
import numpy as np, torch, landscape_widgets as lw
from torch import nn
from tests.models import digits, mlp, train
data, val = digits(300), tuple(t[300:] for t in digits(500))
model = train(mlp(), data, 80)
"""
WIDGET = "w = lw.LandscapeWidget(model, data, val_data=val, sampler=lw.samplers.Minima(n=200))\nw"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    given = os.environ.get("LANDSCAPE_BROWSER")
    if not given:
        pytest.fail(
            "LANDSCAPE_BROWSER names no Chromium. Run the browser tests by nox -s browser, which "
            "finds or installs one, or set it to a Chromium's path."
        )
    with sync_playwright() as playwright:
        path = None if given == "playwright" else given
        browser = playwright.chromium.launch(executable_path=path, args=list(jupyter.QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["lab", "notebook"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def root(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(kind)


@pytest.fixture(scope="session")
def url(kind: str, root: Path) -> Iterator[str]:
    with jupyter.server(kind, root) as url:
        yield url


@pytest.fixture
def notebook(
    browser: Browser, url: str, kind: str, root: Path, request: pytest.FixtureRequest
) -> Iterator[jupyter.Notebook]:
    """A notebook with a small trained model and its widget, run."""
    name = f"{request.node.originalname}.ipynb"
    jupyter.write_notebook(root / name, MODEL, WIDGET)
    notebook = jupyter.Notebook(browser, url, kind, name)
    notebook.run()
    notebook.wait_for_widget()
    yield notebook
    notebook.start("w.close()")
    notebook.page.close()
