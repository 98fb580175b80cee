"""
Ops that make blocks and change their shape.

Sizes are operands, as in Triton, so that `tl.zeros((BLOCK_M, BLOCK_N))` prints with its names. They must come
from `tl.constant` or `tl.constexpr`, and agree with the result type.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    IntegerAttr,
    TensorType,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.tl.base import InferredOp
from flashlower.dialects.tl.constants import constant_size
from flashlower.dialects.tl.types import (
    block_of,
    element_type,
    is_number,
    shape_of,
    verify_broadcasts_to,
    verify_value_type,
)


@irdl_op_definition
class ArangeOp(InferredOp):
    """`tl.arange(start, end)`: start, start + 1, ..., end - 1 as a block of i32."""

    name = "tl.arange"

    start = operand_def()
    end = operand_def()
    result = result_def()

    assembly_format = "$start `,` $end attr-dict `:` `(` type($start) `,` type($end) `)` `->` type($result)"

    def __init__(self, start: SSAValue | Operation, end: SSAValue | Operation):
        size = constant_size(SSAValue.get(end)) - constant_size(SSAValue.get(start))
        if size < 1:
            raise VerifyException(f"tl.arange needs start < end, got {size} elements")
        super(InferredOp, self).__init__(operands=[start, end], result_types=[TensorType(i32, [size])])

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        return TensorType(i32, [constant_size(self.end) - constant_size(self.start)])


@irdl_op_definition
class FullOp(IRDLOperation):
    """`tl.full(shape, value, dtype)`: a block of one scalar value."""

    name = "tl.full"

    value = operand_def()
    shape = var_operand_def()
    result = result_def()

    traits = traits_def(Pure())

    assembly_format = "$value `[` $shape `]` attr-dict `:` type($value) `[` type($shape) `]` `->` type($result)"

    def __init__(self, value: SSAValue | Operation, shape: Sequence[SSAValue]):
        element = SSAValue.get(value).type
        super().__init__(
            operands=[value, shape],
            result_types=[block_of(element, [constant_size(size) for size in shape])],
        )

    def verify_(self) -> None:
        if shape_of(self.value.type):
            raise VerifyException(f"tl.full spreads a scalar, got {self.value.type}")
        _verify_shape_operands(self, self.shape, block_of(self.value.type, shape_of(self.result.type)))


@irdl_op_definition
class ZerosOp(IRDLOperation):
    """`tl.zeros(shape, dtype)`: a block of zeros."""

    name = "tl.zeros"

    shape = var_operand_def()
    result = result_def()

    traits = traits_def(Pure())

    assembly_format = "`[` $shape `]` attr-dict `:` `[` type($shape) `]` `->` type($result)"

    def __init__(self, shape: Sequence[SSAValue], element: Attribute):
        super().__init__(operands=[shape], result_types=[TensorType(element, [constant_size(size) for size in shape])])

    def verify_(self) -> None:
        element = element_type(self.result.type)
        if not is_number(element):
            raise VerifyException(f"tl.zeros makes numbers, not {element}")
        _verify_shape_operands(self, self.shape, self.result.type)


class _ReshapingOp(IRDLOperation):
    input = operand_def()
    shape = var_operand_def()
    result = result_def()

    traits = traits_def(Pure())

    assembly_format = "$input `[` $shape `]` attr-dict `:` type($input) `[` type($shape) `]` `->` type($result)"

    def __init__(self, input: SSAValue | Operation, shape: Sequence[SSAValue]):
        element = element_type(SSAValue.get(input).type)
        super().__init__(
            operands=[input, shape],
            result_types=[TensorType(element, [constant_size(size) for size in shape])],
        )


@irdl_op_definition
class BroadcastToOp(_ReshapingOp):
    """`tl.broadcast_to(input, shape)`; operators broadcast by themselves, stores of blocks do too."""

    name = "tl.broadcast_to"

    def verify_(self) -> None:
        _verify_shape_operands(self, self.shape, block_of(element_type(self.input.type), shape_of(self.result.type)))
        verify_broadcasts_to("the operand of tl.broadcast_to", self.input.type, self.result.type)


@irdl_op_definition
class ReshapeOp(_ReshapingOp):
    """`tl.reshape(input, shape)`: the same elements in row-major order in another shape."""

    name = "tl.reshape"

    def verify_(self) -> None:
        source, target = self.input.type, self.result.type
        if not isa(source, TensorType) or not isa(target, TensorType):
            raise VerifyException(f"tl.reshape is between blocks, got {source} to {target}")
        _verify_shape_operands(self, self.shape, block_of(element_type(source), shape_of(target)))
        if source.element_count() != target.element_count():
            raise VerifyException(f"tl.reshape keeps the number of elements, got {source} to {target}")


@irdl_op_definition
class ExpandDimsOp(InferredOp):
    """`input[:, None]`: a new axis of size 1 at `axis` of the result."""

    name = "tl.expand_dims"

    input = operand_def()
    axis = prop_def(IntegerAttr[I64])
    result = result_def()

    assembly_format = "$input $axis attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation, axis: int):
        self.inferred([input], {"axis": IntegerAttr(axis, i64)})

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        shape = shape_of(types[0])
        axis = self.axis.value.data
        if not shape or not 0 <= axis <= len(shape):
            raise VerifyException(f"{types[0]} has no place for a new axis {axis}")
        return block_of(element_type(types[0]), (*shape[:axis], 1, *shape[axis:]))


@irdl_op_definition
class TransOp(InferredOp):
    """`tl.trans(input)`: the two dimensions swapped."""

    name = "tl.trans"

    input = operand_def()
    result = result_def()

    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation):
        self.inferred([input])

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        shape = shape_of(types[0])
        if len(shape) != 2:
            raise VerifyException(f"tl.trans is of a block with two dimensions, got {types[0]}")
        return block_of(element_type(types[0]), shape[::-1])


def _verify_shape_operands(op: Operation, shape: Sequence[SSAValue], expected: Attribute) -> None:
    """Check that the shape operands say what the result type says."""
    result = op.results[0].type
    verify_value_type(result)
    sizes = tuple(map(constant_size, shape))
    if not sizes:
        raise VerifyException(f"{op.name} makes a block of at least one dimension")
    if sizes != shape_of(result) or expected != result:
        raise VerifyException(f"{op.name} of shape {sizes} does not make a {result}")
