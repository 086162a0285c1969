"""How far a map can be trusted: what it keeps of the distances, and what of the loss.

Thresholds come from clouds without structure (isotropic noise, random walks, shuffled losses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist
from sklearn import manifold
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neighbors import KNeighborsRegressor

from landscape_widgets.basis import FloatArray

Level = Literal["good", "weak", "bad", "info"]
FLOOR = 1e-8  # losses below are all the same to a reader
NEIGHBOURS = 10
FOLDS = 5
MOST_POINTS = 3_000  # beyond, trustworthiness is taken on a random part


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


def trustworthiness(
    points: FloatArray, coordinates: FloatArray, k: int = 15, seed: int = 0
) -> float:
    """How few strangers are among the k neighbours on the map: 1 for none, about 0.5 by chance.

    Venna and Kaski 2001, as in scikit-learn. Of more than 3,000 points a random part is taken.
    """
    if len(points) > MOST_POINTS:
        part = np.random.default_rng(seed).choice(len(points), MOST_POINTS, replace=False)
        points, coordinates = points[part], coordinates[part]
    k = min(k, (len(points) - 1) // 2)
    return float(manifold.trustworthiness(points, coordinates, n_neighbors=k))


def log_losses(losses: FloatArray) -> FloatArray:
    """log10 of losses, floored at 1e-8."""
    result: FloatArray = np.log10(np.maximum(losses, FLOOR))
    return result


def readable(
    features: FloatArray, losses: FloatArray, paths: npt.NDArray[np.int64], seed: int = 0
) -> float:
    """R² of the log loss predicted from `features` (N, d) by 10 neighbours, held out.

    Whole paths are held out together: points of one path are neighbours because they followed one
    another, which says nothing about the loss. Samples off any path are held out at random.
    """
    known = np.isfinite(losses) & np.isfinite(features).all(axis=1)
    features, target, groups = features[known], log_losses(losses[known]), paths[known]
    if len(target) < 2 * FOLDS or np.ptp(target) == 0:
        return float("nan")
    predicted = np.empty_like(target)
    for train, test in _folds(groups, seed):
        model = KNeighborsRegressor(min(NEIGHBOURS, len(train)))
        predicted[test] = model.fit(features[train], target[train]).predict(features[test])
    return float(1 - ((target - predicted) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def _folds(
    paths: npt.NDArray[np.int64], seed: int
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    on_path = paths >= 0
    if len(np.unique(paths[on_path])) < 2:
        return list(KFold(FOLDS, shuffle=True, random_state=seed).split(paths))
    # Each sample off any path is a group of its own.
    groups = np.where(on_path, paths, paths.max() + 1 + np.arange(len(paths)))
    folds = min(FOLDS, len(np.unique(groups)))
    return list(GroupKFold(folds, shuffle=True, random_state=seed).split(paths, groups=groups))


def contrast(points: FloatArray, seed: int = 0) -> float:
    """Standard deviation of the pairwise distances over their mean.

    Near 0 all points are equally far apart, and no map of them means anything (Beyer et al. 1999).
    """
    if len(points) > MOST_POINTS:
        points = points[np.random.default_rng(seed).choice(len(points), MOST_POINTS, False)]
    distances = pdist(points)
    return float(distances.std() / distances.mean())


def _word(value: float, steps: list[tuple[float, str, Level]]) -> tuple[str, Level]:
    """The word of the first step that the value reaches; the last is for all others."""
    for least, word, level in steps[:-1]:
        if value >= least:
            return word, level
    return steps[-1][1:]


def assess(
    points: FloatArray,
    coordinates: FloatArray,
    losses: FloatArray,
    paths: npt.NDArray[np.int64],
    radii: FloatArray,
    changes: FloatArray | None = None,
    seed: int = 0,
) -> Faithfulness:
    """Judge a map.

    Parameters
    ----------
    points : array (N, d)
        What was mapped; Euclidean distances.
    coordinates : array (N, 2 or 3)
        The map.
    losses : array (N,)
    paths : array (N,) of int
        The path of each sample; -1 for none.
    radii : array (N,)
        ‖θ − θ*‖.
    changes : array (N,), optional
        Hellinger distance between the predictions of θ and θ*.
    """
    has_paths = len(np.unique(paths[paths >= 0])) > 1
    trust = trustworthiness(points, coordinates, seed=seed)
    spread = contrast(points, seed)
    honest = readable(coordinates, losses, paths, seed)
    by_radius = readable(radii[:, None], losses, paths, seed)
    readouts = [
        _trust_readout(trust),
        _honest_readout(honest, has_paths),
        _alone_readout("distance from θ* alone", by_radius),
    ]
    if changes is not None:
        by_change = readable(changes[:, None], losses, paths, seed)
        readouts.append(_alone_readout("change of predictions alone", by_change))
    readouts.append(_contrast_readout(spread))
    sentence, level = _verdict(trust, honest, by_radius, spread, has_paths)
    return Faithfulness(sentence, level, tuple(readouts))


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


def _verdict(
    trust: float, honest: float, by_radius: float, spread: float, has_paths: bool
) -> tuple[str, Level]:
    if spread < 0.1:
        return (
            "These samples are all equally far apart: no map of them means anything.",
            "bad",
        )
    if trust < 0.7:
        return "Neighbours on this map are not neighbours in truth: do not read it.", "bad"
    if has_paths and honest < 0.3:
        return "Points group by path, not by loss.", "bad"
    if honest < 0.1:
        return "The loss cannot be read from this map.", "bad"
    if by_radius > honest:
        return "This map shows little but distance from the trained weights.", "weak"
    if trust >= 0.9:
        return "Neighbourhoods are faithful; sizes and gaps are not.", "good"
    return "Neighbourhoods are roughly right; sizes and gaps are not.", "weak"
