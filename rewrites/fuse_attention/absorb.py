"""
What Q, K and V can be read from: transposes, reshapes and broadcasts become layouts, factors join the scale.

Widening conversions go too, as the dot products accumulate in f32 anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Indices, Read, Tracer, Var, vars_of
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.dequantise import QuantizedRead
from flashlower.rewrites.fuse_attention.expression import Float, FloatOp, TensorRead
from flashlower.rewrites.fuse_attention.hlo import NotAttention


@dataclass(frozen=True)
class Operand:
    """A tensor to read, its indices, and what its elements are multiplied with."""

    read: Read
    factor: float = 1.0
    scalars: tuple[tuple[str, TensorRead], ...] = ()
    """Rank-0 operands of `multiply` and `divide` that are known at run time only."""
    quantized: QuantizedRead | None = None
    """How the elements, which then are codes, are read."""

    def reads(self) -> list[Read]:
        """All that is read: of what is quantised, codes and what stands beside them."""
        return [self.read, *(self.quantized.parts.values() if self.quantized is not None else ())]

    def scale(self, product: Float) -> Float:
        """A product with the elements of `read` as one with what the graph computes from them; not by `factor`."""
        for name, scalar in self.scalars:
            product = FloatOp(name, (product, scalar))
        return product


def is_layout(indices: Indices, whole: Sequence[Var]) -> bool:
    """Whether indices can become a layout: no offsets, and the variables in `whole` in one piece."""
    return all(
        index.offset == 0 and all(d.is_whole or d.size == 1 for d, _ in index.terms if d.var in whole)
        for index in indices
    )


def absorb(
    read: Read, whole: Sequence[Var], tracer: Tracer, folder: ConstantFolder, *, scale: bool, converts: bool
) -> Operand:
    """
    Follows an operand back to the tensor that can be read in its place; the variables in `whole` stay in one piece.

    `scale`: factors may be taken out. `converts`: lossless conversions to another type may. Raises `NotAttention` where
    not even the operand itself can be read by a layout.
    """
    best: Operand | None = None
    factor = 1.0
    scalars: tuple[tuple[str, TensorRead], ...] = ()
    while True:
        if is_layout(read.indices, whole):
            best = Operand(read, factor, scalars)
        op = hlo.owner(read.value)
        if op is None:
            break
        if op.name in ("stablehlo.transpose", "stablehlo.reshape", "stablehlo.broadcast_in_dim"):
            if (step := tracer.step(read)) is None:
                break
            read = step
        elif (
            hlo.is_float_convert(read.value) and (converts or not hlo.changes_type(op)) and hlo.is_lossless_convert(op)
        ):
            read = Read(op.operands[0], read.indices)
        elif scale and (scaled := folder.constant_factor(op)) is not None:
            factor *= scaled[1]
            read = Read(scaled[0], read.indices)
        elif scale and (found := _runtime_factor(op, read, tracer)) is not None:
            operand, scalar = found
            scalars = (*scalars, (op.name.removeprefix("stablehlo."), scalar))
            read = Read(operand, read.indices)
        else:
            break
    if best is None:
        raise NotAttention(
            "an operand of the dots is a slice, or cuts keys or head sizes in pieces; make it a dot of whole dimensions"
        )
    return best


def _runtime_factor(op: Operation, read: Read, tracer: Tracer) -> tuple[SSAValue, TensorRead] | None:
    """The other operand and the scalar of a product with, or a quotient by, one element of a tensor of floats."""
    if op.name not in ("stablehlo.multiply", "stablehlo.divide") or not hlo.is_float(read.value):
        return None
    for side in (1, 0) if op.name == "stablehlo.multiply" else (1,):
        scalar = tracer.source(Read(op.operands[side], read.indices), through_converts=False)
        if not vars_of(scalar.indices) and hlo.shape(scalar.value) == ():
            return op.operands[1 - side], TensorRead(scalar.value, scalar.indices)
    return None
