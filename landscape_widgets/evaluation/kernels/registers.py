"""Vector registers: what numba's loops are made of where the compiler leaves half of a core unused.

Importing what uses this module compiles it, some seconds once a machine: numba keeps what it made.
It looks for changes in the file of a function alone: whoever edits this one touches those as well.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from landscape_widgets.evaluation.kernels.loading import LINE

EXACT = {"contract", "nsz"}  # sums are not reordered, and not-a-number lives on


def compiled(signature: Any) -> Any:
    """Compile a function ahead of its use; it does not hold the interpreter's lock."""
    return numba.njit(signature, nogil=True, cache=True, fastmath=EXACT)


def _registers() -> tuple[int, int, bool]:
    """Numbers in a vector register, how many make a row of a block, and fused multiply-add."""
    chosen: str | None = getattr(config, "CPU_FEATURES")  # noqa: B009  # what numba compiles for, where it is told to
    features: dict[str, bool] = {}
    if chosen is not None:
        features = {name[1:]: name[0] == "+" for name in chosen.split(",") if name}
    else:
        with contextlib.suppress(RuntimeError):  # llvmlite cannot tell of this system
            features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 4, True
    if features.get("avx"):
        return 8, 2, features.get("fma", False)
    return 4, 4, features.get("neon", False)


@compiled([(numba.int64, numba.int64)])
def zeros(rows, columns):  # type: ignore[no-untyped-def]
    """Zeros (rows, columns) that begin where a line of the cache does; see `loading.zeros`."""
    numbers = np.zeros(rows * columns + LINE, np.float32)
    start = -(numba.int64(numbers.ctypes.data) // 4) % LINE
    return numbers[start : start + rows * columns].reshape((rows, columns))


LANES, ABREAST, FUSED = _registers()
PANEL = LANES * ABREAST  # columns of a block
DEPTH = 128  # products that are added up at a time: a panel of so many rows stays near the core

NUMBERS, WORD = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)


def load(builder: Any, base: Any, offset: Any, kind: Any = NUMBERS) -> Any:
    """What lies `offset` numbers behind an address."""
    return builder.load(_at(builder, base, offset, kind), align=4)


def store(builder: Any, x: Any, base: Any, offset: Any) -> None:
    """Put a vector `offset` numbers behind an address."""
    builder.store(x, _at(builder, base, offset, NUMBERS), align=4)


def _at(builder: Any, base: Any, offset: Any, kind: Any) -> Any:
    place = builder.add(base, builder.shl(offset, WORD(2)))
    return builder.inttoptr(place, kind.as_pointer())


def constant(x: float) -> Any:
    """The same number in all lanes."""
    return ir.Constant(NUMBERS, [float(np.float32(x))] * LANES)


def broadcast(builder: Any, x: Any) -> Any:
    """One number in all lanes."""
    nothing = ir.Constant(NUMBERS, ir.Undefined)
    one = builder.insert_element(nothing, x, ir.IntType(32)(0))
    first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, nothing, first)


def call(builder: Any, name: str, *arguments: Any) -> Any:
    """LLVM's own function of this name, of vectors."""
    kind = ir.FunctionType(NUMBERS, [NUMBERS] * len(arguments))
    declare: Any = cgutils.get_or_insert_function
    return builder.call(declare(builder.module, kind, f"llvm.{name}.v{LANES}f32"), arguments)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call(builder, "fma", a, b, c) if FUSED else builder.fadd(c, builder.fmul(a, b))


def positive(builder: Any, x: Any, rectified: Any) -> Any:
    """The positive part, if it is to be rectified; what is not a number stays so."""
    zero = constant(0.0)
    negative = builder.fcmp_ordered("<", x, zero)
    return builder.select(rectified, builder.select(negative, zero, x), x)


def block(rows: int, abreast: int = ABREAST, *, onto: bool = False, turned: bool = False) -> Any:
    """A product of `rows` rows and LANES · `abreast` columns, its sums in registers throughout.

    Written out, as compilers left to themselves keep the sums in memory and use half of AVX-512.

    Parameters
    ----------
    rows, abreast : int
    onto : bool
        Add to what is there, instead of writing over it.
    turned : bool
        The first factor is w[k, i].
    """
    places = [(i, j) for i in range(rows) for j in range(abreast)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_step, h, h_step, out, out_step, bias, depth, rectified = arguments

        def place(i: int, j: int) -> Any:
            return builder.add(builder.mul(out_step, WORD(i)), WORD(j * LANES))

        def weight(i: int, k: Any) -> Any:
            row, column = (k, WORD(i)) if turned else (WORD(i), k)
            return builder.add(builder.mul(w_step, row), column)

        def number(base: Any, offset: Any) -> Any:
            return broadcast(builder, load(builder, base, offset, ir.FloatType()))

        before = builder.block
        loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        biases = [number(bias, WORD(i)) for i in range(rows)]
        starts = [biases[i] for i, _ in places]
        if onto:
            starts = [
                builder.fadd(load(builder, out, place(i, j)), start)
                for (i, j), start in zip(places, starts, strict=True)
            ]
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(WORD)
        sums = [builder.phi(NUMBERS) for _ in places]
        columns = [
            load(builder, h, builder.add(builder.mul(h_step, k), WORD(j * LANES)))
            for j in range(abreast)
        ]
        weights = [number(w, weight(i, k)) for i in range(rows)]
        further = [
            _multiply_add(builder, weights[i], columns[j], x)
            for x, (i, j) in zip(sums, places, strict=True)
        ]
        next_k = builder.add(k, WORD(1))
        firsts, thens = (WORD(0), *starts), (next_k, *further)
        for phi, first, then in zip((k, *sums), firsts, thens, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, after)

        builder.position_at_end(after)
        for x, (i, j) in zip(further, places, strict=True):
            store(builder, positive(builder, x, rectified), out, place(i, j))
        return context.get_dummy_value()

    @intrinsic
    def product(  # type: ignore[no-untyped-def]
        context, w, w_step, h, h_step, out, out_step, bias, depth, rectified
    ):
        """out[i, j] = bias[i] + Σ_k w[i, k] h[k, j], or its positive part; addresses and steps."""
        return types.void(*[types.int64] * 8, types.boolean), generate

    return product


def _interleaved(builder: Any, a: Any, b: Any) -> list[Any]:
    """a[0], b[0], a[1], b[1], ... as two vectors."""
    lanes = [lane for i in range(LANES) for lane in (i, LANES + i)]
    kind = ir.VectorType(ir.IntType(32), LANES)
    return [
        builder.shuffle_vector(a, b, ir.Constant(kind, half))
        for half in (lanes[:LANES], lanes[LANES:])
    ]


@intrinsic
def _transpose(context, x, step, out, out_step):  # type: ignore[no-untyped-def]
    """LANES rows of LANES numbers to columns: log2(LANES) times, halves are interleaved."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, step, out, out_step = arguments
        rows = [load(builder, x, builder.mul(step, WORD(i))) for i in range(LANES)]
        for _ in range(LANES.bit_length() - 1):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [x for a, b in pairs for x in _interleaved(builder, a, b)]
        for i, row in enumerate(rows):
            store(builder, row, out, builder.mul(out_step, WORD(i)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@compiled([(types.float32[:, :], types.float32[:, :])])
def transpose(x, out):  # type: ignore[no-untyped-def]
    """out = xᵀ, of rows that are each in one piece."""
    rows, columns = x.shape
    whole, wide = rows // LANES * LANES, columns // LANES * LANES
    source, to = numba.int64(x.ctypes.data), numba.int64(out.ctypes.data)
    step, out_step = x.strides[0] // 4, out.strides[0] // 4
    for i in range(0, whole, LANES):
        for j in range(0, wide, LANES):
            _transpose(  # type: ignore[call-arg]
                source + 4 * (i * step + j), step, to + 4 * (j * out_step + i), out_step
            )
    for i in range(rows):
        for j in range(wide if i < whole else 0, columns):
            out[j, i] = x[i, j]


LOG2_E = math.log2(math.e)
SERIES = [np.log(2.0) ** k / math.factorial(k) for k in range(8)]  # of 2^f; for |f| ≤ 1/2 to 1e-8


def exponential(builder: Any, x: Any) -> Any:
    """e^x for x ≤ 0; 2^−127 at least."""
    integers = ir.VectorType(ir.IntType(32), LANES)
    x = builder.fmul(x, constant(LOG2_E))
    least = constant(-127.0)
    x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
    whole = call(builder, "floor", builder.fadd(x, constant(0.5)))
    f = builder.fsub(x, whole)
    series = constant(SERIES[-1])
    for coefficient in reversed(SERIES[:-1]):
        series = _multiply_add(builder, series, f, constant(coefficient))
    exponent = builder.add(builder.fptosi(whole, integers), ir.Constant(integers, [127] * LANES))
    bits = builder.shl(exponent, ir.Constant(integers, [23] * LANES))
    return builder.fmul(series, builder.bitcast(bits, NUMBERS))


@intrinsic
def exp(context, x, out):  # type: ignore[no-untyped-def]
    """e^x of LANES numbers x ≤ 0, from one address to another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, out = arguments
        store(builder, exponential(builder, load(builder, x, WORD(0))), out, WORD(0))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
