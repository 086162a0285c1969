"""UMAP's layout: attractions along the graph and sampled repulsions, epoch by epoch.

Written after `umap.layouts.optimize_layout_euclidean` of umap-learn 0.5 (BSD-3-Clause), which can
be neither looked into nor stopped, and is compiled in every process: the same steps in the same
order, with the same random numbers, so that from the same graph and start comes the same map, bit
for bit, which a test compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.reducers.compiled import compiled

NEGATIVES = 5  # repulsions for each attraction
GAMMA = 1.0  # their strength
Layout = npt.NDArray[np.float32]
# Told of each epoch that is done, and the layout as it is then; says whether to stop.
Watch = Callable[[int, Layout], bool]


def run_epochs(
    layout: Layout,
    others: Layout,
    graph: scipy.sparse.coo_matrix,
    *,
    epochs: int,
    curve: tuple[float, float],
    rate: float,
    seeds: npt.NDArray[np.int64],
    watch: Watch,
) -> None:
    """Move a layout in place.

    Parameters
    ----------
    layout : float32 array (M, c)
    others : float32 array (N, c)
        What it is attracted and repelled by: itself, or another layout, which then stays.
    graph : scipy.sparse.coo_matrix, (M, N)
        Strengths of attraction.
    epochs : int
        In each, the strongest edge attracts once, others in proportion.
    curve : tuple of float
        a and b of the likeness on the map, 1 / (1 + a d^2b).
    rate : float
        The first step's; it falls to 0.
    seeds : int64 array (3,)
        Of the random numbers.
    watch : callable
    """
    every = epochs / (epochs * (graph.data / graph.data.max())).astype(np.float64)
    every_negative = every / NEGATIVES
    next_sample, next_negative = every.copy(), every_negative.copy()
    states = np.full((len(layout), 3), seeds, dtype=np.int64)
    states += layout[:, 0].astype(np.float64).view(np.int64).reshape(-1, 1)
    now = rate
    heads, tails = graph.row.astype(np.int32), graph.col.astype(np.int32)
    for epoch in range(epochs):
        _epoch(
            layout, others, layout is others, heads, tails, every, every_negative,
            next_sample, next_negative, states, *curve, GAMMA, now, epoch,
        )  # fmt: skip
        now = rate * (1.0 - epoch / epochs)
        if watch(epoch + 1, layout):
            break


@compiled(fastmath=True)
def _random(state: Any) -> Any:
    """L'Ecuyer's combined Tausworthe generator: the next of 32 bits."""
    state[0] = (((state[0] & 4294967294) << 12) & 0xFFFFFFFF) ^ (
        (((state[0] << 13) & 0xFFFFFFFF) ^ state[0]) >> 19
    )
    state[1] = (((state[1] & 4294967288) << 4) & 0xFFFFFFFF) ^ (
        (((state[1] << 2) & 0xFFFFFFFF) ^ state[1]) >> 25
    )
    state[2] = (((state[2] & 4294967280) << 17) & 0xFFFFFFFF) ^ (
        (((state[2] << 3) & 0xFFFFFFFF) ^ state[2]) >> 11
    )
    return np.int32(state[0] ^ state[1] ^ state[2])


@compiled(fastmath=True)
def _squared(x: Any, y: Any) -> Any:
    total = np.float32(0)
    for d in range(len(x)):
        difference = x[d] - y[d]
        total += difference * difference
    return total


@compiled(fastmath=True)
def _epoch(  # type: ignore[no-untyped-def]
    layout, others, move_other, heads, tails, every, every_negative,
    next_sample, next_negative, states, a, b, gamma, rate, epoch,
):  # fmt: skip
    dimensions = layout.shape[1]
    for edge in range(len(every)):
        if next_sample[edge] > epoch:
            continue
        j = heads[edge]
        here, there = layout[j], others[tails[edge]]
        squared = _squared(here, there)
        pull = 0.0
        if squared > 0.0:
            pull = -2.0 * a * b * pow(squared, b - 1.0)
            pull /= a * pow(squared, b) + 1.0
        for d in range(dimensions):
            step = min(max(pull * (here[d] - there[d]), -4.0), 4.0)
            here[d] += step * rate
            if move_other:
                there[d] += -step * rate
        next_sample[edge] += every[edge]
        count = int((epoch - next_negative[edge]) / every_negative[edge])
        for _ in range(count):
            k = _random(states[j]) % len(others)
            there = others[k]
            squared = _squared(here, there)
            if squared > 0.0:
                push = 2.0 * gamma * b
                push /= (0.001 + squared) * (a * pow(squared, b) + 1)
                for d in range(dimensions):
                    here[d] += min(max(push * (here[d] - there[d]), -4.0), 4.0) * rate
        next_negative[edge] += count * every_negative[edge]


def begin(start: FloatArray, rng: np.random.Generator) -> Layout:
    """A layout from places of any size: 10 wide in each direction, no two in the same place."""
    scaled = start * (10 / np.abs(start).max())
    scaled = scaled + rng.normal(scale=1e-4, size=start.shape)
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    return np.ascontiguousarray(10 * (scaled - low) / (high - low), dtype=np.float32)
