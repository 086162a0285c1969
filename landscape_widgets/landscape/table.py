"""Samples as a table: what a reader of a landscape works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import pandas as pd

from landscape_widgets.evaluation.quantities import LOSSES
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud


def with_errors(
    values: Mapping[str, FloatArray], errors: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """The losses among some quantities, each with its standard errors behind it."""
    found: dict[str, FloatArray] = {}
    for name in filter(values.__contains__, LOSSES):
        found[name] = values[name]
        if name in errors:
            found[f"{name}_error"] = errors[name]
    return found


def table(
    cloud: Cloud,
    evaluated: npt.NDArray[Any],
    coordinates: FloatArray,
    values: Mapping[str, FloatArray],
    errors: Mapping[str, FloatArray],
) -> pd.DataFrame:
    """One row for each evaluated sample, under its number.

    Columns: losses (with their errors, as "loss_error"), radius, x, y (and z), sampler, kind, path,
    step, each metric, and what else the sampler tells.

    Parameters
    ----------
    cloud : Cloud
    evaluated : array (N,) of bool
    coordinates : array (N, 2 or 3)
    values, errors : dict of arrays (N,)
        Quantities, and standard errors, by the quantity's name.
    """
    columns: dict[str, Any] = with_errors(values, errors)
    columns["radius"] = cloud.table["radius"].to_numpy()
    columns.update(zip("xyz", coordinates.T, strict=False))
    for name in ("sampler", "kind", "path", "step"):
        columns[name] = cloud.table[name].to_numpy()
    columns.update(values)
    for name in cloud.table.columns:
        columns.setdefault(name, cloud.table[name].to_numpy())
    frame = pd.DataFrame(columns)
    frame.index.name = "sample"
    return frame[evaluated]
