"""Conditions of score regions: comparisons, truth values, selections."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import Float32Type
from xdsl.ir import Operation

from flashlower.dialects import nki
from flashlower.lowering.nki.grid import NEGATED, Index, Value, u8
from flashlower.lowering.nki.score_values import FOLD, Both, Compare, Scalar, ScoreValues, is_bool

_INTEGER_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
"""`arith.cmpi` by the number of its predicate, the signed ones; the unsigned follow in the order of lt, le, gt, ge."""

FLOAT_COMPARISONS = {1: "equal", 2: "greater", 3: "greater_equal", 4: "less", 5: "less_equal", 13: "not_equal"}
"""`arith.cmpf` by the number of its predicate, those that have an operator of the same meaning for NaN."""


class ScoreConditions(ScoreValues):
    """Lowers what computes truth values, and what chooses by them."""

    def _cmpi(self, op: arith.CmpiOp) -> Scalar:
        predicate = op.predicate.value.data
        lhs, rhs = self._operands(op)
        below: Scalar | None = None
        if predicate >= len(_INTEGER_COMPARISONS):
            # Unsigned: the same as signed where neither is negative; x < c also wants x not to be.
            predicate -= 4
            if not (isinstance(rhs, Index) and rhs.is_natural):
                raise self._error(op, "it compares numbers as unsigned that may be negative")
            if not (isinstance(lhs, Index) and lhs.is_natural):
                if predicate not in (2, 3):
                    raise self._error(op, "it compares numbers as unsigned that may be negative")
                below = self._compare_integers("greater_equal", lhs, Index())
        result = self._compare_integers(_INTEGER_COMPARISONS[predicate], lhs, rhs)
        return result if below is None else self._both(below, result)

    def _compare_integers(self, name: str, lhs: Scalar, rhs: Scalar) -> Scalar:
        if isinstance(lhs, Index) and isinstance(rhs, Index):
            difference = lhs + rhs * -1
            if (constant := difference.constant) is not None:
                return bool(FOLD[name](constant, 0))
            return Compare(name, difference)
        return self._compare(name, self._as_operand(lhs), self._as_operand(rhs))

    def _both(self, lhs: Scalar, rhs: Scalar) -> Scalar:
        if isinstance(lhs, bool) or isinstance(rhs, bool):
            known, other = (lhs, rhs) if isinstance(lhs, bool) else (rhs, lhs)
            return other if known else False
        parts: list[Compare | Value] = []
        for value in (lhs, rhs):
            if isinstance(value, Both):
                parts += value.parts
            else:
                assert isinstance(value, Compare | Value)
                parts.append(value)
        return Both(tuple(parts))

    def _not(self, value: Scalar) -> Scalar:
        match value:
            case bool():
                return not value
            case Compare():
                return Compare(NEGATED[value.op], value.index)
            case _:
                return self._e.binary("equal", self.as_tile(value), 0.0, element=u8, name="keep")

    def _logic(self, op: Operation) -> Scalar:
        if not is_bool(op.results[0].type):
            raise self._error(op, "the engines compute in f32; only truth values have bits")
        lhs, rhs = self._operands(op)
        match op:
            case arith.AndIOp():
                return self._both(lhs, rhs)
            case arith.OrIOp() if isinstance(lhs, bool) or isinstance(rhs, bool):
                known, other = (lhs, rhs) if isinstance(lhs, bool) else (rhs, lhs)
                return True if known else other
            case arith.XOrIOp() if isinstance(lhs, bool) or isinstance(rhs, bool):
                known, other = (lhs, rhs) if isinstance(lhs, bool) else (rhs, lhs)
                return self._not(other) if known else other
            case _:
                name = "maximum" if isinstance(op, arith.OrIOp) else "not_equal"
                return self._e.binary(name, self.as_tile(lhs), self.as_tile(rhs), element=u8, name="keep")

    def _select(self, op: arith.SelectOp) -> Scalar:
        condition, lhs, rhs = self._operands(op)
        if isinstance(condition, bool):
            return lhs if condition else rhs
        if is_bool(op.results[0].type):
            # a where c, b where not: (c and a) or (not c and b)
            then = self._both(condition, lhs)
            other = self._both(self._not(condition), rhs)
            return self._e.binary("maximum", self.as_tile(then), self.as_tile(other), element=u8, name="keep")
        left, right = self._as_operand(lhs), self._as_operand(rhs)
        if isinstance(left, Value) and not isinstance(right, Value):
            return self._select_or_number(condition, left, right, self._reusable(op.lhs))
        if isinstance(right, Value) and not isinstance(left, Value):
            return self._select_or_number(self._not(condition), right, left, self._reusable(op.rhs))
        predicate = self.as_tile(condition)
        axes = self._e.joined(predicate, left, right)
        dst = self._e.copy(right, axes, "selected")
        source = self._e.spread(left, axes) if isinstance(left, Value) else left
        self._b.add(nki.TensorCopyPredicatedOp(dst.tile, source, self._e.spread(predicate, axes)))
        return dst

    def _select_or_number(self, condition: Scalar, value: Value, number: float, reusable: Value | None = None) -> Value:
        """A value where a condition holds, else a number, one conjunct after another."""
        if isinstance(condition, bool):
            return value if condition else self._e.copy(number, value.axes)
        parts = condition.parts if isinstance(condition, Both) else (condition,)
        axes = list(value.axes)
        for part in parts:
            assert isinstance(part, Compare | Value)
            needed = part.axes if isinstance(part, Value) else self._e.varies_over(part.index)
            axes = [a or c for a, c in zip(axes, needed, strict=True)]
        whole = tuple(axes) == value.axes and isinstance(value.element, Float32Type)
        in_place = whole and (reusable is value or (value.axes == self._grid.everywhere and reusable is not None))
        dst = value if in_place else self._e.copy(value, axes, "scores")
        for part in parts:
            if isinstance(part, Compare):
                self._e.affine_select(part.op, part.index, dst, number)
            elif isinstance(part, Value):
                predicate = self._e.spread(part, dst.axes)
                self._b.add(nki.SelectReduceOp(dst.tile, predicate, dst.tile, number))
        return dst
