"""Operations of StableHLO on the values of an ONNX graph, with NumPy's broadcasting."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import AnyFloat, BFloat16Type, Float16Type, IntegerType, TensorType, f32, i1, i64
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects import stablehlo
from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.dialects.stablehlo import ComparisonDirection, DotDimensionNumbersAttr, ReductionKind
from flashlower.frontends.onnx.values import Array, Value

Number: TypeAlias = int | float | bool


class Builder:
    """Appends operations to a block; every one is verified as it is added."""

    def __init__(self, block: Block):
        self.blocks = [block]

    @contextmanager
    def inside(self, block: Block) -> Generator[None]:
        """Appends to the block of a region for a while."""
        self.blocks.append(block)
        try:
            yield
        finally:
            self.blocks.pop()

    # Values

    def add_op(self, op: Operation) -> Operation:
        """Appends an operation. Raises `VerifyException` where it is none."""
        self.blocks[-1].add_op(op)
        op.verify()
        return op

    def result(self, op: Operation) -> Value:
        """Appends an operation, and gives its first result."""
        return Value(self.add_op(op).results[0])

    def ssa(self, value: Value) -> SSAValue:
        """The value in the IR; a constant is added where it is only known as an array."""
        if value.ssa is not None:
            return value.ssa
        array = cast(Array, value.array)
        if value.uniform and value.rank:
            scalar = self.ssa(Value(array=np.asarray(array.flat[0])))
            ssa = self.add_op(stablehlo.BroadcastInDimOp(scalar, (), value.shape)).results[0]
        else:
            ssa = self.add_op(stablehlo.ConstantOp(array)).results[0]
        # What is added in a region is not visible after it.
        if len(self.blocks) == 1:
            value.ssa = ssa
        return ssa

    def constant(self, array: Array) -> Value:
        return Value(array=array)

    def scalar(self, number: Number, element_type: Attribute) -> Value:
        return Value(array=np.asarray(number).astype(numpy_dtype(element_type)))

    def like(self, number: Number, value: Value) -> Value:
        """A scalar of a value's element type."""
        return self.scalar(number, value.element_type)

    def iota(self, shape: Sequence[int], dimension: int, element_type: Attribute = i64) -> Value:
        return self.result(stablehlo.IotaOp(dimension, TensorType(element_type, shape)))

    # Shapes

    def broadcast(self, value: Value, shape: Sequence[int]) -> Value:
        """A value in a shape that it broadcasts to, aligned at the last dimension."""
        if value.shape == tuple(shape):
            return value
        first = len(shape) - value.rank
        if value.uniform and value.array is not None:
            source = self.constant(np.asarray(value.array.flat[0]))
            return self.result(stablehlo.BroadcastInDimOp(self.ssa(source), (), shape))
        return self.broadcast_in_dim(value, range(first, len(shape)), shape)

    def broadcast_in_dim(self, value: Value, dimensions: Sequence[int], shape: Sequence[int]) -> Value:
        return self.result(stablehlo.BroadcastInDimOp(self.ssa(value), tuple(dimensions), shape))

    def broadcast_shape(self, *values: Value) -> tuple[int, ...]:
        """The shape that values broadcast to together. Raises `ValueError` where there is none."""
        return np.broadcast_shapes(*(value.shape for value in values))

    def broadcast_all(self, *values: Value) -> list[Value]:
        """Values in the shape that they broadcast to together. Raises `ValueError` where there is none."""
        shape = self.broadcast_shape(*values)
        return [self.broadcast(value, shape) for value in values]

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        if value.shape == tuple(shape):
            return value
        if value.ssa is None:
            return Value(array=cast(Array, value.array).reshape(shape))
        return self.result(stablehlo.ReshapeOp(value.ssa, shape))

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        if list(permutation) == list(range(value.rank)):
            return value
        return self.result(stablehlo.TransposeOp(self.ssa(value), permutation))

    def move_axis(self, value: Value, source: int, target: int) -> Value:
        """A value with one dimension moved, as `numpy.moveaxis` does."""
        order = [axis for axis in range(value.rank) if axis != source]
        order.insert(target, source)
        return self.transpose(value, order)

    def slice(
        self, value: Value, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int] | None = None
    ) -> Value:
        strides = (1,) * value.rank if strides is None else strides
        if not any(starts) and tuple(limits) == value.shape and all(stride == 1 for stride in strides):
            return value
        return self.result(stablehlo.SliceOp(self.ssa(value), starts, limits, strides))

    def slice_axis(self, value: Value, axis: int, start: int, limit: int, stride: int = 1) -> Value:
        starts, limits, strides = [0] * value.rank, list(value.shape), [1] * value.rank
        starts[axis], limits[axis], strides[axis] = start, limit, stride
        return self.slice(value, starts, limits, strides)

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        if len(values) == 1:
            return values[0]
        return self.result(stablehlo.ConcatenateOp([self.ssa(value) for value in values], axis))

    def pad(self, value: Value, padding: Value, low: Sequence[int], high: Sequence[int]) -> Value:
        return self.result(stablehlo.PadOp(self.ssa(value), self.ssa(padding), low, high))

    def reverse(self, value: Value, axes: Sequence[int]) -> Value:
        return self.result(stablehlo.ReverseOp(self.ssa(value), axes)) if axes else value

    # Elements

    def unary(self, op: type[Any], value: Value) -> Value:
        return self.result(op(self.ssa(value)))

    def binary(self, op: type[Any], lhs: Value, rhs: Value) -> Value:
        """A function of two values of one element type, which broadcast."""
        if lhs.element_type != rhs.element_type:
            raise VerifyException(f"operands have element types {lhs.element_type} and {rhs.element_type}")
        left, right = self.broadcast_all(lhs, rhs)
        return self.result(op(self.ssa(left), self.ssa(right)))

    def add(self, lhs: Value, rhs: Value) -> Value:
        return self.binary(stablehlo.AddOp, lhs, rhs)

    def subtract(self, lhs: Value, rhs: Value) -> Value:
        return self.binary(stablehlo.SubtractOp, lhs, rhs)

    def multiply(self, lhs: Value, rhs: Value) -> Value:
        return self.binary(stablehlo.MulOp, lhs, rhs)

    def divide(self, lhs: Value, rhs: Value) -> Value:
        return self.binary(stablehlo.DivOp, lhs, rhs)

    def compare(self, lhs: Value, rhs: Value, direction: str) -> Value:
        """`direction` is EQ, NE, LT, LE, GT or GE."""
        if lhs.element_type != rhs.element_type:
            raise VerifyException(f"operands have element types {lhs.element_type} and {rhs.element_type}")
        left, right = self.broadcast_all(lhs, rhs)
        return self.result(stablehlo.CompareOp(self.ssa(left), self.ssa(right), ComparisonDirection(direction)))

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        if then.element_type != otherwise.element_type:
            raise VerifyException(f"branches have element types {then.element_type} and {otherwise.element_type}")
        values = self.broadcast_all(condition, then, otherwise)
        return self.result(stablehlo.SelectOp(*(self.ssa(value) for value in values)))

    def cast(self, value: Value, element_type: Attribute) -> Value:
        """The same numbers in another element type; booleans are 0 and 1, and what is not 0 is true."""
        if value.element_type == element_type:
            return value
        if value.ssa is None and value.size == 1:
            # Scalars are constants in the type in which they are used.
            with np.errstate(all="ignore"):
                return Value(array=cast(Array, value.array).astype(numpy_dtype(element_type)))
        if element_type == i1:
            return self.compare(value, self.like(0, value), "NE")
        return self.result(stablehlo.ConvertOp(self.ssa(value), element_type))

    def widen(self, value: Value) -> Value:
        """A 16-bit float as an f32, in which sums and exponentials are computed."""
        return self.cast(value, f32) if isinstance(value.element_type, BFloat16Type | Float16Type) else value

    # Sums

    def reduce(self, value: Value, kind: ReductionKind, axes: Sequence[int], keep: bool) -> Value:
        """A value folded over some axes, which stay with size 1 if `keep`."""
        if not axes:
            return value
        init = self.scalar(initial_value(kind, value.element_type), value.element_type)
        result = self.result(stablehlo.ReduceOp(self.ssa(value), self.ssa(init), tuple(axes), kind))
        if not keep:
            return result
        return self.reshape(result, [1 if axis in axes else size for axis, size in enumerate(value.shape)])

    def mean(self, value: Value, axes: Sequence[int], keep: bool) -> Value:
        total = self.reduce(value, "add", axes, keep)
        return self.divide(total, self.like(math.prod(value.shape[axis] for axis in axes), value))

    def dot(
        self,
        lhs: Value,
        rhs: Value,
        lhs_batching: Sequence[int],
        rhs_batching: Sequence[int],
        lhs_contracting: Sequence[int],
        rhs_contracting: Sequence[int],
    ) -> Value:
        """Dimensions of the result: the batching ones, then lhs's others, then rhs's."""
        if lhs.element_type != rhs.element_type:
            raise VerifyException(f"operands have element types {lhs.element_type} and {rhs.element_type}")
        numbers = DotDimensionNumbersAttr.get(lhs_batching, rhs_batching, lhs_contracting, rhs_contracting)
        return self.result(stablehlo.DotGeneralOp(self.ssa(lhs), self.ssa(rhs), numbers))


def initial_value(kind: ReductionKind, element_type: Attribute) -> Number:
    """The number that changes nothing in a reduction."""
    match kind:
        case "add":
            return 0
        case "multiply":
            return 1
        case "and":
            return -1 if isinstance(element_type, IntegerType) and element_type != i1 else True
        case "or":
            return 0
        case "maximum" | "minimum":
            largest = kind == "minimum"
    if isinstance(element_type, AnyFloat):
        return math.inf if largest else -math.inf
    if element_type == i1:
        return largest
    info = np.iinfo(numpy_dtype(element_type))
    return int(info.max if largest else info.min)
