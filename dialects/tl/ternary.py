"""Elementwise ops of three operands, which broadcast as those of two do."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.interfaces import HasCanonicalizationPatternsInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, result_def
from xdsl.pattern_rewriter import RewritePattern
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.base import InferredOp, canonicalization_patterns
from flashlower.dialects.tl.types import (
    bit_width,
    block_of,
    broadcast_shapes,
    element_type,
    is_bool,
    is_float,
    same_element,
    shape_of,
)


@irdl_op_definition
class FmaOp(InferredOp):
    """`tl.fma(x, y, z)`: x * y + z rounded once, on f32 and f64."""

    name = "tl.fma"

    x = operand_def()
    y = operand_def()
    z = operand_def()
    result = result_def()

    assembly_format = "$x `,` $y `,` $z attr-dict `:` `(` type($x) `,` type($y) `,` type($z) `)` `->` type($result)"

    def __init__(self, x: SSAValue | Operation, y: SSAValue | Operation, z: SSAValue | Operation):
        self.inferred([x, y, z])

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        element = same_element(self.name, *types)
        if not is_float(element) or bit_width(element) < 32:
            raise VerifyException(f"{self.name} does not compute on {element}")
        return block_of(element, broadcast_shapes(*map(shape_of, types)))


@irdl_op_definition
class WhereOp(InferredOp, HasCanonicalizationPatternsInterface):
    """`tl.where(condition, x, y)`: x where the condition holds, y elsewhere; both sides are computed."""

    name = "tl.where"

    condition = operand_def()
    x = operand_def()
    y = operand_def()
    result = result_def()

    assembly_format = (
        "$condition `,` $x `,` $y attr-dict `:` `(` type($condition) `,` type($x) `,` type($y) `)` `->` type($result)"
    )

    def __init__(self, condition: SSAValue | Operation, x: SSAValue | Operation, y: SSAValue | Operation):
        self.inferred([condition, x, y])

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        condition, x, y = types
        if not is_bool(element_type(condition)):
            raise VerifyException(f"the condition of {self.name} is i1, got {condition}")
        if not shape_of(condition):
            # Triton selects whole values by a scalar condition; the shape is that of x and y.
            return block_of(same_element(self.name, x, y), broadcast_shapes(shape_of(x), shape_of(y)))
        return block_of(same_element(self.name, x, y), broadcast_shapes(*map(shape_of, types)))

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        return canonicalization_patterns()
