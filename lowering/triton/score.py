"""Score regions on blocks: the scalar function of one logit becomes `tl` operations on a tile of logits.

An index of the region is a scalar (batch dimensions), a column `[BLOCK_M, 1]` (query head and query) or a row
`[1, BLOCK_N]` (key), and a value has the shape that its operands broadcast to. So what does not depend on the key is
computed once, before the loop over keys, and what depends on the key alone once for all rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import cast

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr, IntegerType, i32, i64
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp, YieldOp
from flashlower.dialects.attention.masks import kept_operand, masks
from flashlower.dialects.tl.types import bit_width, is_bool, is_integer
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.host import TensorOf
from flashlower.lowering.triton.score_ops import (
    FLOAT_COMPARISONS,
    INTEGER_COMPARISONS,
    SCALAR_OPS,
    convert_number,
)

NARROW_INDEX_LIMIT = 1 << 30
"""Index constants up to here leave 32-bit sums of an index and a constant without overflow."""


@dataclass(frozen=True)
class CapturedTensor:
    """A tensor that the region reads: its pointer, and per dimension the stride (None: size 1) and the size."""

    name: str
    pointer: SSAValue
    strides: tuple[SSAValue | None, ...]
    sizes: tuple[SSAValue | int, ...]


def constant_of(value: SSAValue) -> int | float | None:
    """The number that `arith.constant` gives, or None for any other value."""
    op = value.owner
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr | FloatAttr):
        return op.value.value.data
    return None


def index_type(block: Block) -> IntegerType:
    """
    What `index` is in the kernel: i32, or i64 where the region may leave 32 bits.

    That is where it multiplies or shifts indices, has large constants, or takes indices from 64-bit numbers.
    """
    for op in block.ops:
        match op:
            case arith.IndexCastOp(input=source) if source.type == i64:
                return i64
            case arith.MuliOp() | arith.ShLIOp() if isinstance(op.results[0].type, IndexType):
                return i64
            case _:
                pass
        for value in op.operands:
            constant = constant_of(value)
            if isinstance(value.type, IndexType) and constant is not None and abs(constant) > NARROW_INDEX_LIMIT:
                return i64
    return i32


def only_masks(block: Block) -> bool:
    """
    Whether the region yields its logit or -inf, and chooses without looking at the logit.

    Such a region commutes with a positive factor on logits, so it may be applied to logits in any unit.
    """
    logit = block.args[0]
    derived = derived_from(logit, block)
    value = cast(YieldOp, block.last_op).value
    while value is not logit:
        op = value.owner
        if not isinstance(op, arith.SelectOp) or op.cond in derived:
            return False
        if constant_of(op.rhs) == -math.inf:
            value = op.lhs
        elif constant_of(op.lhs) == -math.inf:
            value = op.rhs
        else:
            return False
    return True


def derived_from(value: SSAValue, block: Block) -> set[SSAValue]:
    """A value and all that is computed from it in a block."""
    derived = {value}
    for op in block.ops:
        if any(operand in derived for operand in op.operands):
            derived.update(op.results)
    return derived


class ScoreLowering:
    """
    Lowers one score region in steps: `define` says what an argument is, `emit` builds all that is known by then.

    The first `emit`, before the loop, has the indices that do not change in it; the second has all of them.
    """

    def __init__(
        self,
        op: AttentionOp,
        builder: KernelBuilder,
        tensors: Mapping[SSAValue, CapturedTensor],
        scalars: Mapping[SSAValue, SSAValue],
        row_mask: SSAValue | None,
    ):
        self._op = op
        self._block = op.score.block
        self._builder = builder
        self._tensors = tensors
        self._row_mask = row_mask
        self._key_mask: SSAValue | None = None
        logit = self._block.args[0]
        self._logits = {v for v in derived_from(logit, self._block) if v.type == logit.type}
        self._kept: dict[SSAValue, SSAValue] = {}
        self._values: dict[SSAValue, SSAValue] = {}
        self._wide: dict[SSAValue, SSAValue] = {}
        self.index_type = index_type(self._block)
        for captured, value in scalars.items():
            self._values[captured] = self._as_index(value) if isinstance(captured.type, IndexType) else value
        for captured in op.captures():
            if (constant := constant_of(captured)) is not None:
                self._values[captured] = self._constant(constant, captured.type)

    def fork(self, *, masked: bool) -> ScoreLowering:
        """One that goes on from here by itself; without masks if not `masked`."""
        other = copy(self)
        other._values, other._wide = dict(self._values), dict(self._wide)
        if not masked:
            other._kept = {mask.result: kept for mask in masks(self._block) if (kept := kept_operand(mask)) is not None}
        return other

    def _as_index(self, value: SSAValue) -> SSAValue:
        return self._builder.cast(value, self.index_type)

    def uses(self, position: int) -> bool:
        """Whether the region uses its argument at `position` (negative ones count from the end)."""
        return bool(list(self._block.args)[position].uses)

    def define_index(self, position: int, value: SSAValue, wide: SSAValue | None = None) -> None:
        """Gives the value of an index argument, and the same in i64 if it is there."""
        argument = list(self._block.args)[position]
        self._values[argument] = self._as_index(value)
        if wide is not None:
            self._wide[argument] = wide

    def _offset(self, index: SSAValue) -> SSAValue:
        """An index in i64, to be multiplied with a stride."""
        return self._wide.get(index) or self._builder.cast(self._values[index], i64)

    def emit(self) -> None:
        """Builds every operation whose operands are known."""
        for op in self._block.ops:
            if isinstance(op, YieldOp) or not op.results or op.results[0] in self._values:
                continue
            if op.results[0] in self._kept:
                if (kept := self._values.get(self._kept[op.results[0]])) is not None:
                    self._values[op.results[0]] = kept
            elif all(operand in self._values or operand in self._tensors for operand in op.operands):
                if (constant := constant_of(op.results[0])) is not None:
                    value = self._constant(constant, op.results[0].type)
                else:
                    value = self._emit_op(op)
                if value.name_hint is None:
                    value.name_hint = self._name(op.results[0])
                self._values[op.results[0]] = value

    def _name(self, value: SSAValue) -> str | None:
        """A value is named as it is in the region; what a step of the region makes of the logits is `scores` again."""
        if value.name_hint is not None or value not in self._logits:
            return value.name_hint
        steps = (arith.AddfOp, arith.SelectOp, YieldOp)
        return "scores" if any(isinstance(use.operation, steps) for use in value.uses) else None

    def apply(self, logits: SSAValue, key_mask: SSAValue | None) -> SSAValue:
        """
        Builds the rest of the region and gives the new logits.

        `key_mask`, of shape [1, BLOCK_N], is false for keys that do not exist, None if all do.
        """
        self._key_mask = key_mask
        self._values[self._block.args[0]] = logits
        self.emit()
        return self._values[cast(YieldOp, self._block.last_op).value]

    def _constant(self, value: int | float, type: Attribute) -> SSAValue:
        element = self.index_type if isinstance(type, IndexType) else type
        if is_integer(element):
            # IR may write an integer as unsigned.
            bits = bit_width(element)
            value = (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        elif is_bool(element):
            value = bool(value)
        return self._builder.constant(value, element)

    def _emit_op(self, op: Operation) -> SSAValue:
        for value in (*op.results, *(v for v in op.operands if v not in self._tensors)):
            if isa(value.type, TensorOf):
                raise self._error(op, f"it computes on {value.type}")
        b = self._builder
        operands = [self._values.get(operand, operand) for operand in op.operands]
        try:
            match op:
                case tensor.ExtractOp():
                    return self._extract(op)
                case tensor.DimOp():
                    return self._dim(op)
                case arith.CmpiOp():
                    return INTEGER_COMPARISONS[op.predicate.value.data](b, operands)
                case arith.CmpfOp():
                    return FLOAT_COMPARISONS[op.predicate.value.data](b, operands)
                case _:
                    pass
            if (emit := SCALAR_OPS.get(type(op))) is not None:
                return emit(b, operands)
            target = self.index_type if isinstance(op.results[0].type, IndexType) else op.results[0].type
            if (converted := convert_number(b, op, operands[0], target)) is not None:
                return converted
        except TypeError as e:
            raise self._error(op, str(e)) from e
        raise self._error(op, "triton.language has no counterpart")

    def _error(self, op: Operation, why: str) -> DiagnosticException:
        return DiagnosticException(f"cannot lower {op.name} in the score region of {self._op.name} to Triton: {why}")

    def _extract(self, op: tensor.ExtractOp) -> SSAValue:
        """A gather of one element per position of the tile, from positions that exist."""
        b = self._builder
        captured = self._tensors[op.tensor]
        pointer = captured.pointer
        for index, stride in zip(op.indices, captured.strides):
            if stride is not None and constant_of(index) != 0:
                pointer = b.add(pointer, b.mul(self._offset(index), stride))
        shape = b.logical_shape(pointer)
        masks: list[SSAValue | None] = []
        if shape and shape[0] > 1 and self._row_mask is not None:
            masks.append(b.rows(self._row_mask))
        if shape and shape[1] > 1:
            masks.append(self._key_mask)
        return b.load(pointer, mask=b.all_of(masks), name=captured.name)

    def _dim(self, op: tensor.DimOp) -> SSAValue:
        position = constant_of(op.index)
        if not isinstance(position, int):
            raise self._error(op, "its dimension is not a constant")
        size = self._tensors[op.source].sizes[position]
        return self._constant(size, self.index_type) if isinstance(size, int) else self._as_index(size)
