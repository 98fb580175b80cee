"""StableHLO's slices, gathers and scatters on NumPy arrays.

Source: the StableHLO specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.utils.exceptions import InterpretationError

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo.attributes import integers
from flashlower.dialects.stablehlo.base import i64_values
from flashlower.interpreters.numerics import Array, Kernel, compute


def _window(value: Array, starts: Sequence[Array], sizes: Sequence[int]) -> tuple[slice, ...]:
    """Slices of given sizes, whose starts are clamped so that they lie in the value."""
    clamped = [
        int(np.clip(start, 0, whole - size)) for start, whole, size in zip(starts, value.shape, sizes, strict=True)
    ]
    return tuple(slice(start, start + size) for start, size in zip(clamped, sizes, strict=True))


def window_starts(
    indices: Array,
    vector_dim: int,
    mapped: Sequence[int],
    batching: Sequence[int],
    indices_batching: Sequence[int],
    rank: int,
) -> list[Array]:
    """Where the window of each index vector starts, for every dimension of the indexed tensor.

    Each array has the shape of the indices without the dimension of the vectors (or broadcasts to it). `mapped`
    lists the dimensions that the entries of a vector index; in those of `batching`, a window starts at its own
    vector's index in the dimension of the same place in `indices_batching`.
    """
    vectors = indices[..., np.newaxis] if vector_dim == indices.ndim else np.moveaxis(indices, vector_dim, -1)
    batch: tuple[int, ...] = vectors.shape[:-1]
    starts: list[Array] = [np.zeros((1,) * len(batch), np.int64) for _ in range(rank)]
    for entry, dim in enumerate(mapped):
        starts[dim] = vectors[..., entry].astype(np.int64)
    for dim, source in zip(batching, indices_batching, strict=True):
        axis = source - (source > vector_dim)
        own = [1] * len(batch)
        own[axis] = batch[axis]
        starts[dim] = np.arange(batch[axis]).reshape(own)
    return starts


def places(starts: Sequence[Array], sizes: Sequence[int], dropped: Sequence[int]) -> list[Array]:
    """Index arrays for windows at given starts: first the starts' dimensions, then the window's.

    Dimensions that are dropped have a size of 1 and none in the window.
    """
    kept = [dim for dim in range(len(sizes)) if dim not in dropped]
    result: list[Array] = []
    for dim, start in enumerate(starts):
        offsets = [1] * len(kept)
        if dim in kept:
            offsets[kept.index(dim)] = sizes[dim]
        offset = np.arange(sizes[dim] if dim in kept else 1).reshape(offsets)
        result.append(np.reshape(start, (*start.shape, *(1,) * len(kept))) + offset)
    return result


# A scatter's body by its kind: the function, or None where the update replaces what was there.
_COMBINE: dict[str, Kernel] = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
}


@register_impls
class StableHLOIndexingFunctions(InterpreterFunctions):
    """Ops that read or write parts of tensors."""

    @impl(stablehlo.SliceOp)
    def run_slice(self, interpreter: Interpreter, op: stablehlo.SliceOp, args: PythonValues) -> PythonValues:
        bounds = zip(i64_values(op.start_indices), i64_values(op.limit_indices), i64_values(op.strides), strict=True)
        return (args[0][tuple(slice(*bound) for bound in bounds)],)

    @impl(stablehlo.DynamicSliceOp)
    def run_dynamic_slice(
        self, interpreter: Interpreter, op: stablehlo.DynamicSliceOp, args: PythonValues
    ) -> PythonValues:
        value, *starts = args
        return (value[_window(value, starts, i64_values(op.slice_sizes))],)

    @impl(stablehlo.DynamicUpdateSliceOp)
    def run_dynamic_update_slice(
        self, interpreter: Interpreter, op: stablehlo.DynamicUpdateSliceOp, args: PythonValues
    ) -> PythonValues:
        value, update, *starts = args
        result = value.copy()
        result[_window(value, starts, update.shape)] = update
        return (result,)

    @impl(stablehlo.GatherOp)
    def run_gather(self, interpreter: Interpreter, op: stablehlo.GatherOp, args: PythonValues) -> PythonValues:
        value, indices = args
        numbers, sizes = op.dimension_numbers, i64_values(op.slice_sizes)
        batching = integers(numbers.operand_batching_dims)
        starts = window_starts(
            indices,
            numbers.index_vector_dim.value.data,
            integers(numbers.start_index_map),
            batching,
            integers(numbers.start_indices_batching_dims),
            value.ndim,
        )
        clamped = [
            np.clip(start, 0, whole - size) for start, whole, size in zip(starts, value.shape, sizes, strict=True)
        ]
        dropped = (*integers(numbers.collapsed_slice_dims), *batching)
        gathered = value[tuple(np.broadcast_arrays(*places(clamped, sizes, dropped)))]
        # The window's dimensions are last by now; the result has them at `offset_dims`.
        offsets = integers(numbers.offset_dims)
        window = range(gathered.ndim - len(offsets), gathered.ndim)
        return (np.moveaxis(gathered, tuple(window), offsets),)

    @impl(stablehlo.ScatterOp)
    def run_scatter(self, interpreter: Interpreter, op: stablehlo.ScatterOp, args: PythonValues) -> PythonValues:
        if len(args) != 3:
            raise InterpretationError("scatter of several tensors at once cannot be run")
        value, indices, updates = args
        numbers = op.scatter_dimension_numbers
        batching = integers(numbers.input_batching_dims)
        starts = window_starts(
            indices,
            numbers.index_vector_dim.value.data,
            integers(numbers.scatter_dims_to_operand_dims),
            batching,
            integers(numbers.scatter_indices_batching_dims),
            value.ndim,
        )
        dropped = (*integers(numbers.inserted_window_dims), *batching)
        windows = integers(numbers.update_window_dims)
        updates = np.moveaxis(updates, windows, tuple(range(updates.ndim - len(windows), updates.ndim)))
        sizes = np.ones(value.ndim, int)
        sizes[[dim for dim in range(value.ndim) if dim not in dropped]] = updates.shape[updates.ndim - len(windows) :]
        index = [np.broadcast_to(place, updates.shape) for place in places(starts, sizes.tolist(), dropped)]
        inside = np.ones(updates.shape, bool)
        for place, size in zip(index, value.shape, strict=True):
            inside &= (place >= 0) & (place < size)
        target, new = tuple(place[inside] for place in index), updates[inside]
        return (_scattered(op, value, target, new),)


def _scattered(op: stablehlo.ScatterOp, value: Array, target: tuple[Array, ...], new: Array) -> Array:
    body = op.update_computation.block
    if (kind := stablehlo.reduction_kind(op.update_computation)) is not None:

        def combine(old: Array, update: Array) -> Array:
            result = old.copy()
            # Unlike assignment, `at` combines all updates of an element that is listed more than once.
            getattr(_COMBINE[kind], "at")(result, target, update)  # noqa: B009
            return result

        return compute(combine, value.dtype, value, new)
    if body.last_op is body.first_op and body.last_op is not None and body.last_op.operands[0] is body.args[1]:
        result = value.copy()
        result[target] = new
        return result
    raise InterpretationError("scatter can be run only with a body of one op, or one that returns the update")
