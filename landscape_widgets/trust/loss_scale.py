"""On what scale losses are shown and compared: decided here, for the map, its scores and slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.basis import FloatArray

FLOOR = 1e-8  # losses below are all the same to a reader
FINEST = 1e-3  # share of the usual height above the lowest loss that is still told from it


@dataclass(frozen=True)
class LossScale:
    """Heights that stand for losses.

    Losses of zero and above: their log10, down to a floor. Where a loss is below zero (a density's
    negative log likelihood, an evidence bound), its zero means nothing, and what counts is how far
    losses are above the lowest one that was found: asinh((L − lowest) / 2·unit) / ln 10, which is
    log10((L − lowest) / unit) some units above it, and straight through it below.

    Attributes
    ----------
    kind : {"log", "symlog"}
    unit : float
        The floor; or the height from which on the scale is a logarithm.
    lowest : float
        0 for "log".
    """

    kind: Literal["log", "symlog"] = "log"
    unit: float = FLOOR
    lowest: float = 0.0

    @classmethod
    def of(cls, losses: npt.ArrayLike) -> LossScale:
        """The scale for these losses, of which those that are not finite do not count."""
        found = np.asarray(losses, dtype=np.float64).ravel()
        found = found[np.isfinite(found)]
        if not len(found) or found.min() >= 0:
            positive = found[found > 0]
            # Losses of small numbers are small, and not all the same for that.
            usual = float(np.median(positive)) if len(positive) else 1.0
            return cls(unit=min(FLOOR, FLOOR * usual))
        lowest = float(found.min())
        above = found[found > lowest] - lowest
        return cls("symlog", FINEST * float(np.median(above)) if len(above) else 1.0, lowest)

    def heights(self, losses: npt.ArrayLike) -> FloatArray:
        """What stands for the losses; not finite where they are not."""
        values = np.asarray(losses, dtype=np.float64)
        if self.kind == "log":
            heights: FloatArray = np.log10(np.maximum(values, self.unit))
            return heights
        with np.errstate(over="ignore"):
            heights = np.arcsinh((values - self.lowest) / (2 * self.unit)) / np.log(10)
        return heights

    def losses(self, heights: npt.ArrayLike) -> FloatArray:
        """The way back."""
        values = np.asarray(heights, dtype=np.float64)
        with np.errstate(over="ignore"):
            if self.kind == "log":
                return np.asarray(10.0**values)
            return np.asarray(self.lowest + 2 * self.unit * np.sinh(values * np.log(10)))
