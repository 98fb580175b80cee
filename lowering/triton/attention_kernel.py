"""The kernel of `attention.sdpa` and `attention.partial`: an online softmax over tiles of keys.

One program has a tile of rows of one batch and KV head, and walks over the keys, or over the keys of one split. It
keeps the running maximum m, the sum l of exp(s - m) and the unnormalised output, and rescales the latter two when m
grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023).
Logits are in units of log2(e), so that exp(s) is exp2, unless a score region needs them in natural units; then only
differences of logits are multiplied, since a finite mask value such as -3.4e38 would overflow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, f32, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp, PartialOp, SdpaOp
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.layout import dim_names, layout_terms, layout_to_str
from flashlower.dialects.tl import ConstexprOp, GdcLaunchDependentsOp, GdcWaitOp, JitOp, PtrType
from flashlower.dialects.tl.types import element_type, shape_of
from flashlower.lowering.triton.builder import Carried, KernelBuilder, TransposedKernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes, can_pack_group, outer_dims, row_dims
from flashlower.lowering.triton.fused_combine import FusedCombine
from flashlower.lowering.triton.host import Host, TensorOf
from flashlower.lowering.triton.key_range import Run, key_range
from flashlower.lowering.triton.key_tiles import KeyTiles
from flashlower.lowering.triton.memory import (
    dot_precision,
    load_floats,
    own_mask,
    row_pointers,
    row_tile_pointers,
    whole,
)
from flashlower.lowering.triton.operands import FloatOperand, Operand, OperandName, OperandTile, dot_element
from flashlower.lowering.triton.parameters import Access, Parameters
from flashlower.lowering.triton.quantized import QuantizedOperand, about_codes
from flashlower.lowering.triton.runs import RunCount, Runs
from flashlower.lowering.triton.score import CapturedTensor, ScoreLowering, constant_of, only_masks
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
        self._run_count = runs
        self._schedule = schedule
        self.parameters = Parameters(host)
        self._accesses: dict[str, Access] = {}
        for operand, value, layout in AttentionOp.layouts(op):
            self._accesses[operand] = self.parameters.tensor(operand, value, layout, host.sizes)
        self._register_results(output, lse, sums, host)
        self._fused = fused
        self._fused_accesses = {} if fused is None else fused.register(self.parameters, host)
        Sizes.register(self.parameters, host)
        self._register_captures()
        self.pack_group = can_pack_group(op)
        self.heads = schedule.option("heads") or 1
        """KV heads of a program."""
        if self.heads > 1 and (
            reason := "they are cut into runs" if runs else heads_obstacle(op, self.heads, schedule.block_m.data)
        ):
            raise DiagnosticException(f"{self.heads} heads of {op.name} cannot share a tile: {reason}")
        self._natural = bool(op.score.blocks) and not only_masks(op.score.block)
        builder = TransposedKernelBuilder if schedule.option("transposed") else KernelBuilder
        self._b = b = builder(name, self.parameters.types(), doc=self._doc(host))
        self._pdl = schedule.option("pdl") == 1
        if self._pdl:
            b.statement(GdcWaitOp(), comment="This launch may start while the kernel before it ends")
        self._sizes = Sizes(b, host.sizes)
        share, batch = None, None
        if runs is not None:
            shared = Runs(b, self._sizes, self._accesses["kv_lens"], runs)
            share = shared.share(b.program_id(1, name="run"))
            batch = shared.indices(share.batch)
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
            [b.arg(scalar) if isinstance(scalar, str) else scalar for scalar in self._scalars],
            self._block_n,
            schedule,
            share,
        )

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
            heads=self.heads,
        )

    # Parameters.

    def _register_captures(self) -> None:
        self._captured: dict[SSAValue, Access] = {}
        self._captured_sizes: dict[tuple[SSAValue, int], str] = {}
        self._captured_scalars: dict[SSAValue, str] = {}
        for value in self._op.captures():
            if isa(value.type, TensorOf):
                access = self.parameters.capture(value)
                self._captured[value] = access
                for position, size in enumerate(value.type.get_shape()):
                    if size == DYNAMIC_INDEX:
                        self._captured_sizes[value, position] = self.parameters.capture_size(access, value, position)
            elif constant_of(value) is None:
                self._captured_scalars[value] = self.parameters.capture_scalar(value)
        self._scalars: list[Access | str] = []
        for value, layout in self._op.bounds.scalars:
            if isa(value.type, TensorOf):
                access = self._captured.get(value) or self.parameters.capture(value)
                names = dim_names(self._op.batch_rank)
                strides = {
                    names[terms[0].dim]: access.strides[str(position)]
                    for position, terms in enumerate(layout_terms(layout.data))
                    if terms and str(position) in access.strides
                }
                self._scalars.append(Access(access.pointer, strides))
            else:
                self._scalars.append(self._captured_scalars.get(value) or self.parameters.capture_scalar(value))

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

    def _doc(self, host: Host) -> str:
        op = self._op
        if self._run_count is not None:
            lines = [
                "Attention over one run of the keys of a sequence (flash decoding, first step); a run has at most the",
                "RUNS-th part of the tiles of all sequences.",
            ]
        elif isinstance(op, PartialOp):
            lines = ["Attention over one of SPLITS runs of the keys (flash decoding, first step)."]
        else:
            lines = ["Attention: out = softmax(scale * Q K^T) V, with an online softmax over tiles of keys."]
        about = {name: about_codes(op, name) for name in op.lanes()}
        lines += [
            f"{name}{layout_to_str(layout.data)}: {element_type(value.type)}{about.get(name, '')}"
            for name, value, layout in op.layouts()
        ]
        if op.block_table_layout is not None:
            lines.append(_about_pages(op, op.block_table_layout))
        if isinstance(op, PartialOp):
            outer = outer_dims(host.sizes, pack_group=False)
            inner = ", ".join((*outer, "split", "m") if self._run_count is None else (*outer[-2:], "run", "m"))
            lines += [f"out[{inner}, d]: f32", f"lse[{inner}]: f32"]
            if op.sum is not None:
                lines.append(f"sum[{inner}]: f32, of exp(s - max s): an LSE of large logits rounds log(sum) away")
        for value, access in self._captured.items():
            assert isa(value.type, TensorOf)
            shape = ", ".join("?" if size == DYNAMIC_INDEX else str(size) for size in value.type.get_shape())
            lines.append(f"{access.name}[{shape}]: {value.type.element_type}")
        if row_dims(host.sizes, self.pack_group) == ("m", "g"):
            lines.append("Rows are queries of all heads of a group: row r is query r // G of head h * G + r % G.")
        if self.heads > 1:
            lines.append(
                f"{self.heads} heads share a tile: where a row and a channel are of different ones, Q has zeros."
            )
        if self._schedule.option("transposed"):
            lines.append("Tiles lie transposed: keys are the rows of S, as the matrix unit is longest along rows.")
        return "\n".join(lines)

    # The kernel.

    def build(self) -> JitOp:
        """Builds the rest and gives the kernel."""
        b = self._b
        q = self._load_query()
        tiles = KeyTiles(b, self._op, self._accesses, self._programs, self._sizes, self._block_n)
        for operand in (self._k, self._v):
            operand.start(tiles, self._programs)
        q = self._scale_query(q)
        score = self._start_score()
        keys = self._keys
        carried: Mapping[str, SSAValue] = {**tiles.start(keys.runs[0].lo, keys.hi), **self._start_softmax()}
        for run in keys.runs:
            carried = self._walk(run, carried, q, tiles, score)
        self._finish(carried)
        self._programs.name_indices()
        return b.finish()

    def _walk(
        self,
        run: Run,
        inits: Mapping[str, SSAValue],
        q: list[SSAValue],
        tiles: KeyTiles,
        score: ScoreLowering | None,
    ) -> Carried:
        """The loop over one run of tiles."""
        b, keys = self._b, self._keys
        stages = self._schedule.stages.data
        with b.range(
            run.lo, run.hi, self._block_n, inits=inits, num_stages=stages, name="start_n", comment=run.comment
        ) as loop:
            offs_n = b.add(loop.index, b.arange(0, self._block_n), name="offs_n")
            mask_n = b.lt(offs_n, keys.hi, name="mask_n") if keys.padded and run.masked else None
            tile = tiles.enter(loop.index, offs_n, loop.args)

            scores = self._scores(q, self._k.at(tile, mask_n))
            scores = self._score(scores, score and score.fork(masked=run.masked), offs_n, mask_n)

            m_i, l_i = loop.args.m_i, loop.args.l_i
            m_new = b.maximum(m_i, b.max(scores, 1), name="m_new")
            m_safe = b.where(
                b.eq(m_new, -math.inf), 0.0, m_new, name="m_safe", comment="All masked so far: -inf - 0, not -inf + inf"
            )
            p = self._exp(
                b.sub(scores, b.rows(m_safe)), name="p", comment="P = exp(S - max), and what the sums shrink by"
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

    def _scores(self, q: Sequence[SSAValue], tile: OperandTile) -> SSAValue:
        """The products of Q and a tile of K: a sum for all blocks of the head that have the same scale."""
        b = self._b
        sums: dict[SSAValue | None, SSAValue] = {}
        for position, (q_part, k) in enumerate(zip(q, tile.blocks())):
            factor = tile.key_factor(position)
            comment = None if position else "S = Q K^T"
            sums[factor] = b.dot(
                q_part, k, sums.get(factor), input_precision=dot_precision(k), name="scores", comment=comment
            )
        scores: SSAValue | None = None
        for factor, product in sums.items():
            if factor is not None:
                comment = None if scores is not None else "The scale of each key"
                product = b.mul(product, self._of_keys(factor), name="scores", comment=comment)
            scores = product if scores is None else b.add(scores, product, name="scores")
        assert scores is not None
        return scores

    def _weights(self, p: SSAValue, factor: SSAValue | None, element: Attribute) -> SSAValue:
        """The weights of values in the type of the dots, times the scale of each key."""
        b = self._b
        if factor is not None:
            p = b.mul(p, self._of_keys(factor), comment="The scale of each key")
        return b.cast(p, element, name="weights" if len(self._v.parts) > 1 else None)

    def _of_keys(self, x: SSAValue) -> SSAValue:
        """Something of each key [BLOCK_N] along a block of logits or weights; a scalar is that of all."""
        return self._b.columns(x) if shape_of(x.type) else x

    def _load_query(self) -> list[SSAValue]:
        """The blocks of Q that meet those of K."""
        b, programs, parts = self._b, self._programs, self._k.parts
        pointers = row_tile_pointers(b, self._accesses["q"], programs, "k", parts)
        return [
            load_floats(b, tile, own_mask(b, programs, part), f"q{part.suffix}") for part, tile in zip(parts, pointers)
        ]

    def _scale_query(self, q: list[SSAValue]) -> list[SSAValue]:
        """Q times the scales that K has for its channels, the same for all keys."""
        return [self._scaled(x, self._k.channel_scale(i), element_type(x.type)) for i, x in enumerate(q)]

    def _scaled(self, x: SSAValue, factor: SSAValue | None, element: Attribute) -> SSAValue:
        """A block of rows times a number for each of its columns or one for all, computed in f32."""
        b = self._b
        if factor is None:
            return x
        factor = b.columns(factor) if shape_of(factor.type) else factor
        return b.cast(b.mul(b.cast(x, f32), factor), element, name=x.name_hint)

    # The score region.

    def _start_score(self) -> ScoreLowering | None:
        """Builds what the score region computes without the key, before the loop."""
        if not self._op.score.blocks:
            return None
        b, programs = self._b, self._programs
        tensors = {value: self._captured_tensor(value, access) for value, access in self._captured.items()}
        scalars = {value: b.arg(name) for value, name in self._captured_scalars.items()}
        score = ScoreLowering(self._op, b, tensors, scalars, programs.row_mask)
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

    def _captured_tensor(self, value: SSAValue, access: Access) -> CapturedTensor:
        assert isa(value.type, TensorOf)
        shape = value.type.get_shape()
        strides = (access.strides.get(str(position)) for position in range(len(shape)))
        return CapturedTensor(
            access.name,
            self._b.arg(access.pointer),
            tuple(None if stride is None else self._b.arg(stride) for stride in strides),
            tuple(
                self._b.arg(self._captured_sizes[value, position]) if size == DYNAMIC_INDEX else size
                for position, size in enumerate(shape)
            ),
        )

    def _score(
        self, scores: SSAValue, score: ScoreLowering | None, offs_n: SSAValue, mask_n: SSAValue | None
    ) -> SSAValue:
        """The final logits, -inf for keys that do not exist."""
        b = self._b
        scale = self._op.scale.value.data
        columns = None if mask_n is None else b.columns(mask_n)
        if not self._natural:
            # A mask commutes with the change of unit, so both factors are one.
            factor = self._sizes.constexpr(
                "QK_SCALE", scale * LOG2_E, f32, comment="scale * log2(e): exp(scale * s) = exp2(QK_SCALE * s)"
            )
            scores = b.mul(scores, self._times_k_scale(factor), name="scores")
        elif scale != 1.0 or self._k.scale() is not None:
            factor = self._sizes.constexpr("SCALE", scale, f32)
            scores = b.mul(scores, self._times_k_scale(factor), name="scores")
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

    # The softmax.

    def _exp(self, difference: SSAValue, name: str, comment: str | None = None) -> SSAValue:
        """exp of a difference of logits."""
        b = self._b
        if self._natural:
            difference = b.mul(difference, self._sizes.constexpr("LOG2E", LOG2_E, f32))
        return b.exp2(difference, name=name, comment=comment)

    def _start_softmax(self) -> dict[str, SSAValue]:
        """The values before the first key: those of the sink, where there is one."""
        b, block_m = self._b, self._programs.block_m
        inits: dict[str, SSAValue] = {}
        if "sinks" in self._accesses:
            pointers = row_pointers(b, self._accesses["sinks"], self._programs)
            sink = b.cast(load_floats(b, pointers, self._programs.row_mask, "sink"), f32)
            unit = 1.0 if self._natural else self._sizes.constexpr("LOG2E", LOG2_E, f32)
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
        if self._pdl:
            b.statement(GdcLaunchDependentsOp())
        l_safe = b.where(
            b.eq(last["l_i"], 0.0),
            1.0,
            last["l_i"],
            name="l_safe",
            comment="A row without keys has output 0 and LSE -inf",
        )
        out_ptrs, row_ptrs = self._result_pointers()
        for position, (part, pointers) in enumerate(zip(self._v.parts, out_ptrs)):
            out = b.truediv(last[f"acc{part.suffix}"], b.rows(l_safe), name=f"out{part.suffix}")
            for factor in (self._v.channel_scale(position), self._v.scale()):
                out = self._without_keys(self._scaled(out, factor, f32), factor, last["l_i"])
            element = cast(PtrType, element_type(pointers.type)).pointee
            b.store(pointers, b.cast(out, element), mask=own_mask(b, programs, part))
        if "lse" in row_ptrs:
            ln_2 = self._sizes.constexpr("LN2", LN_2, f32)
            sum_log2 = b.log2(l_safe)
            if self._natural:
                lse = b.add(last["m_i"], b.mul(sum_log2, ln_2), name="lse")
            else:
                lse = b.mul(b.add(last["m_i"], sum_log2), ln_2, name="lse")
            b.store(row_ptrs["lse"], lse, mask=programs.row_mask)
        if "sum" in row_ptrs:
            b.store(row_ptrs["sum"], last["l_i"], mask=programs.row_mask)
        if self._fused is not None:
            self._fused.build(b, self._sizes, programs, self._v.parts, self._fused_accesses, self._partial_pointers)

    def _without_keys(self, out: SSAValue, factor: SSAValue | None, sum: SSAValue) -> SSAValue:
        """Zeros in rows without keys, where the factor that the output was multiplied with may be NaN or infinite."""
        b = self._b
        if factor is None or isinstance(factor.owner, ConstexprOp):
            return out
        if "sinks" in self._accesses:
            # Their sum is not 0; where it is that of the sink alone, keys may have had too little weight to be seen.
            return b.where(b.lt(self._keys.runs[0].lo, self._keys.hi), out, 0.0, name=out.name_hint)
        return b.where(b.rows(b.eq(sum, 0.0)), 0.0, out, name=out.name_hint)

    def _result_pointers(self) -> tuple[list[SSAValue], dict[str, SSAValue]]:
        """Pointers to the rows of the output, one block for every part of the head size, and to one number a row."""
        b, accesses = self._b, self._accesses
        if isinstance(self._op, SdpaOp):
            out = row_tile_pointers(b, accesses["out"], self._programs, "d", self._v.parts)
            return out, {"lse": row_pointers(b, accesses["lse"], self._programs)} if "lse" in accesses else {}
        assert self._keys.split is not None
        return self._partial_pointers(self._keys.split)

    def _partial_pointers(self, split: SSAValue) -> tuple[list[SSAValue], dict[str, SSAValue]]:
        """The same for a split of a partial."""
        b, accesses = self._b, self._accesses
        row = self._partial_row(split)
        out_rows = b.add(b.arg("out_ptr"), b.mul(b.rows(row), b.cast(self._sizes.value("d"), i64)))
        if len(self._v.parts) > 1:
            out_rows.name_hint = "out_row_ptrs"
        out = [b.add(out_rows, b.columns(part.offsets), name=f"out_ptrs{part.suffix}") for part in self._v.parts]
        return out, {name: b.add(b.arg(f"{name}_ptr"), row) for name in ("lse", "sum") if name in accesses}

    def _partial_row(self, split: SSAValue) -> SSAValue:
        """The number of a row in the results [b..., h, g, split, m] or [h, g, run, m] of a partial: i64 [BLOCK_M]."""
        b, programs, sizes = self._b, self._programs, self._sizes
        assert isinstance(self._op, PartialOp)

        def step(row: SSAValue, size: SSAValue, index: SSAValue) -> SSAValue:
            return b.add(b.mul(row, b.cast(size, i64)), b.cast(index, i64))

        rows = programs.rows
        row = b.cast(programs.flat, i64)
        if "h" in rows:
            row = b.add(b.mul(row, self.heads), b.cast(rows["h"], i64))
        if "g" in rows:
            row = step(row, sizes.value("g"), rows["g"])
        if self._run_count is None:
            splits = sizes.constexpr("SPLITS", self._op.num_splits)
        else:
            splits = b.add(sizes.constexpr("RUNS", self._run_count.runs), self._run_count.sequences)
        row = step(row, splits, split)
        if "m" in rows:
            row = step(row, sizes.value("m"), rows["m"])
        if not shape_of(row.type):
            row = b.broadcast_to(row, (programs.block_m,))
        row.name_hint = "row"
        return row


def _about_pages(op: AttentionOp, layout: AffineMapAttr) -> str:
    """How a key is found in pages: "Key n is slot n % 16 of page block_table[b, n // 16]."."""
    size = op.page_size
    entry = layout_to_str(layout.data).replace("p", "n" if size == 1 else f"n // {size}")
    row = "" if op.rows_layout is None else f", row = rows{layout_to_str(op.rows_layout.data)}"
    slot = "is" if size == 1 else f"is slot n % {size} of"
    return f"Key n {slot} page block_table{entry}{row}."


def reaches_further(op: AttentionOp) -> bool:
    """Whether later queries reach more keys: an upper bound grows with them, and there is no lower one."""
    if op.reach is None or op.reach.lower:
        return False
    return any(1 in expr.used_dims() for found in op.reach.upper for expr in found.data.results)
