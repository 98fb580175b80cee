"""Identities that `canonicalize` knows of the `tl` dialect. Names (`tl.constexpr`) are never folded away."""

from __future__ import annotations

import operator
from collections.abc import Callable

from xdsl.ir import Attribute, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects import tl
from flashlower.dialects.tl.binary import BinaryOp, FoldableBinaryOp
from flashlower.dialects.tl.constants import ConstantOp, scalar_attr
from flashlower.dialects.tl.types import element_type, is_bool, is_float, is_integer, shape_of


def _truncated_division(lhs: int, rhs: int) -> int:
    quotient = abs(lhs) // abs(rhs)
    return quotient if (lhs < 0) == (rhs < 0) else -quotient


def _remainder(lhs: int, rhs: int) -> int:
    return lhs - rhs * _truncated_division(lhs, rhs)


INTEGER_FOLDS: dict[type[BinaryOp], Callable[[int, int], int]] = {
    tl.AddOp: operator.add,
    tl.SubOp: operator.sub,
    tl.MulOp: operator.mul,
    tl.FloorDivOp: _truncated_division,
    tl.ModOp: _remainder,
    tl.CdivOp: lambda lhs, rhs: -(-lhs // rhs),
    tl.LtOp: operator.lt,
    tl.LeOp: operator.le,
    tl.GtOp: operator.gt,
    tl.GeOp: operator.ge,
    tl.EqOp: operator.eq,
    tl.NeOp: operator.ne,
}
"""What these ops compute on two integer literals; a result that does not fit is not folded."""

_RIGHT_UNITS: dict[type[BinaryOp], tuple[int, bool]] = {
    tl.AddOp: (0, False),
    tl.SubOp: (0, True),
    tl.MulOp: (1, True),
    tl.TrueDivOp: (1, True),
    tl.FloorDivOp: (1, False),
    tl.CdivOp: (1, False),
    tl.ShlOp: (0, False),
    tl.ShrOp: (0, False),
    tl.OrOp: (0, False),
    tl.XorOp: (0, False),
}
"""The literal on the right that changes nothing, and whether that is so for floats (-0.0 + 0.0 is 0.0)."""

_COMMUTATIVE = (tl.AddOp, tl.MulOp, tl.OrOp, tl.XorOp, tl.AndOp)


def _literal(value: SSAValue) -> bool | int | float | None:
    return value.owner.python_value if isinstance(value.owner, ConstantOp) else None


def _unit(op: BinaryOp) -> tuple[int, bool] | None:
    if isinstance(op, tl.AndOp):
        # All bits set.
        return (1 if is_bool(element_type(op.rhs.type)) else -1, False)
    return _RIGHT_UNITS.get(type(op))


class DropUnit(RewritePattern):
    """x + 0, x * 1, x / 1.0, mask & True and the like are x, where broadcasting did not widen it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: FoldableBinaryOp, rewriter: PatternRewriter) -> None:
        unit = _unit(op)
        if unit is None:
            return
        number, for_floats = unit
        sides = [(op.lhs, op.rhs)]
        if isinstance(op, _COMMUTATIVE):
            sides.append((op.rhs, op.lhs))
        for kept, dropped in sides:
            literal = _literal(dropped)
            if literal is None or literal != number or (is_float(dropped.type) and not for_floats):
                continue
            if kept.type == op.result.type:
                rewriter.replace(op, (), (kept,))
                return


class FoldIntegers(RewritePattern):
    """An op on two integer literals is a literal."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: FoldableBinaryOp, rewriter: PatternRewriter) -> None:
        fold = INTEGER_FOLDS.get(type(op))
        lhs, rhs = _literal(op.lhs), _literal(op.rhs)
        if fold is None or not isinstance(lhs, int) or not isinstance(rhs, int):
            return
        if rhs == 0 and isinstance(op, tl.FloorDivOp | tl.ModOp | tl.CdivOp):
            return
        try:
            value = scalar_attr(fold(lhs, rhs), op.result.type)
        except VerifyException:
            return
        rewriter.replace(op, ConstantOp(value))


class FoldWhere(RewritePattern):
    """tl.where on a literal condition, or with one value on both sides, is that side."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: tl.WhereOp, rewriter: PatternRewriter) -> None:
        condition = _literal(op.condition)
        if condition is not None:
            kept = op.x if condition else op.y
        elif op.x is op.y:
            kept = op.x
        else:
            return
        if kept.type == op.result.type:
            rewriter.replace(op, (), (kept,))


class FoldCast(RewritePattern):
    """A cast to the same type is nothing; a cast of an integer literal to another integer is a literal."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: tl.CastOp, rewriter: PatternRewriter) -> None:
        if op.input.type == op.result.type:
            rewriter.replace(op, (), (op.input,))
            return
        literal = _literal(op.input)
        if literal is None or shape_of(op.result.type) or not _exact(literal, op.result.type):
            return
        try:
            value = scalar_attr(literal, op.result.type)
        except VerifyException:
            return
        rewriter.replace(op, ConstantOp(value))


def _exact(literal: bool | int | float, type: Attribute) -> bool:
    if is_float(type):
        # A float of the target type holds this number, so no rounding happens at either time.
        return literal == literal and scalar_attr(literal, type).value.data == literal
    return is_integer(type) and isinstance(literal, int)


PATTERNS: tuple[RewritePattern, ...] = (DropUnit(), FoldIntegers(), FoldWhere(), FoldCast())
"""All of them; each looks at the ops that it is for."""
