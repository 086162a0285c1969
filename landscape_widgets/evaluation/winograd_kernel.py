"""Convolutions of 3×3 by F(2×2, 3×3) of Winograd: 16 multiplications for four outputs, not 36.

Images are (n, height, width, channels). The 4×4 inputs of each tile of 2×2 outputs go through a
change of basis that takes sums and differences alone (`scatter`); at each of the 16 places the
tiles are multiplied with the kernel in that basis (`products`), and what comes out goes back
(`collect`), with whatever follows the convolution while it is in registers. The error is of the
size of the plain sum's, unlike that of larger tiles.

Lavin, A. and Gray, S. (2016). Fast algorithms for convolutional neural networks. CVPR.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import boolean, float32, int64
from numba.core import types
from numba.extending import intrinsic

from landscape_widgets.evaluation.registers import (
    DEPTH,
    LANES,
    NUMBERS,
    PANEL,
    WORD,
    block,
    compiled,
    constant,
    load,
    positive,
    room,
    store,
    turn,
)

PLACES = 16
ROWS = 6  # tiles in a block of a product: as many sums as there are registers for

F1, F2 = float32[::1], float32[:, ::1]
F3, F4 = float32[:, :, ::1], float32[:, :, :, ::1]

_first, _further = block(ROWS), block(ROWS, onto=True)
_first_one, _further_one = block(1), block(1, onto=True)


def _into(builder: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, ...]:
    """Four inputs in a row in the other basis."""
    return (
        builder.fsub(a, c), builder.fadd(b, c), builder.fsub(c, b), builder.fsub(b, d)
    )  # fmt: skip


def _back(builder: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, ...]:
    """Two outputs in a row from their four products."""
    return (
        builder.fadd(a, builder.fadd(b, c)), builder.fsub(builder.fsub(b, c), d)
    )  # fmt: skip


def _basis(builder: Any, a: Any, b: Any, c: Any) -> tuple[Any, ...]:
    """Three weights in a row in the other basis."""
    half = constant(0.5)
    even, odd = builder.fmul(builder.fadd(a, c), half), builder.fmul(b, half)
    return a, builder.fadd(even, odd), builder.fsub(even, odd), c


def _twice(builder: Any, change: Any, grid: list[list[Any]]) -> list[list[Any]]:
    """A change of basis of columns, and then of rows."""
    columns = [change(builder, *column) for column in zip(*grid, strict=True)]
    return [list(change(builder, *row)) for row in zip(*columns, strict=True)]


@intrinsic
def _pack(context, x, out, out_step):  # type: ignore[no-untyped-def]
    """LANES kernels of 3×3, each a column of rows of PANEL, to their 16 places."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, out, out_step = arguments
        grid = [[load(builder, x, WORD((3 * i + j) * PANEL)) for j in range(3)] for i in range(3)]
        for place, w in enumerate(itertools.chain(*_twice(builder, _basis, grid))):
            store(builder, w, out, builder.mul(out_step, WORD(place)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


@intrinsic
def _scatter(context, a, b, c, d, step, out, out_step):  # type: ignore[no-untyped-def]
    """LANES channels of a tile, in rows that begin at four addresses, to its 16 places."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *rows, step, out, out_step = arguments
        grid = [[load(builder, row, builder.mul(step, WORD(j))) for j in range(4)] for row in rows]
        changed = itertools.chain(*_twice(builder, _into, grid))
        for place, x in enumerate(changed):
            store(builder, x, out, builder.mul(out_step, WORD(place)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


@intrinsic
def _collect(  # type: ignore[no-untyped-def]
    context, m, m_step, bias, added, added_step, added_row, out, out_step, out_row, rectified, seen
):
    """Four outputs of a tile, LANES channels each; adds 0 times each of them to what is `seen`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        m, m_step, bias, added, added_step, added_row, out, out_step, out_row, rectified, seen = (
            arguments
        )
        grid = [
            [load(builder, m, builder.mul(m_step, WORD(4 * i + j))) for j in range(4)]
            for i in range(4)
        ]
        shift = load(builder, bias, WORD(0))
        total = None
        for i, row in enumerate(_twice(builder, _back, grid)):
            for j, x in enumerate(row):
                offset = builder.add(
                    builder.mul(added_row, WORD(i)), builder.mul(added_step, WORD(j))
                )
                y = builder.fadd(builder.fadd(x, shift), load(builder, added, offset))
                total = y if total is None else builder.fadd(total, y)
                place = builder.add(builder.mul(out_row, WORD(i)), builder.mul(out_step, WORD(j)))
                store(builder, positive(builder, y, rectified), out, place)
        nothing = builder.fmul(total, ir.Constant(NUMBERS, [0.0] * LANES))
        store(builder, builder.fadd(load(builder, seen, WORD(0)), nothing), seen, WORD(0))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, types.boolean, types.int64), generate


@compiled([(F2, F4)])
def pack(weight, packed):  # type: ignore[no-untyped-def]
    """Kernels (out, in · 9) in the other basis: (panels, 16, in, PANEL)."""
    inputs = packed.shape[2]
    turned = room(9 * LANES, PANEL)
    for panel in range(len(packed)):
        for c in range(0, inputs, LANES):
            some = weight[panel * PANEL : (panel + 1) * PANEL, 9 * c : 9 * (c + LANES)]
            turn(some, turned[:, : len(some)])
            start = int64(packed[panel, 0, c].ctypes.data)
            for i in range(LANES):
                x, out = int64(turned[9 * i].ctypes.data), start + 4 * i * PANEL
                for k in range(0, 4 * PANEL, 4 * LANES):
                    _pack(x + k, out + k, inputs * PANEL)  # type: ignore[call-arg]


@compiled([(F4, int64, int64, F1, F3, F3, int64)])
def scatter(x, image, row, zeros, patch, places, first):  # type: ignore[no-untyped-def]
    """A row of tiles of an image to their places (16, tiles, in), from tile `first` on."""
    _, height, width, channels = x.shape
    top, line = 2 * row - 1, 4 * width * channels
    none, corner = int64(zeros.ctypes.data), int64(patch.ctypes.data)
    start = int64(x.ctypes.data) + image * height * line
    out, out_step = int64(places.ctypes.data), places.shape[1] * channels
    for tile in range((width + 1) // 2):
        left = 2 * tile - 1
        if left >= 0 and left + 4 <= width:
            b = start + (top + 1) * line + 4 * left * channels
            a = b - line if top >= 0 else none
            c = b + line if top + 2 < height else none
            d = b + 2 * line if top + 3 < height else none
        else:
            for i in range(4):
                for j in range(4):
                    if 0 <= top + i < height and 0 <= left + j < width:
                        patch[4 * i + j, 0] = x[image, top + i, left + j]
                    else:
                        patch[4 * i + j, 0] = np.float32(0)
            a, b = corner, corner + 16 * channels
            c, d = b + 16 * channels, b + 32 * channels
        to = out + 4 * (first + tile) * channels
        for k in range(0, 4 * channels, 4 * LANES):
            _scatter(  # type: ignore[call-arg]
                a + k, b + k, c + k, d + k, channels, to + k, out_step
            )  # fmt: skip


@compiled([(F3, F4, int64, F3, F1)])
def products(places, packed, tiles, found, zeros):  # type: ignore[no-untyped-def]
    """found (16, tiles, out) = places (16, tiles, in) times the kernels, place by place."""
    channels, outputs = places.shape[2], found.shape[2]
    none, whole = int64(zeros.ctypes.data), tiles // ROWS * ROWS
    for place in range(PLACES):
        v, m = int64(places[place].ctypes.data), int64(found[place].ctypes.data)
        for panel in range(len(packed)):
            u, out = int64(packed[panel, place].ctypes.data), m + 4 * panel * PANEL
            for c in range(0, channels, DEPTH):
                depth = min(DEPTH, channels - c)
                w, h, y = v + 4 * c, u + 4 * c * PANEL, out
                for _ in range(0, whole, ROWS):
                    if c == 0:
                        _first(w, channels, h, PANEL, y, outputs, none, depth, False)
                    else:
                        _further(w, channels, h, PANEL, y, outputs, none, depth, False)
                    w, y = w + 4 * ROWS * channels, y + 4 * ROWS * outputs
                for _ in range(whole, tiles):
                    if c == 0:
                        _first_one(w, channels, h, PANEL, y, outputs, none, depth, False)
                    else:
                        _further_one(w, channels, h, PANEL, y, outputs, none, depth, False)
                    w, y = w + 4 * channels, y + 4 * outputs


@compiled([(F3, int64, F4, int64, int64, F1, F4, boolean, F1, F3, F1)])
def collect(  # type: ignore[no-untyped-def]
    found, first, y, image, row, bias, added, rectified, zeros, patch, seen
):
    """A row of tiles of an image from `found` (16, tiles, out), from tile `first` on."""
    _, height, width, channels = y.shape
    padded, m_step = found.shape[2], found.shape[1] * found.shape[2]
    shift, sight = int64(bias.ctypes.data), int64(seen.ctypes.data)
    corner, m = int64(patch.ctypes.data), int64(found.ctypes.data) + 4 * first * padded
    for tile in range((width + 1) // 2):
        down, right = min(2, height - 2 * row), min(2, width - 2 * tile)
        place = 4 * ((image * height + 2 * row) * width + 2 * tile) * channels
        to, to_row = int64(y.ctypes.data) + place, width * channels
        plus = int64(added.ctypes.data) + place
        if down + right < 4:
            to, to_row, plus = corner, 2 * channels, corner
            if added.size:
                for i in range(down):
                    for j in range(right):
                        patch[i, j] = added[image, 2 * row + i, 2 * tile + j]
        step, plus_row = channels, to_row
        if not added.size:
            plus, step, plus_row = int64(zeros.ctypes.data), 0, 0
        for k in range(0, 4 * channels, 4 * LANES):
            _collect(  # type: ignore[call-arg]
                m + k, m_step, shift + k, plus + (k if added.size else 0), step, plus_row,
                to + k, channels, to_row, rectified, sight,
            )  # fmt: skip
        if down + right < 4:
            for i in range(down):
                for j in range(right):
                    y[image, 2 * row + i, 2 * tile + j] = patch[i, j]
        m += 4 * padded


@compiled([(F4, F4, F1, F4, boolean, F4, int64, int64, F1)])
def convolve(x, packed, bias, added, rectified, y, begin, end, space):  # type: ignore[no-untyped-def]
    """Rows of tiles from `begin` to `end`, counted over all images; whether all is finite.

    Parameters
    ----------
    x (n, height, width, in), y (n, height, width, out)
    packed
        The kernels; see `pack`.
    bias (out,)
    added (n, height, width, out), or of size 0
        What is added to the convolution.
    rectified : bool
        Whether a ReLU follows.
    space
        To work in, enough for one row of tiles at least.
    """
    _, height, width, channels = x.shape
    rows, across, padded = (height + 1) // 2, (width + 1) // 2, len(packed) * PANEL
    tiles = len(space) // (PLACES * (channels + padded))
    several = tiles // across
    middle, last = PLACES * tiles * channels, PLACES * tiles * (channels + padded)
    places = space[:middle].reshape((PLACES, tiles, channels))
    found = space[middle:last].reshape((PLACES, tiles, padded))
    zeros, seen = np.zeros(4 * channels, np.float32), np.zeros(LANES, np.float32)
    before = np.empty((16, 1, channels), np.float32)
    after = np.zeros((2, 2, y.shape[3]), np.float32)
    for start in range(begin, end, several):
        stop = min(start + several, end)
        for row in range(start, stop):
            first = (row - start) * across
            scatter(x, row // rows, row % rows, zeros, before, places, first)
        products(places, packed, (stop - start) * across, found, zeros)
        for row in range(start, stop):
            first = (row - start) * across
            collect(
                found, first, y, row // rows, row % rows, bias, added, rectified,
                zeros, after, seen,
            )  # fmt: skip
    return np.isfinite(seen.sum())
