"""Where a tile of keys is in memory: keys in a row, or in pages that a block table lists.

K, V and what stands beside them when they are quantised have tiles here, each as its own layout says.

Pointers to a tile are made once, before the loop over tiles, and moved to each tile in it. With pages, a tile needs
the number of its page, or of the page of each of its keys where tiles do not lie inside of one page. These are loaded
one iteration ahead and carried into the next: K and V then wait for no load of the same iteration, which keeps
Triton's software pipeline as deep as `num_stages` says.

Tiles start at multiples of BLOCK_N keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.tl.constants import constant_size
from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.memory import HeadPart, whole
from flashlower.lowering.triton.parameters import Access


@dataclass(frozen=True)
class KeyTile:
    """One tile of keys in the loop: where it is, and what the next iteration gets."""

    start: SSAValue
    """The first key of the tile."""
    keys: SSAValue
    """The keys of the tile, [BLOCK_N]."""
    row: Mapping[str, SSAValue]
    """Indices of the tile in i64 for a tensor whose keys lie in a row."""
    pages: Mapping[str, SSAValue]
    """The same for pages: one of each, or [BLOCK_N] of each."""
    carried: Mapping[str, SSAValue]


class TileTensor:
    """
    A tensor that lies along the keys: pointers to a tile of it, made before the loop and moved to each tile.

    There is a block of pointers for each of its `parts` along the head dimension `head`, [BLOCK, BLOCK_N] where it is
    `transposed` and [BLOCK_N, BLOCK] otherwise; with no parts there is one, [BLOCK_N]. Sizes of 1 stand for dimensions
    that the tensor lacks, except in the blocks of K and V themselves (`spread`).
    """

    def __init__(
        self,
        tiles: KeyTiles,
        access: Access,
        programs: Programs,
        head: str,
        parts: Sequence[HeadPart],
        *,
        transposed: bool,
        spread: bool = True,
    ):
        self._tiles = tiles
        self._access = access
        self._parts = parts
        self._transposed = transposed
        self._spread = spread
        self._paged = tiles.page_size is not None and "n" not in access.dims
        b = tiles.builder
        base = access.base(b, programs.indices)
        steps = self._steps(("slot",) if self._paged else ("n",), tiles.tile_n)
        # Keys of several pages have no distance from the first one of the tile, nor have keys that share an element.
        fixed = {} if self._paged and not tiles.one_page else steps
        self._pointers: list[SSAValue] = []
        for part in parts or (None,):
            pointer = access.move(b, base, self._ordered(head, part, fixed))
            if not self._paged or tiles.one_page:
                pointer = self._whole(pointer, part)
            elif pointer is not base:
                pointer.name_hint = self._name("_head_ptrs", part)
            self._pointers.append(pointer)

    def _name(self, suffix: str, part: HeadPart | None) -> str:
        return f"{self._access.name}{suffix}{part.suffix if part else ''}"

    def _ordered(self, head: str, part: HeadPart | None, steps: dict[str, SSAValue]) -> dict[str, SSAValue]:
        """Steps along the head dimension and along the keys, the rows of the block first."""
        if part is None:
            return steps
        b = self._tiles.builder
        if not shape_of(part.offsets.type):
            return {head: part.offsets, **steps}
        along = b.rows if self._transposed else b.columns
        channels = {head: along(part.offsets)}
        if part.heads is not None:
            channels["h"] = along(b.cast(part.heads, i64))
        return {**channels, **steps} if self._transposed else {**steps, **channels}

    def _along(self, keys: SSAValue) -> SSAValue:
        """Something of each key [BLOCK_N] along the keys of a block."""
        if not any(shape_of(part.offsets.type) for part in self._parts):
            return keys
        return self._tiles.builder.columns(keys) if self._transposed else self._tiles.builder.rows(keys)

    def _steps(self, dims: Sequence[str], keys: SSAValue) -> dict[str, SSAValue]:
        """A step along those dimensions of which the tensor has an element for every key."""
        return {
            dim: self._along(keys) for dim in dims if dim in self._access.strides and dim not in self._access.groups
        }

    def _whole(self, pointer: SSAValue, part: HeadPart | None) -> SSAValue:
        tiles = self._tiles
        if not self._spread:
            if pointer.name_hint is None:
                pointer.name_hint = self._name("_ptrs", part)
            return pointer
        if part is None or not shape_of(part.offsets.type):
            # One for all channels of a block.
            return whole(tiles.builder, pointer, (tiles.block_n,), self._name("_ptrs", part))
        shape = (part.block, tiles.block_n) if self._transposed else (tiles.block_n, part.block)
        return whole(tiles.builder, pointer, shape, self._name("_ptrs", part))

    def at(self, tile: KeyTile) -> list[SSAValue]:
        """The pointers to a tile, one block for each part."""
        b, tiles, access = self._tiles.builder, self._tiles, self._access
        grouped = self._grouped(tile)
        if not self._paged:
            return [access.move(b, pointer, {**tile.row, **grouped}) for pointer in self._pointers]
        if tiles.one_page:
            moved = [access.move(b, pointer, {**tile.pages, **grouped}) for pointer in self._pointers]
            for pointer, part in zip(moved, self._parts or (None,)):
                if pointer.name_hint is None:
                    pointer.name_hint = self._name("_tile_ptrs", part)
            return moved
        steps = {index: self._along(value) for index, value in tile.pages.items()}
        offset = access.offset(b, {**steps, **grouped})
        moved = list(self._pointers)
        if offset is not None:
            offset.name_hint = self._name("_offs", None)
            moved = [b.add(pointer, offset) for pointer in moved]
        return [self._whole(pointer, part) for pointer, part in zip(moved, self._parts or (None,))]

    def _grouped(self, tile: KeyTile) -> dict[str, SSAValue]:
        """The step along the keys where several keys in a row share an element."""
        b, tiles = self._tiles.builder, self._tiles
        dim = "slot" if self._paged else "n"
        if (group := self._access.groups.get(dim)) is None:
            return {}
        one = group % constant_size(tiles.block_n) == 0 and (tiles.one_page or not self._paged)
        keys = tile.start if one else tile.keys
        if self._paged:
            keys = b.mod(keys, tiles.page_constexpr())
        element = b.floordiv(b.cast(keys, i64), group)
        return {dim: element if one else self._along(element)}


class KeyTiles:
    """The tiles of keys of one program, and the pages that they are in."""

    def __init__(
        self,
        b: KernelBuilder,
        op: AttentionOp,
        accesses: Mapping[str, Access],
        programs: Programs,
        sizes: Sizes,
        block_n: SSAValue,
    ):
        self.builder = self._b = b
        self.block_n = self._block_n = block_n
        self.page_size = self._page_size = op.page_size
        self._sizes = sizes
        self.one_page = self._page_size is not None and self._page_size % constant_size(block_n) == 0
        """One page a tile, or one page a key."""
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
        self.tile_n = b.cast(b.arange(0, block_n), i64, name="tile_n")
        """The keys of a tile, counted from its first one, [BLOCK_N] in i64."""

    def page_constexpr(self) -> SSAValue:
        """The size of a page, in i32."""
        return self._sizes.constexpr("PAGE_SIZE", self._page_size or 1)

    # The page of a tile, or the pages of its keys.

    def _load_pages(self, key: SSAValue, mask: SSAValue | None, name: str, comment: str | None = None) -> SSAValue:
        """The pages of keys that exist."""
        b = self._b
        page_size = self.page_constexpr()
        p = key if self._page_size == 1 else b.floordiv(key, page_size)
        pointer = self._table.move(b, self._table_base, {"p": b.cast(p, i64)})
        if not self.one_page:
            pointer = whole(b, pointer, (self._block_n,))
        pointer.name_hint = f"{name}_ptr" if self.one_page else f"{name.removesuffix('s')}_ptrs"
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
        if self.one_page:
            return {"page": self._load_pages(lo, b.lt(lo, hi), "page")}
        first = b.add(lo, b.arange(0, self._block_n), name="first_n")
        return {"pages": self._load_pages(first, b.lt(first, hi), "pages")}

    def enter(self, start_n: SSAValue, offs_n: SSAValue, carried: Mapping[str, SSAValue]) -> KeyTile:
        """The tile of the keys `offs_n`, from `start_n` on, in the body of the loop."""
        b = self._b
        row = {"n": b.cast(start_n, i64, name="start")}
        if self._page_size is None:
            return KeyTile(start_n, offs_n, row, {}, {})
        name, first = ("page", start_n) if self.one_page else ("pages", offs_n)
        if self._page is not None:
            pages = self._page if self.one_page else whole(b, self._page, (self._block_n,))
            return KeyTile(start_n, offs_n, row, self._at(pages, first), {})
        following = b.minimum(b.add(first, self._block_n), self._last)
        comment = "Loaded one iteration ahead, so that K and V need not wait for it"
        loaded = self._load_pages(following, None, f"next_{name}", comment)
        return KeyTile(start_n, offs_n, row, self._at(carried[name], first), {name: loaded})

    def _at(self, page: SSAValue, key: SSAValue) -> dict[str, SSAValue]:
        """Indices of a tile in i64: of its page, and of its slots where they do not follow from the pointers."""
        slot = self._b.mod(key, self.page_constexpr())
        prefix = "off" if self.one_page else "offs"
        at = {index: self._b.cast(x, i64, name=f"{prefix}_{index}") for index, x in (("page", page), ("slot", slot))}
        if self._page_size == (constant_size(self._block_n) if self.one_page else 1):
            del at["slot"]
        return at
