"""
Inline assembly: https://triton-lang.org/main/python-api/generated/triton.language.inline_asm_elementwise.html.

The IR names what is computed, never the text that computes it: emitted files are executed, so the text comes from
`lowering/triton/ptx.py` alone.
"""

from __future__ import annotations

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E5M2Type,
    Float16Type,
    IntAttr,
    IntegerType,
    Signedness,
    TensorType,
    i32,
)
from xdsl.ir import Attribute, Operation, ParametrizedAttribute, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    traits_def,
    var_result_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.tl.types import (
    block_of,
    element_type,
    is_unsigned,
    shape_of,
    verify_broadcasts_to,
    verify_value_type,
)

Code = IntegerType | Float8E4M3FNType | Float8E5M2Type
"""Signed and unsigned integers of 4 and 8 bits, and 8-bit floats."""

EXACT_INTEGERS: dict[type[Attribute], int] = {BFloat16Type: 256, Float16Type: 2048}
"""Integers up to this magnitude are exact in a type that words are unpacked to."""


@irdl_attr_definition
class UnpackAttr(ParametrizedAttribute):
    """
    Words of 32 bits into their codes: `#tl.unpack<ui4, zero = 7>` gives eight tensors of code - 7.

    The first one has the codes in the lowest bits. `code` is ui4, si4, ui8, si8, f8E4M3FN or f8E5M2; `zero` is an
    integer that is subtracted from integer codes, 0 where absent.
    """

    name = "tl.unpack"

    code: IntegerType | Float8E4M3FNType | Float8E5M2Type
    zero: IntAttr

    def __init__(self, code: Code, zero: int = 0):
        super().__init__(code, IntAttr(zero))

    @property
    def bits(self) -> int:
        """The bits of a code."""
        return self.code.bitwidth

    @property
    def lanes(self) -> int:
        """The codes in a word."""
        return 32 // self.bits

    @property
    def is_float(self) -> bool:
        """Whether codes are floats."""
        return not isinstance(self.code, IntegerType)

    def code_range(self) -> tuple[int, int]:
        """The least and the greatest integer code."""
        if is_unsigned(self.code):
            return 0, (1 << self.bits) - 1
        return -(1 << self.bits - 1), (1 << self.bits - 1) - 1

    def verify(self) -> None:
        if isa(self.code, IntegerType):
            if self.bits not in (4, 8) or self.code.signedness.data == Signedness.SIGNLESS:
                raise VerifyException(f"codes have type {self.code}, expected ui4, si4, ui8, si8 or an 8-bit float")
        elif self.zero.data:
            raise VerifyException(f"codes of type {self.code} have no zero point, but zero is {self.zero.data}")

    def is_exact(self, element: Attribute) -> bool:
        """Whether code - zero is exact in bf16 or f16, for every code."""
        if self.is_float:
            return True
        limit = EXACT_INTEGERS[type(element)]
        low, high = self.code_range()
        return max(abs(low - self.zero.data), abs(high - self.zero.data)) <= limit

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_attribute(self.code)
            if self.zero.data:
                printer.print_string(f", zero = {self.zero.data}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        zero = 0
        with parser.in_angle_brackets():
            position = parser.pos
            code = parser.parse_type()
            if not isinstance(code, Code):
                parser.raise_error(f"{code} is no type of codes", position, parser.pos)
            if parser.parse_optional_punctuation(",") is not None:
                parser.parse_keyword("zero")
                parser.parse_punctuation("=")
                zero = parser.parse_integer()
        return [code, IntAttr(zero)]


@irdl_op_definition
class InlineAsmElementwiseOp(IRDLOperation):
    """
    `tl.inline_asm_elementwise(...)` on 32-bit words of codes: code - zero of each lane, times `scale` if there is one.

        %k0, %k1, %k2, %k3 = tl.inline_asm_elementwise unpack <si8> %words, %scale
            : (tensor<64xi32>, tensor<64xbf16>) -> (tensor<64xbf16>, tensor<64xbf16>, tensor<64xbf16>, tensor<64xbf16>)

    Results are bf16 or f16 and have the shape of the words. code - zero is exact; the product with `scale`, which has
    the type of the results and is spread over the words, is rounded once.
    """

    name = "tl.inline_asm_elementwise"

    asm = prop_def(UnpackAttr)
    words = operand_def()
    scale = opt_operand_def()
    outputs = var_result_def()

    traits = traits_def(Pure())

    assembly_format = "`unpack` $asm $words (`,` $scale^)? attr-dict `:` functional-type(operands, $outputs)"

    def __init__(
        self,
        asm: UnpackAttr,
        words: SSAValue | Operation,
        element: Attribute,
        scale: SSAValue | Operation | None = None,
    ):
        result = block_of(element, shape_of(SSAValue.get(words).type))
        super().__init__(operands=[words, scale], properties={"asm": asm}, result_types=[[result] * asm.lanes])

    @property
    def element(self) -> Attribute:
        """The element type of the results."""
        return element_type(self.outputs[0].type)

    def verify_(self) -> None:
        for value in (*self.operands, *self.outputs):
            verify_value_type(value.type)
        words = self.words.type
        if not isa(words, TensorType) or words.element_type != i32:
            raise VerifyException(f"{self.name} unpacks a block of i32, got {words}")
        if len(self.outputs) != self.asm.lanes:
            raise VerifyException(
                f"a word has {self.asm.lanes} codes of type {self.asm.code}, but there are {len(self.outputs)} results"
            )
        if type(self.element) not in EXACT_INTEGERS:
            raise VerifyException(f"{self.name} unpacks to bf16 or f16, got {self.element}")
        expected = block_of(self.element, shape_of(words))
        for output in self.outputs:
            if output.type != expected:
                raise VerifyException(f"the results of {self.name} here are {expected}, got {output.type}")
        if not self.asm.is_exact(self.element):
            raise VerifyException(
                f"codes of type {self.asm.code} minus {self.asm.zero.data} are not exact in {self.element}"
            )
        if self.scale is not None:
            if element_type(self.scale.type) != self.element:
                raise VerifyException(f"a scale is {self.element} as the results are, got {self.scale.type}")
            verify_broadcasts_to("the scale", self.scale.type, words)
