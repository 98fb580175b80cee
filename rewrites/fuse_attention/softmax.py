"""
The softmax of a candidate: which values were exponentiated, and that they were divided by their own sum.

The row maximum and the row sum must be reductions, over exactly the keys, of exactly the values that they are applied
to. Exponentials are of base e or 2, the division may be a product with the reciprocal, and may come after the second
dot. A column that takes part in the softmax and is dropped after it is an attention sink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

from ml_dtypes import finfo
from xdsl.ir import Operation

from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Index, Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.hlo import NotAttention


@dataclass(frozen=True)
class Guard:
    """A condition that, where it has the value `zero_when`, replaces the weights by 0."""

    condition: Read
    zero_when: bool


@dataclass
class Softmax:
    """A softmax over the key variable, as found between the dots."""

    exponential: Read
    """The exponentials, at the keys of the second dot."""
    scores: Read
    """What they are exponentials of, less the row maximum and without the factor."""
    factor: float
    """The logarithm of the base times a constant: weights are exp(factor * score), normalised."""
    sink: Read | None
    """A further score that takes part in the sum and has no value."""
    has_maximum: bool
    guards: list[Guard]
    probabilities: list[Read]
    """The weights after the division by the sum; none where that comes after the second dot."""


@dataclass
class SoftmaxFinder:
    """Finds the softmax that given weights come from; `key` is the variable of the keys."""

    tracer: Tracer
    folder: ConstantFolder
    key: Var
    # The keys of the softmax: one more than those of the second dot where there is a sink.
    key_index: Index = field(init=False)
    key_size: int = field(init=False)

    def __post_init__(self) -> None:
        self.key_index, self.key_size = Index.of(self.key), self.key.size

    def through(self, op: Operation, position: int, read: Read) -> Read:
        """The read of an operand of an elementwise operation."""
        self.tracer.visited.add(op)
        operand = op.operands[position]
        # A rank-0 condition of a select stands for all elements.
        return self.tracer.source(Read(operand, read.indices if hlo.shape(operand) else ()))

    def find(self, weights: Read) -> Softmax:
        """The softmax. Raises `NotAttention` with the reason where there is none."""
        guards: list[Guard] = []
        sums: list[Read] = []
        probabilities: list[Read] = []
        read = self.tracer.source(weights)
        while (op := hlo.owner(read.value)) is not None:
            if (guard := self._guard(op, read)) is not None:
                guards.append(guard)
                read = self.through(op, 2 if guard.zero_when else 1, read)
            elif (division := self._division(op, read)) is not None:
                probabilities.append(read)
                read, total = division
                sums.append(total)
            else:
                break
        exponent, factor = self._exponent(op, read)
        self._find_keys(read)
        if len(sums) > 1:
            raise NotAttention("the weights are divided more than once")
        for total in sums:
            self.check_row_reduction(total, "add", read, "the denominator is")
        scores, outer = self._without_factor(exponent)
        stripped = self._without_maximum(scores)
        has_maximum = not stripped.same_as(scores)
        scores, sink = self._split_sink(stripped)
        return Softmax(read, scores, factor * outer, sink, has_maximum, guards, probabilities)

    def _guard(self, op: Operation, read: Read) -> Guard | None:
        if op.name != "stablehlo.select":
            return None
        condition = Read(op.operands[0], read.indices if hlo.shape(op.operands[0]) else ())
        for zero, zero_when in ((1, True), (2, False)):
            if self.folder.splat(op.operands[zero]) == 0:
                return Guard(condition, zero_when)
        return None

    def _division(self, op: Operation, read: Read) -> tuple[Read, Read] | None:
        """Numerator and denominator of a quotient, or of a product with a reciprocal."""
        if op.name == "stablehlo.divide":
            return self.through(op, 0, read), self.through(op, 1, read)
        if op.name == "stablehlo.multiply":
            for side in (1, 0):
                reciprocal = self.tracer.source(Read(op.operands[side], read.indices))
                divide = hlo.owner(reciprocal.value)
                if divide is None or divide.name != "stablehlo.divide":
                    continue
                if self.folder.splat(divide.operands[0]) == 1:
                    return self.through(op, 1 - side, read), self.through(divide, 1, reciprocal)
        return None

    def _exponent(self, op: Operation | None, read: Read) -> tuple[Read, float]:
        """What an exponential was taken of, and the logarithm of its base."""
        if op is None:
            raise NotAttention("the weights are no softmax")
        if op.name == "stablehlo.exponential":
            return self.through(op, 0, read), 1.0
        if op.name == "stablehlo.power" and self.folder.splat(op.operands[0]) == 2:
            return self.through(op, 1, read), math.log(2)
        raise NotAttention(f"the weights come from {op.name}, not from a softmax")

    def _find_keys(self, exponential: Read) -> None:
        for index, size in zip(exponential.indices, hlo.shape(exponential.value)):
            if index.uses(self.key) and size == self.key.size + 1:
                self.key_index, self.key_size = index, size

    # The row maximum

    def _without_factor(self, exponent: Read) -> tuple[Read, float]:
        """The exponent without a positive constant factor, which may come after the maximum was subtracted."""
        op = hlo.owner(exponent.value)
        if op is not None and (scaled := self.folder.constant_factor(op)) is not None and scaled[1] > 0:
            self.tracer.visited.add(op)
            return self.tracer.source(Read(scaled[0], exponent.indices)), scaled[1]
        return exponent, 1.0

    def _without_maximum(self, scores: Read) -> Read:
        """Scores before their row maximum was subtracted, which some graphs do twice."""
        while (op := hlo.owner(scores.value)) is not None and op.name == "stablehlo.subtract":
            subtrahend = self.through(op, 1, scores)
            if any(index.uses(self.key) for index in subtrahend.indices) or self.folder.is_constant(subtrahend.value):
                break
            maximum = self.row_maximum(subtrahend)
            reduce = hlo.owner(maximum.value)
            if reduce is None or hlo.reduce_kind(reduce) != "maximum":
                # Any other number that a row has is a part of the score.
                break
            minuend = self.through(op, 0, scores)
            self.check_row_reduction(maximum, "maximum", minuend, "the subtracted maximum is")
            scores = minuend
        return scores

    def row_maximum(self, read: Read) -> Read:
        """Sees through `max(-inf, x)`, which jax.nn.softmax writes for empty rows."""
        op = hlo.owner(read.value)
        if op is not None and op.name == "stablehlo.maximum":
            for constant, other in ((0, 1), (1, 0)):
                if self.folder.is_negative_infinity(op.operands[constant]):
                    return self.through(op, other, read)
        return read

    # Reductions

    def reduced_over_keys(self, read: Read, op: Operation) -> Read | None:
        """What a reduction over the keys reduces, read at the key; None where it is over anything else."""
        reduced = hlo.integers(hlo.attribute(op, "dimensions"))
        if len(reduced) != 1 or hlo.shape(op.operands[0])[reduced[0]] != self.key_size:
            return None
        if any(index.uses(self.key) for index in read.indices):
            return None
        self.tracer.visited.add(op)
        indices = list(read.indices)
        indices.insert(reduced[0], self.key_index)
        return self.tracer.source(Read(op.operands[0], tuple(indices)))

    def row_reduction(self, read: Read, kind: str) -> Read | None:
        """What a row sum or maximum is of, read at the key; None where it is none."""
        op = hlo.owner(read.value)
        if op is None or hlo.reduce_kind(op) != kind:
            return None
        start = self.folder.splat(op.operands[1])
        if start is None or not (start == 0 if kind == "add" else start <= _lowest(op)):
            return None
        return self.reduced_over_keys(read, op)

    def check_row_reduction(self, read: Read, kind: str, of: Read, what: str) -> None:
        """Raises `NotAttention`, beginning with `what`, unless `read` is the row sum or maximum of `of`."""
        operand = self.row_reduction(read, kind)
        if operand is None:
            raise NotAttention(f"{what} no {kind} over the keys")
        if not operand.same_as(of):
            raise NotAttention(f"{what} taken of other values")

    # Sinks

    def _split_sink(self, scores: Read) -> tuple[Read, Read | None]:
        """The scores of the keys, and the score of the column that was appended to them."""
        if self.key_size == self.key.size:
            return scores, None
        op = hlo.owner(scores.value)
        axis = next((i for i, index in enumerate(scores.indices) if index.uses(self.key)), None)
        if op is None or op.name != "stablehlo.concatenate" or len(op.operands) != 2 or axis is None:
            raise NotAttention("the softmax is over one more key than the second dot")
        sizes = [hlo.shape(operand)[axis] for operand in op.operands]
        start = scores.indices[axis].offset
        if hlo.concatenate_dimension(op) != axis or sizes != ([self.key.size, 1] if start == 0 else [1, self.key.size]):
            raise NotAttention("the softmax is over one more key than the second dot")
        self.tracer.visited.add(op)

        def part(position: int, index: Index) -> Read:
            indices = (*scores.indices[:axis], index, *scores.indices[axis + 1 :])
            return self.tracer.source(Read(op.operands[position], indices))

        return part(start, Index.of(self.key)), part(1 - start, Index())


def _lowest(reduce: Operation) -> float:
    """The lowest finite number of the element type of a reduction: no maximum is missed by starting there."""
    return float(cast(Any, finfo(numpy_dtype(hlo.element_type(reduce.operands[0])))).min)
