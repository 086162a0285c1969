"""Parameters that a hand may turn: declared once beside each sampler and reducer.

A class lists them as ``controls``. From the list come the fields of the widget's settings; what a
field holds goes to the class's own constructor, whose errors are shown beside it.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from landscape_widgets.errors import brief, did_you_mean

Kind = Literal["whole", "number", "numbers", "range", "choice", "flag"]
Typed = str | bool  # what a field holds
T = TypeVar("T")


@dataclass(frozen=True)
class Control:
    """A parameter of a constructor: what it may be, and how a field shows it.

    Parameters
    ----------
    name : str
        The constructor's keyword.
    label, help : str
        What the field calls it, as the literature does; and in one line what it does.
    kind : {"number", "whole", "numbers", "range", "choice", "flag"}
        "numbers" are several, separated by commas; a "range" is two, the lower first.
    above, least, most : float, optional
        Where values must lie: above the first, from the second on, up to the third.
    choices : tuple of str
        Of a "choice".
    empty : str
        What a field that is left empty means, where the default is not a value of this kind.
    none : bool
        Whether None may be given, though it is not the default.
    offered : bool
        Whether there is a field for it.
    """

    name: str
    label: str
    help: str
    kind: Kind = "number"
    above: float | None = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    empty: str = ""
    none: bool = False
    offered: bool = True

    @property
    def range(self) -> str:
        """Where a number must lie: "above 0", "1 or more", "0 to 1"."""
        if self.above is not None:
            return f"above {self.above:g}" + ("" if self.most is None else f", to {self.most:g}")
        if self.least is not None:
            return f"{self.least:g} " + ("or more" if self.most is None else f"to {self.most:g}")
        return ""

    @property
    def expected(self) -> str:
        """What a value must be, in words: "a whole number of 1 or more"."""
        if self.kind == "choice":
            return " or ".join(map(repr, self.choices))
        if self.kind == "flag":
            return "True or False"
        if self.kind == "range":
            return "a pair (low, high) with low < high"
        noun = {"whole": "a whole number", "number": "a number", "numbers": "numbers"}[self.kind]
        if not self.range:
            return noun
        return f"{noun} {'' if self.above is not None else 'of '}{self.range}"

    def check(self, owner: str, value: Any, default: Any) -> None:
        """Raise unless a value is what is expected, or a default that stands for one to be found.

        Raises
        ------
        TypeError, ValueError
        """
        found = default is None or (isinstance(default, str) and self.kind != "choice")
        if value is None and (default is None or self.none):
            return
        if found and isinstance(value, str) and value == default:
            return
        verb = "are" if self.kind == "numbers" else "is"
        wrong = f"{owner}({self.name}={brief(repr(value))}): {self.expected} {verb} expected"
        if found or self.none:
            wrong += f", or {default!r}" if found else ", or None"
        if self.kind in ("whole", "number"):
            type_ = numbers.Integral if self.kind == "whole" else numbers.Real
            if isinstance(value, bool) or not isinstance(value, type_):
                raise TypeError(f"{wrong}; {type(value).__name__} was given.")
        if not self._is_right(value):
            near = did_you_mean(brief(str(value)), self.choices) if self.kind == "choice" else ""
            raise ValueError(f"{wrong}. {near}".rstrip())

    def _is_right(self, value: Any) -> bool:
        if self.kind == "choice":
            return isinstance(value, str) and value in self.choices
        if self.kind == "flag":
            return isinstance(value, (bool, np.bool_))
        if self.kind in ("whole", "number"):
            return self._holds(float(value))
        several = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)
        if not several or not all(isinstance(one, numbers.Real) for one in value):
            return False
        if not len(value) or not all(self._holds(float(one)) for one in value):
            return False
        return self.kind == "numbers" or (len(value) == 2 and bool(value[0] < value[1]))

    def _holds(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        )

    def read(self, typed: Typed) -> Any:
        """The value that was typed into the field.

        Raises
        ------
        ValueError
            If there should be numbers, and are none.
        """
        if isinstance(typed, bool) or self.kind in ("choice", "flag"):
            return typed
        if self.kind in ("numbers", "range"):
            return tuple(map(self._number, typed.replace(",", " ").split()))
        return self._number(typed)

    def _number(self, text: str) -> float:
        text = text.strip().replace("−", "-")
        for read in (int, float):
            try:
                return read(text)
            except ValueError:
                continue
        raise ValueError(f"{self.name}={text!r}: {self.expected} is expected.")

    def field(self, value: Any, default: Any) -> dict[str, Any]:
        """The field as JSON: what it shows, what it holds now and by default."""
        return {
            "name": self.name,
            "label": self.label,
            "help": self.help,
            "kind": "numbers" if self.kind == "range" else self.kind,
            "choices": list(self.choices),
            "range": self.range,
            "value": self.write(value),
            "default": self.write(default),
            "empty": self.empty or self.write(default),
        }

    def write(self, value: Any) -> Typed:
        """What the field holds for a value; nothing for None and "auto"."""
        if self.kind == "flag":
            return bool(value)
        if value is None or (self.kind != "choice" and isinstance(value, str)):
            return ""
        if self.kind in ("numbers", "range"):
            return ", ".join(f"{number:g}" for number in value)
        return str(value) if self.kind == "choice" else f"{value:.10g}"


class Refused(ValueError):
    """Values were typed that cannot be; `errors` holds what is wrong by the field's name.

    What no single field is to blame for stands under the empty name.
    """

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("\n".join(errors.values()))
        self.errors = errors


def check_controls(thing: Any) -> None:
    """Raise where a parameter of a sampler or reducer is not what its control expects.

    For constructors; `thing` keeps the keywords of its constructor as attributes.

    Raises
    ------
    TypeError, ValueError
    """
    defaults = _defaults(thing)
    for control in _all_controls(thing):
        value = getattr(thing, control.name)
        control.check(type(thing).__name__, value, defaults[control.name])


def controls_of(thing: Any) -> tuple[Control, ...]:
    """The parameters of a sampler or reducer that a hand may turn."""
    return tuple(control for control in _all_controls(thing) if control.offered)


def _all_controls(thing: Any) -> tuple[Control, ...]:
    found: tuple[Control, ...] = getattr(thing, "controls", ())
    return found


def fields(thing: Any) -> list[dict[str, Any]]:
    """The fields for a sampler or reducer, as JSON."""
    defaults = _defaults(thing)
    return [
        control.field(getattr(thing, control.name), defaults[control.name])
        for control in controls_of(thing)
    ]


def retyped(thing: T, typed: Mapping[str, Typed], check: Callable[[T], None]) -> T:
    """The like of a sampler or reducer, with parameters as they were typed.

    A field left empty means the default. `thing` itself is returned where nothing changes.

    Parameters
    ----------
    thing
        An object that keeps the keywords of its constructor as attributes.
    typed : mapping from names of controls to what their fields hold
    check : callable
        Raises where the new one does not fit what it is to be used on.

    Raises
    ------
    Refused
        With the constructor's own words, or those of `check`.
    """
    defaults, known = _defaults(thing), {control.name: control for control in controls_of(thing)}
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in typed.items():
        try:
            values[name] = defaults[name] if text == "" else known[name].read(text)
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise Refused(errors)
    new = {name: value for name, value in values.items() if value != getattr(thing, name)}
    if not new:
        return thing

    def attempt(changes: dict[str, Any]) -> T:
        kept = {name: getattr(thing, name) for name in defaults}
        made = type(thing)(**{**kept, **changes})
        check(made)
        return made

    try:
        return attempt(new)
    except (TypeError, ValueError) as error:
        for name, value in new.items():  # which of them is it?
            try:
                attempt({name: value})
            except (TypeError, ValueError) as alone:
                errors[name] = str(alone)
        raise Refused(errors or {"": str(error)}) from error


def _defaults(thing: Any) -> dict[str, Any]:
    """The keywords of a constructor, with their defaults."""
    parameters = list(inspect.signature(type(thing).__init__).parameters.values())[1:]
    return {parameter.name: parameter.default for parameter in parameters}
