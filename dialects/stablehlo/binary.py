"""StableHLO's elementwise functions of two operands of one type.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

import abc
from typing import ClassVar

from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Commutative, Pure

from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Elements,
    Operand,
    StableHLOOp,
    check_elements,
    check_type,
    type_of,
)


class BinaryElementwiseOp(StableHLOOp, abc.ABC):
    """Two operands and a result of one type."""

    ELEMENTS: ClassVar[Elements] = Elements.ANY

    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, lhs: Operand, rhs: Operand, result_type: AnyTensor | None = None):
        super().__init__(operands=[lhs, rhs], result_types=[result_type or type_of(lhs)])

    def verify_(self) -> None:
        check_elements(type_of(self.lhs).element_type, self.ELEMENTS)
        check_type("rhs", type_of(self.rhs), type_of(self.lhs))
        check_type("result", type_of(self.result), type_of(self.lhs))


class NumberBinaryOp(BinaryElementwiseOp, abc.ABC):
    """A binary function of numbers."""

    ELEMENTS: ClassVar[Elements] = Elements.NUMBER


class LogicalBinaryOp(BinaryElementwiseOp, abc.ABC):
    """A binary function of booleans or of the bits of integers."""

    ELEMENTS: ClassVar[Elements] = Elements.LOGICAL


class ShiftOp(BinaryElementwiseOp, abc.ABC):
    """A shift of integers."""

    ELEMENTS: ClassVar[Elements] = Elements.INTEGER


@irdl_op_definition
class AddOp(BinaryElementwiseOp):
    """Sum; of booleans, their disjunction."""

    name = "stablehlo.add"
    traits = traits_def(Commutative())


@irdl_op_definition
class MulOp(BinaryElementwiseOp):
    """Product; of booleans, their conjunction."""

    name = "stablehlo.multiply"
    traits = traits_def(Commutative())


@irdl_op_definition
class SubtractOp(NumberBinaryOp):
    name = "stablehlo.subtract"


@irdl_op_definition
class DivOp(NumberBinaryOp):
    """Quotient; of integers, rounded towards zero."""

    name = "stablehlo.divide"


@irdl_op_definition
class RemOp(NumberBinaryOp):
    """Remainder with the sign of the dividend."""

    name = "stablehlo.remainder"


@irdl_op_definition
class PowOp(NumberBinaryOp):
    name = "stablehlo.power"


@irdl_op_definition
class Atan2Op(BinaryElementwiseOp):
    name = "stablehlo.atan2"

    ELEMENTS: ClassVar[Elements] = Elements.INEXACT


@irdl_op_definition
class MaxOp(BinaryElementwiseOp):
    """Maximum; NaN if either operand is NaN."""

    name = "stablehlo.maximum"
    traits = traits_def(Commutative())


@irdl_op_definition
class MinOp(BinaryElementwiseOp):
    """Minimum; NaN if either operand is NaN."""

    name = "stablehlo.minimum"
    traits = traits_def(Commutative())


@irdl_op_definition
class AndOp(LogicalBinaryOp):
    name = "stablehlo.and"
    traits = traits_def(Commutative())


@irdl_op_definition
class OrOp(LogicalBinaryOp):
    name = "stablehlo.or"
    traits = traits_def(Commutative())


@irdl_op_definition
class XorOp(LogicalBinaryOp):
    name = "stablehlo.xor"
    traits = traits_def(Commutative())


@irdl_op_definition
class ShiftLeftOp(ShiftOp):
    name = "stablehlo.shift_left"


@irdl_op_definition
class ShiftRightArithmeticOp(ShiftOp):
    name = "stablehlo.shift_right_arithmetic"


@irdl_op_definition
class ShiftRightLogicalOp(ShiftOp):
    name = "stablehlo.shift_right_logical"


BINARY_OPS = [
    AddOp,
    AndOp,
    Atan2Op,
    DivOp,
    MaxOp,
    MinOp,
    MulOp,
    OrOp,
    PowOp,
    RemOp,
    ShiftLeftOp,
    ShiftRightArithmeticOp,
    ShiftRightLogicalOp,
    SubtractOp,
    XorOp,
]
