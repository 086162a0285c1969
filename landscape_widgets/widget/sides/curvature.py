"""How the loss is curved at a sample, for the side that draws it (js/src/sides/curvature.ts)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from landscape_widgets.curvature.curvature import Curvature
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, ProgressCallback
from landscape_widgets.widget.wire import floats

SHOW_EVERY = 0.3  # s


def answer(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The curvature at a ``{"sample": i}``; without a Hessian the critical sharpness alone."""
    shown = 0.0

    def part(found: Curvature) -> None:
        nonlocal shown
        if time.monotonic() - shown > SHOW_EVERY:
            shown = time.monotonic()
            show(message(found))

    try:
        found = land.curvature(of["sample"], progress=progress, cancelled=cancelled, on_part=part)
    except ValueError as error:
        return without_hessian(land, of["sample"], error, progress, cancelled)
    told = message(found)
    if found.density is not None:  # nobody has stopped it
        with suppress(ValueError):  # at a minimum there is no gradient to step along
            told["critical"] = critical(land, of["sample"], progress, cancelled)
    return told


def answer_learning(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The local learning coefficient at θ*, of any question; chains that are done count."""
    found = land.learning_coefficient(progress=progress, cancelled=cancelled)
    return {
        "value": number(found.value),
        "error": number(found.error),
        "parameters": found.parameters,
        "problems": list(found.problems),
    }


def critical(
    land: Landscape, sample: int, progress: ProgressCallback, cancelled: CancelCallback
) -> dict[str, float]:
    """The critical sharpness at a sample."""
    found = land.critical_sharpness(sample, progress=progress, cancelled=cancelled)
    return {"value": found.value, "error": found.error}


def message(found: Curvature) -> dict[str, Any]:
    """What the browser draws from; a part that is not known yet is None."""
    pairs, trace, density = found.eigenpairs, found.trace, found.density
    told: dict[str, Any] = {
        "eigenvalues": floats(pairs.values),
        "errors": floats(pairs.errors),
        "top": found.top,
        "parameters": found.parameters,
        "trace": None,
        "density": None,
        "text": words(found),
    }
    if trace is not None:
        told["trace"] = {
            "value": trace.value,
            "error": number(trace.error),
            "layers": list(trace.layers),
            "values": floats(trace.of_layers),
            "errors": floats(trace.errors),
        }
    if density is not None:
        edges = density.edges()
        counts, errors = density.counts(edges)
        told["density"] = {
            "edges": floats(edges),
            "counts": floats(counts),
            "errors": floats(np.nan_to_num(errors)),
            "exact": density.is_exact,
        }
    return told


def without_hessian(
    land: Landscape,
    sample: int,
    error: ValueError,
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The critical sharpness of a model that has no Hessian, or is too large for one.

    Raises
    ------
    ValueError
        The one that there was, if there is no critical sharpness either.
    """
    try:
        found = critical(land, sample, progress, cancelled)
    except ValueError:
        raise error from None
    return {"critical": found, "text": [str(error)]}


def words(found: Curvature) -> list[str]:
    """What the numbers mean, each a sentence or two."""
    values, errors = found.eigenpairs.values, found.eigenpairs.errors
    said = []
    if found.sharpness > errors[0]:
        said.append(f"gradient descent is stable here up to steps of {2 / found.sharpness:.3g}")
    if len(values) > found.top:
        lowest, error = float(values[-1]), float(errors[-1])
        if lowest < -error:
            said.append("the loss curves downwards along some directions")
        elif lowest > error:
            said.append("the loss curves upwards along all directions")
    return said


def number(value: float) -> float | None:
    """As JSON has it, which knows no NaN."""
    return value if math.isfinite(value) else None
