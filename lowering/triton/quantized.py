"""Quantised K and V in a kernel: codes become floats in registers, and scales go where they cost least.

An element of storage that holds P codes gives P blocks of the head, one for every lane: lane j of the elements
e = 0, 1, ... has the channels e * P + j, or j * W + e where the packing is planar. Q and the output have the same
channels, so nothing is interleaved in the loop, and S is a sum of P dots.

    value = round((code - zero) * scale + offset)

A value that is not rounded may have its scale applied outside of the dot, where it is the same for all channels of a
key in a block (to the logits, or to the weights of V), for all keys of a channel (to Q, or to the output), or for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from xdsl.dialects.builtin import BFloat16Type, Float8E4M3FNType, Float8E5M2Type, Float16Type, f16, f32
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.attention.quantization import Quantization
from flashlower.dialects.tl import PtrType, UnpackAttr
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.key_tiles import KeyTile, KeyTiles, TileTensor
from flashlower.lowering.triton.lanes import Lanes
from flashlower.lowering.triton.memory import HeadPart, load_floats
from flashlower.lowering.triton.operands import HEAD_DIMS, OperandName, OperandTile, block_mask
from flashlower.lowering.triton.parameters import Access
from flashlower.lowering.triton.shared_values import SharedTensor, SharedTile
from flashlower.lowering.triton.unpack import assembly, assembly_element, unpack


class QuantizedOperand:
    """K or V in codes, with dots in the type `element`."""

    def __init__(
        self,
        b: KernelBuilder,
        op: AttentionOp,
        sizes: Sizes,
        name: OperandName,
        accesses: dict[str, Access],
        element: Attribute,
        *,
        use_assembly: bool = False,
        half: bool = False,
        heads: int = 1,
    ):
        """`half` asks for dots in f16, which is done where they lose nothing by it."""
        quantization, packing = op.quantization(name), op.packing(name)
        assert quantization is not None and packing is not None
        self._b = b
        self.name: OperandName = name
        self.attr = quantization.attr
        self.element = element
        self._access = accesses[name]
        self._sizes = sizes
        self.head = Lanes(b, sizes, HEAD_DIMS[name], packing, heads)
        self._shared = {
            part: SharedTensor(b, name, part, accesses[f"{name}_{part}"], self.head)
            for part, _ in quantization.shared()
        }
        self.folded = self._place_scale(quantization)
        """The scale, where it is applied outside of the dots."""
        self.values = {part: shared for part, shared in self._shared.items() if shared is not self.folded}
        """What is applied to the codes."""
        words = cast(PtrType, b.arg(self._access.pointer).type).pointee
        self.half = half and self._fits_f16(assembly(words, self.attr, f16))
        """Whether dots are in f16 though the query is bf16: 8-bit floats get there in fewer instructions."""
        if self.half:
            self.element = f16
        self.computes_in = self._place_arithmetic()
        """The type in which that is done."""
        self.assembly = assembly(words, self.attr, assembly_element(element)) if use_assembly else None
        """The assembly that unpacks the codes, if that is asked for and there is some."""
        self.scales_words = self.assembly is not None and self._has_scales_of_words()
        """Whether the assembly multiplies with the scale as well."""

    def _place_scale(self, quantization: Quantization) -> SharedTensor | None:
        scale = self._shared.get("scale")
        if scale is None or quantization.attr.rounded_to is not None or quantization.offset is not None:
            return None
        if scale.per_key and scale.per_channel and not scale.per_block:
            return None
        on_query = self.name == "k" and scale.per_channel and not scale.per_key
        if on_query and isinstance(self.element, Float16Type):
            # Scales are small, and f16 has no small numbers.
            return None
        return scale

    def _fits_f16(self, piece: UnpackAttr | None) -> bool:
        """Whether dots that would be in bf16 may be in f16: they are of codes alone, and of weights of up to 1."""
        if not isinstance(self.element, BFloat16Type) or piece is None or self.values or self.attr.rounded_to:
            return False
        return self.name == "k" or self.folded is None or not self.folded.per_key

    def _place_arithmetic(self) -> Attribute:
        if not self.values:
            return self.element
        scale = self.values.get("scale")
        rounded = self.attr.rounded_to or self.element
        if scale is not None and len(self.values) == 1 and scale.stored == rounded == self.element:
            # One product of two numbers of this type, which the code is exactly, has one rounding as well.
            scale.element = self.element
            return self.element
        return f32

    def _has_scales_of_words(self) -> bool:
        """Whether a scale in the type of the dots is all that is applied, and all codes of a word have the same one."""
        if list(self.values) != ["scale"] or self.values["scale"].element != assembly_element(self.element):
            return False
        lanes, which = self.head.packing.lanes, self.values["scale"].which
        return all(len(set(which[i : i + lanes])) == 1 for i in range(0, len(which), lanes))

    @property
    def parts(self) -> Sequence[HeadPart]:
        """The blocks of the head: for each block of elements, one of every lane."""
        return self.head.lanes

    def start(self, tiles: KeyTiles, programs: Programs) -> None:
        """Builds the pointers, and loads what all keys share."""
        self._codes = TileTensor(
            tiles, self._access, programs, HEAD_DIMS[self.name], self.head.elements, transposed=self.name == "k"
        )
        for shared in self._shared.values():
            shared.start(tiles, programs)

    def at(self, tile: KeyTile, mask_n: SSAValue | None) -> OperandTile:
        """The codes and scales of a tile."""
        return _QuantizedTile(self, self._b, self._codes.at(tile), tile, mask_n)

    def scale(self) -> SSAValue | None:
        """The scale of all keys and channels."""
        if self.folded is None or self.folded.per_channel or self.folded.per_key:
            return None
        return self.folded.constant(0)

    def unit(self) -> SSAValue | None:
        """What the weights were divided by for their range."""
        unit = self.weight_unit()
        return None if unit is None else self._sizes.constexpr("V_UNIT", 1 / unit, f32)

    def channel_scale(self, part: int) -> SSAValue | None:
        """The scale of each channel, where it is that of all keys."""
        if self.folded is None or self.folded.per_key or not self.folded.per_channel:
            return None
        return self.folded.constant(part)

    def weight_unit(self) -> float | None:
        """
        A power of two by which weights, or weights times scales, are larger, None for 1.

        Weights are up to 1, and f16 has less range below that than bf16: where it takes the place of bf16, weights are
        up to half of what it holds. A scale is smaller than the values by the range of the codes: f16 would lose small
        weights to it.
        """
        if self.name == "k" or not isinstance(self.element, Float16Type):
            return None
        if self.half:
            return 2.0**15
        if self.folded is None or not self.folded.per_key:
            return None
        if isinstance(self.attr.codes, Float8E5M2Type):
            return 2.0**15
        return 2.0**8 if isinstance(self.attr.codes, Float8E4M3FNType) else 2.0 ** (self.attr.bits - 1)

    def larger(self) -> SSAValue | None:
        """What the weights of all keys are multiplied with for their range."""
        unit = self.weight_unit()
        return None if unit is None else self._sizes.constexpr("P_UNIT", unit, f32)

    def dequantized(self, code: SSAValue, values: dict[str, SSAValue]) -> SSAValue:
        """A block of values from one of codes and what stands beside them, in the type of the dots."""
        b = self._b
        value = code
        if "zero" in values:
            value = b.sub(value, values["zero"])
        if "scale" in values:
            value = b.mul(value, values["scale"])
        if "offset" in values:
            value = b.add(value, values["offset"])
        if values and self.attr.rounded_to is not None:
            value = b.cast(value, self.attr.rounded_to)
        return b.cast(value, self.element)


class _QuantizedTile:
    """A quantised operand in one tile of keys."""

    def __init__(
        self,
        operand: QuantizedOperand,
        b: KernelBuilder,
        pointers: Sequence[SSAValue],
        tile: KeyTile,
        mask_n: SSAValue | None,
    ):
        self._operand = operand
        self._b = b
        self._pointers = pointers
        self._tile = tile
        self._mask_n = mask_n
        self._scales: SharedTile | None = None
        self._factors: dict[SSAValue, SSAValue] = {}

    def blocks(self) -> Iterator[SSAValue]:
        b, operand = self._b, self._operand
        loaded = {part: shared.at(self._tile, self._mask_n) for part, shared in operand.values.items()}
        position = 0
        for element, pointers in zip(operand.head.elements, self._pointers):
            mask = block_mask(b, operand.name, element.mask, self._mask_n)
            words = load_codes(b, pointers, mask, f"{operand.name}_codes{element.suffix}")
            scale = loaded["scale"].of(position) if operand.scales_words else None
            for code in self._unpack(words, scale):
                values = {} if scale is not None else {part: tile.of(position) for part, tile in loaded.items()}
                value = operand.dequantized(code, values)
                value.name_hint = f"{operand.name}{operand.parts[position].suffix}"
                position += 1
                yield value

    def _unpack(self, words: SSAValue, scale: SSAValue | None) -> Iterable[SSAValue]:
        b, operand = self._b, self._operand
        if (piece := operand.assembly) is None:
            return unpack(b, words, operand.attr, operand.computes_in)
        codes = b.unpack(words, piece, assembly_element(operand.element), scale, name=operand.name)
        return [b.cast(code, operand.computes_in) for code in codes]

    def key_factor(self, part: int) -> SSAValue | None:
        folded = self._operand.folded
        if folded is None or not folded.per_key:
            return self._operand.larger()
        if self._scales is None:
            self._scales = folded.at(self._tile, self._mask_n)
        scale, unit = self._scales.vector(part), self._operand.weight_unit()
        if unit is None:
            return scale
        if scale not in self._factors:
            self._factors[scale] = self._b.mul(scale, unit)
        return self._factors[scale]


def load_codes(b: KernelBuilder, pointers: SSAValue, mask: SSAValue | None, name: str) -> SSAValue:
    """Loads elements of storage, zero bits where the mask is false."""
    return load_floats(b, pointers, mask, name, widen=False)


def about_codes(op: AttentionOp, name: str) -> str:
    """What the elements of a quantised operand are: " of 8 u4 codes, value = bf16((code - 7) * k_scale)"."""
    quantization, lanes = op.quantization(name), op.lanes()[name]
    assert quantization is not None
    attr = quantization.attr
    zero = f"{name}_zero" if quantization.zero is not None else str(attr.zero.data or "")
    sign = "+" if zero.startswith("-") else "-"
    value = f"(code {sign} {zero.removeprefix('-')})" if zero else "code"
    if quantization.scale is not None:
        value += f" * {name}_scale"
    if quantization.offset is not None:
        value += f" + {name}_offset"
    if attr.rounded_to is not None:
        value = f"{attr.rounded_to}({value})"
    codes = f"{lanes} {attr.code_name} codes" if lanes > 1 else f"one {attr.code_name} code"
    return f" of {codes}, value = {value}"
