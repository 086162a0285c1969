"""How much memory is free, and a store for what may be computed again that stays within it."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape_widgets.basis import Basis, DenseBasis

UNKNOWN = 4 << 30  # taken to be free where the system does not say
SHARE = 8  # at most an eighth of what is free is taken for what could be computed again
MOST = 512 << 20


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN


def allowance(device: torch.device) -> int:
    """Bytes that may be held of what could be computed again."""
    return min(MOST, free_memory(device) // SHARE)


class Store:
    """Tensors kept for a basis and some object, the least recently used ones given up first.

    What was made from a basis is forgotten with it, and when its vectors are written to.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[tuple[Any, ...], tuple[Any, Any, list[Tensor]]] = OrderedDict()

    def _key(self, basis: Basis, owner: object, columns: Sequence[int]) -> tuple[Any, ...]:
        version = basis.vectors._version if isinstance(basis, DenseBasis) else 0
        return (id(basis), version, id(owner), tuple(columns))

    def holds(self, basis: Basis, owner: object, columns: Sequence[int]) -> bool:
        """Whether `get` would find rather than make."""
        entry = self._held.get(self._key(basis, owner, columns))
        return entry is not None and entry[0]() is basis and entry[1]() is owner

    def get(
        self,
        basis: Basis,
        owner: object,
        columns: Sequence[int],
        make: Callable[[], list[Tensor]],
    ) -> list[Tensor]:
        """What was made for these directions of a basis and this owner, or is made now."""
        key = self._key(basis, owner, columns)
        if self.holds(basis, owner, columns):
            self._held.move_to_end(key)
            return self._held[key][2]
        made = make()
        self._held[key] = (weakref.ref(basis), weakref.ref(owner), made)
        self._held.move_to_end(key)
        self._trim(key)
        return made

    def _trim(self, newest: tuple[Any, ...]) -> None:
        for key, (basis, owner, _) in list(self._held.items()):
            if basis() is None or owner() is None:
                del self._held[key]
        while self.bytes > self.limit and next(iter(self._held)) != newest:
            self._held.popitem(last=False)

    @property
    def bytes(self) -> int:
        """Bytes that are held."""
        return sum(t.nbytes for _, _, tensors in self._held.values() for t in tensors)
