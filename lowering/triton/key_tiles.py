"""Where the tiles of K and V are in memory: keys in a row, or in pages that a block table lists.

Pointers to a tile are made once, before the loop over tiles, and moved to each tile in it. With pages, a tile needs
the number of its page, or of the page of each of its keys where tiles do not lie inside of one page. These are loaded
one iteration ahead and carried into the next: K and V then wait for no load of the same iteration, which keeps
Triton's software pipeline as deep as `num_stages` says.

Tiles start at multiples of BLOCK_N keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.tl.blocks import constant_size
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.memory import HeadPart, whole
from flashlower.lowering.triton.parameters import Access


@dataclass(frozen=True)
class _Operand:
    """K or V: how it is reached, and pointers to a tile before they are moved to one, for each part of the head."""

    access: Access
    parts: Sequence[HeadPart]
    pointers: Sequence[SSAValue]
    paged: bool


@dataclass(frozen=True)
class KeyTile:
    """One tile of keys in the loop: where K and V have it, and what the next iteration gets."""

    tiles: KeyTiles
    row: Mapping[str, SSAValue]
    """Indices of the tile in i64 for an operand whose keys lie in a row."""
    pages: Mapping[str, SSAValue]
    """The same for pages: one of each, or [BLOCK_N] of each."""
    carried: Mapping[str, SSAValue]

    def pointers(self, operand: Literal["k", "v"]) -> list[SSAValue]:
        """Pointers to K (transposed) or V, one block for each part of the head size."""
        return self.tiles.move(operand, self)


class KeyTiles:
    """The tiles of K and V of one program."""

    def __init__(
        self,
        b: KernelBuilder,
        op: AttentionOp,
        accesses: Mapping[str, Access],
        programs: Programs,
        sizes: Sizes,
        block_n: SSAValue,
        parts: Mapping[Literal["k", "v"], Sequence[HeadPart]],
    ):
        self._b = b
        self._block_n = block_n
        self._page_size = op.page_size
        self._sizes = sizes
        # One page a tile, or one page a key.
        self._one_page = self._page_size is not None and self._page_size % constant_size(block_n) == 0
        self._page: SSAValue | None = None
        """The page of every tile, where the table has one entry. Carried, it would be the same in all iterations, which
        Triton's pipeliner cannot schedule."""
        if self._page_size is not None:
            self._single_entry = op.index_sizes()["p"] == 1
            self._table = accesses["block_table"]
            indices = dict(programs.indices)
            if "rows" in accesses:
                row = b.load(accesses["rows"].base(b, programs.indices))
                indices["row"] = b.cast(row, i64, name="row")
            self._table_base = self._table.base(b, indices)
        tile_n = b.cast(b.arange(0, block_n), i64, name="tile_n")
        self._operands = {
            name: self._operand(name, accesses[name], operand_parts, tile_n, programs)
            for name, operand_parts in parts.items()
        }

    def _operand(
        self,
        name: Literal["k", "v"],
        access: Access,
        parts: Sequence[HeadPart],
        tile_n: SSAValue,
        programs: Programs,
    ) -> _Operand:
        b = self._b
        paged = self._page_size is not None and "n" not in access.dims
        base = access.base(b, programs.indices)
        along = self._along(name, tile_n)
        pointers: list[SSAValue] = []
        for part in parts:
            head = b.rows(part.offsets) if name == "k" else b.columns(part.offsets)
            # Keys of several pages have no distance from the first one of the tile.
            steps = {} if paged and not self._one_page else {"slot" if paged else "n": along}
            steps = {"k": head, **steps} if name == "k" else {**steps, "d": head}
            pointer = access.move(b, base, steps)
            if not paged or self._one_page:
                pointer = self._whole(name, pointer, part)
            elif pointer is not base:
                pointer.name_hint = f"{name}_head_ptrs{part.suffix}"
            pointers.append(pointer)
        return _Operand(access, parts, pointers, paged)

    def _along(self, operand: str, keys: SSAValue) -> SSAValue:
        """Something of each key [BLOCK_N] along the keys of a tile of K, which is transposed, or of V."""
        return self._b.columns(keys) if operand == "k" else self._b.rows(keys)

    def _whole(self, name: str, pointer: SSAValue, part: HeadPart) -> SSAValue:
        shape = (part.block, self._block_n) if name == "k" else (self._block_n, part.block)
        return whole(self._b, pointer, shape, f"{name}_ptrs{part.suffix}")

    # The page of a tile, or the pages of its keys.

    def _load_pages(self, key: SSAValue, mask: SSAValue | None, name: str, comment: str | None = None) -> SSAValue:
        """The pages of keys that exist."""
        b = self._b
        page_size = self._sizes.constexpr("PAGE_SIZE", self._page_size or 1)
        p = key if self._page_size == 1 else b.floordiv(key, page_size)
        pointer = self._table.move(b, self._table_base, {"p": b.cast(p, i64)})
        if not self._one_page:
            pointer = whole(b, pointer, (self._block_n,))
        pointer.name_hint = f"{name}_ptr" if self._one_page else f"{name.removesuffix('s')}_ptrs"
        if mask is None:
            return b.load(pointer, name=name, comment=comment)
        return b.load(pointer, mask=mask, other=0, name=name, comment=comment)

    def start(self, lo: SSAValue, hi: SSAValue) -> dict[str, SSAValue]:
        """What the loop over the keys lo..hi carries from tile to tile; nothing without pages."""
        if self._page_size is None:
            return {}
        b = self._b
        self._last = b.sub(hi, 1, name="last")
        """The last key: entries of the table beyond its page are never read."""
        if self._single_entry:
            self._page = b.load(self._table_base, mask=b.lt(lo, hi), other=0, name="page")
            return {}
        if self._one_page:
            return {"page": self._load_pages(lo, b.lt(lo, hi), "page")}
        first = b.add(lo, b.arange(0, self._block_n), name="first_n")
        return {"pages": self._load_pages(first, b.lt(first, hi), "pages")}

    def enter(self, start_n: SSAValue, offs_n: SSAValue, carried: Mapping[str, SSAValue]) -> KeyTile:
        """The tile of the keys `offs_n`, from `start_n` on, in the body of the loop."""
        b = self._b
        row = {"n": b.cast(start_n, i64, name="start")}
        if self._page_size is None:
            return KeyTile(self, row, {}, {})
        name, first = ("page", start_n) if self._one_page else ("pages", offs_n)
        if self._page is not None:
            pages = self._page if self._one_page else whole(b, self._page, (self._block_n,))
            return KeyTile(self, row, self._at(pages, first), {})
        following = b.minimum(b.add(first, self._block_n), self._last)
        comment = "Loaded one iteration ahead, so that K and V need not wait for it"
        loaded = self._load_pages(following, None, f"next_{name}", comment)
        return KeyTile(self, row, self._at(carried[name], first), {name: loaded})

    def _at(self, page: SSAValue, key: SSAValue) -> dict[str, SSAValue]:
        """Indices of a tile in i64: of its page, and of its slots where they do not follow from the pointers."""
        slot = self._b.mod(key, self._sizes.constexpr("PAGE_SIZE", self._page_size or 1))
        prefix = "off" if self._one_page else "offs"
        at = {index: self._b.cast(x, i64, name=f"{prefix}_{index}") for index, x in (("page", page), ("slot", slot))}
        if self._page_size == (constant_size(self._block_n) if self._one_page else 1):
            del at["slot"]
        return at

    def move(self, name: Literal["k", "v"], tile: KeyTile) -> list[SSAValue]:
        """The pointers of an operand to a tile; see `KeyTile.pointers`."""
        b, operand = self._b, self._operands[name]
        if not operand.paged:
            return [operand.access.move(b, pointer, tile.row) for pointer in operand.pointers]
        if self._one_page:
            moved = [operand.access.move(b, pointer, tile.pages) for pointer in operand.pointers]
            for pointer, part in zip(moved, operand.parts):
                if pointer.name_hint is None:
                    pointer.name_hint = f"{name}_tile_ptrs{part.suffix}"
            return moved
        steps = {index: self._along(name, value) for index, value in tile.pages.items()}
        offset = operand.access.offset(b, steps)
        moved = list(operand.pointers)
        if offset is not None:
            offset.name_hint = f"{name}_offs"
            moved = [b.add(pointer, offset) for pointer in moved]
        return [self._whole(name, pointer, part) for pointer, part in zip(moved, operand.parts)]
