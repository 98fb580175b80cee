"""Constants and conversions."""

from __future__ import annotations

from typing import Any, cast

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import AnyFloat, Float8E8M0FNUType, f32, i32
from xdsl.ir import Attribute

from flashlower.dialects import stablehlo
from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.package import constant_array
from flashlower.frontends.onnx.values import Value

table = Table()


@table.lowers("Constant")
def constant(node: Node) -> Value:
    dtypes: dict[str, Any] = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    for name, dtype in dtypes.items():
        if node.attribute(name) is not None:
            return Value(array=np.asarray(node.attribute(name), dtype))
    if node.attribute("value") is None:
        raise node.error(
            f"has {', '.join(node.attributes) or 'no attribute'}, expected value or value_float(s), _int(s)"
        )
    return Value(array=constant_array(node.attribute("value"), node.where))


@table.lowers("Identity")
def identity(node: Node) -> Value:
    return node.input(0)


@table.lowers("Dropout")
def dropout(node: Node) -> list[Value | None]:
    """At inference, the identity."""
    x = node.input(0)
    training = node.optional(2)
    if training is not None and (training.array is None or training.array.any()):
        raise node.error("training_mode is set; export the model for inference")
    mask = node.b.broadcast(node.b.scalar(True, node.element_type(9)), x.shape) if node.has_output(1) else None
    return [x, mask]


@table.lowers("Cast")
def cast_(node: Node) -> Value:
    return _cast(node, node.element_type(node.attribute("to")))


@table.lowers("CastLike")
def cast_like(node: Node) -> Value:
    return _cast(node, node.input(1).element_type)


def _cast(node: Node, element_type: Attribute) -> Value:
    """Floats beyond an 8-bit float become its largest, unless `saturate=0`; integers of few bits wrap around."""
    b, x = node.b, node.input(0)
    if x.element_type == element_type:
        return x
    dtype = numpy_dtype(element_type)
    if isinstance(element_type, Float8E8M0FNUType):
        raise node.error("casts to FLOAT8E8M0 are not supported; they round in ways of their own")
    if isinstance(element_type, AnyFloat) and element_type.bitwidth == 8 and node.attribute("saturate", 1):
        largest = float(cast(Any, ml_dtypes.finfo(dtype)).max)
        wide = b.cast(x, f32)
        wide = b.binary(stablehlo.MaxOp, wide, b.like(-largest, wide))
        x = b.binary(stablehlo.MinOp, wide, b.like(largest, wide))
    if x.is_float and dtype.name in ("int2", "int4", "uint2", "uint4"):
        x = b.cast(x, i32)
    return b.cast(x, element_type)


@table.lowers("DequantizeLinear")
def dequantize_linear(node: Node) -> Value:
    """
    (x - zero_point) * scale, per tensor, along an axis, or per block of `block_size` along an axis.

    It is computed in f32 and rounded once, to the type of the scale or to `output_dtype`.
    """
    b, x, scale = node.b, node.input(0), node.input(1)
    if not isinstance(scale.element_type, AnyFloat):
        raise node.error(f"scale has elements of type {scale.element_type}, expected a float")
    wide = b.cast(x, f32)
    zero_point = node.optional(2)
    if zero_point is not None:
        wide = b.subtract(wide, b.cast(_for_elements(node, zero_point, "zero_point"), f32))
    scaled = b.multiply(wide, b.cast(_for_elements(node, scale, "scale"), f32))
    data_type = node.attribute("output_dtype", 0)
    return b.cast(scaled, node.element_type(data_type) if data_type else scale.element_type)


def _for_elements(node: Node, value: Value, what: str) -> Value:
    """A scale or zero point of DequantizeLinear in a shape that broadcasts to the data's."""
    b, x = node.b, node.input(0)
    axis = node.axis(node.attribute("axis", 1)) if value.rank else 0
    block = node.attribute("block_size", 0)
    if not block:
        shape = [1] * x.rank
        if value.rank == 1 and x.rank:
            shape[axis] = value.size
        return b.reshape(value, shape)
    size = x.shape[axis]
    blocks = -(-size // block)
    expected = (*x.shape[:axis], blocks, *x.shape[axis + 1 :])
    if value.shape != expected:
        raise node.error(
            f"{what} has shape {list(value.shape)}, expected {list(expected)} for blocks of {block} along axis {axis}"
        )
    outer, inner = list(x.shape[:axis]), list(x.shape[axis + 1 :])
    dimensions = [i if i <= axis else i + 1 for i in range(x.rank)]
    spread = b.broadcast_in_dim(value, dimensions, [*outer, blocks, block, *inner])
    return b.slice_axis(b.reshape(spread, [*outer, blocks * block, *inner]), axis, 0, size)


@table.lowers("ConstantOfShape")
def constant_of_shape(node: Node) -> Value:
    """A view of one element: nothing of the size of the shape is stored."""
    shape = node.integers(0, "the shape")
    tensor = node.attribute("value")
    value = np.zeros(1, np.float32) if tensor is None else constant_array(tensor, node.where)
    return Value(array=np.broadcast_to(value.reshape(()), shape))


@table.lowers("EyeLike")
def eye_like(node: Node) -> Value:
    x = node.input(0)
    if x.rank != 2:
        raise node.error(f"the input has rank {x.rank}, expected 2")
    data_type = node.attribute("dtype")
    element_type = x.element_type if data_type is None else node.element_type(data_type)
    b = node.b
    rows = b.add(b.iota(x.shape, 0), b.constant(np.asarray(node.attribute("k", 0), np.int64)))
    return b.cast(b.compare(rows, b.iota(x.shape, 1), "EQ"), element_type)


@table.lowers("Range")
def range_(node: Node) -> Value:
    """start, start + delta, ... up to, not including, the limit."""
    b = node.b
    start, limit, delta = (node.known(i, name).reshape(()) for i, name in enumerate(("start", "limit", "delta")))
    if delta == 0:
        raise node.error("delta is 0")
    size = max(int(np.ceil((limit - start) / delta)), 0)
    element_type = node.input(0).element_type
    result = b.iota([size], 0, element_type)
    if delta != 1:
        result = b.multiply(result, b.constant(delta))
    if start != 0:
        result = b.add(result, b.constant(start))
    known = np.arange(size).astype(numpy_dtype(element_type)) * delta + start
    return Value(result.ssa, known.astype(numpy_dtype(element_type)), formula=True)
