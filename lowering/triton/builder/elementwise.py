"""Python's operators, and functions of `triton.language` that work element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import Attribute, Operation, SSAValue

from flashlower.dialects import tl
from flashlower.dialects.tl.types import element_type
from flashlower.lowering.triton.builder.core import BuilderCore, Operand


class ElementwiseBuilder(BuilderCore):
    """Builds the elementwise ops of the `tl` dialect."""

    def _binary(
        self,
        op: Callable[[SSAValue, SSAValue], Operation],
        lhs: Operand,
        rhs: Operand,
        name: str | None,
        comment: str | None,
    ) -> SSAValue:
        left, right = self._pair(lhs, rhs)
        return self._make(lambda: op(left, right), name, comment)

    def add(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs + rhs; on a pointer the offset is in elements."""
        return self._binary(tl.AddOp, lhs, rhs, name, comment)

    def sub(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs - rhs."""
        return self._binary(tl.SubOp, lhs, rhs, name, comment)

    def mul(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs * rhs."""
        return self._binary(tl.MulOp, lhs, rhs, name, comment)

    def truediv(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs / rhs on f32 and f64."""
        return self._binary(tl.TrueDivOp, lhs, rhs, name, comment)

    def div_rn(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.div_rn(lhs, rhs) on f32, rounded as IEEE 754 has it."""
        return self._binary(tl.DivRnOp, lhs, rhs, name, comment)

    def floordiv(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs // rhs on integers, towards zero as in C."""
        return self._binary(tl.FloorDivOp, lhs, rhs, name, comment)

    def mod(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs % rhs on integers, with the sign of lhs as in C."""
        return self._binary(tl.ModOp, lhs, rhs, name, comment)

    def cdiv(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.cdiv(lhs, rhs) for lhs >= 0 and rhs > 0."""
        return self._binary(tl.CdivOp, lhs, rhs, name, comment)

    def shl(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs << rhs."""
        return self._binary(tl.ShlOp, lhs, rhs, name, comment)

    def shr(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs >> rhs."""
        return self._binary(tl.ShrOp, lhs, rhs, name, comment)

    def and_(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs & rhs on integers and masks."""
        return self._binary(tl.AndOp, lhs, rhs, name, comment)

    def or_(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs | rhs on integers and masks."""
        return self._binary(tl.OrOp, lhs, rhs, name, comment)

    def xor(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs ^ rhs on integers and masks."""
        return self._binary(tl.XorOp, lhs, rhs, name, comment)

    def maximum(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.maximum(lhs, rhs) on integers, f32 and f64."""
        return self._binary(tl.MaximumOp, lhs, rhs, name, comment)

    def minimum(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.minimum(lhs, rhs) on integers, f32 and f64."""
        return self._binary(tl.MinimumOp, lhs, rhs, name, comment)

    def lt(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs < rhs."""
        return self._binary(tl.LtOp, lhs, rhs, name, comment)

    def le(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs <= rhs."""
        return self._binary(tl.LeOp, lhs, rhs, name, comment)

    def gt(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs > rhs."""
        return self._binary(tl.GtOp, lhs, rhs, name, comment)

    def ge(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs >= rhs."""
        return self._binary(tl.GeOp, lhs, rhs, name, comment)

    def eq(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs == rhs."""
        return self._binary(tl.EqOp, lhs, rhs, name, comment)

    def ne(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs != rhs."""
        return self._binary(tl.NeOp, lhs, rhs, name, comment)

    def neg(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """-x."""
        return self._make(lambda: tl.NegOp(x), name, comment)

    def invert(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """~x on integers and masks."""
        return self._make(lambda: tl.InvertOp(x), name, comment)

    def abs(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.abs(x)."""
        return self._make(lambda: tl.AbsOp(x), name, comment)

    def exp(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.exp(x) on f32 and f64."""
        return self._make(lambda: tl.ExpOp(x), name, comment)

    def exp2(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.exp2(x) on f32 and f64."""
        return self._make(lambda: tl.Exp2Op(x), name, comment)

    def log(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.log(x) on f32 and f64."""
        return self._make(lambda: tl.LogOp(x), name, comment)

    def log2(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.log2(x) on f32 and f64."""
        return self._make(lambda: tl.Log2Op(x), name, comment)

    def sqrt(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.sqrt(x) on f32 and f64."""
        return self._make(lambda: tl.SqrtOp(x), name, comment)

    def rsqrt(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.rsqrt(x) on f32 and f64."""
        return self._make(lambda: tl.RsqrtOp(x), name, comment)

    def sin(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.sin(x) on f32 and f64."""
        return self._make(lambda: tl.SinOp(x), name, comment)

    def cos(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.cos(x) on f32 and f64."""
        return self._make(lambda: tl.CosOp(x), name, comment)

    def floor(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.floor(x) on f32 and f64."""
        return self._make(lambda: tl.FloorOp(x), name, comment)

    def ceil(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.ceil(x) on f32 and f64."""
        return self._make(lambda: tl.CeilOp(x), name, comment)

    def all_of(self, masks: Sequence[SSAValue | None], *, name: str | None = None) -> SSAValue | None:
        """The conjunction of the masks that are there; None when there are none."""
        present = [mask for mask in masks if mask is not None]
        if not present:
            return None
        result = present[0]
        for mask in present[1:]:
            result = self.and_(result, mask)
        if name is not None and len(present) > 1:
            result.name_hint = name
        return result

    def fma(
        self,
        x: SSAValue,
        y: Operand,
        z: Operand,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.fma(x, y, z): x * y + z rounded once."""
        factor, term = self.value(y, x.type), self.value(z, x.type)
        return self._make(lambda: tl.FmaOp(x, factor, term), name, comment)

    def where(
        self,
        condition: SSAValue,
        x: Operand,
        y: Operand,
        *,
        element: Attribute | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.where(condition, x, y); `element` types two numbers."""
        if not isinstance(x, SSAValue) and not isinstance(y, SSAValue):
            x = self.constant(x, element)
        left, right = self._pair(x, y)
        return self._make(lambda: tl.WhereOp(condition, left, right), name, comment)

    def cast(self, x: SSAValue, element: Attribute, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """x.to(element); x itself when it has that element type already."""
        if element_type(x.type) == element:
            return x
        return self._make(lambda: tl.CastOp(x, element), name, comment)

    def bitcast(
        self, x: SSAValue, element: Attribute, *, name: str | None = None, comment: str | None = None
    ) -> SSAValue:
        """x.to(element, bitcast=True): the same bits read as another type; x itself when it has that type already."""
        if element_type(x.type) == element:
            return x
        return self._make(lambda: tl.BitcastOp(x, element), name, comment)

    def unpack(
        self,
        words: SSAValue,
        asm: tl.UnpackAttr,
        element: Attribute,
        scale: SSAValue | None = None,
        *,
        name: str,
        comment: str | None = None,
    ) -> list[SSAValue]:
        """tl.inline_asm_elementwise that unpacks i32 words; results are called `name` and the number of the lane."""
        op = tl.InlineAsmElementwiseOp(asm, words, element, scale)
        self._verify(op)
        self._append(op, comment)
        for lane, output in enumerate(op.outputs):
            output.name_hint = f"{name}{lane}"
        return list(op.outputs)
