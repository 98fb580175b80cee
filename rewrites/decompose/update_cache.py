"""`attention.update_cache` as plain StableHLO: scales by reductions, codes by shifts, and a scatter to the places.

Updates that `stablehlo.scatter` finds outside of its input are dropped, so a token without a place gets -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AnyFloat,
    FixedBitwidthType,
    IntegerAttr,
    IntegerType,
    Signedness,
    TensorType,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import stablehlo
from flashlower.dialects.attention import Rounding, Scaling, UpdateCacheOp
from flashlower.dialects.attention.layout import index_names, layout_terms
from flashlower.dialects.attention.quantization import Packing, Part, QuantizationAttr
from flashlower.dialects.attention.quantizer import QuantizerAttr, code_range, symmetric_limit
from flashlower.dialects.numpy_values import largest_finite
from flashlower.dialects.stablehlo import ComparisonDirection
from flashlower.dialects.stablehlo.attributes import integer_list
from flashlower.rewrites.decompose.axes import Named, TensorBuilder

GROUPED = ("token_group", "token", "channel_group", "channel")
"""The axes that m and the channels become where scales are made."""


class _Update:
    """One operation on the way to StableHLO."""

    def __init__(self, rewriter: PatternRewriter, op: UpdateCacheOp):
        sizes = op.index_sizes()
        if dynamic := [name for name, size in sizes.items() if size == DYNAMIC_INDEX]:
            raise DiagnosticException(
                f"decompose-attention: {op.name} has dynamic sizes ({', '.join(dynamic)}); only static ones have a "
                "form in plain StableHLO"
            )
        self.op = op
        self.outer = (*tuple(sizes)[: op.batch_rank], "h")
        self.channel = op.channel
        self.channels = sizes[op.channel]
        groups = op.groups()
        tokens, channels = (1, self.channels) if groups is None else (groups.tokens, groups.channels)
        packing = op.packing()
        lanes = 1 if packing is None else packing.lanes
        self.tokens = tokens
        grouped = (sizes["m"] // tokens, tokens, self.channels // channels, channels)
        extra = {"lane": lanes, "width": self.channels // lanes}
        self.builder = b = TensorBuilder(rewriter, {**sizes, **dict(zip(GROUPED, grouped)), **extra})
        self.layouts = {name: (value, layout) for name, value, layout in op.layouts()}
        self.places: dict[str, Named] = {axis: b.iota(axis) for axis in self.outer}
        self.placed = self._find_places()

    def read(self, name: str) -> Named:
        value, layout = self.layouts[name]
        return self.builder.read(value, layout, name)

    def regroup(self, x: Named, axes: Sequence[str]) -> Named:
        """A row-major view under other axes."""
        return Named(self.builder.reshape(x.value, self.builder.shape(axes)), tuple(axes))

    def integer(self, name: str) -> Named:
        return self.builder.convert(self.read(name), i64)

    # Places.

    def _find_places(self) -> Named:
        """Fills in n, page and slot, on axes (b..., m), and says where there is such a place."""
        b, op = self.builder, self.op
        slots = b.constant(b.sizes["slot"], i64)
        if op.slots is not None:
            place = self.integer("slots")
            self.places["page"] = b.elementwise(stablehlo.DivOp, place, slots, hint="page")
            self.places["slot"] = b.elementwise(stablehlo.RemOp, place, slots, hint="slot")
            return self._within(place, "page")
        n = self.integer("positions")
        if "m" not in n.axes:
            n = b.elementwise(stablehlo.AddOp, n, b.iota("m"), hint="n")
        self.places["n"] = n
        placed = self._within(n, "n")
        if op.block_table is None:
            return placed
        p = b.elementwise(stablehlo.DivOp, n, slots, hint="p")
        self.places["slot"] = b.elementwise(stablehlo.RemOp, n, slots, hint="slot")
        table = self.integer("block_table")
        if op.rows is not None:
            row = self.integer("rows")
            placed = self._both(placed, self._within(row, "row", row))
            table = b.take(table, "row", row, "pages")
        page = b.take(table, "p", p, "page")
        self.places["page"] = page
        return self._both(placed, self._within(page, "page", page))

    def _within(self, index: Named, dim: str, place: Named | None = None) -> Named:
        """Whether an index is 0 or more, and what is `dim` of it below the size of that."""
        b = self.builder
        above = b.compare(index, ComparisonDirection.GE, b.constant(0, i64))
        found = place or self.places.get(dim, index)
        return self._both(above, b.compare(found, ComparisonDirection.LT, b.constant(b.sizes[dim], i64)))

    def _both(self, x: Named, y: Named) -> Named:
        return self.builder.elementwise(stablehlo.AndOp, x, y, hint="placed")

    # Arithmetic.

    def number(self, value: float) -> Named:
        return self.builder.constant(float(value), f32)

    def clamp(self, x: Named, low: Named, high: Named) -> Named:
        """`x` within bounds; a NaN stays."""
        b = self.builder
        return b.elementwise(stablehlo.MinOp, b.elementwise(stablehlo.MaxOp, x, low), high)

    def finite(self, x: Named, type: Attribute) -> Named:
        limit = largest_finite(type)
        return self.clamp(x, self.number(-limit), self.number(limit))

    def quotient(self, x: Named, scale: Named) -> Named:
        """x / scale, 0 where the scale is 0."""
        b, zero = self.builder, self.number(0.0)
        divided = b.elementwise(stablehlo.DivOp, x, scale)
        return b.select(b.compare(scale, ComparisonDirection.NE, zero), divided, zero, "quotient")

    def without_nan(self, x: Named) -> Named:
        return self.builder.select(self.builder.compare(x, ComparisonDirection.EQ, x), x, self.number(0.0))

    def round(self, x: Named, rounding: Rounding) -> Named:
        """An integer in i32; conversions round towards zero."""
        if rounding is Rounding.TO_NEAREST_EVEN:
            x = self.builder.elementwise(stablehlo.RoundNearestEvenOp, x)
        return self.builder.convert(x, i32)

    def extremum(self, x: Named, kind: str) -> Named:
        b = self.builder
        op, initial = ("maximum", float("-inf")) if kind == "max" else ("minimum", float("inf"))
        for axis in ("channel", "token"):
            x = b.reduce(x, axis, op, initial, kind)
        return x

    # Scales and codes.

    def make_parts(self, x: Named, attr: QuantizationAttr, quantizer: QuantizerAttr) -> dict[Part, Named]:
        """Scales, and zero points or offsets, of the groups of values on the axes `GROUPED`."""
        b = self.builder
        types: dict[Part, Attribute] = {}
        for part in self.op.made():
            types[part] = cast(TensorType[Attribute], self.layouts[f"cache_{part}"][0].type).element_type
        x = self.finite(x, cast(TensorType[Attribute], self.op.new.type).element_type)

        def scale_of(extent: Named, codes: int) -> Named:
            scale = b.elementwise(stablehlo.DivOp, extent, self.number(codes))
            return b.convert(self.finite(scale, types["scale"]), types["scale"])

        if quantizer.scaling is Scaling.SYMMETRIC:
            return {"scale": scale_of(self.extremum(b.elementwise(stablehlo.AbsOp, x), "max"), symmetric_limit(attr))}
        low, high = code_range(attr)
        top, bottom = self.extremum(x, "max"), self.extremum(x, "min")
        if "zero" in types:
            top = b.elementwise(stablehlo.MaxOp, top, self.number(0.0))
            bottom = b.elementwise(stablehlo.MinOp, bottom, self.number(0.0))
        made: dict[Part, Named] = {"scale": scale_of(b.elementwise(stablehlo.SubtractOp, top, bottom), high - low)}
        if "offset" in types:
            made["offset"] = b.convert(self.finite(bottom, types["offset"]), types["offset"])
        if "zero" in types:
            first = self.without_nan(self.quotient(bottom, b.convert(made["scale"], f32)))
            zero = b.elementwise(stablehlo.SubtractOp, self.number(low), first)
            zero = self.round(self.clamp(zero, self.number(low), self.number(high)), quantizer.rounding)
            made["zero"] = b.convert(zero, types["zero"])
        return made

    def given_parts(self) -> dict[Part, Named]:
        """Scales, zero points and offsets at the places of tokens, on axes of (b..., h, m, channel)."""
        b = self.builder
        found: dict[Part, Named] = {}
        quantization = self.op.parts()
        for part, _ in () if quantization is None else quantization.shared():
            x = self.read(f"cache_{part}")
            for dim in ("n", "page", "slot"):
                if dim in x.axes:
                    x = b.take(x, dim, self.places[dim], part)
            found[part] = x
        return found

    def codes(self, x: Named, attr: QuantizationAttr, quantizer: QuantizerAttr, parts: dict[Part, Named]) -> Named:
        """The codes of values: i32, or 8-bit floats."""
        b = self.builder
        wide = {part: b.convert(value, f32) for part, value in parts.items()}
        if "offset" in wide:
            x = b.elementwise(stablehlo.SubtractOp, x, wide["offset"])
        if "scale" in wide:
            x = self.quotient(x, wide["scale"])
        low, high = code_range(attr)
        if attr.is_float:
            return b.convert(self.clamp(x, self.number(low), self.number(high)), attr.codes)
        x = self.without_nan(x)
        if "zero" in parts and isinstance(parts["zero"].element_type, AnyFloat):
            x = b.elementwise(stablehlo.AddOp, x, wide["zero"])
            return self.round(self.clamp(x, self.number(low), self.number(high)), quantizer.rounding)
        if quantizer.scaling is Scaling.SYMMETRIC:
            limit = symmetric_limit(attr)
            low, high = attr.zero.data - limit, attr.zero.data + limit
        zero = b.convert(parts["zero"], i32) if "zero" in parts else b.constant(attr.zero.data, i32)
        base = b.convert(zero, f32)
        bounds = (b.elementwise(stablehlo.SubtractOp, self.number(bound), base) for bound in (low, high))
        return b.elementwise(
            stablehlo.AddOp, self.round(self.clamp(x, *bounds), quantizer.rounding), zero, hint="codes"
        )

    def pack(self, codes: Named, packing: Packing, type: Attribute) -> Named:
        """Codes on axes (b..., h, m, channel) as elements of the storage, on axes (b..., h, m, width)."""
        b = self.builder
        if isinstance(type, AnyFloat):
            return codes
        if not isinstance(codes.element_type, IntegerType):
            codes = b.bitcast(codes, IntegerType(8, Signedness.UNSIGNED), codes.value.name_hint)
        word = IntegerType(cast(FixedBitwidthType, type).bitwidth, Signedness.UNSIGNED)
        codes = b.elementwise(stablehlo.AndOp, b.convert(codes, word), b.constant((1 << packing.bits) - 1, word))
        rows = (*self.outer, "m")
        split = (*rows, "lane", "width") if packing.planar else (*rows, "width", "lane")
        lanes = self.regroup(codes, split)
        bits = b.elementwise(stablehlo.MulOp, b.iota("lane"), b.constant(packing.bits, i64))
        lanes = b.transpose(lanes, b.ordered(split))
        words = b.elementwise(stablehlo.ShiftLeftOp, lanes, b.convert(bits, word))
        words = b.reduce(words, "lane", "or", 0, "words")
        return b.bitcast(words, type, words.value.name_hint)

    # Results.

    def store(self, name: str, new: Named, tokens: int = 1) -> SSAValue:
        """An operand with new elements at the places of tokens, or of the first tokens of groups."""
        b = self.builder
        value, layout = self.layouts[name]
        names = index_names(self.op.batch_rank)
        terms = [term for terms in layout_terms(layout.data) for term in terms]
        sizes = [term.digit_size(b.sizes[names[term.dim]]) for term in terms]
        window = [position for position, term in enumerate(terms) if names[term.dim] == self.channel]
        indexed = [position for position in range(len(terms)) if position not in window]
        rows = (*self.outer, "m")
        vectors: list[SSAValue] = []
        for position in indexed:
            term = terms[position]
            index = self.places[names[term.dim]]
            if term.divisor != 1:
                index = b.elementwise(stablehlo.DivOp, index, b.constant(term.divisor, i64))
            if position == indexed[0]:
                index = b.select(self.placed, index, b.constant(-1, i64))
            (index,) = b.align(index, axes=rows)
            index = self._first(index, tokens)
            shape = b.shape(index.axes)
            vectors.append(b.reshape(index.value, [*shape, 1]))
        places = vectors[0]
        if len(vectors) > 1:
            places = b.emit(stablehlo.ConcatenateOp(vectors, len(rows)), "places")
        numbers = stablehlo.ScatterDimensionNumbersAttr(
            integer_list([len(rows)] if window else ()),
            integer_list(indexed),
            integer_list(()),
            integer_list(()),
            integer_list(indexed),
            IntegerAttr(len(rows), i64),
        )
        shape = [b.sizes[axis] for axis in new.axes]
        if not window:
            new = Named(b.reshape(new.value, shape[: len(rows)]), new.axes[: len(rows)])
        digits = b.reshape(value, sizes)
        scatter = stablehlo.ScatterOp.build(
            operands=[[digits], places, [new.value]],
            result_types=[[digits.type]],
            properties={"scatter_dimension_numbers": numbers},
            regions=[stablehlo.replacement_body(new.element_type)],
        )
        return b.reshape(b.emit(scatter, name), cast(TensorType[Attribute], value.type).get_shape())

    def _first(self, x: Named, tokens: int) -> Named:
        """Of something of each token, on axes (b..., h, m), that of the first token of each group."""
        if tokens == 1:
            return x
        b = self.builder
        split = self.regroup(x, (*self.outer, "token_group", "token"))
        shape = b.shape(split.axes)
        starts = [0] * len(shape)
        limits = [*shape[:-1], 1]
        value = b.emit(stablehlo.SliceOp(split.value, starts, limits, [1] * len(shape)))
        return Named(b.reshape(value, shape[:-1]), split.axes[:-1])

    def run(self) -> list[SSAValue]:
        b, op = self.builder, self.op
        rows = (*self.outer, "m")
        cache = cast(TensorType[Attribute], op.cache.type).element_type
        (new,) = b.align(self.read("new"), axes=(*rows, self.channel))
        attr, quantizer, packing = op.quantization, op.quantizer, op.packing()
        if attr is None or quantizer is None or packing is None:
            return [self.store("cache", b.convert(new, cache))]
        x = b.convert(new, f32)
        made: dict[Part, Named] = {}
        if op.made():
            x = self.regroup(x, (*self.outer, *GROUPED))
            made = self.make_parts(x, attr, quantizer)
            codes = self.regroup(self.codes(x, attr, quantizer, made), (*rows, self.channel))
        else:
            codes = self.codes(x, attr, quantizer, self.given_parts())
            (codes,) = b.align(codes, axes=(*rows, self.channel))
        results = [self.store("cache", self.pack(codes, packing, cache))]
        for part, value in made.items():
            (value,) = b.align(value, axes=(*self.outer, "token_group", "channel_group"))
            results.append(self.store(f"cache_{part}", value, self.tokens))
        return results


class DecomposeUpdateCache(RewritePattern):
    """`attention.update_cache` to StableHLO."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: UpdateCacheOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, [], _Update(rewriter, op).run())
