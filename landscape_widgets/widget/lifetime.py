"""Whether a widget is looked at, and what becomes of one that is not.

A view tells the kernel when it opens and when it closes, or else is missed (see `lease`). A widget
without a view stops computing, and goes on once it is looked at again. One whose cell was run
again, or deleted, is retired: its models are closed and nothing here holds it, so that it is gone
with the user's last reference.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import ipywidgets
from IPython.core.getipython import get_ipython
from ipywidgets.widgets.widget import _instances

from landscape_widgets.widget.lease import Lease

GRACE = 3.0  # s that a widget may be out of sight, as while its output is moved


class Views:
    """The views that browsers show of a widget.

    Parameters
    ----------
    ask : callable
        Asks all views to say that they are there: a page that is left says no goodbye.
    busy : callable
        Whether there is work for them.
    """

    def __init__(self, ask: Callable[[], None], busy: Callable[[], bool]) -> None:
        self._ask = ask
        self._lease = Lease(ask, self._lose, lambda: self.any and busy())
        self._open: set[str] = set()
        self._gone: float | None = None  # when the last view closed
        self._lock = threading.Lock()

    def tell(self, view: str, is_open: bool) -> None:
        """Take in what a view says of itself."""
        with self._lock:
            if is_open:
                self._open.add(view)
                self._gone = None
                return
            others = self._open - {view}
            self._open.clear()
            self._gone = time.monotonic()
        if others:
            self._ask()

    def heard(self) -> None:
        """Some view has said something, of whatever."""
        self._lease.heard()

    def _lose(self) -> None:
        with self._lock:
            self._open.clear()
            self._gone = time.monotonic() - GRACE

    @property
    def any(self) -> bool:
        """Whether a view is open, as far as is known."""
        return bool(self._open)

    @property
    def away(self) -> bool:
        """Whether there were views, and there have been none for a while; asked by the work."""
        if self._open:
            self._lease.keep_up()
        gone = self._gone
        return gone is not None and time.monotonic() - gone > GRACE


class Cell(NamedTuple):
    """A cell of a notebook, in one of its runs."""

    id: str
    run: str


def current_cell() -> Cell | None:
    """The cell that is running; None outside of notebooks, and where they do not tell."""
    parent = _parent()
    cell = parent.get("metadata", {}).get("cellId")
    return Cell(cell, parent["header"]["msg_id"]) if cell else None


def _parent() -> dict[str, Any]:
    """The message that the kernel is answering."""
    shell = get_ipython()
    if shell is None or not hasattr(shell, "get_parent"):
        return {}
    found: dict[str, Any] = shell.get_parent()
    return found if found and "header" in found else {}


class Retirable(Protocol):
    """What may be retired."""

    cell: Cell | None
    replaced: bool

    def retire_unless_seen(self) -> None:
        """Retire if it is replaced and has no view."""


_living: weakref.WeakSet[Any] = weakref.WeakSet()
_watched: weakref.WeakSet[Any] = weakref.WeakSet()  # shells


def register(widget: Retirable) -> None:
    """Look at a widget after each cell that is run."""
    _living.add(widget)
    shell = get_ipython()
    if shell is not None and shell not in _watched and hasattr(shell, "events"):
        _watched.add(shell)
        shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any) -> None:
    """Retire what a cell made before it was run again, and what deleted cells made."""
    cell = current_cell()
    deleted = set(_parent().get("metadata", {}).get("deletedCells", []))
    living = list(_living)
    made = {widget.cell for widget in living}
    for widget in living:
        if widget.cell is None:
            continue
        again = cell is not None and widget.cell.id == cell.id and widget.cell != cell
        if widget.cell.id in deleted or (again and cell in made):
            widget.replaced = True
        widget.retire_unless_seen()


def models(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all widgets that it is made of: layouts, styles, marks, scales."""
    found: dict[int, ipywidgets.Widget] = {}

    def gather(value: Any) -> None:
        if isinstance(value, ipywidgets.Widget):
            if id(value) in found:
                return
            found[id(value)] = value
            # Not by their names: asking for one that is not there yet would make it.
            for part in list(value._trait_values.values()):
                gather(part)
        elif isinstance(value, dict):
            gather(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for part in value:
                gather(part)

    gather(widget)
    return iter(list(found.values()))


def leave_boxes(widget: ipywidgets.Widget) -> None:
    """Take a widget out of the boxes that it was laid out in: ipywidgets keeps all of them.

    Such a box could not be shown with a widget that is closed.
    """
    for other in list(_instances.values()):
        if isinstance(other, ipywidgets.Box) and widget in other.children:
            other.children = tuple(child for child in other.children if child is not widget)


def forget_output(thing: Any) -> None:
    """Take something out of what IPython keeps of the cells' results: `Out`, `_`, `_7`.

    IPython has it twice: among the user's names, and among those that `%who` leaves out.
    """
    shell = get_ipython()
    if shell is None:
        return
    kept = shell.user_ns.get("_oh", {})
    numbers = [number for number, value in kept.items() if value is thing]
    for number in numbers:
        del kept[number]
    last = ("_", "__", "___")
    for name in last:
        if getattr(shell.displayhook, name, None) is thing:
            setattr(shell.displayhook, name, "")
    for names in (shell.user_ns, shell.user_ns_hidden):
        for name in last:
            if names.get(name) is thing:
                names[name] = ""
        for number in numbers:
            names.pop(f"_{number}", None)
