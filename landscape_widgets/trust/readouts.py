"""Each score as a readout: its value, a word for it, and what it means to a student."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape_widgets.trust.thresholds import (
    CONTRAST,
    GAIN,
    SHARED,
    WALKS,
    Level,
    Scores,
    by_count,
    graded,
    steps_for,
    walked,
)

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


def readouts(scores: Scores) -> tuple[Readout, ...]:
    """Those whose score is to be had."""
    found = (
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
    )
    return tuple(readout for readout in found if math.isfinite(readout.value))


def _text(value: float) -> str:
    """Two decimals, without the sign of a rounded zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def _trust_readout(scores: Scores) -> Readout:
    value = scores.trust
    word, level = graded(value, steps_for(scores)["trust"], "faithful", "fair", "unfaithful")
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
    word, level = graded(value, steps_for(scores)["honest"], "good", "weak", "nothing")
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
    steps = steps_for(scores)["gain"]
    word, level = graded(value, steps, "real", "doubtful", "nothing")
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
    value, steps = scores.shared, steps_for(scores)["shared"]
    word, level = graded(value, steps, "the same each time", "partly the same", "others each time")
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
    value, steps = scores.aligned, steps_for(scores)["aligned"]
    word, level = graded(
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


def _directedness_readout(scores: Scores) -> Readout:
    word, level = walked(scores)
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
