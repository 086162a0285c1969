"""The numbers behind the readouts, and from where on each is good.

Thresholds lie beyond what clouds without structure reach, and short of what real ones do:
`benchmarks/nulls.py` measures both. With few samples chance reaches farther: how far, by their
number, is measured by `benchmarks/counts.py`, and where it reaches what a good map does, nothing
is said but that there are too few to tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from landscape_widgets.trust.scores import EXACT, FEWEST, NEIGHBOURS

Level = Literal["good", "weak", "bad", "info"]

# Under the first nothing, over the second good.
TRUST = (0.7, 0.9)
READABLE = (0.1, 0.5)
READABLE_OF_PATHS = (0.3, 0.5)
GAIN = (0.3, 0.4)
SHARED = (0.3, 0.6)
ALIGNED = (0.6, 0.8)
CONTRAST = 0.1

# Samples, or checkpoints, at which nulls were measured; between them, by the logarithm.
COUNTS = (10, 13, 20, 40, 100, 1000)
# What maps of nulls stay under (RESULTS.md, "counts"): isotropic noise at one distance from θ* and
# at many, and of losses ("honest", "gain") shuffled ones too. For a thousand samples it is what 600
# reach (RESULTS.md, "nulls"), which those of a thousand stay under. Of losses nothing is
# said of fewer than 40 samples.
REACHED = {
    "trust": (0.92, 0.90, 0.90, 0.82, 0.68, 0.65),
    "honest": (0.0, 0.0, 0.0, 0.01, 0.09, 0.0),
    "gain": (0.37, 0.37, 0.37, 0.37, 0.31, 0.22),
    "shared": (1.0, 1.0, 1.0, 0.84, 0.55, 0.11),
    "aligned": (0.96, 0.96, 0.91, 0.87, 0.80, 0.62),
}
# By the number of checkpoints: what walks stay under that take the steps of real training, each
# forwards or backwards by chance.
WALKS = (2.2, 2.1, 2.1, 2.1, 2.3, 2.3)
WALKED = 3  # of walks, cosines between steps in units of 1/√P are below this
STRAIGHT = 0.15  # and of training not below this

Steps = tuple[float, float]
TOO_FEW = "too few to tell"
READERS = 4  # times ten neighbours are the fewest samples from which losses can be read


@dataclass(frozen=True)
class Scores:
    """The numbers behind the readouts; NaN where one is not to be had.

    Attributes
    ----------
    count, distinct, finite : int
        Samples on the map; of these, those that differ from each other; and those whose loss is a
        finite number.
    checkpoints, parameters : float
        Median number of samples of a path; and of dimensions in which it is free to go.
    turning : float
        Root mean square of the cosines between the steps of a path, in the median.
    alike : bool
        Whether all finite losses are the same.
    """

    trust: float
    honest: float
    by_radius: float
    beyond_radius: float
    contrast: float
    dimension: float
    directedness: float
    has_paths: bool
    by_change: float = math.nan
    beyond_both: float = math.nan
    aligned: float = math.nan
    shared: float = math.nan
    stretch: float = math.nan
    count: int = COUNTS[-1]
    distinct: int = COUNTS[-1]
    finite: int = COUNTS[-1]
    checkpoints: float = 40
    parameters: float = math.inf
    turning: float = math.nan
    alike: bool = False

    @property
    def exact(self) -> bool:
        """Whether distances on the map are the true ones."""
        return self.stretch <= EXACT


def by_count(table: tuple[float, ...], count: float) -> float:
    """What a table over COUNTS holds for some number of samples or checkpoints."""
    return float(np.interp(math.log(max(count, 1)), np.log(COUNTS), table))


def lifted(steps: Steps, score: str, count: float) -> Steps | None:
    """Thresholds for so many samples; None where chance reaches what a good map does."""
    # Ten neighbours of fewer are a third of all, and their mean is that of everything.
    if count < (READERS * NEIGHBOURS if score in ("honest", "gain") else FEWEST):
        return None
    reached = by_count(REACHED[score], count)
    return None if reached >= steps[1] else (max(steps[0], reached), steps[1])


def graded(value: float, steps: Steps | None, good: str, weak: str, bad: str) -> tuple[str, Level]:
    """The word for a value that is nothing under the first step, and good from the second on."""
    if steps is None:
        return TOO_FEW, "info"
    if value >= steps[1]:
        return good, "good"
    return (weak, "weak") if value >= steps[0] else (bad, "bad")


def steps_for(scores: Scores) -> dict[str, Steps | None]:
    """Thresholds of each score for this number of samples."""
    readable = READABLE_OF_PATHS if scores.has_paths else READABLE
    return {
        "trust": lifted(TRUST, "trust", scores.count),
        "honest": lifted(readable, "honest", scores.finite),
        "gain": lifted(GAIN, "gain", scores.finite),
        "shared": lifted(SHARED, "shared", scores.count),
        "aligned": lifted(ALIGNED, "aligned", scores.count),
    }


def walked(scores: Scores) -> tuple[str, Level]:
    """What the directedness of paths says."""
    if scores.directedness >= by_count(WALKS, scores.checkpoints):
        return "goes somewhere", "good"
    # Steps of a walk in all directions are at right angles to each other, those of training are
    # not; in few dimensions nothing is.
    apart = WALKED / math.sqrt(scores.parameters)
    if apart <= STRAIGHT and scores.turning <= apart:
        return "a random walk", "bad"
    return "no farther than walks go", "info"
