"""Multilayer perceptrons with ReLUs as one compiled loop (numba): what torch cannot fuse on a CPU.

Activations are (features, examples) for one parameter vector and one tile of examples, so that a
layer's input and output stay in the core's own caches and nothing is written that is not read
again at once. The interpreter's lock is not held: threads share the parameter vectors.

Importing this module compiles it, some seconds once a machine: numba keeps what it made.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64

from landscape_widgets.evaluation.kernels.registers import (
    LANES,
    PANEL,
    block,
    compiled,
    exp,
    zeros,
)

TILE = 64  # examples side by side, known to the compiler: a layer of them stays in the first cache
BLOCK = 4  # rows of a product that are held in registers; a layer's outputs are padded to it
KEPT = 1 << 18  # numbers in the weights that go through all tiles together: 1 MiB, half of a core's

F1, F2, F3, F4 = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :, ::1]


_rows, _row = block(BLOCK), block(1)


@compiled([(F1, int64, int64, int64, int64, F2, F2, int64)])
def product(packed, weights, bias, rows, inputs, h, out, rectified):  # type: ignore[no-untyped-def]
    """out = W h + b, or its positive part; W (rows, inputs) and b begin there in `packed`."""
    w = int64(packed.ctypes.data) + 4 * weights
    b = int64(packed.ctypes.data) + 4 * bias
    x, y = int64(h.ctypes.data), int64(out.ctypes.data)
    for column in range(0, TILE, PANEL):
        for i in range(0, rows, BLOCK):
            _rows(
                w + 4 * i * inputs, inputs, x + 4 * column, TILE,
                y + 4 * (i * TILE + column), TILE, b + 4 * i, inputs, rectified != 0,
            )  # fmt: skip


@compiled([(F1, F4, int64, F2)])
def combine(c, products, tile, out):  # type: ignore[no-untyped-def]
    """out = the positive part of Σ_q c[q] products[q, tile]."""
    k, tiles, features, _ = products.shape
    nothing = np.zeros(1, np.float32)
    w, none = int64(c.ctypes.data), int64(nothing.ctypes.data)
    x = int64(products.ctypes.data) + 4 * tile * features * TILE
    y = int64(out.ctypes.data)
    for place in range(0, features * TILE, PANEL):
        _row(
            w, k, x + 4 * place, tiles * features * TILE, y + 4 * place, TILE, none, k, True
        )  # fmt: skip


@compiled([(F2, F2, F2)])
def mix(c, base, out):  # type: ignore[no-untyped-def]
    """out (r, p) = c (r, k + 1) @ base (k + 1, p), each row by itself."""
    for v in range(len(c)):
        row, first = out[v], base[0]
        for j in range(len(row)):
            row[j] = c[v, 0] * first[j]
        for q in range(1, c.shape[1]):
            direction, cq = base[q], c[v, q]
            for j in range(len(row)):
                row[j] += cq * direction[j]


@compiled([(F1, int64[:, ::1], F1, F4, F3, int64, F2, F2)])
def forward(packed, layers, c, products, inputs, tile, one, other):  # type: ignore[no-untyped-def]
    """Outputs (padded n, TILE) of one network on one tile, in either of two buffers.

    Parameters
    ----------
    packed (p,)
        Weights and biases, their rows padded with zeros to multiples of `BLOCK`.
    layers (L, 5)
        Of each layer: where its weights and its bias begin in `packed`, its padded outputs, its
        inputs, and whether a ReLU follows.
    c (k + 1,), products (k + 1, tiles, features, TILE)
        The first layer's pre-activations, which a ReLU follows, as they are affine in c; with k + 1
        = 0 the first of `layers` takes `inputs` (tiles, in, TILE) instead.
    """
    h = one
    if len(c) > 0:
        combine(c, products, tile, one)
        one, other = other, one
    else:
        h = inputs[tile]
    for number in range(len(layers)):
        weights, bias, rows, columns, rectified = layers[number]
        product(packed, weights, bias, rows, columns, h, one, rectified)
        h = one
        one, other = other, one
    return h


@compiled([(F2, int64, int32[::1], F2)])
def cross_entropy(z, classes, targets, losses):  # type: ignore[no-untyped-def]
    """Σ_j log Σ_c exp(z_cj − z_{y_j}j) of outputs (classes or more, TILE) of one tile.

    With d_c = z_c − z_y and m = max(0, max_c d_c) each is
    m + log1p(e^(−m) − 1 + Σ_{c≠y} e^(d_c − m)), in which nothing overflows, and nothing is lost
    where it is tiny. Examples with a negative target do not count.
    """
    own, top, others, differences = losses[0], losses[1], losses[2], losses[3]
    place = int64(differences.ctypes.data)
    for j in range(TILE):
        own[j] = z[max(targets[j], 0), j]
        top[j] = 0.0
        others[j] = 0.0
    for c in range(classes):
        row = z[c]
        for j in range(TILE):
            d = row[j] - own[j]
            top[j] = d if d > top[j] else top[j]
    for c in range(classes):
        row = z[c]
        for j in range(TILE):
            differences[j] = row[j] - own[j] - top[j]
        for j in range(0, 4 * TILE, 4 * LANES):
            exp(place + j, place + j)  # type: ignore[call-arg]
        for j in range(TILE):
            others[j] += differences[j] - (np.float32(1) if targets[j] == c else np.float32(0))
    total = 0.0
    for j in range(TILE):
        if targets[j] < 0:
            top[j] = 0.0
            others[j] = 0.0
        total += np.float64(top[j])
    # (1 + a)(1 + b)(1 + c)(1 + d) − 1, added up so that nothing is lost where all are tiny.
    quarter = TILE // 4
    for j in range(quarter):
        a, b = np.float64(others[j]), np.float64(others[j + quarter])
        d, e = np.float64(others[j + 2 * quarter]), np.float64(others[j + 3 * quarter])
        first, second = a + b + a * b, d + e + d * e
        total += np.log1p(first + second + first * second)
    return total


@compiled([(int64[:, ::1], F4)])
def _buffer(layers, products):  # type: ignore[no-untyped-def]
    """Room for any layer's outputs on one tile."""
    rows = products.shape[2]
    for number in range(len(layers)):
        rows = max(rows, layers[number, 2])
    return zeros(rows, TILE)


@compiled([(F2, int64[:, ::1], F2, F4, F3, int64, int32[:, ::1], float64[::1])])
def cross_entropies(  # type: ignore[no-untyped-def]
    packed, layers, c, products, inputs, classes, targets, totals
):
    """Add to each of `totals` (r,) the cross-entropies of all examples; see `forward`.

    Weights of a few networks go through all tiles while they are in the core's cache.
    """
    one, other = _buffer(layers, products), _buffer(layers, products)
    losses = zeros(4, TILE)
    several = max(1, KEPT // packed.shape[1])
    for start in range(0, len(packed), several):
        for tile in range(len(targets)):
            for v in range(start, min(start + several, len(packed))):
                z = forward(packed[v], layers, c[v], products, inputs, tile, one, other)
                totals[v] += cross_entropy(z, classes, targets[tile], losses)


@compiled([(F2, int64[:, ::1], F2, F4, F3, F3)])
def outputs(packed, layers, c, products, inputs, found):  # type: ignore[no-untyped-def]
    """Write the outputs of r networks into `found` (r, n, tiles · TILE); see `forward`."""
    one, other = _buffer(layers, products), _buffer(layers, products)
    several = max(1, KEPT // packed.shape[1])
    for start in range(0, len(packed), several):
        for tile in range(found.shape[2] // TILE):
            for v in range(start, min(start + several, len(packed))):
                z = forward(packed[v], layers, c[v], products, inputs, tile, one, other)
                for i in range(found.shape[1]):
                    found[v, i, tile * TILE : (tile + 1) * TILE] = z[i]
