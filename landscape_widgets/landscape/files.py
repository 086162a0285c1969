"""Landscapes on disk: one safetensors file, with JSON for the rest, and no pickle.

Arrays have their full size from the start and results are written into them in place, so that a
run that is killed has lost nothing but the rows it was at. There is one of each quantity of the
samples, ``quantity:loss``, and of its standard errors, ``error:loss``. The first format called them
otherwise; its files are read and gone on with as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

import landscape_widgets
from landscape_widgets.evaluation.quantities import on_split
from landscape_widgets.geometry import tensor_file
from landscape_widgets.geometry.basis import Basis, ConcatenatedBasis, DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.resources import free_memory
from landscape_widgets.task.buffers import Buffers
from landscape_widgets.task.parameters import ParameterLayout

FORMAT, FORMER = "landscape-widgets 2", "landscape-widgets 1"


class File:
    """What `write` has written: tensors by name, which stay in the file, and a JSON document.

    Parameters
    ----------
    tensors, document
    former : bool
        Whether it is of the first format.
    """

    def __init__(
        self, tensors: dict[str, Tensor], document: dict[str, Any], former: bool = False
    ) -> None:
        names = _names_in_former(tensors) if former else {}
        self.tensors = {names.get(name, name): tensor for name, tensor in tensors.items()}
        self.document, self.former = document, former

    def may_lack(self, name: str) -> bool:
        """Whether a quantity was not to be had yet when the file was written.

        The first format knew metrics on the validation data alone where there were any.
        """
        kind, _, quantity = name.partition(":")
        return self.former and f"{kind}:{on_split(quantity, 'val')}" in self.tensors


def _names_in_former(names: Iterable[str]) -> dict[str, str]:
    """What arrays of the first format are called now, by what they were called."""
    names = list(names)
    measured = "val" if "val_losses" in names else "train"
    found = {
        "losses": "quantity:loss",
        "loss_errors": "error:loss",
        "val_losses": "quantity:val_loss",
    }
    for name in names:
        if name.startswith("metric:"):
            found[name] = f"quantity:{on_split(name.removeprefix('metric:'), measured)}"
    return found


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], document: Any) -> None:
    """Write tensors and a JSON document to `path`, all or nothing."""
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    metadata = {
        "format": FORMAT,
        "version": landscape_widgets.__version__,
        "document": json.dumps(document),
    }
    with open(partial, "wb") as file:
        tensor_file.write(file, tensors, metadata)
    os.replace(partial, target)


def read(path: str | os.PathLike[str]) -> File:
    """Read what `write` has written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of ours.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no file {os.fspath(path)!r}.")
    try:
        with safe_open(path, framework="np") as checked:
            metadata = checked.metadata() or {}
            if metadata.get("format") not in (FORMAT, FORMER):
                raise ValueError(
                    f"{os.fspath(path)!r} is of format {metadata.get('format')!r}; expected is "
                    f"{FORMAT!r}, as Landscape.save writes it."
                )
    except SafetensorError as error:
        raise ValueError(
            f"{os.fspath(path)!r} is no safetensors file ({error}); a file that Landscape.save "
            "has written is expected."
        ) from error
    former = metadata["format"] == FORMER
    return File(tensor_file.map_all(path), json.loads(metadata["document"]), former)


class Rows:
    """Arrays inside a file of `write`, to be written into row by row, in place.

    Parameters
    ----------
    path
    names : list of str
        Which arrays; those that an older file has no room for are left out.
    """

    def __init__(self, path: str | os.PathLike[str], names: list[str]) -> None:
        with open(path, "rb") as file:
            header, start = tensor_file.read_header(file)
        found = {_names_in_former(header).get(name, name): entry for name, entry in header.items()}
        self._arrays = {
            name: np.memmap(
                path,
                dtype=_DTYPES[found[name]["dtype"]],
                mode="r+",
                offset=start + found[name]["data_offsets"][0],
                shape=tuple(found[name]["shape"]),
            )
            for name in names
            if name in found
        }

    def put(self, rows: npt.NDArray[np.int64], values: Mapping[str, npt.ArrayLike]) -> None:
        """Write rows of several arrays; the last of them is written once the others are."""
        for name, array in self._arrays.items():
            if name in values:
                array[rows] = values[name]
                array.flush()


_DTYPES = {"F64": np.float64, "F32": np.float32, "BOOL": np.bool_, "I64": np.int64}


def pack_cloud(cloud: Cloud) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A cloud as tensors and a JSON document."""
    tensors = {"anchor": cloud.anchor, "coefficients": torch.from_numpy(cloud.coefficients)}
    moving = cloud.basis.buffers
    if moving is not None:
        tensors["buffers.anchor"], tensors["buffers.moves"] = moving.anchor, moving.moves
    return tensors, {
        "buffers": None
        if moving is None
        else [[name, list(shape)] for name, shape in zip(moving.names, moving.shapes, strict=True)],
        "space": cloud.space,
        "assumptions": list(cloud.assumptions),
        "table": {str(name): cloud.table[name].tolist() for name in cloud.table.columns},
        "basis": _pack_basis(cloud.basis, "basis", tensors),
    }


def _pack_basis(basis: Basis, name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Put a basis' vectors, under `name`, or what they are made of, into `tensors`."""
    if isinstance(basis, ConcatenatedBasis):
        parts = [
            _pack_basis(part, f"{name}.{number}", tensors)
            for number, part in enumerate(basis.parts)
        ]
        return {"kind": "concatenated", "parts": parts}
    if isinstance(basis, SeededBasis):
        tensors[f"{name}.scales"] = torch.from_numpy(basis.scales)
        tensors[f"{name}.witness"] = basis.witness()
        return {
            "kind": "seeded",
            "seed": basis.seed,
            "filter_normalised": basis.filter_normalised,
        }
    tensors[name] = basis.columns(slice(0, basis.size))
    return {"kind": "dense"}


def unpack_cloud(file: File, anchor: Tensor, layout: ParameterLayout) -> Cloud:
    """The cloud of a file, around the anchor at hand.

    Raises
    ------
    ValueError
        If this machine draws other directions from a seed than the one that wrote the file.
    """
    document = file.document["cloud"]
    packed = document.get("basis", {"kind": "dense"})  # the first files knew no other
    basis = _unpack_basis(packed, "basis", file, anchor, layout)
    moving = document.get("buffers")
    if moving is not None:
        basis.buffers = Buffers(
            tuple(name for name, _ in moving),
            tuple(torch.Size(shape) for _, shape in moving),
            file.tensors["buffers.anchor"],
            file.tensors["buffers.moves"],
        )
    return Cloud(
        anchor,
        basis,
        file.tensors["coefficients"].numpy().copy(),
        pd.DataFrame(document["table"]),
        document["space"],
        tuple(document.get("assumptions", ())),
    )


def _unpack_basis(
    packed: dict[str, Any], name: str, file: File, anchor: Tensor, layout: ParameterLayout
) -> Basis:
    if packed["kind"] == "concatenated":
        return ConcatenatedBasis(
            [
                _unpack_basis(part, f"{name}.{number}", file, anchor, layout)
                for number, part in enumerate(packed["parts"])
            ]
        )
    if packed["kind"] == "dense":
        vectors = file.tensors[name].to(anchor.dtype)
        # What does not fit there stays in the file and is moved row by row.
        fits = vectors.nbytes < free_memory(anchor.device) / 2
        return DenseBasis(vectors.to(anchor.device) if fits else vectors)
    scales, witness = file.tensors[f"{name}.scales"].numpy(), file.tensors[f"{name}.witness"]
    basis = SeededBasis(
        len(scales), packed["seed"], anchor, layout, packed["filter_normalised"], scales
    )
    found = basis.witness().to(witness)
    if found.shape != witness.shape or not torch.allclose(found, witness, rtol=1e-3, atol=1e-12):
        raise ValueError(
            "The file holds the seed of its directions, and this version of torch draws other "
            f"ones from it (torch is {torch.__version__}; the file is of "
            f"{file.document['torch']}). Load it with that version."
        )
    return basis
