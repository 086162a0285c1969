"""What is the user's and is used all the same: lent for an evaluation, given back as it was.

Generators of the whole process (torch's, NumPy's and Python's own, those that a module's functions
name) begin with the same seed at every parameter vector, so that noise is the same for all. Class
attributes, global variables and what else methods find around them hold at every parameter vector
what they held when the model was handed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from landscape_widgets.task.noise import Global, lent, process_generators
from landscape_widgets.task.places import Place
from landscape_widgets.task.surroundings import surroundings

EVERY = 64  # evaluations after which all of it is looked at again


class Outside:
    """A place outside the working copy, with the methods of `noise.Global`."""

    def __init__(self, place: Place) -> None:
        self.name, self._place = place.path, place

    def get(self) -> Place:
        """What it holds."""
        return self._place.now()

    def put(self, state: Place) -> None:
        """Let it hold what `get` has told."""
        state.put_back()

    def seed(self, seed: int) -> None:
        """Let it hold what it did when the model was handed over."""
        self._place.begin_anew()

    @property
    def is_used_up(self) -> bool:
        """Whether looking at it afterwards is too late: it holds what gives each item once."""
        return self._place.is_used_up

    def is_as(self, state: Place) -> bool:
        """Whether it holds what `get` has told."""
        return not (state.moved() or state.differs())


class Borrowed:
    """What of the user's an evaluation uses that is no part of the working copy.

    Parameters
    ----------
    device
        Where the working copy is.
    seed : int
        With which generators that are drawn from begin at every parameter vector.
    roots
        The working copies of model and loss: what their code names is looked for.
    shared
        Objects of the user's in them that could not be copied.

    Attributes
    ----------
    drawn : list of str
        Generators that have been drawn from so far, in words.
    written : list of str
        What else has been written to so far, by name.
    """

    def __init__(
        self,
        device: torch.device,
        seed: int,
        roots: Iterable[Any] = (),
        shared: Sequence[Any] = (),
    ) -> None:
        self.device, self.seed = device, seed % 2**32
        self._roots, self._shared = list(roots), list(shared)
        self._find()
        self._used = [
            number
            for number, one in enumerate(self._all)
            if isinstance(one, Outside) and one.is_used_up
        ]
        self._written: dict[str, None] = {}
        self._count = self._lent = 0

    def _find(self) -> None:
        places, generators = surroundings(self._roots, self._shared)
        self._all: list[Global | Outside] = [*process_generators(self.device)]
        self._all += [lent(name, generator) for name, generator in generators]
        self._generators = len(self._all)
        self._all += map(Outside, places)

    def __getstate__(self) -> dict[str, Any]:
        used = {self._all[number].name for number in self._used}
        return {**{n: value for n, value in vars(self).items() if n != "_all"}, "_used": used}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._find()
        self._used = [n for n, one in enumerate(self._all) if one.name in state["_used"]]

    @property
    def drawn(self) -> list[str]:
        return [self._all[number].name for number in self._used if number < self._generators]

    @property
    def written(self) -> list[str]:
        return list(self._written)

    def begin(self) -> None:
        """Let what is used begin anew, if it is lent: at every parameter vector."""
        if self._lent:
            for number in self._used:
                self._all[number].seed(self.seed)

    @contextmanager
    def lent(self, *, watched: bool = False) -> Iterator[None]:
        """Give everything back as it is now, and notice what was used.

        Parameters
        ----------
        watched
            Look at all of it, which takes a fraction of a millisecond; else at torch's own
            generator, at what is known to be used, and now and then at all.
        """
        self._count += 1
        looked_at: Sequence[int] = range(len(self._all))
        if not (watched or self._count & (self._count - 1) == 0 or self._count % EVERY == 0):
            looked_at = sorted({0, *self._used})
        before = [(number, self._all[number].get()) for number in looked_at]
        self._lent += 1
        self.begin()
        try:
            yield
        finally:
            self._lent -= 1
            for number, state in before:
                one = self._all[number]
                used = not one.is_as(state)
                if used and isinstance(one, Outside):
                    self._written.update(dict.fromkeys(state.changes()))
                if used or number in self._used:
                    one.put(state)
                    if number not in self._used:
                        self._used.append(number)
