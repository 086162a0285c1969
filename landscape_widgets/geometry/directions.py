"""Directions that come one by one, kept in memory or in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.tensor_file import header_of, mapped, read_header, write_numbers

FORMAT = "landscape-widgets directions 1"


class Directions:
    """At most so many vectors of length P, appended one by one.

    In memory there is one tensor from the start, of which the system gives only what is used. In
    a file they are written as they come, behind a safetensors header that says how many there are
    by now, and mapped into memory for reading: they may take more than there is, and the system
    keeps of them what fits.

    Parameters
    ----------
    most, size : int
        How many at most, and P.
    dtype, device
        Of the vectors in memory; those in a file are read on the CPU.
    place : path, optional
        A folder, for a temporary file that goes with the last tensor that looks into it, also
        when the process is killed; or a new file's name, which stays. By default memory.

    Raises
    ------
    FileNotFoundError, FileExistsError
        See `check_place`.
    """

    def __init__(
        self,
        most: int,
        size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        place: str | os.PathLike[str] | None = None,
    ) -> None:
        self.most, self.size, self.dtype = most, size, dtype
        self._count = 0
        self._file: IO[bytes] | None = None
        if place is None:
            self._vectors = torch.empty(most, size, dtype=dtype, device=device)
        else:
            self._file = _open(Path(place))
            self._start = len(self._header(most))  # long enough for every number there may be
            self._put_header()

    @property
    def in_file(self) -> bool:
        """Whether they are in a file."""
        return self._file is not None

    @property
    def _row(self) -> int:
        return self.size * self.dtype.itemsize

    def _header(self, count: int, length: int = 0) -> bytes:
        shapes = {"directions": (self.dtype, (count, self.size))}
        return header_of(shapes, {"format": FORMAT}, length)

    def _put_header(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        self._file.write(self._header(self._count, self._start))
        self._file.flush()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Tensor:
        """One of them, (P,), not copied."""
        if not 0 <= number < self._count:
            raise IndexError(f"Direction {number} was asked for; there are {self._count}.")
        if self._file is None:
            return self._vectors[number]
        return mapped(self._file, self._start + number * self._row, self.dtype, (self.size,))

    def append(self, vector: Tensor) -> None:
        """Take in one more.

        Raises
        ------
        OSError
            If the disk is full.
        """
        if self._count == self.most:
            raise IndexError(f"At most {self.most} directions were announced.")
        self._put(self._count, vector)
        self._count += 1
        if self._file is not None:
            self._put_header()

    def _put(self, number: int, vector: Tensor) -> None:
        if self._file is None:
            self._vectors[number] = vector
        else:  # not through a mapping: where the disk is full, that would end the process
            self._file.seek(self._start + number * self._row)
            write_numbers(self._file, vector.to(self.dtype))

    def truncate(self, count: int) -> None:
        """Keep the first `count` only."""
        if count < self._count:
            self._count = count
            if self._file is not None:
                self._file.truncate(self._start + count * self._row)
                self._put_header()

    def thin(self) -> None:
        """Keep the first and every second one after it."""
        kept = range(0, self._count, 2)
        for number, source in enumerate(kept):
            self._put(number, self[source].clone())
        self.truncate(len(kept))

    def basis(self) -> DenseBasis:
        """Those that came."""
        if self._file is None:
            return DenseBasis(self._vectors[: self._count])
        return DenseBasis(mapped(self._file, self._start, self.dtype, (self._count, self.size)))


def _open(place: Path) -> IO[bytes]:
    if place.is_dir():
        # Has no name on most systems: nothing is left of it, however the process ends.
        return tempfile.TemporaryFile(dir=place)
    check_place(place)
    place.unlink(missing_ok=True)  # whoever still looks into the old one keeps it
    return open(place, "w+b")


def check_place(place: Path) -> None:
    """Raise where directions must not be written.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    FileExistsError
        If there is such a file, and it holds something else than directions.
    """
    if not place.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {os.fspath(place.parent)!r}. Make it, or give another path."
        )
    if not place.exists() or place.is_dir():
        return
    try:
        with open(place, "rb") as file:
            ours = read_header(file)[0].get("__metadata__", {}).get("format") == FORMAT
    except Exception:  # whatever it is, it is not ours
        ours = False
    if not ours:
        raise FileExistsError(
            f"{os.fspath(place)!r} is there already and holds something else than directions. "
            "Give another path, or delete it."
        )
