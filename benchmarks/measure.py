"""Timing side by side: repetitions interleaved, so that whatever else runs slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(
    works: Sequence[Callable[[], object]],
    repetitions: int,
    before: Callable[[], object] | None = None,
) -> list[tuple[float, ...]]:
    """Seconds of each piece of work, (repetitions, works): A B A B.

    `before` is called before each repetition, and not timed.
    """
    found = []
    for _ in range(repetitions):
        if before is not None:
            before()
        found.append(tuple(seconds(work) for work in works))
    return found


def median_ratio(times: Sequence[tuple[float, ...]], first: int = 0, second: int = 1) -> float:
    """Median over repetitions of how many times longer `first` takes than `second`."""
    return statistics.median(row[first] / row[second] for row in times)


def matrix_product_peak(size: int = 1536, repetitions: int = 5) -> float:
    """Operations a second in a large float32 matrix product: what the machine can do."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    best = min(seconds(lambda: a @ b) for _ in range(repetitions))
    return 2 * size**3 / best


def worst_disagreement(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest relative difference."""
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-30)))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(reached: bool) -> str:
    """Whether a target is reached, in a word."""
    return "yes" if reached else "**no**"
