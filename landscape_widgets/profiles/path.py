"""What is found along paths: through samples in order, straight from each to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """Quantities at m points of a path, in order.

    Attributes
    ----------
    coefficients : array (m, k)
        The points, in the basis of the cloud.
    distances : array (m,)
        How far each lies along the path, in units of the weights.
    samples : array (m,) of int
        Which sample each is; -1 between them.
    values : dict of arrays (m,)
        By quantity: "loss", and what else was taken.
    errors : dict of arrays (m,)
        Standard errors of those that are estimated.
    """

    coefficients: FloatArray
    distances: FloatArray
    samples: npt.NDArray[np.int64]
    values: dict[str, FloatArray]
    errors: dict[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.distances)

    def __repr__(self) -> str:
        through = int((self.samples >= 0).sum())
        return (
            f"<Path of {len(self)} points, {through} of them samples: length {self.length:.4g}, "
            f"loss {self.losses[0]:.4g} to {self.losses[-1]:.4g}, at most {self.height:.4g}>"
        )

    @property
    def losses(self) -> FloatArray:
        """Training losses, (m,)."""
        return self.values["loss"]

    @property
    def length(self) -> float:
        """How long the path is, in units of the weights."""
        return float(self.distances[-1])

    @property
    def shares(self) -> FloatArray:
        """How far along the path each point lies, from 0 to 1, (m,)."""
        if self.length > 0:
            return self.distances / self.length
        return np.linspace(0.0, 1.0, len(self))

    @property
    def peak(self) -> int:
        """The highest point; what is not a number is the highest."""
        return int(np.nan_to_num(self.losses, nan=np.inf).argmax())

    @property
    def height(self) -> float:
        """The highest loss on the path; infinite where one is not a number."""
        return float(np.nan_to_num(self.losses, nan=np.inf)[self.peak])

    @property
    def height_error(self) -> float:
        """Its standard error; 0 where losses are of all the data."""
        return float(self.errors["loss"][self.peak]) if "loss" in self.errors else 0.0

    @property
    def barrier(self) -> float:
        """How far the loss rises above the higher of both ends; 0 where it does not.

        What has to be climbed whichever end one comes from. `Slice.barriers` measures from the line
        that joins both ends, which is the same for ends of one height, and more for others.
        """
        return self.height - float(max(self.losses[0], self.losses[-1]))

    def to_frame(self) -> pd.DataFrame:
        """One row for each point: sample (-1 between), distance, share, and each quantity."""
        errors = {f"{name}_error": values for name, values in self.errors.items()}
        columns = {"sample": self.samples, "distance": self.distances, "share": self.shares}
        return pd.DataFrame({**columns, **self.values, **errors})


def samples_of(cloud: Cloud, way: int | Sequence[int]) -> list[int]:
    """The samples of a path, by its number or as they are given, in order.

    Raises
    ------
    ValueError, IndexError
        If there is no such path or sample, or there is only one.
    """
    if isinstance(way, Sequence):
        samples = [int(i) for i in way]
        for i in samples:
            cloud.check_index(i)
    else:
        numbers = cloud.table["path"].to_numpy()
        rows = np.flatnonzero(numbers == way)
        if way < 0 or not len(rows):
            there = sorted(set(numbers[numbers >= 0].tolist()))
            known = f"{there[0]} to {there[-1]}" if there else "none"
            raise ValueError(f"There is no path {way}; of these samples there are: {known}.")
        samples = rows[np.argsort(cloud.table["step"].to_numpy()[rows], kind="stable")].tolist()
        if "route" in cloud.table and isinstance(cloud.table["route"][samples[0]], str):
            samples.insert(0, 0)  # it starts at θ*, which all routes share
    if len(samples) < 2:
        raise ValueError(f"A path leads through 2 samples or more; {len(samples)} were given.")
    return samples


def between(start: FloatArray, end: FloatArray, places: npt.ArrayLike) -> FloatArray:
    """Rows (m, k) at `places` (m,), from 0 to 1, of the straight line between two rows (k,).

    Both ends come out as they are, to the bit.
    """
    t = np.asarray(places, dtype=np.float64)[:, None]
    found: FloatArray = (1 - t) * start + t * end
    return found


def cumulated(lengths: Sequence[float] | FloatArray) -> FloatArray:
    """Distances (m,) along a path from the lengths (m - 1,) of its pieces."""
    return np.concatenate([[0.0], np.cumsum(lengths)])


def vertices(places: FloatArray, losses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where parabolas through three neighbouring points are highest, and how high, where they are.

    What was seen at points misses the peaks between them; who looks for the lowest of many ways
    finds those whose peaks were missed.

    Parameters
    ----------
    places, losses : array (m,)
        Points in ascending order.

    Returns
    -------
    array (v,), array (v,)
        Of the parabolas that have a highest point between their three.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.0, 0.4, 1.0])
    >>> vertices(x, 3 - (x - 0.3) ** 2)
    (array([0.3]), array([3.]))
    """
    (x0, x1, x2), (f0, f1, f2) = (
        (values[:-2], values[1:-1], values[2:]) for values in (places, losses)
    )
    with np.errstate(all="ignore"):  # points in one place, and losses that are not finite
        rise, then = (f1 - f0) / (x1 - x0), (f2 - f1) / (x2 - x1)
        bend = (then - rise) / (x2 - x0)
        tops = (x0 + x1) / 2 - rise / (2 * bend)
        found = f0 + rise * (tops - x0) + bend * (tops - x0) * (tops - x1)
        inside = (bend < 0) & (tops > x0) & (tops < x2) & np.isfinite(found)
    return tops[inside], found[inside]
