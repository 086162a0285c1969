"""The one plain sentence on top of the readouts: the first thing that a reader must know."""

from __future__ import annotations

import math

from landscape_widgets.trust.scores import FEWEST
from landscape_widgets.trust.thresholds import CONTRAST, TRUST, Level, Scores, steps_for, walked

Verdict = tuple[str, Level] | None


def verdict(scores: Scores) -> tuple[str, Level]:
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
    if walked(scores)[0] != "a random walk":
        return None
    return (
        f"This looks like a random walk (directedness {scores.directedness:.1f}, and steps at "
        "right angles to each other; those of training go the same way again).",
        "bad",
    )


def _of_neighbours(scores: Scores) -> Verdict:
    """Are neighbours on the map neighbours in truth?"""
    steps = steps_for(scores)
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
    steps = steps_for(scores)
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
