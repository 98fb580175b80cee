"""Between MLIR's element types and dense literals, and NumPy's dtypes and arrays.

Types that NumPy lacks (bf16, the 8-bit floats, int4) are those of `ml_dtypes`.
"""

from __future__ import annotations

import math
from typing import Any, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import (
    AnyDenseElement,
    BFloat16Type,
    BytesAttr,
    ComplexType,
    DenseIntOrFPElementsAttr,
    Float4E2M1FNType,
    Float8E3M4Type,
    Float8E4M3B11FNUZType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E4M3Type,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
    Signedness,
    TensorType,
    i1,
)
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

_FLOATS: dict[type[ParametrizedAttribute], np.dtype] = {
    Float64Type: np.dtype(np.float64),
    Float32Type: np.dtype(np.float32),
    Float16Type: np.dtype(np.float16),
    BFloat16Type: np.dtype(ml_dtypes.bfloat16),
    Float8E4M3FNType: np.dtype(ml_dtypes.float8_e4m3fn),
    Float8E4M3FNUZType: np.dtype(ml_dtypes.float8_e4m3fnuz),
    Float8E4M3B11FNUZType: np.dtype(ml_dtypes.float8_e4m3b11fnuz),
    Float8E4M3Type: np.dtype(ml_dtypes.float8_e4m3),
    Float8E5M2Type: np.dtype(ml_dtypes.float8_e5m2),
    Float8E5M2FNUZType: np.dtype(ml_dtypes.float8_e5m2fnuz),
    Float8E3M4Type: np.dtype(ml_dtypes.float8_e3m4),
    Float8E8M0FNUType: np.dtype(ml_dtypes.float8_e8m0fnu),
    Float4E2M1FNType: np.dtype(ml_dtypes.float4_e2m1fn),
}

# StableHLO and arith read signless integers as signed ones wherever the sign matters.
_SIGNED: dict[int, np.dtype] = {
    1: np.dtype(np.bool_),
    2: np.dtype(ml_dtypes.int2),
    4: np.dtype(ml_dtypes.int4),
    8: np.dtype(np.int8),
    16: np.dtype(np.int16),
    32: np.dtype(np.int32),
    64: np.dtype(np.int64),
}
_UNSIGNED: dict[int, np.dtype] = {
    2: np.dtype(ml_dtypes.uint2),
    4: np.dtype(ml_dtypes.uint4),
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    32: np.dtype(np.uint32),
    64: np.dtype(np.uint64),
}


def largest_finite(element_type: Attribute) -> float:
    """The largest finite number of a float type, or of f32 where that is less."""
    info = cast(Any, ml_dtypes).finfo(numpy_dtype(element_type))
    return min(float(info.max), float(np.finfo(np.float32).max))


def numpy_dtype(element_type: Attribute) -> np.dtype:
    """The dtype whose elements hold the values of an MLIR element type; `index` is int64, `i1` is bool.

    Raises `DiagnosticException` for a type that NumPy and ml_dtypes cannot hold.
    """
    dtype: np.dtype | None = None
    if isinstance(element_type, ParametrizedAttribute) and (known := _FLOATS.get(type(element_type))) is not None:
        return known
    match element_type:
        case IndexType():
            dtype = np.dtype(np.int64)
        case IntegerType():
            unsigned = element_type.signedness.data == Signedness.UNSIGNED
            dtype = (_UNSIGNED if unsigned else _SIGNED).get(element_type.width.data)
        case ComplexType(element_type=Float32Type()):
            dtype = np.dtype(np.complex64)
        case ComplexType(element_type=Float64Type()):
            dtype = np.dtype(np.complex128)
        case _:
            pass
    if dtype is None:
        raise DiagnosticException(f"element type {element_type} has no NumPy dtype")
    return dtype


def element_type_of(dtype: np.dtype) -> Attribute:
    """The MLIR element type of a dtype; signed NumPy integers become signless ones, as StableHLO has them.

    Raises `DiagnosticException` for a dtype that MLIR has no type for.
    """
    for cls, known in _FLOATS.items():
        if dtype == known:
            return cls.new(())
    for width, known in _SIGNED.items():
        if dtype == known:
            return IntegerType(width)
    for width, known in _UNSIGNED.items():
        if dtype == known:
            return IntegerType(width, Signedness.UNSIGNED)
    if dtype == np.complex64:
        return ComplexType(Float32Type())
    if dtype == np.complex128:
        return ComplexType(Float64Type())
    raise DiagnosticException(f"dtype {dtype} has no MLIR element type")


def dense_to_numpy(attr: DenseIntOrFPElementsAttr) -> np.ndarray:
    """The values of a dense literal, in its type's shape."""
    element_type = attr.get_element_type()
    dtype = numpy_dtype(element_type)
    # xDSL stores every element in whole bytes, sub-byte types included.
    size = element_type.compile_time_size
    if size != dtype.itemsize:
        raise DiagnosticException(f"dense literals of element type {element_type} cannot be read")
    return bytes_to_numpy(attr.data.data, dtype, attr.get_shape())


def bytes_to_numpy(data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Little-endian bytes, one or more whole bytes an element, as a read-only array.

    Raises `DiagnosticException` where the number of bytes does not fit the shape.
    """
    if len(data) != (expected := dtype.itemsize * math.prod(shape)):
        raise DiagnosticException(f"literal has {len(data)} bytes, but shape {list(shape)} of {dtype} needs {expected}")
    if dtype == np.bool_:
        # True may be stored as 1 or as -1.
        return (np.frombuffer(data, np.uint8) != 0).reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


def numpy_to_dense(array: npt.ArrayLike, type: Attribute | None = None) -> DenseIntOrFPElementsAttr:
    """A dense literal with the values of an array (or scalar), converted to the type's elements.

    `type` is a statically shaped tensor type; by default the array's own. A scalar fills a tensor of any shape.
    Raises `DiagnosticException` where the array has another shape than the type.
    """
    values = np.asarray(array)
    if type is None:
        type = TensorType(element_type_of(values.dtype), values.shape)
    if not isa(type, TensorType[AnyDenseElement]):
        raise DiagnosticException(f"a dense literal needs a tensor type of numbers, but got {type}")
    element_type = type.get_element_type()
    shape = type.get_shape()
    values = values.astype(numpy_dtype(element_type))
    if values.ndim == 0:
        values = np.broadcast_to(values, shape)
    if values.shape != shape:
        raise DiagnosticException(
            f"array of shape {list(values.shape)} does not fit type {type} of shape {list(shape)}"
        )
    if element_type == i1:
        # The parser stores `true` as all ones; equal literals must be equal attributes.
        values = np.where(values, np.int8(-1), np.int8(0))
    return DenseIntOrFPElementsAttr(type, BytesAttr(np.ascontiguousarray(values).tobytes()))
