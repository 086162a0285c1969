"""Scores in words: what each number means, where its thresholds are, and one sentence on top.

Thresholds come from clouds without structure: isotropic noise, random walks, shuffled losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "weak", "bad", "info"]


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


def judge(scores: Scores) -> Faithfulness:
    """Put scores in words."""
    readouts = [
        _trust_readout(scores.trust),
        _honest_readout(scores.honest, scores.has_paths),
        _alone_readout("distance from θ* alone", scores.by_radius),
        _alone_readout("change of predictions alone", scores.by_change),
        _gain_readout("what the map adds to the distance", scores.beyond_radius),
        _gain_readout("what the map adds to both", scores.beyond_both),
        _contrast_readout(scores.contrast),
        _dimension_readout(scores.dimension),
        _directedness_readout(scores.directedness),
    ]
    sentence, level = _verdict(scores)
    known = tuple(readout for readout in readouts if math.isfinite(readout.value))
    return Faithfulness(sentence, level, known)


def _word(value: float, steps: list[tuple[float, str, Level]]) -> tuple[str, Level]:
    """The word of the first step that the value reaches; the last is for all others."""
    for least, word, level in steps[:-1]:
        if value >= least:
            return word, level
    return steps[-1][1:]


def _trust_readout(value: float) -> Readout:
    word, level = _word(
        value, [(0.9, "faithful", "good"), (0.7, "fair", "weak"), (0.0, "unfaithful", "bad")]
    )
    return Readout(
        "neighbourhoods (trustworthiness)",
        value,
        f"{value:.2f}",
        word,
        level,
        "Whether neighbours on the map are neighbours in truth: 1 is perfect, 0.5 is chance.",
    )


def _honest_readout(value: float, has_paths: bool) -> Readout:
    least = 0.3 if has_paths else 0.1
    word, level = _word(
        value, [(0.5, "good", "good"), (least, "weak", "weak"), (-9.0, "nothing", "bad")]
    )
    held = "whole paths held out" if has_paths else "samples held out"
    return Readout(
        "loss readable from the map",
        value,
        f"{value:.2f}",
        word,
        level,
        f"R² of the log loss predicted from the ten neighbours on the map, {held}.",
    )


def _alone_readout(name: str, value: float) -> Readout:
    share = max(0.0, value)
    return Readout(
        name,
        value,
        f"{value:.2f}",
        f"explains {share:.0%} of the loss",
        "info",
        f"R² of the log loss predicted from the {name}: a map must show more than that.",
    )


def _contrast_readout(value: float) -> Readout:
    word, level = _word(value, [(0.1, "distances differ", "good"), (0.0, "all alike", "bad")])
    return Readout(
        "contrast of distances",
        value,
        f"{value:.2f}",
        word,
        level,
        "Spread of the distances over their mean. Under 0.1 all samples are equally far apart.",
    )


def _gain_readout(name: str, value: float) -> Readout:
    word, level = _word(
        value, [(0.10, "real", "good"), (0.05, "doubtful", "weak"), (-9.0, "nothing", "bad")]
    )
    return Readout(
        name,
        value,
        f"{value:.2f}",
        word,
        level,
        "Share of the error in guessing the loss that the map removes, beyond what is known "
        "without it. Maps without structure reach 0.05 at most.",
    )


def _dimension_readout(value: float) -> Readout:
    return Readout(
        "intrinsic dimension",
        value,
        f"{value:.1f}",
        "two can be shown as they are" if value < 2.5 else "more than a map can show as they are",
        "info",
        "Number of dimensions that the samples fill, estimated from their nearest neighbours.",
    )


def _directedness_readout(value: float) -> Readout:
    word, level = _word(value, [(2.0, "goes somewhere", "good"), (-9.0, "a random walk", "bad")])
    return Readout(
        "directedness of paths",
        value,
        f"{value:.1f}",
        word,
        level,
        "Squared way from start to end over the sum of squared steps: 1 for a random walk, 17 and "
        "more for training.",
    )


def _verdict(scores: Scores) -> tuple[str, Level]:
    if scores.contrast < 0.1:
        return "These samples are all equally far apart: no map of them means anything.", "bad"
    if scores.directedness < 2:
        return (
            f"This looks like a random walk (directedness {scores.directedness:.1f}; training "
            "gives 17 and more).",
            "bad",
        )
    if scores.trust < 0.7:
        return "Neighbours on this map are not neighbours in truth: do not read it.", "bad"
    if scores.has_paths and scores.honest < 0.3:
        return "Points group by path, not by loss.", "bad"
    if scores.honest < 0.1:
        return "The loss cannot be read from this map.", "bad"
    if scores.beyond_radius < 0.05:
        return "This map shows nothing but distance from the trained weights.", "bad"
    if scores.trust >= 0.9:
        return "Neighbourhoods are faithful; sizes and gaps are not.", "good"
    return "Neighbourhoods are roughly right; sizes and gaps are not.", "weak"
