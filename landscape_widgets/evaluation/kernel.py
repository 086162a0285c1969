"""Multilayer perceptrons with ReLUs as one compiled loop (numba): what torch cannot fuse on a CPU.

Activations are (features, examples) for one parameter vector and one tile of examples, so that a
layer's input and output stay in the core's own caches and nothing is written that is not read
again at once. The interpreter's lock is not held: threads share the parameter vectors.

Importing this module compiles it, some seconds once a machine: numba keeps what it made.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import float32, float64, int32, int64
from numba.core import types
from numba.extending import intrinsic

TILE = 256  # examples in a tile: known to the compiler, it saves a fifth of the time
BLOCK = 4  # rows and columns of the weights that are held in registers; sizes are padded to it
LOG2_E = np.float32(1.4426950408889634)
# Reordering of sums is for the matrix products alone; not-a-number and infinity must live on.
PRODUCTS = {"contract", "reassoc", "nsz", "arcp"}
EXACT = {"contract", "nsz"}
# 2^f for |f| ≤ 1/2 by its Taylor series, (ln 2)^k / k!: relative error below 1e-8.
C1, C2, C3, C4, C5, C6, C7 = (
    np.float32(np.log(2.0) ** k / f) for k, f in enumerate((1, 2, 6, 24, 120, 720, 5040), 1)
)

F2, F3 = float32[:, ::1], float32[:, :, ::1]


@intrinsic
def _as_float(context: Any, bits: Any) -> Any:
    """The float32 with these 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


def _compiled(signature: Any, fastmath: Any) -> Any:
    return numba.njit(signature, nogil=True, cache=True, fastmath=fastmath)


def _product(known: int) -> Any:
    @_compiled([(F2, float32[::1], F2, F2, int64)], PRODUCTS)
    def product(weights, bias, h, out, columns):  # type: ignore[no-untyped-def]
        """out = weights @ h + bias for the first columns; weights' sizes are multiples of 4."""
        m = known or columns
        rows, inputs = weights.shape
        for i in range(0, rows, BLOCK):
            o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
            b0, b1, b2, b3 = bias[i], bias[i + 1], bias[i + 2], bias[i + 3]
            for j in range(m):
                o0[j] = b0
                o1[j] = b1
                o2[j] = b2
                o3[j] = b3
            w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            for k in range(0, inputs, BLOCK):
                h0, h1, h2, h3 = h[k], h[k + 1], h[k + 2], h[k + 3]
                w00, w01, w02, w03 = w0[k], w0[k + 1], w0[k + 2], w0[k + 3]
                w10, w11, w12, w13 = w1[k], w1[k + 1], w1[k + 2], w1[k + 3]
                w20, w21, w22, w23 = w2[k], w2[k + 1], w2[k + 2], w2[k + 3]
                w30, w31, w32, w33 = w3[k], w3[k + 1], w3[k + 2], w3[k + 3]
                for j in range(m):
                    x0, x1, x2, x3 = h0[j], h1[j], h2[j], h3[j]
                    o0[j] += w00 * x0 + w01 * x1 + w02 * x2 + w03 * x3
                    o1[j] += w10 * x0 + w11 * x1 + w12 * x2 + w13 * x3
                    o2[j] += w20 * x0 + w21 * x1 + w22 * x2 + w23 * x3
                    o3[j] += w30 * x0 + w31 * x1 + w32 * x2 + w33 * x3

    return product


_product_of_tile, _product_of_any = _product(TILE), _product(0)


@_compiled([(float32[::1], F3, F2, int64)], PRODUCTS)
def combine(c, products, out, m):  # type: ignore[no-untyped-def]
    """out = Σ_q c[q] products[q] for the first m columns."""
    for i in range(products.shape[1]):
        o = out[i]
        p = products[0, i]
        for j in range(m):
            o[j] = c[0] * p[j]
        for q in range(1, len(c)):
            p = products[q, i]
            cq = c[q]
            for j in range(m):
                o[j] += cq * p[j]


@_compiled([(F2, F2, F2)], EXACT)
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


@_compiled([(F2, int64, int64)], EXACT)
def _rectify(h, n, m):  # type: ignore[no-untyped-def]
    rows = min(len(h), (n + BLOCK - 1) // BLOCK * BLOCK)
    for i in range(n):
        row = h[i]
        for j in range(m):
            row[j] = np.float32(0) if row[j] < 0 else row[j]  # what is not a number stays so
    for i in range(n, rows):
        h[i, :m] = 0.0


@_compiled([(F2, int64[:, ::1], F2, F3, F2, int64, F3)], EXACT)
def forward(packed, layers, c, products, inputs, features, outputs):  # type: ignore[no-untyped-def]
    """Outputs (r, n, m) of r networks on one tile of m examples.

    Parameters
    ----------
    packed (r, p)
        Weights and biases, each padded with zeros to multiples of `BLOCK`.
    layers (L, 6)
        Of each layer: where its weights and its bias begin in `packed`, its padded outputs and
        inputs, its outputs, and whether a ReLU follows.
    c (r, k + 1), products (k + 1, features, m)
        The first layer's pre-activations, which a ReLU follows, as they are affine in c; with k + 1
        = 0 the first of `layers` takes `inputs` (padded inputs, m) instead.
    features
        Of the first layer.
    """
    m = outputs.shape[2]
    widest = (features + BLOCK - 1) // BLOCK * BLOCK
    for number in range(len(layers)):
        widest = max(widest, layers[number, 2])
    one, other = np.empty((widest, m), np.float32), np.empty((widest, m), np.float32)
    for v in range(len(packed)):
        h = inputs
        if c.shape[1] > 0:
            combine(c[v], products, one, m)
            _rectify(one, features, m)
            h = one
        into_other = True
        for number in range(len(layers)):
            w, b, rows, columns, n, rectified = layers[number]
            weights = packed[v, w : w + rows * columns].reshape((rows, columns))
            out = other if into_other else one
            if m == TILE:
                _product_of_tile(weights, packed[v, b : b + rows], h, out, m)
            else:
                _product_of_any(weights, packed[v, b : b + rows], h, out, m)
            if rectified:
                _rectify(out, n, m)
            for i in range(n, rows):  # 0 · ∞ is not a number
                out[i, :m] = 0.0
            h = out
            into_other = not into_other
        outputs[v] = h[: outputs.shape[1], :m]


@_compiled([(F3, int32[::1], float64[::1])], EXACT)
def cross_entropy(outputs, targets, totals):  # type: ignore[no-untyped-def]
    """Add to each of `totals` (r,) the Σ_j log1p(Σ_{c≠y_j} exp(z_cj − z_{y_j}j)) of its outputs.

    Outputs are (r, classes, m') with m' ≥ m; examples with a negative target do not count. Where
    a sum overflows the total is not finite.
    """
    m = len(targets)
    quarter = (m + 3) // 4
    own = np.empty(m, np.float32)
    others = np.empty(4 * quarter, np.float32)
    for v in range(len(outputs)):
        z = outputs[v]
        for j in range(m):
            own[j] = z[max(targets[j], 0), j]
        others[:] = 0.0
        for c in range(z.shape[0]):
            row = z[c]
            for j in range(m):
                x = (row[j] - own[j]) * LOG2_E
                x = np.float32(-127) if x < -127 else x
                x = np.float32(128) if x > 128 else x
                whole = np.floor(x + np.float32(0.5))
                f = x - whole
                series = C7 * f + C6
                series = series * f + C5
                series = series * f + C4
                series = series * f + C3
                series = series * f + C2
                series = series * f + C1
                series = series * f + np.float32(1)
                bits = (np.int32(whole) + np.int32(127)) << np.int32(23)
                power = series * _as_float(bits)  # type: ignore[call-arg]
                counts = (targets[j] != c) & (targets[j] >= 0)
                others[j] += power if counts else np.float32(0)
        total = 0.0
        # (1 + a)(1 + b)(1 + c)(1 + d) − 1, added up so that nothing is lost where all are tiny.
        for j in range(quarter):
            a, b = np.float64(others[j]), np.float64(others[j + quarter])
            d, e = np.float64(others[j + 2 * quarter]), np.float64(others[j + 3 * quarter])
            first, second = a + b + a * b, d + e + d * e
            total += np.log1p(first + second + first * second)
        totals[v] += total
