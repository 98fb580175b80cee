"""Flash decoding: attention over runs of keys, which then are put together.

A decoding step has few queries and many keys, so its heads alone do not fill a GPU. `flash-decoding` turns
`attention.sdpa` into `attention.partial`, whose splits can run on different cores, and `attention.combine` (Dao et
al., "Flash-Decoding for long-context inference", 2023). The keys are shared out in whole tiles by the operation's
definition, so any length and any number of splits is legal and nothing is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, AnyFloat, ModuleOp, TensorType
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern
from xdsl.utils.exceptions import PassFailedException

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, ScheduleAttr, SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS, DimSizes
from flashlower.dialects.attention.masks import float_constant
from flashlower.rewrites.schedule.measure import reached_keys
from flashlower.rewrites.schedule.splits import DEFAULT_MAX_SPLITS, DEFAULT_MIN_CHUNK, choose_splits
from flashlower.rewrites.schedule.targets import DEFAULT_TARGET, TargetDescription, get_target
from flashlower.rewrites.schedule.tiles import choose_schedule, concurrent_programs, ragged_chunk

LARGE_LOGIT = 128.0
"""Below, f32 has a unit in the last place of at most 2^-17, so that an LSE keeps its log to 4e-6."""


def may_make_large_logits(op: AttentionOp) -> bool:
    """
    Whether the score region may make logits so large that an LSE, max + log(sum), loses how many keys it sums.

    A mask with a finite number does: in a row masked throughout, every logit is -2.4e38, the LSE of each split rounds
    to that number, and a split of 40 keys would weigh as much as one of 128. A bias may hold anything. The rule: the
    region has a finite float constant of at least `LARGE_LOGIT`, reads floats from outside, or makes floats of
    integers, such as positions. Masks with -inf and soft caps do none of these.
    """
    for inner in op.score.walk():
        if isinstance(inner, arith.SIToFPOp | arith.UIToFPOp):
            return True
        for operand in inner.operands:
            constant = float_constant(operand)
            if constant is not None and LARGE_LOGIT <= abs(constant) < math.inf:
                return True
    for value in op.captures():
        # Not `isa`, whose check of the element type costs more than all else here.
        type: Attribute = value.type
        element_type = cast(TensorType[Attribute], type).element_type if isinstance(type, TensorType) else type
        if isinstance(element_type, AnyFloat) and float_constant(value) is None:
            return True
    return False


def operand_sizes(op: SdpaOp, layouts: Sequence[tuple[str, SSAValue, AffineMapAttr]]) -> dict[str, int] | None:
    """
    Sizes of the iteration dimensions as the operands of an `attention.partial` would give them.

    `layouts` are those of the operation. None where only the results or the sinks have a dimension: a partial could
    not have it.
    """
    sizes = DimSizes.of(op.batch_rank, op.lanes())
    others: list[tuple[str, SSAValue, AffineMapAttr]] = []
    for name, value, layout in layouts:
        if name not in ("sinks", "out", "lse"):
            sizes.add(name, cast(TensorType[Attribute], value.type).get_shape(), layout.data)
        else:
            others.append((name, value, layout))
    found = sizes.by_name()
    for name, value, layout in others:
        sizes.add(name, cast(TensorType[Attribute], value.type).get_shape(), layout.data)
    return found if all(size in (found[name], DYNAMIC_INDEX) for name, size in sizes.by_name().items()) else None


@dataclass
class SplitKeys(RewritePattern):
    """
    `attention.sdpa` to `attention.partial` and `attention.combine`.

    With `splits = None` the number is that of the operation's schedule, or else the cost model's. Where the number of
    keys is dynamic, it is taken to be large: a split without keys costs little. Where batch, heads or queries are
    dynamic, they may fill the GPU already, and the operation is left alone.
    """

    splits: int | None
    target: TargetDescription
    cores: int
    min_chunk: int
    max_splits: int

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SdpaOp, rewriter: PatternRewriter, /) -> None:
        # To read an operand takes far longer than to look it up here.
        with_layouts = op.layouts()
        sizes = operand_sizes(op, with_layouts)
        if sizes is None:
            return
        schedule = op.schedule or choose_schedule(op, self.target, sizes)
        tile = schedule.block_n.data
        splits = self.splits or schedule.option("splits") or self._auto_splits(op, sizes, schedule)
        if splits == 1:
            return
        layouts = {name: layout for name, _, layout in with_layouts}
        values = {name: value for name, value, _ in with_layouts}
        partial = PartialOp(
            values["q"],
            values["k"],
            values["v"],
            layouts,
            op.scale.value.data,
            splits,
            tile,
            sizes,
            key_quantization=op.quantization("k"),
            value_quantization=op.quantization("v"),
            block_table=values.get("block_table"),
            rows=values.get("rows"),
            kv_lens=values.get("kv_lens"),
            with_sum=may_make_large_logits(op),
            score=op.detach_region(op.score),
            schedule=None if op.schedule is None else op.schedule.replace(splits=None),
            bounds=op.bounds,
            attributes=op.attributes,
        )
        partial.output.name_hint = "partial"
        partial.lse.name_hint = "partial_lse"
        if partial.sum is not None:
            partial.sum.name_hint = "partial_sum"
        combine = CombineOp(
            partial.output,
            partial.lse,
            layouts,
            values["out"].type,
            partial_sum=partial.sum,
            sinks=values.get("sinks"),
            lse_type=values["lse"].type if "lse" in values else None,
            attributes=op.attributes,
        )
        if op.schedule is not None:
            # What concerns both kernels.
            both = {name: op.schedule.option(name) for name in ("runs", "kernels", "pdl")}
            combine.schedule = choose_schedule(combine, self.target).replace(**both)
            batch = [size for name, size in sizes.items() if name not in INNER_DIMS]
            if both["runs"] is not None and "kv_lens" in values and DYNAMIC_INDEX not in batch and math.prod(batch) > 1:
                # Most sequences have a split or two, and one warp finds them without a barrier.
                combine.schedule = combine.schedule.replace(warps=1)
        rewriter.replace(op, [partial, combine])

    def _auto_splits(self, op: SdpaOp, sizes: dict[str, int], schedule: ScheduleAttr) -> int:
        tile = schedule.block_n.data
        work = [size for name, size in sizes.items() if name not in INNER_DIMS] + [sizes["h"]]
        if DYNAMIC_INDEX in (*work, sizes["g"], sizes["m"]):
            return 1
        batch_heads = math.prod(work)
        rows = sizes["m"] * sizes["g"]
        if rows * batch_heads == 0:
            return 1
        if op.schedule is not None and (runs := op.schedule.option("runs")) is not None:
            # What a sequence of average length gets; kernels go by the lengths.
            return max(runs * sizes["h"] // batch_heads, 2)
        keys = sizes["n"]
        if keys == DYNAMIC_INDEX:
            keys = self.max_splits * max(self.min_chunk, tile, 8 * rows)
        keys = reached_keys(op, sizes["m"], keys)
        if keys <= 0:
            return 1
        heads = schedule.option("heads") or 1
        return choose_splits(
            batch_heads // heads,
            rows * heads,
            keys,
            self.cores * concurrent_programs(op, tile, self.target),
            block_n=tile,
            ragged_chunk=ragged_chunk(op, self.target) if op.kv_lens is not None and batch_heads > sizes["h"] else None,
            # Few warps unpack codes, and nothing else of the program runs while they start or end.
            fill=1 if op.lanes() else 0,
            min_chunk=self.min_chunk,
            max_splits=self.max_splits,
        )


@dataclass(frozen=True)
class FlashDecodingPass(ModulePass):
    """
    Splits the keys of every `attention.sdpa` (`attention.partial` and `attention.combine`).

    Tiles are the `block_n` of the operation's schedule, or of the schedule that the cost model chooses for the
    target. Raises `PassFailedException` for options out of range.
    """

    name = "flash-decoding"

    splits: int | str = "auto"
    """The number of splits of every operation, or auto: by its schedule, or else the cost model. 1 changes nothing."""

    min_chunk: int = DEFAULT_MIN_CHUNK
    """The least number of keys of a split, where the number of splits is auto."""

    max_splits: int = DEFAULT_MAX_SPLITS
    """The most splits, where their number is auto."""

    cores: int | None = None
    """Cores of the GPU, where it is not the target's number."""

    target: str = DEFAULT_TARGET
    """The GPU to choose for: h100, h200, a100 or mi300x."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.splits != "auto" and (not isinstance(self.splits, int) or isinstance(self.splits, bool)):
            raise PassFailedException(f"{self.name}: splits is '{self.splits}', expected a number or auto")
        for option, value in (
            ("splits", self.splits),
            ("min-chunk", self.min_chunk),
            ("max-splits", self.max_splits),
            ("cores", self.cores),
        ):
            if isinstance(value, int) and value < 1:
                raise PassFailedException(f"{self.name}: {option} is {value}, expected at least 1")
        target = get_target(self.target)
        pattern = SplitKeys(
            splits=self.splits if isinstance(self.splits, int) else None,
            target=target,
            cores=self.cores or target.cores,
            min_chunk=self.min_chunk,
            max_splits=self.max_splits,
        )
        PatternRewriteWalker(pattern, apply_recursively=False).rewrite_module(op)
