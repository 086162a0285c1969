"""What sides are likely to ask is answered before they do."""

from __future__ import annotations

import time

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback
from landscape_widgets.widget.opening import opening_plane
from landscape_widgets.widget.questions import Questions
from landscape_widgets.widget.sides import norms, plane


def answer(
    questions: Questions,
    land: Landscape,
    alphas: FloatArray,
    report: ProgressCallback,
    cancelled: CancelCallback,
) -> None:
    """What penalties are made of, and the plane that is there to see at first.

    Norms are left where they take long, and so is a plane that is not there in time.
    """
    if norms.is_cheap(land):
        asked = norms.question(land, alphas, norms.TENSORS[0])
        questions.answer_ahead(land, "norms", asked, cancelled)
    pair, begun = opening_plane(land), time.monotonic()
    if not pair:
        return
    report(Progress("plane", 0, 1))

    def late() -> bool:
        return cancelled() or time.monotonic() - begun > plane.AHEAD_SECONDS

    questions.answer_ahead(land, "plane", plane.ahead(pair), late)
