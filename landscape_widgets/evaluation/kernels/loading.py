"""Modules that compile themselves, loaded meanwhile, and their work shared among threads."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from landscape_widgets.evaluation.strategy import Unsuited

Float32 = npt.NDArray[np.float32]

SWITCH = "LANDSCAPE_WIDGETS_KERNELS"
LINE = 16  # numbers in a line of the cache
PARTS = 3  # of a range for each thread

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_loading: dict[str, Future[ModuleType]] = {}
_settled: dict[str, threading.Event] = {}


def check_allowed() -> None:
    """Raise `Unsuited` if the environment switches kernels off."""
    if os.environ.get(SWITCH) == "0":
        raise Unsuited(f"{SWITCH}=0 in the environment switches it off")


def load(name: str) -> Future[ModuleType]:
    """A module of this package, loaded, or compiled if this machine never has, meanwhile.

    Raises
    ------
    Unsuited
        If the environment switches kernels off.
    """
    check_allowed()
    with _lock:
        if name not in _loading:
            _loading[name], _settled[name] = Future(), threading.Event()
            arguments = name, _loading[name], _settled[name]
            threading.Thread(target=_load, args=arguments, daemon=True).start()
        return _loading[name]


def settle(name: str) -> bool:
    """Whether a module of this package is loaded, or cannot be; False once it has to be compiled.

    Loading what this machine has compiled before takes less than a second, which is waited for: so
    the same work is done by the same code each time.
    """
    future = load(name)
    _settled[name].wait()
    return future.done()


def _load(name: str, future: Future[ModuleType], settled: threading.Event) -> None:
    try:
        with _told_of_compiling(settled):
            module = importlib.import_module(f"{__package__}.{name}")
    except Exception as error:
        future.set_exception(error)
    except BaseException as error:  # what would end a program ends no thread of its own
        future.set_exception(ImportError(repr(error)))
    else:
        future.set_result(module)
    finally:
        settled.set()


@contextlib.contextmanager
def _told_of_compiling(compiling: threading.Event) -> Iterator[None]:
    """Set an event as soon as numba has to compile some function of this package."""
    # Another thread may be within the import of numba: only its own name waits until that is over.
    import numba  # noqa: F401
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc,unused-ignore]
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
                compiling.set()

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


def zeros(*shape: int) -> Float32:
    """Zeros that begin where a line of the cache does: vectors across two take twice as long."""
    count = math.prod(shape)
    numbers = np.zeros(count + LINE, np.float32)
    start = -(numbers.ctypes.data // numbers.itemsize) % LINE
    return numbers[start : start + count].reshape(shape)


def share_out(one: Callable[[slice], None], some: slice) -> None:
    """Do `one` for parts of a range, on as many threads as torch may use.

    Who is done takes the next part: torch's own threads go on spinning for some milliseconds after
    each of its operations, so that ours get half a core in the meantime.
    """
    threads = torch.get_num_threads()
    n = some.stop - some.start
    size = max(1, -(-n // (PARTS * threads if threads > 1 else 1)))
    parts = iter([slice(i, min(i + size, some.stop)) for i in range(some.start, some.stop, size)])

    def work() -> None:
        for part in parts:
            one(part)

    others = [_threads().submit(work) for _ in range(min(threads, -(-n // size)) - 1)]
    work()
    for other in others:
        other.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(thread_name_prefix="landscape-kernel")
        return _pool
