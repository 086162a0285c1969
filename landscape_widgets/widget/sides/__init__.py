"""What the sides beside the map ask of a landscape, a file each; see `questions`."""

from __future__ import annotations

from landscape_widgets.widget.questions import Answer
from landscape_widgets.widget.sides import basins, curvature, norms, plane, point, quadratics

# By the name under which the browser asks.
ANSWERS: dict[str, Answer] = {
    "basins": basins.answer,
    "way": basins.answer_way,
    "plane": plane.answer,
    "point": point.answer,
    "curvature": curvature.answer,
    "learning coefficient": curvature.answer_learning,
    "quadratics": quadratics.answer,
    "quadratics along": quadratics.answer,
    "norms": norms.answer,
    "norms along": norms.answer_rows,
}
