"""`#attention.quantizer`: how scales are made and codes are rounded where values are quantised."""

from __future__ import annotations

from xdsl.dialects.builtin import Float8E4M3FNType, IntegerType, StringAttr
from xdsl.ir import ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from flashlower.dialects.attention.quantization import QuantizationAttr


class Scaling(StrEnum):
    """Where scales come from; `UpdateCacheOp` has the formulas."""

    SYMMETRIC = "symmetric"
    """The largest magnitude of a group is the largest code on both sides of zero."""
    ASYMMETRIC = "asymmetric"
    """The least and the largest value of a group are the least and the largest code."""
    GIVEN = "given"
    """They are read, and stay as they are."""


class Rounding(StrEnum):
    """How a quotient becomes a code, by the names of MLIR's arith dialect."""

    TO_NEAREST_EVEN = "to_nearest_even"
    TOWARD_ZERO = "toward_zero"


@irdl_attr_definition
class QuantizerAttr(ParametrizedAttribute):
    """
    `#attention.quantizer<symmetric, toward_zero>`: where scales come from (symmetric, asymmetric or given), and how
    quotients are rounded to codes (to_nearest_even or toward_zero).
    """

    name = "attention.quantizer"

    scaling_name: StringAttr
    rounding_name: StringAttr

    def __init__(self, scaling: Scaling | str, rounding: Rounding | str = Rounding.TO_NEAREST_EVEN):
        super().__init__(StringAttr(str(scaling)), StringAttr(str(rounding)))

    @property
    def scaling(self) -> Scaling:
        return Scaling(self.scaling_name.data)

    @property
    def rounding(self) -> Rounding:
        return Rounding(self.rounding_name.data)

    def verify(self) -> None:
        for what, value, known in (
            ("scaling", self.scaling_name.data, Scaling),
            ("rounding", self.rounding_name.data, Rounding),
        ):
            if value not in list(known):
                raise VerifyException(f"{what} is '{value}', expected one of {', '.join(known)}")

    def print_fields(self, printer: Printer) -> None:
        """Prints `symmetric, toward_zero`."""
        printer.print_string(f"{self.scaling}, {self.rounding}")

    @classmethod
    def parse_fields(cls, parser: AttrParser) -> QuantizerAttr:
        """Parses `symmetric, toward_zero`."""
        scaling = parser.parse_str_enum(Scaling)
        parser.parse_punctuation(",")
        return QuantizerAttr(scaling, parser.parse_str_enum(Rounding))

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            self.print_fields(printer)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[StringAttr]:
        with parser.in_angle_brackets():
            fields = cls.parse_fields(parser)
            return [fields.scaling_name, fields.rounding_name]


def code_range(attr: QuantizationAttr) -> tuple[int, int]:
    """The least and the largest code of integers; of floats, the largest finite magnitude on both sides."""
    if isinstance(attr.codes, IntegerType):
        low, high = attr.codes.value_range()
        return low, high - 1
    largest = 448 if isinstance(attr.codes, Float8E4M3FNType) else 57344
    return -largest, largest


def symmetric_limit(attr: QuantizationAttr) -> int:
    """The largest distance from the zero point that codes have on both sides: 7 for u4 with zero 7, 448 for e4m3."""
    low, high = code_range(attr)
    zero = attr.zero.data
    return min(zero - low, high - zero)
