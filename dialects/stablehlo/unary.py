"""StableHLO's elementwise functions of one operand.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

import abc
from typing import ClassVar

from xdsl.dialects.builtin import (
    IntegerAttr,
    TensorType,
    i1,
    i32,
)
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.attributes import (
    ResultAccuracyAttr,
)
from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Elements,
    Operand,
    StableHLOOp,
    check_element_type,
    check_elements,
    check_shape,
    check_type,
    elements_of,
    type_of,
)


class UnaryElementwiseOp(StableHLOOp, abc.ABC):
    """One operand; the result has its shape, and its element type unless the op says otherwise."""

    ELEMENTS: ClassVar[Elements] = Elements.ANY

    operand = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, result_type: AnyTensor | None = None):
        super().__init__(operands=[operand], result_types=[result_type or type_of(operand)])

    def verify_(self) -> None:
        check_elements(type_of(self.operand).element_type, self.ELEMENTS)
        check_type("result", type_of(self.result), type_of(self.operand))


class TranscendentalOp(UnaryElementwiseOp, abc.ABC):
    """A unary function of floating-point numbers, with an optional bound on its error."""

    ELEMENTS: ClassVar[Elements] = Elements.INEXACT

    result_accuracy = opt_prop_def(ResultAccuracyAttr)


class FloatUnaryOp(UnaryElementwiseOp, abc.ABC):
    """A unary function of real floating-point numbers."""

    ELEMENTS: ClassVar[Elements] = Elements.FLOAT


@irdl_op_definition
class AbsOp(UnaryElementwiseOp):
    """Absolute value; of a complex number, its real modulus."""

    name = "stablehlo.abs"

    ELEMENTS: ClassVar[Elements] = Elements.NUMBER

    def verify_(self) -> None:
        element_type = type_of(self.operand).element_type
        check_elements(element_type, self.ELEMENTS)
        if elements_of(element_type) == Elements.COMPLEX:
            check_shape("result", type_of(self.result).get_shape(), type_of(self.operand).get_shape())
        else:
            check_type("result", type_of(self.result), type_of(self.operand))


@irdl_op_definition
class NegOp(UnaryElementwiseOp):
    name = "stablehlo.negate"

    ELEMENTS: ClassVar[Elements] = Elements.NUMBER


@irdl_op_definition
class SignOp(UnaryElementwiseOp):
    name = "stablehlo.sign"

    ELEMENTS: ClassVar[Elements] = Elements.NUMBER


@irdl_op_definition
class NotOp(UnaryElementwiseOp):
    name = "stablehlo.not"

    ELEMENTS: ClassVar[Elements] = Elements.LOGICAL


@irdl_op_definition
class FloorOp(FloatUnaryOp):
    name = "stablehlo.floor"


@irdl_op_definition
class CeilOp(FloatUnaryOp):
    name = "stablehlo.ceil"


@irdl_op_definition
class RoundNearestEvenOp(FloatUnaryOp):
    """Round to the nearest integer, ties to even."""

    name = "stablehlo.round_nearest_even"


@irdl_op_definition
class RoundNearestAfzOp(FloatUnaryOp):
    """Round to the nearest integer, ties away from zero."""

    name = "stablehlo.round_nearest_afz"


@irdl_op_definition
class CbrtOp(TranscendentalOp):
    name = "stablehlo.cbrt"


@irdl_op_definition
class CosineOp(TranscendentalOp):
    name = "stablehlo.cosine"


@irdl_op_definition
class ExpOp(TranscendentalOp):
    name = "stablehlo.exponential"


@irdl_op_definition
class Expm1Op(TranscendentalOp):
    name = "stablehlo.exponential_minus_one"


@irdl_op_definition
class LogOp(TranscendentalOp):
    name = "stablehlo.log"


@irdl_op_definition
class Log1pOp(TranscendentalOp):
    name = "stablehlo.log_plus_one"


@irdl_op_definition
class LogisticOp(TranscendentalOp):
    """1 / (1 + exp(-x))."""

    name = "stablehlo.logistic"


@irdl_op_definition
class RsqrtOp(TranscendentalOp):
    """1 / sqrt(x)."""

    name = "stablehlo.rsqrt"


@irdl_op_definition
class SineOp(TranscendentalOp):
    name = "stablehlo.sine"


@irdl_op_definition
class SqrtOp(TranscendentalOp):
    name = "stablehlo.sqrt"


@irdl_op_definition
class TanOp(TranscendentalOp):
    name = "stablehlo.tan"


@irdl_op_definition
class TanhOp(TranscendentalOp):
    name = "stablehlo.tanh"


@irdl_op_definition
class PopcntOp(UnaryElementwiseOp):
    """How many bits of an integer are 1."""

    name = "stablehlo.popcnt"

    ELEMENTS: ClassVar[Elements] = Elements.INTEGER


@irdl_op_definition
class ReducePrecisionOp(UnaryElementwiseOp):
    """A floating-point number rounded as a type with so many bits would, in its own type."""

    name = "stablehlo.reduce_precision"

    ELEMENTS: ClassVar[Elements] = Elements.FLOAT

    exponent_bits = prop_def(IntegerAttr)
    mantissa_bits = prop_def(IntegerAttr)

    def __init__(self, operand: Operand, exponent_bits: int, mantissa_bits: int):
        super().__init__(operand)
        self.exponent_bits = IntegerAttr(exponent_bits, i32)
        self.mantissa_bits = IntegerAttr(mantissa_bits, i32)

    def verify_(self) -> None:
        super().verify_()
        for what, bits, least in (("exponent", self.exponent_bits, 1), ("mantissa", self.mantissa_bits, 0)):
            if bits.value.data < least:
                raise VerifyException(f"{what}_bits must be at least {least}, but got {bits.value.data}")


@irdl_op_definition
class IsFiniteOp(StableHLOOp):
    """Whether a number is neither infinite nor NaN."""

    name = "stablehlo.is_finite"

    x = operand_def(AnyTensor)
    y = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, x: Operand):
        super().__init__(operands=[x], result_types=[TensorType(i1, type_of(x).get_shape())])

    def verify_(self) -> None:
        check_elements(type_of(self.x).element_type, Elements.FLOAT)
        check_shape("result", type_of(self.y).get_shape(), type_of(self.x).get_shape())
        check_element_type("result", type_of(self.y).element_type, i1)


UNARY_OPS = [
    AbsOp,
    CbrtOp,
    CeilOp,
    CosineOp,
    ExpOp,
    Expm1Op,
    FloorOp,
    IsFiniteOp,
    Log1pOp,
    LogOp,
    LogisticOp,
    NegOp,
    NotOp,
    PopcntOp,
    ReducePrecisionOp,
    RoundNearestAfzOp,
    RoundNearestEvenOp,
    RsqrtOp,
    SignOp,
    SineOp,
    SqrtOp,
    TanOp,
    TanhOp,
]
