"""Whether the loss at one parameter vector is the same whatever was evaluated in between."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from torch import nn

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.task.functions import is_users, names_in
from landscape_widgets.task.object_graph import reached

T = TypeVar("T")

TOLERANCE = 1e-6  # relative difference of two losses that sums in another order may explain
STEP = 0.1  # of the weights themselves, to the vector that is evaluated in between


def check_repeats(
    inplace: InPlace,
    value: Callable[[], float],
    roots: Iterable[Any],
    first: float,
    elsewhere: Callable[[], object],
) -> list[str]:
    """Evaluate elsewhere, and at θ* again, each from the same beginning.

    What there is to say of a difference that is no larger than that of sums in another order is
    returned.

    Parameters
    ----------
    inplace
        The working copy.
    value
        The loss on a few examples, of the working copy as it is.
    roots
        The working copies of model and loss, to find what gives something else each time.
    first : float
        The value at θ*.
    elsewhere
        What is done at another vector: `value`, and whatever is to be seen on the way.

    Raises
    ------
    ValueError
        If the two losses at θ* differ, naming what may be the cause where that can be found.
    """

    def at(scale: float, run: Callable[[], T]) -> T:
        with inplace.alone(watched=True):
            inplace.load(inplace.anchor * scale)
            return run()

    try:
        at(1.0 + STEP, elsewhere)
        again = at(1.0, value)
        if abs(first - again) > 0:  # the first may have been watched, which rounds otherwise
            first, _, again = at(1.0, value), at(1.0 + STEP, value), at(1.0, value)
    finally:
        inplace.load(inplace.anchor)
    if not abs(first - again) > 0:
        return []  # also where both are no numbers
    one, other = _told_apart(first, again)
    if abs(first - again) <= TOLERANCE * max(abs(first), abs(again)):
        return [
            f"The loss is not the same each time: at the trained weights {one}, and then {other}, "
            "on a few examples. Sums in another order do that, and random numbers that cannot be "
            "put back. Differences of losses as small as this mean nothing."
        ]
    roots = list(roots)
    iterators = [path for path, thing in reached(roots) if hasattr(thing, "__next__")]
    if iterators:
        raise ValueError(
            f"The loss at the trained weights is {one}, and {other} after the model was evaluated "
            f"elsewhere, perhaps by what it takes from the iterator {iterators[0]}, which cannot "
            "be put back. Keep a list or a number as an attribute, and count it up at each call."
        )
    made = sorted(set(_made_inside(roots)))
    if made:
        raise ValueError(
            f"The loss at the trained weights is {one}, and {other} when it is computed "
            f"again: it calls {', '.join(made[:4])}, which gives something else each time and "
            "cannot be put back. Keep one generator with a seed as an attribute of the model or of "
            "the loss, or draw from torch's own (torch.randn, torch.rand)."
        )
    raise ValueError(
        f"The loss at the trained weights is {one}, and {other} after the model was "
        "evaluated elsewhere: something outside model and loss is kept from call to call, "
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
