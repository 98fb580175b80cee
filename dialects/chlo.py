"""
CHLO: functions that JAX exports beside StableHLO, and that StableHLO defines by decompositions.

A layer norm of JAX squares with `chlo.square`, an exact GELU is `chlo.erf` or `chlo.erfc`, and routers and samplers
take `chlo.top_k`. Like StableHLO, they are read and printed in MLIR's generic form.

Source: the CHLO dialect of the StableHLO repository (ChloOps.td).
"""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import IntegerAttr, TensorType, i32, i64
from xdsl.ir import Dialect
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def, traits_def
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Elements,
    Operand,
    StableHLOOp,
    check_elements,
    check_type,
    show,
    type_of,
)
from flashlower.dialects.stablehlo.unary import UnaryElementwiseOp


class CHLOInexactOp(UnaryElementwiseOp):
    """A function of floating-point or complex numbers."""

    ELEMENTS: ClassVar[Elements] = Elements.INEXACT


@irdl_op_definition
class AcosOp(CHLOInexactOp):
    name = "chlo.acos"


@irdl_op_definition
class AcoshOp(CHLOInexactOp):
    name = "chlo.acosh"


@irdl_op_definition
class AsinOp(CHLOInexactOp):
    name = "chlo.asin"


@irdl_op_definition
class AsinhOp(CHLOInexactOp):
    name = "chlo.asinh"


@irdl_op_definition
class AtanhOp(CHLOInexactOp):
    name = "chlo.atanh"


@irdl_op_definition
class CoshOp(CHLOInexactOp):
    name = "chlo.cosh"


@irdl_op_definition
class SinhOp(CHLOInexactOp):
    name = "chlo.sinh"


@irdl_op_definition
class SquareOp(UnaryElementwiseOp):
    """x * x."""

    name = "chlo.square"

    ELEMENTS: ClassVar[Elements] = Elements.NUMBER


@irdl_op_definition
class ErfOp(UnaryElementwiseOp):
    """The error function, 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x."""

    name = "chlo.erf"

    ELEMENTS: ClassVar[Elements] = Elements.FLOAT


@irdl_op_definition
class ErfcOp(UnaryElementwiseOp):
    """1 - erf(x), accurate also where that is small."""

    name = "chlo.erfc"

    ELEMENTS: ClassVar[Elements] = Elements.FLOAT


@irdl_op_definition
class TopKOp(StableHLOOp):
    """
    The k largest elements along the last dimension, in descending order, and their indices there.

    operand [..., N] -> values [..., k], indices [..., k] of i32. Of equal elements the one with the lower index is
    first.
    """

    name = "chlo.top_k"

    operand = operand_def(AnyTensor)
    k = prop_def(IntegerAttr)
    values = result_def(AnyTensor)
    indices = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, k: int):
        type = type_of(operand)
        shape = [*type.get_shape()[:-1], k]
        super().__init__(
            operands=[operand],
            properties={"k": IntegerAttr(k, i64)},
            result_types=[TensorType(type.element_type, shape), TensorType(i32, shape)],
        )

    def verify_(self) -> None:
        type, k = type_of(self.operand), self.k.value.data
        check_elements(type.element_type, Elements.INTEGER | Elements.FLOAT)
        shape = type.get_shape()
        if not shape:
            raise VerifyException("operand has rank 0, but expected at least 1")
        # A negative size is a dynamic one.
        if k < 0 or 0 <= shape[-1] < k:
            raise VerifyException(f"k is {k}, but expected 0 to the last dimension of {show(shape)}")
        expected = [*shape[:-1], k]
        check_type("result 0", self.values.type, TensorType(type.element_type, expected))
        check_type("result 1", self.indices.type, TensorType(i32, expected))


CHLO = Dialect(
    "chlo",
    [AcosOp, AcoshOp, AsinOp, AsinhOp, AtanhOp, CoshOp, ErfOp, ErfcOp, SinhOp, SquareOp, TopKOp],
)
