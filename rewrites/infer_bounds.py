"""
Bounds from score regions: which keys a block of queries can reach, and which need no mask.

Nobody says that a mask is causal, or a window: the comparisons of the score region do. `infer-attention-bounds` reads
them and writes two intervals of keys on the operation. A kernel walks over the keys of `reach` only, and does without
masks in `unmasked`. What is not proved is computed in full.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from flashlower.dialects.attention import CombineOp, PartialOp, SdpaOp
from flashlower.dialects.attention.masks import kept_operand, masks
from flashlower.rewrites.bounds.score import ScoreAnalysis
from flashlower.rewrites.canonicalize_attention import DropIdentityScore, rebuild


class DropIdleMasks(RewritePattern):
    """A mask that keeps every key that exists, such as a causal mask of one query over its own past, is dropped."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp | PartialOp, rewriter: PatternRewriter, /) -> None:
        if not op.score.blocks:
            return
        analysis = ScoreAnalysis(op)
        for mask in [mask for mask in masks(op.score.block) if analysis.is_always_kept(mask)]:
            rewriter.replace(mask, (), [kept_operand(mask)])
            rewriter.notify_op_modified(op)


class WriteBounds(RewritePattern):
    """Writes `reach` and `unmasked` on an operation that has neither."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp | PartialOp, rewriter: PatternRewriter, /) -> None:
        if not op.score.blocks or op.reach is not None or op.unmasked is not None:
            return
        # With a reach, other keys make a split; only what puts the splits together does not tell.
        users = {use.operation for result in op.results for use in result.uses}
        if isinstance(op, PartialOp) and not all(isinstance(user, CombineOp) for user in users):
            return
        bounds = ScoreAnalysis(op).bounds()
        if bounds.reach is None and bounds.unmasked is None:
            return
        rebuild(op, rewriter, operands={"bound_scalars": bounds.operands()}, properties=bounds.properties())


@dataclass(frozen=True)
class InferAttentionBoundsPass(ModulePass):
    """
    Writes on every `attention.sdpa`, and `attention.partial` of which only `attention.combine` reads, which keys its
    score region reaches (`reach`) and leaves unmasked (`unmasked`) for a block of queries, as far as it is proved, and
    drops masks that keep every key.

    It reads comparisons that are affine in query, key, and integers from outside (captured scalars, and elements of
    captured tensors at batch indices), with floor divisions by constants, joined by and, or, xor and select. Bounds
    that are there already stay.
    """

    name = "infer-attention-bounds"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        drop = GreedyRewritePatternApplier([DropIdleMasks(), DropIdentityScore()], dce_enabled=True)
        PatternRewriteWalker(drop).rewrite_module(op)
        PatternRewriteWalker(WriteBounds(), apply_recursively=False).rewrite_module(op)
