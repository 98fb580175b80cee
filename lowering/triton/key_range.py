"""
Which keys a program walks over.

All that exist and that its queries reach, or those of one split. Where it pays, they are cut into up to three runs of
tiles: one without masks, in which `unmasked` of the operation holds, and runs with masks before and after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from xdsl.dialects.builtin import DYNAMIC_INDEX, i32, i64
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineSymExpr
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr

from flashlower.dialects.attention import AttentionOp, KeyIntervalAttr, PartialOp, ScheduleAttr
from flashlower.dialects.attention.bounds import as_sum
from flashlower.dialects.tl import ConstantOp, ConstexprOp
from flashlower.dialects.tl.types import element_type
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.parameters import Access
from flashlower.lowering.triton.runs import Share
from flashlower.lowering.triton.score import NARROW_INDEX_LIMIT

INT32_MAX = (1 << 31) - 1

PEEL_ROWS = 64
"""
From so many rows on, a run without masks is a loop of its own. With fewer a kernel waits for memory, masks cost
nothing, and every further loop would fill the software pipeline again.
"""


@dataclass(frozen=True)
class Run:
    """Tiles of keys from `lo` to `hi`, in i32; `masked` where the score region may mask some, or some do not exist."""

    lo: SSAValue
    hi: SSAValue
    masked: bool = True
    comment: str | None = None


@dataclass(frozen=True)
class KeyRange:
    """
    The runs of tiles, one after the other; keys from `hi` on do not count.

    `padded` if the last tile may reach beyond the keys that exist; `split` counts the splits of a partial.
    """

    runs: tuple[Run, ...]
    hi: SSAValue
    padded: bool
    split: SSAValue | None


@dataclass(frozen=True)
class Queries:
    """Queries from `first` up to `end`, in i32."""

    first: SSAValue
    end: SSAValue


class KeyBounds:
    """Evaluates the intervals of an operation; `scalars` are what their symbols read: tensors, or numbers."""

    def __init__(self, b: KernelBuilder, op: AttentionOp, programs: Programs, scalars: list[Access | SSAValue]):
        self._b = b
        self._op = op
        self._programs = programs
        self._scalars = scalars
        self._loaded: dict[int, SSAValue] = {}
        self._type = i64 if scalars or not all(map(_is_narrow, self._exprs())) else i32

    def _exprs(self) -> list[AffineExpr]:
        intervals = (self._op.reach, self._op.unmasked)
        return [e for interval in intervals if interval is not None for found in interval.maps() for e in found.results]

    def of(
        self, interval: KeyIntervalAttr | None, queries: Queries, length: SSAValue
    ) -> tuple[SSAValue | None, SSAValue | None]:
        """The bounds of an interval within 0..length, in i32; None where it has none."""
        if interval is None:
            return None, None
        b = self._b
        number = partial(self._number, queries=queries)
        lower = None if _starts_at_zero(interval, queries) else interval.evaluate_lower(number, b.maximum, b.minimum)
        upper = interval.evaluate_upper(number, b.maximum, b.minimum)
        return self._clamped(lower, length), self._clamped(upper, length)

    def _clamped(self, value: SSAValue | None, length: SSAValue) -> SSAValue | None:
        b = self._b
        if value is None:
            return None
        return b.cast(b.minimum(b.maximum(value, 0), b.cast(length, self._type)), i32)

    def _number(self, expr: AffineExpr, queries: Queries) -> SSAValue:
        """The value of an expression."""
        b, total = self._b, as_sum(expr)
        result: SSAValue | None = None
        for term, factor in sorted(total.terms, key=lambda item: item[1] < 0):
            value = self._term(term, queries)
            if abs(factor) != 1:
                value = b.mul(value, abs(factor))
            if result is None:
                result = b.neg(value) if factor < 0 else value
            else:
                result = b.sub(result, value) if factor < 0 else b.add(result, value)
        if result is None:
            return b.constant(total.constant, self._type)
        if total.constant:
            return b.sub(result, -total.constant) if total.constant < 0 else b.add(result, total.constant)
        return result

    def _term(self, term: AffineExpr, queries: Queries) -> SSAValue:
        b = self._b
        match term:
            case AffineDimExpr(position):
                return b.cast((queries.first, queries.end)[position], self._type)
            case AffineSymExpr(position):
                return self._symbol(position)
            case AffineBinaryOpExpr(lhs=lhs, rhs=AffineConstantExpr(divisor)):
                dividend = self._number(lhs, queries)
                # Division rounds towards 0, so the remainder is made natural first.
                rest = b.mod(b.add(b.mod(dividend, divisor), divisor), divisor)
                return b.floordiv(b.sub(dividend, rest), divisor)
            case _:
                raise TypeError(f"{term} is no term of a bound of keys")

    def _symbol(self, position: int) -> SSAValue:
        if position not in self._loaded:
            b, scalar = self._b, self._scalars[position]
            if isinstance(scalar, Access):
                scalar = b.load(scalar.move(b, b.arg(scalar.pointer), self._programs.indices))
            value = b.cast(scalar, self._type)
            if value.name_hint is None:
                value.name_hint = self._op.bound_scalars[position].name_hint
            self._loaded[position] = value
        return self._loaded[position]


def _starts_at_zero(interval: KeyIntervalAttr, queries: Queries) -> bool:
    """Whether the lower bound is known to exclude nothing: the block begins with the first query."""
    exprs = [e for found in interval.lower for e in found.data.results]
    if any(1 in e.used_dims() or any(isinstance(x, AffineSymExpr) for x in e.dfs()) for e in exprs):
        return False
    first = queries.first.owner
    known = isinstance(first, ConstantOp) and first.python_value == 0
    lower = interval.evaluate_lower(lambda e: e.eval([0, 0], []), max, min)
    return known and (lower is None or lower <= 0)


def _is_narrow(expr: AffineExpr) -> bool:
    """Whether 32 bits hold the expression: indices and constants, each once."""
    total = as_sum(expr)
    return (
        abs(total.constant) <= NARROW_INDEX_LIMIT
        and all(abs(factor) == 1 and isinstance(term, AffineDimExpr) for term, factor in total.terms)
        and len(total.terms) <= 1
    )


def key_range(
    b: KernelBuilder,
    op: AttentionOp,
    sizes: Sizes,
    programs: Programs,
    lens: Access | None,
    scalars: list[Access | SSAValue],
    block_n: SSAValue,
    schedule: ScheduleAttr,
    share: Share | None = None,
) -> KeyRange:
    """
    The keys of a program, in tiles of `block_n`.

    `lens` is how the kernel reads the lengths, None if every sequence has all N keys; `scalars` are what bounds read;
    `share` is the part of a sequence that is in the run of a program.
    """
    keys = sizes.static["n"]
    padded = lens is not None or keys == DYNAMIC_INDEX or keys % schedule.block_n.data != 0
    length = sizes.value("n")
    if share is not None:
        length = share.length
    elif lens is not None:
        # A length beyond N is N, a negative one is 0.
        length = b.load(lens.move(b, b.arg(lens.pointer), programs.indices))
        length = b.minimum(b.maximum(length, 0), b.cast(sizes.value("n"), element_type(length.type)))
        length = b.cast(length, i32)
        length.name_hint = "kv_len"
    bounds = KeyBounds(b, op, programs, scalars)
    queries = Queries(*programs.query_range())
    split = None
    lo, hi = b.constant(0), length
    if share is not None:
        split, lo, hi = share.row, share.lo, share.hi
    elif isinstance(op, PartialOp):
        split = b.program_id(1, name="split")
        every = Queries(b.constant(0), sizes.value("m"))
        lo, hi = _share_of_split(b, op, sizes, bounds.of(op.reach, every, length), length, split)
        if programs.row_tile is None:
            queries = every
    if op.reach is not None and not (isinstance(op, PartialOp) and share is None and programs.row_tile is None):
        first, end = bounds.of(op.reach, queries, length)
        if first is not None:
            first = b.mul(b.floordiv(first, block_n), block_n)
            lo = first if split is None else b.maximum(lo, first)
            lo.name_hint = "lo"
        if end is not None:
            hi = end if split is None else b.minimum(hi, end)
            if not isinstance(hi.owner, ConstantOp | ConstexprOp):
                hi.name_hint = "hi"
    if op.unmasked is None or schedule.block_m.data < PEEL_ROWS:
        return KeyRange((Run(lo, hi),), hi, padded, split)
    return KeyRange(_peel(b, bounds, op.unmasked, queries, lo, hi, block_n), hi, padded, split)


def _share_of_split(
    b: KernelBuilder,
    op: PartialOp,
    sizes: Sizes,
    reach: tuple[SSAValue | None, SSAValue | None],
    length: SSAValue,
    split: SSAValue,
) -> tuple[SSAValue, SSAValue]:
    """The keys of a split: its share of the tiles that any query reaches."""
    keys, tile_size = sizes.static["n"], op.tile.value.data
    tile, splits = sizes.constexpr("TILE", tile_size), sizes.constexpr("SPLITS", op.num_splits)
    comment = "This split's share of the tiles: keys lo to hi"
    lower, upper = reach
    if upper is not None:
        length = upper
        if not isinstance(upper.owner, ConstantOp):
            upper.name_hint = "reach_end"
    skipped: SSAValue | None = None
    if lower is not None:
        skipped = b.floordiv(lower, tile, name="first_tile", comment="Tiles before this one are out of reach")
        tiles = b.maximum(b.sub(b.cdiv(length, tile), skipped), 0, comment=comment)
    else:
        tiles = b.cdiv(length, tile, comment=comment)
    most_tiles = -(-(INT32_MAX if keys == DYNAMIC_INDEX else keys) // tile_size)
    if most_tiles * op.num_splits > INT32_MAX:
        tiles = b.cast(tiles, i64)
    tiles.name_hint = "num_tiles"
    first = b.floordiv(b.mul(tiles, b.cast(split, tiles.type)), b.cast(splits, tiles.type))
    last = b.floordiv(b.mul(tiles, b.cast(b.add(split, 1), tiles.type)), b.cast(splits, tiles.type))
    first, last = b.cast(first, i32), b.cast(last, i32)
    if skipped is not None:
        first, last = b.add(skipped, first), b.add(skipped, last)
    lo = b.mul(first, tile, name="lo")
    hi = b.minimum(b.mul(last, tile), length, name="hi")
    return lo, hi


def _peel(
    b: KernelBuilder,
    bounds: KeyBounds,
    unmasked: KeyIntervalAttr,
    queries: Queries,
    lo: SSAValue,
    hi: SSAValue,
    block_n: SSAValue,
) -> tuple[Run, ...]:
    """The runs of lo..hi: whole tiles in `unmasked`, and what is before and after them."""
    first, end = bounds.of(unmasked, queries, hi)
    runs: list[Run] = []
    start = lo
    if first is not None:
        start = b.maximum(b.mul(b.cdiv(first, block_n), block_n), lo)
        start = b.minimum(start, hi, name="lo_unmasked")
        runs.append(Run(lo, start, comment="Tiles up to the first that needs no mask"))
    stop = hi if end is None else end
    stop = b.mul(b.floordiv(stop, block_n), block_n)
    if not (isinstance(start.owner, ConstantOp) and start.owner.python_value == 0):
        stop = b.maximum(stop, start)
    stop.name_hint = "hi_unmasked"
    runs.append(Run(start, stop, masked=False, comment="Tiles that need no mask"))
    runs.append(Run(stop, hi, comment="Tiles after the last that needs no mask"))
    return tuple(runs)
