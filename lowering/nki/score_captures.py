"""Captured tensors of score regions: reads at formulas are access patterns, reads at computed indices are gathers."""

from __future__ import annotations

from math import prod

from xdsl.dialects import tensor
from xdsl.dialects.builtin import IntegerType, i32
from xdsl.ir import SSAValue
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.nki.types import tile_of
from flashlower.lowering.nki.builder import Sum
from flashlower.lowering.nki.grid import Index, Operand, Value, u8
from flashlower.lowering.nki.score_values import EXACT_INTEGERS, Scalar, ScoreValues, constant_of


class ScoreCaptures(ScoreValues):
    """Lowers reads of tensors."""

    def _extract(self, op: tensor.ExtractOp) -> Scalar:
        source = self._tensors[op.tensor]
        shape = tile_of(source).shape
        total = Index()
        for position, index in enumerate(op.indices):
            value = self._values[index]
            if not isinstance(value, Index):
                return self._gather(op, source)
            total = total + value * prod(shape[position + 1 :])
        tile = self._e.new(source.name_hint or "captured", self._e.varies_over(total), tile_of(source).element_type)
        self._load(tile, source, total)
        if tile.element == u8 or (any(tile.axes) and not isa(tile.element, IntegerType)):
            return tile
        return self._e.copy(tile, tile.axes, source.name_hint or "captured")

    def _gather(self, op: tensor.ExtractOp, source: SSAValue) -> Scalar:
        """Elements at computed indices: an indirect DMA of one element a partition for each free position."""
        e, b = self._e, self._b
        type = tile_of(source)
        if prod(type.shape) > EXACT_INTEGERS:
            raise self._error(op, f"{type} has more elements than f32 counts")
        total: Operand = 0.0
        for position, index in enumerate(op.indices):
            value = self._as_operand(self._values[index])
            stride = float(prod(type.shape[position + 1 :]))
            if isinstance(value, Value):
                step = e.binary("multiply", value, stride)
                total = e.binary("add", step, total)
            else:
                total = e.binary("add", total, value * stride) if isinstance(total, Value) else total + value * stride
        assert isinstance(total, Value)
        rows = e.new("rows", total.axes, i32)
        b.add(nki.TensorCopyOp(rows.tile, total.tile))
        result = e.new(source.name_hint or "captured", total.axes, type.element_type)
        # Keys that do not exist may lie outside of the tensor.
        b.add(nki.MemsetOp(result.tile, 0.0))
        flat = b.add(nki.ReshapeOp(source, [prod(type.shape), 1])).result
        partitions, *free = tile_of(rows.tile).shape
        pattern = [(prod(free), partitions), (1, 1)]
        with b.loop("i", prod(free)) as i:
            row = b.tile("row", [partitions, 1], i32)
            b.add(nki.TensorCopyOp(row, b.add(nki.ApOp(rows.tile, pattern, b.offset(i))).result))
            element = b.add(nki.ApOp(flat, [(1, partitions), (1, 1)], 0, row)).result
            target = b.add(nki.ApOp(result.tile, pattern, b.offset(i))).result
            b.add(nki.DmaCopyOp(target, element, "skip"))
        if result.element == u8 or (any(result.axes) and not isa(result.element, IntegerType)):
            return result
        return e.copy(result, result.axes, source.name_hint or "captured")

    def _dim(self, op: tensor.DimOp) -> Scalar:
        position = constant_of(op.index)
        if not isinstance(position, int):
            raise self._error(op, "its dimension is not a constant")
        return Index(Sum(tile_of(self._tensors[op.source]).shape[position]))
