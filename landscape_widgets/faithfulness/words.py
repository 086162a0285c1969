"""Scores in words: what each number means, where its thresholds are, and one sentence on top.

Thresholds lie beyond what clouds without structure reach, and short of what real ones do:
`benchmarks/nulls.py` measures both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["good", "weak", "bad", "info"]

# Under the first nothing, over the second good.
TRUST = (0.7, 0.9)
READABLE = (0.1, 0.5)
READABLE_OF_PATHS = (0.3, 0.5)
GAIN = (0.3, 0.4)
SHARED = (0.3, 0.6)
ALIGNED = (0.6, 0.8)
CONTRAST = 0.1
DIRECTED = 2.0
TRAINING = 3  # what training with 40 checkpoints gives at least

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
    """The numbers behind the readouts; NaN where one is not to be had."""

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


def judge(scores: Scores) -> Faithfulness:
    """Put scores in words."""
    readouts = [
        _trust_readout(scores.trust),
        _readable_readout(scores.honest, scores.has_paths),
        _alone_readout("distance from θ* alone", scores.by_radius),
        _alone_readout("change of predictions alone", scores.by_change),
        _gain_readout("what the map adds to the distance", scores.beyond_radius),
        _gain_readout("what the map adds to both", scores.beyond_both),
        _contrast_readout(scores.contrast),
        _dimension_readout(scores.dimension),
        _directedness_readout(scores.directedness),
        _shared_readout(scores.shared),
        _aligned_readout(scores.aligned),
    ]
    sentence, level = _verdict(scores)
    known = tuple(readout for readout in readouts if math.isfinite(readout.value))
    return Faithfulness(sentence, level, known, scores)


def _graded(
    value: float, steps: tuple[float, float], good: str, weak: str, bad: str
) -> tuple[str, Level]:
    """The word for a value that is nothing under the first step, and good from the second on."""
    if value >= steps[1]:
        return good, "good"
    return (weak, "weak") if value >= steps[0] else (bad, "bad")


def _text(value: float) -> str:
    """Two decimals, without the sign of a rounded zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def _trust_readout(value: float) -> Readout:
    word, level = _graded(value, TRUST, "faithful", "fair", "unfaithful")
    return Readout(
        "neighbourhoods (trustworthiness)",
        value,
        _text(value),
        word,
        level,
        "Whether neighbours on the map are neighbours in truth: 1 is perfect, 0.5 is chance.",
    )


def _readable_readout(value: float, has_paths: bool) -> Readout:
    steps = READABLE_OF_PATHS if has_paths else READABLE
    word, level = _graded(value, steps, "good", "weak", "nothing")
    held = "whole paths held out" if has_paths else "samples held out"
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


def _gain_readout(name: str, value: float) -> Readout:
    word, level = _graded(value, GAIN, "real", "doubtful", "nothing")
    return Readout(
        name,
        value,
        _text(value),
        word,
        level,
        "Share of the error in guessing the loss that the map removes, beyond what is known "
        f"without it. Maps without structure reach {GAIN[0]:g} at most.",
    )


def _shared_readout(value: float) -> Readout:
    word, level = _graded(
        value, SHARED, "the same each time", "partly the same", "others each time"
    )
    return Readout(
        AGREEMENT[0],
        value,
        _text(value),
        word,
        level,
        "Share of a sample's neighbours on the map that it has on maps by other seeds too, each "
        f"of four fifths of the samples. Noise reaches {SHARED[0]:g} at most.",
    )


def _aligned_readout(value: float) -> Readout:
    word, level = _graded(
        value, ALIGNED, "the same each time", "roughly the same", "another each time"
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


def _directedness_readout(value: float) -> Readout:
    walks = value < DIRECTED
    return Readout(
        "directedness of paths",
        value,
        f"{value:.1f}",
        "a random walk" if walks else "goes somewhere",
        "bad" if walks else "good",
        "Squared way from start to end over the sum of squared steps: 1 for a random walk, "
        f"{TRAINING} and more for training.",
    )


def _verdict(scores: Scores) -> tuple[str, Level]:
    """The first thing that a reader must know. Comparisons with what is not known are false."""
    if scores.contrast < CONTRAST:
        return "These samples are all equally far apart: no map of them means anything.", "bad"
    if scores.directedness < DIRECTED:
        return (
            f"This looks like a random walk (directedness {scores.directedness:.1f}; training "
            f"gives {TRAINING} and more).",
            "bad",
        )
    if scores.trust < TRUST[0]:
        gains = [g for g in (scores.beyond_radius, scores.beyond_both) if math.isfinite(g)]
        if scores.honest >= READABLE[1] and min(gains, default=0.0) >= GAIN[1]:
            return (
                "The loss can be read from this map, but neighbours on it are often not "
                "neighbours in truth.",
                "weak",
            )
        return "Neighbours on this map are not neighbours in truth: do not read it.", "bad"
    if scores.has_paths and scores.honest < READABLE_OF_PATHS[0]:
        return "Points group by path, not by loss.", "bad"
    if scores.honest < READABLE[0]:
        return "The loss cannot be read from this map.", "bad"
    if scores.beyond_radius < GAIN[0]:
        return "This map shows nothing but distance from the trained weights.", "bad"
    if scores.beyond_both < GAIN[0]:
        return (
            "This map shows nothing but distance from the trained weights and change of "
            "predictions.",
            "weak",
        )
    if scores.trust >= TRUST[1]:
        return "Neighbourhoods are faithful; sizes and gaps are not.", "good"
    return "Neighbourhoods are roughly right; sizes and gaps are not.", "weak"
