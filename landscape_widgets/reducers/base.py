"""What all reducers have in common: from points to a map, and later points onto that map."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import numpy as np

from landscape_widgets.controls import Control
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.reducers.distinct import Distinct, Projection


class Frame(NamedTuple):
    """An intermediate map, (N, c), after `iteration` of `total` steps.

    `objective` is what is being minimised (KL divergence, cross-entropy, stress), where known.
    """

    iteration: int
    total: int
    coordinates: FloatArray
    objective: float | None
    phase: str


FrameCallback = Callable[[Frame], None]


class Reducer(ABC):
    """Lays points out in 2 or 3 dimensions.

    Points that are the same lie in one place of the map, and count once while it is made. Three
    points (or four, in three dimensions) are laid out by every reducer as they lie: what tells
    them apart needs more.

    Attributes
    ----------
    info : dict
        What the last fit has to tell (final KL divergence, explained variances, ...).
    assumptions : tuple of str
        Sentences on what the last fit took in place of what was asked for, as fewer neighbours
        where there are not as many samples.
    objective : str
        What is minimised, where frames tell of it.
    controls : tuple of Control
        Parameters that may be turned by hand.
    """

    info: dict[str, Any]
    assumptions: tuple[str, ...] = ()
    objective: ClassVar[str] = ""
    controls: ClassVar[tuple[Control, ...]] = ()

    _counts_copies: ClassVar[bool] = False  # whether points that are the same weigh more than one
    _plain: Projection | None = None  # of points too few for anything else
    _compiles: ClassVar[bool] = False  # whether a fit may have to wait for numba
    _width = 1  # columns of the points, at least as many as the map has

    @property
    def name(self) -> str:
        """What the map is called after it."""
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, Any]:
        """The keywords that make such a reducer."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        known = inspect.signature(type(self)).parameters
        set_ = {n: v for n, v in self.parameters.items() if v != known[n].default}
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in set_.items())})"

    def warm_up(self, progress: ProgressCallback = ignore) -> None:  # noqa: B027
        """Load and compile what the first fit would wait for; may run beside other work."""

    def fit(
        self,
        points: FloatArray,
        *,
        n_components: int = 2,
        seed: int = 0,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_frame: FrameCallback | None = None,
    ) -> FloatArray:
        """Map points (N, d) to coordinates (N, n_components).

        Parameters
        ----------
        points
            Whose Euclidean distances count.
        n_components : {2, 3}
        seed : int
            The same seed gives the same map, bit for bit on one machine.
        progress, cancelled
            Once cancelled, the map that there is by then is returned.
        on_frame : callable, optional
            Gets intermediate maps.

        Raises
        ------
        ValueError
            If there are no points, or some are not finite or huge.
        """
        distinct = self._take(points, n_components)
        if self._plain is not None:
            coordinates = self._plain.place(distinct.points)
            self.info = {}
            progress(Progress("map", 1, 1))
            if on_frame is not None:
                on_frame(Frame(1, 1, distinct.spread(coordinates), None, "map"))
            return distinct.spread(coordinates)

        def frame(part: Frame) -> None:
            if on_frame is not None:
                on_frame(part._replace(coordinates=distinct.spread(part.coordinates)))

        with _telling(progress) if self._compiles else nullcontext(progress) as told:
            coordinates = self._fit(
                distinct.points,
                n_components,
                seed,
                told,
                cancelled,
                frame if on_frame is not None else None,
            )
        return distinct.spread(coordinates)

    def resume(self, points: FloatArray, coordinates: FloatArray, seed: int = 0) -> None:
        """Take up a map (N, c) of points (N, d) that was made before, to place more points on it.

        Parameters
        ----------
        points, coordinates
            Those of the map, which stays as it is.
        seed : int
            The one that it was made with.

        Raises
        ------
        ValueError
            If that cannot be done.
        """
        distinct = self._take(points, coordinates.shape[1])
        first = coordinates[distinct.first]
        if self._plain is not None:
            self._plain = Projection.from_map(distinct.points, first)
        else:
            self._resume(distinct.points, first, seed)

    def place(self, points: FloatArray) -> FloatArray:
        """Coordinates (M, n_components) of further points (M, d) on the fitted map.

        The points that the map was made of stay where they are.
        """
        points = _widened(points, self._width)
        if self._plain is not None:
            return self._plain.place(points)
        return self._place(points)

    def _take(self, points: FloatArray, n_components: int) -> Distinct:
        """The points that differ, which are looked at from here on."""
        check_points(points)
        self._width = n_components
        points = _widened(points, n_components)
        distinct = Distinct.of(points)
        n = len(distinct.points)
        if self._counts_copies:
            distinct = Distinct.every(points)
        few = n <= n_components + 1
        self._plain = Projection.of(distinct.points, n_components) if few else None
        self.assumptions = () if few else self._lower(n, n_components)
        return distinct

    def _lower(self, n: int, n_components: int) -> tuple[str, ...]:
        """Settle for what n points allow, where more is asked for; say what was lowered."""
        return ()

    @abstractmethod
    def _fit(
        self,
        points: FloatArray,
        n_components: int,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> FloatArray:
        """`fit`, of points (n, d) that all differ and are more than `n_components` + 1."""

    @abstractmethod
    def _resume(self, points: FloatArray, coordinates: FloatArray, seed: int) -> None:
        """`resume`, of such points."""

    @abstractmethod
    def _place(self, points: FloatArray) -> FloatArray:
        """`place`, on a map of such points."""


def _telling(progress: ProgressCallback) -> AbstractContextManager[ProgressCallback]:
    """Progress that tells of compiling, too."""
    try:
        from landscape_widgets.reducers.compiled import told_of_compiling
    except ImportError:  # of numba, which not all maps need
        return nullcontext(progress)
    return told_of_compiling(progress)


def lowered(what: str, asked: float, to: float, n: int) -> str:
    """How it is said that a reducer takes less than was asked for."""
    return (
        f"{what} {asked:g} is lowered to {to:.3g}, as there are only {n} samples that differ from "
        "each other."
    )


def _widened(points: FloatArray, width: int) -> FloatArray:
    """Points (n, d) of d < `width` dimensions, with zeros for those that are missing."""
    missing = max(0, width - points.shape[1])
    return np.pad(points, ((0, 0), (0, missing))) if missing else points


def check_points(points: FloatArray) -> None:
    """Raise a ValueError where no map can be made: t-SNE would return NaN without a word."""
    if points.ndim != 2 or len(points) < 1:
        raise ValueError(
            f"Points of shape {points.shape} were given; at least one point (N, d) is expected. "
            "Where all samples were left out of the map, none of them has finite coordinates in "
            'this space: take another space ("weights"), or sample with a smaller radius.'
        )
    if not np.isfinite(points).all():
        rows = int((~np.isfinite(points).all(axis=1)).sum())
        raise ValueError(
            f"{rows} of {len(points)} points are not finite. Leave them out of the map."
        )
    if np.abs(points).max(initial=0.0) > 1e15:
        raise ValueError(
            f"Points reach {np.abs(points).max():.1e}; beyond 1e15 distances lose their meaning. "
            "Sample with a smaller radius, or rescale."
        )
