"""Operations of `arith` and `math` on scalars as StableHLO operations on tensors.

StableHLO reads signless integers as signed and i1 as 0 and 1; `arith` says in the operation how bits are read, and
sees i1 as 0 and -1 where it reads it as signed. `index` is i64.
"""

from __future__ import annotations

import math as python_math
from collections.abc import Callable, Sequence
from typing import cast

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import (
    FixedBitwidthType,
    IndexType,
    IntegerType,
    Signedness,
    i1,
    i64,
)
from xdsl.ir import Operation
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo import ComparisonDirection
from flashlower.rewrites.decompose.axes import Named, TensorBuilder

_ELEMENTWISE: dict[type[Operation], Callable[..., Operation]] = {
    arith.AddfOp: stablehlo.AddOp,
    arith.SubfOp: stablehlo.SubtractOp,
    arith.MulfOp: stablehlo.MulOp,
    arith.DivfOp: stablehlo.DivOp,
    arith.NegfOp: stablehlo.NegOp,
    arith.MaximumfOp: stablehlo.MaxOp,
    arith.MinimumfOp: stablehlo.MinOp,
    arith.MuliOp: stablehlo.MulOp,
    arith.DivSIOp: stablehlo.DivOp,
    arith.RemSIOp: stablehlo.RemOp,
    arith.MaxSIOp: stablehlo.MaxOp,
    arith.MinSIOp: stablehlo.MinOp,
    arith.AndIOp: stablehlo.AndOp,
    arith.OrIOp: stablehlo.OrOp,
    arith.XOrIOp: stablehlo.XorOp,
    arith.ShLIOp: stablehlo.ShiftLeftOp,
    arith.ShRSIOp: stablehlo.ShiftRightArithmeticOp,
    arith.ShRUIOp: stablehlo.ShiftRightLogicalOp,
    arith.SelectOp: stablehlo.SelectOp,
    math.AbsFOp: stablehlo.AbsOp,
    math.AbsIOp: stablehlo.AbsOp,
    math.Atan2Op: stablehlo.Atan2Op,
    math.CbrtOp: stablehlo.CbrtOp,
    math.CeilOp: stablehlo.CeilOp,
    math.CosOp: stablehlo.CosineOp,
    math.ExpOp: stablehlo.ExpOp,
    math.ExpM1Op: stablehlo.Expm1Op,
    math.FloorOp: stablehlo.FloorOp,
    math.LogOp: stablehlo.LogOp,
    math.Log1pOp: stablehlo.Log1pOp,
    math.PowFOp: stablehlo.PowOp,
    math.RoundOp: stablehlo.RoundNearestAfzOp,
    math.RoundEvenOp: stablehlo.RoundNearestEvenOp,
    math.RsqrtOp: stablehlo.RsqrtOp,
    math.SinOp: stablehlo.SineOp,
    math.SqrtOp: stablehlo.SqrtOp,
    math.TanOp: stablehlo.TanOp,
    math.TanhOp: stablehlo.TanhOp,
}

_UNSIGNED: dict[type[Operation], Callable[..., Operation]] = {
    arith.DivUIOp: stablehlo.DivOp,
    arith.RemUIOp: stablehlo.RemOp,
    arith.MaxUIOp: stablehlo.MaxOp,
    arith.MinUIOp: stablehlo.MinOp,
}

_DIRECTIONS = {direction.value.lower(): direction for direction in ComparisonDirection}

_NEGATED = {"gt": "le", "ge": "lt", "lt": "ge", "le": "gt"}

_LOG_BASES = {math.Log2Op: 2.0, math.Log10Op: 10.0}


def scalar_to_tensors(builder: TensorBuilder, op: Operation, operands: Sequence[Named]) -> Named:
    """
    The result of an operation of one result, given its operands as tensors.

    Raises `DiagnosticException` for an operation that has no form in StableHLO.
    """
    if len(op.results) == 1:
        if (named := _ELEMENTWISE.get(type(op))) is not None:
            return builder.elementwise(named, *operands)
        if (named := _UNSIGNED.get(type(op))) is not None:
            result = builder.elementwise(named, *(_unsigned(builder, x) for x in operands))
            return builder.bitcast(result, operands[0].element_type)
        special = _composed(builder, op, operands) or _converted(builder, op, operands)
        if special is not None:
            return special
    raise DiagnosticException(f"decompose-attention: {op.name} in a score region has no form in StableHLO")


def _composed(builder: TensorBuilder, op: Operation, operands: Sequence[Named]) -> Named | None:
    """Operations that take several of StableHLO's."""
    match op:
        case arith.CmpfOp():
            return _compare_floats(builder, arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data], *operands)
        case arith.CmpiOp():
            return _compare_integers(builder, arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data], *operands)
        case arith.AddiOp() | arith.SubiOp():
            if op.result.type == i1:
                # One bit wraps around, where StableHLO's sum of booleans is their disjunction.
                return builder.elementwise(stablehlo.XorOp, *operands)
            return builder.elementwise(
                stablehlo.AddOp if isinstance(op, arith.AddiOp) else stablehlo.SubtractOp, *operands
            )
        case arith.FloorDivSIOp() | arith.CeilDivSIOp():
            return rounded_division(builder, *operands, up=isinstance(op, arith.CeilDivSIOp))
        case arith.MaxnumfOp() | arith.MinnumfOp():
            lhs, rhs = operands
            kind = stablehlo.MaxOp if isinstance(op, arith.MaxnumfOp) else stablehlo.MinOp
            numbers = builder.elementwise(kind, lhs, rhs)
            return builder.select(_is_nan(builder, lhs), rhs, builder.select(_is_nan(builder, rhs), lhs, numbers))
        case math.Exp2Op():
            return builder.elementwise(stablehlo.PowOp, builder.constant(2.0, operands[0].element_type), operands[0])
        case math.Log2Op() | math.Log10Op():
            log = builder.elementwise(stablehlo.LogOp, operands[0])
            base = builder.constant(python_math.log(_LOG_BASES[type(op)]), log.element_type)
            return builder.elementwise(stablehlo.DivOp, log, base)
        case math.FmaOp():
            product = builder.elementwise(stablehlo.MulOp, operands[0], operands[1])
            return builder.elementwise(stablehlo.AddOp, product, operands[2])
        case _:
            return None


def _converted(builder: TensorBuilder, op: Operation, operands: Sequence[Named]) -> Named | None:
    """Conversions between types."""
    type = op.results[0].type
    element_type = i64 if isinstance(type, IndexType) else type
    match op:
        case arith.ExtFOp() | arith.TruncFOp() | arith.FPToSIOp():
            return builder.convert(operands[0], element_type)
        case arith.SIToFPOp() | arith.ExtSIOp() | arith.IndexCastOp():
            (x,) = operands
            if x.element_type != i1:
                return builder.convert(x, element_type)
            return builder.elementwise(stablehlo.NegOp, builder.convert(x, element_type))
        case arith.UIToFPOp() | arith.ExtUIOp():
            return builder.convert(_unsigned(builder, operands[0]), element_type)
        case arith.TruncIOp():
            (x,) = operands
            if element_type == i1:
                # StableHLO's conversion asks whether a number is not 0, truncation whether it is odd.
                x = builder.elementwise(stablehlo.AndOp, x, builder.constant(1, x.element_type))
            return builder.convert(x, element_type)
        case arith.BitcastOp():
            return builder.bitcast(operands[0], element_type)
        case _:
            return None


def _unsigned(builder: TensorBuilder, x: Named) -> Named:
    """The same bits, read as an unsigned number; i1 is one already."""
    if x.element_type == i1:
        return x
    width = cast(FixedBitwidthType, x.element_type).bitwidth
    return builder.bitcast(x, IntegerType(width, Signedness.UNSIGNED))


def _is_nan(builder: TensorBuilder, x: Named) -> Named:
    return builder.compare(x, ComparisonDirection.NE, x)


def _compare_floats(builder: TensorBuilder, predicate: str, lhs: Named, rhs: Named) -> Named:
    """StableHLO's comparisons are false where an operand is NaN, but for NE, which is true."""
    match predicate:
        case "false" | "true":
            return builder.constant(predicate == "true", i1)
        case "oeq" | "ogt" | "oge" | "olt" | "ole" | "une":
            return builder.compare(lhs, _DIRECTIONS[predicate[1:]], rhs)
        case "ugt" | "uge" | "ult" | "ule":
            inverse = builder.compare(lhs, _DIRECTIONS[_NEGATED[predicate[1:]]], rhs)
            return builder.elementwise(stablehlo.NotOp, inverse)
        case "ord" | "uno":
            nan = builder.elementwise(stablehlo.OrOp, _is_nan(builder, lhs), _is_nan(builder, rhs))
            return nan if predicate == "uno" else builder.elementwise(stablehlo.NotOp, nan)
        case _:
            less = builder.compare(lhs, ComparisonDirection.LT, rhs)
            greater = builder.compare(lhs, ComparisonDirection.GT, rhs)
            differs = builder.elementwise(stablehlo.OrOp, less, greater)
            return differs if predicate == "one" else builder.elementwise(stablehlo.NotOp, differs)


def _compare_integers(builder: TensorBuilder, predicate: str, lhs: Named, rhs: Named) -> Named:
    if predicate in ("eq", "ne"):
        return builder.compare(lhs, _DIRECTIONS[predicate], rhs)
    if predicate[0] == "u":
        return builder.compare(_unsigned(builder, lhs), _DIRECTIONS[predicate[1:]], _unsigned(builder, rhs))
    if lhs.element_type == i1:
        # As signed numbers true is -1, as StableHLO reads them it is 1: the order is reversed.
        lhs, rhs = rhs, lhs
    return builder.compare(lhs, _DIRECTIONS[predicate[1:]], rhs)


def rounded_division(builder: TensorBuilder, lhs: Named, rhs: Named, *, up: bool) -> Named:
    """Signed division, rounded down or up: one off from StableHLO's where it rounded towards zero wrongly."""
    zero, one = (builder.constant(value, lhs.element_type) for value in (0, 1))
    quotient = builder.elementwise(stablehlo.DivOp, lhs, rhs)
    remainder = builder.elementwise(stablehlo.RemOp, lhs, rhs)
    inexact = builder.compare(remainder, ComparisonDirection.NE, zero)
    signs = [builder.compare(x, ComparisonDirection.LT, zero) for x in (lhs, rhs)]
    direction = ComparisonDirection.EQ if up else ComparisonDirection.NE
    wrong = builder.elementwise(stablehlo.AndOp, inexact, builder.compare(signs[0], direction, signs[1]))
    next_quotient = builder.elementwise(stablehlo.AddOp if up else stablehlo.SubtractOp, quotient, one)
    return builder.select(wrong, next_quotient, quotient)
