"""How much memory is free, and how it is come by and kept."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

UNKNOWN = 4 << 30  # taken to be free where the system does not say
SHARE = 8  # at most an eighth of what is free is taken for what could be computed again
MOST = 512 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as in malloc.h


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_free_of_machine(), _free_of_container())


def _free_of_machine() -> int:
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN


def _free_of_container(group: Path = Path("/sys/fs/cgroup")) -> int:
    """What a container may still take, which is less than the machine has; all there is if none.

    Pages of files that nobody works on are counted to a container, and are free all the same.
    """
    limit = group / "memory.max"
    if not limit.exists() or not (text := limit.read_text().strip()).isdigit():
        return sys.maxsize
    used = int((group / "memory.current").read_text())
    for line in (group / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            used -= int(line.split()[1])
    return max(0, int(text) - used)


def zeros_like(vector: Tensor) -> Tensor:
    """A new vector of zeros.

    Of a long one, on a CPU, the first touch of each page takes longer than what is written there;
    NumPy asks the system for large pages (madvise, MADV_HUGEPAGE), which torch does not.
    """
    if vector.device.type != "cpu" or vector.dtype not in (torch.float32, torch.float64):
        return torch.zeros_like(vector)
    kind = np.float32 if vector.dtype == torch.float32 else np.float64
    return torch.from_numpy(np.zeros(vector.shape, kind))


def allowance(device: torch.device) -> int:
    """Bytes that may be held of what could be computed again."""
    return min(MOST, free_memory(device) // SHARE)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep some tens of megabytes that were freed.

    glibc keeps twice the largest block that was freed so far, or what MALLOC_TRIM_THRESHOLD_ says
    (a worker of Dask sets it). Activations that are freed one after the other come to more: they
    are given back to the system and come again page by page, in up to twice the time.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # these are the values that glibc learns at most
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
