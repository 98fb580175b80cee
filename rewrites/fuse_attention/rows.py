"""
What a row of a softmax has: its maximum, the sum of its exponentials, and what is subtracted from its scores.

A subtracted row value may be a sum of terms, and weights may be normalised by one: `exp(s - m - log(sum(exp(s - m))))`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

from ml_dtypes import finfo
from xdsl.ir import Operation

from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Read
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.reductions import Reductions, Terms


@dataclass(frozen=True)
class Guard:
    """A condition that, where it has the value `zero_when`, replaces the weights by 0."""

    condition: Read
    zero_when: bool

    def same_as(self, other: Guard) -> bool:
        return self.zero_when == other.zero_when and self.condition.same_as(other.condition)


@dataclass
class Exponent:
    """`factor * (scores - maxima - logarithms)`, where maxima and logarithms are row values."""

    scores: Read
    factor: float
    maxima: Terms = field(default_factory=Terms)
    """Row maxima, perhaps replaced by another number where a row is empty."""
    logarithms: Terms = field(default_factory=Terms)
    raised: list[Read] = field(default_factory=list[Read])
    """Row values below which maxima were not left."""
    is_bounded: bool = False
    """Whether the largest exponent of every row that has a key is 0."""
    is_stepwise: bool = True
    """Whether maxima and logarithms are subtracted one after the other, and not their sum."""

    @property
    def shifts(self) -> Terms:
        """What is subtracted from `factor * scores` besides logarithms."""
        return [(self.factor * c, read) for c, read in self.maxima]


@dataclass
class RowSum:
    """The sum of a row's exponentials."""

    exponential: Read
    guards: list[Guard]
    """Conditions under which exponentials are left out."""
    extra: Read | None = None
    """An exponential of a row value that is added."""
    adds_one: bool = False
    """Whether 1 is added, the exponential of 0."""
    is_clamped: bool = False
    """Whether another number takes its place where it is far below 1."""

    @property
    def is_plain(self) -> bool:
        """Whether it is the sum of the row's exponentials and nothing else."""
        return self.extra is None and not self.adds_one and not self.is_clamped


@dataclass
class RowReader(Reductions):
    """Reads what a softmax is made of: exponentials, guards, maxima and sums."""

    # Weights

    def guard(self, op: Operation, read: Read) -> tuple[Guard, Read] | None:
        """A guard, and what it guards: a select of 0, or a product with a condition as a number."""
        if op.name == "stablehlo.select":
            condition = Read(op.operands[0], read.indices if hlo.shape(op.operands[0]) else ())
            for zero, zero_when in ((1, True), (2, False)):
                if self.folder.splat(op.operands[zero]) == 0:
                    return Guard(condition, zero_when), self.through(op, 3 - zero, read)
        if op.name == "stablehlo.multiply":
            for side in (1, 0):
                number = self.tracer.source(Read(op.operands[side], read.indices))
                convert = hlo.owner(number.value)
                if convert is not None and convert.name == "stablehlo.convert" and hlo.is_bool(convert.operands[0]):
                    self.tracer.visited.add(convert)
                    return Guard(Read(convert.operands[0], number.indices), False), self.through(op, 1 - side, read)
        return None

    def exponent(self, exponential: Read) -> Exponent:
        """What an exponential is of. Raises `NotAttention` where a value is none, or a maximum is of other values."""
        op = hlo.owner(exponential.value)
        if op is None:
            raise NotAttention("the weights are no softmax")
        if op.name == "stablehlo.exponential":
            read, base = self.through(op, 0, exponential), 1.0
        elif op.name == "stablehlo.power" and self.folder.splat(op.operands[0]) == 2:
            read, base = self.through(op, 1, exponential), math.log(2)
        else:
            raise NotAttention(f"the weights come from {op.name}, not from a softmax")
        read, factor = self._without_factor(read)
        return self._without_shifts(read, base * factor)

    def same_scores(self, a: Exponent, b: Exponent) -> bool:
        """Whether two exponents are of the same scores times the same factor, wherever a constant one was found."""
        (x, c), (y, d) = (self._without_factor(exponent.scores) for exponent in (a, b))
        return x.same_as(y) and math.isclose(a.factor * c, b.factor * d, rel_tol=1e-6)

    def _without_factor(self, exponent: Read) -> tuple[Read, float]:
        """The exponent without positive constant factors, which may come after the maximum was subtracted."""
        factor = 1.0
        while (op := hlo.owner(exponent.value)) is not None:
            scaled = self.folder.constant_factor(op)
            if scaled is None or scaled[1] <= 0:
                break
            self.tracer.visited.add(op)
            exponent = self.tracer.source(Read(scaled[0], exponent.indices))
            factor *= scaled[1]
        return exponent, factor

    def _without_shifts(self, scores: Read, factor: float) -> Exponent:
        """Scores before row maxima, which some graphs subtract twice, and logarithms of sums were subtracted."""
        result = Exponent(scores, factor)
        while (op := hlo.owner(result.scores.value)) is not None and op.name == "stablehlo.subtract":
            subtrahend = self.tracer.source(Read(op.operands[1], result.scores.indices))
            if not self.is_row(subtrahend) or self.folder.is_constant(subtrahend.value):
                break
            minuend = self.through(op, 0, result.scores)
            terms = self.linear(subtrahend)
            scaled, scale = self._without_factor(minuend)
            if len(terms) == 1 and scale != 1.0 and math.isclose(terms[0][0], scale, rel_tol=1e-6):
                # c * s - c * max(s)
                for earlier in (result.maxima, result.logarithms):
                    earlier[:] = [(c / scale, read) for c, read in earlier]
                result.factor *= scale
                minuend, terms = scaled, [(1.0, terms[0][1])]
            logarithms = [t for t in terms if self.logarithm(t[1]) is not None]
            maxima = [t for t in terms if t not in logarithms]
            bounds = [self._bounds(read, minuend, result.raised) if c == 1.0 else None for c, read in maxima]
            if None in bounds:
                if not (result.maxima or result.logarithms):
                    raise NotAttention("what is subtracted from the scores is no maximum of them")
                # Any other number that a row has is a part of the score.
                break
            self.tracer.visited.add(op)
            result.is_bounded |= any(bounds)
            result.is_stepwise &= not (maxima and logarithms)
            result.maxima += maxima
            result.logarithms += logarithms
            result.scores = minuend
        return result

    # The row maximum

    def _bounds(self, read: Read, scores: Read, raised: list[Read]) -> bool | None:
        """
        Whether a row value is the maximum of the scores in every row that has a key; None where it is no maximum.

        It may be the maximum of the scores and of another row value, which is added to `raised`. Raises `NotAttention`
        where it is the maximum of other scores.
        """
        op = hlo.owner(read.value)
        if op is None:
            return None
        if op.name == "stablehlo.reduce" and hlo.reduce_kind(op) == "maximum":
            self.check_row_reduction(read, "maximum", scores, "the subtracted maximum is")
            return True
        if op.name == "stablehlo.maximum":
            for side in (0, 1):
                bound = self.folder.splat(op.operands[side])
                if bound is not None and bound <= 0:
                    # Where it is raised, other numbers underflow, and no weight changes.
                    is_maximum = self._bounds(self.through(op, 1 - side, read), scores, raised)
                    return is_maximum and bound == -math.inf
            for side in (0, 1):
                maximum = self.through(op, side, read)
                reduce = hlo.owner(self.row_maximum(maximum).value)
                if reduce is not None and hlo.reduce_kind(reduce) == "maximum":
                    raised.append(self.through(op, 1 - side, read))
                    return self._bounds(maximum, scores, raised) and False
        if op.name == "stablehlo.select":
            for number, other in ((2, 1), (1, 2)):
                if self.folder.splat(op.operands[number]) == 0:
                    maximum = self.through(op, other, read)
                    if self._is_finite(self.through(op, 0, read), maximum, number == 2):
                        return self._bounds(maximum, scores, raised)
        return None

    def _is_finite(self, condition: Read, maximum: Read, value: bool) -> bool:
        """Whether a condition has a value exactly where a row maximum is finite, or is not -inf."""
        op = hlo.owner(condition.value)
        if op is None:
            return False
        if op.name == "stablehlo.not":
            return self._is_finite(self.through(op, 0, condition), maximum, not value)
        if op.name == "stablehlo.is_finite":
            return value and self.through(op, 0, condition).same_as(maximum)
        if op.name != "stablehlo.compare" or not hlo.is_float(op.operands[0]):
            return False
        compared = self.through(op, 0, condition)
        magnitude = hlo.owner(compared.value)
        bound = self.folder.splat(op.operands[1])
        if magnitude is not None and magnitude.name == "stablehlo.abs":
            compared = self.through(magnitude, 0, compared)
            relations = ("NE", "LT") if value else ("EQ", "GE")
            is_infinite = bound == math.inf
        else:
            relations = ("NE", "GT") if value else ("EQ", "LE")
            is_infinite = bound == -math.inf
        return is_infinite and hlo.comparison_direction(op) in relations and compared.same_as(maximum)

    # The row sum

    def logarithm(self, read: Read) -> Read | None:
        """The sum that a row value is the logarithm of; jax.nn.logsumexp takes its absolute value."""
        op = hlo.owner(read.value)
        if op is None or op.name != "stablehlo.log":
            return None
        total = self.through(op, 0, read)
        op = hlo.owner(total.value)
        return self.through(op, 0, total) if op is not None and op.name == "stablehlo.abs" else total

    def row_sum(self, read: Read) -> RowSum | None:
        """A row value as a sum of exponentials; None where it is none."""
        op = hlo.owner(read.value)
        if op is None:
            return None
        if op.name == "stablehlo.select":
            return self._where_nonzero(op, read)
        if op.name in ("stablehlo.add", "stablehlo.maximum"):
            for side in (0, 1):
                bound = self.folder.splat(op.operands[side])
                if bound is not None:
                    total = self.row_sum(self.through(op, 1 - side, read))
                    if op.name == "stablehlo.add" and bound == 1:
                        return self._plus_one(total)
                    return self._clamped(total, op, float(bound))
            for side in (0, 1) if op.name == "stablehlo.add" else ():
                extra = self.through(op, side, read)
                exponential = hlo.owner(extra.value)
                if exponential is not None and exponential.name in ("stablehlo.exponential", "stablehlo.power"):
                    total = self.row_sum(self.through(op, 1 - side, read))
                    if total is None or not total.is_plain:
                        return None
                    total.extra = extra
                    return total
            return None
        operand = self.row_reduction(read, "add")
        if operand is None:
            return None
        guards: list[Guard] = []
        while (op := hlo.owner(operand.value)) is not None and (guarded := self.guard(op, operand)) is not None:
            guards.append(guarded[0])
            operand = guarded[1]
        return RowSum(operand, guards)

    def _plus_one(self, total: RowSum | None) -> RowSum | None:
        """A sum to which 1 is added: to exponentials from which no maximum was subtracted, that of a sink of 0."""
        if total is None or not total.is_plain:
            return None
        total.adds_one = True
        return total

    def _clamped(self, total: RowSum | None, op: Operation, bound: float) -> RowSum | None:
        """A sum that is kept from being 0. One that is 1 at least must not change by it, but for rounding."""
        half_ulp = float(cast(Any, finfo(numpy_dtype(hlo.element_type(op.results[0])))).epsneg) / 2
        largest = 1.0 if op.name == "stablehlo.maximum" else half_ulp
        if total is not None:
            total.is_clamped = True
        return total if 0 <= bound <= largest else None

    def _where_nonzero(self, op: Operation, read: Read) -> RowSum | None:
        """`select(sum == 0, c, sum)` for a constant c."""
        for number, other, relations in ((1, 2, ("EQ", "LE")), (2, 1, ("NE", "GT"))):
            condition = self.through(op, 0, read)
            compare = hlo.owner(condition.value)
            total = self.through(op, other, read)
            if (
                compare is not None
                and compare.name == "stablehlo.compare"
                and self.folder.splat(op.operands[number]) is not None
                and hlo.comparison_direction(compare) in relations
                and self.folder.splat(compare.operands[1]) == 0
                and self.through(compare, 0, condition).same_as(total)
                and (result := self.row_sum(total)) is not None
            ):
                result.is_clamped = True
                return result
        return None
