"""What quantised K and V are worth, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flashlower.dialects.attention.quantization import Packing, Part, QuantizationAttr
from flashlower.dialects.numpy_values import numpy_dtype

Array: TypeAlias = npt.NDArray[Any]


def codes_of(elements: Array, attr: QuantizationAttr, packing: Packing, dtype: np.dtype[Any]) -> Array:
    """
    The codes as numbers, given for every channel (the last axis) the element of the storage that its code is in.
    """
    if attr.is_float and elements.dtype == numpy_dtype(attr.codes):
        return elements.astype(dtype)
    channels = np.arange(elements.shape[-1], dtype=np.int64)
    lanes = channels // packing.width if packing.planar else channels % packing.lanes
    bits = elements.astype(np.int64) >> attr.bits * lanes & (1 << attr.bits) - 1
    if attr.is_float:
        return bits.astype(np.uint8).view(numpy_dtype(attr.codes)).astype(dtype)
    if attr.is_signed:
        sign = 1 << attr.bits - 1
        bits = (bits ^ sign) - sign
    return bits.astype(dtype)


def dequantised(codes: Array, attr: QuantizationAttr, parts: Mapping[Part, Array]) -> Array:
    """`round((code - zero) * scale + offset)`, all of it in the dtype of the codes."""
    dtype = codes.dtype
    value = codes - (parts["zero"] if "zero" in parts else dtype.type(attr.zero.data))
    if "scale" in parts:
        value = value * parts["scale"]
    if "offset" in parts:
        value = value + parts["offset"]
    return value if attr.rounded_to is None else value.astype(numpy_dtype(attr.rounded_to)).astype(dtype)
