"""Ops that sum over elements or compare them: reductions along an axis, running sums, `tl.dot`."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    IntegerAttr,
    IntegerType,
    StringAttr,
    f32,
    f64,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
)
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.base import InferredOp
from flashlower.dialects.tl.types import (
    block_of,
    element_type,
    is_float,
    is_float8,
    reduced_element,
    shape_of,
)

INPUT_PRECISIONS = ("ieee", "tf32", "tf32x3")
"""What `tl.dot` does with f32 operands on tensor cores."""


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
