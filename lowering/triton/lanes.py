"""The blocks of a head whose codes share elements of storage: one for every lane of a block of elements."""

from __future__ import annotations

from xdsl.dialects.builtin import DYNAMIC_INDEX, i64
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.attention.quantization import Packing
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Sizes
from flashlower.lowering.triton.memory import HeadPart, block_parts, head_parts


class Lanes:
    """The blocks of a head whose codes lie in elements of storage: those of the elements, and those of each lane."""

    def __init__(self, b: KernelBuilder, sizes: Sizes, dim: str, packing: Packing, heads: int = 1):
        """`heads` share a block, whose width is that of all of them."""
        self.packing = packing
        if packing.lanes == 1:
            self.elements = self.lanes = head_parts(b, sizes, dim)
            return
        if packing.width == DYNAMIC_INDEX:
            raise DiagnosticException(f"the head size {dim} is dynamic, but tiles of a Triton kernel need it static")
        if heads > 1:
            self.elements = [self._of_heads(b, sizes, dim, heads)]
        else:
            self.elements = block_parts(b, sizes, f"{dim}w", packing.width)
        many = sizes.constexpr(f"LANES_{dim.upper()}", packing.lanes)
        width = sizes.constexpr(f"WIDTH_{dim.upper()}", packing.width) if packing.planar else None
        self.lanes: list[HeadPart] = []
        for part in self.elements:
            for lane in range(packing.lanes):
                number = len(self.lanes)
                if width is None:
                    channels = b.add(b.mul(part.offsets, b.cast(many, i64)), lane)
                else:
                    channels = b.add(b.mul(b.cast(width, i64), lane), part.offsets) if lane else part.offsets
                if lane or width is None:
                    channels.name_hint = f"offs_{dim}{number}"
                self.lanes.append(HeadPart(str(number), part.block, channels, part.mask, part.heads))

    def _of_heads(self, b: KernelBuilder, sizes: Sizes, dim: str, heads: int) -> HeadPart:
        """The elements of several heads, one head after the other."""
        width = sizes.constexpr(f"WIDTH_{dim.upper()}", self.packing.width)
        block = sizes.constexpr(f"BLOCK_{dim.upper()}W", self.packing.width * heads)
        every = b.arange(0, block, name=f"every_{dim}w")
        offsets = b.cast(b.mod(every, width), i64, name=f"offs_{dim}w")
        return HeadPart("", block, offsets, None, b.floordiv(every, width, name=f"head_{dim}w"))

    def groups(self, b: KernelBuilder, group: int) -> tuple[list[HeadPart], list[int]]:
        """
        The groups of `group` neighbouring channels that the lanes are in, and which of these each lane has.

        One number for a whole lane where all its channels are of one group, else a block of them.
        """
        lanes, planar, width = self.packing.lanes, self.packing.planar, self.packing.width
        found: dict[tuple[str, int], int] = {}
        parts: list[HeadPart] = []
        which: list[int] = []
        for number in range(len(self.lanes)):
            block, lane = divmod(number, lanes)
            if lanes > 1 and planar and group % width == 0:
                key = ("lane", lane * width // group)
            elif lanes > 1 and not planar and group % lanes == 0:
                key = ("element", block)
            else:
                key = ("block", number)
            if key not in found:
                found[key] = len(parts)
                parts.append(self._group(b, group, number, key))
            which.append(found[key])
        return parts, which

    def _group(self, b: KernelBuilder, group: int, number: int, key: tuple[str, int]) -> HeadPart:
        kind, index = key
        part = self.lanes[number]
        if kind == "lane":
            return HeadPart(str(index), part.block, b.constant(index, i64), None)
        if kind == "element":
            element = self.elements[index]
            group //= self.packing.lanes
            offsets = element.offsets if group == 1 else b.floordiv(element.offsets, group)
            return HeadPart(element.suffix, element.block, offsets, element.mask, element.heads)
        offsets = part.offsets if group == 1 else b.floordiv(part.offsets, group)
        return HeadPart(part.suffix, part.block, offsets, part.mask, part.heads)
