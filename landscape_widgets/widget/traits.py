"""Kinds of traits, which check what they are set to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import traitlets

from landscape_widgets.errors import did_you_mean
from landscape_widgets.task.regularisers import check_strength


class Selection(traitlets.Tuple):
    """Numbers of samples, from whatever can be made a tuple: arrays, ranges, an Index of pandas.

    Parameters
    ----------
    count : callable
        How many samples a widget has.
    """

    def __init__(self, count: Callable[[Any], int]) -> None:
        super().__init__()
        self._samples = count

    def validate(self, obj: Any, value: Any) -> tuple[int, ...]:
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            value = tuple(value)
        given: tuple[Any, ...] = super().validate(obj, value) or ()
        n = self._samples(obj) if given else 0
        if given and n == 0:
            raise traitlets.TraitError("There are no samples yet to select. Wait for them.")
        for index in given:
            if not isinstance(index, (int, np.integer)) or not 0 <= index < n:
                raise traitlets.TraitError(
                    f"selected holds {index!r}; numbers of samples from 0 to {n - 1} are expected."
                )
        return tuple(map(int, given))


class Name(traitlets.Unicode[str, str | bytes]):
    """One of some names.

    Parameters
    ----------
    default : str
    known : callable
        The names that a widget knows.
    unknown : str
        What to say of another, with {!r} for it.
    """

    def __init__(self, default: str, known: Callable[[Any], Iterable[str]], unknown: str) -> None:
        super().__init__(default)
        self._known, self._unknown = known, unknown

    def validate(self, obj: Any, value: Any) -> str:
        name: str = super().validate(obj, value)
        known = list(self._known(obj))
        if name not in known:
            raise traitlets.TraitError(f"{self._unknown.format(name)} {did_you_mean(name, known)}")
        return name


class Strength(traitlets.Float[float, Any]):
    """How strong a penalty is: a finite number of 0 or more.

    Parameters
    ----------
    name : str
        What messages call it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(0.0)
        self._called = name

    def validate(self, obj: Any, value: Any) -> float:
        try:
            return check_strength(self._called, value)
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from error
