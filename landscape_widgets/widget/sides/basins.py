"""Basins and easiest ways, for js/src/ways.ts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, ProgressCallback
from landscape_widgets.widget.wire import floats


def answer(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The basins of a ``{"samples": how many are evaluated}``, with what the tree is drawn from."""
    found = land.basins(progress=progress, cancelled=cancelled)
    saddles = [float(height) if np.isfinite(height) else None for height in found.saddles]
    return {
        "labels": floats(np.where(found.of >= 0, found.of, np.nan)),
        "names": list(found.names),
        "floors": found.floors.tolist(),
        "losses": found.losses.tolist(),
        "saddles": saddles,
        "parents": found.parents.tolist(),
        "counts": found.to_frame()["samples"].tolist(),
        "errors": found.saddle_errors.tolist(),
        "sentence": found.sentence,
    }


def answer_way(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The easiest way of a ``{"end": sample, "samples": how many are evaluated}``."""
    way = land.way(int(of["end"]), progress=progress, cancelled=cancelled)
    path = way.easiest
    return {
        "shares": floats(path.shares),
        "losses": floats(path.losses),
        "through": path.samples[path.samples >= 0].tolist(),
        "straight": way.is_straight,
        "text": way.sentence,
    }
