"""
Quantisation in a kernel: scales of groups, codes of values, codes packed into words.

The formulas are those of `attention.update_cache`, to the bit: divisions are `tl.div_rn`, and 8-bit floats are rounded
by integer arithmetic, which every GPU has. In maxima, an infinity stands for a NaN: those of values are replaced by the
largest finite number before, and `tl.max` would lose a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import ml_dtypes
from xdsl.dialects.builtin import Float8E4M3FNType, f32, i8, i32, i64
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.attention.quantization import Packing, Part, QuantizationAttr
from flashlower.dialects.attention.quantizer import QuantizerAttr, Rounding, Scaling, code_range, symmetric_limit
from flashlower.dialects.numpy_values import largest_finite, numpy_dtype
from flashlower.dialects.tl.types import bit_width, element_type, is_float, is_float8
from flashlower.lowering.triton.builder import KernelBuilder

TO_INTEGER = 1.5 * 2.0**23
"""Added to a float32 and taken away again, it leaves the nearest integer, ties to even, of what is below 2^22."""


def _round(b: KernelBuilder, x: SSAValue, rounding: Rounding) -> SSAValue:
    """The integer that a small float32 is rounded to, i32."""
    if rounding is Rounding.TO_NEAREST_EVEN:
        x = b.sub(b.add(x, TO_INTEGER), TO_INTEGER)
    return b.cast(x, i32)


def _clamp(b: KernelBuilder, x: SSAValue, low: SSAValue | float, high: SSAValue | float) -> SSAValue:
    return b.minimum(b.maximum(x, low), high)


def quotient(b: KernelBuilder, x: SSAValue, scale: SSAValue, name: str | None = None) -> SSAValue:
    """x / scale, 0 where the scale is 0."""
    return b.where(b.ne(scale, 0.0), b.div_rn(x, scale), 0.0, name=name)


class Quantizer:
    """Emits the arithmetic of one update. Values are blocks of f32 [rows, groups, group], which came as `source`."""

    def __init__(self, b: KernelBuilder, attr: QuantizationAttr, quantizer: QuantizerAttr, source: Attribute):
        self._b = b
        self._attr = attr
        self._scaling = quantizer.scaling
        self._rounding = quantizer.rounding
        self._source = source

    # Scales.

    def make(
        self,
        values: SSAValue,
        exists: SSAValue | None,
        types: Mapping[Part, Attribute],
        *,
        over_rows: bool,
    ) -> dict[Part, SSAValue]:
        """
        The scale of every group, and what else `types` has a type for: [rows, groups], or [groups] where groups are
        over the rows too. Values that do not exist are 0.
        """
        b = self._b
        limit = largest_finite(self._source)
        if self._scaling is Scaling.SYMMETRIC:
            size = b.minimum(b.abs(values), limit)
            top = self._most(b.where(b.eq(values, values), size, math.inf), over_rows, "amax")
            return {"scale": self._scale(top, symmetric_limit(self._attr), b.lt(top, math.inf), types["scale"])}
        low, high = code_range(self._attr)
        finite = _clamp(b, values, -limit, limit)
        upper, lower = b.where(b.eq(values, values), finite, math.inf), b.neg(finite)
        if exists is not None:
            upper, lower = (b.where(exists, x, -math.inf) for x in (upper, lower))
        top = self._most(upper, over_rows, "top")
        is_number = b.lt(top, math.inf)
        bottom = b.neg(self._most(lower, over_rows, None), name="bottom")
        if "zero" in types:
            top, bottom = b.maximum(top, 0.0), b.minimum(bottom, 0.0)
        scale = self._scale(b.sub(top, bottom), high - low, is_number, types["scale"])
        made: dict[Part, SSAValue] = {"scale": scale}
        if "offset" in types:
            most = largest_finite(types["offset"])
            made["offset"] = self._narrow(_clamp(b, bottom, -most, most), is_number, types["offset"], "offset")
        if "zero" in types:
            first = quotient(b, bottom, b.cast(scale, f32))
            first = b.where(b.eq(first, first), first, 0.0)
            zero = _round(b, _clamp(b, b.sub(float(low), first), float(low), float(high)), self._rounding)
            made["zero"] = b.cast(zero, types["zero"], name="zero")
        return made

    def _most(self, x: SSAValue, over_rows: bool, name: str | None) -> SSAValue:
        """The maximum of every group."""
        top = self._b.max(x, 2, name=name)
        return self._b.max(top, 0, name=name) if over_rows else top

    def _scale(self, extent: SSAValue, codes: int, is_number: SSAValue, element: Attribute) -> SSAValue:
        """The scale that spreads an extent over so many codes."""
        b = self._b
        scale = b.minimum(b.div_rn(extent, float(codes)), largest_finite(element))
        return self._narrow(scale, is_number, element, "scale")

    def _narrow(self, x: SSAValue, is_number: SSAValue, element: Attribute, name: str) -> SSAValue:
        """A float32 in the type of scales or offsets; NaN where it is none."""
        return self._b.cast(self._b.where(is_number, x, math.nan), element, name=name)

    # Codes.

    def codes(self, values: SSAValue, parts: Mapping[Part, SSAValue]) -> SSAValue:
        """The codes of values in i32, 8-bit floats as their bits; the shapes of `parts` broadcast to the values'."""
        b = self._b
        if "offset" in parts:
            values = b.sub(values, b.cast(parts["offset"], f32))
        y = quotient(b, values, b.cast(parts["scale"], f32), "y") if "scale" in parts else values
        low, high = code_range(self._attr)
        if self._attr.is_float:
            return self._float8_bits(y)
        y = b.where(b.eq(y, y), y, 0.0)
        zero = parts.get("zero")
        if zero is not None and is_float(element_type(zero.type)):
            return _round(b, _clamp(b, b.add(y, b.cast(zero, f32)), float(low), float(high)), self._rounding)
        if zero is not None:
            base = b.cast(zero, f32)
            whole = _round(b, _clamp(b, y, b.sub(float(low), base), b.sub(float(high), base)), self._rounding)
            return b.add(whole, b.cast(zero, i32), name="codes")
        constant = self._attr.zero.data
        if self._scaling is Scaling.SYMMETRIC:
            limit = symmetric_limit(self._attr)
            low, high = constant - limit, constant + limit
        whole = _round(b, _clamp(b, y, float(low - constant), float(high - constant)), self._rounding)
        return b.add(whole, constant, name="codes") if constant else whole

    def _float8_bits(self, y: SSAValue) -> SSAValue:
        """
        The bits of 8-bit floats in i32, rounded to nearest even and saturated.

        Normal numbers are float32 with fewer bits of mantissa and another bias. Others are multiples of the smallest
        number, which an addition counts: next to `magic` float32 has just these.
        """
        b = self._b
        info = cast(Any, ml_dtypes).finfo(numpy_dtype(self._attr.codes))
        mantissa, least = int(info.nmant), float(info.smallest_normal)
        dropped, bias = 23 - mantissa, 1 - int(info.minexp)
        magic = float(info.smallest_subnormal) * 2.0**23
        magic_bits = (int(math.log2(magic)) + 127) << 23
        size = b.minimum(b.abs(y), float(info.max))
        bits = b.bitcast(size, i32, name="bits")
        odd = b.and_(b.shr(bits, dropped), 1)
        rounded = b.shr(b.add(b.add(bits, (1 << (dropped - 1)) - 1), odd), dropped)
        normal = b.sub(rounded, (127 - bias) << mantissa)
        small = b.sub(b.bitcast(b.add(size, magic), i32), magic_bits)
        code = b.where(b.lt(size, least), small, normal)
        not_a_number = 0x7F if isinstance(self._attr.codes, Float8E4M3FNType) else 0x7E
        code = b.where(b.eq(y, y), code, not_a_number)
        return b.or_(code, b.and_(b.shr(b.bitcast(y, i32), 24), 0x80), name="codes")

    # Words.

    def pack(
        self,
        codes: SSAValue,
        packing: Packing,
        rows: SSAValue,
        width: SSAValue,
        lanes: SSAValue,
        element: Attribute,
    ) -> SSAValue:
        """Codes of whole rows as elements of the storage, [rows, width]."""
        b = self._b
        word = i64 if bit_width(element) == 64 else i32
        if self._attr.is_signed or self._attr.is_float:
            codes = b.and_(codes, (1 << packing.bits) - 1)
        codes = b.cast(codes, word)
        shifts = b.cast(b.mul(b.arange(0, lanes), packing.bits), word)
        # Lanes have bits of their own, so a sum is an or.
        if packing.planar:
            shifts = b.expand_dims(b.columns(shifts), 2)
            words = b.sum(b.shl(b.reshape(codes, (rows, lanes, width)), shifts), 1, name="words")
        else:
            shifts = b.columns(b.columns(shifts))
            words = b.sum(b.shl(b.reshape(codes, (rows, width, lanes)), shifts), 2, name="words")
        return b.cast(words, element)

    def stored(self, codes: SSAValue, element: Attribute) -> SSAValue:
        """Codes that have an element each, in the type of the storage."""
        b = self._b
        if not is_float8(element):
            return b.cast(codes, element)
        return b.bitcast(b.cast(codes, i8), element)
