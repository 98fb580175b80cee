"""Affine expressions with floor divisions by constants: sums of factors times terms, over exact integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from xdsl.ir.affine import AffineConstantExpr, AffineExpr
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr, AffineBinaryOpKind

Range: TypeAlias = tuple[int, int]
"""The least and the largest value of an integer."""


@dataclass(frozen=True)
class Symbol:
    """An integer that does not change with query and key: the i-th that bounds read."""

    index: int


@dataclass(frozen=True)
class FloorDiv:
    """floor(dividend / divisor) for a divisor above 0."""

    dividend: Linear
    divisor: int


Term: TypeAlias = str | Symbol | FloorDiv
"""An index of the score region ("m", "n"), an end of a block of queries ("m0", "m1"), a symbol, or a quotient."""


@dataclass(frozen=True)
class Linear:
    """The sum of factors times terms, and a constant."""

    terms: tuple[tuple[Term, int], ...]
    constant: int

    @staticmethod
    def of(terms: Iterable[tuple[Term, int]], constant: int = 0) -> Linear:
        """Adds up equal terms and drops those with a factor of 0."""
        total: dict[Term, int] = {}
        for term, factor in terms:
            total[term] = total.get(term, 0) + factor
        return Linear(tuple(sorted(((t, f) for t, f in total.items() if f), key=_order)), constant)

    @staticmethod
    def term(term: Term) -> Linear:
        """The term by itself."""
        return Linear(((term, 1),), 0)

    @staticmethod
    def number(value: int) -> Linear:
        """A constant."""
        return Linear((), value)

    @cached_property
    def factors(self) -> dict[Term, int]:
        """Factors by term."""
        return dict(self.terms)

    @property
    def is_constant(self) -> bool:
        """Whether there are no terms."""
        return not self.terms

    def __add__(self, other: Linear | int) -> Linear:
        if isinstance(other, int):
            return Linear(self.terms, self.constant + other)
        return Linear.of((*self.terms, *other.terms), self.constant + other.constant)

    def __neg__(self) -> Linear:
        return self * -1

    def __sub__(self, other: Linear | int) -> Linear:
        return self + -other

    def __mul__(self, factor: int) -> Linear:
        return Linear.of(((term, factor * f) for term, f in self.terms), factor * self.constant)

    def floordiv(self, divisor: int) -> Linear:
        """floor(self / divisor); exact multiples of the divisor are divided outside of the quotient."""
        whole = [(term, factor // divisor) for term, factor in self.terms if factor % divisor == 0]
        rest = Linear.of(((term, factor) for term, factor in self.terms if factor % divisor), self.constant % divisor)
        quotient = Linear.of(whole, self.constant // divisor)
        return quotient if rest.is_constant else quotient + Linear.term(FloorDiv(rest, divisor))

    def uses(self, name: Term) -> bool:
        """Whether a term occurs, also inside of quotients."""
        return any(term == name or (isinstance(term, FloorDiv) and term.dividend.uses(name)) for term, _ in self.terms)

    def symbols(self) -> set[int]:
        """The symbols that occur."""
        found: set[int] = set()
        for term, _ in self.terms:
            if isinstance(term, Symbol):
                found.add(term.index)
            elif isinstance(term, FloorDiv):
                found |= term.dividend.symbols()
        return found

    def map_terms(self, convert: Callable[[Term], Linear]) -> Linear:
        """The sum with every term that is no quotient replaced."""

        def replace(term: Term) -> Linear:
            if isinstance(term, FloorDiv):
                return term.dividend.map_terms(convert).floordiv(term.divisor)
            return convert(term)

        total = Linear.number(self.constant)
        for term, factor in self.terms:
            total = total + replace(term) * factor
        return total

    def bounds(self, ranges: Mapping[Term, Range]) -> Range:
        """The least and the largest value that terms in these ranges may give; not always reached."""
        low = high = self.constant
        for term, factor in self.terms:
            if isinstance(term, FloorDiv):
                first, last = (value // term.divisor for value in term.dividend.bounds(ranges))
            else:
                first, last = ranges[term]
            low += factor * (first if factor > 0 else last)
            high += factor * (last if factor > 0 else first)
        return low, high

    def over_block(self, *, largest: bool) -> Linear:
        """A bound on the value over the queries m0 <= m < m1: not below any of them if `largest`, else not above."""
        total = Linear.number(self.constant)
        for term, factor in self.terms:
            at_largest = largest == (factor > 0)
            if term == "m":
                end = Linear.term("m1") - 1 if at_largest else Linear.term("m0")
            elif isinstance(term, FloorDiv):
                end = term.dividend.over_block(largest=at_largest).floordiv(term.divisor)
            else:
                end = Linear.term(term)
            total = total + end * factor
        return total

    def sort_key(self) -> str:
        """An order that depends on nothing but the expression."""
        return f"{len(self.terms)} {self}"

    def to_affine(self) -> AffineExpr:
        """The same over the dimensions (m0, m1)."""
        total: AffineExpr | None = None
        for term, factor in self.terms:
            match term:
                case Symbol(index):
                    expr = AffineExpr.symbol(index)
                case FloorDiv(dividend, divisor):
                    expr = AffineBinaryOpExpr(
                        AffineBinaryOpKind.FloorDiv, dividend.to_affine(), AffineConstantExpr(divisor)
                    )
                case _:
                    expr = AffineExpr.dimension(("m0", "m1").index(term))
            expr = expr if factor == 1 else expr * factor
            total = expr if total is None else total + expr
        if total is None:
            return AffineConstantExpr(self.constant)
        return total + self.constant if self.constant else total


def _order(item: tuple[Term, int]) -> tuple[int, str]:
    """Indices, then symbols, then quotients."""
    term, _ = item
    return (2 if isinstance(term, FloorDiv) else 1 if isinstance(term, Symbol) else 0, repr(term))
