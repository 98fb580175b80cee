"""
Keys that lie in pages: loads through a block table, by indirect DMA.

Key n of a sequence is in slot n % S of the page that the table holds for n // S. From trn2 on, a DMA gathers rows of a
pool by an index for each partition (`vector_offset`), so a tile of keys is one DMA whatever the size of a page
(`gathered_pages.py`). The DMA of trn1 takes one index (`scalar_offset`), so a tile is loaded in runs of slots of one
page.

The index of a key that does not exist is the number of rows of the pool, which `oob_mode.skip` leaves out: entries of
the table that are not needed are never addresses. Where a DMA cannot skip, it is 0. An entry that is needed and no page
is an error of the hardware where it does not skip, and else leaves memory as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import gcd, prod

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
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

        Those of keys that do not exist become 0 where all are gathered; else they may be anything, or stay unwritten.
        """

    def _table_offset(self, indices: Mapping[str, Sum]) -> Sum:
        return self.pages.table.offset({name: indices[name] for name in (*self.problem.batch_dims, "h")})

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
    """Loads runs of slots of one page, a DMA each, whose number is one entry of the table."""

    def _begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        self._start = n + first * -PARTITIONS
        self._lengths = existing.length
        self._table_rows = self._load_row_numbers(indices, 1, existing.length)

    def load(self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], tile: Sum) -> None:
        b, page_size = self.b, self.pages.size
        partitions, tiles, size = tile_of(target).shape
        n = self._start + tile * PARTITIONS
        run = gcd(page_size, PARTITIONS, n.constant, *n.terms.values())
        entries, first = self._entries(indices, access, n, (tiles - 1) * PARTITIONS + partitions)
        row = access.stride("page")
        pool = b.flattened(access.tensor, row)
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
            mode = None if self._lengths is None else "skip"
            b.add(nki.DmaCopyOp(b.view(target, (i * run, run), (t, 1)), source, mode))

    def _entries(self, indices: Mapping[str, Sum], access: Access, n: Sum, keys: int) -> tuple[SSAValue, Sum]:
        """The entries of the table for the pages of some keys, [1, pages], and the number of the first page."""
        b, pages = self.b, self.pages
        table = pages.table
        first = b.floor_divide(n, pages.size)
        count = -(-keys // pages.size)
        if not n.divisible_by(pages.size):
            count = min((keys + pages.size - 2) // pages.size + 1, pages.number)
            first = b.minimum(first, pages.number - count, "first_page")
        b.comment("The pages of these keys; those without a key are none of the pool.")
        entries = b.tile("pages", [1, count], i32)
        place = self._place(indices)
        row = None if self._table_rows is None else b.view(self._table_rows, None, (place, 1))
        tensor = table.tensor if row is None else b.flattened(table.tensor, table.stride("row"))
        offset = self._table_offset(indices) + first * table.stride("p")
        pattern = [(count * table.stride("p"), 1), (table.stride("p"), count)]
        b.add(nki.DmaCopyOp(entries, b.add(nki.ApOp(tensor, pattern, b.offset(offset), row=row)).result))
        if self._lengths is not None:
            several = tile_of(self._lengths).free_size > 1
            length = b.view(self._lengths, (0, 1), (place if several else 0, 1))
            start = b.tile("page_start", [1, count])
            b.add(nki.IotaOp(start, [(pages.size, count)], b.offset(first * pages.size), 0))
            absent = b.tile("absent_page", [1, count], u8)
            b.add(nki.TensorScalarOp(absent, start, "greater_equal", length))
            outside = prod(tile_of(access.tensor).shape) // access.stride("page")
            b.add(nki.TensorCopyPredicatedOp(entries, b.filled("no_page", [1, count], outside, i32), absent))
        return entries, first
