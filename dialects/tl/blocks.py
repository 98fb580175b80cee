"""
Ops that make blocks and change their shape: constants, ranges, reshapes, reductions and `tl.dot`.

Sizes are operands, as in Triton, so that `tl.zeros((BLOCK_M, BLOCK_N))` prints with its names. They must come
from `tl.constant` or `tl.constexpr`, and agree with the result type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    BFloat16Type,
    BoolAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    f32,
    f64,
    i32,
    i64,
)
from xdsl.interfaces import HasFolderInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import ConstantLike, EffectInstance, MemoryEffect, MemoryEffectKind, Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.tl.base import InferredOp
from flashlower.dialects.tl.types import (
    bit_width,
    block_of,
    element_type,
    is_bool,
    is_float,
    is_float8,
    is_integer,
    is_number,
    is_unsigned,
    reduced_element,
    shape_of,
    verify_broadcasts_to,
    verify_value_type,
)

INPUT_PRECISIONS = ("ieee", "tf32", "tf32x3")
"""What `tl.dot` does with f32 operands on tensor cores."""

ScalarAttr = IntegerAttr | FloatAttr


def scalar_attr(value: bool | int | float, element: Attribute) -> ScalarAttr:
    """A Python number as a constant of a Triton number type; raises VerifyException when it is none."""
    if isinstance(element, BFloat16Type | Float16Type | Float32Type | Float64Type):
        try:
            return FloatAttr(float(value), element)
        except OverflowError as error:
            raise VerifyException(f"{value} is not a value of type {element}") from error
    if not isa(element, IntegerType) or not (is_integer(element) or is_bool(element)):
        raise VerifyException(f"there are no constants of type {element}: cast one")
    if not math.isfinite(value) or int(value) != value:
        raise VerifyException(f"{value} is not a value of type {element}")
    if is_bool(element):
        if value not in (0, 1):
            raise VerifyException(f"{value} is not a value of type i1")
        return BoolAttr.from_bool(bool(value))
    bits = bit_width(element)
    low, high = (0, 1 << bits) if is_unsigned(element) else (-(1 << (bits - 1)), 1 << (bits - 1))
    if not low <= value < high:
        raise VerifyException(f"{value} is not a value of type {element}")
    return IntegerAttr(int(value), element)


class _ConstantOp(IRDLOperation):
    value = prop_def(ScalarAttr)
    result = result_def()

    def __init__(self, value: ScalarAttr):
        super().__init__(properties={"value": value}, result_types=[value.type])

    def verify_(self) -> None:
        if self.value.type != self.result.type:
            raise VerifyException(f"a value of type {self.value.type} does not make a {self.result.type}")
        scalar_attr(self.python_value, self.result.type)

    @property
    def python_value(self) -> bool | int | float:
        """The number as Python has it; i1 as a bool."""
        if isinstance(self.value, FloatAttr):
            return self.value.value.data
        value = self.value.value.data
        return bool(value) if is_bool(self.value.type) else value

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.value)
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser):
        value = parser.parse_attribute()
        if not (isa(value, IntegerAttr) or isa(value, FloatAttr)):
            parser.raise_error(f"{cls.name} is a number such as `64 : i32` or `0.5 : f32`, got {value}")
        op = cls(value)  # pyright: ignore[reportUnknownArgumentType]
        op.attributes |= parser.parse_optional_attr_dict()
        return op


@irdl_op_definition
class ConstantOp(_ConstantOp, HasFolderInterface):
    """A literal, printed in place: `0`, `1.0`, `float("-inf")`, `True`."""

    name = "tl.constant"

    traits = traits_def(Pure(), ConstantLike())

    def fold(self) -> Sequence[SSAValue | Attribute]:
        return (self.value,)


class _MakesName(MemoryEffect):
    """An allocation of the op's own result."""

    @classmethod
    def get_effects(cls, op: Operation) -> set[EffectInstance]:
        return {EffectInstance(MemoryEffectKind.ALLOC, op.results[0])}


@irdl_op_definition
class ConstexprOp(_ConstantOp):
    """
    A named compile-time constant: `%BLOCK_N = tl.constexpr 64 : i32` prints `BLOCK_N: tl.constexpr = 64`.

    It stands directly in a `tl.jit`. It says that it allocates, so that common-subexpression elimination keeps
    two names for one number, while dead-code elimination still removes it.
    """

    name = "tl.constexpr"

    traits = traits_def(_MakesName())

    def verify_(self) -> None:
        super().verify_()
        parent = self.parent_op()
        if parent is not None and parent.name != "tl.jit":
            raise VerifyException(f"tl.constexpr stands directly in a tl.jit, not in a {parent.name}")


def constant_value(value: SSAValue) -> bool | int | float | None:
    """The number a value is known to be, or None."""
    return value.owner.python_value if isinstance(value.owner, ConstantOp | ConstexprOp) else None


def constant_size(value: SSAValue) -> int:
    """The size that a shape operand gives; raises VerifyException when it is no constant integer."""
    size = constant_value(value)
    if isinstance(size, bool) or not isinstance(size, int):
        raise VerifyException("a size is the result of a tl.constant or tl.constexpr of integer type")
    return size


class _GridOp(IRDLOperation):
    axis = prop_def(IntegerAttr[I64])
    result = result_def(i32)

    traits = traits_def(Pure())

    assembly_format = "$axis attr-dict"

    def __init__(self, axis: int):
        super().__init__(properties={"axis": IntegerAttr(axis, i64)}, result_types=[i32])

    def verify_(self) -> None:
        if not 0 <= self.axis.value.data < 3:
            raise VerifyException(f"a grid has axes 0, 1 and 2, got {self.axis.value.data}")


@irdl_op_definition
class ProgramIdOp(_GridOp):
    """`tl.program_id(axis)`: which program of the grid this is; i32."""

    name = "tl.program_id"


@irdl_op_definition
class NumProgramsOp(_GridOp):
    """`tl.num_programs(axis)`: the size of the grid; i32."""

    name = "tl.num_programs"


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


def _verify_shape_operands(op: Operation, shape: Sequence[SSAValue], expected: Attribute) -> None:
    """Check that the shape operands say what the result type says."""
    result = op.results[0].type
    verify_value_type(result)
    sizes = tuple(map(constant_size, shape))
    if not sizes:
        raise VerifyException(f"{op.name} makes a block of at least one dimension")
    if sizes != shape_of(result) or expected != result:
        raise VerifyException(f"{op.name} of shape {sizes} does not make a {result}")


@irdl_op_definition
class BroadcastToOp(IRDLOperation):
    """`tl.broadcast_to(input, shape)`; operators broadcast by themselves, stores of blocks do too."""

    name = "tl.broadcast_to"

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

    def verify_(self) -> None:
        _verify_shape_operands(self, self.shape, block_of(element_type(self.input.type), shape_of(self.result.type)))
        verify_broadcasts_to("the operand of tl.broadcast_to", self.input.type, self.result.type)


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """`tl.reshape(input, shape)`: the same elements in row-major order in another shape."""

    name = "tl.reshape"

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


class _ReduceOp(InferredOp):
    input = operand_def()
    axis = prop_def(IntegerAttr[I64])
    result = result_def()

    assembly_format = "$input $axis attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation, axis: int):
        self.inferred([input], {"axis": IntegerAttr(axis, i64)})

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        shape = shape_of(types[0])
        axis = self.axis.value.data
        if not 0 <= axis < len(shape):
            raise VerifyException(f"{types[0]} has no axis {axis}")
        element = reduced_element(element_type(types[0]), widen_floats=isinstance(self, MaxOp))
        return block_of(element, (*shape[:axis], *shape[axis + 1 :]))


@irdl_op_definition
class MaxOp(_ReduceOp):
    """`tl.max(input, axis)`; 16-bit floats give f32 and small integers i32; NaN is ignored."""

    name = "tl.max"


@irdl_op_definition
class SumOp(_ReduceOp):
    """`tl.sum(input, axis)`; small integers give i32, 16-bit floats are cast first."""

    name = "tl.sum"


@irdl_op_definition
class CumsumOp(InferredOp):
    """`tl.cumsum(input)` of a block of i32 or f32 with one dimension: the sums of all elements up to each one."""

    name = "tl.cumsum"

    input = operand_def()
    result = result_def()

    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation):
        self.inferred([input])

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        # Triton widens no smaller types here before 3.7.
        if len(shape_of(types[0])) != 1 or element_type(types[0]) not in (i32, f32):
            raise VerifyException(f"tl.cumsum is of a block of i32 or f32 with one dimension, got {types[0]}")
        return types[0]


@irdl_op_definition
class DotOp(InferredOp):
    """
    `tl.dot(a, b, acc)`: the matrix product, plus `acc` when there is one.

    a is [M, K] or [B, M, K], b is [K, N] or [B, K, N], both of one of f16, bf16, f32 or i8, or any two 8-bit
    floats. The result is f32, i32 for i8. `input_precision` says what tensor cores do with f32 operands;
    without it Triton takes tf32 where the device has it.
    """

    name = "tl.dot"

    a = operand_def()
    b = operand_def()
    acc = opt_operand_def()
    input_precision = opt_prop_def(StringAttr)
    result = result_def()

    assembly_format = (
        "$a `,` $b (`acc` $acc^ `:` type($acc))? (`precision` $input_precision^)? attr-dict "
        "`:` `(` type($a) `,` type($b) `)` `->` type($result)"
    )

    def __init__(
        self,
        a: SSAValue | Operation,
        b: SSAValue | Operation,
        acc: SSAValue | Operation | None = None,
        input_precision: str | None = None,
    ):
        precision = None if input_precision is None else StringAttr(input_precision)
        self.inferred([a, b, acc], {"input_precision": precision})

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        a, b = types[:2]
        left, right = shape_of(a), shape_of(b)
        if not (len(left) == len(right) and len(left) in (2, 3)):
            raise VerifyException(f"tl.dot is of two blocks with two or three dimensions, got {a} and {b}")
        if left[-1] != right[-2] or left[:-2] != right[:-2]:
            raise VerifyException(f"shapes {left} and {right} do not multiply")
        result = block_of(_dot_element(element_type(a), element_type(b)), (*left[:-1], right[-1]))
        if len(types) == 3 and types[2] != result:
            raise VerifyException(f"the accumulator of tl.dot here is {result}, got {types[2]}")
        precision = self.properties.get("input_precision")
        if isinstance(precision, StringAttr) and precision.data not in INPUT_PRECISIONS:
            raise VerifyException(f"input_precision is one of {', '.join(INPUT_PRECISIONS)}, got {precision}")
        return result


def _dot_element(a: Attribute, b: Attribute) -> Attribute:
    if is_float8(a) and is_float8(b):
        return f32
    if a != b:
        raise VerifyException(f"tl.dot needs operands of one element type, got {a} and {b}: cast one")
    if a == IntegerType(8):
        return i32
    if is_float(a) and a != f64:
        return f32
    raise VerifyException(f"tl.dot does not multiply {a}")
