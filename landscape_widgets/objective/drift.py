"""Whether the loss at one parameter vector is the same whatever was evaluated in between."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import torch
from torch import nn

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.task.functions import is_users, names_in
from landscape_widgets.task.object_graph import reached

TOLERANCE = 1e-6  # relative difference of two losses that sums in another order may explain
STEP = 0.1  # of the weights themselves, to the vector that is evaluated in between


def check_repeats(inplace: InPlace, value: Callable[[], float], roots: Iterable[Any]) -> list[str]:
    """Evaluate at θ*, elsewhere, and at θ* again, each from the same beginning.

    What there is to say of a difference that is no larger than that of sums in another order is
    returned.

    Parameters
    ----------
    inplace
        The working copy.
    value
        The loss on a few examples, of the working copy as it is.
    roots
        The working copies of model and loss, to find what has changed around them.

    Raises
    ------
    ValueError
        If the two losses at θ* differ, naming what changed where that can be found.
    """
    roots = list(roots)
    before = dict(_surroundings(roots))
    losses = []
    for scale in (1.0, 1.0 + STEP, 1.0):
        with inplace.alone(watched=True):
            inplace.load(inplace.anchor * scale)
            losses.append(value())
    inplace.load(inplace.anchor)
    first, _, again = losses
    if not abs(first - again) > 0:
        return []  # also where both are no numbers
    one, other = _told_apart(first, again)
    if abs(first - again) <= TOLERANCE * max(abs(first), abs(again)):
        return [
            f"The loss is not the same each time: at the trained weights {one}, and then {other}, "
            "on a few examples. Sums in another order do that, and random numbers that cannot be "
            "put back. Differences of losses as small as this mean nothing."
        ]
    after = dict(_surroundings(roots))
    changed = [name for name in after if before.get(name) != after[name]]
    named = f" ({', '.join(changed[:4])} changed)" if changed else ""
    iterators = [path for path, thing in reached(roots) if hasattr(thing, "__next__")]
    if iterators and not changed:
        raise ValueError(
            f"The loss at the trained weights is {one}, and {other} after the model was evaluated "
            f"elsewhere, perhaps by what it takes from the iterator {iterators[0]}, which cannot "
            "be put back. Keep a list or a number as an attribute, and count it up at each call."
        )
    made = [] if changed else sorted(set(_made_inside(roots)))
    if made:
        raise ValueError(
            f"The loss at the trained weights is {one}, and {other} when it is computed "
            f"again: it calls {', '.join(made[:4])}, which gives something else each time and "
            "cannot be put back. Keep one generator with a seed as an attribute of the model or of "
            "the loss, or draw from torch's own (torch.randn, torch.rand)."
        )
    raise ValueError(
        f"The loss at the trained weights is {one}, and {other} after the model was "
        f"evaluated elsewhere: something outside model and loss is kept from call to call{named}, "
        "as a file, a process or the clock would be. Keep it as an attribute of the model or of "
        "the loss, or leave it out."
    )


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers that differ, with as many digits as it takes to see that."""
    for digits in range(6, 18):
        shown = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if shown[0] != shown[1]:
            break
    return shown


# Names of what gives something else at each call, whatever was done before.
_FRESH = frozenset(
    [
        "default_rng",
        "SystemRandom",
        "Random",
        "RandomState",
        "Generator",
        "SeedSequence",
        "PCG64",
        "urandom",
        "getrandbits",
        "token_bytes",
        "randbelow",
        "uuid1",
        "uuid4",
        "time",
        "time_ns",
        "perf_counter",
        "perf_counter_ns",
        "monotonic",
        "now",
        "process_time",
    ]
)


def _made_inside(roots: Iterable[Any]) -> Iterator[str]:
    """Calls in functions of the user's that no seed governs, as "default_rng in forward"."""
    for _, thing in reached(roots):
        functions = [thing] if isinstance(thing, types.FunctionType) else []
        if isinstance(thing, nn.Module) or callable(thing):
            functions += [
                value
                for kind in type(thing).__mro__
                for value in vars(kind).values()
                if isinstance(value, types.FunctionType)
            ]
        for function in functions:
            if is_users(function):
                called = _FRESH.intersection(names_in(function.__code__))
                yield from (f"{name} in {function.__name__}" for name in called)


def _surroundings(roots: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Class attributes, and what functions name, told apart by value or identity."""
    for _, thing in reached(roots):
        functions = [thing] if isinstance(thing, types.FunctionType) else []
        if isinstance(thing, nn.Module) or callable(thing):
            for kind in type(thing).__mro__:
                if kind.__module__.split(".")[0] in ("torch", "builtins", "landscape_widgets"):
                    continue
                for name, value in vars(kind).items():
                    if isinstance(value, types.FunctionType):
                        functions.append(value)
                    elif not name.startswith("__"):
                        yield f"{kind.__name__}.{name}", _told(value)
        for function in functions:
            if is_users(function):
                for name in function.__code__.co_names:
                    if name in function.__globals__:
                        yield name, _told(function.__globals__[name])


def _told(value: Any) -> Any:
    if isinstance(value, (int, float, str, bytes, bool, complex)):
        return value
    if isinstance(value, torch.Tensor):
        return id(value), value._version
    return id(value), len(value) if isinstance(value, (list, dict, set, Sized)) else None
