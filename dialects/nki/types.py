"""
Tiles of the `nki` dialect, and what the three generations of the hardware have.

Facts are of the NKI documentation (https://awsdocs-neuron.readthedocs-hosted.com/en/latest/nki/): a tile is a tensor in
one of the memories; in SBUF and PSUM its first dimension lies on the partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from xdsl.dialects.builtin import (
    ArrayAttr,
    BFloat16Type,
    Float8E4M3FNType,
    Float8E4M3Type,
    Float8E5M2Type,
    Float16Type,
    Float32Type,
    IntAttr,
    IntegerType,
    Signedness,
    StringAttr,
)
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

PARTITIONS = 128
"""Partitions of SBUF and PSUM."""

PSUM_BANK_BYTES = 2048
PSUM_BANKS = 8

ON_CHIP = ("sbuf", "psum")
HBM = ("shared_hbm", "private_hbm")
MEMORIES = (*ON_CHIP, *HBM)

FP32_MIN = -3.4028234663852886e38
"""The lowest finite f32, `nl.fp32.min`."""

Float: TypeAlias = BFloat16Type | Float16Type | Float32Type | Float8E4M3Type | Float8E4M3FNType | Float8E5M2Type


@dataclass(frozen=True)
class Hardware:
    """One generation: what the rules of the instructions depend on."""

    name: str
    generation: int
    """The number of the NeuronCore: 2, 3 or 4."""
    sbuf_bytes: int
    """SBUF of one partition."""
    moving_size: int
    """The most elements of a moving operand along the free dimension, for an f32 result."""


HARDWARE = {
    hardware.name: hardware
    for hardware in (
        Hardware("trn1", 2, 192 * 1024, 512),
        Hardware("trn2", 3, 224 * 1024, 512),
        Hardware("trn3", 4, 256 * 1024, 4096),
    )
}
"""By the name that kernels and passes take; inf2 has trn1's cores."""

_FLOATS: dict[type[Attribute], tuple[str, int]] = {
    BFloat16Type: ("bfloat16", 2),
    Float16Type: ("float16", 2),
    Float32Type: ("float32", 4),
    Float8E4M3Type: ("float8_e4m3", 1),
    Float8E4M3FNType: ("float8_e4m3fn", 1),
    Float8E5M2Type: ("float8_e5m2", 1),
}


def dtype_name(element: Attribute) -> str | None:
    """The name of an element type in `nl`, None where NKI has no such type; i1 is stored as a byte."""
    if (found := _FLOATS.get(type(element))) is not None:
        return found[0]
    if isa(element, IntegerType) and element.width.data in (8, 16, 32):
        return f"{'u' if element.signedness.data == Signedness.UNSIGNED else ''}int{element.width.data}"
    return None


def element_bytes(element: Attribute) -> int:
    """The bytes of one element."""
    if (found := _FLOATS.get(type(element))) is not None:
        return found[1]
    if isa(element, IntegerType):
        return max(element.width.data // 8, 1)
    raise VerifyException(f"NKI has no elements of type {element}")


def is_float8(element: Attribute) -> bool:
    """Whether this is one of the 8-bit floats."""
    return isinstance(element, Float8E4M3Type | Float8E4M3FNType | Float8E5M2Type)


@irdl_attr_definition
class TileType(ParametrizedAttribute, TypeAttribute):
    """
    A tensor in one memory: `!nki.tile<128x512xf32, sbuf>`.

    The memories are `sbuf`, `psum`, `shared_hbm` (arguments and results) and `private_hbm`.
    """

    name = "nki.tile"

    dims: ArrayAttr[IntAttr]
    element_type: Attribute
    memory: StringAttr

    def __init__(self, shape: Sequence[int], element_type: Attribute, memory: str):
        super().__init__(ArrayAttr(IntAttr(size) for size in shape), element_type, StringAttr(memory))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size.data for size in self.dims)

    @property
    def partitions(self) -> int:
        """The size of the first dimension."""
        return self.shape[0]

    @property
    def free_size(self) -> int:
        """Elements of one partition."""
        return prod(self.shape[1:])

    @property
    def on_chip(self) -> bool:
        return self.memory.data in ON_CHIP

    @property
    def bytes_per_partition(self) -> int:
        return self.free_size * element_bytes(self.element_type)

    def verify(self) -> None:
        if self.memory.data not in MEMORIES:
            raise VerifyException(f"a tile is in one of {', '.join(MEMORIES)}, got {self.memory.data!r}")
        if dtype_name(self.element_type) is None:
            raise VerifyException(f"NKI has no elements of type {self.element_type}")
        if any(size < 1 for size in self.shape) or not self.shape:
            raise VerifyException(f"sizes of a tile are static and at least 1, got {self.shape}")
        if not self.on_chip:
            return
        if len(self.shape) < 2:
            raise VerifyException(
                f"a tile in {self.memory.data} has a partition and a free dimension, got {self.shape}"
            )
        if self.partitions > PARTITIONS:
            raise VerifyException(
                f"partition limit: {self.memory.data} has {PARTITIONS} partitions, got a tile of {self.partitions}"
            )

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string("".join(f"{size}x" for size in self.shape))
            printer.print_attribute(self.element_type)
            printer.print_string(f", {self.memory.data}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        with parser.in_angle_brackets():
            shape, element_type = parser.parse_ranked_shape()
            parser.parse_punctuation(",")
            memory = parser.parse_identifier(" (a memory)")
        return [ArrayAttr(IntAttr(size) for size in shape), element_type, StringAttr(memory)]


def tile_of(value: SSAValue) -> TileType:
    """The tile type of a value."""
    if not isinstance(value.type, TileType):
        raise VerifyException(f"expected a tile, got {value.type}")
    return value.type
