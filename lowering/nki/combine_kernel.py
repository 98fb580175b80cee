"""
`attention.combine`: the splits of a row put together. Rows lie on the partitions, splits on the free axis.

    max[r]  = max over splits of the largest logit
    w[r, i] = exp(lse[r, i] - max[r])            (with sums: sum[r, i] * exp(lse[r, i] - log(sum[r, i]) - max[r]))
    out[r]  = sum_i w[r, i] * partial[r, i] / sum_i w[r, i]
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from xdsl.dialects.builtin import Float32Type, TensorType
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import CombineOp
from flashlower.dialects.nki.types import PARTITIONS
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block, choose_parts
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import MASKED, u8
from flashlower.lowering.nki.problem import Outputs, column, starts, static_sizes
from flashlower.lowering.nki.rows import LEAST_SUM, bounded_maximum, load_sinks, sink_weights, store_rows

SPLIT = "split"
"""The name of the dimension that only partial results have."""


def partial_access(tensor: SSAValue, sizes: Mapping[str, int], splits: int, *, with_head_size: bool) -> Access:
    """[b..., h, g, split, m] or [b..., h, g, split, m, d], row-major."""
    dims = {name: size for name, size in sizes.items() if name not in "hgmnkd"}
    dims |= {"h": sizes["h"], "g": sizes["g"], SPLIT: splits, "m": sizes["m"]}
    if with_head_size:
        dims["d"] = sizes["d"]
    names, shape = list(dims), list(dims.values())
    return Access(tensor, {name: prod(shape[i + 1 :]) for i, name in enumerate(names)})


class CombineKernel:
    """Emits one `attention.combine` over `splits` splits; fewer than it has, where the others are known to be empty."""

    def __init__(
        self,
        b: KernelBuilder,
        op: CombineOp,
        tensors: Mapping[SSAValue, SSAValue],
        outputs: Outputs,
        splits: int,
        cores: int,
    ):
        self.b = b
        self.sizes = static_sizes(op)
        self.outputs = outputs
        self.splits = splits
        self.cores = cores
        if not isa(op.partial.type, TensorType[Float32Type]):
            raise DiagnosticException(f"partial of {op.name} has type {op.partial.type}, but NKI computes in f32")
        total = op.num_splits

        def access(value: SSAValue, *, with_head_size: bool = False) -> Access:
            return partial_access(tensors[value], self.sizes, total, with_head_size=with_head_size)

        self.partial = access(op.partial, with_head_size=True)
        self.lse = access(op.partial_lse)
        self.sum = None if op.partial_sum is None else access(op.partial_sum)
        self.sinks = None
        if op.sinks is not None and op.sinks_layout is not None and isa(op.sinks.type, TensorType[Attribute]):
            self.sinks = Access.of(tensors[op.sinks], op.sinks.type.get_shape(), op.sinks_layout)

    def emit(self) -> None:
        """All rows."""
        for part in choose_parts(self.sizes, PARTITIONS, self.cores, sequences=PARTITIONS):
            with part.loops(self.b, self.cores) as indices:
                self._rows(part.block, starts(indices, split=0))

    def _rows(self, block: Block, indices: Mapping[str, Sum]) -> None:
        b, splits = self.b, self.splits
        rows = block.dims()

        def load(name: str, access: Access) -> SSAValue:
            tile = b.tile(name, [block.rows, splits])
            b.add(nki.DmaCopyOp(tile, access.view(b, [*rows, (SPLIT, splits)], indices, lead=len(rows))))
            return tile

        b.comment("Splits put together: each weighs exp(lse - max).")
        weights = load("weights", self.lse)
        sums = None
        if self.sum is not None:
            # lse - log(sum) is the largest logit of a split, and of one without keys -inf.
            sums = load("sums", self.sum)
            logs = b.tile("log_sums", [block.rows, splits])
            b.add(nki.TensorScalarOp(logs, sums, "maximum", LEAST_SUM))
            b.add(nki.ActivationOp(logs, "log", logs))
            b.add(nki.TensorTensorOp(weights, weights, logs, "subtract"))
            positive = b.tile("has_keys", [block.rows, splits], u8)
            b.add(nki.TensorScalarOp(positive, sums, "greater", 0.0))
            b.add(nki.SelectReduceOp(weights, positive, weights, MASKED))
        top = column(b, "row_max", block.rows)
        b.add(nki.TensorReduceOp(top, "maximum", weights, 1))
        sink = None
        if self.sinks is not None:
            sink = load_sinks(b, self.sinks, block, indices)
            b.add(nki.TensorTensorOp(top, top, sink, "maximum"))
        bounded_maximum(b, top, top)
        b.add(nki.TensorScalarOp(weights, weights, "subtract", top))
        b.add(nki.ActivationOp(weights, "exp", weights))
        if sums is not None:
            b.add(nki.TensorTensorOp(weights, weights, sums, "multiply"))
        total = column(b, "row_sum", block.rows)
        b.add(nki.TensorReduceOp(total, "add", weights, 1))
        if sink is not None:
            b.add(nki.TensorTensorOp(total, total, sink_weights(b, sink, top), "add"))
        width = self.sizes["d"]
        combined = b.filled("combined", [block.rows, width], 0.0)
        with b.loop(SPLIT, splits) as split:
            part = b.tile("partial_rows", [block.rows, width])
            at = starts(indices, split=split)
            b.add(nki.DmaCopyOp(part, self.partial.view(b, [*rows, ("d", width)], at, lead=len(rows))))
            weight = b.view(weights, None, (split, 1))
            b.add(nki.ScalarTensorTensorOp(combined, part, "multiply", weight, "add", combined))
        store_rows(b, self.outputs, block, indices, top, total, width, [(0, combined)])
