"""Layouts: how a tensor is laid over the iteration space of attention.

Attention iterates over `(b..., h, g, m, n, k, d)`: any number of batch dimensions, KV heads, query heads of
one KV head (the head group of GQA), queries, keys, the head size of Q and K, and the head size of V. A layout is
an affine map from these to the indices of a tensor, as `linalg.generic` has them, so permutes, broadcasts,
grouped heads and flattened dimensions are layouts and not copies: `q[b, m, h * 4 + g, k]`.

Every index of a layout is a *mixed radix number*: a sum of distinct dimensions in which each coefficient is the
product of the sizes of the dimensions after it, so `h * 4 + g` says that `g` has size 4, and a tensor dimension of
size 32 that h has size 8. That makes a layout invertible, every access strided, and all sizes readable from it.

Keys that lie in pages have four further indices, which are symbols of the map: key n is in slot `slot` of the logical
page `p`, n = p * page_size + slot; `page` is what the block table holds for p, and `row` the row of the table that is
a sequence's: `k(%pool[page, slot, h, k])`, `block_table(%table[b, p])` or `block_table(%table[row, p])`.

Quantised K and V have codes that share an element, and scales that are shared by a group. Their layouts use a digit
in place of a dimension: `k floordiv 8` (eight neighbours are in one element), `k mod 16` (every 16th is).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineMap
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr, AffineBinaryOpKind, AffineSymExpr
from xdsl.parser import AttrParser
from xdsl.utils.exceptions import VerifyException

INNER_DIMS = ("h", "g", "m", "n", "k", "d")
"""The dimensions that every attention has, after its batch dimensions."""

PAGE_INDICES = ("row", "p", "page", "slot")
"""The further indices of keys in pages, symbols of a layout: what tensors hold, and the digits of n."""


@lru_cache
def dim_names(batch_rank: int) -> tuple[str, ...]:
    """Names of the iteration dimensions: `b` (or `b0`, `b1`, ...), then h, g, m, n, k, d."""
    batch = ("b",) if batch_rank == 1 else tuple(f"b{i}" for i in range(batch_rank))
    return batch + INNER_DIMS


def index_names(batch_rank: int) -> tuple[str, ...]:
    """Names of everything that a layout may use: the iteration dimensions, then the indices of pages."""
    return dim_names(batch_rank) + PAGE_INDICES


class Term(NamedTuple):
    """
    `dim * stride`, one digit of a mixed radix number; `dim` is a position in `index_names`.

    Of a quantised operand, it may be `(dim floordiv divisor) * stride` or `(dim mod modulus) * stride`.
    """

    dim: int
    stride: int
    divisor: int = 1
    modulus: int | None = None

    @property
    def is_dim(self) -> bool:
        """Whether this is the dimension itself and not a digit of it."""
        return self.divisor == 1 and self.modulus is None

    def digit_size(self, size: int) -> int:
        """How many values the digit has, for a dimension of a static size."""
        return size // self.divisor if self.modulus is None else self.modulus

    def to_str(self, names: Sequence[str]) -> str:
        digit = names[self.dim]
        if not self.is_dim:
            digit += f" floordiv {self.divisor}" if self.modulus is None else f" mod {self.modulus}"
        if self.stride == 1:
            return digit
        return f"{digit} * {self.stride}" if self.is_dim else f"({digit}) * {self.stride}"


@lru_cache(maxsize=4096)
def index_terms(expr: AffineExpr, num_dims: int) -> tuple[Term, ...]:
    """
    The digits of one index of a layout over `num_dims` dimensions, the most significant first; none for 0.

    Raises `ValueError` for anything but a sum of dimensions, or digits of them, times positive constants.
    """
    # By dimension, divisor and modulus.
    coefficients: dict[tuple[int, int, int | None], int] = {}

    def digit(e: AffineExpr) -> tuple[int, int, int | None] | None:
        match e:
            case AffineDimExpr(position):
                return position, 1, None
            case AffineSymExpr(position):
                return num_dims + position, 1, None
            case AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, lhs, AffineConstantExpr(value)) if value > 0:
                whole = digit(lhs)
                return (whole[0], value, None) if whole is not None and whole[1:] == (1, None) else None
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mod, lhs, AffineConstantExpr(value)) if value > 0:
                whole = digit(lhs)
                return (whole[0], 1, value) if whole is not None and whole[1:] == (1, None) else None
            case _:
                return None

    def add(e: AffineExpr, factor: int) -> None:
        if (key := digit(e)) is not None:
            coefficients[key] = coefficients.get(key, 0) + factor
            return
        match e:
            case AffineConstantExpr(0):
                pass
            case AffineBinaryOpExpr(AffineBinaryOpKind.Add, lhs, rhs):
                add(lhs, factor)
                add(rhs, factor)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, lhs, AffineConstantExpr(value)):
                add(lhs, factor * value)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, AffineConstantExpr(value), rhs):
                add(rhs, factor * value)
            case _:
                raise ValueError(f"{e} is not a sum of dimensions times constants")

    add(expr, 1)
    terms = sorted(
        (Term(dim, stride, divisor, modulus) for (dim, divisor, modulus), stride in coefficients.items()),
        key=lambda t: -t.stride,
    )
    if any(t.stride < 1 for t in terms):
        raise ValueError(f"{expr} has a coefficient below 1")
    return tuple(terms)


def layout_terms(layout: AffineMap) -> tuple[tuple[Term, ...], ...]:
    """`index_terms` of every index of a layout."""
    return tuple(index_terms(e, layout.num_dims) for e in layout.results)


def used_indices(layout: AffineMap) -> set[str]:
    """The names of all dimensions and indices of pages in a layout."""
    names = index_names(layout.num_dims - len(INNER_DIMS))
    return {names[term.dim] for terms in layout_terms(layout) for term in terms}


def make_layout(num_dims: int, indices: Iterable[Iterable[Term]]) -> AffineMapAttr:
    """The inverse of `layout_terms`: a map from the iteration space, and the indices of pages if it uses any."""
    return _make_layout(num_dims, tuple(map(tuple, indices)))


@lru_cache(maxsize=4096)
def _make_layout(num_dims: int, indices: tuple[tuple[Term, ...], ...]) -> AffineMapAttr:

    def expr(terms: Sequence[Term]) -> AffineExpr:
        result: AffineExpr | None = None
        for term in terms:
            symbol = term.dim - num_dims
            digit = AffineExpr.symbol(symbol) if symbol >= 0 else AffineExpr.dimension(term.dim)
            if term.modulus is not None:
                digit = AffineBinaryOpExpr(AffineBinaryOpKind.Mod, digit, AffineConstantExpr(term.modulus))
            elif term.divisor != 1:
                digit = AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, digit, AffineConstantExpr(term.divisor))
            if term.stride != 1:
                digit = AffineBinaryOpExpr(AffineBinaryOpKind.Mul, digit, AffineConstantExpr(term.stride))
            result = digit if result is None else AffineBinaryOpExpr(AffineBinaryOpKind.Add, result, digit)
        return AffineConstantExpr(0) if result is None else result

    paged = any(term.dim >= num_dims for terms in indices for term in terms)
    results = tuple(expr(terms) for terms in indices)
    return AffineMapAttr(AffineMap(num_dims, len(PAGE_INDICES) if paged else 0, results))


def layout_to_str(layout: AffineMap, names: Sequence[str] | None = None) -> str:
    """`[b, h * 4 + g, m, k]`, the form in which layouts are printed."""
    if names is None:
        names = index_names(layout.num_dims - len(INNER_DIMS))

    def index(terms: tuple[Term, ...]) -> str:
        return " + ".join(term.to_str(names) for term in terms) or "0"

    return "[" + ", ".join(index(terms) for terms in layout_terms(layout)) + "]"


NamedTerms = list[list[tuple[str, Term]]]
"""A parsed layout whose batch rank is not known yet: per index, dimension names, and terms without their `dim`."""


def parse_named_layout(parser: AttrParser) -> NamedTerms:
    """Parses `[b, h * 4 + g, m, k]`, with digits `k floordiv 8`, `(k mod 16) * 4`."""

    def positive() -> int:
        if (value := parser.parse_integer(allow_negative=False)) < 1:
            parser.raise_error("a divisor of a layout must be at least 1")
        return value

    def digit() -> tuple[str, Term] | None:
        if (value := parser.parse_optional_integer(allow_negative=False)) is not None:
            if value:
                parser.raise_error("a constant index of a layout must be 0")
            return None
        in_parens = parser.parse_optional_punctuation("(") is not None
        pos = parser.pos
        name = parser.parse_identifier(" (a dimension of the attention: b, h, g, m, n, k or d)")
        if name not in (*INNER_DIMS, *PAGE_INDICES, "b") and not (name[0] == "b" and name[1:].isdecimal()):
            parser.raise_error(
                f"'{name}' is no dimension of attention; use b (b0, b1, ...), h, g, m, n, k or d, or for pages row, "
                "p, page or slot",
                pos,
                parser.pos,
            )
        divisor, modulus, stride = 1, None, 1
        if parser.parse_optional_keyword("floordiv") is not None:
            divisor = positive()
        elif parser.parse_optional_keyword("mod") is not None:
            modulus = positive()
        if in_parens:
            parser.parse_punctuation(")")
        if parser.parse_optional_punctuation("*") is not None:
            stride = parser.parse_integer(allow_negative=False)
        return name, Term(-1, stride, divisor, modulus)

    def index() -> list[tuple[str, Term]]:
        digits = [digit()]
        while parser.parse_optional_punctuation("+") is not None:
            digits.append(digit())
        return [d for d in digits if d is not None]

    return parser.parse_comma_separated_list(parser.Delimiter.SQUARE, index)


def batch_rank_of(layouts: Sequence[NamedTerms]) -> int:
    """The number of batch dimensions that parsed layouts name: 1 for `b`, i + 1 for `b<i>`."""
    rank = 0
    for layout in layouts:
        for index in layout:
            for name, _ in index:
                if name == "b":
                    rank = max(rank, 1)
                elif name not in (*INNER_DIMS, *PAGE_INDICES):
                    rank = max(rank, int(name[1:]) + 1)
    return rank


def resolve_layout(layout: NamedTerms, batch_rank: int) -> AffineMapAttr:
    """A parsed layout as a map over the iteration space with `batch_rank` batch dimensions."""
    positions = {name: i for i, name in enumerate(index_names(batch_rank))}
    positions.setdefault("b", 0)
    positions.setdefault("b0", 0)
    return make_layout(
        batch_rank + len(INNER_DIMS),
        [[term._replace(dim=positions[name]) for name, term in index] for index in layout],
    )


@dataclass
class DimSizes:
    """
    Sizes of the iteration dimensions and page indices, collected from shapes and layouts, and where each was seen.

    A size is `DYNAMIC_INDEX` where only dynamic tensor dimensions give it; a dimension that no layout
    mentions has size 1. `lanes` says of a packed operand how many codes share an element.
    """

    names: tuple[str, ...]
    sizes: dict[int, int]
    seen_at: dict[int, str]
    lanes: Mapping[str, int] = field(default_factory=dict[str, int])

    @staticmethod
    def of(batch_rank: int, lanes: Mapping[str, int] | None = None) -> DimSizes:
        return DimSizes(index_names(batch_rank), {}, {}, lanes or {})

    def add(self, what: str, shape: Sequence[int], layout: AffineMap) -> None:
        """
        Records what a tensor of this shape says of the sizes.

        Raises `VerifyException`, naming both values, where it contradicts the layout or an earlier tensor.
        """
        dims = self.names[: -len(PAGE_INDICES)]
        if layout.num_dims != len(dims) or layout.num_symbols not in (0, len(PAGE_INDICES)):
            raise VerifyException(
                f"layout of {what} has {layout.num_dims} dimensions and {layout.num_symbols} symbols, expected "
                f"{len(dims)} dimensions ({', '.join(dims)}) and no symbols, or {len(PAGE_INDICES)} "
                f"({', '.join(PAGE_INDICES)})"
            )
        if len(shape) != len(layout.results):
            raise VerifyException(f"{what} has rank {len(shape)} but its layout has {len(layout.results)} indices")
        used: set[int] = set()
        for position, (size, expr) in enumerate(zip(shape, layout.results)):
            try:
                terms = index_terms(expr, layout.num_dims)
            except ValueError as e:
                raise VerifyException(f"index {position} of the layout of {what}: {e}") from e
            for term in terms:
                if term.dim in used:
                    raise VerifyException(f"the layout of {what} uses {self.names[term.dim]} in two indices")
                used.add(term.dim)
            self._add_index(f"dimension {position} of {what}", size, terms, self.lanes.get(what, 1))

    def _add_index(self, where: str, size: int, terms: tuple[Term, ...], lanes: int) -> None:
        if not terms:
            if size not in (1, DYNAMIC_INDEX):
                raise VerifyException(f"{where} has size {size} but its index is 0, which needs size 1")
            return
        if terms[-1].stride != 1:
            raise VerifyException(f"{where}: the last coefficient of its index is {terms[-1].stride}, expected 1")
        for outer, inner in zip(terms, terms[1:]):
            if outer.stride % inner.stride:
                raise VerifyException(
                    f"{where}: coefficient {outer.stride} is not a multiple of coefficient {inner.stride}"
                )
            self._set_digit(inner, outer.stride // inner.stride, where, lanes)
        if size != DYNAMIC_INDEX and size % terms[0].stride:
            raise VerifyException(f"{where} has size {size}, which {terms[0].stride} does not divide")
        size = DYNAMIC_INDEX if size == DYNAMIC_INDEX else size // terms[0].stride
        self._set_digit(terms[0], size, where, lanes)

    def _set_digit(self, term: Term, size: int, where: str, lanes: int) -> None:
        """Records the size of a dimension by that of a digit."""
        if term.modulus is not None:
            if size not in (term.modulus, DYNAMIC_INDEX):
                raise VerifyException(f"{where} has {size} of {term.to_str(self.names)}, expected {term.modulus}")
            self._set(term.dim, term.modulus * lanes, f"{where}, {lanes} codes an element")
        elif term.divisor == 1:
            self._set(term.dim, size, where)
        else:
            whole = DYNAMIC_INDEX if size == DYNAMIC_INDEX else size * term.divisor
            self._set(term.dim, whole, f"{where}, {term.divisor} to one")

    def _set(self, dim: int, size: int, where: str) -> None:
        known = self.sizes.get(dim, DYNAMIC_INDEX)
        if known == DYNAMIC_INDEX:
            self.sizes[dim] = size
            self.seen_at.setdefault(dim, where)
            if size != DYNAMIC_INDEX:
                self.seen_at[dim] = where
        elif size not in (known, DYNAMIC_INDEX):
            raise VerifyException(f"size of {self.names[dim]} is {known} by {self.seen_at[dim]} but {size} by {where}")

    def _count_pages(self) -> None:
        """Records that n counts the slots of all pages of the block table, where a layout uses `p`."""
        p, slot = (self.names.index(name) for name in ("p", "slot"))
        if p not in self.sizes:
            return
        page_size = self.sizes.get(slot, 1)
        if page_size == DYNAMIC_INDEX:
            raise VerifyException(f"the page size (slot) is dynamic by {self.seen_at[slot]}, but must be static")
        pages = self.sizes[p]
        keys = DYNAMIC_INDEX if pages == DYNAMIC_INDEX else pages * page_size
        self._set(self.names.index("n"), keys, f"p * {page_size} + slot with p from {self.seen_at[p]}")

    def by_index(self) -> dict[str, int]:
        """
        Size of every iteration dimension and page index by its name.

        Raises `VerifyException` where the slots of all pages are not as many as the keys that are in no pages.
        """
        self._count_pages()
        return {name: self.sizes.get(i, 1) for i, name in enumerate(self.names)}

    def by_name(self) -> dict[str, int]:
        """Size of every iteration dimension by its name; raises `VerifyException` as `by_index` does."""
        return {name: size for name, size in self.by_index().items() if name not in PAGE_INDICES}
