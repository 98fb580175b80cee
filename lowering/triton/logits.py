"""The logits of the kernel of an attention operation: the products of Q and K, scaled, through the score region."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.tl.types import element_type, shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.captures import Captures
from flashlower.lowering.triton.frame import Programs, Sizes, outer_dims
from flashlower.lowering.triton.key_tiles import KeyTile
from flashlower.lowering.triton.memory import (
    dot_precision,
    load_floats,
    own_mask,
    row_tile_pointers,
    scaled,
    whole,
)
from flashlower.lowering.triton.operands import Operand, OperandTile
from flashlower.lowering.triton.parameters import Access
from flashlower.lowering.triton.score import ScoreLowering, only_masks
from flashlower.lowering.triton.score_ops import LOG2_E

SMALLEST_NORMAL = 2.0**-126
"""Of f32: a GPU may take smaller numbers for 0, and -inf times 0 is no logit."""


def of_keys(b: KernelBuilder, x: SSAValue) -> SSAValue:
    """Something of each key [BLOCK_N] along a block of logits or weights; a scalar is that of all."""
    return b.columns(x) if shape_of(x.type) else x


class Logits:
    """
    Builds the logits of one tile of keys after the other: `load_query`, then `start` before the loop, then `at`.

    What `at` gives is still to be `scaled`: to units of log2(e), or to natural ones where `natural`.
    """

    def __init__(
        self,
        b: KernelBuilder,
        op: AttentionOp,
        sizes: Sizes,
        programs: Programs,
        query: Access,
        key: Operand,
        captures: Captures,
        block_n: SSAValue,
    ):
        self._b = b
        self._op = op
        self._sizes = sizes
        self._programs = programs
        self._query = query
        self._k = key
        self._captures = captures
        self._block_n = block_n
        self.natural = bool(op.score.blocks) and not only_masks(op.score.block)

    def load_query(self) -> None:
        """Loads the blocks of Q that meet those of K."""
        b, programs, parts = self._b, self._programs, self._k.parts
        pointers = row_tile_pointers(b, self._query, programs, "k", parts)
        self._q: Sequence[SSAValue] = [
            load_floats(b, tile, own_mask(b, programs, part), f"q{part.suffix}") for part, tile in zip(parts, pointers)
        ]

    def start(self) -> None:
        """Builds what is the same for all keys: Q times the scales of K's channels, and parts of the score region."""
        self._q = [scaled(self._b, x, self._k.channel_scale(i), element_type(x.type)) for i, x in enumerate(self._q)]
        self._score = self._start_score()
        is_positive = self._op.scale.value.data * LOG2_E >= SMALLEST_NORMAL
        self._late = not self.natural and self._k.scale() is None and is_positive
        """Whether the scale comes after the masks and the maximum, as a positive one commutes with both. Then the
        largest logit of each row is multiplied, and the difference of a logit to it is one FMA."""

    def at(self, tile: KeyTile, offs_n: SSAValue, mask_n: SSAValue | None, *, masked: bool) -> SSAValue:
        """The logits of a tile of keys; `masked` says whether masks of the score region may be false there."""
        scores = self._products(self._k.at(tile, mask_n))
        return self._finish(scores, self._score and self._score.fork(masked=masked), offs_n, mask_n)

    def scaled(self, x: SSAValue) -> SSAValue:
        """Logits, or the largest ones of rows, in the units of this kernel."""
        return self._b.mul(x, self._log2_scale()) if self._late else x

    def _log2_scale(self) -> SSAValue:
        scale = self._op.scale.value.data
        return self._sizes.constexpr(
            "QK_SCALE", scale * LOG2_E, f32, comment="scale * log2(e): exp(scale * s) = exp2(QK_SCALE * s)"
        )

    def _products(self, tile: OperandTile) -> SSAValue:
        """The products of Q and a tile of K: a sum for all blocks of the head that have the same scale."""
        b = self._b
        sums: dict[SSAValue | None, SSAValue] = {}
        for position, (q_part, k) in enumerate(zip(self._q, tile.blocks())):
            factor = tile.key_factor(position)
            comment = None if position else "S = Q K^T"
            sums[factor] = b.dot(
                q_part, k, sums.get(factor), input_precision=dot_precision(k), name="scores", comment=comment
            )
        scores: SSAValue | None = None
        for factor, product in sums.items():
            if factor is not None:
                comment = None if scores is not None else "The scale of each key"
                product = b.mul(product, of_keys(b, factor), name="scores", comment=comment)
            scores = product if scores is None else b.add(scores, product, name="scores")
        assert scores is not None
        return scores

    def _start_score(self) -> ScoreLowering | None:
        """Builds what the score region computes without the key, before the loop."""
        if not self._op.score.blocks:
            return None
        b, programs = self._b, self._programs
        score = ScoreLowering(self._op, b, self._captures.tensors(b), self._captures.scalars(b), programs.row_mask)
        batch = outer_dims(self._sizes.static, pack_group=True)[:-1]
        for position, dim in enumerate(batch, 1):
            if score.uses(position):
                score.define_index(position, programs.index(dim), programs.indices.get(dim))
        if score.uses(-3):
            score.define_index(-3, programs.query_head())
        if score.uses(-2):
            score.define_index(-2, programs.index("m"))
        score.emit()
        return score

    def _finish(
        self, scores: SSAValue, score: ScoreLowering | None, offs_n: SSAValue, mask_n: SSAValue | None
    ) -> SSAValue:
        """The logits but for `scaled`, -inf for keys that do not exist."""
        b = self._b
        scale = self._op.scale.value.data
        columns = None if mask_n is None else b.columns(mask_n)
        if self.natural:
            if scale != 1.0 or self._k.scale() is not None:
                factor = self._sizes.constexpr("SCALE", scale, f32)
                scores = b.mul(scores, self._times_k_scale(factor), name="scores")
        elif not self._late:
            # A mask commutes with the change of unit, so both factors are one.
            scores = b.mul(scores, self._times_k_scale(self._log2_scale()), name="scores")
        if score is not None:
            if score.uses(-1):
                score.define_index(-1, b.columns(offs_n))
            scores = score.apply(scores, columns)
        if columns is not None:
            scores = b.where(columns, scores, -math.inf, name="scores")
        # A score region that yields a constant has one number for all.
        return whole(b, scores, (self._programs.block_m, self._block_n), "scores")

    def _times_k_scale(self, factor: SSAValue) -> SSAValue:
        scale = self._k.scale()
        return factor if scale is None else self._b.mul(scale, factor)
