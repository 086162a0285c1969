"""What a parameter vector is: evidence, and two verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from torch import Tensor

from landscape_widgets.diagnosis import verdict
from landscape_widgets.diagnosis.evidence import Evidence, gather
from landscape_widgets.diagnosis.point import Point
from landscape_widgets.diagnosis.references import References, references
from landscape_widgets.diagnosis.verdict import Verdict
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never

SURE = {"sure": "Sure", "likely": "Likely", "open": "Open"}


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a parameter vector, and what it comes to.

    Attributes
    ----------
    evidence : Evidence
        Numbers, with their errors.
    name : str
        What the point is called: "θ*", or a sample's number.
    """

    evidence: Evidence
    name: str = "θ*"

    @cached_property
    def place(self) -> Verdict:
        """What kind of point it is: minimum, saddle, flat, still falling."""
        return verdict.place(self.evidence)

    @cached_property
    def fit(self) -> Verdict:
        """Whether the model has learned, too little or too much."""
        return verdict.fit(self.evidence)

    @property
    def sentence(self) -> str:
        """Both in one, for a caption."""
        place, fit = self.place.words.rstrip("."), self.fit.words
        return f"{place}; {fit[0].lower()}{fit[1:]}"

    def to_frame(self) -> pd.DataFrame:
        """The evidence: a row for each number, with its error (NaN where none is known)."""
        e, known = self.evidence, self.evidence.references
        rows: list[tuple[str, float | None, float | None]] = [
            ("loss", e.loss, None),
            ("validation loss", e.val_loss, e.gap_error),
            ("gap", e.gap, e.gap_error),
            ("loss at chance", known.chance, None),
            ("loss of untrained networks", known.usual, known.spread),
            ("gradient norm", e.gradient, e.gradient_error),
            ("fall by one best step", e.best_step, e.rounding),
            (f"fall by {e.steps} steps of descent", e.descent, e.rounding),
            ("largest eigenvalue", e.top, e.top_error),
            ("smallest eigenvalue", e.bottom, e.bottom_error),
            ("fall along the lowest curvature",
             None if e.downwards is None else e.downwards.fall, e.rounding),
        ]  # fmt: skip
        rest = [row for row in rows[1:] if row[1] is not None and not math.isnan(row[1])]
        told = [rows[0], *rest]
        names, values, errors = zip(*told, strict=True)
        index = pd.Index(names, name="evidence")
        return pd.DataFrame({"value": values, "error": errors}, index=index, dtype=float)

    def __repr__(self) -> str:
        lines = [f"{self.name}: {self.place.kind}, {self.fit.kind}"]
        for found in (self.place, self.fit):
            lines += [
                f"  {found.words}",
                f"    {SURE[found.sure]}. {found.why}",
                f"    What would change this: {found.change}",
            ]
        for name, row in self.to_frame().iterrows():
            error = "" if math.isnan(row["error"]) else f" ± {row['error']:.2g}"
            lines.append(f"  {name}: {row['value']:.4g}{error}")
        return "\n".join(lines)


def diagnose(
    objective: Objective,
    theta: Tensor | None = None,
    *,
    known: References | None = None,
    name: str = "θ*",
    buffers: Mapping[str, Tensor] | None = None,
    thorough: bool | None = None,
    seed: int = 0,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Diagnosis:
    """Find out what kind of point a parameter vector is, and whether the model has learned.

    Parameters
    ----------
    objective : Objective
    theta : Tensor (P,), optional
        The trained weights by default.
    known : References, optional
        Chance and untrained networks, which are the same for all points; made if not given.
    name : str
        What the point is called.
    buffers : dict of Tensors, optional
        The model's, by name, that are not as at θ*.
    thorough : bool, optional
        With exact Hessian products, more of them, longer descents and more lines: some hundred
        gradients. Without, it takes as long as some 60 losses, and curvature is known to 2%. By
        default models of up to 2·10⁸ weights times examples are looked at thoroughly.
    seed : int
    progress, cancelled

    Raises
    ------
    Cancelled
    """
    theta = objective.anchor if theta is None else theta
    point = Point(objective, theta, buffers or {}, thorough, seed, progress, cancelled)
    if known is None:
        known = references(
            objective, thorough=point.thorough, seed=seed, progress=progress, cancelled=cancelled
        )
    return Diagnosis(gather(point, known), name)
