"""
Assembly that unpacks words into codes, for NVIDIA's GPUs from compute capability 8.0 on (8.9 for 8-bit floats).

No integer is converted to a float: the bits of a code are put into the mantissa of a power of two, and that is
subtracted, which is exact (the trick is Kim, Henry, Fahim and Awadalla's, "Who Says Elephants Can't Run", 2022). Each
piece of text takes two words and gives pairs of bf16 or f16 (`pack=2`), so that every instruction works on two codes.

The text of a piece follows from an `UnpackAttr` and an element type and from nothing else.
Source: https://docs.nvidia.com/cuda/parallel-thread-execution/index.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E5M2Type,
    IntegerType,
    Signedness,
    bf16,
    f16,
)
from xdsl.ir import Attribute

from flashlower.dialects.tl import InlineAsmElementwiseOp, UnpackAttr
from flashlower.dialects.tl.inline_asm import Code
from flashlower.dialects.tl.types import is_unsigned
from flashlower.lowering.triton.names import triton_dtype

INDENT = "        "

_CODES: dict[str, Code] = {
    "u4": IntegerType(4, Signedness.UNSIGNED),
    "i4": IntegerType(4, Signedness.SIGNED),
    "u8": IntegerType(8, Signedness.UNSIGNED),
    "i8": IntegerType(8, Signedness.SIGNED),
    "f8e4m3fn": Float8E4M3FNType(),
    "f8e5m2": Float8E5M2Type(),
}

_NAME = re.compile(rf"// unpack_({'|'.join(_CODES)})(?:_(minus|plus)_(\d+))?_to_(bf16|f16)(_scaled)?$", re.MULTILINE)


@dataclass(frozen=True)
class Unpacking:
    """One piece of assembly: what words hold, the type of the results, and whether a scale is multiplied."""

    asm: UnpackAttr
    element: Attribute
    scaled: bool

    @staticmethod
    def of(op: InlineAsmElementwiseOp) -> Unpacking:
        return Unpacking(op.asm, op.element, op.scale is not None)

    @property
    def name(self) -> str:
        """The name of the function that holds it, such as `unpack_u4_minus_7_to_bf16_scaled`."""
        code = next(name for name, type in _CODES.items() if type == self.asm.code)
        zero = self.asm.zero.data
        shift = f"_{'minus' if zero > 0 else 'plus'}_{abs(zero)}" if zero else ""
        return f"unpack_{code}{shift}_to_{self.element}{'_scaled' if self.scaled else ''}"

    def function(self) -> str:
        """The function in Triton, without a line break at the end; it gives a tuple, lane 0 first."""
        lanes, zero = self.asm.lanes, self.asm.zero.data
        code = f"code - {zero}" if zero > 0 else f"code + {-zero}" if zero else "code"
        outputs = ["=&r"] * lanes
        inputs = ["r"] * (3 if self.scaled else 2)
        arguments = "words, scale" if self.scaled else "words"
        return "\n".join(
            [
                f"# The {lanes} codes of each word, the lowest bits first: {code}{' times scale' * self.scaled}.",
                "@triton.jit",
                f"def {self.name}({arguments}):",
                "    return tl.inline_asm_elementwise(",
                f'        """{self.text()}""",',
                f'        "{",".join([*outputs, *inputs])}",',
                f"        [{arguments}],",
                f"        dtype=({triton_dtype(self.element)},) * {lanes},",
                "        is_pure=True,",
                "        pack=2,",
                "    )",
            ]
        )

    def text(self) -> str:
        """The assembly; its first line is a comment that names it."""
        lines = [f"// {self.name}", "{", *(f"  {line};" for line in self.lines()), "}"]
        return "".join(f"\n{INDENT}{line}" for line in lines) + f"\n{INDENT}"

    @staticmethod
    def parse(text: str) -> Unpacking | None:
        """The piece whose text this is, None where it is no such text."""
        if not (found := _NAME.search(text)):
            return None
        code, sign, zero, element, scaled = found.groups()
        shift = 0 if zero is None else int(zero) * (1 if sign == "minus" else -1)
        piece = Unpacking(UnpackAttr(_CODES[code], shift), bf16 if element == "bf16" else f16, scaled is not None)
        return piece if piece.text() == text else None

    def values(self, words: NDArray[np.int32]) -> list[NDArray[np.float32]]:
        """What the assembly computes before it multiplies with a scale, one array for each lane."""
        asm = self.asm
        found: list[NDArray[np.float32]] = []
        for lane in range(asm.lanes):
            codes = (words.view(np.uint32) >> np.uint32(asm.bits * lane)) & np.uint32((1 << asm.bits) - 1)
            if asm.is_float:
                type = ml_dtypes.float8_e5m2 if isinstance(asm.code, Float8E5M2Type) else ml_dtypes.float8_e4m3fn
                found.append(codes.astype(np.uint8).view(type).astype(np.float32))
                continue
            low, _ = asm.code_range()
            # A signed code with its top bit flipped counts from the least one.
            codes = (codes ^ np.uint32(-low)).astype(np.int64) + low
            found.append((codes - asm.zero.data).astype(np.float32))
        return found

    # The text. Registers: the results, the first word, the second word, a pair of scales.

    @property
    def _bf16(self) -> bool:
        return isinstance(self.element, BFloat16Type)

    def _word(self, number: int) -> str:
        return f"${self.asm.lanes + number}"

    def lines(self) -> list[str]:
        """The instructions."""
        match self.asm.bits, self.asm.is_float:
            case 4, _:
                lines = self._nibbles()
            case _, True:
                lines = self._floats()
            case _:
                lines = self._bytes_to_bf16() if self._bf16 else self._bytes_to_f16()
        if not self.scaled:
            return lines
        # x * s + -0.0 is x * s, with the sign of a zero product.
        kind, scale = self.element, self._word(2)
        products = [f"fma.rn.{kind}x2 ${lane}, ${lane}, {scale}, nothing" for lane in range(self.asm.lanes)]
        return [".reg .b32 nothing", "mov.b32 nothing, 0x80008000", *lines, *products]

    def _pair(self, value: int) -> str:
        """Two times an integer, as the bits of the element type."""
        sign, value = (0x8000, -value) if value < 0 else (0, value)
        if not value:
            return "0x00000000"
        exponent = value.bit_length() - 1
        bias, mantissa = (127, 7) if self._bf16 else (15, 10)
        fraction = (value << mantissa >> exponent) & ((1 << mantissa) - 1)
        assert (fraction | 1 << mantissa) << exponent == value << mantissa, "the integer is exact"
        return f"0x{(sign | (bias + exponent) << mantissa | fraction) * 0x10001:08x}"

    def _add(self, lane: int, addend: str) -> str:
        """`addend` is a register with a pair, `one` has a pair of ones."""
        return f"fma.rn.{self.element}x2 ${lane}, ${lane}, one, {addend}"

    def _nibbles(self) -> list[str]:
        """(base | code) - (base + zero), where one is the unit in the last place of base."""
        base = 128 if self._bf16 else 1024
        # In two's complement, the code with its top bit flipped is 8 more.
        flip = 0 if is_unsigned(self.asm.code) else 8
        bits = int(self._pair(base), 16) ^ flip * 0x10001
        lines = [
            ".reg .b32 low, high, shifted, one, offset",
            f"mov.b32 one, {self._pair(1)}",
            f"mov.b32 offset, {self._pair(-(base + flip + self.asm.zero.data))}",
            f"prmt.b32 low, {self._word(0)}, {self._word(1)}, 0x5410",
            f"prmt.b32 high, {self._word(0)}, {self._word(1)}, 0x7632",
        ]
        for lane in range(8):
            half, shift = ("low", "high")[lane // 4], lane % 4 * 4
            if shift:
                lines.append(f"shr.u32 shifted, {half}, {shift}")
                half = "shifted"
            # (half & mask) ^ bits
            lines.append(f"lop3.b32 ${lane}, {half}, 0x000f000f, 0x{bits:08x}, 0x6a")
            if base + flip + self.asm.zero.data:
                lines.append(self._add(lane, "offset"))
        return lines

    def _bytes_to_f16(self) -> list[str]:
        """As nibbles: (1024 | code) - (1024 + zero)."""
        flip = 0 if is_unsigned(self.asm.code) else 128
        lines = [
            ".reg .b32 one, offset",
            f"mov.b32 one, {self._pair(1)}",
            f"mov.b32 offset, {self._pair(-(1024 + flip + self.asm.zero.data))}",
        ]
        for lane in range(4):
            lines += [
                self._gather(f"${lane}", lane),
                f"lop3.b32 ${lane}, ${lane}, 0x00ff00ff, 0x{0x64006400 ^ flip * 0x10001:08x}, 0x6a",
            ]
            if 1024 + flip + self.asm.zero.data:
                lines.append(self._add(lane, "offset"))
        return lines

    def _bytes_to_bf16(self) -> list[str]:
        """
        The lower seven bits as 128 + n, minus 128 or 256 by the top bit: two's complement.

        With the top bit flipped that is the unsigned code - 128.
        """
        unsigned = is_unsigned(self.asm.code)
        top = 0x43804380 if unsigned else 0x43004300
        rest = self.asm.zero.data - (128 if unsigned else 0)
        lines = [
            ".reg .b32 top, one, minus_one, offset",
            f"mov.b32 one, {self._pair(1)}",
            f"mov.b32 minus_one, {self._pair(-1)}",
            f"mov.b32 offset, {self._pair(-rest)}",
        ]
        for lane in range(4):
            lines += [
                self._gather(f"${lane}", lane),
                f"lop3.b32 top, ${lane}, 0x00800080, 0x{top:08x}, 0x6a",
                f"lop3.b32 ${lane}, ${lane}, 0x007f007f, 0x43004300, 0x6a",
                f"fma.rn.bf16x2 ${lane}, top, minus_one, ${lane}",
            ]
            if rest:
                lines.append(self._add(lane, "offset"))
        return lines

    def _gather(self, register: str, lane: int) -> str:
        """Byte `lane` of both words into the low bytes of a pair; the high bytes are not meant."""
        selector = lane | lane << 4 | (4 + lane) << 8 | (4 + lane) << 12
        return f"prmt.b32 {register}, {self._word(0)}, {self._word(1)}, 0x{selector:04x}"

    def _floats(self) -> list[str]:
        """The conversion to f16, which is exact, and from there to bf16 through f32, which takes halves of pairs."""
        convert = f"cvt.rn.f16x2.{'e5m2' if isinstance(self.asm.code, Float8E5M2Type) else 'e4m3'}x2"
        lines = [".reg .b16 low, high"]
        if not self._bf16:
            lines.append(".reg .b32 pairs")
            for lane in (0, 2):
                lines += [
                    # Bytes of both words, twice: `lane` of each, and the next.
                    f"prmt.b32 pairs, {self._word(0)}, {self._word(1)}, 0x{0x5140 + lane * 0x1111:04x}",
                    "mov.b32 {low, high}, pairs",
                    f"{convert} ${lane}, low",
                    f"{convert} ${lane + 1}, high",
                ]
            return lines
        lines += [".reg .b16 even_first, odd_first, even_second, odd_second", ".reg .b32 first, second"]
        lines.append(".reg .f32 wide_first, wide_second")
        for half, lane in (("low", 0), ("high", 2)):
            for number, word in enumerate(("first", "second")):
                lines += [
                    f"mov.b32 {{low, high}}, {self._word(number)}",
                    f"{convert} {word}, {half}",
                    f"mov.b32 {{even_{word}, odd_{word}}}, {word}",
                ]
            for odd, parity in enumerate(("even", "odd")):
                lines += [f"cvt.f32.f16 wide_{word}, {parity}_{word}" for word in ("first", "second")]
                lines.append(f"cvt.rn.bf16x2.f32 ${lane + odd}, wide_second, wide_first")
        return lines
