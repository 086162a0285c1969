"""What becomes of a widget that is not looked at any more.

One without a view stops computing, and goes on once it is looked at again (see `views`). One whose
cell was run again, or deleted, is retired: its models are closed and nothing here holds it, so that
it is gone with the user's last reference.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import anywidget
import ipywidgets
from IPython.core.getipython import get_ipython
from ipywidgets.widgets.widget import _instances


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


class RetiringWidget(anywidget.AnyWidget):
    """A widget that is retired once its cell was run again, or deleted, and it has no view.

    Attributes
    ----------
    cell : Cell or None
        Where it was made, or shown again.
    replaced : bool
        Whether there is another in its place.
    elsewhere : str
        What is shown by viewers of notebooks that show no widget: GitHub, nbconvert, an editor.
    """

    elsewhere: ClassVar[str]

    def __init__(self, **traits: Any) -> None:
        self.cell: Cell | None = current_cell()
        self.replaced = False
        super().__init__(**traits)
        register(self)

    @property
    def _is_awaited(self) -> bool:
        """Whether a view is open, or somebody waits for what goes on."""
        raise NotImplementedError

    def _pause(self) -> None:
        """Stop what goes on, until it comes back."""
        raise NotImplementedError

    def _come_back(self) -> bool:
        """Make again what was closed, and go on; False where it is closed for good."""
        raise NotImplementedError

    @property
    def model_id(self) -> str:
        """What the browser knows the widget by; one that was retired comes back with it."""
        if self.comm is None and self._come_back():
            self._model_id = None
            self.layout = ipywidgets.Layout()
            self.cell, self.replaced = current_cell(), False
            self.open()
        name: str = super().model_id
        return name

    def _repr_mimebundle_(self, **keywords: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**keywords)
        if bundle is not None:
            bundle[0]["text/plain"] = self.elsewhere
        return bundle

    def retire_unless_seen(self) -> None:
        """End what goes on for a widget in whose place there is another, once it has no view.

        What it holds stays, for whoever holds it, and it can be shown again.
        """
        if not self.replaced or self.comm is None or self._is_awaited:
            return
        self._pause()
        leave_boxes(self)
        self._close_models()
        del self._repr_mimebundle_  # which keeps a closed widget from being shown
        forget_output(self)

    def _close_models(self) -> None:
        """Close the widget and all that it is made of."""
        for model in models(self):
            if model is not self:
                model.close()
        super().close()


_living: weakref.WeakSet[Any] = weakref.WeakSet()
_watched: weakref.WeakSet[Any] = weakref.WeakSet()  # shells


def register(widget: RetiringWidget) -> None:
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
