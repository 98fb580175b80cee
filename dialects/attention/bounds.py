"""
Intervals of keys, as `reach` and `unmasked` of an attention have them.

Both speak of a block of queries m0 <= m < m1 and of symbols s0, s1, ..., integers that are read from outside:

    n < m1 + 4                              all keys below m1 + 4
    m0 - 3 <= n < min(m1, s0)               from m0 - 3, below both m1 and s0
    n < max(m1, s0)                         below the larger one
    16 * (m0 floordiv 16) <= n

A lower bound is the maximum over affine maps of the minimum over the results of each map, an upper bound the minimum
over maps of the maximum over results: what `and` and `or` make of comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import TypeVar

from xdsl.dialects.builtin import AffineMapAttr, ArrayAttr
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineMap, AffineSymExpr
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr, AffineBinaryOpKind
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

QUERY_DIMS = ("m0", "m1")
"""The first query of a block, and the one after its last."""

T = TypeVar("T")


@dataclass(frozen=True)
class Sum:
    """An affine expression as a sum: factors of its terms (dimensions, symbols, floor divisions), and a constant."""

    terms: tuple[tuple[AffineExpr, int], ...]
    constant: int


def as_sum(expr: AffineExpr) -> Sum:
    """
    The terms of an expression, equal ones added up.

    Raises `ValueError` for anything but sums, products with constants and floor divisions by positive constants.
    """
    terms: dict[AffineExpr, int] = {}
    constant = 0

    def add(e: AffineExpr, factor: int) -> None:
        nonlocal constant
        match e:
            case AffineConstantExpr(value):
                constant += factor * value
            case AffineDimExpr() | AffineSymExpr():
                terms[e] = terms.get(e, 0) + factor
            case AffineBinaryOpExpr(AffineBinaryOpKind.Add, lhs, rhs):
                add(lhs, factor)
                add(rhs, factor)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, lhs, AffineConstantExpr(value)):
                add(lhs, factor * value)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, AffineConstantExpr(value), rhs):
                add(rhs, factor * value)
            case AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, lhs, AffineConstantExpr(value)) if value > 0:
                as_sum(lhs)
                terms[e] = terms.get(e, 0) + factor
            case _:
                raise ValueError(
                    f"{e} in a bound of keys, which is made of sums, products with constants, and floordiv by positive "
                    "constants"
                )

    add(expr, 1)
    return Sum(tuple((term, factor) for term, factor in terms.items() if factor), constant)


@irdl_attr_definition
class KeyIntervalAttr(ParametrizedAttribute):
    """
    `#attention.keys<m0 - 3 <= n < min(m1, s0)>`: keys, by bounds that depend on a block of queries.

    The maps have the dimensions (m0, m1); symbols are the `bound_scalars` of the operation. No map: no bound on that
    side.
    """

    name = "attention.keys"

    lower: ArrayAttr[AffineMapAttr]
    upper: ArrayAttr[AffineMapAttr]

    def __init__(self, lower: Sequence[AffineMapAttr], upper: Sequence[AffineMapAttr]):
        super().__init__(ArrayAttr(lower), ArrayAttr(upper))

    @staticmethod
    def of(lower: Sequence[Sequence[AffineExpr]], upper: Sequence[Sequence[AffineExpr]]) -> KeyIntervalAttr:
        """The interval with a map for each group of expressions, of as many symbols as there are."""
        exprs = [e for group in (*lower, *upper) for e in group]
        used = (e.position for top in exprs for e in top.dfs() if isinstance(e, AffineSymExpr))
        symbols = 1 + max(used, default=-1)
        maps = ([AffineMapAttr(AffineMap(2, symbols, tuple(group))) for group in side] for side in (lower, upper))
        return KeyIntervalAttr(*maps)

    def maps(self) -> list[AffineMap]:
        """All maps, those of the lower bound first."""
        return [attr.data for attr in (*self.lower, *self.upper)]

    @property
    def num_symbols(self) -> int:
        """One more than the last symbol in the maps."""
        return max((found.num_symbols for found in self.maps()), default=0)

    def verify(self) -> None:
        if not self.maps():
            raise VerifyException("an interval of keys has no bound, expected a lower or an upper one")
        for found in self.maps():
            if found.num_dims != len(QUERY_DIMS):
                raise VerifyException(f"a bound of keys has {found.num_dims} dimensions, expected 2: m0 and m1")
            if not found.results:
                raise VerifyException("a bound of keys has a map without results")
            for expr in found.results:
                try:
                    as_sum(expr)
                except ValueError as e:
                    raise VerifyException(str(e)) from e

    def evaluate_lower(
        self, number: Callable[[AffineExpr], T], maximum: Callable[[T, T], T], minimum: Callable[[T, T], T]
    ) -> T | None:
        """The lower bound in any arithmetic, None where there is none."""
        return _evaluate(self.lower, number, maximum, minimum)

    def evaluate_upper(
        self, number: Callable[[AffineExpr], T], maximum: Callable[[T, T], T], minimum: Callable[[T, T], T]
    ) -> T | None:
        """The upper bound, which is not in the interval, in any arithmetic; None where there is none."""
        return _evaluate(self.upper, number, minimum, maximum)

    def most_keys(self, queries: int, ends: Sequence[AffineExpr]) -> int | None:
        """
        A number of keys that the block of the first so many queries never exceeds; None if it is not known.

        `ends` are numbers that all keys are below.
        """
        lower = [found.data.results for found in self.lower] or [(AffineExpr.constant(0),)]
        upper = [*(found.data.results for found in self.upper), *((end,) for end in ends)]
        widths: list[int] = []
        for first, end in product(lower, upper):
            differences = [_difference(x, y, queries) for x, y in product(first, end)]
            known = [difference for difference in differences if difference is not None]
            if len(known) == len(differences):
                widths.append(max(*known, 0))
        return min(widths, default=None)

    def print_interval(self, printer: Printer) -> None:
        """Prints `m0 - 3 <= n < m1`."""
        if self.lower:
            printer.print_string(_side_to_str(self.lower, "max", "min") + " <= ")
        printer.print_string("n")
        if self.upper:
            printer.print_string(" < " + _side_to_str(self.upper, "min", "max"))

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            self.print_interval(printer)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        with parser.in_angle_brackets():
            interval = parse_interval(parser)
        return [interval.lower, interval.upper]


@dataclass(frozen=True)
class Bounds:
    """
    What is known of the keys of a block of queries: those outside of `reach` have the logit -inf, those in `unmasked`
    need no mask. `scalars` are what the symbols of both read, s0 first, each with its layout.
    """

    reach: KeyIntervalAttr | None = None
    unmasked: KeyIntervalAttr | None = None
    scalars: Sequence[tuple[SSAValue, AffineMapAttr]] = ()

    def operands(self) -> list[SSAValue]:
        """The operands `bound_scalars`."""
        return [value for value, _ in self.scalars]

    def properties(self) -> dict[str, Attribute | None]:
        """The properties of an operation that has these bounds."""
        layouts = ArrayAttr([layout for _, layout in self.scalars]) if self.scalars else None
        return {"reach": self.reach, "unmasked": self.unmasked, "bound_scalar_layouts": layouts}


NO_BOUNDS = Bounds()
"""Nothing is known."""


def _evaluate(
    maps: ArrayAttr[AffineMapAttr],
    number: Callable[[AffineExpr], T],
    outer: Callable[[T, T], T],
    inner: Callable[[T, T], T],
) -> T | None:
    values = [reduce(inner, map(number, found.data.results)) for found in maps]
    return reduce(outer, values) if values else None


def _difference(lower: AffineExpr, upper: AffineExpr, queries: int) -> int | None:
    """upper - lower for the block of the first so many queries, if it is a constant."""
    block = [AffineExpr.constant(0), AffineExpr.constant(queries)]
    total = as_sum(upper.replace_dims_and_symbols(block, ()) + lower.replace_dims_and_symbols(block, ()) * -1)
    return None if total.terms else total.constant


def bound_to_str(expr: AffineExpr) -> str:
    """`m0 - 3`, `16 * (m0 floordiv 16) + s0`."""
    total = as_sum(expr)
    text = ""
    for term, factor in sorted(total.terms, key=lambda item: item[1] < 0):
        size = _term_to_str(term) if abs(factor) == 1 else f"{abs(factor)} * {_term_to_str(term)}"
        text += (" - " if factor < 0 else " + ") + size if text else ("-" if factor < 0 else "") + size
    if not text:
        return str(total.constant)
    return text if not total.constant else f"{text} {'-' if total.constant < 0 else '+'} {abs(total.constant)}"


def _term_to_str(term: AffineExpr) -> str:
    match term:
        case AffineDimExpr(position):
            return QUERY_DIMS[position]
        case AffineSymExpr(position):
            return f"s{position}"
        case AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, lhs, AffineConstantExpr(value)):
            inner = bound_to_str(lhs)
            return f"({f'({inner})' if ' ' in inner else inner} floordiv {value})"
        case _:
            raise ValueError(f"{term} is no term of a bound of keys")


def _side_to_str(maps: ArrayAttr[AffineMapAttr], outer: str, inner: str) -> str:
    def group(name: str, texts: Sequence[str]) -> str:
        return texts[0] if len(texts) == 1 else f"{name}({', '.join(texts)})"

    return group(outer, [group(inner, [bound_to_str(e) for e in found.data.results]) for found in maps])


def parse_interval(parser: AttrParser) -> KeyIntervalAttr:
    """Parses `m0 - 3 <= n < min(m1, s0)`; either side may be missing."""
    lower: list[list[AffineExpr]] = []
    upper: list[list[AffineExpr]] = []
    if parser.parse_optional_keyword("n") is None:
        lower = _parse_side(parser, "max", "min")
        parser.parse_punctuation("<")
        parser.parse_punctuation("=")
        parser.parse_keyword("n")
        if parser.parse_optional_punctuation("<") is not None:
            upper = _parse_side(parser, "min", "max")
    else:
        parser.parse_punctuation("<")
        upper = _parse_side(parser, "min", "max")
    return KeyIntervalAttr.of(lower, upper)


def _parse_side(parser: AttrParser, outer: str, inner: str) -> list[list[AffineExpr]]:
    def listed(keyword: str, parse: Callable[[], T]) -> list[T]:
        if parser.parse_optional_keyword(keyword) is None:
            return [parse()]
        return parser.parse_comma_separated_list(parser.Delimiter.PAREN, parse)

    return listed(outer, lambda: listed(inner, lambda: _parse_sum(parser)))


def _parse_sum(parser: AttrParser) -> AffineExpr:
    negative = parser.parse_optional_punctuation("-") is not None
    total = _parse_product(parser)
    if negative:
        total = total * -1
    while True:
        if parser.parse_optional_punctuation("+") is not None:
            total = total + _parse_product(parser)
        elif parser.parse_optional_punctuation("-") is not None:
            total = total + _parse_product(parser) * -1
        else:
            return total


def _parse_product(parser: AttrParser) -> AffineExpr:
    """`x`, `4 * x`, `x * 4` or `x floordiv 4`."""
    value = _parse_factor(parser)
    if parser.parse_optional_punctuation("*") is not None:
        pos = parser.pos
        other = _parse_factor(parser)
        if not isinstance(value, AffineConstantExpr) and not isinstance(other, AffineConstantExpr):
            parser.raise_error("one factor of a product in a bound must be a constant", pos, parser.pos)
        value = other * value if isinstance(value, AffineConstantExpr) else value * other
    elif parser.parse_optional_keyword("floordiv") is not None:
        pos = parser.pos
        divisor = parser.parse_integer(allow_boolean=False)
        if divisor < 1:
            parser.raise_error(f"a bound is divided by {divisor}, expected a positive constant", pos, parser.pos)
        value = AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, value, AffineConstantExpr(divisor))
    return value


def _parse_factor(parser: AttrParser) -> AffineExpr:
    if parser.parse_optional_punctuation("(") is not None:
        inner = _parse_sum(parser)
        parser.parse_punctuation(")")
        return inner
    if (value := parser.parse_optional_integer(allow_boolean=False, allow_negative=False)) is not None:
        return AffineExpr.constant(value)
    pos = parser.pos
    name = parser.parse_identifier(" (m0, m1 or a symbol s0, s1, ...)")
    if name in QUERY_DIMS:
        return AffineExpr.dimension(QUERY_DIMS.index(name))
    if name[0] != "s" or not name[1:].isdecimal():
        parser.raise_error(f"'{name}' in a bound of keys; use m0, m1 and symbols s0, s1, ...", pos, parser.pos)
    return AffineExpr.symbol(int(name[1:]))
