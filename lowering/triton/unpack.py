"""
Codes out of a tile of words: the lanes of the words, each a tile of floats.

Two forms compute the same: plain Triton, which runs everywhere, and assembly for NVIDIA's GPUs (`ptx.py`), which takes
a third of the instructions.
"""

from __future__ import annotations

from xdsl.dialects.builtin import BFloat16Type, Float8E4M3FNType, Float8E5M2Type, Float16Type, f16, f32, i16, i32
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl import UnpackAttr
from flashlower.dialects.tl.types import bit_width, element_type, is_unsigned
from flashlower.lowering.triton.builder import KernelBuilder


def unpack(
    b: KernelBuilder,
    words: SSAValue,
    asm: UnpackAttr,
    element: Attribute,
    scale: SSAValue | None = None,
    *,
    name: str,
    assembly: bool = False,
) -> list[SSAValue]:
    """
    The codes of each lane minus `asm.zero`, in `element`, times `scale` if there is one: the lowest bits first.

    `words` is a tile of 8-, 16- or 32-bit integers, `scale` spreads over it. The product is rounded once to `element`,
    from f32. The results are called `name` and a number. `assembly` asks for that where there is some: for words of
    32 bits into bf16 and f16, with a scale of that type.
    """
    if assembly and has_assembly(words, asm, element, scale):
        return b.unpack(words, asm, element, scale, name=name)
    lanes = bit_width(element_type(words.type)) // asm.bits
    found: list[SSAValue] = []
    for lane in range(lanes):
        value = _lane(b, words, lane, asm)
        if asm.zero.data:
            value = b.sub(value, asm.zero.data)
        label = name if lanes == 1 else f"{name}{lane}"
        if scale is None:
            found.append(b.cast(value, element, name=label))
        else:
            found.append(b.cast(b.mul(b.cast(value, f32), b.cast(scale, f32)), element, name=label))
    return found


def has_assembly(words: SSAValue, asm: UnpackAttr, element: Attribute, scale: SSAValue | None = None) -> bool:
    """Whether `ptx.py` has what unpacks such words."""
    if element_type(words.type) != i32 or not isinstance(element, BFloat16Type | Float16Type):
        return False
    try:
        asm.verify_exact(element)
    except VerifyException:
        return False
    return scale is None or element_type(scale.type) == element


def _lane(b: KernelBuilder, words: SSAValue, lane: int, asm: UnpackAttr) -> SSAValue:
    """One code of every word: an i32, or f32 where codes are floats."""
    words = b.cast(words, i32)
    if isinstance(asm.code, Float8E4M3FNType | Float8E5M2Type):
        return _float8(b, _bits(b, words, lane, 8), asm.code)
    if is_unsigned(asm.code):
        return _bits(b, words, lane, asm.bits)
    # The sign comes along with an arithmetic shift.
    left = 32 - asm.bits * (lane + 1)
    return b.shr(b.shl(words, left) if left else words, 32 - asm.bits)


def _bits(b: KernelBuilder, words: SSAValue, lane: int, bits: int) -> SSAValue:
    return b.and_(b.shr(words, bits * lane) if lane else words, (1 << bits) - 1)


def _float8(b: KernelBuilder, code: SSAValue, type: Float8E4M3FNType | Float8E5M2Type) -> SSAValue:
    """An 8-bit float in the low bits of an i32, as f32; no hardware need know the type."""
    if isinstance(type, Float8E5M2Type):
        # The upper byte of an f16.
        return b.cast(b.bitcast(b.cast(b.shl(code, 8), i16), f16), f32)
    magnitude = b.and_(code, 0x7F)
    # Exponents are 7 + e there and 127 + e here; f32 has 20 more bits of mantissa.
    normal = b.bitcast(b.add(b.shl(magnitude, 20), 120 << 23), f32)
    value = b.where(b.lt(magnitude, 8), b.mul(b.cast(magnitude, f32), 2.0**-9), normal)
    value = b.where(b.eq(magnitude, 0x7F), float("nan"), value)
    return b.where(b.ge(code, 0x80), b.neg(value), value)
