"""
Quantised K and V: `#attention.quantization`, and what a pass or a kernel asks of it.

The operand holds *codes*, its layout says in which element a code lies, and further operands hold scales, zero points
or offsets, whose layouts say which codes share one:

    value = round((code - zero) * scale + offset)

in the type of logits, with one rounding at the end where the attribute has a `round`. Lanes of an element count from
the least significant bits; in `k floordiv P` the code of channel k is in lane `k mod P`, in `k mod W` in lane
`k floordiv W`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    AnyFloat,
    BFloat16Type,
    Float8E4M3FNType,
    Float8E5M2Type,
    Float16Type,
    IntAttr,
    IntegerType,
    NoneAttr,
    Signedness,
    TensorType,
    bf16,
    f16,
)
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.attention.layout import PAGE_INDICES, Term, dim_names, index_names, layout_terms

CodeType = IntegerType | Float8E4M3FNType | Float8E5M2Type

CODES = MappingProxyType[str, CodeType](
    {
        "u4": IntegerType(4, Signedness.UNSIGNED),
        "i4": IntegerType(4, Signedness.SIGNED),
        "u8": IntegerType(8, Signedness.UNSIGNED),
        "i8": IntegerType(8, Signedness.SIGNED),
        "f8E4M3FN": Float8E4M3FNType(),
        "f8E5M2": Float8E5M2Type(),
    }
)
"""Types of codes by their names; signed integers are two's complement."""

ROUNDINGS: Mapping[str, AnyFloat] = MappingProxyType({"bf16": bf16, "f16": f16})
"""Types that a dequantised value may be rounded to."""

Part = Literal["scale", "zero", "offset"]
PARTS: tuple[Part, ...] = ("scale", "zero", "offset")
"""What may stand beside the codes: each is an operand `key_<part>`, `k_<part>` in the assembly format."""


@irdl_attr_definition
class QuantizationAttr(ParametrizedAttribute):
    """
    How the elements of a quantised K or V are read: `#attention.quantization<u4, zero = 7, round = bf16>`.

    `codes` is the type of a code (u4, i4, u8, i8, f8E4M3FN, f8E5M2), `zero` the code of the value 0 (0 where absent;
    integer codes only), `round` the type that the value is rounded to once (bf16 or f16; absent: not rounded).
    """

    name = "attention.quantization"

    codes: IntegerType | Float8E4M3FNType | Float8E5M2Type
    zero: IntAttr
    round: BFloat16Type | Float16Type | NoneAttr

    def __init__(self, codes: str, zero: int = 0, round: AnyFloat | None = None):
        """`codes` is one of `CODES`, `round` one of `ROUNDINGS` or None. Raises `VerifyException` for others."""
        if codes not in CODES:
            raise VerifyException(f"codes have type {codes}, expected one of {', '.join(CODES)}")
        if round is not None and not isinstance(round, BFloat16Type | Float16Type):
            raise VerifyException(f"values are rounded to {round}, expected one of {', '.join(ROUNDINGS)}")
        super().__init__(CODES[codes], IntAttr(zero), NoneAttr() if round is None else round)

    @property
    def bits(self) -> int:
        """The bits of a code."""
        return self.codes.bitwidth

    @property
    def is_float(self) -> bool:
        """Whether codes are 8-bit floats."""
        return not isinstance(self.codes, IntegerType)

    @property
    def is_signed(self) -> bool:
        """Whether codes are integers in two's complement."""
        return isinstance(self.codes, IntegerType) and self.codes.signedness.data == Signedness.SIGNED

    @property
    def code_name(self) -> str:
        """The name of the type of a code, as in `CODES`."""
        return next(name for name, type in CODES.items() if type == self.codes)

    @property
    def rounded_to(self) -> AnyFloat | None:
        """The type that a value is rounded to."""
        return None if isinstance(self.round, NoneAttr) else self.round

    def verify(self) -> None:
        if self.codes not in CODES.values():
            raise VerifyException(f"codes have type {self.codes}, expected one of {', '.join(CODES)}")
        zero = self.zero.data
        if self.is_float:
            if zero:
                raise VerifyException(f"codes of type {self.code_name} have no zero point, but zero is {zero}")
            return
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.is_signed else (0, (1 << self.bits) - 1)
        if not low <= zero <= high:
            raise VerifyException(f"zero is {zero}, but codes of type {self.code_name} are from {low} to {high}")

    def print_fields(self, printer: Printer) -> None:
        """Prints `u4, zero = 7, round = bf16`."""
        printer.print_string(self.code_name)
        if self.zero.data:
            printer.print_string(f", zero = {self.zero.data}")
        if self.rounded_to is not None:
            printer.print_string(f", round = {self.rounded_to}")

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            self.print_fields(printer)

    @classmethod
    def parse_fields(cls, parser: AttrParser) -> tuple[CodeType, IntAttr, AnyFloat | NoneAttr]:
        """Parses `u4, zero = 7, round = bf16`."""

        def one_of(values: Mapping[str, Attribute], what: str) -> str:
            pos = parser.pos
            name = parser.parse_identifier(f" ({what})")
            if name not in values:
                parser.raise_error(f"'{name}' is no {what}; expected one of {', '.join(values)}", pos, parser.pos)
            return name

        codes = CODES[one_of(CODES, "type of codes")]
        zero, round = 0, None
        while parser.parse_optional_punctuation(",") is not None:
            if parser.parse_optional_keyword("zero") is not None:
                parser.parse_punctuation("=")
                zero = parser.parse_integer()
            else:
                parser.parse_keyword("round")
                parser.parse_punctuation("=")
                round = ROUNDINGS[one_of(ROUNDINGS, "type to round to")]
        return codes, IntAttr(zero), NoneAttr() if round is None else round

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> tuple[CodeType, IntAttr, AnyFloat | NoneAttr]:
        with parser.in_angle_brackets():
            return cls.parse_fields(parser)


@dataclass(frozen=True)
class Shared:
    """A scale, zero point or offset: an operand and its layout, which says which codes share an element of it."""

    value: SSAValue
    layout: AffineMapAttr

    def group(self, *names: str) -> int | None:
        """
        How many neighbours in a dimension share an element: 1 where each has its own, 32 for `n floordiv 32`, None
        where all share one. For `k` or `d` that is the channel group, for `("n", "slot")` the token group.
        """
        indices = index_names(self.layout.data.num_dims - len(dim_names(0)))
        for terms in layout_terms(self.layout.data):
            for term in terms:
                if indices[term.dim] in names:
                    return term.divisor
        return None

    @property
    def channel_group(self) -> int | None:
        """Channels that share an element; None where all do."""
        return self.group("k", "d")

    @property
    def token_group(self) -> int | None:
        """Keys that share an element, counted in a page where its index is `slot`; None where all (of a page) do."""
        return self.group("n", "slot")

    @property
    def in_pages(self) -> bool:
        """Whether it is read through the block table."""
        names = index_names(self.layout.data.num_dims - len(dim_names(0)))
        return any(names[t.dim] in PAGE_INDICES for terms in layout_terms(self.layout.data) for t in terms)


@dataclass(frozen=True)
class Quantization:
    """What makes K or V quantised: the attribute, and the operands beside the codes."""

    attr: QuantizationAttr
    scale: Shared | None = None
    zero: Shared | None = None
    offset: Shared | None = None

    def properties(self, operand: str) -> dict[str, Attribute]:
        """The properties of an operation whose `key` or `value` is quantised so."""
        layouts = {f"{operand}_{part}_layout": shared.layout for part, shared in self.shared()}
        return {f"{operand}_quantization": self.attr, **layouts}

    def operands(self) -> list[SSAValue | None]:
        """The operands beside the codes, None for one that is not there."""
        return [None if shared is None else shared.value for shared in (self.scale, self.zero, self.offset)]

    def shared(self) -> Iterator[tuple[Part, Shared]]:
        """The operands that are there, in order."""
        for part in PARTS:
            value: Shared | None = getattr(self, part)
            if value is not None:
                yield part, value


NOT_QUANTIZED: list[SSAValue | None] = [None] * len(PARTS)
"""`Quantization.operands` of what is not quantised."""


@dataclass(frozen=True)
class Packing:
    """
    Where codes lie: `lanes` of them share an element of `width` along the channels (`DYNAMIC_INDEX` if not known).

    The code of channel c is in element `c floordiv lanes`, lane `c mod lanes`; where `planar`, in element `c mod
    width`, lane `c floordiv width`. Lane i has the bits from `i * bits` on.
    """

    bits: int
    lanes: int
    planar: bool
    width: int


def lanes_of(attr: QuantizationAttr, element_type: Attribute) -> int:
    """
    How many codes an element of the storage holds.

    Raises `VerifyException` for an element type that cannot hold the codes.
    """
    if attr.is_float and element_type == attr.codes:
        return 1
    if not isa(element_type, IntegerType):
        other = f"{attr.codes} or " if attr.is_float else ""
        raise VerifyException(f"has element type {element_type}, expected {other}an integer for {attr.code_name} codes")
    width = element_type.width.data
    if width < attr.bits or width % attr.bits:
        raise VerifyException(f"has element type {element_type}, whose {width} bits hold no {attr.bits}-bit codes")
    return width // attr.bits


def channel_term(layout: AffineMapAttr, channel: str) -> Term | None:
    """The digit of the channel, `k` or `d`, in the layout of codes."""
    names = index_names(layout.data.num_dims - len(dim_names(0)))
    for terms in layout_terms(layout.data):
        for term in terms:
            if names[term.dim] == channel:
                return term
    return None


def verify_codes(
    name: str, channel: str, attr: QuantizationAttr, type: TensorType[Attribute], layout: AffineMapAttr
) -> None:
    """Raises `VerifyException` for codes that lie otherwise than their element type says."""
    try:
        lanes = lanes_of(attr, type.element_type)
    except VerifyException as e:
        raise VerifyException(f"{name} {e}") from e
    term = channel_term(layout, channel)
    if lanes == 1 and term is not None and not term.is_dim:
        raise VerifyException(
            f"the layout of {name} has a digit of {channel}, but a {type.element_type} holds one {attr.code_name} "
            f"code; expected {channel}"
        )
    if lanes > 1 and (term is None or (term.modulus is None and term.divisor != lanes)):
        raise VerifyException(
            f"a {type.element_type} holds {lanes} {attr.code_name} codes, so the layout of {name} needs {channel} "
            f"floordiv {lanes}, or {channel} mod the number of elements"
        )


def verify_shared(name: str, quantization: Quantization) -> None:
    """Raises `VerifyException` for zero points and offsets that contradict each other or the codes."""
    attr = quantization.attr
    if quantization.zero is not None:
        if attr.is_float:
            raise VerifyException(f"{name}_zero is given, but codes of type {attr.code_name} have no zero point")
        if quantization.offset is not None:
            raise VerifyException(f"{name}_zero and {name}_offset are given, expected one of them at most")
        if attr.zero.data:
            raise VerifyException(f"{name}_zero is given, but {name} has zero = {attr.zero.data} already")
    for part, shared in quantization.shared():
        element_type = cast(TensorType[Attribute], shared.value.type).element_type
        if not isinstance(element_type, AnyFloat) and (part != "zero" or not isinstance(element_type, IntegerType)):
            expected = "a float or an integer" if part == "zero" else "a float"
            raise VerifyException(f"{name}_{part} has element type {element_type}, expected {expected}")


def verify_digits(name: str, layout: AffineMapAttr, divided: Collection[str], modulo: Collection[str]) -> None:
    """Raises `VerifyException` for a digit of another dimension than those of which there may be one."""
    names = index_names(layout.data.num_dims - len(dim_names(0)))
    for terms in layout_terms(layout.data):
        for term in terms:
            if not term.is_dim and names[term.dim] not in (divided if term.modulus is None else modulo):
                digit = term._replace(stride=1).to_str(names)
                allowed = [f"{dim} floordiv ..." for dim in divided] + [f"{dim} mod ..." for dim in modulo]
                rule = f"it may have {', '.join(allowed)}" if allowed else "only what is quantized has digits"
                raise VerifyException(f"the layout of {name} has {digit}; {rule}")


def packing_of(
    attr: QuantizationAttr, type: TensorType[Attribute], layout: AffineMapAttr, channel: str, size: int
) -> Packing:
    """Where the codes of a verified operand lie; `size` is that of the channel dimension."""
    lanes = lanes_of(attr, type.element_type)
    term = channel_term(layout, channel)
    planar = term is not None and term.modulus is not None
    width = DYNAMIC_INDEX if size == DYNAMIC_INDEX else size // lanes
    return Packing(attr.bits, lanes, planar, width)
