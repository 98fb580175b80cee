"""
NaN-safe softmax: conditions that replace weights by 0 where a row has no key.

`attention.sdpa` gives 0 for a fully masked row, where a plain softmax gives NaN. So a graph may do the same in any way,
but for nothing else: it must follow from the condition that the key, or each key of the row, is masked, or that the
weight is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from xdsl.ir import Operation

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Read
from flashlower.rewrites.fuse_attention.expression import (
    NEGATIVE_INFINITY,
    Bool,
    BoolConst,
    Float,
    causes_of_infinity,
    conjuncts,
    masked_by,
)
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.score import ScoreReader
from flashlower.rewrites.fuse_attention.simplify import negate
from flashlower.rewrites.fuse_attention.softmax import Softmax, SoftmaxFinder


@dataclass
class GuardChecker:
    """Checks the guards of one softmax whose scores are `score`."""

    softmax: Softmax
    finder: SoftmaxFinder
    reader: ScoreReader
    score: Float

    def check(self) -> None:
        """Raises `NotAttention` where weights are replaced by 0 that would not have been 0 or NaN."""
        for guard in self.softmax.guards:
            is_masked = self._implies_masked(guard.condition, guard.zero_when) or self.score == NEGATIVE_INFINITY
            if self.softmax.sink is not None or not is_masked:
                raise NotAttention("weights are masked after the softmax by something else than an empty row")

    def _implies_masked(self, read: Read, value: bool) -> bool:
        """Whether weights are 0 or NaN, for the key or for the whole row, where a condition has a value."""
        read = self.finder.tracer.source(read)
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
                return self._implies_masked(self.finder.through(op, 0, read), not value)
            case "stablehlo.and" | "stablehlo.or":
                parts = [self._implies_masked(self.finder.through(op, side, read), value) for side in (0, 1)]
                return any(parts) if (op.name == "stablehlo.and") == value else all(parts)
            case "stablehlo.reduce":
                # All keys are masked, or none is kept.
                if hlo.reduce_kind(op) != ("and" if value else "or"):
                    return False
                operand = self.finder.reduced_over_keys(read, op)
                return operand is not None and self._implies_masked(operand, value)
            case "stablehlo.compare" if hlo.is_float(op.operands[0]):
                return self._compare_implies_masked(op, read, value)
            case _:
                return False

    def _compare_implies_masked(self, op: Operation, read: Read, value: bool) -> bool:
        lhs, rhs = (self.finder.through(op, side, read) for side in (0, 1))
        relation = hlo.comparison_direction(op)
        if not value:
            relation = {"EQ": "NE", "NE": "EQ", "GT": "LE", "LT": "GE"}.get(relation, "")
        if relation == "NE" and lhs.same_as(rhs):
            # Without a subtracted maximum a weight may also be NaN because the exponentials overflow.
            return self.softmax.has_maximum and any(lhs.same_as(p) for p in self.softmax.probabilities)
        return any(
            relation in relations
            and self.finder.folder.is_negative_infinity(op.operands[bound])
            and self._is_masked_where_infinite(score)
            for score, bound, relations in ((lhs, 1, ("EQ", "LE")), (rhs, 0, ("EQ", "GE")))
        )

    def _is_masked_where_infinite(self, read: Read) -> bool:
        """Whether `read` being -inf, for the key or as the maximum over the row, implies that the score is."""
        maximum = self.finder.row_reduction(self.finder.row_maximum(read), "maximum")
        if maximum is not None:
            read = maximum
        if read.same_as(self.softmax.scores):
            return True
        if read.value in self.reader.computed_from_logit:
            return self.reader.float_expr(read) == self.score
        causes = causes_of_infinity(self.reader.float_expr(read))
        return causes is not None and causes <= masked_by(self.score)
