"""What is left to do when the sums of a block of rows are known: normalise, and store with LSE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import FP32_MIN, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import MASKED, u8
from flashlower.lowering.nki.problem import Outputs, column

LEAST_SUM = 2.0**-60
"""Below every sum but 0, as the largest exponential is 1; the Scalar engine's logarithm wants 2^-64 at least."""


def load_sinks(b: KernelBuilder, sinks: Access, block: Block, indices: Mapping[str, Sum]) -> SSAValue:
    """The sink of every row, [rows, 1], in f32."""
    element = tile_of(sinks.tensor).element_type
    tile = column(b, "sink", block.rows, element)
    dims = block.dims()
    b.add(nki.DmaCopyOp(tile, sinks.view(b, dims, indices, lead=len(dims))))
    if element == f32:
        return tile
    wide = column(b, "sink_f32", block.rows)
    b.add(nki.TensorCopyOp(wide, tile))
    return wide


def bounded_maximum(b: KernelBuilder, top: SSAValue, maximum: SSAValue) -> None:
    """
    The maximum of a row, at least the lowest finite f32.

    So s - max is -inf for a masked key whatever else is in the row, and never the NaN of -inf - -inf.
    """
    b.add(nki.TensorScalarOp(top, maximum, "maximum", FP32_MIN))


def sink_weights(b: KernelBuilder, sink: SSAValue, top: SSAValue, *, negated: bool = False) -> SSAValue:
    """exp(sink - max) of every row, [rows, 1]; `top` is the maximum, or its negative."""
    weight = column(b, "sink_weight", tile_of(sink).partitions)
    b.add(nki.TensorTensorOp(weight, sink, top, "add" if negated else "subtract"))
    b.add(nki.ActivationOp(weight, "exp", weight))
    return weight


def store_rows(
    b: KernelBuilder,
    outputs: Outputs,
    block: Block,
    indices: Mapping[str, Sum],
    top: SSAValue,
    total: SSAValue,
    width: int,
    parts: Iterable[tuple[int, SSAValue]],
    *,
    dims: Sequence[tuple[str, int]] | None = None,
    negated: bool = False,
    bounded: bool = True,
) -> None:
    """
    Normalises and stores rows: `top` and `total` [rows, 1] are the maximum (its negative with `negated`) and the sum,
    `parts` the starts and tiles [rows, part] of the weighted sums of V, `width` elements in all; each is used before
    the next is asked for. Where sums are stored, `total` is in SBUF. Without `bounded`, the maximum of a row without
    keys is -inf, and so is its LSE without more ado.
    """
    rows = tile_of(total).partitions
    row_dims = list(dims or block.dims())
    lead = len(row_dims)
    if outputs.sum is not None:
        b.add(nki.DmaCopyOp(outputs.sum.view(b, row_dims, indices, lead=lead), total))
    positive_sum = column(b, "bounded_sum", rows)
    b.add(nki.TensorScalarOp(positive_sum, total, "maximum", LEAST_SUM))
    if outputs.out is not None:
        inverse = column(b, "inverse_sum", rows)
        b.add(nki.ReciprocalOp(inverse, positive_sum))
        out = b.tile("out_rows", [rows, width], tile_of(outputs.out.tensor).element_type)
        for start, part in parts:
            target = b.view(out, None, (start, tile_of(part).free_size))
            b.add(nki.TensorScalarOp(target, part, "multiply", inverse))
        b.add(nki.DmaCopyOp(outputs.out.view(b, [*row_dims, ("d", width)], indices, lead=lead), out))
    if outputs.lse is not None:
        lse = column(b, "lse_rows", rows)
        b.add(nki.ActivationOp(lse, "log", positive_sum))
        b.add(nki.TensorTensorOp(lse, lse, top, "subtract" if negated else "add"))
        if bounded:
            positive = column(b, "has_keys", rows, u8)
            b.add(nki.TensorScalarOp(positive, total, "greater", 0.0))
            b.add(nki.SelectReduceOp(lse, positive, lse, MASKED))
        b.add(nki.DmaCopyOp(outputs.lse.view(b, row_dims, indices, lead=lead), lse))
