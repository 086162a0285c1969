"""Vector registers: what numba's loops are made of where the compiler leaves half of a core unused.

Importing what uses this module compiles it, some seconds once a machine: numba keeps what it made.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

EXACT = {"contract", "nsz"}  # sums are not reordered, and not-a-number lives on


def compiled(signature: Any) -> Any:
    """Compile a function ahead of its use; it does not hold the interpreter's lock."""
    return numba.njit(signature, nogil=True, cache=True, fastmath=EXACT)


def _registers() -> tuple[int, int, bool]:
    """Numbers in a vector register, how many make a row of a block, and fused multiply-add."""
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # llvmlite cannot tell of this system
        features = {}
    if features.get("avx512f"):
        return 16, 4, True
    if features.get("avx"):
        return 8, 2, features.get("fma", False)
    return 4, 4, features.get("neon", False)


LANES, ABREAST, FUSED = _registers()


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


def _spread(builder: Any, base: Any, offset: Any) -> Any:
    """One number in all lanes."""
    nothing = ir.Constant(NUMBERS, ir.Undefined)
    one = builder.insert_element(
        nothing, load(builder, base, offset, ir.FloatType()), ir.IntType(32)(0)
    )
    return builder.shuffle_vector(
        one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    if not FUSED:
        return builder.fadd(c, builder.fmul(a, b))
    kind = ir.FunctionType(NUMBERS, (NUMBERS,) * 3)
    declare: Any = cgutils.get_or_insert_function
    return builder.call(declare(builder.module, kind, f"llvm.fma.v{LANES}f32"), (a, b, c))


def positive(builder: Any, x: Any, rectified: Any) -> Any:
    """The positive part, if it is to be rectified; what is not a number stays so."""
    zero = ir.Constant(NUMBERS, [0.0] * LANES)
    negative = builder.fcmp_ordered("<", x, zero)
    return builder.select(rectified, builder.select(negative, zero, x), x)


def block(rows: int, *, onto: bool = False) -> Any:
    """A product of `rows` rows and LANES · ABREAST columns, its sums in registers throughout.

    Written out, as compilers left to themselves keep the sums in memory and use half of AVX-512.

    Parameters
    ----------
    rows : int
    onto : bool
        Add to what is there, instead of writing over it.
    """
    places = [(i, j) for i in range(rows) for j in range(ABREAST)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_step, h, h_step, out, out_step, bias, depth, rectified = arguments

        def place(i: int, j: int) -> Any:
            return builder.add(builder.mul(out_step, WORD(i)), WORD(j * LANES))

        before = builder.block
        loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        if onto:
            starts = [load(builder, out, place(i, j)) for i, j in places]
        else:
            biases = [_spread(builder, bias, WORD(i)) for i in range(rows)]
            starts = [biases[i] for i, _ in places]
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(WORD)
        sums = [builder.phi(NUMBERS) for _ in places]
        columns = [
            load(builder, h, builder.add(builder.mul(h_step, k), WORD(j * LANES)))
            for j in range(ABREAST)
        ]
        weights = [
            _spread(builder, w, builder.add(builder.mul(w_step, WORD(i)), k)) for i in range(rows)
        ]
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
