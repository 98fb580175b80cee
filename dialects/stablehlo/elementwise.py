"""StableHLO's constants, conversions, comparisons and selections.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

import numpy.typing as npt
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    DenseResourceAttr,
    TensorType,
    i1,
)
from xdsl.interfaces import HasFolderInterface
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import ConstantLike, Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.numpy_values import numpy_to_dense
from flashlower.dialects.stablehlo.attributes import (
    ComparisonDirection,
    ComparisonDirectionAttr,
    ComparisonType,
    ComparisonTypeAttr,
)
from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Elements,
    Operand,
    StableHLOOp,
    bits_of,
    check_element_type,
    check_shape,
    check_type,
    elements_of,
    type_of,
)


@irdl_op_definition
class ConstantOp(StableHLOOp, HasFolderInterface):
    """A tensor whose elements are known."""

    name = "stablehlo.constant"

    value = prop_def(DenseIntOrFPElementsAttr | DenseResourceAttr)
    output = result_def(AnyTensor)

    traits = traits_def(Pure(), ConstantLike())

    def __init__(
        self,
        value: npt.ArrayLike | DenseIntOrFPElementsAttr | DenseResourceAttr,
        result_type: AnyTensor | None = None,
    ):
        """A literal, or an array that is converted to `result_type`; a scalar fills a tensor of that type."""
        if not isinstance(value, DenseIntOrFPElementsAttr | DenseResourceAttr):
            value = numpy_to_dense(value, result_type)
        super().__init__(result_types=[result_type or value.get_type()], properties={"value": value})

    def verify_(self) -> None:
        check_type("value", self.value.get_type(), type_of(self.output))

    def fold(self) -> tuple[SSAValue | Attribute, ...]:
        return (self.value,)


@irdl_op_definition
class ConvertOp(StableHLOOp):
    """The same numbers in another element type."""

    name = "stablehlo.convert"

    operand = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, element_type: Attribute):
        result_type = TensorType(element_type, type_of(operand).get_shape())
        super().__init__(operands=[operand], result_types=[result_type])

    def verify_(self) -> None:
        check_shape("result", type_of(self.result).get_shape(), type_of(self.operand).get_shape())


@irdl_op_definition
class BitcastConvertOp(StableHLOOp):
    """The same bits in another element type; a wider type takes up the last dimension, a narrower one adds it."""

    name = "stablehlo.bitcast_convert"

    operand = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, operand: Operand, result_type: AnyTensor):
        super().__init__(operands=[operand], result_types=[result_type])

    def verify_(self) -> None:
        source, target = type_of(self.operand), type_of(self.result)
        source_bits, target_bits = bits_of(source.element_type), bits_of(target.element_type)
        if source_bits is None or target_bits is None:
            return
        if source_bits == target_bits:
            check_shape("result", target.get_shape(), source.get_shape())
        elif source_bits > target_bits:
            check_shape("result", target.get_shape(), (*source.get_shape(), source_bits // target_bits))
        else:
            check_shape("operand", source.get_shape(), (*target.get_shape(), target_bits // source_bits))


@irdl_op_definition
class CompareOp(StableHLOOp):
    """Whether a relation holds between two elements."""

    name = "stablehlo.compare"

    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    result = result_def(AnyTensor)
    comparison_direction = prop_def(ComparisonDirectionAttr)
    compare_type = opt_prop_def(ComparisonTypeAttr)

    traits = traits_def(Pure())

    def __init__(
        self,
        lhs: Operand,
        rhs: Operand,
        direction: ComparisonDirection,
        compare_type: ComparisonType | None = None,
    ):
        super().__init__(
            operands=[lhs, rhs],
            result_types=[TensorType(i1, type_of(lhs).get_shape())],
            properties={
                "comparison_direction": ComparisonDirectionAttr(direction),
                "compare_type": None if compare_type is None else ComparisonTypeAttr(compare_type),
            },
        )

    def verify_(self) -> None:
        check_type("rhs", type_of(self.rhs), type_of(self.lhs))
        check_shape("result", type_of(self.result).get_shape(), type_of(self.lhs).get_shape())
        check_element_type("result", type_of(self.result).element_type, i1)
        if self.compare_type is None:
            return
        match self.compare_type.data:
            case ComparisonType.FLOAT:
                allowed = Elements.INEXACT
            case ComparisonType.TOTALORDER:
                allowed = Elements.FLOAT
            case ComparisonType.SIGNED | ComparisonType.UNSIGNED:
                allowed = Elements.LOGICAL
            case ComparisonType.NOTYPE:
                allowed = Elements.ANY
        element_type = type_of(self.lhs).element_type
        if not elements_of(element_type) & (allowed | Elements.OTHER):
            raise VerifyException(
                f"compare_type {self.compare_type.data.value} does not fit element type {element_type}"
            )


@irdl_op_definition
class SelectOp(StableHLOOp):
    """One of two elements, by a predicate that is a scalar or has an element for each."""

    name = "stablehlo.select"

    pred = operand_def(AnyTensor)
    on_true = operand_def(AnyTensor)
    on_false = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, pred: Operand, on_true: Operand, on_false: Operand):
        super().__init__(operands=[pred, on_true, on_false], result_types=[type_of(on_true)])

    def verify_(self) -> None:
        check_element_type("pred", type_of(self.pred).element_type, i1)
        if type_of(self.pred).get_shape():
            check_shape("pred", type_of(self.pred).get_shape(), type_of(self.on_true).get_shape())
        check_type("on_false", type_of(self.on_false), type_of(self.on_true))
        check_type("result", type_of(self.result), type_of(self.on_true))


@irdl_op_definition
class ClampOp(StableHLOOp):
    """minimum(maximum(operand, min), max); the bounds are scalars or have an element for each."""

    name = "stablehlo.clamp"

    min = operand_def(AnyTensor)
    operand = operand_def(AnyTensor)
    max = operand_def(AnyTensor)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(self, min: Operand, operand: Operand, max: Operand):
        super().__init__(operands=[min, operand, max], result_types=[type_of(operand)])

    def verify_(self) -> None:
        for what, bound in (("min", type_of(self.min)), ("max", type_of(self.max))):
            check_element_type(what, bound.element_type, type_of(self.operand).element_type)
            if bound.get_shape():
                check_shape(what, bound.get_shape(), type_of(self.operand).get_shape())
        check_type("result", type_of(self.result), type_of(self.operand))


ELEMENTWISE_OPS = [
    BitcastConvertOp,
    ClampOp,
    CompareOp,
    ConstantOp,
    ConvertOp,
    SelectOp,
]
