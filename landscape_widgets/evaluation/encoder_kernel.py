"""Transformer encoder layers as one compiled loop, from attention to the last normalisation.

Activations are (features, tokens) for a few whole sequences, so that they stay in the core's own
caches from one end of a layer to the other, and weights are read as torch keeps them. Sequences are
filled up with tokens that nothing attends to, to a multiple of what a vector register holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import boolean, float32, int64
from numba.core import cgutils, types
from numba.extending import intrinsic

from landscape_widgets.evaluation.registers import (
    DEPTH,
    LANES,
    PANEL,
    WORD,
    block,
    call,
    compiled,
    constant,
    exponential,
    load,
    room,
    spread,
    store,
    turn,
)

TOKENS = 64  # in a tile, where sequences are that short
ROWS, SOME = 6, 8  # of a block of a product of `ABREAST` registers abreast, and of one

F1, F2, F3 = float32[::1], float32[:, ::1], float32[:, :, ::1]

_first, _further = block(ROWS), block(ROWS, onto=True)
_first_pair, _further_pair = block(2), block(2, onto=True)
_first_row, _further_row = block(1), block(1, onto=True)
_scores, _score = block(SOME, 1, turned=True), block(1, 1, turned=True)
_heads, _head = block(SOME, 1), block(1, 1)


@compiled([(int64, int64, int64, F2, F2, F1, boolean, boolean)])
def product(w, rows, depth, h, out, bias, onto, rectified):  # type: ignore[no-untyped-def]
    """out (rows, tokens) = W h + b, or that added to it, or the positive part; W by its address."""
    tokens, zeros = h.shape[1], np.zeros(ROWS, np.float32)
    x, y = int64(h.ctypes.data), int64(out.ctypes.data)
    whole = rows // ROWS * ROWS
    for column in range(0, 4 * tokens, 4 * PANEL):
        for k in range(0, depth, DEPTH):
            some = min(DEPTH, depth - k)
            positive, begun = rectified and k + DEPTH >= depth, onto or k > 0
            b, step = int64(bias.ctypes.data), 4
            if k > 0:
                b, step = int64(zeros.ctypes.data), 0
            u, v, z = w + 4 * k, x + 4 * k * tokens + column, y + column
            for _ in range(0, whole, ROWS):
                if begun:
                    _further(u, depth, v, tokens, z, tokens, b, some, positive)
                else:
                    _first(u, depth, v, tokens, z, tokens, b, some, positive)
                u, z, b = u + 4 * ROWS * depth, z + 4 * ROWS * tokens, b + step * ROWS
            if whole + 1 < rows:
                for _ in range(whole, rows - 1, 2):
                    if begun:
                        _further_pair(u, depth, v, tokens, z, tokens, b, some, positive)
                    else:
                        _first_pair(u, depth, v, tokens, z, tokens, b, some, positive)
                    u, z, b = u + 8 * depth, z + 8 * tokens, b + 2 * step
            if (rows - whole) % 2 == 1:
                if begun:
                    _further_row(u, depth, v, tokens, z, tokens, b, some, positive)
                else:
                    _first_row(u, depth, v, tokens, z, tokens, b, some, positive)


def _for_each(builder: Any, rows: Any, change: Callable[[Any, Any], Any], start: Any) -> Any:
    """Go through rows, with what goes from one to the next; what that is at the end."""
    reserve: Any = cgutils.alloca_once_value
    carried = reserve(builder, start)
    with cgutils.for_range(builder, rows) as loop:
        builder.store(change(loop.index, builder.load(carried)), carried)
    return builder.load(carried)


@intrinsic
def _softmax(context, scores, step, keys, scale):  # type: ignore[no-untyped-def]
    """LANES columns of scale times scores (keys, queries) to numbers that add up to one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scores, step, keys, scale = arguments
        factor = spread(builder, scale)

        def at(i: Any) -> Any:
            return builder.mul(i, step)

        def larger(i: Any, top: Any) -> Any:
            x = load(builder, scores, at(i))
            return builder.select(builder.fcmp_ordered(">", x, top), x, top)

        def power(i: Any, total: Any) -> Any:
            x = builder.fsub(load(builder, scores, at(i)), top)
            y = exponential(builder, builder.fmul(factor, x))
            store(builder, y, scores, at(i))
            return builder.fadd(total, y)

        def share(i: Any, part: Any) -> Any:
            store(builder, builder.fmul(load(builder, scores, at(i)), part), scores, at(i))
            return part

        top = _for_each(builder, keys, larger, load(builder, scores, WORD(0)))
        total = _for_each(builder, keys, power, constant(0.0))
        _for_each(builder, keys, share, builder.fdiv(constant(1.0), total))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.float32), generate


@compiled([(F2, int64, int64, int64, F2, F2, F1)])
def attend(qkv, heads, length, padded, out, scores, zeros):  # type: ignore[no-untyped-def]
    """out (features, tokens) = attention of each head in each sequence of `padded` tokens."""
    features, tokens = out.shape
    size = features // heads
    none, s = int64(zeros.ctypes.data), int64(scores.ctypes.data)
    keys, rows = length // SOME * SOME, size // SOME * SOME
    scale = np.float32(1) / np.sqrt(np.float32(size))
    for start in range(0, tokens // padded * padded, padded):
        for head in range(heads):
            q = int64(qkv.ctypes.data) + 4 * (head * size * tokens + start)
            k, o = (
                q + 4 * features * tokens,
                int64(out.ctypes.data) + 4 * (head * size * tokens + start),
            )
            v = k + 4 * features * tokens
            for c in range(0, 4 * padded, 4 * LANES):
                for i in range(0, keys, SOME):
                    to = s + 4 * i * padded + c
                    _scores(k + 4 * i, tokens, q + c, tokens, to, padded, none, size, False)
                for i in range(keys, length):
                    to = s + 4 * i * padded + c
                    _score(k + 4 * i, tokens, q + c, tokens, to, padded, none, size, False)
                _softmax(s + c, padded, length, scale)  # type: ignore[call-arg]
                for i in range(0, rows, SOME):
                    at = 4 * i * tokens
                    _heads(v + at, tokens, s + c, padded, o + at + c, tokens, none, length, False)
                for i in range(rows, size):
                    at = 4 * i * tokens
                    _head(v + at, tokens, s + c, padded, o + at + c, tokens, none, length, False)


@intrinsic
def _normalise(context, x, step, rows, gain, shift, eps, out):  # type: ignore[no-untyped-def]
    """Layer normalisation of LANES columns (rows, tokens)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, step, rows, gain, shift, eps, out = arguments
        one = constant(1.0)
        share = builder.fdiv(one, spread(builder, builder.sitofp(rows, ir.FloatType())))

        def deviation(i: Any) -> Any:
            return builder.fsub(load(builder, x, builder.mul(i, step)), mean)

        def add(i: Any, total: Any) -> Any:
            return builder.fadd(total, load(builder, x, builder.mul(i, step)))

        def add_square(i: Any, total: Any) -> Any:
            d = deviation(i)
            return builder.fadd(total, builder.fmul(d, d))

        def scaled(i: Any, scale: Any) -> Any:
            a, b = (spread(builder, load(builder, v, i, ir.FloatType())) for v in (gain, shift))
            y = builder.fadd(builder.fmul(builder.fmul(deviation(i), scale), a), b)
            store(builder, y, out, builder.mul(i, step))
            return scale

        mean = builder.fmul(_for_each(builder, rows, add, constant(0.0)), share)
        variance = builder.fmul(_for_each(builder, rows, add_square, constant(0.0)), share)
        sigma = call(builder, "sqrt", builder.fadd(variance, spread(builder, eps)))
        _for_each(builder, rows, scaled, builder.fdiv(one, sigma))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32, types.int64), generate


@compiled([(F2, F1, F1, float32, F2)])
def normalise(x, gain, shift, eps, out):  # type: ignore[no-untyped-def]
    """Layer normalisation of columns (features, tokens)."""
    features, tokens = x.shape
    a, b = int64(gain.ctypes.data), int64(shift.ctypes.data)
    for j in range(0, 4 * tokens, 4 * LANES):
        source, to = int64(x.ctypes.data) + j, int64(out.ctypes.data) + j
        _normalise(source, tokens, features, a, b, eps, to)  # type: ignore[call-arg]


@compiled([(F3, F3, int64[:, ::1], F2, int64, int64, boolean, float32[:, ::1])])
def encode(  # type: ignore[no-untyped-def]
    x, y, weights, vectors, heads, hidden, norm_first, eps
):
    """Put x (sequences, length, features) through encoder layers, to y.

    Parameters
    ----------
    x, y
    weights (layers, 4)
        Addresses of the matrices of each layer: queries, keys and values; attention's output; the
        two of the feedforward part.
    vectors (layers, 9 features + hidden)
        Their biases, in this order, and the gains and shifts of the two normalisations.
    heads, hidden : int
    norm_first : bool
        Normalise what goes into each part, instead of the sum of its input and output.
    eps (layers, 2)
        Of the normalisations.
    """
    sequences, length, features = x.shape
    padded = -length % LANES + length
    several = max(1, TOKENS // padded)
    tokens = several * padded
    tokens += -tokens % PANEL
    one, two = room(features, tokens), room(features, tokens)
    wide = room(max(hidden, 3 * features), tokens)
    qkv, inner = wide[: 3 * features], wide[:hidden]
    scores = room(length, padded)
    zeros = np.zeros(SOME, np.float32)
    for first in range(0, sequences, several):
        count = min(several, sequences - first)
        for s in range(count):
            turn(x[first + s], one[:, s * padded : s * padded + length])
        for layer in range(len(weights)):
            b, at = vectors[layer], 3 * features
            parts = b[:at], b[at : at + features]
            at += features
            first_bias, at = b[at : at + hidden], at + hidden
            second_bias, at = b[at : at + features], at + features
            gain_1, shift_1 = b[at : at + features], b[at + features : at + 2 * features]
            at += 2 * features
            gain_2, shift_2 = b[at : at + features], b[at + features : at + 2 * features]
            w = weights[layer]
            source = one
            if norm_first:
                normalise(one, gain_1, shift_1, eps[layer, 0], two)
                source = two
            product(w[0], 3 * features, features, source, qkv, parts[0], False, False)
            attend(qkv, heads, length, padded, two, scores, zeros)
            product(w[1], features, features, two, one, parts[1], True, False)
            if norm_first:
                normalise(one, gain_2, shift_2, eps[layer, 1], two)
                source = two
            else:
                normalise(one, gain_1, shift_1, eps[layer, 0], one)
                source = one
            product(w[2], hidden, features, source, inner, first_bias, False, True)
            product(w[3], features, hidden, inner, one, second_bias, True, False)
            if not norm_first:
                normalise(one, gain_2, shift_2, eps[layer, 1], one)
        for s in range(count):
            turn(one[:, s * padded : s * padded + length], y[first + s])
