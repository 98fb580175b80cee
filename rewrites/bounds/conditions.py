"""
Truth values of a score region as intervals of keys.

For a block of queries, a condition has an interval outside of which it is never true, one in which it is true for
every query, and the same two for false. A comparison that is affine in the key has all four as half-lines; what is
not understood may be both everywhere, and is surely neither anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, i1
from xdsl.ir import OpResult, SSAValue

from flashlower.rewrites.bounds.integers import Integers, integer_range
from flashlower.rewrites.bounds.interval import (
    ALL,
    Interval,
    Keys,
    Order,
    both,
    either,
    hull,
    narrowed,
    widened,
)
from flashlower.rewrites.bounds.linear import FloorDiv, Linear, Range, Term

SAMPLE = 1 << 20
"""The query, and the number of keys, at which intervals are compared where only one can be kept."""


@dataclass(frozen=True)
class Truth:
    """Keys at which a condition may be true or false, and those at which it surely is, for all queries of a block."""

    may_true: Keys = ALL
    true: Keys = None
    may_false: Keys = ALL
    false: Keys = None

    def negated(self) -> Truth:
        """The opposite condition."""
        return Truth(self.may_false, self.false, self.may_true, self.true)


UNKNOWN = Truth()
ALWAYS = Truth(ALL, ALL, None, None)


class Conditions:
    """Reads the conditions of one score region."""

    def __init__(self, integers: Integers):
        self._integers = integers
        self._known: dict[SSAValue, Truth] = {}

    @property
    def order(self) -> Order:
        """What is known of block ends and symbols."""
        return Order(self._integers.ranges)

    def read(self, value: SSAValue) -> Truth:
        """What is known of an i1."""
        if value not in self._known:
            self._known[value] = self._read(value)
        return self._known[value]

    def _read(self, value: SSAValue) -> Truth:
        if not isinstance(value, OpResult):
            return UNKNOWN
        match value.op:
            case arith.ConstantOp(value=IntegerAttr() as constant):
                return ALWAYS if constant.value.data else ALWAYS.negated()
            case arith.AndIOp(lhs=lhs, rhs=rhs):
                return self.all_of(self.read(lhs), self.read(rhs))
            case arith.OrIOp(lhs=lhs, rhs=rhs):
                return self.any_of(self.read(lhs), self.read(rhs))
            case arith.XOrIOp(lhs=lhs, rhs=rhs):
                a, b = self.read(lhs), self.read(rhs)
                return self._differ(a, b)
            case arith.SelectOp(cond=cond, lhs=lhs, rhs=rhs):
                chosen, a, b = self.read(cond), self.read(lhs), self.read(rhs)
                return self.any_of(self.all_of(chosen, a), self.all_of(chosen.negated(), b))
            case arith.CmpiOp() as compare:
                return self._compare(compare)
            case _:
                return UNKNOWN

    def all_of(self, a: Truth, b: Truth) -> Truth:
        """a and b."""
        order = self.order
        return Truth(
            widened(both(a.may_true, b.may_true, order)),
            narrowed(both(a.true, b.true, order)),
            widened(hull(a.may_false, b.may_false, order)),
            narrowed(either(a.false, b.false, order, self._size)),
        )

    def any_of(self, a: Truth, b: Truth) -> Truth:
        """a or b."""
        return self.all_of(a.negated(), b.negated()).negated()

    def _differ(self, a: Truth, b: Truth) -> Truth:
        return self.any_of(self.all_of(a, b.negated()), self.all_of(a.negated(), b))

    def _compare(self, op: arith.CmpiOp) -> Truth:
        predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
        if op.lhs.type == i1 and predicate in ("eq", "ne"):
            differ = self._differ(self.read(op.lhs), self.read(op.rhs))
            return differ if predicate == "ne" else differ.negated()
        lhs, rhs = self._integers.read(op.lhs), self._integers.read(op.rhs)
        if lhs is None or rhs is None or integer_range(op.lhs.type) is None:
            return UNKNOWN
        if predicate[0] == "u":
            # As signed numbers, if none of them is negative.
            if any(x.bounds(self._integers.ranges)[0] < 0 for x in (lhs, rhs)):
                return UNKNOWN
            predicate = f"s{predicate[1:]}"
        match predicate:
            case "sle":
                return self._not_positive(lhs - rhs)
            case "slt":
                return self._not_positive(lhs - rhs + 1)
            case "sge":
                return self._not_positive(rhs - lhs)
            case "sgt":
                return self._not_positive(rhs - lhs + 1)
            case _:
                equal = self.all_of(self._not_positive(lhs - rhs), self._not_positive(rhs - lhs))
                return equal if predicate == "eq" else equal.negated()

    def _not_positive(self, x: Linear) -> Truth:
        """x <= 0."""
        with_key = [
            (term, factor)
            for term, factor in x.terms
            if term == "n" or (isinstance(term, FloorDiv) and term.dividend.uses("n"))
        ]
        if not with_key:
            low, high = x.bounds(self._integers.ranges)
            return ALWAYS if high <= 0 else ALWAYS.negated() if low > 0 else UNKNOWN
        if len(with_key) > 1:
            return UNKNOWN
        ((term, factor),) = with_key
        rest = x - Linear.term(term) * factor
        if isinstance(term, FloorDiv):
            if factor > 0:
                # floor(d / c) <= q is d <= c q + c - 1, floor(d / c) >= q is d >= c q.
                quotient = (-rest).floordiv(factor)
                return self._not_positive(term.dividend - quotient * term.divisor - (term.divisor - 1))
            quotient = -(-rest).floordiv(-factor)
            return self._not_positive(quotient * term.divisor - term.dividend)
        if factor > 0:
            return self._at_most((-rest).floordiv(factor))
        return self._at_most(-(-rest).floordiv(-factor) - 1).negated()

    def _at_most(self, last: Linear) -> Truth:
        """n <= last, where `last` has no key."""
        least, most = (last.over_block(largest=largest) + 1 for largest in (False, True))
        return Truth(
            Interval(upper=(frozenset((most,)),)),
            Interval(upper=(frozenset((least,)),)),
            Interval(lower=(frozenset((least,)),)),
            Interval(lower=(frozenset((most,)),)),
        )

    def _size(self, keys: Interval) -> int:
        """About how many keys an interval has: for a late query, with symbols of 0."""
        ranges: dict[Term, Range] = dict.fromkeys(self._integers.ranges, (0, 0))
        ranges.update({"m0": (SAMPLE, SAMPLE), "m1": (SAMPLE + 1, SAMPLE + 1)})
        lower = max((min(x.bounds(ranges)[0] for x in group) for group in keys.lower), default=0)
        upper = min((max(x.bounds(ranges)[0] for x in group) for group in keys.upper), default=2 * SAMPLE)
        return min(upper, 2 * SAMPLE) - max(lower, 0)
