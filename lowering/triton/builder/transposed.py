"""
Kernels whose blocks of two dimensions lie transposed.

Lowering code says what is in a row and what in a column; here a row is a column of the block that Triton sees. So one
text gives two arrangements of a kernel. In that of attention a tile of logits then has keys in its rows and queries in
its columns: the long side of the matrix unit (16 rows) goes over keys, of which there are many, and the short one (8
columns) over the few queries of a decode step.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder.blocks import BlockBuilder


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

    def _laid(self, shape: Sequence[SSAValue | int]) -> Sequence[SSAValue | int]:
        return shape[::-1]

    def _axis(self, x: SSAValue, axis: int) -> int:
        return len(shape_of(x.type)) - 1 - axis

    def _factors(self, a: SSAValue, b: SSAValue) -> tuple[SSAValue, SSAValue]:
        # The transpose of A B is B' A'.
        return b, a
