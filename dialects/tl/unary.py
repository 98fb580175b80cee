"""Elementwise ops of one operand that keep its type: `-` and `~`, and math functions of `triton.language`."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, result_def
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.base import InferredOp
from flashlower.dialects.tl.types import (
    bit_width,
    element_type,
    is_bool,
    is_float,
    is_integer,
)


class UnaryOp(InferredOp):
    """An op of one operand that keeps its type."""

    input = operand_def()
    result = result_def()

    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation):
        self.inferred([input])

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        """Whether the op computes on this element type."""
        return is_float(element) and bit_width(element) >= 32

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        (type,) = types
        if not self.accepts(element_type(type)):
            raise VerifyException(f"{self.name} does not compute on {element_type(type)}: cast first")
        return type


@irdl_op_definition
class NegOp(UnaryOp):
    """`-input`."""

    name = "tl.neg"

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return is_float(element) or is_integer(element)


@irdl_op_definition
class InvertOp(UnaryOp):
    """`~input` on integers and on masks."""

    name = "tl.invert"

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return is_bool(element) or is_integer(element)


@irdl_op_definition
class AbsOp(UnaryOp):
    """`tl.abs(input)` on signed integers and floats."""

    name = "tl.abs"

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return is_float(element) or is_integer(element)


@irdl_op_definition
class ExpOp(UnaryOp):
    """`tl.exp(input)` on f32 and f64."""

    name = "tl.exp"


@irdl_op_definition
class Exp2Op(UnaryOp):
    """`tl.exp2(input)`, two to the power, on f32 and f64."""

    name = "tl.exp2"


@irdl_op_definition
class LogOp(UnaryOp):
    """`tl.log(input)`, natural, on f32 and f64."""

    name = "tl.log"


@irdl_op_definition
class Log2Op(UnaryOp):
    """`tl.log2(input)` on f32 and f64."""

    name = "tl.log2"


@irdl_op_definition
class SqrtOp(UnaryOp):
    """`tl.sqrt(input)` on f32 and f64."""

    name = "tl.sqrt"


@irdl_op_definition
class RsqrtOp(UnaryOp):
    """`tl.rsqrt(input)`, one over the root, on f32 and f64."""

    name = "tl.rsqrt"


@irdl_op_definition
class SinOp(UnaryOp):
    """`tl.sin(input)` on f32 and f64."""

    name = "tl.sin"


@irdl_op_definition
class CosOp(UnaryOp):
    """`tl.cos(input)` on f32 and f64."""

    name = "tl.cos"


@irdl_op_definition
class FloorOp(UnaryOp):
    """`tl.floor(input)` on f32 and f64."""

    name = "tl.floor"


@irdl_op_definition
class CeilOp(UnaryOp):
    """`tl.ceil(input)` on f32 and f64."""

    name = "tl.ceil"
