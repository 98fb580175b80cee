"""StableHLO's ops that read or write parts of tensors: slices, gathers, scatters.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    BoolAttr,
    DenseArrayBase,
    TensorType,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    SameVariadicOperandSize,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure, RecursiveMemoryEffect
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.attributes import (
    GatherDimensionNumbersAttr,
    ScatterDimensionNumbersAttr,
    integers,
)
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
    show,
    type_of,
)


@irdl_op_definition
class SliceOp(StableHLOOp):
    """The elements from `start_indices` up to, not including, `limit_indices`, every `strides`-th."""

    name = "stablehlo.slice"

    operand = operand_def(AnyTensor)
    start_indices = prop_def(DenseArrayBase)
    limit_indices = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(
        self,
        operand: Operand,
        start_indices: Sequence[int],
        limit_indices: Sequence[int],
        strides: Sequence[int] | None = None,
    ):
        strides = (1,) * len(start_indices) if strides is None else strides
        shape = _sliced_shape(start_indices, limit_indices, strides)
        super().__init__(
            operands=[operand],
            result_types=[TensorType(type_of(operand).element_type, shape)],
            properties={
                "start_indices": dense_i64(start_indices),
                "limit_indices": dense_i64(limit_indices),
                "strides": dense_i64(strides),
            },
        )

    def verify_(self) -> None:
        operand, result = type_of(self.operand), type_of(self.result)
        starts, limits = i64_values(self.start_indices), i64_values(self.limit_indices)
        strides = i64_values(self.strides)
        for what, values in (("start_indices", starts), ("limit_indices", limits), ("strides", strides)):
            check_count(f"values of {what}", len(values), operand.get_num_dims())
        for dim, size in enumerate(operand.get_shape()):
            start, limit, stride = starts[dim], limits[dim], strides[dim]
            if not 0 <= start <= limit or (size != DYNAMIC_INDEX and limit > size):
                raise VerifyException(
                    f"slice {start} to {limit} of dimension {dim} is out of range for shape {show(operand.get_shape())}"
                )
            if stride < 1:
                raise VerifyException(f"stride of dimension {dim} must be at least 1, but got {stride}")
        check_element_type("result", result.element_type, operand.element_type)
        check_shape("result", result.get_shape(), _sliced_shape(starts, limits, strides))


def _sliced_shape(starts: Sequence[int], limits: Sequence[int], strides: Sequence[int]) -> list[int]:
    return [-(-(limit - start) // stride) for start, limit, stride in zip(starts, limits, strides, strict=True)]


def _verify_start_indices(starts: Sequence[SSAValue], rank: int) -> None:
    check_count("start indices", len(starts), rank)
    for i, start in enumerate(starts):
        check_elements(type_of(start).element_type, Elements.INTEGER)
        check_shape(f"start index {i}", type_of(start).get_shape(), ())


def _verify_window_fits(what: str, window: Sequence[int], shape: Sequence[int]) -> None:
    check_count(f"dimensions of {what}", len(window), len(shape))
    if any(size > whole for size, whole in zip(window, shape, strict=True) if whole != DYNAMIC_INDEX):
        raise VerifyException(f"{what} {show(window)} is larger than shape {show(shape)}")


@irdl_op_definition
class DynamicSliceOp(StableHLOOp):
    """A slice of static size whose start is an operand, clamped so that the slice lies in the tensor."""

    name = "stablehlo.dynamic_slice"

    operand = operand_def(AnyTensor)
    start_indices = var_operand_def(AnyTensor)
    slice_sizes = prop_def(DenseArrayBase)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, start_indices: Sequence[Operand], slice_sizes: Sequence[int]):
        super().__init__(
            operands=[operand, start_indices],
            result_types=[TensorType(type_of(operand).element_type, slice_sizes)],
            properties={"slice_sizes": dense_i64(slice_sizes)},
        )

    def verify_(self) -> None:
        operand, result = type_of(self.operand), type_of(self.result)
        _verify_start_indices(self.start_indices, operand.get_num_dims())
        sizes = i64_values(self.slice_sizes)
        _verify_window_fits("slice", sizes, operand.get_shape())
        check_element_type("result", result.element_type, operand.element_type)
        check_shape("result", result.get_shape(), sizes)


@irdl_op_definition
class DynamicUpdateSliceOp(StableHLOOp):
    """The operand with a slice replaced, whose start is clamped so that the slice lies in the tensor."""

    name = "stablehlo.dynamic_update_slice"

    operand = operand_def(AnyTensor)
    update = operand_def(AnyTensor)
    start_indices = var_operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, update: Operand, start_indices: Sequence[Operand]):
        super().__init__(operands=[operand, update, start_indices], result_types=[type_of(operand)])

    def verify_(self) -> None:
        operand, update = type_of(self.operand), type_of(self.update)
        _verify_start_indices(self.start_indices, operand.get_num_dims())
        check_element_type("update", update.element_type, operand.element_type)
        _verify_window_fits("update", update.get_shape(), operand.get_shape())
        check_type("result", self.result.type, operand)


@irdl_op_definition
class GatherOp(StableHLOOp):
    """Slices of the operand at starts that are read from a tensor, clamped so that each lies in the operand."""

    name = "stablehlo.gather"

    operand = operand_def(AnyTensor)
    start_indices = operand_def(AnyTensor)
    dimension_numbers = prop_def(GatherDimensionNumbersAttr)
    slice_sizes = prop_def(DenseArrayBase)
    indices_are_sorted = opt_prop_def(BoolAttr)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(
        self,
        operand: Operand,
        start_indices: Operand,
        dimension_numbers: GatherDimensionNumbersAttr,
        slice_sizes: Sequence[int],
    ):
        shape = _gathered_shape(type_of(start_indices).get_shape(), dimension_numbers, slice_sizes)
        super().__init__(
            operands=[operand, start_indices],
            result_types=[TensorType(type_of(operand).element_type, shape)],
            properties={"dimension_numbers": dimension_numbers, "slice_sizes": dense_i64(slice_sizes)},
        )

    def verify_(self) -> None:
        operand, indices = type_of(self.operand), type_of(self.start_indices)
        numbers, sizes = self.dimension_numbers, i64_values(self.slice_sizes)
        _verify_window_fits("slice", sizes, operand.get_shape())
        check_elements(indices.element_type, Elements.INTEGER)
        collapsed = integers(numbers.collapsed_slice_dims)
        batching = integers(numbers.operand_batching_dims)
        check_dimensions("collapsed or batching dimension", (*collapsed, *batching), operand.get_num_dims())
        for dim in (*collapsed, *batching):
            if sizes[dim] > 1:
                raise VerifyException(
                    f"slice size of collapsed dimension {dim} is {sizes[dim]}, but expected at most 1"
                )
        _verify_index_vectors(
            indices,
            integers(numbers.start_index_map),
            integers(numbers.start_indices_batching_dims),
            numbers.index_vector_dim.value.data,
            operand.get_num_dims(),
        )
        check_count(
            "start_indices batching dimensions",
            len(integers(numbers.start_indices_batching_dims)),
            len(batching),
        )
        offsets = integers(numbers.offset_dims)
        check_count("offset dimensions", len(offsets), operand.get_num_dims() - len(collapsed) - len(batching))
        result = type_of(self.result)
        check_dimensions("offset dimension", offsets, result.get_num_dims())
        check_element_type("result", result.element_type, operand.element_type)
        check_shape("result", result.get_shape(), _gathered_shape(indices.get_shape(), numbers, sizes))


def _verify_index_vectors(
    indices: AnyTensor, mapped: Sequence[int], batching: Sequence[int], vector_dim: int, rank: int
) -> None:
    """Index vectors lie along one dimension of the indices, or are scalars where it is the one past the last."""
    if not 0 <= vector_dim <= indices.get_num_dims():
        raise VerifyException(f"index_vector_dim {vector_dim} is out of range for rank {indices.get_num_dims()}")
    check_dimensions("indexed dimension", mapped, rank)
    check_dimensions("batching dimension of the indices", batching, indices.get_num_dims())
    size = 1 if vector_dim == indices.get_num_dims() else indices.get_shape()[vector_dim]
    if size not in (len(mapped), DYNAMIC_INDEX):
        raise VerifyException(f"index vectors have {size} entries, but {len(mapped)} dimensions are indexed")


def _gathered_shape(indices: Sequence[int], numbers: GatherDimensionNumbersAttr, sizes: Sequence[int]) -> list[int]:
    vector_dim = numbers.index_vector_dim.value.data
    left_out = (*integers(numbers.collapsed_slice_dims), *integers(numbers.operand_batching_dims))
    batch = iter([size for dim, size in enumerate(indices) if dim != vector_dim])
    window = iter([size for dim, size in enumerate(sizes) if dim not in left_out])
    offsets = set(integers(numbers.offset_dims))
    rank = len(offsets) + len(indices) - (vector_dim < len(indices))
    # A list of offset dimensions of the wrong length or range is reported by its own check.
    return [next(window if dim in offsets else batch, DYNAMIC_INDEX) for dim in range(rank)]


@irdl_op_definition
class ScatterOp(StableHLOOp):
    """The inputs with slices combined with updates at starts that are read from a tensor.

    Updates that do not lie in the input are dropped.
    """

    name = "stablehlo.scatter"

    inputs = var_operand_def(AnyTensor)
    scatter_indices = operand_def(AnyTensor)
    updates = var_operand_def(AnyTensor)
    scatter_dimension_numbers = prop_def(ScatterDimensionNumbersAttr)
    indices_are_sorted = opt_prop_def(BoolAttr)
    unique_indices = opt_prop_def(BoolAttr)
    update_computation = region_def("single_block")
    results_ = var_result_def(AnyTensor)

    irdl_options = (SameVariadicOperandSize(),)
    traits = traits_def(RecursiveMemoryEffect())

    def verify_(self) -> None:
        check_count("updates", len(self.updates), len(self.inputs))
        check_count("results", len(self.results_), len(self.inputs))
        indices, numbers = type_of(self.scatter_indices), self.scatter_dimension_numbers
        check_elements(indices.element_type, Elements.INTEGER)
        for i, value in enumerate(self.inputs):
            check_type(f"result {i}", self.results_[i].type, value.type)
            check_element_type(f"update {i}", type_of(self.updates[i]).element_type, type_of(value).element_type)
            _verify_index_vectors(
                indices,
                integers(numbers.scatter_dims_to_operand_dims),
                integers(numbers.scatter_indices_batching_dims),
                numbers.index_vector_dim.value.data,
                type_of(value).get_num_dims(),
            )


INDEXING_OPS = [
    DynamicSliceOp,
    DynamicUpdateSliceOp,
    GatherOp,
    ScatterOp,
    SliceOp,
]
