"""What each scalar operation of a score region is in `tl`, on blocks.

`SCALAR_OPS` has one entry for an operation of `arith` and `math` whose meaning is a function of its operands.
Operations keep the meaning that MLIR gives them, down to NaN, sign and rounding: where Triton's operator of the same
name means something else, the difference is made up for here.
"""

from __future__ import annotations

import math as python_math
from collections.abc import Callable, Sequence

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import IntegerType, Signedness, f32, i8
from xdsl.ir import Attribute, Operation, SSAValue

from flashlower.dialects.tl import CastOp
from flashlower.dialects.tl.types import bit_width, element_type, is_bool, is_float, is_integer, is_unsigned
from flashlower.lowering.triton.builder import KernelBuilder

LOG2_E = python_math.log2(python_math.e)
LN_2 = python_math.log(2.0)

Emit = Callable[[KernelBuilder, Sequence[SSAValue]], SSAValue]
"""Builds the value of an operation from those of its operands."""


def _wide(emit: Emit) -> Emit:
    """The function on f32 for floats that Triton does not compute it on."""

    def emit_wide(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
        element = element_type(xs[0].type)
        if not is_float(element) or bit_width(element) >= 32:
            return emit(b, xs)
        return b.cast(emit(b, [b.cast(x, f32) for x in xs]), element)

    return emit_wide


def _unary(method: Callable[[KernelBuilder, SSAValue], SSAValue]) -> Emit:
    return _wide(lambda b, xs: method(b, xs[0]))


def _binary(method: Callable[[KernelBuilder, SSAValue, SSAValue], SSAValue]) -> Emit:
    return lambda b, xs: method(b, xs[0], xs[1])


def _unsigned(emit: Emit) -> Emit:
    """The function on the operands taken as unsigned numbers."""

    def emit_unsigned(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
        element = element_type(xs[0].type)
        if is_bool(element):
            return emit(b, xs)
        result = emit(b, [as_unsigned(b, x) for x in xs])
        return result if is_bool(element_type(result.type)) else b.cast(result, element)

    return emit_unsigned


def as_unsigned(b: KernelBuilder, x: SSAValue) -> SSAValue:
    """The same bits as an unsigned number; a truth value is 0 or 1 in any case."""
    element = element_type(x.type)
    return x if is_bool(element) else b.cast(x, IntegerType(bit_width(element), Signedness.UNSIGNED))


def as_signed(b: KernelBuilder, x: SSAValue) -> SSAValue:
    """The same bits as a signed number: the one bit of a truth value is its sign, so true is -1."""
    return b.neg(b.cast(x, i8)) if is_bool(element_type(x.type)) else x


def _is_nan(b: KernelBuilder, x: SSAValue) -> SSAValue:
    return b.ne(x, x)


def _nan_propagating(method: Callable[[KernelBuilder, SSAValue, SSAValue], SSAValue]) -> Emit:
    """tl.maximum and tl.minimum of NaN and a number are the number; here they are NaN."""

    def emit(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
        lhs, rhs = xs
        return b.where(b.or_(_is_nan(b, lhs), _is_nan(b, rhs)), b.add(lhs, rhs), method(b, lhs, rhs))

    return _wide(emit)


def _tanh(b: KernelBuilder, x: SSAValue) -> SSAValue:
    # 1 - 2 / (exp(2 x) + 1) is right at both ends, where exp is 0 or inf; the error is about one ulp of 1.
    return b.sub(1.0, b.truediv(2.0, b.add(b.exp2(b.mul(x, 2.0 * LOG2_E)), 1.0)))


def _power(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
    """C's pow by way of logarithms: a negative base has whole exponents only, and the sign of odd ones."""
    base, exponent = xs
    size = b.abs(base)
    # 1 to an infinite power would be exp2(inf * 0).
    magnitude = b.where(b.eq(size, 1.0), 1.0, b.exp2(b.mul(exponent, b.log2(size))))
    half = b.mul(exponent, 0.5)
    odd = b.and_(b.eq(b.floor(exponent), exponent), b.ne(b.floor(half), half))
    signed = b.where(b.and_(b.lt(base, 0.0), odd), b.neg(magnitude), magnitude)
    # Every infinite exponent is even.
    undefined = b.and_(b.and_(b.lt(base, 0.0), b.ne(base, -python_math.inf)), b.ne(b.floor(exponent), exponent))
    one = b.or_(b.eq(exponent, 0.0), b.eq(base, 1.0))
    return b.where(one, 1.0, b.where(undefined, python_math.nan, signed))


def _floor_divide(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
    lhs, rhs = xs
    quotient, rest = b.floordiv(lhs, rhs), b.mod(lhs, rhs)
    below = b.and_(b.ne(rest, 0), b.xor(b.lt(rest, 0), b.lt(rhs, 0)))
    return b.where(below, b.sub(quotient, 1), quotient)


def _ceil_divide(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
    lhs, rhs = xs
    quotient, rest = b.floordiv(lhs, rhs), b.mod(lhs, rhs)
    above = b.and_(b.ne(rest, 0), b.eq(b.lt(rest, 0), b.lt(rhs, 0)))
    return b.where(above, b.add(quotient, 1), quotient)


SCALAR_OPS: dict[type[Operation], Emit] = {
    arith.AddfOp: _binary(KernelBuilder.add),
    arith.SubfOp: _binary(KernelBuilder.sub),
    arith.MulfOp: _binary(KernelBuilder.mul),
    arith.DivfOp: _wide(_binary(KernelBuilder.truediv)),
    arith.NegfOp: lambda b, xs: b.neg(xs[0]),
    arith.MaximumfOp: _nan_propagating(KernelBuilder.maximum),
    arith.MinimumfOp: _nan_propagating(KernelBuilder.minimum),
    arith.MaxnumfOp: _wide(_binary(KernelBuilder.maximum)),
    arith.MinnumfOp: _wide(_binary(KernelBuilder.minimum)),
    arith.AddiOp: _binary(KernelBuilder.add),
    arith.SubiOp: _binary(KernelBuilder.sub),
    arith.MuliOp: _binary(KernelBuilder.mul),
    arith.DivSIOp: _binary(KernelBuilder.floordiv),
    arith.RemSIOp: _binary(KernelBuilder.mod),
    arith.FloorDivSIOp: _floor_divide,
    arith.CeilDivSIOp: _ceil_divide,
    arith.DivUIOp: _unsigned(_binary(KernelBuilder.floordiv)),
    arith.RemUIOp: _unsigned(_binary(KernelBuilder.mod)),
    arith.MaxSIOp: _binary(KernelBuilder.maximum),
    arith.MinSIOp: _binary(KernelBuilder.minimum),
    arith.MaxUIOp: _unsigned(_binary(KernelBuilder.maximum)),
    arith.MinUIOp: _unsigned(_binary(KernelBuilder.minimum)),
    arith.AndIOp: _binary(KernelBuilder.and_),
    arith.OrIOp: _binary(KernelBuilder.or_),
    arith.XOrIOp: _binary(KernelBuilder.xor),
    arith.ShLIOp: _binary(KernelBuilder.shl),
    arith.ShRSIOp: _binary(KernelBuilder.shr),
    arith.ShRUIOp: _unsigned(_binary(KernelBuilder.shr)),
    arith.SelectOp: lambda b, xs: b.where(xs[0], xs[1], xs[2]),
    math.AbsFOp: _unary(KernelBuilder.abs),
    math.AbsIOp: lambda b, xs: b.abs(xs[0]),
    math.CeilOp: _unary(KernelBuilder.ceil),
    math.CosOp: _unary(KernelBuilder.cos),
    math.Exp2Op: _unary(KernelBuilder.exp2),
    math.ExpOp: _unary(KernelBuilder.exp),
    math.FloorOp: _unary(KernelBuilder.floor),
    math.FmaOp: _wide(lambda b, xs: b.fma(xs[0], xs[1], xs[2])),
    math.Log2Op: _unary(KernelBuilder.log2),
    math.LogOp: _unary(KernelBuilder.log),
    math.PowFOp: _wide(_power),
    math.RsqrtOp: _unary(KernelBuilder.rsqrt),
    math.SinOp: _unary(KernelBuilder.sin),
    math.SqrtOp: _unary(KernelBuilder.sqrt),
    math.TanhOp: _unary(_tanh),
}
"""Operations by what builds them."""

INTEGER_COMPARISONS: tuple[Emit, ...] = (
    _binary(KernelBuilder.eq),
    _binary(KernelBuilder.ne),
    _binary(KernelBuilder.lt),
    _binary(KernelBuilder.le),
    _binary(KernelBuilder.gt),
    _binary(KernelBuilder.ge),
    _unsigned(_binary(KernelBuilder.lt)),
    _unsigned(_binary(KernelBuilder.le)),
    _unsigned(_binary(KernelBuilder.gt)),
    _unsigned(_binary(KernelBuilder.ge)),
)
"""`arith.cmpi` by the number of its predicate: eq, ne, slt, sle, sgt, sge, ult, ule, ugt, uge."""


def _unordered(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
    return b.or_(_is_nan(b, xs[0]), _is_nan(b, xs[1]))


def _one(b: KernelBuilder, xs: Sequence[SSAValue]) -> SSAValue:
    return b.or_(b.lt(xs[0], xs[1]), b.gt(xs[0], xs[1]))


def _not(emit: Emit) -> Emit:
    return lambda b, xs: b.invert(emit(b, xs))


FLOAT_COMPARISONS: tuple[Emit, ...] = (
    lambda b, xs: b.constant(False),
    _binary(KernelBuilder.eq),
    _binary(KernelBuilder.gt),
    _binary(KernelBuilder.ge),
    _binary(KernelBuilder.lt),
    _binary(KernelBuilder.le),
    _one,
    _not(_unordered),
    _not(_one),
    _not(_binary(KernelBuilder.le)),
    _not(_binary(KernelBuilder.lt)),
    _not(_binary(KernelBuilder.ge)),
    _not(_binary(KernelBuilder.gt)),
    _binary(KernelBuilder.ne),
    _unordered,
    lambda b, xs: b.constant(True),
)
"""`arith.cmpf` by its predicate: false, oeq, ogt, oge, olt, ole, one, ord, ueq, ugt, uge, ult, ule, une, uno, true."""


def _unwidened(x: SSAValue) -> SSAValue:
    """What an integer was before it was widened: GPUs convert i32 to floats much faster than i64."""
    match x.owner:
        case CastOp(input=narrow) if _is_signed(narrow) and _is_signed(x) and _bits(narrow) < _bits(x):
            return narrow
        case _:
            return x


def _is_signed(x: SSAValue) -> bool:
    element = element_type(x.type)
    return is_integer(element) and not is_unsigned(element)


def _bits(x: SSAValue) -> int:
    return bit_width(element_type(x.type))


def convert_number(b: KernelBuilder, op: Operation, x: SSAValue, target: Attribute) -> SSAValue | None:
    """The conversions of `arith` to a number type, or None for another operation."""
    match op:
        case arith.ExtFOp() | arith.TruncFOp() | arith.FPToSIOp():
            return b.cast(x, target)
        case arith.SIToFPOp():
            return b.cast(_unwidened(as_signed(b, x)), target)
        case arith.ExtSIOp() | arith.IndexCastOp():
            return b.cast(as_signed(b, x), target)
        case arith.UIToFPOp() | arith.ExtUIOp():
            return b.cast(as_unsigned(b, x), target)
        case arith.FPToUIOp():
            return b.cast(b.cast(x, IntegerType(bit_width(target), Signedness.UNSIGNED)), target)
        case arith.TruncIOp():
            # To a truth value: its lowest bit, where a cast would ask whether any bit is set.
            return b.ne(b.and_(x, 1), 0) if is_bool(target) else b.cast(x, target)
        case _:
            return None
