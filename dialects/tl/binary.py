"""
Elementwise ops of two operands: Python's operators, and functions of `triton.language`.

All broadcast as NumPy does, between blocks and scalars too. The element types of operands must agree, except
for pointer + integer; Triton would convert silently, the dialect wants a `tl.cast`.
Source: https://triton-lang.org/main/python-api/triton-semantics.html and triton.language.semantic.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import Float32Type, i1
from xdsl.interfaces import HasCanonicalizationPatternsInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, result_def
from xdsl.pattern_rewriter import RewritePattern
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.base import InferredOp, canonicalization_patterns
from flashlower.dialects.tl.types import (
    PtrType,
    bit_width,
    block_of,
    broadcast_shapes,
    element_type,
    is_bool,
    is_float,
    is_float8,
    is_integer,
    is_number,
    same_element,
    shape_of,
)


class BinaryOp(InferredOp):
    """An op of two operands: a Python operator, or a function of Triton."""

    lhs = operand_def()
    rhs = operand_def()
    result = result_def()

    assembly_format = "$lhs `,` $rhs attr-dict `:` `(` type($lhs) `,` type($rhs) `)` `->` type($result)"

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation):
        self.inferred([lhs, rhs])

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        """Whether the op computes on this element type."""
        return is_integer(element) or is_float(element)

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        element = same_element(self.name, *types)
        if not self.accepts(element):
            raise VerifyException(f"{self.name} does not compute on {element}")
        return block_of(element, broadcast_shapes(*map(shape_of, types)))


class FoldableBinaryOp(BinaryOp, HasCanonicalizationPatternsInterface):
    """A binary op that the canonicalizer knows identities of."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        return canonicalization_patterns()


class _PointerArithmeticOp(FoldableBinaryOp):
    def infer(self, types: Sequence[Attribute]) -> Attribute:
        pointer, offset = map(element_type, types)
        if isinstance(pointer, PtrType):
            if not is_integer(offset):
                raise VerifyException(f"{self.name} on a pointer needs an integer offset, got {offset}")
            return block_of(pointer, broadcast_shapes(*map(shape_of, types)))
        return super().infer(types)


@irdl_op_definition
class AddOp(_PointerArithmeticOp):
    """`lhs + rhs`; a pointer on the left moves by `rhs` elements."""

    name = "tl.add"


@irdl_op_definition
class SubOp(_PointerArithmeticOp):
    """`lhs - rhs`; a pointer on the left moves back by `rhs` elements."""

    name = "tl.sub"


@irdl_op_definition
class MulOp(FoldableBinaryOp):
    """`lhs * rhs`."""

    name = "tl.mul"


@irdl_op_definition
class TrueDivOp(FoldableBinaryOp):
    """`lhs / rhs` on f32 and f64. Triton would widen other types: cast first."""

    name = "tl.truediv"

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return is_float(element) and bit_width(element) >= 32


@irdl_op_definition
class DivRnOp(BinaryOp):
    """`tl.div_rn(lhs, rhs)` on f32: the quotient of IEEE 754, to nearest even; `/` may be off by two ulp on a GPU."""

    name = "tl.div_rn"

    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return isinstance(element, Float32Type)


class _IntegerBinaryOp(FoldableBinaryOp):
    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return is_integer(element)


@irdl_op_definition
class FloorDivOp(_IntegerBinaryOp):
    """`lhs // rhs` on integers. As in Triton it rounds towards zero, as C does: -7 // 2 is -3."""

    name = "tl.floordiv"


@irdl_op_definition
class ModOp(_IntegerBinaryOp):
    """`lhs % rhs` on integers. As in Triton the sign is that of `lhs`, as in C: -7 % 2 is -1."""

    name = "tl.mod"


@irdl_op_definition
class CdivOp(_IntegerBinaryOp):
    """`tl.cdiv(lhs, rhs)`: the ceiling of lhs / rhs for lhs >= 0 and rhs > 0."""

    name = "tl.cdiv"


@irdl_op_definition
class ShlOp(_IntegerBinaryOp):
    """`lhs << rhs` on integers."""

    name = "tl.shl"


@irdl_op_definition
class ShrOp(_IntegerBinaryOp):
    """`lhs >> rhs`: arithmetic on signed integers, logical on unsigned ones."""

    name = "tl.shr"


class _BitwiseOp(FoldableBinaryOp):
    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        return is_integer(element) or is_bool(element)


@irdl_op_definition
class AndOp(_BitwiseOp):
    """`lhs & rhs` on integers and on masks."""

    name = "tl.and"


@irdl_op_definition
class OrOp(_BitwiseOp):
    """`lhs | rhs` on integers and on masks."""

    name = "tl.or"


@irdl_op_definition
class XorOp(_BitwiseOp):
    """`lhs ^ rhs` on integers and on masks."""

    name = "tl.xor"


class _ExtremumOp(BinaryOp):
    @classmethod
    def accepts(cls, element: Attribute) -> bool:
        # Triton's releases disagree on 16-bit floats here: 3.6 widens bf16 to f32, 3.9 does not.
        return is_integer(element) or (is_float(element) and bit_width(element) >= 32)


@irdl_op_definition
class MaximumOp(_ExtremumOp):
    """`tl.maximum(lhs, rhs)` on integers, f32 and f64; of a NaN and a number it is the number."""

    name = "tl.maximum"


@irdl_op_definition
class MinimumOp(_ExtremumOp):
    """`tl.minimum(lhs, rhs)` on integers, f32 and f64; of a NaN and a number it is the number."""

    name = "tl.minimum"


class CompareOp(FoldableBinaryOp):
    """A comparison; gives i1 in the broadcast shape."""

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        same_element(self.name, *types)
        if not is_number(element := element_type(types[0])) or is_float8(element):
            raise VerifyException(f"{self.name} does not compare {element}")
        return block_of(i1, broadcast_shapes(*map(shape_of, types)))


@irdl_op_definition
class LtOp(CompareOp):
    """`lhs < rhs`."""

    name = "tl.lt"


@irdl_op_definition
class LeOp(CompareOp):
    """`lhs <= rhs`."""

    name = "tl.le"


@irdl_op_definition
class GtOp(CompareOp):
    """`lhs > rhs`."""

    name = "tl.gt"


@irdl_op_definition
class GeOp(CompareOp):
    """`lhs >= rhs`."""

    name = "tl.ge"


@irdl_op_definition
class EqOp(CompareOp):
    """`lhs == rhs`."""

    name = "tl.eq"


@irdl_op_definition
class NeOp(CompareOp):
    """`lhs != rhs`."""

    name = "tl.ne"
