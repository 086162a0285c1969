"""How far a landscape's map can be trusted: its readouts, and how alike other maps are."""

from __future__ import annotations

import copy
import math

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.landscape.map import Map, places
from landscape_widgets.landscape.results import Results
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.reducers.base import Frame
from landscape_widgets.trust import Faithfulness, assess, scores
from landscape_widgets.trust.terrain import SIZE, Terrain
from landscape_widgets.trust.terrain import terrain as told_between

SHARE = 0.8  # of the samples, of which each of the other maps is made


def judge(
    shown: Map,
    points: FloatArray,
    results: Results,
    objective: Objective,
    *,
    seed: int = 0,
) -> Faithfulness:
    """Judge a map by itself; see `trust.assess`.

    Parameters
    ----------
    shown : Map
    points : array (N, d)
        The samples, as the map's measure takes them.
    results : Results
        What is known of the samples.
    objective : Objective
    seed : int
        Of what the scores draw.
    """
    rows, cloud, outputs = shown.rows, results.cloud, results.outputs
    assert cloud is not None
    changes = None
    if outputs is not None:
        features = objective.output_features(outputs[rows])
        changes = np.linalg.norm(features - features[0], axis=1)
        known = changes[np.isfinite(changes)]
        farthest = float(known.max(initial=0.0))
        changes = np.nan_to_num(changes, nan=farthest, posinf=farthest)
    return assess(
        points[rows],
        shown.coordinates[rows],
        results.values["loss"][rows],
        cloud.table["path"].to_numpy()[rows],
        cloud.table["radius"].to_numpy()[rows],
        changes,
        cloud.table["step"].to_numpy(dtype=np.float64)[rows],
        positions=cloud.isometric()[rows],
        parameters=objective.size,
        seed=seed,
    )


def terrain(shown: Map, results: Results, *, size: int = SIZE, seed: int = 0) -> Terrain:
    """The loss between the samples of a map; see `trust.terrain.terrain`."""
    assert results.cloud is not None
    coordinates, losses = places(shown, len(results)), results.values["loss"]
    paths = results.cloud.table["path"].to_numpy()
    return told_between(coordinates, losses, paths, size=size, seed=seed)


def distortion(shown: Map, points: FloatArray) -> FloatArray:
    """Share of each sample's neighbours that the map does not show as such, (N,)."""
    rows = shown.rows
    found: FloatArray = np.full(len(shown.coordinates), np.nan)
    found[rows] = scores.distortion(points[rows], shown.coordinates[rows])
    return found


def agreement(
    shown: Map,
    points: FloatArray,
    seeds: int = 3,
    *,
    seed: int = 0,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> tuple[float, float]:
    """How alike a map and others of the same cloud are.

    Each of the others is made by another seed, of four fifths of the samples. By another seed
    alone, maps that start from principal components hardly differ, and PCA's not at all: that
    they agree says where they started, not what the samples are like. Whether the picture would
    have been the same had other samples been drawn is what a reader wants to know.

    Parameters
    ----------
    shown : Map
        With the reducer that made it.
    points : array (N, d)
        The samples, as the map's measure takes them.
    seeds : int
        How many maps are compared, this one among them: at least 2.
    seed : int
        The others are made with the ones that follow it.
    progress, cancelled
        As for `Landscape.embed`.

    Returns
    -------
    aligned, shared : float
        See `trust.scores.agreement`; NaN for too few samples.

    Raises
    ------
    ValueError
        If fewer than 2 maps are asked for.
    Cancelled
    """
    if seeds < 2:
        raise ValueError(f"seeds={seeds} was given; at least 2 maps can be compared.")
    assert shown.reducer is not None
    points, first = points[shown.rows], shown.coordinates[shown.rows]
    if SHARE * len(points) < scores.FEWEST:
        return math.nan, math.nan
    other = copy.deepcopy(shown.reducer)
    size = math.ceil(SHARE * len(points))
    maps = [first]
    # A map that was stopped is compared with others that were made for as long.
    most, made = shown.reducer.info.get("iterations", math.inf), 0

    def watch(frame: Frame) -> None:
        nonlocal made
        made = frame.iteration

    def ended() -> bool:
        return cancelled() or made >= most

    for number in range(1, seeds):
        made = 0
        rng = np.random.default_rng(seed + number)
        part = np.sort(rng.choice(len(points), size, replace=False))
        found = np.full_like(first, np.nan)
        found[part] = other.fit(
            points[part],
            n_components=found.shape[1],
            seed=seed + number,
            progress=_stage(progress, "agreement", number - 1, seeds - 1),
            cancelled=ended,
            on_frame=watch,
        )
        if cancelled():
            raise Cancelled
        maps.append(found)
    return scores.agreement(maps)


def _stage(progress: ProgressCallback, phase: str, number: int, stages: int) -> ProgressCallback:
    """Tell of one of several like pieces of work as a part of all of them."""

    def tell(part: Progress) -> None:
        progress(Progress(phase, number * part.total + part.done, stages * part.total))

    return tell
