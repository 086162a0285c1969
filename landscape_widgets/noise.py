"""Random numbers that a model or its loss draws: found, the same for every parameter vector.

Generators that belong to the whole process (torch's, NumPy's and Python's own, those that a
module's functions name) are lent: whatever is drawn from them, they are given back as they were.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

GENERATORS = (
    torch.Generator,
    np.random.Generator,
    np.random.BitGenerator,
    np.random.RandomState,
    random.Random,
)
EVERY = 64  # evaluations after which all generators are looked at again


def state_of(generator: Any) -> Any:
    """The state of any of `GENERATORS`, not shared with it."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return copy.deepcopy(_bits(generator).state)


def set_state(generator: Any, state: Any) -> None:
    """Bring a generator to a state that `state_of` has told."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        _bits(generator).state = state


def reseed(generator: Any, seed: int) -> None:
    """Let a generator begin anew."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, (random.Random, np.random.RandomState)):
        generator.seed(seed)
    else:
        bits = _bits(generator)
        bits.state = type(bits)(seed).state


def same_state(one: Any, other: Any) -> bool:
    """Whether two states of one generator are the same."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return all(same_state(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)


def _bits(generator: Any) -> Any:
    return generator.bit_generator if isinstance(generator, np.random.Generator) else generator


class Global:
    """One of the process' own random states, looked at through functions.

    Parameters
    ----------
    name
        What a sentence calls it.
    get, put, seed
        Read the state, write it, begin anew.
    """

    def __init__(
        self,
        name: str,
        get: Callable[[], Any],
        put: Callable[[Any], Any],
        seed: Callable[[int], Any],
    ) -> None:
        self.name, self.get, self.put, self.seed = name, get, put, seed


def process_generators(device: torch.device) -> list[Global]:
    """torch's on the CPU and on `device`, NumPy's and Python's."""

    def numpy_state() -> Any:
        return np.random.get_state(legacy=False)  # noqa: NPY002

    found = [
        Global(
            "torch's generator",
            torch.default_generator.get_state,
            torch.default_generator.set_state,
            torch.default_generator.manual_seed,
        ),
        Global("NumPy's generator", numpy_state, np.random.set_state, np.random.seed),
        Global("Python's generator", random.getstate, random.setstate, random.seed),
    ]
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        found.append(_lent(f"the generator of {device}", torch.cuda.default_generators[number]))
    elif device.type != "cpu":
        module: Any = getattr(torch, device.type, None)
        if hasattr(module, "get_rng_state"):
            found.append(
                Global(
                    f"the generator of {device}",
                    module.get_rng_state,
                    module.set_rng_state,
                    module.manual_seed,
                )
            )
    return found


def _lent(name: str, generator: Any) -> Global:
    return Global(
        name,
        lambda: state_of(generator),
        lambda state: set_state(generator, state),
        lambda seed: reseed(generator, seed),
    )


class Noise:
    """The generators that are not the working copy's own, lent for the time of an evaluation.

    Parameters
    ----------
    device
        Where the working copy is.
    seed : int
        With which those that are drawn from begin at every parameter vector.
    named : sequence of (name, generator)
        Generators that functions of the model or the loss name, besides the process' own.

    Attributes
    ----------
    drawn : list of str
        Which have been drawn from so far, in words.
    """

    def __init__(
        self, device: torch.device, seed: int, named: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self.device, self.seed, self.named = device, seed % 2**32, tuple(named)
        self._find()
        self._drawn: list[int] = []
        self._count = self._lent = 0

    def _find(self) -> None:
        self._all = process_generators(self.device)
        self._all += [_lent(name, generator) for name, generator in self.named]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_all"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._find()

    @property
    def drawn(self) -> list[str]:
        return [self._all[number].name for number in self._drawn]

    def begin(self) -> None:
        """Let those that are drawn from begin anew, if they are lent: at every parameter vector."""
        if self._lent:
            for number in self._drawn:
                self._all[number].seed(self.seed)

    @contextmanager
    def lent(self, *, watched: bool = False) -> Iterator[None]:
        """Give the generators back as they are now, and notice which were drawn from.

        Parameters
        ----------
        watched
            Look at all of them, which takes a fraction of a millisecond; else at torch's own, at
            those that are known to be drawn from, and now and then at all.
        """
        self._count += 1
        looked_at: Sequence[int] = range(len(self._all))
        if not (watched or self._count & (self._count - 1) == 0 or self._count % EVERY == 0):
            looked_at = sorted({0, *self._drawn})
        before = [(number, self._all[number].get()) for number in looked_at]
        self._lent += 1
        self.begin()
        try:
            yield
        finally:
            self._lent -= 1
            for number, state in before:
                generator = self._all[number]
                if number in self._drawn or not same_state(state, generator.get()):
                    generator.put(state)
                    if number not in self._drawn:
                        self._drawn.append(number)
