"""Where new tokens go in a cache: their positions, pages and slots, and which of them have a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import DYNAMIC_INDEX, i32, i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import UpdateCacheOp
from flashlower.dialects.attention.layout import used_indices
from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Sizes
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.parameters import Access, Parameters


@dataclass(frozen=True)
class Place:
    """
    Places of tokens: indices in i64 (batch, h, m, n, page and slot), and whether there is such a place.

    Each is a number, or a block [rows] where it differs between the rows of a program.
    """

    indices: Mapping[str, SSAValue]
    exists: SSAValue


class CachePlaces:
    """Finds the places of the tokens of one `attention.update_cache`."""

    def __init__(self, b: KernelBuilder, op: UpdateCacheOp, sizes: Sizes, accesses: Mapping[str, Access]):
        self._b = b
        self._op = op
        self._sizes = sizes
        self._accesses = accesses
        self._paged = "page" in used_indices(op.cache_layout.data)

    @staticmethod
    def register(parameters: Parameters, host: Host) -> None:
        """Makes parameters of dynamic numbers of pages, and of rows of a block table."""
        for dim, name in (("page", "NUM_PAGES"), ("row", "NUM_ROWS")):
            if host.sizes[dim] == DYNAMIC_INDEX:
                parameters.scalar(name, i32, lambda dim=dim: host.size(dim))

    def _count(self, dim: str, name: str) -> SSAValue:
        """The number of pages, or of rows of a block table, in i64."""
        size = self._sizes.static[dim]
        return self._b.cast(self._b.arg(name) if size == DYNAMIC_INDEX else self._sizes.constexpr(name, size), i64)

    def load(
        self, name: str, indices: Mapping[str, SSAValue], mask: SSAValue | None = None, other: int = 0
    ) -> SSAValue:
        """Integers of an operand in i64: a number where no index that it has is a block."""
        b = self._b
        pointer = self._accesses[name].base(b, indices)
        if mask is not None and shape_of(mask.type) and not shape_of(pointer.type):
            # One element for all rows, which is there whatever the rows are.
            mask = None
        return b.cast(b.load(pointer, mask=mask, other=other), i64)

    def first_positions(self, indices: Mapping[str, SSAValue]) -> SSAValue:
        """The positions of first tokens, of an operand without m."""
        first = self.load("positions", indices)
        first.name_hint = "first_n"
        return first

    def of_rows(self, indices: Mapping[str, SSAValue], row_mask: SSAValue | None) -> Place:
        """The places of rows by batch, head and token; rows where the mask is false have none."""
        b = self._b
        if self._op.slots is not None:
            slots = self.load("slots", indices, row_mask, -1)
            slots.name_hint = "slots"
            return self._in_pages(indices, slots, [row_mask, b.ge(slots, 0)], "")
        n = self.load("positions", indices, row_mask, -1)
        if self._op.positions_layout is not None and "m" not in used_indices(self._op.positions_layout.data):
            n = self.after(n, indices)
        n.name_hint = "n"
        return self.at(indices, n, [row_mask])

    def after(self, first: SSAValue, indices: Mapping[str, SSAValue]) -> SSAValue:
        """The position of token m after the first one."""
        return self._b.add(first, indices["m"]) if "m" in indices else first

    def at(self, indices: Mapping[str, SSAValue], n: SSAValue, masks: list[SSAValue | None], prefix: str = "") -> Place:
        """The place of position n; there is none where a mask is false. Names get the prefix."""
        b, sizes = self._b, self._sizes
        masks = [*masks, b.ge(n, 0), b.lt(n, b.cast(sizes.value("n"), i64))]
        indices = {**indices, "n": n}
        if self._paged:
            return self._in_pages(indices, n, masks, prefix)
        exists = b.all_of(masks, name=f"{prefix}placed")
        assert exists is not None
        return Place(indices, exists)

    def _in_pages(
        self, indices: Mapping[str, SSAValue], place: SSAValue, masks: list[SSAValue | None], prefix: str
    ) -> Place:
        """The page and slot of a position, or of a slot number of the pool."""
        b = self._b
        found = dict(indices)
        if self._sizes.static["slot"] != 1:
            page_size = b.cast(self._sizes.constexpr("PAGE_SIZE", self._sizes.static["slot"]), i64)
            found["slot"] = b.mod(place, page_size, name=f"{prefix}slot")
            place = b.floordiv(place, page_size)
        page = place
        if self._op.slots is not None:
            exists = b.all_of([*masks, b.lt(page, self._count("page", "NUM_PAGES"))])
        else:
            place.name_hint = f"{prefix}p"
            if self._op.rows is not None:
                found["row"] = self.load("rows", found, masks[0])
                found["row"].name_hint = f"{prefix}row"
                masks = [*masks, b.ge(found["row"], 0), b.lt(found["row"], self._count("row", "NUM_ROWS"))]
            page = self.load("block_table", {**found, "p": place}, b.all_of(masks), -1)
            exists = b.all_of([*masks, b.ge(page, 0), b.lt(page, self._count("page", "NUM_PAGES"))])
        assert exists is not None
        page.name_hint, exists.name_hint = f"{prefix}page", f"{prefix}placed"
        return Place({**found, "page": page}, exists)
