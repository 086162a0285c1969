"""Places that a call may write to: what was in them, and putting it back."""

from __future__ import annotations

import copy
import operator
import types
from typing import Any, Self

from torch import nn

from landscape_widgets.task.noise import same_state, set_state, state_of
from landscape_widgets.task.object_graph import PLAIN, filled, join

SHORT = 64  # entries of a container that are compared before every parameter vector
_MISSING: Any = object()


class Place:
    """Something that can be written to, and what was in it.

    Attributes
    ----------
    path : str
        What a sentence calls it.
    is_used_up : bool
        Whether it holds iterators, which give each item once.
    """

    is_used_up = False

    def __init__(self, path: str) -> None:
        self.path = path

    def moved(self) -> bool:
        """Whether it seems to have been written to, as far as can be told at no cost."""
        return False

    def differs(self) -> bool:
        """Whether it holds something else than it did."""
        raise NotImplementedError

    def changes(self) -> list[str]:
        """What of it differs, by name."""
        return [self.path]

    def take(self) -> None:
        """Remember what it holds."""
        raise NotImplementedError

    def put_back(self) -> None:
        """Let it hold what it did."""
        raise NotImplementedError

    def begin_anew(self) -> None:
        """Let it hold what it did, where what it holds may be used up meanwhile."""
        self.put_back()

    def now(self) -> Self:
        """The same place, with what it holds now."""
        other = copy.copy(self)
        other.take()
        return other


class Holder(Place):
    """A place of several entries, each of which may hold any object."""

    def held(self) -> dict[Any, Any]:
        """What its entries hold now."""
        raise NotImplementedError

    def write(self, entry: Any, value: Any) -> None:
        """Let one that is there hold something else."""
        raise NotImplementedError


class OfDict(Holder):
    """Entries of a mapping or attributes of an object, by identity."""

    def __init__(self, path: str, entries: dict[Any, Any]) -> None:
        super().__init__(path)
        self.entries = entries
        self.take()

    def take(self) -> None:
        self.saved = dict(self.entries)
        self.values = list(self.entries.values())
        self.short = len(self.values) <= SHORT

    def moved(self) -> bool:
        entries, values = self.entries, self.values
        if len(entries) != len(values):
            return True
        return self.short and not all(map(operator.is_, entries.values(), values))

    def differs(self) -> bool:
        return len(self.entries) != len(self.values) or not all(
            map(alike, self.entries.values(), self.values)
        )

    def changes(self) -> list[str]:
        names = [
            name
            for name in {**self.saved, **self.entries}
            if not alike(self.entries.get(name, _MISSING), self.saved.get(name, _MISSING))
        ]
        if names and all(isinstance(name, str) for name in names):
            return [f"{self.path}.{name}".strip(".") for name in names]
        return [self.path]

    def put_back(self) -> None:
        self.entries.clear()
        self.entries.update(self.saved)

    def held(self) -> dict[Any, Any]:
        return self.entries

    def write(self, entry: Any, value: Any) -> None:
        self.entries[entry] = value


class OfList(Holder):
    """Elements of a list or a deque, by identity."""

    def __init__(self, path: str, elements: Any) -> None:
        super().__init__(path)
        self.elements = elements
        self.take()

    def take(self) -> None:
        self.saved = list(self.elements)
        self.short = len(self.saved) <= SHORT

    def moved(self) -> bool:
        if len(self.elements) != len(self.saved):
            return True
        return self.short and not all(map(operator.is_, self.elements, self.saved))

    def differs(self) -> bool:
        return len(self.elements) != len(self.saved) or not all(
            map(alike, self.elements, self.saved)
        )

    def put_back(self) -> None:
        self.elements.clear()
        self.elements.extend(self.saved)

    def held(self) -> dict[Any, Any]:
        return dict(enumerate(self.elements))

    def write(self, entry: Any, value: Any) -> None:
        self.elements[entry] = value


class OfSet(Place):
    def __init__(self, path: str, elements: set[Any]) -> None:
        super().__init__(path)
        self.elements = elements
        self.take()

    def take(self) -> None:
        self.saved = set(self.elements)

    def moved(self) -> bool:
        return len(self.elements) != len(self.saved)

    def differs(self) -> bool:
        return self.elements != self.saved

    def put_back(self) -> None:
        self.elements.clear()
        self.elements.update(self.saved)


class OfBytes(Place):
    def __init__(self, path: str, content: bytearray) -> None:
        super().__init__(path)
        self.content = content
        self.take()

    def take(self) -> None:
        self.saved = bytes(self.content)

    def differs(self) -> bool:
        return self.content != self.saved

    def put_back(self) -> None:
        self.content[:] = self.saved


class OfCell(Holder):
    """A variable that a function shares with the one around it."""

    def __init__(self, path: str, cell: types.CellType) -> None:
        super().__init__(path)
        self.cell = cell
        self.take()

    def take(self) -> None:
        self.saved = self.cell.cell_contents

    def moved(self) -> bool:
        try:
            return self.cell.cell_contents is not self.saved
        except ValueError:  # emptied
            return True

    def differs(self) -> bool:
        return self.moved()

    def put_back(self) -> None:
        self.cell.cell_contents = self.saved

    def held(self) -> dict[Any, Any]:
        return {"": self.cell.cell_contents} if filled(self.cell) else {}

    def write(self, entry: Any, value: Any) -> None:
        self.cell.cell_contents = value


class OfMode(Place):
    """Whether a layer of torch's own is in training mode: all that its call could write to."""

    def __init__(self, path: str, layer: nn.Module) -> None:
        super().__init__(join(path, "training"))
        self.attributes = layer.__dict__
        self.take()

    def take(self) -> None:
        self.saved = self.attributes["training"]

    def moved(self) -> bool:
        return self.attributes["training"] is not self.saved

    def differs(self) -> bool:
        return self.moved()

    def put_back(self) -> None:
        self.attributes["training"] = self.saved


def _is_ours(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).partition(".")[0] == __package__.partition(".")[0]


class OfHooks(Place):
    """Hooks of modules that have none: some models register theirs as they are first called.

    Those of this package, which watch a call, stay.
    """

    def __init__(self, path: str, registries: list[dict[Any, Any]]) -> None:
        super().__init__(path)
        self.registries = registries

    def take(self) -> None:
        self.registries = [registry for registry in self.registries if not registry]

    def _theirs(self) -> set[int]:
        """Numbers of hooks that are not ours; a hook has the same in all registries."""
        if not any(self.registries):
            return set()
        entries = [entry for registry in self.registries for entry in registry.items()]
        ours = {key for key, hook in entries if _is_ours(hook)}
        return {key for key, _ in entries} - ours

    def moved(self) -> bool:
        return bool(self._theirs())

    def differs(self) -> bool:
        return self.moved()

    def put_back(self) -> None:
        theirs = self._theirs()
        for registry in self.registries:
            for key in theirs & registry.keys():
                del registry[key]


class OfSlots(Holder):
    """Attributes of an object without a __dict__."""

    def __init__(self, path: str, thing: Any, names: tuple[str, ...]) -> None:
        super().__init__(path)
        self.thing, self.names = thing, names
        self.take()

    def take(self) -> None:
        self.saved = [getattr(self.thing, name, _MISSING) for name in self.names]

    def moved(self) -> bool:
        return any(
            getattr(self.thing, name, _MISSING) is not value
            for name, value in zip(self.names, self.saved, strict=True)
        )

    def differs(self) -> bool:
        return self.moved()

    def put_back(self) -> None:
        for name, value in zip(self.names, self.saved, strict=True):
            if value is not _MISSING:
                setattr(self.thing, name, value)
            elif hasattr(self.thing, name):
                delattr(self.thing, name)

    def held(self) -> dict[Any, Any]:
        values = {name: getattr(self.thing, name, _MISSING) for name in self.names}
        return {name: value for name, value in values.items() if value is not _MISSING}

    def write(self, entry: Any, value: Any) -> None:
        setattr(self.thing, entry, value)


class OfGenerator(Place):
    """A random generator of the working copy's own."""

    def __init__(self, path: str, generator: Any) -> None:
        super().__init__(path)
        self.generator = generator
        self.take()

    def take(self) -> None:
        self.saved = state_of(self.generator)

    def differs(self) -> bool:
        return not same_state(self.saved, state_of(self.generator))

    def put_back(self) -> None:
        set_state(self.generator, self.saved)


def alike(one: Any, other: Any) -> bool:
    """Whether two entries are the same object, or plain values that are equal."""
    if one is other:
        return True
    return type(one) is type(other) and isinstance(one, PLAIN) and bool(one == other)
