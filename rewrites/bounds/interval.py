"""
Intervals of keys with affine bounds, and what `and` and `or` make of them.

A lower bound is a maximum of minima and an upper bound a minimum of maxima: tuples of groups of expressions. Bounds
of `and` are joined, bounds of `or` distributed, so both stay in this form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from flashlower.rewrites.bounds.linear import Linear, Range, Term

Group: TypeAlias = frozenset[Linear]
Side: TypeAlias = tuple[Group, ...]

MAX_GROUPS = 4
"""The most groups of a bound, and expressions of a group: what a kernel computes for every block of queries."""


@dataclass(frozen=True)
class Interval:
    """Keys from `lower` on and below `upper`; without groups a side is open."""

    lower: Side = ()
    upper: Side = ()


ALL = Interval()
"""All keys. No key is None."""

Keys: TypeAlias = Interval | None


@dataclass(frozen=True)
class Order:
    """What is known of expressions at all blocks of queries: the ranges of terms, and m0 < m1."""

    ranges: dict[Term, Range]

    def at_most(self, small: Linear, large: Linear) -> bool:
        """Whether `small` <= `large` is proved."""
        difference = large - small
        m0, m1 = difference.factors.get("m0", 0), difference.factors.get("m1", 0)
        if m1 > 0:
            # m1 >= m0 + 1: put as much of m1 as takes away a negative m0, else all of it, at that end.
            shared = min(m1, -m0) if m0 < 0 else 0
            difference = difference + (Linear.term("m0") + 1) * shared - Linear.term("m1") * shared
        return difference.bounds(self.ranges)[0] >= 0


def both(a: Keys, b: Keys, order: Order) -> Keys:
    """The keys in both intervals."""
    if a is None or b is None:
        return None
    return Interval(_join_lower(a.lower + b.lower, order), _join_upper(a.upper + b.upper, order))


def hull(a: Keys, b: Keys, order: Order) -> Keys:
    """An interval that holds the keys of both: from the smaller lower bound to the larger upper one."""
    if a is None or b is None:
        return b if a is None else a
    lower = _join_lower(_distribute(a.lower, b.lower), order)
    upper = _join_upper(_distribute(a.upper, b.upper), order)
    return Interval(lower, upper)


def either(a: Keys, b: Keys, order: Order, size: Callable[[Interval], int]) -> Keys:
    """
    An interval of keys that are in either one.

    Intervals with an equal end are one up to the farther other end; of others, the larger one by `size` is taken.
    """
    if a is None or b is None:
        return b if a is None else a
    if set(a.lower) == set(b.lower):
        return Interval(a.lower, _join_upper(_distribute(a.upper, b.upper), order))
    if set(a.upper) == set(b.upper):
        return Interval(_join_lower(_distribute(a.lower, b.lower), order), a.upper)
    return a if size(a) >= size(b) else b


def widened(keys: Keys) -> Keys:
    """An interval that holds the given one, with bounds that are not too long."""
    if keys is None:
        return None
    lower, upper = (
        tuple(group for group in side if len(group) <= MAX_GROUPS)[:MAX_GROUPS] for side in (keys.lower, keys.upper)
    )
    return Interval(lower, upper)


def narrowed(keys: Keys) -> Keys:
    """An interval in the given one, with bounds that are not too long."""
    if keys is None or max(len(keys.lower), len(keys.upper)) > MAX_GROUPS:
        return None
    lower, upper = (
        tuple(frozenset(sorted(group, key=Linear.sort_key)[:MAX_GROUPS]) for group in side)
        for side in (keys.lower, keys.upper)
    )
    return Interval(lower, upper)


def _distribute(a: Side, b: Side) -> Side:
    return tuple(x | y for x, y in product(a, b))


def _join_upper(side: Side, order: Order) -> Side:
    """The minimum of the maxima, without what never decides."""
    groups = [_undecided(group, order.at_most) for group in side]
    return _decisive(groups, lambda a, b: all(any(order.at_most(x, y) for y in b) for x in a))


def _join_lower(side: Side, order: Order) -> Side:
    """The maximum of the minima, without what never decides."""
    groups = [_undecided(group, lambda a, b: order.at_most(b, a)) for group in side]
    return _decisive(groups, lambda a, b: all(any(order.at_most(y, x) for y in b) for x in a))


def _undecided(group: Group, covered: Callable[[Linear, Linear], bool]) -> Group:
    """A group without expressions that another one covers."""
    kept: list[Linear] = []
    for expr in sorted(group, key=Linear.sort_key):
        if any(covered(expr, other) for other in kept):
            continue
        kept = [other for other in kept if not covered(other, expr)]
        kept.append(expr)
    return frozenset(kept)


def _decisive(groups: list[Group], tighter: Callable[[Group, Group], bool]) -> Side:
    """The groups without those for which there is a tighter one."""
    kept: list[Group] = []
    for group in groups:
        if any(tighter(other, group) for other in kept):
            continue
        kept = [other for other in kept if not tighter(group, other)]
        kept.append(group)
    return tuple(kept)
