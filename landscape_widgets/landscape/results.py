"""What is known of the samples, row by row: snapshots, of which nobody sees a half.

Who evaluates samples makes another snapshot for each chunk of rows, and puts it in the place of the
last one in a single assignment. That costs no copy of all rows: snapshots share their columns, of
which only rows are written that none of them has, and each knows which rows it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape_widgets.evaluation.quantities import Evaluation
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
OUTPUTS = "outputs"


class Results:
    """Samples and what is known of them at one moment; nothing of it changes any more.

    Parameters
    ----------
    cloud : Cloud, optional
        The N samples; none at all by default.
    columns : dict of arrays (N, ...)
        By name in a file: "quantity:loss", "error:loss", "outputs". They are taken over, to be
        filled.
    evaluated : array (N,) of bool, optional
        Which rows of them are known; none by default.

    Attributes
    ----------
    cloud, evaluated
    columns : dict of arrays
        As they are kept: rows that are not evaluated hold anything.
    """

    def __init__(
        self,
        cloud: Cloud | None = None,
        columns: Mapping[str, Array] | None = None,
        evaluated: npt.NDArray[np.bool_] | None = None,
        _written: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.cloud, self.columns = cloud, dict(columns or {})
        none: npt.NDArray[np.bool_] = np.zeros(0 if cloud is None else len(cloud), dtype=bool)
        self.evaluated = none if evaluated is None else np.array(evaluated, dtype=bool)
        self.evaluated.flags.writeable = False
        # Rows that a snapshot has which shares these columns.
        self._written = self.evaluated.copy() if _written is None else _written

    @classmethod
    def blank(
        cls,
        cloud: Cloud | None,
        quantities: Iterable[str],
        estimated: Iterable[str] = (),
        outputs: tuple[int, ...] | None = None,
    ) -> Results:
        """Samples of which nothing is known yet.

        Parameters
        ----------
        cloud : Cloud, optional
        quantities, estimated : str
            Names of what is to be known, and of what of it has standard errors.
        outputs : tuple of int, optional
            Shape (m, ...) of the predictions of each, where they are to be kept.
        """
        names = [f"quantity:{name}" for name in quantities]
        names += [f"error:{name}" for name in estimated]
        n = 0 if cloud is None else len(cloud)
        columns: dict[str, Array] = {name: np.full(n, np.nan) for name in names}
        if outputs is not None:
            columns[OUTPUTS] = np.full((n, *outputs), np.nan, dtype=np.float32)
        return cls(cloud, columns)

    def __len__(self) -> int:
        return len(self.evaluated)

    # Readers

    @cached_property
    def values(self) -> Mapping[str, FloatArray]:
        """Quantities (N,) by name; NaN where not evaluated, or where it is not a number."""
        return self._known("quantity:")

    @cached_property
    def errors(self) -> Mapping[str, FloatArray]:
        """Standard errors (N,) of the quantities that are estimated."""
        return self._known("error:")

    @cached_property
    def outputs(self) -> npt.NDArray[np.float32] | None:
        """Predictions (N, m, ...) on the probe batch; None where they are not kept."""
        return self._known(OUTPUTS).get("")

    def _known(self, kind: str) -> Mapping[str, Array]:
        return MappingProxyType(
            {
                name.removeprefix(kind): self._masked(column)
                for name, column in self.columns.items()
                if name.startswith(kind)
            }
        )

    def _masked(self, column: Array) -> Array:
        """A column without what later snapshots know."""
        if self.evaluated.all():  # none of it is written any more
            found = column.view()
        else:
            found = np.full_like(column, np.nan)
            found[self.evaluated] = column[self.evaluated]
        found.flags.writeable = False
        return found

    # What follows from a snapshot

    def with_rows(self, rows: Rows, found: Evaluation) -> Results:
        """With what was found of some rows that had no values yet.

        Raises
        ------
        ValueError
            If one of them has.
        """
        if self.evaluated[rows].any():
            raise ValueError(
                f"Of {len(rows)} samples {int(self.evaluated[rows].sum())} are evaluated already."
            )
        columns, written = self.columns, self._written
        if written[rows].any():  # by a snapshot that this one does not come from
            columns = {name: column.copy() for name, column in columns.items()}
            written = self.evaluated.copy()
        for name, values in named(found).items():
            if name in columns:
                columns[name][rows] = values
        written[rows] = True
        evaluated = self.evaluated.copy()
        evaluated[rows] = True
        return Results(self.cloud, columns, evaluated, written)

    def grown(self, cloud: Cloud, *, outputs: bool) -> Results:
        """With samples behind those that are there; `outputs` says whether these are still kept."""
        more = len(cloud) - len(self)
        columns = {
            name: np.concatenate([column, np.full((more, *column.shape[1:]), np.nan, column.dtype)])
            for name, column in self.columns.items()
            if outputs or name != OUTPUTS
        }
        return Results(cloud, columns, np.append(self.evaluated, np.zeros(more, dtype=bool)))

    def dealt(self, order: Rows) -> Results:
        """With quantities and errors dealt out anew: row i gets those of ``order[i]``."""
        columns = {
            name: column if name == OUTPUTS else self._masked(column)[order]
            for name, column in self.columns.items()
        }
        return Results(self.cloud, columns, self.evaluated)


def named(found: Evaluation) -> dict[str, Array]:
    """An evaluation as columns."""
    columns: dict[str, Array] = {f"quantity:{name}": v for name, v in found.values.items()}
    columns |= {f"error:{name}": errors for name, errors in found.errors.items()}
    if found.outputs is not None:
        columns[OUTPUTS] = found.outputs
    return columns
