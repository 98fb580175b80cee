"""Writing elements by indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, i64

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo import ReductionKind, ScatterDimensionNumbersAttr
from flashlower.dialects.stablehlo.attributes import integer_list
from flashlower.frontends.onnx.indexing import element_indices, wrapped_vectors
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()

KINDS: dict[str, ReductionKind] = {"add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}


def scatter(
    node: Node, x: Value, indices: Value, updates: Value, window: Sequence[int], indexed: Sequence[int]
) -> Value:
    """
    x with updates at index vectors, which lie along the last dimension of the indices.

    `window` lists the dimensions of the updates that are slices of x; `indexed` the dimensions of x that the vectors
    index, which are not in a slice.
    """
    reduction = node.attribute("reduction", "none")
    if reduction not in ("none", *KINDS):
        raise node.error(f"reduction {reduction!r} is none of none, {', '.join(KINDS)}")
    b = node.b
    body = stablehlo.replacement_body(x.element_type)
    if reduction != "none":
        body = stablehlo.reduction_body(KINDS[reduction], x.element_type)
    numbers = ScatterDimensionNumbersAttr(
        integer_list(window),
        integer_list(indexed),
        integer_list(()),
        integer_list(()),
        integer_list(indexed),
        IntegerAttr(indices.rank - 1, i64),
    )
    return b.result(
        stablehlo.ScatterOp.build(
            operands=[[b.ssa(x)], b.ssa(indices), [b.ssa(updates)]],
            result_types=[[x.type]],
            properties={"scatter_dimension_numbers": numbers},
            regions=[body],
        )
    )


@table.lowers("ScatterElements", "Scatter")
def scatter_elements(node: Node) -> Value:
    x, indices, updates = node.input(0), node.input(1), node.input(2)
    axis = node.axis(node.attribute("axis", 0))
    if indices.rank != x.rank or indices.shape != updates.shape:
        raise node.error(
            f"indices have shape {list(indices.shape)}, updates {list(updates.shape)}, input {list(x.shape)}"
        )
    return scatter(node, x, element_indices(node.b, x, indices, axis), updates, (), range(x.rank))


@table.lowers("ScatterND")
def scatter_nd(node: Node) -> Value:
    x, indices, updates = node.input(0), node.input(1), node.input(2)
    depth = indices.shape[-1]
    expected = (*indices.shape[:-1], *x.shape[depth:])
    if depth > x.rank or updates.shape != expected:
        raise node.error(
            f"updates have shape {list(updates.shape)}, but indices of shape {list(indices.shape)} into "
            f"{list(x.shape)} need {list(expected)}"
        )
    places = wrapped_vectors(node.b, indices, x.shape[:depth])
    return scatter(node, x, places, updates, range(indices.rank - 1, updates.rank), range(depth))


@table.lowers("TensorScatter")
def tensor_scatter(node: Node) -> Value:
    """A cache [batch, ..., length, ...] with an update written at each sequence's position, or around its end."""
    b, cache, update = node.b, node.input(0), node.input(1)
    axis = node.axis(node.attribute("axis", -2))
    if axis == 0:
        raise node.error("axis is 0, which is the batch")
    mode = node.attribute("mode", "linear")
    if mode not in ("linear", "circular"):
        raise node.error(f"mode {mode!r} is neither linear nor circular")
    batch, length, size = cache.shape[0], update.shape[axis], cache.shape[axis]
    plane = (batch, length)
    places = b.iota(plane, 1)
    if (starts := node.optional(2)) is not None:
        places = b.add(places, b.broadcast_in_dim(b.cast(starts, i64), (0,), plane))
    if mode == "circular":
        places = b.binary(stablehlo.RemOp, places, b.constant(np.asarray(size, np.int64)))
    vectors = b.concatenate([b.reshape(part, (*plane, 1)) for part in (b.iota(plane, 0), places)], 2)
    moved = b.move_axis(update, axis, 1)
    # A slice has the dimensions of the cache but the batch and `axis`; moved has them after these two.
    return scatter(node, cache, vectors, moved, range(2, cache.rank), (0, axis))
