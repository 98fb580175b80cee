"""
Keys that lie in pages: loads through a block table, by indirect DMA.

Key n of a sequence is in slot n % S of the page that the table holds for n // S. From trn2 on, a DMA gathers rows of a
pool by an index for each partition (`vector_offset`), so a tile of keys is one DMA whatever the size of a page
(`gathered_pages.py`). The DMA of trn1 takes one index (`scalar_offset`), so a tile is loaded in runs of slots of one
page.

Entries of the table that are not needed are never addresses. For a key that does not exist, a gather has the number of
rows of the pool where `oob_mode.skip` leaves it out, else row 0; trn1 loads page 0 (`existing_pages.py`). An entry that
is needed and no page is an error of the hardware where it does not skip, and else leaves memory as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import gcd

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.existing_pages import existing_pages
from flashlower.lowering.nki.grid import u8
from flashlower.lowering.nki.lengths import ExistingKeys
from flashlower.lowering.nki.problem import Pages, Problem


class PagedKeys(ABC):
    """Loads tiles of keys of the sequences of a block from the pages that their tables list."""

    def __init__(self, b: KernelBuilder, problem: Problem, pages: Pages):
        self.b = b
        self.problem = problem
        self.pages = pages
        self.sequences, self._dim, self._first_sequence = 1, "", Sum()

    def begin(
        self,
        indices: Mapping[str, Sum],
        n: Sum,
        first: Sum,
        keys: int,
        existing: ExistingKeys,
        block: Block | None = None,
    ) -> None:
        """
        What follows loads tiles of a run of `keys` keys, in the sequences of a block and the head of `indices`.

        Tile `first` is the first of them, and its first key is key n of the sequence.
        """
        self.sequences = 1
        if block is not None and block.sequences > 1:
            self.sequences, self._dim, self._first_sequence = block.sequences, block.batch_dim, indices[block.batch_dim]
        self._begin(indices, n, first, keys, existing)

    @abstractmethod
    def _begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None: ...

    def _place(self, indices: Mapping[str, Sum]) -> Sum:
        """Which of the sequences of the block one is."""
        return Sum() if self.sequences == 1 else indices[self._dim] + self._first_sequence * -1

    @abstractmethod
    def load(self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], tile: Sum) -> None:
        """
        Fills [keys or 128, tiles, size] with rows of K or V from a tile on.

        Those of keys that do not exist become 0 where rows are gathered; else they may be anything.
        """

    def _table_offset(self, table: Access, indices: Mapping[str, Sum]) -> Sum:
        return table.offset({name: indices[name] for name in (*self.problem.batch_dims, "h")})

    def _load_row_numbers(
        self, indices: Mapping[str, Sum], partitions: int, length: SSAValue | None
    ) -> SSAValue | None:
        """The rows of the table that are the sequences', [partitions, sequences] i32; 0 where one has no keys."""
        b, rows = self.b, self.pages.rows
        if rows is None:
            return None
        row = b.tile("table_row", [partitions, self.sequences], i32)
        at = rows.offset({name: indices[name] for name in (*self.problem.batch_dims, "h")})
        b.add(nki.DmaCopyOp(row, b.ap(rows.tensor, [(0, partitions), (rows.stride(self._dim), self.sequences)], at)))
        if length is not None:
            size = tile_of(length).free_size
            no_keys = b.tile("no_keys", [partitions, size], u8)
            b.add(nki.TensorScalarOp(no_keys, b.view(length, (0, partitions)), "less_equal", 0.0))
            first = b.filled("first_row", [partitions, self.sequences], 0, i32)
            b.add(nki.TensorCopyPredicatedOp(row, first, self._by_sequence(no_keys, 1)))
        return row

    def _by_sequence(self, tile: SSAValue, tiles: int) -> SSAValue:
        """Numbers of the sequences, or one for all, for so many tiles of each."""
        type = tile_of(tile)
        if type.free_size == self.sequences and tiles == 1:
            return tile
        step = int(type.free_size > 1)
        pattern = [(type.free_size, type.partitions), (step, self.sequences), (0, tiles)]
        return self.b.add(nki.ApOp(tile, pattern)).result


class PageByPage(PagedKeys):
    """
    Loads runs of slots of one page, a DMA each, whose number is one entry of the table.

    Where sequences have lengths, a page without a key is page 0 of the pool, so all rows are written.
    """

    def __init__(self, b: KernelBuilder, problem: Problem, pages: Pages):
        super().__init__(b, problem, pages)
        self._table = existing_pages(b, problem, pages)

    def _begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        self._start = n + first * -PARTITIONS
        self._rows = self._load_row_numbers(indices, 1, None) if self._table.rows is not None else None

    def load(self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], tile: Sum) -> None:
        b, page_size = self.b, self.pages.size
        partitions, tiles, size = tile_of(target).shape
        n = self._start + tile * PARTITIONS
        run = gcd(page_size, PARTITIONS, n.constant, *n.terms.values())
        entries, first = self._entries(indices, n, (tiles - 1) * PARTITIONS + partitions)
        pool = b.flattened(access.tensor, access.stride("page"))
        with b.loop("t", tiles) as t, b.loop("i", partitions // run) as i:
            key = n + t * PARTITIONS + i * run
            page = b.floor_divide(key, page_size)
            slot = key + page * -page_size
            source = b.ap(
                pool,
                [(access.stride("slot"), run), (access.stride(dim), size)],
                access.offset(indices) + slot * access.stride("slot"),
                row=b.view(entries, None, (page + first * -1, 1)),
            )
            b.add(nki.DmaCopyOp(b.view(target, (i * run, run), (t, 1)), source))

    def _entries(self, indices: Mapping[str, Sum], n: Sum, keys: int) -> tuple[SSAValue, Sum]:
        """The entries for the pages of some keys from key n on, [1, pages] i32, and the number of the first page."""
        b, size, table = self.b, self.pages.size, self._table
        first = b.floor_divide(n, size)
        count = -(-keys // size)
        if not n.divisible_by(size):
            count = min((keys + size - 2) // size + 1, table.number)
            first = b.minimum(first, table.first + table.number - count, "first_page")
        b.comment("The pages of these keys.")
        entries = b.tile("pages", [1, count], i32)
        access, row = table.access, None
        tensor, step = access.tensor, access.stride("p")
        if self._rows is not None:
            row = b.view(self._rows, None, (self._place(indices), 1))
            tensor = b.flattened(tensor, access.stride("row"))
        offset = self._table_offset(access, indices) + (first + -table.first) * step
        b.add(nki.DmaCopyOp(entries, b.ap(tensor, [(0, 1), (step, count)], offset, row=row)))
        return entries, first
