"""
What of a softmax is used outside its group: the log-sum-exp (LSE) of a row, its maximum, its sum.

The LSE is a result of `attention.sdpa`. The maximum is not: where it is used, its product of queries and keys stays in
the graph. The sum is exp(LSE - maximum), where that is exact. Anything else that is used elsewhere would have to be
computed after all, and the group is left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from xdsl.ir import Operation, SSAValue
from xdsl.traits import is_side_effect_free

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Index, Indices, Read
from flashlower.rewrites.fuse_attention.expression import (
    Const,
    Float,
    FloatOp,
    FromInt,
    TensorRead,
    children,
    has_logit,
)
from flashlower.rewrites.fuse_attention.forward import forward_step
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.reductions import Terms, difference
from flashlower.rewrites.fuse_attention.rows import Exponent, RowSum
from flashlower.rewrites.fuse_attention.score import is_elementwise
from flashlower.rewrites.fuse_attention.softmax import Softmax, SoftmaxFinder

# What is computed from logits besides the softmax is a handful of operations; this ends the search in other graphs.
MAX_OPS = 256

# The sum is exp(LSE - maximum) up to rounding of the LSE, so scores must be no larger than logits are.
MAX_SCORE = 128


@dataclass
class RowUse:
    """A value that the graph computes from the LSE: `factor * LSE`, or exp(LSE - shifts) where shifts are given."""

    read: Read
    factor: float = 1.0
    shifts: Terms | None = None


@dataclass
class RowUseFinder:
    """Finds what else is computed from the logits of one group, and whether the LSE is enough for it."""

    finder: SoftmaxFinder
    softmax: Softmax
    score: Float
    has_new_masks: bool
    """Whether finite masks became infinite, which shows in the LSE of fully masked rows."""
    dot: Operation
    root: SSAValue
    logit: Read
    uses: list[RowUse] = field(default_factory=list[RowUse], init=False)
    unused: list[Operation] = field(default_factory=list[Operation], init=False)
    """Operations on values of the group whose results nothing uses."""
    _reads: dict[SSAValue, Read] = field(default_factory=dict[SSAValue, Read], init=False)

    def find(self) -> None:
        """Sets `uses` and `unused`. Raises `NotAttention` where a value is needed that no LSE gives."""
        computed, last = self._follow()
        replaced = {use.read.value for use in self.uses}
        for op in last:
            needed = [o for o in op.operands if o in computed and o not in replaced]
            seen: set[SSAValue] = set()
            while needed:
                value = needed.pop()
                if value in seen or value in replaced:
                    continue
                seen.add(value)
                source = hlo.owner(value)
                if self._is_maximum(value):
                    continue
                if (use := self._as_sum(value)) is not None:
                    self.uses.append(use)
                    replaced.add(value)
                    needed += [read.value for _, read in use.shifts or []]
                elif value == self.logit.value or source is None:
                    raise NotAttention(
                        f"a value between the dots is also used by {op.name}, but a fused attention keeps neither "
                        "logits nor weights; where they are needed, compute them apart from it"
                    )
                else:
                    needed += [o for o in source.operands if o in computed]

    # Forwards

    def _follow(self) -> tuple[set[SSAValue], list[Operation]]:
        """
        All that is computed from the logits, up to the LSE, and the operations beyond which nothing is followed: those
        that are no elementwise ones, views or reductions.
        """
        for read in (self.logit, self.softmax.exponent.scores, self.softmax.exponential):
            self._reads.setdefault(read.value, read)
        computed = {self.logit.value}
        worklist = [self.logit.value]
        last: dict[Operation, None] = {}
        while worklist:
            value = worklist.pop(0)
            for use in value.uses:
                op = use.operation
                if op is self.dot or any(r == self.root for r in op.results):
                    continue
                if not self._is_followed(op) or len(computed) > MAX_OPS:
                    last[op] = None
                    continue
                result = op.results[0]
                if result in computed:
                    continue
                if result not in self._reads and (read := self._forward(op, value)) is not None:
                    self._reads[result] = read
                computed.add(result)
                if not result.uses:
                    self.unused.append(op)
                elif (factor := self._lse_factor(result)) is not None:
                    self.uses.append(RowUse(self._reads[result], factor))
                else:
                    worklist.append(result)
        return computed, list(last)

    def _is_followed(self, op: Operation) -> bool:
        return (
            op.parent is self.dot.parent
            and len(op.results) == 1
            and op.name not in ("stablehlo.dot_general", "stablehlo.custom_call")
            and (not op.regions or hlo.reduce_kind(op) is not None)
            and is_side_effect_free(op)
        )

    def _forward(self, op: Operation, value: SSAValue) -> Read | None:
        """Where the elements of a result are, as elements of the operand `value` are known."""
        if (read := self._reads.get(value)) is None:
            return None
        indices: Indices | None = None
        if (step := forward_step(op, read.indices)) is not None:
            indices = step
        elif op.name == "stablehlo.broadcast_in_dim":
            indices = _with_ones(op, read.indices)
        elif hlo.reduce_kind(op) is not None:
            reduced = hlo.integers(hlo.attribute(op, "dimensions"))
            if len(reduced) == 1 and read.indices[reduced[0]].key == self.finder.rows.key_index.key:
                indices = (*read.indices[: reduced[0]], *read.indices[reduced[0] + 1 :])
        elif hlo.shape(op.results[0]) == hlo.shape(value) and (
            is_elementwise(op.results[0]) or op.name in ("stablehlo.is_finite", "stablehlo.sign")
        ):
            indices = read.indices
        return None if indices is None else Read(op.results[0], indices)

    # The LSE

    def _lse_factor(self, value: SSAValue) -> float | None:
        """The factor c of a value that is c * LSE; None for any other."""
        op, read = hlo.owner(value), self._reads.get(value)
        names = ("stablehlo.add", "stablehlo.subtract", "stablehlo.log", "stablehlo.multiply", "stablehlo.divide")
        if op is None or op.name not in names or read is None or not self._is_row(read):
            return None
        rows = self.finder.rows
        terms = rows.linear(read)
        logarithms = [(c, total) for c, t in terms if (total := rows.logarithm(t)) is not None]
        if len(logarithms) != 1:
            return None
        factor, total = logarithms[0]
        found = self._own_sum(total)
        if found is None:
            return None
        _, exponent = found
        others = [(c, t) for c, t in terms if rows.logarithm(t) is None]
        rest = difference(others, [(factor * c, t) for c, t in exponent.shifts])
        return None if rest else factor

    def _own_sum(self, read: Read) -> tuple[RowSum, Exponent] | None:
        """A row value as the sum of exponentials of the group's scores, with any maximum subtracted from them."""
        total = self.finder.rows.row_sum(read)
        if total is None or total.is_clamped or self.has_new_masks:
            return None
        try:
            exponent = self.finder.rows.exponent(total.exponential)
            sink = self.finder.sink_of(total, exponent)
        except NotAttention:
            return None
        own, own_sink = self.softmax.exponent, self.softmax.sink
        known_guards = [*self.softmax.guards, *self.softmax.sum_guards]
        if (
            exponent.logarithms
            or not self.finder.rows.same_scores(exponent, own)
            or not all(any(g.same_as(known) for known in known_guards) for g in total.guards)
        ):
            return None
        if sink is None:
            # A sink that is a column of the scores is in the sum.
            is_own = own_sink is None or not own_sink.is_added
        else:
            is_own = own_sink is not None and own_sink.is_added and sink.same_as(own_sink)
        return (total, exponent) if is_own else None

    def _is_row(self, read: Read) -> bool:
        """Whether a value is one number for each row that a result of the operation can hold."""
        return self.finder.rows.is_row(read) and hlo.is_float(read.value)

    # The maximum and the sum

    def _is_maximum(self, value: SSAValue) -> bool:
        read = self._reads.get(value)
        if read is None or not self._is_row(read):
            return False
        maximum = self.finder.rows.row_reduction(read, "maximum")
        return maximum is not None and maximum.same_as(self.softmax.exponent.scores)

    def _as_sum(self, value: SSAValue) -> RowUse | None:
        """A row sum as exp(LSE - maximum); None where it is no sum or this is not as exact."""
        op, read = hlo.owner(value), self._reads.get(value)
        if op is None or hlo.reduce_kind(op) != "add" or read is None or not self._is_row(read):
            return None
        found = self._own_sum(read)
        if found is None or not found[0].is_plain:
            return None
        if not is_small(self.score) or min(map(hlo.bit_width, (value, self.logit.value))) < 32:
            raise NotAttention(
                "the row sum is used outside, where the LSE does not give it exactly; use maximum + log(sum) there"
            )
        return RowUse(read, shifts=found[1].shifts)


def _with_ones(op: Operation, indices: Indices) -> Indices | None:
    """The indices after a broadcast that adds dimensions of size 1 only."""
    shape, dims = hlo.shape(op.results[0]), hlo.broadcast_dimensions(op)
    if hlo.shape(op.operands[0]) != tuple(shape[d] for d in dims):
        return None
    if any(size != 1 for i, size in enumerate(shape) if i not in dims):
        return None
    return tuple(indices[dims.index(i)] if i in dims else Index() for i in range(len(shape)))


def is_small(score: Float) -> bool:
    """Whether a score is no larger than logits and small numbers, or is -inf."""
    match score:
        case Const(number):
            return abs(number) <= MAX_SCORE or number == -math.inf
        case FromInt(integer):
            return integer.fits(MAX_SCORE)
        case FloatOp("multiply" | "divide", (scores, TensorRead())) if has_logit(scores):
            # A scale that is known at run time.
            return is_small(scores)
        case TensorRead():
            return False
        case _:
            return all(map(is_small, children(score)))
