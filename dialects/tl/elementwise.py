"""
The elementwise ops of the `tl` dialect: Python's operators and `triton.language`'s math functions.

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

from flashlower.dialects.tl.base import InferredOp
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
    verify_broadcasts_to,
)

_FORMAT = "$lhs `,` $rhs attr-dict `:` `(` type($lhs) `,` type($rhs) `)` `->` type($result)"


class BinaryOp(InferredOp):
    """An op of two operands: a Python operator, or a function of Triton."""

    lhs = operand_def()
    rhs = operand_def()
    result = result_def()

    assembly_format = _FORMAT

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


def _canonicalization_patterns() -> tuple[RewritePattern, ...]:
    # The patterns need the ops of this module.
    from flashlower.dialects.tl.canonicalize import PATTERNS  # noqa: PLC0415

    return PATTERNS


class FoldableBinaryOp(BinaryOp, HasCanonicalizationPatternsInterface):
    """A binary op that the canonicalizer knows identities of."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        return _canonicalization_patterns()


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
        return _canonicalization_patterns()


@irdl_op_definition
class CastOp(InferredOp, HasCanonicalizationPatternsInterface):
    """`input.to(dtype)`: another element type, the same shape. Floats go to integers towards zero."""

    name = "tl.cast"

    input = operand_def()
    result = result_def()

    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation, element: Attribute):
        type = SSAValue.get(input).type
        result_type = block_of(element, shape_of(type))
        self._check(type, result_type)
        super(InferredOp, self).__init__(operands=[input], result_types=[result_type])

    @staticmethod
    def _check(source: Attribute, target: Attribute) -> None:
        if not is_number(element_type(source)) or not is_number(element_type(target)):
            raise VerifyException(f"tl.cast is between numbers, got {source} to {target}")
        verify_broadcasts_to("the operand of tl.cast", source, target)
        if shape_of(source) != shape_of(target):
            raise VerifyException(f"tl.cast keeps the shape, got {source} to {target}")

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        target = self.results[0].type
        self._check(types[0], target)
        return target

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        return _canonicalization_patterns()


@irdl_op_definition
class BitcastOp(InferredOp):
    """`input.to(dtype, bitcast=True)`: the same bits read as another type of as many bits."""

    name = "tl.bitcast"

    input = operand_def()
    result = result_def()

    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation, element: Attribute):
        type = SSAValue.get(input).type
        result_type = block_of(element, shape_of(type))
        self._check(type, result_type)
        super(InferredOp, self).__init__(operands=[input], result_types=[result_type])

    @staticmethod
    def _check(source: Attribute, target: Attribute) -> None:
        numbers = [element_type(source), element_type(target)]
        if not all(map(is_number, numbers)) or any(map(is_bool, numbers)):
            raise VerifyException(f"tl.bitcast is between numbers, got {source} to {target}")
        if bit_width(numbers[0]) != bit_width(numbers[1]):
            raise VerifyException(f"tl.bitcast keeps the bits, got {source} to {target}")
        if shape_of(source) != shape_of(target):
            raise VerifyException(f"tl.bitcast keeps the shape, got {source} to {target}")

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        target = self.results[0].type
        self._check(types[0], target)
        return target
