"""Scores of a map: what it keeps of the distances, and what of the loss. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from sklearn import manifold
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from sklearn.tree import ExtraTreeRegressor
from sklearn.utils import check_random_state

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.trust.loss_scale import LossScale

NEIGHBOURS = 10
FOLDS = 5
TREES = 80
MOST_POINTS = 3_000  # beyond, scores that need all pairs, or trees, are taken on a random part
SHORTEST = 5  # samples of a path whose directedness is looked at
FEWEST = 10  # samples below which no score means anything: NaN
EXACT = 1e-4  # relative error of a map's distances that nobody can see


def _part(n: int, seed: int) -> npt.NDArray[np.intp]:
    """Which of n samples a score is taken on: all, or a random part of very many."""
    if n <= MOST_POINTS:
        return np.arange(n)
    return np.random.default_rng(seed).choice(n, MOST_POINTS, replace=False)


def trustworthiness(
    points: FloatArray, coordinates: FloatArray, k: int = 15, seed: int = 0
) -> float:
    """How few strangers are among the k neighbours on the map: 1 for none, about 0.5 by chance.

    Venna and Kaski 2001, as in scikit-learn. Of more than 3,000 points a random part is taken; of
    fewer than 10 it is not-a-number.
    """
    if len(points) < FEWEST:
        return float("nan")
    part = _part(len(points), seed)
    points, coordinates = points[part], coordinates[part]
    k = min(k, (len(points) - 1) // 2)
    return float(manifold.trustworthiness(points, coordinates, n_neighbors=k))


def heights(losses: FloatArray) -> FloatArray:
    """Losses on the scale on which they are shown: log10, where none is below zero."""
    return LossScale.of(losses).heights(losses)


@dataclass(frozen=True)
class HeldOut:
    """What a map tells of the log loss of samples that it is not told the loss of.

    Attributes
    ----------
    rows : array (K,) of int
        Samples whose loss and place are finite.
    target, predicted : arrays (K,)
        Their log loss, and the mean of their ten nearest of the others.
    """

    rows: npt.NDArray[np.intp]
    target: FloatArray
    predicted: FloatArray

    @property
    def score(self) -> float:
        """R²; NaN where there are too few to tell, or all are the same."""
        if len(self.target) < 2 * FOLDS or np.ptp(self.target) == 0:
            return float("nan")
        wrong = ((self.target - self.predicted) ** 2).sum()
        return float(1 - wrong / ((self.target - self.target.mean()) ** 2).sum())


def held_out(
    features: FloatArray, losses: FloatArray, paths: npt.NDArray[np.int64], seed: int = 0
) -> HeldOut:
    """Predict the log loss from `features` (N, d) by 10 neighbours, held out.

    Whole paths are held out together: points of one path are neighbours because they followed one
    another, which says nothing about the loss. Samples off any path are held out at random.
    """
    rows = np.flatnonzero(np.isfinite(losses) & np.isfinite(features).all(axis=1))
    features, target, groups = features[rows], heights(losses[rows]), paths[rows]
    predicted = np.full_like(target, np.nan)
    if len(target) >= 2 * FOLDS:
        for train, test in _folds(groups, seed):
            model = KNeighborsRegressor(min(NEIGHBOURS, len(train)))
            predicted[test] = model.fit(features[train], target[train]).predict(features[test])
    return HeldOut(rows, target, predicted)


def readable(
    features: FloatArray, losses: FloatArray, paths: npt.NDArray[np.int64], seed: int = 0
) -> float:
    """R² of the log loss predicted from `features` (N, d) by 10 neighbours; see `held_out`."""
    return held_out(features, losses, paths, seed).score


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
    Not-a-number of fewer than 10 points, or where all are the same.
    """
    if len(points) < FEWEST or not np.ptp(points, axis=0).any():
        return float("nan")
    distances = pdist(points[_part(len(points), seed)])
    return float(distances.std() / distances.mean())


def stretch(points: FloatArray, coordinates: FloatArray, seed: int = 0) -> float:
    """How far distances on the map are from the true ones: the root of Σ (d − δ)² / Σ δ².

    Kruskal's stress-1 without scaling; 0 where the map is exact. NaN where all points are the same.
    """
    part = _part(len(points), seed)
    points, coordinates = points[part], coordinates[part]
    true = pdist(points)
    total = (true**2).sum()
    if not total > 0:
        return float("nan")
    return float(np.sqrt(((pdist(coordinates) - true) ** 2).sum() / total))


def gain(
    coordinates: FloatArray,
    losses: FloatArray,
    known: FloatArray,
    paths: npt.NDArray[np.int64],
    seed: int = 0,
) -> float:
    """Share of the squared error that the map removes, over what is `known` (N, d) without it.

    Extremely randomised trees predict the log loss from the known columns and the map, and, as
    the baseline, from the known columns and as many columns of noise: without those the baseline
    overfits, and a gain over it means nothing. Whole paths are held out. Of more than 3,000
    samples a random part is taken: trees of 20,000 take half a minute to say the same.
    """
    finite = np.isfinite(losses) & np.isfinite(coordinates).all(axis=1)
    finite &= np.isfinite(known).all(axis=1)
    usable = np.flatnonzero(finite)
    usable = usable[np.sort(_part(len(usable), seed))]
    target, groups = heights(losses[usable]), paths[usable]
    if len(target) < 2 * FOLDS or np.ptp(target) == 0:
        return float("nan")
    noise = np.random.default_rng(seed).normal(size=(len(target), coordinates.shape[1]))
    errors = []
    for columns in (coordinates[usable], noise):
        features = np.column_stack([known[usable], columns])
        predicted = np.empty_like(target)
        for train, test in _folds(groups, seed):
            predicted[test] = _by_trees(features[train], target[train], features[test], seed)
        errors.append(((target - predicted) ** 2).sum())
    return float(1 - errors[0] / errors[1])


def _by_trees(
    features: FloatArray, target: FloatArray, wanted: FloatArray, seed: int
) -> FloatArray:
    """What extremely randomised trees make of other features (Geurts et al. 2006).

    The very trees of scikit-learn's `ExtraTreesRegressor`, which spends a third of its time on
    copying their settings.
    """
    draw = check_random_state(seed)
    known, asked = (np.ascontiguousarray(x, dtype=np.float32) for x in (features, wanted))
    column = np.ascontiguousarray(target[:, None])
    total: FloatArray = np.zeros(len(wanted))
    for _ in range(TREES):
        state = draw.randint(np.iinfo(np.int32).max)
        tree = ExtraTreeRegressor(max_features=1.0, random_state=state)
        tree.fit(known, column, check_input=False)
        total += tree.predict(asked, check_input=False)
    return total / TREES


def intrinsic_dimension(points: FloatArray, seed: int = 0) -> float:
    """Number of dimensions that the points fill, from the two nearest neighbours of each.

    The TwoNN estimator (Facco et al. 2017): −Σ log(1 − F) log μ / Σ log² μ with μ = r₂/r₁, over
    the smaller nine tenths of the ratios. At most as many as the points have coordinates: where
    the two neighbours are equally far, as along a walk of equal steps, it has no bound of its own.
    """
    unique = np.unique(points, axis=0)
    if len(unique) < 10:
        return float("nan")
    unique = unique[_part(len(unique), seed)]
    distances, _ = NearestNeighbors(n_neighbors=3).fit(unique).kneighbors(unique)
    ratios = np.sort(distances[:, 2] / distances[:, 1])
    kept = ratios[: int(0.9 * len(ratios))]
    x = np.log(kept)
    y = -np.log(1 - np.arange(1, len(kept) + 1) / len(ratios))
    if not (x * x).sum() > 0:
        return float(points.shape[1])
    return float(min((x * y).sum() / (x * x).sum(), points.shape[1]))


def checkpoints(paths: npt.NDArray[np.int64]) -> float:
    """Median number of samples of those paths that have five or more; NaN where none has."""
    counts = np.unique(paths[paths >= 0], return_counts=True)[1]
    counts = counts[counts >= SHORTEST]
    return float(np.median(counts)) if len(counts) else float("nan")


def directedness(points: FloatArray, paths: npt.NDArray[np.int64], steps: FloatArray) -> float:
    """Median over paths of ‖end − start‖² / Σ ‖step‖²; NaN where no path has five points.

    1 for a random walk in many dimensions, the number of steps for a straight line, training in
    between: the more checkpoints of it there are, the more.
    """
    found = []
    for moves in _moves(points, paths, steps):
        squared = (moves**2).sum()
        if squared > 0:
            found.append((moves.sum(axis=0) ** 2).sum() / squared)
    return float(np.median(found)) if found else float("nan")


def turning(points: FloatArray, paths: npt.NDArray[np.int64], steps: FloatArray) -> float:
    """Root mean square of the cosines between the steps of a path, in the median over paths.

    1/√P for a random walk that goes in all of P dimensions alike, 1 for a straight line. NaN where
    no path has five points.
    """
    found = []
    for moves in _moves(points, paths, steps):
        lengths = np.linalg.norm(moves, axis=1)
        units = moves[lengths > 0] / lengths[lengths > 0, None]
        n = len(units)
        if n > 1:
            squared = ((units @ units.T) ** 2).sum() - n
            found.append(np.sqrt(max(squared, 0.0) / (n * (n - 1))))
    return float(np.median(found)) if found else float("nan")


def _moves(
    points: FloatArray, paths: npt.NDArray[np.int64], steps: FloatArray
) -> Iterator[FloatArray]:
    """The steps (t, d) of each path that has five points or more."""
    for path in np.unique(paths[paths >= 0]):
        rows = np.flatnonzero(paths == path)
        if len(rows) >= SHORTEST:
            yield np.diff(points[rows[np.argsort(steps[rows], kind="stable")]], axis=0)


def distortion(points: FloatArray, coordinates: FloatArray, k: int = 15) -> FloatArray:
    """Share of each point's k nearest neighbours that are not among them on the map, (N,)."""
    k = min(k, len(points) - 1)
    if k < 1:
        return np.zeros(len(points))
    near = [
        NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)
        for x in (points, coordinates)
    ]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]
    return 1 - np.asarray(shared, dtype=np.float64) / k


def agreement(maps: Sequence[FloatArray], k: int = 15) -> tuple[float, float]:
    """How alike several maps (N, c) of the same points are, on average over their pairs.

    Points that one of two maps leaves out (NaN) are left out of both.

    Returns
    -------
    aligned : float
        1 − disparity after the best shift, turn and scale (Procrustes); 1 for the same picture.
    shared : float
        Share of the k nearest neighbours on the map that two maps have in common.

    Both are not-a-number where two maps have fewer than 10 points in common, or one of them has
    all its points in one place.
    """
    aligned, shared = [], []
    for i, first in enumerate(maps):
        for second in maps[i + 1 :]:
            both = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
            flat = [not np.ptp(one[both], axis=0).any() for one in (first, second) if both.any()]
            if both.sum() < FEWEST or any(flat):
                return float("nan"), float("nan")
            aligned.append(1 - procrustes(first[both], second[both])[2])
            shared.append(1 - distortion(first[both], second[both], k).mean())
    return float(np.mean(aligned)), float(np.mean(shared))
