"""The plane through θ* and two samples, for the side that draws it (js/src/sides/plane.ts)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from landscape_widgets.evaluation.quantities import LOSSES
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.plane import Plane
from landscape_widgets.progress import CancelCallback, ProgressCallback
from landscape_widgets.widget.sides import norms
from landscape_widgets.widget.wire import floats, label

AHEAD_SECONDS = 10.0  # that are spent on a plane which nobody has asked for


def ahead(pair: list[int]) -> dict[str, Any]:
    """The question that the browser asks of what two samples span with θ*, for the loss."""
    return {"directions": pair, "metrics": False}


def answer(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The plane of a ``{"directions": [a, b] or name, "metrics": bool}``; see `Landscape.plane`."""
    weights: dict[str, Any] = {}  # norms, which are the same however well the loss is known

    def told(plane: Plane, last: bool = False) -> dict[str, Any]:
        if not weights and (last or norms.is_soon_over(land, plane)):
            weights["norms"] = norms.over(land, plane)
        return {**message(plane), **weights}

    plane = land.plane(
        directions=of["directions"],
        metrics=of["metrics"],
        progress=progress,
        cancelled=cancelled,
        on_plane=lambda plane: show(told(plane)),
    )
    if cancelled():
        return told(plane)
    return {**told(plane, last=True), **samples(land, plane)}


def samples(land: Landscape, plane: Plane) -> dict[str, bytes]:
    """Where the samples lie on a plane, and how far from it."""
    if land.cloud is None:
        return {}
    found = plane.project(land.cloud)
    return {"points": floats(found.coordinates), "distances": floats(found.distances)}


def message(plane: Plane) -> dict[str, Any]:
    """What the browser draws a plane from."""
    return {
        "names": list(plane.names),
        "extent": [float(plane.axes[0][0]), float(plane.axes[0][-1])],
        "size": len(plane.axes[0]),
        "values": {name: floats(values) for name, values in plane.values.items()},
        "gram": plane.gram.ravel().tolist(),
        "text": words(plane),
    }


def words(plane: Plane) -> list[str]:
    """How good a plane is, and at what cost, in words."""
    left_out = [] if plane.left_out is None else [f"{plane.left_out:.1%} of the variance left out"]
    cost = f"{plane.evaluations:,} evaluations instead of {plane.losses.size:,}"
    if not plane.held_out:
        return [f"all of {plane.losses.size:,} points evaluated", *left_out]
    p95 = max(plane.errors[name].p95 for name in plane.errors if name in LOSSES)
    error = f"error {p95:.1%}"
    for name, found in plane.errors.items():
        error += f", of {label(name)} {found.p95:.1%}" * (name not in LOSSES)
    error += f" (95th percentile) at {plane.held_out} points held out"
    error += f", more than {plane.tolerance:.1%}" * (not plane.converged)
    return [error, cost, *left_out]
