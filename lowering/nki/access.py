"""Where the elements of a tensor lie over the iteration space of attention: strides in the flat tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import AffineMapAttr
from xdsl.ir import SSAValue

from flashlower.dialects.attention.layout import INNER_DIMS, index_names, layout_terms
from flashlower.lowering.nki.builder import KernelBuilder, Sum


@dataclass(frozen=True)
class Access:
    """A tensor in HBM, row-major, and its stride along each iteration dimension and index of pages that it has."""

    tensor: SSAValue
    strides: Mapping[str, int]

    @staticmethod
    def of(tensor: SSAValue, shape: Sequence[int], layout: AffineMapAttr) -> Access:
        """The access of a tensor of a shape, which may differ from that of its type; pages have strides too."""
        names = index_names(layout.data.num_dims - len(INNER_DIMS))
        strides: dict[str, int] = {}
        for position, terms in enumerate(layout_terms(layout.data)):
            for term in terms:
                strides[names[term.dim]] = term.stride * prod(shape[position + 1 :])
        return Access(tensor, strides)

    @property
    def is_paged(self) -> bool:
        """Whether it is a pool of pages."""
        return "page" in self.strides

    def stride(self, dim: str) -> int:
        """The distance between neighbours; 0 along a dimension that the tensor has not."""
        return self.strides.get(dim, 0)

    def offset(self, indices: Mapping[str, Sum]) -> Sum:
        """The flat position of the element with these indices."""
        total = Sum()
        for dim, index in indices.items():
            total = total + index * self.stride(dim)
        return total

    def view(
        self, b: KernelBuilder, dims: Sequence[tuple[str, int]], indices: Mapping[str, Sum], *, lead: int = 1
    ) -> SSAValue:
        """A view over some dimensions, the first `lead` on the partitions; `indices` are the starts of all."""
        return b.ap(self.tensor, [(self.stride(dim), size) for dim, size in dims], self.offset(indices), lead=lead)
