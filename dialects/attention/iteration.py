"""What operations over the iteration space `(b..., h, g, m, n, k, d)` share: sizes, by the layouts of operands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

from xdsl.dialects.builtin import AffineMapAttr
from xdsl.ir import SSAValue
from xdsl.irdl import IRDLOperation

from flashlower.dialects.attention.layout import DimSizes
from flashlower.dialects.attention.types import TensorOf


class IterationOp(IRDLOperation, ABC):
    """An operation whose operands have layouts over iteration dimensions."""

    @property
    @abstractmethod
    def batch_rank(self) -> int:
        """The number of batch dimensions."""

    @abstractmethod
    def layouts(self) -> list[tuple[str, SSAValue, AffineMapAttr]]:
        """Every operand and result that has a layout: its name in the assembly format, the value, the layout."""

    @abstractmethod
    def lanes(self) -> dict[str, int]:
        """How many codes an element of a quantised operand holds, by its name: what `DimSizes` asks for."""

    def dim_sizes(self) -> dict[str, int]:
        """
        Sizes of the iteration dimensions (`b` or `b0`..., h, g, m, n, k, d), `DYNAMIC_INDEX` where unknown.

        Raises `VerifyException` where the layouts contradict each other.
        """
        return self.collect_sizes().by_name()

    def index_sizes(self) -> dict[str, int]:
        """`dim_sizes`, and the sizes of the indices of pages: row, p, page and slot."""
        return self.collect_sizes().by_index()

    def collect_sizes(self) -> DimSizes:
        """The sizes that operands and results say, for verifiers that compare more with them."""
        sizes = DimSizes.of(self.batch_rank, self.lanes())
        for name, value, layout in self.layouts():
            sizes.add(name, cast(TensorOf, value.type).get_shape(), layout.data)
        return sizes
