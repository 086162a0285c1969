"""Functions that numba compiles when they are first called, and keeps where it can."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import event

from landscape_widgets.progress import Progress, ProgressCallback

Function = Callable[..., Any]

_unkept: set[str] = set()  # functions that there is no folder for


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
            _unkept.add(function.__module__)
            found = numba.njit(nogil=True, **options)(function)
        return found

    return decorate


@contextlib.contextmanager
def told_of_compiling(progress: ProgressCallback) -> Iterator[ProgressCallback]:
    """Say so when a function of this package is compiled, and go on where it was after it.

    Gives what is told of other progress meanwhile.
    """
    last: list[Progress] = []

    def told(part: Progress) -> None:
        last[:] = [part]
        progress(part)

    class Listener(event.Listener):  # type: ignore[misc,unused-ignore]
        def on_start(self, event: Any) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if module.startswith(__package__):
                progress(Progress("compiling anew" if module in _unkept else "compiling", 0, 1))

        def on_end(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith(__package__) and last:
                progress(last[0])

    with event.install_listener("numba:compile", Listener()):
        yield told
