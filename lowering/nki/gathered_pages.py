"""Keys that lie in pages, gathered by a number of a row for each: what the DMA of trn2 and later does."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, prod

from xdsl.dialects.builtin import IntegerType, Signedness, i32
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import nki
from flashlower.dialects.nki.types import HARDWARE, PARTITIONS, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import floor_divide
from flashlower.lowering.nki.lengths import ExistingKeys, key_positions
from flashlower.lowering.nki.pages import PageByPage, PagedKeys
from flashlower.lowering.nki.problem import Problem

EXACT_ROWS = 1 << 24
"""Row numbers are computed in f32, which holds every whole number up to here."""

EXACT_KEYS = 1 << 22
"""`floor_divide` is exact below."""

u32 = IntegerType(32, Signedness.UNSIGNED)


def paged_keys(b: KernelBuilder, problem: Problem) -> PagedKeys | None:
    """What a target can do; None where neither K nor V lies in pages."""
    if problem.pages is None:
        return None
    kind = PageByPage if HARDWARE[b.kernel.target.data].generation < 3 else GatheredKeys
    return kind(b, problem, problem.pages)


class GatheredKeys(PagedKeys):
    """
    Gathers rows, a number for each key.

        page = n // S,  slot = n % S,  row of the pool = table[row, page] * rows of a page + slot * rows of a slot

    Pages and slots are [128, tiles], the same for all sequences of a block; entries and rows [128, sequences, tiles].
    """

    def _begin(self, indices: Mapping[str, Sum], n: Sum, first: Sum, keys: int, existing: ExistingKeys) -> None:
        b, size = self.b, self.pages.size
        self._first = first
        self._tiles, self._partitions, self._rest = -(-keys // PARTITIONS), min(keys, PARTITIONS), keys % PARTITIONS
        # Of one sequence, and of all of the block.
        self._one = [self._partitions, self._tiles]
        self._shape = self._one if self.sequences == 1 else [self._partitions, self.sequences, self._tiles]
        if self.problem.sizes["n"] > EXACT_KEYS:
            raise DiagnosticException(
                f"{self.problem.sizes['n']} keys in pages, but kernels count up to {EXACT_KEYS}: give shorter tables"
            )
        position = self._flat(existing.position) or key_positions(b, n, [self._tiles], self._partitions)
        absent = self._flat(existing.absent)
        b.comment(f"Key n is in slot n % {size} of the page that the table holds for n // {size}.")
        page, slot = self._split(position)
        entries = self._entries(indices, page, existing.length)
        self._rows: dict[tuple[int, int, int], tuple[SSAValue, SSAValue]] = {}
        for access in (self.problem.key, self.problem.value):
            if access.is_paged and (factors := self._factors(access)) not in self._rows:
                self._rows[factors] = self._row_numbers(entries, slot, absent, access, factors)

    def _flat(self, tile: SSAValue | None) -> SSAValue | None:
        """A tile with a number for each key of one sequence or of all, in one of the two shapes."""
        if tile is None or list(tile_of(tile).shape) in (self._one, self._shape):
            return tile
        shape = self._one if tile_of(tile).free_size == self._tiles else self._shape
        steps = [(prod(shape[i + 1 :]), size) for i, size in enumerate(shape)]
        return self.b.add(nki.ApOp(tile, steps)).result

    def _everywhere(self, tile: SSAValue) -> SSAValue:
        """Numbers of the keys of one sequence, for those of all."""
        if list(tile_of(tile).shape) == self._shape:
            return tile
        if isinstance(view := tile.owner, nki.ApOp):
            tile = view.tile
        pattern = [(self._tiles, self._partitions), (0, self.sequences), (1, self._tiles)]
        return self.b.add(nki.ApOp(tile, pattern)).result

    def _split(self, position: SSAValue) -> tuple[SSAValue, SSAValue | None]:
        """The page and the slot of every key of a sequence; no slots in pages of one."""
        b, size = self.b, self.pages.size
        if size == 1:
            return position, None
        page = b.tile("page", self._one)
        floor_divide(b, page, position, size)
        slot = b.tile("slot", self._one)
        b.add(nki.ScalarTensorTensorOp(slot, page, "multiply", -float(size), "add", position))
        return page, slot

    def _entries(self, indices: Mapping[str, Sum], page: SSAValue, length: SSAValue | None) -> SSAValue:
        """The table's entry for every key, f32; 0 where the last tile has none."""
        b, table = self.b, self.pages.table
        self._check_rows(table, 1)
        row = self._load_row_numbers(indices, self._partitions, length)
        step = float(table.stride("p"))
        # Without rows, the sequence is in the offset of the gather.
        at = b.tile("entry_at", self._one if row is None else self._shape, u32)
        if row is None and step == 1:
            b.add(nki.TensorCopyOp(at, page))
        elif row is None:
            b.add(nki.TensorScalarOp(at, page, "multiply", step))
        else:
            start = b.tile("table_start", [self._partitions, self.sequences])
            b.add(nki.TensorScalarOp(start, row, "multiply", float(table.stride("row"))))
            if self.sequences == 1:
                b.add(nki.TensorScalarOp(at, page, "multiply", step, op1="add", operand1=start))
            else:
                wide = self._everywhere(page)
                b.add(
                    nki.ScalarTensorTensorOp(at, wide, "multiply", step, "add", self._by_sequence(start, self._tiles))
                )
        found = b.tile("entry", self._shape, i32)
        if self._tiles > 1 and self._rest:
            every = [None] * (len(self._shape) - 1)
            b.add(nki.MemsetOp(b.view(found, *every, (self._tiles - 1, 1)), 0, "gpsimd"))
        flat = b.flattened(table.tensor, 1)
        offset = self._table_offset(table, indices)

        def gather(sequence: Sum, t: Sum, keys: int) -> None:
            numbers = self._column(at, (sequence if row is not None else Sum(), t), partitions=keys)
            start = offset if row is not None else offset + sequence * table.stride(self._dim)
            source = b.gathered(flat, numbers, keys, [(1, 1)], start)
            b.add(nki.DmaCopyOp(self._column(found, (sequence, t), partitions=keys), source))

        with b.loop("sequence", self.sequences) as sequence:
            if self._tiles > 1 and self._rest:
                with b.loop("t", self._tiles - 1) as t:
                    gather(sequence, t, PARTITIONS)
                gather(sequence, Sum(self._tiles - 1), self._rest)
            else:
                with b.loop("t", self._tiles) as t:
                    gather(sequence, t, self._partitions)
        entries = b.tile("entry_f32", self._shape)
        b.add(nki.TensorCopyOp(entries, found))
        return entries

    def _column(self, tile: SSAValue, place: tuple[Sum, Sum], count: int = 1, *, partitions: int) -> SSAValue:
        """The numbers of the keys of some tiles of a sequence, from a place on."""
        sequence, t = place
        middle = [sequence] if len(tile_of(tile).shape) == 3 else []
        return self.b.view(tile, (0, partitions), *middle, (t, count))

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
                scaled = b.tile("slot_row", self._one)
                b.add(nki.TensorScalarOp(scaled, slot, "multiply", float(slot_rows)))
                slot = scaled
            slots = self._everywhere(slot)
            b.add(nki.ScalarTensorTensorOp(numbers, entries, "multiply", float(page_rows), "add", slots))

        def whole(name: str) -> SSAValue:
            result = b.tile(name, self._shape, u32)
            b.add(nki.TensorCopyOp(result, numbers))
            return result

        if absent is None:
            both = whole("rows")
            return both, both
        absent = self._everywhere(absent)
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
            at = self._column(rows, (self._place(indices), tile + self._first * -1 + t), partitions=partitions)
            source = b.gathered(pool, at, partitions, [(access.stride(dim), size)], access.offset(indices))
            b.add(nki.DmaCopyOp(b.view(target, None, (t, 1)), source, mode))

    def load_transposed(
        self, target: SSAValue, access: Access, part: tuple[int, int], indices: Mapping[str, Sum], tile: Sum
    ) -> None:
        """
        Fills [part, keys] with K transposed, of whole tiles or of a multiple of 16 keys of one.

        A part is a start and a size of the head size; elements have 2 bytes.
        """
        b = self.b
        width = tile_of(target).free_size
        factors = self._factors(access)
        pool, (_, rows) = b.flattened(access.tensor, factors[0]), self._rows[factors]
        start, size = part
        place = (self._place(indices), tile + self._first * -1)
        at = self._column(rows, place, -(-width // PARTITIONS), partitions=min(width, PARTITIONS))
        offset = access.offset({**indices, "k": Sum(start)})
        b.add(nki.DmaTransposeOp(target, b.gathered(pool, at, width, [(access.stride("k"), size)], offset)))
