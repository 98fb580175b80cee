"""
NaN-safe softmax: conditions that replace weights by 0 where a row has no key.

`attention.sdpa` gives 0 for a fully masked row, where a plain softmax gives NaN. So a graph may do the same in any way,
but for nothing else: it must follow from the condition that the key, or each key of the row, is masked, or that the
weight is NaN. Where the mask is finite, a guard that covers it makes it one of -inf.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from xdsl.ir import Operation

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Read
from flashlower.rewrites.fuse_attention.expression import (
    NEGATIVE_INFINITY,
    Bool,
    BoolConst,
    Cause,
    Const,
    Float,
    Select,
    causes_of_infinity,
    conjuncts,
    masked_by,
)
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.rows import Guard, RowReader
from flashlower.rewrites.fuse_attention.score import ScoreReader
from flashlower.rewrites.fuse_attention.simplify import negate, select
from flashlower.rewrites.fuse_attention.softmax import Softmax

# From this value on, the exponential of a finite mask is 0 in every row that has a key: logits are far above. That is
# -1e4, as bf16 holds it.
FINITE_MASK = -9984.0


@dataclass
class GuardChecker:
    """Checks the guards of one softmax whose scores are `score`."""

    softmax: Softmax
    rows: RowReader
    reader: ScoreReader
    score: Float

    def check(self) -> Float:
        """The score. Raises `NotAttention` where weights are replaced by 0 that would not have been 0 or NaN."""
        softmax = self.softmax
        has_column = softmax.sink is not None and not softmax.sink.is_added
        if not has_column and any(map(self._covers_finite_masks, softmax.guards)):
            self.score = with_infinite_masks(self.score)
        for guard in (*softmax.guards, *softmax.sum_guards):
            is_masked = self._implies_masked(guard.condition, guard.zero_when) or self.score == NEGATIVE_INFINITY
            if has_column or not is_masked:
                raise NotAttention(
                    "weights are masked after the softmax by something else than an empty row; mask the logits in "
                    "place of them (or leave out dropout)"
                )
        return self.score

    # Finite masks

    def _covers_finite_masks(self, guard: Guard) -> bool:
        """
        Whether the score may be -inf where it is masked by a finite number, as weights are 0 there in any case.

        In a row that has a key they are, as the exponential of the mask is 0. In another, weights are not 0 where the
        score is such a number, so the guard must hold there: for each such key, or for the row.
        """
        finite = finitely_masked_by(self.score)
        kept = self._kept(guard.condition, guard.zero_when) if finite else None
        if not finite or kept is None:
            return False
        conditions, is_of_row = kept
        every = masked_by(with_infinite_masks(self.score))
        return conditions == every if is_of_row else finite <= conditions <= every

    def _kept(self, read: Read, value: bool) -> tuple[set[Cause], bool] | None:
        """
        The conditions under which a guard lets a weight be, and whether any key of the row may fulfil them.

        `value` is the one that the guard has where weights are 0. None where the conditions are of another kind.
        """
        read = self.rows.tracer.source(read)
        op = hlo.owner(read.value)
        if op is not None and op.name == "stablehlo.not":
            return self._kept(self.rows.through(op, 0, read), not value)
        if op is not None and op.name == "stablehlo.reduce":
            operand = None
            if hlo.reduce_kind(op) == ("and" if value else "or"):
                operand = self.rows.reduced_over_keys(read, op)
            kept = None if operand is None else self._kept(operand, value)
            return None if kept is None else (kept[0], True)
        if not hlo.is_bool(read.value) or read.value in self.reader.computed_from_logit:
            return None
        condition = cast(Bool, self.reader.expr(read))
        return set(conjuncts(negate(condition) if value else condition)), False

    # Masks of -inf

    def _implies_masked(self, read: Read, value: bool) -> bool:
        """Whether weights are 0 or NaN, for the key or for the whole row, where a condition has a value."""
        read = self.rows.tracer.source(read)
        op = hlo.owner(read.value)
        if op is not None and self._operation_implies_masked(op, read, value):
            return True
        # A condition that the score is masked by.
        if not hlo.is_bool(read.value) or read.value in self.reader.computed_from_logit:
            return False
        condition = cast(Bool, self.reader.expr(read))
        keep = negate(condition) if value else condition
        return keep == BoolConst(True) or masked_by(self.score).issuperset(conjuncts(keep))

    def _operation_implies_masked(self, op: Operation, read: Read, value: bool) -> bool:
        match op.name:
            case "stablehlo.not":
                return self._implies_masked(self.rows.through(op, 0, read), not value)
            case "stablehlo.and" | "stablehlo.or":
                parts = [self._implies_masked(self.rows.through(op, side, read), value) for side in (0, 1)]
                return any(parts) if (op.name == "stablehlo.and") == value else all(parts)
            case "stablehlo.reduce":
                # All keys are masked, or none is kept.
                if hlo.reduce_kind(op) != ("and" if value else "or"):
                    return False
                operand = self.rows.reduced_over_keys(read, op)
                return operand is not None and self._implies_masked(operand, value)
            case "stablehlo.compare" if hlo.is_float(op.operands[0]):
                return self._compare_implies_masked(op, read, value)
            case _:
                return False

    def _compare_implies_masked(self, op: Operation, read: Read, value: bool) -> bool:
        lhs, rhs = (self.rows.through(op, side, read) for side in (0, 1))
        relation = hlo.comparison_direction(op)
        if not value:
            relation = {"EQ": "NE", "NE": "EQ", "GT": "LE", "LT": "GE"}.get(relation, "")
        if relation == "NE" and lhs.same_as(rhs):
            # Without a subtracted maximum a weight may also be NaN because the exponentials overflow.
            return self.softmax.exponent.is_bounded and any(lhs.same_as(p) for p in self.softmax.probabilities)
        return any(
            relation in relations
            and self.rows.folder.is_negative_infinity(op.operands[bound])
            and self._is_masked_where_infinite(score)
            for score, bound, relations in ((lhs, 1, ("EQ", "LE")), (rhs, 0, ("EQ", "GE")))
        )

    def _is_masked_where_infinite(self, read: Read) -> bool:
        """Whether `read` being -inf, for the key or as the maximum over the row, implies that the score is."""
        maximum = self.rows.row_reduction(self.rows.row_maximum(read), "maximum")
        if maximum is not None:
            read = maximum
        if read.same_as(self.softmax.scores):
            return True
        if read.value in self.reader.computed_from_logit:
            return self.reader.float_expr(read) == self.score
        causes = causes_of_infinity(self.reader.float_expr(read))
        return causes is not None and causes <= masked_by(self.score)


def finitely_masked_by(score: Float) -> set[Cause]:
    """Causes each of which is enough to make a score a number that masks."""
    match score:
        case Select(condition, then, Const(v)) if v == -math.inf:
            return finitely_masked_by(then)
        case Select(condition, then, Const(v)) if v <= FINITE_MASK:
            return {*conjuncts(condition), *finitely_masked_by(then)}
        case _:
            return set()


def with_infinite_masks(score: Float) -> Float:
    """A score with -inf in place of numbers that mask."""
    match score:
        case Select(condition, then, Const(v)) if v <= FINITE_MASK:
            return select(condition, with_infinite_masks(then), NEGATIVE_INFINITY)
        case _:
            return score
