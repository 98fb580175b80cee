"""
Block tables for trn1, in which a page without a key is page 0 of the pool.

A DMA of trn1 takes one index, and where it skips it leaves rows unwritten, which no instruction may read. With page 0
for what is absent all rows are written, and those without a key are cleared as those of contiguous caches are. The
table is made once, for all sequences, in HBM: on chip it would take 4 bytes a page, which is more than a partition has
for tens of thousands of pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum, groups
from flashlower.lowering.nki.problem import Pages, Problem, column

EXACT_NUMBERS = 1 << 24
"""The Vector engine computes in f32, which holds every whole number up to here."""

TABLE_PAGES = 512
"""Pages of a sequence that are on chip at once."""


@dataclass(frozen=True)
class Table:
    """Where the pages of a sequence are listed: the pages that keys are read of, or all of them."""

    access: Access
    """Its strides are those of batch dimensions, `h` and `p`, and of `row` where there are rows."""
    first: int
    """The page that comes first."""
    number: int
    """How many pages there are of a sequence."""
    rows: Access | None = None
    """The row that is a sequence's; None where it follows from the other indices."""


def existing_pages(b: KernelBuilder, problem: Problem, pages: Pages) -> Table:
    """The table of a problem; where sequences have lengths, one in HBM that the kernel makes here."""
    if problem.kv_lens is None:
        return Table(pages.table, 0, pages.number, pages.rows)
    counted = [(access, "page", "pool") for access in (problem.key, problem.value) if access.is_paged]
    counted += [(pages.table, "row", "table")] if pages.rows is not None else []
    for access, unit, name in counted:
        if (number := prod(tile_of(access.tensor).shape) // access.stride(unit)) > EXACT_NUMBERS:
            raise DiagnosticException(
                f"a {name} of {number} {unit}s, but NKI kernels for trn1 number up to {EXACT_NUMBERS}: make it smaller"
            )
    return _ExistingPages(b, problem, pages, problem.kv_lens).table


class _ExistingPages:
    """Makes the table: sequences on the partitions, and some pages of each at a time."""

    def __init__(self, b: KernelBuilder, problem: Problem, pages: Pages, lens: Access):
        self.b = b
        self.pages = pages
        self.lens = lens
        self.size = pages.size
        first, end = problem.reached_keys()
        self.first, self.count = first // self.size, -(-end // self.size) - first // self.size
        lists = [access for access in (pages.table, pages.rows, lens) if access is not None]
        dims = [name for name in (*problem.batch_dims, "h") if any(access.stride(name) for access in lists)]
        self.sizes = {name: problem.sizes[name] for name in dims}
        # The dimension with most entries lies on the partitions.
        self.dim = max(dims, key=lambda name: self.sizes[name], default="")
        shape = [*self.sizes.values(), self.count]
        strides = {name: prod(shape[i + 1 :]) for i, name in enumerate((*dims, "p"))}
        copy = Access(b.tile("existing_pages", shape, i32, "private_hbm"), strides)
        self.table = Table(copy, self.first, self.count)
        with ExitStack() as stack:
            indices = {
                name: stack.enter_context(b.loop(name, size)) for name, size in self.sizes.items() if name != self.dim
            }
            groups(
                b,
                "sequences",
                self.sizes.get(self.dim, 1),
                PARTITIONS,
                lambda start, count: self._copy_sequences(indices | ({self.dim: start} if self.dim else {}), count),
            )

    def _copy_sequences(self, indices: Mapping[str, Sum], sequences: int) -> None:
        b = self.b
        b.comment("The pages of sequences, for those without a key page 0.")
        raw = b.tile("length_of_sequence_i32", [sequences, 1], i32)
        at = self.lens.offset(indices)
        b.add(nki.DmaCopyOp(raw, b.ap(self.lens.tensor, [(self.lens.stride(self.dim), sequences)], at)))
        length = column(b, "length_of_sequence", sequences)
        b.add(nki.TensorCopyOp(length, raw))
        row = None if self.pages.rows is None else self._row_numbers(self.pages.rows, indices, sequences)
        groups(
            b,
            "pages",
            self.count,
            TABLE_PAGES,
            lambda page, count: self._copy_pages(indices, (page, count), length, row),
        )

    def _row_numbers(self, rows: Access, indices: Mapping[str, Sum], sequences: int) -> SSAValue:
        """Rows of the pages' table, [1, sequences] i32; row 0 for sequences without keys, which may have none."""
        b = self.b
        row, length = (b.tile(name, [1, sequences], i32) for name in ("table_row", "length_of_row"))
        for target, access in ((row, rows), (length, self.lens)):
            step = access.stride(self.dim)
            b.add(nki.DmaCopyOp(target, b.ap(access.tensor, [(0, 1), (step, sequences)], access.offset(indices))))
        b.add(nki.ScalarTensorTensorOp(row, length, "greater", 0.0, "multiply", row))
        return row

    def _copy_pages(
        self, indices: Mapping[str, Sum], pages: tuple[Sum, int], length: SSAValue, row: SSAValue | None
    ) -> None:
        b, (page, count), table, copy = self.b, pages, self.pages.table, self.table.access
        sequences = tile_of(length).partitions
        page = page + self.first
        entries = b.tile("entries", [sequences, count], i32)
        step, offset = table.stride("p"), table.offset(indices) + page * table.stride("p")
        if row is None:
            source = b.ap(table.tensor, [(table.stride(self.dim), sequences), (step, count)], offset)
            b.add(nki.DmaCopyOp(entries, source))
        else:
            tensor = b.flattened(table.tensor, table.stride("row"))
            with b.loop("sequence", sequences) as sequence:
                source = b.ap(tensor, [(0, 1), (step, count)], offset, row=b.view(row, None, (sequence, 1)))
                b.add(nki.DmaCopyOp(b.view(entries, (sequence, 1)), source))
        start = b.tile("page_start", [sequences, count])
        b.add(nki.IotaOp(start, [(self.size, count)], b.offset(page * self.size), 0))
        b.add(nki.ScalarTensorTensorOp(entries, start, "less", length, "multiply", entries))
        target = copy.offset({**indices, "p": page + -self.first})
        b.add(nki.DmaCopyOp(b.ap(copy.tensor, [(copy.stride(self.dim), sequences), (1, count)], target), entries))
