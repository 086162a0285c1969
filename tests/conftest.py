"""What holds for all tests: random numbers are seeded, and what belongs together runs together."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Whatever draws from a global generator draws the same in each run."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Where two processes share the tests: one takes the browser's, which share a server.

    All others go by file, since the tests of a file share what was costly to make. When items are
    put in order it is too late: xdist has read their groups by then.
    """
    if item.config.pluginmanager.hasplugin("xdist"):
        path = item.path.relative_to(HERE)
        group = "browser" if path.parts[0] == "browser" else path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
