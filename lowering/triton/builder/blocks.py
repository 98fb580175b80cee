"""The grid, and functions of `triton.language` that make blocks or change their shape."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import i32
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects import tl
from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder.core import BuilderCore, Operand


class BlockBuilder(BuilderCore):
    """Builds constants, blocks, reductions and dots of the `tl` dialect."""

    def _sizes(self, shape: Sequence[SSAValue | int]) -> list[SSAValue]:
        return [self.value(size, i32) for size in shape]

    def _laid(self, shape: Sequence[SSAValue | int]) -> Sequence[SSAValue | int]:
        """A shape, rows first, as the block lies."""
        return shape

    def _axis(self, x: SSAValue, axis: int) -> int:
        """An axis of a block, 0 being that of rows, as the block lies."""
        return axis

    def _factors(self, a: SSAValue, b: SSAValue) -> tuple[SSAValue, SSAValue]:
        """The factors of a product as `tl.dot` takes them."""
        return a, b

    def program_id(self, axis: int, *, name: str | None = None) -> SSAValue:
        """tl.program_id(axis), i32."""
        return self._make(lambda: tl.ProgramIdOp(axis), name, None)

    def arange(
        self,
        start: SSAValue | int,
        end: SSAValue | int,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.arange(start, end), a block of i32; both are numbers, constants or constexprs."""
        low, high = self._sizes([start, end])
        return self._make(lambda: tl.ArangeOp(low, high), name, comment)

    def full(
        self,
        shape: Sequence[SSAValue | int],
        value: Operand,
        element: Attribute | None = None,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.full(shape, value, dtype); a number needs `element`."""
        sizes, scalar = self._sizes(self._laid(shape)), self.value(value, element)
        return self._make(lambda: tl.FullOp(scalar, sizes), name, comment)

    def zeros(
        self,
        shape: Sequence[SSAValue | int],
        element: Attribute,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.zeros(shape, dtype)."""
        sizes = self._sizes(self._laid(shape))
        return self._make(lambda: tl.ZerosOp(sizes, element), name, comment)

    def broadcast_to(
        self,
        x: SSAValue,
        shape: Sequence[SSAValue | int],
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.broadcast_to(x, shape)."""
        sizes = self._sizes(self._laid(shape))
        return self._make(lambda: tl.BroadcastToOp(x, sizes), name, comment)

    def reshape(
        self,
        x: SSAValue,
        shape: Sequence[SSAValue | int],
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.reshape(x, shape)."""
        sizes = self._sizes(shape)
        return self._make(lambda: tl.ReshapeOp(x, sizes), name, comment)

    def expand_dims(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """x[:, None] for axis 1 and x[None, :] for axis 0 of a block with one dimension, and so on."""
        return self._make(lambda: tl.ExpandDimsOp(x, axis), name, comment)

    def logical_shape(self, x: SSAValue) -> tuple[int, ...]:
        """The shape of a block, rows first, however it lies."""
        return shape_of(x.type)

    def rows(self, x: SSAValue) -> SSAValue:
        """x[:, None]: one number a row."""
        return self.expand_dims(x, 1)

    def columns(self, x: SSAValue) -> SSAValue:
        """x[None, :]: one number a column."""
        return self.expand_dims(x, 0)

    def trans(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.trans(x)."""
        return self._make(lambda: tl.TransOp(x), name, comment)

    def max(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.max(x, axis); 16-bit floats give f32."""
        return self._make(lambda: tl.MaxOp(x, self._axis(x, axis)), name, comment)

    def sum(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.sum(x, axis) of integers, f32 and f64."""
        return self._make(lambda: tl.SumOp(x, self._axis(x, axis)), name, comment)

    def cumsum(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.cumsum(x) of a block of i32 or f32 with one dimension."""
        return self._make(lambda: tl.CumsumOp(x), name, comment)

    def dot(
        self,
        a: SSAValue,
        b: SSAValue,
        acc: SSAValue | None = None,
        *,
        input_precision: str | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.dot(a, b, acc); f32, or i32 for i8 operands."""
        lhs, rhs = self._factors(a, b)
        return self._make(lambda: tl.DotOp(lhs, rhs, acc, input_precision), name, comment)
