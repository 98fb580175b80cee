"""Attributes of the attention dialect."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import IntAttr
from xdsl.ir import ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException


@irdl_attr_definition
class ScheduleAttr(ParametrizedAttribute):
    """
    How a kernel does its work; it never changes what is computed beyond rounding.

    `#attention.schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>`: `block_m` packed rows
    (queries times head group) and `block_n` keys a tile, both powers of two and at least 16 (the least that
    `tl.dot` takes); warps a program; stages of the software pipeline over key tiles.
    """

    name = "attention.schedule"

    block_m: IntAttr
    block_n: IntAttr
    warps: IntAttr
    stages: IntAttr

    FIELDS: ClassVar = ("block_m", "block_n", "warps", "stages")

    def __init__(self, block_m: int, block_n: int, warps: int, stages: int):
        super().__init__(IntAttr(block_m), IntAttr(block_n), IntAttr(warps), IntAttr(stages))

    def verify(self) -> None:
        for field in ("block_m", "block_n"):
            value: int = getattr(self, field).data
            if value < 16 or value & (value - 1):
                raise VerifyException(f"{field} is {value}, expected a power of two of at least 16")
        if self.warps.data not in (1, 2, 4, 8, 16, 32):
            raise VerifyException(f"warps is {self.warps.data}, expected 1, 2, 4, 8, 16 or 32")
        if not 1 <= self.stages.data <= 8:
            raise VerifyException(f"stages is {self.stages.data}, expected 1 to 8")

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(f"{field} = {getattr(self, field).data}" for field in self.FIELDS))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[IntAttr]:
        values: list[IntAttr] = []
        with parser.in_angle_brackets():
            for i, field in enumerate(cls.FIELDS):
                if i:
                    parser.parse_punctuation(",")
                parser.parse_keyword(field)
                parser.parse_punctuation("=")
                values.append(IntAttr(parser.parse_integer()))
        return values
