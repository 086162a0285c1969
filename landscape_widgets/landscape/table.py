"""Samples as a table: what a reader of a landscape works with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from landscape_widgets.evaluation.quantities import LOSSES
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.landscape.results import Results


def with_errors(results: Results) -> dict[str, FloatArray]:
    """The losses of samples, each with its standard errors behind it."""
    found: dict[str, FloatArray] = {}
    for name in filter(results.values.__contains__, LOSSES):
        found[name] = results.values[name]
        if name in results.errors:
            found[f"{name}_error"] = results.errors[name]
    return found


def table(results: Results, coordinates: FloatArray) -> pd.DataFrame:
    """One row for each evaluated sample, under its number.

    Columns: losses (with their errors, as "loss_error"), radius, x, y (and z), name ("θ*", "M1",
    see `Cloud.names`), sampler, kind, path, step, each metric, and what else the sampler tells.

    Parameters
    ----------
    results : Results
    coordinates : array (N, 2 or 3)
    """
    cloud = results.cloud
    assert cloud is not None
    columns: dict[str, Any] = with_errors(results)
    columns["radius"] = cloud.table["radius"].to_numpy()
    columns.update(zip("xyz", coordinates.T, strict=False))
    columns["name"] = [cloud.names.get(row, "") for row in range(len(cloud))]
    for name in ("sampler", "kind", "path", "step"):
        columns[name] = cloud.table[name].to_numpy()
    columns.update(results.values)
    for name in cloud.table.columns:
        columns.setdefault(name, cloud.table[name].to_numpy())
    frame = pd.DataFrame(columns)
    frame.index.name = "sample"
    return frame[results.evaluated]
