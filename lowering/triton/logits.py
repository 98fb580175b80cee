"""The logits of the kernel of an attention operation: the products of Q and K, scaled, through the score region."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import f16, f32, i32
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

EXPONENT_OF_F32 = 0x7F800000
"""The bits of an f32 that are its exponent: alone they are a power of two."""


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
        element = f32 if self._k.half else element_type(self._q[0].type)
        self._q = [scaled(self._b, x, self._k.channel_scale(i), element) for i, x in enumerate(self._q)]
        self._unit = self._halve() if self._k.half else None
        self._score = self._start_score()
        is_positive = self._op.scale.value.data * LOG2_E >= SMALLEST_NORMAL
        self._late = not self.natural and self._k.scale() is None and self._unit is None and is_positive
        """Whether the scale comes after the masks and the maximum, as a positive one commutes with both. Then the
        largest logit of each row is multiplied, and the difference of a logit to it is one FMA."""

    def _halve(self) -> SSAValue:
        """Puts Q into f16, divided by a power of two that is near the largest number of a row: that power [BLOCK_M]."""
        b = self._b
        wide = [b.cast(x, f32) for x in self._q]
        largest: SSAValue | None = None
        for x in wide:
            of_block = b.max(b.abs(x), 1)
            largest = of_block if largest is None else b.maximum(largest, of_block)
        assert largest is not None
        power = b.bitcast(b.and_(b.bitcast(largest, i32), EXPONENT_OF_F32), f32)
        unit = b.where(b.eq(power, 0.0), 1.0, power, name="q_unit", comment="f16 holds rows of any size in units of it")
        self._q = [b.cast(b.truediv(x, b.rows(unit)), f16, name=q.name_hint) for x, q in zip(wide, self._q)]
        return unit

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
            if scale != 1.0 or self._k.scale() is not None or self._unit is not None:
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
        """A number for all logits times the scale of K, and the unit of each row of Q."""
        scale = self._k.scale()
        factor = factor if scale is None else self._b.mul(scale, factor)
        return factor if self._unit is None else self._b.mul(self._b.rows(self._unit), factor)
