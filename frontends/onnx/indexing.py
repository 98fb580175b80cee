"""Reading elements by indices."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import i64

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo import GatherDimensionNumbersAttr
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


def from_start(b: Builder, indices: Value, size: int) -> Value:
    """Indices counted from the start; negative ones count from the end."""
    if indices.array is not None and not indices.formula:
        return Value(array=np.where(indices.array < 0, indices.array + size, indices.array))
    if indices.is_unsigned:
        return indices
    return b.select(b.compare(indices, b.like(0, indices), "LT"), b.add(indices, b.like(size, indices)), indices)


def gather(b: Builder, x: Value, indices: Value, slice_sizes: list[int], numbers: GatherDimensionNumbersAttr) -> Value:
    return b.result(stablehlo.GatherOp(b.ssa(x), b.ssa(indices), numbers, slice_sizes))


def gather_rows(b: Builder, table: Value, rows: Value) -> Value:
    """The rows of a matrix at some places, [...] to [..., columns]; negative ones count from the end."""
    return gather_axis(b, table, rows, 0)


def gather_axis(b: Builder, x: Value, indices: Value, axis: int) -> Value:
    """Slices of size 1 along an axis; the dimensions of the indices take its place."""
    if indices.array is not None and indices.size == 1:
        place = int(indices.array.reshape(()))
        place += x.shape[axis] if place < 0 else 0
        part = b.slice_axis(x, axis, place, place + 1)
        return b.reshape(part, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    wrapped = from_start(b, indices, x.shape[axis])
    offsets = [*range(axis), *range(axis + indices.rank, x.rank - 1 + indices.rank)]
    numbers = GatherDimensionNumbersAttr.get(
        offset_dims=offsets,
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        index_vector_dim=indices.rank,
    )
    sizes = [1 if dim == axis else size for dim, size in enumerate(x.shape)]
    return gather(b, x, wrapped, sizes, numbers)


@table.lowers("Gather")
def gather_(node: Node) -> Value:
    x, indices = node.input(0), node.input(1)
    axis = node.axis(node.attribute("axis", 0))
    if indices.array is not None and indices.size:
        low, high = int(indices.array.min()), int(indices.array.max())
        if low < -x.shape[axis] or high >= x.shape[axis]:
            raise node.error(f"indices from {low} to {high} are out of range for axis {axis} of {list(x.shape)}")
    return gather_axis(node.b, x, indices, axis)


def element_indices(b: Builder, x: Value, indices: Value, axis: int) -> Value:
    """For indices [...] along an axis, the full index of each element, [..., rank]."""
    parts = [
        b.cast(from_start(b, indices, x.shape[axis]), i64) if dim == axis else b.iota(indices.shape, dim)
        for dim in range(x.rank)
    ]
    return b.concatenate([b.reshape(part, (*indices.shape, 1)) for part in parts], indices.rank)


@table.lowers("GatherElements")
def gather_elements(node: Node) -> Value:
    b, x, indices = node.b, node.input(0), node.input(1)
    axis = node.axis(node.attribute("axis", 0))
    if indices.rank != x.rank:
        raise node.error(f"indices have rank {indices.rank}, but the input rank {x.rank}")
    numbers = GatherDimensionNumbersAttr.get(
        collapsed_slice_dims=range(x.rank), start_index_map=range(x.rank), index_vector_dim=x.rank
    )
    return gather(b, x, element_indices(b, x, indices, axis), [1] * x.rank, numbers)


def wrapped_vectors(b: Builder, indices: Value, sizes: tuple[int, ...]) -> Value:
    """Index vectors along the last dimension, counted from the start."""
    if indices.array is not None and not indices.formula:
        return Value(array=np.where(indices.array < 0, indices.array + np.asarray(sizes), indices.array))
    limits = b.constant(np.asarray(sizes, np.int64))
    return b.select(b.compare(indices, b.like(0, indices), "LT"), b.add(indices, limits), indices)


@table.lowers("GatherND")
def gather_nd(node: Node) -> Value:
    b, x, indices = node.b, node.input(0), node.input(1)
    batch = int(node.attribute("batch_dims", 0))
    depth = indices.shape[-1]
    if batch + depth > x.rank:
        raise node.error(f"index vectors of {depth} entries after {batch} batch dimensions do not fit rank {x.rank}")
    indexed = range(batch, batch + depth)
    outer = indices.rank - 1
    numbers = GatherDimensionNumbersAttr.get(
        offset_dims=range(outer, outer + x.rank - batch - depth),
        collapsed_slice_dims=indexed,
        operand_batching_dims=range(batch),
        start_indices_batching_dims=range(batch),
        start_index_map=indexed,
        index_vector_dim=indices.rank - 1,
    )
    sizes = [1 if dim < batch + depth else size for dim, size in enumerate(x.shape)]
    return gather(b, x, wrapped_vectors(b, indices, x.shape[batch : batch + depth]), sizes, numbers)


@table.lowers("OneHot")
def one_hot(node: Node) -> Value:
    """Values [off, on]; the new dimension is at `axis`. Indices out of range give no `on`."""
    b, indices, values = node.b, node.input(0), node.input(2)
    depth = int(node.known(1, "depth").reshape(()))
    axis = node.axis(node.attribute("axis", -1), indices.rank + 1)
    shape = list(indices.shape)
    shape.insert(axis, depth)
    column = list(indices.shape)
    column.insert(axis, 1)
    places = b.reshape(b.cast(from_start(b, b.cast(indices, i64), depth), i64), column)
    hot = b.compare(b.iota(shape, axis), places, "EQ")
    off, on = (b.reshape(b.slice_axis(values, 0, i, i + 1), ()) for i in range(2))
    return b.select(hot, on, off)
