"""The kernel of `attention.sdpa` and `attention.partial`: an online softmax over tiles of keys.

One program has a tile of rows of one batch and KV head, and walks over the keys, or over the keys of one split. It
keeps the running maximum m, the sum l of exp(s - m) and the unnormalised output, and rescales the latter two when m
grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023).
Logits are in units of log2(e), so that exp(s) is exp2, unless a score region needs them in natural units; then only
differences of logits are multiplied, since a finite mask value such as -3.4e38 would overflow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.attention import AttentionOp, PartialOp, SdpaOp
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.tl import ConstexprOp, GdcLaunchDependentsOp, GdcWaitOp, JitOp, PtrType
from flashlower.dialects.tl.types import element_type, shape_of
from flashlower.lowering.triton.builder import Carried, KernelBuilder, TransposedKernelBuilder
from flashlower.lowering.triton.captures import Captures
from flashlower.lowering.triton.frame import Programs, Sizes, can_pack_group
from flashlower.lowering.triton.fused_combine import FusedCombine
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.kernel_doc import describe_kernel
from flashlower.lowering.triton.key_range import Run, key_range
from flashlower.lowering.triton.key_tiles import KeyTiles
from flashlower.lowering.triton.logits import Logits, of_keys
from flashlower.lowering.triton.memory import (
    dot_precision,
    load_floats,
    own_mask,
    row_pointers,
    scaled,
)
from flashlower.lowering.triton.operands import FloatOperand, Operand, OperandName, dot_element
from flashlower.lowering.triton.parameters import Access, Parameters
from flashlower.lowering.triton.quantized import QuantizedOperand
from flashlower.lowering.triton.results import Results
from flashlower.lowering.triton.runs import RunCount, Runs, Share
from flashlower.lowering.triton.score_ops import LN_2, LOG2_E
from flashlower.rewrites.schedule.unpacking import heads_obstacle


class AttentionKernel:
    """
    The kernel of one operation, and its `parameters`.

    Raises `DiagnosticException` for what a Triton kernel cannot do: dynamic head sizes, or operations of the score
    region that have no counterpart.
    """

    def __init__(
        self,
        op: AttentionOp,
        name: str,
        schedule: ScheduleAttr,
        host: Host,
        output: SSAValue,
        lse: SSAValue | None = None,
        sums: SSAValue | None = None,
        *,
        runs: RunCount | None = None,
        fused: FusedCombine | None = None,
    ):
        self._op = op
        self._schedule = schedule
        self.parameters = Parameters(host)
        self._accesses: dict[str, Access] = {}
        for operand, value, layout in AttentionOp.layouts(op):
            self._accesses[operand] = self.parameters.tensor(operand, value, layout, host.sizes)
        if schedule.option("constant_strides") == 1:
            for operand in ("k", "v"):
                self.parameters.make_constant(self._accesses[operand], ("n", "slot"))
        self._register_results(output, lse, sums, host)
        self._fused = fused
        self._fused_accesses = {} if fused is None else fused.register(self.parameters, host)
        Sizes.register(self.parameters, host)
        captures = Captures(op, self.parameters)
        self.pack_group = can_pack_group(op)
        self.heads = schedule.option("heads") or 1
        """KV heads of a program."""
        if self.heads > 1 and (
            reason := "they are cut into runs" if runs else heads_obstacle(op, self.heads, schedule.block_m.data)
        ):
            raise DiagnosticException(f"{self.heads} heads of {op.name} cannot share a tile: {reason}")
        builder = TransposedKernelBuilder if schedule.option("transposed") else KernelBuilder
        doc = describe_kernel(op, schedule, host.sizes, captures, pack_group=self.pack_group, in_runs=runs is not None)
        self._b = b = builder(name, self.parameters.types(), doc=doc)
        self._pdl = schedule.option("pdl") == 1
        self._has_combine = isinstance(op, PartialOp) and fused is None
        if self._pdl:
            b.statement(GdcWaitOp(), comment="This launch may start while the kernel before it ends")
        if self._has_combine:
            # Programs of a combine are small: they can be there before they have work.
            self._launch_dependents()
        self._sizes = Sizes(b, host.sizes)
        self._captures = captures
        self._runs = runs

    def _operand(self, name: OperandName) -> Operand:
        if self._op.quantization(name) is None:
            return FloatOperand(self._b, self._sizes, name, self._accesses[name])
        element = dot_element(self._b.arg(self._accesses["q"].pointer).type)
        use_assembly = bool(self._schedule.option("assembly"))
        return QuantizedOperand(
            self._b,
            self._op,
            self._sizes,
            name,
            self._accesses,
            element,
            use_assembly=use_assembly,
            half=bool(self._schedule.option("half")),
            heads=self.heads,
        )

    def _register_results(self, output: SSAValue, lse: SSAValue | None, sums: SSAValue | None, host: Host) -> None:
        op = self._op
        if isinstance(op, SdpaOp):
            self._accesses["out"] = self.parameters.tensor("out", output, op.output_layout, host.sizes)
            if lse is not None and op.lse_layout is not None:
                self._accesses["lse"] = self.parameters.tensor("lse", lse, op.lse_layout, host.sizes)
            return
        # Contiguous buffers of our own: offsets follow from sizes.
        for name, buffer in (("out", output), ("lse", lse), ("sum", sums)):
            if buffer is not None:
                self._accesses[name] = Access(self.parameters.pointer(f"{name}_ptr", buffer))

    def build(self) -> JitOp:
        """Builds the rest and gives the kernel."""
        b = self._b
        if self._runs is None:
            self._attend(None, None)
        else:
            shared = Runs(b, self._sizes, self._accesses["kv_lens"], self._runs)
            with shared.sequences(b.program_id(1, name="run")) as (batch, share):
                self._attend(shared.indices(batch), share)
        return b.finish()

    def _attend(self, batch: Mapping[str, SSAValue] | None, share: Share | None) -> None:
        """Builds all that is done for one sequence, from finding it to storing its rows."""
        b, op, schedule = self._b, self._op, self._schedule
        self._programs = Programs(
            b,
            self._sizes,
            schedule.block_m.data,
            pack_group=self.pack_group,
            last_first=reaches_further(op),
            heads=self.heads,
            batch=batch,
        )
        self._block_n = self._sizes.constexpr("BLOCK_N", schedule.block_n.data)
        self._k, self._v = self._operand("k"), self._operand("v")
        self._keys = key_range(
            b,
            op,
            self._sizes,
            self._programs,
            self._accesses.get("kv_lens"),
            self._captures.bounds(b),
            self._block_n,
            schedule,
            share,
        )
        self._logits = Logits(
            b, op, self._sizes, self._programs, self._accesses["q"], self._k, self._captures, self._block_n
        )
        self._results = Results(
            b,
            op,
            self._sizes,
            self._programs,
            self._accesses,
            self._v.parts,
            self._keys.split,
            self._runs,
            self.heads,
        )
        self._logits.load_query()
        tiles = KeyTiles(b, op, self._accesses, self._programs, self._sizes, self._block_n)
        for operand in (self._k, self._v):
            operand.start(tiles, self._programs)
        self._logits.start()
        keys = self._keys
        carried: Mapping[str, SSAValue] = {**tiles.start(keys.runs[0].lo, keys.hi), **self._start_softmax()}
        for run in keys.runs:
            carried = self._walk(run, carried, tiles)
        if not self._has_combine:
            # Before that, not all programs of the next call would find room: those that do not go where cores are done.
            self._launch_dependents()
        self._finish(carried)
        self._programs.name_indices()

    def _launch_dependents(self) -> None:
        """Lets the next kernel come, where launches overlap."""
        if self._pdl:
            self._b.statement(GdcLaunchDependentsOp())

    def _walk(self, run: Run, inits: Mapping[str, SSAValue], tiles: KeyTiles) -> Carried:
        """The loop over one run of tiles."""
        b, keys = self._b, self._keys
        stages = self._schedule.stages.data
        with b.range(
            run.lo, run.hi, self._block_n, inits=inits, num_stages=stages, name="start_n", comment=run.comment
        ) as loop:
            offs_n = b.add(loop.index, b.arange(0, self._block_n), name="offs_n")
            mask_n = b.lt(offs_n, keys.hi, name="mask_n") if keys.padded and run.masked else None
            tile = tiles.enter(loop.index, offs_n, loop.args)

            scores = self._logits.at(tile, offs_n, mask_n, masked=run.masked)

            m_i, l_i = loop.args.m_i, loop.args.l_i
            m_new = b.maximum(m_i, self._logits.scaled(b.max(scores, 1)), name="m_new")
            m_safe = b.where(
                b.eq(m_new, -math.inf), 0.0, m_new, name="m_safe", comment="All masked so far: -inf - 0, not -inf + inf"
            )
            p = self._exp(
                b.sub(self._logits.scaled(scores), b.rows(m_safe)),
                name="p",
                comment="P = exp(S - max), and what the sums shrink by",
            )
            alpha = self._exp(b.sub(m_i, m_safe), name="alpha")
            new = {**tile.carried, "m_i": m_new, "l_i": b.add(b.mul(l_i, alpha), b.sum(p, 1))}
            v_tile = self._v.at(tile, mask_n)
            weights: dict[tuple[SSAValue | None, Attribute], SSAValue] = {}
            for position, (part, v) in enumerate(zip(self._v.parts, v_tile.blocks())):
                name = f"acc{part.suffix}"
                acc = b.mul(loop.args[name], b.rows(alpha))
                key = v_tile.key_factor(position), element_type(v.type)
                if key not in weights:
                    weights[key] = self._weights(p, *key)
                comment = None if position else "O = alpha O + P V"
                new[name] = b.dot(weights[key], v, acc, input_precision=dot_precision(v), comment=comment)
            b.yield_(**new)
        return loop.results

    def _weights(self, p: SSAValue, factor: SSAValue | None, element: Attribute) -> SSAValue:
        """The weights of values in the type of the dots, times the scale of each key."""
        b = self._b
        if factor is not None:
            comment = "The scale of each key" if shape_of(factor.type) else "Half of the range of f16, not of 1"
            p = b.mul(p, of_keys(b, factor), comment=comment)
        return b.cast(p, element, name="weights" if len(self._v.parts) > 1 else None)

    def _exp(self, difference: SSAValue, name: str, comment: str | None = None) -> SSAValue:
        """exp of a difference of logits."""
        b = self._b
        if self._logits.natural:
            difference = b.mul(difference, self._sizes.constexpr("LOG2E", LOG2_E, f32))
        return b.exp2(difference, name=name, comment=comment)

    def _start_softmax(self) -> dict[str, SSAValue]:
        """The values before the first key: those of the sink, where there is one."""
        b, block_m = self._b, self._programs.block_m
        inits: dict[str, SSAValue] = {}
        if "sinks" in self._accesses:
            pointers = row_pointers(b, self._accesses["sinks"], self._programs)
            sink = b.cast(load_floats(b, pointers, self._programs.row_mask, "sink"), f32)
            unit = 1.0 if self._logits.natural else self._sizes.constexpr("LOG2E", LOG2_E, f32)
            inits["m_i"] = b.mul(sink, unit, name="m_i", comment="The sink is a logit without a value")
            inits["l_i"] = b.where(b.eq(sink, -math.inf), 0.0, 1.0, element=f32, name="l_i")
        else:
            inits["m_i"] = b.full((block_m,), -math.inf, f32, name="m_i")
            inits["l_i"] = b.zeros((block_m,), f32, name="l_i")
        for part in self._v.parts:
            name = f"acc{part.suffix}"
            inits[name] = b.zeros((block_m, part.block), f32, name=name)
        return inits

    def _finish(self, last: Mapping[str, SSAValue]) -> None:
        """Normalises and stores."""
        b, programs = self._b, self._programs
        l_safe = b.where(
            b.eq(last["l_i"], 0.0),
            1.0,
            last["l_i"],
            name="l_safe",
            comment="A row without keys has output 0 and LSE -inf",
        )
        out_ptrs, row_ptrs = self._results.pointers()
        for position, (part, pointers) in enumerate(zip(self._v.parts, out_ptrs)):
            out = b.truediv(last[f"acc{part.suffix}"], b.rows(l_safe), name=f"out{part.suffix}")
            for factor in (self._v.unit(), self._v.channel_scale(position), self._v.scale()):
                out = self._without_keys(scaled(b, out, factor, f32), factor, last["l_i"])
            element = cast(PtrType, element_type(pointers.type)).pointee
            b.store(pointers, b.cast(out, element), mask=own_mask(b, programs, part))
        if "lse" in row_ptrs:
            ln_2 = self._sizes.constexpr("LN2", LN_2, f32)
            sum_log2 = b.log2(l_safe)
            if self._logits.natural:
                lse = b.add(last["m_i"], b.mul(sum_log2, ln_2), name="lse")
            else:
                lse = b.mul(b.add(last["m_i"], sum_log2), ln_2, name="lse")
            b.store(row_ptrs["lse"], lse, mask=programs.row_mask)
        if "sum" in row_ptrs:
            b.store(row_ptrs["sum"], last["l_i"], mask=programs.row_mask)
        if self._fused is not None:
            self._fused.build(b, self._sizes, programs, self._v.parts, self._fused_accesses, self._results.of_split)

    def _without_keys(self, out: SSAValue, factor: SSAValue | None, sum: SSAValue) -> SSAValue:
        """Zeros in rows without keys, where the factor that the output was multiplied with may be NaN or infinite."""
        b = self._b
        if factor is None or isinstance(factor.owner, ConstexprOp):
            return out
        if "sinks" in self._accesses:
            # Their sum is not 0; where it is that of the sink alone, keys may have had too little weight to be seen.
            return b.where(b.lt(self._keys.runs[0].lo, self._keys.hi), out, 0.0, name=out.name_hint)
        return b.where(b.rows(b.eq(sum, 0.0)), 0.0, out, name=out.name_hint)


def reaches_further(op: AttentionOp) -> bool:
    """Whether later queries reach more keys: an upper bound grows with them, and there is no lower one."""
    if op.reach is None or op.reach.lower:
        return False
    return any(1 in expr.used_dims() for found in op.reach.upper for expr in found.data.results)
