"""`decompose-attention`: attention operations as plain StableHLO, so that a reader sees what they mean.

The forms are those of the note on flash decoding (Dao et al., 2023): with the keys cut into G splits,

    [Bs..., N, K] -> [Bs..., G, N/G, K]          (keys and values)
    S = scale * Q K^T, M = max(S), P = exp(S - M), L = sum(P), LSE = M + log(L), O' = P V / L    per split
    scale = softmax(LSE over G), O = sum(scale * O' over G)

Where the splits of a partial are not equally long (lengths, or a number of keys that the tiles do not divide), each
split sees all keys, and those of the others are masked; nothing is padded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, ModuleOp, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import stablehlo
from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp
from flashlower.dialects.stablehlo import ComparisonDirection
from flashlower.rewrites.decompose.axes import Named, TensorBuilder
from flashlower.rewrites.decompose.bounds import BlockBounds
from flashlower.rewrites.decompose.quantization import dequantise
from flashlower.rewrites.decompose.score import ScoreTensors
from flashlower.rewrites.decompose.update_cache import DecomposeUpdateCache


def _static_sizes(op: AttentionOp | CombineOp) -> dict[str, int]:
    sizes = op.dim_sizes()
    every = sizes if isinstance(op, CombineOp) else op.index_sizes()
    dynamic = [name for name, size in every.items() if size == DYNAMIC_INDEX]
    if dynamic:
        raise DiagnosticException(
            f"decompose-attention: {op.name} has dynamic sizes ({', '.join(dynamic)}); only static ones have a form in "
            "plain StableHLO"
        )
    return sizes


def _with_split(sizes: dict[str, int], splits: int) -> dict[str, int]:
    """The sizes with an axis for splits where `attention.partial` has it: before m."""
    result: dict[str, int] = {}
    for name, size in sizes.items():
        if name == "m":
            result["split"] = splits
        result[name] = size
    return result


class _Softmax:
    """
    A softmax over one axis that is not normalised yet, with a further logit `sinks`.

    Where `counts` are given, each logit stands for so many equal ones.
    """

    def __init__(
        self, builder: TensorBuilder, s: Named, axis: str, sinks: Named | None = None, counts: Named | None = None
    ):
        self.builder = builder
        zero = builder.constant(0.0, s.element_type)
        top = builder.reduce(s, axis, "maximum", -math.inf, "row_max")
        self.masked = self._is_lowest(top)
        """Rows without a finite logit."""
        nothing = self.masked
        if sinks is not None:
            top = builder.elementwise(stablehlo.MaxOp, top, sinks, hint="row_max")
            nothing = self._is_lowest(top)
        # In a row of nothing but -inf, exp(-inf - -inf) would be NaN: with 0 in its place, weights are 0.
        self.top = builder.select(nothing, zero, top, "row_max")
        self.weights = self._weights(s, "weights")
        if counts is not None:
            self.weights = builder.elementwise(stablehlo.MulOp, self.weights, counts, hint="weights")
        self.total = builder.reduce(self.weights, axis, "add", 0.0, "row_sum")
        if sinks is not None:
            sink_weight = self._weights(sinks, "sink_weight")
            self.total = builder.elementwise(stablehlo.AddOp, self.total, sink_weight, hint="row_sum")

    def _is_lowest(self, x: Named) -> Named:
        lowest = self.builder.constant(-math.inf, x.element_type)
        return self.builder.compare(x, ComparisonDirection.EQ, lowest)

    def _weights(self, s: Named, hint: str) -> Named:
        shifted = self.builder.elementwise(stablehlo.SubtractOp, s, self.top)
        return self.builder.elementwise(stablehlo.ExpOp, shifted, hint=hint)

    def lse(self) -> Named:
        """The log-sum-exp of every row: -inf where there is nothing to sum."""
        log = self.builder.elementwise(stablehlo.LogOp, self.total)
        return self.builder.elementwise(stablehlo.AddOp, self.top, log, hint="lse")

    def normalise(self, x: Named, hint: str) -> Named:
        """`x` over the row's sum; 0 in rows without a finite logit."""
        quotient = self.builder.elementwise(stablehlo.DivOp, x, self.total)
        zero = self.builder.constant(0.0, x.element_type)
        return self.builder.select(self.masked, zero, quotient, hint)


class _Attention:
    """The output, and the softmax, of an `attention.sdpa` or `attention.partial`."""

    def __init__(self, builder: TensorBuilder, op: AttentionOp, keys: int):
        self.builder = builder
        self.op = op
        self.keys = keys
        """The number of keys, over all splits."""
        self.pages = self._pages()
        values = self._read_quantised("v") or self._read(op.value, op.value_layout, "v")
        self.values = builder.convert(values, op.accumulator_type)
        self.scores = self._scores()
        self.lengths = self._lengths()

    def _pages(self) -> Named | None:
        """The pages of every sequence."""
        builder, op = self.builder, self.op
        if op.block_table is None or op.block_table_layout is None:
            return None
        pages = builder.read(op.block_table, op.block_table_layout, "pages")
        if op.rows is not None and op.rows_layout is not None:
            pages = builder.take(pages, "row", builder.read(op.rows, op.rows_layout, "rows"), "pages")
        return pages

    def _read(self, value: SSAValue, layout: AffineMapAttr, hint: str) -> Named:
        """K or V, gathered from its pages where it has those."""
        x = self.builder.read(value, layout, hint)
        if self.pages is None or "n" in x.axes:
            return x
        if "page" in x.axes:
            # What the table has beyond a length is clamped to some page, whose keys are masked like all others there.
            x = self.builder.take(x, "page", self.pages, hint)
        return self.builder.join_pages(x)

    def _read_quantised(self, name: str) -> Named | None:
        """The values of a quantised K ("k") or V ("v")."""
        op = self.op
        quantization, packing = op.quantization(name), op.packing(name)
        if quantization is None or packing is None:
            return None
        operand, layout, channel = (op.key, op.key_layout, "k") if name == "k" else (op.value, op.value_layout, "d")
        return dequantise(
            self.builder,
            self._read(operand, layout, name),
            quantization.attr,
            packing,
            channel,
            {part: self._read(shared.value, shared.layout, f"{name}_{part}") for part, shared in quantization.shared()},
            op.accumulator_type,
            name,
        )

    def _scores(self) -> Named:
        builder, op = self.builder, self.op
        q = builder.read(op.query, op.query_layout, "q")
        k = self._read_quantised("k") or self._read(op.key, op.key_layout, "k")
        if op.key_quantization is not None:
            # A value need not be a number of the query's type.
            q = builder.convert(q, op.accumulator_type)
        scores = builder.dot(q, k, "k", op.accumulator_type, "scores")
        if op.scale.value.data != 1.0:
            scale = builder.constant(op.scale.value.data, op.accumulator_type)
            scores = builder.elementwise(stablehlo.MulOp, scores, scale, hint="scores")
        if op.score.blocks:
            scores = ScoreTensors(builder, op, scores).run()
        axes = ("split", "n") if builder.keys_are_split else ("n",)
        return builder.align(scores, axes=axes)[0]

    def _lengths(self) -> Named | None:
        """The lengths in i64; keys beyond them are masked. A value there may be NaN, so it is replaced as well."""
        builder, op = self.builder, self.op
        if op.kv_lens is None or op.kv_lens_layout is None:
            return None
        lengths = builder.convert(builder.read(op.kv_lens, op.kv_lens_layout, "kv_lens"), i64)
        lowest, highest = (builder.constant(bound, i64) for bound in (0, self.keys))
        clamped = builder.emit(stablehlo.ClampOp(lowest.value, lengths.value, highest.value), "kv_lens")
        lengths = Named(clamped, lengths.axes)
        self._keep(builder.compare(builder.iota("n"), ComparisonDirection.LT, lengths))
        return lengths

    def _keep(self, keys: Named) -> None:
        self.scores = self.builder.where(keys, self.scores, -math.inf)
        self.values = self.builder.where(keys, self.values, 0.0)

    def _reach(self) -> tuple[Named | None, Named | None]:
        """The first key that any query reaches, None for 0, and the end of these keys, None for that of all keys."""
        builder, op = self.builder, self.op
        if op.reach is None:
            return None, self.lengths
        length = builder.constant(self.keys, i64) if self.lengths is None else self.lengths
        bounds = BlockBounds(builder, op)
        first, end = bounds.lower(op.reach), bounds.upper(op.reach)

        def clamped(x: Named) -> Named:
            natural = builder.elementwise(stablehlo.MaxOp, x, builder.constant(0, i64))
            return builder.elementwise(stablehlo.MinOp, natural, length)

        return None if first is None else clamped(first), length if end is None else clamped(end)

    def separate_splits(self, splits: int, tile: int) -> None:
        """Masks, for every split, the keys of the others: split i has tiles floor(T * i / splits) and on."""
        builder = self.builder
        keys, split = builder.iota("n"), builder.iota("split")
        tile_size, count = builder.constant(tile, i64), builder.constant(splits, i64)
        first, end = self._reach()
        if end is None:
            tiles = builder.constant(-(-self.keys // tile), i64)
        else:
            rounded = builder.elementwise(stablehlo.AddOp, end, builder.constant(tile - 1, i64))
            tiles = builder.elementwise(stablehlo.DivOp, rounded, tile_size, hint="tiles")
        skipped = None if first is None else builder.elementwise(stablehlo.DivOp, first, tile_size, hint="first_tile")
        if skipped is not None:
            tiles = builder.elementwise(stablehlo.SubtractOp, tiles, skipped)
            tiles = builder.elementwise(stablehlo.MaxOp, tiles, builder.constant(0, i64), hint="tiles")

        def start(index: Named, hint: str) -> Named:
            share = builder.elementwise(stablehlo.MulOp, tiles, index)
            first_tile = builder.elementwise(stablehlo.DivOp, share, count)
            if skipped is not None:
                first_tile = builder.elementwise(stablehlo.AddOp, first_tile, skipped)
            return builder.elementwise(stablehlo.MulOp, first_tile, tile_size, hint=hint)

        following = builder.elementwise(stablehlo.AddOp, split, builder.constant(1, i64))
        above = builder.compare(keys, ComparisonDirection.GE, start(split, "split_start"))
        stop = start(following, "split_end")
        if self.op.reach is not None and end is not None:
            stop = builder.elementwise(stablehlo.MinOp, stop, end, hint="split_end")
        below = builder.compare(keys, ComparisonDirection.LT, stop)
        self._keep(builder.elementwise(stablehlo.AndOp, above, below, hint="in_split"))

    def run(self, sinks: Named | None = None) -> tuple[Named, _Softmax]:
        softmax = _Softmax(self.builder, self.scores, "n", sinks)
        out = self.builder.dot(softmax.weights, self.values, "n", self.op.accumulator_type, "out")
        return softmax.normalise(out, "out"), softmax


def _sinks(builder: TensorBuilder, op: SdpaOp | CombineOp, element_type: Attribute) -> Named | None:
    if op.sinks is None or op.sinks_layout is None:
        return None
    return builder.convert(builder.read(op.sinks, op.sinks_layout, "sinks"), element_type)


def _results(builder: TensorBuilder, op: SdpaOp | CombineOp, out: Named, softmax: _Softmax) -> list[SSAValue]:
    results = [builder.write(out, op.output_layout, op.output.type)]
    if op.lse is not None and op.lse_layout is not None:
        results.append(builder.write(softmax.lse(), op.lse_layout, op.lse.type))
    return results


class DecomposeSdpa(RewritePattern):
    """`attention.sdpa` to StableHLO."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp, rewriter: PatternRewriter, /) -> None:
        sizes = _static_sizes(op)
        builder = TensorBuilder(rewriter, op.index_sizes())
        out, softmax = _Attention(builder, op, sizes["n"]).run(_sinks(builder, op, op.accumulator_type))
        rewriter.replace(op, [], _results(builder, op, out, softmax))


class DecomposePartial(RewritePattern):
    """`attention.partial` to StableHLO: over reshaped keys if the splits are equally long, else over masked ones."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PartialOp, rewriter: PatternRewriter, /) -> None:
        sizes = _static_sizes(op)
        keys, splits, tile = sizes["n"], op.num_splits, op.tile.value.data
        chunk = keys // splits
        even = op.kv_lens is None and op.reach is None and keys == chunk * splits and (chunk % tile == 0 or splits == 1)
        sizes = _with_split(sizes, splits)
        if even:
            sizes["n"] = chunk
        page_sizes = {name: size for name, size in op.index_sizes().items() if name not in sizes}
        builder = TensorBuilder(rewriter, sizes | page_sizes, keys_are_split=even)
        attention = _Attention(builder, op, keys)
        if not even:
            attention.separate_splits(splits, tile)
        out, softmax = attention.run()
        axes = [name for name in sizes if name not in "nkd"]
        (out,) = builder.align(out, axes=[*axes, "d"])
        rows = [softmax.lse()] if op.sum is None else [softmax.lse(), softmax.total]
        rewriter.replace(op, [], [out.value, *(builder.align(row, axes=axes)[0].value for row in rows)])


class DecomposeCombine(RewritePattern):
    """
    `attention.combine` to StableHLO: the splits' outputs, weighted with softmax(LSE).

    Where sums are given, the softmax is of the splits' maxima, each as often as the sum says.
    """

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CombineOp, rewriter: PatternRewriter, /) -> None:
        sizes = _with_split(_static_sizes(op), op.num_splits)
        builder = TensorBuilder(rewriter, sizes)
        axes = tuple(name for name in sizes if name not in "nkd")
        partial = Named(op.partial, (*axes, "d"))
        tops, counts = Named(op.partial_lse, axes), None
        lowest = builder.constant(-math.inf, tops.element_type)
        if op.partial_sum is not None:
            counts = Named(op.partial_sum, axes)
            nothing = builder.compare(counts, ComparisonDirection.EQ, builder.constant(0.0, counts.element_type))
            log = builder.elementwise(stablehlo.LogOp, counts)
            tops = builder.elementwise(stablehlo.SubtractOp, tops, log)
            # -inf - log(0) would be NaN.
            tops = builder.select(nothing, lowest, tops, "split_max")
        softmax = _Softmax(builder, tops, "split", _sinks(builder, op, partial.element_type), counts)
        scale = softmax.normalise(softmax.weights, "scale")
        # An empty split has weight 0, whatever its output holds.
        empty = builder.compare(tops, ComparisonDirection.EQ, lowest)
        partial = builder.select(empty, builder.constant(0.0, partial.element_type), partial)
        out = builder.reduce(builder.elementwise(stablehlo.MulOp, partial, scale), "split", "add", 0.0, "out")
        rewriter.replace(op, [], _results(builder, op, out, softmax))


@dataclass(frozen=True)
class DecomposeAttentionPass(ModulePass):
    """
    Rewrites `attention.sdpa`, `attention.partial`, `attention.combine` and `attention.update_cache` as plain StableHLO.

    Raises `DiagnosticException` for an operation with dynamic sizes, and for a score region with an operation that
    StableHLO has no form for.
    """

    name = "decompose-attention"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns = GreedyRewritePatternApplier(
            [DecomposeSdpa(), DecomposePartial(), DecomposeCombine(), DecomposeUpdateCache()]
        )
        PatternRewriteWalker(patterns, apply_recursively=False).rewrite_module(op)
