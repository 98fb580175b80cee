"""
Sharing the keys of sequences of unlike lengths out to a number of programs that does not depend on them.

A grid of splits has as many programs for a short sequence as for a long one, and the longest sequence keeps its few
cores busy when all others are done. Here the tiles of all sequences lie in one row, sequence after sequence, which is
cut into RUNS runs of the same length (Osama et al., "Stream-K", 2023). A program has one run, whatever the lengths, and
walks over the sequences in it; it finds them from the lengths, when it starts. So programs have equal work, and a grid
may have just as many as cores hold at once: with more, the GPU deals them out unevenly where many return at once.

The part of a sequence in a run is a split of it. Run r and sequence b have row r + b of the partial results: both grow
by one from a split to the next, or one of them.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import DYNAMIC_INDEX, i32, i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import CombineOp, PartialOp
from flashlower.dialects.attention.layout import used_indices
from flashlower.dialects.tl.types import element_type
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Sizes, outer_dims, split_index
from flashlower.lowering.triton.memory import whole
from flashlower.lowering.triton.parameters import Access
from flashlower.rewrites.schedule.measure import next_power_of_two

MAX_SEQUENCES = 4096
"""Every program reads the lengths of all sequences."""


@dataclass(frozen=True)
class RunCount:
    """How many runs there are, and what of: `sequences` of up to `keys` keys, in tiles of `tile`."""

    runs: int
    sequences: int
    keys: int
    tile: int

    @property
    def rows(self) -> int:
        """Splits of all sequences, where every run ends within one; some of them have no keys."""
        return self.runs + self.sequences - 1

    @property
    def most(self) -> int:
        """The most splits of one sequence."""
        return min(self.runs, -(-self.keys // self.tile))


@dataclass(frozen=True)
class Share:
    """The part of a sequence that is in a run: its row of the results, and its keys `lo` to `hi`, in i32."""

    row: SSAValue
    length: SSAValue
    lo: SSAValue
    hi: SSAValue


@dataclass(frozen=True)
class Rows:
    """The splits of one sequence, in i32: `count` rows of the results, from `first` on."""

    first: SSAValue
    count: SSAValue


def count_runs(op: PartialOp) -> RunCount | None:
    """The runs that the schedule asks for; None where it does not, and where sequences have no lengths of their own."""
    runs = None if op.schedule is None else op.schedule.option("runs")
    if runs is None or op.kv_lens_layout is None or combine_of(op) is None:
        return None
    sizes = op.dim_sizes()
    batch = outer_dims(sizes, pack_group=True)[:-1]
    if DYNAMIC_INDEX in [sizes[name] for name in (*batch, *"hgmn")] or not used_indices(op.kv_lens_layout.data) <= {
        *batch
    }:
        return None
    sequences, tile = prod(sizes[name] for name in batch), op.tile.value.data
    # Products of tiles with sequences and with runs are made in 32 bits.
    products = -(-sizes["n"] // tile) * max(sequences, runs)
    return (
        RunCount(runs, sequences, sizes["n"], tile) if 1 < sequences <= MAX_SEQUENCES and products < 1 << 30 else None
    )


def combine_of(op: PartialOp) -> CombineOp | None:
    """The one operation that reads the results of a partial, where that is an `attention.combine`."""
    users = {use.operation for result in op.results for use in result.uses}
    user = users.pop() if len(users) == 1 else None
    if not isinstance(user, CombineOp) or user.parent is not op.parent:
        return None
    read = (user.partial, user.partial_lse, user.partial_sum)
    return user if read == (op.output, op.lse, op.sum) else None


class Runs:
    """The runs of all sequences, in a kernel."""

    def __init__(self, b: KernelBuilder, sizes: Sizes, lens: Access, count: RunCount):
        self._b = b
        self._sizes = sizes
        block = sizes.constexpr("BLOCK_B", max(next_power_of_two(count.sequences), 2))
        self._tile = sizes.constexpr("TILE", count.tile)
        runs = sizes.constexpr("RUNS", count.runs)
        self._offs = b.arange(0, block)
        self._offs.name_hint = "offs_b"
        indices = {d: b.cast(x, i64) for d, x in split_index(b, sizes, self._offs, self._batch_dims()).items()}
        pointers = whole(b, lens.move(b, b.arg(lens.pointer), indices), (block,), "lens_ptrs")
        exists = next_power_of_two(count.sequences) == count.sequences
        mask = None if exists else b.lt(self._offs, sizes.constexpr("BATCH", count.sequences))
        lens_value = b.load(pointers, mask=mask, other=0, name="lens")
        # A length beyond N is N, a negative one is 0.
        keys = b.cast(sizes.constexpr("N", count.keys), element_type(lens_value.type))
        lens_value = b.minimum(b.maximum(lens_value, 0), keys)
        self._lens = b.cast(lens_value, i32)
        self._lens.name_hint = "lens"
        self._tiles = b.cdiv(self._lens, self._tile, name="tiles")
        self._total = b.sum(self._tiles, 0, name="total")
        share = b.cdiv(self._total, runs)
        self._share = b.maximum(share, 1, name="share", comment="The tiles of a run")

    def _batch_dims(self) -> tuple[str, ...]:
        return outer_dims(self._sizes.static, pack_group=True)[:-1]

    def indices(self, batch: SSAValue) -> dict[str, SSAValue]:
        """The batch dimensions of a sequence, i32; none for sizes of 1."""
        return split_index(self._b, self._sizes, batch, self._batch_dims())

    def _of(self, batch: SSAValue, values: SSAValue, name: str | None = None) -> SSAValue:
        """The value of a sequence."""
        b = self._b
        return b.sum(b.where(b.eq(self._offs, batch), values, 0), 0, name=name)

    @contextmanager
    def sequences(self, run: SSAValue) -> Generator[tuple[SSAValue, Share]]:
        """The loop over the sequences that are in a run: the number of one, and its part there."""
        b = self._b
        ends = b.cumsum(self._tiles, name="ends", comment="The tiles of all sequences in one row")
        starts = b.sub(ends, self._tiles, name="starts")
        first_tile = b.mul(run, self._share, name="first_tile")
        end_tile = b.minimum(b.add(first_tile, self._share), self._total, name="end_tile")
        first = b.sum(b.cast(b.le(ends, first_tile), i32), 0, name="first")
        end = b.sum(b.cast(b.lt(starts, end_tile), i32), 0, name="end")
        with b.range(first, end, num_stages=1, name="batch", comment="The sequences of this run") as loop:
            batch = loop.index
            length, start = self._of(batch, self._lens, "kv_len"), self._of(batch, starts, "start")
            lo = b.mul(b.maximum(b.sub(first_tile, start), 0), self._tile, name="lo")
            tiles = b.minimum(b.sub(end_tile, start), b.cdiv(length, self._tile))
            hi = b.minimum(b.mul(tiles, self._tile), length, name="hi")
            yield batch, Share(b.add(run, batch, name="split"), length, lo, hi)

    def rows(self, batch: SSAValue) -> Rows:
        """The splits of a sequence."""
        b = self._b
        start = b.sum(b.where(b.lt(self._offs, batch), self._tiles, 0), 0, name="start")
        tiles = self._of(batch, self._tiles, "num_tiles")
        first = b.floordiv(start, self._share, name="first_run")
        last = b.floordiv(b.sub(b.add(start, tiles), 1), self._share)
        count = b.where(b.eq(tiles, 0), 0, b.add(b.sub(last, first), 1), name="splits")
        return Rows(b.add(first, batch, name="first_split"), count)
