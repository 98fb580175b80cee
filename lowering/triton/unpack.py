"""Quantised codes out of the elements that hold them: tiles of storage in, a tile of floats for every lane out.

This is the one place that knows how bits become numbers. What it emits is shifts, masks and bit casts, which run on
every target of Triton's and in its interpreter, or the assembly of `ptx.py`, which takes a third of the instructions.
"""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import BFloat16Type, Float8E5M2Type, Float16Type, bf16, f16, f32, i16, i32, i64
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.attention.quantization import QuantizationAttr
from flashlower.dialects.tl import UnpackAttr
from flashlower.dialects.tl.types import bit_width, element_type, is_float8, is_unsigned
from flashlower.lowering.triton.builder import KernelBuilder

E4M3_TO_F32 = 2.0**120
"""The exponent bits of an e4m3 count from -7, those of an f32 from -127."""


def assembly_element(element: Attribute) -> Attribute:
    """The type that assembly unpacks to for dots in a type, which holds every code: that type if it has 16 bits."""
    return element if isinstance(element, BFloat16Type | Float16Type) else bf16


def assembly(stored: Attribute, quantization: QuantizationAttr, element: Attribute) -> UnpackAttr | None:
    """The assembly that gives what `unpack` gives for words of type `stored`; None where there is none."""
    if stored != i32:
        return None
    piece = UnpackAttr(quantization.codes, quantization.zero.data)
    return piece if piece.is_exact(element) else None


def unpack(b: KernelBuilder, words: SSAValue, quantization: QuantizationAttr, element: Attribute) -> Iterator[SSAValue]:
    """
    The codes in a tile of storage less their constant zero point, in `element` (bf16, f16 or f32): a tile of the same
    shape for every lane, that of the least significant bits first. All are exact: codes have at most eight bits.
    """
    if is_float8(element_type(words.type)):
        yield b.cast(words, element)
        return
    stored = element_type(words.type)
    lanes = bit_width(stored) // quantization.bits
    if lanes > 1 and bit_width(stored) < 32:
        # Whatever stands in front is cut off below.
        words = b.cast(words, i32, name="words")
    for lane in range(lanes):
        yield _lane(b, words, lane, quantization, element)


def _lane(b: KernelBuilder, words: SSAValue, lane: int, quantization: QuantizationAttr, element: Attribute) -> SSAValue:
    bits = _bits(b, words, lane * quantization.bits, quantization.bits, signed=quantization.is_signed)
    if quantization.is_float:
        return b.cast(_float8(b, bits, quantization.codes), element)
    zero = quantization.zero.data
    return b.cast(b.sub(bits, zero) if zero else bits, element)


def _bits(b: KernelBuilder, words: SSAValue, start: int, count: int, *, signed: bool) -> SSAValue:
    """`count` bits from bit `start` on as an integer of 32 bits or more, sign or zeros in front."""
    stored = element_type(words.type)
    width = bit_width(stored)
    if width == count and signed != is_unsigned(stored):
        return b.cast(words, i32)
    if width < 32:
        words, width = b.cast(words, i32), 32
    elif is_unsigned(stored):
        words = b.cast(words, i32 if width == 32 else i64)
    if signed:
        left = width - start - count
        return b.shr(b.shl(words, left) if left else words, width - count)
    return b.and_(b.shr(words, start) if start else words, (1 << count) - 1)


def _float8(b: KernelBuilder, bits: SSAValue, codes: Attribute) -> SSAValue:
    """The value of the bits of an 8-bit float, in f16 or f32."""
    bits = b.cast(bits, i32)
    bits.name_hint = "bits"
    if isinstance(codes, Float8E5M2Type):
        # The upper half of an f16.
        return b.bitcast(b.cast(b.shl(bits, 8), i16), f16)
    magnitude = b.and_(bits, 0x7F, name="magnitude")
    moved = b.or_(b.shl(b.and_(bits, 0x80), 24), b.shl(magnitude, 20))
    value = b.mul(b.bitcast(moved, f32), E4M3_TO_F32, name="value")
    # Every other pattern is a number; subnormal ones become normal in the product.
    return b.where(b.eq(magnitude, 0x7F), float("nan"), value)
