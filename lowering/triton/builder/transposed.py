"""
Kernels whose blocks of two dimensions lie transposed.

Lowering code says what is in a row and what in a column; here a row is a column of the block that Triton sees. So one
text gives two arrangements of a kernel. In that of attention a tile of logits then has keys in its rows and queries in
its columns: the long side of the matrix unit (16 rows) goes over keys, of which there are many, and the short one (8
columns) over the few queries of a decode step.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder.blocks import BlockBuilder
from flashlower.lowering.triton.builder.core import Operand


class TransposedBuilder(BlockBuilder):
    """Builds every block of two dimensions as its transpose; blocks of one dimension are as they are."""

    def logical_shape(self, x: SSAValue) -> tuple[int, ...]:
        """See `BlockBuilder.logical_shape`."""
        return shape_of(x.type)[::-1]

    def rows(self, x: SSAValue) -> SSAValue:
        """See `BlockBuilder.rows`."""
        return self.expand_dims(x, 0)

    def columns(self, x: SSAValue) -> SSAValue:
        """See `BlockBuilder.columns`."""
        return self.expand_dims(x, 1)

    def full(
        self,
        shape: Sequence[SSAValue | int],
        value: Operand,
        element: Attribute | None = None,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """See `BlockBuilder.full`."""
        return super().full(shape[::-1], value, element, name=name, comment=comment)

    def zeros(
        self,
        shape: Sequence[SSAValue | int],
        element: Attribute,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """See `BlockBuilder.zeros`."""
        return super().zeros(shape[::-1], element, name=name, comment=comment)

    def broadcast_to(
        self,
        x: SSAValue,
        shape: Sequence[SSAValue | int],
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """See `BlockBuilder.broadcast_to`."""
        return super().broadcast_to(x, shape[::-1], name=name, comment=comment)

    def max(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """See `BlockBuilder.max`."""
        return super().max(x, self._axis(x, axis), name=name, comment=comment)

    def sum(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """See `BlockBuilder.sum`."""
        return super().sum(x, self._axis(x, axis), name=name, comment=comment)

    @staticmethod
    def _axis(x: SSAValue, axis: int) -> int:
        return len(shape_of(x.type)) - 1 - axis

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
        """See `BlockBuilder.dot`; (A B)' is B' A'."""
        return super().dot(b, a, acc, input_precision=input_precision, name=name, comment=comment)
