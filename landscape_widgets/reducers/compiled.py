"""Functions that numba compiles when they are first called, and keeps where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

Function = Callable[..., Any]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Decorate as `numba.njit` does, to run beside other threads.

    The machine code is kept for the next process, unless there is no folder for it (a read-only
    image without a home): then each process compiles anew.
    """

    def decorate(function: Function) -> Function:
        found: Function
        try:
            found = numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            found = numba.njit(nogil=True, **options)(function)
        return found

    return decorate
