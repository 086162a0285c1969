"""A map of samples: what distances are measured in, and where each sample was placed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from landscape_widgets import reducers
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud, Space
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, Reducer

# Predictions are kept for "outputs" space and for the readouts as long as they fit in this.
OUTPUT_BYTES = 512 << 20


@dataclass(frozen=True, eq=False)
class Measure:
    """How samples become points of a space; fixed with a map, so that later samples join in.

    Parameters
    ----------
    space : {"weights", "outputs"}
    scale : array, optional
        Of "weights": the matrix (k, d) that makes coefficients isometric coordinates. Of "outputs":
        one over the standard deviation of each output, where they are standardised.
    standardise : bool
        Whether each parameter (or output) is measured in its own standard deviation.
    """

    space: Space
    scale: FloatArray | None
    standardise: bool = False

    @classmethod
    def of(
        cls,
        objective: Objective,
        cloud: Cloud,
        outputs: npt.NDArray[np.float32] | None,
        space: Space | None = None,
        standardise: bool = False,
    ) -> Measure:
        """That of a space, by default the cloud's own, for samples and their predictions.

        Raises
        ------
        ValueError
            If there is no such space, or predictions are not to be had or kept.
        """
        space = cloud.space if space is None else space
        if space == "weights":
            return cls(space, cloud.isometry(standardise), standardise)
        if space != "outputs":
            raise ValueError(f"space={space!r}; expected is 'weights' or 'outputs'.")
        if outputs is None:
            raise ValueError(_why_no_outputs(objective, len(cloud)))
        if not standardise:
            return cls(space, None)
        spread = np.nanstd(objective.output_features(outputs), axis=0)
        return cls(space, 1.0 / np.where(spread > 0, spread, 1.0), standardise)

    def points(
        self, objective: Objective, cloud: Cloud, outputs: npt.NDArray[np.float32] | None
    ) -> FloatArray:
        """Samples as points whose Euclidean distances are those of the space, (N, d)."""
        if self.space == "weights":
            return cloud.points(cast(FloatArray, self.scale))
        assert outputs is not None
        features = objective.output_features(outputs)
        return features if self.scale is None else features * self.scale


@dataclass(frozen=True, eq=False)
class Map:
    """Where samples lie in 2 or 3 dimensions, and by what they were put there.

    Never written to: samples that come later give another map, in which the others stay put.

    Parameters
    ----------
    coordinates : array (N, 2 or 3)
        NaN for samples that are not on it.
    space : {"weights", "outputs"}
        What distances are measured in.
    measure, reducer : optional
        What it was made with; both None where a file does not tell.
    seed : int
        The one that it was made with.
    is_read : bool
        Whether it comes from a file, so that its reducer has not seen the points yet.
    """

    coordinates: FloatArray
    space: Space
    measure: Measure | None = None
    reducer: Reducer | None = None
    seed: int = 0
    is_read: bool = False

    def __post_init__(self) -> None:
        self.coordinates.flags.writeable = False

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """Numbers of the samples that are on it."""
        return np.flatnonzero(np.isfinite(self.coordinates).all(axis=1))

    @property
    def settings(self) -> dict[str, Any]:
        """Keywords of `Landscape.embed` for another map that is made as this one was."""
        return {
            "reducer": copy.deepcopy(self.reducer),
            "space": self.space,
            "standardise": self.measure is not None and self.measure.standardise,
            "n_components": self.coordinates.shape[1],
        }

    def check_known(self) -> None:
        """Raise a ValueError where it is not known how the map was made, to place more on it."""
        if self.reducer is None:
            raise ValueError(
                "The file does not tell how its map was made, so nothing can be placed on it. "
                "Call .embed() first."
            )

    def points(
        self, objective: Objective, cloud: Cloud, outputs: npt.NDArray[np.float32] | None
    ) -> FloatArray:
        """Samples (N, d) as the map's measure takes them."""
        assert self.measure is not None
        return self.measure.points(objective, cloud, outputs)

    def extended(self, n: int) -> Map:
        """The same map of n samples, new ones without a place yet; or of the first n."""
        if n == len(self.coordinates):
            return self
        coordinates = np.full((n, self.coordinates.shape[1]), np.nan)
        coordinates[: len(self.coordinates)] = self.coordinates[:n]
        return replace(self, coordinates=coordinates)

    def placed(self, points: FloatArray, rows: npt.NDArray[np.intp]) -> Map:
        """With places for further samples.

        Parameters
        ----------
        points : array (N, d)
            All samples, as `measure` takes them.
        rows : array of int
            Which ones to place; those whose points are not finite stay without a place.
        """
        if self.reducer is None:
            return self
        if self.is_read:
            known = self.rows
            self.reducer.resume(points[known], self.coordinates[known], self.seed)
        coordinates = self.coordinates.copy()
        rows = rows[np.isfinite(points[rows]).all(axis=1)]
        if len(rows):
            coordinates[rows] = self.reducer.place(points[rows])
        return replace(self, coordinates=coordinates, is_read=False)


def embed(
    measure: Measure,
    points: FloatArray,
    evaluated: npt.NDArray[np.bool_],
    reducer: Reducer | str | None = None,
    *,
    n_components: int = 2,
    seed: int = 0,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
    on_frame: Callable[[Frame, npt.NDArray[np.int64]], None] | None = None,
) -> Map:
    """Lay out those samples that are evaluated and whose points are finite.

    Parameters
    ----------
    measure, points
        How samples were made points, and the points (N, d).
    evaluated : array (N,) of bool
    reducer, n_components, progress, cancelled, on_frame
        As for `Landscape.embed`.
    seed : int
        Of the reducer.
    """
    reducer = reducers.default(points.shape[1]) if reducer is None else reducers.resolve(reducer)
    rows = np.flatnonzero(evaluated & np.isfinite(points).all(axis=1))

    def frame(part: Frame) -> None:
        if on_frame is not None:
            on_frame(part, rows)

    found = reducer.fit(
        points[rows],
        n_components=n_components,
        seed=seed,
        progress=progress,
        cancelled=cancelled,
        on_frame=frame if on_frame is not None else None,
    )
    coordinates = np.full((len(points), n_components), np.nan)
    coordinates[rows] = found
    return Map(coordinates, measure.space, measure, reducer, seed)


def places(shown: Map | None, n: int) -> FloatArray:
    """Where n samples lie on a map, (n, 2 or 3): NaN for those that are not on it, or of none."""
    return np.full((n, 2), np.nan) if shown is None else shown.extended(n).coordinates


def outputs_fit(objective: Objective, n: int) -> bool:
    """Whether n samples' predictions on the probe batch are to be had, and small enough to keep."""
    shape = objective.outputs_shape
    return shape is not None and n * math.prod(shape) * 4 <= OUTPUT_BYTES


def _why_no_outputs(objective: Objective, n: int) -> str:
    shape = objective.outputs_shape
    if shape is None:
        return (
            "'outputs' space needs the predictions model(inputs), which this model does not "
            "give for its batches. Use space='weights'."
        )
    return (
        f"The predictions of {n} samples take {n * math.prod(shape) * 4 / 2**20:,.0f} MiB; at "
        f"most {OUTPUT_BYTES >> 20} are kept. Give fewer probe_examples, or use "
        "space='weights'."
    )
