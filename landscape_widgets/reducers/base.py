"""What all reducers have in common: from points to a map, and later points onto that map."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from landscape_widgets.basis import FloatArray
from landscape_widgets.controls import Control
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never


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

    Attributes
    ----------
    info : dict
        What the last fit has to tell (final KL divergence, explained variances, ...).
    objective : str
        What is minimised, where frames tell of it.
    controls : tuple of Control
        Parameters that may be turned by hand.
    """

    info: dict[str, Any]
    objective: ClassVar[str] = ""
    controls: ClassVar[tuple[Control, ...]] = ()

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

    def _check_controls(self, *unset: str) -> None:
        """Raise where a parameter is not what its control expects; `unset` ones are left out."""
        for control in self.controls:
            if control.name not in unset:
                control.check(type(self).__name__, getattr(self, control.name))

    def check(self, n: int, d: int) -> None:  # noqa: B027
        """Raise a ValueError where n points in d dimensions are too few."""

    def warm_up(self) -> None:  # noqa: B027
        """Load and compile what the first fit would wait for; may run beside other work."""

    @abstractmethod
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
            If there are too few points, or some are not finite, huge, or all the same.
        """

    @abstractmethod
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

    @abstractmethod
    def place(self, points: FloatArray) -> FloatArray:
        """Coordinates (M, n_components) of further points (M, d) on the fitted map.

        The points that the map was made of stay where they are.
        """


def check_points(points: FloatArray) -> None:
    """Raise a ValueError where no map can be made: t-SNE would return NaN without a word."""
    if points.ndim != 2 or len(points) < 3:
        raise ValueError(
            f"Points of shape {points.shape} were given; at least 3 points (N, d) are expected. "
            "Sample more."
        )
    if not np.isfinite(points).all():
        rows = int((~np.isfinite(points).all(axis=1)).sum())
        raise ValueError(
            f"{rows} of {len(points)} points are not finite. Leave them out of the map."
        )
    spread = np.ptp(points, axis=0).max(initial=0.0)
    if spread == 0:
        raise ValueError(
            f"All {len(points)} points are the same, so there is nothing to map. "
            "Sample with a larger radius."
        )
    if np.abs(points).max() > 1e15:
        raise ValueError(
            f"Points reach {np.abs(points).max():.1e}; beyond 1e15 distances lose their meaning. "
            "Sample with a smaller radius, or rescale."
        )
