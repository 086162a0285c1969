"""Transformer encoder layers as one compiled loop, from attention to the last normalisation.

Activations are (features, tokens) for a few whole sequences, so that they stay in the core's own
caches from one end of a layer to the other, and weights are read as torch keeps them. Sequences are
filled up with tokens that nothing attends to, to a multiple of what a vector register holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import boolean, float32, int64
from numba.core import cgutils, types
from numba.extending import intrinsic

from landscape_widgets.evaluation.registers import (
    ABREAST,
    LANES,
    WORD,
    block,
    compiled,
    constant,
    exponential,
    load,
    spread,
    store,
)

PANEL = LANES * ABREAST  # columns of a product
TOKENS = 64  # in a tile, where sequences are that short
ROWS, SOME = 6, 8  # of a block of a product of `ABREAST` registers abreast, and of one
DEPTH = 128  # features that are added up at a time: a panel of them stays in the first cache

F1, F2, F3 = float32[::1], float32[:, ::1], float32[:, :, ::1]

_first, _further = block(ROWS), block(ROWS, onto=True)
_first_pair, _further_pair = block(2), block(2, onto=True)
_first_row, _further_row = block(1), block(1, onto=True)
_scores, _score = block(SOME, 1, turned=True), block(1, 1, turned=True)
_heads, _head = block(SOME, 1), block(1, 1)


@compiled([(int64, int64, int64, F2, F2, F1, boolean, boolean)])
def product(w, rows, depth, h, out, bias, onto, rectified):  # type: ignore[no-untyped-def]
    """out (rows, tokens) = W h + b, or its positive part, or W h more; W begins at an address."""
    tokens, b = h.shape[1], int64(bias.ctypes.data)
    x, y = int64(h.ctypes.data), int64(out.ctypes.data)
    whole = rows // ROWS * ROWS
    for column in range(0, 4 * tokens, 4 * PANEL):
        for k in range(0, depth, DEPTH):
            some = min(DEPTH, depth - k)
            positive = rectified and k + DEPTH >= depth
            u, v = w + 4 * k, x + 4 * k * tokens + column
            for i in range(0, whole, ROWS):
                r, z = u + 4 * i * depth, y + 4 * i * tokens + column
                if onto or k > 0:
                    _further(r, depth, v, tokens, z, tokens, b, some, positive)
                else:
                    _first(r, depth, v, tokens, z, tokens, b + 4 * i, some, positive)
            i = whole
            while i < rows:
                r, z = u + 4 * i * depth, y + 4 * i * tokens + column
                if i + 1 < rows:
                    if onto or k > 0:
                        _further_pair(r, depth, v, tokens, z, tokens, b, some, positive)
                    else:
                        _first_pair(r, depth, v, tokens, z, tokens, b + 4 * i, some, positive)
                elif onto or k > 0:
                    _further_row(r, depth, v, tokens, z, tokens, b, some, positive)
                else:
                    _first_row(r, depth, v, tokens, z, tokens, b + 4 * i, some, positive)
                i += 2


@intrinsic
def _softmax(context, scores, step, keys, scale):  # type: ignore[no-untyped-def]
    """LANES columns of scale times scores (keys, queries) to numbers that add up to one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scores, step, keys, scale = arguments
        reserve: Any = cgutils.alloca_once_value
        factor = spread(builder, scale)

        def for_each(change: Callable[[Any, Any], tuple[Any, Any]], start: Any) -> Any:
            """Change each row, and what goes from one to the next; what that is at the end."""
            carried = reserve(builder, start)
            with cgutils.for_range(builder, keys) as loop:
                place = builder.mul(loop.index, step)
                x, then = change(load(builder, scores, place), builder.load(carried))
                builder.store(then, carried)
                if x is not None:
                    store(builder, x, scores, place)
            return builder.load(carried)

        def larger(x: Any, top: Any) -> tuple[Any, Any]:
            return None, builder.select(builder.fcmp_ordered(">", x, top), x, top)

        def power(x: Any, total: Any) -> tuple[Any, Any]:
            y = exponential(builder, builder.fmul(factor, builder.fsub(x, top)))
            return y, builder.fadd(total, y)

        def share(x: Any, nothing: Any) -> tuple[Any, Any]:
            return builder.fmul(x, part), nothing

        top = for_each(larger, load(builder, scores, WORD(0)))
        total = for_each(power, constant(0.0))
        part = builder.fdiv(constant(1.0), total)
        for_each(share, part)
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


@compiled([(F2, F1, F1, float32, F2, F1, F1)])
def normalise(x, gain, shift, eps, out, mean, scale):  # type: ignore[no-untyped-def]
    """Layer normalisation of columns (features, tokens)."""
    features, tokens = x.shape
    for j in range(tokens):
        mean[j] = np.float32(0)
        scale[j] = np.float32(0)
    for i in range(features):
        for j in range(tokens):
            mean[j] += x[i, j]
    share = np.float32(1) / np.float32(features)
    for j in range(tokens):
        mean[j] *= share
    for i in range(features):
        for j in range(tokens):
            d = x[i, j] - mean[j]
            scale[j] += d * d
    for j in range(tokens):
        scale[j] = np.float32(1) / np.sqrt(scale[j] * share + eps)
    for i in range(features):
        for j in range(tokens):
            out[i, j] = (x[i, j] - mean[j]) * scale[j] * gain[i] + shift[i]


@compiled([(F2, F1, F2)])
def shifted(x, bias, out):  # type: ignore[no-untyped-def]
    """out = x + b, b along rows."""
    for i in range(len(x)):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] + bias[i]


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
    one, two = np.zeros((features, tokens), np.float32), np.empty((features, tokens), np.float32)
    wide = np.empty((max(hidden, 3 * features), tokens), np.float32)
    qkv, inner = wide[: 3 * features], wide[:hidden]
    scores = np.empty((length, padded), np.float32)
    zeros = np.zeros(max(SOME, 2 * features), np.float32)
    mean, scale = np.empty(tokens, np.float32), np.empty(tokens, np.float32)
    for first in range(0, sequences, several):
        count = min(several, sequences - first)
        for s in range(count):
            for t in range(length):
                row = x[first + s, t]
                for i in range(features):
                    one[i, s * padded + t] = row[i]
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
                normalise(one, gain_1, shift_1, eps[layer, 0], two, mean, scale)
                source = two
            product(w[0], 3 * features, features, source, qkv, parts[0], False, False)
            attend(qkv, heads, length, padded, two, scores, zeros)
            shifted(one, parts[1], one)
            product(w[1], features, features, two, one, zeros, True, False)
            if norm_first:
                normalise(one, gain_2, shift_2, eps[layer, 1], two, mean, scale)
                source = two
            else:
                normalise(one, gain_1, shift_1, eps[layer, 0], one, mean, scale)
                source = one
            product(w[2], hidden, features, source, inner, first_bias, False, True)
            shifted(one, second_bias, one)
            product(w[3], features, hidden, inner, one, zeros, True, False)
            if not norm_first:
                normalise(one, gain_2, shift_2, eps[layer, 1], one, mean, scale)
        for s in range(count):
            for t in range(length):
                row = y[first + s, t]
                for i in range(features):
                    row[i] = one[i, s * padded + t]
