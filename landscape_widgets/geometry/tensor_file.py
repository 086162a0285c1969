"""Safetensors files written piece by piece and mapped into memory.

The safetensors package writes tensors that are whole and in memory. Here a file may be longer than
the memory there is: its header comes first, what follows is written as it comes, and what is read
is mapped, so that the system keeps of it what fits.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
WRITTEN = 1 << 22  # numbers that go to the file at a time

Header = dict[str, Any]


def header_of(
    shapes: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
    metadata: Mapping[str, str],
    length: int = 0,
) -> bytes:
    """The head of a file whose tensors follow in this order; `length` bytes long at least."""
    entries: Header = {"__metadata__": dict(metadata)}
    position = 0
    for name, (dtype, shape) in shapes.items():
        end = position + math.prod(shape) * dtype.itemsize
        entries[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(entries, ensure_ascii=False).encode()
    text = text.ljust(max(length - 8, len(text) + -len(text) % 8))  # numbers lie at multiples of 8
    return struct.pack("<Q", len(text)) + text


def read_header(file: IO[bytes]) -> tuple[Header, int]:
    """The entries of a file by name, and where its tensors begin."""
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    entries: Header = json.loads(file.read(length))
    return entries, 8 + length


def write(file: IO[bytes], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a whole file, with no copy of any tensor."""
    # As the format wants it: the widest first, so that each lies at a multiple of its width.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    shapes = {name: (tensors[name].dtype, tuple(tensors[name].shape)) for name in names}
    file.write(header_of(shapes, metadata))
    for name in names:
        write_numbers(file, tensors[name])


def write_numbers(file: IO[bytes], tensor: Tensor) -> None:
    """Write a tensor's numbers, wherever it lies, a part at a time."""
    if tensor.ndim > 1 and not tensor.is_contiguous():
        for row in tensor:
            write_numbers(file, row)
        return
    flat = tensor.detach().reshape(-1)
    for start in range(0, len(flat), WRITTEN):
        part = flat[start : start + WRITTEN].cpu().contiguous()
        file.write(part.view(torch.uint8).numpy().data)


def map_all(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """All tensors of a file by name, mapped."""
    with open(path, "rb") as file:
        entries, start = read_header(file)
    return {
        name: mapped(
            path,
            start + entry["data_offsets"][0],
            DTYPES[entry["dtype"]],
            tuple(entry["shape"]),
        )
        for name, entry in entries.items()
        if name != "__metadata__"
    }


def mapped(
    file: str | os.PathLike[str] | IO[bytes],
    offset: int,
    dtype: torch.dtype,
    shape: tuple[int, ...],
) -> Tensor:
    """Numbers in a file, given by its path or open for writing, as a tensor that shares them."""
    if math.prod(shape) == 0:
        return torch.empty(shape, dtype=dtype)
    count = math.prod(shape) * dtype.itemsize
    # Shared with the file: of a private mapping the system grants no more than there is memory.
    may_write = not isinstance(file, (str, os.PathLike)) or os.access(file, os.W_OK)
    mode: Any = "r+" if may_write else "c"
    numbers = np.memmap(file, np.uint8, mode=mode, offset=offset, shape=(count,))
    return torch.from_numpy(numbers).view(dtype).view(shape)
