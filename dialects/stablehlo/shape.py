"""StableHLO's ops that build, reshape and combine tensors without computing elements.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    DenseArrayBase,
    IntegerAttr,
    TensorType,
    i32,
    i64,
)
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Elements,
    Operand,
    StableHLOOp,
    check_count,
    check_dimensions,
    check_element_type,
    check_elements,
    check_shape,
    check_type,
    dense_i64,
    i64_values,
    same_size,
    show,
    type_of,
)


@irdl_op_definition
class IotaOp(StableHLOOp):
    """Each element is its index in one dimension."""

    name = "stablehlo.iota"

    iota_dimension = prop_def(IntegerAttr)
    output = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, iota_dimension: int, result_type: AnyTensor):
        super().__init__(result_types=[result_type], properties={"iota_dimension": IntegerAttr(iota_dimension, i64)})

    def verify_(self) -> None:
        output = type_of(self.output)
        check_elements(output.element_type, Elements.NUMBER)
        check_dimensions("iota_dimension", [self.iota_dimension.value.data], output.get_num_dims())


@irdl_op_definition
class DynamicIotaOp(StableHLOOp):
    """`iota` of a shape that is an operand."""

    name = "stablehlo.dynamic_iota"

    output_shape = operand_def(AnyTensor)
    iota_dimension = prop_def(IntegerAttr)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def verify_(self) -> None:
        output = type_of(self.result)
        check_elements(output.element_type, Elements.NUMBER)
        check_dimensions("iota_dimension", [self.iota_dimension.value.data], output.get_num_dims())
        check_shape("output_shape", type_of(self.output_shape).get_shape(), [output.get_num_dims()])


@irdl_op_definition
class GetDimensionSizeOp(StableHLOOp):
    """The size of one dimension."""

    name = "stablehlo.get_dimension_size"

    operand = operand_def(AnyTensor)
    dimension = prop_def(IntegerAttr)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, dimension: int):
        super().__init__(
            operands=[operand],
            result_types=[TensorType(i32, ())],
            properties={"dimension": IntegerAttr(dimension, i64)},
        )

    def verify_(self) -> None:
        check_dimensions("dimension", [self.dimension.value.data], type_of(self.operand).get_num_dims())
        check_type("result", self.result.type, TensorType(i32, ()))


@irdl_op_definition
class BroadcastInDimOp(StableHLOOp):
    """Operand dimension i becomes result dimension `broadcast_dimensions[i]`; sizes of 1 are expanded."""

    name = "stablehlo.broadcast_in_dim"

    operand = operand_def(AnyTensor)
    broadcast_dimensions = prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, broadcast_dimensions: Sequence[int], shape: Sequence[int]):
        """Broadcast to a shape; the element type stays."""
        super().__init__(
            operands=[operand],
            result_types=[TensorType(type_of(operand).element_type, shape)],
            properties={"broadcast_dimensions": dense_i64(broadcast_dimensions)},
        )

    def verify_(self) -> None:
        _verify_broadcast(type_of(self.operand), type_of(self.result), i64_values(self.broadcast_dimensions))


def _verify_broadcast(operand: AnyTensor, result: AnyTensor, dimensions: Sequence[int]) -> None:
    check_element_type("result", result.element_type, operand.element_type)
    check_count("broadcast dimensions", len(dimensions), operand.get_num_dims())
    check_dimensions("broadcast dimension", dimensions, result.get_num_dims())
    for i, dim in enumerate(dimensions):
        got, expected = operand.get_shape()[i], result.get_shape()[dim]
        if got != 1 and not same_size(got, expected):
            raise VerifyException(
                f"operand dimension {i} of size {got} cannot be broadcast to result dimension {dim} of size {expected}"
            )


@irdl_op_definition
class DynamicBroadcastInDimOp(StableHLOOp):
    """`broadcast_in_dim` to a shape that is an operand."""

    name = "stablehlo.dynamic_broadcast_in_dim"

    operand = operand_def(AnyTensor)
    output_dimensions = operand_def(AnyTensor)
    broadcast_dimensions = prop_def(DenseArrayBase)
    known_expanding_dimensions = opt_prop_def(DenseArrayBase)
    known_nonexpanding_dimensions = opt_prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def verify_(self) -> None:
        _verify_broadcast(type_of(self.operand), type_of(self.result), i64_values(self.broadcast_dimensions))
        rank = type_of(self.result).get_num_dims()
        check_shape("output_dimensions", type_of(self.output_dimensions).get_shape(), [rank])


@irdl_op_definition
class ReshapeOp(StableHLOOp):
    """The same elements in the same row-major order, in another shape."""

    name = "stablehlo.reshape"

    operand = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, shape: Sequence[int]):
        super().__init__(operands=[operand], result_types=[TensorType(type_of(operand).element_type, shape)])

    def verify_(self) -> None:
        operand, result = type_of(self.operand), type_of(self.result)
        check_element_type("result", result.element_type, operand.element_type)
        if operand.has_static_shape() and result.has_static_shape():
            got, expected = math.prod(result.get_shape()), math.prod(operand.get_shape())
            if got != expected:
                raise VerifyException(
                    f"result of shape {show(result.get_shape())} has {got} elements, but operand of shape "
                    f"{show(operand.get_shape())} has {expected}"
                )


@irdl_op_definition
class DynamicReshapeOp(StableHLOOp):
    """`reshape` to a shape that is an operand."""

    name = "stablehlo.dynamic_reshape"

    operand = operand_def(AnyTensor)
    output_shape = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def verify_(self) -> None:
        result = type_of(self.result)
        check_element_type("result", result.element_type, type_of(self.operand).element_type)
        check_shape("output_shape", type_of(self.output_shape).get_shape(), [result.get_num_dims()])


@irdl_op_definition
class TransposeOp(StableHLOOp):
    """Result dimension i is operand dimension `permutation[i]`."""

    name = "stablehlo.transpose"

    operand = operand_def(AnyTensor)
    permutation = prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, permutation: Sequence[int]):
        source = type_of(operand)
        shape = source.get_shape()
        super().__init__(
            operands=[operand],
            result_types=[TensorType(source.element_type, [shape[dim] for dim in permutation])],
            properties={"permutation": dense_i64(permutation)},
        )

    def verify_(self) -> None:
        operand, result = type_of(self.operand), type_of(self.result)
        check_element_type("result", result.element_type, operand.element_type)
        permutation = i64_values(self.permutation)
        if sorted(permutation) != list(range(operand.get_num_dims())):
            raise VerifyException(
                f"permutation {list(permutation)} does not list each dimension of rank {operand.get_num_dims()} once"
            )
        check_shape("result", result.get_shape(), [operand.get_shape()[dim] for dim in permutation])


@irdl_op_definition
class ReverseOp(StableHLOOp):
    """The order of the elements reversed in some dimensions."""

    name = "stablehlo.reverse"

    operand = operand_def(AnyTensor)
    dimensions = prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, dimensions: Sequence[int]):
        super().__init__(
            operands=[operand],
            result_types=[type_of(operand)],
            properties={"dimensions": dense_i64(dimensions)},
        )

    def verify_(self) -> None:
        check_dimensions("dimension", i64_values(self.dimensions), type_of(self.operand).get_num_dims())
        check_type("result", self.result.type, self.operand.type)


@irdl_op_definition
class ConcatenateOp(StableHLOOp):
    """Tensors joined in one dimension."""

    name = "stablehlo.concatenate"

    inputs = var_operand_def(AnyTensor)
    dimension = prop_def(IntegerAttr)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, inputs: Sequence[Operand], dimension: int):
        types = [type_of(value) for value in inputs]
        sizes = [type.get_shape()[dimension] for type in types]
        shape = list(types[0].get_shape())
        shape[dimension] = DYNAMIC_INDEX if DYNAMIC_INDEX in sizes else sum(sizes)
        super().__init__(
            operands=[inputs],
            result_types=[TensorType(types[0].element_type, shape)],
            properties={"dimension": IntegerAttr(dimension, i64)},
        )

    def verify_(self) -> None:
        types = [type_of(value) for value in self.inputs]
        if not types:
            raise VerifyException("expected at least 1 input, but got 0")
        dimension = self.dimension.value.data
        check_dimensions("dimension", [dimension], types[0].get_num_dims())
        expected = list(types[0].get_shape())
        for i, type in enumerate(types):
            check_element_type(f"input {i}", type.element_type, types[0].element_type)
            check_count(f"dimensions of input {i}", type.get_num_dims(), len(expected))
            check_shape(
                f"input {i}",
                type.get_shape(),
                [*expected[:dimension], type.get_shape()[dimension], *expected[dimension + 1 :]],
            )
        sizes = [type.get_shape()[dimension] for type in types]
        expected[dimension] = DYNAMIC_INDEX if DYNAMIC_INDEX in sizes else sum(sizes)
        check_element_type("result", type_of(self.result).element_type, types[0].element_type)
        check_shape("result", type_of(self.result).get_shape(), expected)


@irdl_op_definition
class PadOp(StableHLOOp):
    """Padding at both ends of each dimension (cut off where negative), and between elements."""

    name = "stablehlo.pad"

    operand = operand_def(AnyTensor)
    padding_value = operand_def(AnyTensor)
    edge_padding_low = prop_def(DenseArrayBase)
    edge_padding_high = prop_def(DenseArrayBase)
    interior_padding = prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(
        self,
        operand: Operand,
        padding_value: Operand,
        low: Sequence[int],
        high: Sequence[int],
        interior: Sequence[int] | None = None,
    ):
        source = type_of(operand)
        interior = (0,) * len(low) if interior is None else interior
        super().__init__(
            operands=[operand, padding_value],
            result_types=[TensorType(source.element_type, _padded_shape(source.get_shape(), low, high, interior))],
            properties={
                "edge_padding_low": dense_i64(low),
                "edge_padding_high": dense_i64(high),
                "interior_padding": dense_i64(interior),
            },
        )

    def verify_(self) -> None:
        operand, result = type_of(self.operand), type_of(self.result)
        check_type("padding_value", self.padding_value.type, TensorType(operand.element_type, ()))
        low, high = i64_values(self.edge_padding_low), i64_values(self.edge_padding_high)
        interior = i64_values(self.interior_padding)
        for what, values in (
            ("edge_padding_low", low),
            ("edge_padding_high", high),
            ("interior_padding", interior),
        ):
            check_count(f"values of {what}", len(values), operand.get_num_dims())
        if any(value < 0 for value in interior):
            raise VerifyException(f"interior_padding must not be negative, but got {list(interior)}")
        check_element_type("result", result.element_type, operand.element_type)
        check_shape("result", result.get_shape(), _padded_shape(operand.get_shape(), low, high, interior))


def _padded_shape(shape: Sequence[int], low: Sequence[int], high: Sequence[int], interior: Sequence[int]) -> list[int]:
    return [
        DYNAMIC_INDEX if dim == DYNAMIC_INDEX else before + dim + max(dim - 1, 0) * between + after
        for dim, before, after, between in zip(shape, low, high, interior, strict=True)
    ]


SHAPE_OPS = [
    BroadcastInDimOp,
    ConcatenateOp,
    DynamicBroadcastInDimOp,
    DynamicIotaOp,
    DynamicReshapeOp,
    GetDimensionSizeOp,
    IotaOp,
    PadOp,
    ReshapeOp,
    ReverseOp,
    TransposeOp,
]
