"""
Sharing the keys of sequences of unlike lengths out to a number of programs that does not depend on them.

A grid of splits has as many programs for a short sequence as for a long one, and the longest sequence keeps its few
cores busy when all others are done. Here a run has at most the RUNS-th part of the tiles of all sequences: a sequence
is cut into as few runs as that takes, which differ by one tile at most. So there are at most RUNS + BATCH runs, for any
lengths. Programs 0, 1, ... have the runs of the first sequence, then of the second, and so on; each finds its own from
the lengths alone, when it starts, and those that are left over end at once.
"""

from __future__ import annotations

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
    def total(self) -> int:
        """The most runs that there may be: what is left of its last tile may make one more for each sequence."""
        return self.runs + self.sequences

    @property
    def most(self) -> int:
        """The most runs of one sequence."""
        return min(self.runs, -(-self.keys // self.tile))


@dataclass(frozen=True)
class Share:
    """What one program has: a run of a sequence (the batch as one number), its keys `lo` to `hi`, in i32."""

    run: SSAValue
    batch: SSAValue
    length: SSAValue
    lo: SSAValue
    hi: SSAValue


@dataclass(frozen=True)
class Rows:
    """The runs of one sequence, in i32: `first` and on, `count` of them."""

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
        self._count = count
        block = sizes.constexpr("BLOCK_B", max(next_power_of_two(count.sequences), 2))
        self._tile = sizes.constexpr("TILE", count.tile)
        self._sequences = sizes.constexpr("BATCH", count.sequences)
        runs = sizes.constexpr("RUNS", count.runs)
        self._offs = b.arange(0, block)
        self._offs.name_hint = "offs_b"
        indices = {d: b.cast(x, i64) for d, x in split_index(b, sizes, self._offs, self._batch_dims()).items()}
        pointers = whole(b, lens.move(b, b.arg(lens.pointer), indices), (block,), "lens_ptrs")
        mask = b.lt(self._offs, self._sequences) if next_power_of_two(count.sequences) != count.sequences else None
        lens_value = b.load(pointers, mask=mask, other=0, name="lens")
        # A length beyond N is N, a negative one is 0.
        keys = b.cast(sizes.constexpr("N", count.keys), element_type(lens_value.type))
        lens_value = b.minimum(b.maximum(lens_value, 0), keys)
        self._lens = b.cast(lens_value, i32)
        self._lens.name_hint = "lens"
        self._tiles = b.cdiv(self._lens, self._tile, name="tiles")
        run_tiles = b.cdiv(b.sum(self._tiles, 0), runs)
        run_tiles = b.maximum(run_tiles, 1, name="run_tiles", comment="The most tiles that a run has")
        self._counts = b.cdiv(self._tiles, run_tiles, name="num_runs")

    def _batch_dims(self) -> tuple[str, ...]:
        return outer_dims(self._sizes.static, pack_group=True)[:-1]

    def indices(self, batch: SSAValue) -> dict[str, SSAValue]:
        """The batch dimensions of a sequence, i32; none for sizes of 1."""
        return split_index(self._b, self._sizes, batch, self._batch_dims())

    def _of(self, mask: SSAValue, values: SSAValue, name: str | None = None) -> SSAValue:
        """The sum of the values where the mask is true."""
        return self._b.sum(self._b.where(mask, values, 0), 0, name=name)

    def share(self, run: SSAValue) -> Share:
        """The share of the program of a run; programs after the last run have no keys."""
        b = self._b
        earlier = b.le(b.cumsum(self._counts), run, name="earlier", comment="Sequences whose runs come before this one")
        passed = b.sum(b.cast(earlier, i32), 0, name="passed")
        batch = b.minimum(passed, b.sub(self._sequences, 1), name="batch")
        split = b.sub(run, self._of(earlier, self._counts), name="split")
        mine = b.eq(self._offs, batch, name="mine")
        length = self._of(mine, self._lens, "kv_len")
        count = b.maximum(self._of(mine, self._counts), 1, name="splits")
        tiles = b.cdiv(length, self._tile, name="num_tiles")
        lo = b.mul(b.floordiv(b.mul(tiles, split), count), self._tile, name="lo")
        end = b.minimum(b.mul(b.floordiv(b.mul(tiles, b.add(split, 1)), count), self._tile), length)
        hi = b.where(b.lt(passed, self._sequences), end, lo, name="hi")
        return Share(run, batch, length, lo, hi)

    def rows(self, batch: SSAValue) -> Rows:
        """The runs of a sequence."""
        b = self._b
        return Rows(
            self._of(b.lt(self._offs, batch), self._counts, "first_run"),
            self._of(b.eq(self._offs, batch), self._counts, "splits"),
        )
