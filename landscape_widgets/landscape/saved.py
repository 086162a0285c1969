"""A landscape as tensors and a JSON document, and back; and whether a file is of this model."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from landscape_widgets import reducers
from landscape_widgets.landscape import files
from landscape_widgets.landscape.map import Map, Measure
from landscape_widgets.landscape.results import Results
from landscape_widgets.objective import fingerprint
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Sampler


def save(
    path: str | os.PathLike[str],
    objective: Objective,
    results: Results,
    shown: Map | None,
    *,
    sampler: Sampler | None,
    seed: int,
    tolerance: float | None,
    weight_decay: float | None,
) -> None:
    """Write everything but the model and the data to one file.

    Parameters
    ----------
    path
    objective : Objective
        Of which fingerprints are written.
    results : Results
    shown : Map, optional
    sampler, seed, tolerance
        What the cloud was drawn and evaluated with.
    weight_decay
        What the model was trained with.
    """
    assert results.cloud is not None
    tensors, packed = files.pack_cloud(results.cloud)
    coordinates = np.full((len(results), 2), np.nan) if shown is None else shown.coordinates
    for name, values in results.columns.items():
        tensors[name] = torch.from_numpy(values)
    tensors["evaluated"] = torch.tensor(results.evaluated)
    tensors["coordinates"] = torch.tensor(coordinates)
    if shown is not None and shown.measure is not None and shown.measure.scale is not None:
        tensors["map_scale"] = torch.from_numpy(np.ascontiguousarray(shown.measure.scale))
    files.write(
        path,
        tensors,
        {
            "cloud": packed,
            "map": None if shown is None else _pack_map(shown),
            "model": fingerprint.of_model(objective),
            "data": fingerprint.of_data(objective),
            "sampler": repr(sampler),
            "reducer": None if shown is None else repr(shown.reducer),
            "space": None if shown is None else shown.space,
            "seed": seed,
            "tolerance": tolerance,
            "weight_decay": weight_decay,
            "torch": torch.__version__,
        },
    )


def _pack_map(shown: Map) -> dict[str, Any] | None:
    """How a map was made, as JSON; None where that cannot be told."""
    kinds = {kind.__name__: kind for kind in reducers.BY_NAME.values()}
    name = type(shown.reducer).__name__
    if shown.reducer is None or shown.measure is None or name not in kinds:
        return None

    def plain(values: dict[str, Any]) -> dict[str, Any]:
        return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in values.items()}

    return {
        "reducer": name,
        "parameters": plain(shown.reducer.parameters),
        "info": plain(shown.reducer.info),
        "standardise": shown.measure.standardise,
    }


def unpack_map(file: files.File) -> Map | None:
    """The map of a file; None where there is none."""
    space, origin = file.document["space"], file.document.get("map")
    if space is None:
        return None
    coordinates = file.tensors["coordinates"].numpy().copy()
    if origin is None:
        return Map(coordinates, space)
    reducer = type(reducers.resolve(origin["reducer"]))(**origin["parameters"])
    reducer.info = origin["info"]
    scale = file.tensors.get("map_scale")
    standardise = origin.get("standardise", False)  # the first files did not tell
    measure = Measure(space, None if scale is None else scale.numpy(), standardise)
    return Map(coordinates, space, measure, reducer, file.document["seed"], is_read=True)


def check_origin(
    file: files.File, path: object, objective: Objective, tolerance: float | None
) -> None:
    """Raise a ValueError where a file was made of another model, other data or otherwise."""
    saved = {**file.document["model"], **file.document["data"]}
    advice = {
        "parameters": "The model has other parameters. Give the architecture that was saved.",
        "weights": "The model has other weights. Load the weights that it was made with.",
        "loss": f"The loss was {saved['loss']}; give the same.",
        "batchnorm": f"batchnorm was {saved['batchnorm']!r}; give the same.",
        "train": "The training data, max_examples, batch_size or seed differ. Give the same.",
        "val": "The validation data differ. Give the same, or none if there were none.",
    }
    here = {**fingerprint.of_model(objective), **fingerprint.of_data(objective)}
    for name, value in here.items():
        if saved[name] != value:
            raise ValueError(f"{path} was not made of this model and data. {advice[name]}")
    made_with = file.document.get("tolerance")
    if made_with != tolerance:
        raise ValueError(
            f"{path} was made with tolerance={made_with}; given is {tolerance}. Give the same."
        )


def check_run(file: files.File, path: object, sampler: Sampler, seed: int) -> None:
    """Raise a ValueError where a file holds samples of another sampler or seed."""
    if file.document["sampler"] != repr(sampler) or file.document["seed"] != seed:
        raise ValueError(
            f"{path} holds samples of {file.document['sampler']} with seed "
            f"{file.document['seed']}; asked for is {sampler!r} with seed {seed}. "
            "Give another path, or delete the file."
        )


def read_results(file: files.File, blank: Results) -> Results:
    """What a file holds of the samples of `blank`, under the names of its columns.

    Raises
    ------
    ValueError
        If it holds no such column, and not since its format knew none.
    """
    columns = blank.columns
    for name in columns:
        if name in file.tensors:
            columns[name] = file.tensors[name].numpy().copy()
        elif not file.may_lack(name):
            raise ValueError(
                f"The file holds no {name.partition(':')[2]!r}. "
                "Give the metrics that it was saved with."
            )
    return Results(blank.cloud, columns, file.tensors["evaluated"].numpy())
