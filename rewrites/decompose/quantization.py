"""Quantised K and V as plain StableHLO: shifts and masks for codes that share an element, then scales.

value = round((convert(code) - zero) * scale + offset)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from xdsl.dialects.builtin import BFloat16Type, FixedBitwidthType, IntegerType, Signedness, i64
from xdsl.ir import Attribute

from flashlower.dialects import stablehlo
from flashlower.dialects.attention.quantization import Packing, Part, QuantizationAttr
from flashlower.rewrites.decompose.axes import Named, TensorBuilder


def dequantise(
    builder: TensorBuilder,
    elements: Named,
    attr: QuantizationAttr,
    packing: Packing,
    channel: str,
    parts: Mapping[Part, Named],
    type: Attribute,
    hint: str,
) -> Named:
    """The values of K or V, given for every channel the element of the storage that its code is in."""
    value = builder.convert(_codes(builder, elements, attr, packing, channel), type)
    zero = builder.convert(parts["zero"], type) if "zero" in parts else None
    if attr.zero.data:
        zero = builder.constant(attr.zero.data, type)
    if zero is not None:
        value = builder.elementwise(stablehlo.SubtractOp, value, zero)
    if "scale" in parts:
        value = builder.elementwise(stablehlo.MulOp, value, builder.convert(parts["scale"], type), hint=hint)
    if "offset" in parts:
        value = builder.elementwise(stablehlo.AddOp, value, builder.convert(parts["offset"], type), hint=hint)
    if attr.rounded_to is not None:
        # A conversion there and back is what XLA takes for excess precision that it need not lose.
        bits = (8, 7) if isinstance(attr.rounded_to, BFloat16Type) else (5, 10)
        value = Named(builder.emit(stablehlo.ReducePrecisionOp(value.value, *bits), hint), value.axes)
    return value


def _codes(builder: TensorBuilder, x: Named, attr: QuantizationAttr, packing: Packing, channel: str) -> Named:
    """The codes as numbers of their own type, or integers of the same value."""
    if attr.is_float and x.element_type == attr.codes:
        return x
    width, bits = cast(FixedBitwidthType, x.element_type).bitwidth, attr.bits
    if packing.lanes == 1:
        return builder.bitcast(x, attr.codes if attr.is_float else _integer(width, attr.is_signed), x.value.name_hint)
    element_type = _integer(width, attr.is_signed)
    x = builder.bitcast(x, element_type, x.value.name_hint)

    def amount(multiple: int, shift: int) -> Named:
        """The lane times so many bits, plus some."""
        channels = builder.iota(channel)
        lane = builder.elementwise(
            stablehlo.DivOp if packing.planar else stablehlo.RemOp,
            channels,
            builder.constant(packing.width if packing.planar else packing.lanes, i64),
            hint="lane",
        )
        lane = builder.elementwise(stablehlo.MulOp, lane, builder.constant(multiple, i64))
        if shift:
            lane = builder.elementwise(stablehlo.AddOp, lane, builder.constant(shift, i64))
        return builder.convert(lane, element_type)

    if attr.is_signed:
        # The code moves to the top, and from there to the bottom with its sign.
        x = builder.elementwise(stablehlo.ShiftLeftOp, x, amount(-bits, width - bits))
        down = builder.constant(width - bits, element_type)
        return builder.elementwise(stablehlo.ShiftRightArithmeticOp, x, down, hint="codes")
    x = builder.elementwise(stablehlo.ShiftRightLogicalOp, x, amount(bits, 0))
    mask = builder.constant((1 << bits) - 1, element_type)
    x = builder.elementwise(stablehlo.AndOp, x, mask, hint="codes")
    if not attr.is_float:
        return x
    x = builder.convert(x, _integer(bits, signed=False))
    return builder.bitcast(x, attr.codes, x.value.name_hint)


def _integer(width: int, signed: bool) -> IntegerType:
    """StableHLO's integers: signless ones are signed."""
    return IntegerType(width, Signedness.SIGNLESS if signed else Signedness.UNSIGNED)
