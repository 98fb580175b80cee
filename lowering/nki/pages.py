"""
Keys that lie in pages: loads through a block table, by indirect DMA.

Key n of a sequence is in slot n % S of the page that the table holds for n // S. From trn2 on, a DMA gathers rows of a
pool by an index for each partition (`vector_offset`), so a tile of keys is one DMA whatever the size of a page
(`gathered_pages.py`). The DMA of trn1 takes one index (`scalar_offset`), so a tile is loaded in runs of slots of one
page.

Entries of the table that are not needed are never addresses. The index of a key that does not exist is the number of
rows of the pool where `oob_mode.skip` leaves it out, else 0. An entry that is needed and no page is an error of the
hardware where it does not skip, and else leaves memory as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import gcd, prod

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import u8
from flashlower.lowering.nki.lengths import ExistingKeys
from flashlower.lowering.nki.problem import Pages, Problem

EXACT_PAGES = 1 << 24
"""The Vector engine computes in f32, which holds every whole number up to here."""

MANY_PAGES = 1024
"""From so many pages of one sequence on, their entries are masked on several partitions."""

PIECES = 8
"""Partitions for them, at most."""


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

        Those of keys that do not exist become 0 where all are gathered; else they may be anything.
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
    """
    Loads runs of slots of one page, a DMA each, whose number is one entry of the table.

    A page without a key is page 0 of the pool, so all rows are written.
    """

    def _begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        b, pages = self.b, self.pages
        self._start = n + first * -PARTITIONS
        self._first = b.floor_divide(n, pages.size)
        self._count = -(-keys // pages.size)
        if not n.divisible_by(pages.size):
            self._count = min((keys + pages.size - 2) // pages.size + 1, pages.number)
            self._first = b.minimum(self._first, pages.number - self._count, "first_page")
        # Of one sequence, many pages on some partitions.
        self._pieces = gcd(self._count, PIECES) if self.sequences == 1 and self._count >= MANY_PAGES else 1
        b.comment("The pages of these keys; those without a key are page 0.")
        entries = self._load_entries(indices, existing.length)
        if existing.length is not None:
            self._replace_absent(entries, indices, existing.length)
        self._entries = entries
        if (partitions := tile_of(entries).partitions) > 1:
            # An index of a DMA is on the first partition.
            size = tile_of(entries).free_size
            self._entries = b.tile("pages_of_all", [1, partitions * size], i32)
            with b.loop("run", partitions) as run:
                target = b.view(self._entries, None, (run * size, size))
                b.add(nki.DmaCopyOp(target, b.view(entries, (run, 1))))

    def _load_entries(self, indices: Mapping[str, Sum], length: SSAValue | None) -> SSAValue:
        """The entries of the table for these pages, [sequences * pieces, pages / pieces], i32."""
        b, table, pieces = self.b, self.pages.table, self._pieces
        count = self._count // pieces
        entries = b.tile("pages", [self.sequences * pieces, count], i32)
        offset = self._table_offset(indices) + self._first * table.stride("p")
        pages = (table.stride("p"), count)
        row = self._load_row_numbers(indices, 1, length)
        if row is None:
            step = table.stride(self._dim) if self.sequences > 1 else count * pages[0]
            b.add(nki.DmaCopyOp(entries, b.ap(table.tensor, [(step, self.sequences * pieces), pages], offset)))
            return entries
        tensor = b.flattened(table.tensor, table.stride("row"))
        pattern = [(count * pages[0], pieces), pages]
        with b.loop("sequence", self.sequences) as sequence:
            number = b.view(row, None, (sequence, 1))
            source = b.add(nki.ApOp(tensor, pattern, b.offset(offset), row=number)).result
            b.add(nki.DmaCopyOp(b.view(entries, (sequence * pieces, pieces)), source))
        return entries

    def _replace_absent(self, entries: SSAValue, indices: Mapping[str, Sum], length: SSAValue) -> None:
        """Entries of pages from the length on are multiplied by 0."""
        b, pages, lens = self.b, self.pages, self.problem.kv_lens
        pools = [access for access in (self.problem.key, self.problem.value) if access.is_paged]
        for pool in pools:
            if (number := prod(tile_of(pool.tensor).shape) // pool.stride("page")) > EXACT_PAGES:
                raise DiagnosticException(
                    f"a pool of {number} pages, but NKI kernels for trn1 number up to {EXACT_PAGES}: make it smaller"
                )
        if self.sequences == 1:
            length = b.view(length, (0, self._pieces), (0, 1))
        else:
            # A sequence a partition, each with its own.
            assert lens is not None
            raw = b.tile("length_of_sequence_i32", [self.sequences, 1], i32)
            at = lens.offset({name: indices[name] for name in (*self.problem.batch_dims, "h")})
            b.add(nki.DmaCopyOp(raw, b.ap(lens.tensor, [(lens.stride(self._dim), self.sequences)], at)))
            length = b.tile("length_of_sequence", [self.sequences, 1])
            b.add(nki.TensorCopyOp(length, raw))
        partitions, _ = tile_of(entries).shape
        count = self._count // self._pieces
        start = b.tile("page_start", [partitions, count])
        step = count * pages.size if self._pieces > 1 else 0
        b.add(nki.IotaOp(start, [(pages.size, count)], b.offset(self._first * pages.size), step))
        b.add(nki.ScalarTensorTensorOp(entries, start, "less", length, "multiply", entries))

    def load(self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], tile: Sum) -> None:
        b, page_size = self.b, self.pages.size
        partitions, tiles, size = tile_of(target).shape
        n = self._start + tile * PARTITIONS
        run = gcd(page_size, PARTITIONS, n.constant, *n.terms.values())
        entry = self._place(indices) * self._count + self._first * -1
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
                row=b.view(self._entries, None, (entry + page, 1)),
            )
            b.add(nki.DmaCopyOp(b.view(target, (i * run, run), (t, 1)), source))
