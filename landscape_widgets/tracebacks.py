"""Tracebacks that lead from the user's line to the user's code, with nothing of ours between."""

from __future__ import annotations

import functools
import linecache
import logging
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

import torch

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)
E = TypeVar("E", bound=BaseException)

_OURS = str(Path(__file__).parent)
_TORCH = Path(torch.__file__).parent
# What stands between a call of a module and its own forward, and around functions without gradient.
_CALLS = tuple(
    str(_TORCH / part)
    for part in ("nn/modules/module.py", "func", "_functorch", "utils/_contextlib.py")
)
_TRAITS = "traitlets"  # the package, between an attribute that is set and the check of its value


def shortened(error: E) -> E:
    """An error whose traceback leaves out this package, and what only passes a call on.

    The whole of it goes to the log, at the level "debug". An error that nobody in this package
    meant to raise keeps all of its traceback: it is a defect, to be reported with it.
    """
    log.debug("raised here", exc_info=error)
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if one.__traceback__ is not None and not _is_defect(one.__traceback__):
            one.__traceback__ = _without_ours(one.__traceback__)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return error


def entry(function: Callable[P, T]) -> Callable[P, T]:
    """Let what a public function raises be `shortened`, and leave torch's inference mode for it.

    Under inference mode tensors cannot be differentiated, nor be seen to be written to.
    """

    @functools.wraps(function)
    def call(*args: P.args, **keywords: P.kwargs) -> T:
        __tracebackhide__ = True  # IPython and pytest leave out such frames
        try:
            if not torch.is_inference_mode_enabled():
                return function(*args, **keywords)
            with torch.inference_mode(False):
                return function(*args, **keywords)
        except Exception as error:
            raise shortened(error)  # noqa: B904  # it is this very error

    return call


def entries(kind: C) -> C:
    """Make an `entry` of the constructor and every public method of a class."""
    for name, value in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        made: Any = None
        if isinstance(value, classmethod):
            made = classmethod(entry(value.__func__))
        elif isinstance(value, property):
            get, put = (None if f is None else entry(f) for f in (value.fget, value.fset))
            made = property(get, put, value.fdel, value.__doc__)
        elif callable(value) and hasattr(value, "__code__"):
            made = entry(value)
        if made is not None:
            setattr(kind, name, made)
    return kind


def place(error: BaseException) -> str:
    """Where in the user's code an error was raised, "in f, line 3"; "" where in none of it."""
    frames = list(_links(error.__traceback__))
    for link in reversed(frames):
        name = link.tb_frame.f_code.co_filename
        if not (_is_ours(link.tb_frame) or "site-packages" in name or name.startswith(str(_TORCH))):
            return f"in {link.tb_frame.f_code.co_name}, line {link.tb_lineno}"
    return ""


def _links(traceback: TracebackType | None) -> Any:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def _passes_on(frame: FrameType) -> bool:
    file = Path(frame.f_code.co_filename)
    return str(file).startswith(_CALLS) or file.parent.name == _TRAITS


def _is_defect(traceback: TracebackType) -> bool:
    """Whether the last line is ours and no `raise`."""
    *_, last = _links(traceback)
    if not _is_ours(last.tb_frame):
        return False
    line = linecache.getline(last.tb_frame.f_code.co_filename, last.tb_lineno)
    return "raise" not in line.split()


def _without_ours(traceback: TracebackType) -> TracebackType | None:
    kept: TracebackType | None = None
    for link in reversed(list(_links(traceback))):
        frame = link.tb_frame
        if not (_is_ours(frame) or _passes_on(frame)):
            kept = TracebackType(kept, frame, link.tb_lasti, link.tb_lineno)
    return kept
