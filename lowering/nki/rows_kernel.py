"""
Attention with rows on the partitions: a tile of logits is [rows, 512 keys], and the softmax is online.

    S     = Q K^T           stationary Q^T [k, rows], moving K^T [k, 512 keys]
    m'    = max(m, max(S));  p = exp(S - m');  l = l * exp(m - m') + sum(p)
    O     = O * exp(m - m') + p V       stationary p^T [128 keys, rows], moving V [128 keys, d]

With 128 queries it fills the machine, which prefill has. A decoding step has a few rows, the query heads of a group,
and then the Vector and Scalar engines work on so many of the 128 partitions: see `keys_kernel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import FP32_MIN, PARTITIONS, tile_of
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import MASKED, Elementwise, Grid, Index, Value, u8
from flashlower.lowering.nki.lengths import Clearing, existing_keys
from flashlower.lowering.nki.operands import KeysAndValues, Scratch, load_queries
from flashlower.lowering.nki.problem import Outputs, Problem, chunks, column
from flashlower.lowering.nki.rows import load_sinks, store_rows
from flashlower.lowering.nki.score import ScoreLowering

CHUNK = 512
"""Columns of the sums of V: the f32 columns of a bank of PSUM."""


class RowsKernel:
    """Emits one block of rows over one run of keys; a block has one query of several heads, or one head."""

    def __init__(self, b: KernelBuilder, problem: Problem, outputs: Outputs, block: Block, step: int):
        self.chunk = step
        self.b = b
        self.problem = problem
        self.outputs = outputs
        self.block = block
        self.sizes = problem.sizes
        self.scratch = Scratch(b)
        self.key_values = KeysAndValues(b, problem)
        self.weights_psum = b.tile("p_psum", [PARTITIONS, step // PARTITIONS, block.rows], problem.weight_type, "psum")
        self.logits_psum = b.tile("products", [block.rows, step], f32, "psum")
        self.out_psum = [
            b.tile("out_psum", [block.rows, width], f32, "psum") for _, width in chunks(self.sizes["d"], CHUNK)
        ]

    def emit(self, indices: Mapping[str, Sum], n: Sum, keys: int, more: Mapping[str, Sum] | None = None) -> None:
        """The rows from `indices` over `keys` keys from `n` on; `more` are further indices of the results."""
        b, block = self.b, self.block
        queries = load_queries(b, self.scratch, self.problem.query, block, self.sizes["k"], indices)
        top = b.filled("row_max", [block.rows, 1], FP32_MIN)
        if self.problem.sinks is None:
            total = b.filled("row_sum", [block.rows, 1], 0.0)
        else:
            sink = load_sinks(b, self.problem.sinks, block, indices)
            total = column(b, "row_sum", block.rows)
            b.add(nki.TensorTensorOp(top, top, sink, "maximum"))
            b.add(nki.TensorTensorOp(total, sink, top, "subtract"))
            b.add(nki.ActivationOp(total, "exp", total))
        out = b.filled("out_sum", [block.rows, self.sizes["d"]], 0.0)
        state = (top, total, out)
        tiles = self.chunk // PARTITIONS
        whole = keys // self.chunk
        if whole:
            first, end = self._reached_chunks(indices, n, whole)
            with b.loop("chunk", end, start=first) as chunk:
                self._step(queries, state, indices, n, chunk * tiles, self.chunk)
        if keys % self.chunk:
            self._step(queries, state, indices, n, Sum(whole * tiles), keys % self.chunk)
        parts = [(0, out)]
        b.comment("Normalise, and store.")
        store_rows(b, self.outputs, block, {**indices, **(more or {})}, top, total, self.sizes["d"], parts)

    def _reached_chunks(self, indices: Mapping[str, Sum], n: Sum, whole: int) -> tuple[Sum, Sum]:
        """The first of the whole chunks that the queries of a block reach, and the one after the last."""
        b, reach = self.b, self.problem.reach
        if reach is None or n.terms:
            return Sum(), Sum(whole)
        block = [indices["m"], indices["m"] + self.block.queries]
        lower = reach.evaluate_lower(lambda expr: b.affine(expr, block), b.maximum, b.minimum)
        upper = reach.evaluate_upper(lambda expr: b.affine(expr, block), b.maximum, b.minimum)
        first, end = Sum(), Sum(whole)
        if lower is not None:
            first = b.maximum(b.floor_divide(lower + -n.constant, self.chunk), 0, "first_chunk")
        if upper is not None:
            end = b.minimum(b.floor_divide(upper + (self.chunk - 1 - n.constant), self.chunk), whole, "end_chunk")
        return first, end

    def _step(
        self,
        queries: list[SSAValue],
        state: tuple[SSAValue, SSAValue, SSAValue],
        indices: Mapping[str, Sum],
        n: Sum,
        tile: Sum,
        width: int,
    ) -> None:
        """One chunk of keys, from a tile of keys on."""
        b, rows = self.b, self.block.rows
        top, total, out = state
        tiles = [-(-width // PARTITIONS)]
        existing = existing_keys(b, self.problem, indices, n + tile * PARTITIONS, width, tiles, rows=rows)
        clearing, length = self.key_values.clearing(existing.absent), existing.length
        self.key_values.begin(indices, n + tile * PARTITIONS, tile, width, existing)
        b.comment("S = scale * Q K^T.")
        products = b.view(self.logits_psum, None, (0, width))
        whole = width - width % PARTITIONS if width > PARTITIONS else width
        for first, part in [(0, whole), *([(whole, width - whole)] if whole < width else [])]:
            clear = None
            if clearing is not None and self.key_values.clears_keys:
                clear = partial(self._clear, clearing=clearing, start=Sum(), first=first // PARTITIONS, run=part)
            key_parts = self.key_values.keys(indices, n, tile + first // PARTITIONS, part, clear)
            target = b.view(self.logits_psum, None, (first, part))
            for i, (key, query) in enumerate(zip(key_parts, queries, strict=True)):
                b.add(nki.NcMatmulOp(target, query, key, b.flag(i)))
        scores = b.tile("scores", [rows, width])
        b.add(nki.ActivationOp(scores, "copy", products, scale=self.problem.scale))
        elementwise = Elementwise(b, self._grid(indices, n + tile * PARTITIONS, width))
        logits = self._score(elementwise).apply(Value(scores, (True,)))
        if length is not None:
            self._mask_lengths(elementwise, logits, length)

        b.comment("m' = max(m, max(S)), p = exp(S - m'), l = l * exp(m - m') + sum(p).")
        new_top = column(b, "new_max", rows)
        b.add(nki.TensorReduceOp(new_top, "maximum", logits.tile, 1))
        b.add(nki.TensorTensorOp(new_top, new_top, top, "maximum"))
        alpha = column(b, "alpha", rows)
        b.add(nki.TensorTensorOp(alpha, top, new_top, "subtract"))
        b.add(nki.ActivationOp(alpha, "exp", alpha))
        minus = column(b, "minus_max", rows)
        b.add(nki.TensorScalarOp(minus, new_top, "multiply", -1.0))
        weights = b.tile("weights", [rows, width], self.problem.weight_type)
        added = column(b, "added", rows)
        b.add(nki.ActivationOp(weights, "exp", logits.tile, bias=minus, reduce_res=added))
        b.add(nki.ScalarTensorTensorOp(total, total, "multiply", alpha, "add", added))
        b.add(nki.TensorCopyOp(top, new_top))
        self._add_values(weights, clearing, alpha, out, indices, n, tile, width)

    def _grid(self, indices: Mapping[str, Sum], n: Sum, width: int) -> Grid:
        first_head = indices["h"] * self.sizes["g"] + indices["g"]
        partition = {"hq": 1} if self.block.group > 1 else {"m": 1} if self.block.queries > 1 else {}
        return Grid(self.block.rows, (width,), partition, ({"n": 1},), {**indices, "hq": first_head, "n": n})

    def _score(self, elementwise: Elementwise) -> ScoreLowering:
        grid = elementwise.grid

        def load(value: Value, source: SSAValue, index: Index) -> None:
            steps, (rows, width) = grid.steps(index), grid.shape(value.axes)
            pattern = [(grid.channel(index), rows), (steps[0], width)]
            self.b.add(nki.DmaCopyOp(value.tile, self.b.ap(source, pattern, index.start)))

        return ScoreLowering(self.problem.op, self.b, elementwise, self.problem.tensors, load)

    def _mask_lengths(self, elementwise: Elementwise, logits: Value, length: SSAValue) -> None:
        b = self.b
        position = elementwise.materialize(elementwise.grid.index("n"), "position")
        if not any(position.axes):
            position = elementwise.copy(position, (True,), "position")
        beyond = elementwise.new("beyond", (True,), u8)
        rows = elementwise.grid.partitions
        b.add(nki.TensorScalarOp(beyond.tile, position.tile, "greater_equal", b.view(length, (0, rows))))
        b.add(nki.TensorCopyPredicatedOp(logits.tile, MASKED, beyond.tile))

    def _add_values(
        self,
        weights: SSAValue,
        clearing: Clearing | None,
        alpha: SSAValue,
        out: SSAValue,
        indices: Mapping[str, Sum],
        n: Sum,
        tile: Sum,
        width: int,
    ) -> None:
        b, rows = self.b, self.block.rows
        b.comment("O = O * exp(m - m') + p V.")
        parts = chunks(self.sizes["d"], CHUNK)
        turned: list[tuple[SSAValue, SSAValue, Sum, int]] = []
        whole = width - width % PARTITIONS if width > PARTITIONS else width
        runs = [(0, whole), *([(whole, width - whole)] if whole < width else [])]
        for first, run in runs:
            values, start = self.key_values.values(indices, n, tile + first // PARTITIONS, run)
            if clearing is not None:
                self._clear(values, clearing, start, first // PARTITIONS, run)
            keys, count = min(run, PARTITIONS), -(-run // PARTITIONS)
            with b.loop("j", count) as j:
                part = b.view(weights, None, (j * PARTITIONS + first, keys))
                b.add(nki.NcTransposeOp(b.view(self.weights_psum, (0, keys), j), part))
            p_t = b.tile("p_t", [keys, count, rows], self.problem.weight_type)
            b.add(nki.TensorCopyOp(p_t, b.view(self.weights_psum, (0, keys), (0, count))))
            turned.append((p_t, values, start, count))
        for (start, size), psum in zip(parts, self.out_psum, strict=True):
            for i, (p_t, values, place, count) in enumerate(turned):
                with b.loop("j", count) as j:
                    value = b.view(values, (0, tile_of(p_t).partitions), place + j, (start, size))
                    b.add(nki.NcMatmulOp(psum, b.view(p_t, None, j), value, b.flag(j + i)))
            target = b.view(out, None, (start, size))
            b.add(nki.ScalarTensorTensorOp(target, target, "multiply", alpha, "add", psum))

    @staticmethod
    def _clear(values: SSAValue, clearing: Clearing, start: Sum, first: int, run: int) -> None:
        """Sets rows of keys that do not exist to 0: a run of keys, from a tile of the step on."""
        clearing.clear(values, Sum(first), start, min(run, PARTITIONS), -(-run // PARTITIONS))
