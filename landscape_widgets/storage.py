"""Landscapes on disk: one safetensors file, with JSON for the rest, and no pickle.

Arrays have their full size from the start and results are written into them in place, so that a
run that is killed has lost nothing but the rows it was at.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import landscape_widgets
from landscape_widgets.basis import Basis, DenseBasis
from landscape_widgets.cloud import Cloud

FORMAT = "landscape-widgets 1"


class File:
    """What `write` has written: tensors by name, and a JSON document."""

    def __init__(self, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
        self.tensors = tensors
        self.document = document


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], document: Any) -> None:
    """Write tensors and a JSON document to `path`, all or nothing."""
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    metadata = {
        "format": FORMAT,
        "version": landscape_widgets.__version__,
        "document": json.dumps(document),
    }
    contiguous = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    save_file(contiguous, partial, metadata=metadata)
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
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(
                    f"{os.fspath(path)!r} is of format {metadata.get('format')!r}; expected is "
                    f"{FORMAT!r}, as Landscape.save writes it."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{os.fspath(path)!r} is no safetensors file ({error}); a file that Landscape.save "
            "has written is expected."
        ) from error
    return File(tensors, json.loads(metadata["document"]))


class Rows:
    """Arrays inside a file of `write`, to be written into row by row, in place."""

    def __init__(self, path: str | os.PathLike[str], names: list[str]) -> None:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        self._arrays = {
            name: np.memmap(
                path,
                dtype=_DTYPES[header[name]["dtype"]],
                mode="r+",
                offset=8 + length + header[name]["data_offsets"][0],
                shape=tuple(header[name]["shape"]),
            )
            for name in names
        }

    def put(self, rows: npt.NDArray[np.int64], values: Mapping[str, npt.ArrayLike]) -> None:
        """Write rows of several arrays; the last of them is written once the others are."""
        for name, value in values.items():
            array = self._arrays[name]
            array[rows] = value
            array.flush()


_DTYPES = {"F64": np.float64, "F32": np.float32, "BOOL": np.bool_, "I64": np.int64}


def pack_cloud(cloud: Cloud) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A cloud as tensors and a JSON document."""
    return (
        {
            "anchor": cloud.anchor,
            "basis": pack_basis(cloud.basis),
            "coefficients": torch.from_numpy(cloud.coefficients),
        },
        {
            "space": cloud.space,
            "table": {str(name): cloud.table[name].tolist() for name in cloud.table.columns},
        },
    )


def pack_basis(basis: Basis) -> Tensor:
    """All directions as one tensor (k, P)."""
    return basis.columns(slice(0, basis.size))


def unpack_cloud(file: File, anchor: Tensor) -> Cloud:
    """The cloud of a file, around the anchor at hand."""
    return Cloud(
        anchor,
        DenseBasis(file.tensors["basis"].to(anchor)),
        file.tensors["coefficients"].numpy(),
        pd.DataFrame(file.document["cloud"]["table"]),
        file.document["cloud"]["space"],
    )
