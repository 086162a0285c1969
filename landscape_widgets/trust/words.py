"""Scores in words: what each number means, where its thresholds are, and one sentence on top.

Thresholds lie beyond what clouds without structure reach, and short of what real ones do:
`benchmarks/nulls.py` measures both. With few samples chance reaches farther: how far, by their
number, is measured by `benchmarks/counts.py`, and where it reaches what a good map does, nothing
is said but that there are too few to tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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

# What takes other maps, and so comes later.
AGREEMENT = ("neighbours on other maps", "layout of other maps")


@dataclass(frozen=True)
class Readout:
    """One number about a map, in words.

    Attributes
    ----------
    name, word, sentence : str
        What it is, how it stands, and what that means to a student.
    value : float
    text : str
        The value as it is shown.
    level : {"good", "weak", "bad", "info"}
    """

    name: str
    value: float
    text: str
    word: str
    level: Level
    sentence: str


@dataclass(frozen=True)
class Faithfulness:
    """All readouts of a map, with one plain sentence on top."""

    sentence: str
    level: Level
    readouts: tuple[Readout, ...]
    scores: Scores

    def agreeing(self, aligned: float, shared: float) -> Faithfulness:
        """The same, and how alike other maps of the same samples are."""
        return judge(replace(self.scores, aligned=aligned, shared=shared))

    def __getitem__(self, name: str) -> float:
        """The value of the readout of that name."""
        for readout in self.readouts:
            if readout.name == name:
                return readout.value
        raise KeyError(f"{name!r}; there are {[readout.name for readout in self.readouts]}")


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


def judge(scores: Scores) -> Faithfulness:
    """Put scores in words."""
    readouts = [
        _trust_readout(scores),
        _readable_readout(scores),
        _alone_readout("distance from θ* alone", scores.by_radius),
        _alone_readout("change of predictions alone", scores.by_change),
        _gain_readout("what the map adds to the distance", scores.beyond_radius, scores),
        _gain_readout("what the map adds to both", scores.beyond_both, scores),
        _contrast_readout(scores.contrast),
        _dimension_readout(scores.dimension),
        _directedness_readout(scores),
        _shared_readout(scores),
        _aligned_readout(scores),
    ]
    sentence, level = _verdict(scores)
    known = tuple(readout for readout in readouts if math.isfinite(readout.value))
    return Faithfulness(sentence, level, known, scores)


Steps = tuple[float, float]
TOO_FEW = "too few to tell"
READERS = 4  # times ten neighbours are the fewest samples from which losses can be read


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


def _graded(value: float, steps: Steps | None, good: str, weak: str, bad: str) -> tuple[str, Level]:
    """The word for a value that is nothing under the first step, and good from the second on."""
    if steps is None:
        return TOO_FEW, "info"
    if value >= steps[1]:
        return good, "good"
    return (weak, "weak") if value >= steps[0] else (bad, "bad")


def _steps(scores: Scores) -> dict[str, Steps | None]:
    """Thresholds of each score for this number of samples."""
    readable = READABLE_OF_PATHS if scores.has_paths else READABLE
    return {
        "trust": lifted(TRUST, "trust", scores.count),
        "honest": lifted(readable, "honest", scores.finite),
        "gain": lifted(GAIN, "gain", scores.finite),
        "shared": lifted(SHARED, "shared", scores.count),
        "aligned": lifted(ALIGNED, "aligned", scores.count),
    }


def _text(value: float) -> str:
    """Two decimals, without the sign of a rounded zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def _trust_readout(scores: Scores) -> Readout:
    value = scores.trust
    word, level = _graded(value, _steps(scores)["trust"], "faithful", "fair", "unfaithful")
    return Readout(
        "neighbourhoods (trustworthiness)",
        value,
        _text(value),
        word,
        level,
        "Whether neighbours on the map are neighbours in truth: 1 is perfect, 0.5 is chance.",
    )


def _readable_readout(scores: Scores) -> Readout:
    value = scores.honest
    word, level = _graded(value, _steps(scores)["honest"], "good", "weak", "nothing")
    held = "whole paths held out" if scores.has_paths else "samples held out"
    return Readout(
        "loss readable from the map",
        value,
        _text(value),
        word,
        level,
        f"R² of the log loss predicted from the ten neighbours on the map, {held}.",
    )


def _alone_readout(name: str, value: float) -> Readout:
    share = max(0.0, value)
    return Readout(
        name,
        value,
        _text(value),
        f"explains {share:.0%} of the loss",
        "info",
        f"R² of the log loss predicted from the {name}: a map must show more than that.",
    )


def _gain_readout(name: str, value: float, scores: Scores) -> Readout:
    steps = _steps(scores)["gain"]
    word, level = _graded(value, steps, "real", "doubtful", "nothing")
    return Readout(
        name,
        value,
        _text(value),
        word,
        level,
        "Share of the error in guessing the loss that the map removes, beyond what is known "
        f"without it. Maps without structure reach {GAIN[0] if steps is None else steps[0]:.2g} "
        "at most.",
    )


def _shared_readout(scores: Scores) -> Readout:
    value, steps = scores.shared, _steps(scores)["shared"]
    word, level = _graded(value, steps, "the same each time", "partly the same", "others each time")
    return Readout(
        AGREEMENT[0],
        value,
        _text(value),
        word,
        level,
        "Share of a sample's neighbours on the map that it has on maps by other seeds too, each "
        "of four fifths of the samples. Noise reaches "
        f"{SHARED[0] if steps is None else steps[0]:.2g} at most.",
    )


def _aligned_readout(scores: Scores) -> Readout:
    value, steps = scores.aligned, _steps(scores)["aligned"]
    word, level = _graded(
        value, steps, "the same each time", "roughly the same", "another each time"
    )
    return Readout(
        AGREEMENT[1],
        value,
        _text(value),
        word,
        level,
        "How alike the map and those of other seeds are as a whole, once turned and scaled onto "
        "each other: 1 is the same picture.",
    )


def _contrast_readout(value: float) -> Readout:
    alike = value < CONTRAST
    return Readout(
        "contrast of distances",
        value,
        _text(value),
        "all alike" if alike else "distances differ",
        "bad" if alike else "good",
        f"Spread of the distances over their mean. Under {CONTRAST:g} all samples are equally far "
        "apart.",
    )


def _dimension_readout(value: float) -> Readout:
    return Readout(
        "intrinsic dimension",
        value,
        f"{value:.1f}" if value < 10 else f"{value:.0f}",
        "two are enough" if value < 2.5 else "more than two",
        "info",
        "Number of dimensions that the samples fill, estimated from their nearest neighbours.",
    )


def _walks(scores: Scores) -> tuple[str, Level]:
    """What the directedness of paths says."""
    if scores.directedness >= by_count(WALKS, scores.checkpoints):
        return "goes somewhere", "good"
    # Steps of a walk in all directions are at right angles to each other, those of training are
    # not; in few dimensions nothing is.
    apart = WALKED / math.sqrt(scores.parameters)
    if apart <= STRAIGHT and scores.turning <= apart:
        return "a random walk", "bad"
    return "no farther than walks go", "info"


def _directedness_readout(scores: Scores) -> Readout:
    word, level = _walks(scores)
    return Readout(
        "directedness of paths",
        scores.directedness,
        f"{scores.directedness:.1f}",
        word,
        level,
        "Squared way from start to end over the sum of squared steps: 1 for a random walk in many "
        f"dimensions. With {scores.checkpoints:.0f} samples on a path, walks along the directions "
        f"of training reach {by_count(WALKS, scores.checkpoints):.2g}. It is called a random walk "
        "where its steps are at right angles to each other, too.",
    )


def _verdict(scores: Scores) -> tuple[str, Level]:
    """The first thing that a reader must know."""
    for judge_ in (_of_samples, _of_losses, _of_paths, _of_neighbours, _of_reading):
        found = judge_(scores)
        if found is not None:
            return found
    if scores.exact:
        return "This map is exact: all distances on it are the true ones.", "good"
    if scores.trust >= TRUST[1]:
        return "Neighbourhoods are faithful; sizes and gaps are not.", "good"
    return "Neighbourhoods are roughly right; sizes and gaps are not.", "weak"


Verdict = tuple[str, Level] | None


def _of_samples(scores: Scores) -> Verdict:
    """Are there samples that can be told apart?"""
    n = scores.count
    if scores.distinct == 1 and n > 1:
        return f"All {n:,} samples are one and the same point: there is nothing to lay out.", "bad"
    if scores.distinct < FEWEST:
        differ = "" if scores.distinct == n else " that differ"
        said = f"{scores.distinct} samples{differ} are too few to tell how far this map can be"
        if scores.exact:
            return f"Distances on this map are the true ones; {said} trusted beyond that.", "info"
        return f"{said} trusted.", "info"
    if scores.contrast < CONTRAST:
        return "These samples are all equally far apart: no map of them means anything.", "bad"
    return None


def _of_losses(scores: Scores) -> Verdict:
    """Are there losses to be read?"""
    n, finite = scores.count, scores.finite
    if finite == 0:
        return (
            f"None of the {n:,} losses is a finite number: the map shows where the samples are, "
            "and nothing of the loss.",
            "bad",
        )
    if 2 * finite < n:
        return (
            f"Only {finite:,} of {n:,} losses are finite numbers: of the loss, the map shows "
            "where it breaks down and little else. Sample with a smaller radius.",
            "bad",
        )
    if scores.alike:
        return "All losses are the same: there is nothing to read from this map.", "bad"
    return None


def _of_paths(scores: Scores) -> Verdict:
    """Do the paths go anywhere?"""
    if _walks(scores)[0] != "a random walk":
        return None
    return (
        f"This looks like a random walk (directedness {scores.directedness:.1f}, and steps at "
        "right angles to each other; those of training go the same way again).",
        "bad",
    )


def _of_neighbours(scores: Scores) -> Verdict:
    """Are neighbours on the map neighbours in truth?"""
    steps = _steps(scores)
    trust, readable, gain = steps["trust"], steps["honest"], steps["gain"]
    if trust is None:
        if scores.exact:
            return None
        return (
            f"{scores.count} samples are too few to tell how far this map can be trusted.",
            "info",
        )
    if scores.trust >= trust[0]:
        return None
    gains = [g for g in (scores.beyond_radius, scores.beyond_both) if math.isfinite(g)]
    readable_too = readable is not None and scores.honest >= readable[1]
    if readable_too and gain is not None and min(gains, default=0.0) >= gain[1]:
        return (
            "The loss can be read from this map, but neighbours on it are often not "
            "neighbours in truth.",
            "weak",
        )
    return "Neighbours on this map are not neighbours in truth: do not read it.", "bad"


def _of_reading(scores: Scores) -> Verdict:
    """Does the map tell anything of the loss?"""
    steps = _steps(scores)
    readable, gain = steps["honest"], steps["gain"]
    near = "Distances on this map are the true ones" if scores.exact else "Neighbours are right"
    if readable is None or not math.isfinite(scores.honest):
        return (
            f"{near}; {scores.finite} losses are too few to tell what can be read of them.",
            "info",
        )
    if scores.honest < readable[0]:
        if scores.has_paths:
            return "Points group by path, not by loss.", "bad"
        return "The loss cannot be read from this map.", "bad"
    if gain is None or not math.isfinite(scores.beyond_radius):
        return f"{near}; there are too few samples to tell what else it shows of the loss.", "info"
    shows = "This map shows" if not scores.exact else "This map is exact; of the loss it shows"
    if scores.beyond_radius < gain[0]:
        level: Level = "weak" if scores.exact else "bad"
        return f"{shows} nothing but distance from the trained weights.", level
    if scores.beyond_both < gain[0]:
        return (
            f"{shows} nothing but distance from the trained weights and change of predictions.",
            "weak",
        )
    return None
