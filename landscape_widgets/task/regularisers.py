"""L1 and L2 penalties: which tensors count, and how strong they are."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from landscape_widgets.errors import did_you_mean
from landscape_widgets.task.parameters import ParameterLayout

WEIGHTS, ALL = "weights", "all"
# The last part of a name: bias, in_proj_bias, bias_ih_l0, relative_position_bias_table, b, b1.
_BIAS = re.compile(r"bias|^b\d*$", re.IGNORECASE)


@dataclass(frozen=True)
class Counted:
    """Which tensors of a parameter vector a norm is taken over.

    Attributes
    ----------
    names : tuple of str
        Those that count, in the order in which they lie in θ.
    left_out : tuple of str
        The others.
    places : tuple of slice
        Where those that count lie in θ, neighbours in one.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]
    places: tuple[slice, ...]

    @property
    def size(self) -> int:
        """How many parameters count."""
        return sum(place.stop - place.start for place in self.places)

    def __str__(self) -> str:
        number, tensors = len(self.names), len(self.names) + len(self.left_out)
        if not self.left_out:
            return f"all {tensors} tensors" if tensors > 1 else "the only tensor"
        few = ", ".join(self.names) if number <= 3 else f"{number} of {tensors} tensors"
        return f"{few} ({self.size:,} parameters)"


def counted(layout: ParameterLayout, tensors: str | Iterable[str] = WEIGHTS) -> Counted:
    """The tensors that a penalty counts.

    Parameters
    ----------
    layout : ParameterLayout
    tensors : "weights", "all", or names
        "weights" leaves out biases, by their names, parameters of normalisation layers, and
        whatever else has one axis or none; where nothing would be left, first the latter count and
        then all. "all" is what ``weight_decay`` of torch's optimisers means by default. Else names
        as of ``named_parameters()``, in which ``*`` stands for anything: ``["layer4.*"]``.

    Raises
    ------
    ValueError
        If a name is of no trainable tensor, or none is given.
    """
    if tensors == WEIGHTS:
        chosen = _weights(layout)
    elif tensors == ALL:
        chosen = set(layout.names)
    else:
        patterns = [tensors] if isinstance(tensors, str) else list(tensors)
        chosen = _matching(layout, patterns)
    return Counted(
        tuple(name for name in layout.names if name in chosen),
        tuple(name for name in layout.names if name not in chosen),
        _places(layout, chosen),
    )


def _weights(layout: ParameterLayout) -> set[str]:
    neither = {
        name
        for name in layout.names
        if name not in layout.normalising and not _BIAS.search(name.rpartition(".")[2])
    }
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    return {name for name in neither if len(shapes[name]) > 1} or neither or set(layout.names)


def _matching(layout: ParameterLayout, patterns: list[str]) -> set[str]:
    if not patterns:
        raise ValueError(
            "tensors=[] leaves nothing to be penalised. Give 'weights', 'all', or names of tensors."
        )
    chosen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(layout.names, pattern)
        if not found:
            raise ValueError(
                f"tensors={pattern!r} is no trainable tensor of the model. "
                f"{did_you_mean(pattern, [WEIGHTS, ALL, *layout.names])}"
            )
        chosen.update(found)
    return chosen


def _places(layout: ParameterLayout, chosen: set[str]) -> tuple[slice, ...]:
    places: list[slice] = []
    for name, place, _ in layout.slices():
        if name not in chosen or place.stop == place.start:
            continue
        if places and places[-1].stop == place.start:
            places[-1] = slice(places[-1].start, place.stop)
        else:
            places.append(place)
    return tuple(places)


def check_strength(name: str, value: float) -> float:
    """A strength as a float.

    Raises
    ------
    ValueError
        If it is not finite, or below zero.
    """
    strength = float(value)
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"{name}={value!r}; a finite number of 0 or more is expected.")
    return strength


def of_weight_decay(weight_decay: float) -> float:
    """The strength λ₂ of λ₂·‖θ‖₂² that ``weight_decay`` of torch's optimisers stands for.

    These add weight_decay·θ to the gradient, which is the gradient of ½·weight_decay·‖θ‖₂².

    >>> of_weight_decay(0.01)
    0.005
    """
    return weight_decay / 2


def check_weight_decay(weight_decay: float | None) -> float | None:
    """What an optimiser was given, as `check_strength`; None where that is not told."""
    return None if weight_decay is None else check_strength("weight_decay", weight_decay)


def said_of_weight_decay(weight_decay: float) -> str:
    """What the losses of a model that was trained with it leave out, as a sentence."""
    return (
        f"The model was trained with weight_decay={weight_decay:g}, which SGD and Adam take as "
        f"{of_weight_decay(weight_decay):g}·‖θ‖₂² over all parameters, added to the loss. Losses "
        "are shown without it."
    )


def words(l1: float, l2: float) -> str:
    """A penalty as a formula.

    >>> words(0.001, 0.01)
    '0.001·‖θ‖₁ + 0.01·‖θ‖₂²'
    """
    parts = [f"{l1:g}·‖θ‖₁"] * (l1 > 0) + [f"{l2:g}·‖θ‖₂²"] * (l2 > 0)
    return " + ".join(parts)
