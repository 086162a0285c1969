"""What is shown beside the map before anything is selected or pointed at."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.plane import spans_plane

MOST = 3


def opening(land: Landscape) -> list[int]:
    """The samples that θ* is compared with first, at most three, of those that are evaluated.

    What has a name on the map: minima, the user's models, other ends of descents, in the order of
    their names. Where nothing has, the last and the first checkpoint of a training; else the ends
    of paths where the loss is lowest; else the samples where it is.
    """
    cloud = land.cloud
    if cloud is None:
        return []
    there = np.flatnonzero(land.evaluated & np.isfinite(land.losses))
    there = there[cloud.table["kind"].to_numpy()[there] != "trained"]
    named = _named(cloud, there)
    if len(named):
        return list(named[:MOST].tolist())
    checkpoints = there[cloud.table["sampler"].to_numpy()[there] == "Trajectory"]
    if len(checkpoints):
        run = checkpoints[cloud.table["path"].to_numpy()[checkpoints] == 0]
        run = run if len(run) else checkpoints
        return list(dict.fromkeys([int(run[-1]), int(run[0])]))
    ends = there[cloud.table["kind"].to_numpy()[there] == "end"]
    lowest = ends if len(ends) else there
    lowest = lowest[np.argsort(land.losses[lowest], kind="stable")[:MOST]]
    return sorted(lowest.tolist())


def opening_plane(land: Landscape) -> list[int]:
    """The first two of them that span a plane with θ*; none where no two do."""
    cloud, found = land.cloud, opening(land)
    if cloud is None or len(found) < 2:
        return []
    gram = cloud.gram()
    for pair in combinations(found, 2):
        rows = cloud.coefficients[list(pair)]
        if spans_plane(rows @ gram @ rows.T):
            return list(pair)
    return []


def _named(cloud: Cloud, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of `rows` with a name on the map."""
    rows = rows[np.isin(rows, list(cloud.names))]
    kinds = cloud.table["kind"].to_numpy()[rows]
    return np.concatenate([rows[kinds == kind] for kind in ("minimum", "model", "end")])
