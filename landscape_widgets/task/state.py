"""What a model and its loss keep from one call to the next, and putting it back.

The loss at θ must not hang on what was evaluated before. Modes, buffers, attributes, containers
and generators that can be reached from the working copy are looked at, as they are when it is
made; whatever a call has changed is put back before the next parameter vector.
"""

from __future__ import annotations

import copy
import operator
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.task.noise import GENERATORS, reseed, same_state, set_state, state_of

SHORT = 64  # entries of a container that are compared before every parameter vector
EVERY = 256  # vectors after which all is compared by value again
PLAIN = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis), range, slice)
_OPAQUE = (types.ModuleType, type, weakref.ReferenceType, torch.dtype, torch.device, torch.Size)
_OF_MODULE = frozenset(vars(nn.Module()))
_MISSING: Any = object()


class Place:
    """Something that can be written to, and what was in it.

    Attributes
    ----------
    path : str
        What a sentence calls it.
    """

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

    def now(self) -> Place:
        """The same place, with what it holds now."""
        other = copy.copy(self)
        other.take()
        return other


class _OfTensor(Place):
    """The numbers in a tensor: a copy of them, or the tensor of the user's that it is a copy of."""

    def __init__(self, path: str, tensor: Tensor, original: Tensor | None = None) -> None:
        super().__init__(path)
        self.tensor, self.original = tensor, original
        self.of_original = None if original is None else _version(original)
        self.take()

    def take(self) -> None:
        self._saved = self.tensor.detach().clone() if self.original is None else None
        self.version = self.tensor._version

    @property
    def saved(self) -> Tensor:
        if self._saved is not None:
            return self._saved
        assert self.original is not None
        if _version(self.original) != self.of_original:
            raise RuntimeError(
                f"{self.path} was written to by the model, and in the meantime by others in the "
                "model that was handed over: what it was is not known any more. Make the landscape "
                "anew, and let the model write to none of its frozen weights."
            )
        self._saved = self.original.detach().to(self.tensor, copy=True)
        return self._saved

    def moved(self) -> bool:
        return self.tensor._version != self.version

    def differs(self) -> bool:
        if self._saved is not None or self.original is None:
            return not _same_bits(self.tensor, self.saved)
        if _version(self.original) != self.of_original:
            return self.moved()  # there is nothing to compare with any more
        return not _same_bits(self.tensor, self.original.detach().to(self.tensor))

    def put_back(self) -> None:
        with torch.no_grad():
            if self.tensor.shape != self.saved.shape:
                self.tensor.data = self.saved.clone()
            else:
                self.tensor.detach().copy_(self.saved)
        self.version = self.tensor._version


class _OfArray(Place):
    def __init__(self, path: str, array: Any) -> None:
        super().__init__(path)
        self.array = array
        self.take()

    def take(self) -> None:
        self.saved = self.array.copy()

    def differs(self) -> bool:
        equal = self.array.dtype == object or np.array_equal(
            self.array.view(np.uint8), self.saved.view(np.uint8)
        )
        return not equal if self.array.flags.c_contiguous else True

    def put_back(self) -> None:
        self.array[...] = self.saved


class _OfDict(Place):
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


class _OfList(Place):
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


class _OfSet(Place):
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


class _OfBytes(Place):
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


class _OfCell(Place):
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


class _OfMode(Place):
    """Whether a layer of torch's own is in training mode: all that its call could write to."""

    def __init__(self, path: str, layer: nn.Module) -> None:
        super().__init__(_join(path, "training"))
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


class _OfSlots(Place):
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


class State:
    """All that can be reached from some objects and written to, as it is now.

    Parameters
    ----------
    roots : iterable of objects
        The working copy of the model, and of its loss.
    moving : iterable of Tensor
        What is written anew for each parameter vector anyhow.
    seed : int
        With which generators that are reached begin.
    originals : mapping, optional
        By the address of a large tensor, the user's that it is a copy of, which is then not copied
        once more.
    shared : sequence of objects
        The user's own, which are lent and not put back here; see `Borrowed`.

    Attributes
    ----------
    changing : list of Place
        What calls have been found to write to; put back at each vector without asking.
    found : list of str
        What of it held something else afterwards, by name.
    """

    def __init__(
        self,
        roots: Iterable[Any],
        moving: Iterable[Tensor],
        seed: int = 0,
        originals: Mapping[int, Tensor] | None = None,
        shared: Sequence[Any] = (),
    ) -> None:
        self.roots, self.seed, self.shared = list(roots), seed, list(shared)
        self._originals = dict(originals or {})
        self.moving = list(moving)
        self.changing: list[Place] = []
        self.found: list[str] = []
        self._look()

    def _look(self) -> None:
        skipped = {id(tensor) for tensor in self.moving}
        walk = Walk(skipped, self.seed, self._originals)
        walk.seen.update((id(thing), thing) for thing in self.shared)
        self._places = list(walk.places(self.roots))
        self._count = 0
        self._declared: set[int] = set()
        self._sort()

    def _sort(self) -> None:
        # Bound methods, and flags and versions apart, as this is done for each parameter vector.
        known = set(map(id, self.changing))
        rest = [place for place in self._places if id(place) not in known]
        self._tensors = [place.tensor for place in rest if isinstance(place, _OfTensor)]
        modes = [place for place in rest if isinstance(place, _OfMode)]
        self._modes = [place.attributes for place in modes]
        self._trained = [place.saved for place in modes]
        self._versions = [tensor._version for tensor in self._tensors]
        cheap = (_OfDict, _OfList, _OfSet, _OfCell, _OfSlots)
        self._moved = [place.moved for place in rest if isinstance(place, cheap)]

    def __getstate__(self) -> dict[str, Any]:
        paths = [place.path for place in self.changing]
        kept = {name: vars(self)[name] for name in ("roots", "moving", "seed", "found", "shared")}
        return {**kept, "paths": paths}

    def __setstate__(self, state: dict[str, Any]) -> None:
        paths = set(state.pop("paths"))
        vars(self).update(state, changing=[], _originals={})
        self._look()
        self.changing = [place for place in self._places if place.path in paths]
        self._sort()

    @property
    def draws(self) -> list[str]:
        """Generators among what changes, by name."""
        return [place.path for place in self.changing if isinstance(place, OfGenerator)]

    def put_back(self) -> None:
        """Bring everything to what it was."""
        for place in self.changing:
            place.put_back()
        self._count += 1
        if self._count & (self._count - 1) == 0 or self._count % EVERY == 0:
            self.check()
            return
        if [tensor._version for tensor in self._tensors] != self._versions or [
            attributes["training"] for attributes in self._modes
        ] != self._trained:
            self.check()
            return
        for moved in self._moved:
            if moved():
                self.check()
                return

    def declare(self, tensors: Iterable[Tensor]) -> None:
        """Put these back without asking, and without calling it a change: we write to them."""
        known = set(map(id, self.changing))
        places = {id(place.tensor): place for place in self._places if type(place) is _OfTensor}
        new = [places[id(t)] for t in tensors if id(t) in places]
        new = [place for place in new if id(place) not in known]
        self._declared.update(map(id, new))
        if new:
            self.changing += new
            self._sort()

    def check(self) -> list[str]:
        """Compare everything by value, put it back, and tell what was found to change."""
        known, found, new = set(map(id, self.changing)), [], False
        for place in self._places:
            differs = place.differs()
            if not (differs or place.moved()):
                continue
            if differs and id(place) not in self._declared:
                found += place.changes()
            if id(place) not in known:
                self.changing.append(place)
                new = True
            place.put_back()
        if new:
            self._sort()
        self._versions = [tensor._version for tensor in self._tensors]
        self.found = list(dict.fromkeys([*self.found, *found]))
        return found


class Walk:
    """Finds the places that can be reached."""

    def __init__(self, skipped: set[int], seed: int, originals: Mapping[int, Tensor]) -> None:
        self.seen: dict[int, Any] = {}
        self.skipped, self.seed, self.originals = skipped, seed, originals

    def places(self, roots: Iterable[Any], path: str = "") -> Iterator[Place]:
        """All that can be reached from `roots`, which are called `path`."""
        waiting: list[tuple[Any, str]] = [(root, path) for root in roots]
        while waiting:
            thing, path = waiting.pop()
            if isinstance(thing, (*PLAIN, *_OPAQUE)) or id(thing) in self.seen:
                continue
            if not self.enters(thing):
                continue
            self.seen[id(thing)] = thing
            if isinstance(thing, Tensor):
                if id(thing) not in self.skipped and not thing.is_meta and not _is_odd(thing):
                    yield _OfTensor(path, thing, self.originals.get(id(thing)))
                if thing.__dict__ and type(thing) is not nn.Parameter:
                    waiting += [(v, f"{path}.{k}") for k, v in thing.__dict__.items()]
                continue
            yield from self._of(thing, path)
            if is_plain_layer(thing):
                held = {**thing._buffers, **thing._parameters}
                waiting += [(tensor, _join(path, name)) for name, tensor in held.items()]
            else:
                waiting += reversed(list(parts(thing, path)))

    def enters(self, thing: Any) -> bool:
        """Whether to look into an object."""
        return True

    def of_generator(self, path: str, generator: Any) -> Iterator[Place]:
        """A generator as a place: from now on it begins with the seed."""
        with suppress(NotImplementedError):  # the system's own randomness has no state
            reseed(generator, self.seed)
            yield OfGenerator(path, generator)

    def _of(self, thing: Any, path: str) -> Iterator[Place]:
        if isinstance(thing, GENERATORS):
            yield from self.of_generator(path, thing)
        elif isinstance(thing, np.ndarray):
            if thing.flags.writeable:
                yield _OfArray(path, thing)
        elif isinstance(thing, dict):
            yield _OfDict(path, thing)
        elif isinstance(thing, (list, deque)):
            yield _OfList(path, thing)
        elif isinstance(thing, set):
            yield _OfSet(path, thing)
        elif isinstance(thing, bytearray):
            yield _OfBytes(path, thing)
        elif isinstance(thing, types.CellType):
            if _filled(thing):
                yield _OfCell(path, thing)
        elif has_attributes(thing):
            if is_plain_layer(thing):
                yield _OfMode(path, thing)
            elif isinstance(getattr(thing, "__dict__", None), dict):
                yield _OfDict(path, thing.__dict__)
            names = slots(thing)
            if names:
                yield _OfSlots(path, thing, names)


def parts(thing: Any, path: str) -> Iterator[tuple[Any, str]]:
    """What an object leads to, one step on, each with its name."""
    if isinstance(thing, torch.jit.ScriptModule):
        for name, tensor in (*thing.named_buffers(), *thing.named_parameters()):
            yield tensor, _join(path, name)
    elif isinstance(thing, Mapping) and isinstance(thing, dict):
        for key, value in thing.items():
            yield value, _join(path, key if isinstance(key, str) else f"[{str(key)[:20]}]")
        if isinstance(thing, Overlay):
            return  # what is behind it is the user's, all names of a notebook among it
        if type(thing) is not dict and isinstance(getattr(thing, "__dict__", None), dict):
            for key, value in thing.__dict__.items():
                yield value, _join(path, key)
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        for number, value in enumerate(thing):
            yield value, f"{path}[{number}]"
    elif isinstance(thing, types.CellType):
        if _filled(thing):
            yield thing.cell_contents, path
    elif isinstance(thing, types.MethodType):
        yield thing.__self__, path
        yield thing.__func__, path
    elif isinstance(thing, partial):
        yield thing.func, path
        yield thing.args, path
        yield thing.keywords, path
    elif isinstance(thing, types.FunctionType):
        names = thing.__code__.co_freevars
        for name, cell in zip(names, thing.__closure__ or (), strict=True):
            yield cell, _join(path, name)
        yield thing.__defaults__, path
        yield thing.__kwdefaults__, path
        if isinstance(thing.__globals__, Overlay):
            yield thing.__globals__, path
        yield thing.__dict__, path
    elif has_attributes(thing):
        for name, value in list(getattr(thing, "__dict__", {}).items()):
            # Modules, buffers and parameters are called by their names alone.
            plain = isinstance(thing, nn.Module) and name in ("_modules", "_buffers", "_parameters")
            if plain or not (isinstance(thing, nn.Module) and name in _OF_MODULE and not value):
                yield value, path if plain else _join(path, name)
        for name in slots(thing):
            value = getattr(thing, name, None)
            yield value, _join(path, name)


def reached(roots: Iterable[Any], without: Iterable[Any] = ()) -> Iterator[tuple[str, Any]]:
    """Everything that can be reached from some objects, each once, with how it is called.

    `without` are objects that are not looked at, nor what only they lead to.
    """
    seen: dict[int, Any] = {id(thing): thing for thing in without}
    waiting = [(root, "") for root in roots]
    while waiting:
        thing, path = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield path, thing
        if not isinstance(thing, Tensor):
            waiting += parts(thing, path)


class Overlay(dict[str, Any]):
    """Global names of which a function has its own, in front of those that it shares."""

    def __init__(self, shared: dict[str, Any]) -> None:
        super().__init__()
        self.shared = shared

    def __missing__(self, name: str) -> Any:
        return self.shared[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.shared

    def __reduce__(self) -> Any:
        return dict, (), None, None, iter({**self.shared, **self}.items())


def has_attributes(thing: Any) -> bool:
    """Whether to look into an object: a module, or an instance of a class written in Python."""
    if isinstance(thing, torch.jit.ScriptModule):
        return False
    if isinstance(thing, nn.Module):
        return True
    kind = type(thing)
    if isinstance(thing, (*_OPAQUE, *GENERATORS, types.FunctionType, types.MethodType)):
        return False
    if not kind.__flags__ & 1 << 9:  # not of a class statement (Py_TPFLAGS_HEAPTYPE)
        return False
    return kind.__module__.split(".")[0] not in ("torch", "threading", "logging", "numpy")


def is_plain_layer(thing: Any) -> bool:
    """Whether a module is one of torch's own layers, to which nothing was added."""
    if not type(thing).__module__.startswith("torch.nn.modules."):
        return False
    attributes = vars(thing)
    hooks = [name for name in _OF_MODULE if name.endswith("_hooks") or name == "_modules"]
    return not any(attributes.get(name) for name in hooks) and all(
        name in _OF_MODULE or isinstance(value, (*PLAIN, tuple))
        for name, value in attributes.items()
    )


def slots(thing: Any) -> tuple[str, ...]:
    """Names of the attributes that an object has besides those in its __dict__."""
    found: list[str] = []
    for kind in type(thing).__mro__:
        names = vars(kind).get("__slots__", ())
        names = (names,) if isinstance(names, str) else tuple(names)
        found += [
            f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") else name
            for name in names
            if name not in ("__dict__", "__weakref__")
        ]
    return tuple(found)


def alike(one: Any, other: Any) -> bool:
    """Whether two entries are the same object, or plain values that are equal."""
    if one is other:
        return True
    return type(one) is type(other) and isinstance(one, PLAIN) and bool(one == other)


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _is_odd(tensor: Tensor) -> bool:
    """Whether bits cannot be compared and copied (sparse, nested, lazy)."""
    return (
        tensor.layout != torch.strided
        or tensor.is_nested
        or isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer))
    )


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if torch.equal(one, other):
        return True
    if not (one.is_floating_point() or one.is_complex()):
        return False
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(
        one.nan_to_num(), other.nan_to_num()
    )
