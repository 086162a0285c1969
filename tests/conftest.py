"""What holds for all tests: random numbers are seeded, and what belongs together runs together."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from xdist.scheduler import LoadScopeScheduling


def seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before fixtures that several tests share, which may draw from a global generator, too."""
    seed()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Whatever draws from a global generator draws the same, whatever ran before."""
    seed()


class ByPlace(LoadScopeScheduling):  # type: ignore[misc]
    """Where two processes share the tests: one takes all of the tests that share a Jupyter server.

    All others go by file, since the tests of a file share what was costly to make. (Marks of
    groups are not seen by xdist 3.8 under pytest 9.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::")[0]
        if not path.startswith("tests/browser/"):
            return path
        return "notebook" if "[notebook" in nodeid else "lab"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByPlace:
    return ByPlace(config, log)
