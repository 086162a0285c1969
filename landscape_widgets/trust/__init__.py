"""How far a map can be trusted: what it keeps of the distances, and what of the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.reducers.distinct import Distinct
from landscape_widgets.trust import scores
from landscape_widgets.trust.readouts import Readout
from landscape_widgets.trust.thresholds import Scores
from landscape_widgets.trust.words import Faithfulness, judge

__all__ = ["Faithfulness", "Readout", "Scores", "assess", "judge", "scores"]


def assess(
    points: FloatArray,
    coordinates: FloatArray,
    losses: FloatArray,
    paths: npt.NDArray[np.int64],
    radii: FloatArray,
    changes: FloatArray | None = None,
    steps: FloatArray | None = None,
    *,
    positions: FloatArray | None = None,
    parameters: int | None = None,
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
    steps : array (N,), optional
        The order of the samples within their paths; by default as they stand.
    positions : array (N, p), optional
        The samples in weights space, by default `points`: it is there that random walks are told
        from training. Predictions of a long walk stay within bounds, as those of a run do that
        goes out and comes back.
    parameters : int, optional
        P, by default as many as `positions` have coordinates.
    """
    has_paths = len(np.unique(paths[paths >= 0])) > 1
    order = np.arange(len(points), dtype=np.float64) if steps is None else steps
    where = points if positions is None else positions
    known = np.isfinite(losses)
    found = Scores(
        trust=scores.trustworthiness(points, coordinates, seed=seed),
        honest=scores.readable(coordinates, losses, paths, seed),
        by_radius=scores.readable(radii[:, None], losses, paths, seed),
        beyond_radius=scores.gain(coordinates, losses, radii[:, None], paths, seed),
        contrast=scores.contrast(points, seed),
        dimension=scores.intrinsic_dimension(points, seed),
        directedness=scores.directedness(where, paths, order),
        has_paths=has_paths,
        stretch=scores.stretch(points, coordinates, seed),
        count=len(points),
        distinct=len(Distinct.of(points).points),
        finite=int(known.sum()),
        checkpoints=scores.checkpoints(paths),
        turning=scores.turning(where, paths, order),
        parameters=where.shape[1] if parameters is None else parameters,
        alike=bool(known.any()) and np.ptp(losses[known]) == 0,
    )
    if changes is not None:
        both = np.column_stack([radii, changes])
        found = replace(
            found,
            by_change=scores.readable(changes[:, None], losses, paths, seed),
            beyond_both=scores.gain(coordinates, losses, both, paths, seed),
        )
    return judge(found)
