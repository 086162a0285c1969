"""Generators of random numbers of every kind: their states, read, written and begun anew."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
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

    def is_as(self, state: Any) -> bool:
        """Whether it is in a state that `get` has told."""
        return same_state(state, self.get())


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
        found.append(lent(f"the generator of {device}", torch.cuda.default_generators[number]))
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


def lent(name: str, generator: Any) -> Global:
    """A generator that some object holds, looked at in the same way."""
    return Global(
        name,
        lambda: state_of(generator),
        lambda state: set_state(generator, state),
        lambda seed: reseed(generator, seed),
    )
