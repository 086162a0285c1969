"""How long work tells how far it is, and how it is told to stop: plain callables."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """`done` of `total` steps of `phase` are finished, and of the next one the share `within`."""

    phase: str
    done: int
    total: int
    within: float = 0.0


ProgressCallback = Callable[[Progress], None]
CancelCallback = Callable[[], bool]


class Cancelled(Exception):
    """Work was cancelled and has nothing worth keeping."""


def ignore(progress: Progress) -> None:
    """Take a progress report and do nothing with it."""


def never() -> bool:
    """Say that the work shall go on."""
    return False
