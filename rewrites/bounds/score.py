"""Bounds of a score region: the keys that a block of queries reaches, and those that it needs no mask for."""

from __future__ import annotations

import math

from xdsl.dialects import arith
from xdsl.ir import OpResult, SSAValue
from xdsl.ir.affine import AffineExpr

from flashlower.dialects.attention import AttentionOp, KeyIntervalAttr, YieldOp
from flashlower.dialects.attention.bounds import Bounds
from flashlower.dialects.attention.masks import float_constant, kept_operand, masks
from flashlower.rewrites.bounds.conditions import Conditions
from flashlower.rewrites.bounds.integers import Integers
from flashlower.rewrites.bounds.interval import ALL, Interval, Keys, Order, Side, both, hull, narrowed, widened
from flashlower.rewrites.bounds.linear import Linear, Symbol, Term


class ScoreAnalysis:
    """The analysis of the score region of one operation, which is not empty."""

    def __init__(self, op: AttentionOp):
        self._op = op
        self._block = op.score.block
        self._integers = Integers(op)
        self._conditions = Conditions(self._integers)
        self._alive: dict[SSAValue, Keys] = {}

    def bounds(self) -> Bounds:
        """The bounds; None where nothing is proved, or where every existing key is in."""
        reach = self.alive(self._yielded())
        unmasked: Keys = None
        for i, mask in enumerate(masks(self._block)):
            kept = self._kept(mask)
            unmasked = kept if i == 0 else narrowed(both(unmasked, kept, self._order))
        if reach is None:
            reach = Interval(upper=(frozenset((Linear.number(0),)),))
        found = [None if keys is None else self._without_existing(keys) for keys in (reach, unmasked)]
        return self._written(found[0], found[1])

    def is_always_kept(self, mask: arith.SelectOp) -> bool:
        """Whether a mask keeps every key that exists, for every query."""
        kept = self._kept(mask)
        return kept is not None and self._without_existing(kept) == ALL

    @property
    def _order(self) -> Order:
        return self._conditions.order

    def _yielded(self) -> SSAValue:
        terminator = self._block.last_op
        assert isinstance(terminator, YieldOp)
        return terminator.value

    def _kept(self, mask: arith.SelectOp) -> Keys:
        """Keys that a mask surely keeps."""
        truth = self._conditions.read(mask.cond)
        return truth.true if kept_operand(mask) is mask.lhs else truth.false

    def alive(self, value: SSAValue) -> Keys:
        """
        An interval outside of which a logit is -inf, whatever the numbers are that it is made of.

        -inf plus NaN or inf is NaN, so what is only added to a logit masks nothing for sure.
        """
        if value not in self._alive:
            self._alive[value] = self._find_alive(value)
        return self._alive[value]

    def _find_alive(self, value: SSAValue) -> Keys:
        constant = float_constant(value)
        if constant is not None:
            return None if constant == -math.inf else ALL
        if not isinstance(value, OpResult):
            return ALL
        match value.op:
            case arith.SelectOp(cond=cond, lhs=lhs, rhs=rhs):
                truth, order = self._conditions.read(cond), self._order
                left = widened(both(truth.may_true, self.alive(lhs), order))
                right = widened(both(truth.may_false, self.alive(rhs), order))
                return widened(hull(left, right, order))
            case arith.ExtFOp(input=narrow) | arith.TruncFOp(input=narrow):
                return self.alive(narrow)
            case arith.AddfOp(lhs=lhs, rhs=rhs):
                # -inf plus a finite constant.
                return self._alive_beside(lhs, rhs, -math.inf)
            case arith.MulfOp(lhs=lhs, rhs=rhs):
                # -inf times a finite constant above 0.
                return self._alive_beside(lhs, rhs, 0.0)
            case _:
                return ALL

    def _alive_beside(self, lhs: SSAValue, rhs: SSAValue, above: float) -> Keys:
        for value, other in ((lhs, rhs), (rhs, lhs)):
            constant = float_constant(other)
            if constant is not None and above < constant < math.inf:
                return self.alive(value)
        return ALL

    def _without_existing(self, keys: Interval) -> Interval:
        """The interval without bounds that hold for every key that exists."""
        lower = tuple(group for group in keys.lower if not any(self._order.at_most(x, Linear.number(0)) for x in group))
        ends = self._ends()
        upper = tuple(
            group for group in keys.upper if not any(self._order.at_most(end, x) for end in ends for x in group)
        )
        return Interval(lower, upper)

    def _ends(self) -> list[Linear]:
        """Numbers that all existing keys are below: that of all keys, and the length."""
        ends = [Linear.number(self._integers.ranges["n"][1] + 1)]
        lengths = (self._op.kv_lens, self._op.kv_lens_layout)
        return ends + [Linear.term(Symbol(i)) for i, symbol in enumerate(self._integers.symbols) if symbol == lengths]

    def _written(self, reach: Interval | None, unmasked: Interval | None) -> Bounds:
        """The intervals as attributes, with the symbols that they use."""
        intervals = [None if keys == ALL else keys for keys in (reach, unmasked)]
        used = {
            symbol
            for keys in intervals
            if keys is not None
            for group in (*keys.lower, *keys.upper)
            for expr in group
            for symbol in expr.symbols()
        }
        numbers = {symbol: number for number, symbol in enumerate(sorted(used))}

        def renumbered(term: Term) -> Linear:
            return Linear.term(Symbol(numbers[term.index]) if isinstance(term, Symbol) else term)

        def groups(side: Side) -> list[list[AffineExpr]]:
            return [
                [expr.map_terms(renumbered).to_affine() for expr in sorted(group, key=Linear.sort_key)]
                for group in side
            ]

        attributes = [
            None if keys is None else KeyIntervalAttr.of(groups(keys.lower), groups(keys.upper)) for keys in intervals
        ]
        scalars = [self._integers.symbols[symbol] for symbol in sorted(used)]
        return Bounds(attributes[0], attributes[1], scalars)
