"""Quantisation on NumPy arrays: the formulas of `attention.update_cache`, on whole groups.

Values are float32 arrays in which some axes are those of a group; what is made has size 1 there. Every division and
rounding is the one that the definition of the operation names, so a kernel must give these very bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from xdsl.ir import Attribute

from flashlower.dialects.attention.quantization import Packing, Part, QuantizationAttr
from flashlower.dialects.attention.quantizer import Rounding, Scaling, code_range, symmetric_limit
from flashlower.dialects.numpy_values import largest_finite, numpy_dtype
from flashlower.interpreters.numerics import Array, is_float

F32 = np.float32


def round_quotient(x: Array, rounding: Rounding) -> Array:
    """An integer near each number."""
    return np.rint(x) if rounding is Rounding.TO_NEAREST_EVEN else np.trunc(x)


def _narrowed(x: Array, type: Attribute) -> Array:
    """Float32 in a narrower type, to nearest even; what is too large is the largest finite number, NaN stays."""
    limit = F32(largest_finite(type))
    return np.clip(x, -limit, limit).astype(numpy_dtype(type))


def quotient(x: Array, scale: Array) -> Array:
    """x / scale in float32, 0 where the scale is 0."""
    zero = scale == 0
    return np.where(zero, F32(0), x / np.where(zero, F32(1), scale))


def make_parts(
    x: Array,
    source: Attribute,
    axes: tuple[int, ...],
    attr: QuantizationAttr,
    scaling: Scaling,
    rounding: Rounding,
    types: Mapping[Part, Attribute],
) -> dict[Part, Array]:
    """
    The scale of every group, and the zero point or offset that `types` has a type for.

    `source` is the type that the float32 values `x` came in, whose largest number stands for infinity.
    """
    limit = F32(largest_finite(source))
    not_a_number = np.isnan(x).any(axes, keepdims=True)
    x = np.clip(np.where(np.isnan(x), F32(0), x), -limit, limit)
    low, high = code_range(attr)
    parts: dict[Part, Array] = {}
    if scaling is Scaling.SYMMETRIC:
        scale = np.max(np.abs(x), axes, keepdims=True, initial=0) / F32(symmetric_limit(attr))
        parts["scale"] = _narrowed(np.where(not_a_number, F32(np.nan), scale), types["scale"])
        return parts
    most, least = np.max(x, axes, keepdims=True), np.min(x, axes, keepdims=True)
    if "zero" in types:
        most, least = np.maximum(most, F32(0)), np.minimum(least, F32(0))
    scale = (most - least) / F32(high - low)
    parts["scale"] = _narrowed(np.where(not_a_number, F32(np.nan), scale), types["scale"])
    if "offset" in types:
        parts["offset"] = _narrowed(np.where(not_a_number, F32(np.nan), least), types["offset"])
    if "zero" in types:
        first = quotient(least, parts["scale"].astype(F32))
        zero = round_quotient(F32(low) - np.where(np.isnan(first), F32(0), first), rounding)
        parts["zero"] = np.clip(zero, low, high).astype(numpy_dtype(types["zero"]))
    return parts


def make_codes(
    x: Array, attr: QuantizationAttr, scaling: Scaling, rounding: Rounding, parts: Mapping[Part, Array]
) -> Array:
    """The codes of float32 values, as int32 or in the type of 8-bit floats; `parts` broadcast to the values."""
    if "offset" in parts:
        x = x - parts["offset"].astype(F32)
    y = quotient(x, parts["scale"].astype(F32)) if "scale" in parts else x
    low, high = code_range(attr)
    if attr.is_float:
        return np.clip(y, low, high).astype(numpy_dtype(attr.codes))
    y = np.where(np.isnan(y), F32(0), y)
    zero = parts.get("zero")
    if zero is not None and is_float(zero.dtype):
        return round_quotient(np.clip(y + zero.astype(F32), low, high), rounding).astype(np.int32)
    base = np.asarray(attr.zero.data if zero is None else zero, np.int64)
    if scaling is Scaling.SYMMETRIC:
        limit = symmetric_limit(attr)
        low, high = attr.zero.data - limit, attr.zero.data + limit
    return (base + round_quotient(np.clip(y, low - base, high - base), rounding).astype(np.int64)).astype(np.int32)


def pack(codes: Array, packing: Packing, dtype: np.dtype[Any]) -> Array:
    """Codes [.., channels] as elements [.., width] of a storage type."""
    if is_float(dtype):
        return codes
    bits = codes.view(np.uint8) if is_float(codes.dtype) else codes
    lanes = bits.astype(np.uint64) & np.uint64((1 << packing.bits) - 1)
    shape = (packing.lanes, packing.width) if packing.planar else (packing.width, packing.lanes)
    lanes = lanes.reshape(*codes.shape[:-1], *shape)
    if not packing.planar:
        lanes = np.moveaxis(lanes, -1, -2)
    shifts = np.arange(packing.lanes, dtype=np.uint64)[:, None] * np.uint64(packing.bits)
    words = np.bitwise_or.reduce(lanes << shifts, axis=-2)
    return words.astype(f"u{dtype.itemsize}").view(dtype)
