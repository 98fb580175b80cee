"""The kernel of `attention.combine`: one program weighs and sums the splits of one row.

The weights need the maximum and the sum over all splits, which are one small load; then the partial outputs are read
once, in chunks of splits where there are too many for the registers. A split weighs exp(LSE), or sum * exp(max) where
its sum is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from xdsl.dialects.builtin import AffineMapAttr, f32, i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import CombineOp
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.layout import layout_to_str
from flashlower.dialects.tl import GdcLaunchDependentsOp, GdcWaitOp, JitOp, PtrType
from flashlower.dialects.tl.constants import constant_size
from flashlower.dialects.tl.types import element_type, shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Sizes, outer_dims, split_index
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.memory import HeadPart, head_parts, load_floats, tile_mask, whole
from flashlower.lowering.triton.parameters import Access, Parameters
from flashlower.lowering.triton.runs import Rows, RunCount, Runs
from flashlower.lowering.triton.score_ops import LN_2, LOG2_E
from flashlower.rewrites.schedule.measure import next_power_of_two

VALUES_PER_THREAD = 64
"""Partial outputs that a thread holds at most."""


@dataclass(frozen=True)
class SharedRuns:
    """
    Results of a partial whose keys are shared out by runs of all sequences: [h, g, split, m, d], and [h, g, split, m]
    for LSE and sum; and the lengths by which they were.
    """

    count: RunCount
    partials: Sequence[SSAValue]
    lengths: SSAValue
    layout: AffineMapAttr


@dataclass(frozen=True)
class _Splits:
    """Some splits of a row: where each is, its logit, how often it counts (None: once), which exist (None: all)."""

    offs: SSAValue
    logits: SSAValue
    sums: SSAValue | None
    mask: SSAValue | None


class CombineKernel:
    """The kernel of one combine, and its `parameters`. Raises `DiagnosticException` for a dynamic head size."""

    def __init__(
        self,
        op: CombineOp,
        name: str,
        schedule: ScheduleAttr,
        host: Host,
        output: SSAValue,
        lse: SSAValue | None = None,
        *,
        shared: SharedRuns | None = None,
    ):
        self._op = op
        self._schedule = schedule
        self._shared = shared
        self.parameters = Parameters(host)
        self._row_dims = (*outer_dims(host.sizes, pack_group=False), "m")
        partials = shared.partials if shared else [x for x in (op.partial, op.partial_lse, op.partial_sum) if x]
        dims = (*(self._row_dims[:-1] if shared is None else "hg"), "s", "m")
        self._partial = self.parameters.dense("partial", partials[0], (*dims, "d"))
        self._partial_lse = self.parameters.dense("lse", partials[1], dims)
        self._partial_sum = None
        if len(partials) > 2:
            self._partial_sum = self.parameters.dense("sum", partials[2], dims)
        self._sinks = None
        if op.sinks is not None and op.sinks_layout is not None:
            self._sinks = self.parameters.tensor("sinks", op.sinks, op.sinks_layout, host.sizes)
        self._out = self.parameters.tensor("out", output, op.output_layout, host.sizes)
        self._lse = None
        if lse is not None and op.lse_layout is not None:
            self._lse = self.parameters.tensor("out_lse", lse, op.lse_layout, host.sizes)
        self._lengths = None
        if shared is not None:
            self._lengths = self.parameters.tensor("kv_lens", shared.lengths, shared.layout, host.sizes)
        Sizes.register(self.parameters, host)
        self._b = KernelBuilder(name, self.parameters.types(), doc=self._doc())
        self._sizes = Sizes(self._b, host.sizes)

    def _doc(self) -> str:
        op = self._op
        dims = f"{', '.join(self._row_dims[:-1])}, split" if self._shared is None else "h, g, split"
        lines = [
            "The splits of one row, summed with weights exp(lse - LSE of all splits) (flash decoding, second step).",
            f"partial[{dims}, m, d]: f32",
            f"lse[{dims}, m]: f32",
        ]
        if op.partial_sum is not None:
            lines.append(f"sum[{dims}, m]: f32, of exp(s - max s); max s = lse - log(sum)")
        lines.append(f"out{layout_to_str(op.output_layout.data)}: {element_type(op.output.type)}")
        if op.lse is not None and op.lse_layout is not None:
            lines.append(f"out_lse{layout_to_str(op.lse_layout.data)}: f32")
        return "\n".join(lines)

    def build(self) -> JitOp:
        """Builds the kernel."""
        b, sizes = self._b, self._sizes
        if self._schedule.option("pdl") == 1:
            b.statement(GdcLaunchDependentsOp())
            b.statement(GdcWaitOp(), comment="This launch may start while the kernel before it ends")
        row = b.program_id(0, name="row")
        self._indices = {
            dim: b.cast(index, i64, name=f"off_{dim}")
            for dim, index in split_index(b, sizes, row, self._row_dims).items()
        }
        parts = head_parts(b, sizes, "d")
        self._runs = self._find_runs(row)
        all_splits = next_power_of_two(self._most_splits())
        chunk = self._chunk(all_splits, max(constant_size(part.block) for part in parts))
        block_s = sizes.constexpr("BLOCK_S", chunk)
        every = block_s if chunk == all_splits else sizes.constexpr("ALL_SPLITS", all_splits)

        self._lse_base = self._partial_lse.base(b, self._indices)
        self._sum_base = None if self._partial_sum is None else self._partial_sum.base(b, self._indices)
        offs_s = b.cast(b.arange(0, every), i64, name="offs_s")
        splits = self._load_splits(offs_s)
        m_i = b.max(splits.logits, 0, name="m_i")
        sink = self._sink()
        if sink is not None:
            m_i = b.maximum(m_i, sink, name="m_i")
        m_safe = b.where(b.eq(m_i, -math.inf), 0.0, m_i, name="m_safe", comment="No keys: -inf - 0, not -inf + inf")
        weights = self._weights(splits, m_safe)
        l_i = b.sum(weights, 0, name="l_i")
        if sink is not None:
            l_i = b.add(l_i, self._exp(b.sub(sink, m_safe)), name="l_i")

        base = self._partial.base(b, self._indices)
        if chunk == all_splits:
            sums = self._weighted_sums(base, parts, splits, weights)
        else:
            accs = [f"acc{part.suffix}" for part in parts]
            inits = {acc: b.zeros((part.block,), f32, name=acc) for acc, part in zip(accs, parts)}
            count = sizes.constexpr("SPLITS", self._op.num_splits) if self._runs is None else self._runs.count
            with b.range(0, count, block_s, inits=inits, name="start_s") as loop:
                offs_s = b.cast(b.add(loop.index, b.arange(0, block_s)), i64, name="offs_s")
                splits = self._load_splits(offs_s)
                chunk_sums = self._weighted_sums(base, parts, splits, self._weights(splits, m_safe))
                b.yield_(**{acc: b.add(loop.args[acc], chunk_sum) for acc, chunk_sum in zip(accs, chunk_sums)})
            sums = [loop.results[acc] for acc in accs]
        self._store(parts, sums, m_i, l_i)
        return b.finish()

    def _most_splits(self) -> int:
        """Splits that a row has at most."""
        return self._op.num_splits if self._shared is None else self._shared.count.most

    def _find_runs(self, row: SSAValue) -> Rows | None:
        """The splits of the sequence of a row, where keys are shared out by runs."""
        if self._shared is None or self._lengths is None:
            return None
        b, sizes = self._b, self._sizes
        rows = prod(sizes.static[dim] for dim in "hgm")
        batch = b.floordiv(row, rows, name="batch") if rows > 1 else row
        return Runs(b, sizes, self._lengths, self._shared.count).rows(batch)

    def _chunk(self, all_splits: int, block_d: int) -> int:
        """How many splits one load of partial outputs covers."""
        threads = 32 * self._schedule.warps.data
        return min(all_splits, self._schedule.block_n.data, max(VALUES_PER_THREAD * threads // block_d, 1))

    def _load_splits(self, offs_s: SSAValue) -> _Splits:
        """What the weights of some splits follow from."""
        b, sizes = self._b, self._sizes
        splits = self._op.num_splits
        mask = None
        if self._runs is not None:
            mask = b.lt(offs_s, b.cast(self._runs.count, i64), name="mask_s")
            offs_s = b.add(b.cast(self._runs.first, i64), offs_s, name="offs_split")
        elif splits % shape_of(offs_s.type)[0]:
            mask = b.lt(offs_s, b.cast(sizes.constexpr("SPLITS", splits), i64), name="mask_s")

        def load(access: Access, base: SSAValue, other: float, name: str) -> SSAValue:
            pointers = whole(b, access.move(b, base, {"s": offs_s}), shape_of(offs_s.type))
            return b.load(pointers, mask=mask, other=other, name=name)

        lse = load(self._partial_lse, self._lse_base, -math.inf, "lse")
        if self._partial_sum is None or self._sum_base is None:
            return _Splits(offs_s, lse, None, mask)
        sums = load(self._partial_sum, self._sum_base, 0.0, "sums")
        log = b.mul(b.log2(sums), sizes.constexpr("LN2", LN_2, f32))
        logits = b.where(
            b.eq(sums, 0.0),
            -math.inf,
            b.sub(lse, log),
            element=f32,
            name="maxima",
            comment="A split without keys: not -inf - log(0)",
        )
        return _Splits(offs_s, logits, sums, mask)

    def _weights(self, splits: _Splits, m_safe: SSAValue) -> SSAValue:
        """The weights of splits, to be divided by their sum."""
        b = self._b
        difference = b.sub(splits.logits, m_safe)
        if splits.sums is None:
            return self._exp(difference, "weights")
        return b.mul(splits.sums, self._exp(difference), name="weights")

    def _exp(self, difference: SSAValue, name: str | None = None) -> SSAValue:
        """exp of a difference. Only that is multiplied: a logit may be a finite mask value such as -3.4e38."""
        b = self._b
        return b.exp2(b.mul(difference, self._sizes.constexpr("LOG2E", LOG2_E, f32)), name=name)

    def _sink(self) -> SSAValue | None:
        if self._sinks is None:
            return None
        b = self._b
        return b.cast(load_floats(b, self._sinks.base(b, self._indices), None, "sink"), f32)

    def _weighted_sums(
        self,
        base: SSAValue,
        parts: Sequence[HeadPart],
        splits: _Splits,
        weights: SSAValue,
    ) -> list[SSAValue]:
        """The weighted sums of the partial outputs of some splits, one for every part of the head size."""
        b, offs_s = self._b, splits.offs
        rows = self._partial.move(b, base, {"s": b.rows(offs_s)})
        if len(parts) > 1 and rows.name_hint is None:
            rows.name_hint = "partial_row_ptrs"
        sums: list[SSAValue] = []
        for part in parts:
            tile = self._partial.move(b, rows, {"d": b.columns(part.offsets)})
            pointers = whole(b, tile, (*shape_of(offs_s.type), part.block), f"partial_ptrs{part.suffix}")
            mask = tile_mask(b, splits.mask, part.mask)
            partial = b.load(pointers, mask=mask, other=0.0, name=f"partial{part.suffix}")
            sums.append(b.sum(b.mul(b.rows(weights), partial), 0))
        return sums

    def _store(self, parts: Sequence[HeadPart], sums: Sequence[SSAValue], m_i: SSAValue, l_i: SSAValue) -> None:
        b = self._b
        l_safe = b.where(
            b.eq(l_i, 0.0), 1.0, l_i, name="l_safe", comment="A row without keys has output 0 and LSE -inf"
        )
        base = self._out.base(b, self._indices)
        for part, weighted_sum in zip(parts, sums):
            pointers = whole(b, self._out.move(b, base, {"d": part.offsets}), (part.block,), f"out_ptrs{part.suffix}")
            element = cast(PtrType, element_type(pointers.type)).pointee
            out = b.truediv(weighted_sum, l_safe, name=f"out{part.suffix}")
            b.store(pointers, b.cast(out, element), mask=part.mask)
        if self._lse is not None:
            lse = b.add(m_i, b.mul(b.log2(l_safe), self._sizes.constexpr("LN2", LN_2, f32)), name="out_lse")
            b.store(self._lse.base(b, self._indices), lse)
