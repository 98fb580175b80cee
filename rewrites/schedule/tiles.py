"""The tiles, warps and stages of a kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from xdsl.dialects.builtin import DYNAMIC_INDEX, TensorType
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, ScheduleAttr, SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS
from flashlower.rewrites.schedule.measure import (
    block_rows,
    element_bytes_of,
    key_bytes_of,
    next_power_of_two,
    packed_rows,
    reached_keys,
    static_size,
)
from flashlower.rewrites.schedule.splits import MAX_DECODE_ROWS, RAGGED_CHUNK, runs_of
from flashlower.rewrites.schedule.targets import TargetDescription
from flashlower.rewrites.schedule.unpacking import choose_unpacking, has_floats, streaming

STAGE_BYTES = 32768
"""What one stage of K and V should load: two programs of three stages keep over 64 KB a core in flight."""

FAST_CORE_GB_S = 30
"""
GB/s of memory for each core from which on a stage should load `STAGE_BYTES` even where its keys lie in several pages:
two programs of runs a core keep too few bytes in flight otherwise.
"""

MAX_KEYS = 128
"""Keys of such a tile at most."""

WARPS_PER_CORE = 8
"""Warps that a core should have of programs that unpack words."""

MIN_PAGED_TILE = 32
"""Tiles of at least so many keys lie inside of one page where the page size allows it: one page number serves all."""

COMBINE_VALUES = 64
"""Values of partial results that a thread of a combine should load at once: few warps start soonest."""


# Most operations of a module have one of a few schedules.
_schedule = lru_cache(ScheduleAttr)


def choose_schedule(
    op: AttentionOp | CombineOp, target: TargetDescription, sizes: dict[str, int] | None = None
) -> ScheduleAttr:
    """
    The tiles, warps and stages for one operation.

    For `attention.sdpa` and `attention.partial`: `block_m` covers the packed rows in one tile where it can;
    `block_n` is what one stage should load, and with its stages and the tile of Q it fits in the share of a core's
    shared memory that one program gets. `block_n` divides the tile of a partial, and the page size where that leaves
    tiles of `MIN_PAGED_TILE` keys. A dynamic number of rows gets tiles of 64, a dynamic head size is taken for 128.
    Quantised K and V in words of 32 bits are unpacked by assembly where the target has it; up to 16 rows few warps do
    that, up to `DECODE_ROWS` in tiles that lie transposed.

    For `attention.combine`, `block_m` is the number of rows (at least 16), `block_n` the number of splits, rounded
    up to a power of two of at least 16; a program reduces one row, with as few warps as hold that many partial results.

    Tiles of 128 rows get `constant_strides` on NVIDIA's GPUs, where K and V are floats of static shape: addresses in
    registers would leave too few for the accumulator.

    An `attention.sdpa` of a decoding step gets `runs` where `choose_runs` says so, else `pdl` where `_overlaps` does,
    and a further stage where `_fills_waves` does.

    `sizes` are the operation's `dim_sizes`, for who has them already.

    Raises `DiagnosticException` for a partial whose tile no `block_n` divides.
    """
    if sizes is None:
        sizes = op.dim_sizes()
    if isinstance(op, CombineOp):
        return _combine_schedule(op, sizes)
    tile = _choose_tile(op, sizes, target)
    runs = pdl = None
    if isinstance(op, SdpaOp):
        runs = runs_of(op, sizes, target, tile.resident(target))
        tile = _stream(op, sizes, tile, target, in_runs=runs is not None)
        pdl = 1 if target.overlaps_launches and runs is None and _overlaps(op, sizes) else None
    constant = 1 if tile.block_m == 128 and target.compute_capability is not None and _has_static_keys(op) else None
    options = {**tile.options, "constant_strides": constant}
    return _schedule(tile.block_m, tile.block_n, tile.warps, tile.stages, runs=runs, pdl=pdl, **options)


@dataclass(frozen=True)
class _Tile:
    """What a program works on."""

    block_m: int
    block_n: int
    warps: int
    stages: int
    key_bytes: int
    """Bytes of K and V of a key."""
    key_size: int
    """Channels of a row of Q."""
    options: Mapping[str, int]
    """How words are unpacked."""

    def resident(self, target: TargetDescription) -> int:
        """Programs that a core has room for."""
        buffers = max(self.stages - 1, 1) * self.block_n * self.key_bytes
        return target.shared_memory_bytes // (buffers + self.block_m * self.key_size * 4)


def _choose_tile(op: AttentionOp, sizes: dict[str, int], target: TargetDescription) -> _Tile:
    key_size, value_size = (next_power_of_two(max(static_size(sizes[name]), 16)) for name in "kd")
    floats = [op.query, *(value for name, value in (("k", op.key), ("v", op.value)) if name not in op.lanes())]
    element_bytes = max(element_bytes_of(value.type) for value in floats)
    rows = packed_rows(sizes)
    block_m = _rows_of_tile(rows, value_size, element_bytes, target)
    key_bytes = key_bytes_of(op, sizes)
    warps, most_keys = 8 if block_m * value_size > 128 * 128 else 4, 64
    unpacking = choose_unpacking(op, rows, block_m, key_bytes, target)
    if unpacking.tile is not None:
        block_m, warps, most_keys = unpacking.tile
    block_n = _keys_of_tile(op, key_bytes, most_keys)
    budget = target.shared_memory_bytes // target.programs_per_core - block_m * key_size * element_bytes
    # A prefill kernel with three stages leaves room for one program on a core, and two overlap better.
    stages = min(target.max_stages, 2 if block_m == 128 else target.max_stages)
    stream = streaming(op, key_bytes, target) if "transposed" in unpacking.options else None
    if stream is not None:
        stages = stream.stages
    elif key_bytes > 128 and (warps == 1 or (warps == 2 and "heads" not in unpacking.options and not has_floats(op))):
        stages = min(stages, 2)
    while block_n > 16 and stages * block_n * key_bytes > budget:
        block_n //= 2
    while stages > 1 and stages * block_n * key_bytes > budget:
        stages -= 1
    return _Tile(block_m, block_n, warps, stages, key_bytes, key_size, unpacking.options)


def _stream(op: SdpaOp, sizes: dict[str, int], tile: _Tile, target: TargetDescription, *, in_runs: bool) -> _Tile:
    """The tile of a kernel that waits for memory: larger in runs where memory is fast, or with a further stage."""
    if in_runs and target.bandwidth_gb_s > FAST_CORE_GB_S * target.cores:
        return replace(tile, block_n=max(tile.block_n, min(STAGE_BYTES // tile.key_bytes, MAX_KEYS)))
    rows = packed_rows(sizes)
    if in_runs or op.lanes() or rows is None or rows > MAX_DECODE_ROWS or tile.stages < target.max_stages:
        return tile
    larger = replace(tile, stages=tile.stages + 1)
    programs = [size for name, size in sizes.items() if name not in INNER_DIMS] + [sizes["h"]]
    is_known = DYNAMIC_INDEX not in programs
    fills = is_known and _fills_waves(math.prod(programs), tile.resident(target), larger.resident(target), target.cores)
    return larger if fills else tile


def concurrent_programs(op: AttentionOp, block_n: int, target: TargetDescription) -> int:
    """
    Programs that a core should run at once: small heads make small tiles, of which it takes more to keep it busy, and
    small programs that unpack words use few of its threads, or are as many as have `bytes_in_flight`.
    """
    schedule = op.schedule or choose_schedule(op, target)
    key_bytes = key_bytes_of(op, op.dim_sizes())
    if schedule.option("transposed") and (stream := streaming(op, key_bytes, target)) is not None:
        return stream.programs
    if op.lanes() and (warps := schedule.warps.data) < 4:
        # Pairs of warps with one tile under way, of 8-bit integers: half as many again were best.
        return WARPS_PER_CORE * 3 // 4 if warps == 2 and schedule.stages.data == 2 else WARPS_PER_CORE // warps
    return min(max(STAGE_BYTES // (block_n * key_bytes), 1), target.programs_per_core)


def _has_static_keys(op: AttentionOp) -> bool:
    """Whether K and V are floats of static shape, whose distances between keys change for no other size."""
    return all(
        op.quantization(name) is None and isa(value.type, TensorType) and value.type.has_static_shape()
        for name, value in (("k", op.key), ("v", op.value))
    )


def ragged_chunk(op: AttentionOp, target: TargetDescription) -> int:
    """The most keys of a split where sequences have lengths of their own."""
    schedule = op.schedule or choose_schedule(op, target)
    if schedule.option("transposed"):
        stream = streaming(op, key_bytes_of(op, op.dim_sizes()), target)
        return RAGGED_CHUNK if stream is None else stream.chunk
    return RAGGED_CHUNK


def _fills_waves(programs: int, most: int, fewer: int, cores: int) -> bool:
    """
    Whether waves of `fewer` programs a core leave less of the last one empty than waves of `most` do, where there is
    more than one.
    """

    def filled(each: int) -> float:
        return programs / (math.ceil(programs / (each * cores)) * each * cores)

    return programs > most * cores and 0 < fewer < most and filled(fewer) > 1.05 * filled(most)


def _overlaps(op: SdpaOp, sizes: dict[str, int]) -> bool:
    """
    Whether the launches of a decoding step should overlap: where all programs of the next call find room beside those
    of this one, as those of few splits do. Else they go to the cores that are done first, which have too many of them
    then: so not where there are as many splits as `RAGGED_CHUNK` asks for, whatever the number of sequences.

    Of quantised caches, only those of 8-bit floats gained, and those of one sequence did not (docs/benchmarks.md).
    """
    rows = packed_rows(sizes)
    if rows is None or not 0 < rows <= MAX_DECODE_ROWS:
        return False
    batch = [size for name, size in sizes.items() if name not in INNER_DIMS]
    is_one = DYNAMIC_INDEX not in batch and math.prod(batch) == 1
    if op.lanes():
        return has_floats(op) and not is_one
    return op.kv_lens is None or is_one or 0 <= reached_keys(op, sizes["m"], sizes["n"]) <= RAGGED_CHUNK


def _combine_schedule(op: CombineOp, sizes: dict[str, int]) -> ScheduleAttr:
    rows = packed_rows(sizes)
    block_n = max(next_power_of_two(op.num_splits), 16)
    values = block_n * next_power_of_two(static_size(sizes["d"]))
    return _schedule(
        block_m=64 if rows is None else block_rows(rows),
        block_n=block_n,
        warps=min(max(values // (32 * COMBINE_VALUES), 1), 4),
        stages=1,
    )


def _rows_of_tile(rows: int | None, value_size: int, element_bytes: int, target: TargetDescription) -> int:
    block_m = 64 if rows is None else block_rows(rows)
    if element_bytes > 2:
        # Accumulator, logits and Q are in registers, and wide types leave the tensor cores: smaller tiles win.
        block_m = max(16, min(block_m, 64, 64 * 128 // value_size))
    while block_m > 16 and block_m * value_size * 4 > target.shared_memory_bytes:
        # The accumulator, in f32, goes through shared memory on its way out.
        block_m //= 2
    return block_m


def _keys_of_tile(op: AttentionOp, key_bytes: int, most: int) -> int:
    """Up to `most` keys of `key_bytes` each, as many as a stage should load; they divide pages and tiles of splits."""
    block_n = min(max(STAGE_BYTES // key_bytes, 16), most)
    block_n = 1 << (block_n.bit_length() - 1)
    if op.page_size and (aligned := op.page_size & -op.page_size) >= MIN_PAGED_TILE:
        block_n = min(block_n, aligned)
    if isinstance(op, PartialOp):
        tile = op.tile.value.data
        block_n = min(block_n, tile & -tile)
        if block_n < 16:
            raise DiagnosticException(
                f"attention.partial has tile {tile}, but a kernel needs a multiple of 16: split with another tile"
            )
    return block_n
