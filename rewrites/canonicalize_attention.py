"""Canonicalisation patterns of the attention dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX, DenseIntOrFPElementsAttr
from xdsl.ir import Attribute, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.traits import ConstantLike
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp, YieldOp
from flashlower.dialects.attention.layout import PAGE_INDICES, Term, layout_terms, make_layout
from flashlower.dialects.numpy_values import dense_to_numpy


def rebuild(
    op: SdpaOp | PartialOp | CombineOp,
    rewriter: PatternRewriter,
    *,
    result_types: Sequence[Attribute | None] | None = None,
    without: str = "",
    operands: Mapping[str, Sequence[SSAValue]] | None = None,
    properties: Mapping[str, Attribute | None] | None = None,
) -> None:
    """
    Replaces an operation by one of its kind with other properties and variadic operands, or without the operand or
    result `without` and its layout, or without its last result.
    """
    kept = {
        name: value for name, value in op.properties.items() if name not in (f"{without}_layout", "operandSegmentSizes")
    }
    new_op = type(op).build(
        operands=[
            None if name == without else (operands or {}).get(name, getattr(op, name))
            for name, _ in op.get_irdl_definition().operands
        ],
        result_types=optional_result_types(op) if result_types is None else result_types,
        properties={**kept, **(properties or {})},
        attributes=op.attributes,
        regions=[op.detach_region(region) for region in op.regions],
    )
    # Only the last result is optional, so one that is not made any more is what is missing.
    missing = len(op.results) - len(new_op.results)
    rewriter.replace(op, new_op, [*new_op.results, *[None] * missing])


def optional_result_types(op: SdpaOp | PartialOp | CombineOp) -> list[Attribute | None]:
    """The types of the results, None for one that is not there."""
    optional = [op.lse, op.sum] if isinstance(op, PartialOp) else [op.lse]
    return [op.output.type, *(None if result is None else result.type for result in optional)]


class DropUnusedLse(RewritePattern):
    """An LSE that nothing reads is not computed."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp | CombineOp, rewriter: PatternRewriter, /) -> None:
        if op.lse is None or op.lse.first_use is not None:
            return
        rebuild(op, rewriter, without="lse", result_types=[op.output.type, None])


class DropUnusedSum(RewritePattern):
    """Sums of a partial that nothing reads are not kept."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PartialOp, rewriter: PatternRewriter, /) -> None:
        if op.sum is None or op.sum.first_use is not None:
            return
        rebuild(op, rewriter, result_types=[op.output.type, op.lse.type, None])


class DropIdentityScore(RewritePattern):
    """A score region that yields the logit as it is becomes the empty region."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: AttentionOp, rewriter: PatternRewriter, /) -> None:
        if not op.score.blocks:
            return
        block = op.score.block
        terminator = block.last_op
        # Everything that a score region may hold is pure, so the other operations in it are dead.
        if not isinstance(terminator, YieldOp) or terminator.value is not block.args[0]:
            return
        for inner in reversed(list(block.ops)):
            rewriter.erase(inner)
        op.score.erase_block(block)
        rewriter.notify_op_modified(op)


class DropFullLengths(RewritePattern):
    """Constant lengths that cover all keys say nothing."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp | PartialOp, rewriter: PatternRewriter, /) -> None:
        if op.kv_lens is None or (keys := op.dim_sizes()["n"]) == DYNAMIC_INDEX:
            return
        literal = ConstantLike.get_constant_value(op.kv_lens)
        if not isa(literal, DenseIntOrFPElementsAttr) or np.any(dense_to_numpy(literal) < keys):
            return
        rebuild(op, rewriter, without="kv_lens")


class DropIdentityRows(RewritePattern):
    """Constant rows 0, 1, ... of as many sequences as the block table has rows are the sequences themselves."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp | PartialOp, rewriter: PatternRewriter, /) -> None:
        if op.rows is None or op.rows_layout is None or op.block_table_layout is None:
            return
        literal = ConstantLike.get_constant_value(op.rows)
        if not isa(literal, DenseIntOrFPElementsAttr):
            return
        rows = dense_to_numpy(literal)
        if rows.ndim != 1 or not np.array_equal(rows, np.arange(rows.size)):
            return
        table = layout_terms(op.block_table_layout.data)
        (sequences,) = layout_terms(op.rows_layout.data)
        if len(sequences) != 1 or op.index_sizes()["row"] != rows.size:
            return
        (sequence,) = sequences
        num_dims = op.query_layout.data.num_dims
        row = num_dims + PAGE_INDICES.index("row")
        if any(term.dim == sequence.dim for terms in table for term in terms):
            return
        indices = [[Term(sequence.dim, t.stride) if t.dim == row else t for t in terms] for terms in table]
        rebuild(op, rewriter, without="rows", properties={"block_table_layout": make_layout(num_dims, indices)})


class ConvertSingleSplit(RewritePattern):
    """A combine of the one split of a partial is attention over whole sequences."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CombineOp, rewriter: PatternRewriter, /) -> None:
        partial = op.partial.owner
        if not isinstance(partial, PartialOp) or partial.num_splits != 1 or not combines_alone(op, partial):
            return
        layouts = {name: layout for name, _, layout in partial.layouts()}
        layouts["out"] = op.output_layout
        for name, layout in (("sinks", op.sinks_layout), ("lse", op.lse_layout)):
            if layout is not None:
                layouts[name] = layout
        new_op = SdpaOp(
            partial.query,
            partial.key,
            partial.value,
            layouts,
            partial.scale.value.data,
            op.output.type,
            key_quantization=partial.quantization("k"),
            value_quantization=partial.quantization("v"),
            block_table=partial.block_table,
            rows=partial.rows,
            kv_lens=partial.kv_lens,
            sinks=op.sinks,
            score=partial.detach_region(partial.score),
            lse_type=None if op.lse is None else op.lse.type,
            schedule=partial.schedule,
            bounds=partial.bounds,
            attributes={**partial.attributes, **op.attributes},
        )
        rewriter.replace(op, new_op)
        rewriter.erase(partial)


def combines_alone(combine: CombineOp, partial: PartialOp) -> bool:
    """Whether the combine reads every result of the partial as what it is, and nothing else reads any."""
    return (
        combine.partial is partial.output
        and combine.partial_lse is partial.lse
        and combine.partial_sum is partial.sum
        and all(result.has_one_use() for result in partial.results)
    )
