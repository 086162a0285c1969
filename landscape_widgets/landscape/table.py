"""Samples as a table: what a reader of a landscape works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import pandas as pd

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud


def table(
    cloud: Cloud,
    evaluated: npt.NDArray[Any],
    coordinates: FloatArray,
    losses: Mapping[str, FloatArray | None],
    metrics: Mapping[str, FloatArray],
) -> pd.DataFrame:
    """One row for each evaluated sample, under its number.

    Columns: losses, radius, x, y (and z), sampler, kind, path, step, each metric, and what else the
    sampler tells.

    Parameters
    ----------
    cloud : Cloud
    evaluated : array (N,) of bool
    coordinates : array (N, 2 or 3)
    losses, metrics : dict of arrays (N,)
        What was evaluated, by name; None for what is not to be had.
    """
    columns: dict[str, Any] = {n: values for n, values in losses.items() if values is not None}
    columns["radius"] = cloud.table["radius"].to_numpy()
    columns.update(zip("xyz", coordinates.T, strict=False))
    for name in ("sampler", "kind", "path", "step"):
        columns[name] = cloud.table[name].to_numpy()
    columns.update(metrics)
    for name in cloud.table.columns:
        columns.setdefault(name, cloud.table[name].to_numpy())
    frame = pd.DataFrame(columns)
    frame.index.name = "sample"
    return frame[evaluated]
