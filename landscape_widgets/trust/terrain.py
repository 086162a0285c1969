"""Terrain: the loss between the samples of a map, as far as the map can tell it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import KDTree

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.trust import scores
from landscape_widgets.trust.loss_scale import LossScale
from landscape_widgets.trust.thresholds import READABLE, READABLE_OF_PATHS, lifted

SIZE = 80  # places along either axis of the grid
FEWEST = 2 * scores.NEIGHBOURS  # samples
JUDGES = 3 * scores.NEIGHBOURS  # held-out errors that say how well the loss is told at a place


@dataclass(frozen=True, eq=False, repr=False)
class Terrain:
    """The loss over a map of two dimensions, estimated from the samples around each place.

    Attributes
    ----------
    x, y : arrays (G,)
        Coordinates of the map.
    losses : array (G, G)
        ``losses[i, j]`` is at ``x[i]``, ``y[j]``: on the scale on which losses are shown (their
        logarithm), the mean over the ten nearest samples, the nearer ones weighing more.
    certainty : array (G, G)
        From 0, where the loss cannot be told, to 1: the share of its variance that the ten nearest
        samples tell of the held-out samples around; less the farther the next sample is.
    score : float
        R² of the log loss that the map tells of held-out samples; see `scores.readable`.
    carries : bool
        Whether that is more than chance: else the terrain is nothing to look at.
    """

    x: FloatArray
    y: FloatArray
    losses: FloatArray
    certainty: FloatArray
    score: float
    carries: bool

    def __repr__(self) -> str:
        told = f"{(self.certainty > 0.5).mean():.0%} of it is told with a certainty above one half"
        said = told if self.carries else "the map does not carry the loss"
        size = f"{len(self.x)} × {len(self.y)}"
        return f"Terrain({size} places, held-out R² {self.score:.2f}; {said})"

    def to_frame(self) -> pd.DataFrame:
        """A row for each place: x, y, loss, certainty."""
        x, y = np.meshgrid(self.x, self.y, indexing="ij")
        columns = {"x": x, "y": y, "loss": self.losses, "certainty": self.certainty}
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def terrain(
    coordinates: FloatArray,
    losses: FloatArray,
    paths: npt.NDArray[np.int64],
    *,
    size: int = SIZE,
    seed: int = 0,
) -> Terrain:
    """Tell the loss between the samples of a map.

    By the regression whose held-out score is `scores.readable`: the mean log loss of the ten
    nearest samples. They weigh (1 − (d/D)²)², D being how far the eleventh is, so that the picture
    has no steps where one takes another's place (as in Cleveland 1979).

    Parameters
    ----------
    coordinates : array (N, 2)
        The map. Samples without a place are left out.
    losses : array (N,)
        Around those that are not finite nothing is told.
    paths : array (N,) of int
        The path of each sample, -1 for none; whole paths are held out.
    size : int
        Places along either axis.
    seed : int
        Of which samples are held out together.

    Raises
    ------
    ValueError
        If the map has another number of dimensions, or fewer than twenty samples with a finite
        loss.
    """
    why = why_none(coordinates, losses)
    if why:
        raise ValueError(why)
    placed = np.isfinite(coordinates).all(axis=1)
    coordinates, losses, paths = coordinates[placed], losses[placed], paths[placed]
    held = scores.held_out(coordinates, losses, paths, seed)
    variance = held.target.var()
    errors = np.full(len(coordinates), variance)  # where a loss is not finite, nothing is told
    errors[held.rows] = (held.target - held.predicted) ** 2

    known, everything = KDTree(coordinates[held.rows]), KDTree(coordinates)
    # Over how far the regression takes its mean, at the samples themselves.
    reach = float(np.median(known.query(known.data, scores.NEIGHBOURS + 1)[0][:, -1]))
    low, high = coordinates.min(axis=0) - 1.5 * reach, coordinates.max(axis=0) + 1.5 * reach
    x, y = (np.linspace(low[i], high[i], size) for i in range(2))
    places = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)

    heights = _mean_around(known, held.target, places, scores.NEIGHBOURS)
    wrong = _mean_around(everything, errors, places, min(JUDGES, len(errors) - 1))
    told = np.clip(1 - wrong / variance, 0, 1) if variance > 0 else np.ones(len(places))
    # A sample within half the reach is as near as they are to each other.
    near = np.clip(1.5 - everything.query(places)[0] / max(reach, 1e-300), 0, 1)
    steps = READABLE_OF_PATHS if len(np.unique(paths[paths >= 0])) > 1 else READABLE
    least = lifted(steps, "honest", len(held.target))
    shape = (size, size)
    return Terrain(
        x,
        y,
        LossScale.of(losses).losses(heights).reshape(shape),
        (told * near).reshape(shape),
        held.score,
        least is not None and held.score >= least[0],
    )


def why_none(coordinates: FloatArray, losses: FloatArray) -> str:
    """Why a map has no terrain, in words; "" where it has one."""
    if coordinates.shape[1] != 2:
        return (
            f"A terrain is over a map of two dimensions; this one has {coordinates.shape[1]}. "
            "Call .embed(n_components=2) first."
        )
    known = int((np.isfinite(coordinates).all(axis=1) & np.isfinite(losses)).sum())
    if known < FEWEST:
        return (
            f"There are {known} samples with a place and a finite loss; a terrain takes {FEWEST}. "
            "Draw more samples."
        )
    return ""


def _mean_around(known: KDTree, values: FloatArray, places: FloatArray, count: int) -> FloatArray:
    """Mean of the values at the `count` nearest known points, the nearer ones weighing more."""
    distances, rows = known.query(places, count + 1)
    farthest = np.maximum(distances[:, -1:], 1e-300)
    weights = (1 - (distances[:, :-1] / farthest) ** 2) ** 2
    weights += 1e-12  # all are equally far
    found: FloatArray = (weights * values[rows[:, :-1]]).sum(axis=1) / weights.sum(axis=1)
    return found
