"""What kind of point a sample is, for the side that tells it (js/src/sides/point.ts)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from landscape_widgets.diagnosis import Diagnosis, Verdict
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, ProgressCallback

TRAINED = {"sample": 0}


def answer(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> dict[str, Any]:
    """The diagnosis of a ``{"sample": i}``."""
    return message(land.diagnosis(of["sample"], progress=progress, cancelled=cancelled))


def message(found: Diagnosis) -> dict[str, Any]:
    """What the browser writes of a diagnosis."""
    rows = [
        [
            str(name),
            f"{row['value']:.3g}",
            "" if math.isnan(row["error"]) else f"{row['error']:.2g}",
        ]
        for name, row in found.to_frame().iterrows()
    ]
    return {"verdicts": [_verdict(found.place), _verdict(found.fit)], "evidence": rows}


def _verdict(said: Verdict) -> dict[str, str]:
    return {
        "kind": said.kind, "words": said.words, "sure": said.sure, "why": said.why,
        "change": said.change,
    }  # fmt: skip
