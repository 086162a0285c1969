"""Where the directions of a wandering cloud are kept, and whether there is room for them."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from landscape_widgets.geometry.directions import Directions, check_place
from landscape_widgets.objective.objective import Objective
from landscape_widgets.resources import free_memory

SHARE = 0.5  # of the memory that is free; what is more goes to a file


@dataclass(frozen=True)
class VectorStorage:
    """Room for vectors as long as θ*: in memory, or else in a file.

    Parameters
    ----------
    who : str
        Who asks, for messages.
    rows, size : int
        How many vectors at most, and P.
    dtype, device
    less : str
        What to ask for less of.
    path : path, optional
        A folder for a temporary file, or the name of a file that stays. By default memory as long
        as half of what is free is enough, and else a temporary file in `temporary_folder`.
    """

    who: str
    rows: int
    size: int
    dtype: torch.dtype
    device: torch.device
    less: str
    path: str | os.PathLike[str] | None = None

    @classmethod
    def around(
        cls,
        objective: Objective,
        who: str,
        rows: int,
        less: str,
        path: str | os.PathLike[str] | None = None,
    ) -> VectorStorage:
        """For vectors like θ*."""
        anchor = objective.anchor
        return cls(who, rows, objective.size, anchor.dtype, anchor.device, less, path)

    @property
    def needed(self) -> int:
        """Bytes of all of them."""
        return self.rows * self.size * self.dtype.itemsize

    @property
    def place(self) -> Path | None:
        """The folder or file; None for memory."""
        if self.path is not None:
            return Path(self.path)
        if self.needed <= SHARE * free_memory(self.device):
            return None
        return temporary_folder()

    def check(self) -> None:
        """Raise where there is no room.

        Raises
        ------
        ValueError
            With what would be needed, and what there is of memory and disk.
        FileNotFoundError, FileExistsError
            See `directions.check_place`.
        """
        place = self.place
        if place is None:
            return
        check_place(place)
        folder = place if place.is_dir() else place.parent
        room = shutil.disk_usage(folder).free
        if self.needed > room:
            memory = free_memory(self.device)
            raise ValueError(
                f"{self.who} would keep {self.rows:,} vectors of {self.size:,} parameters each, "
                f"{_gib(self.needed)}. Free are {_gib(memory)} of memory, of which half may be "
                f"taken, and {_gib(room)} of disk in {os.fspath(folder)!r}. Ask for fewer "
                f"{self.less}, give path= a folder with more room, or take a sampler of few "
                "directions (Minima, Subspace)."
            )

    def open(self) -> Directions:
        """Nothing yet, in the place that was found."""
        return Directions(self.rows, self.size, self.dtype, self.device, self.place)


def temporary_folder() -> Path:
    """TMPDIR where it is set, else /var/tmp where there is one: /tmp is often memory itself."""
    if not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        usual = Path("/var/tmp")
        if os.access(usual, os.W_OK):
            return usual
    return Path(tempfile.gettempdir())


def check_path(who: str, path: object) -> None:
    """Raise a TypeError unless it is a path or None."""
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"{who}(path={path!r}): a folder for a temporary file, the name of a file, or None is "
            f"expected; {type(path).__name__} was given."
        )


def check_memory(who: str, rows: int, objective: Objective, less: str) -> None:
    """Raise a ValueError if `rows` vectors as long as θ* do not fit into the free memory."""
    needed = rows * objective.size * objective.anchor.element_size()
    free = free_memory(objective.device)
    if needed > free:
        raise ValueError(
            f"{who} would hold {rows:,} vectors of {objective.size:,} parameters each, "
            f"{_gib(needed)}, and {_gib(free)} of memory are free. Ask for fewer {less}."
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"
