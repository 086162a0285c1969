"""What a model and its loss keep from one call to the next, and putting it back.

The loss at θ must not hang on what was evaluated before. Modes, buffers, attributes, containers
and generators that can be reached from the working copy are looked at, as they are when it is
made; whatever a call has changed is put back before the next parameter vector.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor, nn

from landscape_widgets.task.iterators import restocked
from landscape_widgets.task.noise import GENERATORS, reseed
from landscape_widgets.task.object_graph import (
    HOOKS,
    OPAQUE,
    PLAIN,
    filled,
    has_attributes,
    is_plain_layer,
    join,
    parts,
    slots,
)
from landscape_widgets.task.places import (
    OfBytes,
    OfCell,
    OfDict,
    OfGenerator,
    OfHooks,
    OfList,
    OfMode,
    OfSet,
    OfSlots,
    Place,
)
from landscape_widgets.task.places_of_numbers import OfArray, OfTensor, is_odd
from landscape_widgets.task.structure import in_dict

EVERY = 256  # vectors after which all is compared by value again


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
        self.changing += [place for place in self._places if place.is_used_up]
        self._count = 0
        self._declared: set[int] = set()
        self._sort()

    def _sort(self) -> None:
        # Bound methods, and flags and versions apart, as this is done for each parameter vector.
        known = set(map(id, self.changing))
        rest = [place for place in self._places if id(place) not in known]
        self._tensors = [place.tensor for place in rest if isinstance(place, OfTensor)]
        modes = [place for place in rest if isinstance(place, OfMode)]
        self._modes = [place.attributes for place in modes]
        self._trained = [place.saved for place in modes]
        self._versions = [tensor._version for tensor in self._tensors]
        cheap = (OfDict, OfList, OfSet, OfCell, OfSlots, OfHooks)
        self._moved = [place.moved for place in rest if isinstance(place, cheap)]

    def __getstate__(self) -> dict[str, Any]:
        for place in self.changing:
            place.put_back()
        paths = [place.path for place in self.changing]
        kept = {name: vars(self)[name] for name in ("roots", "moving", "seed", "found", "shared")}
        return {**kept, "paths": paths}

    def __setstate__(self, state: dict[str, Any]) -> None:
        paths = set(state.pop("paths"))
        vars(self).update(state, changing=[], _originals={})
        self._look()
        self.changing = [p for p in self._places if p.path in paths or p.is_used_up]
        self._sort()

    @property
    def draws(self) -> list[str]:
        """Generators among what changes, by name."""
        return [place.path for place in self.changing if isinstance(place, OfGenerator)]

    def put_back(self) -> None:
        """Bring everything to what it was."""
        for place in self.changing:
            place.begin_anew()
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
        places = {id(place.tensor): place for place in self._places if type(place) is OfTensor}
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
            if not (differs or place.moved() or place.is_used_up):
                continue
            if isinstance(place, OfHooks):  # a model may register its own at each call
                place.begin_anew()
                continue
            if differs and id(place) not in self._declared:
                found += place.changes()
            if id(place) not in known:
                self.changing.append(place)
                new = True
            place.begin_anew()
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
        without: list[dict[Any, Any]] = []
        while waiting:
            thing, path = waiting.pop()
            if isinstance(thing, (*PLAIN, *OPAQUE)) or id(thing) in self.seen:
                continue
            if not self.enters(thing):
                continue
            self.seen[id(thing)] = thing
            if isinstance(thing, Tensor):
                if id(thing) not in self.skipped and not thing.is_meta and not is_odd(thing):
                    yield OfTensor(path, thing, self.originals.get(id(thing)))
                if thing.__dict__ and type(thing) is not nn.Parameter:
                    waiting += [(v, f"{path}.{k}") for k, v in thing.__dict__.items()]
                continue
            if isinstance(thing, nn.Module):
                without += [vars(thing)[name] for name in HOOKS if not vars(thing).get(name, True)]
            yield from map(restocked, self._of(thing, path))
            if is_plain_layer(thing):
                held = {**thing._buffers, **thing._parameters}
                waiting += [(tensor, join(path, name)) for name, tensor in held.items()]
            else:
                waiting += reversed(list(parts(thing, path)))
        if without:
            yield OfHooks("hooks", without)

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
                yield OfArray(path, thing)
        elif isinstance(thing, dict):
            yield OfDict(path, thing)
        elif isinstance(thing, (list, deque)):
            yield OfList(path, thing)
        elif isinstance(thing, set):
            yield OfSet(path, thing)
        elif isinstance(thing, bytearray):
            yield OfBytes(path, thing)
        elif isinstance(thing, types.CellType):
            if filled(thing):
                yield OfCell(path, thing)
        elif has_attributes(thing):
            if is_plain_layer(thing):
                yield OfMode(path, thing)
            elif (attributes := in_dict(thing)) is not None:
                yield OfDict(path, attributes)
            names = slots(thing)
            if names:
                yield OfSlots(path, thing, names)
