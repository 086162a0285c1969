"""The norms that penalties are made of, for js/src/penalty.ts: of all samples, and along slices.

With them the browser penalises the loss by any strength itself. Along a slice ‖θ‖₂² is a quadratic
in α, told by its values at −1, 0 and 1; ‖θ‖₁ comes as rows, with all samples where these are small
and soon taken, and else for the samples that are on the screen, as ``{"rows": [samples]}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.norms import Norms
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.penalised import Weighed
from landscape_widgets.profiles.plane import Plane
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.task import regularisers
from landscape_widgets.widget.wire import floats

LARGEST = 500_000  # bytes of rows that go to the browser without being asked for
MOST_WORK = 1e9  # weights that are added up without being asked for: a second's work
TENSORS = (regularisers.WEIGHTS, regularisers.ALL)


def question(land: Landscape, alphas: FloatArray, tensors: str) -> dict[str, Any]:
    """What the browser asks for the norms of the samples that there are."""
    n = 0 if land.cloud is None else len(land.cloud)
    return {"tensors": tensors, "samples": n, "alphas": alphas.tolist()}


def is_cheap(land: Landscape, points: int = 1) -> bool:
    """Whether norms of all samples, or of so many points on each slice, are soon had."""
    n = 0 if land.cloud is None else len(land.cloud)
    return 0 < n * points * land.objective.size <= MOST_WORK


def answer(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> dict[str, Any]:
    """The norms of a ``{"tensors": "weights", "samples": N, "alphas": [α]}``."""
    weighed = _weighed(land, of, progress, cancelled)
    counted, norms, rows = weighed.counted, weighed.norms, weighed.cloud.coefficients
    alphas = np.asarray(of["alphas"], dtype=np.float64)
    few = 4 * len(rows) * len(alphas) <= LARGEST and is_cheap(land, len(alphas))
    along = weighed.along(np.arange(len(rows)), alphas)["l1"] if few else None
    return {
        "l1": floats(weighed.l1),
        "l2": floats(weighed.l2),
        "behind": floats(norms.l2(-rows, progress=progress, cancelled=cancelled)),
        "along": floats(along),
        "counted": str(counted),
        "left_out": list(counted.left_out),
    }


def answer_rows(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> dict[str, Any]:
    """‖θ‖₁ along the slices of a ``{"tensors": ..., "rows": [samples], "alphas": [α]}``."""
    weighed = _weighed(land, of, progress, cancelled)
    alphas = np.asarray(of["alphas"], dtype=np.float64)
    chosen = weighed.cloud.coefficients[np.asarray(of["rows"], dtype=np.int64)]
    points = (chosen[:, None, :] * alphas[:, None]).reshape(-1, weighed.cloud.basis.k)
    found = weighed.norms.l1(points, progress=progress, cancelled=cancelled)
    return {"along": floats(found)}


def over(land: Landscape, plane: Plane) -> dict[str, dict[str, bytes]]:
    """Both norms over a plane, by which tensors count."""
    grid = np.stack(np.meshgrid(*plane.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    found = {}
    for tensors in TENSORS:
        places = regularisers.counted(land.objective.layout, tensors).places
        norms = Norms(land.objective.anchor, plane.directions, places)
        found[tensors] = {"l1": floats(norms.l1(grid)), "l2": floats(norms.l2(grid))}
    return found


def is_soon_over(land: Landscape, plane: Plane) -> bool:
    """Whether norms over a plane are soon had."""
    return plane.losses.size * land.objective.size <= MOST_WORK


def _weighed(
    land: Landscape, of: dict[str, Any], progress: ProgressCallback, cancelled: CancelCallback
) -> Weighed:
    return land.penalised(
        l1=0, l2=0, tensors=of["tensors"], progress=progress, cancelled=cancelled
    ).weighed
