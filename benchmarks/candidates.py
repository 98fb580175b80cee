"""
Which schedules of a decode step in pages are worth compiling.

All that are possible are some thousands. A simple model of a kernel that waits for memory (what a core keeps in flight,
how evenly programs fill cores, how many launches there are) leaves out those that cannot be near the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from benchmarks.cases import Case
from flashlower.rewrites.schedule import TargetDescription, next_power_of_two
from flashlower.rewrites.schedule.splits import RAGGED_CHUNK
from flashlower.rewrites.schedule.tiles import STAGE_BYTES

BLOCK_N = (32, 64, 128, 256)
WARPS = (1, 2, 4, 8)
STAGES = (2, 3, 4, 5)

WAVES = (0.5, 1, 2, 3, 4)
"""How many programs a core should have: each gives a number of splits, or of runs."""

IN_FLIGHT = 64 << 10
"""Bytes that a core should have asked for at any time; fewer wait, more disturb each other."""

WARP_KEYS = 16
"""Keys of a tile that a warp should have."""

LAUNCH = 2.5e-6
"""Seconds that a further kernel of a call takes."""

MAX_WARPS = 64
"""Of a core."""

Given = Mapping[str, int]
"""Fields of a schedule that are given; the rest is the cost model's."""


@dataclass(frozen=True)
class Division:
    """How keys are shared out, and the `programs` that it makes."""

    fields: Given
    programs: int

    @property
    def kernels(self) -> int:
        return 1 if self.fields.get("splits") == 1 else 2


def candidates(case: Case, target: TargetDescription, most: int) -> list[Given]:
    """Up to `most` schedules, likely ones first; the first is the cost model's choice, with nothing given."""
    estimates: list[tuple[float, Given]] = []
    for block_n, warps, stages in product(BLOCK_N, WARPS, STAGES):
        for division in divisions(case, target, block_n):
            tile = {"block_n": block_n, "warps": warps, "stages": stages}
            if (seconds := estimate(case, target, tile, division)) is not None:
                estimates.append((seconds, {**tile, **division.fields}))
    estimates.sort(key=lambda item: item[0])
    return [{}, *(given for _, given in estimates)][:most]


def divisions(case: Case, target: TargetDescription, block_n: int) -> Iterator[Division]:
    """Numbers of splits, with one kernel or two, launches that overlap or not, and numbers of runs."""
    work, tiles = case.batch * case.kv_heads, max(-(-case.keys // block_n), 1)
    each = sorted({min(max(round(waves * target.cores / work), 1), tiles, 128) for waves in WAVES} | {1})
    for splits in each:
        yield Division({"splits": splits, "pdl": 0}, work * splits)
        if splits > 1:
            yield Division({"splits": splits, "pdl": 0, "kernels": 1}, work * splits)
        if target.overlaps_launches:
            yield Division({"splits": splits, "pdl": 1}, work * splits)
    if case.batch > 1 and case.keys > RAGGED_CHUNK:
        for runs in sorted({max(round(waves * target.cores) // case.kv_heads, 1) for waves in WAVES}):
            yield Division({"runs": runs, "pdl": 0}, case.kv_heads * runs)


def estimate(case: Case, target: TargetDescription, tile: Given, division: Division) -> float | None:
    """Seconds by a simple model; None for what no core can hold, or what a warp has too little of."""
    block_n, warps, stages = tile["block_n"], tile["warps"], tile["stages"]
    key_bytes = 2 * next_power_of_two(max(case.head_size, 16)) * 2
    buffers = (stages - 1) * block_n * key_bytes
    # A warp has at least 8 columns of a product.
    if buffers > target.shared_memory_bytes - (16 << 10) or not 8 * warps <= block_n <= 64 * warps:
        return None
    resident = min(target.shared_memory_bytes // (buffers + (4 << 10)), MAX_WARPS // warps)
    a_core = -(-division.programs // target.cores)
    in_flight = min(resident, a_core) * buffers
    seconds = case.kv_bytes() / (target.bandwidth_gb_s * 1e9)
    # The core with the most programs, where there are too few for that to even out.
    if a_core <= resident:
        seconds *= max(a_core * target.cores / division.programs, 1.0) ** 0.5
    octaves = math.log2(in_flight / IN_FLIGHT)
    seconds *= 1 + max(0.015 * octaves, -0.06 * octaves) + 0.01 * abs(math.log2(block_n / warps / WARP_KEYS))
    # Tiles that are not those of the fewest and longest loads.
    seconds *= 1 + 0.02 * abs(math.log2(block_n * key_bytes / STAGE_BYTES))
    return seconds + division.kernels * LAUNCH
