"""Where new tokens go in a cache: their positions, pages and slots, and which of them have a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import DYNAMIC_INDEX, i32, i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import UpdateCacheOp
from flashlower.dialects.attention.layout import used_indices
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Sizes
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.memory import whole
from flashlower.lowering.triton.parameters import Access, Parameters


@dataclass(frozen=True)
class Place:
    """
    Places of tokens: indices in i64 (batch, h, m, n, page and slot), and whether there is such a place.

    What follows from a position is a block [rows]; batch, h and m may be numbers that all rows of a program share.
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

    def _load(
        self, name: str, indices: Mapping[str, SSAValue], rows: SSAValue, mask: SSAValue | None = None, other: int = -1
    ) -> SSAValue:
        """Integers of an operand for so many rows, in i64."""
        b = self._b
        pointers = whole(b, self._accesses[name].base(b, indices), (rows,), f"{name}_ptrs")
        return b.cast(b.load(pointers, mask=mask, other=other), i64)

    def find(
        self,
        indices: Mapping[str, SSAValue],
        rows: SSAValue,
        mask: SSAValue | None,
        aligned: SSAValue | None = None,
        prefix: str = "",
    ) -> Place:
        """
        The places of rows by batch, head and token; rows where the mask is false have none.

        With `aligned`, neither have sequences whose first position is no multiple of it. Names get the prefix.
        """
        b = self._b
        name = "positions" if self._op.slots is None else "slots"
        found = self._load(name, indices, rows, mask)
        masks = [mask]
        layout = self._op.positions_layout
        if layout is not None and "m" not in used_indices(layout.data):
            if aligned is not None:
                masks.append(b.eq(b.mod(found, b.cast(aligned, i64)), 0))
            if "m" in indices:
                found = b.add(found, indices["m"])
        found.name_hint = f"{prefix}{'n' if name == 'positions' else name}"
        masks.append(b.ge(found, 0))
        indices = dict(indices)
        if name == "positions":
            masks.append(b.lt(found, b.cast(self._sizes.value("n"), i64)))
            indices["n"] = found
        if self._paged:
            return self._in_pages(indices, found, rows, masks, prefix)
        exists = b.all_of(masks, name=f"{prefix}placed")
        assert exists is not None
        return Place(indices, exists)

    def _in_pages(
        self,
        found: dict[str, SSAValue],
        place: SSAValue,
        rows: SSAValue,
        masks: list[SSAValue | None],
        prefix: str,
    ) -> Place:
        """The page and slot of a position, or of a slot number of the pool."""
        b = self._b
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
                found["row"] = self._load("rows", found, rows, masks[0])
                found["row"].name_hint = f"{prefix}row"
                masks = [*masks, b.ge(found["row"], 0), b.lt(found["row"], self._count("row", "NUM_ROWS"))]
            page = self._load("block_table", {**found, "p": place}, rows, b.all_of(masks))
            exists = b.all_of([*masks, b.ge(page, 0), b.lt(page, self._count("page", "NUM_PAGES"))])
        assert exists is not None
        page.name_hint, exists.name_hint = f"{prefix}page", f"{prefix}placed"
        return Place({**found, "page": page}, exists)
