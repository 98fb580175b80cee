"""
Putting splits together in the kernel that makes them: the last program of a row tile to arrive does it.

Every program stores its split, then adds to the ticket of its tile of rows. The one that finds all others there reads
what they stored, in L2 if not in its own cache, and writes the result. Tickets are zero before the launch: a kernel
clears them in every call, so that a workspace may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.dialects.builtin import f32, i32
from xdsl.ir import SSAValue

from flashlower.dialects.attention import CombineOp
from flashlower.dialects.tl import DebugBarrierOp, JitOp, PtrType
from flashlower.dialects.tl.types import element_type
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.memory import HeadPart, load_floats, row_pointers, row_tile_pointers, tile_mask
from flashlower.lowering.triton.parameters import Access, Parameters
from flashlower.lowering.triton.score_ops import LN_2, LOG2_E

CLEARED = 1024
"""Tickets that one program clears."""

Pointers = tuple[Sequence[SSAValue], Mapping[str, SSAValue]]
"""Pointers to the parts of the rows of a split, and to its LSE and sum."""


@dataclass(frozen=True)
class FusedCombine:
    """A combine that its partial does: the operation, and what its results are written to."""

    op: CombineOp
    output: SSAValue
    lse: SSAValue | None
    tickets: SSAValue

    def register(self, parameters: Parameters, host: Host) -> dict[str, Access]:
        """Registers the parameters; gives how they are reached."""
        op = self.op
        parameters.pointer("tickets_ptr", self.tickets)
        accesses = {"result": parameters.tensor("result", self.output, op.output_layout, host.sizes)}
        if self.lse is not None and op.lse_layout is not None:
            accesses["result_lse"] = parameters.tensor("result_lse", self.lse, op.lse_layout, host.sizes)
        if op.sinks is not None and op.sinks_layout is not None:
            accesses["sinks"] = parameters.tensor("sinks", op.sinks, op.sinks_layout, host.sizes)
        return accesses

    def build(
        self,
        b: KernelBuilder,
        sizes: Sizes,
        programs: Programs,
        parts: Sequence[HeadPart],
        accesses: Mapping[str, Access],
        pointers: Callable[[SSAValue], Pointers],
    ) -> None:
        """Builds the end of the kernel of the partial; `pointers` are those of a split."""
        b.statement(DebugBarrierOp(), comment="All of this split is stored before its ticket is drawn")
        ticket = b.atomic_add(b.add(b.arg("tickets_ptr"), b.program_id(0)), 1, "acq_rel", name="arrived")
        splits = sizes.constexpr("SPLITS", self.op.num_splits)
        b.if_(
            b.eq(ticket, b.sub(splits, 1)),
            lambda: _combine(b, sizes, programs, parts, accesses, pointers, splits),
            comment="The last split to arrive puts all together",
        )


def _combine(
    b: KernelBuilder,
    sizes: Sizes,
    programs: Programs,
    parts: Sequence[HeadPart],
    accesses: Mapping[str, Access],
    pointers: Callable[[SSAValue], Pointers],
    splits: SSAValue,
) -> None:
    mask = programs.row_mask
    log2e, ln2 = sizes.constexpr("LOG2E", LOG2_E, f32), sizes.constexpr("LN2", LN_2, f32)
    inits: dict[str, SSAValue] = {}
    if "sinks" in accesses:
        sink = b.cast(load_floats(b, row_pointers(b, accesses["sinks"], programs), mask, "sink"), f32)
        inits["top"] = sink
        inits["total"] = b.where(b.eq(sink, -math.inf), 0.0, 1.0, element=f32, name="total")
    else:
        inits["top"] = b.full((programs.block_m,), -math.inf, f32, name="top")
        inits["total"] = b.zeros((programs.block_m,), f32, name="total")
    names = [f"result{part.suffix}" for part in parts]
    inits |= {name: b.zeros((programs.block_m, part.block), f32, name=name) for name, part in zip(names, parts)}
    with b.range(0, splits, inits=inits, name="s") as loop:
        tiles, rows = pointers(loop.index)
        logits = b.load(rows["lse"], mask=mask, other=-math.inf, cache_modifier=".cg", name="logits")
        counts: SSAValue | None = None
        if "sum" in rows:
            counts = b.load(rows["sum"], mask=mask, other=0.0, cache_modifier=".cg", name="counts")
            maxima = b.sub(logits, b.mul(b.log2(counts), ln2))
            logits = b.where(b.eq(counts, 0.0), -math.inf, maxima, element=f32, name="maxima")
        top = b.maximum(loop.args.top, logits, name="new_top")
        safe = b.where(b.eq(top, -math.inf), 0.0, top, name="safe_top")
        shrink = b.exp2(b.mul(b.sub(loop.args.top, safe), log2e), name="shrink")
        weights = b.exp2(b.mul(b.sub(logits, safe), log2e), name="weights")
        if counts is not None:
            weights = b.mul(counts, weights, name="weights")
        new = {"top": top, "total": b.add(b.mul(loop.args.total, shrink), weights)}
        for name, part, pointer in zip(names, parts, tiles):
            tile = b.load(
                pointer, mask=tile_mask(b, mask, part.mask), other=0.0, cache_modifier=".cg", name=f"split{part.suffix}"
            )
            new[name] = b.add(b.mul(loop.args[name], b.rows(shrink)), b.mul(tile, b.rows(weights)))
        b.yield_(**new)
    total = loop.results["total"]
    safe = b.where(b.eq(total, 0.0), 1.0, total, name="safe_total")
    for name, part, pointer in zip(names, parts, row_tile_pointers(b, accesses["result"], programs, "d", parts)):
        element = cast(PtrType, element_type(pointer.type)).pointee
        out = b.cast(b.truediv(loop.results[name], b.rows(safe)), element)
        b.store(pointer, out, mask=tile_mask(b, mask, part.mask))
    if "result_lse" in accesses:
        lse = b.add(loop.results["top"], b.mul(b.log2(safe), ln2))
        b.store(row_pointers(b, accesses["result_lse"], programs), lse, mask=mask)


def clear_kernel(name: str, count: int | None) -> JitOp:
    """A kernel that sets `count` tickets to 0, or as many as an argument says."""
    types = {"tickets_ptr": PtrType(i32), **({"count": i32} if count is None else {})}
    b = KernelBuilder(name, types, doc="Clears the tickets: no split has arrived.")
    block = b.constexpr("BLOCK", CLEARED)
    offs = b.add(b.mul(b.program_id(0), block), b.arange(0, block), name="offs")
    mask = b.lt(offs, b.arg("count") if count is None else count, name="mask")
    b.store(b.add(b.arg("tickets_ptr"), offs), b.full((block,), 0, i32), mask=mask)
    return b.finish()
