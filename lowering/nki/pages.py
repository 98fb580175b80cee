"""
Keys that lie in pages: loads through a block table, by indirect DMA.

Key n of a sequence is in slot n % S of the page that the table holds for n // S. From trn2 on, a DMA gathers rows of a
pool by an index for each partition (`vector_offset`), so a tile of keys is one DMA whatever the size of a page. The
DMA of trn1 takes one index (`scalar_offset`), so a tile is loaded in runs of slots of one page.

The index of a key that does not exist is the number of rows of the pool, which `oob_mode.skip` leaves out: entries of
the table that are not needed are never addresses. Where a DMA cannot skip, it is 0. An entry that is needed and no page
is an error of the hardware where it does not skip, and else leaves memory as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import gcd, prod

from xdsl.dialects.builtin import IntegerType, Signedness, i32
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import nki
from flashlower.dialects.nki.types import HARDWARE, PARTITIONS, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import floor_divide, u8
from flashlower.lowering.nki.lengths import ExistingKeys, key_positions
from flashlower.lowering.nki.problem import Pages, Problem, column

EXACT_ROWS = 1 << 24
"""Row numbers are computed in f32, which holds every whole number up to here."""

EXACT_KEYS = 1 << 22
"""`floor_divide` is exact below."""

u32 = IntegerType(32, Signedness.UNSIGNED)


class PagedKeys(ABC):
    """Loads tiles of keys of one sequence from the pages that its table lists."""

    def __init__(self, b: KernelBuilder, problem: Problem, pages: Pages):
        self.b = b
        self.problem = problem
        self.pages = pages

    @staticmethod
    def of(b: KernelBuilder, problem: Problem) -> PagedKeys | None:
        """What a target can do; None where neither K nor V lies in pages."""
        if problem.pages is None:
            return None
        kind = PageByPage if HARDWARE[b.kernel.target.data].generation < 3 else GatheredKeys
        return kind(b, problem, problem.pages)

    @abstractmethod
    def begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        """
        What follows loads tiles of a run of `keys` keys, in the sequence and head of `indices`.

        Tile `first` is the first of them, and its first key is key n of the sequence.
        """

    @abstractmethod
    def load(self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], tile: Sum) -> None:
        """
        Fills [keys or 128, tiles, size] with rows of K or V from a tile on.

        Those of keys that do not exist become 0 where all are gathered; else they may be anything, or stay unwritten.
        """

    def _table_offset(self, indices: Mapping[str, Sum]) -> Sum:
        return self.pages.table.offset({name: indices[name] for name in (*self.problem.batch_dims, "h")})

    def _load_row_number(self, indices: Mapping[str, Sum], partitions: int, length: SSAValue | None) -> SSAValue | None:
        """The row of the table that is a sequence's, [partitions, 1] i32; 0 where the sequence has no keys."""
        b, rows = self.b, self.pages.rows
        if rows is None:
            return None
        row = column(b, "table_row", partitions, i32)
        at = rows.offset({name: indices[name] for name in (*self.problem.batch_dims, "h")})
        b.add(nki.DmaCopyOp(row, b.ap(rows.tensor, [(0, partitions)], at)))
        if length is not None:
            no_keys = column(b, "no_keys", partitions, u8)
            b.add(nki.TensorScalarOp(no_keys, b.view(length, (0, partitions)), "less_equal", 0.0))
            b.add(nki.TensorCopyPredicatedOp(row, b.filled("first_row", [partitions, 1], 0, i32), no_keys))
        return row


class GatheredKeys(PagedKeys):
    """
    Gathers rows, a number for each key.

        page = n // S,  slot = n % S,  row of the pool = table[row, page] * rows of a page + slot * rows of a slot
    """

    def begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        b, size = self.b, self.pages.size
        self._first = first
        tiles = -(-keys // PARTITIONS)
        shape = [PARTITIONS, tiles]
        self._shape = shape
        if self.problem.sizes["n"] > EXACT_KEYS:
            raise DiagnosticException(f"{self.problem.sizes['n']} keys in pages, but kernels count up to {EXACT_KEYS}")
        position = self._flat(existing.position) or key_positions(b, n, [tiles])
        absent = self._flat(existing.absent)
        if absent is None and keys % PARTITIONS:
            absent = b.tile("absent", shape, u8)
            b.add(nki.TensorScalarOp(absent, position, "greater_equal", float(self.problem.sizes["n"])))
        b.comment(f"Key n is in slot n % {size} of the page that the table holds for n // {size}.")
        page, slot = self._split(position)
        entries = self._entries(indices, page, absent, existing.length, ends_early=keys % PARTITIONS > 0)
        self._rows: dict[tuple[int, int, int], tuple[SSAValue, SSAValue]] = {}
        for access in (self.problem.key, self.problem.value):
            if access.is_paged and (factors := self._factors(access)) not in self._rows:
                self._rows[factors] = self._row_numbers(entries, slot, absent, access, factors)

    def _flat(self, tile: SSAValue | None) -> SSAValue | None:
        if tile is None or list(tile_of(tile).shape) == self._shape:
            return tile
        partitions, tiles = self._shape
        return self.b.add(nki.ApOp(tile, [(tiles, partitions), (1, tiles)])).result

    def _split(self, position: SSAValue) -> tuple[SSAValue, SSAValue | None]:
        """The page and the slot of every key; no slots in pages of one."""
        b, size = self.b, self.pages.size
        if size == 1:
            return position, None
        page = b.tile("page", self._shape)
        floor_divide(b, page, position, size)
        slot = b.tile("slot", self._shape)
        b.add(nki.ScalarTensorTensorOp(slot, page, "multiply", -float(size), "add", position))
        return page, slot

    def _entries(
        self,
        indices: Mapping[str, Sum],
        page: SSAValue,
        absent: SSAValue | None,
        length: SSAValue | None,
        *,
        ends_early: bool,
    ) -> SSAValue:
        """The table's entry for every key, [128, tiles] f32; of those for which it may have none, the first."""
        b, table = self.b, self.pages.table
        self._check_rows(table, 1)
        at = b.tile("entry_at", self._shape, u32)
        # A sequence without keys may have any row. Where it has entries of none, it needs none.
        if (row := self._load_row_number(indices, PARTITIONS, None if ends_early else length)) is not None:
            start = column(b, "table_start", PARTITIONS)
            b.add(nki.TensorScalarOp(start, row, "multiply", float(table.stride("row"))))
            step = float(table.stride("p"))
            b.add(nki.TensorScalarOp(at, page, "multiply", step, op1="add", operand1=start))
        elif table.stride("p") == 1:
            b.add(nki.TensorCopyOp(at, page))
        else:
            b.add(nki.TensorScalarOp(at, page, "multiply", float(table.stride("p"))))
        if absent is not None and ends_early:
            b.add(nki.TensorCopyPredicatedOp(at, 0.0, absent))
        found = b.tile("entry", self._shape, i32)
        flat = b.flattened(table.tensor, 1)
        with b.loop("t", self._shape[1]) as t:
            source = b.gathered(flat, b.view(at, None, (t, 1)), PARTITIONS, [(1, 1)], self._table_offset(indices))
            b.add(nki.DmaCopyOp(b.view(found, None, (t, 1)), source))
        entries = b.tile("entry_f32", self._shape)
        b.add(nki.TensorCopyOp(entries, found))
        return entries

    def _factors(self, access: Access) -> tuple[int, int, int]:
        """The elements of a row of a pool, as many as fit; the rows of a page, and those of a slot."""
        page, slot = access.stride("page"), access.stride("slot")
        row = gcd(page, slot) if self.pages.size > 1 else page
        return row, page // row, slot // row

    def _row_numbers(
        self,
        entries: SSAValue,
        slot: SSAValue | None,
        absent: SSAValue | None,
        access: Access,
        factors: tuple[int, int, int],
    ) -> tuple[SSAValue, SSAValue]:
        """Row numbers for copies that skip absent keys, and for transposes, to which these are row 0."""
        b = self.b
        row, page_rows, slot_rows = factors
        self._check_rows(access, row)
        numbers = b.tile("row", self._shape)
        if slot is None:
            b.add(nki.TensorScalarOp(numbers, entries, "multiply", float(page_rows)))
        else:
            if slot_rows != 1:
                scaled = b.tile("slot_row", self._shape)
                b.add(nki.TensorScalarOp(scaled, slot, "multiply", float(slot_rows)))
                slot = scaled
            b.add(nki.ScalarTensorTensorOp(numbers, entries, "multiply", float(page_rows), "add", slot))

        def whole(name: str) -> SSAValue:
            result = b.tile(name, self._shape, u32)
            b.add(nki.TensorCopyOp(result, numbers))
            return result

        if absent is None:
            both = whole("rows")
            return both, both
        b.add(nki.TensorCopyPredicatedOp(numbers, 0.0, absent))
        existing = whole("rows")
        outside = prod(tile_of(access.tensor).shape) // row
        b.add(nki.TensorCopyPredicatedOp(numbers, float(outside), absent))
        return whole("rows_to_skip"), existing

    def _check_rows(self, access: Access, row: int) -> None:
        if prod(tile_of(access.tensor).shape) // row > EXACT_ROWS:
            raise DiagnosticException(
                f"a tensor of type {tile_of(access.tensor)} has more than {EXACT_ROWS} rows of {row} elements, "
                "so many NKI kernels cannot number: make the pool smaller"
            )

    def load(self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], tile: Sum) -> None:
        b = self.b
        partitions, tiles, size = tile_of(target).shape
        factors = self._factors(access)
        pool, (rows, _) = b.flattened(access.tensor, factors[0]), self._rows[factors]
        mode = None
        if self._rows[factors][0] is not self._rows[factors][1]:
            # 0 where there is no key, as 0 * NaN is not 0.
            mode = "skip"
            b.add(nki.MemsetOp(target, 0.0, "gpsimd"))
        with b.loop("t", tiles) as t:
            at = b.view(rows, (0, partitions), (tile + self._first * -1 + t, 1))
            source = b.gathered(pool, at, partitions, [(access.stride(dim), size)], access.offset(indices))
            b.add(nki.DmaCopyOp(b.view(target, None, (t, 1)), source, mode))

    def load_transposed(
        self, target: SSAValue, access: Access, part: tuple[int, int], indices: Mapping[str, Sum], tile: Sum
    ) -> None:
        """Fills [part, tiles * 128] with K transposed, a start and a size of the head size, elements of 2 bytes."""
        b = self.b
        width = tile_of(target).free_size
        factors = self._factors(access)
        pool, (_, rows) = b.flattened(access.tensor, factors[0]), self._rows[factors]
        start, size = part
        at = b.view(rows, None, (tile + self._first * -1, width // PARTITIONS))
        offset = access.offset({**indices, "k": Sum(start)})
        b.add(nki.DmaTransposeOp(target, b.gathered(pool, at, width, [(access.stride("k"), size)], offset)))


class PageByPage(PagedKeys):
    """Loads runs of slots of one page, a DMA each, whose number is one entry of the table."""

    def begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        self._start = n + first * -PARTITIONS
        self._length = None if existing.length is None else self.b.view(existing.length, (0, 1))
        self._row = self._load_row_number(indices, 1, self._length)

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
            mode = None if self._length is None else "skip"
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
        tensor = table.tensor if self._row is None else b.flattened(table.tensor, table.stride("row"))
        offset = self._table_offset(indices) + first * table.stride("p")
        pattern = [(count * table.stride("p"), 1), (table.stride("p"), count)]
        b.add(nki.DmaCopyOp(entries, b.add(nki.ApOp(tensor, pattern, b.offset(offset), row=self._row)).result))
        if self._length is not None:
            start = b.tile("page_start", [1, count])
            b.add(nki.IotaOp(start, [(pages.size, count)], b.offset(first * pages.size), 0))
            absent = b.tile("absent_page", [1, count], u8)
            b.add(nki.TensorScalarOp(absent, start, "greater_equal", self._length))
            outside = prod(tile_of(access.tensor).shape) // access.stride("page")
            b.add(nki.TensorCopyPredicatedOp(entries, b.filled("no_page", [1, count], outside, i32), absent))
        return entries, first
